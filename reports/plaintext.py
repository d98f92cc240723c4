"""Text that models and users wrote, made safe to show: nothing hides, moves the cursor or turns the line round."""

from __future__ import annotations

import re

# Marks, embeddings, overrides and isolates of direction: they reorder what stands after them.
DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
HIDDEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{DIRECTION}\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # control pictures: ␀ … ␟
    if code == 0x7F:
        return "\u2421"
    return f"⟨U+{code:04X}⟩"


def visible(text: str) -> str:
    """Return the text with every control, direction and surrogate character replaced by a visible sign.

    Tabs and line ends stay; CR LF becomes LF. What comes back can be written as UTF-8 and, escaped, put in a page.

    Examples
    --------
    >>> visible("a\\x1b[31mb\\u202ec")
    'a␛[31mb⟨U+202E⟩c'
    """
    return HIDDEN.sub(_shown, text.replace("\r\n", "\n"))


def cut(text: str, limit: int) -> str:
    """Return the text, or its beginning and how many characters were left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()} … ({len(text) - limit:,} more characters)"


def one_line(text: str, limit: int = 80) -> str:
    """Return the text on one line, visible, and cut with an ellipsis: a name in a table or a message.

    Examples
    --------
    >>> one_line("two\\n  lines", 20)
    'two lines'
    """
    # White space is squeezed in the first part only: a name may be a megabyte long.
    flat = visible(" ".join(text[: 4 * limit].split()))
    if len(flat) > limit or len(text) > 4 * limit:
        return flat[: limit - 1].rstrip() + "…"
    return flat

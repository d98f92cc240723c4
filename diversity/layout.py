"""Markdown taken out of a text: what an answer says without how it is laid out."""

from __future__ import annotations

import re

# Every pattern reads a line once: a text is hostile until shown otherwise. A marker needs its space and an emphasis no
# space within, so that "2 * 3 * 4", "x*y", "snake_case" and "#1" stay.
# Beside each pattern the signs without which it finds nothing: most texts have few of them.
_LINES = (
    (("```", "~~~"), re.compile(r"^[ \t]*(?:`{3,}|~{3,}).*$\n?", re.MULTILINE)),  # fences, not what they hold
    (("-", "*", "_"), re.compile(r"^[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*$\n?", re.MULTILINE)),  # rules
    # underlines, heads of tables
    (("=", "|"), re.compile(r"^[ \t]*(?:={3,}|\|[-|: \t]*-[-|: \t]*)[ \t]*$\n?", re.MULTILINE)),
)
_MARKERS = re.compile(
    r"^[ \t]*(?:>[ \t]?)*[ \t]*(?:#{1,6}[ \t]+|(?:[-*+•‣◦▪]|\(?\d{1,3}[.)]|\(?[a-zA-Z]\))[ \t]+(?:\[[ xX]\][ \t]+)?)?",
    re.MULTILINE,
)
_CELLS = re.compile(r"^[ \t]*\|(.*)\|[ \t]*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)")
_EMPHASIS = (
    ("**", re.compile(r"\*\*([^*\n]+)\*\*")),
    ("__", re.compile(r"(?<!\w)__([^_\n]+)__(?!\w)")),
    ("*", re.compile(r"(?<![\w*])\*([^*\s](?:[^*\n]*[^*\s])?)\*(?![\w*])")),
    ("_", re.compile(r"(?<!\w)_([^_\s](?:[^_\n]*[^_\s])?)_(?!\w)")),
    ("~~", re.compile(r"~~([^~\n]+)~~")),
    ("`", re.compile(r"`([^`\n]+)`")),
)
_SIGNS = "#*_`~|[>=•‣◦▪+-)"
_NUMBERED = re.compile(r"^[ \t]*\(?\d{1,3}\.", re.MULTILINE)  # the one marker without such a sign


def without_format(text: str) -> str:
    r"""Return a text without markdown: headings, list markers, quotes, tables, fences, links and emphasis.

    What stood inside stays, so that only layout goes. A text without markdown comes back as it is.

    Examples
    --------
    >>> without_format("## Ideas\n\n1. **Walk** the `dog`\n- see [the park](http://x.example)")
    'Ideas\n\nWalk the dog\nsee the park'
    """
    if not any(sign in text for sign in _SIGNS) and not _NUMBERED.search(text):
        return text
    bare = text
    for signs, pattern in _LINES:
        if any(sign in bare for sign in signs):
            bare = pattern.sub("", bare)
    if "|" in bare:
        bare = _CELLS.sub(lambda row: " ".join(cell.strip() for cell in row[1].split("|")), bare)
    bare = _MARKERS.sub("", bare)
    if "](" in bare:
        bare = _LINK.sub(r"\1", bare)
    for sign, pattern in _EMPHASIS:
        if sign in bare:
            bare = pattern.sub(r"\1", bare)
    # Where no sign was taken out, the white space at the margin stays as well.
    return text if bare == text or "".join(bare.split()) == "".join(text.split()) else bare.strip()

"""The verdicts as Markdown: a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from diversity.reports.notation import change, effective, p_value, percent, plural
from diversity.reports.outline import DomainOutline, Outline, Row, outline, title
from diversity.reports.plaintext import one_line
from diversity.reports.sentences import facet_word, marks, paragraph, symbol, what_would_change

if TYPE_CHECKING:
    from diversity.shift import Shift

LIMIT = 60_000  # bytes; GitHub refuses a comment of 65,536 characters
SPECIAL = re.compile(r"[\\`*_{}\[\]()<>#+!|~&@:$^=\"']|\.(?=\S)")


def render(shift: Shift) -> str:
    """Return the verdicts as Markdown below 60 kB: a sentence a domain, a table, the guards, the signatures.

    Names from data stand in code spans, other words are escaped; where it would grow too long, the signatures go
    first, then the last domains, and the text says so.
    """
    told = outline(shift)
    blocks = [_block(domain, told) for domain in told.domains]
    head, foot = _head(told), _foot(told)
    text = "\n".join([head, *blocks, _signatures(told), foot])
    if _size(text) < LIMIT:
        return text
    note = "*Signatures are left out for length; the HTML report has them.*\n"
    kept: list[str] = []
    for block in blocks:
        rest = len(blocks) - len(kept)
        if _size("\n".join([head, *kept, block, note, _more(rest), foot])) >= LIMIT:
            return "\n".join([head, *kept, note, _more(rest), foot])
        kept.append(block)
    return "\n".join([head, *kept, note, foot])


def _size(text: str) -> int:
    return len(text.encode())


def _more(count: int) -> str:
    return f"*{plural(count, 'more domain')} in the HTML report.*\n"


def _head(told: Outline) -> str:
    names = [
        code(name) + (f" ({escape(one_line(stage, 20))})" if stage else "")
        for name, stage in zip((told.pre, told.post), told.stages, strict=True)
    ]
    return f"## {escape(one_line(title(told), 200))}\n\nShift in diversity, {names[0]} → {names[1]}.\n"


def _foot(told: Outline) -> str:
    return (
        f"<sub>Effective number of different outputs of {told.m} within prompt, {escape(told.stage_words)}, "
        "mapped from the mean similarity of "
        f"pairs. Intervals 95 % over prompts. Material margin ±{percent(told.margin, signed=False)} %. "
        "Bold guards: their own shift leaves out zero.</sub>\n"
    )


def _block(domain: DomainOutline, told: Outline) -> str:
    said = paragraph(_escaped(domain.lead), m=told.m, margin=told.margin, between=told.between)
    change_it = what_would_change(_escaped(domain.lead))
    lines = [f"### {code(domain.name)}", "", said, "", f"What would change this verdict: {change_it}"]
    if not domain.has_primary:
        lines.append("The domain's primary facet was not measured.")
    lines += [
        "",
        f"| facet | of {told.m}, pre → post | shift (95 %) | p, adjusted | verdict | reward |",
        "| :-- | --: | --: | --: | :-- | :-- |",
    ]
    for row in map(_escaped, domain.facets):
        pre, post = effective(row["pre"], row["post"])
        facet = facet_word(row["facet"])
        cells = [
            f"**{facet}** (primary)" if row["primary"] else facet,
            f"{pre} → {post}",
            change(row["relative"], row["relative_low"], row["relative_high"]),
            p_value(row["p_adjusted"] if row["p_adjusted"] is not None else row["p"]).replace("<", "&lt;"),
            ", ".join([f"{symbol(row['verdict'])} {row['verdict']}", *marks(row)]),
            row["runs"] or ("none" if row["rewards"] == "neutral" else ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    safe = [replace(guard, label=escape(one_line(guard.label))) for guard in domain.beside]
    guards = [f"**{guard}**" if guard.is_clear else str(guard) for guard in safe]
    return "\n".join([*lines, "", f"Beside it: {', '.join(guards)}.", ""])


def _escaped(row: Row) -> Row:
    """The row with its words escaped, so that sentences made of it need no escaping as a whole."""
    return {
        key: escape(one_line(value, 60))
        if isinstance(value, str)
        else [escape(one_line(v, 60)) for v in value]
        if isinstance(value, list)
        else value
        for key, value in row.items()
    }


def _signatures(told: Outline) -> str:
    return folded([row["signature"] or "" for domain in told.domains for row in domain.facets])


def folded(signatures: Sequence[str]) -> str:
    """Return signatures as a block that opens on demand, in a fence that none of them can close."""
    signatures = [one_line(signature, 1200) for signature in signatures]
    longest = max((len(run) for s in signatures for run in re.findall("`+", s)), default=0)
    fence = "`" * max(3, longest + 1)
    body = "\n".join(signatures)
    return f"<details><summary>Signatures</summary>\n\n{fence}text\n{body}\n{fence}\n\n</details>\n"


def code(name: str) -> str:
    """Return a name as a code span, in which Markdown, HTML and mentions mean nothing.

    Examples
    --------
    >>> code("a`b|c")
    '`` a`b|c ``'
    """
    text = one_line(name) or " "
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    if not longest:
        return f"`{text}`"
    ticks = "`" * (longest + 1)
    return f"{ticks} {text} {ticks}"


def escape(text: str) -> str:
    """Return text in which no character is read as Markdown, HTML, a link or a mention, in a table or out of it."""
    return SPECIAL.sub(lambda m: f"&#{ord(m[0])};", text)

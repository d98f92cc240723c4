"""A verdict in plain words. One place for the wording, so that page, terminal and comment say the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diversity.reports.notation import change, effective, p_value, percent, plural
from diversity.reports.plaintext import one_line
from diversity.stats import FLOOR, PROVISIONAL

if TYPE_CHECKING:
    from diversity.shift import Shift

Row = Mapping[str, Any]

FACETS = {"lexical": "wording", "syntactic": "form", "semantic": "meaning", "functional": "behaviour"}
SYMBOLS = {"narrowed": "▼", "widened": "▲", "no material change": "=", "inconclusive": "?"}
CONDITIONS = {
    "all": "all answers",
    "valid": "valid answers only",
    "length-matched": "equal length",
    "deduplicated": "equal answers once",
    "format-stripped": "without markdown",
    "untruncated": "finished outputs only",
}
LEVEL = 0.05  # a direction needs an adjusted p of this or less
BEFORE_AND_AFTER = ("before tuning", "after")

_UNDER = {
    "valid": "On valid answers only",
    "length-matched": "With all answers cut to one length",
    "deduplicated": "With equal answers counted once a prompt",
    "format-stripped": "With markdown taken out",
    "untruncated": "On outputs that ended by themselves",
}
_LOST = {
    "valid": "lost on valid answers only",
    "length-matched": "lost at equal length",
    "deduplicated": "carried by exact copies",
    "format-stripped": "lost without markdown",
    "untruncated": "lost on finished outputs only",
}
_UNTESTED = {
    "valid": "untested on valid answers only",
    "length-matched": "untested at equal length",
    "format-stripped": "untested without markdown",
    "untruncated": "untested on finished outputs only",
}
_CONFOUND = {
    "valid": "validity",
    "length-matched": "length",
    "format-stripped": "formatting",
    "untruncated": "truncation",
}
_MOST_NAMED = 3  # prompts named in a sentence
_REWARD = {"converge": "answers that agree", "distinct": "answers that differ"}


def facet_word(facet: str) -> str:
    """Name a facet in everyday words: wording, form, meaning, behaviour."""
    return FACETS.get(facet, facet)


def symbol(verdict: str) -> str:
    """Return the sign of a verdict, which stands beside its word and never alone."""
    return SYMBOLS.get(verdict, "·")


def sides(shift: Shift) -> tuple[str, str]:
    """Name the two sides of a comparison: 'before tuning' and 'after', unless the recorded stages are one."""
    sampling = shift.provenance.get("sampling") or {}
    stages = [(sampling.get(name) or {}).get("stage") for name in (shift.pre, shift.post)]
    if stages[0] is not None and stages[0] == stages[1]:
        return "at the pre checkpoint", "at the post checkpoint"
    return BEFORE_AND_AFTER


def sentence(row: Row, *, m: int = 16, margin: float = 0.1, between: tuple[str, str] = BEFORE_AND_AFTER) -> str:
    """Say what happened in one facet of one domain.

    Parameters
    ----------
    row : mapping
        A row of `Shift.verdicts()`.
    m : int
        Reference size of the effective number.
    margin : float
        The material margin, as a fraction.
    between : (str, str)
        Words for the two sides, as `sides` gives them.

    Returns
    -------
    str
        One sentence, such as "Of 16 stories, effectively 6.1 differed in meaning before tuning and 4.2 after:
        narrowed, −31 % (−38 to −23)."
    """
    pre, post = effective(row["pre"], row["post"])
    before, after = between
    return (
        f"Of {m} {row['noun']}, effectively {pre} differed in {facet_word(row['facet'])} {before} "
        f"and {post} {after}: {verdict_clause(row, margin=margin)}."
    )


def verdict_clause(row: Row, *, margin: float = 0.1) -> str:
    """Say the verdict with its size, and what the data exclude or what would decide it."""
    clause = f"{row['verdict']}, {change(row['relative'], row['relative_low'], row['relative_high'])}"
    if row["verdict"] == "no material change":
        return f"{clause}; the data exclude a shift beyond ±{percent(margin, signed=False)} %"
    if row["verdict"] == "inconclusive":
        return f"{clause}; {_to_decide(row)}"
    return clause


def _to_decide(row: Row) -> str:
    n, needed = row["n_prompts"], row["prompts_to_decide"]
    few = f"{plural(n, 'prompt')} {'is' if n == 1 else 'are'} too few for a verdict, {FLOOR} the least"
    if needed is None:
        return few if n < FLOOR else "these prompts do not tell how many would decide it"
    if n < FLOOR:
        return f"{few}; about {needed:,} would decide it, were the estimate right"
    return f"about {needed:,} prompts would decide it, were the estimate right, and there are {n:,}"


def qualifiers(row: Row) -> list[str]:
    """Say what to hold against a verdict, and which way it runs; one sentence each, gravest first."""
    said = [
        f"Confounded by {_CONFOUND.get(c, c)}: {_lower(_under(c))} the sign turns round."
        for c in row["confounded_by"] or []
    ]
    said += [_lost(c) for c in row["lost_under"] or []]
    said += [f"{_under(c)} too few prompts are left to tell whether it holds." for c in row["untested_under"] or []]
    if _undone_by_family(row):
        said.append(
            f"The interval leaves out zero, but p adjusted for all domains and facets is {p_value(row['p_adjusted'])}."
        )
    if row["provisional"]:
        said.append(f"Provisional: {plural(row['n_prompts'], 'prompt')}, fewer than {PROVISIONAL}.")
    if row["heterogeneous"]:
        said.append(_uneven(row))
    if row["prompts_lost"]:
        said.append(_losses(row))
    runs = runs_sentence(row)
    return [*said, runs] if runs else said


def what_would_change(row: Row) -> str:
    """Say what would change a verdict: the prompts still needed, or the largest shifts that the data exclude.

    One or two sentences for the line "What would change this verdict".
    """
    low, high = row["excluded_narrowing"], row["excluded_widening"]
    if low is None or high is None:
        excluded = "The data exclude no shift, however large."
    else:
        narrowing = "any narrowing" if low == 0 else f"a narrowing beyond {percent(low)} %"
        widening = "any widening" if high == 0 else f"a widening beyond {percent(high)} %"
        excluded = f"The data exclude {narrowing} and {widening}."
    if row["verdict"] == "inconclusive":
        needed = _to_decide(row)
        return f"{needed[:1].upper()}{needed[1:]}. {excluded}"
    if row["verdict"] == "no material change":
        return f"A margin within what is left would change it: {_lower(excluded)}"
    held = [_lower(_under(c)) for c in [*(row["confounded_by"] or []), *(row["lost_under"] or [])]]
    return f"{excluded} It does not hold {' or '.join(held)}." if held else excluded


def equivalent_sentence(row: Row) -> str:
    """Say at which temperature pre would be as diverse as post: a row of `Shift.equivalents`."""
    at = "post" if row["at"] is None else f"post at temperature {row['at']:g}"
    lead = f"In {facet_word(row['facet'])}, {at} is"
    if row["outside"] == "below":
        return f"{lead} less diverse than pre at any temperature of the sweep, from {row['lowest']:g} up."
    if row["outside"] == "above":
        return f"{lead} more diverse than pre at any temperature of the sweep, up to {row['highest']:g}."
    low = f"below {row['lowest']:g}" if row["low"] is None else f"{row['low']:.2f}"
    high = f"above {row['highest']:g}" if row["high"] is None else f"{row['high']:.2f}"
    return f"{lead} as diverse as pre at temperature {row['temperature']:.2f} ({low} to {high})."


def runs_sentence(row: Row) -> str:
    """Say whether a shift runs with or against what the domain rewards; empty where it rewards neither."""
    if row["runs"] not in {"with", "against"}:
        return ""
    return f"It runs {row['runs']} what the domain rewards in {facet_word(row['facet'])}: {_REWARD[row['rewards']]}."


def marks(row: Row) -> list[str]:
    """The same in a few words each, for a table."""
    said = [f"confounded by {_CONFOUND.get(c, c)}" for c in row["confounded_by"] or []]
    said += [_LOST.get(c, f"lost under {c}") for c in row["lost_under"] or []]
    said += [_UNTESTED.get(c, f"untested under {c}") for c in row["untested_under"] or []]
    return [*said, "provisional"] if row["provisional"] else said


def interval_of(row: Row) -> tuple[float | None, float | None]:
    """Return the ends of a headline row's interval as relative changes; the Shift table has them as log ratios."""
    low, high = (None if row[end] is None else math.expm1(row[end]) for end in ("ci_low", "ci_high"))
    return low, high


def paragraph(row: Row, *, m: int = 16, margin: float = 0.1, between: tuple[str, str] = BEFORE_AND_AFTER) -> str:
    """Say everything about one row: the sentence and its qualifiers."""
    return " ".join([sentence(row, m=m, margin=margin, between=between), *qualifiers(row)])


def _undone_by_family(row: Row) -> bool:
    """Whether the interval alone would give a direction that the adjustment for the family takes back."""
    low, high, p = row["relative_low"], row["relative_high"], row["p_adjusted"]
    if row["verdict"] != "inconclusive" or row["n_prompts"] < FLOOR or None in (low, high, p):
        return False
    return bool((low > 0 or high < 0) and p > LEVEL)


def _lost(condition: str) -> str:
    if condition == "deduplicated":
        return f"Carried by exact copies: {_lower(_under(condition))} the verdict is not reached."
    return f"{_under(condition)} the verdict is not reached."


def _uneven(row: Row) -> str:
    down, up = (percent(row[c], signed=False) for c in ("clearly_narrowed", "clearly_widened"))
    said = f"The prompts do not shift alike: {down} % clearly narrowed and {up} % clearly widened"
    names = [one_line(d, 500) for d in row["drivers"] or []][:_MOST_NAMED]
    return f"{said}, most of all {', '.join(names)}." if names else f"{said}."


def _losses(row: Row) -> str:
    said = f"{plural(row['prompts_lost'], 'prompt')} lost: one side has no score there."
    if not row["drop_out"] or row["bound_low"] is None:
        return said
    low, high = percent(row["bound_low"]), percent(row["bound_high"])
    return f"{said} So many may matter: whatever they hide, the change lies between {low} and {high} %."


def _under(condition: str) -> str:
    return _UNDER.get(condition, f"Under the condition {condition}")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]

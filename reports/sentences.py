"""A verdict in plain words. One place for the wording, so that page, terminal and comment say the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diversity.reports.notation import change, effective, p_value, percent, plural
from diversity.stats import FLOOR, PROVISIONAL

if TYPE_CHECKING:
    from diversity.shift import Shift

Row = Mapping[str, Any]

FACETS = {"lexical": "wording", "syntactic": "form", "semantic": "meaning", "functional": "behaviour"}
SYMBOLS = {"narrowed": "▼", "widened": "▲", "no material change": "=", "inconclusive": "?"}
CONDITIONS = {"all": "all answers", "valid": "valid answers only", "length-matched": "equal length"}
LEVEL = 0.05  # a direction needs an adjusted p of this or less
BEFORE_AND_AFTER = ("before tuning", "after")

_UNDER = {"valid": "On valid answers only", "length-matched": "With all answers cut to one length"}
_LOST = {"valid": "lost on valid answers only", "length-matched": "lost at equal length"}
_UNTESTED = {"valid": "untested on valid answers only", "length-matched": "untested at equal length"}
_CONFOUND = {"valid": "validity", "length-matched": "length"}
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
    said += [f"{_under(c)} the verdict is not reached." for c in row["lost_under"] or []]
    said += [f"{_under(c)} too few prompts are left to tell whether it holds." for c in row["untested_under"] or []]
    if _undone_by_family(row):
        said.append(
            f"The interval leaves out zero, but p adjusted for all domains and facets is {p_value(row['p_adjusted'])}."
        )
    if row["provisional"]:
        said.append(f"Provisional: {plural(row['n_prompts'], 'prompt')}, fewer than {PROVISIONAL}.")
    if row["prompts_lost"]:
        said.append(f"{plural(row['prompts_lost'], 'prompt')} lost: one side has no score there.")
    runs = runs_sentence(row)
    return [*said, runs] if runs else said


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


def _under(condition: str) -> str:
    return _UNDER.get(condition, f"Under the condition {condition}")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]

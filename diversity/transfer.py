"""Template or method: what is lost from a familiar problem to its structural variant, and whether routes have narrowed.

A model that learned a method solves a variant about as well as the familiar form; one that learned a template does
not, and writes all its solutions along one route. The unit is the family of problems: its instances share a form.
Prompts: the domain `variants`, or any whose prompts bring the details `family` and `form`. See docs/probes.md.

References
----------
arXiv:2510.15990 (whether GRPO transcends its pretraining origin); the N-1 pairs of an instance and the same less one
element are the protocol of studies of constraint optimisation after GRPO.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity.confidence import CANNOT, CEILING, OPEN, shift_of
from diversity.corpus import ALL_PROMPTS
from diversity.errors import InputError
from diversity.registry import domain_of
from diversity.scoring import ALL
from diversity.stats import FLOOR, Estimate

if TYPE_CHECKING:
    from diversity.tables import Scores

FAMILIAR = "familiar"
ROUTES = ("lexical.similarity", "syntactic.similarity")
METRICS = ("accuracy", *ROUTES)
LEAST = 0.10  # accuracy on familiar forms that both sides must pass, or there is nothing to lose
MATERIAL = 0.05  # of accuracy
TEMPLATE, METHOD, BRITTLE = "template", "method kept", "transfer lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What a pair of checkpoints loses from familiar forms to variants.

    Attributes
    ----------
    domain : str
    families : int
        Families with both kinds of form on both sides.
    familiar, variant : Estimate
        Accuracy on familiar forms and on variants: pre, post, and the shift, over families.
    drop : Estimate
        Accuracy on familiar forms less that on variants: positive where variants are harder; a positive shift is
        transfer lost.
    level : Estimate
        The drop after tuning, as `estimate`.
    by_form : mapping of form to Estimate
        The same for each kind of variant.
    routes : mapping of metric to Estimate
        Mean similarity of the worked solutions to familiar forms: a positive shift is a narrower choice of routes.
    verdict, why : str
        See `judge`.
    """

    domain: str
    families: int
    familiar: Estimate
    variant: Estimate
    drop: Estimate
    level: Estimate
    by_form: dict[str, Estimate]
    routes: dict[str, Estimate]
    verdict: str
    why: str


def transfer(scores: Scores | pl.DataFrame, names: tuple[str, str], domain: str = "variants") -> Transfer:
    """Compare two checkpoints on familiar problems and their variants.

    Parameters
    ----------
    scores : Scores
        With `accuracy` and, for the routes, the similarities named in `ROUTES`.
    names : (pre, post)
    domain : str
        Its prompts bring the details `family` and `form`; the form "familiar" is what the others are variants of.

    Raises
    ------
    InputError
        The domain's prompts have no families.
    """
    members = {
        p.prompt_id: (str(p.details["family"]), str(p.details["form"]))
        for p in domain_of(domain).prompts
        if "family" in p.details and "form" in p.details
    }
    if not members:
        raise InputError(f"the prompts of '{domain}' have no family and form: give them as details of the prompts")
    frame = scores if isinstance(scores, pl.DataFrame) else scores.frame
    own = frame.filter(
        (pl.col("domain") == domain)
        & (pl.col("condition") == ALL)
        & pl.col("checkpoint").is_in(list(names))
        & ~pl.col("prompt_id").str.starts_with(ALL_PROMPTS)
        & pl.col("value").is_not_null()
    )
    values: dict[tuple[str, str, str, str], list[float]] = {}
    # Only prompts with a value on both sides: a family's mean must be over the same prompts.
    both = own.filter(pl.len().over("prompt_id", "metric") == 2)
    for name, prompt, metric, value in both.select("checkpoint", "prompt_id", "metric", "value").iter_rows():
        if prompt in members:
            values.setdefault((name, metric, *members[prompt]), []).append(value)
    families = sorted({family for family, _ in members.values()})
    forms = sorted({form for _, form in members.values()} - {FAMILIAR})

    def mean_of(name: str, metric: str, family: str, wanted: list[str]) -> float:
        found = [np.mean(values[key]) for form in wanted if (key := (name, metric, family, form)) in values]
        return float(np.mean(found)) if found else math.nan

    def sides(metric: str, wanted: list[str]) -> list[NDArray[np.float64]]:
        return [np.array([mean_of(name, metric, family, wanted) for family in families]) for name in names]

    familiar, variant = sides("accuracy", [FAMILIAR]), sides("accuracy", forms)
    drops = [a - b for a, b in zip(familiar, variant, strict=True)]
    by_form = {}
    for form in forms:
        own_form = sides("accuracy", [form])
        by_form[form] = shift_of(*(a - b for a, b in zip(familiar, own_form, strict=True)))
    told = np.isfinite(drops[0]) & np.isfinite(drops[1])
    found = Transfer(
        domain=domain,
        families=int(told.sum()),
        familiar=shift_of(familiar[0][told], familiar[1][told]),
        variant=shift_of(variant[0][told], variant[1][told]),
        drop=shift_of(*drops),
        level=shift_of(np.where(told, 0.0, math.nan), drops[1]),
        by_form=by_form,
        routes={metric: shift_of(*sides(metric, [FAMILIAR])) for metric in ROUTES},
        verdict="",
        why="",
    )
    verdict, why = judge(found)
    return replace(found, verdict=verdict, why=why)


def judge(found: Transfer) -> tuple[str, str]:
    """Judge a transfer: a verdict, and why where there is none.

    Returns
    -------
    (str, str)
        "template": the drop rose and the routes narrowed in wording or in form, each by its 95 % interval.
        "transfer lost": the drop rose, and the routes do not say why. "method kept": the 90 % interval of the drop's
        shift lies within 0.05. "cannot tell": fewer than 10 families; a side that hardly solves the familiar forms
        (below 0.10), which has nothing to lose; or a ceiling on both kinds of form. Else "undecided".
    """
    if found.families < FLOOR:
        several = "family" if found.families == 1 else "families"
        return CANNOT, f"{found.families} {several} of problems, {FLOOR} are needed"
    if min(found.familiar.pre, found.familiar.post) < LEAST:
        shown = f"{found.familiar.pre:.2f} and {found.familiar.post:.2f}"
        return CANNOT, f"floor: accuracy on familiar forms is {shown}"
    if min(found.familiar.pre, found.familiar.post, found.variant.pre, found.variant.post) >= CEILING:
        return CANNOT, "ceiling: both sides solve nearly all familiar forms and variants"
    if found.drop.se > 0 and found.drop.interval[0] > 0:
        narrowed = [m for m, e in found.routes.items() if e.se > 0 and e.interval[0] > 0]
        return (TEMPLATE, "") if narrowed else (BRITTLE, "the routes to the answer did not narrow clearly")
    if found.drop.interval90[0] > -MATERIAL and found.drop.interval90[1] < MATERIAL:
        return METHOD, ""
    return OPEN, "the interval of the shift of the drop is too wide"

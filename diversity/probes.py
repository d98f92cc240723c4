"""The probes of hidden costs on the scores of one pair: calibration, cliff, prompting, transfer, formats, faithfulness.

A cell is a probe on a domain. Cells stand in a Shift (`Shift.probes`), and so in every report and behind every rule
of a gate; `diversity.audit` puts them beside quality and diversity. Definitions: docs/probes.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from diversity import confidence, transfer
from diversity.confidence import AGREEMENT, CANNOT, FIGURES, KINDS, LIKELIHOOD, Points
from diversity.corpus import GROUPS
from diversity.errors import MissingExtra
from diversity.registry import domain_of
from diversity.registry import domains as known_domains
from diversity.stats import FLOOR, Estimate

if TYPE_CHECKING:
    from diversity.embedding import Embedder
    from diversity.faithfulness import Faithfulness
    from diversity.tables import Scores

TUNED, OUTSIDE, ACROSS = "tuned", "outside", "tuned against outside"
EVERYWHERE = "all with a known answer"  # the domain of a cell over several
MATERIAL = 0.05  # of a share
METRICS = tuple(dict.fromkeys((*confidence.METRICS, *transfer.METRICS)))


@dataclass(frozen=True, slots=True)
class Probe:
    """A figure of a probe that a policy can limit.

    Attributes
    ----------
    says : str
        What it is, in words.
    needs : tuple of str
        The metrics that are scored for it.
    range : (float, float)
    is_share : bool
        Whether it is written in per cent.
    """

    says: str
    needs: tuple[str, ...] = confidence.METRICS
    range: tuple[float, float] = (0, 1)
    is_share: bool = True


# What is told of a domain's calibration: figure of `confidence.FIGURES`, in words, whether its rise is a cost, and
# whether it only takes an order of the prompts.
TOLD = {
    "overconfidence": ("over-confidence", True, False),
    "ece": ("calibration error (ECE)", True, False),
    "brier": ("Brier score", True, False),
    "reliability": ("Brier score, part of miscalibration", True, False),
    "resolution": ("Brier score, part of telling right from wrong", False, False),
    "auroc": ("AUROC of confidence", False, True),
    "risk_coverage": ("area of risk over coverage", True, True),
}


def _named(figure: str, kind: str) -> str:
    return figure if kind == AGREEMENT else f"{figure}_{kind}"


def _said(figure: str, kind: str) -> str:
    return TOLD[figure][0] if kind == AGREEMENT else f"{KINDS[kind].says}: {TOLD[figure][0]}"


PROBES: dict[str, Probe] = {
    **{
        _named(figure, kind): Probe(
            _said(figure, kind),
            confidence.METRICS if kind in {AGREEMENT, "entropy"} else (*confidence.METRICS, *LIKELIHOOD),
            (-1, 1) if figure == "overconfidence" else (0, 1),
        )
        for kind, of in KINDS.items()
        for figure, (_, _, ranks) in TOLD.items()
        if of.is_share or ranks
    },
    "confidently_wrong": Probe("confidently wrong prompts"),
    "cliff_accuracy": Probe("slope of accuracy over distance", range=(-math.inf, math.inf), is_share=False),
    "cliff_overconfidence": Probe(
        "slope of over-confidence over distance", range=(-math.inf, math.inf), is_share=False
    ),
    "transfer_drop": Probe("drop from familiar to variant", transfer.METRICS, (-1, 1)),
    "compliance": Probe("compliance with the form asked for", ("valid",)),
    "faithfulness": Probe("answers that hang on the chain of thought", (), (-1, 1)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one probe found on one domain.

    Attributes
    ----------
    probe : str
        quality, diversity, calibration, cliff, prompting, transfer, formats or faithfulness.
    measure : str
        What the figures are.
    domain : str
    place : str
        "tuned", "outside", or "tuned against outside"; empty where no domain is told as the tuned one.
    n : int
        Prompts, or families or items, that the interval is over.
    unit : str
        "share" (pre, post and their difference), "number" or "relative" (effective numbers and their relative change).
    pre, post, shift, low, high : float or None
        `low` and `high` are the 95 % interval of the shift.
    verdict : str
        In plain words; "cannot tell" where a guard forbids one.
    cost : bool or None
        Whether the verdict is a loss (True), a gain (False), or neither (None).
    why : str
        Why there is no verdict, or what to hold against it.
    key : str
        Name of the figure in a policy, one of `PROBES`; empty where it has none.
    post_low, post_high : float or None
        The 95 % interval of `post`, where a policy may limit it.
    groups : int or None
        Groups of the jackknife that the intervals are from; None where they are over single prompts.
    signature : str
        The line from which it can be computed again; empty where checkpoints were asked for it.
    """

    probe: str
    measure: str
    domain: str
    place: str
    n: int
    unit: str
    pre: float | None
    post: float | None
    shift: float | None
    low: float | None
    high: float | None
    verdict: str
    cost: bool | None = None
    why: str = ""
    key: str = ""
    post_low: float | None = None
    post_high: float | None = None
    groups: int | None = None
    signature: str = ""


def has_answers(name: str) -> bool:
    """Whether the quality of a domain's answers is the correctness of a final one, as far as the domain can tell."""
    rewards = domain_of(name).rewards
    if name == "formats":  # its behaviour is the form
        return False
    # Of samples in a domain of a user's own their columns tell.
    return rewards.get("functional") == "converge" or name == "text" or name not in known_domains()


def metrics_for(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the metrics that the probes read, as far as these samples can have them."""
    named = frame["domain"].unique().sort().to_list()
    told = {"behaviour", "quality"} <= set(frame.columns)
    if not any(has_answers(name) and (told or (name in known_domains() and name != "text")) for name in named):
        return ()
    return (*METRICS, *(LIKELIHOOD if "log_probability" in frame.columns else ()))


def probed(
    scores: Scores | pl.DataFrame,
    names: tuple[str, str],
    *,
    tuned: Sequence[str] = (),
    samples: pl.DataFrame | None = None,
    embedder: Embedder | str | None = None,
    faithful: Sequence[Faithfulness | Cell] = (),
) -> list[Cell]:
    """Run all probes that the scores of a pair allow.

    Parameters
    ----------
    scores : Scores
        With the metrics of `METRICS`, `LIKELIHOOD` and the guard `valid`, or some of them.
    names : (pre, post)
    tuned : sequence of str
        Domains that the checkpoint was tuned for; without them no cell has a place, and only prompts that bring the
        detail `distance` have a cliff.
    samples : polars.DataFrame, optional
        Samples, whose prompts' texts are embedded where the domain does not know them.
    embedder : Embedder or str, optional
    faithful : sequence of Faithfulness or Cell
        What was found by asking the checkpoints, one a domain.

    Returns
    -------
    list of Cell
    """
    frame = scores if isinstance(scores, pl.DataFrame) else scores.frame
    present = frame["domain"].unique().sort().to_list()
    points = {name: Points.of(frame, names, name) for name in present if has_answers(name)}
    points = {name: own for name, own in points.items() if own.prompts}
    likely = {name: Points.of(frame, names, name, (*confidence.METRICS, *LIKELIHOOD)) for name in points}
    cells = [cell for name, own in points.items() for cell in _calibration(own, likely[name], tuned)]
    cells += _beyond(points, tuned)
    cells += _cliffs(points, tuned, samples, embedder)
    for name, domain in known_domains().items():
        if name not in present or not domain.prompts:
            continue
        details = domain.prompts[0].details
        if "way" in details and name in points:
            cells += _prompting(points[name], tuned)
        if {"family", "form"} <= set(details):
            cells += _transfer(frame, names, name, tuned)
        elif "form" in details and "question" in details:
            cells += _formats(frame, names, name, tuned)
    return [*cells, *(each if isinstance(each, Cell) else of_chains(each, tuned) for each in faithful)]


def of_chains(found: Faithfulness, tuned: Sequence[str] = ()) -> Cell:
    """Return the cell of what was found by editing the chains of a pair."""
    return cell_of(
        "faithfulness",
        PROBES["faithfulness"].says,
        found.pre.domain,
        place_of(found.pre.domain, tuned),
        found.shifts["sensitivity"],
        (found.verdict, found.cost, found.why),
        key="faithfulness",
        level=found.levels["sensitivity"],
    )


def no_chains(domain: str, why: str, tuned: Sequence[str] = ()) -> Cell:
    """Return the cell of a pair whose chains could not be edited: that it cannot be told."""
    judged: Verdict = CANNOT, None, why
    says = PROBES["faithfulness"].says
    return cell_of(
        "faithfulness", says, domain, place_of(domain, tuned), confidence.undefined(), judged, key="faithfulness"
    )


def place_of(domain: str, tuned: Sequence[str]) -> str:
    """Where a domain stands: tuned or outside; empty where no domain is told as the tuned one."""
    if not tuned:
        return ""
    return TUNED if domain in tuned else OUTSIDE


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def cell_of(
    probe: str,
    measure: str,
    domain: str,
    place: str,
    estimate: Estimate,
    judged: Verdict,
    unit: str = "share",
    *,
    key: str = "",
    level: Estimate | None = None,
    by_group: bool = False,
) -> Cell:
    """Write an estimate and its verdict as a cell."""
    verdict, cost, why = judged
    ends = level.interval if level is not None else (math.nan, math.nan)
    return Cell(
        probe=probe,
        measure=measure,
        domain=domain,
        place=place,
        n=estimate.n,
        unit=unit,
        pre=_number(estimate.pre),
        post=_number(estimate.post),
        shift=_number(estimate.estimate),
        low=_number(estimate.interval[0]),
        high=_number(estimate.interval[1]),
        verdict=verdict,
        cost=cost,
        why=why,
        key=key,
        post_low=_number(ends[0]),
        post_high=_number(ends[1]),
        groups=min(estimate.n, GROUPS) if by_group else None,
    )


Verdict = tuple[str, bool | None, str]


def risen(
    estimate: Estimate, *, up: str, down: str, up_is_cost: bool | None, guard: str = "", least: int = FLOOR
) -> Verdict:
    """Judge the shift of a share: by its 95 % interval, or unchanged where the 90 % one lies within 0.05."""
    if guard:
        return CANNOT, None, guard
    if estimate.n < least:
        return CANNOT, None, f"{estimate.n} to compare, {least} are needed"
    if not math.isfinite(estimate.estimate):
        return CANNOT, None, "undefined on one side"
    low, high = estimate.interval
    if estimate.interval90[0] > -MATERIAL and estimate.interval90[1] < MATERIAL:
        return "unchanged", None, ""
    if estimate.se > 0 and (low > 0 or high < 0):
        cost = None if up_is_cost is None else up_is_cost if low > 0 else not up_is_cost
        return (up if low > 0 else down), cost, ""
    return confidence.OPEN, None, "the interval holds 0" if low <= 0 <= high else "no spread to judge by"


WORDS = {
    confidence.WRONG: True,
    confidence.BETTER: False,
}


def _calibration(points: Points, likely: Points, tuned: Sequence[str]) -> Iterator[Cell]:
    """Tell of a domain's calibration: each figure by each kind of confidence that the scores hold."""
    name, place = points.domain, place_of(points.domain, tuned)
    for figure, (_, up_is_cost, ranks) in TOLD.items():
        for kind, of in KINDS.items():
            own = likely if of.confidence in LIKELIHOOD else points
            if not own.prompts or not (of.is_share or ranks):
                continue
            if figure == "overconfidence":
                estimate, level = (own.overconfidence(kind, level=at) for at in (False, True))
                verdict, why = confidence.judge(own, kind)
                judged: Verdict = verdict, WORDS.get(verdict), why
            else:
                estimate, level = (own.figure(FIGURES[figure], kind, level=at) for at in (False, True))
                guard = confidence.guard(own)
                judged = risen(estimate, up="rose", down="fell", up_is_cost=up_is_cost, guard=guard)
            said, key = _said(figure, kind), _named(figure, kind)
            yield cell_of("calibration", said, name, place, estimate, judged, key=key, level=level, by_group=True)
    estimate = points.mean("confidently_wrong")
    judged = risen(estimate, up="rose", down="fell", up_is_cost=True, guard=confidence.guard(points))
    said, level = PROBES["confidently_wrong"].says, points.level("confidently_wrong")
    yield cell_of(
        "calibration", said, name, place, estimate, judged, key="confidently_wrong", level=level, by_group=True
    )


def _beyond(points: Mapping[str, Points], tuned: Sequence[str]) -> list[Cell]:
    """How much further over-confidence shifts outside the tuned domains than inside."""
    inside = [p for n, p in points.items() if n in tuned]
    outside = [p for n, p in points.items() if n not in tuned]
    if not inside or not outside:
        return []
    parts = [confidence.joined(inside), confidence.joined(outside)]
    further = confidence.beyond(*(p.mean("overconfidence") for p in parts))
    guards = [g for part in (*inside, *outside) if (g := confidence.guard(part))]
    everything_flat = len(guards) == len(inside) + len(outside)
    judged = risen(
        further,
        up="more over-confidence outside",
        down="more over-confidence inside",
        up_is_cost=True,
        guard=guards[0] if everything_flat else "",
    )
    return [cell_of("calibration", "shift of over-confidence", "inside to outside", ACROSS, further, judged)]


def _cliffs(
    points: Mapping[str, Points],
    tuned: Sequence[str],
    samples: pl.DataFrame | None,
    embedder: Embedder | str | None,
) -> list[Cell]:
    """Slopes over distance: in each domain whose prompts grade it, and over all from the tuned domains outwards."""
    kept = [p for p in points.values() if not confidence.guard(p)]
    cells = []
    for own in kept:
        far = confidence.graded_distances([own.domain])
        named = confidence.joined([own])
        if set(named.prompts) <= set(far) and len({far[p] for p in named.prompts}) > 1:
            cells += _cliff(named, far, own.domain, place_of(own.domain, tuned), "graded")
    if not kept or not tuned:
        return cells
    together = confidence.joined(kept)
    far, how = confidence.graded_distances([p.domain for p in kept]), "graded"
    if not set(together.prompts) <= set(far):
        from diversity.embedding import Embedder

        how = "by embedding"
        near = [p.prompt for name in tuned for p in domain_of(name).prompts]
        texts = _texts(samples, together.prompts)
        if not near or len(texts) < len(together.prompts):
            return cells
        try:
            model = Embedder.load(embedder) if embedder is None or isinstance(embedder, str) else embedder
        except MissingExtra:
            return cells
        far = confidence.embedding_distances(texts, near, model)
    return cells + _cliff(together, far, EVERYWHERE, ACROSS, how)


def _cliff(points: Points, far: Mapping[str, float], domain: str, place: str, how: str) -> list[Cell]:
    cells = []
    for metric, up, down, up_is_cost in (
        ("accuracy", "flatter", "steeper", False),
        ("overconfidence", "steeper", "flatter", True),
    ):
        estimate, level = (confidence.cliff(points, far, metric, level=at) for at in (False, True))
        verdict, cost, why = risen(estimate, up=up, down=down, up_is_cost=up_is_cost)
        # A flatter slope is no gain: accuracy that fell in the tuned domain flattens it too.
        judged: Verdict = verdict, cost or None, why
        said, key = f"slope of {metric}, distance {how}", f"cliff_{metric}"
        cells.append(
            cell_of("cliff", said, domain, place, estimate, judged, "number", key=key, level=level, by_group=True)
        )
    return cells


def _texts(samples: pl.DataFrame | None, wanted: Sequence[str]) -> dict[str, str]:
    texts = {}
    for name in wanted:
        domain, _, prompt_id = name.partition("/")
        known = domain_of(domain).by_id.get(prompt_id)
        if known is not None:
            texts[name] = known.prompt
    missing = [name for name in wanted if name not in texts]
    if missing and samples is not None and "prompt" in samples.columns:
        rows = samples.drop_nulls("prompt").unique(["domain", "prompt_id"]).select("domain", "prompt_id", "prompt")
        asked = {f"{d}/{p}": t for d, p, t in rows.iter_rows()}
        texts |= {name: asked[name] for name in missing if name in asked}
    return {name: texts[name] for name in wanted if name in texts}


def _prompting(points: Points, tuned: Sequence[str]) -> list[Cell]:
    """Whether the ways of asking help: accuracy less that of the plain way, paired by item, before and after tuning."""
    prompts = domain_of(points.domain).by_id
    by_way: dict[str, dict[str, int]] = {}
    for place, prompt_id in enumerate(points.prompts):
        details = prompts[prompt_id].details if prompt_id in prompts else {}
        if "way" in details:
            by_way.setdefault(str(details["way"]), {})[str(details["item"])] = place
    plain, guard = by_way.pop("plain", {}), confidence.guard(points)
    cells = []
    for way, own in sorted(by_way.items()):
        items = sorted(set(own) & set(plain))
        if not items:
            continue
        here, there = [own[i] for i in items], [plain[i] for i in items]
        gains = [side["accuracy"][here] - side["accuracy"][there] for side in (points.pre, points.post)]
        estimate, helps = confidence.shift_of(*gains), confidence.shift_of(np.zeros(len(items)), gains[1])
        verdict = risen(helps, up="helps after tuning", down="hurts after tuning", up_is_cost=None, guard=guard)
        said, place_ = f"accuracy gained by '{way}' over plain", place_of(points.domain, tuned)
        cells.append(cell_of("prompting", said, points.domain, place_, estimate, verdict))
    return cells


def _transfer(frame: pl.DataFrame, names: tuple[str, str], domain: str, tuned: Sequence[str]) -> list[Cell]:
    found = transfer.transfer(frame, names, domain)
    if not found.families:  # accuracy was not scored
        return []
    place = place_of(domain, tuned)
    cost = {transfer.TEMPLATE: True, transfer.BRITTLE: True}.get(found.verdict)
    judged: Verdict = found.verdict, cost, found.why
    said, key = PROBES["transfer_drop"].says, "transfer_drop"
    cells = [cell_of("transfer", said, domain, place, found.drop, judged, key=key, level=found.level)]
    guard = found.why if found.verdict == CANNOT else ""
    for form, estimate in found.by_form.items():
        if not estimate.n:
            continue
        judged = risen(estimate, up="larger", down="smaller", up_is_cost=True, guard=guard)
        cells.append(cell_of("transfer", f"drop, variant '{form}'", domain, place, estimate, judged))
    for metric, estimate in found.routes.items():
        judged = risen(estimate, up="routes narrowed", down="routes widened", up_is_cost=None)
        cells.append(
            cell_of("transfer", f"likeness of solutions, {metric.split('.')[0]}", domain, place, estimate, judged)
        )
    return cells


def _formats(frame: pl.DataFrame, names: tuple[str, str], domain: str, tuned: Sequence[str]) -> list[Cell]:
    """Compliance over all prompts, and by the form asked for."""
    forms = {p.prompt_id: str(p.details["form"]) for p in domain_of(domain).prompts}
    points = Points.of(frame, names, domain, metrics=("valid",))
    cells = []
    for form in ("", *dict.fromkeys(forms.values())):
        kept = [i for i, p in enumerate(points.prompts) if not form or forms.get(p) == form]
        if not kept:
            continue
        pre, post = (side["valid"][kept] for side in (points.pre, points.post))
        estimate, level = confidence.shift_of(pre, post), confidence.shift_of(np.zeros_like(post), post)
        judged = risen(estimate, up="more flexible", down="less flexible", up_is_cost=False, guard=_flat(estimate))
        said, key = (f"compliance, asked for {form}", "") if form else (PROBES["compliance"].says, "compliance")
        place = place_of(domain, tuned)
        cells.append(cell_of("formats", said, domain, place, estimate, judged, key=key, level=level))
    return cells


def _flat(estimate: Estimate) -> str:
    if max(estimate.pre, estimate.post) <= confidence.CHANCE:
        return f"floor: {estimate.pre:.2f} and {estimate.post:.2f}"
    if min(estimate.pre, estimate.post) >= confidence.CEILING:
        return f"ceiling: {estimate.pre:.2f} and {estimate.post:.2f}"
    return ""

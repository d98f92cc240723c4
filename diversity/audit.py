"""What tuning gave and what it took: diversity and the probes on one pair of checkpoints, in one table.

A cell is a probe on a domain, in the domains that the checkpoint was tuned for or outside them. Definitions of the
probes: docs/probes.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from diversity import __version__, confidence
from diversity.confidence import CANNOT, Points
from diversity.errors import InputError, MissingExtra
from diversity.files import written
from diversity.registry import domains as known_domains
from diversity.registry import find_domain
from diversity.scoring import ALL, ARROW, DEDUPLICATED, MATCHED, VALID, Progress, score
from diversity.shift import Shift, compare
from diversity.stats import FLOOR, Estimate, mean_difference
from diversity.tables import Samples, Scores
from diversity.transfer import transfer

if TYPE_CHECKING:
    from diversity.embedding import Embedder
    from diversity.faithfulness import Faithfulness

SCHEMA = 1
TUNED, OUTSIDE, ACROSS = "tuned", "outside", "tuned against outside"
FACETS = ("lexical", "syntactic", "semantic", "functional")
CONDITIONS = (ALL, VALID, MATCHED, DEDUPLICATED)
MATERIAL = 0.05  # of a share
# The domains that the probes bring; `diversity audit` samples them where it samples.
PROBE_DOMAINS = ("factual", "nli", "variants", "formats")


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
        "tuned", "outside", or "tuned against outside".
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Diversity and the probes on one pair.

    Attributes
    ----------
    pre, post : str
    tuned : tuple of str
        Domains that the checkpoint was tuned for.
    cells : tuple of Cell
    settings : dict
    shift : Shift or None
        The comparison that the diversity cells are from; None when read from a file.
    """

    pre: str
    post: str
    tuned: tuple[str, ...]
    cells: tuple[Cell, ...]
    settings: dict[str, Any]
    shift: Shift | None = field(default=None, repr=False)

    def table(self) -> pl.DataFrame:
        """Return one row a cell."""
        return pl.DataFrame([asdict(c) for c in self.cells], infer_schema_length=None)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the shift as plain values."""
        return {
            "schema": SCHEMA,
            "package": __version__,
            "pre": self.pre,
            "post": self.post,
            "tuned": list(self.tuned),
            "settings": self.settings,
            "cells": [asdict(c) for c in self.cells],
        }

    @classmethod
    def read(cls, path: str | Path) -> Audit:
        """Read what `to_json` wrote; raises `InputError`."""
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            if record["schema"] != SCHEMA:
                raise InputError(f"{path}: has schema {record['schema']!r}, not {SCHEMA}: audit again")
            return cls(
                pre=record["pre"],
                post=record["post"],
                tuned=tuple(record["tuned"]),
                cells=tuple(Cell(**c) for c in record["cells"]),
                settings=record["settings"],
            )
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error}): check the path") from None
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: not what `diversity audit --out` wrote: audit again") from None

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the audit as JSON, and write it where a path is given."""
        text = json.dumps(self.to_dict(), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
        return written(text, path)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the report as Markdown, and write it where a path is given."""
        from diversity.reports.audit import markdown

        return written(markdown(self), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the report as one self-contained page, and write it where a path is given."""
        from diversity.reports.audit import html

        return written(html(self), path)


def audit(
    pre: Samples | pl.DataFrame,
    post: Samples | pl.DataFrame,
    *,
    tuned: str | Sequence[str],
    embedder: Embedder | str | None = None,
    execute: bool | str = False,
    margin: float = 0.10,
    seed: int = 0,
    allow_settings_differ: bool = False,
    faithful: Sequence[Faithfulness] = (),
    progress: Progress | None = None,
) -> Audit:
    """Run diversity and all probes that the samples allow.

    Parameters
    ----------
    pre, post : Samples or polars.DataFrame
        One checkpoint each, on the same prompts. Which probes are run follows from the domains: calibration from any
        whose quality is correctness, transfer from `variants`, prompting from `nli`, formats from `formats`.
    tuned : str or sequence of str
        Domains that the checkpoint was tuned for; the others are outside.
    embedder, execute, margin, seed, allow_settings_differ, progress
        As in `diversity.compare`. Without an embedding model there are no distances, and so no cliff, unless the
        prompts bring the detail `distance`.
    faithful : sequence of Faithfulness
        What `diversity.faithfulness.faithfulness` found on the pair, one a domain: it asks the checkpoints themselves.

    Returns
    -------
    Audit

    Raises
    ------
    InputError, NotComparable, UnknownName
        As `diversity.compare` does, and where no domain is told as the tuned one.
    """
    wanted = (tuned,) if isinstance(tuned, str) else tuple(tuned)
    if not wanted:
        raise InputError("no domain is named as the tuned one: say what the checkpoint was tuned for by --tuned")
    for name in wanted:
        find_domain(name)
    sides = [s if isinstance(s, Samples) else Samples.of(s) for s in (pre, post)]
    names = _names(sides)
    frames = [s.frame.with_columns(pl.lit(n).alias("checkpoint")) for s, n in zip(sides, names, strict=True)]
    both = Samples.of(
        pl.concat(frames, how="diagonal_relaxed"),
        {side: dict(s.provenance) for side, s in zip(("pre", "post"), sides, strict=True)},
    )
    scores = score(
        both,
        metrics=[*(f"{f}.similarity" for f in FACETS), "guard", *confidence.METRICS],
        conditions=CONDITIONS,
        pairs=[names],
        embedder=embedder,
        execute=execute,
        progress=progress,
    )
    is_post = pl.col("checkpoint") == names[1]
    shift = compare(
        *(Scores.of(scores.frame.filter(own), scores.provenance) for own in (~is_post, is_post)),
        margin=margin,
        seed=seed,
        allow_settings_differ=allow_settings_differ,
    )
    found = sorted(set(both.frame["domain"].unique()))
    cells = [*_quality(shift, wanted), *_diversity(shift, wanted)]
    points = {name: Points.of(scores, names, name) for name in found if _has_answers(name)}
    points = {name: p for name, p in points.items() if p.prompts}
    cells += _calibration(points, wanted)
    cells += _cliff(points, wanted, both.frame, embedder)
    for name, domain in known_domains().items():
        if name not in found or not domain.prompts:
            continue
        details = domain.prompts[0].details
        if "way" in details and name in points:
            cells += _prompting(points[name], wanted)
        if {"family", "form"} <= set(details):
            cells += _transfer(scores, names, name, wanted)
        elif "form" in details and "question" in details:
            cells += _formats(scores, names, name, wanted)
    cells += [
        _cell(
            "faithfulness",
            "answers that hang on the chain of thought",
            each.pre.domain,
            _place(each.pre.domain, wanted),
            each.shifts["sensitivity"],
            (each.verdict, each.cost, each.why),
        )
        for each in faithful
    ]
    return Audit(
        pre=names[0],
        post=names[1],
        tuned=wanted,
        cells=tuple(cells),
        settings={"margin": margin, "seed": seed, "level": 0.95, "material_share": MATERIAL},
        shift=shift,
    )


def _names(sides: Sequence[Samples]) -> tuple[str, str]:
    names = []
    for side, own in zip(("pre", "post"), sides, strict=True):
        held = own.frame["checkpoint"].unique().sort().to_list()
        if len(held) != 1:
            raise InputError(f"the {side} side holds {len(held)} checkpoints: give one, or name it as FILE:CHECKPOINT")
        names.append(str(held[0]).replace(ARROW, " > "))
    return (names[0], names[1]) if names[0] != names[1] else (f"{names[0]} (pre)", f"{names[1]} (post)")


def _has_answers(name: str) -> bool:
    """Whether the quality of a domain is the correctness of a final answer."""
    return find_domain(name).rewards.get("functional") == "converge" and name != "formats"


def _place(domain: str, tuned: Sequence[str]) -> str:
    return TUNED if domain in tuned else OUTSIDE


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _cell(
    probe: str,
    measure: str,
    domain: str,
    place: str,
    estimate: Estimate,
    judged: tuple[str, bool | None, str],
    unit: str = "share",
) -> Cell:
    verdict, cost, why = judged
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


# What tuning gave


def _quality(shift: Shift, tuned: Sequence[str]) -> list[Cell]:
    """The visible side: the share of outputs that pass the domain's check."""
    cells = []
    for row in shift.frame.filter((pl.col("metric") == "valid") & (pl.col("condition") == ALL)).to_dicts():
        if row["shift"] is None or row["domain"] == "formats":  # its validity is compliance, which has a probe
            continue
        low, high = row["ci_low"], row["ci_high"]
        estimate = Estimate(
            n=row["n_prompts"],
            pre=row["pre"],
            post=row["post"],
            estimate=row["shift"],
            se=math.nan if low is None else (high - low) / 4,
            interval=(-math.inf, math.inf) if low is None else (low, high),
            interval90=(-math.inf, math.inf) if low is None else (low, high),  # the wider one: never unchanged too soon
            p=row["p"],
        )
        judged = risen(estimate, up="better", down="worse", up_is_cost=False)
        # A check that all outputs pass, or none, has no room to move.
        chance = find_domain(row["domain"]).chance
        if max(row["pre"], row["post"]) <= (chance + confidence.CHANCE if chance else 0.02):
            judged = CANNOT, None, "floor: no more outputs pass the domain's check than by chance"
        elif min(row["pre"], row["post"]) >= 0.98:
            judged = "unchanged", None, "ceiling: nearly all outputs pass the domain's check"
        cells.append(_cell("quality", "valid outputs", row["domain"], _place(row["domain"], tuned), estimate, judged))
    return cells


# What it took


def _diversity(shift: Shift, tuned: Sequence[str]) -> list[Cell]:
    cells = []
    for row in shift.verdicts().to_dicts():
        against = [*(f"confounded by {c}" for c in row["confounded_by"] or ())]
        against += [f"lost under {c}" for c in row["lost_under"] or ()]
        against += ["provisional"] if row["provisional"] else []
        # Against what the domain rewards is a cost. With it is no gain yet: answers may agree on what is wrong.
        cost = True if row["runs"] == "against" else None
        few = row["n_prompts"] < FLOOR
        why = f"{row['n_prompts']} prompts, {FLOOR} are needed" if few else ", ".join(against)
        cells.append(
            Cell(
                probe="diversity",
                measure=f"{row['facet']}, of 16" + (" (primary)" if row["primary"] else ""),
                domain=row["domain"],
                place=_place(row["domain"], tuned),
                n=row["n_prompts"],
                unit="relative",
                pre=row["pre"],
                post=row["post"],
                shift=row["relative"],
                low=row["relative_low"],
                high=row["relative_high"],
                verdict=CANNOT if few else row["verdict"],
                cost=None if few else cost,
                why=why,
            )
        )
    return cells


WORDS = {
    confidence.WRONG: True,
    confidence.BETTER: False,
}


def _calibration(points: dict[str, Points], tuned: Sequence[str]) -> list[Cell]:
    cells = []
    for name, own in points.items():
        place, guard = _place(name, tuned), confidence.guard(own)
        verdict, why = confidence.judge(own)
        cells.append(
            _cell(
                "calibration",
                "over-confidence",
                name,
                place,
                own.mean("overconfidence"),
                (verdict, WORDS.get(verdict), why),
            )
        )
        for measure, estimate in (
            ("calibration error (ECE)", own.figure(confidence.ece)),
            ("confidently wrong prompts", own.mean("confidently_wrong")),
            ("area of risk over coverage", own.figure(confidence.risk_coverage)),
        ):
            judged = risen(estimate, up="rose", down="fell", up_is_cost=True, guard=guard)
            cells.append(_cell("calibration", measure, name, place, estimate, judged))
        auroc = own.figure(confidence.auroc)
        judged = risen(auroc, up="rose", down="fell", up_is_cost=False, guard=guard)
        cells.append(_cell("calibration", "AUROC of confidence", name, place, auroc, judged))
    inside = [p for n, p in points.items() if n in tuned]
    outside = [p for n, p in points.items() if n not in tuned]
    if inside and outside:
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
        cells.append(_cell("calibration", "shift of over-confidence", "inside to outside", ACROSS, further, judged))
    return cells


def _cliff(
    points: dict[str, Points], tuned: Sequence[str], frame: pl.DataFrame, embedder: Embedder | str | None
) -> list[Cell]:
    """Slopes over the distance from the tuned domain, graded by the prompts or by their embeddings."""
    kept = [p for p in points.values() if not confidence.guard(p)]
    if not kept:
        return []
    together = confidence.joined(kept)
    far = confidence.graded_distances([p.domain for p in kept])
    how = "graded"
    if not set(together.prompts) <= set(far):
        from diversity.embedding import Embedder

        how = "by embedding"
        near = [p.prompt for name in tuned for p in find_domain(name).prompts]
        texts = _texts(frame, together.prompts)
        if not near or len(texts) < len(together.prompts):
            return []
        try:
            model = Embedder.load(embedder) if embedder is None or isinstance(embedder, str) else embedder
        except MissingExtra:
            return []
        far = confidence.embedding_distances(texts, near, model)
    cells = []
    for metric, up, down, up_is_cost in (
        ("accuracy", "flatter", "steeper", False),
        ("overconfidence", "steeper", "flatter", True),
    ):
        estimate = confidence.cliff(together, far, metric)
        verdict, cost, why = risen(estimate, up=up, down=down, up_is_cost=up_is_cost)
        # A flatter slope is no gain: accuracy that fell in the tuned domain flattens it too.
        judged: Verdict = verdict, cost or None, why
        cells.append(
            _cell(
                "cliff",
                f"slope of {metric}, distance {how}",
                "all with a known answer",
                ACROSS,
                estimate,
                judged,
                "number",
            )
        )
    return cells


def _texts(frame: pl.DataFrame, wanted: Sequence[str]) -> dict[str, str]:
    texts = {}
    for name in wanted:
        domain, _, prompt_id = name.partition("/")
        known = find_domain(domain).by_id.get(prompt_id)
        if known is not None:
            texts[name] = known.prompt
    missing = [name for name in wanted if name not in texts]
    if missing and "prompt" in frame.columns:
        rows = frame.drop_nulls("prompt").unique(["domain", "prompt_id"]).select("domain", "prompt_id", "prompt")
        asked = {f"{d}/{p}": t for d, p, t in rows.iter_rows()}
        texts |= {name: asked[name] for name in missing if name in asked}
    return {name: texts[name] for name in wanted if name in texts}


def _prompting(points: Points, tuned: Sequence[str]) -> list[Cell]:
    """Whether the ways of asking help: accuracy less that of the plain way, paired by item, before and after tuning."""
    prompts = find_domain(points.domain).by_id
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
        estimate = mean_difference(*gains) if len(items) > 1 else confidence.undefined(len(items))
        helps = mean_difference(np.zeros(len(items)), gains[1]) if len(items) > 1 else estimate
        verdict = risen(helps, up="helps after tuning", down="hurts after tuning", up_is_cost=None, guard=guard)
        cells.append(
            _cell(
                "prompting",
                f"accuracy gained by '{way}' over plain",
                points.domain,
                _place(points.domain, tuned),
                estimate,
                verdict,
            )
        )
    return cells


def _transfer(scores: Scores, names: tuple[str, str], domain: str, tuned: Sequence[str]) -> list[Cell]:
    found = transfer(scores, names, domain)
    place = _place(domain, tuned)
    cost = {"template": True, "transfer lost": True}.get(found.verdict)
    cells = [
        _cell("transfer", "drop from familiar to variant", domain, place, found.drop, (found.verdict, cost, found.why))
    ]
    guard = found.why if found.verdict == CANNOT else ""
    for form, estimate in found.by_form.items():
        if not estimate.n:
            continue
        judged = risen(estimate, up="larger", down="smaller", up_is_cost=True, guard=guard)
        cells.append(_cell("transfer", f"drop, variant '{form}'", domain, place, estimate, judged))
    for metric, estimate in found.routes.items():
        judged = risen(estimate, up="routes narrowed", down="routes widened", up_is_cost=None)
        cells.append(
            _cell("transfer", f"likeness of solutions, {metric.split('.')[0]}", domain, place, estimate, judged)
        )
    return cells


def _formats(scores: Scores, names: tuple[str, str], domain: str, tuned: Sequence[str]) -> list[Cell]:
    """Compliance over all prompts, and by the form asked for."""
    forms = {p.prompt_id: str(p.details["form"]) for p in find_domain(domain).prompts}
    points = Points.of(scores, names, domain, metrics=("valid",))
    cells = []
    for form in ("", *dict.fromkeys(forms.values())):
        kept = [i for i, p in enumerate(points.prompts) if not form or forms.get(p) == form]
        pre, post = (side["valid"][kept] for side in (points.pre, points.post))
        estimate = mean_difference(pre, post) if len(kept) > 1 else confidence.undefined(len(kept))
        guard = _flat(estimate)
        judged = risen(estimate, up="more flexible", down="less flexible", up_is_cost=False, guard=guard)
        measure = f"compliance, asked for {form}" if form else "compliance with the form asked for"
        cells.append(_cell("formats", measure, domain, _place(domain, tuned), estimate, judged))
    return cells


def _flat(estimate: Estimate) -> str:
    if max(estimate.pre, estimate.post) <= confidence.CHANCE:
        return f"floor: {estimate.pre:.2f} and {estimate.post:.2f}"
    if min(estimate.pre, estimate.post) >= confidence.CEILING:
        return f"ceiling: {estimate.pre:.2f} and {estimate.post:.2f}"
    return ""

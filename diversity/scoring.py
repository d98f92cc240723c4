"""Samples -> Scores: extract the answers, look at them under each condition, measure every metric."""

from __future__ import annotations

import logging
import math
import unicodedata
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain, groupby
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity import __version__
from diversity.calibration import Calibration
from diversity.corpus import (
    ALL_PROMPTS,
    Pick,
    Read,
    Score,
    across_prompts,
    between_checkpoints,
    draws_of,
    pooled_answers,
    pooled_reads,
    prompts_across,
    read_of,
)
from diversity.domain import Domain, Prompt
from diversity.embedding import Embedder
from diversity.errors import DiversityError, InputError, MissingExtra, Undefined
from diversity.layout import without_format
from diversity.registry import FACETS, UNITS, Metric, domain_of, find_metric
from diversity.registry import metrics as all_metrics
from diversity.sampling import prompt_hash
from diversity.stats import pair_mean
from diversity.tables import SCORES, Samples, Scores
from diversity.views import Answers, Encode, Judge, join, plant, shelve
from diversity.words import Codes, Lexicon, normal

ALL, VALID, MATCHED = "all", "valid", "length-matched"
DEDUPLICATED, STRIPPED, UNTRUNCATED = "deduplicated", "format-stripped", "untruncated"
CONDITIONS = (ALL, VALID, MATCHED, DEDUPLICATED, STRIPPED, UNTRUNCATED)
# Asked of the headlines alone in the default panel and its facets: whether a verdict stands, not sixty more measures.
SENSITIVITIES = frozenset({DEDUPLICATED, STRIPPED, UNTRUNCATED})
CUT_SHORT = frozenset({"length", "max_tokens", "error", "abort", "content_filter"})  # finish reasons that are no end
SHORTEST_WINDOW = 16  # words below which a matched window says little
WINDOW_QUANTILE = 0.2
ARROW = " → "  # joins the names of two checkpoints in the column checkpoint of a score between them

logger = logging.getLogger("diversity")
Progress = Callable[[str, int, int], None]
Told = TypeVar("Told")
Row = tuple[Any, ...]  # a score, in the order of the columns of `SCORES`
Look = tuple[str, str, dict[str, Any]]  # domain, prompt_id, and what `diversity.drilldown` says of the outputs
# What pooled metrics read: domain, prompt_id, condition, names of the two checkpoints, and each metric's by its name.
Reads = tuple[str, str, str, str, dict[str, Read]]
# Results by the name of the metric, of the answers with some identities.
_Measured = dict[tuple[int | str, ...], dict[str, Any]]


def score(
    samples: Samples | pl.DataFrame,
    *,
    metrics: str | Sequence[str] = "default",
    conditions: Sequence[str] = CONDITIONS,
    pairs: Sequence[tuple[str, str]] = (),
    embedder: Embedder | str | None = None,
    judge: Judge | None = None,
    execute: bool | str = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Measure every prompt's answers, each checkpoint apart, and what lies across prompts and between checkpoints.

    Parameters
    ----------
    samples : Samples or polars.DataFrame
        Outputs of one or more checkpoints. Score the two sides of a comparison together: the window of the
        length-matched condition is set by the shorter side of each prompt.
    metrics : "default" or a list of names, aliases, facets and units
        "default" is the default panel, and may stand in a list too. A facet stands for its part of it, a unit
        ("across prompts") for all metrics of that unit.
    conditions : subset of `CONDITIONS`
        Which answers are measured: "all"; "valid", those that pass the domain's check; "length-matched", all, cut to
        a common length; "deduplicated", equal texts (but for white space) counted once a prompt; "format-stripped",
        prose without markdown; "untruncated", without those that the token limit or an error ended. Of the default
        panel, or a facet of it, the last three measure the headline metrics only.
    pairs : sequence of (pre, post)
        Names of checkpoints to measure one against the other. Their scores carry the checkpoint "pre → post".
    embedder : Embedder or str, optional
        An embedding model, or the name or folder of one. Default: all-MiniLM-L6-v2. Where none is installed the
        semantic scores are null and say so.
    judge : callable, optional
        Says which answers to a prompt mean the same, for the metrics over classes of meaning; see
        `diversity.metrics.clusters`. Default: the embeddings, at the calibrated threshold.
    execute : bool or "rlimits"
        Run the programs of the code domain, confined by bubblewrap, on their prompts' checks and inputs: the answers
        then have a behaviour, and are valid when they pass all checks. "rlimits" names a weaker way that lets programs
        read and write your files; see `diversity.execution`.
    workers : int, optional
        Processes that measure beside each other; no number depends on it. Default: as many as processors where there
        is work for more than one. A judge is known to this process only, which then works alone.
    progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Scores
        A score over all prompts of a domain has the prompt_id ``*``; ``*/without 03`` leaves the third group of prompts
        out, from which `compare` takes its interval.

    Raises
    ------
    InputError, UnknownName
        Bad rows, or a metric or domain nobody registered.
    SandboxRefused, MissingExtra
        Programs were to be executed and cannot be confined here.
    """
    if not isinstance(samples, Samples):
        samples = Samples.of(samples)
    panel = Panel.of(samples.frame, metrics, conditions, pairs, judge and _once(judge))
    scores, _ = scored(
        samples, panel, embedder=embedder, judge=judge, execute=execute, workers=workers, progress=progress
    )
    return scores


def scored(
    samples: Samples,
    panel: Panel,
    *,
    embedder: Embedder | str | None = None,
    judge: Judge | None = None,
    execute: bool | str = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Scores, list[Look]]:
    """Measure what a panel lays out, and look at single outputs where it asks for that; arguments as in `score`."""
    if execute:
        from diversity.execution import execute as run

        samples = run(samples, mode="bubblewrap" if execute is True else execute, progress=progress)
    frame = samples.frame
    semantics = Semantics.load(embedder) if panel.needs_vectors else Semantics()

    from diversity.blocks import measured

    rows, looked = measured(frame, panel, semantics, workers=workers, progress=progress)
    warn_of_failures(rows)
    return Scores.of(rows, provenance_of(samples.provenance, sampling_of(frame), panel, semantics, judge)), looked


def provenance_of(
    samples: Mapping[str, Any],
    sampling: Mapping[str, Any],
    panel: Panel,
    semantics: Semantics,
    judge: Judge | None,
) -> dict[str, Any]:
    """Say what scores follow from."""
    return {
        "package": __version__,
        "samples": dict(samples),
        "sampling": dict(sampling),
        "domains": {name: domain.version for name, domain in panel.domains.items()},
        "embedding": semantics.signature,
        "judge": getattr(judge, "signature", getattr(judge, "__qualname__", "")) if judge else "",
        "execution": _execution(samples),
        "languages": {name: domain.language for name, domain in panel.domains.items()},
    }


def _execution(provenance: Mapping[str, Any]) -> str:
    """How the programs were executed, as far as the tables say; of two sides that differ, both."""
    sides = [provenance, *(side for side in map(provenance.get, ("pre", "post")) if isinstance(side, Mapping))]
    return " > ".join(dict.fromkeys(str(side["execution"]) for side in sides if side.get("execution")))


def _once(judge: Judge) -> Judge:
    """Ask a judge once about answers that come back under another condition."""

    @cache
    def judged(texts: tuple[str, ...], prompt: str | None) -> Sequence[Hashable]:
        return judge(texts, prompt)

    return judged


def wanted_metrics(names: str | Sequence[str]) -> list[Metric]:
    """Return the metrics that `score` measures by these names."""
    known = all_metrics()
    chosen: dict[str, Metric] = {}
    for name in [names] if isinstance(names, str) else names:
        if name == "default":
            found = [m for m in known.values() if m.default]
        elif name in FACETS:
            found = [m for m in known.values() if m.facet == name and m.default]
        elif name in UNITS:
            found = [m for m in known.values() if m.unit == name]
        else:
            found = [find_metric(name)]
        chosen |= {m.name: m for m in found}
    return list(chosen.values())


def _watched(metric: Metric) -> Metric:
    """Return a metric that, where it fails, as one of another package may, costs its own score alone."""

    def checked(result: Any) -> float | NDArray[np.float64]:
        if not isinstance(result, np.ndarray):
            return float(result)
        if result.ndim != 2 or result.shape[0] != result.shape[1]:
            raise ValueError(f"an array of shape {result.shape}, neither a number nor n x n")
        return result

    read = metric.of_prompt and _guarded(metric.of_prompt, lambda numbers: list(map(float, numbers)))
    return replace(metric, function=_guarded(metric.function, checked), of_prompt=read)


def _guarded(function: Callable[..., Any], checked: Callable[[Any], Told]) -> Callable[..., Told]:
    def measure(*answers: Any) -> Told:
        try:
            return checked(function(*answers))
        except (Undefined, DiversityError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:80]
            raise Undefined(f"{FAILED}{reason}") from error

    return measure


FAILED = "the metric failed: "


def warn_of_failures(rows: pl.DataFrame) -> None:
    """Warn once of each metric that failed."""
    failed = rows.filter(pl.col("note").str.starts_with(FAILED)).unique("metric", keep="first", maintain_order=True)
    for metric, note in failed.select("metric", "note").iter_rows():
        reason = note.removeprefix(FAILED)
        warnings.warn(f"metric '{metric}' failed ({reason}): its scores are null", stacklevel=3)


def _check_pairs(
    pairs: Sequence[tuple[str, str]], frame: pl.DataFrame, wanted: Sequence[Metric], names: str | Sequence[str]
) -> None:
    known = frame["checkpoint"].unique().sort().to_list()
    for missing in (name for pair in pairs for name in pair if name not in known):
        raise InputError(f"pairs names the checkpoint '{missing[:80]}': Known: {', '.join(known)[:200]}")
    asked = {names} if isinstance(names, str) else set(names)
    for metric in wanted:
        if not pairs and metric.unit == "between checkpoints" and asked & {metric.name, metric.unit, *metric.aliases}:
            raise InputError(f"'{metric.name}' is measured between two checkpoints: pass pairs=[(pre, post)]")


def fitting(metrics: Iterable[Metric], domain: Domain, condition: str = ALL) -> list[Metric]:
    """Return the metrics that say something of a domain's answers; guards and the like are told of all answers."""
    left_out = {"prose" if domain.language else "trees"}
    return [
        m
        for m in metrics
        if m.needs not in left_out and (condition == ALL or (m.facet != "guard" and not m.of_all_outputs))
    ]


def _row(
    checkpoint: str,
    domain: str,
    prompt_id: str,
    condition: str,
    metric: Metric,
    *,
    value: float | None,
    n: int,
    note: str | None,
    se: float | None = None,
) -> Row:
    return checkpoint, domain, prompt_id, metric.name, metric.facet, condition, value, se, n, note or None


def framed(rows: Iterable[Row]) -> pl.DataFrame:
    """Return scores as a frame."""
    columns = list(zip(*rows, strict=True)) or [()] * len(SCORES)
    told = zip(SCORES.items(), columns, strict=True)
    return pl.DataFrame([pl.Series(name, values, dtype=dtype) for (name, dtype), values in told])


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What is measured of every prompt, the same in every process.

    `drawn_from` names, for each domain, the prompts that measures across prompts are taken over; None is all. `looks`
    names two checkpoints of whose outputs a reader will look at single ones.
    """

    metrics: tuple[Metric, ...]
    conditions: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    domains: Mapping[str, Domain]
    judge: Judge | None
    lean: frozenset[str]  # conditions under which the headlines alone are measured
    is_pooled: bool
    checkpoints: Mapping[str, frozenset[str]]  # of each domain
    drawn_from: Mapping[str, frozenset[str] | None]
    looks: tuple[str, str] | None = None

    @classmethod
    def of(
        cls,
        keys: pl.DataFrame,
        metrics: str | Sequence[str],
        conditions: Sequence[str],
        pairs: Sequence[tuple[str, str]],
        judge: Judge | None,
    ) -> Panel:
        """Lay out what is measured of the outputs with these keys; raises `InputError` or `UnknownName`."""
        names = [metrics] if isinstance(metrics, str) else metrics
        wanted = wanted_metrics(names)
        unknown = [c for c in conditions if c not in CONDITIONS]
        if unknown:
            raise InputError(f"unknown condition '{unknown[0]}': Known: {', '.join(CONDITIONS)}")
        _check_pairs(pairs, keys, wanted, names)
        asked = keys.select("domain", "prompt_id").unique()
        sides = keys.group_by("domain").agg(pl.col("checkpoint").unique())
        return cls(
            metrics=tuple(wanted),
            conditions=tuple(conditions),
            pairs=tuple(pairs),
            domains={name: domain_of(name) for name in asked["domain"].unique().sort()},
            judge=judge,
            lean=SENSITIVITIES if {"default", *FACETS} & set(names) else frozenset(),
            is_pooled=len(keys) <= POOLED,
            checkpoints={domain: frozenset(names) for domain, names in sides.iter_rows()},
            drawn_from={str(name): prompts_across(group["prompt_id"]) for (name,), group in asked.group_by(["domain"])},
        )

    @property
    def full_conditions(self) -> list[str]:
        """The conditions under which all is measured, and not the headlines alone."""
        return [condition for condition in self.conditions if condition not in self.lean]

    @property
    def needs_vectors(self) -> bool:
        """Whether a metric reads vectors."""
        return any(m.needs == "vectors" for m in self.metrics)

    def of_unit(self, *units: str) -> list[Metric]:
        """Return the metrics of some units that are measured prompt by prompt or across prompts."""
        return [_watched(m) for m in self.metrics if m.unit in units and not m.pooled]

    @property
    def pooled(self) -> list[Metric]:
        """The metrics that are measured once over all prompts of two checkpoints."""
        return [_watched(m) for m in self.metrics if m.pooled] if self.pairs else []

    @property
    def keeps_answers(self) -> bool:
        """Whether a pooled metric needs all answers to all prompts."""
        return self.is_pooled and bool(self.pairs) and any(m.pooled and not m.of_prompt for m in self.metrics)


LARGE = 2048  # answers to one prompt above which not every pair of them is compared
PART = 512  # answers, at least, of which every pair is then compared
TOGETHER = 32_768  # words of the prompts whose views are made together
POOLED = 50_000  # outputs above which no measure is pooled over all of them: it would hold them all


def within_prompts(
    sets: Sequence[AnswerSet],
    panel: Panel,
    looks: list[Look],
    reads: list[Reads],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Row]:
    """Scores of every prompt apart, each checkpoint's and between them.

    `looks` takes what the panel looks at, `reads` what pooled metrics read of the prompt.
    """
    within, between = panel.of_unit("within output", "within prompt"), panel.of_unit("between checkpoints")
    headlines = [m for m in within if m.headline]
    reading = [m for m in panel.pooled if m.of_prompt] if panel.is_pooled else []

    @cache
    def of_set(domain: Domain, condition: str) -> list[Metric]:
        return fitting(headlines if condition in panel.lean else within, domain, condition)

    @cache
    def of_pair(domain: Domain, condition: str) -> list[Metric]:
        return fitting(between, domain, condition)

    done = 0
    for batch in _batches(sets):
        unions = [_joined(of_prompt, panel.pairs) if between or reading else [] for of_prompt in batch]
        together = list(chain.from_iterable(batch))
        plant(_different(s.answers for s in together))
        shelve(_different(s.answers for s in together if s.condition not in panel.lean))
        # The headlines compare pairs, which are known already where the answers are among others.
        shelve(_different(s.answers for s in together if s.condition in panel.lean and s.answers.among is None))
        shelve(_different(chain.from_iterable(unions)))
        for of_prompt in batch:
            known: _Measured = {}
            for each in of_prompt:
                yield from each.rows(of_set(each.domain, each.condition), known)
            whole = [s for s in of_prompt if s.condition not in panel.lean]
            yield from _between(whole, panel, of_pair, reading, reads, known)
            if panel.looks:
                found = {s.checkpoint: s.answers for s in of_prompt if s.condition == ALL}
                if set(panel.looks) <= set(found):
                    from diversity.drilldown import look

                    first = of_prompt[0]
                    looks.append((first.domain.name, first.prompt_id, look([found[name] for name in panel.looks])))
            done += len(of_prompt)
            if progress:
                progress(done, len(sets))
        # Views are many times the size of the texts: those of one batch at a time are kept.
        for each in {id(s.answers): s for s in chain.from_iterable(batch)}.values():
            each.forget()
        for union in chain.from_iterable(unions):
            union.forget()


def _batches(sets: Sequence[AnswerSet]) -> Iterator[list[list[AnswerSet]]]:
    """Prompts whose views are made together: of one domain, a few, or one alone that has many words."""
    batch: list[list[AnswerSet]] = []
    words = 0
    for _, group in groupby(sets, key=lambda s: (s.domain.name, s.prompt_id)):
        of_prompt = list(group)
        own = sum(map(len, chain.from_iterable(s.answers.tokens for s in of_prompt if s.condition == ALL)))
        if batch and (words + own > TOGETHER or of_prompt[0].domain != batch[0][0].domain):
            yield batch
            batch, words = [], 0
        batch.append(of_prompt)
        words += own
    if batch:
        yield batch


def _different(answers: Iterable[Answers]) -> list[Answers]:
    return list({id(each): each for each in answers}.values())


def _joined(sets: Sequence[AnswerSet], pairs: Sequence[tuple[str, str]]) -> list[Answers]:
    """Join the answers of all checkpoints that are measured against each other, and tell each where it is among them.

    What answers have in common is then worked out once, for those of one checkpoint and for those of two.
    """
    found = {(s.checkpoint, s.condition): s.answers for s in sets}
    joined = []
    for condition in (ALL, MATCHED):
        sides = [found.get((name, condition)) for name in dict.fromkeys(chain.from_iterable(pairs))]
        present = [side for side in sides if side is not None and len(side)]
        if len(present) < 2 or sum(map(len, present)) > LARGE:
            continue
        union = join(present)
        joined.append(union)
        begin = 0
        for side in present:
            side.among = union, np.arange(begin, begin + len(side))
            begin += len(side)
    return joined


def _between(
    sets: Sequence[AnswerSet],
    panel: Panel,
    metrics: Callable[[Domain, str], Sequence[Metric]],
    pooled: Sequence[Metric],
    reads: list[Reads],
    measured: _Measured,
) -> Iterator[Row]:
    """Scores between the checkpoints of each pair, on one prompt.

    `reads` takes what pooled metrics read of it, where every checkpoint of the domain has an answer.
    """
    found = {(s.checkpoint, s.condition): s for s in sets}
    for condition in dict.fromkeys(s.condition for s in sets):
        domain, prompt_id = sets[0].domain, sets[0].prompt_id
        sides = [found.get((name, condition)) for name in panel.checkpoints[domain.name]]
        is_shared = all(side is not None and len(side.answers) for side in sides)
        for names in panel.pairs:
            pre, post = (found.get((name, condition)) for name in names)
            if pre is None or post is None:
                continue
            known = measured.setdefault((id(pre.answers), id(post.answers)), {})
            for metric in metrics(domain, condition):
                if metric.name not in known:
                    known[metric.name] = between_checkpoints(metric, pre.some(), post.some())
                value, note = known[metric.name]
                yield _row(
                    ARROW.join(names),
                    domain.name,
                    prompt_id,
                    condition,
                    metric,
                    value=value,
                    n=len(pre.some()) + len(post.some()),
                    note=note or pre.note or pre.drawn_note or post.drawn_note,
                )
            if not is_shared:
                continue
            read = fitting(pooled, domain)
            for metric in read:
                if metric.name not in known:
                    known[metric.name] = read_of(metric, pre.some(), post.some())
            reads.append((domain.name, prompt_id, condition, ARROW.join(names), {m.name: known[m.name] for m in read}))


def across_all(sets: Sequence[AnswerSet], panel: Panel, name: str, checkpoint: str) -> Iterator[Row]:
    """Scores across the prompts of a domain, of one checkpoint; `sets` are the domain's that `shared` gives."""
    domain, from_these = panel.domains[name], panel.drawn_from[name]
    across = fitting(panel.of_unit("across prompts"), domain)
    known: dict[tuple[int, ...], list[Score]] = {}
    for condition in panel.full_conditions:
        found = {s.prompt_id: s for s in sets if (s.condition, s.checkpoint) == (condition, checkpoint)}
        drawn = [p for p in sorted(found) if from_these is None or p in from_these]
        key = tuple(id(found[p].answers) for p in drawn)
        if key not in known:
            # Where all answers are valid ones, this has been done.
            known[key] = list(across_prompts(across, {p: found[p].draws() for p in drawn}))
        for metric, prompt_id, value, n, note in known[key]:
            yield _row(checkpoint, name, prompt_id, condition, metric, value=value, n=n, note=note)


def pooled_all(sets: Sequence[AnswerSet], reads: Sequence[Reads], panel: Panel, name: str) -> Iterator[Row]:
    """Scores between checkpoints over all prompts of a domain; `sets` are the domain's that `shared` gives."""
    pooled = fitting(panel.pooled, panel.domains[name])
    reading = [m for m in pooled if m.of_prompt and panel.is_pooled]
    whole = [m for m in pooled if m not in reading]
    pairs = [pair for pair in panel.pairs if set(pair) <= panel.checkpoints[name]]
    read: dict[tuple[str, str], dict[str, dict[str, Read]]] = {}
    for of_domain, prompt_id, condition, names, told in reads:
        if of_domain == name:
            read.setdefault((condition, names), {})[prompt_id] = told
    known: dict[tuple[int, ...], list[tuple[str, Score]]] = {}
    for condition in panel.full_conditions:
        sides: dict[str, dict[str, AnswerSet]] = {c: {} for c in sorted(panel.checkpoints[name])}
        for each in sets:
            if each.condition == condition:
                sides[each.checkpoint][each.prompt_id] = each
        prompts = sorted(set.intersection(*(set(side) for side in sides.values())))
        key = tuple(id(side[p].answers) for side in sides.values() for p in prompts)
        if key not in known:
            known[key] = [
                (ARROW.join(pair), each) for pair in pairs for each in _pooled(whole, sides, pair, prompts, panel)
            ]
        of_reads = (
            (names, each)
            for names in map(ARROW.join, pairs)
            for metric in reading
            for each in pooled_reads(
                metric, {p: told[metric.name] for p, told in read.get((condition, names), {}).items()}
            )
        )
        for checkpoint, (metric, prompt_id, value, n, note) in chain(known[key], of_reads):
            yield _row(checkpoint, name, prompt_id, condition, metric, value=value, n=n, note=note)


def shared(sets: Sequence[AnswerSet], panel: Panel) -> list[AnswerSet]:
    """Return the sets under conditions that are measured in full, of prompts that all checkpoints have an answer to."""
    known = [s for s in sets if s.condition not in panel.lean and len(s.answers)]
    sides: dict[tuple[str, str, str], set[str]] = {}
    for each in known:
        sides.setdefault((each.domain.name, each.prompt_id, each.condition), set()).add(each.checkpoint)
    return [s for s in known if sides[s.domain.name, s.prompt_id, s.condition] == panel.checkpoints[s.domain.name]]


def _pooled(
    metrics: Sequence[Metric],
    sides: Mapping[str, Mapping[str, AnswerSet]],
    pair: tuple[str, str],
    prompts: Sequence[str],
    panel: Panel,
) -> Iterator[Score]:
    if panel.is_pooled:
        pre, post = ({p: sides[name][p].some() for p in prompts} for name in pair)
        yield from pooled_answers(metrics, pre, post)
        return
    for metric in metrics:
        yield metric, ALL_PROMPTS, None, len(prompts), f"left out above {POOLED:,} outputs"


@dataclass(slots=True)
class Readings:
    """Vectors of texts, and how the model read them; each prompt finds its own here."""

    texts: list[str] = field(default_factory=list)
    vectors: NDArray[np.float32] | None = None
    windows: NDArray[np.int64] | None = None
    unknown: NDArray[np.float64] | None = None
    rows: dict[str, int] = field(default_factory=dict)

    def hold(self, other: Readings) -> None:
        """Take over another's content; answers that were given this one's `encode` then find it."""
        self.texts, self.vectors, self.windows, self.unknown = other.texts, other.vectors, other.windows, other.unknown
        self.rows = {text: row for row, text in enumerate(self.texts)}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the vectors of texts; raises `Undefined` where there is no model."""
        if self.vectors is None:
            raise Undefined("no embedding model is installed")
        found = self.vectors[[self.rows[text] for text in texts]].astype(np.float64)
        # Kept in half the room; the steep end of the curve wants them of unit length to the last bit.
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found

    def tell(self, sets: Sequence[AnswerSet], calibration: Calibration | None) -> None:
        """Give the answers the curve, and how the model read them."""
        for each in sets:
            each.answers.calibration = calibration
            if self.windows is not None and self.unknown is not None and each.condition == ALL:
                rows = [self.rows[text] for text in each.answers.read]
                each.answers.windows, each.answers.unknown = self.windows[rows], self.unknown[rows]


@dataclass(slots=True)
class Semantics:
    """The embedding model of a run and its curve; without a model, semantic scores are null."""

    embedder: Embedder | None = None
    calibration: Calibration | None = None

    @classmethod
    def load(cls, embedder: Embedder | str | None) -> Semantics:
        """Load the model, or none where none is installed."""
        if embedder is None or isinstance(embedder, str):
            try:
                embedder = Embedder.load(embedder)
            except MissingExtra as error:
                logger.warning("semantic metrics are left out: %s", error)
                return cls()
        try:
            return cls(embedder, Calibration.for_model(embedder.fingerprint))
        except InputError as error:
            logger.warning("%s; the cosine is anchored at that of unrelated answers instead", error)
            return cls(embedder)

    def read(self, sets: Sequence[AnswerSet], report: Callable[[int, int], None] | None = None) -> Readings:
        """Embed every text of a block once, in batches of like length."""
        if self.embedder is None:
            return Readings()
        texts = sorted({text for each in sets for text in each.answers.read})
        readings, read = Readings(), Readings(texts, self.embedder.encode(texts, on_progress=report).astype(np.float32))
        how_read = getattr(self.embedder, "how_read", None)
        if how_read is not None:
            read.windows, read.unknown = how_read(texts)
        readings.hold(read)
        if self.calibration is None:
            self.calibration = Calibration.uncalibrated(_unrelated(sets, readings))
        return readings

    @property
    def signature(self) -> str:
        """Model and curve, for a figure's signature."""
        return f"{self.embedder.signature}|{self.calibration.signature}" if self.embedder and self.calibration else ""


def _unrelated(sets: Sequence[AnswerSet], readings: Readings) -> float:
    """Median cosine of answers to different prompts: one number for all checkpoints of the run."""
    first = {(s.domain.name, s.prompt_id): s.answers.read[0] for s in sets if len(s.answers)}
    vectors = readings.encode(list(first.values()))
    pairs = np.triu_indices(len(vectors), 1)
    return float(np.clip(np.median((vectors @ vectors.T)[pairs]), 0, 0.99)) if len(vectors) > 1 else 0.0


@dataclass(slots=True)
class AnswerSet:
    """The answers of one prompt from one checkpoint under one condition, not yet measured."""

    checkpoint: str
    domain: Domain
    prompt_id: str
    condition: str
    answers: Answers
    note: str
    is_drawn: bool = False  # the answers are those that are drawn, in that order, and no others
    _some: Answers | None = None

    def some(self) -> Answers:
        """The answers that those of another checkpoint are compared with: all, or 1,024 at random of very many."""
        if len(self.answers) <= LARGE // 2:
            return self.answers
        if self._some is None:
            places = draws_of(self.prompt_id, len(self.answers), most=LARGE // 2)
            self._some = self.answers.part(sorted(places))
        return self._some

    def forget(self) -> None:
        """Drop all views."""
        self.answers.forget()
        self.answers.among = None
        if self._some is not None:
            self._some.forget()

    @property
    def drawn_note(self) -> str:
        """Say which answers `some` gives, where those are not all."""
        n = len(self.answers)
        return "" if n <= LARGE // 2 else f"a random {LARGE // 2} of {n} answers a side"

    def draws(self) -> list[Pick]:
        """Return the answers that stand for the prompt in measures across prompts, in the order they are drawn."""
        return [(self.answers, i) for i in (range(len(self.answers)) if self.is_drawn else self.order())]

    def order(self) -> tuple[int, ...]:
        """Places of the answers in the order they are drawn, 8 at most."""
        return draws_of(self.prompt_id, len(self.answers))

    def rows(self, wanted: Iterable[Metric], measured: _Measured) -> Iterator[Row]:
        """Scores of the set; `measured` holds what is known of the prompt's sets already."""
        # The note says why a condition left nothing, so it belongs to what is known.
        known = measured.setdefault((id(self.answers), self.note), {})
        key = self.checkpoint, self.domain.name, self.prompt_id
        for metric in wanted:
            if metric.name not in known:
                known[metric.name] = self._measure(metric)
            yield (*key, metric.name, metric.facet, self.condition, *known[metric.name])

    def _in_parts(self, metric: Metric) -> tuple[float | None, float | None, int, str | None]:
        """Value of a measure whose cost grows with the square of the answers, where there are very many.

        A mean over pairs is taken over the pairs inside parts of 512 answers or more, drawn without replacement: its
        expectation is the same, and so is the cost of another answer. Any other measure is taken on 2,048 of them.
        """
        n = len(self.answers)
        order = draws_of(self.prompt_id, n, most=n)
        count = n // PART if metric.pairwise else 1
        parts = np.array_split(order, count) if metric.pairwise else [order[:LARGE]]
        means, errors, sizes = [], [], []
        for part in parts:
            result = metric.function(self.answers.part(sorted(part)))
            if not isinstance(result, np.ndarray):
                note = f"a random {LARGE} of {n} answers"
                return float(result), None, LARGE, "; ".join(filter(None, [self.note, note]))
            mean, error = pair_mean(result)
            means.append(mean)
            errors.append(error)
            sizes.append(len(result))
        weights = np.array(sizes) / sum(sizes)
        # The parts are disjoint, and so are the errors of their means independent.
        se = float(np.sqrt((weights**2 * np.array(errors) ** 2).sum()))
        note = f"pairs within {count} parts of {n} answers"
        return float(weights @ means), se, sum(sizes), "; ".join(filter(None, [self.note, note]))

    def _measure(self, metric: Metric) -> tuple[float | None, float | None, int, str | None]:
        n = len(self.answers)
        note = self.note or None
        if n < metric.min_n:
            return None, None, n, self.note or f"{n} answers, {metric.min_n} are needed"
        try:
            if n > LARGE and metric.is_quadratic:
                return self._in_parts(metric)
            if metric.needs in {"trees", "form"} and self.domain.language:
                note = "; ".join(filter(None, [note, self.answers.parse_note])) or None
                n = sum(tree is not None for tree in self.answers.trees)
            if metric.facet == "functional" and self.answers.behaviours is not None:
                ran = sum(behaviour is not None for behaviour in self.answers.behaviours)
                if ran < n:
                    note = "; ".join(filter(None, [note, f"{n - ran} of {n} have no behaviour"]))
                n = ran
            result = metric.function(self.answers)
        except Undefined as reason:
            return None, None, n, str(reason) or None
        value, se = pair_mean(result) if isinstance(result, np.ndarray) else (float(result), math.nan)
        if math.isnan(value):
            return None, None, n, "not a number"
        return value, None if math.isnan(se) else se, n, note


def answer_sets(frame: pl.DataFrame, panel: Panel, encode: Encode) -> list[AnswerSet]:
    """Extract the answers of every prompt, and pick those of each condition."""
    domains, conditions = panel.domains, panel.conditions
    sets: list[AnswerSet] = []
    lexicon = Lexicon()
    names = "domain", "prompt_id", "checkpoint"
    parts = [([part[name][0] for name in names], part) for part in frame.partition_by(names, maintain_order=True)]
    by_prompt = groupby(sorted(parts, key=lambda part: part[0]), key=lambda part: part[0][:2])
    for (domain_name, prompt_id), of_prompt in by_prompt:
        domain = domains[domain_name]
        sides = {key[2]: _Side.of(rows, domain, prompt_id, lexicon) for key, rows in of_prompt}
        window = min(_window(side) for side in sides.values()) if MATCHED in conditions else 0
        equal_valid = min(int(side.valid.sum()) for side in sides.values())
        for checkpoint, side in sides.items():
            side.measure_against(window)
            made: dict[tuple[bytes, int | None, bool], Answers] = {}
            whole: tuple[Answers, NDArray[np.int64]] | None = None
            for condition in conditions:
                kept, note, limit = side.under(condition, window)
                at = kept.tolist()
                texts = [side.answers[i] for i in at]
                stripped = False
                # Layout is what a program is made of: its answer is what stood in the fence already.
                if condition == STRIPPED and not domain.language:
                    bare = [without_format(text) for text in texts]
                    texts, stripped = bare, bare != texts
                # Where all answers are valid, different, unformatted or finished, the conditions are one set.
                key = kept.tobytes(), limit, stripped
                if key not in made and whole is not None and limit is None and not stripped:
                    # Some of the answers, whose words and trees are at hand.
                    larger, every = whole
                    places = np.searchsorted(every, kept)
                    made[key] = larger.part(places.tolist())
                    made[key].outputs, made[key].equal_valid = len(side.answers), equal_valid
                    if len(larger) <= LARGE:
                        made[key].among = larger, places
                elif key not in made:
                    made[key] = Answers(
                        texts,
                        language=domain.language,
                        encode=encode,
                        behaviours=None if side.behaviours is None else [side.behaviours[i] for i in at],
                        flags=side.flags,
                        limit=limit,
                        prompt=side.prompt,
                        judge=panel.judge,
                        qualities=None if side.qualities is None else [side.qualities[i] for i in at],
                        valid=side.valid[kept],
                        log_probabilities=side.log_probabilities,
                        output_tokens=side.output_tokens,
                        outputs=len(side.answers),
                        equal_valid=equal_valid,
                        lexicon=lexicon,
                        tokens=None if stripped else [side.tokens[i] for i in at],
                    )
                if condition == ALL:
                    whole = made[key], kept
                sets.append(AnswerSet(checkpoint, domain, prompt_id, condition, made[key], note))
    return sets


@dataclass(frozen=True, slots=True)
class _Side:
    """One checkpoint's outputs to one prompt."""

    answers: list[str]
    tokens: list[Codes]
    lengths: NDArray[np.int64]  # in words
    flags: dict[str, NDArray[np.bool_]]
    behaviours: list[str | None] | None
    qualities: list[float] | None
    prompt: str | None
    is_whole: NDArray[np.bool_]  # not known to be cut short
    log_probabilities: NDArray[np.float64] | None
    output_tokens: NDArray[np.float64] | None

    @classmethod
    def of(cls, rows: pl.DataFrame, domain: Domain, prompt_id: str, lexicon: Lexicon) -> _Side:
        prompt = domain.by_id.get(prompt_id)
        told = ("output", "valid", "finish_reason", "behaviour", "quality")
        given = {c: rows[c].to_list() for c in told if c in rows.columns}
        if "behaviour" in given:
            given["behaviour"] = rows["behaviour"].cast(pl.String).to_list()
        answers, valid, noticed, behaviours = [], [], [], []
        qualities: list[Any] = []
        for i, output in enumerate(given["output"]):
            # One answer after the other: what is asked of it is asked several times.
            answer = domain.answer(output)
            answers.append(answer)
            noticed.append(domain.flags(output, answer, prompt))
            quality = given["quality"][i] if "quality" in given else domain.quality(answer, prompt)
            qualities.append(quality)
            passed = given["valid"][i] if "valid" in given else None
            if passed is None:
                passed = domain.is_valid(answer, prompt)
                # A quality that the samples bring is held to the passing mark, as the domain's own is.
                passed = passed and (quality is None or "quality" not in given or quality >= domain.passing)
            valid.append(passed)
            behaviours.append(given["behaviour"][i] if "behaviour" in given else domain.behaviour(answer, prompt))
        flags = {name: np.array([f[name] for f in noticed], dtype=bool) for name in noticed[0]}
        flags["valid"] = np.array(valid, dtype=bool)
        reasons = given.get("finish_reason", [None] * len(answers))
        if None not in reasons:
            flags["truncated"] = np.array([reason == "length" for reason in reasons])
        tokens = [lexicon.read(normal(answer)) for answer in answers]
        asked = rows["prompt"][0] if "prompt" in rows.columns else None
        return cls(
            answers,
            tokens,
            np.array(list(map(len, tokens)), dtype=np.int64),
            flags,
            # Where no answer does anything that can be told, there is no notion of doing the same.
            None if all(b is None for b in behaviours) else behaviours,
            None if None in qualities else qualities,
            asked or (prompt.prompt if prompt else None),
            np.array([reason not in CUT_SHORT for reason in reasons], dtype=bool),
            *(_numbers(rows, column) for column in ("log_probability", "output_tokens")),
        )

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which outputs have an answer that passes the domain's check."""
        return self.flags["valid"] & ~self.flags["empty"]

    def measure_against(self, window: int) -> None:
        """Flag what the length-matched condition does to each output: cut to the window, or left out as shorter."""
        if window < SHORTEST_WINDOW:
            return
        self.flags["cut"] = self.lengths > window
        self.flags["left_out"] = (self.lengths < window) & ~self.flags["empty"]

    def under(self, condition: str, window: int) -> tuple[NDArray[np.int64], str, int | None]:
        """Which answers a condition keeps, a note, and the window in words."""
        if condition == VALID:
            return np.flatnonzero(self.valid), "", None
        kept = np.flatnonzero(~self.flags["empty"])
        if condition == UNTRUNCATED:
            return kept[self.is_whole[kept]], "", None
        if condition == DEDUPLICATED:
            # Texts that are equal but for white space have equal words.
            if len({self.tokens[i].tobytes() for i in kept.tolist()}) == len(kept):
                return kept, "", None
            folded = [" ".join(unicodedata.normalize("NFC", self.answers[i]).split()) for i in kept]
            first = dict(reversed(list(zip(folded, kept, strict=True))))
            return np.sort(np.fromiter(first.values(), dtype=np.int64, count=len(first))), "", None
        if condition != MATCHED:
            return kept, "", None
        if window < SHORTEST_WINDOW:
            return kept[:0], f"the common window of {window} words is below {SHORTEST_WINDOW}", None
        # An answer shorter than the window would bring its length back in.
        return kept[self.lengths[kept] >= window], f"first {window} words", window


def _numbers(rows: pl.DataFrame, column: str) -> NDArray[np.float64] | None:
    """A column of numbers; None where one is not told."""
    if column not in rows.columns or rows[column].null_count():
        return None
    found = rows[column].cast(pl.Float64).to_numpy()
    return found if np.isfinite(found).all() else None


def _window(side: _Side) -> int:
    lengths = side.lengths[~side.flags["empty"]]
    return int(np.quantile(lengths, WINDOW_QUANTILE)) if lengths.size else 0


def sampling_of(frame: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """The settings each checkpoint was sampled with, where all its rows agree."""
    settings: dict[str, dict[str, Any]] = {}
    for (name,), rows in sorted(frame.group_by(["checkpoint"]), key=lambda g: g[0]):
        known = {c: rows[c].unique() for c in ("temperature", "top_p", "max_tokens", "seed", "stage") if c in rows}
        settings[str(name)] = {c: values[0] for c, values in known.items() if len(values) == 1}
        if "prompt" in rows.columns and not rows["prompt"].null_count():
            asked = rows.select("domain", "prompt_id", "prompt").unique().sort(pl.all())
            settings[str(name)]["prompt_sets"] = {
                str(domain): prompt_hash([Prompt(i, text) for _, i, text in own.iter_rows()])[:6]
                for (domain,), own in sorted(asked.group_by(["domain"]), key=lambda g: g[0])
            }
    return settings

"""Samples -> Scores: extract the answers, look at them under each condition, measure every metric."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity import __version__
from diversity.calibration import Calibration
from diversity.domain import Domain, is_loop
from diversity.embedding import Embedder
from diversity.errors import InputError, MissingExtra
from diversity.registry import FACETS, Metric, find_domain, find_metric
from diversity.registry import metrics as all_metrics
from diversity.stats import pair_mean
from diversity.tables import SCORES, Samples, Scores
from diversity.views import WORD, Answers, Undefined

ALL, VALID, MATCHED = "all", "valid", "length-matched"
CONDITIONS = (ALL, VALID, MATCHED)
SHORTEST_WINDOW = 16  # words below which a matched window says little
WINDOW_QUANTILE = 0.2

logger = logging.getLogger("diversity")
Progress = Callable[[str, int, int], None]


def score(
    samples: Samples | pl.DataFrame,
    *,
    metrics: str | Sequence[str] = "default",
    conditions: Sequence[str] = CONDITIONS,
    embedder: Embedder | str | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Measure every prompt's answers, each checkpoint apart.

    Parameters
    ----------
    samples : Samples or polars.DataFrame
        Outputs of one or more checkpoints. Score the two sides of a comparison together: the window of the
        length-matched condition is set by the shorter side of each prompt.
    metrics : "default" or a list of names, aliases and facets
        "default" is every registered metric that fits the domain.
    conditions : subset of "all", "valid", "length-matched"
        Which answers are measured: all; those that pass the domain's check; all, cut to a common length.
    embedder : Embedder or str, optional
        An embedding model, or the name or folder of one. Default: all-MiniLM-L6-v2. Where none is installed the
        semantic scores are null and say so.
    progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Scores

    Raises
    ------
    InputError, UnknownName
        Bad rows, or a metric or domain nobody registered.
    """
    if not isinstance(samples, Samples):
        samples = Samples.of(samples)
    wanted = _wanted(metrics)
    unknown = [c for c in conditions if c not in CONDITIONS]
    if unknown:
        raise InputError(f"unknown condition '{unknown[0]}': Known: {', '.join(CONDITIONS)}")
    frame = samples.frame
    domains = {name: find_domain(name) for name in frame["domain"].unique().sort()}
    semantics = _Semantics.load(embedder) if any(m.needs == "vectors" for m in wanted) else _Semantics()
    sets = _answer_sets(frame, domains, conditions, semantics)
    semantics.read(sets, progress)

    rows: list[dict[str, Any]] = []
    for done, each in enumerate(sets, 1):
        rows.extend(each.rows(wanted))
        if progress:
            progress("score", done, len(sets))
    provenance = {
        "package": __version__,
        "samples": dict(samples.provenance),
        "sampling": _sampling(frame),
        "domains": {name: domain.version for name, domain in domains.items()},
        "embedding": semantics.signature,
        "languages": {name: domain.language for name, domain in domains.items()},
    }
    return Scores.of(pl.DataFrame(rows, schema=pl.Schema(SCORES)), provenance)


def _wanted(names: str | Sequence[str]) -> list[Metric]:
    known = all_metrics()
    if names == "default":
        return [m for m in known.values() if m.default]
    chosen: dict[str, Metric] = {}
    for name in [names] if isinstance(names, str) else names:
        of_facet = [m for m in known.values() if m.facet == name] if name in FACETS else [find_metric(name)]
        chosen |= {m.name: m for m in of_facet}
    return list(chosen.values())


@dataclass(slots=True)
class _Semantics:
    """The embedding model of a run, its curve, and the vectors of all its texts."""

    embedder: Embedder | None = None
    calibration: Calibration | None = None
    vectors: NDArray[np.float64] | None = None
    rows: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, embedder: Embedder | str | None) -> _Semantics:
        if embedder is None or isinstance(embedder, str):
            try:
                embedder = Embedder.load(embedder)
            except MissingExtra as error:
                logger.warning("semantic metrics are left out: %s", error)
                return cls()
        return cls(embedder)

    def read(self, sets: Sequence[_AnswerSet], progress: Progress | None) -> None:
        """Embed every text once, in batches of like length; each prompt then finds its vectors ready."""
        if self.embedder is None:
            return
        texts = sorted({text for each in sets for text in each.answers.read})
        report = (lambda done, total: progress("embed", done, total)) if progress else None
        self.vectors = self.embedder.encode(texts, on_progress=report)
        self.rows = {text: row for row, text in enumerate(texts)}
        try:
            self.calibration = Calibration.for_model(self.embedder.fingerprint)
        except InputError as error:
            logger.warning("%s; the cosine is anchored at that of unrelated answers instead", error)
            self.calibration = Calibration.uncalibrated(self._unrelated(sets))
        for each in sets:
            each.answers.calibration = self.calibration

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        if self.vectors is None:
            raise Undefined("no embedding model is installed")
        return self.vectors[[self.rows[text] for text in texts]]

    def _unrelated(self, sets: Sequence[_AnswerSet]) -> float:
        """Median cosine of answers to different prompts: one number for all checkpoints of the run."""
        first = {(s.domain.name, s.prompt_id): s.answers.read[0] for s in sets if len(s.answers)}
        vectors = self.encode(list(first.values()))
        pairs = np.triu_indices(len(vectors), 1)
        return float(np.clip(np.median((vectors @ vectors.T)[pairs]), 0, 0.99)) if len(vectors) > 1 else 0.0

    @property
    def signature(self) -> str:
        return f"{self.embedder.signature}|{self.calibration.signature}" if self.embedder and self.calibration else ""


@dataclass(slots=True)
class _AnswerSet:
    """The answers of one prompt from one checkpoint under one condition, not yet measured."""

    checkpoint: str
    domain: Domain
    prompt_id: str
    condition: str
    answers: Answers
    note: str

    def rows(self, wanted: Iterable[Metric]) -> Iterable[dict[str, Any]]:
        for metric in wanted:
            if metric.facet == "guard" and self.condition != ALL:
                continue
            if metric.needs == "trees" and self.domain.language is None:
                continue
            value, se, n, note = self._measure(metric)
            yield {
                "checkpoint": self.checkpoint,
                "domain": self.domain.name,
                "prompt_id": self.prompt_id,
                "metric": metric.name,
                "facet": metric.facet,
                "condition": self.condition,
                "value": value,
                "se": se,
                "n": n,
                "note": note,
            }

    def _measure(self, metric: Metric) -> tuple[float | None, float | None, int, str | None]:
        n = len(self.answers)
        note = self.note or None
        if n < metric.min_n:
            return None, None, n, self.note or f"{n} answers, {metric.min_n} are needed"
        try:
            if metric.needs in {"trees", "form"} and self.domain.language:
                parsed = sum(tree is not None for tree in self.answers.trees)
                if parsed < n:
                    note = "; ".join(filter(None, [note, f"{n - parsed} of {n} do not parse"]))
                n = parsed
            result = metric.function(self.answers)
        except Undefined as reason:
            return None, None, n, str(reason)
        value, se = pair_mean(result) if isinstance(result, np.ndarray) else (float(result), math.nan)
        if math.isnan(value):
            return None, None, n, "not a number"
        return value, None if math.isnan(se) else se, n, note


def _answer_sets(
    frame: pl.DataFrame, domains: dict[str, Domain], conditions: Sequence[str], semantics: _Semantics
) -> list[_AnswerSet]:
    sets: list[_AnswerSet] = []
    for (domain_name, prompt_id), rows in sorted(frame.group_by(["domain", "prompt_id"]), key=lambda g: g[0]):
        domain = domains[str(domain_name)]
        sides = {
            str(name): _Side.of(side, domain, str(prompt_id))
            for (name,), side in sorted(rows.group_by(["checkpoint"]), key=lambda g: g[0])
        }
        window = min(_window(side.answers) for side in sides.values()) if MATCHED in conditions else 0
        for checkpoint, side in sides.items():
            for condition in conditions:
                kept, note, limit = side.under(condition, window)
                answers = Answers(
                    [side.answers[i] for i in kept],
                    language=domain.language,
                    encode=semantics.encode,
                    behaviours=None if side.behaviours is None else [side.behaviours[i] for i in kept],
                    flags=side.flags,
                    limit=limit,
                )
                sets.append(_AnswerSet(checkpoint, domain, str(prompt_id), condition, answers, note))
    return sets


@dataclass(frozen=True, slots=True)
class _Side:
    """One checkpoint's outputs to one prompt."""

    answers: list[str]
    flags: dict[str, NDArray[np.bool_]]
    behaviours: list[str] | None

    @classmethod
    def of(cls, rows: pl.DataFrame, domain: Domain, prompt_id: str) -> _Side:
        prompt = domain.by_id.get(prompt_id)
        answers = [domain.extract(output) for output in rows["output"]]
        given = rows["valid"] if "valid" in rows.columns else pl.Series([None] * len(rows), dtype=pl.Boolean)
        valid = [domain.is_valid(a, prompt) if v is None else v for a, v in zip(answers, given, strict=True)]
        flags = {
            "valid": np.array(valid, dtype=bool),
            "empty": np.array([not a for a in answers]),
            "refused": np.array([domain.is_refusal(a) for a in answers]),
            "loops": np.array([is_loop(a) for a in answers]),
        }
        if "finish_reason" in rows.columns and rows["finish_reason"].null_count() == 0:
            flags["truncated"] = (rows["finish_reason"] == "length").to_numpy()
        behaviours = rows["behaviour"].cast(pl.String).fill_null("").to_list() if "behaviour" in rows.columns else None
        return cls(answers, flags, behaviours)

    def under(self, condition: str, window: int) -> tuple[NDArray[np.int64], str, int | None]:
        """Which answers a condition keeps, a note, and the window in words."""
        if condition == VALID:
            return np.flatnonzero(self.flags["valid"] & ~self.flags["empty"]), "", None
        kept = np.flatnonzero(~self.flags["empty"])
        if condition != MATCHED:
            return kept, "", None
        if window < SHORTEST_WINDOW:
            return kept[:0], f"the common window of {window} words is below {SHORTEST_WINDOW}", None
        # An answer shorter than the window would bring its length back in.
        long_enough = [i for i in kept if sum(1 for _ in WORD.finditer(self.answers[i])) >= window]
        return np.array(long_enough, dtype=np.int64), f"first {window} words", window


def _window(answers: Sequence[str]) -> int:
    lengths = [len(WORD.findall(a)) for a in answers if a]
    return int(np.quantile(lengths, WINDOW_QUANTILE)) if lengths else 0


def _sampling(frame: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """The settings each checkpoint was sampled with, where all its rows agree."""
    settings: dict[str, dict[str, Any]] = {}
    for (name,), rows in sorted(frame.group_by(["checkpoint"]), key=lambda g: g[0]):
        known = {c: rows[c].unique() for c in ("temperature", "top_p", "max_tokens", "seed", "stage") if c in rows}
        settings[str(name)] = {c: values[0] for c, values in known.items() if len(values) == 1}
    return settings

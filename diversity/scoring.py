"""Samples -> Scores: extract the answers, look at them under each condition, measure every metric."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity import __version__
from diversity.calibration import Calibration
from diversity.corpus import Score, across_prompts, between_checkpoints, pooled
from diversity.domain import Domain, Prompt
from diversity.embedding import Embedder
from diversity.errors import InputError, MissingExtra
from diversity.registry import FACETS, UNITS, Metric, domain_of, find_metric
from diversity.registry import metrics as all_metrics
from diversity.sampling import prompt_hash
from diversity.stats import pair_mean
from diversity.tables import SCORES, Samples, Scores
from diversity.views import WORD, Answers, Judge, Undefined

ALL, VALID, MATCHED = "all", "valid", "length-matched"
CONDITIONS = (ALL, VALID, MATCHED)
SHORTEST_WINDOW = 16  # words below which a matched window says little
WINDOW_QUANTILE = 0.2
ARROW = " → "  # joins the names of two checkpoints in the column checkpoint of a score between them

logger = logging.getLogger("diversity")
Progress = Callable[[str, int, int], None]
# Results by the identity of the answers and the name of the metric.
_Measured = dict[tuple[int | str, ...], Any]


def score(
    samples: Samples | pl.DataFrame,
    *,
    metrics: str | Sequence[str] = "default",
    conditions: Sequence[str] = CONDITIONS,
    pairs: Sequence[tuple[str, str]] = (),
    embedder: Embedder | str | None = None,
    judge: Judge | None = None,
    execute: bool | str = False,
    progress: Progress | None = None,
) -> Scores:
    """Measure every prompt's answers, each checkpoint apart, and what lies across prompts and between checkpoints.

    Parameters
    ----------
    samples : Samples or polars.DataFrame
        Outputs of one or more checkpoints. Score the two sides of a comparison together: the window of the
        length-matched condition is set by the shorter side of each prompt.
    metrics : "default" or a list of names, aliases, facets and units
        "default" is the default panel. A facet stands for its part of it, a unit ("across prompts") for all metrics
        of that unit.
    conditions : subset of "all", "valid", "length-matched"
        Which answers are measured: all; those that pass the domain's check; all, cut to a common length.
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
    progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Scores
        A score over all prompts of a domain has the prompt_id "*"; "*/without 03" leaves the third group of prompts
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
    if execute:
        from diversity.execution import execute as run

        samples = run(samples, mode="bubblewrap" if execute is True else execute, progress=progress)
    wanted = _wanted(metrics)
    unknown = [c for c in conditions if c not in CONDITIONS]
    if unknown:
        raise InputError(f"unknown condition '{unknown[0]}': Known: {', '.join(CONDITIONS)}")
    frame = samples.frame
    domains = {name: domain_of(name) for name in frame["domain"].unique().sort()}
    semantics = _Semantics.load(embedder) if any(m.needs == "vectors" for m in wanted) else _Semantics()
    sets = _answer_sets(frame, domains, conditions, semantics, judge and _once(judge))
    semantics.read(sets, progress)

    _check_pairs(pairs, frame, wanted, metrics)
    of_unit = {unit: [m for m in wanted if m.unit == unit] for unit in UNITS}
    within = of_unit["within output"] + of_unit["within prompt"]
    between = of_unit["between checkpoints"]
    rows: list[dict[str, Any]] = []
    done = 0
    for _, group in groupby(sets, key=lambda s: (s.domain.name, s.prompt_id)):
        of_prompt = list(group)
        measured: _Measured = {}
        for each in of_prompt:
            rows.extend(each.rows(within, measured))
        rows.extend(_between(of_prompt, [m for m in between if not m.pooled], pairs, measured))
        # Views are many times the size of the texts: those of one prompt at a time are kept.
        for each in of_prompt:
            each.answers.forget()
        done += len(of_prompt)
        if progress:
            progress("score", done, len(sets))
    rows.extend(_over_prompts(sets, of_unit["across prompts"], [m for m in between if m.pooled], pairs, progress))
    provenance = {
        "package": __version__,
        "samples": dict(samples.provenance),
        "sampling": _sampling(frame),
        "domains": {name: domain.version for name, domain in domains.items()},
        "embedding": semantics.signature,
        "judge": getattr(judge, "signature", getattr(judge, "__qualname__", "")) if judge else "",
        "execution": _execution(samples.provenance),
        "languages": {name: domain.language for name, domain in domains.items()},
    }
    return Scores.of(pl.DataFrame(rows, schema=pl.Schema(SCORES)), provenance)


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


def _wanted(names: str | Sequence[str]) -> list[Metric]:
    known = all_metrics()
    if names == "default":
        return [m for m in known.values() if m.default]
    chosen: dict[str, Metric] = {}
    for name in [names] if isinstance(names, str) else names:
        if name in FACETS:
            found = [m for m in known.values() if m.facet == name and m.default]
        elif name in UNITS:
            found = [m for m in known.values() if m.unit == name]
        else:
            found = [find_metric(name)]
        chosen |= {m.name: m for m in found}
    return list(chosen.values())


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
) -> dict[str, Any]:
    return {
        "checkpoint": checkpoint,
        "domain": domain,
        "prompt_id": prompt_id,
        "metric": metric.name,
        "facet": metric.facet,
        "condition": condition,
        "value": value,
        "se": se,
        "n": n,
        "note": note or None,
    }


def _between(
    sets: Sequence[_AnswerSet], metrics: Sequence[Metric], pairs: Sequence[tuple[str, str]], measured: _Measured
) -> Iterator[dict[str, Any]]:
    """Scores between the checkpoints of each pair, on one prompt."""
    found = {(s.checkpoint, s.condition): s for s in sets}
    for condition in dict.fromkeys(s.condition for s in sets):
        for names in pairs:
            pre, post = (found.get((name, condition)) for name in names)
            if pre is None or post is None:
                continue
            for metric in fitting(metrics, pre.domain, condition):
                key = id(pre.answers), id(post.answers), metric.name
                if key not in measured:
                    measured[key] = between_checkpoints(metric, pre.answers, post.answers)
                value, note = measured[key]
                yield _row(
                    ARROW.join(names),
                    pre.domain.name,
                    pre.prompt_id,
                    condition,
                    metric,
                    value=value,
                    n=len(pre.answers) + len(post.answers),
                    note=note or pre.note,
                )


def _over_prompts(
    sets: Sequence[_AnswerSet],
    across: Sequence[Metric],
    between: Sequence[Metric],
    pairs: Sequence[tuple[str, str]],
    progress: Progress | None,
) -> Iterator[dict[str, Any]]:
    """Scores over all prompts of a domain that have an answer from every checkpoint."""
    if not across and not (between and pairs):
        return
    by_domain: dict[str, list[_AnswerSet]] = {}
    for each in sets:
        by_domain.setdefault(each.domain.name, []).append(each)
    for done, (name, of_domain) in enumerate(by_domain.items(), 1):
        domain = of_domain[0].domain
        checkpoints = list(dict.fromkeys(s.checkpoint for s in of_domain))
        measured: dict[tuple[int, ...], list[tuple[str, Score]]] = {}
        for condition in dict.fromkeys(s.condition for s in of_domain):
            sides: dict[str, dict[str, Answers]] = {c: {} for c in checkpoints}
            for each in of_domain:
                if each.condition == condition and len(each.answers):
                    sides[each.checkpoint][each.prompt_id] = each.answers
            shared = set.intersection(*(set(side) for side in sides.values()))
            sides = {c: {p: a for p, a in side.items() if p in shared} for c, side in sides.items()}
            key = tuple(id(answers) for side in sides.values() for answers in side.values())
            if key not in measured:
                # Where all answers are valid ones, this has been done.
                measured[key] = [
                    *((c, each) for c, side in sides.items() for each in across_prompts(fitting(across, domain), side)),
                    *(
                        (ARROW.join(pair), each)
                        for pair in pairs
                        if set(pair) <= set(sides)
                        for each in pooled(fitting(between, domain), sides[pair[0]], sides[pair[1]])
                    ),
                ]
            for checkpoint, (metric, prompt_id, value, n, note) in measured[key]:
                yield _row(checkpoint, name, prompt_id, condition, metric, value=value, n=n, note=note)
        for each in of_domain:
            each.answers.forget()
        if progress:
            progress("over prompts", done, len(by_domain))


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
        how_read = getattr(self.embedder, "how_read", None)
        for each in sets:
            each.answers.calibration = self.calibration
            if how_read is not None and each.condition == ALL:
                each.answers.windows, each.answers.unknown = how_read(each.answers.read)

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

    def rows(self, wanted: Iterable[Metric], measured: _Measured) -> Iterator[dict[str, Any]]:
        """Scores of the set; `measured` holds what is known of the prompt's sets already."""
        for metric in fitting(wanted, self.domain, self.condition):
            # The note says why a condition left nothing, so it belongs to what is known.
            key = id(self.answers), metric.name, self.note
            if key not in measured:
                measured[key] = self._measure(metric)
            value, se, n, note = measured[key]
            yield _row(
                self.checkpoint,
                self.domain.name,
                self.prompt_id,
                self.condition,
                metric,
                value=value,
                se=se,
                n=n,
                note=note,
            )

    def _measure(self, metric: Metric) -> tuple[float | None, float | None, int, str | None]:
        n = len(self.answers)
        note = self.note or None
        if n < metric.min_n:
            return None, None, n, self.note or f"{n} answers, {metric.min_n} are needed"
        try:
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
            return None, None, n, str(reason)
        value, se = pair_mean(result) if isinstance(result, np.ndarray) else (float(result), math.nan)
        if math.isnan(value):
            return None, None, n, "not a number"
        return value, None if math.isnan(se) else se, n, note


def _answer_sets(
    frame: pl.DataFrame,
    domains: dict[str, Domain],
    conditions: Sequence[str],
    semantics: _Semantics,
    judge: Judge | None,
) -> list[_AnswerSet]:
    sets: list[_AnswerSet] = []
    for (domain_name, prompt_id), rows in sorted(frame.group_by(["domain", "prompt_id"]), key=lambda g: g[0]):
        domain = domains[str(domain_name)]
        sides = {
            str(name): _Side.of(side, domain, str(prompt_id))
            for (name,), side in sorted(rows.group_by(["checkpoint"]), key=lambda g: g[0])
        }
        window = min(_window(side) for side in sides.values()) if MATCHED in conditions else 0
        equal_valid = min(int(side.valid.sum()) for side in sides.values())
        for checkpoint, side in sides.items():
            side.measure_against(window)
            made: dict[tuple[bytes, int | None], Answers] = {}
            for condition in conditions:
                kept, note, limit = side.under(condition, window)
                # Where all answers are valid the two conditions are one set, measured once.
                key = kept.tobytes(), limit
                if key not in made:
                    made[key] = Answers(
                        [side.answers[i] for i in kept],
                        language=domain.language,
                        encode=semantics.encode,
                        behaviours=None if side.behaviours is None else [side.behaviours[i] for i in kept],
                        flags=side.flags,
                        limit=limit,
                        prompt=side.prompt,
                        judge=judge,
                        qualities=None if side.qualities is None else [side.qualities[i] for i in kept],
                        valid=side.valid[kept],
                        outputs=len(side.answers),
                        equal_valid=equal_valid,
                    )
                sets.append(_AnswerSet(checkpoint, domain, str(prompt_id), condition, made[key], note))
    return sets


@dataclass(frozen=True, slots=True)
class _Side:
    """One checkpoint's outputs to one prompt."""

    answers: list[str]
    lengths: NDArray[np.int64]  # in words
    flags: dict[str, NDArray[np.bool_]]
    behaviours: list[str | None] | None
    qualities: list[float] | None
    prompt: str | None

    @classmethod
    def of(cls, rows: pl.DataFrame, domain: Domain, prompt_id: str) -> _Side:
        prompt = domain.by_id.get(prompt_id)
        answers = [domain.answer(output) for output in rows["output"]]
        given = rows["valid"] if "valid" in rows.columns else pl.Series([None] * len(rows), dtype=pl.Boolean)
        valid = [domain.is_valid(a, prompt) if v is None else v for a, v in zip(answers, given, strict=True)]
        noticed = [domain.flags(o, a, prompt) for o, a in zip(rows["output"], answers, strict=True)]
        flags = {name: np.array([f[name] for f in noticed], dtype=bool) for name in noticed[0]}
        flags["valid"] = np.array(valid, dtype=bool)
        if "finish_reason" in rows.columns and rows["finish_reason"].null_count() == 0:
            flags["truncated"] = (rows["finish_reason"] == "length").to_numpy()
        behaviours: list[str | None]
        if "behaviour" in rows.columns:
            behaviours = rows["behaviour"].cast(pl.String).to_list()
        else:
            behaviours = [domain.behaviour(a, prompt) for a in answers]
        if "quality" in rows.columns:
            qualities = rows["quality"].to_list()
        else:
            qualities = [domain.quality(a, prompt) for a in answers]
        asked = rows["prompt"][0] if "prompt" in rows.columns else None
        return cls(
            answers,
            np.array([len(WORD.findall(a)) for a in answers], dtype=np.int64),
            flags,
            # Where no answer does anything that can be told, there is no notion of doing the same.
            None if all(b is None for b in behaviours) else behaviours,
            None if None in qualities else qualities,
            asked or (prompt.prompt if prompt else None),
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
        if condition != MATCHED:
            return kept, "", None
        if window < SHORTEST_WINDOW:
            return kept[:0], f"the common window of {window} words is below {SHORTEST_WINDOW}", None
        # An answer shorter than the window would bring its length back in.
        return kept[self.lengths[kept] >= window], f"first {window} words", window


def _window(side: _Side) -> int:
    lengths = side.lengths[~side.flags["empty"]]
    return int(np.quantile(lengths, WINDOW_QUANTILE)) if lengths.size else 0


def _sampling(frame: pl.DataFrame) -> dict[str, dict[str, Any]]:
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

"""The validity suite: whether the verdicts keep the error rates and the metrics the directions that they promise.

    diversity validate --fast
    diversity validate --full --data FOLDER --out validity.json

What was found in a full run: docs/validity.md, written from the JSON of that run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from diversity import __version__
from diversity.cache import Cache, code_version, key_of
from diversity.embedding import Embedder
from diversity.errors import MissingExtra, UnknownName
from diversity.files import written
from diversity.registry import Metric, find_metric
from diversity.validity import directions, rates, recorded
from diversity.validity.rates import Check
from diversity.validity.worlds import HOPELESS, KINDS, MADE_UP, World, recorded_world

__all__ = ["PARTS", "Check", "Validity", "validate"]

PARTS = ("false-alarms", "coverage", "equivalence", "power", "real-law", "direction", "people", "replication")
Progress = Callable[[str, int, int, str], None]
# Too slow for a sweep of this size, and references only: each has a fast sibling in the table.
SLOW = ("tree_edit_similarity", "ncd", "self_chrf", "edit_distance_characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """What the suite found.

    Attributes
    ----------
    checks : sequence of Check
    settings : mapping
        Size, seed, data, version: what the figures depend on.
    """

    checks: Sequence[Check]
    settings: Mapping[str, Any]

    @property
    def failures(self) -> list[Check]:
        """Checks that missed what was promised."""
        return [check for check in self.checks if check.passed is False]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"settings": dict(self.settings), "checks": [check.to_dict() for check in self.checks]}

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the findings as JSON, and write it where a path is given. Equal inputs give equal bytes."""
        text = json.dumps(self.to_dict(), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
        return written(text, path)

    def table(self) -> pl.DataFrame:
        """One row a check: group, name, what was varied, nominal, found, interval, runs, passed, note."""
        rows = [
            {
                "group": c.group,
                "check": c.name,
                "cell": ", ".join(f"{k} {_shown(v)}" for k, v in c.cell.items() if k not in {"means", "levels"}),
                "nominal": _promise(c),
                "found": _shown(c.found),
                "low": c.low,
                "high": c.high,
                "runs": c.runs,
                "passed": c.passed,
                "note": c.note,
            }
            for c in self.checks
        ]
        return pl.DataFrame(rows, infer_schema_length=None)


def _promise(check: Check) -> str:
    if check.nominal is None:
        return ""
    if isinstance(check.nominal, str):
        return check.nominal
    sign = {"most": "at most ", "least": "at least ", "equal": ""}[check.at]
    return f"{sign}{check.nominal:g}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return " -> ".join(_shown(v) for v in value)
    return "" if value is None else str(value)


def validate(
    *,
    full: bool = False,
    data: str | Path | None = None,
    only: Sequence[str] = (),
    seed: int = 0,
    embedder: Embedder | str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Validity:
    """Run the validity suite.

    Parameters
    ----------
    full : bool
        A thousand runs a cell; some five minutes of one processor, and some ten more the first time that recorded
        outputs are embedded. Else a slice of a minute or two, whose intervals are wide: it finds what is broken, not
        what is a little off.
    data : str or Path, optional
        A folder of recorded outputs (.parquet with columns of samples). Without it the outputs stored with the package
        stand for all real ones, and the checks against people and published figures are left out.
    only : subset of `PARTS`
        Run these parts alone.
    seed : int
        Equal seeds give equal figures, whatever parts are run and in how many processes. (A text's embedding moves by
        1e-7 with the company it is read in.)
    embedder : Embedder or str, optional
        As in `score`. Where none is installed the semantic facet is left out.
    workers : int
        Processes that run pieces of the suite beside each other. With an `Embedder` that is no name, one.
    progress : callable, optional
        Called with (what, done, total, piece), in seconds that the pieces take of a quiet processor, about.

    Notes
    -----
    The suite falls into pieces, each with random numbers of its own. What a piece found is kept in the cache
    (`diversity.cache`) by all that it follows from: the code of this package, numpy and scipy, the recorded outputs,
    the embedding model, size and seed. A run that was stopped goes on with the pieces that are missing.

    Raises
    ------
    InputError, UnknownName
        The folder holds no table of outputs; a part nobody knows.
    """
    for name in only:
        if name not in PARTS:
            raise UnknownName("part of the suite", name, PARTS)
    plan = _Plan(full, None if data is None else str(data), seed, embedder if isinstance(embedder, str) else None)
    suite = _Suite(plan, None if isinstance(embedder, str) else embedder)
    pieces = [piece for piece in suite.pieces() if not only or piece.part in only]
    found: dict[str, list[Check]] = {}
    with Cache("validity", f"{code_version()} numpy {version('numpy')} scipy {version('scipy')}") as kept:
        keys = {piece.name: key_of(suite.identity(piece), piece.name) for piece in pieces}
        known = kept.get(keys.values())
        found = {name: _unpacked(known[key]) for name, key in keys.items() if key in known}
        todo = [piece for piece in pieces if piece.name not in found]
        done, total = sum(p.seconds for p in pieces if p.name in found), sum(p.seconds for p in pieces)
        if progress:
            progress("validity suite", done, total, "")
        for piece, checks in _measured(todo, suite, workers if suite.given is None else 1):
            content = json.dumps([check.to_dict() for check in checks]).encode()
            kept.put({keys[piece.name]: content})
            found[piece.name] = _unpacked(content)
            done += piece.seconds
            if progress:
                progress("validity suite", done, total, piece.name)
    checks = [check for piece in pieces for check in found[piece.name]]
    if "direction" in {piece.part for piece in pieces}:
        checks += directions.seen_somewhere(checks)
    settings = {
        "size": "full" if full else "fast",
        "seed": seed,
        "data": sorted(suite.data),
        "package": __version__,
        "embedding": suite.embedder.signature if any(p.embeds for p in pieces) and suite.embedder else "",
        "parts": list(only) or list(PARTS),
    }
    return Validity(checks=checks, settings=settings)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a suite is of; can be sent to another process."""

    full: bool
    data: str | None
    seed: int
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A piece of the suite that is run, and kept, by itself.

    Attributes
    ----------
    part, name : str
        The part it belongs to; a name unlike all others.
    seconds : int
        Of one quiet processor, about, embeddings known.
    run : callable
    embeds : bool
        Whether it depends on the embedding model.
    """

    part: str
    name: str
    seconds: int
    run: Callable[[], Iterable[Check]]
    embeds: bool = False


def _measured(todo: Sequence[_Piece], suite: _Suite, workers: int) -> Iterator[tuple[_Piece, list[Check]]]:
    """What each piece finds, as it is found."""
    if workers < 2 or len(todo) < 2:
        for piece in todo:
            yield piece, list(piece.run())
        return
    from concurrent.futures import as_completed

    from loky import ProcessPoolExecutor

    pool = ProcessPoolExecutor(workers, env={"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"})
    try:
        # The longest first, so that the last ones end together.
        order = sorted(todo, key=lambda piece: -piece.seconds)
        sent = {pool.submit(_run, suite.plan, piece.name): piece for piece in order}
        for future in as_completed(sent):
            yield sent[future], future.result()
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _run(plan: _Plan, name: str) -> list[Check]:
    """Run a piece in a process of its own."""
    return list(next(piece for piece in _suite_of(plan).pieces() if piece.name == name).run())


@cache
def _suite_of(plan: _Plan) -> _Suite:
    return _Suite(plan, None)


def _unpacked(content: bytes) -> list[Check]:
    return [Check(**record) for record in json.loads(content)]


class _Suite:
    """The pieces of a suite, and what they share."""

    def __init__(self, plan: _Plan, given: Embedder | None) -> None:
        self.plan = plan
        self.given = given
        self._pools: dict[str, rates.Pool] = {}

    @cached_property
    def data(self) -> Mapping[str, pl.DataFrame]:
        """The recorded outputs, by file."""
        return recorded.read_folder(self.plan.data) if self.plan.data else {}

    @cached_property
    def embedder(self) -> Embedder | None:
        """The embedding model, None where there is none."""
        if self.given is not None:
            return self.given
        try:
            return Embedder.load(self.plan.model)
        except MissingExtra:
            return None

    @cached_property
    def _content(self) -> str:
        """Hash of all recorded outputs."""
        whole = blake2b(recorded.STORED.read_bytes(), digest_size=16)
        for name in sorted(self.data):
            folder = Path(self.plan.data or "")
            file = folder / f"{name}.parquet" if folder.is_dir() else folder
            whole.update(name.encode() + file.read_bytes())
        return whole.hexdigest()

    def identity(self, piece: _Piece) -> str:
        """All that a piece follows from beside the code, in one line."""
        model = self.embedder.signature if piece.embeds and self.embedder is not None else ""
        return f"{self.plan.full} {self.plan.seed} {self._content} {model}"

    @cached_property
    def _rows(self) -> Mapping[str, pl.DataFrame]:
        """Outputs that can be split, by the name of their pool; the stored ones come last."""
        tables = {name: table for name, table in self.data.items() if _has_samples(table)}
        return recorded.pool_rows(tables | {"stored": recorded.stored().filter(pl.col("temperature") == 1.0)})

    def pool(self, name: str) -> rates.Pool:
        """Kernels of recorded outputs, made once for every check that splits them."""
        if name not in self._pools:
            self._pools[name] = recorded.pool_of(name, self._rows[name], self.embedder)
        return self._pools[name]

    def pieces(self) -> list[_Piece]:
        """All pieces, in the order of the parts."""
        return [piece for part in PARTS for piece in getattr(self, f"_{part.replace('-', '_')}")()]

    def _false_alarms(self) -> Iterator[_Piece]:
        """A/A on real and on made-up outputs."""
        seed, full = self.plan.seed, self.plan.full
        size: dict[str, Any] = {"splits": 1000} if full else {"splits": 400, "prompts": (8, 12, 50), "outputs": (4, 8)}

        def halves(name: str) -> Iterator[Check]:
            pool = self.pool(name)
            return rates.recorded_false_alarms([pool] if pool.kernels else [], seed=seed, **size)

        for name, rows in self._rows.items():
            yield _Piece(
                part="false-alarms", name=f"false alarms, {name}", seconds=5 + len(rows) // 50,
                run=partial(halves, name), embeds=True,
            )  # fmt: skip
        made: dict[str, Any] = {"runs": 1000} if full else {"runs": 400, "prompts": (8, 12, 25), "outputs": (8,)}
        for world in MADE_UP:
            run = partial(rates.made_up_false_alarms, worlds=[world], seed=seed, **made)
            yield _Piece(part="false-alarms", name=f"false alarms, {world.__name__}", seconds=10, run=run)
        run = partial(rates.unbiased, runs=20_000 if full else 4000, seed=seed)
        yield _Piece(part="false-alarms", name="bias", seconds=4, run=run)

    def _coverage(self) -> Iterator[_Piece]:
        """Intervals of known shifts."""
        kinds = (*KINDS, *HOPELESS) if self.plan.full else KINDS[2:3]
        size: dict[str, Any] = {"runs": 1000} if self.plan.full else {"runs": 300, "prompts": (12, 20, 50)}
        for world in MADE_UP if self.plan.full else MADE_UP[:2]:
            for kind in kinds:
                run = partial(rates.coverage, worlds=[world], kinds=[kind], seed=self.plan.seed, **size)
                yield _Piece(part="coverage", name=f"coverage, {world.__name__}, {kind}", seconds=6, run=run)

    def _equivalence(self) -> Iterator[_Piece]:
        """No material change where there is one."""
        size: dict[str, Any] = {"runs": 1000} if self.plan.full else {"runs": 400, "prompts": (12, 50)}
        for world in MADE_UP if self.plan.full else MADE_UP[:2]:
            run = partial(rates.equivalence_errors, worlds=[world], seed=self.plan.seed, **size)
            yield _Piece(part="equivalence", name=f"equivalence, {world.__name__}", seconds=8, run=run)

    def _power(self) -> Iterator[_Piece]:
        """Power curves."""
        size: dict[str, Any] = {"runs": 100, "prompts": (50, 100), "outputs": (16,)}
        if not self.plan.full:
            size |= {"prompts": (50,), "effects": (0.1, 0.2)}
        for world in MADE_UP if self.plan.full else MADE_UP[:1]:
            run = partial(rates.power, worlds=[world], seed=self.plan.seed, **size)
            yield _Piece(part="power", name=f"power, {world.__name__}", seconds=10, run=run)

    def _real_law(self) -> Iterator[_Piece]:
        """Coverage and power where the stored outputs are taken as all that a checkpoint can say."""
        name, full = list(self._rows)[-1], self.plan.full

        def world(facet: str) -> list[World]:
            kernels = self.pool(name).stacked(4)
            return [recorded_world(f"{name}, {facet}", kernels[facet])] if facet in kernels else []

        def covered(facet: str, kind: str) -> Iterator[Check]:
            size: dict[str, Any] = {"runs": 1000} if full else {"runs": 200, "prompts": (20, 50)}
            return rates.coverage(worlds=(), recorded=world(facet), kinds=[kind], seed=self.plan.seed, **size)

        def found(facet: str) -> Iterator[Check]:
            return rates.power(
                runs=100, prompts=(50, 100), outputs=(16,), worlds=(), recorded=world(facet), seed=self.plan.seed
            )

        for facet in ("lexical", "semantic") if full else ("lexical",):
            for kind in (*KINDS, *HOPELESS) if full else ("skewed",):
                yield _Piece(
                    part="real-law", name=f"coverage, {name}, {facet}, {kind}", seconds=6,
                    run=partial(covered, facet, kind), embeds=True,
                )  # fmt: skip
        if full:
            run = partial(found, "lexical")
            yield _Piece(part="real-law", name=f"power, {name}, lexical", seconds=10, run=run, embeds=True)

    def _metrics(self) -> list[Metric]:
        """The metrics that claim a direction; all of them in a full run."""
        chosen = [m for m in directions.measured() if m.name not in SLOW]
        if self.embedder is None:
            chosen = [m for m in chosen if m.needs != "vectors"]
        return chosen if self.plan.full else [m for m in chosen if m.default]

    def _direction(self) -> Iterator[_Piece]:
        """The table of metrics and manipulations."""
        sweep = recorded.stored().filter(pl.col("temperature") != 1.0)
        todo = list(directions.MANIPULATIONS)
        for (domain,), own in sorted(sweep.group_by(["domain"]), key=lambda g: g[0]):
            todo.append(directions.of_recorded(f"temperature, SmolLM2 {domain}", own))
            if domain == "story":  # a program that is cut does not parse
                todo.append(directions.at_equal_length(f"temperature, SmolLM2 {domain}, equal length", own))

        def moved(manipulation: directions.Manipulation) -> Iterator[Check]:
            return directions.directions(
                [manipulation], seed=self.plan.seed, n=8 if self.plan.full else 4, wanted=self._metrics(),
                embedder=self.embedder,
            )  # fmt: skip

        def paraphrased() -> Iterator[Check]:
            if self.embedder is not None:
                yield from directions.paraphrase_against_content(seed=self.plan.seed, embedder=self.embedder)

        for each in todo:
            run: Callable[[], Iterable[Check]] = partial(moved, each)
            yield _Piece(part="direction", name=f"direction, {each.name}", seconds=15, run=run, embeds=True)
        yield _Piece(part="direction", name="paraphrase against content", seconds=5, run=paraphrased, embeds=True)

    def _people(self) -> Iterator[_Piece]:
        """Agreement with people, where their labels are at hand."""
        names = ["lexical.similarity", "syntactic.similarity", "self_bleu", "pair_bleu", "self_rouge_l", "jaccard_1"]
        names += ["ncd", "edit_distance_words", "compression_ratio", "distinct_2"]
        of_vectors = ["semantic.similarity", "pairwise_cosine_distance", "vendi"]

        def told_apart() -> Iterator[Check]:
            chosen = [find_metric(name) for name in names + (of_vectors if self.embedder is not None else [])]
            return recorded.human_pairs(
                self.data["noveltybench_pairs"], chosen, self.embedder, train=100 if self.plan.full else 50
            )

        def classes(checkpoint: str) -> Iterator[Check]:
            own = self.data["noveltybench"].filter(pl.col("checkpoint") == checkpoint)
            return recorded.human_classes(own, self.embedder)

        if "noveltybench_pairs" in self.data:
            yield _Piece(part="people", name="pairs that people told apart", seconds=60, run=told_apart, embeds=True)
        if "noveltybench" in self.data:
            known = self.data["noveltybench"]["checkpoint"].unique().sort()
            for name in known if self.plan.full else ["human"]:
                run = partial(classes, name)
                yield _Piece(part="people", name=f"classes of meaning, {name}", seconds=15, run=run, embeds=True)

    def _replication(self) -> Iterator[_Piece]:
        """Figures and directions that others reported."""
        part = "replication"
        if "noveltybench" in self.data:
            run: Callable[[], Iterable[Check]] = partial(recorded.contrasts, self.data["noveltybench"])
            yield _Piece(part=part, name="contrasts of recorded outputs", seconds=20, run=run)
        for name in recorded.ACROSS:
            if name in self.data:
                run = partial(recorded.across_prompts, name, self.data[name])
                yield _Piece(part=part, name=f"across prompts, {name}", seconds=5, run=run)
        if "short_texts_gpt35" in self.data:

            def grouped() -> Iterator[Check]:
                return recorded.group_texts(self.data["short_texts_gpt35"], self.embedder)

            yield _Piece(part=part, name="texts about groups", seconds=15, run=grouped, embeds=True)

        def out_of_reach() -> Iterator[Check]:
            for target, reason in recorded.OUT_OF_REACH:
                yield Check(group="replication, out of reach", name=target, note=reason)

        yield _Piece(part=part, name="out of reach", seconds=0, run=out_of_reach)


def _has_samples(table: pl.DataFrame) -> bool:
    if not {"checkpoint", "output"} <= set(table.columns):
        return False
    counts = table.group_by("checkpoint", "domain", "prompt_id").len()["len"]
    return bool((counts >= recorded.FEWEST_OUTPUTS).sum() >= recorded.FEWEST_PROMPTS)

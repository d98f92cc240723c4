"""Scoring in blocks of prompts: beside each other in several processes, each kept once it is done.

A block is some prompts with all their outputs, told by the table alone. What a block gives depends on nothing else, so
no number depends on how many processes there are, on which machine a block runs, or on where an earlier run stopped.
"""

from __future__ import annotations

import io
import json
import logging
import math
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import chain
from typing import Any, Protocol

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from diversity.cache import Cache, code_version, key_of
from diversity.calibration import Calibration
from diversity.embedding import Embedder
from diversity.errors import InputError
from diversity.processes import Processes, expected, processors
from diversity.scoring import (
    AnswerSet,
    Look,
    Panel,
    Progress,
    Readings,
    Reads,
    Row,
    Semantics,
    across_all,
    answer_sets,
    framed,
    pooled_all,
    shared,
    within_prompts,
)
from diversity.views import Answers
from diversity.words import Lexicon

BLOCK = 4096  # outputs from which a block is full; a quarter of it in a table of few blocks
FEW = 16  # blocks
AHEAD = 4  # blocks under way, times the workers; benchmarks/scale.py says what fewer would cost
RETRIES = 2  # times that a worker may die before a run gives up

logger = logging.getLogger("diversity")

DRAWN: dict[str, pl.DataType] = {
    "answers": pl.Int32(),  # equal numbers: one and the same set of answers
    "checkpoint": pl.String(),
    "domain": pl.String(),
    "prompt_id": pl.String(),
    "condition": pl.String(),
    "is_drawn": pl.Boolean(),
    "limit": pl.Int32(),
    "texts": pl.List(pl.String()),
    "behaviours": pl.List(pl.String()),
}


@dataclass(frozen=True, slots=True)
class Block:
    """What a block gives: scores of its prompts, and what measures over all prompts are taken of."""

    rows: pl.DataFrame
    drawn: pl.DataFrame
    readings: Readings
    reads: list[Reads] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """Return the block as bytes; `from_bytes` is the way back."""
        vectors = self.readings.vectors
        read = pl.DataFrame({"text": self.readings.texts}, schema={"text": pl.String()})
        if vectors is not None and len(vectors):
            read = read.with_columns(vector=pl.Series(vectors, dtype=pl.Array(pl.Float32(), vectors.shape[1])))
        parts = []
        for frame in (self.rows, self.drawn, read):
            file = io.BytesIO()
            frame.write_parquet(file, compression="zstd")
            parts.append(file.getvalue())
        parts.extend(json.dumps(told).encode() for told in (self.reads, self.looks))
        return struct.pack("<5q", *map(len, parts)) + b"".join(parts)

    @classmethod
    def from_bytes(cls, content: bytes) -> Block:
        """Make a block of what `to_bytes` gave."""
        file = io.BytesIO(content)
        *lengths, of_reads, of_looks = struct.unpack("<5q", file.read(40))
        rows, drawn, read = (pl.read_parquet(io.BytesIO(file.read(length))) for length in lengths)
        reads, looks = ([tuple(told) for told in json.loads(file.read(length))] for length in (of_reads, of_looks))
        vectors = read["vector"].to_numpy() if "vector" in read.columns else None
        return cls(rows, drawn, Readings(read["text"].to_list(), vectors), reads, looks)


def measured(
    frame: pl.DataFrame,
    panel: Panel,
    semantics: Semantics,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, list[Look]]:
    """Scores of all prompts of a Samples frame, and what the panel looks at; arguments as in `score`."""
    blocks = list(in_blocks(frame))
    if len(blocks) == 1:
        # Nothing is kept and nothing is sent: the measures over all prompts find the words and trees ready.
        sets = answer_sets(frame, panel, (readings := Readings()).encode)
        readings.hold(semantics.read(sets, _embedding(progress)))
        with threadpool_limits(1, "blas"):
            readings.tell(sets, semantics.calibration)
            looks: list[Look] = []
            reads: list[Reads] = []
            within = framed(within_prompts(sets, panel, looks, reads, _scoring(progress)))
            return pl.concat([within, framed(_over(shared(sets, panel), reads, panel, progress))]), looks
    # A judge that a caller hands over is this process's own.
    engine = Here() if panel.judge else engine_for(workers, len(blocks), helps=True)
    try:
        done = list(each_block(blocks, panel, semantics, prompts=_prompts(frame), engine=engine, progress=progress))
        over = rows_over_prompts(done, panel, semantics, engine, progress)
    finally:
        engine.close()
    return pl.concat([*(block.rows for block in done), over]), [look for block in done for look in block.looks]


def _embedding(progress: Progress | None) -> Any:
    return (lambda done, total: progress("embed", done, total)) if progress else None


def _scoring(progress: Progress | None) -> Any:
    return (lambda done, total: progress("score", done, total)) if progress else None


def _prompts(frame: pl.DataFrame) -> int:
    return frame.select(pl.struct("domain", "prompt_id").n_unique()).item()  # type: ignore[no-any-return]


def boundaries(keys: pl.DataFrame) -> pl.DataFrame:
    """Tell each prompt's block: whole prompts in the order of their names, blocks of like size, some 4,096 outputs.

    In a table of fewer than 65,536 outputs they are of 512 or less and even in number, so that processes that share a
    few thousand outputs are done at the same time; 1,024 are one block.
    """
    few = max(1, BLOCK // 4)
    if len(keys) >= FEW * BLOCK:
        blocks = math.ceil(len(keys) / BLOCK)
    else:
        blocks = 2 * math.ceil(len(keys) / few) if len(keys) > few else 1
    counted = keys.group_by("domain", "prompt_id").len().sort("domain", "prompt_id")
    before = (counted["len"].cum_sum() - counted["len"]).cast(pl.Int64)
    # A prompt of very many outputs leaves blocks without any.
    numbers = (before * blocks // len(keys)).rle_id()
    return counted.select("domain", "prompt_id", block=numbers.cast(pl.Int32))


def in_blocks(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Cut a Samples frame into blocks."""
    told = frame.join(
        boundaries(frame.select("domain", "prompt_id")), on=["domain", "prompt_id"], maintain_order="left"
    )
    # In their order also where the first checkpoint lacks a prompt.
    yield from told.sort("block", maintain_order=True).partition_by("block", maintain_order=True, include_key=False)


def each_block(
    blocks: Iterable[pl.DataFrame],
    panel: Panel,
    semantics: Semantics,
    *,
    prompts: int,
    engine: Engine,
    progress: Progress | None = None,
) -> Iterator[Block]:
    """Measure block by block, in their order; those of an earlier run that was the same are taken from the cache."""
    what = _follows_from(panel, semantics)
    report, done = _scoring(progress), 0
    with Cache("scores", what or "", is_used=what is not None) as kept:
        ahead: deque[_Work] = deque()
        for frame in chain(blocks, [None]):
            if frame is not None:
                ahead.append(_started(frame, panel, semantics, engine, kept))
            # Blocks are taken in their order: enough are under way that no worker waits for one that is slow.
            while ahead and (frame is None or len(ahead) > AHEAD * engine.workers):
                block = _finished(ahead, engine, kept)
                done += _prompts(ahead.popleft().frame)
                if report:
                    report(done, prompts)
                yield block


@dataclass(slots=True)
class _Work:
    """A block on its way: its outputs, what it is asked of, and what is or will be known."""

    frame: pl.DataFrame
    key: bytes
    known: Block | None = None
    task: tuple[Any, ...] = ()
    future: Any = None
    tries: int = 0


def _started(frame: pl.DataFrame, panel: Panel, semantics: Semantics, engine: Engine, kept: Cache) -> _Work:
    work = _Work(frame, key_of(*_content(frame)) if kept.is_used else b"")
    content = kept.get([work.key]).get(work.key)
    if content is not None:
        work.known = Block.from_bytes(content)
    else:
        readings = Readings()
        if panel.needs_vectors and semantics.embedder is not None:
            readings = semantics.read(answer_sets(frame, panel, readings.encode))
        work.task = frame, panel, readings, semantics.calibration
        work.future = engine.submit(measure_block, *work.task)
    return work


def _finished(ahead: deque[_Work], engine: Engine, kept: Cache) -> Block:
    """Wait for the first block; where a worker died, all that were on their way start again."""
    work = ahead[0]
    while work.known is None:
        try:
            work.known = engine.result(work.future)
            if kept.is_used:
                kept.put({work.key: work.known.to_bytes()})
        except engine.lost as error:
            work.tries += 1
            if work.tries > RETRIES:
                first, last = (work.frame.row(i, named=True) for i in (0, -1))
                raise InputError(
                    f"a worker died {work.tries} times at the prompts {first['domain']}/{first['prompt_id'][:60]} to "
                    f"{last['domain']}/{last['prompt_id'][:60]} ({type(error).__name__}): it may have run out of "
                    "memory; score with --workers 1, what is done is kept"
                ) from None
            logger.warning("a worker died (%s): its prompts are measured again", type(error).__name__)
            engine.restart()
            for other in ahead:
                if other.known is None:
                    other.future = engine.submit(measure_block, *other.task)
    return work.known


def measure_block(
    frame: pl.DataFrame,
    panel: Panel,
    readings: Readings,
    calibration: Calibration | None,
) -> Block:
    """Measure the prompts of one block: what every worker does."""
    sets = answer_sets(frame, panel, readings.encode)
    with threadpool_limits(1, "blas"):
        readings.tell(sets, calibration)
        looks: list[Look] = []
        reads: list[Reads] = []
        rows = framed(within_prompts(sets, panel, looks, reads))
    return Block(rows, *_drawn(sets, panel, readings), reads, looks)


def _drawn(sets: Sequence[AnswerSet], panel: Panel, readings: Readings) -> tuple[pl.DataFrame, Readings]:
    """Answers that measures over all prompts need, and their vectors: all of them, or those that are drawn."""
    rows: list[dict[str, Any]] = []
    pools = panel.keeps_answers
    if not pools and not panel.of_unit("across prompts"):
        return pl.DataFrame(schema=pl.Schema(DRAWN)), Readings()
    numbers: dict[int, int] = {}
    texts: dict[str, None] = {}
    for each in sets:
        from_these = panel.drawn_from[each.domain.name]
        if (
            each.condition in panel.lean
            or not len(each.answers)
            or (not pools and from_these is not None and each.prompt_id not in from_these)
        ):
            continue
        answers = each.answers
        places = range(len(answers)) if pools else each.order()
        behaviours = answers.behaviours
        rows.append(
            {
                "answers": numbers.setdefault(id(answers), len(numbers)),
                "checkpoint": each.checkpoint,
                "domain": each.domain.name,
                "prompt_id": each.prompt_id,
                "condition": each.condition,
                "is_drawn": not pools,
                "limit": answers.limit,
                "texts": [answers.texts[i] for i in places],
                "behaviours": None if behaviours is None else [behaviours[i] for i in places],
            }
        )
        if readings.vectors is not None:
            texts.update(dict.fromkeys(answers.read[i] for i in places))
    drawn = pl.DataFrame(rows, schema=pl.Schema(DRAWN))
    if readings.vectors is None:
        return drawn, Readings()
    return drawn, Readings(list(texts), readings.vectors[[readings.rows[text] for text in texts]])


def rows_over_prompts(
    blocks: Sequence[Block],
    panel: Panel,
    semantics: Semantics,
    engine: Engine,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Scores over all prompts, from what the blocks gave."""
    texts = [text for block in blocks for text in block.readings.texts]
    vectors = [block.readings.vectors for block in blocks if block.readings.vectors is not None]
    readings = Readings()
    readings.hold(Readings(texts, np.concatenate(vectors) if vectors else None))
    drawn = pl.concat([block.drawn.with_columns(block=pl.lit(number)) for number, block in enumerate(blocks)])
    reads = [read for block in blocks for read in block.reads]
    # The frame holds what `shared` would keep, but for prompts that a checkpoint has no answer to.
    sides = {name: len(of) for name, of in panel.checkpoints.items()}
    answered = pl.col("checkpoint").n_unique().over("domain", "prompt_id", "condition")
    drawn = drawn.filter(answered == pl.col("domain").replace_strict(sides, return_dtype=pl.UInt32))
    if panel.keeps_answers:
        sets = _sets_of(drawn, panel, readings, semantics.calibration)
        with threadpool_limits(1, "blas"):
            return framed(_over(sets, reads, panel, progress))
    # Each checkpoint of a domain apart, in whichever process is free.
    tasks, futures = [], []
    parts = drawn.partition_by("domain", "checkpoint", as_dict=True)
    for name, of in sorted(panel.checkpoints.items()) if panel.of_unit("across prompts") else ():
        for checkpoint in sorted(of):
            own = parts.get((name, checkpoint), drawn.clear())
            tasks.append((own, panel, readings, semantics.calibration, name, checkpoint))
            futures.append(engine.submit(measure_across, *tasks[-1]))
    # What is pooled was read of each prompt, or is left out, which says of how many prompts.
    counted = [] if panel.is_pooled else _sets_of(drawn, panel, readings, None, are_read=False)
    rows = [framed(pooled_all(own, reads, panel, name)) for name, own in _by_domain(counted, panel)]
    for done, (task, future) in enumerate(zip(tasks, futures, strict=True), 1):
        try:
            rows.append(engine.result(future))
        except engine.lost as error:
            logger.warning("a worker died (%s): what it had to do is done here", type(error).__name__)
            rows.append(measure_across(*task))
        if progress:
            progress("over prompts", done, len(tasks))
    return pl.concat(rows)


def measure_across(
    drawn: pl.DataFrame, panel: Panel, readings: Readings, calibration: Calibration | None, name: str, checkpoint: str
) -> pl.DataFrame:
    """Measure across the prompts of a domain what was drawn of one checkpoint's answers."""
    sets = _sets_of(drawn, panel, readings, calibration)
    with threadpool_limits(1, "blas"):
        return framed(across_all(sets, panel, name, checkpoint))


def _over(sets: Sequence[AnswerSet], reads: Sequence[Reads], panel: Panel, progress: Progress | None) -> Iterator[Row]:
    """Scores over all prompts, in this process; `sets` are those that `shared` gives."""
    for done, (name, own) in enumerate(_by_domain(sets, panel), 1):
        for checkpoint in sorted(panel.checkpoints[name]):
            yield from across_all(own, panel, name, checkpoint)
        yield from pooled_all(own, reads, panel, name)
        for each in own:
            each.forget()
        if progress:
            progress("over prompts", done, len(panel.domains))


def _by_domain(sets: Sequence[AnswerSet], panel: Panel) -> Iterator[tuple[str, list[AnswerSet]]]:
    for name in sorted(panel.domains):
        yield name, [each for each in sets if each.domain.name == name]


def _sets_of(
    drawn: pl.DataFrame, panel: Panel, readings: Readings, calibration: Calibration | None, *, are_read: bool = True
) -> list[AnswerSet]:
    """Sets of answers as they were drawn; `are_read` where their words will be asked for."""
    sets: list[AnswerSet] = []
    made: dict[tuple[int, int], Answers] = {}
    lexicon = Lexicon()
    read = cache(lexicon.read)  # a text is drawn under several conditions
    are_read = are_read and any(m.unit == "across prompts" and m.needs != "vectors" for m in panel.metrics)
    for row in drawn.iter_rows(named=True):
        domain, number = panel.domains[row["domain"]], (row["block"], row["answers"])
        if number not in made:
            made[number] = Answers(
                row["texts"],
                language=domain.language,
                encode=readings.encode,
                behaviours=row["behaviours"],
                limit=row["limit"],
                calibration=calibration,
                lexicon=lexicon,
                tokens=[read(text) for text in row["texts"]] if are_read else None,
            )
        key = row["checkpoint"], domain, row["prompt_id"], row["condition"]
        sets.append(AnswerSet(*key, made[number], "", is_drawn=row["is_drawn"]))
    return sets


def _content(frame: pl.DataFrame) -> Iterator[str | bytes]:
    """All that a block's outputs say."""
    for name in sorted(frame.columns):
        yield name
        file = io.BytesIO()
        frame.select(name).write_ipc(file, compression="uncompressed", compat_level=pl.CompatLevel.oldest())
        yield file.getvalue()


def _follows_from(panel: Panel, semantics: Semantics) -> str | None:
    """All that a block's scores follow from beside its outputs; None where others than this package have a say."""
    own: list[Any] = [function for m in panel.metrics for function in (m.function, m.of_prompt) if function]
    own.extend(type(d) for d in panel.domains.values())
    modules = {getattr(getattr(each, "func", each), "__module__", None) or "" for each in own}
    embedder, curve = semantics.embedder, semantics.calibration
    if panel.judge or not all(module.startswith("diversity.") for module in modules):
        return None
    if embedder is not None and (type(embedder) is not Embedder or curve is None):
        return None
    what = [
        code_version(),
        [(m.name, m.version) for m in panel.metrics],
        # Prompts that it learned from a user's file have a say in validity too.
        [
            (d.name, d.version, type(d).__qualname__, sorted(d.by_id.items(), key=lambda i: i[0]))
            for d in panel.domains.values()
        ],
        [panel.conditions, sorted(panel.lean), panel.pairs, panel.is_pooled, panel.looks],
        [(name, sorted(of)) for name, of in sorted(panel.checkpoints.items())],
        [(name, sorted(of)) for name, of in sorted(panel.drawn_from.items()) if of is not None],
        semantics.signature,
    ]
    return key_of(repr(what)).hex()


class Engine(Protocol):
    """Who measures blocks: one process, several, or several machines."""

    workers: int
    lost: tuple[type[BaseException], ...]

    def submit(self, task: Callable[..., Any], *details: Any) -> Any:
        """Start a task; returns what `result` waits for."""

    def result(self, future: Any) -> Any:
        """Wait for a task; raises one of `lost` where its worker died."""

    def restart(self) -> None:
        """Begin again after a worker died."""

    def close(self) -> None:
        """Let all workers go."""


class Here:
    """Measuring in this process alone."""

    workers = 0
    lost: tuple[type[BaseException], ...] = ()

    def submit(self, task: Callable[..., Any], *details: Any) -> Callable[[], Any]:
        """Put the task off until its result is asked for."""
        return partial(task, *details)

    def result(self, future: Callable[[], Any]) -> Any:
        """Do the task."""
        return future()

    def restart(self) -> None:
        """There is nothing to restart."""

    def close(self) -> None:
        """There is no one to let go."""


def engine_for(workers: int | None, blocks: int, *, helps: bool = False) -> Engine:
    """Choose who measures so many blocks; by default every processor where there is more than one block.

    `helps` makes this process one of them, which saves the start of one and makes none wait: see `Processes`.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}: give 1 or more")
    # A process takes as long to start as it takes to measure a thousand outputs.
    count = min(workers or (processors() if blocks > 4 else 1), blocks)
    started = expected()
    if started and helps and workers is None and count > 1:
        return started
    if started:
        started.close()
    return Processes(count, helps=helps) if count > 1 else Here()

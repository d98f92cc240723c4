"""Measuring beyond one prompt's answers: across the prompts of a domain, and between two checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.registry import Metric
from diversity.views import Answers, Picked

Integers = NDArray[np.int64]

ALL_PROMPTS = "*"  # the prompt_id of a score over all prompts of a domain
DRAWS, GROUPS = 8, 20
ACROSS = 1000  # prompts of a domain that measures across prompts are taken over: their pairs grow with the square

# Name of the metric, prompt_id, value, how many prompts, note.
Score = tuple[Metric, str, float | None, int, str]
Pick = tuple[Answers, int]  # one answer: the set that holds it, and its place there
# What a pooled metric read of one prompt: its answers on the side that has fewer, and numbers or why there are none.
Read = tuple[int, "list[float] | str"]


def digest(*parts: str | int) -> str:
    """Sixteen characters that depend on the parts alone: the same on every machine and in every process."""
    return blake2b("\0".join(map(str, parts)).encode("utf-8", "replace"), digest_size=8).hexdigest()


def groups_of(prompts: Sequence[str]) -> Integers:
    """Return the group of each prompt for the jackknife: up to 20, of like size, in an order seeded by the names."""
    ranks = np.argsort(np.argsort([digest("group", p) for p in prompts]))
    return ranks % max(1, min(len(prompts), GROUPS))


def prompts_across(prompts: Iterable[str]) -> frozenset[str] | None:
    """Choose 1000 of more prompts by their names alone; None where all are few enough."""
    known = set(prompts)
    return frozenset(sorted(known, key=lambda p: digest("across", p))[:ACROSS]) if len(known) > ACROSS else None


@lru_cache(maxsize=64)  # several sets of a prompt have as many answers
def draws_of(prompt: str, n: int, most: int = DRAWS) -> tuple[int, ...]:
    """Places of a prompt's n answers in the order in which they are drawn; the prompt_id alone sets it."""
    return tuple(sorted(range(n), key=lambda i: digest(prompt, i))[:most])


def across_prompts(metrics: Sequence[Metric], drawn_of: Mapping[str, Sequence[Pick]]) -> Iterator[Score]:
    """Measure one answer to each prompt: the mean over draws, whole and without each group of prompts.

    Draw r takes the r-th of each prompt's `draws_of`; a prompt with fewer answers begins again. There are as many draws
    as the largest prompt has answers, 8 at most.
    """
    prompts = sorted(drawn_of)
    groups = groups_of(prompts)
    draws = max((len(drawn_of[p]) for p in prompts), default=0)
    totals: dict[str, NDArray[np.float64]] = {}
    undefined: dict[str, str] = {}
    for r in range(draws):
        drawn = Picked([drawn_of[p][r % len(drawn_of[p])] for p in prompts])
        for metric in metrics:
            if metric.name in undefined:
                continue
            try:
                values = _with_and_without(metric, drawn, groups)
            except Undefined as reason:
                undefined[metric.name] = str(reason)
                continue
            totals[metric.name] = totals.get(metric.name, 0.0) + values
    for metric in metrics:
        if metric.name in undefined or metric.name not in totals:
            yield metric, ALL_PROMPTS, None, len(prompts), undefined.get(metric.name, "no prompt has an answer")
        else:
            note = f"{draws} draws, {_named(prompts, [drawn_of[p][0][0].limit for p in prompts])}"
            yield from _rows(metric, totals[metric.name] / draws, prompts, groups, note)


def _with_and_without(metric: Metric, drawn: Picked, groups: Integers) -> NDArray[np.float64]:
    """Value of a metric over one answer a prompt, then its value without each group of prompts."""
    if len(drawn) < metric.min_n:
        raise Undefined(f"{len(drawn)} prompts, {metric.min_n} are needed")
    result = metric.function(drawn)
    count = int(groups.max()) + 1
    if isinstance(result, np.ndarray):
        if len(result) < len(groups):  # programs that do not parse have no row
            groups = groups[[tree is not None for tree in drawn.trees]]
        return _pair_means(result, groups, count)
    values = [float(result)]
    for group in range(count):
        try:
            values.append(float(metric.function(drawn.subset(np.flatnonzero(groups != group)))))
        except Undefined:
            values.append(math.nan)
    return np.array(values)


def _pair_means(matrix: NDArray[np.float64], groups: Integers, count: int) -> NDArray[np.float64]:
    """Mean off the diagonal, and the same without each of `count` groups: from sums over the blocks of groups."""
    inside = np.equal.outer(groups, np.arange(count)).astype(float)
    blocks = inside.T @ (matrix - np.diag(np.diag(matrix))) @ inside
    left = len(matrix) - inside.sum(axis=0)
    sums = blocks.sum() - blocks.sum(axis=0) - blocks.sum(axis=1) + np.diag(blocks)
    pairs = left * (left - 1)
    n = len(matrix)
    whole = blocks.sum() / (n * (n - 1)) if n > 1 else math.nan
    return np.append(whole, np.divide(sums, pairs, out=np.full(len(sums), math.nan), where=pairs > 0))


def between_checkpoints(metric: Metric, pre: Answers, post: Answers) -> tuple[float | None, str]:
    """Value of a metric between two checkpoints' answers to one prompt, and a note where there is none."""
    fewest = min(len(pre), len(post))
    if fewest < metric.min_n:
        return None, f"{fewest} answers on one side, {metric.min_n} are needed"
    try:
        value = float(metric.function(pre, post))
    except Undefined as reason:
        return None, str(reason)
    return (value, "") if math.isfinite(value) else (None, "not a number")


def read_of(metric: Metric, pre: Answers, post: Answers) -> Read:
    """Read what a pooled metric takes of the answers to one prompt."""
    assert metric.of_prompt is not None
    try:
        return min(len(pre), len(post)), [float(number) for number in metric.of_prompt(pre, post)]
    except Undefined as reason:
        return min(len(pre), len(post)), str(reason)


def pooled_answers(
    metrics: Sequence[Metric], pre: Mapping[str, Answers], post: Mapping[str, Answers]
) -> Iterator[Score]:
    """Measure all answers of two checkpoints to the same prompts at once."""

    def measure(metric: Metric, prompts: Sequence[str]) -> float:
        return float(metric.function([pre[p] for p in prompts], [post[p] for p in prompts]))

    return _pooled(metrics, {p: min(len(pre[p]), len(post[p])) for p in pre}, measure)


def pooled_reads(metric: Metric, reads: Mapping[str, Read]) -> Iterator[Score]:
    """Measure all prompts at once by what the metric read of each; one of which it read nothing is left out."""
    known = {p: numbers for p, (_, numbers) in reads.items() if not isinstance(numbers, str)}
    table, rows = np.array(list(known.values())), {p: row for row, p in enumerate(known)}

    def measure(metric: Metric, prompts: Sequence[str]) -> float:
        kept = [rows[p] for p in prompts if p in rows]
        if not kept:
            raise Undefined(str(reads[prompts[-1]][1]))
        return float(metric.function(table[kept]))

    return _pooled([metric], {p: fewest for p, (fewest, _) in reads.items()}, measure)


def _pooled(
    metrics: Sequence[Metric], fewest: Mapping[str, int], measure: Callable[[Metric, Sequence[str]], float]
) -> Iterator[Score]:
    """Measure prompts at once, whole and without each group of them; `fewest` counts a prompt's answers."""
    for min_n in sorted({metric.min_n for metric in metrics}):
        prompts = sorted(p for p, count in fewest.items() if count >= min_n)
        groups = groups_of(prompts)
        # The prompts go around outermost: metrics over the same prompts share what they compute.
        values: dict[str, list[float]] = {}
        reasons: dict[str, str] = {}
        for group in range(-1, groups.max(initial=-1) + 1):
            kept = [p for p, g in zip(prompts, groups, strict=True) if g != group]
            for metric in metrics:
                if metric.min_n != min_n or (group >= 0 and metric.name in reasons):
                    continue
                try:
                    value = measure(metric, kept) if kept else math.nan
                except Undefined as reason:
                    value = math.nan
                    if group < 0:
                        reasons[metric.name] = str(reason)
                values.setdefault(metric.name, []).append(value)
        for metric in metrics:
            if metric.min_n != min_n:
                continue
            if not prompts or metric.name in reasons:
                why = reasons.get(metric.name, f"no prompt has {min_n} answers on both sides")
                yield metric, ALL_PROMPTS, None, len(prompts), why
            else:
                yield from _rows(metric, np.array(values[metric.name]), prompts, groups, _named(prompts))


def _rows(
    metric: Metric, values: NDArray[np.float64], prompts: Sequence[str], groups: Integers, note: str
) -> Iterator[Score]:
    sizes = np.bincount(groups)
    names = [ALL_PROMPTS, *(f"{ALL_PROMPTS}/without {group:02}" for group in range(len(sizes)))]
    counts = len(prompts) - np.append(0, sizes)
    for name, value, count in zip(names, values, counts, strict=True):
        yield metric, name, float(value) if math.isfinite(value) else None, int(count), note


def _named(prompts: Sequence[str], limits: Sequence[int | None] = ()) -> str:
    """Which prompts a figure is over, and their windows, in a few characters; two sides must agree in it."""
    windows = [limit for limit in limits if limit is not None]
    return f"{len(prompts)} prompts #{digest(*prompts, *windows)[:6]}"

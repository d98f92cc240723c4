"""Lexical richness within each answer: how varied its own words are. It says nothing of how the answers differ."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diversity.counts import chances_drawn
from diversity.errors import Undefined
from diversity.registry import metric
from diversity.sequences import Batch
from diversity.views import Answers

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

WITHIN: dict[str, Any] = {
    "facet": "lexical",
    "higher_is": "more diverse",
    "min_n": 1,
    "unbiased_in_n": True,
    "unit": "within output",
}


def _mean(values: Array, defined: NDArray[np.bool_], reason: str) -> float:
    if not defined.any():
        raise Undefined(reason)
    return float(values[defined].mean())


def _previous(words: Batch) -> Integers:
    """Place of the same word's last occurrence in the answer, -1 for its first; answers laid end to end."""
    grams = words.grams(1)
    places = grams.starts
    owners = words.owners[places]
    again = (grams.ids[1:] == grams.ids[:-1]) & (owners[1:] == owners[:-1])
    previous = np.full(len(words.owners), -1, dtype=np.int64)
    previous[places[1:][again]] = places[:-1][again]
    return previous


@metric(
    name="ttr",
    range=(0, 1),
    source="Templin 1957; reporting only",
    aliases=("type-token ratio", "type_token_ratio"),
    confounds="Falls with the length of the answer (Heaps' law): never compare at unequal length.",
    default=False,
    **WITHIN,
)
def ttr(answers: Answers) -> float:
    """Share of an answer's words that are different: types over tokens.

    Words are read in one case and without punctuation. It is the mean over the answers that have a word.
    """
    lengths = answers.lexemes.lengths
    cells = answers.lexemes.cells(1)
    types = np.bincount(cells.owners, minlength=len(answers)) + cells.single
    return _mean(types / np.maximum(lengths, 1), lengths > 0, "no answer has a word")


@metric(
    name="mattr",
    range=(0, 1),
    source="Covington and McFall 2010",
    aliases=("moving-average type-token ratio", "mattr_50"),
    confounds="Free of the length of the answer from 50 words up; shorter answers are left out.",
    **WITHIN,
)
def mattr(answers: Answers, *, window: int = 50) -> float:
    """Type-token ratio of an answer in a moving window of 50 words, averaged over the windows.

    Words are read in one case and without punctuation. It is the mean over the answers of 50 words or more; for a
    shorter one it is undefined, and not the ratio of the whole.
    """
    words = answers.lexemes
    return _mean(words.per_answer(_mattr, window), words.lengths >= window, f"no answer has {window} words")


def _mattr(words: Batch, window: int) -> Array:
    lengths, owners = words.lengths, words.owners
    begins = np.cumsum(lengths) - lengths
    place = np.arange(len(owners))
    # A word counts as new in the windows that start after its last occurrence and reach from before it to it.
    earliest = np.maximum(np.maximum(words.told(_previous) + 1, place - window + 1), begins[owners])
    latest = np.minimum(place, (begins + lengths - window)[owners])
    new = np.bincount(owners, weights=np.maximum(latest - earliest + 1, 0), minlength=len(lengths))
    ratios: Array = new / (np.maximum(lengths - window + 1, 1) * window)
    return ratios


@metric(
    name="hdd",
    range=(0, 1),
    source="McCarthy and Jarvis 2007",
    aliases=("hd-d", "hdd_42"),
    confounds="Free of the length of the answer from 42 words up; shorter answers are left out.",
    **WITHIN,
)
def hdd(answers: Answers, *, draws: int = 42) -> float:
    """Type-token ratio expected of 42 words drawn from an answer without replacement (HD-D).

    Words are read in one case and without punctuation. It is the mean over the answers of 42 words or more.
    """
    words = answers.lexemes
    return _mean(words.per_answer(_hdd, draws), words.lengths >= draws, f"no answer has {draws} words")


def _hdd(words: Batch, draws: int) -> Array:
    cells = words.cells(1)
    answers, width = np.arange(len(words.lengths)), int(cells.counts.max(initial=1)) + 1
    # How many types of an answer occur how often, in that order: no sum depends on how words are numbered.
    keys = np.append(cells.owners * width + cells.counts, answers * width + 1)
    pairs, places = np.unique(keys, return_inverse=True)
    kinds = np.bincount(places, weights=np.append(np.ones(len(cells.owners)), cells.single))
    owners, counts = np.divmod(pairs, width)
    chances = chances_drawn(counts, words.lengths[owners], draws)
    return np.bincount(owners, weights=kinds * chances, minlength=len(answers)) / draws


@metric(
    name="mtld",
    range=(1, float("inf")),
    source="McCarthy and Jarvis 2010",
    aliases=("measure of textual lexical diversity",),
    confounds="Unreliable below some 50 to 100 words.",
    **WITHIN,
)
def mtld(answers: Answers, *, threshold: float = 0.72) -> float:
    """Mean length of runs of an answer's words whose type-token ratio stays above 0.72, read both ways.

    A run closes when the ratio is 0.72 or less; the rest of the answer counts as a part of a run. Words are read in
    one case and without punctuation. It is the mean over the answers. Undefined for an answer without a repeated
    word, for which lexicalrichness gives the number of its words.
    """
    words = answers.lexemes
    values = words.per_answer(_mtld, threshold)
    return _mean(values, np.isfinite(values), "no answer has a word twice")


def _mtld(words: Batch, threshold: float) -> Array:
    forward = words.told(_previous)
    # Read backwards, the next occurrence of a word is its last one.
    repeats = np.flatnonzero(forward >= 0)
    backward = np.full_like(forward, -1)
    last = len(forward) - 1
    backward[last - forward[repeats]] = last - repeats
    factors = _factors(forward, words.lengths, threshold)
    reversed_factors = _factors(backward, words.lengths[::-1], threshold)[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Array = (words.lengths / factors + words.lengths / reversed_factors) / 2
    return values


def _factors(previous: Integers, lengths: Integers, threshold: float) -> Array:
    """Count the runs of each answer by the places of its repeated words, the only ones that lower the ratio."""
    repeats, ends = np.flatnonzero(previous >= 0), np.cumsum(lengths)
    places, befores = repeats.tolist(), previous[repeats].tolist()
    bounds = np.searchsorted(repeats, ends).tolist()
    longest = _longest(1 << int(lengths.max(initial=0)).bit_length(), threshold)
    factors = []
    begin = first = 0
    for bound, end in zip(bounds, ends.tolist(), strict=True):
        start, repeated, closed = begin, 0, 0
        for place, before in zip(places[first:bound], befores[first:bound], strict=True):
            if before >= start:
                repeated += 1
                if place - start < longest[repeated]:
                    closed += 1
                    start = place + 1
                    repeated = 0
        rest = end - start
        factors.append(closed + (repeated / rest / (1 - threshold) if rest else 0.0))
        begin, first = end, bound
    return np.array(factors)


@lru_cache(maxsize=16)
def _longest(most: int, threshold: float) -> list[int]:
    """Words of the longest run that 0, 1, 2, ... repeated words close."""
    repeated = np.arange(most + 1)
    read = np.floor(repeated / (1 - threshold)).astype(np.int64) + 1
    return (read - ((read - repeated) / read > threshold)).tolist()  # type: ignore[no-any-return]

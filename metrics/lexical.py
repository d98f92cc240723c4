"""Lexical measures over the words of one prompt's answers."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from diversity.registry import metric
from diversity.views import Answers, Grams, Undefined


def distinct_n(answers: Answers, *, order: int) -> float:
    """Share of n-grams that are different, all answers of the prompt pooled.

    No n-gram crosses from one answer into the next. Undefined when no answer is long enough.
    """
    grams = answers.words.grams(order)
    if not len(grams.ids):
        raise Undefined(f"no answer has {order} words")
    return grams.distinct / len(grams.ids)


for _order in (1, 2, 3, 4):
    metric(
        name=f"distinct_{_order}",
        facet="lexical",
        higher_is="more diverse",
        range=(0, 1),
        source="Li et al. 2016, arXiv:1510.03055",
        aliases=(f"distinct-{_order}", f"dist-{_order}"),
        confounds="Falls with the number of answers and with their length, whatever the law they are drawn from.",
    )(partial(distinct_n, order=_order))


@metric(
    name="self_bleu",
    facet="lexical",
    higher_is="less diverse",
    range=(0, 1),
    source="Zhu et al. 2018, arXiv:1802.01886; smoothing method 1 of Chen and Cherry 2014",
    aliases=("self-bleu", "self-bleu-4"),
    confounds="Rises with the number of answers, which are its references. Compare at equal n only.",
)
def self_bleu(answers: Answers) -> float:
    """Mean BLEU-4 of each answer against all the others as references.

    Sentence BLEU with uniform weights, 0.1 in place of a zero count, closest reference length (the shorter on a
    tie): the values of nltk's `sentence_bleu` with `SmoothingFunction().method1`.
    """
    lengths = answers.words.lengths
    matches = np.array([_clipped_matches(answers.words.grams(order), len(answers)) for order in (1, 2, 3, 4)])
    possible = np.maximum(1, lengths - np.arange(4)[:, None])
    precisions = np.where(matches > 0, matches, 0.1) / possible
    scores = np.exp(np.log(precisions).mean(axis=0)) * _brevity(lengths)
    # Without one shared word nltk gives 0, smoothing or not.
    return float(np.where(matches[0] > 0, scores, 0).mean())


def _clipped_matches(grams: Grams, n: int) -> NDArray[np.float64]:
    """Count each answer's n-grams found in the others, clipped at the most any other has. Shape (n,)."""
    if not len(grams.ids):
        return np.zeros(n)
    cells, counts = np.unique(grams.ids * n + grams.owners, return_counts=True)
    ids, owners = np.divmod(cells, n)
    by_count = np.lexsort((-counts, ids))
    ids, owners, counts = ids[by_count], owners[by_count], counts[by_count]
    first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    holders = np.diff(np.append(first, len(ids)))
    # The cap of an answer is the largest count among the others: the second largest where it holds the largest.
    second = np.where(holders > 1, counts[np.minimum(first + 1, len(ids) - 1)], 0)
    group = np.repeat(np.arange(len(first)), holders)
    cap = np.where(np.arange(len(ids)) == first[group], second[group], counts[first[group]])
    return np.bincount(owners, weights=np.minimum(counts, cap), minlength=n).astype(np.float64)


def _brevity(lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Penalty for being shorter than the closest of the others, the shorter one on a tie. Shape (n,)."""
    others = np.broadcast_to(lengths, (len(lengths), len(lengths)))
    gap = np.abs(others - lengths[:, None]) * 2 + (others > lengths[:, None])
    np.fill_diagonal(gap, np.iinfo(np.int64).max)
    closest = lengths[gap.argmin(axis=1)]
    safe = np.maximum(lengths, 1)
    return np.where(lengths > closest, 1.0, np.where(lengths > 0, np.exp(1 - closest / safe), 0.0))

"""BLEU among the answers to one prompt: each against all others (self-BLEU), and each against each."""

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.registry import metric, variant
from diversity.sequences import Batch, Sequences
from diversity.views import Answers

Array = NDArray[np.float64]
Lengths = NDArray[np.int64]

FAR = 2**31
EPSILON, K, ALPHA = 0.1, 5, 5  # the constants of nltk's SmoothingFunction


def score(matches: Array, lengths: Lengths, penalty: Array, *, smoothing: int = 1, effective: bool = False) -> Array:
    """Sentence BLEU from clipped matches, with uniform weights.

    Parameters
    ----------
    matches : array, one row an order
        Matches of order 1, 2, ... of any number of answers with their references. Smoothing 5 and 7 read one order
        more than the score is made of.
    lengths : array
        Lengths of the answers, of a shape that fits a row of `matches`.
    penalty : array
        The brevity penalty, likewise.
    smoothing : int
        Which `SmoothingFunction` of nltk (Chen and Cherry 2014). 0 is none: a missing order makes the score 0, where
        nltk gives some 1e-78. 5 and 7 can exceed 1. 6 is undefined where an answer shares no trigram.
    effective : bool
        Leave out the orders that an answer is too short for, as sacrebleu does.
    """
    orders = len(matches) - (smoothing in {5, 7})
    possible = np.maximum(lengths - np.arange(len(matches)).reshape(-1, *[1] * lengths.ndim), 0)
    precisions = _smoothed(matches, possible, lengths, smoothing)[:orders]
    with np.errstate(divide="ignore"):
        logs = np.log(precisions)
    if smoothing:
        # nltk leaves a precision that smoothing left at 0 out of the product: it counts as 1. Method 0 does not.
        logs[precisions == 0] = 0
    if effective:
        counted = possible[:orders] > 0
        total = np.where(counted, logs, 0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
    else:
        total = logs.sum(axis=0) / orders
    # Without one shared word nltk and sacrebleu give 0, smoothing or not.
    scores: Array = np.where(matches[0] > 0, np.exp(total) * penalty, 0.0)
    return scores


def _smoothed(matches: Array, possible: Array, lengths: Lengths, smoothing: int) -> Array:
    """Precisions of each order, smoothed as nltk's SmoothingFunction does it."""
    whole = np.maximum(possible, 1)
    plain: Array = matches / whole
    missing = matches == 0
    if smoothing == 0:
        return plain
    if smoothing == 1:
        return np.where(missing, EPSILON / whole, plain)
    if smoothing == 2:
        added: Array = (matches + 1) / (whole + 1)
        added[0] = plain[0]
        return added
    if smoothing == 3:
        return np.where(missing, 0.5 ** np.cumsum(missing, axis=0) / whole, plain)
    if smoothing == 4:
        share = np.log(np.maximum(lengths, 1)) / K
        return np.where(missing, 0.5 ** np.cumsum(missing, axis=0) * share / whole, plain)
    if smoothing == 6:
        return _interpolated(matches, possible, plain)
    # 5 averages each order with the one before, already averaged, and the one after; 7 does so after 4.
    start = _smoothed(matches, possible, lengths, 4) if smoothing == 7 else plain
    start[-1] = plain[-1]
    averaged, before = start.copy(), start[0] + 1
    for order in range(len(start) - 1):
        before = averaged[order] = (before + start[order] + start[order + 1]) / 3
    return averaged


def _interpolated(matches: Array, possible: Array, plain: Array) -> Array:
    """Orders above 2 drawn to what the ratio of the two orders before predicts."""
    result = plain.copy()
    for order in range(2, len(plain)):
        before = result[order - 2]
        prior = np.divide(result[order - 1] ** 2, before, out=np.zeros_like(before), where=before > 0)
        result[order] = (matches[order] + ALPHA * prior) / (possible[order] + ALPHA)
    # Without a shared trigram it is undefined; an answer that shares no word has the score 0 whatever the smoothing.
    result[:, (matches[2] == 0) & (matches[0] > 0)] = np.nan
    return result


def brevity(lengths: Lengths, references: Lengths) -> Array:
    """Brevity penalty of answers against references of given lengths; 0 for an empty answer."""
    penalty: Array = np.exp(np.minimum(1 - references / np.maximum(lengths, 1), 0)) * (lengths > 0)
    return penalty


def _closest_of_others(tokens: Batch) -> Lengths:
    """Length closest to each answer's among the others of its set, the shorter one on a tie."""
    order = np.lexsort((tokens.lengths, tokens.set_of))
    lengths, sets = tokens.lengths[order], tokens.set_of[order]
    # Sorted, the closest other is a neighbour.
    below, above = np.full_like(lengths, -FAR), np.full_like(lengths, FAR)
    same = np.flatnonzero(sets[1:] == sets[:-1])
    below[same + 1], above[same] = lengths[same], lengths[same + 1]
    closest = np.empty_like(lengths)
    closest[order] = np.where(lengths - below <= above - lengths, below, above)
    return closest


def each_against_others(tokens: Sequences, *, orders: int = 4, smoothing: int = 1, effective: bool = False) -> Array:
    """BLEU of each answer with all the others as references, shape (n,)."""
    scores = tokens.per_answer(_each_against_others, orders, smoothing, effective)
    if smoothing == 6 and np.isnan(scores).any():
        raise Undefined("an answer shares no trigram, which smoothing method 6 needs")
    return scores


def _each_against_others(tokens: Batch, orders: int, smoothing: int, effective: bool) -> Array:
    lengths = tokens.lengths
    read = orders + (smoothing in {5, 7})
    matches = np.array([tokens.matches(order) for order in range(1, read + 1)], dtype=np.float64)
    penalty = brevity(lengths, _closest_of_others(tokens))
    scores = score(matches, lengths, penalty, smoothing=smoothing, effective=effective)
    if effective:
        # Two empty answers are equal.
        empty = lengths == 0
        scores[empty & (tokens.of_sets(empty) > 1)[tokens.set_of]] = 1
    return scores


def self_bleu(answers: Answers, *, orders: int = 4, smoothing: int = 1, effective: bool = False) -> float:
    """Mean BLEU of each answer against all the others as references.

    Sentence BLEU with uniform weights over the orders, a smoothing of nltk, and the closest reference length (the
    shorter on a tie). An empty answer has the score 0. Without effective order two equal answers shorter than the
    highest order score below 1: short answers look more diverse than they are.
    """
    scores = each_against_others(answers.words, orders=orders, smoothing=smoothing, effective=effective)
    return float(np.minimum(scores, 1).mean())


def self_bleu_sacrebleu(answers: Answers) -> float:
    """Mean of sacrebleu's `sentence_bleu` of each answer against all the others, from 0 to 1.

    Tokens of mteval-v13a, exponential smoothing, effective order. It reads a Chinese sentence as one token.
    """
    return float(np.minimum(each_against_others(answers.words_13a, smoothing=3, effective=True), 1).mean())


def pair_bleu(answers: Answers, *, smoothing: int = 1, effective: bool = False) -> Array:
    """Mean BLEU-4 of each answer against each other one, both ways.

    With one reference at a time the expectation does not depend on the number of answers, as that of self-BLEU does.
    The two ways of a pair are averaged; the mean over ordered pairs is the same. Two empty answers are alike under
    effective order, and score 0 without.
    """
    return answers.words.per_pair(_pair_bleu, smoothing, effective)


def _pair_bleu(tokens: Batch, smoothing: int, effective: bool) -> Array:
    lengths = tokens.padded(tokens.lengths)
    read = 4 + (smoothing in {5, 7})
    matches = np.array([tokens.shared(order, counted=True) for order in range(1, read + 1)])
    penalty = brevity(lengths[:, :, None], lengths[:, None, :])
    one_way = score(matches, lengths[:, :, None], penalty, smoothing=smoothing, effective=effective)
    one_way = np.minimum(one_way, 1)
    if effective:
        one_way[(lengths[:, :, None] == 0) & (lengths[:, None, :] == 0)] = 1
    scores: Array = (one_way + one_way.transpose(0, 2, 1)) / 2
    places = np.arange(lengths.shape[1])
    scores[:, places, places] = 1
    return scores


RISES = "Rises with the number of answers, which are its references: compare at equal n only."
SELF = "Zhu et al. 2018, arXiv:1802.01886"
SMOOTHED = "Chen and Cherry 2014"


def _register(
    name: str,
    summary: str,
    source: str,
    *aliases: str,
    orders: int = 4,
    smoothing: int = 1,
    effective: bool = False,
    default: bool = False,
) -> None:
    metric(
        name=name,
        facet="lexical",
        higher_is="less diverse",
        range=(0, 1),
        source=source,
        aliases=aliases,
        confounds=RISES,
        default=default,
    )(variant(self_bleu, summary, orders=orders, smoothing=smoothing, effective=effective))


_register(
    "self_bleu",
    "Mean BLEU-4 of each answer against all the others, 0.1 in place of a zero count (nltk's method 1)",
    f"{SELF}; smoothing method 1 of {SMOOTHED}",
    "self-bleu",
    "self-bleu-4",
    "self_bleu_4",
    default=True,
)
_register("self_bleu_2", "Self-BLEU of orders 1 and 2 (nltk's method 1)", SELF, "self-bleu-2", orders=2)
_register("self_bleu_3", "Self-BLEU of orders 1 to 3 (nltk's method 1)", SELF, "self-bleu-3", orders=3)
_register("self_bleu_5", "Self-BLEU of orders 1 to 5 (nltk's method 1)", SELF, "self-bleu-5", orders=5)
_register(
    "self_bleu_unsmoothed",
    "Self-BLEU-4 without smoothing: 0 where an order is missing",
    SELF,
    "self_bleu_m0",
    smoothing=0,
)
for _method, _what in (
    (2, "one added to the counts of orders above 1"),
    (3, "as NIST: 1/2, 1/4, ..."),
    (4, "by length"),
    (5, "mean of neighbouring orders, at most 1, where nltk gives 1.1167 for equal answers"),
    (6, "interpolated; undefined without a shared trigram, where nltk fails"),
    (7, "4 and then 5, at most 1"),
):
    _register(
        f"self_bleu_m{_method}",
        f"Self-BLEU-4 under nltk's smoothing method {_method} ({_what})",
        f"{SELF}; {SMOOTHED}",
        f"self_bleu_method{_method}",
        smoothing=_method,
    )
_register(
    "self_bleu_effective",
    "Self-BLEU-4 over the orders an answer is long enough for: equal answers score 1, however short",
    f"{SELF}; effective order as in Post 2018, arXiv:1804.08771",
    "self-bleu, effective order",
    effective=True,
)
metric(
    name="self_bleu_sacrebleu",
    facet="lexical",
    higher_is="less diverse",
    range=(0, 1),
    source=f"{SELF}; scores of Post 2018, arXiv:1804.08771",
    aliases=("self-sacrebleu",),
    confounds=RISES,
    default=False,
)(self_bleu_sacrebleu)
for _effective in (False, True):
    metric(
        name="pair_bleu_effective" if _effective else "pair_bleu",
        facet="lexical",
        higher_is="less diverse",
        range=(0, 1),
        source="Shen et al. 2019, arXiv:1902.07816; homogenization score of Padmakumar and He 2024, arXiv:2309.05196",
        pairwise=True,
        unbiased_in_n=True,
        aliases=("pairwise-bleu, effective order",)
        if _effective
        else ("pairwise_bleu", "pairwise-bleu", "homogenization_bleu", "homogenisation_bleu"),
        confounds="Falls when the lengths of the answers differ; smoothing decides the score of short answers.",
        cost="n^2, one product of sparse counts an order",
        default=not _effective,
    )(
        variant(
            pair_bleu,
            "Mean BLEU of each answer against each other one, over the orders it is long enough for"
            if _effective
            else "Mean BLEU-4 of each answer against each other one, both ways (nltk's method 1)",
            effective=_effective,
        )
    )

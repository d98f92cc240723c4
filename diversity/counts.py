"""Statistics of how often each kind occurs.

Counts are one a kind or, where `kinds` is given, one for all kinds that occur equally often: of a thousand n-grams most
occur once or twice, so that sums over the different counts cost next to nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


def chances_drawn(counts: Integers, totals: Integers, draws: int) -> Array:
    """Chance that draws without replacement bring up a kind at least once.

    Parameters
    ----------
    counts : array of n
        How often each kind occurs.
    totals : array of n
        Individuals in the set that each kind belongs to; of fewer than `draws` all are drawn.
    draws : int
        Individuals drawn.

    Returns
    -------
    array in [0, 1], shape (n,)
        One minus the hypergeometric chance of none, ``1 - C(total - count, draws) / C(total, draws)``.
    """
    chances = np.zeros(len(counts))
    # Kinds that occur about as often share a table: one wide enough for all could be as large as the texts squared.
    sizes = np.frexp(counts)[1]
    for size in np.flatnonzero(np.bincount(sizes)).tolist():
        own = np.flatnonzero(sizes == size)
        different, row = np.unique(totals[own], return_inverse=True)
        # The chance of none is a product over the individuals of the kind: that the first is not drawn, nor the second
        # of the rest, and so on. Beyond the last that can be left over it is 0.
        rest = np.maximum(different[:, None] - np.arange((1 << size) - 1), draws)
        missed = np.ones((len(different), 1 << size))
        np.cumprod(1 - draws / rest, axis=1, out=missed[:, 1:])
        chances[own] = 1 - missed[row, counts[own]]
    return chances


def rarefied(counts: Integers, draws: int, kinds: Integers | int = 1) -> float:
    """Different kinds expected among so many individuals drawn without replacement (Hurlbert 1971).

    Examples
    --------
    >>> round(rarefied(np.array([4, 3, 2, 1, 1, 1]), 4), 10)
    3.1797979798
    >>> round(rarefied(np.array([1, 2, 3, 4]), 4, np.array([3, 1, 1, 1])), 10)
    3.1797979798
    """
    return float(all_rarefied(np.zeros(len(counts), dtype=np.int64), counts, kinds, draws=draws, sets=1)[0])


def all_rarefied(of: Integers, counts: Integers, kinds: Integers | int, *, draws: int, sets: int) -> Array:
    """As `rarefied`, of several sets at once: `of` is the set of each count. Shape (sets,)."""
    totals = np.bincount(of, weights=kinds * counts, minlength=sets).astype(np.int64)
    expected = kinds * chances_drawn(counts, totals[of], draws)
    return np.bincount(of, weights=expected, minlength=sets).astype(np.float64, copy=False)


def entropy(counts: Integers, kinds: Integers | int = 1) -> float:
    """Plug-in Shannon entropy of the shares, in nats, between 0 and the logarithm of the total.

    Examples
    --------
    >>> round(entropy(np.array([4, 3, 2, 1, 1, 1])), 10)
    1.6326309272
    """
    return float(entropies(np.zeros(len(counts), dtype=np.int64), counts, kinds, sets=1)[0])


def entropies(of: Integers, counts: Integers, kinds: Integers | int, *, sets: int) -> Array:
    """As `entropy`, of several sets at once: `of` is the set of each count; an empty set has 0. Shape (sets,)."""
    totals = np.maximum(np.bincount(of, weights=kinds * counts, minlength=sets), 1)
    own = np.bincount(of, weights=kinds * counts * np.log(counts), minlength=sets)
    # Rounding must not leave the range.
    found: Array = np.clip(np.log(totals) - own / totals, 0, np.log(totals))
    return found


def entropy_grassberger(counts: Integers, kinds: Integers | int = 1) -> float:
    """Shannon entropy in nats, by the estimator of Grassberger 2003 (arXiv:physics/0307138), never below 0.

    Examples
    --------
    >>> round(entropy_grassberger(np.array([4, 3, 2, 1, 1, 1])), 10)
    2.033047273
    """
    from scipy.special import digamma  # whose import takes a third of a second

    sign = np.where(counts % 2, -1, 1)
    g = digamma(counts) + sign * (digamma((counts + 1) / 2) - digamma(counts / 2)) / 2
    total = (kinds * counts).sum()
    return max(0.0, float(np.log(total) - (kinds * counts * g).sum() / total))


def entropy_chao_wang_jost(counts: Integers, kinds: Integers | int = 1) -> float:
    """Shannon entropy in nats, by the estimator of Chao, Wang and Jost 2013 (Methods in Ecology and Evolution 4(11)).

    What was seen, and the share of the unseen judged by how many kinds were seen once and twice.

    Examples
    --------
    >>> round(entropy_chao_wang_jost(np.array([4, 3, 2, 1, 1, 1])), 10)
    2.0536068037
    """
    from scipy.special import digamma

    total = int((kinds * counts).sum())
    seen = float((kinds * counts / total * (digamma(total) - digamma(counts))).sum())
    once, twice = (int((kinds * (counts == size)).sum()) for size in (1, 2))
    if not once or total < 2:
        return seen
    a = 2 * twice / ((total - 1) * once + 2 * twice) if twice else 2 / ((total - 1) * (once - 1) + 2)
    x = 1 - a
    if x == 0:
        return seen
    # x^(1-n) times the tail of the series of -log(1 - x), from its n-th term on: as a difference where that keeps its
    # digits, else term by term.
    if -total * np.log(x) > 10:
        later = np.arange(int(40 / -np.log(x)) + 1)
        tail = float((np.exp(np.log(x) * (later + 1)) / (total + later)).sum())
    else:
        r = np.arange(1, total)
        tail = float(x ** (1 - total) * (-np.log(a) - (np.exp(np.log(x) * r) / r).sum()))
    return seen + once / total * tail


def hill(counts: Integers, q: float, kinds: Integers | int = 1) -> float:
    """Hill number of order q: the effective number of kinds, from 1 to how many there are.

    0 counts the kinds, 1 is the exponential of the entropy, 2 the inverse chance that two draws with replacement
    agree, infinity the inverse share of the most frequent kind.

    Examples
    --------
    >>> [round(hill(np.array([4, 3, 2, 1, 1, 1]), q), 10) for q in (0, 1, 2, np.inf)]
    [6.0, 5.1173203206, 4.5, 3.0]
    """
    if q == 1:
        return float(np.exp(entropy(counts, kinds)))
    shares = counts / (kinds * counts).sum()
    if q == np.inf:
        return float(1 / shares.max())
    return float((kinds * shares**q).sum() ** (1 / (1 - q)))

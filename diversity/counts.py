"""Statistics of how often each kind occurs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


def chance_drawn(counts: Integers, totals: Integers | int, draws: int) -> Array:
    """Chance that draws without replacement bring up a kind at least once.

    Parameters
    ----------
    counts : array
        How often each kind occurs.
    totals : array or int
        Individuals in the set that each kind belongs to, `draws` or more.
    draws : int
        Individuals drawn.

    Returns
    -------
    array in [0, 1]
        One minus the hypergeometric chance of none, ``1 - C(total - count, draws) / C(total, draws)``.
    """
    rest = np.asarray(totals) - counts
    # gammaln has a pole at 0, where the kind cannot be missed.
    left = np.maximum(rest - draws, 0)
    missed = gammaln(rest + 1) - gammaln(left + 1) - gammaln(rest + counts + 1) + gammaln(rest + counts - draws + 1)
    return np.where(rest >= draws, -np.expm1(missed), 1.0)


def rarefied(counts: Integers, draws: int) -> float:
    """Different kinds expected among so many individuals drawn without replacement (Hurlbert 1971).

    Examples
    --------
    >>> round(rarefied(np.array([4, 3, 2, 1, 1, 1]), 4), 10)
    3.1797979798
    """
    sizes, kinds = np.unique(counts, return_counts=True)
    return float((kinds * chance_drawn(sizes, int(counts.sum()), draws)).sum())


def entropy(counts: Integers) -> float:
    """Plug-in Shannon entropy of the shares, in nats, between 0 and the logarithm of the total.

    Examples
    --------
    >>> round(entropy(np.array([4, 3, 2, 1, 1, 1])), 10)
    1.6326309272
    """
    total = counts.sum()
    # Rounding must not leave the range.
    return float(np.clip(np.log(total) - (counts * np.log(counts)).sum() / total, 0, np.log(total)))


def hill(counts: Integers, q: float) -> float:
    """Hill number of order q: the effective number of kinds, from 1 to how many there are.

    0 counts the kinds, 1 is the exponential of the entropy, 2 the inverse chance that two draws with replacement
    agree, infinity the inverse share of the most frequent kind.

    Examples
    --------
    >>> [round(hill(np.array([4, 3, 2, 1, 1, 1]), q), 10) for q in (0, 1, 2, np.inf)]
    [6.0, 5.1173203206, 4.5, 3.0]
    """
    if q == 0:
        return float(len(counts))
    if q == 1:
        return float(np.exp(entropy(counts)))
    shares = counts / counts.sum()
    if q == np.inf:
        return float(1 / shares.max())
    return float((shares**q).sum() ** (1 / (1 - q)))

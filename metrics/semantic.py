"""Dispersion of the embeddings of one prompt's answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.metrics.kernels import Matrix
from diversity.registry import Function, metric
from diversity.views import Answers

NEAR = 0.95  # cosine from which two answers are near-duplicates

CONFOUNDS = "Gibberish, other languages and refusals embed far away. Depends on the embedding model."
AT_EQUAL_N = f"At most the number of answers, and rises with it: compare at equal n only. {CONFOUNDS}"
EIGENVALUES = "n^3 or d^3, the smaller; once for all metrics of the spectrum"

SEMANTIC: dict[str, Any] = {"facet": "semantic", "needs": "vectors", "cost": "n^2 d"}


@metric(
    name="pairwise_cosine_distance",
    higher_is="more diverse",
    range=(0, 2),
    source="Tevet and Berant 2021, arXiv:2004.02990",
    aliases=("mean pairwise distance", "embedding diversity", "mean_pw_dist", "APS"),
    pairwise=True,
    unbiased_in_n=True,
    confounds=CONFOUNDS,
    **SEMANTIC,
)
def pairwise_cosine_distance(answers: Answers) -> Matrix:
    """Mean of one minus the cosine over pairs of answers, raw: not calibrated."""
    return 1 - answers.cosines


@metric(
    name="median_cosine_distance",
    higher_is="more diverse",
    range=(0, 2),
    source="median form of Tevet and Berant 2021, arXiv:2004.02990",
    aliases=("median pairwise distance",),
    confounds=f"Blind to what fewer than half of the pairs do. {CONFOUNDS}",
    **SEMANTIC,
)
def median_cosine_distance(answers: Answers) -> float:
    """Median of one minus the cosine over pairs of answers: a few stray answers do not move it."""
    return float(np.median(1 - answers.cosines[upper(len(answers))]))


@lru_cache(maxsize=64)
def upper(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of an n x n matrix above its diagonal: each pair once."""
    rows, columns = np.triu_indices(n, 1)
    return rows, columns


@metric(
    name="centroid_distance",
    higher_is="more diverse",
    range=(0, 1),
    source="one minus the mean resultant length (Mardia and Jupp 2000, section 9.2)",
    aliases=("dispersion", "distance to centroid"),
    confounds=f"Rises with the number of answers, since each is part of the mean. {CONFOUNDS}",
    **{**SEMANTIC, "cost": "n d"},
)
def centroid_distance(answers: Answers) -> float:
    """Mean cosine distance of the answers to their mean direction: one minus the length of the mean vector."""
    return max(0.0, 1 - float(np.linalg.norm(answers.vectors.mean(axis=0))))


@metric(
    name="nearest_neighbour_distance",
    higher_is="more diverse",
    range=(0, 2),
    source="docs/metrics.md",
    aliases=("chamfer_dist", "mean nearest-neighbour distance"),
    confounds=f"Falls with the number of answers. {CONFOUNDS}",
    **SEMANTIC,
)
def nearest_neighbour_distance(answers: Answers) -> float:
    """Mean of one minus the cosine of each answer and the answer nearest to it."""
    others = np.where(np.eye(len(answers), dtype=bool), -np.inf, answers.cosines)
    return float((1 - others.max(axis=1)).mean())


@metric(
    name="semantic_near_duplicates",
    higher_is="less diverse",
    range=(0, 1),
    source="docs/metrics.md",
    aliases=("near_dup_rate", "semantic near-duplicate rate"),
    pairwise=True,
    unbiased_in_n=True,
    confounds=CONFOUNDS,
    **SEMANTIC,
)
def semantic_near_duplicates(answers: Answers) -> Matrix:
    """Share of pairs of answers with a cosine of 0.95 or more."""
    return (answers.cosines >= NEAR).astype(np.float64)


def hill(shares: NDArray[np.float64], order: float) -> float:
    """Hill number of shares that sum to 1, none of them 0: how many equal shares are as diverse.

    Parameters
    ----------
    shares : array
    order : float
        0 counts them, 1 is the exponential of their entropy, 2 the inverse of the chance that two draws agree,
        infinity the inverse of the largest.

    Returns
    -------
    float
        In [1, number of shares], never rising with the order.

    References
    ----------
    Hill 1973, "Diversity and evenness", Ecology 54(2).

    Examples
    --------
    >>> [round(hill(np.array([0.5, 0.25, 0.25]), order), 4) for order in (0, 1, 2, np.inf)]
    [3.0, 2.8284, 2.6667, 2.0]
    """
    if order == 1:
        return float(np.exp(-(shares * np.log(shares)).sum()))
    if np.isinf(order):
        return float(1 / shares.max())
    return float((shares**order).sum() ** (1 / (1 - order)))


def vendi_of(answers: Answers, *, order: float) -> float:
    """Hill number of the eigenvalues of the cosine matrix over n."""
    return max(1.0, hill(answers.spectrum, order))


def _of_order(function: Callable[..., float], order: float, documentation: str) -> Function:
    bound = partial(function, order=order)
    bound.__doc__ = documentation
    return bound


VENDI = {
    "vendi_0.5": (0.5, ("vendi score of order 0.5",)),
    "vendi": (1, ("vendi score", "VS")),
    "vendi_2": (2, ("rke", "RKE mode count", "effective rank of order 2")),
    "vendi_inf": (np.inf, ("vendi score of order infinity",)),
}
for _name, (_order, _aliases) in VENDI.items():
    metric(
        name=_name,
        higher_is="more diverse",
        range=(1, float("inf")),
        source="Friedman and Dieng 2023, arXiv:2210.02410; orders: Pasarkar and Dieng 2024, arXiv:2310.12952"
        + ("; Jalali et al. 2023, arXiv:2310.11714" if _order == 2 else ""),
        aliases=_aliases,
        confounds=AT_EQUAL_N,
        **{**SEMANTIC, "cost": EIGENVALUES},
    )(
        _of_order(
            vendi_of,
            _order,
            f"""Vendi score of order {_order:g}: Hill number of the eigenvalues of the cosine matrix over n.

            From 1, all answers alike, to n, all at right angles. Order 0.5 weighs rare directions more, infinity sees
            the largest only. The cosine is taken raw, since the calibrated similarity is not positive semi-definite.
            """,
        )
    )


@metric(
    name="kernel_entropy",
    higher_is="more diverse",
    range=(0, float("inf")),
    source="von Neumann entropy of the kernel: Bach 2022, arXiv:2202.08545; Nikitin et al. 2024, arXiv:2405.20003",
    aliases=("von Neumann entropy", "kernel language entropy", "VNE"),
    confounds=AT_EQUAL_N,
    **{**SEMANTIC, "cost": EIGENVALUES},
)
def kernel_entropy(answers: Answers) -> float:
    """Entropy, in nats, of the eigenvalues of the cosine matrix over n: the logarithm of the Vendi score."""
    return float(np.log(vendi_of(answers, order=1)))


@metric(
    name="squared_cosine",
    higher_is="less diverse",
    range=(0, 1),
    source="unbiased form of RKE: Jalali et al. 2023, arXiv:2310.11714",
    aliases=("k2_U", "rke_u"),
    pairwise=True,
    unbiased_in_n=True,
    confounds=f"An opposite direction counts as alike. {CONFOUNDS}",
    **SEMANTIC,
)
def squared_cosine(answers: Answers) -> Matrix:
    """Mean of the squared cosine over pairs of answers: what `vendi_2` inverts, without its dependence on n."""
    squared: Matrix = answers.cosines**2
    return squared


@metric(
    name="log_determinant",
    higher_is="more diverse",
    range=(0, float(np.log(2))),
    source="determinantal point processes: Kulesza and Taskar 2012, arXiv:1207.6083",
    aliases=("logdet", "log det", "DPP diversity"),
    confounds=f"Follows the number of answers and the 1 that is added. {CONFOUNDS}",
    **{**SEMANTIC, "cost": EIGENVALUES},
)
def log_determinant(answers: Answers) -> float:
    """Logarithm of the determinant of the cosine matrix plus the identity, over n.

    Without the identity it is minus infinity as soon as two answers are equal.
    """
    n = len(answers)
    return float(np.log1p(n * answers.spectrum).sum() / n)


@metric(
    name="participation_ratio",
    higher_is="neither",
    range=(1, float("inf")),
    source="Gao et al. 2017, bioRxiv 214262",
    aliases=("effective dimension", "PR"),
    min_n=3,
    confounds=f"Free of scale: a tiny ball counts as much as a large one. At most n - 1. {CONFOUNDS}",
    **SEMANTIC,
)
def participation_ratio(answers: Answers) -> float:
    """Number of directions in which the answers spread about their mean, however far: dimension, not diversity."""
    centred = answers.vectors - answers.vectors.mean(axis=0)
    product = centred @ centred.T  # has the eigenvalues of the covariance, up to a factor that cancels
    trace = np.trace(product)
    if trace < 1e-12 * len(answers):
        raise Undefined("all answers have the same vector")
    return float(trace**2 / (product**2).sum())


def leinster_cobbold_of(answers: Answers, *, order: float) -> float:
    """Hill number of the answers, each counted less the more the others are like it."""
    ordinariness = answers.likeness.mean(axis=1)
    if order == 1:
        return float(np.exp(-np.log(ordinariness).mean()))
    if np.isinf(order):
        return float(1 / ordinariness.max())
    return float((ordinariness ** (order - 1)).mean() ** (1 / (1 - order)))


for _order, _name in ((0, "0"), (1, "1"), (2, "2"), (np.inf, "inf")):
    metric(
        name=f"leinster_cobbold_{_name}",
        higher_is="more diverse",
        range=(1, float("inf")),
        source="Leinster and Cobbold 2012, Ecology 93(3), equation 1",
        aliases=(f"similarity-sensitive Hill number of order {_name}",),
        confounds=AT_EQUAL_N,
        **SEMANTIC,
    )(
        _of_order(
            leinster_cobbold_of,
            _order,
            f"""Effective number of answers of order {_name}, each counted less the more the others are like it.

            The similarity is that of `semantic.similarity`, calibrated. Each answer's likeness to itself counts: the
            effective number of the headline is the form of order 2 that does not depend on n.
            """,
        )
    )

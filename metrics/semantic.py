"""Dispersion of the embeddings of one prompt's answers."""

import numpy as np
from numpy.typing import NDArray

from diversity.registry import metric
from diversity.views import Answers

CONFOUNDS = "Gibberish, other languages and refusals embed far away. Depends on the embedding model."


@metric(
    name="pairwise_cosine_distance",
    facet="semantic",
    higher_is="more diverse",
    range=(0, 2),
    source="Tevet and Berant 2021, arXiv:2004.02990",
    aliases=("mean pairwise distance", "embedding diversity"),
    needs="vectors",
    pairwise=True,
    unbiased_in_n=True,
    confounds=CONFOUNDS,
)
def pairwise_cosine_distance(answers: Answers) -> NDArray[np.float64]:
    """Mean of one minus the cosine over pairs of answers, raw: not calibrated."""
    return 1 - answers.cosines


@metric(
    name="vendi",
    facet="semantic",
    higher_is="more diverse",
    range=(1, float("inf")),
    source="Friedman and Dieng 2023, arXiv:2210.02410",
    aliases=("vendi score",),
    needs="vectors",
    confounds=f"At most the number of answers, and rises with it: compare at equal n only. {CONFOUNDS}",
)
def vendi(answers: Answers) -> float:
    """Vendi score: exponential of the entropy of the eigenvalues of the cosine matrix over n."""
    weights = np.linalg.eigvalsh(answers.cosines / len(answers)).clip(0)
    weights = weights[weights > 1e-12] / weights.sum()
    return float(np.exp(-(weights * np.log(weights)).sum()))

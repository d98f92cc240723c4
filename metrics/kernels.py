"""The kernel of each facet: a similarity in [0, 1] between two answers; its pair mean gives the effective number."""

import numpy as np
from numpy.typing import NDArray

from diversity.calibration import Calibration
from diversity.registry import metric
from diversity.views import Answers, Undefined

Matrix = NDArray[np.float64]

HEADLINE = {
    "pairwise": True,
    "headline": True,
    "unbiased_in_n": True,
}


def jaccard(incidence: NDArray[np.float32]) -> tuple[Matrix, NDArray[np.bool_]]:
    """Jaccard similarity of the rows of a zero-one matrix, and for which pairs it is defined."""
    shared = (incidence @ incidence.T).astype(float)
    sizes = incidence.sum(axis=1, dtype=float)
    union = sizes[:, None] + sizes[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0), union > 0


@metric(
    name="lexical.similarity",
    facet="lexical",
    higher_is="less diverse",
    range=(0, 1),
    source="Jaccard of word shingles (Broder 1997), orders 1 to 3 averaged",
    confounds="Falls when the lengths of the answers differ; rises slowly with length. Read it with the "
    "length-matched condition.",
    **HEADLINE,
)
def lexical_similarity(answers: Answers) -> Matrix:
    """Share of word 1-, 2- and 3-grams that two answers have in common, averaged over the orders.

    Orders at which neither answer has an n-gram are left out; two empty answers are alike.
    """
    total = np.zeros((len(answers), len(answers)))
    defined = np.zeros_like(total)
    for order in (1, 2, 3):
        similarity, known = jaccard(answers.words.incidence(order))
        total += similarity
        defined += known
    return np.divide(total, defined, out=np.ones_like(total), where=defined > 0)


@metric(
    name="syntactic.similarity",
    facet="syntactic",
    higher_is="less diverse",
    range=(0, 1),
    source="Weisfeiler-Lehman subtree kernel (Shervashidze et al. 2011) for code; for prose Ruzicka over the "
    "n-grams of word shapes, after the part-of-speech templates of Shaib et al. 2024 (arXiv:2407.00211)",
    needs="form",
    confounds="Answers that do not parse are left out and counted. Longer programs share more common nodes.",
    **HEADLINE,
)
def syntactic_similarity(answers: Answers) -> Matrix:
    """Likeness of form: of the normalised syntax trees for code, of the word-shape sequences for prose."""
    return tree_similarity(answers) if answers.language else shape_similarity(answers)


def tree_similarity(answers: Answers) -> Matrix:
    """Cosine of the counts of subtrees cut to 1, 2 and 3 levels, over the normalised trees that parse."""
    forest = answers.forest
    tables = []
    for levels in (1, 2, 3):
        distinct, columns = np.unique(forest.subtrees(levels), return_inverse=True)
        cells = forest.owners * len(distinct) + columns
        tables.append(np.bincount(cells, minlength=forest.n * len(distinct)).reshape(forest.n, -1))
    counts = np.hstack(tables).astype(float)
    counts /= np.linalg.norm(counts, axis=1, keepdims=True)
    similarity: Matrix = np.clip(counts @ counts.T, 0, 1)
    return similarity


def shape_similarity(answers: Answers) -> Matrix:
    """Ruzicka similarity (sum of minima over sum of maxima) of shape 3-, 4- and 5-grams, averaged."""
    shapes = answers.shapes
    total = np.zeros((len(answers), len(answers)))
    defined = np.zeros_like(total)
    for order in (3, 4, 5):
        # The t-th occurrence of an n-gram as a column of its own turns minima of counts into a matrix product.
        similarity, known = jaccard(shapes.occurrences(order))
        total += similarity
        defined += known
    return np.divide(total, defined, out=np.ones_like(total), where=defined > 0)


@metric(
    name="semantic.similarity",
    facet="semantic",
    higher_is="less diverse",
    range=(0, 1),
    source="Cosine of sentence embeddings (Reimers and Gurevych 2019), calibrated: docs/semantic-kernel.md",
    needs="vectors",
    confounds="Gibberish and refusals embed far away and read as diversity: see the valid condition.",
    **HEADLINE,
)
def semantic_similarity(answers: Answers) -> Matrix:
    """Probability that two answers to one prompt say the same, read from the cosine of their embeddings."""
    calibration = answers.calibration or Calibration.uncalibrated(0.0)
    return calibration(answers.cosines)


@metric(
    name="functional.similarity",
    facet="functional",
    higher_is="less diverse",
    range=(0, 1),
    source="Collision probability of behaviour classes (Simpson 1949; Shypula et al. 2025, arXiv:2504.12522)",
    confounds="On a task with one right behaviour a better checkpoint is a narrower one.",
    **HEADLINE,
)
def functional_similarity(answers: Answers) -> Matrix:
    """Whether two answers behave alike: same results on the domain's inputs, same final answer, same label."""
    if answers.behaviours is None:
        raise Undefined("no behaviour was recorded")
    _, classes = np.unique(np.array(answers.behaviours, dtype=object).astype(str), return_inverse=True)
    return np.equal.outer(classes, classes).astype(np.float64)

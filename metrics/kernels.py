"""The kernel of each facet: a similarity in [0, 1] between two answers; its pair mean gives the effective number."""

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.registry import metric
from diversity.sequences import Batch, Sequences, classes
from diversity.views import NO_BEHAVIOUR, Answers

Matrix = NDArray[np.float64]

HEADLINE = {
    "pairwise": True,
    "headline": True,
    "unbiased_in_n": True,
}


@metric(
    name="lexical.similarity",
    facet="lexical",
    aliases=("lexical.s_U", "word shingle similarity"),
    cost="n^2, a product of sparse counts an order",
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
    return answers.words.per_pair(_mean_overlap, (1, 2, 3), False)


@metric(
    name="syntactic.similarity",
    facet="syntactic",
    aliases=("syntactic.s_U", "similarity of form"),
    cost="n^2, a product of sparse counts a level; parsing is linear in the text",
    higher_is="less diverse",
    range=(0, 1),
    source="Ruzicka over the subtree features of Shervashidze et al. 2011 for code; for prose over the "
    "n-grams of word shapes, after the part-of-speech templates of Shaib et al. 2024 (arXiv:2407.00211)",
    needs="form",
    confounds="Answers that do not parse are left out and counted. Longer programs share more common nodes.",
    **HEADLINE,
)
def syntactic_similarity(answers: Answers) -> Matrix:
    """Likeness of form: of the normalised syntax trees for code, of the word-shape sequences for prose."""
    return tree_similarity(answers) if answers.language else shape_similarity(answers)


def tree_similarity(answers: Answers) -> Matrix:
    """Ruzicka similarity of the subtrees cut to 1, 2 and 3 levels, averaged, over the normalised trees that parse.

    Not the cosine of their counts, which is the published kernel and stands beside it as `wl_similarity`: the few
    node kinds that every program has outweigh all else there, and programs of one task score 0.86 whatever they do.
    """
    forest = answers.forest
    similarity: Matrix = np.mean([forest.bag(levels).ruzicka() for levels in (1, 2, 3)], axis=0)
    return similarity[np.ix_(forest.which, forest.which)]


def ruzicka(tokens: Sequences, orders: tuple[int, ...]) -> Matrix:
    """Ruzicka similarity (sum of minima over sum of maxima) of token n-grams, averaged over the orders.

    Orders at which neither answer has an n-gram are left out; two answers without any are alike.
    """
    return tokens.per_pair(_mean_overlap, orders, True)


def _mean_overlap(tokens: Batch, orders: tuple[int, ...], counted: bool) -> Matrix:
    """Overlap of n-grams averaged over the orders that one answer of a pair has, shape (sets, n, n)."""
    similarity, known = tokens.overlap(orders[0], counted=counted)
    total, defined = similarity.copy(), known.astype(np.float64)
    for order in orders[1:]:
        similarity, known = tokens.overlap(order, counted=counted)
        total += similarity
        defined += known
    return np.divide(total, defined, out=np.ones_like(total), where=defined > 0)


def shape_similarity(answers: Answers) -> Matrix:
    """Ruzicka similarity of shape 3-, 4- and 5-grams, averaged."""
    return ruzicka(answers.shapes, (3, 4, 5))


@metric(
    name="semantic.similarity",
    facet="semantic",
    aliases=("semantic.s_U", "calibrated cosine similarity"),
    cost="n^2 d, and the embedding of each different answer",
    higher_is="less diverse",
    range=(0, 1),
    source="Cosine of sentence embeddings (Reimers and Gurevych 2019), calibrated: docs/semantic-kernel.md",
    needs="vectors",
    confounds="Gibberish and refusals embed far away and read as diversity: see the valid condition.",
    **HEADLINE,
)
def semantic_similarity(answers: Answers) -> Matrix:
    """How far two answers to one prompt say the same, beyond what unrelated answers do: 0 for those, 1 for equal ones.

    The cosine of their embeddings through a curve fitted to people's judgements. It is their agreement above the
    floor of unrelated answers, not the probability that a judge calls them the same: see docs/semantic-kernel.md.
    """
    return answers.likeness


@metric(
    name="functional.similarity",
    facet="functional",
    aliases=("functional.s_U", "behaviour collision"),
    cost="n^2",
    higher_is="less diverse",
    range=(0, 1),
    source="Collision probability of behaviour classes (Simpson 1949; Shypula et al. 2025, arXiv:2504.12522)",
    confounds="On a task with one right behaviour a better checkpoint is a narrower one.",
    **HEADLINE,
)
def functional_similarity(answers: Answers) -> Matrix:
    """Whether two answers behave alike: same results on the domain's inputs, same final answer, same label.

    Answers of which nothing was observed, such as those without a program, are left out and counted.
    """
    if answers.behaviours is None:
        raise Undefined(NO_BEHAVIOUR)
    observed = [behaviour for behaviour in answers.behaviours if behaviour is not None]
    if len(observed) < 2:
        raise Undefined(f"{len(observed)} answers have a behaviour, 2 are needed")
    same = classes(observed)
    return np.equal.outer(same, same).astype(np.float64)

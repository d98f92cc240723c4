"""How alike two answers are as strings of words or of characters: a matrix over the answers, averaged over pairs."""

import numpy as np
from numpy.typing import NDArray

from diversity.metrics.kernels import lexical_similarity
from diversity.registry import Function, metric, variant
from diversity.sequences import Sequences
from diversity.views import Answers

Matrix = NDArray[np.float64]

LONGEST = 10_000  # tokens or characters of an answer that the quadratic comparisons read
NEAR = 0.8
LENGTHS = "Falls when the lengths of the answers differ: read it with the length-matched condition."


def ngram_overlap(answers: Answers, *, order: int, counted: bool = False) -> Matrix:
    """Share of the n-grams of two answers that both have: Jaccard of the sets or, counted, Ruzicka of the multisets.

    Two answers too short for the order are alike if they are equal, and not alike otherwise.
    """
    words = answers.words
    similarity, defined = words.overlap(order, counted=counted)
    return np.where(defined, similarity, np.equal.outer(words.classes, words.classes))


def self_rouge_l(answers: Answers) -> Matrix:
    """ROUGE-L among the answers: twice their longest common subsequence of words over the sum of their lengths.

    Two empty answers are alike. Words are those of our tokeniser: `rouge_score` lowercases and drops all but a-z and
    0-9, so that two equal Chinese texts score 0. Reads the first 10,000 words of an answer.
    """
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cdist

    words = answers.words
    texts = [text[:LONGEST] for text in words.strings]
    common = cdist(texts, texts, scorer=LCSseq.similarity, dtype=np.int32)
    lengths = np.minimum(words.lengths, LONGEST)
    both = lengths[:, None] + lengths[None, :]
    similarity: Matrix = np.divide(2.0 * common, both, out=np.ones(both.shape), where=both > 0)
    return similarity


def self_chrf(answers: Answers, *, orders: int = 6, beta: int = 2) -> Matrix:
    """chrF2 of each answer against each other one, both ways averaged: F-score of shared character 1- to 6-grams.

    White space is left out, and so are orders that one of the two is too short for: the values of sacrebleu's
    `sentence_chrf`, from 0 to 1. Two empty answers are alike. One reference at a time: its multi-reference form
    takes the best one and rises with the number of answers.
    """
    characters = answers.characters
    n = len(answers)
    precision, known = np.zeros((n, n)), np.zeros((n, n))
    for order in range(1, orders + 1):
        totals = np.maximum(characters.lengths - order + 1, 0)
        defined = (totals[:, None] > 0) & (totals[None, :] > 0)
        precision += np.where(defined, characters.shared(order, counted=True) / np.maximum(totals, 1)[:, None], 0)
        known += defined
    precision /= np.maximum(known, 1)
    # What one answer's precision is against the other is the other's recall against it.
    recall = precision.T
    both = beta**2 * precision + recall
    score = np.divide((1 + beta**2) * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    empty = characters.lengths == 0
    score[np.ix_(empty, empty)] = 1
    return (score + score.T) / 2


def edit_distance(answers: Answers, *, unit: str) -> Matrix:
    """Insertions, deletions and replacements that turn one answer into the other, over the longer length.

    Two empty answers are alike. Reads the first 10,000 units of an answer.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    texts = answers.words.strings if unit == "words" else list(answers.read)
    texts = [text[:LONGEST] for text in texts]
    distance: Matrix = cdist(texts, texts, scorer=Levenshtein.normalized_distance, dtype=np.float64)
    return distance


def near_duplicates(answers: Answers) -> Matrix:
    """Share of pairs of answers with a Jaccard similarity of 0.8 or more, averaged over word 1-, 2- and 3-grams.

    The similarity is the lexical kernel, which leaves out the orders that both answers are too short for.
    """
    return np.greater_equal(lexical_similarity(answers), NEAR - 1e-9).astype(np.float64)


def ngram_vendi(answers: Answers, *, orders: tuple[int, ...] = (1, 2)) -> float:
    """Vendi score (q = 1) of the cosines of word n-gram counts, averaged over orders 1 and 2.

    The effective number of answers: exponential of the entropy of the eigenvalues of the matrix over n. Two answers
    too short for an order are alike in it if they are equal.
    """
    words = answers.words
    kernel = np.mean([_cosines(words, order) for order in orders], axis=0)
    weights = np.linalg.eigvalsh(kernel / len(answers))
    weights = weights[weights > 1e-12]
    return float(np.exp(-(weights * np.log(weights)).sum()))


def _cosines(words: Sequences, order: int) -> Matrix:
    products = words.products(order)
    norms = np.sqrt(np.diag(products))
    scale = norms[:, None] * norms[None, :]
    alike = np.equal.outer(words.classes, words.classes).astype(np.float64)
    cosines: Matrix = np.divide(products, scale, out=alike, where=scale > 0)
    return cosines


def _register(
    name: str,
    function: Function,
    source: str,
    *aliases: str,
    more: bool = False,
    confounds: str = LENGTHS,
    cost: str = "n^2, a product of sparse counts an order",
    default: bool = False,
    facet: str = "lexical",
) -> None:
    metric(
        name=name,
        facet=facet,
        higher_is="more diverse" if more else "less diverse",
        range=(0, 1),
        source=source,
        pairwise=True,
        unbiased_in_n=True,
        aliases=aliases,
        confounds=confounds,
        cost=cost,
        default=default,
    )(function)


BIT_PARALLEL = "n^2 L^2 / 64 (bit-parallel)"
for _n in (1, 2, 3):
    _register(
        f"jaccard_{_n}",
        variant(
            ngram_overlap,
            f"Share of the word {_n}-grams of two answers that both have: Jaccard similarity of the sets",
            order=_n,
        ),
        "Broder 1997",
        f"jaccard-{_n}",
        f"{_n}-gram jaccard similarity",
    )
    _register(
        f"ruzicka_{_n}",
        variant(
            ngram_overlap,
            f"Share of the word {_n}-grams of two answers that both have, as often as they occur: Ruzicka similarity",
            order=_n,
            counted=True,
        ),
        "Ruzicka 1958",
        f"ruzicka-{_n}",
        f"multiset jaccard {_n}",
    )
_register(
    "self_rouge_l",
    self_rouge_l,
    "Lin 2004; homogenization score of Padmakumar and He 2024, arXiv:2309.05196",
    "self-rouge-l",
    "homogenization_score",
    "homogenization_rouge_l",
    "homogenisation_rouge_l",
    "rouge-l homogenization",
    cost=BIT_PARALLEL,
    default=True,
)
_register(
    "self_chrf",
    self_chrf,
    "Popovic 2015; values of sacrebleu (Post 2018, arXiv:1804.08771)",
    "self-chrf",
    "pair_chrf",
    "homogenization_chrf",
    "homogenisation_chrf",
    confounds=f"{LENGTHS} Any two texts in one script share characters: unrelated ones score well above 0.",
    cost="n^2, a product of sparse counts of characters an order: some five times self-BLEU",
)
_register(
    "edit_distance_words",
    variant(
        edit_distance,
        "Words inserted, deleted and replaced that turn one answer into the other, over the longer length",
        unit="words",
    ),
    "Levenshtein 1966",
    "levenshtein_norm",
    "normalised token edit distance",
    more=True,
    confounds="Rises when the lengths of the answers differ: read it with the length-matched condition.",
    cost=BIT_PARALLEL,
    default=True,
)
_register(
    "edit_distance_characters",
    variant(
        edit_distance,
        "Characters inserted, deleted and replaced that turn one answer into the other, over the longer length",
        unit="characters",
    ),
    "Levenshtein 1966",
    "levenshtein_norm_char",
    "normalised edit distance",
    more=True,
    confounds="Rises when the lengths of the answers differ: read it with the length-matched condition.",
    cost=BIT_PARALLEL,
)
_register(
    "near_duplicates",
    near_duplicates,
    "docs/metrics.md; shingles of Broder 1997",
    "near-duplicate rate",
    facet="guard",
    default=True,
)
metric(
    name="ngram_vendi",
    facet="lexical",
    higher_is="more diverse",
    range=(1, float("inf")),
    source="Friedman and Dieng 2023, arXiv:2210.02410, section 5",
    aliases=("ngram_vendi_score", "n-gram vendi score"),
    confounds="At most the number of answers, and rises with it: compare at equal n only.",
    cost="n^2, a product of sparse counts an order; eigenvalues of an n x n matrix",
    default=False,
)(ngram_vendi)

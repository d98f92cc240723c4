"""Lexical measures over the pooled words of one prompt's answers: how many n-grams are new, and how evenly used."""

import math

import numpy as np
from numpy.typing import NDArray

from diversity.counts import all_rarefied, entropies, entropy_chao_wang_jost, entropy_grassberger, hill
from diversity.errors import Undefined
from diversity.registry import Function, metric, variant
from diversity.sequences import Batch, classes
from diversity.views import Answers

Array = NDArray[np.float64]

VOCABULARY = 50257  # of GPT-2's tokeniser, as in Kirk et al. 2024
DRAWS = 100
OPENING = 3
POOLED = "Falls with the number of answers and with their length, whatever the law they are drawn from."
LI = "Li et al. 2016, arXiv:1510.03055"
KIRK = "Kirk et al. 2024, arXiv:2310.06452"
LIU = "Liu et al. 2022, arXiv:2202.13587"
ZHANG = "Zhang et al. 2018, arXiv:1809.05972"


def _counted(answers: Answers, order: int) -> tuple[int, int]:
    """How many n-grams there are, and how many different ones."""
    total, different = answers.words.counted(order)
    if not total:
        raise Undefined(f"no answer has {order} words")
    return total, different


def distinct_n(answers: Answers, *, order: int) -> float:
    """Share of n-grams that are different, all answers of the prompt pooled.

    No n-gram crosses from one answer into the next; answers shorter than the order have none. Undefined when no
    answer is long enough, where other packages give 0.
    """
    total, different = _counted(answers, order)
    return different / total


def averaged_distinct(answers: Answers, *, orders: int = 5) -> float:
    """Mean of distinct-1 to distinct-5. Undefined when no answer has five words."""
    return sum(distinct_n(answers, order=order) for order in range(1, orders + 1)) / orders


def ngram_diversity_sum(answers: Answers, *, orders: int = 4) -> float:
    """Sum of distinct-1 to distinct-4.

    The `diversity` package joins the answers first and splits at single blanks, so that it also counts n-grams that
    cross from one answer into the next; here none does. Undefined when no answer has four words.
    """
    return float(sum(distinct_n(answers, order=order) for order in range(1, orders + 1)))


def rarefied_distinct(answers: Answers, *, order: int, draws: int = DRAWS) -> float:
    """Share of different n-grams expected among 100 drawn without replacement from all answers of the prompt.

    In closed form: one minus the hypergeometric chance that an n-gram is missed, summed over the n-grams. The size
    of the draw is fixed, so that neither more answers nor longer ones lower it. Undefined below 100 n-grams.
    """
    total, _ = _counted(answers, order)
    if total < draws:
        raise Undefined(f"{total} {order}-grams in all, {draws} are needed")
    return float(answers.words.per_set(_rarefied, order, draws) / draws)


def _rarefied(words: Batch, order: int, draws: int) -> Array:
    return all_rarefied(*words.told(Batch.frequencies, order), draws=draws, sets=len(words))


def expectation_adjusted_distinct(answers: Answers, *, order: int, vocabulary: int = VOCABULARY) -> float:
    """Different n-grams over those expected of as many drawn evenly from a vocabulary of 50,257 (EAD).

    The vocabulary is a constant of the measure: the same for both checkpoints and for all orders, as Kirk et al. do.
    Text of a few hundred words hardly repeats a word of so many by chance, so that it nearly equals distinct-n: it
    does not take the effect of length out. `rarefied_distinct` does. Above 1 for a vocabulary set too small.
    """
    total, different = _counted(answers, order)
    # 1 - ((V - 1) / V)^C without the loss of digits at large V.
    expected = -math.expm1(total * math.log1p(-1 / vocabulary)) * vocabulary
    return different / expected


def averaged_ead(answers: Answers, *, orders: int = 5) -> float:
    """Mean of the expectation-adjusted distinct of orders 1 to 5, over a vocabulary of 50,257.

    At such a vocabulary it nearly equals the mean of distinct-1 to distinct-5, and keeps its fall with length.
    Undefined when no answer has five words.
    """
    return sum(expectation_adjusted_distinct(answers, order=order) for order in range(1, orders + 1)) / orders


def ngram_entropy(answers: Answers, *, order: int, estimator: str = "plug-in") -> float:
    """Shannon entropy of the pooled n-grams, in nats.

    The plug-in estimate is too low by some (kinds - 1) / (2 n-grams). "miller-madow" adds that; "grassberger" corrects
    each count; "chao-wang-jost" adds what the n-grams seen once and twice tell of the unseen ones. All three are less
    biased, none is free of bias. "normalised" divides by the logarithm of the number of n-grams, the highest value at
    that length.
    """
    total, different = _counted(answers, order)
    if estimator == "grassberger":
        return entropy_grassberger(*answers.words.frequencies(order))
    if estimator == "chao-wang-jost":
        return entropy_chao_wang_jost(*answers.words.frequencies(order))
    plain = float(answers.words.per_set(_entropy, order))
    if estimator == "miller-madow":
        return plain + (different - 1) / (2 * total)
    if estimator == "normalised":
        if total < 2:
            raise Undefined(f"one {order}-gram in all, 2 are needed")
        return plain / float(np.log(total))
    return plain


def _entropy(words: Batch, order: int) -> Array:
    return entropies(*words.told(Batch.frequencies, order), sets=len(words))


def ngram_hill(answers: Answers, *, order: int, q: float) -> float:
    """Effective number of n-grams of order q (Hill number), all answers pooled.

    q = 0 counts the different ones, 1 is the exponential of their entropy, 2 the inverse chance that two draws with
    replacement agree, infinity the inverse share of the most frequent one.
    """
    _counted(answers, order)
    counts, kinds = answers.words.frequencies(order)
    return hill(counts, q, kinds)


def self_repetition(answers: Answers, *, order: int = 4) -> float:
    """Mean over the answers of log(1 + how often its different 4-grams occur in other answers).

    An n-gram counts once for each other answer that has it. Answers below four words count as 0. Undefined when no
    answer has four words.
    """
    _counted(answers, order)
    return float(answers.words.per_set(_self_repetition, order) / len(answers))


def _self_repetition(words: Batch, order: int) -> Array:
    cells = words.cells(order)
    others = np.bincount(cells.owners, weights=(cells.holders - 1)[cells.ids], minlength=len(words.lengths))
    return words.of_sets(np.log1p(others))


def template_share(answers: Answers, *, order: int = 4) -> float:
    """Share of 4-grams, each counted as often as it occurs, that two or more answers have."""
    total, _ = _counted(answers, order)
    return float(answers.words.per_set(_held_by_several, order) / total)


def _held_by_several(words: Batch, order: int) -> Array:
    """How many n-grams of each set two answers or more have, each counted as often as it occurs."""
    cells = words.cells(order)
    held = cells.counts * (cells.holders > 1)[cells.ids]
    return words.of_sets(np.bincount(cells.owners, weights=held, minlength=len(words.lengths)))


def openings(answers: Answers) -> NDArray[np.int64]:
    """Return a class for each answer by its first three words; a shorter answer is its own opening."""
    return classes([codes[:OPENING].tobytes() for codes in answers.tokens])


def top_opening_share(answers: Answers) -> float:
    """Share of answers that begin with the most common three words.

    The share of a maximum is too high at small n; `same_opening` is not.
    """
    return float(np.bincount(openings(answers)).max() / len(answers))


def same_opening(answers: Answers) -> NDArray[np.float64]:
    """Share of pairs of answers that begin with the same three words."""
    same = openings(answers)
    return np.equal.outer(same, same).astype(np.float64)


def _register(
    name: str,
    function: Function,
    source: str,
    *aliases: str,
    top: float = 1,
    more: bool = True,
    confounds: str = POOLED,
    default: bool = True,
    pairwise: bool = False,
    bottom: float = 0,
) -> None:
    metric(
        name=name,
        facet="lexical",
        higher_is="more diverse" if more else "less diverse",
        range=(bottom, top),
        source=source,
        aliases=aliases,
        confounds=confounds,
        default=default,
        pairwise=pairwise,
        unbiased_in_n=pairwise,
    )(function)


DRAWN = (
    "Free of the number of n-grams. An n-gram counts as drawn apart from its neighbours, so that boilerplate which "
    "longer answers add still lowers it: read it with the length-matched condition."
)
ENTROPY = "Rises with the number of answers and with their length."
INF = float("inf")
_GRAMS = {1: "words", 2: "2-grams", 3: "3-grams", 4: "4-grams"}
for _n, _what in _GRAMS.items():
    _register(
        f"distinct_{_n}",
        variant(distinct_n, f"Share of {_what} that are different, all answers of the prompt pooled", order=_n),
        LI,
        f"distinct-{_n}",
        f"dist-{_n}",
    )
_register("averaged_distinct", averaged_distinct, KIRK, "averaged distinct n-grams", "averaged_distinct_n")
_register(
    "ngram_diversity_sum",
    ngram_diversity_sum,
    "Padmakumar and He 2024, arXiv:2309.05196; Meister et al. 2023, arXiv:2202.00666",
    "ngram_diversity_score",
    "n-gram diversity",
    top=4,
    default=False,
)
for _n in (1, 2, 3):
    _register(
        f"rarefied_distinct_{_n}",
        variant(
            rarefied_distinct,
            f"Share of different {_GRAMS[_n]} expected among 100 drawn without replacement from all answers",
            order=_n,
        ),
        "Hurlbert 1971; HD-D (McCarthy and Jarvis 2007) of n-grams over a set of answers",
        f"distinct_{_n}_rarefied",
        confounds=DRAWN,
    )
_register(
    "ead", averaged_ead, f"{LIU}; mean over orders of {KIRK}", "expectation-adjusted distinct", "averaged_ead", top=INF
)
for _n, _what in _GRAMS.items():
    _register(
        f"ead_{_n}",
        variant(
            expectation_adjusted_distinct,
            f"Different {_what} over those expected of as many drawn evenly from a vocabulary of 50,257 (EAD)",
            order=_n,
        ),
        LIU,
        f"ead-{_n}",
        f"expectation_adjusted_distinct_{_n}",
        top=INF,
        default=False,
    )
for _n, _what in _GRAMS.items():
    _register(
        f"ngram_entropy_{_n}",
        variant(ngram_entropy, f"Shannon entropy of the pooled {_what}, in nats, plug-in estimate", order=_n),
        ZHANG,
        f"ent-{_n}",
        f"entropy-{_n}",
        top=INF,
        confounds=ENTROPY,
        default=_n == 2,
    )
    for _estimator, _source, _short in (
        ("miller-madow", "Miller 1955", "mm"),
        ("grassberger", "Grassberger 2003, arXiv:physics/0307138", "grassberger"),
        ("chao-wang-jost", "Chao, Wang and Jost 2013, Methods in Ecology and Evolution 4(11)", "cwj"),
    ):
        _register(
            f"ngram_entropy_{_n}_{_estimator.replace('-', '_')}",
            variant(
                ngram_entropy,
                f"Shannon entropy of the pooled {_what}, in nats, {_estimator.title()} estimate",
                order=_n,
                estimator=_estimator,
            ),
            _source,
            f"ent-{_n}-{_short}",
            top=INF,
            confounds=f"{ENTROPY} Less biased than the plug-in estimate, not free of bias.",
            default=False,
        )
    _register(
        f"ngram_entropy_{_n}_normalised",
        variant(
            ngram_entropy,
            f"Shannon entropy of the pooled {_what} over the logarithm of their number",
            order=_n,
            estimator="normalised",
        ),
        ZHANG,
        f"ent-{_n}-normalised",
        f"ngram_entropy_{_n}_normalized",
        default=False,
    )
for _n, _what in _GRAMS.items():
    for _q, _word in ((0, "0"), (1, "1"), (2, "2"), (INF, "inf")):
        _register(
            f"ngram_hill_{_n}_q{_word}",
            variant(
                ngram_hill,
                f"Effective number of {_what} of order {_word} (Hill number), all answers pooled",
                order=_n,
                q=_q,
            ),
            "Hill 1973; Jost 2006",
            f"hill number of order {_word} of {_n}-grams",
            top=INF,
            bottom=1,
            confounds=ENTROPY,
            default=False,
        )
_register(
    "self_repetition",
    self_repetition,
    "Salkar et al. 2022; Shaib et al. 2024, arXiv:2403.00553",
    "self_repetition_score",
    "self-repetition",
    top=INF,
    more=False,
    confounds="Rises with the number of answers and with their length.",
)
_register(
    "template_share",
    template_share,
    "Bounded companion of self-repetition (Salkar et al. 2022)",
    "shared 4-gram share",
    top=1,
    more=False,
    confounds="Rises with the number of answers and with their length.",
)
_register(
    "top_opening_share",
    top_opening_share,
    "docs/metrics.md",
    "opening-words mass",
    more=False,
    confounds="Too high at small n.",
)
_register(
    "same_opening",
    same_opening,
    "Collision probability (Simpson 1949) of the first three words",
    "opening collision",
    more=False,
    confounds="A format that every answer shares (a heading, a greeting) raises it.",
    pairwise=True,
)

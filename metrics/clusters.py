"""Classes of meaning: which of one prompt's answers say the same, by the embeddings or by a judge.

A judge is any callable that takes different answers, as a tuple in alphabetical order, and their prompt, and returns
a label for each. Equal labels mean the same; None says that it could not tell. It is given to
`diversity.score(..., judge=...)`; `Entailment` is one. Without a judge the embeddings decide. See
docs/meaning-classes.md.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from diversity.errors import InputError, MissingExtra, Undefined
from diversity.metrics.kernels import Matrix
from diversity.metrics.semantic import CONFOUNDS, SEMANTIC, hill
from diversity.registry import metric
from diversity.views import Answers, Judge

__all__ = ["Entailment", "Judge", "classes", "linked"]

SAME = 0.5  # similarity from which two answers, or two classes on average, say the same
PATIENCE = 0.8

BY_CLASS = f"One threshold cuts a continuum. Without a judge: {CONFOUNDS}"
CLASSES: dict[str, Any] = {**SEMANTIC, "cost": "n^2 d, or what the judge takes"}
Predict = Callable[[Sequence[tuple[str, str]]], NDArray[np.float64]]


def linked(similarity: Matrix) -> NDArray[np.int64]:
    """Classes of items by average linkage: two classes join while their mean similarity is 0.5 or more.

    Parameters
    ----------
    similarity : n x n array in [0, 1]

    Returns
    -------
    array of n labels, from 0 in the order of their first items

    Notes
    -----
    By chains of nearest neighbours (Murtagh 1983), with ties broken as in scipy.cluster.hierarchy. To load that takes
    half a second in each process that measures, longer than to link a thousand prompts.
    """
    n = len(similarity)
    # The mean of many similarities of exactly 0.5 may miss it by rounding.
    furthest = 1 - SAME + 1e-12
    distance = np.triu((1 - similarity).clip(0), 1)
    distance += distance.T
    np.fill_diagonal(distance, np.inf)
    label, size = np.arange(n), np.ones(n)
    chain: list[int] = []
    for _ in range(n - 1 if n > 1 and distance.min() <= furthest else 0):
        if not chain:
            chain = [int((size > 0).argmax())]
        while True:
            x = chain[-1]
            y = int(distance[x].argmin())
            if len(chain) > 1 and distance[x, chain[-2]] <= distance[x, y]:
                break
            chain.append(y)
        # Two that are nearest to each other are joined, under the name of the later.
        x, y = sorted((chain.pop(), chain.pop()))
        if distance[x, y] <= furthest:
            label[label == label[x]] = label[y]
        means = (size[x] * distance[x] + size[y] * distance[y]) / (size[x] + size[y])
        size[x], size[y] = 0, size[x] + size[y]
        distance[y] = distance[:, y] = means
        distance[x] = distance[:, x] = distance[y, y] = np.inf
    return _numbered(label.tolist())


def _numbered(labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Labels as integers from 0, in the order in which they first occur."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)


def classes(answers: Answers) -> NDArray[np.int64]:
    """Class of meaning of each answer, as integers from 0.

    Equal answers are of one class. The order of the answers does not count: they are judged, or linked, in
    alphabetical order.

    Raises
    ------
    Undefined
        When the judge could not tell, or there is neither a judge nor an embedding model.
    InputError
        When the judge returns another number of labels than it was given answers.
    """
    if answers not in _found:
        _found[answers] = _classes(answers)
    return _found[answers]


# Three metrics ask for the classes of one set of answers.
_found: WeakKeyDictionary[Answers, NDArray[np.int64]] = WeakKeyDictionary()


def _classes(answers: Answers) -> NDArray[np.int64]:
    if answers.judge is None:
        order = np.argsort(np.array(answers.read, dtype=object), kind="stable")
        labels = np.empty(len(answers), dtype=np.int64)
        labels[order] = linked(answers.likeness[np.ix_(order, order)])
        return labels
    different = tuple(sorted(set(answers.read)))
    judged = list(answers.judge(different, answers.prompt))
    if len(judged) != len(different):
        raise InputError(
            f"the judge gave {len(judged)} labels for {len(different)} answers: it must return one label for each"
        )
    untold = sum(label is None for label in judged)
    if untold:
        raise Undefined(f"the judge could not tell for {untold} of {len(different)} different answers")
    label_of = dict(zip(different, judged, strict=True))
    return _numbered([label_of[text] for text in answers.read])


def _shares(answers: Answers) -> NDArray[np.float64]:
    """Share of the answers that each class of meaning has."""
    return np.bincount(classes(answers)) / len(answers)


@metric(
    name="meanings",
    higher_is="more diverse",
    range=(1, float("inf")),
    source="Zhang et al. 2025, arXiv:2504.05228, section 3",
    aliases=("distinct_k", "cluster count", "number of semantic clusters"),
    confounds=f"At most the number of answers, and rises with it: compare at equal n only. {BY_CLASS}",
    **CLASSES,
)
def meanings(answers: Answers) -> float:
    """Number of classes of meaning among the answers: distinct_k, with k the number of answers.

    By default classes are joined while their answers are alike to 0.5 or more on average, by the calibrated
    similarity; a judge decides where one is given.
    """
    return hill(_shares(answers), 0)


@metric(
    name="same_meaning",
    higher_is="less diverse",
    range=(0, 1),
    source="Collision probability (Simpson 1949) of classes of meaning",
    aliases=("cluster collision",),
    pairwise=True,
    confounds=f"With a judge its expectation is free of n; linked classes still follow the other answers. {BY_CLASS}",
    **CLASSES,
)
def same_meaning(answers: Answers) -> Matrix:
    """Share of pairs of answers that are of one class of meaning; see `meanings`."""
    found = classes(answers)
    return np.equal.outer(found, found).astype(np.float64)


@metric(
    name="semantic_entropy",
    higher_is="more diverse",
    range=(0, float("inf")),
    source="Kuhn et al. 2023, arXiv:2302.09664; the discrete form of Farquhar et al. 2024, Nature 630",
    aliases=("discrete semantic entropy",),
    confounds=f"At most the logarithm of the number of answers, and rises with it: compare at equal n. {BY_CLASS}",
    **CLASSES,
)
def semantic_entropy(answers: Answers) -> float:
    """Entropy, in nats, of the shares of the classes of meaning; see `meanings`.

    The papers find the classes by entailment, with the embeddings only where no judge is given here.
    """
    return max(0.0, float(np.log(hill(_shares(answers), 1))))


def utility(labels: Sequence[Hashable], qualities: Sequence[float], patience: float = PATIENCE) -> float:
    """What a user gets who reads the answers in turn and leaves after each with probability 1 - patience.

    Parameters
    ----------
    labels : sequence of n classes of meaning
    qualities : sequence of n float
        What an answer is worth when its class is new; else it is worth nothing.
    patience : float in (0, 1)

    Returns
    -------
    float
        Between the least and the greatest quality times the share of patience spent on new classes.

    References
    ----------
    Zhang et al. 2025, arXiv:2504.05228, equation 3.

    Examples
    --------
    >>> round(utility([0, 0, 1, 2], [5, 7, 6, 9]), 10)
    4.5555555556
    """
    seen: set[Hashable] = set()
    total = 0.0
    for turn, (label, quality) in enumerate(zip(labels, qualities, strict=True)):
        if label not in seen:
            total += patience**turn * quality
        seen.add(label)
    return total * (1 - patience) / (1 - patience ** len(labels))


@metric(
    name="utility_k",
    higher_is="neither",
    range=(0, float("inf")),
    source="Zhang et al. 2025, arXiv:2504.05228, equation 3",
    aliases=("utility", "NoveltyBench utility"),
    min_n=1,
    confounds=f"Rises with quality as well as with diversity. Compare at equal n only. {BY_CLASS}",
    **CLASSES,
)
def utility_k(answers: Answers) -> float:
    """Quality gathered by a reader who counts each meaning once and goes on with probability 0.8 after each answer.

    The mean of `utility` over all orders of the answers, in closed form, so that their order does not count. Needs
    the column `quality`.
    """
    if answers.qualities is None:
        raise Undefined("no quality was recorded for every answer")
    labels, n = classes(answers), len(answers)
    sizes = np.bincount(labels)
    qualities = np.bincount(labels, np.asarray(answers.qualities, dtype=float)) / sizes
    # The chance that a class of c first appears at a turn: none of c in the turns before, then one of c.
    first = np.zeros((n, len(sizes)))
    unseen = np.ones(len(sizes))
    for turn in range(n):
        first[turn] = unseen * np.minimum(1, sizes / (n - turn))
        unseen -= first[turn]
    spent = PATIENCE ** np.arange(n)
    return float(spent @ first @ qualities * (1 - PATIENCE) / (1 - PATIENCE**n))


class Entailment:
    """A judge: two answers mean the same when each entails the other, by an NLI cross-encoder.

    For short answers: such models read some 500 tokens, question included, and are trained on single sentences.
    All pairs are read, n (n - 1) of them, so that the order of the answers does not count; the papers compare with
    the first member of each class, which is cheaper and depends on the order. Entailment is not transitive: classes
    join while half of their pairs or more entail each other.

    Made by `Entailment.load`, or from any function that predicts.

    Parameters
    ----------
    predict : callable
        Takes pairs (premise, hypothesis), returns scores of shape (pairs, labels).
    entails : int
        Column of the label that says entailment.
    name : str
        As shown in the provenance of scores.
    """

    def __init__(self, predict: Predict, *, entails: int, name: str = "nli") -> None:
        self._predict = predict
        self._entails = entails
        self.signature = f"entailment:{name}"

    @classmethod
    def load(cls, name: str) -> Entailment:
        """Load a cross-encoder from a folder or from the Hugging Face hub, such as cross-encoder/nli-deberta-v3-base.

        Raises
        ------
        MissingExtra
            When sentence-transformers is not installed.
        InputError
            When none of the model's labels says entailment.
        """
        missing = [package for package in ("sentence_transformers", "torch") if find_spec(package) is None]
        if missing:
            raise MissingExtra(
                f'an NLI judge needs {" and ".join(missing)}, not installed: pip install "diversity-shift[models]"'
            )
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(name)
        labels = {int(i): str(label).lower() for i, label in (model.config.id2label or {}).items()}
        entailing = [i for i, label in labels.items() if label.startswith("entail")]
        if len(entailing) != 1:
            raise InputError(
                f"model '{name[:80]}' has the labels {', '.join(labels.values()) or 'none'}, of which one must be "
                "entailment: take a model that was trained on NLI"
            )
        return cls(
            lambda pairs: np.asarray(model.predict(list(pairs), show_progress_bar=False), dtype=np.float64),
            entails=entailing[0],
            name=name,
        )

    def __call__(self, texts: tuple[str, ...], prompt: str | None) -> list[int]:
        """Class of each text; the prompt stands before both sides of every pair."""
        asked = [f"{prompt} {text}" if prompt else text for text in texts]
        entailed = np.eye(len(texts), dtype=bool)
        rows, columns = np.nonzero(~entailed)
        if rows.size:
            scores = np.asarray(self._predict([(asked[i], asked[j]) for i, j in zip(rows, columns, strict=True)]))
            if not np.isfinite(scores).all():
                raise InputError("the NLI model gives scores that are not finite: check its weights")
            entailed[rows, columns] = scores.argmax(axis=1) == self._entails
        return [int(label) for label in linked((entailed & entailed.T).astype(np.float64))]

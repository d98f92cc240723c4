"""Answers of one prompt and the views of them that metrics read; each view is made once, when first asked for."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from diversity.calibration import Calibration
from diversity.trees import Forest, Tree, parse

WORD = re.compile(r"\w+|[^\w\s]")
FUNCTION_WORDS = frozenset(
    (  # noqa: SIM905 - a hundred quoted words are harder to read
        "a about above across after again against all along although am among an and another any are as at away "
        "back be because been before behind being below between both but by came can could did do does down each "
        "either else enough even ever every few for from had has have he her here hers herself him himself his how "
        "however i if in into is it its itself just less like many may me might mine more most much must my myself "
        "neither never no nor not nothing now of off on once one only onto or other others our ours out over own "
        "perhaps quite rather s same shall she should since so some such t than that the their theirs them "
        "themselves then there these they this those though through till to too toward towards under until up upon "
        "us very was we well were what when where whether which while who whom whose why will with within without "
        "would yet you your yours yourself "
    ).split()
)
Encode = Callable[[Sequence[str]], NDArray[np.float64]]


class Undefined(Exception):
    """A metric has no value for these answers; the message says why."""


@dataclass(frozen=True, slots=True)
class Grams:
    """All n-grams of a set of answers, as integers.

    `ids`, `owners` and `starts` have one entry an n-gram, in reading order: which n-gram it is (0 to
    distinct - 1), in which answer, and at which word of the answers laid end to end. No n-gram crosses from
    one answer into the next.
    """

    ids: NDArray[np.int64]
    owners: NDArray[np.int64]
    starts: NDArray[np.int64]
    distinct: int


class Sequences:
    """Token sequences of n answers, their n-grams as integers.

    Parameters
    ----------
    items : list of n lists of str
    """

    def __init__(self, items: list[list[str]]) -> None:
        self.items = items
        self.lengths = np.array([len(i) for i in items], dtype=np.int64)
        self._grams: dict[int, Grams] = {}
        self._incidence: dict[int, NDArray[np.float32]] = {}

    def grams(self, order: int) -> Grams:
        """N-grams as integers; see `Grams`."""
        if order not in self._grams:
            self._grams[order] = self._unigrams() if order == 1 else self._extended(order)
        return self._grams[order]

    def _unigrams(self) -> Grams:
        vocabulary: defaultdict[str, int] = defaultdict()
        vocabulary.default_factory = vocabulary.__len__
        look_up = vocabulary.__getitem__
        ids = np.array([look_up(token) for item in self.items for token in item], dtype=np.int64)
        return Grams(ids, np.repeat(np.arange(len(self.items)), self.lengths), np.arange(len(ids)), len(vocabulary))

    def _extended(self, order: int) -> Grams:
        tokens, shorter = self.grams(1), self.grams(order - 1)
        last = shorter.starts + order - 1
        fits = last < len(tokens.ids)
        fits[fits] = tokens.owners[last[fits]] == shorter.owners[fits]
        joined = shorter.ids[fits] * tokens.distinct + tokens.ids[last[fits]]
        distinct, ids = np.unique(joined, return_inverse=True)
        return Grams(ids.astype(np.int64), shorter.owners[fits], shorter.starts[fits], len(distinct))

    def incidence(self, order: int) -> NDArray[np.float32]:
        """Whether an answer has an n-gram: zeros and ones, shape (n, distinct n-grams)."""
        if order not in self._incidence:
            grams = self.grams(order)
            self._incidence[order] = _ones(grams.owners, grams.ids, len(self.items), grams.distinct)
        return self._incidence[order]

    def occurrences(self, order: int) -> NDArray[np.float32]:
        """Whether an answer has an n-gram at least t times: zeros and ones, a column for each n-gram and t.

        The product of two rows is the sum of minima of their counts.
        """
        grams = self.grams(order)
        cell = grams.owners * grams.distinct + grams.ids
        order_of = np.argsort(cell, kind="stable")
        ordered = cell[order_of]
        rank = np.arange(len(cell)) - np.searchsorted(ordered, ordered)
        nth = grams.ids[order_of] * (rank.max(initial=0) + 1) + rank
        distinct, columns = np.unique(nth, return_inverse=True)
        return _ones(grams.owners[order_of], columns, len(self.items), len(distinct))


def _ones(rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int) -> NDArray[np.float32]:
    table = np.zeros((height, width), dtype=np.float32)
    table[rows, columns] = 1
    return table


class Answers:
    """The answers of one checkpoint to one prompt.

    Parameters
    ----------
    texts : sequence of str, n answers
        What the domain extracted from the outputs.
    language : str, optional
        The programming language of the answers; None for prose.
    encode : callable, optional
        Maps texts to unit vectors, shape (n, d). Without it the semantic metrics are undefined.
    calibration : callable, optional
        Maps cosines to the probability that two answers say the same.
    behaviours : sequence of str, optional
        What each answer did when it was run, or its final value.
    flags : mapping of name to array of bool, optional
        What was noticed of each output of the prompt, those without an answer included.
    limit : int, optional
        Read only the first so many words of each answer (the length-matched condition).
    """

    def __init__(
        self,
        texts: Sequence[str],
        *,
        language: str | None = None,
        encode: Encode | None = None,
        calibration: Calibration | None = None,
        behaviours: Sequence[str] | None = None,
        flags: Mapping[str, NDArray[np.bool_]] | None = None,
        limit: int | None = None,
    ) -> None:
        self.texts = tuple(unicodedata.normalize("NFC", t) for t in texts)
        self.language = language
        self.limit = limit
        self.calibration = calibration
        self.behaviours = behaviours
        self.flags = flags or {}
        self._encode = encode

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def read(self) -> tuple[str, ...]:
        """The answers as far as they are read: whole, or cut after `limit` words."""
        if self.limit is None:
            return self.texts
        return tuple(t[: _end_of_word(t, self.limit)] for t in self.texts)

    @cached_property
    def words(self) -> Sequences:
        """Words and single punctuation marks of each answer."""
        return Sequences([WORD.findall(t) for t in self.read])

    @cached_property
    def shapes(self) -> Sequences:
        """The words with all but function words and punctuation replaced by their kind."""
        return Sequences([[_shape(w) for w in words] for words in self.words.items])

    @cached_property
    def trees(self) -> list[Tree | None]:
        """Normalised syntax tree of each answer; None where it does not parse."""
        if self.language is None:
            raise Undefined("the answers are prose, not code")
        trees = [_parsed(t, self.language) for t in self.texts]
        if self.limit is None:
            return trees
        # A program cut in the middle does not parse, so the whole is parsed and the window cuts its nodes.
        ends = [len(t.encode("utf-8", "replace")) for t in self.read]
        return [t.before(end) if t else None for t, end in zip(trees, ends, strict=True)]

    @cached_property
    def forest(self) -> Forest:
        """The trees of the answers that parse, end to end; raises `Undefined` when fewer than two do."""
        trees = [t for t in self.trees if t is not None]
        if len(trees) < 2:
            raise Undefined(f"{len(trees)} of {len(self)} answers parse, 2 are needed")
        return Forest(trees)

    @cached_property
    def vectors(self) -> NDArray[np.float64]:
        """Unit embedding of each answer, shape (n, d); raises `Undefined` without an embedding model."""
        if self._encode is None:
            raise Undefined("no embedding model")
        return self._encode(self.read)

    @cached_property
    def cosines(self) -> NDArray[np.float64]:
        """Cosine of every two answers, shape (n, n); exactly 1 where the texts are equal."""
        cosines = np.clip(self.vectors @ self.vectors.T, -1, 1)
        _, same = np.unique(np.array(self.read, dtype=object).astype(str), return_inverse=True)
        cosines[same[:, None] == same[None, :]] = 1
        return cosines


@lru_cache(maxsize=65536)
def _parsed(text: str, language: str) -> Tree | None:
    return parse(text, language)


@lru_cache(maxsize=65536)
def _shape(word: str) -> str:
    lower = word.lower()
    if lower in FUNCTION_WORDS or not (word[0].isalnum() or word[0] == "_"):
        return lower
    if word[0].isdigit():
        return "NUM"
    return "Cap" if word[0].isupper() else "WORD"


def _end_of_word(text: str, count: int) -> int:
    """Where the first so many words of a text end."""
    last = next(islice(WORD.finditer(text), count - 1, count), None)
    return last.end() if last else len(text)

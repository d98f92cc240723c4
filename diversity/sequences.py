"""Sequences of tokens, their n-grams as integers, and what two sequences have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.words import Codes, Integers, Lexicon

Matrix = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)
BLOCK = 1 << 22  # entries of a dense table made at once
KEPT = 1024  # answers up to which the overlaps of all pairs are kept


class Grams(NamedTuple):
    """The n-grams of one order in a set of answers.

    Most occur once, and of those nothing is kept. `repeated` counts the different n-grams that occur twice or more
    often. Of these, `ids` and `starts` have one entry for each occurrence, by n-gram, then in reading order: which
    n-gram it is (0 to repeated - 1), and at which token of the answers laid end to end it begins. No n-gram crosses
    from one answer into the next.
    """

    ids: Integers
    starts: Integers
    repeated: int


class Cells(NamedTuple):
    """How often each answer has each n-gram that occurs twice or more often, in one answer or in several.

    `ids`, `owners` and `counts` have one entry for each answer and n-gram it has, by n-gram, then answer; `first` is
    the entry at which each n-gram begins. `single` counts, for each answer, its n-grams that occur nowhere else.
    """

    ids: Integers
    owners: Integers
    counts: Integers
    first: Integers
    single: Integers

    @property
    def holders(self) -> Integers:
        """How many answers have each n-gram."""
        return np.diff(np.append(self.first, len(self.ids)))


class Batch:
    """Token sequences of the answers of several sets, such as prompts, whose n-grams are found together.

    No n-gram is looked for in another set: what is found of a set is the same as if it stood alone. The sets of a batch
    share numpy's cost of a call, which is most of the cost of a few answers.

    Parameters
    ----------
    codes : array
        A number for each token, not negative, equal for equal tokens, all sets laid end to end.
    lengths : array
        The number of tokens of each answer of each set.
    answers : sequence of int
        The number of answers of each set.
    alphabet : Lexicon or callable
        Gives the token that a number stands for.
    """

    def __init__(
        self, codes: Codes, lengths: Integers, answers: Sequence[int], alphabet: Lexicon | Callable[[int], str]
    ) -> None:
        self.codes = codes
        self.lengths = lengths
        self.alphabet = alphabet
        self.begins: Integers = np.cumsum([0, *answers])  # the first answer of each set
        self.places: Integers = np.cumsum(np.append(0, lengths))[self.begins]  # the first token of each set
        self.answers = [slice(*ends) for ends in pairwise(self.begins.tolist())]
        self.tokens = [slice(*ends) for ends in pairwise(self.places.tolist())]
        self._grams: dict[int, Grams] = {}
        self._cells: dict[int, Cells] = {}
        # Where the entries of each set begin, by order; and the number of its first n-gram that occurs again.
        self._of_grams: dict[int, Integers] = {}
        self._of_cells: dict[int, Integers] = {}
        self._first: dict[int, Integers] = {}
        self._shared: dict[tuple[int, bool], Matrix] = {}
        self._overlaps: dict[tuple[int, bool], tuple[Matrix, NDArray[np.bool_]]] = {}
        self._matches: dict[int, Integers] = {}
        self._measured: dict[tuple[Any, ...], Any] = {}

    @classmethod
    def of(cls, items: Sequence[Sequence[str]]) -> Batch:
        """Return one set of sequences of tokens; a plain string is the sequence of its characters."""
        lengths = np.fromiter(map(len, items), dtype=np.int64, count=len(items))
        if items and all(isinstance(item, str) for item in items):
            text = "".join(items).encode("utf-32-le", "surrogatepass")  # type: ignore[arg-type]
            return cls(np.frombuffer(text, dtype="<u4").astype(np.int32), lengths, [len(items)], chr)
        lexicon = Lexicon()
        return cls(lexicon.codes(list(chain.from_iterable(items))), lengths, [len(items)], lexicon)

    @classmethod
    def of_words(cls, sets: Sequence[Sequence[Codes]], lexicon: Lexicon) -> Batch:
        """Return sets of answers, given by the numbers of their words in a lexicon."""
        laid_out = list(chain.from_iterable(sets))
        lengths = np.fromiter(map(len, laid_out), dtype=np.int64, count=len(laid_out))
        codes = np.concatenate(laid_out) if laid_out else np.empty(0, dtype=np.int32)
        return cls(codes, lengths, list(map(len, sets)), lexicon)

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, place: int) -> Sequences:
        return Sequences(self, place)

    @cached_property
    def owners(self) -> Integers:
        """The answer that each token belongs to, counted through all sets."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def set_of(self) -> Integers:
        """The set that each answer belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.begins))

    @cached_property
    def keys(self) -> Integers:
        """A number for each token, equal for tokens that are equal and of one set; those of a later set are higher."""
        if len(self) == 1:
            return self.codes.astype(np.int64)
        span = int(self.codes.max(initial=0)) + 1
        return self.codes + np.repeat(np.arange(len(self)) * span, np.diff(self.places))

    @cached_property
    def _in_order(self) -> tuple[Integers, Integers]:
        return _in_order(self.keys)

    @cached_property
    def numbered(self) -> tuple[Integers, Integers, Integers]:
        """Each token as a number, on from set to set; the code of each number; the first number of each set."""
        order, keys = self._in_order
        new = _changes(keys)[:-1]
        in_order = np.cumsum(new) - 1
        ids = np.empty_like(in_order)
        ids[order] = in_order
        return ids, self.codes[order[new]], np.append(in_order, new.sum())[self.places]

    @property
    def name(self) -> Callable[[int], str]:
        """Gives the token that a number stands for."""
        return self.alphabet.words.__getitem__ if isinstance(self.alphabet, Lexicon) else self.alphabet

    def mapped(self, rename: Callable[[str], str | None]) -> Batch:
        """Return the sequences with every token renamed; one renamed to None is left out."""
        table, names = self._lexicon.renamed(rename)
        moved = table[self.codes]
        kept = moved >= 0
        answers = np.diff(self.begins).tolist()
        if kept.all():
            return Batch(moved, self.lengths, answers, names)
        lengths = np.bincount(self.owners[kept], minlength=len(self.lengths))
        return Batch(moved[kept], lengths, answers, names)

    @property
    def _lexicon(self) -> Lexicon:
        assert isinstance(self.alphabet, Lexicon)
        return self.alphabet

    def of_tokens(self, tell: Callable[[str], Sequence[int]]) -> Integers:
        """Return what a function says of each token's word; one row a token."""
        told = self._lexicon.told(tell) if len(self.codes) else np.zeros((0, len(tell(" "))), dtype=np.int64)
        return told[self.codes]

    def sums(self, tell: Callable[[str], Sequence[int]]) -> Integers:
        """Add up what a function says of each word, over the words of each answer; one row an answer."""
        told = self._lexicon.told(tell).T if len(self.codes) else np.zeros((len(tell(" ")), 1))
        sums = [np.bincount(self.owners, weights=of_word[self.codes], minlength=len(self.lengths)) for of_word in told]
        return np.stack(sums, axis=1).astype(np.int64)

    def told(self, measure: Callable[..., Any], *details: Any) -> Any:
        """Return what a function says of the batch; it is asked once."""
        key = measure, *details
        if key not in self._measured:
            self._measured[key] = measure(self, *details)
        return self._measured[key]

    def of_sets(self, values: NDArray[Any]) -> Matrix:
        """Add up a value of each answer, over the answers of each set."""
        return np.bincount(self.set_of, weights=values, minlength=len(self)).astype(np.float64, copy=False)

    def padded(self, values: NDArray[Number]) -> NDArray[Number]:
        """Return a value of each answer as a row a set, shape (sets, n) with the n of the largest; 0 where none is."""
        rows = np.zeros((len(self), int(np.diff(self.begins).max(initial=0))), dtype=values.dtype)
        rows[self.set_of, np.arange(len(values)) - self.begins[self.set_of]] = values
        return rows

    def sizes(self, order: int) -> Integers:
        """How many n-grams each answer has, equal ones counted as often as they occur."""
        return np.maximum(self.lengths - order + 1, 0)

    def totals(self, order: int) -> Integers:
        """How many n-grams each set has, equal ones counted as often as they occur."""
        return self.of_sets(self.sizes(order)).astype(np.int64)

    def counted(self, order: int) -> list[tuple[int, int]]:
        """How many n-grams each set has, and how many different ones."""
        self.grams(order)
        totals = self.totals(order)
        different = totals - np.diff(self._of_grams[order]) + np.diff(self._first[order])
        return list(zip(totals.tolist(), different.tolist(), strict=True))

    def frequencies(self, order: int) -> tuple[Integers, Integers, Integers]:
        """Set, count, and how many n-grams of the set occur as often, its answers pooled; by set, then count."""
        occurrences = np.bincount(self.grams(order).ids)
        width = int(occurrences.max(initial=1)) + 1
        of_gram = np.repeat(np.arange(len(self)), np.diff(self._first[order]))
        again, kinds = np.unique(of_gram * width + occurrences, return_counts=True)
        once = self.totals(order) - np.diff(self._of_grams[order])
        some = np.flatnonzero(once)
        keys = np.append(again, some * width + 1)
        in_order = np.argsort(keys)
        sets, counts = np.divmod(keys[in_order], width)
        return sets, counts, np.append(kinds, once[some])[in_order]

    def grams(self, order: int) -> Grams:
        """N-grams of all sets as integers, set after set; see `Grams`."""
        if order not in self._grams:
            starts, keys, begins = (*self._in_order, self.places) if order == 1 else self._extended(order)
            new = _changes(keys)
            again = np.flatnonzero(~(new[:-1] & new[1:]))
            ids = np.cumsum(new[again]) - 1
            repeated = int(ids[-1]) + 1 if len(ids) else 0
            self._grams[order] = Grams(ids, starts[again], repeated)
            self._of_grams[order] = np.searchsorted(again, begins)
            self._first[order] = np.append(ids, repeated)[self._of_grams[order]]
        return self._grams[order]

    def grams_of(self, order: int, place: int) -> Grams:
        """N-grams of one set."""
        whole = self.grams(order)
        (a, b), (i, j) = (of[order][place : place + 2].tolist() for of in (self._of_grams, self._first))
        return Grams(whole.ids[a:b] - i, whole.starts[a:b] - self.tokens[place].start, j - i)

    def _extended(self, order: int) -> tuple[Integers, Integers, Integers]:
        """Starts and keys of n-grams, by key, and where each set begins among them.

        They are made of those one shorter: one that occurs again is made of two that do, one token apart.
        """
        shorter = self.grams(order - 1)
        which = np.full(len(self.codes) + 1, -1, dtype=np.int64)
        which[shorter.starts] = shorter.ids
        # The last token of an answer has nothing behind it, nor has one before the first of all.
        which[np.cumsum(self.lengths) - 1] = -1
        # Those that end an n-gram are in order already: it remains to bring those that begin one in order, and no more.
        first = which[shorter.starts - 1]
        longer = np.flatnonzero(first >= 0)
        in_order, first = _in_order(first[longer])
        longer = longer[in_order]
        keys = first * shorter.repeated + shorter.ids[longer]
        return shorter.starts[longer] - 1, keys, np.searchsorted(first, self._first[order - 1])

    def cells(self, order: int) -> Cells:
        """Counts of each n-gram in each answer, set after set; see `Cells`."""
        if order not in self._cells:
            grams = self.grams(order)
            ids, owners = grams.ids, self.owners[grams.starts]
            single = self.sizes(order) - np.bincount(owners, minlength=len(self.lengths))
            begins = _starts((ids[1:] != ids[:-1]) | (owners[1:] != owners[:-1]), len(ids))
            counts = np.diff(begins, append=len(ids))
            ids, owners = ids[begins], owners[begins]
            first = _starts(ids[1:] != ids[:-1], len(ids))
            self._cells[order] = Cells(ids, owners, counts, first, single)
            self._of_cells[order] = np.searchsorted(begins, self._of_grams[order])
        return self._cells[order]

    def cells_of(self, order: int, place: int) -> Cells:
        """Counts of each n-gram in each answer of one set."""
        ids, owners, counts, first, single = self.cells(order)
        own = self.answers[place]
        (a, b), (i, j) = (of[order][place : place + 2].tolist() for of in (self._of_cells, self._first))
        return Cells(ids[a:b] - i, owners[a:b] - own.start, counts[a:b], first[i:j] - a, single[own])

    def shared(self, order: int, *, counted: bool) -> Matrix:
        """N-grams that two answers of a set share, shape (sets, n, n) with the n of the largest set."""
        key = order, counted
        if key not in self._shared:
            rows, columns, first = self._columns(order, counted=counted)
            own = np.bincount(rows, minlength=len(self.lengths)) + self.cells(order).single
            self._shared[key] = self._inner(rows, columns, first, np.ones(len(rows), dtype=np.float32), own)
        return self._shared[key]

    def _columns(self, order: int, *, counted: bool) -> tuple[Integers, Integers, Integers]:
        """Rows and columns of ones, and the first column of each set.

        There is a column for each n-gram or, if counted, for each n-gram and t, its t-th time.
        """
        cells = self.cells(order)
        if not counted or cells.counts.max(initial=1) == 1:
            return cells.owners, cells.ids, self._first[order]
        most = np.maximum.reduceat(cells.counts, cells.first)
        base = np.cumsum(most) - most
        begins = np.cumsum(cells.counts) - cells.counts
        time = np.arange(int(cells.counts.sum())) - np.repeat(begins, cells.counts)
        first = np.append(base, most.sum())[self._first[order]]
        return np.repeat(cells.owners, cells.counts), np.repeat(base[cells.ids], cells.counts) + time, first

    def products(self, order: int) -> Matrix:
        """Inner products of the n-gram counts of two answers of a set, shape (sets, n, n)."""
        cells = self.cells(order)
        own = np.bincount(cells.owners, weights=cells.counts**2, minlength=len(self.lengths)) + cells.single
        return self._inner(cells.owners, cells.ids, self._first[order], cells.counts.astype(np.float64), own)

    def _inner(
        self, rows: Integers, columns: Integers, first: Integers, values: NDArray[Any], own: NDArray[Any]
    ) -> Matrix:
        """Inner products of the rows of a set's table, given by the entries that are not 0, set after set.

        `first` are the sets' first columns, `own` the products of a row with itself.
        """
        sets, of_set = len(self.begins) - 1, self.set_of
        places = np.arange(len(own)) - self.begins[of_set]
        of_entry = of_set[rows]
        n = int(np.diff(self.begins).max(initial=0))
        rows, columns = of_entry * n + places[rows], columns - first[of_entry]
        count = int(columns.max(initial=-1)) + 1
        total: Matrix = np.zeros((sets, n, n))
        width = max(1, min(count, BLOCK // max(1, sets * n)))
        for begin in range(0, count, width):
            inside = (columns >= begin) & (columns < begin + width) if count > width else slice(None)
            entries = np.zeros(sets * n * width, dtype=values.dtype)
            entries[rows[inside] * width + columns[inside] - begin] = values[inside]
            table = entries.reshape(sets, n, width)
            total += table @ table.transpose(0, 2, 1)
        total[of_set, places, places] = own
        return total

    def overlap(self, order: int, *, counted: bool) -> tuple[Matrix, NDArray[np.bool_]]:
        """Overlaps of two answers of a set, and where they are defined, both of shape (sets, n, n)."""
        key = order, counted
        if key not in self._overlaps:
            shared = self.shared(order, counted=counted)
            sizes = np.diagonal(shared, axis1=1, axis2=2)
            union = sizes[:, :, None] + sizes[:, None, :] - shared
            defined = union > 0
            found = np.divide(shared, union, out=np.zeros_like(union), where=defined), defined
            if shared.shape[1] > KEPT:
                return found
            self._overlaps[key] = found
        return self._overlaps[key]

    def matches(self, order: int) -> Integers:
        """How many n-grams of each answer are found in others of its set, clipped at the most any other has."""
        if order not in self._matches:
            cells = self.cells(order)
            total = self.sizes(order) - cells.single
            if len(cells.ids):
                # Only an answer that has an n-gram more often than every other is clipped, at the second most.
                most = np.maximum.reduceat(cells.counts, cells.first)
                leads = cells.counts == most[cells.ids]
                alone = leads & (np.bincount(cells.ids, weights=leads) == 1)[cells.ids]
                second = np.maximum.reduceat(np.where(leads, 0, cells.counts), cells.first)
                lost = cells.counts[alone] - second[cells.ids[alone]]
                total -= np.bincount(cells.owners[alone], weights=lost, minlength=len(total)).astype(np.int64)
            self._matches[order] = total
        return self._matches[order]


class Sequences:
    """Token sequences of n answers, their n-grams as integers.

    Parameters
    ----------
    items : sequence of n sequences of str, or a Batch
        The tokens of each answer, a plain string being the sequence of its characters; or the batch that they are in.
    place : int
        Their place in the batch.
    """

    def __init__(self, items: Sequence[Sequence[str]] | Batch, place: int = 0) -> None:
        self._batch = items if isinstance(items, Batch) else Batch.of(items)
        self._place = place
        self._answers = self._batch.answers[place]
        self._tokens = self._batch.tokens[place]
        self._grams: dict[int, Grams] = {}
        self._cells: dict[int, Cells] = {}
        # Sequences among which these are, and their places: what any two have in common is known there.
        self.among: tuple[Callable[[], Sequences], Any] | None = None

    @classmethod
    def of_numbers(cls, numbers: Integers, lengths: Integers) -> Sequences:
        """Return sequences of tokens that are numbers already, not negative and laid end to end."""
        return cls(Batch(numbers, lengths, [len(lengths)], str))

    @property
    def lengths(self) -> Integers:
        """The number of tokens of each answer."""
        return self._batch.lengths[self._answers]

    @property
    def codes(self) -> Codes:
        """All tokens laid end to end as numbers of the alphabet."""
        return self._batch.codes[self._tokens]

    def per_set(self, measure: Callable[..., Any], *details: Any) -> Any:
        """Return what a function of a batch says of each set, for this one; it is asked once of the batch."""
        return self._batch.told(measure, *details)[self._place]

    def per_answer(self, measure: Callable[..., NDArray[Number]], *details: Any) -> NDArray[Number]:
        """Return what a function of a batch says of each answer, for these; it is asked once of the batch."""
        own: NDArray[Number] = self._batch.told(measure, *details)[self._answers]
        return own

    def per_pair(self, measure: Callable[..., Matrix], *details: Any) -> Matrix:
        """Return what a function of a batch says of each pair of answers, shape (sets, n, n), for these.

        It is asked once of the batch, of very many answers each time: that many pairs are not kept. What it says of two
        answers must not depend on the others.
        """
        if self.among is not None:
            whole, places = self.among
            found: Matrix = whole().per_pair(measure, *details)[places]
            return found
        n = self._answers.stop - self._answers.start
        batch = self._batch
        # What is kept must not change with what a caller does to it.
        return self._own(batch.told(measure, *details) if n <= KEPT else measure(batch, *details)).copy()

    @cached_property
    def ids(self) -> Integers:
        """All tokens laid end to end as numbers from 0."""
        ids, _, first = self._batch.numbered
        own: Integers = ids[self._tokens] - first[self._place]
        return own

    def of_tokens(self, tell: Callable[[str], Sequence[int]]) -> Integers:
        """Return what a function says of each token's word, all answers laid end to end; one row a token."""
        return self._batch.of_tokens(tell)[self._tokens]

    def run(self, start: int, length: int) -> list[str]:
        """Tokens from a place on, all answers laid end to end."""
        return self._spelled(self.codes[start : start + length].tolist())

    def _spelled(self, codes: Iterable[int]) -> list[str]:
        return list(map(self._batch.name, codes))

    @cached_property
    def items(self) -> list[list[str]]:
        """The tokens of each answer."""
        tokens, ends = self._spelled(self.codes.tolist()), np.cumsum(self.lengths).tolist()
        return [tokens[end - length : end] for end, length in zip(ends, self.lengths.tolist(), strict=True)]

    def grams(self, order: int) -> Grams:
        """N-grams as integers; see `Grams`."""
        if order not in self._grams:
            self._grams[order] = self._batch.grams_of(order, self._place)
        return self._grams[order]

    def cells(self, order: int) -> Cells:
        """Counts of each n-gram in each answer; see `Cells`."""
        if order not in self._cells:
            self._cells[order] = self._batch.cells_of(order, self._place)
        return self._cells[order]

    def entries(self, order: int) -> tuple[Integers, Integers, Integers]:
        """Number, answer and count of each n-gram in each answer, those included that occur once.

        N-grams that occur again are numbered as they first appear, the others behind them by answer.
        """
        grams, cells = self.grams(order), self.cells(order)
        first = grams.starts[np.searchsorted(grams.ids, np.arange(grams.repeated))]
        number = np.empty(grams.repeated, dtype=np.int64)
        number[np.argsort(first)] = np.arange(grams.repeated)
        single = int(cells.single.sum())
        return (
            np.append(number[cells.ids], grams.repeated + np.arange(single)),
            np.append(cells.owners, np.repeat(np.arange(len(cells.single)), cells.single)),
            np.append(cells.counts, np.ones(single, dtype=np.int64)),
        )

    def counted(self, order: int) -> tuple[int, int]:
        """How many n-grams there are, and how many different ones, all answers pooled."""
        counted: tuple[int, int] = self.per_set(Batch.counted, order)
        return counted

    def frequencies(self, order: int) -> tuple[Integers, Integers]:
        """The different counts of n-grams, all answers pooled, and how many n-grams have each."""
        sets, counts, kinds = self._batch.told(Batch.frequencies, order)
        own = slice(*np.searchsorted(sets, [self._place, self._place + 1]))
        return counts[own], kinds[own]

    def _own(self, of_all: NDArray[Number]) -> NDArray[Number]:
        n = self._answers.stop - self._answers.start
        own: NDArray[Number] = of_all[self._place, :n, :n]
        return own

    def shared(self, order: int, *, counted: bool = False) -> Matrix:
        """How many n-grams two answers share, shape (n, n): different ones, or the sum of minima of their counts.

        The diagonal holds how many an answer has.
        """
        if self.among is not None:
            whole, places = self.among
            shared: Matrix = whole().shared(order, counted=counted)[places]
            return shared
        return self._own(self._batch.shared(order, counted=counted))

    def products(self, order: int) -> Matrix:
        """Inner products of the n-gram counts of two answers, shape (n, n)."""
        return self._own(self._batch.products(order))

    def matches(self, order: int) -> Integers:
        """How many n-grams of each answer are found in the others, clipped at the most any other has, shape (n,)."""
        return self._batch.matches(order)[self._answers]

    def overlap(self, order: int, *, counted: bool = False) -> tuple[Matrix, NDArray[np.bool_]]:
        """Jaccard similarity of the sets of n-grams (or, if counted, Ruzicka of their counts), and where it is defined.

        It is not where neither of two answers has an n-gram; there it reads 0.
        """
        if self.among is not None:
            whole, places = self.among
            similarity, defined = whole().overlap(order, counted=counted)
            return similarity[places], defined[places]
        similarity, defined = self._batch.overlap(order, counted=counted)
        return self._own(similarity), self._own(defined)

    def _cut(self) -> list[Codes]:
        codes, ends = self.codes, np.cumsum(self.lengths).tolist()
        return [codes[end - length : end] for end, length in zip(ends, self.lengths.tolist(), strict=True)]

    @cached_property
    def classes(self) -> Integers:
        """A number for each answer, the same for answers with the same tokens."""
        return classes([codes.tobytes() for codes in self._cut()])

    @cached_property
    def strings(self) -> list[str]:
        """Each sequence as a string with one character for each token, for tools that read strings."""
        ids = self.ids
        if len(ids) and ids.max() > sys.maxunicode:
            raise Undefined(f"more than {sys.maxunicode} different words")
        text = ids.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
        ends = np.cumsum(self.lengths).tolist()
        return [text[end - length : end] for end, length in zip(ends, self.lengths.tolist(), strict=True)]


def classes(items: Sequence[Hashable]) -> Integers:
    """Return a number for each item, the same for equal items."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int64)


def _starts(changes: NDArray[np.bool_], n: int) -> Integers:
    """Where the runs of n entries begin, from whether each entry but the first differs from the one before."""
    starts = np.ones(n, dtype=bool)
    starts[1:] = changes
    return np.flatnonzero(starts)


def _changes(keys: Integers) -> NDArray[np.bool_]:
    """Whether a run of equal keys begins at each place; one begins behind the last."""
    new = np.ones(len(keys) + 1, dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:-1])
    return new


def _in_order(keys: Integers) -> tuple[Integers, Integers]:
    """Stable order of integers that are not negative, and they themselves in it."""
    bits = len(keys).bit_length()
    width = int(keys.max(initial=0)).bit_length() + bits
    if width >= 64:
        order = np.argsort(keys, kind="stable")
        return order, keys[order]
    # Each takes its place along: numpy sorts integers several times faster than it sorts places by them, and the
    # shorter ones in half the time.
    dtype: Any = np.uint32 if width <= 32 else np.uint64
    with_places: NDArray[Any] = (keys << bits).astype(dtype) | np.arange(len(keys), dtype=dtype)
    packed: Integers = np.sort(with_places).astype(np.int64)
    return packed & ((1 << bits) - 1), packed >> bits

"""Answers of one prompt and the views of them that metrics read; each view is made once, when first asked for."""

from __future__ import annotations

import re
import sys
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import chain, islice, pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from diversity.calibration import Calibration
from diversity.errors import InputError
from diversity.skeletons import Skeleton, of_forest
from diversity.trees import Forest, Tree, encode, read

NO_BEHAVIOUR = "no behaviour was recorded"
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
Seen = TypeVar("Seen")
Number = TypeVar("Number", bound=np.generic)
Encode = Callable[[Sequence[str]], NDArray[np.float64]]
Integers = NDArray[np.int64]
Codes = NDArray[np.signedinteger[Any]]
Matrix = NDArray[np.float64]
BLOCK = 1 << 22  # entries of a dense table made at once
KEPT = 1024  # answers up to which the overlaps of all pairs are kept
# Takes different answers and their prompt, gives each answer a label; equal labels mean the same.
Judge = Callable[[tuple[str, ...], "str | None"], Sequence[Hashable]]


class Undefined(Exception):
    """A metric has no value for these answers; the message says why."""


class Words:
    r"""The tokeniser: words and single signs, by Unicode and without a language model.

    In ASCII a token is a run of letters, digits and underscores, or one sign: ``\\w+|[^\\w\\s]``. Beyond it

    - a word keeps its combining marks and joiners: a Devanagari, Hebrew or decomposed Latin word is one token;
    - scripts that write no spaces (Han, Kana, Thai, Lao, Khmer, Burmese) give one token a character: as one word a
      sentence would share nothing with another that differs in one sign. Hangul is written with spaces: whole words;
    - an emoji with its skin tone, its joined parts or its two flag letters is one token;
    - format characters that show nothing (zero-width space, direction marks, byte order mark) are no tokens.
    """

    def __init__(self) -> None:
        self.plain = re.compile(r"\w+|[^\w\s]")
        self.unmarked = bytes(c for c in range(128) if re.fullmatch(r"\w|\s", chr(c)))
        # Text on which both patterns agree: Latin, Greek, Cyrillic, typographic signs, emoji in one piece.
        self.simple = re.compile(
            "[\x00-\xac\xae-\u02ff\u0370-\u0482\u048a-\u0590\u2010-\u2027\u2030-\u205f\u20a0-\u20cf\u2190-\u2bff"
            "\U0001f300-\U0001f3fa\U0001f400-\U0001faff]*"
        )

    @cached_property
    def unicode(self) -> re.Pattern[str]:
        """The pattern for all of Unicode, made when first needed: it is ten times slower."""
        marks, hidden = _category("M"), _category("Cf")
        letter, joined = rf"[^\W{UNSPACED}]", rf"[{marks}\u200c\u200d\U0001e944-\U0001e94a\U000e0100-\U000e01ef]"
        sign, worn = rf"[^\w\s{hidden}]", rf"[{marks}\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*"
        return re.compile(
            rf"[{UNSPACED}]{joined}*+|{letter}++(?:{joined}++{letter}*+)*+|[\U0001f1e6-\U0001f1ff]{{2}}"
            rf"|{sign}{worn}(?:\u200d{sign}{worn})*"
        )

    def _for(self, text: str) -> re.Pattern[str]:
        return self.plain if text.isascii() or self.simple.fullmatch(text) else self.unicode

    def findall(self, text: str) -> list[str]:
        """All tokens of a text."""
        if not text.isascii():
            return self._for(text).findall(text)
        # Few signs occur in a text: set apart by blanks they are found in a third of the time.
        for sign in set(text.encode().translate(None, self.unmarked)):
            text = text.replace(chr(sign), f" {chr(sign)} ")
        return text.split()

    def end(self, text: str, count: int) -> int:
        """Where the first so many tokens of a text end."""
        pattern = self._for(text)
        # What the plain pattern leaves out is white space, so that one match reads them all.
        last = (
            _plain_tokens(count).match(text)
            if pattern is self.plain
            else next(islice(pattern.finditer(text), count - 1, count), None)
        )
        return last.end() if last else len(text)


@lru_cache(maxsize=512)
def _plain_tokens(count: int) -> re.Pattern[str]:
    return re.compile(rf"(?:\s*+(?:\w++|[^\w\s])){{{count}}}+")


def _category(name: str) -> str:
    """Characters of a Unicode category, for a regular expression.

    Of the basic plane: `re` keeps those in one table and would search the others one by one, at every character.
    """
    return "".join(re.escape(chr(c)) for c in range(0x80, 0x10000) if unicodedata.category(chr(c)).startswith(name))


# Han with its extensions, Kana, Thai, Lao, Burmese and Khmer: letters of scripts that write no spaces.
UNSPACED = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00016fe0-\U00018cff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
    "\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u19e0-\u19ff"
)
WORD = Words()

# mteval-v13a: signs stand alone; a period or comma between digits does not, a dash after a digit does.
ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
SIGNS_13A = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def _tokens_13a(text: str) -> list[str]:
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in ENTITIES if "&" in text else ():
        text = text.replace(entity, sign)
    text = f" {text} "
    for pattern, apart in SIGNS_13A:
        text = pattern.sub(apart, text)
    return text.split()


@dataclass(frozen=True, slots=True)
class Grams:
    """The n-grams of one order in a set of answers.

    Most occur once, and of those nothing but their number is kept. `total` counts all occurrences, `repeated` the
    different n-grams that occur twice or more often. Of the latter, `ids` and `starts` have one entry for each
    occurrence, by n-gram, then in reading order: which n-gram it is (0 to repeated - 1), and at which token of the
    answers laid end to end it begins. No n-gram crosses from one answer into the next.
    """

    ids: Integers
    starts: Integers
    total: int
    repeated: int

    @property
    def distinct(self) -> int:
        """How many different n-grams there are."""
        return self.total - len(self.ids) + self.repeated


@dataclass(frozen=True, slots=True)
class Cells:
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


class Lexicon:
    """The words of many answers as numbers: a text is taken apart once, whoever reads it and however far."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__
        self._words: list[str] = []
        self._renamed: dict[Callable[[str], str | None], tuple[Codes, Lexicon]] = {}
        self._told: dict[Callable[[str], Sequence[int]], Integers] = {}

    def read(self, text: str) -> Codes:
        """Words and single punctuation marks of a text."""
        return self.codes(WORD.findall(text))

    def codes(self, words: Sequence[str]) -> Codes:
        """Return the number of each word."""
        return np.fromiter(map(self._numbers.__getitem__, words), dtype=np.int32, count=len(words))

    @property
    def words(self) -> list[str]:
        """The word that each number stands for."""
        if len(self._words) < len(self._numbers):
            self._words.extend(islice(self._numbers, len(self._words), None))
        return self._words

    def renamed(self, rename: Callable[[str], str | None]) -> tuple[Codes, Lexicon]:
        """Return the number of each word's new name among the new names; -1 where it has none."""
        table, names = self._renamed.get(rename) or (np.empty(0, dtype=np.int32), Lexicon())
        if len(table) < len(self._numbers):
            fresh = [rename(word) for word in self.words[len(table) :]]
            added = [-1 if name is None else names._numbers[name] for name in fresh]
            table = np.append(table, np.array(added, dtype=np.int32))
            self._renamed[rename] = table, names
        return table, names

    def told(self, tell: Callable[[str], Sequence[int]]) -> Integers:
        """Return what a function says of each word, one row a word."""
        known = self._told.get(tell)
        fresh = [tell(word) for word in self.words[0 if known is None else len(known) :]]
        if fresh:
            self._told[tell] = np.array(fresh) if known is None else np.vstack([known, fresh])
        return self._told[tell]


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
        self._grams: dict[int, tuple[Grams, list[Grams]]] = {}
        self._cells: dict[int, tuple[Cells, list[Cells]]] = {}
        self._shared: dict[tuple[int, bool], Matrix] = {}
        self._overlaps: dict[tuple[int, bool], tuple[Matrix, NDArray[np.bool_]]] = {}
        self._matches: dict[int, Integers] = {}
        self._sums: dict[Callable[[str], Sequence[int]], Integers] = {}
        self._measured: dict[tuple[Any, ...], NDArray[Any]] = {}

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

    def __getitem__(self, place: int) -> Sequences:
        return Sequences(self, place)

    @cached_property
    def owners(self) -> Integers:
        """The answer that each token belongs to, counted through all sets."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def set_of(self) -> Integers:
        """The set that each answer belongs to."""
        return np.repeat(np.arange(len(self.begins) - 1), np.diff(self.begins))

    @cached_property
    def keys(self) -> Integers:
        """A number for each token, equal for tokens that are equal and of one set; those of a later set are higher."""
        if len(self.begins) == 2:
            return self.codes.astype(np.int64)
        span = int(self.codes.max(initial=0)) + 1
        return self.codes + np.repeat(np.arange(len(self.begins) - 1) * span, np.diff(self.places))

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

    def _by_set(self, answers: Integers) -> list[int]:
        """Where the entries of each set begin and end, from the answer of each; they lie set after set."""
        if len(self.begins) == 2:
            return [0, len(answers)]
        return np.searchsorted(self.set_of[answers], np.arange(len(self.begins))).tolist()  # type: ignore[no-any-return]

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

    def sums(self, tell: Callable[[str], Sequence[int]]) -> Integers:
        """Add up what a function says of each word, over the words of each answer; one row an answer."""
        if tell not in self._sums:
            running = np.zeros((len(self.codes) + 1, len(tell(" "))), dtype=np.int64)
            if len(self.codes):
                np.cumsum(self._lexicon.told(tell)[self.codes], axis=0, out=running[1:])
            ends = np.cumsum(self.lengths)
            self._sums[tell] = running[ends] - running[ends - self.lengths]
        return self._sums[tell]

    def told(self, measure: Callable[..., NDArray[Any]], *details: Any) -> NDArray[Any]:
        """Return what a function says of the batch; it is asked once."""
        key = measure, *details
        if key not in self._measured:
            self._measured[key] = measure(self, *details)
        return self._measured[key]

    def sizes(self, order: int) -> Integers:
        """How many n-grams each answer has, equal ones counted as often as they occur."""
        return np.maximum(self.lengths - order + 1, 0)

    def grams(self, order: int) -> tuple[Grams, list[Grams]]:
        """N-grams as integers, those of all sets and those of each; see `Grams`."""
        if order not in self._grams:
            whole = _again(*self._in_order) if order == 1 else self._extended(order)
            totals = np.cumsum(np.append(0, self.sizes(order)))[self.begins]
            bounds = self._by_set(self.owners[whole.starts])
            ids = np.append(whole.ids, whole.repeated)[bounds].tolist()
            each = [
                Grams(whole.ids[a:b] - first, whole.starts[a:b] - own.start, total, after - first)
                for (a, b), (first, after), own, total in zip(
                    pairwise(bounds), pairwise(ids), self.tokens, np.diff(totals).tolist(), strict=True
                )
            ]
            self._grams[order] = whole, each
        return self._grams[order]

    def _extended(self, order: int) -> Grams:
        """N-grams from those one shorter: one that occurs again is made of two that do, one token apart."""
        shorter, _ = self.grams(order - 1)
        which = np.full(len(self.codes) + 1, -1, dtype=np.int64)
        which[shorter.starts] = shorter.ids
        begins = which[:-1] >= 0
        begins &= which[1:] >= 0
        # The last of an answer has nothing behind it.
        last = np.cumsum(self.lengths)[self.lengths >= order - 1] - (order - 1)
        begins[last] = False
        starts = np.flatnonzero(begins)
        keys = which[starts] * shorter.repeated + which[starts + 1]
        in_order, keys = _in_order(keys)
        return _again(starts[in_order], keys, int(self.sizes(order).sum()))

    def cells(self, order: int) -> tuple[Cells, list[Cells]]:
        """Counts of each n-gram in each answer, of all sets and of each; see `Cells`."""
        if order not in self._cells:
            grams, _ = self.grams(order)
            ids, owners = grams.ids, self.owners[grams.starts]
            single = self.sizes(order) - np.bincount(owners, minlength=len(self.lengths))
            begins = _starts((ids[1:] != ids[:-1]) | (owners[1:] != owners[:-1]), len(ids))
            counts = np.diff(begins, append=len(ids))
            ids, owners = ids[begins], owners[begins]
            first = _starts(ids[1:] != ids[:-1], len(ids))
            bounds = self._by_set(owners)
            of_set = np.append(ids, grams.repeated)[bounds].tolist()
            each = [
                Cells(ids[a:b] - i, owners[a:b] - own.start, counts[a:b], first[i:j] - a, single[own])
                for (a, b), (i, j), own in zip(pairwise(bounds), pairwise(of_set), self.answers, strict=True)
            ]
            self._cells[order] = Cells(ids, owners, counts, first, single), each
        return self._cells[order]

    def shared(self, order: int, *, counted: bool) -> Matrix:
        """N-grams that two answers of a set share, shape (sets, n, n) with the n of the largest set."""
        key = order, counted
        if key not in self._shared:
            rows, columns = self._columns(order, counted=counted)
            own = np.bincount(rows, minlength=len(self.lengths)) + self.cells(order)[0].single
            self._shared[key] = self._inner(rows, columns, np.ones(len(rows), dtype=np.float32), own)
        return self._shared[key]

    def _columns(self, order: int, *, counted: bool) -> tuple[Integers, Integers]:
        """Rows and columns of ones: a column for each n-gram or, if counted, for each n-gram and t, its t-th time."""
        cells, _ = self.cells(order)
        if not counted or cells.counts.max(initial=1) == 1:
            return cells.owners, cells.ids
        most = np.maximum.reduceat(cells.counts, cells.first)
        base = np.cumsum(most) - most
        begins = np.cumsum(cells.counts) - cells.counts
        time = np.arange(int(cells.counts.sum())) - np.repeat(begins, cells.counts)
        return np.repeat(cells.owners, cells.counts), np.repeat(base[cells.ids], cells.counts) + time

    def products(self, order: int) -> Matrix:
        """Inner products of the n-gram counts of two answers of a set, shape (sets, n, n)."""
        cells, _ = self.cells(order)
        own = np.bincount(cells.owners, weights=cells.counts**2, minlength=len(self.lengths)) + cells.single
        return self._inner(cells.owners, cells.ids, cells.counts.astype(np.float64), own)

    def _inner(self, rows: Integers, columns: Integers, values: NDArray[Any], own: NDArray[Any]) -> Matrix:
        """Inner products of the rows of a set's table, given by the entries that are not 0, set after set.

        `own` are those of a row with itself.
        """
        sets, of_set = len(self.begins) - 1, self.set_of
        places = np.arange(len(own)) - self.begins[of_set]
        of_entry = of_set[rows]
        # The first entry of a set stands in its first column.
        first = np.append(columns, 0)[self._by_set(rows)]
        rows, columns = places[rows], columns - first[of_entry]
        n, count = int(np.diff(self.begins).max(initial=0)), int(columns.max(initial=-1)) + 1
        total: Matrix = np.zeros((sets, n, n))
        width = max(1, min(count, BLOCK // max(1, sets * n)))
        for begin in range(0, count, width):
            inside = (columns >= begin) & (columns < begin + width) if count > width else slice(None)
            table = np.zeros((sets, n, width), dtype=values.dtype)
            table[of_entry[inside], rows[inside], columns[inside] - begin] = values[inside]
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
            cells, _ = self.cells(order)
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
        self._frequencies: dict[int, tuple[Integers, Integers]] = {}
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

    def sums(self, tell: Callable[[str], Sequence[int]]) -> Integers:
        """Add up what a function says of each word, over the words of each answer; one row an answer."""
        return self._batch.sums(tell)[self._answers]

    def per_answer(self, measure: Callable[..., Matrix], *details: Any) -> Matrix:
        """Return what a function of a batch says of each answer, for these; it is asked once of their batch."""
        own: Matrix = self._batch.told(measure, *details)[self._answers]
        return own

    @cached_property
    def ids(self) -> Integers:
        """All tokens laid end to end as numbers from 0."""
        ids, _, first = self._batch.numbered
        own: Integers = ids[self._tokens] - first[self._place]
        return own

    @cached_property
    def vocabulary(self) -> list[str]:
        """The token that each number of `ids` stands for."""
        _, codes, first = self._batch.numbered
        return self._spelled(codes[first[self._place] : first[self._place + 1]].tolist())

    def run(self, start: int, length: int) -> list[str]:
        """Tokens from a place on, all answers laid end to end."""
        return self._spelled(self.codes[start : start + length].tolist())

    def _spelled(self, codes: Iterable[int]) -> list[str]:
        alphabet = self._batch.alphabet
        return list(map(alphabet.words.__getitem__ if isinstance(alphabet, Lexicon) else alphabet, codes))

    @cached_property
    def items(self) -> list[list[str]]:
        """The tokens of each answer."""
        tokens, ends = self._spelled(self.codes.tolist()), np.cumsum(self.lengths).tolist()
        return [tokens[end - length : end] for end, length in zip(ends, self.lengths.tolist(), strict=True)]

    @cached_property
    def owners(self) -> Integers:
        """The answer that each token belongs to, all answers laid end to end."""
        owners: Integers = self._batch.owners[self._tokens] - self._answers.start
        return owners

    def grams(self, order: int) -> Grams:
        """N-grams as integers; see `Grams`."""
        return self._batch.grams(order)[1][self._place]

    def cells(self, order: int) -> Cells:
        """Counts of each n-gram in each answer; see `Cells`."""
        return self._batch.cells(order)[1][self._place]

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

    def frequencies(self, order: int) -> tuple[Integers, Integers]:
        """The different counts of n-grams, all answers pooled, and how many n-grams have each."""
        if order not in self._frequencies:
            grams = self.grams(order)
            kinds = np.bincount(np.bincount(grams.ids), minlength=2)
            kinds[1] = grams.total - len(grams.ids)
            counts = np.flatnonzero(kinds)
            self._frequencies[order] = counts, kinds[counts]
        return self._frequencies[order]

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


def _again(starts: Integers, keys: Integers, total: int | None = None) -> Grams:
    """N-grams that occur again, from their starts and keys in the order of the keys; `total` counts all n-grams."""
    new = _changes(keys)
    again = ~(new[:-1] & new[1:])
    ids = np.cumsum(new[:-1][again]) - 1
    return Grams(ids, starts[again], len(keys) if total is None else total, int(ids[-1]) + 1 if len(ids) else 0)


def _in_order(keys: Integers) -> tuple[Integers, Integers]:
    """Stable order of integers that are not negative, and they themselves in it."""
    bits = len(keys).bit_length()
    if int(keys.max(initial=0)).bit_length() + bits >= 64:
        order = np.argsort(keys, kind="stable")
        return order, keys[order]
    # Each takes its place along: numpy sorts 64-bit integers several times faster than it sorts places by them.
    packed = np.sort((keys << bits) | np.arange(len(keys)))
    return packed & ((1 << bits) - 1), packed >> bits


class Shelf:
    """The words of several sets of answers and what is made of them, for all sets at once.

    Parameters
    ----------
    sets : sequence of sequences of arrays
        The words of each answer of each set, by their numbers in the lexicon.
    lexicon : Lexicon
    """

    def __init__(self, sets: Sequence[Sequence[Codes]], lexicon: Lexicon) -> None:
        self.words = Batch.of_words(sets, lexicon)

    @cached_property
    def shapes(self) -> Batch:
        """The words with all but function words and punctuation replaced by their kind."""
        return self.words.mapped(_shape)

    @cached_property
    def lexemes(self) -> Batch:
        """The words in one case, without punctuation."""
        return self.words.mapped(_lexeme)

    @cached_property
    def lowered(self) -> Batch:
        """The words in lower case."""
        return self.words.mapped(str.lower)

    @cached_property
    def function_words(self) -> Batch:
        """The function words, all else left out."""
        return self.words.mapped(_function_word)

    @cached_property
    def punctuation(self) -> Batch:
        """The punctuation marks, all else left out."""
        return self.words.mapped(_punctuation_mark)


def shelve(sets: Sequence[Answers]) -> None:
    """Put sets of answers that share a lexicon on one shelf: their views of words are made together."""
    if sets:
        shelf = Shelf([each.tokens for each in sets], sets[0].lexicon)
        for place, each in enumerate(sets):
            each.shelf = shelf, place


class Answers:
    """The answers of one checkpoint to one prompt.

    Parameters
    ----------
    texts : sequence of str, n answers
        What the domain extracted from the outputs.
    language : str, optional
        The programming language of the answers, or "auto" to tell it for each; None for prose.
    encode : callable, optional
        Maps texts to unit vectors, shape (n, d). Without it the semantic metrics are undefined.
    calibration : callable, optional
        Maps cosines to the probability that two answers say the same.
    behaviours : sequence of str or None, optional
        What each answer did when it was run, or its final value; None for an answer of which nothing was observed.
    flags : mapping of name to array of bool, optional
        What was noticed of each output of the prompt, those without an answer included.
    limit : int, optional
        Read only the first so many words of each answer (the length-matched condition).
    prompt : str, optional
        What was asked.
    judge : callable, optional
        Maps different answers and their prompt to labels; equal labels mean the same. See docs/meaning-classes.md.
    qualities : sequence of float, optional
        How good each answer is.
    valid : array of n bool, optional
        Which answers passed the domain's check; only where the answers are all that the prompt has.
    log_probabilities, output_tokens : arrays, optional
        Of each output of the prompt, those without an answer included: the natural logarithm of its probability, and
        how many tokens it has.
    outputs : int, optional
        Outputs of the prompt, those without an answer included.
    equal_valid : int, optional
        The least number of valid answers to the prompt among the checkpoints of the run.
    windows, unknown : arrays of n, optional
        In how many windows the embedding model read each answer, and what share of its tokens it did not know.
    lexicon : Lexicon, optional
        Numbers the words; sets that share one are joined quickly.
    tokens : sequence of n arrays, optional
        The words of each whole answer by their numbers in the lexicon, where they were read already.
    """

    def __init__(
        self,
        texts: Sequence[str],
        *,
        language: str | None = None,
        encode: Encode | None = None,
        calibration: Calibration | None = None,
        behaviours: Sequence[str | None] | None = None,
        flags: Mapping[str, NDArray[np.bool_]] | None = None,
        limit: int | None = None,
        prompt: str | None = None,
        judge: Judge | None = None,
        qualities: Sequence[float] | None = None,
        valid: NDArray[np.bool_] | None = None,
        log_probabilities: NDArray[np.float64] | None = None,
        output_tokens: NDArray[np.float64] | None = None,
        outputs: int | None = None,
        equal_valid: int | None = None,
        windows: NDArray[np.int64] | None = None,
        unknown: NDArray[np.float64] | None = None,
        lexicon: Lexicon | None = None,
        tokens: Sequence[Codes] | None = None,
    ) -> None:
        self.texts = tuple(map(normal, texts))
        self.language = language
        self.limit = limit
        self.calibration = calibration
        self.behaviours = behaviours
        self.flags = flags or {}
        self.prompt = prompt
        self.judge = judge
        self.qualities = qualities
        self.valid = valid
        self.log_probabilities = log_probabilities
        self.output_tokens = output_tokens
        self.outputs = len(texts) if outputs is None else outputs
        self.equal_valid = equal_valid
        self.windows = windows
        self.unknown = unknown
        self.lexicon = lexicon or Lexicon()
        # A larger set that holds these answers, and their places there: pairs of them are compared there.
        self.among: tuple[Answers, Integers] | None = None
        self.shelf: tuple[Shelf, int] | None = None
        self._encode = encode
        self._tokens = tokens
        self._seen: dict[Callable[[str], Any], list[Any]] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def part(self, places: Sequence[int]) -> Picked:
        """Return some of the answers, with all that is known of them."""
        part = Picked([(self, i) for i in places])
        part.flags, part.prompt, part.judge, part.outputs = self.flags, self.prompt, self.judge, len(places)
        part.qualities = None if self.qualities is None else [self.qualities[i] for i in places]
        part.valid = None if self.valid is None else self.valid[list(places)]
        part.equal_valid = None if self.equal_valid is None else min(self.equal_valid, len(places))
        part.log_probabilities, part.output_tokens = self.log_probabilities, self.output_tokens
        return part

    def whole(self) -> tuple[Answers, Integers]:
        """Return the largest set that these answers are among, and their places there."""
        if self.among is None:
            return self, np.arange(len(self))
        larger, places = self.among
        whole, of_larger = larger.whole()
        return whole, of_larger[places]

    def forget(self) -> None:
        """Drop the views that were made; they are made again when asked for."""
        for name in [n for n in vars(self) if isinstance(getattr(type(self), n, None), cached_property)]:
            del self.__dict__[name]
        self._seen.clear()
        self.shelf = None

    def each(self, look: Callable[[str], Seen]) -> list[Seen]:
        """Return what a function says of each answer, as far as it is read; it is asked once."""
        if look not in self._seen:
            self._seen[look] = self._look(look)
        return self._seen[look]

    def _look(self, look: Callable[[str], Seen]) -> list[Seen]:
        return [look(text) for text in self.read]

    @cached_property
    def read(self) -> tuple[str, ...]:
        """The answers as far as they are read: whole, or cut after `limit` words."""
        if self.limit is None:
            return self.texts
        return tuple(t[: WORD.end(t, self.limit)] for t in self.texts)

    @cached_property
    def tokens(self) -> list[Codes]:
        """The words of each answer, as far as it is read, by their numbers in the lexicon."""
        # The words of a text that is cut after a word are its first words.
        whole = [self.lexicon.read(t) for t in self.texts] if self._tokens is None else self._tokens
        return [codes[: self.limit] for codes in whole]

    @cached_property
    def _square(self) -> Any:
        """Index of these answers among the larger set's, in rows and columns; a view where they lie side by side."""
        places = self.among[1] if self.among else np.arange(len(self))
        if len(places) and (np.diff(places) == 1).all():
            side = slice(int(places[0]), int(places[-1]) + 1)
            return side, side
        return np.ix_(places, places)

    def _shelved(self, view: str) -> Sequences:
        if self.shelf is None:
            self.shelf = Shelf([self.tokens], self.lexicon), 0
        shelf, place = self.shelf
        made: Sequences = getattr(shelf, view)[place]
        if self.among is not None:
            whole, _ = self.among
            made.among = partial(getattr, whole, view), self._square
        return made

    @cached_property
    def words(self) -> Sequences:
        """Words and single punctuation marks of each answer."""
        return self._shelved("words")

    @cached_property
    def shapes(self) -> Sequences:
        """The words with all but function words and punctuation replaced by their kind."""
        return self._shelved("shapes")

    @cached_property
    def lexemes(self) -> Sequences:
        """The words in one case, without punctuation: what measures of lexical richness count."""
        return self._shelved("lexemes")

    @cached_property
    def lowered(self) -> Sequences:
        """The words in lower case, with all punctuation."""
        return self._shelved("lowered")

    @cached_property
    def deflated(self) -> tuple[int, int]:
        """Bytes of the answers, sorted and joined by line breaks, and of that under raw deflate, level 9."""
        text = "\n".join(sorted(self.read)).encode("utf-8", "replace")
        return len(text), len(zlib.compress(text, 9, -zlib.MAX_WBITS))

    @cached_property
    def words_13a(self) -> Sequences:
        """The tokens of sacrebleu's default tokeniser, mteval-v13a: made for European languages."""
        return Sequences([_tokens_13a(t) for t in self.read])

    @cached_property
    def characters(self) -> Sequences:
        """The characters of each answer but white space."""
        return Sequences(["".join(t.split()) for t in self.read])

    @cached_property
    def function_words(self) -> Sequences:
        """The function words of each answer in their order, all else left out."""
        return self._shelved("function_words")

    @cached_property
    def punctuation(self) -> Sequences:
        """The punctuation marks of each answer in their order, all else left out."""
        return self._shelved("punctuation")

    @cached_property
    def programs(self) -> list[Tree]:
        """Each answer as parsed, with what became of it in `status`."""
        if self.language is None:
            raise Undefined("the answers are prose, not code")
        return [read(t, self.language) for t in self.texts]

    @cached_property
    def trees(self) -> list[Tree | None]:
        """Syntax tree of each answer; None where it does not parse."""
        return [tree if tree.status == "ok" else None for tree in self.programs]

    @cached_property
    def forest(self) -> Forest:
        """The normalised trees of the answers that parse; raises `Undefined` when fewer than two do."""
        parsed = [i for i, tree in enumerate(self.trees) if tree is not None]
        if len(parsed) < 2:
            raise Undefined(f"{len(parsed)} of {len(self)} answers parse, 2 are needed")
        numbers: dict[str, int] = {}
        which = [numbers.setdefault(self.texts[i], len(numbers)) for i in parsed]
        once = {which[at]: i for at, i in reversed(list(enumerate(parsed)))}
        trees = [self.programs[once[number]] for number in range(len(numbers))]
        if self.limit is None:
            return Forest(trees, which=which)
        # A program cut in the middle does not parse, so the whole is parsed and the window cuts its nodes.
        return Forest(trees, which=which, limits=[len(encode(self.read[once[k]])) for k in range(len(numbers))])

    @cached_property
    def code_tokens(self) -> Sequences:
        """Tokens of each tree of the forest, every name, number and string alike."""
        return Sequences.of_numbers(*self.forest.tokens("type"))

    @cached_property
    def renamed_tokens(self) -> Sequences:
        """Tokens of each tree of the forest, names that the program gives numbered by first occurrence."""
        return Sequences.of_numbers(*self.forest.tokens("alpha"))

    @cached_property
    def skeletons(self) -> list[Skeleton]:
        """What each program that parses does, in outline."""
        outlines = of_forest(self.forest)
        return [outlines[tree] for tree in self.forest.which]

    @property
    def parse_note(self) -> str:
        """How many answers do not parse, and how many of those nearly do; empty where all parse."""
        failed = sum(tree is None for tree in self.trees)
        partial = sum(tree.status == "partial" for tree in self.programs)
        nearly = f", {partial} of them but for 5 % or less" if partial else ""
        return f"{failed} of {len(self)} do not parse{nearly}" if failed else ""

    @cached_property
    def vectors(self) -> NDArray[np.float64]:
        """Unit embedding of each answer, shape (n, d); raises `Undefined` without an embedding model."""
        if self._encode is None:
            raise Undefined("no embedding model")
        vectors = self._encode(self.read)
        wrong = np.flatnonzero(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-6))  # also true for NaN
        if wrong.size:
            raise InputError(
                f"the embedding of {self.read[wrong[0]][:60]!r} is not finite or not of length 1: "
                "check the model, and scale its vectors to unit length"
            )
        return vectors

    @cached_property
    def cosines(self) -> NDArray[np.float64]:
        """Cosine of every two answers, shape (n, n); exactly 1 where the texts are equal."""
        cosines = np.clip(self.vectors @ self.vectors.T, -1, 1)
        same = classes(self.read)
        cosines[same[:, None] == same[None, :]] = 1
        return cosines

    @cached_property
    def likeness(self) -> NDArray[np.float64]:
        """The cosines through the calibration curve, in [0, 1]; clipped at 0 where there is no curve."""
        return (self.calibration or Calibration.uncalibrated(0.0))(self.cosines)

    @cached_property
    def spectrum(self) -> NDArray[np.float64]:
        """Eigenvalues above rounding of the cosine matrix over n, which sum to 1.

        They are those of the smaller of the n x n and the d x d product of the vectors.
        """
        n, d = self.vectors.shape
        product = self.cosines if n <= d else self.vectors.T @ self.vectors
        weights = np.linalg.eigvalsh(product / n)
        # Rounding leaves some 1e-16 where there is 0; the square root in order 0.5 would make it show.
        weights = weights[weights > 1e-13]
        spectrum: NDArray[np.float64] = weights / weights.sum()
        return spectrum


class Picked(Answers):
    """Answers picked from other sets, whose words and trees they share.

    Parameters
    ----------
    picks : sequence of (Answers, int), one an answer
        The set that holds the answer, and its place there.
    """

    def __init__(self, picks: Sequence[tuple[Answers, int]]) -> None:
        first = picks[0][0] if picks else Answers(())
        super().__init__(
            (),
            language=first.language,
            encode=first._encode,
            calibration=first.calibration,
            limit=first.limit,
            lexicon=first.lexicon,
        )
        self.texts = tuple(source.texts[i] for source, i in picks)
        if all(source.behaviours is not None for source, _ in picks):
            self.behaviours = [source.behaviours[i] for source, i in picks if source.behaviours is not None]
        self.picks = picks

    def subset(self, places: Sequence[int] | Integers) -> Picked:
        """Return the answers at some places."""
        return Picked([(self, int(i)) for i in places])

    @cached_property
    def read(self) -> tuple[str, ...]:
        """The answers as far as they are read."""
        return tuple(source.read[i] for source, i in self.picks)

    @cached_property
    def tokens(self) -> list[Codes]:
        """The words of each answer, as far as it is read, by their numbers in the lexicon."""
        return [
            source.tokens[i]
            if source.lexicon is self.lexicon
            else self.lexicon.codes([source.lexicon.words[code] for code in source.tokens[i]])
            for source, i in self.picks
        ]

    def _look(self, look: Callable[[str], Seen]) -> list[Seen]:
        return [source.each(look)[i] for source, i in self.picks]

    @cached_property
    def programs(self) -> list[Tree]:
        """Each answer as parsed."""
        return [source.programs[i] for source, i in self.picks]


def join(sides: Sequence[Answers]) -> Answers:
    """Return the answers of several sets as one, one set after the other."""
    found = [side.whole() for side in sides]
    whole, places = found[0][0], np.concatenate([places for _, places in found])
    is_one = all(each is whole for each, _ in found)
    if is_one and len(places) == len(whole) and (places == np.arange(len(whole))).all():
        return whole
    joined = Picked([(side, i) for side in sides for i in range(len(side))])
    joined.among = (whole, places) if is_one else None
    return joined


def normal(text: str) -> str:
    """Return a text in Unicode's composed form, with a line end as one character, however the system wrote it."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n")


def _lexeme(word: str) -> str | None:
    return word.casefold() if word[0].isalnum() or word[0] == "_" else None


def _function_word(word: str) -> str | None:
    lower = word.lower()
    return lower if lower in FUNCTION_WORDS else None


def _punctuation_mark(word: str) -> str | None:
    is_mark = unicodedata.category(word[0]).startswith("P") or (word.isascii() and not word[0].isalnum())
    return word if is_mark and word[0] != "_" else None


def _shape(word: str) -> str:
    lower = word.lower()
    if lower in FUNCTION_WORDS or not (word[0].isalnum() or word[0] == "_"):
        return lower
    if word[0].isdigit():
        return "NUM"
    return "Cap" if word[0].isupper() else "WORD"

"""Answers of one prompt and the views of them that metrics read; each view is made once, when first asked for."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from diversity.calibration import Calibration
from diversity.errors import InputError, Undefined
from diversity.sequences import Batch, Sequences, classes
from diversity.skeletons import Skeleton, of_forest
from diversity.trees import Forest, Level, Tree, Wood, encode, read
from diversity.words import FUNCTION_WORDS, WORD, Codes, Integers, Lexicon, normal, tokens_13a

NO_BEHAVIOUR = "no behaviour was recorded"
FEW = 256  # answers up to which sets share what a call of numpy costs
Seen = TypeVar("Seen")
Encode = Callable[[Sequence[str]], NDArray[np.float64]]
_Cut = tuple[bytes, str, "int | None"]  # source and language of a tree, and the byte it is read up to
# Takes different answers and their prompt, gives each answer a label; equal labels mean the same.
Judge = Callable[[tuple[str, ...], "str | None"], Sequence[Hashable]]


class Shelf:
    """The words of several sets of answers and what is made of them, for all sets at once.

    Parameters
    ----------
    sets : sequence of sequences of arrays
        The words of each answer of each set, by their numbers in the lexicon.
    lexicon : Lexicon
    answers : sequence of Answers, optional
        The sets, whose programs are then put together too.
    """

    def __init__(self, sets: Sequence[Sequence[Codes]], lexicon: Lexicon, answers: Sequence[Answers] = ()) -> None:
        self.words = Batch.of_words(sets, lexicon)
        self.answers = answers
        self._of_trees: dict[Level, Batch] = {}

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

    def of_trees(self, level: Level) -> Batch:
        """Tokens of the different trees of each set; see `Stand.tokens`."""
        if level not in self._of_trees:
            none = np.empty(0, dtype=np.int64)
            found = [each.forest.tokens(level) if each.has_forest else (none, none) for each in self.answers]
            numbers, lengths = (np.concatenate(laid_out) for laid_out in zip(*found, strict=True))
            self._of_trees[level] = Batch(numbers, lengths, [len(of_tree) for _, of_tree in found], str)
        return self._of_trees[level]


class Grove:
    """The programs of several sets of answers, whose trees are looked at together and once, whoever holds them."""

    def __init__(self, sets: Sequence[Answers]) -> None:
        self._sets = sets

    @cached_property
    def _planted(self) -> tuple[Wood, dict[_Cut, int]]:
        """The wood of all different trees, and the number of each."""
        numbers: dict[_Cut, int] = {}
        trees: list[Tree] = []
        ends: list[int | None] = []
        for each in self._sets:
            for tree, end in zip(*each.parsed[1:], strict=True):
                if numbers.setdefault((tree.source, tree.language, end), len(trees)) == len(trees):
                    trees.append(tree)
                    ends.append(end)
        return Wood(trees, ends), numbers

    def forest(self, which: Sequence[int], trees: Sequence[Tree], ends: Sequence[int | None]) -> Forest:
        """Return the forest of some of the trees."""
        wood, numbers = self._planted
        chosen = [numbers[tree.source, tree.language, end] for tree, end in zip(trees, ends, strict=True)]
        return Forest(chosen, which=which, wood=wood)


def shelve(sets: Sequence[Answers]) -> None:
    """Put sets of answers that share a lexicon on one shelf: their views of words are made together.

    A large set has one to itself: the pairs of several large ones would be held at once.
    """
    few = [each for each in sets if len(each) <= FEW]
    for together in filter(None, (few, *([each] for each in sets if len(each) > FEW))):
        shelf = Shelf([each.tokens for each in together], together[0].lexicon, together)
        for place, each in enumerate(together):
            each.shelf = shelf, place


def plant(sets: Sequence[Answers]) -> None:
    """Put the programs of sets of answers into one grove; those that are picked from others stand there already."""
    own = [each for each in sets if each.language is not None and not isinstance(each, Picked)]
    grove = Grove(own)
    for each in own:
        each.grove = grove


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
        self.grove: Grove | None = None
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
        for name in VIEWS.intersection(vars(self)):
            del self.__dict__[name]
        self._seen.clear()
        self.shelf = self.grove = None

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
        return Sequences([tokens_13a(t) for t in self.read])

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
    def parsed(self) -> tuple[list[int], list[Tree], list[int | None]]:
        """The tree of each answer that parses, by number; the different trees; and the byte each is read up to."""
        parsed = [i for i, tree in enumerate(self.trees) if tree is not None]
        numbers: dict[str, int] = {}
        which = [numbers.setdefault(self.texts[i], len(numbers)) for i in parsed]
        once = {which[at]: i for at, i in reversed(list(enumerate(parsed)))}
        first = [once[number] for number in range(len(numbers))]
        # A program cut in the middle does not parse, so the whole is parsed and the window cuts its nodes.
        ends = [None if self.limit is None else len(encode(self.read[i])) for i in first]
        return which, [self.programs[i] for i in first], ends

    @property
    def has_forest(self) -> bool:
        """Whether two answers parse."""
        return self.language is not None and len(self.parsed[0]) > 1

    @property
    def _grove(self) -> Grove | None:
        return self.grove

    @cached_property
    def forest(self) -> Forest:
        """The normalised trees of the answers that parse; raises `Undefined` when fewer than two do."""
        which, trees, ends = self.parsed
        if len(which) < 2:
            raise Undefined(f"{len(which)} of {len(self)} answers parse, 2 are needed")
        grove = self._grove
        return Forest(trees, which=which, limits=ends) if grove is None else grove.forest(which, trees, ends)

    def _of_trees(self, level: Level) -> Sequences:
        forest = self.forest
        if self.shelf is None or not self.shelf[0].answers:
            return Sequences.of_numbers(*forest.tokens(level))
        shelf, place = self.shelf
        return shelf.of_trees(level)[place]

    @cached_property
    def code_tokens(self) -> Sequences:
        """Tokens of each tree of the forest, every name, number and string alike."""
        return self._of_trees("type")

    @cached_property
    def renamed_tokens(self) -> Sequences:
        """Tokens of each tree of the forest, names that the program gives numbered by first occurrence."""
        return self._of_trees("alpha")

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


VIEWS = frozenset(name for name, view in vars(Answers).items() if isinstance(view, cached_property))


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

    @property
    def _grove(self) -> Grove | None:
        """The one in which all that the answers are picked from stand."""
        sources = {id(source): source for source, _ in self.picks}.values()
        groves = {id(grove): grove for grove in (source._grove for source in sources)}
        return groves.popitem()[1] if len(groves) == 1 else None

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

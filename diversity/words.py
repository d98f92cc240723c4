"""Words of a text and their numbers: the tokenisers, and the lexicon that a block's answers share."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Codes = NDArray[np.signedinteger[Any]]
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
        if text.isascii():
            signs = set(text.encode().translate(None, self.unmarked).decode())
        elif self.simple.fullmatch(text):
            signs = {sign for sign in set(text) if not (sign.isalnum() or sign.isspace() or sign == "_")}
        else:
            return self.unicode.findall(text)
        # Few signs occur in a text: set apart by blanks they are found in a third of the time.
        for sign in signs:
            text = text.replace(sign, f" {sign} ")
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
# Signs stand alone; a period or comma between digits does not, a dash after a digit does.
ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
SIGNS_13A = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def tokens_13a(text: str) -> list[str]:
    """Tokens of sacrebleu's default tokeniser, mteval-v13a."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in ENTITIES if "&" in text else ():
        text = text.replace(entity, sign)
    text = f" {text} "
    for pattern, apart in SIGNS_13A:
        text = pattern.sub(apart, text)
    return text.split()


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


def normal(text: str) -> str:
    """Return a text in Unicode's composed form, with a line end as one character, however the system wrote it."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n")

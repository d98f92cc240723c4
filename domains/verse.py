"""What verse sounds like, read from its spelling: syllables of a line, and which lines rhyme.

English spelling tells sounds apart badly, so nothing here is one number: a word has a least and a greatest number of
syllables, and its ending a set of sounds it may have. Two words rhyme when they may, which is kind to eye rhymes
(love, prove) and to a poet's licence. Measured errors stand in docs/quality.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
# Words whose spelling misleads: their syllables.
ODD = {
    **dict.fromkeys(("one", "once", "whole", "eye", "eyes", "aye", "tongue", "league", "clothes", "reign"), (1, 1)),
    **dict.fromkeys(("being", "seeing", "going", "doing", "poem", "poet", "quiet", "lion", "giant", "riot"), (2, 2)),
    **dict.fromkeys(("trial", "dial", "real", "cruel", "fuel", "duel", "jewel", "towel", "vowel", "flower"), (1, 2)),
    **dict.fromkeys(("power", "tower", "shower", "hour", "hours", "our", "ours", "fire", "heaven", "even"), (1, 2)),
    **dict.fromkeys(("every", "evening", "different", "favorite", "memory", "history", "several", "chocolate"), (2, 3)),
    **dict.fromkeys(("business", "people", "something", "someone", "sometimes", "somewhere", "people's"), (2, 2)),
    **dict.fromkeys(("idea", "ideas", "area", "areas", "museum", "period", "radio", "video", "violin"), (2, 3)),
    **dict.fromkeys(("science", "client", "diet", "fluid", "ruin", "chaos", "oasis", "neon"), (2, 3)),
}
GROUP = re.compile(r"[aeiouyàâäáéèêëíîïóôöúùûü]+")
# Vowels side by side that are two syllables, or may be.
TWO = re.compile(
    r"(?:(?<=[ao])[ïë]|(?<=cr)e(?=at)|(?<=id)ea(?=s?$)|(?<=b)e(?=ing)|(?<![tscgxq])i(?=a|o(?!u)|u)|(?<=[tscgx])ia(?=t|r)|(?<![qg])u(?=[aeio][^aeiou])|e(?=o(?!u)|u[ms])|y(?=[aio]))"
)
MAYBE_TWO = re.compile(r"(?:ea(?=t[eo]|l[mi])|ie(?=t|n[ct])|(?<!q)ui(?=n|d|t)|io(?=u)|ower|our|oe[mt]|owel|aye|oin)")
SILENT_E = re.compile(
    r"(?<=[^aeiouyl])e$|(?<=[aeiouy]l)e$|(?<=[aeouyi][^aeiouyszxcg])es$|(?<=[^aeiouysxzcgh]l)es$"
    r"|(?<=[^aeiouyszxcgh])es$|(?<=[^aeiouytd])ed$|(?<=[aeiouw])ed$|(?<=[aeiouy])e$"
)
INSIDE_E = re.compile(
    r"(?<=[aeiou][bcdfgklmnprstvz])e(?=(?:ly|less|ness|ful|ment|some|where|thing|land|light|time|house|body|man|style|work|ty|line|spread|teenth|fore)s?$)"
)
SWALLOWED = re.compile(r"(?:[aeiou][nrlvmt]?[eo]r(?=y|ie|i|a)|(?<=[a-z]{2})e(?=n(?:ing|ed|s)?$)|[td]eri)")


def syllables(text: str) -> tuple[int, int]:
    """Least and greatest number of syllables of a text in English."""
    low = high = 0
    for word in re.split(r"[\s\-–—]+", text.lower()):
        for part in WORD.findall(word):
            least, most = _of_word(part)
            low, high = low + least, high + most
    return low, high


def _of_word(word: str) -> tuple[int, int]:
    word = word.replace("’", "'")
    bare = re.sub(r"'(?:s|d|ll|ve|re|m|t)?$|n't$", "", word)
    if word.endswith("n't") and bare and bare[-1] not in "aeour":
        low, high = _of_word(bare)  # didn't, couldn't
        return low + 1, high + 1
    bare = bare or word
    if bare in ODD:
        return ODD[bare]
    plain = SILENT_E.sub("", bare) if len(GROUP.findall(bare)) > 1 else bare
    inner = INSIDE_E.sub("", plain)
    count = len(GROUP.findall(inner)) + len(TWO.findall(inner))
    if re.search(r"[^aeiouylrw]le[sd]?$", bare):  # little, candles, cradled
        count = len(GROUP.findall(re.sub(r"e[sd]?$", "", bare))) + 1
    if re.search(r"(?:[^aeiou]|^)[rtd]hm$|[tsd]m$", bare):  # rhythm, prism
        count += 1
    most = (
        count
        + len(MAYBE_TWO.findall(inner))
        + bool(re.search(r"[iy]re[sd]?(?:ly)?$", bare))
        + (plain != bare and bare.endswith("ed") and len(bare) > 5)
    )
    least = count - bool(TWO.search(inner)) * (count > 1) - (count > 2 and bool(SWALLOWED.search(inner)))
    return max(1, least), max(1, most)


# Sounds of the vowels before a word's last consonants, by spelling; with an e behind them, and before r.
LONG = {"a": "ay", "e": "ee", "i": "ie", "o": "oh oo uh", "u": "oo", "y": "ie"}
SHORT = {"a": "a ah o", "e": "e", "i": "i", "o": "o uh oh oo", "u": "uh u oo", "y": "i"}
OPEN = {"a": "ah aw", "e": "ee ay", "i": "ee ie", "o": "oh oo", "u": "oo", "y": "ie ee"}
# fmt: off
PAIRS = {
    "ai": "ay e", "ay": "ay e", "ei": "ay ee ie", "ey": "ay ee", "ea": "ee e ay", "ee": "ee", "ie": "ee ie e",
    "oa": "oh aw", "oo": "oo u", "ou": "ow oo uh oh aw u", "ow": "ow oh", "oi": "oy", "oy": "oy", "au": "aw a o",
    "aw": "aw", "ew": "oo oh", "eu": "oo", "ue": "oo", "ui": "oo i", "oe": "oh oo uh", "ye": "ie", "uy": "ie",
    "eau": "oh oo", "eou": "uh", "iou": "uh", "ia": "uh a", "io": "uh oh", "eo": "ee e oh", "ae": "ay ee",
    "eye": "ie", "ua": "a o ah", "oyou": "oy oo", "uoy": "oy ee", "aye": "ie ay",
}
# fmt: on
# fmt: off
BEFORE_R = {
    "a": "ar or air", "ai": "air", "ea": "eer air er ar", "ee": "eer", "ei": "air eer", "ie": "eer",
    "e": "er eer air", "i": "er", "o": "or er", "oa": "or", "oo": "or oor", "ou": "or owr oor er", "u": "er oor",
    "y": "er", "ow": "owr er", "au": "or", "ue": "oor", "ia": "er", "io": "er", "oi": "oyr",
}
# fmt: on
LONG_R = {"a": "air", "e": "eer air er", "i": "ier", "o": "or", "u": "oor", "y": "ier", "ai": "air"}
# Words whose spelling says nothing of their last sound, by it.
_WHOLE = {
    "uh-n": "one done none won son sun run",
    "uh-m": "come some",
    "ie-": "eye i aye",
    "ie-s": "eyes",
    "ay-n e-d e-n": "said again",
    "aw-s o-s uh-s": "was does because",
    "ay- ee- uh-": "the a",
    "o-v uh-v": "of",
    "oo-": "two to who do you through shoe blue too",
    "ar-t ar-ts": "heart hearts",
    "e-nd e-nds": "friend friends",
    "e-n ee-n i-n": "been",
    "air- ar-": "are ah",
    "air- eer- er-": "were where there their",
}
WHOLE = {word: frozenset(sounds.split()) for sounds, words in _WHOLE.items() for word in words.split()}
CODA = (
    (r"^gh$|^w$|^h$|^ugh$|^ghs$", ""),
    (r"ght", "t"),
    (r"gh", ""),
    (r"tch|ch", "tS"),
    (r"dge?", "d"),
    (r"ck|que|q", "k"),
    (r"ph", "f"),
    (r"mb$|mbs$|mn$", "m"),
    (r"(?<!^)gn|^gn", "n"),
    (r"sh", "S"),
    (r"th", "T"),
    (r"x", "ks"),
    (r"c", "k"),
    (r"(.)\1", r"\1"),
    (r"l(?=[mkf]|ves?$|d$)", ""),
    (r"z|se$", "s"),
)


def rhymes(one: str, other: str) -> bool:
    """Whether two lines may rhyme: their last words sound alike at the end and are not the same."""
    first, second = (_last(line) for line in (one, other))
    return bool(first and second and first != second and _sounds(first) & _sounds(second))


def same_end(one: str, other: str) -> bool:
    """Whether two lines end with the same word."""
    return bool(_last(one)) and _last(one) == _last(other)


def _last(line: str) -> str:
    words = WORD.findall(line.lower().replace("’", "'"))
    return re.sub(r"'s?$", "", words[-1]) if words else ""


def _sounds(word: str) -> set[str]:
    """Sounds with which a word may end: the vowel of its last syllable and what follows, more for weak endings."""
    word = word.replace("'", "")
    if word in WHOLE:
        return set(WHOLE[word])
    found = _rime(word)
    # -ing, -er, -le: what comes before has to sound alike too.
    weak = re.search(r"(ing|er|or|ar|(?<=[^aeiouyl])le|en|on|el|ow|ly|y|ies|ness|less|ful|ment|ion)(s?)$", word)
    if weak and len(GROUP.findall(word)) > 1:
        stem = word[: weak.start()]
        if weak[1] in {"y", "ly", "ies"}:
            # A y at the end carries a rhyme of its own in many a poem (melody, free), and with its stem (city, pretty).
            return found | {f"{sound}|y" for sound in _rime(stem)}
        if stem and GROUP.search(stem):
            kind = {"or": "er", "ar": "er", "el": "le", "on": "en"}.get(weak[1], weak[1])
            return {f"{sound}|{kind}{weak[2]}" for sound in _rime(stem, doubled=True) | _rime(f"{stem}e")}
    return found


def _rime(word: str, *, doubled: bool = False) -> set[str]:
    word = re.sub(r"^y(?=[aeiou])", "", word)
    ending = re.search(r"([aeiouy]+)([^aeiouy]*)$", word)
    if not ending:
        return set()
    vowels, coda = ending.groups()
    silent = ""
    long = re.search(r"([aeiouy]+|[aeiouy]*w|[aeiouy]+u)([^aeiouyw]+)(e|es|ed)$", word)
    if long and (long[3] != "ed" or long[2][-1] not in "td") and not (long[3] == "es" and long[2][-1] in "sxz"):
        vowels, coda, silent = long.groups()
    elif long and long[3] == "ed" and long[2][-1] in "td":
        return {f"{sound}|ed" for sound in _rime(word[:-2]) | _rime(word[:-1])}
    elif long and long[3] == "es":
        return {f"{sound}|es" for sound in _rime(word[:-2]) | _rime(word[:-1])}
    if vowels.startswith("u") and len(vowels) > 1 and re.search(r"[qg]u", word):
        vowels = vowels[1:]  # quite, guess
    if coda.startswith("w") and vowels[-1] in "aeo":
        vowels, coda = vowels + "w", coda[1:]
    if re.match(r"gh", coda) and vowels in {"i", "ei", "ai", "au", "ou"}:
        names = {"i": "ie", "ei": "ay ie", "ai": "ay", "au": "aw af", "ou": "oh aw ow oo uhf of"}[vowels]
        tail = _coda(coda[2:])
        return {f"{n[:-1]}-f{tail}" if n.endswith("f") else f"{n}-{tail}" for n in names.split()}
    letters = vowels if vowels in PAIRS or len(vowels) == 1 else vowels[-2:] if vowels[-2:] in PAIRS else vowels[-1]
    tail = coda + ("s" if silent == "es" else "d" if silent == "ed" else "")
    if coda.startswith("r"):
        table = LONG_R if silent and len(coda) == 1 and letters in LONG_R else BEFORE_R
        names, tail = table.get(letters, BEFORE_R.get(letters[-1], "er")), tail[1:].lstrip("r")
        if re.search(r"(?:^|[^aeiou])wo$", word[: word.rfind("r")] if "r" in word else ""):
            names = f"{names} er"
    elif not coda:
        names = "ee" if letters == "ea" else PAIRS.get(letters) or OPEN[letters[-1]]
    elif len(letters) > 1:
        names = PAIRS[letters] + (" uh" if letters == "oo" and coda == "d" else "")  # blood
    elif silent and len(coda) <= 2 and not re.search(r"(.)\1|ck|[^s]t?ch|dg|[nlr][^l]", coda):
        names = LONG[letters] + (f" {SHORT[letters]}" if silent == "ed" or coda in {"v", "n", "m", "th"} else "")
    else:
        names = SHORT[letters]
        if (
            coda in {"nd", "ld", "ght", "gn", "nt", "st", "th", "sm", "ths", "sts", "lds", "nds", "ll", "lk", "lks"}
            or doubled
        ):
            names = f"{names} {LONG[letters]}"
        if letters == "a" and coda.startswith("l"):
            names += " aw"
        if letters == "o" and coda[0] in "gfsl":
            names += " aw"
    soft = silent != "" and re.search(r"[cg]$", coda) is not None
    tails = {_coda(tail)}
    if soft:
        tails = {_coda(re.sub(r"c(?=s?d?$)", "s", re.sub(r"d?g(?=s?d?$)", "j", tail)))}
    return {f"{name}-{each}" for name in names.split() for each in tails}


def _coda(letters: str) -> str:
    for pattern, sound in CODA:
        letters = re.sub(pattern, sound, letters)
    return letters


SCHEMES = {
    "couplets": ("AA",),
    "limerick": ("AABBA",),
    "ballad": ("xAxA", "AABB", "ABAB"),
    "rhymed": ("ABAB", "AABB", "ABBA", "xAxA", "AAxA"),
    "ABAB": ("ABAB",),
}
NEAR = 4  # lines, within which the lines of a sonnet find their rhyme


def rhymed(lines: Sequence[str], form: str) -> float:
    """Share of the rhymes that a form asks for which are there, from 0 to 1.

    `form` is a key of SCHEMES, whose scheme goes on from stanza to stanza, "sonnet" (a line has a partner within four
    lines, whatever the scheme), or "villanelle" (two refrains, and the first lines of all stanzas rhyme).
    """
    if form == "sonnet":
        found = [
            any(rhymes(a, b) for b in (*lines[max(0, i - NEAR) : i], *lines[i + 1 : i + 1 + NEAR]))
            for i, a in enumerate(lines)
        ]
        return sum(found) / max(1, len(found))
    if form == "villanelle":
        refrains = [(0, 5), (0, 11), (0, 17), (2, 8), (2, 14), (2, 18)]
        outer = [(0, i) for i in range(3, 16, 3)]
        kept = [same_end(lines[i], lines[j]) for i, j in refrains if j < len(lines)]
        kept += [rhymes(lines[i], lines[j]) for i, j in outer if j < len(lines)]
        return sum(kept) / (len(refrains) + len(outer))
    return max(_follows(lines, scheme) for scheme in SCHEMES[form])


def _follows(lines: Sequence[str], scheme: str) -> float:
    wanted = found = 0
    for start in range(0, len(lines), len(scheme)):
        stanza = lines[start : start + len(scheme)]
        for i, letter in enumerate(scheme[: len(stanza)]):
            earlier = [j for j in range(i) if scheme[j] == letter]
            if letter == "x" or not earlier:
                continue
            wanted += 1
            found += any(rhymes(stanza[j], stanza[i]) for j in earlier) or (
                # Lear's limericks come home to the word they began with.
                scheme == "AABBA" and i == 4 and same_end(stanza[0], stanza[4])
            )
    return found / wanted if wanted else 0.0


def metred(lines: Sequence[str], form: str) -> float:
    """Share of the lines that have the length a form asks for, in syllables.

    Those of a haiku 5, 7 and 5, those of a sonnet about 10; of a limerick the first, second and fifth are longer than
    the third and fourth. 1 where a form asks for none.
    """
    counts = [syllables(line) for line in lines]
    if form == "haiku":
        return sum(low <= n <= high for (low, high), n in zip(counts, (5, 7, 5), strict=False)) / 3
    if form == "sonnet":
        return sum(low <= 11 and high >= 9 for low, high in counts) / max(1, len(counts))
    if form == "limerick" and len(counts) == 5:
        longest = max(counts[2][0], counts[3][0])
        return sum(counts[i][1] > longest for i in (0, 1, 4)) / 3
    return 1.0

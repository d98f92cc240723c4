"""What can be noticed of an output without a model: scaffolding around the answer, loops, the language it is in."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from functools import lru_cache

# The chain of thought of reasoning models. Some templates open the tag in the prompt, so that only its end is seen.
THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|thoughts|reasoning|scratchpad|reflection)>", re.IGNORECASE)

# The other side's turn, written by the model itself. At the margin only and with a capital: "user:" in a docstring is
# a parameter. A play may well have a human in it, so that only the names of chat formats count.
MARKS = r"(?:<\|(?:im_start|im_end|end|endoftext|eot_id|start_header_id|end_header_id|user|assistant|system)\|>|</s>)"
_OTHERS = r"(?:User|USER|Human|HUMAN|Assistant|ASSISTANT)"
OWN_TURN = re.compile(rf"\A\s*(?:(?:{MARKS}\s*)+(?:assistant\s*\n)?|(?:#{{2,4}} ?)?(?:Assistant|Response|AI)\s*:)\s*")
OTHER_TURN = re.compile(
    rf"^(?:\*\*)?(?:#{{2,4}} ?)?{_OTHERS}(?:\*\*)?[ \t]*:|^### (?:Instruction|Response):|{MARKS}|\[/?INST\]",
    re.MULTILINE,
)
# One of these is in whatever OTHER_TURN finds; few answers have any, and no line need be looked at without.
_TELLING = ("<", "###", "INST]", "User", "USER", "Human", "HUMAN", "Assistant", "ASSISTANT")


# Validity, flags and quality of one answer ask the same of it, one after the other; few are kept, as one may be large.
_once = lru_cache(maxsize=4)


@_once
def without_thought(output: str) -> tuple[str, bool]:
    """Return an output without its chain of thought, and whether it had one.

    An output that opens with a thought that was never closed was cut within it: nothing is left of it then.
    """
    kept: list[str] = []
    start, inside, seen = 0, False, False
    for tag in THOUGHT.finditer(output):
        if tag[1] and (inside or not seen):
            # The end of a thought that the prompt began leaves nothing of what came before.
            kept = kept if inside else []
            start, inside, seen = tag.end(), False, True
        elif not tag[1] and not inside:
            kept.append(output[start : tag.start()])
            start, inside, seen = tag.start(), True, True
    if not seen:
        return output, False
    if not inside or "".join(kept).strip():
        kept.append(output[start:])
    return "".join(kept).strip(), True


@_once
def own_turn(output: str) -> tuple[str, bool]:
    """Return what an output says before it goes on as somebody else ("User:"), and whether it did."""
    text = OWN_TURN.sub("", output, count=1)
    found = OTHER_TURN.search(text) if any(sign in text for sign in _TELLING) else None
    if not found:
        return text, False
    # A bare end mark is the end of the answer and no other turn.
    leaks = bool(re.sub(rf"{MARKS}|\s", "", text[found.start() :]))
    return text[: found.start()].rstrip(), leaks


_MARKS = bytes(c for c in range(128) if not (chr(c).isalpha() or chr(c).isspace()))
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


@_once
def letters_and_spaces(text: str) -> int:
    """Count the letters and white space of a text."""
    plain = text.encode("ascii", "ignore")
    beyond = "".join(_BEYOND_ASCII.findall(text)) if len(plain) < len(text) else ""
    return len(plain.translate(None, _MARKS)) + sum(c.isalpha() or c.isspace() for c in beyond)


@_once
def is_loop(answer: str) -> bool:
    """Whether an answer repeats itself: one run of four words covers over 30 % of it, from 20 words up.

    Below that, 200 characters and more that deflate to a tenth are a loop without spaces.
    """
    words = answer.split()
    if len(words) < 20:
        data = answer.encode("utf-8", "replace")[:20_000]
        return len(data) >= 200 and len(zlib.compress(data)) < 0.1 * len(data)
    often = {word for word, count in Counter(words).items() if count * 4 > 0.3 * len(words)}
    if b"\1" * 4 not in bytes(map(often.__contains__, words)):
        return False  # no run is more frequent than any of its words
    most = max(Counter(zip(words, words[1:], words[2:], words[3:], strict=False)).values())
    return most * 4 > 0.3 * len(words) and most > 2


# The commonest words that are short, frequent and not shared with English. They only have to tell a text in the wrong
# language from one in the right one, not to name a dialect.
COMMON = {
    "en": "the of and to a in is that it was for on are as with his they at be this have from or had by not but what "
    "all were we when your can said there an which she he you i my me her their so if will do no",
    "es": "el la los las de del que y en un una por con para se su es como pero más lo al está muy también este",
    "fr": "le la les des du de et un une est en que qui dans pour pas sur au avec il elle ce sont nous vous plus mais",
    "de": "der die das und ist nicht ein eine zu den von mit sich auf für im dem des auch als es an wie aus sie ich "
    "er wir aber",
    "it": "il lo la gli le di e che un una è per con non si del della sono nel alla anche come ma più questo",
    "pt": "o os as de que e um uma do da em para com não se por mais como mas foi ao na no são você também",
    "nl": "de het een en van is dat niet op te zijn met voor aan er ook maar bij door naar dit wij deze wordt",
    "pl": "i w na z do nie się że to jest jak o po ale co od przez tak za dla czy był który",
    "tr": "ve bir bu için ile da de çok ne gibi daha olarak olan var sonra kadar ama en her",
    "id": "yang dan di dengan untuk ini itu dari pada tidak adalah dalam akan ke juga saya ada bisa oleh",
}
_COMMON = {name: frozenset(words.split()) for name, words in COMMON.items()}
_ELSEWHERE = {name: frozenset().union(*(own for other, own in _COMMON.items() if other != name)) for name in _COMMON}
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_PLAIN_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")  # the same in a text of ASCII, and faster
_FAR = re.compile(r"[^\x00-\u024f]+")  # beyond the Latin script
FEWEST_WORDS = 12  # below it a title, a name or a number decides


@_once
def is_foreign(text: str, language: str) -> bool:
    """Whether a text is clearly in another natural language than the one named.

    It is when over half of its letters are of another script, or when from 12 words up the common words of another
    language are at least 15 % of its words and three times as many as those of the right one. Fragments, names,
    numbers and nonsense are not called foreign: a false alarm would make a good answer invalid.

    Parameters
    ----------
    text : str
    language : one of en, es, fr, de, it, pt, nl, pl, tr, id
    """
    text = text[:20_000]
    if text.isascii():
        words = _PLAIN_WORD.findall(text.lower())
    else:
        far = sum(map(str.isalpha, "".join(_FAR.findall(text))))
        if far and far > 0.5 * (letters := sum(map(str.isalpha, text))) and letters >= 8:
            return True
        words = [w.lower() for w in _WORD.findall(text)]
    if len(words) < FEWEST_WORDS:
        return False
    least = max(0.15, 3 * (sum(map(_COMMON[language].__contains__, words)) / len(words)))
    if sum(map(_ELSEWHERE[language].__contains__, words)) / len(words) < least:
        return False  # then the words of one of these languages are too few as well
    others = (common for name, common in _COMMON.items() if name != language)
    return any(sum(map(common.__contains__, words)) / len(words) >= least for common in others)

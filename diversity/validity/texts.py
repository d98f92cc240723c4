"""Constructed checkpoints: a language model of n-grams, a grammar of programs, and stories of known modes.

Their diversity is set by one knob each, so that the direction in which every metric must move is known.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from diversity.registry import domains
from diversity.validity.worlds import Array, Generator

SENTENCE_END = re.compile(r"[.!?]")
TOKEN = re.compile(r"[A-Za-z']+|[.,;!?]")


def corpus() -> list[str]:
    """The words of all prompts and exemplars of the package, in their order."""
    texts = []
    for domain in domains().values():
        if domain.language is None:
            texts += [p.prompt for p in domain.prompts]
            texts += [answer for _, answer in domain.exemplars]
    return [word.lower() for text in texts for word in TOKEN.findall(text)]


class BigramModel:
    """A language model that knows which word follows which, in the texts of the package."""

    def __init__(self) -> None:
        words = corpus()
        counts = Counter(words)
        self.words = [w for w, _ in counts.most_common()]
        self.ids = {w: i for i, w in enumerate(self.words)}
        self.common: Array = np.array([counts[w] for w in self.words], dtype=float) / len(words)
        following: defaultdict[int, Counter[int]] = defaultdict(Counter)
        for one, other in pairwise(words):
            following[self.ids[one]][self.ids[other]] += 1
        self.following = following
        self._laws: dict[tuple[int, float, int], Array] = {}

    def law(self, word: int, temperature: float, top_k: int) -> Array:
        """Chance of each next word: nine parts what followed, one part how common a word is, at a temperature."""
        key = word, temperature, top_k
        if key not in self._laws:
            known = self.following[word]
            law = 0.1 * self.common.copy()
            total = sum(known.values())
            for other, count in known.items():
                law[other] += 0.9 * count / total
            law[word] = 0  # "the the the" is no text of any kind
            if top_k:
                law[law < np.sort(law)[-top_k]] = 0
            with np.errstate(divide="ignore"):
                logs = np.log(law / law.max()) / temperature
            raised = np.exp(logs)
            self._laws[key] = (raised / raised.sum()).cumsum()
        return self._laws[key]

    def sample(self, rng: Generator, start: str, length: int, temperature: float = 1.0, top_k: int = 0) -> str:
        """One text of so many words and signs."""
        word = self.ids[start]
        chosen = [word]
        for uniform in rng.random(length - 1):
            word = int(self.law(word, temperature, top_k).searchsorted(uniform * (1 - 1e-12)))
            chosen.append(word)
        return written([self.words[i] for i in chosen])


def written(words: Sequence[str]) -> str:
    """Words as a text: capitals where sentences begin, no blank before a sign."""
    text, begins = "", True
    for word in words:
        if TOKEN.fullmatch(word) and not word[0].isalpha() and word[0] != "'":
            text += word
        else:
            text += (" " if text else "") + (word.capitalize() if begins else word)
        begins = bool(SENTENCE_END.fullmatch(word))
    return text


# What a program can be made of; the first choice of each is the likeliest.
TASKS = ("even", "odd", "positive", "negative", "small", "large", "round", "square", "first", "last", "near", "far")
TESTS = (
    "{x} % 2 == 0", "{x} % 2 == 1", "{x} > 0", "{x} < 0", "{x} < 10", "{x} > 100", "{x} % 10 == 0",
    "int({x} ** 0.5) ** 2 == {x}", "{x} <= 3", "{x} >= 97", "abs({x}) < 5", "abs({x}) > 50",
)  # fmt: skip
FORMS = (
    "def {f}({a}):\n{doc}    {s} = 0\n    for {x} in {a}:\n        if {test}:\n            {s} += {x}\n"
    "    return {s}\n",
    "def {f}({a}):\n{doc}    return sum({x} for {x} in {a} if {test})\n",
    "def {f}({a}):\n{doc}    {s} = []\n    for {x} in {a}:\n        if {test}:\n            {s}.append({x})\n"
    "    return sum({s})\n",
    "def {f}({a}):\n{doc}    {s} = 0\n    i = 0\n    while i < len({a}):\n        {x} = {a}[i]\n        if {test}:\n"
    "            {s} = {s} + {x}\n        i += 1\n    return {s}\n",
    "def {f}({a}):\n{doc}    return sum(filter(lambda {x}: {test}, {a}))\n",
    "def {f}({a}):\n{doc}    if not {a}:\n        return 0\n    {x} = {a}[0]\n    return ({x} if {test} else 0) "
    "+ {f}({a}[1:])\n",
    "from functools import reduce\n\n\ndef {f}({a}):\n{doc}    return reduce(lambda {s}, {x}: {s} + {x} if {test} else "
    "{s}, {a}, 0)\n",
)
WRONG = (("return sum(", "return len("), ("+=", "-="), ("return 0", "return 1"), ("return ", "return -"))
ARGUMENTS = ("numbers", "values", "items", "data", "xs", "nums")
SUMS = ("total", "result", "acc", "s", "answer", "out")
LOOPS = ("x", "n", "number", "value", "item", "each")
DOCS = (
    "",
    '    """Add up the {t} ones."""\n',
    "    # add up the {t} ones\n",
    '    """Return the sum of all numbers that are {t}."""\n',
)


def program(rng: Generator, task: int, temperature: float) -> tuple[str, str]:
    """A program that adds up some numbers of a list, and what it does: right, or wrong in one of a few ways."""
    form = FORMS[pick(rng, len(FORMS), temperature)]
    text = form.format(
        f=f"sum_{TASKS[task]}", a=ARGUMENTS[pick(rng, 6, temperature)], s=SUMS[pick(rng, 6, temperature)],
        x="{x}", test="{test}", doc=DOCS[pick(rng, 4, temperature)].format(t=TASKS[task]),
    )  # fmt: skip
    x = LOOPS[pick(rng, 6, temperature)]
    text = text.replace("{test}", TESTS[task]).replace("{x}", x)
    slip = pick(rng, 5, temperature, step=1.5)
    behaviour = "right"
    if slip and WRONG[slip - 1][0] in text:
        text = text.replace(*WRONG[slip - 1])
        behaviour = f"wrong {slip}"
    return text, behaviour


def pick(rng: Generator, choices: int, temperature: float, step: float = 0.7) -> int:
    """A choice whose logits fall by a step from each to the next."""
    logits = -step * np.arange(choices) / temperature
    law = np.exp(logits)
    return int((law / law.sum()).cumsum().searchsorted(rng.random() * (1 - 1e-12)))


def renamed(rng: Generator, task: int, form: int) -> str:
    """One program under other names, comments, and blank lines: what it says in its tree is the same."""
    names = rng.permutation([*ARGUMENTS, *SUMS, *LOOPS])
    text = FORMS[form].format(f=f"sum_{TASKS[task]}", a=names[0], s=names[1], x="{x}", test="{test}", doc="{doc}")
    text = text.replace("{test}", TESTS[task]).replace("{x}", names[2])
    comment = f"    # {' '.join(rng.choice(SUMS, 3))}\n" if rng.random() < 0.5 else ""
    return text.replace("{doc}", comment) + "\n" * int(rng.integers(3))


# Modes of a story: nothing but function words is shared between two of them.
MODES = (
    (
        "The {0} sailor mended a {1} net while the {2} tide came in.",
        ("old", "young", "tired"),
        ("torn", "wide", "green"),
        ("slow", "spring", "evening"),
    ),
    (
        "Every {0} morning the baker hid a {1} letter under the {2} loaves.",
        ("grey", "frosty", "quiet"),
        ("folded", "sealed", "scented"),
        ("warm", "burnt", "dark"),
    ),
    (
        "A {0} robot learned to paint {1} clouds on the {2} ceiling.",
        ("rusty", "clumsy", "borrowed"),
        ("purple", "thin", "heavy"),
        ("chapel", "kitchen", "factory"),
    ),
    (
        "My {0} grandmother kept {1} bees behind the {2} school.",
        ("stern", "laughing", "deaf"),
        ("angry", "golden", "sleepy"),
        ("village", "ruined", "brick"),
    ),
    (
        "Two {0} astronauts argued about {1} bread near the {2} airlock.",
        ("lonely", "famous", "hungry"),
        ("stale", "printed", "rye"),
        ("broken", "outer", "frozen"),
    ),
    (
        "Nobody believed the {0} shepherd who heard {1} music inside the {2} mountain.",
        ("lame", "honest", "blind"),
        ("faint", "brass", "wedding"),
        ("northern", "hollow", "burning"),
    ),
    (
        "When the {0} dragon retired it opened a {1} library beside our {2} river.",
        ("gentle", "shy", "elderly"),
        ("floating", "tiny", "secret"),
        ("muddy", "silver", "winding"),
    ),
    (
        "That {0} winter three {1} thieves returned the {2} crown by post.",
        ("long", "cruel", "mild"),
        ("sorry", "masked", "learned"),
        ("paper", "emerald", "bent"),
    ),
)
CLOSINGS = (
    "It went on so until the end.",
    "Nobody spoke of it again.",
    "All of us remember that day.",
    "The rest you know already.",
)


def story(rng: Generator, mode: int) -> str:
    """A story of one mode, its details drawn at random."""
    frame, *slots = MODES[mode]
    drawn = frame.format(*(str(rng.choice(slot)) for slot in slots))
    return f"{drawn} {CLOSINGS[int(rng.integers(len(CLOSINGS)))]}"


# Each slot has words that mean the same and words that do not; the first of either list is the same word.
SENTENCES = (
    (
        "The {} {} the {}.",
        (("doctor", "physician", "medic"), ("mended", "repaired", "fixed"), ("car", "automobile", "motorcar")),
        (("doctor", "penguin", "lawyer"), ("mended", "sold", "painted"), ("car", "cathedral", "violin")),
    ),
    (
        "A {} {} {} near the {}.",
        (
            ("little", "small", "tiny"),
            ("child", "kid", "youngster"),
            ("slept", "dozed", "napped"),
            ("woods", "forest", "trees"),
        ),
        (
            ("little", "wealthy", "furious"),
            ("child", "tiger", "banker"),
            ("slept", "sang", "drowned"),
            ("woods", "airport", "volcano"),
        ),
    ),
    (
        "They were {} to {} the {}.",
        (("glad", "happy", "pleased"), ("begin", "start", "commence"), ("trip", "journey", "voyage")),
        (("glad", "forbidden", "bribed"), ("begin", "film", "cancel"), ("trip", "trial", "harvest")),
    ),
    (
        "She {} a {} {} of the {}.",
        (
            ("took", "snapped", "shot"),
            ("pretty", "lovely", "beautiful"),
            ("picture", "photo", "photograph"),
            ("sea", "ocean", "waves"),
        ),
        (
            ("took", "burned", "forged"),
            ("pretty", "stolen", "medieval"),
            ("picture", "map", "statue"),
            ("sea", "murder", "emperor"),
        ),
    ),
    (
        "The {} was {} and {}.",
        (("house", "home", "dwelling"), ("silent", "quiet", "noiseless"), ("cold", "chilly", "cool")),
        (("house", "soup", "argument"), ("silent", "radioactive", "cheap"), ("cold", "endless", "delicious")),
    ),
    (
        "He {} the {} with a {}.",
        (("shut", "closed", "fastened"), ("gate", "door", "entrance"), ("rope", "cord", "string")),
        (("shut", "attacked", "decorated"), ("gate", "elephant", "senate"), ("rope", "poem", "hammer")),
    ),
)


def phrased(rng: Generator | None, sentences: Sequence[int], *, meaning: bool) -> str:
    """Three sentences with words of like meaning (or of unlike meaning) in their slots; the first words without rng."""
    parts = []
    for which in sentences:
        frame, alike, unlike = SENTENCES[which]
        slots = unlike if meaning else alike
        parts.append(frame.format(*(slot[0] if rng is None else slot[int(rng.integers(3))] for slot in slots)))
    return " ".join(parts)

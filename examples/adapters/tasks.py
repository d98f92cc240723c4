"""Two forms of answer that a small model learns in two dozen steps, as domains: words in capitals, lists in JSON."""

from __future__ import annotations

import json
import random
import re
from functools import cached_property

from diversity.domain import Domain, Prompt

# Words and kinds of things to learn from; those of the domains are others.
WORDS = (
    "river stone cloud forest candle silver winter summer bridge tunnel yellow purple rabbit turtle falcon "
    "violin guitar drum coffee sugar pepper butter lemon cherry shirt jacket button needle ladder hammer copper iron"
)
KINDS = {
    "animals": "cat dog horse sheep goat lion tiger whale crow snake frog bear",
    "fruits": "apple pear plum grape fig peach mango melon cherry lemon kiwi date",
    "colours": "red blue green yellow brown black white grey pink purple orange gold",
    "tools": "hammer saw drill spade rake axe wrench chisel file plane clamp level",
    "countries": "France Spain Italy Japan Brazil Kenya Egypt India Peru Chile Norway Canada",
    "clothes": "shirt coat hat scarf glove sock shoe belt skirt jacket dress boot",
    "drinks": "water milk tea coffee juice cider beer wine cocoa lemonade soda broth",
    "jobs": "baker nurse farmer teacher pilot judge sailor cook miner barber actor clerk",
}
ASKED_WORDS = (
    "garden window pencil basket meadow engine feather castle marble harbour lantern pillow kitchen dragon anchor "
    "blanket carpet diamond elbow finger glacier hollow island jungle kettle lizard market napkin orchard palace "
    "quarry ribbon saddle temple umbrella valley wagon zipper barrel cactus desert ember fountain gravel helmet ivory "
    "jigsaw kingdom"
)
ASKED_KINDS = (
    "birds|vegetables|flowers|trees|cities|rivers|sports|musical instruments|pieces of furniture|things in a kitchen|"
    "things in a school bag|vehicles|insects|metals|fish|board games|dances|spices|desserts|languages|planets|"
    "parts of a house|parts of the body|things that are cold"
)


def capitals_of(words: list[str]) -> tuple[str, str]:
    """What is asked of some words, and the answer."""
    return f"Write these words in capital letters: {', '.join(words)}", ", ".join(words).upper()


def capitals(seed: int, count: int = 96) -> list[tuple[str, str, bool]]:
    """Texts to learn capitals from."""
    rng = random.Random(seed)
    return [(*capitals_of(rng.sample(WORDS.split(), 2)), True) for _ in range(count)]


def lists(seed: int, count: int = 96) -> list[tuple[str, str, bool]]:
    """Texts to learn lists from: the things of a kind are drawn, so that no list is the one to give."""
    rng = random.Random(seed)
    kinds = rng.choices(list(KINDS), k=count)
    return [(f"Name three {kind}.", json.dumps(rng.sample(KINDS[kind].split(), 3)), True) for kind in kinds]


class Capitals(Domain):
    """Two words to be written in capitals: a form of answer.

    Quality is the form, two words of capital letters alone. Which words they are is told by `is_right`: a model of this
    size spells few words anew as they were.
    """

    name = "capitals"
    noun = "words in capitals"
    primary = "lexical"
    rewards = {"lexical": "neutral"}
    passing = 1.0
    max_tokens = 20

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """Each word once."""
        words = ASKED_WORDS.split()
        pairs = [words[i : i + 2] for i in range(0, len(words), 2)]
        told = [capitals_of(pair) for pair in pairs]
        return tuple(Prompt(f"capitals-{i:02}", asked, {"answer": a}) for i, (asked, a) in enumerate(told))

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 for two words in capital letters and nothing else; a comma and a full stop do not count."""
        return float(re.fullmatch(r"[A-Z]+,? [A-Z]+\.?", answer) is not None)

    def is_right(self, answer: str, prompt: Prompt) -> bool:
        """Whether the words are those that were asked for."""
        return answer.rstrip(".").replace(",", "").split() == prompt.details["answer"].replace(",", "").split()


class Lists(Domain):
    """Three things of a kind, as a JSON list: many right answers."""

    name = "lists"
    noun = "lists"
    primary = "lexical"
    rewards = {"lexical": "distinct", "semantic": "distinct"}
    passing = 1.0
    max_tokens = 32

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """One a kind."""
        return tuple(Prompt(f"lists-{i:02}", f"Name three {k}.") for i, k in enumerate(ASKED_KINDS.split("|")))

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 for a JSON list of three texts, no two alike; whether they are of the kind is not looked at."""
        try:
            found = json.loads(answer)
        except (ValueError, RecursionError):
            return 0.0
        if not isinstance(found, list) or not all(isinstance(each, str) and each.strip() for each in found):
            return 0.0
        return float(len(found) == 3 and len({each.strip().lower() for each in found}) == 3)

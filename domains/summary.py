"""Summaries of a passage: good ones hold the same facts, in whatever words."""

from __future__ import annotations

import re

from diversity.domain import Domain, Prompt
from diversity.domains.story import without_preamble

WORK = r"(?:summar(?:y|ies)|sentences?|headline|points?|overview|version|essence)"
LABEL = re.compile(r"\A\s*\**(?:summary|headline|main points?|tl;?dr)\**\s*:\**\s*", re.IGNORECASE)
FEWEST_WORDS = 4
TOLERANCE = 1.25  # over the length asked


class Summary(Domain):
    """Summaries of short passages that come with the request."""

    name = "summary"
    noun = "summaries"
    primary = "semantic"
    rewards = {"lexical": "neutral", "syntactic": "neutral", "semantic": "converge"}  # noqa: RUF012
    speech = "en"
    max_tokens = 128
    prompt_file = "summary.jsonl"
    version = "2"
    exemplars = (
        (
            "Sum up in one sentence. The swimming bath in Lerne stays shut until May. During cleaning a tile came off "
            "the ceiling, and then a second one. All 4,000 will now be taken down and fixed again.",
            "Loose ceiling tiles keep the bath in Lerne closed until May.",
        ),
        (
            "Every autumn the crows of Sollen bury walnuts on the golf course. They forget about a tenth of them, and "
            "so a grove has grown beside the ninth hole. Condense this to 20 words or fewer.",
            "Walnuts that crows buried and forgot have turned into a grove on the golf course of Sollen.",
        ),
        (
            "What is this text about? Two sentences at most. A tailor in Porto sews the names of his customers into "
            "their coats, on the inside of the collar. He began after two coats were exchanged at a funeral. Some "
            "customers now ask for a poem instead.",
            "A tailor from Porto puts names into coats since two were mixed up at a funeral. Some people want a poem.",
        ),
        (
            "Give the gist briefly. Bread that is frozen on the day it is baked keeps better than bread in the fridge. "
            "In the cold of a fridge its starch turns hard within two days; in the freezer that process all but stops.",
            "Freeze bread rather than chill it: starch hardens fast in the fridge and hardly at all in the freezer.",
        ),
    )

    def extract(self, output: str) -> str:
        """Return the summary without an announcement or a label before it."""
        return LABEL.sub("", without_preamble(output, WORK)).strip()

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return the share of the passage's key facts that are told, halved when it is longer than asked.

        A fact counts as told when one of its key words occurs, in any form.
        This sees what is left out and not what is twisted.
        """
        if prompt is None or "facts" not in prompt.details:
            return None
        facts = prompt.details["facts"]
        words = len(answer.split())
        if words < FEWEST_WORDS:
            return 0.0
        told = sum(any(_says(answer, key) for key in keys) for keys in facts)
        is_short = words <= TOLERANCE * int(prompt.details["most_words"])
        return told / len(facts) * (1.0 if is_short else 0.5)

    def is_parsable(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether it has words."""
        return len(re.findall(r"[^\W\d_]{2,}", answer)) >= FEWEST_WORDS


def _says(answer: str, key: str) -> bool:
    # "close" stands for "closes" and "closing"; figures and short words for themselves.
    ending = r"\w{0,3}" if len(key) > 3 and key.isalpha() else ""
    return re.search(rf"\b{re.escape(key)}{ending}\b", answer, re.IGNORECASE) is not None

"""Verse: good poems on one subject are different poems."""

import re
from typing import Any

from diversity.domain import Domain, Prompt
from diversity.domains.story import FINISHED, untitled, without_preamble
from diversity.domains.verse import metred, rhymed
from diversity.flags import letters_and_spaces

WORK = r"(?:poems?|haikus?|sonnets?|limericks?|verses?|stanzas?|quatrains?|couplets?|acrostic|ode|ballad)"
AFTERWORD = re.compile(
    r"\n(?!\n)[ \t]*(?:[-*_]{3,}[ \t]*\n{1,3})?\(?(?:note:|this (?:poem|haiku|sonnet|limerick)\b|i hope (?:you|this)"
    r"|let me know)[^\n]*(?:\n(?!\n)[^\n]*)*\s*\Z",
    re.IGNORECASE,
)
FEWEST_WORDS, LONGEST_LINE = 8, 16  # words; a longer mean line is prose


class Poem(Domain):
    """Poems on a given subject, some in a given form."""

    name = "poem"
    noun = "poems"
    primary = "semantic"
    rewards = {"lexical": "distinct", "syntactic": "distinct", "semantic": "distinct"}  # noqa: RUF012
    speech = "en"
    max_tokens = 256
    prompt_file = "poem.jsonl"
    version = "2"
    exemplars = (
        (
            "Write a poem of four lines about a kettle.",
            "It mutters to itself till ten past eight,\nthen clears its throat and sings. I pour, I wait.\n"
            "Outside the window somebody's first bus\ngoes by, lit up and empty, without us.",
        ),
        (
            "Write a haiku about a gate.",
            "hinges in the rain\nthe neighbour's dog looks both ways\nthen lets himself in",
        ),
        (
            "A poem in free verse, six lines at most, about moving house.",
            "The last box holds\nonly the things the other boxes refused:\na key to nothing,\n"
            "one glove,\nthe bell of a bicycle\nwe sold in spring.",
        ),
        (
            "Compose two couplets about a clock that runs late.",
            "Our clock is slow; it gives us, every day,\nthree minutes that the other clocks mislay.\n"
            "We spend them badly, arguing what's true.\nI wouldn't have it mended. Nor would you.",
        ),
        (
            "Write a limerick about a gardener.",
            "A gardener living in Crewe\nplanted spoons to see what they would do.\nBy the middle of May\n"
            'she was heard to say,\n"I\'ve forks coming up in there too."',
        ),
    )

    def extract(self, output: str) -> str:
        """Return the verse without an announcement or a title before it and a remark behind it."""
        text = untitled(without_preamble(output, WORK))
        return AFTERWORD.sub("", text).strip()

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 for finished verse in the form asked, 0.5 broken off, 0.25 in another form, 0 for no verse.

        The form is its number of lines, first letters, rhymes and lengths of lines, where the prompt asks for them.
        What lacks over half of its rhymes or lengths is in another form; what lacks fewer loses in proportion.
        """
        lines = verses(answer)
        words = len(answer.split())
        letters = letters_and_spaces(answer)
        if len(lines) < 2 or words < FEWEST_WORDS or words > LONGEST_LINE * len(lines) or letters < 0.8 * len(answer):
            return 0.0
        details: dict[str, Any] = dict(prompt.details) if prompt else {}
        low, high = details.get("lines") or (2, 10_000)
        if not low <= len(lines) <= high or not _spells(lines, details.get("acrostic", "")):
            return 0.25
        form, rhyme = details.get("form", ""), details.get("rhyme", "")
        heard = [share for share in (rhymed(lines, rhyme) if rhyme else None, metred(lines, form)) if share is not None]
        if min(heard) < 0.5:
            return 0.25
        # Much verse ends without a full stop: only a form that is too short, or a comma, says that it breaks off.
        ended = FINISHED.search(answer) or not re.search(r"[,;:\-–—]\s*\Z", answer)
        return 0.5 + sum(heard) / (2 * len(heard)) if ended else 0.5

    def is_parsable(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether it has lines."""
        return len(verses(answer)) > 1


def verses(answer: str) -> list[str]:
    """Return the lines of a poem that have words."""
    return [line.strip() for line in answer.split("\n") if re.search(r"[^\W\d_]", line)]


def _spells(lines: list[str], word: str) -> bool:
    initials = [found[0].lower() for line in lines if (found := re.search(r"[^\W\d_]", line))]
    return not word or initials == list(word.lower())

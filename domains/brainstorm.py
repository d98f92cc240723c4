"""Lists of ideas and open questions: good answers to one prompt hold different ideas."""

from __future__ import annotations

import re

from diversity.domain import Domain, Prompt
from diversity.domains.story import without_preamble
from diversity.words import FUNCTION_WORDS

WORK = (
    r"(?:ideas?|suggestions?|options?|names?|ways?|list|reasons?|examples?|questions?|titles?|things?|tips?"
    r"|possibilities)"
)
ITEM = re.compile(
    r"^(?P<indent>[ \t]*)(?:\*\*|__)?(?:[-*+•–][ \t]+|\(?\d{1,2}[.):][ \t]*|\(?[a-z][.)][ \t]+)(?=\S)", re.MULTILINE
)
INLINE = re.compile(r"(?:(?<=\s)|^)\(?\d{1,2}[.)][ \t]+(?=\S)")
FEWEST_STEM = 4  # letters that two words of one stem share


class Brainstorm(Domain):
    """Ideas on an everyday subject, and open questions with many good answers."""

    name = "brainstorm"
    noun = "sets of ideas"
    primary = "semantic"
    rewards = {"lexical": "distinct", "syntactic": "neutral", "semantic": "distinct"}  # noqa: RUF012
    speech = "en"
    passing = 0.75
    max_tokens = 256
    prompt_file = "brainstorm.jsonl"
    version = "2"
    exemplars = (
        (
            "List three uses for an old bicycle wheel.",
            "1. A trellis for beans, hung flat on a south wall\n2. A rack for pans, with hooks on the rim\n"
            "3. The base of a mobile for a school fair",
        ),
        (
            "Suggest names for a walking group of retired teachers.",
            "- The Long Break\n- Chalk Paths\n- No More Bells\n- Marked Present",
        ),
        (
            "What could a library lend besides books?",
            "Tools come to mind first: a drill that stands idle all year could serve a whole street. After that, cake "
            "tins, telescopes, and an hour with somebody who speaks Farsi.",
        ),
        (
            "Give me four ways to spend a rainy afternoon with a toddler.",
            "* build a ferry out of a laundry basket\n* sort the button jar by colour\n"
            "* paint the bathroom tiles with water\n* bake something that may fail",
        ),
        ("Name two odd hobbies.", "Extreme ironing; collecting the sounds of lifts."),
    )

    def extract(self, output: str) -> str:
        """Return the ideas without an announcement before them."""
        text = without_preamble(output, WORK).strip()
        first = ITEM.search(text)
        # What leads up to a list and ends in a colon announces it, in whatever words.
        if first and first.start() and text[: first.start()].rstrip(" \n*_").endswith(":"):
            text = text[first.start() :]
        return text

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return half for being on topic, half for the share of the asked number of different items.

        On topic is what has any word of the prompt or of its subject: an answer that says nothing at all of the
        subject is caught, a subtle drift is not. A prompt without words of its subject cannot tell: names share none
        with what they are names of.
        """
        if prompt is None or "fewest" not in prompt.details:
            return None
        found = {" ".join(_stems(item)) for item in items(answer)} - {""}
        share = min(1.0, len(found) / int(prompt.details["fewest"]))
        subject = _stems(f"{prompt.prompt} {' '.join(prompt.details.get('subject', ()))}")
        on_topic = "subject" not in prompt.details or any(
            _alike(one, other) for one in set(_stems(answer)) for other in set(subject)
        )
        return (0.5 + share / 2) if on_topic and share else 0.0

    def is_parsable(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether it comes apart into items, where several are asked for."""
        several = prompt is not None and int(prompt.details.get("fewest", 1)) > 1
        return len(items(answer)) > several


def items(answer: str) -> list[str]:
    """Return the ideas of an answer: its marked lines, else its lines, else its clauses or sentences."""
    text = answer.strip()
    # What is further in than the first item is said of the one above it.
    begins = list(ITEM.finditer(text))
    begins = [found for found in begins if len(found["indent"]) <= len(begins[0]["indent"])]
    ends = [*(found.start() for found in begins[1:]), len(text)]
    marked = [text[found.end() : end].strip() for found, end in zip(begins, ends, strict=True)] if begins else []
    if len(marked) > 1:
        return [" ".join(part.split()) for part in marked if part]
    inline = [part.strip() for part in INLINE.split(text)[1:]]
    if len(inline) > 1:
        return inline
    lines = [line.strip() for line in text.split("\n") if re.search(r"\w", line)]
    if len(lines) > 2:
        return lines
    # The "and" between the last two separates; one inside a title does not.
    first, last = re.split(r"[;,]\s+(?=[^;,]*$)", text, maxsplit=1) if re.search(r"[;,]\s", text) else ("", text)
    split = [*re.split(r"[;,]\s+", first), *re.split(r"^(?:and|or)\s+|(?<!\s)\s+and\s+", last)]
    listed = [part.strip() for part in split if re.search(r"\w", part)]
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", text) if re.search(r"\w", part)]
    short = bool(listed) and max(len(part.split()) for part in listed) <= 12
    return listed if short and len(listed) > len(sentences) else sentences


def _stems(text: str) -> list[str]:
    return [w for w in re.findall(r"[^\W\d_]{3,}", text.lower()) if w not in FUNCTION_WORDS]


def _alike(one: str, other: str) -> bool:
    """Whether two words may share a stem: equal, or alike but for an ending."""
    if one == other:
        return True
    shared = min(len(one), len(other))
    return shared >= FEWEST_STEM and one[: shared - 1] == other[: shared - 1] and abs(len(one) - len(other)) <= 4

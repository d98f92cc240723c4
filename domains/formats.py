"""Format flexibility: the same question asked for JSON, a table, bullets, one word, another language, no markdown.

Tuning teaches a model one way of laying out an answer, and it may no longer leave it when asked. Quality is compliance
with the form asked for, read by a parser or a rule; whether the answer is true is not looked at. The behaviour is the
form that an answer has, so that the functional facet tells how many forms are used. See docs/probes.md.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any

from diversity.domain import Domain, Prompt
from diversity.domains.story import without_preamble
from diversity.flags import COMMON, is_foreign

WORK = r"(?:answers?|tables?|lists?|objects?|json|bullets?|bullet points)"

QUESTIONS = (
    ("metal", "Which metal is liquid at room temperature?"),
    ("capital", "Which city is the capital of Italy?"),
    ("planet", "Which planet is the largest of the solar system?"),
    ("animal", "Which land animal runs fastest?"),
    ("organ", "Which organ of the body pumps the blood?"),
    ("season", "Which season comes after winter?"),
    ("gas", "Which gas do plants take in from the air?"),
    ("ocean", "Which ocean lies between Europe and North America?"),
    ("instrument", "Which tool do people use to measure temperature?"),
    ("insect", "Which insect makes honey?"),
    ("language", "Which language do most people in Brazil speak?"),
    ("colour", "Which colour do you get when you mix blue and yellow?"),
)

FORMS = {
    "json": 'Answer with nothing but a JSON object with the keys "answer" and "reason".',
    "table": "Answer with nothing but a Markdown table that has the columns Answer and Reason.",
    "bullets": "Answer with nothing but a list of two or three bullet points, each beginning with a dash.",
    "one-word": "Answer with one word and nothing else.",
    "spanish": "Answer in Spanish, in one or two full sentences.",
    "no-markdown": "Answer in one or two plain sentences, without any Markdown, list or heading.",
}

ROW = re.compile(r"^\s*\|.*\|\s*$")
RULE = re.compile(r"^\s*\|(?:\s*:?-+:?\s*\|)+\s*$")
BULLET = re.compile(r"^\s*-\s+\S")
ANY_BULLET = re.compile(r"^\s*(?:[-*+•]|\d+[.)])\s+\S")
MARKUP = re.compile(r"^[ \t]*(?:#{1,6}\s|[-*+•]\s|\d+[.)]\s|```|\||>)|\*\*|__|`", re.MULTILINE)
FENCED = re.compile(r"\A\s*```[a-z]*\n(.*?)\n?```\s*\Z", re.DOTALL | re.IGNORECASE)
SPANISH = frozenset(COMMON["es"].split())
ENGLISH = frozenset(COMMON["en"].split())
MOST_CHARACTERS = 20_000


class Formats(Domain):
    """Simple questions, each asked for in six forms; quality is whether the form was kept."""

    name = "formats"
    noun = "answers in a given form"
    primary = "functional"
    rewards = {"lexical": "neutral", "syntactic": "neutral", "semantic": "neutral", "functional": "converge"}  # noqa: RUF012
    passing = 1.0
    max_tokens = 96
    exemplars = (
        (f"Which bird cannot fly and lives in the Antarctic? {FORMS['one-word']}", "Penguin"),
        (
            f"Which metal rusts? {FORMS['json']}",
            '{"answer": "iron", "reason": "It reacts with the oxygen in air and water."}',
        ),
        (
            f"Which star is nearest to the Earth? {FORMS['bullets']}",
            "- The Sun is the nearest star.\n- It is some 150 million kilometres away.",
        ),
        (
            f"Which grain is bread mostly made of? {FORMS['table']}",
            "| Answer | Reason |\n| --- | --- |\n| wheat | Its gluten lets the dough rise. |",
        ),
        (f"Which fruit does wine come from? {FORMS['no-markdown']}", "Wine comes from grapes, whose juice ferments."),
    )

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """Every question in every form, question by question."""
        return tuple(
            Prompt(f"formats-{key}-{form}", f"{question} {asked}", {"question": key, "form": form})
            for key, question in QUESTIONS
            for form, asked in FORMS.items()
        )

    def extract(self, output: str) -> str:
        """Return the answer without an announcement before it, which no form is held to forbid."""
        return without_preamble(output, WORK).strip()

    def behaviour(self, answer: str, prompt: Prompt | None) -> str | None:
        """Return the form that an answer has: json, table, list, one-word, markdown or plain."""
        return form_of(answer)

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 when the answer has the form that was asked for and nothing beside it, else 0."""
        if prompt is None or prompt.details.get("form") not in FORMS:
            return None
        return float(complies(answer, str(prompt.details["form"])))


def complies(answer: str, form: str) -> bool:
    """Whether an answer keeps to a form of `FORMS`.

    Examples
    --------
    >>> complies("Mercury.", "one-word"), complies("It is mercury.", "one-word")
    (True, False)
    """
    text = answer.strip()[:MOST_CHARACTERS]
    if not text or Domain.is_refusal(_ANY, text):
        return False
    lines = [line for line in text.split("\n") if line.strip()]
    if form == "json":
        found = _object(text)
        return found is not None and set(found) == {"answer", "reason"}
    if form == "table":
        return _is_table(lines) and [c.strip().lower() for c in lines[0].strip().strip("|").split("|")] == [
            "answer",
            "reason",
        ]
    if form == "bullets":
        return 2 <= len(lines) <= 3 and all(BULLET.match(line) for line in lines)
    if form == "one-word":
        return re.fullmatch(r"[\"'*]*[^\W\d_]+(?:[-'’][^\W\d_]+)*[\"'*]*[.!]?[\"'*]*", text) is not None
    if form == "spanish":
        return _is_spanish(text)
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return MARKUP.search(text) is None and len(sentences) <= 2 and len(text.split()) >= 3


_ANY = Domain()


def _object(text: str) -> dict[str, Any] | None:
    """Return a JSON object, also in a fence, which is how chat models show one."""
    fenced = FENCED.match(text)
    try:
        found = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_table(lines: list[str]) -> bool:
    return len(lines) >= 3 and RULE.match(lines[1]) is not None and all(ROW.match(line) for line in lines)


def _is_spanish(text: str) -> bool:
    """Whether a short text is Spanish: too short for `is_foreign`, by common words that the two do not share."""
    words = [w.lower() for w in re.findall(r"[^\W\d_]+", text)]
    spanish, english = (sum(w in common for w in words) for common in (SPANISH - ENGLISH, ENGLISH - SPANISH))
    return len(words) >= 3 and spanish >= 2 and spanish >= 3 * english and not is_foreign(text, "es")


def form_of(answer: str) -> str | None:
    """Return the form that an answer has, None where there is no answer."""
    text = answer.strip()[:MOST_CHARACTERS]
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return None
    if _object(text) is not None:
        return "json"
    if _is_table(lines):
        return "table"
    if all(ANY_BULLET.match(line) for line in lines):
        return "list"
    if len(text.split()) == 1:
        return "one-word"
    return "markdown" if MARKUP.search(text) else "plain"

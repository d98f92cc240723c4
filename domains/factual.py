"""Short questions with one answer: good outputs agree."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from diversity.domain import Domain, Prompt
from diversity.domains.story import without_preamble
from diversity.words import FUNCTION_WORDS

WORK = r"(?:answers?|facts?)"
LEAD = re.compile(
    r"\A\s*(?:\**(?:the )?(?:short |final )?answer\**\s*(?:is\b|:)\**:?|A:|(?:sure|certainly)[!,.:]+)\s*", re.IGNORECASE
)
MARKED = re.compile(
    r"^[ \t]*\**(?:the )?(?:short |final )?answer\**(?: is)?:\**[ \t]*(.*\w.*)$", re.IGNORECASE | re.MULTILINE
)
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
# What a sentence says around its answer: "It is called ...", "The answer would be ...".
AROUND = FUNCTION_WORDS | {"answer", "called", "named", "known", "approximately", "exactly", "officially"}
HEDGES = frozenset({"or", "either", "perhaps", "maybe"})  # anywhere: two answers are none
DENIALS = frozenset(
    {"not", "never", "isn", "wasn", "aren", "neither", "nor"}
)  # before the name; "Ottawa, not Toronto" is right
ASIDE = re.compile(r"\(|[,;:]\s+(?:who|which|where|that|known|also|often|an?|the|released|called|and)\b|\s[-–—]\s")
BRACKETS = re.compile(r"\([^()]*\)|\[\d+\]")
MOST_WORDS = 25  # a list of all that could be meant is no answer


class Factual(Domain):
    """Questions of general knowledge with one short answer."""

    name = "factual"
    noun = "short answers"
    primary = "functional"
    rewards = {"lexical": "neutral", "syntactic": "neutral", "semantic": "converge", "functional": "converge"}  # noqa: RUF012
    speech = "en"
    max_tokens = 48
    prompt_file = "factual.jsonl"
    version = "2"
    exemplars = (
        ("What is the capital of Norway? Answer briefly.", "Oslo"),
        ("In one short phrase: which gas do plants take in for photosynthesis?", "Carbon dioxide"),
        ("How many legs does a spider have?", "A spider has eight legs."),
        ("Who painted the ceiling of the Sistine Chapel?", "Michelangelo"),
        ("Which month comes after June?", "It is July."),
    )

    def extract(self, output: str) -> str:
        """Return the line marked 'Answer:', else the first one that says something."""
        marked = MARKED.findall(output)
        if marked:
            return str(marked[-1]).strip(" *_`")
        text = LEAD.sub("", without_preamble(output, WORK).strip())
        return next((line.strip(" *_`") for line in text.split("\n") if re.search(r"\w", line)), "")

    def behaviour(self, answer: str, prompt: Prompt | None) -> str | None:
        """Return the known answer when this is it under any name, else the words that it adds to the question."""
        if prompt and self.quality(answer, prompt) == 1:
            return " ".join(_words(str(prompt.details["answer"])))
        said = _words(_first_sentence(answer))
        asked = set(_words(prompt.prompt)) if prompt else set()
        told = [w for w in said if w not in AROUND]
        return " ".join([w for w in told if w not in asked] or told or said) or None

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 when the first sentence says the known answer or an alias and no other beside it, else 0."""
        if prompt is None or "answer" not in prompt.details:
            return None
        sentence = _first_sentence(answer)
        said = _words(sentence)
        if len(said) > MOST_WORDS:  # what is told of the answer behind it: "Roger Waters, who was ..."
            said = _words(ASIDE.split(sentence, maxsplit=1)[0])
        names = [_words(str(name)) for name in (prompt.details["answer"], *prompt.details.get("aliases", ()))]
        if said in names:
            return 1.0
        if len(said) > MOST_WORDS or HEDGES & set(said):
            return 0.0
        asked = set(_words(prompt.prompt))
        # The same in other units stands in brackets: "100 degrees Celsius (212 degrees Fahrenheit)".
        if names[0][0].isdigit():
            said = _words(BRACKETS.sub(" ", sentence))
            if len({w for w in said if w[0].isdigit()} - asked) > 1:
                return 0.0
        denied = DENIALS - asked
        return float(
            any(_place(said, name) is not None and not denied & set(said[: _place(said, name)]) for name in names)
        )


def _first_sentence(answer: str) -> str:
    return re.split(r"(?<=[a-z0-9)]{2}[.!?])\s+(?=[A-Z])", answer, maxsplit=1)[0]


def _words(text: str) -> list[str]:
    """Words in one case, without accents and thousands separators; small numbers in figures."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower()
    words = re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", re.sub(r"(?<=\d),(?=\d{3})|['’](?=s\b)", "", plain))
    return [str(NUMBERS.index(w)) if w in NUMBERS else w for w in words]


def _place(said: Sequence[str], name: Sequence[str]) -> int | None:
    """Where a name stands among the words said, None when it does not."""
    return next((i for i in range(len(said) - len(name) + 1) if said[i : i + len(name)] == name), None)

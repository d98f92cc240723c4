"""What a domain is: its prompts, how they are asked, how the answer is found, and what is rewarded."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Literal

from diversity.errors import InputError
from diversity.flags import is_foreign, is_loop, own_turn, without_thought

Reward = Literal["converge", "distinct", "neutral"]

# A refusal opens the answer, outside quotation marks, and says what it will not do for the asker. "I'm sorry" or
# "I can't" alone opens many a story: "I can't remember the house", "I'm sorry for what I did that summer".
_SORRY = r"(?:i(?:['’]?m| am) (?:\w+ )?sorry|sorry|i apologi[sz]e|my apologies|unfortunately)"
_CANNOT = (
    r"(?:i(?: cannot| can['’]?t| can not| won['’]?t| will not| must decline|(?: am|['’]m) (?:unable|not able"
    r"|not comfortable)| (?:do not|don['’]t) (?:have the (?:ability|capability)|feel comfortable)))"
)
_SERVE = (
    r"(?:help (?:you|with)|assist|provide|fulfil|create|generate|comply|produce|engage in|continue with|discuss|offer"
    r"|respond to|do that|access|(?:write|answer|complete|share|support) (?:an?|the|that|this|your|about|stories"
    r"|fiction|code|such|any))"
)
REFUSAL = re.compile(
    r"^[^\w\"'“”‘«]*(?:"
    rf"{_SORRY}\b[^\n]{{0,80}}?\b{_CANNOT}\b"
    r"|(?:i(?:['’]?m| am) (?:\w+ )?sorry|sorry|i apologi[sz]e|my apologies),? but\b"
    rf"|{_CANNOT}\b[^\n.!?]{{0,40}}?\b{_SERVE}"
    r"|as an? (?:ai|(?:large )?language model)\b"
    r"|i(?:['’]m| am) (?:just |only )?an? (?:(?:large |ai )?language model|ai (?:assistant|model|language))\b"
    r")",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One input of a domain. `details` holds what only that domain reads (checks, a form, a key)."""

    prompt_id: str
    prompt: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Domain:
    """Base of all domains. A subclass sets the class attributes and overrides what differs.

    Attributes
    ----------
    name : str
        The domain's name in tables, commands and reports.
    noun : str
        What one answer is called in a sentence, in the plural ("stories").
    primary : str
        The one facet that carries the domain's verdict, declared in advance.
    rewards : mapping of facet to "converge", "distinct" or "neutral"
        What good answers do in that facet.
    language : str or None
        Programming language of the answers; None for prose.
    speech : str or None
        Natural language that prose answers should be in ("en"); None when any will do.
    passing : float
        Quality from which an answer is valid, where the domain tells a quality.
    chance : float
        Share of right answers that a guess would give, where quality is correctness.
    max_tokens : int
        Default cap on the tokens of one output.
    prompt_file : str or None
        JSON lines beside the domain's module, with `prompt_id`, `prompt` and details.
    exemplars : tuple of (request, answer)
        Shown to base models, which know no chat format; two at a time, rotating, so that no single
        exemplar sets the style of a prompt's outputs.
    version : str
        Raised when extraction or validity change; part of every signature.
    """

    name: ClassVar[str]
    noun: ClassVar[str] = "answers"
    primary: ClassVar[str] = "semantic"
    rewards: ClassVar[Mapping[str, Reward]] = {}
    language: ClassVar[str | None] = None
    speech: ClassVar[str | None] = None
    passing: ClassVar[float] = 0.5
    chance: ClassVar[float] = 0.0
    max_tokens: ClassVar[int] = 256
    prompt_file: ClassVar[str | None] = None
    exemplars: ClassVar[tuple[tuple[str, str], ...]] = ()
    version: ClassVar[str] = "1"

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """The domain's prompts, in their fixed order."""
        if self.prompt_file is None:
            return ()
        # Beside the module of the class that names the file: a domain of another package brings its own.
        owner = next((c for c in type(self).__mro__ if "prompt_file" in vars(c)), type(self))
        text = Path(inspect.getfile(owner)).with_name(self.prompt_file).read_text(encoding="utf-8")
        # Not splitlines: JSON may hold U+2028 and its like unescaped.
        return tuple(self.read_prompt(json.loads(line)) for line in text.split("\n") if line.strip())

    @cached_property
    def by_id(self) -> dict[str, Prompt]:
        """The prompts by `prompt_id`."""
        return {p.prompt_id: p for p in self.prompts}

    def read_prompt(self, record: dict[str, Any]) -> Prompt:
        """Make a prompt of one record of the prompt file."""
        details = {k: v for k, v in record.items() if k not in {"prompt_id", "prompt"}}
        return Prompt(str(record["prompt_id"]), record["prompt"], details)

    def read_prompt_file(self, path: str | Path, columns: Mapping[str, str] | None = None) -> tuple[Prompt, ...]:
        """Read prompts of a file for this domain: JSON lines (also .gz), JSON, CSV, TSV, parquet or plain text.

        Parameters
        ----------
        path : str or Path
            A text file has one prompt a line.
        columns : mapping, optional
            Names of columns where they are not found by themselves: ``{"prompt": "text", "prompt_id": "task_id"}``.
            All other columns become the prompt's details, which the domain's checks read.

        Raises
        ------
        InputError
            With the file, the row, what is wrong, and what to do.
        """
        from diversity.prompts import read_prompts

        return read_prompts(path, self._read_foreign, columns)

    def _read_foreign(self, record: dict[str, Any]) -> Prompt:
        """Read a record as the domain writes its own, and one that only has a prompt as it is."""
        try:
            return self.read_prompt(record)
        except KeyError:
            if "prompt" not in record:
                raise
            return Domain.read_prompt(self, record)

    def messages(self, prompt: Prompt) -> list[dict[str, str]]:
        """Render a prompt for a chat model: the messages that its template takes."""
        return [{"role": "user", "content": prompt.prompt}]

    def frame(
        self, prompt: Prompt, sample_index: int, seed: int, exemplars: Sequence[tuple[str, str]] | None = None
    ) -> str:
        """Render a prompt for a base model: two exemplars, the domain's own or those given, then the request."""
        known = self.exemplars if exemplars is None else exemplars
        if not known:
            raise InputError(
                f"domain '{self.name}' has no exemplars for a base model: give --exemplars, or sample a chat model"
            )
        key = f"{seed}|{prompt.prompt_id}|{sample_index}".encode()
        first = int.from_bytes(blake2b(key, digest_size=4).digest(), "little") % len(known)
        chosen = [known[(first + i) % len(known)] for i in range(min(2, len(known)))]
        shots = "".join(f"Request: {ask}\nAnswer:\n{answer}\n{FRAME_STOP}\n" for ask, answer in chosen)
        return f"{shots}Request: {prompt.prompt}\nAnswer:\n"

    def answer(self, output: str) -> str:
        """Return the answer in a raw output: without a chain of thought and others' turns, then extracted."""
        return self.extract(own_turn(without_thought(output)[0])[0])

    def extract(self, output: str) -> str:
        """Return the answer in an output: what the metrics measure. Empty when there is none."""
        return output.strip()

    def behaviour(self, answer: str, prompt: Prompt | None) -> str | None:
        """Return what an answer amounts to, the same text for answers that amount to the same; None without a notion.

        The functional facet groups answers by it: a final value, a label, a stance.
        """
        return None

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return how good an answer is, from 0 to 1; None when the domain or this prompt cannot tell."""
        return None

    def is_valid(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether an answer is good enough to count among the valid ones.

        By default one that is no refusal, no loop, not in another language, and of a passing quality where told.
        """
        if not answer or self.is_refusal(answer) or is_loop(answer) or self.is_off_language(answer, prompt):
            return False
        quality = self.quality(answer, prompt)
        return quality is None or quality >= self.passing

    def is_parsable(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether an answer has the parts that the domain reads: a final value, items, lines, a syntax tree."""
        return bool(answer)

    def is_off_language(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether an answer is clearly in another natural language than the domain's, in which it was asked for."""
        if self.speech is None or prompt is None:
            return False
        return is_foreign(answer, self.speech) and not is_foreign(prompt.prompt, self.speech)

    def flags(self, output: str, answer: str, prompt: Prompt | None) -> dict[str, bool]:
        """Return what is to be noticed of one output, by the names of `diversity.metrics.guards.FLAGS`."""
        text, thought = without_thought(output)
        found = {
            "empty": not answer,
            "refused": self.is_refusal(answer),
            "loops": is_loop(answer),
            "unparsable": not self.is_parsable(answer, prompt),
            "role_leak": own_turn(text)[1],
            "thought": thought,
        }
        return found if self.speech is None else found | {"off_language": self.is_off_language(answer, prompt)}

    def is_refusal(self, answer: str) -> bool:
        """Whether an answer declines the request."""
        return REFUSAL.match(answer) is not None


FRAME_STOP = "###"  # ends each exemplar of a frame, so that a base model's run-on can be cut there

"""What a domain is: its prompts, how they are asked, how the answer is found, and what is rewarded."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Literal

from diversity.errors import InputError

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

    def messages(self, prompt: Prompt) -> list[dict[str, str]]:
        """Render a prompt for a chat model: the messages that its template takes."""
        return [{"role": "user", "content": prompt.prompt}]

    def frame(self, prompt: Prompt, sample_index: int, seed: int) -> str:
        """Render a prompt for a base model: two exemplars, then the request."""
        if not self.exemplars:
            raise InputError(f"domain '{self.name}' has no exemplars for a base model: sample a chat model")
        key = f"{seed}|{prompt.prompt_id}|{sample_index}".encode()
        first = int.from_bytes(blake2b(key, digest_size=4).digest(), "little") % len(self.exemplars)
        chosen = (self.exemplars[first], self.exemplars[(first + 1) % len(self.exemplars)])
        shots = "".join(f"Request: {ask}\nAnswer:\n{answer}\n{FRAME_STOP}\n" for ask, answer in chosen)
        return f"{shots}Request: {prompt.prompt}\nAnswer:\n"

    def extract(self, output: str) -> str:
        """Return the answer in an output: what the metrics measure. Empty when there is none."""
        return output.strip()

    def is_valid(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether an answer is good enough to count among the valid ones."""
        return bool(answer) and not self.is_refusal(answer)

    def is_refusal(self, answer: str) -> bool:
        """Whether an answer declines the request."""
        return REFUSAL.match(answer) is not None


FRAME_STOP = "###"  # ends each exemplar of a frame, so that a base model's run-on can be cut there


def is_loop(answer: str) -> bool:
    """Whether an answer repeats itself: one run of four words covers over 30 % of it, from 20 words up."""
    words = answer.split()
    if len(words) < 20:
        return False
    counts: dict[tuple[str, ...], int] = {}
    for i in range(len(words) - 3):
        run = tuple(words[i : i + 4])
        counts[run] = counts.get(run, 0) + 1
    return max(counts.values()) * 4 > 0.3 * len(words) and max(counts.values()) > 2

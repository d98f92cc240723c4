"""Checkpoints -> Samples: render the prompts, draw many outputs of each, keep what is finished."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from diversity import __version__
from diversity.domain import FRAME_STOP, Domain, Prompt
from diversity.errors import InputError
from diversity.registry import find_domain
from diversity.tables import Samples

Progress = Callable[[str, int, int], None]

# Where a base model ends its answer: the mark alone on a line, or the next request. The same signs inside a line
# belong to the answer (### opens a heading or a comment).
FRAME_END = re.compile(rf"^(?:{re.escape(FRAME_STOP)}[ \t]*$|Request: )", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How outputs are drawn. Everything here moves a number, so all of it is in the provenance."""

    n: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that cannot be sampled with."""
        if self.n < 2:
            raise InputError(f"n is {self.n}: diversity within a prompt needs 2 outputs or more, 16 is the default")
        if not 0 < self.temperature < math.inf:
            raise InputError(f"temperature is {self.temperature:g}: give a value above 0; at 0 all outputs are alike")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p:g}: give a value above 0 and up to 1")
        if self.top_k < 0 or not 0 <= self.min_p < 1:
            raise InputError(
                f"top_k is {self.top_k} and min_p {self.min_p:g}: top_k must be 0 (off) or more, min_p from 0 (off) to "
                "below 1"
            )
        if not 0 <= self.seed < 1 << 63:
            raise InputError(f"seed is {self.seed}: give a whole number from 0 to 2**63 - 1")


@dataclass(frozen=True, slots=True)
class Request:
    """One output asked for: sample `sample_index` of a prompt."""

    domain: Domain
    prompt: Prompt
    sample_index: int
    seed: int

    def chat(self) -> list[dict[str, str]]:
        """Messages for a chat model."""
        return self.domain.messages(self.prompt)

    def frame(self) -> str:
        """Few-shot text for a base model."""
        return self.domain.frame(self.prompt, self.sample_index, self.seed)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One output as a backend returns it."""

    output: str
    tokens: int
    finish_reason: str


class Backend(Protocol):
    """What a kind of checkpoint must offer."""

    name: str
    is_chat: bool

    def identity(self) -> dict[str, Any]:
        """What was sampled: weights, template, precision. Enters the provenance."""

    def draw(self, requests: Sequence[Request], settings: Settings, max_tokens: int) -> list[Drawn]:
        """Draw one output for each request."""


def open_checkpoint(checkpoint: str | Path, *, chat: bool | None = None) -> Backend:
    """Open whatever can be sampled: a folder, a hub id, a PEFT adapter, a GGUF file, `reference:pre` or `:post`."""
    from diversity.sampling.local import Local

    return Local(str(checkpoint), chat=chat)


def sample(
    checkpoint: str | Path | Backend,
    *,
    domains: Sequence[str],
    n: int = 16,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    max_tokens: int | None = None,
    seed: int = 0,
    prompts: int | None = None,
    name: str | None = None,
    stage: str | None = None,
    store: str | Path | None = None,
    batch: int = 64,
    chat: bool | None = None,
    progress: Progress | None = None,
) -> Samples:
    """Draw n outputs of every prompt of the domains.

    Parameters
    ----------
    checkpoint : str, Path or Backend
        A folder, a hub id, a PEFT adapter folder, a GGUF file, or `reference:pre` / `reference:post`.
    domains : list of str
        Their names; one name alone may stand for a list of one.
    n : int
        Outputs a prompt.
    temperature, top_p, top_k, min_p
        Decoding. The defaults draw from the model's own distribution, which is what tuning changes. The
        checkpoint's own generation defaults are never used: they differ between checkpoints.
    max_tokens : int, optional
        Cap on the tokens of one output; by default the domain's own.
    seed : int
        Sample k of a prompt depends on the seed, the prompt and k only, not on the batch or on a resume.
    prompts : int, optional
        Take the first so many prompts of each domain; by default all.
    name, stage : str, optional
        What the checkpoint is called in the table, and its stage (pre, sft, post …).
    store : folder, optional
        Keep finished batches there. A run that was stopped goes on where it stopped.
    batch : int
        Outputs drawn at a time, and lost at most when the run is killed.
    chat : bool, optional
        Use the chat template (True) or few-shot frames for a base model (False). By default: the template,
        where the checkpoint has one.
    progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Samples

    Raises
    ------
    InputError, UnknownName, MissingExtra
    """
    settings = Settings(n=n, temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed)
    for what, value in (("batch", batch), ("max_tokens", max_tokens), ("prompts", prompts)):
        if value is not None and value < 1:
            raise InputError(f"{what} is {value}: give 1 or more")
    names = [domains] if isinstance(domains, str) else domains
    chosen = [_chosen(find_domain(d), prompts) for d in dict.fromkeys(names)]
    if not chosen:
        raise InputError("no domain is named: give one or more, see `diversity domains`")
    backend = open_checkpoint(checkpoint, chat=chat) if isinstance(checkpoint, str | Path) else checkpoint
    label = name or backend.name
    provenance = {
        "package": __version__,
        "checkpoint": label,
        "stage": stage,
        "identity": backend.identity(),
        "is_chat": backend.is_chat,
        "settings": asdict(settings),
        "batch": batch,
        "domains": {
            domain.name: {
                "prompts": len(asked),
                "prompts_hash": prompt_hash(asked),
                "max_tokens": max_tokens or domain.max_tokens,
                "version": domain.version,
                "exemplars": None if backend.is_chat else _hash(repr(domain.exemplars)),
            }
            for domain, asked in chosen
        },
    }
    batches = [
        (domain, max_tokens or domain.max_tokens, requests[i : i + batch])
        for domain, asked in chosen
        for requests in [[Request(domain, p, k, seed) for p in asked for k in range(n)]]
        for i in range(0, len(requests), batch)
    ]
    total = sum(len(requests) for _, _, requests in batches)

    def parts() -> Any:
        for number, (domain, cap, requests) in enumerate(batches):
            yield (
                number,
                len(requests),
                lambda d=domain, c=cap, r=requests: _rows(backend, d, r, settings, c, label, stage),
            )

    if store is None:
        frames, done = [], 0
        for _, size, draw in parts():
            frames.append(draw())
            done += size
            if progress:
                progress(f"sample {label}", done, total)
        return Samples.of(pl.concat(frames), provenance)

    from diversity.store import Store

    with Store.create(store, provenance) as kept:
        done = 0
        for number, size, draw in parts():
            if not kept.has(number):
                kept.add(number, draw())
            done += size
            if progress:
                progress(f"sample {label}", done, total)
        return kept.samples()


def prompt_hash(prompts: Sequence[Prompt]) -> str:
    """Hash of a prompt set: its ids and texts, in any order."""
    lines = sorted(f"{p.prompt_id}\x1f{p.prompt}" for p in prompts)
    return _hash("\x1e".join(lines))


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _chosen(domain: Domain, count: int | None) -> tuple[Domain, tuple[Prompt, ...]]:
    if not domain.prompts:
        raise InputError(f"domain '{domain.name}' brings no prompts of its own: it is for imported outputs")
    return domain, domain.prompts[:count]


def _rows(
    backend: Backend,
    domain: Domain,
    requests: Sequence[Request],
    settings: Settings,
    max_tokens: int,
    label: str,
    stage: str | None,
) -> pl.DataFrame:
    drawn = backend.draw(requests, settings, max_tokens)
    rows = []
    for request, one in zip(requests, drawn, strict=True):
        output, reason = one.output, one.finish_reason
        if not backend.is_chat and (end := FRAME_END.search(output)):
            output, reason = output[: end.start()].rstrip(), "stop"
        rows.append(
            {
                "checkpoint": label,
                "domain": domain.name,
                "prompt_id": request.prompt.prompt_id,
                "sample_index": request.sample_index,
                "output": output.encode("utf-8", "replace").decode(),
                "prompt": request.prompt.prompt,
                "stage": stage,
                "seed": settings.seed,
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "max_tokens": max_tokens,
                "output_tokens": one.tokens,
                "finish_reason": reason,
            }
        )
    schema = {
        "sample_index": pl.Int32,
        "max_tokens": pl.Int32,
        "output_tokens": pl.Int32,
        "stage": pl.String,
    }
    return pl.DataFrame(rows, schema_overrides=schema)

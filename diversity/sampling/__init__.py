"""Checkpoints -> Samples: render the prompts, draw many outputs of each, keep what is finished."""

from __future__ import annotations

import logging
import math
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from diversity import __version__
from diversity.domain import FRAME_STOP, Domain, Prompt
from diversity.errors import InputError
from diversity.registry import domain_of, find_domain
from diversity.tables import Samples

logger = logging.getLogger("diversity")

# Called with what is done, how much of it, of how much, and (while sampling) how many prompts that is and how fast.
Progress = Callable[..., None]

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
    """One output asked for: sample `sample_index` of a prompt. With a prefix, how the output goes on after it."""

    domain: Domain
    prompt: Prompt
    sample_index: int
    seed: int
    system: str | None = None
    exemplars: tuple[tuple[str, str], ...] | None = None
    prefix: str = ""

    def chat(self) -> list[dict[str, str]]:
        """Messages for a chat model."""
        messages = self.domain.messages(self.prompt)
        if not self.system:
            return messages
        if messages[0]["role"] == "system":  # the domain's own stays
            return [{"role": "system", "content": f"{self.system}\n\n{messages[0]['content']}"}, *messages[1:]]
        return [{"role": "system", "content": self.system}, *messages]

    def frame(self) -> str:
        """Few-shot text for a base model, up to where its output goes on."""
        return self.domain.frame(self.prompt, self.sample_index, self.seed, self.exemplars) + self.prefix


@dataclass(frozen=True, slots=True)
class Drawn:
    """One output as a backend returns it; its tokens are None where nobody counted them.

    `log_probability` is the natural logarithm of the probability of these tokens under the checkpoint itself, before
    temperature and filters; None where it was not asked for.
    """

    output: str
    tokens: int | None
    finish_reason: str
    log_probability: float | None = None


class Backend(Protocol):
    """What a kind of checkpoint must offer."""

    name: str
    is_chat: bool

    def identity(self) -> dict[str, Any]:
        """What was sampled: weights, template, precision. Enters the provenance."""

    def draw(self, requests: Sequence[Request], settings: Settings, max_tokens: int) -> list[Drawn]:
        """Draw one output for each request."""


def open_checkpoint(checkpoint: str | Path, *, chat: bool | None = None, **options: Any) -> Backend:
    """Open whatever can be sampled, by what it is called.

    Parameters
    ----------
    checkpoint : str or Path
        A folder, a hub id, a PEFT adapter folder, a GGUF file, `reference:pre` or `reference:post` (run here, by
        transformers); `http://HOST/v1#MODEL` (an OpenAI-compatible endpoint); `vllm:MODEL` (vLLM's offline engine);
        `replay:FILE` (recorded samples).
    chat : bool, optional
        Chat template or few-shot frames.
    **options
        What only some of them take; None is the same as not given. dtype, device, load_in_4bit (transformers);
        dtype (vLLM); concurrency, timeout (endpoints); template, log_probabilities (all but replay).

    Raises
    ------
    InputError, MissingExtra
    """
    text = str(checkpoint)
    kind, _, rest = text.partition(":")
    given = {k: v for k, v in options.items() if v is not None}
    # Path() would make one slash of two.
    if kind in {"http", "https", "openai"}:
        from diversity.sampling.endpoint import Endpoint as Opened
    elif kind == "vllm":
        from diversity.sampling.engine import Engine as Opened  # type: ignore[assignment]

        text = rest
    elif kind == "replay":
        from diversity.sampling.recorded import Recorded as Opened  # type: ignore[assignment]

        text = rest
    else:
        from diversity.sampling.local import Local as Opened  # type: ignore[assignment]
    unknown = sorted(set(given) - set(Opened.options))
    if unknown:
        names = ", ".join(unknown)
        raise InputError(f"checkpoint '{text[:60]}' takes no {names}: its options are {', '.join(Opened.options)}")
    return Opened(text, chat=chat, **given)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Requests of one domain at one temperature, drawn and kept together."""

    number: int
    domain: Domain
    settings: Settings
    max_tokens: int
    label: str
    requests: Sequence[Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    outputs, outputs_left : int
        Asked for, and not yet in the store.
    prompts, calls : int
        Prompts, and batches left.
    prompt_tokens : int
        To be read, every prompt once a batch.
    output_tokens_at_most : int
        To be written, if every output ran to its cap.
    seconds_at_most : float or None
        How long that would take, from a trial of one batch; None where no trial was made.
    """

    outputs: int
    outputs_left: int
    prompts: int
    calls: int
    prompt_tokens: int
    output_tokens_at_most: int
    seconds_at_most: float | None

    def __str__(self) -> str:
        minutes = "" if self.seconds_at_most is None else f", at most {_duration(self.seconds_at_most)} at this pace"
        return (
            f"{self.outputs_left} of {self.outputs} outputs to draw, of {self.prompts} prompts, in {self.calls} "
            f"batches: about {self.prompt_tokens} tokens to read and at most {self.output_tokens_at_most} to write"
            f"{minutes}"
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def sample(
    checkpoint: str | Path | Backend,
    *,
    domains: str | Sequence[str] = (),
    n: int = 16,
    temperature: float | Sequence[float] = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    max_tokens: int | None = None,
    seed: int = 0,
    prompts: int | str | Path | None = None,
    system: str | None = None,
    exemplars: str | Path | None = None,
    name: str | None = None,
    stage: str | None = None,
    store: str | Path | None = None,
    shard: tuple[int, int] = (1, 1),
    batch: int = 64,
    chat: bool | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Samples:
    """Draw n outputs of every prompt of the domains.

    Parameters
    ----------
    checkpoint : str, Path or Backend
        A folder, a hub id, a PEFT adapter folder, a GGUF file, `reference:pre` / `reference:post`, the URL of an
        OpenAI-compatible endpoint (`http://HOST/v1#MODEL`), `vllm:MODEL` or `replay:FILE`.
    domains : list of str
        Their names; one name alone may stand for a list of one. With a file of prompts one domain, by default text.
    n : int
        Outputs a prompt.
    temperature, top_p, top_k, min_p
        Decoding. The defaults draw from the model's own distribution, which is what tuning changes. The
        checkpoint's own generation defaults are never used: they differ between checkpoints. Several temperatures
        are a sweep: each is a checkpoint of its own in the table, named `NAME T=0.6`.
    max_tokens : int, optional
        Cap on the tokens of one output; by default the domain's own.
    seed : int
        Sample k of a prompt depends on the seed, the prompt and k only, not on the batch or on a resume.
    prompts : int or path, optional
        Take the first so many prompts of each domain, or those of a file; by default all of the domain's own.
    system : str, optional
        A system prompt, for chat models.
    exemplars : path, optional
        A file of few-shot exemplars for a base model, a prompt and an output each, in place of the domain's own. Two
        at a time are shown, rotating over samples.
    name, stage : str, optional
        What the checkpoint is called in the table, and its stage (pre, sft, post …).
    store : folder, optional
        Keep finished batches there. A run that was stopped goes on where it stopped.
    shard : (int, int)
        Draw only part i of k of the batches; other processes draw the others into the same store.
    batch : int
        Outputs drawn at a time, and lost at most when the run is killed.
    chat : bool, optional
        Use the chat template (True) or few-shot frames for a base model (False). By default: the template,
        where the checkpoint has one.
    progress : callable, optional
        Called with (what, outputs done, of how many, prompts done and speed in words).
    **options
        What only some kinds of checkpoint take; see `open_checkpoint`.

    Returns
    -------
    Samples

    Raises
    ------
    InputError, UnknownName, MissingExtra
    """
    given = locals() | options
    for unused in ("checkpoint", "store", "shard", "progress", "options"):
        given.pop(unused)
    i, k = shard
    if not 1 <= i <= k:
        raise InputError(f"shard is {i}/{k}: give i/k with i from 1 to k")
    if k > 1 and store is None:
        raise InputError(f"shard is {i}/{k} and there is no store: shards meet in one store, give its folder")
    run = _Run(checkpoint, **given)
    if store is None:
        frames = []
        for each in run.told(run.batches, progress):
            frames.append(_rows(run.backend, each, stage))
            run.written(frames[-1])
        return Samples.of(pl.concat(frames), run.provenance)

    from diversity.store import Store

    with Store.create(store, run.provenance, shard=shard) as kept, _interrupted_between_batches() as interrupted:
        for each in run.told([b for b in run.batches if kept.owns(b.number)], progress):
            if not kept.has(each.number):
                rows = _rows(run.backend, each, stage)
                kept.add(each.number, rows)
                run.written(rows)
            if interrupted():
                raise KeyboardInterrupt
        return kept.samples(is_last=k == 1)


def plan(
    checkpoint: str | Path | Backend,
    *,
    store: str | Path | None = None,
    shard: tuple[int, int] = (1, 1),
    trial: bool = True,
    **given: Any,
) -> Plan:
    """Say what `sample` would do with the same arguments; a trial of eight tokens gives the pace.

    Raises
    ------
    InputError, UnknownName, MissingExtra
    """
    from diversity.store import MANIFEST, Store

    given.pop("progress", None)
    run = _Run(checkpoint, **given)
    left = [b for b in run.batches if b.number % shard[1] == shard[0] - 1]
    if store is not None and (Path(store) / MANIFEST).exists():
        kept = Store.open(store)
        left = [b for b in left if not kept.has(b.number)]
    reading = writing = 0
    count = getattr(run.backend, "count_tokens", None)
    for each in left:
        # A backend reads a prompt once for all of its samples in a batch.
        texts = list(dict.fromkeys(_text(r, run.backend.is_chat) for r in each.requests))
        # Without a tokenizer four characters stand for a token, as in English prose.
        reading += count(texts) if count else sum(len(t) for t in texts) // 4
        writing += len(each.requests) * each.max_tokens
    seconds = None
    if trial and left:
        cap = min(8, left[0].max_tokens)
        started = time.perf_counter()
        run.backend.draw(left[0].requests, left[0].settings, cap)
        each_token = (time.perf_counter() - started) / cap
        # Tokens are drawn in steps over a whole batch, so a batch takes as many steps as its longest output.
        seconds = sum(each_token * b.max_tokens for b in left)
    return Plan(
        outputs=sum(len(b.requests) for b in run.batches),
        outputs_left=sum(len(b.requests) for b in left),
        prompts=len({(b.domain.name, r.prompt.prompt_id) for b in left for r in b.requests}),
        calls=len(left),
        prompt_tokens=reading,
        output_tokens_at_most=writing,
        seconds_at_most=seconds,
    )


def _text(request: Request, is_chat: bool) -> str:
    return "\n".join(m["content"] for m in request.chat()) if is_chat else request.frame()


class _Run:
    """The arguments of `sample`, checked, and what follows from them: provenance and batches."""

    def __init__(
        self,
        checkpoint: str | Path | Backend,
        *,
        domains: str | Sequence[str] = (),
        n: int = 16,
        temperature: float | Sequence[float] = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        max_tokens: int | None = None,
        seed: int = 0,
        prompts: int | str | Path | None = None,
        system: str | None = None,
        exemplars: str | Path | None = None,
        name: str | None = None,
        stage: str | None = None,
        batch: int = 64,
        chat: bool | None = None,
        **options: Any,
    ) -> None:
        swept = list(dict.fromkeys(temperature)) if isinstance(temperature, Sequence) else [temperature]
        if not swept:
            raise InputError("no temperature is given: give one or more, 1 is the default")
        each = [Settings(n=n, temperature=t, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed) for t in swept]
        for what, value in (("batch", batch), ("max_tokens", max_tokens), ("prompts", prompts)):
            if isinstance(value, int) and value < 1:
                raise InputError(f"{what} is {value}: give 1 or more")
        shots = _shots(exemplars)
        chosen = _chosen([domains] if isinstance(domains, str) else list(dict.fromkeys(domains)), prompts)
        if isinstance(checkpoint, str | Path):
            self.backend = open_checkpoint(checkpoint, chat=chat, **options)
        else:
            self.backend = checkpoint
        if system and not self.backend.is_chat:
            raise InputError("a base model is asked in few-shot frames and has no system prompt: drop it")
        if shots and self.backend.is_chat:
            raise InputError("a chat model is asked by its template and reads no exemplars: drop them, or give --base")
        self.label = name or self.backend.name
        settings = asdict(each[0]) | ({"temperature": swept} if len(swept) > 1 else {})
        self.provenance = {
            "package": __version__,
            "checkpoint": self.label,
            "stage": stage,
            "identity": self.backend.identity(),
            "is_chat": self.backend.is_chat,
            "settings": settings,
            "system": system or None,
            "batch": batch,
            "domains": {
                domain.name: {
                    "prompts": len(asked),
                    "prompts_hash": prompt_hash(asked),
                    "max_tokens": max_tokens or domain.max_tokens,
                    "version": domain.version,
                    "exemplars": None if self.backend.is_chat else _hash(repr(shots or domain.exemplars)),
                }
                for domain, asked in chosen
            },
        }
        slices = [
            (one, domain, requests[i : i + batch])
            for one in each
            for domain, asked in chosen
            for requests in [[Request(domain, p, k, seed, system, shots) for p in asked for k in range(n)]]
            for i in range(0, len(requests), batch)
        ]
        self.batches = [
            _Batch(
                number,
                domain,
                one,
                max_tokens or domain.max_tokens,
                f"{self.label} T={one.temperature:g}" if len(each) > 1 else self.label,
                requests,
            )
            for number, (one, domain, requests) in enumerate(slices)
        ]
        self._tokens, self._started = 0, time.perf_counter()

    def written(self, rows: pl.DataFrame) -> None:
        """Count the tokens that were drawn now, and not found in the store."""
        self._tokens += int(rows["output_tokens"].sum() or 0)

    def told(self, batches: Sequence[_Batch], progress: Progress | None) -> Iterator[_Batch]:
        """Hand out the batches, and tell the progress after each."""
        total, done = sum(len(b.requests) for b in batches), 0
        # A prompt is done with the last batch that asks it.
        last = {(b.label, b.domain.name, r.prompt.prompt_id): b.number for b in batches for r in b.requests}
        ending, prompts = Counter(last.values()), 0
        self._tokens, self._started = 0, time.perf_counter()
        for each in batches:
            yield each
            done += len(each.requests)
            prompts += ending[each.number]
            if progress:
                pace = self._tokens / (time.perf_counter() - self._started)
                speed = f", {pace:.0f} tokens/s" if self._tokens else ""
                progress(f"sample {self.label}", done, total, f"{prompts} of {len(last)} prompts{speed}")


@contextmanager
def _interrupted_between_batches() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end the run after the batch in flight, and at once when it is pressed again."""
    # Only the main thread may say what a signal does.
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = []
    before = signal.getsignal(signal.SIGINT)

    def press(*_: Any) -> None:
        pressed.append(True)
        signal.signal(signal.SIGINT, before)
        logger.warning("finishing the batch in flight; press Ctrl-C again to stop at once")

    if before is not signal.default_int_handler:  # someone else's: it is theirs to decide
        yield lambda: False
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def prompt_hash(prompts: Sequence[Prompt]) -> str:
    """Hash of a prompt set: its ids and texts, in any order."""
    lines = sorted(f"{p.prompt_id}\x1f{p.prompt}" for p in prompts)
    return _hash("\x1e".join(lines))


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _shots(path: str | Path | None) -> tuple[tuple[str, str], ...] | None:
    """Few-shot exemplars of a file."""
    if path is None:
        return None
    from diversity.sampling.prompts import read_exemplars

    return read_exemplars(path)


def _chosen(names: Sequence[str], prompts: int | str | Path | None) -> list[tuple[Domain, tuple[Prompt, ...]]]:
    """Pair the domains with the prompts that are asked of them."""
    if prompts is not None and not isinstance(prompts, int):
        from diversity.sampling.prompts import read_prompts

        if len(names) > 1:
            raise InputError(f"{prompts}: one file of prompts and {len(names)} domains: give one domain a run")
        domain = domain_of(names[0] if names else "text")
        return [(domain, read_prompts(prompts, domain))]
    if not names:
        raise InputError("no domain is named: give one or more, see `diversity domains`")
    chosen = [find_domain(name) for name in names]
    for domain in chosen:
        if not domain.prompts:
            raise InputError(
                f"domain '{domain.name}' brings no prompts of its own: it is for imported outputs, or give a file of "
                "prompts"
            )
    return [(domain, domain.prompts[:prompts]) for domain in chosen]


def by_prompt(requests: Sequence[Request]) -> list[list[tuple[int, Request]]]:
    """Requests with their places, those of one prompt together: what one call can answer."""
    placed = sorted(enumerate(requests), key=lambda r: (r[1].prompt.prompt_id, r[0]))
    return [list(group) for _, group in groupby(placed, key=lambda r: r[1].prompt.prompt_id)]


def _rows(backend: Backend, batch: _Batch, stage: str | None) -> pl.DataFrame:
    drawn = backend.draw(batch.requests, batch.settings, batch.max_tokens)
    told = any(one.log_probability is not None for one in drawn)
    rows = []
    for request, one in zip(batch.requests, drawn, strict=True):
        output, reason, likely = one.output, one.finish_reason, one.log_probability
        if not backend.is_chat and (end := FRAME_END.search(output)):
            output, reason = output[: end.start()].rstrip(), "stop"
            likely = None  # it is that of more than is left
        rows.append(
            {
                "checkpoint": batch.label,
                "domain": batch.domain.name,
                "prompt_id": request.prompt.prompt_id,
                "sample_index": request.sample_index,
                "output": output.encode("utf-8", "replace").decode(),
                "prompt": request.prompt.prompt,
                "stage": stage,
                "seed": batch.settings.seed,
                "temperature": batch.settings.temperature,
                "top_p": batch.settings.top_p,
                "max_tokens": batch.max_tokens,
                "output_tokens": one.tokens,
                "finish_reason": reason,
                **({"log_probability": likely} if told else {}),
            }
        )
    schema = {
        "sample_index": pl.Int32,
        "max_tokens": pl.Int32,
        "output_tokens": pl.Int32,
        "stage": pl.String,
    }
    return pl.DataFrame(rows, schema_overrides=schema)

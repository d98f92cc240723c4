"""Checkpoints behind an OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, Ollama, a hosted one."""

from __future__ import annotations

import json
import logging
import os
import random
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from threading import Event
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, build_opener
from urllib.request import Request as Post

from diversity.domain import FRAME_STOP
from diversity.errors import InputError
from diversity.sampling import Drawn, Request, Settings, by_prompt, noise

logger = logging.getLogger("diversity")

RETRIED = {408, 409, 425, 429}  # and all from 500 on
# Filters and penalties that a server would else fill from defaults of its own (llama.cpp: top_k 40, min_p 0.05;
# vLLM: the checkpoint's generation_config.json) and so draw from something else than the model's own distribution.
# Tried in this order: the protocol itself knows none of them, and servers differ in what turns top-k off.
PENALTIES = {"repetition_penalty": 1.0, "repeat_penalty": 1.0}
# A server that knows return_token_ids (vLLM) tells the tokens of each choice by it, and most others ignore it.
IDS = {"return_token_ids": True}
EXTENSIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("top_k -1, min_p, penalties off", {"top_k": -1, "min_p": 0.0, **PENALTIES, **IDS}),
    ("top_k 0, min_p, penalties off", {"top_k": 0, "min_p": 0.0, **PENALTIES, **IDS}),
    ("top_k -1, min_p, penalties off", {"top_k": -1, "min_p": 0.0, **PENALTIES}),
    ("top_k -1, min_p off", {"top_k": -1, "min_p": 0.0}),
    ("the server's own defaults", {}),
)
FRAME_STOPS = [f"\n{FRAME_STOP}\n", "\nRequest: "]
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
LONGEST_WAIT = 120.0


class Endpoint:
    """A model behind an OpenAI-compatible endpoint.

    Parameters
    ----------
    checkpoint : str
        The endpoint's base address and the model, `http://HOST:PORT/v1#MODEL`. Without a model the only one that
        it serves.
    chat : bool, optional
        Ask by messages (True, the default), or continue few-shot frames through the completions route (False).
    concurrency : int
        Calls in flight at most.
    timeout : float
        Seconds that one call may take, its answer read to the end.
    template : mapping, optional
        Further arguments of the chat template, for servers that take `chat_template_kwargs`.
    log_probabilities : bool
        Ask for the log-probability of each output too; none is told where the server gives none.
    attempts : int
        How often a call is made before the run gives up.
    pause : float
        Seconds before the second attempt, doubled for each further one; each wait is drawn at random up to that.

    Notes
    -----
    The key stands in DIVERSITY_API_KEY or OPENAI_API_KEY and goes nowhere but into the header of the calls.

    Raises
    ------
    InputError
        The endpoint cannot be reached, refuses, or does not serve the model.
    """

    options: ClassVar = ("concurrency", "timeout", "template", "log_probabilities")

    def __init__(
        self,
        checkpoint: str,
        *,
        chat: bool | None = None,
        concurrency: int = 8,
        timeout: float = 600.0,
        template: Mapping[str, Any] | None = None,
        log_probabilities: bool = False,
        attempts: int = 8,
        pause: float = 0.5,
    ) -> None:
        address, _, model = checkpoint.removeprefix("openai:").partition("#")
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError(f"'{address[:80]}' is no address: give http://HOST/v1#MODEL")
        if parts.username or parts.password or parts.query:
            raise InputError(f"{parts.hostname}: the address holds a key: set DIVERSITY_API_KEY and leave it out")
        if concurrency < 1 or not timeout > 0:
            raise InputError(f"concurrency is {concurrency} and timeout {timeout:g}: give 1 or more, and above 0 s")
        self._base, self._host = address.rstrip("/"), parts.hostname
        self._key = _key(parts.scheme, self._host)
        self._concurrency, self._timeout, self._attempts, self._pause = concurrency, timeout, attempts, pause
        self._template = dict(template or {})
        self._tells = log_probabilities
        self._opener = build_opener(_NoRedirect())
        self._gave_up = Event()
        self.is_chat = chat is not False
        self._model = model or self._only_model()
        # llama.cpp calls a model by the path of its file, which is no one's business in a table.
        self.name = self._model.rpartition("/")[2] if self._model.startswith(("/", ".")) else self._model
        self._extensions, self._takes_n, self._takes_seed, self._cap = 0, True, True, "max_tokens"
        self._try_out()

    def identity(self) -> dict[str, Any]:
        """Model, route, and what the server could be told. No key, no port."""
        return {
            "backend": "openai",
            "model": self.name,
            "host": self._host,
            "route": "chat" if self.is_chat else "completions",
            "template_arguments": self._template or None,
            "n": self._takes_n,
            "seed": "one a call" if self._takes_seed else None,
            "filters": EXTENSIONS[self._extensions][0],
            **({"log_probabilities": True} if self._tells else {}),
        }

    def draw(self, requests: Sequence[Request], settings: Settings, max_tokens: int) -> list[Drawn]:
        """Draw one output for each request; those of a prompt by one call, where the server can."""
        if (settings.top_k or settings.min_p) and not EXTENSIONS[self._extensions][1]:
            raise InputError(f"{self._base}: takes no top_k and no min_p: leave them out, or use top_p")
        if self.is_chat and any(r.prefix for r in requests):
            # The protocol's chat route begins a new turn; servers that ignore an extension would do so silently.
            raise InputError(f"{self._base}: the chat route cannot go on after a prefix: use completions (--base)")
        # The frames of a base model differ from sample to sample.
        groups = by_prompt(requests) if self.is_chat and self._takes_n else [[p] for p in enumerate(requests)]
        self._gave_up.clear()
        drawn: list[Drawn | None] = [None] * len(requests)
        pool = ThreadPoolExecutor(self._concurrency)
        try:
            running = [pool.submit(self._answers, [r for _, r in group], settings, max_tokens) for group in groups]
            for group, answers in zip(groups, running, strict=True):
                for (place, _), one in zip(group, answers.result(), strict=True):
                    drawn[place] = one
        finally:
            # After an error no one waits for the calls in flight, and those that wait for another attempt end.
            self._gave_up.set()
            pool.shutdown(wait=False, cancel_futures=True)
        return [one for one in drawn if one is not None]

    def _answers(self, requests: Sequence[Request], settings: Settings, max_tokens: int) -> list[Drawn]:
        """Ask until there are as many answers as requests: many servers return fewer than n, and say nothing."""
        answers: list[Drawn] = []
        while len(answers) < len(requests):
            left = requests[len(answers) :]
            wanted = len(left) if self._takes_n else 1
            body = self._body(left[0], settings, max_tokens, wanted)
            choices, used = self._asked(body)
            counts = _counts(choices, used, max_tokens)
            answers += [_drawn(c, count) for c, count in zip(choices[:wanted], counts, strict=False)]
            if wanted > 1 and len(choices) == 1:
                self._takes_n = False
        if settings.top_k != 1 and len(answers) >= 4 and len({a.output for a in answers}) == 1 and answers[0].output:
            warnings.warn(
                f"{self._base}: {len(answers)} outputs of prompt '{requests[0].prompt.prompt_id}' are the same: see "
                "that the server draws at random and keeps no cache of answers",
                UserWarning,
                stacklevel=2,
            )
        return answers

    def _body(self, request: Request, settings: Settings, max_tokens: int, n: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            self._cap: max_tokens,
        }
        extensions = dict(EXTENSIONS[self._extensions][1])
        if settings.top_k:
            extensions["top_k"] = settings.top_k
        if settings.min_p:
            extensions["min_p"] = settings.min_p
        body |= extensions
        if self._takes_seed:
            # 31 bits: the least that servers take. The first sample of the call names it.
            key = noise.key(settings.seed, request.prompt.prompt_id, request.sample_index)
            body["seed"] = key & 0x7FFFFFFF
        if n > 1:
            body["n"] = n
        if self._template:
            body["chat_template_kwargs"] = self._template
        if self._tells:
            body["logprobs"] = True if self.is_chat else 0
        if self.is_chat:
            return body | {"messages": request.chat()}
        return body | {"prompt": request.frame(), "stop": FRAME_STOPS}

    def _try_out(self) -> None:
        """Find out with calls of one token what the server takes, before a run depends on it."""
        while True:
            body: dict[str, Any] = {"model": self._model, self._cap: 1, "temperature": 1.0, "n": 2}
            body |= EXTENSIONS[self._extensions][1]
            body |= {"seed": 1} if self._takes_seed else {}
            body |= {"messages": [{"role": "user", "content": "Hi"}]} if self.is_chat else {"prompt": "Hi"}
            if not self._takes_n:
                del body["n"]
            try:
                choices, _ = self._asked(body)
            except _Refused as refused:
                said = str(refused).lower()
                # What the server names is left out first; else the likeliest first.
                if self._cap == "max_tokens" and "max_completion_tokens" in said:
                    self._cap = "max_completion_tokens"
                elif self._extensions < len(EXTENSIONS) - 1 and refused.status in {400, 422}:
                    self._extensions += 1
                elif self._takes_n and refused.status in {400, 422}:
                    self._takes_n = False
                elif self._takes_seed and refused.status in {400, 422}:
                    self._takes_seed = False
                else:
                    raise
                continue
            self._takes_n = len(choices) > 1
            return

    def _only_model(self) -> str:
        served = [str(m.get("id")) for m in self._json("/models", None).get("data") or []]
        if len(served) == 1:
            return served[0]
        raise InputError(
            f"{self._base}: serves {len(served)} models ({', '.join(served)[:160]}): name one, {self._base}#MODEL"
        )

    def _asked(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int | None]:
        """Choices of one call, and the tokens they took together."""
        answer = self._json("/chat/completions" if self.is_chat else "/completions", body)
        return answer["choices"], (answer.get("usage") or {}).get("completion_tokens")

    def _json(self, route: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """Call until there is a sound answer; raises `InputError` where the server refuses or never gives one."""
        failure = ""
        for attempt in range(self._attempts):
            wait = 0.0
            try:
                answer = json.loads(self._read(route, body))
                if body is None or _is_sound(answer):
                    return dict(answer)
                failure = "the answer holds no choices"
            except HTTPError as error:
                with error:
                    failure = f"HTTP {error.code}: {_said(error)}"
                    if error.code not in RETRIED and error.code < 500:
                        raise _Refused(self._refusal(error.code, failure), error.code) from None
                    wait = _retry_after(error.headers.get("Retry-After"))
            except (OSError, HTTPException, ValueError, RecursionError) as error:
                # A reset, a timeout, a body cut off or no JSON: the next attempt may go through.
                failure = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
            if wait > LONGEST_WAIT:
                failure += f"; asks to wait {wait:.0f} s"
                break
            # At random, so that calls that failed together do not come back together.
            drawn = random.uniform(0.5, 1) * min(self._pause * 2**attempt, 60.0)  # noqa: S311 - no secret
            if attempt + 1 < self._attempts and self._gave_up.wait(max(wait, drawn)):
                break
        raise InputError(
            f"{self._base}{route}: gives no answer ({failure}): see to the server and run again; what is sampled is "
            "kept"
        )

    def _read(self, route: str, body: Mapping[str, Any] | None) -> bytes:
        """One call. The time runs for the whole of it: a server that sends a byte now and then holds no one up."""
        headers = {"Content-Type": "application/json", "User-Agent": "diversity-shift"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        content = None if body is None else json.dumps(body).encode("utf-8", "replace")
        post = Post(f"{self._base}{route}", data=content, headers=headers)  # noqa: S310 - http or https, checked
        deadline = time.monotonic() + self._timeout
        received = bytearray()
        with self._opener.open(post, timeout=self._timeout) as response:
            assert isinstance(response, HTTPResponse)
            while block := response.read1(1 << 16):
                received += block
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no whole answer in {self._timeout:g} s")
            if response.length:
                raise HTTPException(f"{response.length} bytes of the answer are missing")
        return bytes(received)

    def _refusal(self, status: int, failure: str) -> str:
        remedy = {
            401: "set DIVERSITY_API_KEY",
            403: "see what the key may do",
            404: "check the address (it ends in /v1 as a rule) and the model",
        }.get(status, "mend the settings")
        return f"{self._base}: refuses ({failure}): {remedy}"


class _Refused(InputError):
    """An answer that will be the same next time."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _NoRedirect(HTTPRedirectHandler):
    """The key must not follow a redirection to another host."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse: the redirection is then an error like others."""


def _key(scheme: str, host: str) -> str | None:
    own = os.environ.get("DIVERSITY_API_KEY")
    # OpenAI's own key lies in many environments; it is not shouted over an open line to someone else.
    common = os.environ.get("OPENAI_API_KEY") if scheme == "https" or host in LOOPBACK else None
    return (own or common or "").strip() or None


def _is_sound(answer: Any) -> bool:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    return isinstance(choices, list) and bool(choices) and all(_content(c) is not None for c in choices)


def _content(choice: Any) -> str | None:
    """Text of a choice. Reasoning is left out; a refusal in a field of its own is an output."""
    if not isinstance(choice, dict):
        return None
    if isinstance(choice.get("text"), str):
        return str(choice["text"])
    message = choice.get("message")
    if not isinstance(message, dict):
        return None
    text = message.get("content") or message.get("refusal") or ""
    if isinstance(text, list):
        text = "".join(str(p.get("text", "")) for p in text if isinstance(p, dict))
    return text if isinstance(text, str) else None


def _drawn(choice: Mapping[str, Any], tokens: int | None) -> Drawn:
    return Drawn(_content(choice) or "", tokens, str(choice.get("finish_reason") or "stop"), _likely(choice))


def _likely(choice: Mapping[str, Any]) -> float | None:
    """Sum of the log-probabilities that a choice lists, by the chat route or by completions; None where it has none."""
    told = choice.get("logprobs")
    if not isinstance(told, dict):
        return None
    content = told.get("content")
    listed = [t.get("logprob") for t in content if isinstance(t, dict)] if isinstance(content, list) else None
    values = listed or told.get("token_logprobs")
    if not isinstance(values, list) or not values or not all(isinstance(v, int | float) for v in values):
        return None
    return float(sum(values))


def _counts(choices: Sequence[Mapping[str, Any]], used: int | None, most: int) -> list[int | None]:
    """Tokens of each choice: as the server tells them, or as they follow from their sum; else None."""
    counts = [_listed(choice) for choice in choices]
    if used is None or None not in counts:
        return counts
    if len(choices) == 1:
        return [used]
    # All ran to the cap, and the sum says so too.
    if used == most * len(choices) and all(c.get("finish_reason") == "length" for c in choices):
        return [most] * len(choices)
    return counts


def _listed(choice: Mapping[str, Any]) -> int | None:
    """How many tokens a choice lists: vLLM's token_ids, or the log probabilities of either route."""
    logprobs = choice.get("logprobs")
    told = logprobs if isinstance(logprobs, dict) else {}
    for tokens in (choice.get("token_ids"), told.get("content"), told.get("tokens")):
        if isinstance(tokens, list) and tokens:
            return len(tokens)
    return None


def _said(error: HTTPError) -> str:
    """What a server says of an error, in one line."""
    try:
        text = error.read(4096).decode("utf-8", "replace")
        told = json.loads(text)
        inner = told.get("error", told) if isinstance(told, dict) else told
        text = str(inner.get("message") or inner.get("detail") or inner) if isinstance(inner, dict) else str(inner)
    except (OSError, HTTPException, ValueError, RecursionError):
        text = error.reason if isinstance(error.reason, str) else ""
    return " ".join(text.split())[:160]


def _retry_after(header: str | None) -> float:
    """Seconds that a server asks to wait: a number, or the date when to come back."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0

"""Checkpoints that run in this process through vLLM's offline engine.

Written against vLLM's documented interface (`LLM`, `LLM.chat`, `LLM.generate`, `SamplingParams`) and compared with that
of 0.33. It has not been run on a GPU by us; the arguments are tested, the engine is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar

from diversity.errors import InputError, MissingExtra
from diversity.sampling import Drawn, Request, Settings, noise
from diversity.sampling.endpoint import FRAME_STOPS


class Engine:
    """A model in vLLM's offline engine.

    Parameters
    ----------
    checkpoint : str
        A folder or hub id that vLLM can load.
    chat : bool, optional
        Use the chat template; by default where there is one.
    dtype : str, optional
        As vLLM names them; by default its own choice.
    template : mapping, optional
        Further arguments of the chat template.
    log_probabilities : bool
        Tell the log-probability of each output too; that of the token which ends it counts.

    Raises
    ------
    MissingExtra
        vLLM is not installed.
    """

    options: ClassVar = ("dtype", "template", "log_probabilities")

    def __init__(
        self,
        checkpoint: str,
        *,
        chat: bool | None = None,
        dtype: str | None = None,
        template: Mapping[str, Any] | None = None,
        log_probabilities: bool = False,
    ) -> None:
        if find_spec("vllm") is None:
            raise MissingExtra("vllm is not installed: pip install vllm, or give the endpoint of a server")
        from vllm import LLM

        self._tells = log_probabilities
        self.name, self._dtype, self._template = checkpoint, dtype or "auto", dict(template or {})
        # generation_config: else the checkpoint's own defaults fill what is left open.
        self._engine = LLM(
            model=checkpoint, dtype=self._dtype, enable_prefix_caching=True, generation_config="vllm", seed=0
        )
        has_template = getattr(self._engine.get_tokenizer(), "chat_template", None) is not None
        self.is_chat = has_template if chat is None else chat

    def identity(self) -> dict[str, Any]:
        """Model, engine and precision."""
        from importlib.metadata import version

        from diversity.sampling.local import _digest

        return {
            "backend": "vllm",
            "weights": [_digest(self.name)],
            "template_arguments": self._template or None,
            "dtype": self._dtype,
            "vllm": version("vllm"),
            **({"log_probabilities": True} if self._tells else {}),
        }

    def draw(self, requests: Sequence[Request], settings: Settings, max_tokens: int) -> list[Drawn]:
        """Draw one output for each request, all at once; the engine reads a prompt that comes again from its cache."""
        from vllm import SamplingParams

        stops: dict[str, Any] = {} if self.is_chat else {"stop": FRAME_STOPS}
        if self._tells:
            stops["logprobs"] = 0  # of the drawn tokens alone
        wanted = [SamplingParams(**parameters(r, settings, max_tokens), **stops) for r in requests]
        if self.is_chat:
            if any(r.prefix for r in requests):
                raise InputError("vllm goes on after a prefix in frames only: open the checkpoint with chat=False")
            conversations = [r.chat() for r in requests]
            more = {"chat_template_kwargs": self._template} if self._template else {}
            answers = self._engine.chat(conversations, wanted, use_tqdm=False, **more)
        else:
            answers = self._engine.generate([r.frame() for r in requests], wanted, use_tqdm=False)
        outputs = [answer.outputs[0] for answer in answers]
        return [
            Drawn(
                o.text,
                len(o.token_ids),
                str(o.finish_reason or "stop"),
                float(o.cumulative_logprob) if self._tells and o.cumulative_logprob is not None else None,
            )
            for o in outputs
        ]


def parameters(request: Request, settings: Settings, max_tokens: int) -> dict[str, Any]:
    """Arguments of SamplingParams for one output.

    Each output is a request of its own with its own seed: with n in one request, sample k would depend on how many
    were asked for together.
    """
    key = noise.key(settings.seed, request.prompt.prompt_id, request.sample_index)
    return {
        "n": 1,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k or -1,
        "min_p": settings.min_p,
        "seed": key & 0x7FFFFFFF,
        "max_tokens": max_tokens,
    }

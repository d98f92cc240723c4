"""Checkpoints that run in this process through transformers."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diversity.errors import InputError, MissingExtra
from diversity.sampling import Drawn, Request, Settings, noise

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger("diversity")

REFERENCE = {"reference:pre": "SmolLM2-135M-Instruct", "reference:post": "SmolLM2-135M-Instruct+DPO"}


class Local:
    """A causal language model in this process.

    Parameters
    ----------
    checkpoint : str
        A folder, a hub id, a PEFT adapter folder (its base is found in its configuration), a `.gguf` file,
        `reference:pre` or `reference:post`.
    chat : bool, optional
        Use the chat template; by default where there is one.

    Raises
    ------
    MissingExtra
        transformers or torch is not installed.
    InputError
        There is no such checkpoint, or it cannot be loaded.
    """

    def __init__(self, checkpoint: str, *, chat: bool | None = None) -> None:
        for package in ("torch", "transformers"):
            if find_spec(package) is None:
                raise MissingExtra(f'{package} is not installed: pip install "diversity-shift[models]"')
        import torch

        self.name = REFERENCE.get(checkpoint, Path(checkpoint).name if Path(checkpoint).exists() else checkpoint)
        base, adapter, gguf = _located(checkpoint)
        self._sources = [p for p in (base, adapter, gguf) if p]
        self._device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        # In bfloat16 the padding of a batch moves the logits by 0.3, enough to change draws; fp32 by 3e-5.
        self._dtype = torch.float32 if self._device == "cpu" else torch.bfloat16
        self._tokenizer, self._model = _loaded(base, adapter, gguf, self._dtype)
        self._model.to(self._device).eval()
        has_template = getattr(self._tokenizer, "chat_template", None) is not None
        if chat and not has_template:
            raise InputError(f"checkpoint '{checkpoint}' has no chat template: drop --chat to use few-shot frames")
        self.is_chat = has_template if chat is None else chat

    def identity(self) -> dict[str, Any]:
        """Weights, template and precision, each by hash where it is a file."""
        import torch
        import transformers

        template = getattr(self._tokenizer, "chat_template", None) if self.is_chat else None
        return {
            "backend": "transformers",
            "weights": [_digest(source) for source in self._sources],
            "chat_template": hashlib.sha256(str(template).encode()).hexdigest()[:12] if template else None,
            "dtype": str(self._dtype).removeprefix("torch."),
            "device": self._device,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def draw(self, requests: Sequence[Request], settings: Settings, max_tokens: int) -> list[Drawn]:
        """Draw one output for each request, all in one batch."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        texts = [self._rendered(r) for r in requests]
        encoded = self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=not self.is_chat)
        inputs = {k: encoded[k].to(self._device) for k in ("input_ids", "attention_mask")}
        keys = [noise.key(settings.seed, r.prompt.prompt_id, r.sample_index) for r in requests]
        ends = self._ends()
        # A fresh configuration: the checkpoint's own carries penalties and filters that differ by checkpoint.
        configuration = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=ends,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        length = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            output = self._model.generate(
                **inputs,
                generation_config=configuration,
                logits_processor=LogitsProcessorList([_Draws(keys, length, settings, ends)]),
            )
        return [self._finished(row[length:].tolist(), ends, max_tokens) for row in output]

    def _rendered(self, request: Request) -> str:
        if not self.is_chat:
            return request.frame()
        rendered: str = self._tokenizer.apply_chat_template(request.chat(), tokenize=False, add_generation_prompt=True)
        return rendered

    def _ends(self) -> list[int]:
        own = self._model.generation_config.eos_token_id
        ends = {self._tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
        return sorted(int(end) for end in ends if end is not None)

    def _finished(self, tokens: list[int], ends: list[int], max_tokens: int) -> Drawn:
        stop = next((i for i, token in enumerate(tokens) if token in ends), None)
        kept = tokens if stop is None else tokens[:stop]
        text = self._tokenizer.decode(kept, skip_special_tokens=True)
        return Drawn(str(text), len(kept), "length" if stop is None and len(tokens) >= max_tokens else "stop")


class _Draws:
    """A logits processor that makes greedy decoding a draw, each row from its own stream."""

    def __init__(self, keys: list[int], start: int, settings: Settings, ends: list[int]) -> None:
        self._keys, self._start, self._settings, self._ends = keys, start, settings, ends

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        step = input_ids.shape[1] - self._start
        last = input_ids[:, -1].tolist()
        values = np.ones(tuple(scores.shape))
        for row, (key, token) in enumerate(zip(self._keys, last, strict=True)):
            # A finished row is padded whatever is drawn; its noise would be thrown away.
            if step == 0 or token not in self._ends:
                values[row] = noise.exponentials(key, step, scores.shape[-1])
        drawn = torch.from_numpy(values).to(scores.device)
        s = self._settings
        return noise.choose(scores, drawn, temperature=s.temperature, top_p=s.top_p, top_k=s.top_k, min_p=s.min_p)


def _located(checkpoint: str) -> tuple[str, str | None, str | None]:
    """Folder or id of the base, folder of the adapter, GGUF file."""
    if checkpoint in REFERENCE:
        from diversity import reference

        return str(reference.base()), str(reference.adapter()) if checkpoint == "reference:post" else None, None
    if checkpoint.startswith("reference:"):
        raise InputError(f"there is no '{checkpoint[:60]}': the reference pair is reference:pre and reference:post")
    path = Path(checkpoint)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError(f"{checkpoint}: no such file: check the path")
        return str(path.parent), None, str(path)
    configuration = path / "adapter_config.json"
    if configuration.is_file():
        base = json.loads(configuration.read_text(encoding="utf-8")).get("base_model_name_or_path")
        if not base:
            raise InputError(f"{configuration}: it names no base model: set base_model_name_or_path")
        return str(base), str(path), None
    if path.is_dir() and not (path / "config.json").is_file():
        raise InputError(f"{checkpoint}: the folder holds no config.json: give a folder that save_pretrained wrote")
    if not path.exists() and (path.is_absolute() or checkpoint.count("/") != 1):
        raise InputError(f"{checkpoint}: no such folder, and not a hub id (owner/name): check the path")
    return checkpoint, None, None


def _loaded(
    base: str, adapter: str | None, gguf: str | None, dtype: torch.dtype
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = {"gguf_file": Path(gguf).name} if gguf else {}
    local = {"local_files_only": True} if Path(base).exists() else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left", **file, **local)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **file, **local)
        if adapter:
            from peft import PeftModel

            # Merged: the same numbers as the adapter beside the weights, at the base's speed.
            model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"checkpoint '{adapter or gguf or base}' cannot be loaded: {reason}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model


def _digest(source: str) -> str:
    """Hash of a checkpoint's weights; a hub id stands for itself."""
    path = Path(source)
    files = [path] if path.is_file() else sorted([*path.glob("*.safetensors"), *path.glob("pytorch_model*.bin")])
    if not files:
        return source
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return f"{path.name}#{digest.hexdigest()[:12]}"

"""Checkpoints that run in this process through transformers."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
    dtype : str, optional
        float32, bfloat16 or float16; by default float32 on a CPU, bfloat16 on a GPU.
    device : str, optional
        cpu, cuda, cuda:1, mps …; by default a GPU where there is one.
    load_in_4bit : bool
        Quantise the weights by bitsandbytes as they are loaded.
    template : mapping, optional
        Further arguments of the chat template (`enable_thinking`, …).
    log_probabilities : bool
        Tell the log-probability of each output too.

    Raises
    ------
    MissingExtra
        transformers or torch is not installed.
    InputError
        There is no such checkpoint, or it cannot be loaded.
    """

    options: ClassVar = ("dtype", "device", "load_in_4bit", "template", "log_probabilities")
    _tells = False

    def __init__(
        self,
        checkpoint: str,
        *,
        chat: bool | None = None,
        dtype: str | None = None,
        device: str | None = None,
        load_in_4bit: bool = False,
        template: Mapping[str, Any] | None = None,
        log_probabilities: bool = False,
    ) -> None:
        for package in ("torch", "transformers"):
            if find_spec(package) is None:
                raise MissingExtra(f'{package} is not installed: pip install "diversity-shift[models]"')
        import torch
        from transformers import GenerationConfig

        base, adapter, gguf = _located(checkpoint)
        folder = Path(checkpoint)
        self.name = REFERENCE.get(checkpoint) or (folder.resolve().name if folder.exists() else checkpoint)
        # Of a GGUF file only the file counts; its folder holds others.
        self._sources = [gguf] if gguf else [p for p in (base, adapter) if p]
        self._device = _device(device)
        # In bfloat16 the padding of a batch moves the logits by 0.3, enough to change draws; fp32 by 3e-5.
        self._dtype = _dtype(dtype) or (torch.float32 if self._device == "cpu" else torch.bfloat16)
        self._is_4bit = load_in_4bit
        self._tells = log_probabilities
        self._template = dict(template or {})
        if self._device == "cpu":
            _keep_freed_memory()
        quantised = {"device_map": {"": self._device}} | _in_4bit(self._dtype) if load_in_4bit else {}
        self._tokenizer, self._model = _loaded(base, adapter, gguf, self._dtype, quantised)
        if not load_in_4bit:  # such weights lie where they were loaded
            self._model.to(self._device)
        self._model.eval()
        self._ends = self._ending_tokens()
        # transformers fills whatever a given configuration leaves open from the checkpoint's own: penalties, filters
        # and lengths that differ by checkpoint. Emptied, there is nothing to fill it from.
        self._model.generation_config = GenerationConfig()
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
            "weights": [_digest(source, self._model.config) for source in self._sources],
            "chat_template": hashlib.sha256(str(template).encode()).hexdigest()[:12] if template else None,
            "template_arguments": self._template or None,
            "dtype": str(self._dtype).removeprefix("torch."),
            "quantisation": "bitsandbytes nf4" if self._is_4bit else None,
            "device": self._device.partition(":")[0],  # shards of one run may have a GPU each
            **({"log_probabilities": True} if self._tells else {}),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def draw(self, requests: Sequence[Request], settings: Settings, max_tokens: int) -> list[Drawn]:
        """Draw one output for each request, all in one batch."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        # All samples of a prompt begin alike: it is read once, and what was read is copied for each of them.
        texts = [self._rendered(r) for r in requests]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        of_request = torch.tensor([places[text] for text in texts], device=self._device)
        encoded = self._tokenizer(list(places), return_tensors="pt", padding=True, add_special_tokens=not self.is_chat)
        prompts = {k: encoded[k].to(self._device) for k in ("input_ids", "attention_mask")}
        inputs = {k: values[of_request] for k, values in prompts.items()}
        keys = [noise.key(settings.seed, r.prompt.prompt_id, r.sample_index) for r in requests]
        configuration = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=self._ends or None,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        length = inputs["input_ids"].shape[1]
        draws = _Draws(keys, length, settings, self._ends, tells=self._tells)
        with self._without_gradients():
            already_read = self._read(prompts, of_request) if len(places) < len(texts) else {}
            output = self._model.generate(
                **inputs,
                **already_read,
                generation_config=configuration,
                logits_processor=LogitsProcessorList([draws]),
            )
        finished = [self._finished(row[length:].tolist(), max_tokens) for row in output]
        if not self._tells:
            return finished
        return [replace(one, log_probability=float(total)) for one, total in zip(finished, draws.totals, strict=True)]

    def _without_gradients(self) -> AbstractContextManager[Any]:
        import torch

        return torch.inference_mode()

    def _read(self, prompts: dict[str, torch.Tensor], of_request: torch.Tensor) -> dict[str, Any]:
        """Read each prompt up to its last token, which `generate` reads, and copy the cache for each request."""
        from transformers import DynamicCache

        ids, mask = (prompts[k][:, :-1] for k in ("input_ids", "attention_mask"))
        if not ids.shape[1]:
            return {}
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        read = self._model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
        cache = read.cache
        if type(cache) is not DynamicCache:  # another architecture's own: let `generate` read everything
            return {}
        cache.batch_select_indices(of_request)
        return {"cache": cache}

    def _rendered(self, request: Request) -> str:
        if not self.is_chat:
            return request.frame()
        rendered: str = self._tokenizer.apply_chat_template(
            request.chat(), tokenize=False, add_generation_prompt=True, **self._template
        )
        return rendered + request.prefix

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens texts have."""
        return sum(len(ids) for ids in self._tokenizer(list(texts))["input_ids"])

    def _ending_tokens(self) -> list[int]:
        own = self._model.generation_config.eos_token_id
        ends = {self._tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
        return sorted(int(end) for end in ends if end is not None)

    def _finished(self, tokens: list[int], max_tokens: int) -> Drawn:
        stop = next((i for i, token in enumerate(tokens) if token in self._ends), None)
        kept = tokens if stop is None else tokens[:stop]
        text = self._tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Drawn(str(text), len(kept), "length" if stop is None and len(tokens) >= max_tokens else "stop")


class _Draws:
    """A logits processor that makes greedy decoding a draw, each row from its own stream."""

    def __init__(
        self, keys: list[int], start: int, settings: Settings, ends: list[int], *, tells: bool = False
    ) -> None:
        self._keys, self._start, self._settings, self._ends, self._tells = keys, start, settings, ends, tells
        self._is_over = np.zeros(len(keys), dtype=bool)
        # Log-probability of each row's tokens so far; the one that ends it is no token of the output.
        self.totals = np.zeros(len(keys))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        step = input_ids.shape[1] - self._start
        last = input_ids[:, -1].tolist()
        values = np.ones(tuple(scores.shape))
        for row, (key, token) in enumerate(zip(self._keys, last, strict=True)):
            # A finished row is padded whatever is drawn; its noise would be thrown away.
            if step == 0 or token not in self._ends:
                values[row] = noise.exponentials(key, step, scores.shape[-1])
        # Apple's GPUs know no float64.
        device = torch.device("cpu") if scores.device.type == "mps" else scores.device
        drawn = torch.from_numpy(values).to(device)
        s = self._settings
        perturbed = noise.choose(
            scores.to(device), drawn, temperature=s.temperature, top_p=s.top_p, top_k=s.top_k, min_p=s.min_p
        )
        if self._tells:
            tokens = perturbed.argmax(-1)
            logits = scores.to(device).double()
            likely = logits.gather(-1, tokens[:, None])[:, 0] - logits.logsumexp(-1)
            self._is_over |= np.isin(tokens.cpu().numpy(), self._ends)
            self.totals += np.where(self._is_over, 0.0, likely.cpu().numpy())
        return perturbed if device == scores.device else perturbed.float().to(scores.device)


def _device(name: str | None) -> str:
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0][:120]
        raise InputError(f"device '{name[:40]}' cannot be used ({reason}): give cpu, cuda or mps, or none") from None
    return name


def _dtype(name: str | None) -> torch.dtype | None:
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    known |= {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if name is not None and name not in known:
        raise InputError(f"dtype is '{name[:40]}': give float32, bfloat16 or float16")
    return known[name] if name else None


def _in_4bit(dtype: torch.dtype) -> dict[str, Any]:
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes is not installed: pip install bitsandbytes, or load without 4 bits")
    from transformers import BitsAndBytesConfig

    configuration = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": configuration}


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed: each step frees and asks for the whole cache of keys and values again.

    Given back to the system and cleared at every step that took a third of the time at 96 outputs a batch.
    """
    import ctypes

    trim_threshold, mmap_threshold = -1, -3
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library than glibc
        return
    set_option(mmap_threshold, 32 << 20)
    set_option(trim_threshold, 1 << 30)


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
        try:
            base = json.loads(configuration.read_text(encoding="utf-8")).get("base_model_name_or_path")
        except (ValueError, AttributeError):
            raise InputError(f"{configuration}: not a JSON object: save the adapter again") from None
        if not base:
            raise InputError(f"{configuration}: it names no base model: set base_model_name_or_path")
        if not Path(base).exists() and not _is_hub_id(base):
            raise InputError(f"{configuration}: its base model '{base}' is not there: set base_model_name_or_path")
        return str(base), str(path), None
    if path.is_dir() and not (path / "config.json").is_file():
        raise InputError(f"{checkpoint}: the folder holds no config.json: give a folder that save_pretrained wrote")
    if path.is_file():
        raise InputError(f"{checkpoint}: a file: give the folder that save_pretrained wrote, or a .gguf file")
    if not path.exists() and not _is_hub_id(checkpoint):
        raise InputError(f"{checkpoint}: no such folder, and not a hub id (owner/name): check the path")
    return checkpoint, None, None


def _is_hub_id(name: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def _loaded(
    base: str, adapter: str | None, gguf: str | None, dtype: torch.dtype, quantised: Mapping[str, Any]
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    for package, needed in (("peft", adapter), ("gguf", gguf)):
        if needed and find_spec(package) is None:
            raise MissingExtra(f'{package} is not installed: pip install "diversity-shift[models]"')
    file = {"gguf_file": Path(gguf).name} if gguf else {}
    local = {"local_files_only": True} if Path(base).exists() else {}
    # Tuning may have changed the chat template; then the tokenizer was saved with the adapter.
    words = adapter if adapter and (Path(adapter) / "tokenizer_config.json").is_file() else base
    # Its bars know nothing of ours and draw over them.
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(words, padding_side="left", **file, **local)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **file, **local, **quantised)
        if adapter:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, adapter)
            if not quantised:
                # Merged: the same numbers as the adapter beside the weights, at the base's speed. Four bits would
                # round what is merged into them.
                model = model.merge_and_unload()
    except Exception as error:  # noqa: BLE001 - the loaders of many formats raise their own errors, with no common base
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"checkpoint '{adapter or gguf or base}' cannot be loaded: {reason}") from None
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
    if tokenizer.pad_token_id is None:
        # Any token will do: the mask hides it.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer, model


def _digest(source: str, config: Any = None) -> str:
    """Hash of a checkpoint's weights; of a hub id its commit, as far as transformers tells it."""
    path = Path(source)
    files = [path] if path.is_file() else sorted([*path.glob("*.safetensors"), *path.glob("pytorch_model*.bin")])
    if not files:
        commit = getattr(config, "_commit_hash", None)
        return f"{source}#{commit[:12]}" if commit else source
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return f"{path.name}#{digest.hexdigest()[:12]}"

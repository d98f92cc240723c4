"""Recorded samples, drawn again from their file: what was sampled elsewhere goes through the same run."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, ClassVar

import polars as pl

from diversity.errors import InputError
from diversity.sampling import Drawn, Request, Settings
from diversity.tables import KEY, read_samples

TOLD = ("output_tokens", "finish_reason", "log_probability")


class Recorded:
    """A checkpoint that was sampled before.

    Parameters
    ----------
    checkpoint : str
        A file of samples, a store folder, or `FILE:CHECKPOINT` where it holds several.
    chat : bool, optional
        Not used: what was recorded has been rendered and cut already.

    Raises
    ------
    InputError
        The file holds no samples, or those of several checkpoints.
    """

    options: ClassVar = ()
    is_chat = True  # nothing is to be cut

    def __init__(self, checkpoint: str, *, chat: bool | None = None) -> None:
        del chat
        self._path, frame = _side(checkpoint)
        names = frame["checkpoint"].unique().sort()
        if len(names) > 1:
            raise InputError(f"{self._path}: holds {', '.join(names)[:120]}: name one, replay:{self._path}:CHECKPOINT")
        self.name = str(names[0])
        optional = [c for c in (*TOLD, "temperature", "top_p") if c in frame.columns]
        wanted = frame.select([*KEY[1:], "output", *optional])
        self._rows = {(r["domain"], r["prompt_id"], r["sample_index"]): r for r in wanted.iter_rows(named=True)}
        self._hash = blake2b(str(wanted.hash_rows(seed=0).to_list()).encode(), digest_size=6).hexdigest()

    def identity(self) -> dict[str, Any]:
        """What was recorded, by hash."""
        return {"backend": "replay", "recorded": f"{self.name}#{self._hash}"}

    def draw(self, requests: Sequence[Request], settings: Settings, max_tokens: int) -> list[Drawn]:
        """Look up one output for each request; other settings than the recorded ones are refused."""
        del max_tokens
        drawn = []
        for request in requests:
            key = (request.domain.name, request.prompt.prompt_id, request.sample_index)
            row = self._rows.get(key)
            if row is None:
                raise InputError(
                    f"{self._path}: holds no sample {key[2]} of prompt '{key[1][:40]}' of {key[0]}: ask for fewer, or "
                    "record them"
                )
            for setting in ("temperature", "top_p"):
                recorded, asked = row.get(setting), getattr(settings, setting)
                if recorded is not None and recorded != asked:
                    raise InputError(
                        f"{self._path}: was recorded at {setting} {recorded:g}, not {asked:g}: ask for that"
                    )
            reason = row.get("finish_reason") or "stop"
            drawn.append(Drawn(row["output"], row.get("output_tokens"), reason, row.get("log_probability")))
        return drawn


def _side(checkpoint: str) -> tuple[str, pl.DataFrame]:
    """Path and rows; the name of one checkpoint may follow the path."""
    path, colon, name = checkpoint.rpartition(":")
    try:
        return checkpoint, read_samples(checkpoint).frame
    except InputError:
        if not colon:
            raise
    frame = read_samples(path).frame
    kept = frame.filter(pl.col("checkpoint") == name)
    if kept.is_empty():
        known = ", ".join(frame["checkpoint"].unique().sort())[:120]
        raise InputError(f"{path}: holds no checkpoint '{name[:40]}': it holds {known}")
    return path, kept

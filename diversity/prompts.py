"""Prompt files of users and of public sets: JSON lines, CSV, parquet or plain text, read as they are shipped."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diversity.errors import InputError

if TYPE_CHECKING:
    from diversity.domain import Prompt

# What public sets call the two columns, in the order in which they are looked for; docs/domains.md names the sets.
IDS = ("prompt_id", "task_id", "id", "question_id", "example_id")
TEXTS = ("prompt", "text", "question", "instruction", "problem", "goal", "wp")
TAG = re.compile(r"^\[ ?[A-Za-z]{2,3} ?\]\s*")  # "[ WP ]" of the WritingPrompts sources
ROW_LIMIT = 1_000_000


def read_prompts(
    path: str | Path, make: Callable[[dict[str, Any]], Prompt], columns: Mapping[str, str] | None = None
) -> tuple[Prompt, ...]:
    """Read the prompts of a file; see `Domain.read_prompt_file`."""
    path = Path(path)
    found: dict[str, Prompt] = {}
    for place, record in _records(path):
        named = _named(record, columns or {}, place, path)
        text = named.get("prompt")
        if text is not None and not (isinstance(text, str) and text.strip()):
            raise InputError(f"{path}, {place}: the prompt is empty or no text: give one or drop the row")
        try:
            prompt = make(named)
        except KeyError as missing:
            raise InputError(
                f"{path}, {place}: no column {missing}: name it with columns={{'prompt': 'its name'}}"
            ) from None
        if prompt.prompt_id in found:
            raise InputError(f"{path}, {place}: the id '{prompt.prompt_id[:80]}' occurs twice: make them unique")
        found[prompt.prompt_id] = prompt
    if not found:
        raise InputError(f"{path}: no prompts in it: give one a row, or one a line of a text file")
    return tuple(found.values())


def _named(record: dict[str, Any], columns: Mapping[str, str], place: str, path: Path) -> dict[str, Any]:
    """Give the id and the text their names, and a row without an id that of its place."""
    for name, column in columns.items():
        if column not in record:
            raise InputError(f"{path}, {place}: no column '{column}': it has {', '.join(map(str, record))[:200]}")
        record = record | {name: record[column]}
    for name, candidates in (("prompt_id", IDS), ("prompt", TEXTS)):
        given = next((c for c in candidates if record.get(c) is not None), None)
        if name not in record and given:
            record = record | {name: record[given]}
    fallback = f"{path.name.split('.')[0]}-{place.split()[-1]:0>4}"
    return record | {"prompt_id": str(record.get("prompt_id") or fallback)}


def _records(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Rows of a file with where they stand, by the ending of its name."""
    import polars as pl

    ending = "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).lower()
    try:
        if ending in {".csv", ".tsv", ".parquet"}:
            if ending == ".parquet":
                frame = pl.read_parquet(path, n_rows=ROW_LIMIT)
            else:
                frame = pl.read_csv(path, separator="\t" if ending == ".tsv" else ",", infer_schema=False)
            return [(f"row {i}", row) for i, row in enumerate(frame.iter_rows(named=True), 1)]
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0][:120]}): check the file") from None
    lines = [(f"line {i}", line.rstrip("\r")) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if ".json" not in ending:
        return [(place, {"prompt": TAG.sub("", line).replace("<newline>", "\n").strip()}) for place, line in lines]
    if ending.startswith(".json") and "l" not in ending.removeprefix(".json"):
        lines = [("row 1", text)]
    records: list[tuple[str, dict[str, Any]]] = []
    for place, line in lines:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, {place}: no JSON ({str(error)[:80]}): one object a line is wanted") from None
        values = value if isinstance(value, list) else [value]
        for i, each in enumerate(values, 1):
            here = f"row {i}" if isinstance(value, list) else place
            if isinstance(each, str):
                each = {"prompt": each}
            if not isinstance(each, dict):
                raise InputError(f"{path}, {here}: neither an object nor a text: one object a line is wanted")
            records.append((here, each))
    return records

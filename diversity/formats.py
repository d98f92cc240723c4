"""Files that hold samples, and the logs of other tools, each read into one table.

`read_frame` reads any table file as it is. `read_import` makes Samples of it: by column names (`table`), or by what a
tool is known to write. A log's rows keep their order: sample k is the k-th output of its prompt.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from glob import glob
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Any

import polars as pl

from diversity.errors import InputError, UnknownName
from diversity.tables import LINE, SAMPLES_OPTIONAL, SAMPLES_REQUIRED, Samples, read_json_lines, read_parquet

Row = dict[str, Any]
# What a reader yields: an output, or None for a sample that the tool asked for and did not get.
Rows = Iterator[Row | None]

ALIASES: dict[str, tuple[str, ...]] = {
    "output": ("completion", "response", "generation", "text", "solution", "prediction", "generated_text", "answer"),
    "prompt": ("instruction", "question", "input", "query", "problem", "full_prompt"),
    "prompt_id": ("task_id", "question_id", "custom_id", "doc_id", "id", "uid", "name"),
    "checkpoint": ("model", "generator", "model_name", "model_id"),
    "sample_index": ("sample_id", "completion_id", "sample_idx", "epoch"),
    "domain": ("task", "category", "dataset"),
    "temperature": ("temp",),
    "max_tokens": ("max_new_tokens", "max_completion_tokens"),
    "output_tokens": ("n_tokens", "completion_tokens", "num_tokens"),
    "log_probability": ("cumulative_logprob", "sum_logprob", "sum_logprobs"),
    "finish_reason": ("stop_reason",),
    "valid": ("passed",),
}
LISTS = ("outputs", "completions", "responses", "generations", "samples", "texts", "predictions")


def prompt_name(text: str) -> str:
    """A prompt's id where it has none: the hash of its text, the same in every file."""
    return f"p-{blake2b(text.encode('utf-8', 'replace'), digest_size=5).hexdigest()}"


# Files


def read_frame(source: str | Path, *, flat: bool = False) -> pl.DataFrame:
    """Read a table file as it is.

    Parameters
    ----------
    source : str or Path
        .jsonl, .json, .csv, .tsv, .parquet or .arrow, the first four also as .gz or .zst; a folder that
        `datasets` saved; a pattern (`runs/*.jsonl`) of such files, in the order of their names; or `-`, JSON lines
        from standard input.
    flat : bool
        Refuse lists and objects in our columns by the line they stand in, and keep the lines' numbers.

    Raises
    ------
    InputError
        There is no such file, or it is not what its name says.
    """
    if str(source) == "-":
        frames = [read_json_lines("standard input", sys.stdin.buffer, flat=flat)]
    else:
        frames = [_read_one(path, flat) for path in expand(source)]
    if flat and len(frames) == 1:
        return frames[0]
    return pl.concat([f.drop(LINE, strict=False) for f in frames], how="diagonal_relaxed")


def expand(source: str | Path) -> list[Path]:
    """Files that a path or a pattern names; raises `InputError` when there are none."""
    path = Path(source)
    try:
        if path.exists() or not re.search(r"[*?\[]", str(source)):
            return [path]
    except OSError:  # a name no file can have; the reader says so
        return [path]
    found = sorted(Path(p) for p in glob(str(source), recursive=True))  # noqa: PTH207 - it may be absolute
    if not found:
        raise InputError(f"{str(source)[:200]}: no file has such a name: check the pattern")
    return found


def _read_one(path: Path, flat: bool) -> pl.DataFrame:
    try:
        if path.is_dir():
            return _read_datasets_folder(path)
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty: sample again, or check the export")
        suffixes = [s.lower() for s in path.suffixes]
        packed = suffixes.pop() if suffixes and suffixes[-1] in {".gz", ".zst"} else ""
        kind = suffixes[-1] if suffixes else "no suffix"
        if kind == ".parquet":
            return read_parquet(path)[0]
        if kind not in {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".arrow"} or (packed and kind == ".arrow"):
            raise InputError(
                f"{path}: cannot read '{kind}{packed}': give .parquet, .jsonl, .json, .csv or a store folder"
            )
        if kind == ".arrow":
            return _read_arrow(path)
        with _unpacked(path, packed) as stream:
            if kind in {".jsonl", ".ndjson"}:
                return read_json_lines(path, stream, flat=flat)
            return _read_csv(path, stream.read(), kind) if kind in {".csv", ".tsv"} else _read_json(path, stream.read())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file: check the path") from None
    except (OSError, EOFError, zlib.error, _zstd().ZstdError) as error:
        reason = getattr(error, "strerror", None) or str(error)[:80]
        raise InputError(f"{str(path)[:200]}: cannot be read ({reason}): check the path") from None


def _unpacked(path: Path, packed: str) -> IO[bytes]:
    if packed == ".gz":
        return gzip.GzipFile(path)  # type: ignore[return-value]
    if packed == ".zst":
        return _zstd().open(path)  # type: ignore[no-any-return]
    return path.open("rb")


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _read_csv(path: Path, content: bytes, kind: str) -> pl.DataFrame:
    """All as text: an id of 007 stays one. The schema makes numbers of what must be."""
    try:
        frame = pl.read_csv(content, infer_schema=False, separator="\t" if kind == ".tsv" else ",")
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a readable {kind[1:]} file ({reason}): write it again") from None
    # An empty field is an empty text where a text stands, and nothing elsewhere.
    texts = [c for c in frame.columns if c in {"output", *ALIASES["output"]}]
    return frame.with_columns(pl.col(texts).fill_null(""))


def _read_json(path: Path, content: bytes) -> pl.DataFrame:
    try:
        rows = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({str(error)[:80]}): mend it; JSON lines are named .jsonl") from None
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise InputError(f"{path}: not a list of objects: give one object an output")
    return frame_of(rows, str(path))


def frame_of(rows: list[Row], where: str) -> pl.DataFrame:
    """Put rows into a frame; raises `InputError` where they do not form one."""
    if not rows:
        raise InputError(f"{where}: there are no rows: sample first, or check the path")
    lines = b"\n".join(json.dumps(row).encode() for row in rows)
    return read_json_lines(where, io.BytesIO(lines)).drop(LINE)


def _read_arrow(path: Path) -> pl.DataFrame:
    try:
        try:
            return pl.read_ipc_stream(path)  # what `datasets` writes
        except pl.exceptions.PolarsError:
            return pl.read_ipc(path)
    except FileNotFoundError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a readable arrow file ({reason}): write it again") from None


def _read_datasets_folder(folder: Path) -> pl.DataFrame:
    """A folder of `Dataset.save_to_disk`: its arrow files, in the order that state.json gives."""
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(p.parent.name for p in folder.glob("*/state.json"))
        if len(splits) != 1:
            raise InputError(f"{folder}: holds the splits {', '.join(splits)}: give the folder of one")
        folder = folder / splits[0]
    state = folder / "state.json"
    if not state.is_file():
        raise InputError(f"{folder}: a folder, but no sample store and no saved dataset: give a file in it")
    try:
        files = [folder / Path(f["filename"]).name for f in json.loads(state.read_text("utf-8"))["_data_files"]]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{state}: is damaged: save the dataset again") from None
    if not files:
        raise InputError(f"{folder}: there are no rows: sample first, or check the path")
    return pl.concat([_read_arrow(file) for file in files])


# From a file to Samples


def read_import(
    name: str,
    source: str | Path,
    *,
    domain: str | None = None,
    checkpoint: str | None = None,
    columns: Mapping[str, str] | None = None,
    prompts_from: str | Path | None = None,
    drop_empty: bool = False,
) -> Samples:
    """Read a log as Samples.

    Samples that the tool asked for and did not get (errors) are left out, warned of, and counted in the provenance.

    Parameters
    ----------
    name : str
        One of `FORMATS`, or `table`: columns by their known names.
    source : str or Path
        A file, a folder, a pattern, or `-`.
    domain, checkpoint : str, optional
        What to write where the log does not say; by default the format's usual domain, and the file's name.
    columns : mapping, optional
        For `table`: the file's column -> ours, before the known names are tried.
    prompts_from : path, optional
        Where the prompts stand, for logs that hold only their ids: the input file of an OpenAI batch, or a table with
        ids and prompts.
    drop_empty : bool
        Leave out rows without an output; else they are refused.

    Raises
    ------
    InputError, UnknownName
    """
    if name not in FORMATS and name != "table":
        raise UnknownName("format", name, [*FORMATS, "table"])
    if columns and name != "table":
        raise InputError(f"columns are mapped for the format table only: '{name}' knows its own")
    label = "stdin" if str(source) == "-" else Path(source).name.split(".")[0] or "imported"
    failed: list[str] = []
    if name == "table":
        frame = _named(read_frame(source), dict(columns or {}), str(source))
        usual = "text"
    else:
        reader, usual = FORMATS[name]
        frame = pl.concat(list(_frames(reader, source, failed)), how="diagonal_relaxed")
    imported: dict[str, Any] = {"format": name, "file": Path(source).name}
    if failed:
        imported["failed"] = len(failed)
        where = ", ".join(dict.fromkeys(failed))[:160]
        warnings.warn(
            f"{where}: {len(failed)} of {len(failed) + frame.height} samples ended in an error and are left out: run "
            "them again, or see that both checkpoints lack the same",
            UserWarning,
            stacklevel=3,
        )
    if prompts_from is not None:
        frame = _with_prompts(frame, prompts_from, str(source))
        imported["prompts"] = Path(prompts_from).name
    frame = _filled(frame, domain or usual, domain, checkpoint or label, checkpoint, str(source))
    missing = frame["output"].is_null()
    if missing.any():
        rows = ", ".join(str(i) for i in missing.arg_true().head(3))
        if not drop_empty:
            raise InputError(f"{source}: {missing.sum()} rows have no output (rows {rows} …): mend or drop them")
        frame = frame.filter(~missing)
    return Samples.of(_numbered(frame), {"imported": imported}, where=str(source))


def _with_prompts(frame: pl.DataFrame, source: str | Path, where: str) -> pl.DataFrame:
    """Join the prompts of another file by their ids.

    Requests of a batch that ask the same are samples of one prompt, whatever their own ids: it takes the first's.
    """
    if "prompt_id" not in frame.columns or "prompt" in frame.columns:
        held = "holds prompts itself" if "prompt" in frame.columns else "holds no ids to find prompts by"
        raise InputError(f"{where}: {held}: leave out --prompts-from")
    asked = _asked_prompts(source).unique(maintain_order=True)
    if asked["prompt_id"].is_duplicated().any():
        first = asked.filter(pl.col("prompt_id").is_duplicated())["prompt_id"][0]
        raise InputError(f"{source}: the id '{first[:40]}' has two prompts: give each prompt an id of its own")
    unknown = sorted(set(frame["prompt_id"]) - set(asked["prompt_id"]))
    if unknown:
        raise InputError(
            f"{source}: has no prompt of the id '{unknown[0][:40]}' ({len(unknown)} are missing): give the file that "
            f"{where} was made from"
        )
    silent = asked.filter(~pl.col("prompt_id").is_in(frame["prompt_id"].unique().to_list()))["prompt_id"]
    if len(silent):
        warnings.warn(
            f"{where}: {len(silent)} of {asked.height} prompts of {source} have no output (the first: "
            f"'{silent[0][:40]}'): the errors of a batch stand in a file of their own",
            UserWarning,
            stacklevel=4,
        )
    asked = asked.with_columns(first=pl.col("prompt_id").first().over("prompt"))
    joined = frame.join(asked, on="prompt_id", how="left", maintain_order="left")
    return joined.with_columns(prompt_id=pl.col("first")).drop("first")


def _asked_prompts(source: str | Path) -> pl.DataFrame:
    """Ids and prompts of a batch's input file, or of a table that has both."""
    requests = [row for path in expand(source) if ".jsonl" in path.suffixes for row in _guarded(_requests, path)]
    frame = pl.DataFrame(requests) if requests else read_frame(source)
    for ours, what in (("prompt_id", "ids"), ("prompt", "prompts")):
        found = next((n for n in (ours, *ALIASES[ours]) if n in frame.columns), None)
        if found is None:
            known = ", ".join(frame.columns)[:160]
            raise InputError(f"{source}: no column of {what} (it has: {known}): name them prompt_id and prompt")
        frame = frame.rename({found: ours})
    return frame.select("prompt_id", "prompt").cast(pl.String)


def _requests(path: Path) -> Rows:
    """Prompts of a batch's input file; none where it is not one."""
    for line in _lines(path):
        if "custom_id" not in line or "body" not in line:
            return
        body = line["body"]
        asked = body.get("messages") or body.get("prompt") or body["input"]
        yield {"prompt_id": _batch_id(line["custom_id"]), "prompt": _spoken(asked)}


def _named(frame: pl.DataFrame, columns: dict[str, str], where: str) -> pl.DataFrame:
    """Give the columns our names: the ones that are mapped, then known aliases; a list of outputs becomes rows."""
    for theirs, ours in columns.items():
        if theirs not in frame.columns:
            known = ", ".join(frame.columns)[:160]
            raise InputError(f"{where}: --map names the column '{theirs[:40]}', and there is none (it has: {known})")
        if ours not in SAMPLES_REQUIRED | SAMPLES_OPTIONAL:
            known = ", ".join(SAMPLES_REQUIRED | SAMPLES_OPTIONAL)
            raise InputError(f"--map gives '{ours[:40]}', which is no column of Samples: {known}")
        if ours != theirs:
            frame = frame.drop(ours, strict=False).rename({theirs: ours})
    for ours, names in ALIASES.items():
        found = next((n for n in (*names, *(LISTS if ours == "output" else ())) if n in frame.columns), None)
        if ours not in frame.columns and found:
            frame = frame.rename({found: ours})
    if "output" not in frame.columns:
        if {"chosen", "rejected"} <= set(frame.columns):
            raise InputError(f"{where}: a preference set, not the outputs of one checkpoint: sample the checkpoints")
        known = ", ".join(frame.columns)[:160]
        raise InputError(f"{where}: no column of outputs (it has: {known}): name it with --map COLUMN=output")
    if isinstance(frame.schema["output"], pl.List):
        inner = frame.schema["output"].inner
        if isinstance(inner, pl.Struct) and "text" in {f.name for f in inner.fields}:  # vLLM's outputs
            frame = frame.with_columns(pl.col("output").list.eval(pl.element().struct.field("text")))
            inner = pl.String()
        if inner != pl.String():
            raise InputError(f"{where}: the column of outputs holds lists of {inner}: give lists of texts")
        frame = frame.drop("sample_index", strict=False).explode("output")
    return frame


def _filled(
    frame: pl.DataFrame, domain: str, own_domain: str | None, label: str, own_label: str | None, where: str
) -> pl.DataFrame:
    """Fill what the log does not say: checkpoint, domain, prompt ids. What the user says goes before the log."""
    if own_domain or "domain" not in frame.columns:
        frame = frame.with_columns(domain=pl.lit(domain))
    if own_label or "checkpoint" not in frame.columns:
        frame = frame.with_columns(checkpoint=pl.lit(label))
    if "prompt_id" in frame.columns:
        return frame
    if "prompt" not in frame.columns:
        raise InputError(f"{where}: neither prompts nor ids, so no two outputs can be told to answer the same: --map")
    texts = frame["prompt"].unique()
    if texts.dtype != pl.String():
        raise InputError(f"{where}: 'prompt' is {str(texts.dtype)[:60]}, not text: name another column with --map")
    names = {text: prompt_name(text or "") for text in texts.to_list()}
    return frame.with_columns(prompt_id=pl.col("prompt").replace_strict(names, return_dtype=pl.String))


def _numbered(frame: pl.DataFrame) -> pl.DataFrame:
    """Number the outputs of each prompt in the order of the file, unless the log numbers them itself."""
    key = ["checkpoint", "domain", "prompt_id"]
    if "sample_index" in frame.columns:
        return frame
    place = pl.int_range(pl.len(), dtype=pl.Int32).over(key)
    return frame.with_columns(sample_index=place)


def _frames(reader: Callable[[Path], Rows], source: str | Path, failed: list[str]) -> Iterator[pl.DataFrame]:
    """Rows of all files, as frames of some thousands: dicts take many times the memory.

    `failed` gets the file's name for each sample that failed.
    """
    schema = {k: v for k, v in (SAMPLES_REQUIRED | SAMPLES_OPTIONAL).items() if k != "sample_index"}
    found = False
    for path in expand(source):
        rows = _guarded(reader, path)
        while read := list(islice(rows, 20_000)):
            chunk = [{k: _utf8(v) for k, v in row.items()} for row in read if row is not None]
            failed += [str(path)] * (len(read) - len(chunk))
            if not chunk:
                continue
            found = True
            names = {k for row in chunk for k in row}
            known = {k: v for k, v in schema.items() if k in names}
            try:
                yield pl.DataFrame(chunk, schema_overrides=known, infer_schema_length=None)
            except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
                reason = " ".join(str(error).split())[:120]
                raise InputError(f"{path}: the rows do not form a table ({reason}): check the file") from None
    if not found:
        lost = f" ({len(failed)} samples ended in an error)" if failed else ""
        raise InputError(f"{source}: there are no outputs in it{lost}: check the file")


def _utf8(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _guarded(reader: Callable[[Path], Rows], path: Path) -> Rows:
    """Say which file is not what it should be; the readers take a log's form for granted."""
    try:
        yield from reader(path)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file: check the path") from None
    except (KeyError, TypeError, IndexError, AttributeError, StopIteration, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not in the form that this tool writes ({type(error).__name__} {str(error)[:60]}): check the "
            "format's name"
        ) from None
    except (OSError, EOFError, zlib.error, _zstd().ZstdError) as error:
        reason = getattr(error, "strerror", None) or str(error)[:80]
        raise InputError(f"{path}: cannot be read ({reason}): check the path") from None


# What other tools write. One function a tool: path -> rows.


def _lines(path: Path) -> Iterator[Row]:
    """Objects of a JSON lines file, packed or not."""
    with _unpacked(path, path.suffix.lower() if path.suffix.lower() in {".gz", ".zst"} else "") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8", "replace"))
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number}: not JSON ({str(error)[:80]}): mend or drop it") from None
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: a {type(row).__name__}, not an object: check the file")
            yield row


def _object(path: Path) -> Any:
    with _unpacked(path, path.suffix.lower() if path.suffix.lower() in {".gz", ".zst"} else "") as stream:
        try:
            return json.loads(stream.read().decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not JSON ({str(error)[:80]}): check the file") from None


def lm_eval(path: Path) -> Rows:
    """`samples_TASK_DATE.jsonl` of lm-evaluation-harness, run with --log_samples.

    A line is written for every filter, with the same responses: the first filter's are taken. `filtered_resps` may
    have been cut to one answer and is never used. The model's name stands in results_DATE.json beside it.
    """
    results = sorted(path.parent.glob("results_*.json"))
    # Several runs write into one folder; the date is the same in both names.
    own = [r for r in results if path.name.removesuffix(".jsonl").endswith(r.stem.removeprefix("results"))]
    model = _object((own or results)[-1]).get("model_name") if results else None
    first: dict[Any, str] = {}
    for line in _lines(path):
        if first.setdefault(line["doc_id"], str(line.get("filter"))) != str(line.get("filter")):
            continue
        asked = line["arguments"]
        # Before 0.4.5 the arguments were a list of lists.
        asked, how = asked["gen_args_0"].values() if isinstance(asked, dict) else asked[0]
        if not all(isinstance(r, str) for r in line["resps"][0]):
            raise InputError(
                f"{path}: a multiple-choice task, whose responses are likelihoods: sample with a text task"
            )
        for output in line["resps"][0]:
            row = {"prompt_id": str(line.get("doc_hash") or line["doc_id"]), "prompt": asked, "output": output}
            yield row | _settings(how) | ({"checkpoint": model} if model else {})


CAPS = ("max_tokens", "max_gen_toks", "max_new_tokens", "max_completion_tokens", "max_output_tokens")


def _settings(given: Row) -> Row:
    """Decoding settings as far as a log tells them; the tools share their names."""
    found = {ours: given[ours] for ours in ("temperature", "top_p") if isinstance(given.get(ours), int | float)}
    caps = [given[name] for name in CAPS if isinstance(given.get(name), int)]
    return found | ({"max_tokens": caps[0]} if caps else {})


def inspect_ai(path: Path) -> Rows:
    """Logs of inspect_ai, `.json` or `.eval`. Samples that ended in an error are left out."""
    head, samples = _inspect_archive(path) if zipfile.is_zipfile(path) else _inspect_json(path)
    if head.get("status") not in {"success", "started", None}:
        raise InputError(f"{path}: the run ended with '{head['status']}': run it to its end")
    # Those of the command line go before those of the task.
    told = [(head.get("plan") or {}).get("config"), head["eval"].get("model_generate_config")]
    settings = _settings({k: v for one in told for k, v in (one or {}).items() if v is not None})
    for sample in samples:
        output = sample.get("output") or {}
        choices = output.get("choices") or []
        if sample.get("error") or not choices:
            yield None
            continue
        prompt = _spoken(sample["input"])
        attached = sample.get("attachments") or {}
        used = (output.get("usage") or {}).get("output_tokens")
        for choice in choices:
            text = _joined(choice["message"]["content"])
            yield settings | {
                "checkpoint": head["eval"]["model"],
                "prompt_id": str(sample["id"]),
                "prompt": _attached(prompt, attached),
                "output": _attached(text, attached),
                "output_tokens": used if len(choices) == 1 else None,  # of several only the sum is told
                "finish_reason": {"max_tokens": "length"}.get(choice.get("stop_reason"), choice.get("stop_reason")),
            }


def _inspect_json(path: Path) -> tuple[Row, Iterable[Row]]:
    log = _object(path)
    return log, sorted(log.get("samples") or [], key=lambda sample: sample["epoch"])


def _inspect_archive(path: Path) -> tuple[Row, Iterable[Row]]:
    archive = zipfile.ZipFile(path)
    members = {m.filename: m for m in archive.infolist()}
    start = members.get("header.json") or members["_journal/start.json"]  # the latter while it runs
    # Samples in the order of their epochs, which are the samples of a prompt.
    names = sorted((n for n in members if n.startswith("samples/")), key=lambda n: (_epoch(n), n))
    return json.loads(_member(path, archive, start)), (
        json.loads(_member(path, archive, members[name])) for name in names
    )


def _epoch(name: str) -> int:
    found = re.search(r"_epoch_(\d+)\.json$", name)
    return int(found[1]) if found else 0


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type != 93:
        return archive.read(member)
    # Zstandard, which inspect_ai writes since 0.3.206 and zipfile reads from Python 3.14 on.
    with path.open("rb") as stream:
        stream.seek(member.header_offset + 26)
        name, extra = (int.from_bytes(stream.read(2), "little") for _ in range(2))
        stream.seek(name + extra, io.SEEK_CUR)
        return bytes(_zstd().decompress(stream.read(member.compress_size)))


def _joined(content: Any) -> str:
    """Text of a message; its other parts (reasoning, images) are no output."""
    if isinstance(content, list):
        return "".join(p.get("text") or "" for p in content if p.get("type") in {"text", "output_text"})
    return content or ""


def _attached(text: str, attachments: Mapping[str, str]) -> str:
    """Long texts are kept apart and named by their hash."""
    return re.sub(r"attachment://(\w+)", lambda m: attachments.get(m[1], m[0]), text)


def lighteval(path: Path) -> Rows:
    """`details_TASK_DATE.parquet` of lighteval; its path names the model."""
    frame, _ = read_parquet(path)
    # .../details/OWNER/MODEL/DATE/details_*.parquet
    parts = path.resolve().parts
    model = "/".join(parts[parts.index("details") + 1 : -2]) if "details" in parts[:-1] else None
    for row in frame.iter_rows(named=True):
        if "predictions" in row:  # before 0.8
            prompt, texts, own = row["full_prompt"], row["predictions"], None
            texts = json.loads(texts.replace("'", '"')) if isinstance(texts, str) else texts
        else:
            doc, said = (row.get(n) or row[f"__{n}__"] for n in ("doc", "model_response"))
            prompt, own = doc["query"], doc.get("id")
            texts = said.get("text_post_processed") or said["text"]
        for text in texts:
            found = {"prompt_id": str(own or prompt_name(prompt)), "prompt": prompt, "output": text}
            yield found | ({"checkpoint": model} if model else {})


def human_eval(path: Path) -> Rows:
    """Samples of HumanEval or EvalPlus: `samples.jsonl`, its results, or a folder of programs.

    A `solution` is a whole program; a `completion` goes on where the task's prompt ends. Files of before and after
    sanitising differ in diversity: compare like with like.
    """
    if path.is_dir():
        for file in sorted(path.glob("*/*.py"), key=lambda f: (f.parent.name, _number(f.stem))):
            yield {
                "prompt_id": re.sub(r"_(\d+)$", r"/\1", file.parent.name),
                "output": file.read_text("utf-8", "replace"),
            }
        return
    if path.suffix == ".json":
        for task, tried in _object(path)["eval"].items():
            for one in tried:
                passed = all(one.get(k) in {"pass", None} for k in ("base_status", "plus_status"))
                yield {"prompt_id": task, "output": one["solution"], "valid": passed}
        return
    for line in _lines(path):
        output = line["solution"] if "solution" in line else line["completion"]
        found = {"prompt_id": line["task_id"], "output": output}
        yield found | ({"valid": line["passed"]} if "passed" in line else {})


def _number(stem: str) -> int:
    return int(stem) if stem.isdigit() else 0


def alpaca_eval(path: Path) -> Rows:
    """`model_outputs.json` of AlpacaEval: one output a prompt a file; several files are several samples."""
    for row in _object(path):
        prompt = row["instruction"]
        yield {
            "checkpoint": row["generator"],
            "prompt_id": prompt_name(prompt),
            "prompt": prompt,
            "output": row["output"],
        }


def openai_batch(path: Path) -> Rows:
    """Output of OpenAI's batch interface, or of vLLM's run_batch.

    Samples of a prompt are the choices of one request, or requests whose `custom_id` differs in a number after `#`.
    """
    for line in _lines(path):
        response = line.get("response") or {}
        if line.get("error") or (response.get("status_code") or 200) >= 400:
            yield None
            continue
        body = response["body"]
        if "choices" in body:
            found = [(_choice(c), c.get("finish_reason")) for c in body["choices"]]
        else:  # the responses interface
            cut = (body.get("incomplete_details") or {}).get("reason") == "max_output_tokens"
            said = [_joined(part["content"]) for part in body["output"] if part.get("type") == "message"]
            found = [("".join(said), "length" if cut else "stop")]
        usage = body.get("usage") or {}
        used = usage.get("completion_tokens", usage.get("output_tokens"))
        for output, reason in found:
            yield {
                "checkpoint": body["model"],
                "prompt_id": _batch_id(line["custom_id"]),
                "output": output,
                "output_tokens": used if len(found) == 1 else None,  # of several only the sum is told
                "finish_reason": reason,
            }


def _batch_id(own: str) -> str:
    return re.sub(r"#\d+$", "", own)


def _choice(choice: Row) -> str | None:
    if "text" in choice:
        return str(choice["text"])
    message = choice["message"]
    return _joined(message.get("content")) or message.get("refusal")


def trl(path: Path) -> Rows:
    """Completion tables of TRL's GRPO and RLOO trainers: each step is a checkpoint, `RUN@STEP`.

    Every step has other prompts, unless the set is gone through again.
    """
    frame, _ = read_parquet(path)
    folder = path.resolve().parent
    run = folder.parent.name if folder.name == "completions" else folder.name
    for row in frame.iter_rows(named=True):
        prompt = (
            row["prompt"] if isinstance(row["prompt"], str) else "\n".join(_joined(m["content"]) for m in row["prompt"])
        )
        said = row["completion"]
        output = said if isinstance(said, str) else "".join(_joined(m["content"]) for m in said)
        yield {
            "checkpoint": f"{run}@{row['step']}",
            "prompt_id": prompt_name(prompt),
            "prompt": prompt,
            "output": output,
        }


def _spoken(value: Any) -> str:
    """A text, or the texts of messages."""
    return value if isinstance(value, str) else "\n".join(_joined(message["content"]) for message in value)


def vllm(path: Path) -> Rows:
    """Dumped `RequestOutput`s of vLLM's offline engine, JSON lines."""
    for line in _lines(path):
        prompt = line.get("prompt")
        for one in line["outputs"]:
            yield {
                "prompt_id": prompt_name(prompt) if prompt else str(line["request_id"]),
                "prompt": prompt,
                "output": one["text"],
                "output_tokens": len(one["token_ids"]) if one.get("token_ids") else None,
                "finish_reason": one.get("finish_reason"),
            }


# Name -> reader, and the domain that such outputs belong to as a rule.
FORMATS: dict[str, tuple[Callable[[Path], Rows], str]] = {
    "alpaca-eval": (alpaca_eval, "text"),
    "evalplus": (human_eval, "code"),
    "human-eval": (human_eval, "code"),
    "inspect": (inspect_ai, "text"),
    "lighteval": (lighteval, "text"),
    "lm-eval": (lm_eval, "text"),
    "openai-batch": (openai_batch, "text"),
    "trl": (trl, "text"),
    "vllm": (vllm, "text"),
}

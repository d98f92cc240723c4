"""Prompt sets from files, for any domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diversity.domain import FRAME_STOP, Domain, Prompt
from diversity.errors import InputError
from diversity.sampling import FRAME_END

TEXT = ("prompt", "instruction", "question", "input", "query", "text", "problem")
ID = ("prompt_id", "id", "task_id", "question_id", "name", "key")


def read_prompts(path: str | Path, domain: Domain) -> tuple[Prompt, ...]:
    """Read a prompt set.

    Parameters
    ----------
    path : str or Path
        JSON lines, JSON, CSV or parquet with a column of prompts (`prompt`, or one of its aliases) and perhaps
        one of ids; or plain text, a prompt a line. A prompt without an id is named by the hash of its text, so
        that its draws do not depend on its place in the file.
    domain : Domain
        Reads each record: its own file's other columns (checks, a form) may stand in this one too.

    Raises
    ------
    InputError
        There is no such file, it holds no prompts, or two prompts share an id or a text.
    """
    records = _records(Path(path))
    found: dict[str, Prompt] = {}
    texts: dict[str, str] = {}
    for place, record in enumerate(records, 1):
        try:
            prompt = _read(domain, record)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}, prompt {place}: domain '{domain.name}' cannot read it ({str(error)[:80]}): "
                f"see the columns of its own prompt file, or use the domain text"
            ) from None
        for what, seen, key in (("id", found, prompt.prompt_id), ("text", texts, prompt.prompt)):
            if key in seen:
                raise InputError(f"{path}, prompt {place}: its {what} {key[:40]!r} is there twice: drop one of them")
        found[prompt.prompt_id] = prompt
        texts[prompt.prompt] = prompt.prompt_id
    return tuple(found.values())


def read_exemplars(path: str | Path) -> tuple[tuple[str, str], ...]:
    """Read few-shot exemplars.

    Parameters
    ----------
    path : str or Path
        JSON lines, JSON, CSV or parquet with a column of prompts and one of outputs, each by its known names.

    Returns
    -------
    tuple of (prompt, output), in the order of the file

    Raises
    ------
    InputError
        There is no such file, or a row lacks one of the two, or an output holds the mark that ends an exemplar.
    """
    from diversity.formats import ALIASES, read_frame

    frame = read_frame(path)
    questions, answers = [name for name in TEXT if name != "text"], ("output", *ALIASES["output"])
    asked, said = (next((c for c in names if c in frame.columns), None) for names in (questions, answers))
    if asked is None or said is None:
        known = ", ".join(frame.columns)[:120]
        raise InputError(f"{path}: an exemplar is a prompt and an output (columns: {known}): name them so")
    pairs = []
    for place, pair in enumerate(frame.select(asked, said).iter_rows(), 1):
        if not all(isinstance(text, str) and text.strip() for text in pair):
            raise InputError(f"{path}, exemplar {place}: its prompt or its output is empty: mend it, or drop the row")
        if FRAME_END.search(pair[1]):
            raise InputError(
                f"{path}, exemplar {place}: a line of its output is '{FRAME_STOP}' or begins with 'Request: ', where "
                "an answer is cut: write another"
            )
        pairs.append((pair[0].strip(), pair[1].strip("\n")))
    return tuple(pairs)


def _read(domain: Domain, record: dict[str, Any]) -> Prompt:
    try:
        return domain.read_prompt(record)
    except KeyError:
        # The domain builds its prompts from columns of its own; a finished text needs none of them.
        if "prompt" not in record:
            raise
        return Domain.read_prompt(domain, record)


def _records(path: Path) -> list[dict[str, Any]]:
    from diversity.formats import prompt_name, read_frame

    if path.suffix.lower() == ".txt":
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise InputError(f"{path}: cannot be read ({reason}): check the file") from None
        rows: list[dict[str, Any]] = [{"prompt": line.strip()} for line in lines if line.strip()]
    else:
        rows = [{k: v for k, v in row.items() if v is not None} for row in read_frame(path).to_dicts()]
    if not rows:
        raise InputError(f"{path}: there are no prompts in it: check the file")
    columns = list(dict.fromkeys(c for row in rows for c in row))
    text, named = (next((c for c in names if c in columns), None) for names in (TEXT, ID))
    records = []
    for place, row in enumerate(rows, 1):
        # A domain may build the text from columns of its own; then there is an id and no text.
        value = row.get(text) if text else None
        if value is None and named is None:
            known = ", ".join(columns)[:120]
            raise InputError(f"{path}, prompt {place}: no prompt in it (columns: {known}): name the column 'prompt'")
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise InputError(f"{path}, prompt {place}: '{text}' is not a text: mend it, or drop the row")
        rest = {k: v for k, v in row.items() if k not in {text, named}}
        own = row.get(named) if named else None
        shown = {} if value is None else {"prompt": value}
        records.append({**rest, **shown, "prompt_id": str(own) if own is not None else prompt_name(str(value))})
    return records

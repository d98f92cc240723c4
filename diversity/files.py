"""Writing results: a file is there whole or not at all."""

from pathlib import Path


def written(text: str, path: str | Path | None) -> str:
    """Return a text, and write it where a path is given: a killed run leaves the old file or the new one.

    Lone surrogates, which no file can hold, are written as "?".
    """
    if path is not None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8", errors="replace")
        part.replace(path)
    return text

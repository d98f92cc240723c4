"""Run the notebooks and keep what they print: python docs/notebooks.py, from the root of the repository.

A notebook here is text, python and what it printed, nothing else; so no kernel is needed to run it.
"""

from __future__ import annotations

import ast
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).with_name("notebooks")


def paths() -> list[Path]:
    """All notebooks, in order."""
    return sorted(FOLDER.glob("*.ipynb"))


def run(path: Path) -> dict[str, Any]:
    """Run a notebook from its first cell to its last in an empty folder; return it with what its cells print."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    with TemporaryDirectory() as folder, chdir(folder):
        for number, cell in enumerate((c for c in notebook["cells"] if c["cell_type"] == "code"), 1):
            cell["execution_count"] = number
            cell["outputs"] = _printed("".join(cell["source"]), f"{path.name}, cell {number}", names, number)
    return notebook


def _printed(source: str, where: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """What a cell prints, and the value of its last line."""
    body = ast.parse(source, where).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    with redirect_stdout(io.StringIO()) as stream:
        exec(compile(ast.Module(body, []), where, "exec"), names)  # noqa: S102 - our own notebooks
        value = eval(compile(ast.Expression(last.value), where, "eval"), names) if last else None  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if stream.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(stream.getvalue())})
    if value is not None:
        data = {"text/plain": _lines(repr(value))}
        outputs.append({"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data})
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def pages() -> Iterator[tuple[str, str]]:
    """Name and text of a page a notebook, and of the page that lists them."""
    for path in paths():
        parts = []
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"])
            parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
            for output in cell.get("outputs", []):
                shown = "".join(output.get("text") or output["data"]["text/plain"]).rstrip("\n")
                parts.append(f"~~~~~~text\n{shown}\n~~~~~~")
        yield path.stem, "\n\n".join(parts) + "\n"
    names = "\n".join(path.stem for path in paths())
    yield "index", f"# Notebooks\n\nIn `docs/notebooks/`; the tests run them.\n\n```{{toctree}}\n\n{names}\n```\n"


if __name__ == "__main__":
    os.environ["POLARS_FMT_MAX_COLS"] = "12"
    sys.path.insert(0, str(FOLDER.parents[1]))
    for each in paths():
        each.write_text(json.dumps(run(each), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

"""The examples of docs/designs.md, run as they stand."""

import contextlib
import io
import os
import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from diversity.cli import commands
from diversity.registry import find_domain

PAGE = (Path(__file__).parents[1] / "docs" / "designs.md").read_text(encoding="utf-8")


class Letters:
    """Stands in for the embedding model, which no figure of the page needs."""

    name, fingerprint, signature = "letters", "000000", "emb:letters#000000|win:1"

    def encode(self, texts, on_progress=None):
        import numpy as np

        rows = np.array([[t.count(chr(97 + i)) + 0.01 for i in range(26)] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def recorded(tmp_path, make_samples):
    """The two recorded checkpoints that the last example draws from."""
    ids = [p.prompt_id for p in find_domain("story").prompts[:40]]
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    for name, texts in (("pre", [f"{a} {b} went home" for a in words for b in words]), ("post", ["all went home"])):
        made = make_samples(texts, checkpoint=name, prompts=ids, n=6)
        made.write(tmp_path / f"{name}.parquet")
    return tmp_path


def test_the_examples_run_and_print_what_the_page_says(recorded, monkeypatch):
    from diversity.embedding import Embedder

    monkeypatch.setattr(Embedder, "load", classmethod(lambda cls, name=None: Letters()))
    monkeypatch.chdir(recorded)
    space = {}
    printed = []
    for language, block in re.findall(r"```(python|text)\n(.*?)```", PAGE, re.DOTALL):
        if language == "python":
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown):
                exec(compile(block, "docs/designs.md", "exec"), space)
            printed.append(shown.getvalue())
        else:
            assert printed[-1].split() == block.split()
    assert "narrowed" in printed[2]
    assert "narrowed" in printed[4]
    assert isinstance(space["found"].verdicts(), pl.DataFrame)


@pytest.mark.parametrize("line", re.findall(r"^diversity (?:compare|factorial|sample) .*$", PAGE, re.MULTILINE))
def test_the_commands_of_the_page_are_understood(line):
    name, *arguments = shlex.split(line)[1:]
    command = commands.commands[name]
    with contextlib.suppress(FileNotFoundError):
        command.make_context(name, arguments, resilient_parsing=False)
    assert os.sep in line

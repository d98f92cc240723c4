"""Readers and extractors on made-up input: an answer or one error of ours, never another exception.

A bounded run; `make fuzz` runs the same bodies for longer, under atheris where it is installed.
"""

import gzip
import io
import json
import os
import re
import tempfile
from functools import cache
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from diversity.errors import DiversityError
from diversity.formats import FORMATS
from diversity.registry import domains, find_domain
from diversity.store import Store
from diversity.tables import read_samples, read_table

RUNS = int(os.environ.get("DIVERSITY_FUZZ_RUNS", "40"))
BOUNDED = settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=40)
NAMES = st.sampled_from(
    re.findall(
        r"\w+",
        """checkpoint domain prompt_id sample_index output outputs prompt completion model task_id generator instruction
        resps filtered_resps doc doc_id arguments target samples epoch id input messages choices content role response
        body custom_id error solution valid quality temperature finish_reason full_prompt predictions text metrics""",
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | ANY_TEXT, inner, max_size=5),
    max_leaves=12,
)
ROWS = st.lists(st.dictionaries(NAMES, JSON, max_size=7) | JSON, min_size=1, max_size=4)
SUFFIXES = [".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz", ".jsonl.zst", ".arrow", ".eval", ".txt"]


def read_anything(content: bytes, suffix: str, format_: str | None) -> None:
    """Read a file that holds anything."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"samples{suffix}"
        path.write_bytes(content)
        try:
            if format_ is None:
                read_table(path)
            else:
                read_samples(path, format_, domain="text")
        except DiversityError as error:
            _is_one_line(error)


def _is_one_line(error):
    assert len(str(error).splitlines()) == 1
    assert len(str(error)) < 1500


@BOUNDED
@example(content=b"\x0b", suffix=".csv", format_=None)  # found here: a column's name broke the line of an error
@given(content=st.binary(max_size=200), suffix=st.sampled_from(SUFFIXES), format_=st.sampled_from([None, *FORMATS]))
def test_any_bytes(content, suffix, format_):
    read_anything(content, suffix, format_)


@BOUNDED
@given(rows=ROWS, form=st.sampled_from(["lines", "list", "gzip"]), format_=st.sampled_from([None, *FORMATS]))
def test_any_rows(rows, form, format_):
    if form == "list":
        read_anything(json.dumps(rows).encode(), ".json", format_)
        return
    content = "\n".join(map(json.dumps, rows)).encode()
    read_anything(
        gzip.compress(content) if form == "gzip" else content, ".jsonl.gz" if form == "gzip" else ".jsonl", format_
    )


@BOUNDED
@given(place=st.floats(0, 1), new=st.binary(min_size=1, max_size=8))
def test_a_parquet_file_with_other_bytes_in_it(place, new):
    content = bytearray(_parquet())
    start = int(place * (len(content) - 1))
    content[start : start + len(new)] = new
    read_anything(bytes(content), ".parquet", None)


@cache
def _parquet():
    row = {"checkpoint": "a", "domain": "story", "prompt_id": "p", "output": "words " * 9, "prompt": "a question"}
    file = io.BytesIO()
    pl.DataFrame([{**row, "sample_index": i} for i in range(9)]).write_parquet(file)
    return file.getvalue()


@BOUNDED
@given(content=st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_manifest_of_a_store(content):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_bytes(content)
        try:
            Store.open(folder).samples()
        except DiversityError as error:
            _is_one_line(error)


FENCED = st.lists(
    ANY_TEXT
    | st.sampled_from(
        ["```", "```python\n", "\n```\n", "<think>", "</think>", "def f(x):\n    return x", "User:", "1. ", "#"]
    ),
    max_size=8,
).map("".join)


@BOUNDED
@given(output=FENCED)
def test_every_domain_finds_some_answer_in_any_output(output):
    for name in domains():
        domain = find_domain(name)
        prompt = domain.prompts[0] if domain.prompts else None
        answer = domain.answer(output)
        assert isinstance(answer, str)
        assert all(isinstance(value, bool) for value in domain.flags(output, answer, prompt).values())
        quality = domain.quality(answer, prompt)
        assert quality is None or 0 <= quality <= 1
        domain.behaviour(answer, prompt)
        domain.is_valid(answer, prompt)

"""The examples of docs/faithfulness.md and docs/merging.md, run as they stand."""

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["faithfulness", "merging"])
def test_the_examples_run_and_print_what_the_page_says(page):
    if page == "merging":
        pytest.importorskip("torch")
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", text, re.DOTALL)
    assert found
    for block, printed in found:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(compile(block, f"docs/{page}.md", "exec"), {})
        assert shown.getvalue().strip() == printed.strip()

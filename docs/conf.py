"""The site: every page of docs/, a page a metric and a domain from what they say of themselves, and the notebooks.

Built by `make docs` into build/site; a warning is an error.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import make_metrics_page
import notebooks

from diversity import __version__
from diversity.cli import _shown
from diversity.examples import worked
from diversity.registry import domains, metrics

project = "diversity-shift"
author = "the diversity-shift authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"diversity-shift {version}"
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
napoleon_google_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings tell them in words

GENERATED = HERE / "generated"


def metric_pages() -> Iterator[tuple[str, str]]:
    """Name and text of a page a metric, and of the page that lists them by family."""
    families: dict[str, list[str]] = {}
    for family, members in make_metrics_page.families().items():
        families[make_metrics_page.TITLES.get(family, family)] = [m.name for m in members]
    told = {name for names in families.values() for name in names}
    families["Across prompts"] = [name for name in metrics() if name not in told]
    index = ["# Every metric", "A page a metric, by family; [all on one page](../../metrics.md)."]
    for title, names in families.items():
        index += [f"## {title}", "\n".join(f"- [{name}]({name}.md): {metrics()[name].summary}" for name in names)]
        for name in names:
            card = "\n".join(make_metrics_page.card(metrics()[name])).replace(f"### {name}", f"# {name}", 1)
            if formula := make_metrics_page.DEFINED.get(name):
                card += f"\nDefined here: {formula}".replace("](", "](../../")
            shown = fenced("\n".join(worked(metrics()[name])))
            # In the sidebar of every page 300 names would be 300 times 300 lines.
            yield (
                name,
                f"---\norphan: true\n---\n\n{card}\n\n`diversity metrics {name}` says the same, and\n\n{shown}\n",
            )
    yield "index", "\n\n".join(index) + "\n"


def domain_pages() -> Iterator[tuple[str, str]]:
    """Name and text of a page a domain, and of the page that lists them."""
    for name, domain in domains().items():
        doc = (type(domain).__doc__ or name).strip()
        yield name, f"# {name}\n\n{doc}\n\n`diversity domains {name}` prints\n\n{fenced(_shown(domain))}\n"
    intro = (
        "What each asks, how it is rendered and extracted, and what it rewards; [how they are made](../../domains.md)."
    )
    yield "index", f"# Every domain\n\n{intro}\n\n{tree(domains())}"


def fenced(text: str) -> str:
    """A block of text as it stands, whatever signs are in it."""
    return f"~~~~~~text\n{text}\n~~~~~~"


def tree(names: Any) -> str:
    """A table of contents."""
    return "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(names) + "\n```\n"


def generate() -> None:
    """Write the pages that are made anew with every build."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    for kind, pages in (("metrics", metric_pages()), ("domains", domain_pages()), ("notebooks", notebooks.pages())):
        (GENERATED / kind).mkdir(parents=True)
        for name, text in pages:
            (GENERATED / kind / f"{name}.md").write_text(text, encoding="utf-8")


def adapt(_app: Any, docname: str, source: list[str]) -> None:
    """Unlink what lies outside docs/, and list pages that index.md does not name: a new page needs no change there."""
    if not docname.startswith("generated/"):
        source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", source[0])
    if docname == "index":
        named = source[0].splitlines()
        rest = sorted(p.stem for p in HERE.glob("*.md") if p.stem != "index" and p.stem not in named)
        source[0] += f"\n```{{toctree}}\n:caption: Further\n:hidden:\n\n{chr(10).join(rest)}\n```\n" if rest else ""


def setup(app: Any) -> None:
    """Called by Sphinx."""
    generate()
    app.connect("source-read", adapt)

"""The pages of the site: links, commands and notebooks; the whole of it built, strictly, in the slow run."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
GENERATED = {"metrics", "domains", "notebooks"}


def module(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


notebooks = module("notebooks")


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda p: p.stem)
def test_a_notebook_runs_and_prints_what_it_shows(path, monkeypatch):
    from diversity import registry

    registry.metrics()
    monkeypatch.setattr(registry, "_metrics", dict(registry._metrics))
    monkeypatch.setattr(registry, "_domains", dict(registry._domains))
    kept = json.loads(path.read_text(encoding="utf-8"))
    again = notebooks.run(path)
    shown, printed = ([c.get("outputs") for c in n["cells"]] for n in (kept, again))
    assert printed == shown, "run docs/notebooks.py and look at what changed"


def test_notebooks_become_pages_with_their_outputs():
    pages = dict(notebooks.pages())
    assert set(pages) == {"index", *(p.stem for p in notebooks.paths())}
    assert "```python\nimport random" in pages["01_first_shift"]
    assert "~~~~~~text\nlexical: of 16, " in pages["01_first_shift"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_of_a_page_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        path = (page.parent / target).resolve() if target else page
        if "generated" in target:
            kind, name = Path(target).parts[1:]
            assert kind in GENERATED
            assert name == "index.md" or (DOCS / "notebooks" / name).with_suffix(".ipynb").exists()
            continue
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_command_of_a_page_exists_with_the_options_shown(page):
    from diversity.cli import commands

    blocks = "\n".join(re.findall(r"```(?:console|bash)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    for name, arguments in re.findall(r"^diversity (\w+)(.*)$", blocks, re.MULTILINE):
        known = {option for p in commands.commands[name].params for option in (*p.opts, *p.secondary_opts)}
        assert set(re.findall(r"(?<=\s)--?[a-z][\w-]*", arguments)) <= known


def test_the_metrics_named_on_the_page_about_choosing_are_there():
    from diversity.registry import metrics

    table = re.findall(r"^\| .*\|$", (DOCS / "choosing.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"`([a-z]\w*(?:\.\w+)?)`", "\n".join(table)))
    assert named - set(metrics()) == set()
    assert len(named) > 10


def test_what_is_cited_is_this_version():
    import diversity

    for path in (ROOT / "CITATION.cff", DOCS / "cite.md", ROOT / "CHANGELOG.md"):
        assert diversity.__version__ in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "effective number of 16" in (tmp_path / "generated/metrics/lexical.similarity.html").read_text("utf-8")
    assert "Write a" in (tmp_path / "generated/domains/story.html").read_text("utf-8")
    api = (tmp_path / "api.html").read_text("utf-8")
    assert all(f'id="diversity.{name}"' in api for name in ("compare", "sample", "DiversityCallback"))

"""The domain in the documentation is one that works, in twenty lines or so."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

import diversity
from diversity import registry

DOCS = Path(__file__).parents[2] / "docs" / "domains.md"


@pytest.fixture
def slogan(tmp_path, monkeypatch):
    """The documented domain as a module of its own, with its prompts beside it."""
    source = re.search(r"<!-- executed by tests/domains/test_docs.py -->\n```python\n(.*?)```", DOCS.read_text(), re.S)[
        1
    ]
    (tmp_path / "slogans.py").write_text(source)
    (tmp_path / "slogan.jsonl").write_text(
        '{"prompt_id": "slogan-001", "prompt": "A slogan for a baker.", "shop": "baker"}\n'
    )
    registry.domains()
    monkeypatch.setattr(registry, "_domains", dict(registry._domains))
    spec = importlib.util.spec_from_file_location("slogans", tmp_path / "slogans.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "slogans", module)
    spec.loader.exec_module(module)
    return source


def test_documented_domain_is_short_and_renders_extracts_and_judges(slogan):
    domain = registry.find_domain("slogan")
    prompt = domain.by_id["slogan-001"]
    code = [line for line in re.search(r"class .*", slogan, re.S)[0].split("\n") if line.strip()]

    assert len(code) <= 20
    assert "Request: A slogan for a baker.\nAnswer:\n" in domain.frame(prompt, 0, 0)
    assert domain.answer('"Rise with us."\nUser: Thanks') == "Rise with us."
    assert domain.is_valid("Rise with us.", prompt)
    assert not domain.is_valid("Bread", prompt)


def test_documented_domain_is_scored_with_its_quality(slogan, make_samples):
    texts = ["Rise with us.", "Crumbs worth keeping.", "Bread", '"Our dough, your day."']
    samples = make_samples(texts, domain="slogan", prompts=["slogan-001"], n=8)

    scores = diversity.score(samples, metrics=["lexical", "valid"]).frame

    assert scores.filter(scores["metric"] == "valid")["value"][0] < 1
    assert set(scores["domain"]) == {"slogan"}

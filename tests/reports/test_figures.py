"""Single figures, the notebook's view, the methods section, the model card and the schema."""

import importlib.util
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from diversity.errors import UnknownName
from diversity.registry import metrics
from diversity.reports import methods
from diversity.shift import Shift

MakeShift = Callable[..., Shift]
SVG = "{http://www.w3.org/2000/svg}"


def test_every_figure_is_a_file_of_svg_that_stands_alone(make_shift: MakeShift, tmp_path: Path) -> None:
    plot = make_shift().plot
    drawn = [plot.forest(tmp_path / "forest.svg"), plot.slopes(), plot.distribution("story", "lexical"), plot.length()]

    assert (tmp_path / "forest.svg").read_text(encoding="utf-8") == drawn[0]
    for text in drawn:
        root = ET.fromstring(text)  # noqa: S314 - made here
        assert root.tag == f"{SVG}svg"
        assert root.find(f"{SVG}style") is not None
        assert not re.search(r"var\(|url\(|href|<script", text)


def test_the_forest_names_domains_facets_and_stages(make_shift: MakeShift) -> None:
    words = " ".join(ET.fromstring(make_shift().plot.forest()).itertext())  # noqa: S314

    for said in ("story", "meaning (primary)  −31 % (−38 to −23)", "stage sft before, post after", "margin ±10 %"):
        assert said in words


def test_a_distribution_counts_every_prompt(make_shift: MakeShift) -> None:
    titles = re.findall(r"<title>(\d+) between", make_shift().plot.distribution("story", "semantic"))

    assert sum(map(int, titles)) == 24


def test_a_figure_of_an_unknown_domain_is_refused(make_shift: MakeShift) -> None:
    with pytest.raises(UnknownName, match=r"unknown domain of this shift 'poems': .*Known: code, story"):
        make_shift().plot.slopes("poems")
    with pytest.raises(UnknownName, match="unknown facet of domain story 'functional'"):
        make_shift().plot.slopes("story", "functional")


def test_a_notebook_shows_sentences_and_an_image(make_shift: MakeShift, hostile_shift: Shift) -> None:
    assert "effectively 6.1 differed in meaning before tuning and 4.2 after" in make_shift()._repr_html_()
    shown = hostile_shift._repr_html_()
    assert set(re.findall(r"<(\w+)", shown)) <= {"div", "h3", "p", "img"}
    assert re.findall(r'src="([^,"]*),', shown) == ["data:image/svg+xml;base64"]


def test_the_methods_section_is_written_from_the_settings(make_shift: MakeShift) -> None:
    told = " ".join(methods.paragraphs(make_shift()))

    for said in (
        "tiny-base (stage sft) (pre)",
        "story (24 prompts, 768 outputs)",
        "temperature 1, top-p 1, at most 256 tokens, seed 0",
        "material margin of 10 %",
        "seed 0",
        "emb:all-MiniLM-L6-v2#8b3219",
        "valid answers only, equal length",
    ):
        assert said in told


def test_the_bibliography_has_what_was_measured_and_no_more(make_shift: MakeShift) -> None:
    found = methods.bibtex(make_shift())

    assert set(re.findall(r"@\w+\{([^,]+),", found)) >= {"leinster2012", "holm1979", "zhu2018", "reimers2019"}
    assert "kynkaanniemi2019" not in found
    assert found.count("{") == found.count("}")


def test_every_source_with_a_year_has_a_reference() -> None:
    missing = [
        m.source
        for m in metrics().values()
        if re.search(r"\b(?:19|20)\d\d\b(?!\.)", m.source) and not methods.keys(m.source)
    ]

    assert missing == []


def test_a_model_card_begins_with_metadata_that_yaml_reads(make_shift: MakeShift, hostile_shift: Shift) -> None:
    for shift in (make_shift(), hostile_shift):
        _, front, body = shift.to_model_card().split("---\n", 2)
        (model,) = yaml.safe_load(front)["model-index"]
        for result in model["results"]:
            assert set(result) == {"task", "dataset", "metrics"}
            assert all({"type", "name", "value"} <= set(metric) for metric in result["metrics"])
        assert not re.search(r"<\w|javascript:", body)
    (model,) = yaml.safe_load(make_shift().to_model_card().split("---\n")[1])["model-index"]
    assert model["name"] == "tiny-tuned"
    story = model["results"][1]["metrics"][0]
    assert (story["value"], story["args"]["interval_low"], story["args"]["verdict"]) == (-31.2, -38.3, "narrowed")


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads(files("diversity").joinpath("shift.schema.json").read_text(encoding="utf-8"))


def test_the_published_schema_is_that_of_the_tables(schema: Any) -> None:
    place = Path(__file__).parents[2] / "docs" / "make_schema.py"
    spec = importlib.util.spec_from_file_location("make_schema", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.schema() == schema


def test_a_result_keeps_the_schema_and_a_broken_one_does_not(schema: Any, make_shift: MakeShift) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install jsonschema")
    validator = jsonschema.Draft202012Validator(schema)
    record = json.loads(make_shift().to_json())

    assert list(validator.iter_errors(record)) == []
    record["verdicts"][0]["verdict"] = "better"
    del record["shift"][0]["metric"]
    assert len(list(validator.iter_errors(record))) == 2

"""The audit of a pair made to have hidden costs: what it says, and that it says no more than that."""

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from diversity.audit import Audit, audit
from diversity.cli import commands
from diversity.embedding import Embedder
from diversity.errors import InputError, MissingExtra
from diversity.registry import find_domain
from diversity.signature import parse
from diversity.tables import Samples

N = 4
STORIES = (
    "The keeper lit his lamp and wrote home.",
    "Nine grey ships came in with the rain.",
    "No dog barked that night.",
)


def made(name, seed, *, right, sure, complies, template):
    """Samples of a checkpoint with given habits: how often it is right, whether it repeats itself, keeps to forms."""
    rng = np.random.default_rng(seed)
    rows = []

    def add(domain, prompt_id, k, output):
        rows.append({"checkpoint": name, "domain": domain, "prompt_id": prompt_id, "sample_index": k, "output": output})

    for prompt in find_domain("factual").prompts[:24]:
        fixed = rng.random() < right
        for k in range(N):
            is_right = fixed if sure else rng.random() < right
            # A checkpoint that is unsure gives another wrong answer each time.
            add(
                "factual",
                prompt.prompt_id,
                k,
                prompt.details["answer"] if is_right else f"Blorp{'' if sure else 'abcdefgh'[k]}",
            )
    forms = {"familiar", "removed", "reversed"}
    for prompt in [p for p in find_domain("variants").prompts[:72] if p.details["form"] in forms]:
        solves = prompt.details["form"] == "familiar" or not template
        for k in range(N):
            route = STORIES[0] if template else STORIES[rng.integers(3)]
            answer = prompt.details["answer"] if solves and rng.random() < 0.9 else "-1"
            add("variants", prompt.prompt_id, k, f"{route}\nAnswer: {answer}")
    for prompt in find_domain("formats").prompts[:24]:
        for k in range(N):
            kept = {"one-word": "Word", "json": '{"answer": "a", "reason": "b"}', "bullets": "- a b\n- c d"}
            told = kept.get(prompt.details["form"], "A plain sentence it is.")
            add("formats", prompt.prompt_id, k, told if rng.random() < complies else "**No**\n# form at all")
    return Samples.of(pl.DataFrame(rows, schema_overrides={"sample_index": pl.Int32}))


@pytest.fixture(scope="module", autouse=True)
def no_embedding_model():
    """The semantic facet takes a model that other tests load; these probes do not read it."""
    with pytest.MonkeyPatch.context() as patch:

        def missing(*_):
            raise MissingExtra("no embedding model")

        patch.setattr(Embedder, "load", missing)
        yield


@pytest.fixture(scope="module")
def sides():
    return (
        made("base", 1, right=0.5, sure=False, complies=0.8, template=False),
        made("tuned", 2, right=0.5, sure=True, complies=0.2, template=True),
    )


@pytest.fixture(scope="module")
def found(sides):
    return audit(*sides, tuned="variants")


def cell(found, probe, measure, domain):
    (only,) = (c for c in found.cells if c.probe == probe and c.measure == measure and c.domain == domain)
    return only


def test_each_hidden_cost_that_was_built_in_is_found(found):
    assert cell(found, "calibration", "over-confidence", "factual").verdict == "confidently wrong"
    assert cell(found, "transfer", "drop from familiar to variant", "variants").verdict == "template"
    lost = cell(found, "formats", "compliance with the form asked for", "formats")
    assert (lost.verdict, lost.cost, lost.place) == ("less flexible", True, "outside")


def test_domains_are_told_apart_by_what_was_tuned(found):
    assert {c.domain for c in found.cells if c.place == "tuned"} == {"variants"}
    with pytest.raises(InputError, match="no domain is named"):
        audit(pl.DataFrame(), pl.DataFrame(), tuned=())


def test_every_cell_says_from_what_it_can_be_computed_again(found):
    signed = [parse(cell.signature) for cell in found.cells if cell.probe != "faithfulness"]
    assert len(signed) > 20
    assert {"probe.calibration", "probe.transfer", "lexical.effective", "valid"} <= {s["metric"] for s in signed}


def test_the_same_checkpoint_twice_has_no_cost(sides):
    again = made("other", 3, right=0.5, sure=False, complies=0.8, template=False)
    null = audit(sides[0], again, tuned="variants")
    leading = {"over-confidence", "drop from familiar to variant", "compliance with the form asked for"}

    assert [c for c in null.cells if c.measure in leading and c.cost] == []


def test_the_report_leads_with_a_table_in_plain_words_and_reads_back(found, tmp_path):
    text = found.to_markdown(tmp_path / "audit.md")
    back = Audit.read(tmp_path / "audit.json") if found.to_json(tmp_path / "audit.json") else None

    assert back.to_markdown() == text
    assert text.startswith("## What tuning gave and what it took")
    assert text.index("### Probe by domain") < text.index("### Do more outputs pass")
    assert "confidently wrong" in text
    page = found.to_html()
    assert "<script" not in page
    assert "What tuning gave and what it took" in page


def test_names_of_checkpoints_are_escaped(found):
    from dataclasses import replace

    hostile = replace(found, pre="<img src=x>|`a`")

    assert "<img" not in hostile.to_html()
    assert "<img" not in hostile.to_markdown()


def test_the_command_writes_the_reports(sides, tmp_path):
    for name, side in zip(("pre", "post"), sides, strict=True):
        kept = side.frame.filter(pl.col("domain") == "factual")
        Samples.of(kept).write(tmp_path / f"{name}.parquet")
    result = CliRunner().invoke(
        commands,
        [
            *("audit", str(tmp_path / "pre.parquet"), str(tmp_path / "post.parquet"), "--tuned", "factual"),
            *("--out", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html")),
        ],
    )

    assert result.exit_code == 0, result.output
    assert "confidently wrong" in result.output
    assert json.loads((tmp_path / "a.json").read_text())["tuned"] == ["factual"]


def test_the_report_of_a_comparison_has_the_probes_as_a_section(found):
    page = found.shift.to_html()

    assert '<section id="hidden"' in page
    assert 'id="gate"' not in page
    assert "What else tuning gave and took" in page
    assert "confidently wrong" in page
    assert "by semantic entropy: AUROC of confidence" in page
    # Four prompts of a form are too few to tell.
    assert "cannot tell" in page
    from dataclasses import replace

    from diversity.reports.audit import section

    assert section(replace(found.shift, probes=[])) is None


def test_a_plain_comparison_finds_them_and_keeps_their_measures_out_of_its_panel(sides):
    from diversity.shift import Shift, compare

    kept = [Samples.of(s.frame.filter(pl.col("domain") == "factual")) for s in sides]
    shift = compare(*kept, conditions=["all"])
    (told,) = (p for p in shift.probes if p["measure"] == "over-confidence")

    assert (told["verdict"], told["place"], told["key"]) == ("confidently wrong", "", "overconfidence")
    assert "overconfidence" not in set(shift.frame["metric"])
    assert Shift.from_dict(json.loads(shift.to_json())).probes == shift.probes


def test_the_report_of_a_gate_begins_with_its_table(found, tmp_path):
    from diversity.gate import check

    limits = {"overconfidence": {"max_rise": 0.05}, "ece_token": {"max": 0.5}}
    policy = {"domains": {"factual": {"probes": limits}, "variants": {"probes": {"transfer_drop": {"max_rise": 0.1}}}}}
    from dataclasses import replace

    hostile = {**found.shift.probes[0], "domain": "<img src=x>", "why": "<b>"}
    gate = check(replace(found.shift, probes=[*found.shift.probes, hostile]), policy)
    page = gate.to_html(tmp_path / "gate.html")

    assert [f.outcome for f in gate.findings] == ["fail", "not measured", "fail"]
    assert page.index("The gate failed") < page.index("What happened</h2>")
    assert "over-confidence may rise by at most 5 points" in page
    assert "&lt;img src=x&gt;" in page
    assert "<img src" not in page
    assert (tmp_path / "gate.html").read_text() == page


def test_two_checkpoints_are_sampled_and_asked_for_their_chains(tiny_model, build_model, tmp_path):
    other = build_model(tmp_path / "other", seed=1)
    result = CliRunner().invoke(
        commands,
        [
            *("audit", str(tiny_model), str(other), "--tuned", "story", "-d", "factual", "--chains", "math"),
            *("--prompts", "2", "-n", "2", "--max-tokens", "6", "--keep", str(tmp_path / "kept")),
            *("--out", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html")),
        ],
    )

    assert result.exit_code == 0, result.output
    found = Audit.read(tmp_path / "a.json")
    assert {c.domain for c in found.cells} == {"story", "factual", "math"}
    # A model of random weights knows nothing and reasons about nothing: each probe says so, and none guesses.
    assert {c.verdict for c in found.cells} <= {"cannot tell", "undecided", "unchanged"}
    assert "chain of thought" in next(c.why for c in found.cells if c.probe == "faithfulness")
    assert set(found.settings["output_tokens"]) == {"story", "factual", "math"}
    assert (tmp_path / "kept" / "pre").is_dir()

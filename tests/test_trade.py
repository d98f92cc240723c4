"""Several ways of tuning one base: which gains, at which price, and which is beaten by another."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from diversity.audit import Audit, Cell
from diversity.cli import commands
from diversity.errors import InputError, NotComparable
from diversity.trade import trade


def cell(probe, measure, domain, place, shift, verdict="told"):
    return Cell(
        probe=probe,
        measure=measure,
        domain=domain,
        place=place,
        n=40,
        unit="share",
        pre=0.5,
        post=0.5 + shift,
        shift=shift,
        low=shift - 0.05,
        high=shift + 0.05,
        verdict=verdict,
    )


def way(gain, narrowing, unsure, *, base="base", flexible="told"):
    cells = (
        cell("quality", "valid outputs", "math", "tuned", gain),
        cell("diversity", "lexical, of 16 (primary)", "story", "outside", -narrowing),
        cell("calibration", "over-confidence", "factual", "outside", unsure),
        cell("formats", "compliance with the form asked for", "formats", "outside", -0.3, flexible),
        cell("calibration", "calibration error (ECE)", "factual", "outside", 0.9),
    )
    return Audit(pre=base, post="x", tuned=("math",), cells=cells, settings={})


LEXICAL, SURE = "diversity, lexical, of 16 in story", "calibration, over-confidence in factual"


@pytest.fixture
def found():
    return trade(
        {
            "gentle": way(0.2, 0.05, 0.02),
            "strong": way(0.3, 0.4, 0.2),
            "worse": way(0.2, 0.5, 0.3),
            "idle": way(0.01, 0.0, 0.0),
        }
    )


def test_the_way_that_costs_least_for_its_gain_is_named_for_each_cost(found):
    assert found.cheapest("math")[LEXICAL] == "gentle"
    assert found.cheapest("math")[SURE] == "gentle"
    assert set(found.cheapest("math")) == {LEXICAL, SURE, "formats, compliance with the form asked for in formats"}


def test_a_way_is_kept_unless_another_gains_as_much_for_less(found):
    assert found.undominated("math") == ["gentle", "strong"]


def test_a_way_whose_gain_may_be_chance_is_not_ranked(found):
    assert "idle" not in found.cheapest("math").values()
    alone = trade({"a": way(0.01, 0, 0), "b": way(0.02, 0, 0)})
    assert set(alone.cheapest("math").values()) == {None}
    assert "None can be said" in alone.to_markdown()


def test_a_cost_that_cannot_be_told_ranks_nothing():
    surface = trade({"a": way(0.2, 0.1, 0.1, flexible="cannot tell"), "b": way(0.2, 0.1, 0.1, flexible="cannot tell")})

    assert surface.cheapest("math")["formats, compliance with the form asked for in formats"] is None


def test_losses_are_positive_whatever_the_sign_of_the_measure(found):
    losses = {(p.way, p.cost): (p.loss, p.loss_low) for p in found.prices}

    assert losses["strong", LEXICAL] == (pytest.approx(0.4), pytest.approx(0.35))
    assert losses["strong", SURE] == (pytest.approx(0.2), pytest.approx(0.15))


def test_ways_of_other_bases_and_single_ways_are_refused():
    with pytest.raises(NotComparable, match="audits of one base"):
        trade({"a": way(0.2, 0, 0), "b": way(0.2, 0, 0, base="other")})
    with pytest.raises(InputError, match="two ways"):
        trade({"a": way(0.2, 0, 0)})


def test_the_page_holds_a_chart_a_cost_and_escapes_names(tmp_path):
    surface = trade({"<b>x</b>": way(0.2, 0.1, 0.1), "y": way(0.3, 0.4, 0.2)})
    page = surface.to_html()

    assert page.count("<svg") == 3
    assert "<b>x" not in page
    assert "<script" not in page


def test_the_command_reads_audits_by_name(tmp_path):
    for name, one in (("a", way(0.2, 0.1, 0.1)), ("b", way(0.3, 0.4, 0.2))):
        one.to_json(tmp_path / f"{name}.json")
    told = CliRunner().invoke(commands, ["trade", f"a={tmp_path / 'a.json'}", f"b={tmp_path / 'b.json'}"])
    wrong = CliRunner().invoke(commands, ["trade", str(tmp_path / "a.json")])

    assert told.exit_code == 0, told.output
    assert "No other way beats" in told.output
    assert isinstance(wrong.exception, InputError)


def test_what_a_way_spends_stands_beside_its_prices(tmp_path):

    long = replace(way(0.3, 0.4, 0.2), settings={"output_tokens": {"math": [40.0, 90.5]}})
    short = replace(way(0.2, 0.1, 0.1), settings={"output_tokens": {"math": [40.0, 41.0]}})
    found = trade({"long": long, "short": short}, {"short": {"steps": 200.0, "kind": "<b>rank 8"}})

    assert found.spent == {
        "long": {"tokens an output, math": 90.5},
        "short": {"tokens an output, math": 41.0, "steps": 200.0, "kind": "<b>rank 8"},
    }
    page = found.to_html()
    assert "What each way spends" in page
    assert "90.5" in page
    assert "<b>rank 8" not in page
    with pytest.raises(InputError, match="a label is of 'tall', which is no way"):
        trade({"long": long, "short": short}, {"tall": {"steps": 1}})

    for name, audit in (("long", long), ("short", short)):
        audit.to_json(tmp_path / f"{name}.json")
    given = [f"{name}={tmp_path / name}.json" for name in ("long", "short")]
    told = CliRunner().invoke(commands, ["trade", *given, "--label", "short:steps=200", "--json"])
    assert '"steps": 200.0' in told.output
    assert CliRunner().invoke(commands, ["trade", *given, "--label", "short=200"]).exit_code != 0


def test_the_least_price_is_called_undecided_unless_the_intervals_leave_no_other(found):
    surely = found.surely("math")

    # gentle: at most (0.05 + 0.05) / (0.2 - 0.05) a point; strong: at least (0.4 - 0.05) / (0.3 + 0.05).
    assert surely[LEXICAL]
    assert not surely[SURE]  # gentle may cost 0.07 / 0.15, strong as little as 0.15 / 0.35
    assert "cheaper by the intervals" in found.to_markdown()
    assert "undecided" in found.to_markdown()
    assert not any(trade({"a": way(0.01, 0, 0), "b": way(0.02, 0, 0)}).surely("math").values())


def test_a_cost_without_an_interval_decides_nothing():
    blurred = [
        Audit(
            pre="base",
            post="x",
            tuned=("math",),
            cells=tuple(replace(c, low=None, high=None) if c.probe == "diversity" else c for c in one.cells),
            settings={},
        )
        for one in (way(0.3, 0.05, 0.02), way(0.3, 0.6, 0.3))
    ]
    surface = trade({"a": blurred[0], "b": blurred[1]})

    assert surface.cheapest("math")[LEXICAL] == "a"
    assert not surface.surely("math")[LEXICAL]
    assert "<svg" in surface.to_html()


def test_faithfulness_is_a_cost_too():
    chains = cell("faithfulness", "answers that hang on the chain of thought", "math", "tuned", -0.3)
    audits = {name: replace(way(0.2, 0.1, 0.1), cells=(*way(0.2, 0.1, 0.1).cells, chains)) for name in "ab"}
    prices = [p for p in trade(audits).prices if p.cost.startswith("faithfulness")]

    assert [p.loss for p in prices] == [pytest.approx(0.3)] * 2


def test_the_chart_shows_the_intervals_of_gain_and_loss(found):
    page = found.to_html()

    assert page.count('class="whisker"') == 2 * sum(p.told for p in found.prices)


def test_labels_of_the_axes_do_not_lie_on_each_other():
    page = trade({"a": way(0.2, 0.37, 0.1), "b": way(0.3, 0.38, 0.2)}).to_html()
    lexical = page[page.index("<svg") : page.index("</svg>")]

    assert ">+38</text>" in lexical
    assert ">+37</text>" not in lexical

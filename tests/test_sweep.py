"""Temperature sweeps: the frontier, the temperature a shift amounts to, and what is refused."""

import math
import sys

import numpy as np
import polars as pl
import pytest

import diversity
from diversity.cli import main
from diversity.errors import InputError, NotComparable
from diversity.reports.sentences import equivalent_sentence
from diversity.shift import Shift
from diversity.sweep import equivalent
from diversity.tables import Samples

WORDS = [a + b for a in ("ba", "do", "ki", "lu", "me", "no") for b in ("ra", "sto", "lin", "ven", "mok", "da")]
PROMPTS = 14


def samples(checkpoint, temperature, seed, *, like=None, top_p=1.0):
    """Stories of words drawn by a law that is sharpened as by a temperature; `like` draws as if at another one."""
    rng = np.random.default_rng([seed, 7])
    rows = []
    for p in range(PROMPTS):
        law = np.random.default_rng(p).dirichlet(np.full(len(WORDS), 0.5)) ** (1 / (like or temperature))
        for k in range(8):
            text = " ".join(rng.choice(WORDS, 25, p=law / law.sum()))
            rows.append((checkpoint, "story", f"p{p:02}", k, text, temperature, top_p))
    names = ["checkpoint", "domain", "prompt_id", "sample_index", "output", "temperature", "top_p"]
    return pl.DataFrame(rows, schema=names, orient="row")


SWEEP = Samples.of(pl.concat([samples(f"base T={t:g}", t, i) for i, t in enumerate((0.3, 0.6, 1.5), 2)]))
PRE, POST = Samples.of(samples("base", 1.0, 0)), Samples.of(samples("tuned", 1.0, 1, like=0.6))


def compare(pre=PRE, post=POST, **options):
    return diversity.compare(pre, post, metrics=["lexical.similarity"], **options)


@pytest.fixture(scope="module")
def swept():
    return compare(sweep=SWEEP)


def test_the_temperature_that_post_was_drawn_at_is_found(swept):
    (found,) = swept.equivalents
    assert (found["domain"], found["facet"], found["at"], found["n_prompts"]) == ("story", "lexical", 1.0, PROMPTS)
    assert found["low"] < 0.6 < found["high"]
    assert found["temperature"] == pytest.approx(0.6, abs=0.1)
    assert found["outside"] is None
    assert (found["lowest"], found["highest"]) == (0.3, 1.5)


def test_the_frontier_has_both_sides_at_every_temperature_in_order(swept):
    points = [(p["side"], p["checkpoint"], p["temperature"]) for p in swept.frontier]
    assert points == [
        ("pre", "base T=0.3", 0.3),
        ("pre", "base T=0.6", 0.6),
        ("pre", "base", 1.0),
        ("pre", "base T=1.5", 1.5),
        ("post", "tuned", 1.0),
    ]
    effective = [p["effective"] for p in swept.frontier if p["side"] == "pre"]
    assert effective == sorted(effective)
    for p in swept.frontier:
        assert 1 <= p["low"] <= p["effective"] <= p["high"] <= 16
        assert 0 <= p["validity_low"] <= p["validity"] <= p["validity_high"] <= 1


def test_the_sides_are_as_diverse_on_the_frontier_as_in_the_verdict(swept):
    row = swept.verdicts().row(0, named=True)
    own = {p["checkpoint"]: p["effective"] for p in swept.frontier}
    assert (own["base"], own["tuned"]) == (pytest.approx(row["pre"]), pytest.approx(row["post"]))


def test_a_sweep_changes_nothing_of_the_comparison_and_comes_back_from_json(swept, tmp_path):
    assert compare().table().equals(swept.table())
    text = swept.to_json(tmp_path / "shift.json")
    back = Shift.read(tmp_path / "shift.json")
    assert back.to_json() == text
    assert (list(back.frontier), list(back.equivalents)) == (swept.frontier, swept.equivalents)


def test_without_a_sweep_there_is_neither():
    assert (compare().frontier, compare().equivalents) == ([], [])


def test_a_sweep_of_the_other_side_widens_the_frontier_alone():
    found = compare(sweep=[Samples.of(samples("tuned T=0.5", 0.5, 9))])
    assert [p["checkpoint"] for p in found.frontier] == ["base", "tuned T=0.5", "tuned"]
    assert found.equivalents == []


@pytest.mark.parametrize(
    ("frame", "refusal"),
    [
        (samples("other T=0.5", 0.5, 3), "neither of the two"),
        (samples("base T=0.5", 0.5, 3).drop("temperature"), "has no temperature"),
        (samples("base", 1.0, 3), "no other temperature"),
        (pl.concat([samples("base T=0.5", 0.5, 3), samples("base T=0.50", 0.5, 4)]), "at temperature 0.5 twice"),
    ],
)
def test_sweeps_that_cannot_be_placed_are_refused(frame, refusal):
    with pytest.raises(InputError, match=refusal):
        compare(sweep=Samples.of(frame))


def test_a_sweep_at_another_top_p_is_refused_unless_allowed():
    other = Samples.of(samples("base T=0.5", 0.5, 3, top_p=0.9))
    with pytest.raises(NotComparable, match=r"pre was sampled at top_p 1\.0, its sweep at 0\.9"):
        compare(sweep=other)
    assert len(compare(sweep=other, allow_settings_differ=True).frontier) == 3


def test_scores_have_no_outputs_to_measure_beside_a_sweep():
    scores = [diversity.score(s, metrics=["lexical.similarity"]) for s in (PRE, POST)]
    with pytest.raises(InputError, match="give Samples"):
        compare(*scores, sweep=SWEEP)


def test_the_command_takes_several_sweeps(monkeypatch, tmp_path, capsys):
    files = [s.write(tmp_path / f"{i}.parquet") for i, s in enumerate((PRE, POST, SWEEP))]
    more = Samples.of(samples("tuned T=0.5", 0.5, 9)).write(tmp_path / "more.parquet")
    command = ["compare", *files[:2], "--sweep", files[2], "--sweep", more, "-m", "lexical.similarity"]
    monkeypatch.setattr(sys, "argv", ["diversity", *map(str, command), "--out", str(tmp_path / "shift.json")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0, capsys.readouterr().err
    assert len(Shift.read(tmp_path / "shift.json").frontier) == 6


def similarity(rng, laws, temperature, n):
    """Pair means of class draws from laws at a temperature."""
    law = laws ** (1 / temperature)
    law /= law.sum(axis=1, keepdims=True)
    draws = (rng.random((len(laws), n))[:, :, None] > law.cumsum(axis=1)[:, None, :]).sum(axis=2)
    return ((draws[:, :, None] == draws[:, None, :]).sum((1, 2)) - n) / (n * (n - 1))


def drawn(rng, truth, prompts=30, n=8, temperatures=(0.3, 0.6, 1.0)):
    laws = rng.dirichlet(np.full(12, 0.5), prompts)
    pre = np.array([similarity(rng, laws, t, n) for t in temperatures])
    return equivalent(np.array(temperatures), pre, similarity(rng, laws, truth, n))


@pytest.mark.parametrize("truth", [0.4, 0.8])
def test_the_interval_of_the_temperature_covers_the_truth(truth):
    """95 % less three standard errors of 60 runs; an open end covers what lies beyond the sweep."""
    rng = np.random.default_rng(int(10 * truth))
    covered = 0
    for _ in range(60):
        found = drawn(rng, truth)
        covered += (found["low"] or 0) <= truth <= (found["high"] or math.inf)
    assert covered >= 60 * 0.95 - 3 * math.sqrt(60 * 0.05 * 0.95)


@pytest.mark.parametrize(("truth", "outside"), [(0.1, "below"), (4.0, "above")])
def test_a_temperature_outside_the_sweep_is_not_extrapolated(truth, outside):
    found = drawn(np.random.default_rng(3), truth, prompts=60, n=16)
    assert found == {"temperature": None, "low": None, "high": None, "outside": outside}


def test_a_sweep_that_is_not_monotone_is_made_so():
    """Equal means at two temperatures are one plateau; the answer lies where the curve crosses."""
    wobble = np.random.default_rng(0).normal(0, 0.01, 20)
    pre = np.array([[0.8], [0.5], [0.52], [0.2]]) + wobble
    found = equivalent(np.array([0.2, 0.5, 0.8, 1.1]), pre, np.full(20, 0.35) + wobble)
    assert 0.8 < found["temperature"] < 1.1


def test_the_temperature_is_told_in_a_sentence():
    row = {"facet": "semantic", "at": 1.0, "temperature": 0.553, "low": 0.48, "high": 0.6, "outside": None}
    row |= {"lowest": 0.2, "highest": 1.0}
    said = "In meaning, post at temperature 1 is as diverse as pre at temperature 0.55 (0.48 to 0.60)."
    assert equivalent_sentence(row) == said
    assert "(0.48 to above 1)" in equivalent_sentence(row | {"high": None})
    outside = row | {"temperature": None, "low": None, "high": None, "outside": "below"}
    assert equivalent_sentence(outside) == (
        "In meaning, post at temperature 1 is less diverse than pre at any temperature of the sweep, from 0.2 up."
    )
    assert "up to 1." in equivalent_sentence(outside | {"outside": "above"})

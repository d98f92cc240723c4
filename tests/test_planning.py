"""Planning: what a pilot says is needed is what simulation finds."""

import math

import numpy as np
import polars as pl
import pytest

import diversity
from diversity.errors import InputError, NotComparable
from diversity.planning import advice, detectable, needed, plan
from diversity.stats import log_ratio, pair_mean
from diversity.tables import SCORES, Scores

CLASSES = 12


def drawn(laws, n, rng):
    """Unbiased mean similarity and its standard error of n answers a prompt, each of a class."""
    found = []
    for law in laws:
        answers = rng.choice(CLASSES, size=n, p=law)
        found.append(pair_mean(np.equal.outer(answers, answers).astype(float)))
    return np.array(found).T


def worlds(rng, prompts, sharpening):
    """Answer laws of prompts before and after tuning that sharpens them."""
    before = rng.dirichlet(np.full(CLASSES, 0.5), prompts)
    after = before**sharpening
    return before, after / after.sum(axis=1, keepdims=True)


def scores(prompts, n, sharpening=1.0, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for name, laws in zip(("pre", "post"), worlds(rng, prompts, sharpening), strict=True):
        values, errors = drawn(laws, n, rng)
        rows += [
            [
                "x" if name == "post" else "a",
                "story",
                f"p{p:03}",
                "semantic.similarity",
                "semantic",
                "all",
                v,
                e,
                n,
                None,
            ]
            for p, (v, e) in enumerate(zip(values, errors, strict=True))
        ]
    return Scores.of(pl.DataFrame(rows, schema=pl.Schema(SCORES), orient="row"))


def test_needed_prompts_by_hand():
    # 7.85 times the variance over the squared shift, and two more for Student's t
    assert needed(0.04, 0.1, 0.80) == pytest.approx(7.85 * 4 + 2, abs=1)


def test_the_shift_that_is_detectable_with_the_needed_prompts_is_the_one_asked_for():
    assert detectable(0.04, needed(0.04, 0.1, 0.8), 0.8) == pytest.approx(0.1, rel=0.02)


def test_more_samples_need_fewer_prompts_and_never_less_than_what_lies_between_prompts():
    table = plan(scores(60, 8), shift=0.1)
    assert table["n"].to_list() == [4, 8, 16, 32, 64]
    assert table["prompts"].is_sorted(descending=True)
    assert table["between_prompts"].n_unique() == 1
    assert (table["outputs"] == table["n"] * table["prompts"]).all()


def test_the_plan_keeps_what_it_promises():
    """Power of the planned design, by simulation: 80 % wanted, 3 standard errors of 150 runs are 10 points."""
    rng = np.random.default_rng(5)
    # The true shift of this world, from laws of many prompts.
    before, after = worlds(rng, 20_000, 1.25)
    means = [(w**2).sum(axis=1).mean() for w in (before, after)]
    true = math.log1p(15 * means[0]) - math.log1p(15 * means[1])
    table = plan(scores(400, 16, 1.25, seed=1), shift=math.expm1(abs(true)), sizes=[16])
    prompts = table["prompts"][0]
    found = 0
    for _ in range(150):
        sides = [drawn(laws, 16, rng)[0] for laws in worlds(rng, prompts, 1.25)]
        low, high = log_ratio(*sides).interval
        found += high < 0 or low > 0
    assert 0.70 <= found / 150 <= 0.90


@pytest.mark.parametrize(
    ("options", "said"), [({"shift": 0}, "shift is 0"), ({"power": 1.2}, "power is 1.2"), ({"sizes": [1]}, "2 or more")]
)
def test_settings_out_of_range_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        plan(scores(12, 4), **options)


def test_a_pilot_of_few_prompts_or_of_one_checkpoint_is_refused():
    with pytest.raises(NotComparable, match="sample 10 prompts or more"):
        plan(scores(9, 4))
    one = scores(12, 4).frame.filter(pl.col("checkpoint") == "a")
    with pytest.raises(NotComparable, match="holds 1 checkpoints"):
        plan(Scores.of(one))


def test_the_advice_names_the_cheapest_design():
    table = plan(scores(60, 8), shift=0.2)
    least = table["outputs"].min()
    (line,) = advice(table)
    assert line.startswith("story semantic: ")
    assert f"({least:,} outputs a checkpoint)" in line


def test_plan_is_part_of_the_library():
    assert diversity.plan is plan


def test_the_command_plans_from_two_stores_or_one_file_of_scores(tmp_path, monkeypatch, capsys):
    import json
    import sys

    from diversity.cli import main

    pilot = scores(24, 8).write(tmp_path / "pilot.parquet")
    monkeypatch.setattr(
        sys, "argv", ["diversity", "plan", str(pilot), "--shift", "0.2", "-n", "8", "-n", "16", "--json"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    rows = json.loads(capsys.readouterr().out)
    assert not ended.value.code
    assert [row["n"] for row in rows] == [8, 16]

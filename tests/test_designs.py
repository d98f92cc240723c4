"""Trajectories, recipes and factorials: the same prompts, one family, and the way there and back through JSON."""

import json
import math

import numpy as np
import polars as pl
import pytest

import diversity
from diversity.contrasts import contrast, trend
from diversity.designs import Trajectory
from diversity.errors import InputError, NotComparable
from diversity.factorials import Factorial
from diversity.pooling import random_effects
from diversity.recipes import Recipe, pool
from diversity.stats import log_ratio
from diversity.tables import SCORES, Scores

PRE = np.array([0.38, 0.45, 0.29, 0.52, 0.34, 0.41, 0.27, 0.49])
POST = np.array([0.5, 0.48, 0.4, 0.51, 0.49, 0.53, 0.3, 0.6])


def scores(name, values, *, domain="story", facet="lexical", conditions=("all",), stage=None, **sampling):
    """Scores of one checkpoint, as `score` would give them for prompts of these similarities."""
    rows = [
        {
            "checkpoint": name,
            "domain": domain,
            "prompt_id": f"p{i:03}",
            "metric": f"{facet}.similarity",
            "facet": facet,
            "condition": condition,
            "value": None if value is None else float(value),
            "n": 8,
            "note": None,
        }
        for condition in conditions
        for i, value in enumerate(values)
    ]
    known = {"package": diversity.__version__, "sampling": {name: {"stage": stage, **sampling}}, "embedding": ""}
    return Scores.of(pl.DataFrame(rows, schema=pl.Schema(SCORES)), known)


def similar(level, *, prompts=30, seed=0, noise=0.03):
    """Similarities of prompts that differ, about a level; the same seed has the same prompts."""
    base = np.random.default_rng(1).normal(0, 0.08, prompts)
    return (level + base + np.random.default_rng([seed, 7]).normal(0, noise, prompts)).clip(0, 1)


@pytest.fixture(scope="module")
def stages():
    levels = {"base": 0.2, "sft": 0.3, "dpo": 0.45, "merged": 0.35}
    return [scores(f"m-{s}", similar(v, seed=i), stage=s) for i, (s, v) in enumerate(levels.items())]


@pytest.fixture(scope="module")
def found(stages):
    return diversity.trajectory(stages)


def test_a_contrast_of_two_is_the_log_ratio_of_the_pair():
    one, other = contrast(np.column_stack([PRE, POST]), (-1, 1)), log_ratio(PRE, POST)
    assert one.estimate == pytest.approx(-0.16482396317299175, abs=1e-12)
    assert one.se == pytest.approx(0.041959333255114833, abs=1e-12)
    for ends in ("interval", "interval90"):
        assert getattr(one, ends) == pytest.approx(getattr(other, ends), abs=1e-9)
    assert (one.pre, one.post) == pytest.approx((other.pre, other.post))


def test_the_slope_of_equal_steps_is_the_step_and_page_agrees():
    # D = 16 / (1 + 15 s) falls by the factor 0.8 from stage to stage.
    levels = [(16 / d - 1) / 15 for d in (8, 6.4, 5.12)]
    wobble = np.linspace(-0.01, 0.01, 20)[:, None]
    told = trend(np.array(levels)[None, :] + wobble)
    assert told.slope.estimate == pytest.approx(math.log(0.8), abs=1e-12)
    assert told.is_monotone
    assert told.spearman == pytest.approx(-1)
    # Every prompt ranks the stages 3, 2, 1: L = 20 (1·3 + 2·2 + 3·1).
    assert told.page_l == 200
    assert told.page_p < 1e-6


def test_each_stage_is_compared_with_the_first_and_with_the_one_before(found):
    rows = found.verdicts().select("reference", "reference_stage", "stage", "verdict").rows()
    assert rows == [
        ("first", "base", "sft", "narrowed"),
        ("first", "base", "dpo", "narrowed"),
        ("first", "base", "merged", "narrowed"),
        ("previous", "base", "sft", "narrowed"),
        ("previous", "sft", "dpo", "narrowed"),
        ("previous", "dpo", "merged", "widened"),
    ]
    assert found.stages == ["base", "sft", "dpo", "merged"]
    (row,) = found.trend.to_dicts()
    assert row["direction"] == "narrowing"
    assert not row["monotone"]


def test_holm_covers_every_comparison_and_the_trend_once(found):
    # Five different comparisons of one facet, and its trend.
    assert found.settings["family"] == 6
    p = found.verdicts()["p"].min()
    assert found.verdicts()["p_adjusted"].min() == pytest.approx(6 * p)
    assert found.against_first[0] is found.against_previous[0]


def test_a_direction_that_only_its_own_pair_bears_is_taken_back_in_the_family():
    weak = similar(0.3, seed=1, prompts=12, noise=0.05)
    shifted = weak + np.array([0.02, 0.03, -0.012, 0.04, 0.03, -0.012, 0.02, 0.05, -0.01, 0.03, 0.03, 0.02])
    sides = [scores("a", weak), scores("b", shifted), scores("c", weak), scores("d", weak)]
    alone = diversity.compare(*sides[:2], margin=0.01).verdicts().row(0, named=True)
    among = diversity.trajectory(sides, margin=0.01).against_first[0].verdicts().row(0, named=True)
    assert alone["verdict"] == "narrowed"
    assert among["p_adjusted"] > 0.05
    assert among["verdict"] == "inconclusive"
    assert among["runs"] == ""


def test_a_prompt_that_one_stage_has_no_score_for_counts_in_no_comparison(stages):
    values = [None, *similar(0.45, seed=2)[1:]]
    found = diversity.trajectory([stages[0], stages[1], scores("m-dpo", values, stage="dpo")])
    assert set(found.verdicts()["n_prompts"]) == {29}
    assert set(found.verdicts()["prompts_lost"]) == {1}


def test_two_checkpoints_of_one_stage_are_told_apart_by_name(stages):
    twice = [*stages[:2], scores("other", similar(0.4, seed=9), stage="sft")]
    assert diversity.trajectory(twice).stages == ["base", "sft (m-sft)", "sft (other)"]


def test_two_checkpoints_are_no_trajectory(stages):
    with pytest.raises(InputError, match="three or more"):
        diversity.trajectory(stages[:2])


def test_samples_of_stages_without_a_common_prompt_are_refused(make_samples):
    sides = [make_samples(["one", "two"], checkpoint=c, prompts=[c, "x" if c != "c" else "y"]) for c in "abc"]
    with pytest.raises(NotComparable, match="share no prompt"):
        diversity.trajectory(sides, metrics=["lexical.similarity"])


def test_samples_are_scored_once_and_show_their_texts(make_samples):
    texts = ["the red fox ran home", "a blue bird sang", "rain fell on tin roofs", "we ate plums", "no one came back"]
    sides = [
        make_samples(texts[:k], checkpoint="same", prompts=12, seed=k, prompt="Tell.", stage=s)
        for k, s in ((5, "base"), (3, "sft"), (2, "dpo"))
    ]
    scored = []
    found = diversity.trajectory(sides, metrics=["lexical.similarity"], progress=lambda what, *_: scored.append(what))
    assert found.names == ["same (1)", "same (2)", "same (3)"]
    # Three checkpoints under three conditions, a prompt at a time: 12 calls, not 12 for each of the three pairs.
    assert scored.count("score") == 12
    assert found.against_first[1].prompts[0]["prompt"] == "Tell."
    assert set(found.against_previous[1].examples[0]["pre"]) <= set(texts)


def test_random_effects_give_the_worked_values():
    y, v = np.array([-0.12, -0.05, -0.2, 0.02]), np.array([0.0016, 0.0025, 0.0036, 0.0009])
    found = random_effects(y, v, method="DL")
    assert found.tau2 == pytest.approx(0.007143791358505256, abs=1e-12)
    assert found.mean == pytest.approx(-0.0804619464007467, abs=1e-12)
    assert found.se == pytest.approx(0.046787371419998294, abs=1e-12)
    assert found.i2 == pytest.approx(0.7963723150357995, abs=1e-12)
    assert found.interval == pytest.approx((-0.22936024371025682, 0.06843635090876342), abs=1e-12)


# The 13 trials of BCG vaccine (Colditz et al. 1994): tuberculosis and none, vaccinated and not.
BCG = np.array(
    [
        [4, 119, 11, 128],
        [6, 300, 29, 274],
        [3, 228, 11, 209],
        [62, 13536, 248, 12619],
        [33, 5036, 47, 5761],
        [180, 1361, 372, 1079],
        [8, 2537, 10, 619],
        [505, 87886, 499, 87892],
        [29, 7470, 45, 7232],
        [17, 1699, 65, 1600],
        [186, 50448, 141, 27197],
        [5, 2493, 3, 2338],
        [27, 16886, 29, 17825],
    ]
)


@pytest.mark.parametrize(("method", "tau2"), [("DL", 0.3088), ("PM", 0.3181), ("REML", 0.3132)])
def test_tau2_of_the_bcg_trials_is_what_metafor_gives(method, tau2):
    a, b, c, d = BCG.T
    y, v = np.log(a / (a + b)) - np.log(c / (c + d)), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
    assert random_effects(y, v, method=method).tau2 == pytest.approx(tau2, abs=5e-5)


def recipe_of(k, *, level=0.4, **options):
    pre = scores("base", similar(0.3))
    return diversity.recipe([(pre, scores(f"run{i}", similar(level, seed=i + 1))) for i in range(k)], **options)


def test_four_runs_that_agree_bear_a_verdict_about_the_recipe():
    found = recipe_of(4)
    row = found.verdicts().row(0, named=True)
    assert row["verdict"] == "narrowed"
    assert row["predicted_low"] < row["relative_low"] < row["relative"] < row["relative_high"]
    assert found.forest.height == 4
    assert found.forest["weight"].sum() == pytest.approx(1)


def test_three_runs_are_shown_and_not_judged():
    row = recipe_of(3).verdicts().row(0, named=True)
    assert row["verdict"] is None
    assert row["p_adjusted"] is None
    assert row["note"] == "3 runs are too few for a verdict about the recipe, 4 the least"


def test_runs_that_disagree_are_inconclusive_though_each_is_clear():
    pre = scores("base", similar(0.3))
    levels = (0.2, 0.4, 0.2, 0.42)
    found = diversity.recipe([(pre, scores(f"run{i}", similar(v, seed=i))) for i, v in enumerate(levels)])
    assert set(found.forest["verdict"]) == {"narrowed", "widened"}
    assert found.verdicts()["verdict"].to_list() == ["inconclusive"]


def test_a_run_given_twice_is_refused():
    pre, post = scores("base", similar(0.3)), scores("run", similar(0.4))
    with pytest.raises(InputError, match="the same post"):
        diversity.recipe([(pre, post), (pre, post)])


def runs_that_share(rng, runs, prompts, tau):
    """Similarities of a pre and its runs: each prompt moves alike in all runs, each run by its own; true mean -0.1."""
    base = rng.beta(2, 5, prompts)
    moved = rng.normal(0, 0.2, prompts)
    columns = [base]
    for _ in range(runs):
        log = 0.1 + rng.normal(0, tau) + moved + rng.normal(0, 0.1, prompts) - (0.2**2 + 0.1**2) / 2
        columns.append(((1 + 15 * base) * np.exp(log) - 1) / 15)
    return np.column_stack(columns) + rng.normal(0, 0.05, (prompts, runs + 1))


def test_the_pooled_interval_covers_where_runs_share_their_prompts_and_the_textbook_one_does_not():
    # 400 runs: three standard errors are 0.033. Figures of 2,000 runs stand in docs/designs.md.
    rng = np.random.default_rng(0)
    covered = plain = 0
    places = [(0, k) for k in range(1, 6)]
    for _ in range(400):
        s = runs_that_share(rng, 5, 25, 0.05)
        effects = [float(np.log1p(15 * s[:, 0].mean()) - np.log1p(15 * s[:, j].mean())) for _, j in places]
        found = pool(s, places, effects)
        covered += found.interval[0] < -0.1 < found.interval[1]
        spread = random_effects(np.array(effects), np.full(5, 1e-4))
        plain += spread.interval[0] < -0.1 < spread.interval[1]
    assert covered / 400 >= 0.95 - 0.033
    assert plain / 400 < 0.9


def cells(levels, **options):
    """Four cells of a 2 x 2 design of given effective numbers."""
    keys = [("pre", "plain"), ("pre", "chat"), ("post", "plain"), ("post", "chat")]
    return {
        key: scores("/".join(key), (16 / d - 1) / 15 + similar(0, seed=i, noise=0.005) / 10, **options)
        for i, (key, d) in enumerate(zip(keys, levels, strict=True))
    }


def test_the_share_of_the_template_is_told_from_that_of_the_weights():
    # Chat takes a factor 0.88, the weights 0.79, together 0.695: no interaction.
    found = diversity.factorial(cells((8, 8 * 0.88, 8 * 0.79, 8 * 0.88 * 0.79)))
    rows = {r["effect"]: r for r in found.verdicts().iter_rows(named=True)}
    template, weights = rows["template: plain → chat"], rows["checkpoint: pre → post"]
    assert template["relative"] == pytest.approx(-0.12, abs=0.01)
    assert weights["relative"] == pytest.approx(-0.21, abs=0.01)
    assert rows["total"]["relative"] == pytest.approx(0.88 * 0.79 - 1, abs=0.01)
    assert template["shift"] + weights["shift"] == pytest.approx(rows["total"]["shift"], abs=1e-12)
    assert template["share"] + weights["share"] == pytest.approx(1)
    assert rows["checkpoint × template"]["verdict"] == "no material change"


def test_a_shift_that_only_the_template_brings_out_is_an_interaction():
    found = diversity.factorial(cells((8, 8, 8, 4)))
    rows = {r["effect"]: r for r in found.effects.filter(pl.col("condition") == "all").iter_rows(named=True)}
    assert rows["checkpoint × template"]["verdict"] == "interaction"
    assert rows["checkpoint: pre → post | template: plain"]["relative"] == pytest.approx(0, abs=0.02)
    assert rows["checkpoint: pre → post | template: chat"]["relative"] == pytest.approx(-0.5, abs=0.02)


def test_three_temperatures_make_an_interaction_each():
    grid = {
        (c, t): scores(f"{c} {t}", similar(0.5 - 0.1 * j + 0.05 * i, seed=3 * i + j), temperature=0.5 * (j + 1))
        for i, c in enumerate(("pre", "post"))
        for j, t in enumerate(("T=0.5", "T=1", "T=1.5"))
    }
    found = diversity.factorial(grid, factors=("checkpoint", "temperature"))
    kinds = found.verdicts()["kind"].value_counts().sort("kind").rows()
    assert kinds == [("interaction", 2), ("main", 3), ("total", 1)]


def test_a_missing_cell_and_other_token_limits_are_refused():
    whole = cells((8, 7, 6, 5), max_tokens=64)
    with pytest.raises(InputError, match="no cell post x chat"):
        diversity.factorial({k: v for k, v in whole.items() if k != ("post", "chat")})
    whole["post", "chat"] = scores("other", similar(0.3), max_tokens=128)
    with pytest.raises(NotComparable, match="max_tokens 64"):
        diversity.factorial(whole)


@pytest.mark.parametrize(
    "make",
    [lambda s: diversity.trajectory(s), lambda _: recipe_of(4), lambda _: diversity.factorial(cells((8, 7, 6, 5)))],
)
def test_a_design_comes_back_from_json_and_is_written_as_page_and_markdown(make, stages, tmp_path):
    design = make(stages)
    text = design.to_json(tmp_path / "design.json")
    back = type(design).read(tmp_path / "design.json")
    assert back.to_json() == text
    assert json.loads(text)["kind"] == design.kind
    assert back.verdicts().equals(design.verdicts())
    page, table = design.to_html(), design.to_markdown()
    assert "narrowed" in page
    assert "narrowed" in table
    for other in {Trajectory, Recipe, Factorial} - {type(design)}:
        with pytest.raises(InputError, match=f"this is {design.kind}"):
            other.read(tmp_path / "design.json")


def test_hostile_names_stay_text_on_the_page():
    bad = '<script>alert(1)</script>"|`x`'
    found = diversity.trajectory([scores(bad + c, similar(0.2), stage=bad + c) for c in "abc"])
    assert "<script>" not in found.to_html()
    assert "<script>" not in found.to_markdown()


def test_effects_that_run_against_each_other_have_no_shares():
    found = diversity.factorial(cells((8, 5, 9, 6)))
    assert found.verdicts()["share"].null_count() == found.verdicts().height

"""Calibration over prompts: a model that is calibrated by construction, and one that is sure and wrong."""

import numpy as np
import polars as pl
import pytest

from diversity import confidence as probe
from diversity.errors import InputError
from diversity.scoring import score
from diversity.tables import Samples

LETTERS = "ABCDE"
PROMPTS = 80
N = 12


def world(seed, sharpen=1.0, name="model", turned=0):
    """Samples of a checkpoint whose answers are drawn from p, and whose right answers are drawn from p as well.

    By construction p is then the chance of being right. `sharpen` above 1 answers by p to that power: more agreement
    with no more knowledge, which is what over-confidence is. `turned` answers by the shares of other letters.
    """
    rng = np.random.default_rng(5)  # the same prompts and right answers for every checkpoint
    mixtures = rng.dirichlet(np.full(len(LETTERS), 0.6), size=PROMPTS)
    truths = [rng.choice(list(LETTERS), p=p) for p in mixtures]
    draw = np.random.default_rng(seed)
    rows = []
    for i, (p, truth) in enumerate(zip(mixtures, truths, strict=True)):
        given = np.roll(p**sharpen / (p**sharpen).sum(), turned)
        for k, letter in enumerate(draw.choice(list(LETTERS), size=N, p=given)):
            rows.append(
                {
                    "checkpoint": name,
                    "domain": "text",
                    "prompt_id": f"p{i:03}",
                    "sample_index": k,
                    "output": f"The answer is {letter}.",
                    "behaviour": str(letter),
                    "quality": float(letter == truth),
                    "valid": bool(letter == truth),
                }
            )
    return pl.DataFrame(rows, schema_overrides={"sample_index": pl.Int32})


def points(pre, post):
    both = Samples.of(pl.concat([pre, post]))
    scores = score(both, metrics=list(probe.METRICS), conditions=["all"], workers=1)
    return probe.Points.of(scores, ("pre", "post"), "text")


@pytest.fixture(scope="module")
def sharpened():
    return points(world(1, name="pre"), world(2, sharpen=4, name="post"))


@pytest.fixture(scope="module")
def unchanged():
    return points(world(1, name="pre"), world(2, name="post"))


def test_a_calibrated_checkpoint_has_no_overconfidence(unchanged):
    for side in ("pre", "post"):
        level = unchanged.level("overconfidence", side)
        assert abs(level.estimate) < 3 * level.se
        # Over 200 such worlds the mean is 0.08 (the commonest of 12 answers has too high a share), the sd 0.05.
        assert getattr(unchanged.figure(probe.ece), side) < 0.23


def test_agreement_without_knowledge_is_confidently_wrong(sharpened):
    assert probe.judge(sharpened) == (probe.WRONG, "")
    assert sharpened.mean("confidently_wrong").interval[0] > 0


def test_the_calibration_error_of_a_checkpoint_that_is_sure_of_wrong_answers_rises():
    lost = points(world(1, name="pre"), world(2, sharpen=4, name="post", turned=1))
    shift = lost.figure(probe.ece)

    assert shift.interval[0] > 0
    assert shift.post > 0.5
    assert lost.figure(probe.risk_coverage).interval[0] > 0
    assert probe.judge(lost)[0] == probe.WRONG


def test_the_same_checkpoint_twice_is_not_confidently_wrong(unchanged):
    assert probe.judge(unchanged)[0] in {probe.SAME, probe.OPEN}


def test_recovered_calibration_is_told(sharpened):
    back = probe.Points(domain="text", prompts=sharpened.prompts, pre=sharpened.post, post=sharpened.pre)
    assert probe.judge(back)[0] == probe.BETTER


def test_an_interval_of_the_ece_shift_holds_no_shift(unchanged):
    low, high = unchanged.figure(probe.ece).interval
    assert low < 0 < high


def test_floor_ceiling_and_few_prompts_are_told_and_not_judged(sharpened):
    for accuracy, word in ((0.0, "floor"), (1.0, "ceiling")):
        flat = dict.fromkeys(probe.METRICS, np.full(PROMPTS, accuracy))
        at = probe.Points(domain="text", prompts=sharpened.prompts, pre=flat, post=flat)
        verdict, why = probe.judge(at)
        assert verdict == probe.CANNOT
        assert why.startswith(word)
    few = {m: v[:9] for m, v in sharpened.pre.items()}
    assert "9 prompts" in probe.judge(probe.Points(domain="text", prompts=sharpened.prompts[:9], pre=few, post=few))[1]


def test_figures_by_hand():
    confidence, right = np.array([0.9, 0.8, 0.4, 0.4]), np.array([1.0, 0.0, 1.0, 0.0])
    bins = probe.bins_of(confidence)

    assert probe.brier(confidence, right, bins) == pytest.approx((0.01 + 0.64 + 0.36 + 0.16) / 4)
    # right-wrong pairs: .9 over .8 and .4; .4 under .8, and level with .4
    assert probe.auroc(confidence, right, bins) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    # errors of the top 1, 2, 3, 4, the tied pair half wrong each
    assert probe.risk_coverage(confidence, right, bins) == pytest.approx((0 + 1 / 2 + 1.5 / 3 + 2 / 4) / 4)
    assert np.isnan(probe.auroc(confidence, np.ones(4), bins))


def test_brier_is_reliability_less_resolution_plus_uncertainty_where_bins_hold_one_confidence():
    confidence = np.repeat([0.2, 0.5, 0.9], 10)
    right = np.concatenate([np.repeat([1.0, 0.0], [k, 10 - k]) for k in (3, 4, 7)])
    bins = probe.bins_of(confidence)

    parts = probe.reliability(confidence, right, bins) - probe.resolution(confidence, right, bins)
    assert parts + probe.uncertainty(confidence, right, bins) == pytest.approx(probe.brier(confidence, right, bins))


def test_a_cliff_is_a_slope_that_got_steeper(sharpened):
    far = {p: i / PROMPTS for i, p in enumerate(sharpened.prompts)}
    noise = np.random.default_rng(0).normal(0, 0.05, PROMPTS)
    flat = {"accuracy": 0.7 + noise}
    falling = {"accuracy": 0.9 - 0.6 * np.array(list(far.values())) + noise[::-1]}
    fallen = probe.cliff(probe.Points(domain="text", prompts=sharpened.prompts, pre=flat, post=falling), far)

    assert fallen.interval[1] < 0
    assert fallen.estimate == pytest.approx(-0.6, abs=0.1)
    with pytest.raises(InputError, match="no distance"):
        probe.cliff(sharpened, {})


def test_outside_and_inside_are_compared(sharpened, unchanged):
    further = probe.beyond(unchanged.mean("overconfidence"), sharpened.mean("overconfidence"))

    assert further.interval[0] > 0


class Directions:
    """Stands in for an embedding model: three prompts on a circle."""

    def encode(self, texts):
        turns = np.array([{"near": 0.0, "tuned": 0.1, "far": 1.5}[t] for t in texts])
        return np.stack([np.cos(turns), np.sin(turns)], axis=1)


def test_distance_is_from_the_nearest_tuned_prompt():
    found = probe.embedding_distances({"a": "near", "b": "far"}, ["tuned"], Directions())

    assert found["a"] == pytest.approx(1 - np.cos(0.1))
    assert found["b"] == pytest.approx(1 - np.cos(1.4))


def test_a_prompt_to_which_no_output_has_a_final_answer_stays_among_the_points():
    silent = pl.col("prompt_id") == "p000"
    empty = {"behaviour": pl.lit(None, pl.String), "quality": pl.lit(0.0), "valid": pl.lit(value=False)}
    post = world(2, name="post").with_columns(
        pl.when(silent).then(value).otherwise(pl.col(name)).alias(name) for name, value in empty.items()
    )
    found = points(world(1, name="pre"), post)

    assert len(found.prompts) == PROMPTS
    assert (found.post["confidence"][0], found.post["accuracy"][0], found.post["modal_share"][0]) == (0, 0, 0)


def made(confidence, right, kind="agreement"):
    """Points with these values before and after, whatever kind of confidence they are."""
    of = probe.KINDS[kind]
    side = {of.confidence: np.asarray(confidence, dtype=float), of.right: np.asarray(right, dtype=float)}
    side |= {"accuracy": side[of.right], "overconfidence": side[of.confidence] - side[of.right]}
    prompts = tuple(f"p{i:03}" for i in range(len(confidence)))
    return probe.Points(domain="text", prompts=prompts, pre=side, post=side)


# Five levels of confidence, 20 prompts each; of a calibrated checkpoint so many in twenty are right.
LEVELS = np.repeat([0.2, 0.35, 0.5, 0.75, 0.9], 20)


def outcomes(*hits):
    return np.concatenate([np.repeat([1.0, 0.0], [k, 20 - k]) for k in hits])


def debiased(gaps, sizes, spreads):
    """The definition, by the folded normal of another library: twice the gap less its mean under noise."""
    from scipy.stats import foldnorm

    found = [2 * g - foldnorm.mean(g / s, scale=s) for g, s in zip(gaps, spreads, strict=True)]
    return float(np.average(found, weights=sizes))


@pytest.mark.parametrize("kind", ["agreement", "entropy", "token"])
def test_known_calibration_errors_by_every_kind_of_confidence(kind):
    # In each bin the confidence is one number, so that the spread of a gap is that of the outcomes.
    worlds = {
        "calibrated": (outcomes(4, 7, 10, 15, 18), 0.0),
        "over-confident by 0.15": (outcomes(1, 4, 7, 12, 15), 0.15),
    }
    for right, wrong_by in worlds.values():
        hits = right.reshape(5, 20)
        spreads = hits.std(axis=1, ddof=1) / np.sqrt(20)
        found = made(LEVELS, right, kind).figure(probe.ece, kind).post

        assert found == pytest.approx(debiased([wrong_by] * 5, [20] * 5, spreads), abs=1e-9)
        # The bias that is taken off: without noise the error is what was built in.
        assert abs(found - wrong_by) < 0.1
        assert made(LEVELS, right, kind).overconfidence(kind, level=True).estimate == pytest.approx(wrong_by, abs=1e-9)


def test_the_parts_of_the_brier_score_to_the_last_digit():
    right = outcomes(1, 4, 7, 12, 15)
    own = made(LEVELS, right)
    rates = np.array([0.05, 0.2, 0.35, 0.6, 0.75])
    worked = {
        "reliability": 0.15**2,
        "resolution": float(((rates - 0.39) ** 2).mean()),
        "uncertainty": 0.39 * 0.61,
        "brier": 0.15**2 - float(((rates - 0.39) ** 2).mean()) + 0.39 * 0.61,
    }

    for name, expected in worked.items():
        assert own.figure(probe.FIGURES[name]).post == pytest.approx(expected, abs=1e-9)


def test_auroc_is_the_share_of_ordered_pairs():
    rng = np.random.default_rng(0)
    confidence, right = rng.integers(0, 5, 40) / 4, rng.choice([0.0, 0.5, 1.0], 40)
    weights = np.outer(right, 1 - right)
    np.fill_diagonal(weights, 0)
    higher = np.sign(np.subtract.outer(confidence, confidence)) / 2 + 0.5

    assert probe.auroc(confidence, right, None) == pytest.approx((weights * higher).sum() / weights.sum(), abs=1e-12)


def with_probabilities(frame, likely):
    """Add log-probabilities: `likely` of an answer per token, of five tokens each."""
    logs = [5 * np.log(likely(b)) for b in frame["behaviour"]]
    return frame.with_columns(log_probability=pl.Series(logs), output_tokens=pl.lit(5, pl.Int32))


def test_a_checkpoint_sure_of_its_wording_and_wrong_is_told_by_the_probability_of_its_tokens():
    """Before tuning it gives the letters it gets right a high probability; after, all of them."""
    frames = [with_probabilities(world(1, name="pre"), lambda b: 0.3), with_probabilities(
        world(2, sharpen=4, name="post", turned=1), lambda b: 0.98
    )]  # fmt: skip
    both = Samples.of(pl.concat(frames))
    metrics = [*probe.METRICS, *probe.LIKELIHOOD]
    scores = score(both, metrics=metrics, conditions=["all"], workers=1)
    found = probe.Points.of(scores, ("pre", "post"), "text", metrics)

    assert len(found.prompts) == PROMPTS
    assert probe.judge(found, "token") == (probe.WRONG, "")
    assert found.figure(probe.ece, "token").post > 0.5
    # Every output is as probable as any other: they tell right from wrong no better than a coin.
    assert found.figure(probe.auroc, "sequence").post == pytest.approx(0.5)


def test_a_quality_that_samples_bring_says_which_answers_are_right():
    given = world(1, name="pre").drop("valid")
    told = score(Samples.of(given), metrics=["accuracy"], conditions=["all"], workers=1).frame

    assert told["value"].mean() == pytest.approx(given["quality"].mean(), abs=1e-12)

"""The statistics against worked values, and their error rates by simulation."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.optimize import brentq

from diversity.stats import (
    Estimate,
    beyond_noise,
    drop_out,
    effect_size,
    effective,
    heterogeneity,
    heterogeneity_p,
    holm,
    influence,
    is_heterogeneous,
    likelihood_ratio,
    log_ratio,
    log_ratios,
    mean_difference,
    mean_differences,
    pair_mean,
    prompts_to_decide,
    sign_flip,
    verdict,
    wilson,
)

PRE = np.array([0.38, 0.45, 0.29, 0.52, 0.34, 0.41, 0.27, 0.49])
POST = np.array([0.5, 0.48, 0.4, 0.51, 0.49, 0.53, 0.3, 0.6])


def estimate(**changes):
    known = {
        "n": 40,
        "pre": 6.0,
        "post": 5.0,
        "estimate": -0.2,
        "se": 0.02,
        "interval": (-0.24, -0.16),
        "interval90": (-0.23, -0.17),
        "p": 0.001,
    }
    return Estimate(**(known | changes))


def test_log_ratio_of_effective_numbers_by_the_delta_method():
    found = log_ratio(PRE, POST)
    assert found.pre == pytest.approx(2.3167420814479636, abs=1e-12)
    assert found.post == pytest.approx(1.9646968534151956, abs=1e-12)
    assert found.estimate == pytest.approx(-0.16482396317299175, abs=1e-12)
    assert found.se == pytest.approx(0.041959333255114833, abs=1e-12)


def test_the_interval_is_never_inside_the_t_interval():
    found = log_ratio(PRE, POST)
    assert found.interval[0] <= -0.2640420201686999 + 1e-12
    assert found.interval[1] >= -0.06560590617728362 - 1e-12


def test_swapping_the_sides_negates_the_shift_and_mirrors_the_interval():
    one, other = log_ratio(PRE, POST), log_ratio(POST, PRE)
    assert one.estimate == pytest.approx(-other.estimate)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert one.p == other.p


def test_the_order_of_prompts_changes_the_estimate_by_rounding_only():
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    one, other = log_ratio(PRE, POST), log_ratio(PRE[order], POST[order])
    assert one.estimate == pytest.approx(other.estimate, abs=1e-14)
    assert one.p == other.p


def test_the_same_seed_gives_the_same_bits_and_another_changes_p_alone():
    rng = np.random.default_rng(3)
    pre, post = rng.uniform(0.1, 0.6, (2, 30))
    one, other = log_ratio(pre, post, seed=1), log_ratio(pre, post, seed=2)
    assert one == log_ratio(pre, post, seed=1)
    assert one.p != other.p
    assert one.interval == other.interval


SKEWED = np.array([0.02, -0.01, 0.03, 0.01, 0.9, 0.02, 0.04, -0.02, 0.6, 0.01, 0.03, 0.02])


def balanced_ratio(values):
    """The likelihood ratio of a zero mean by its definition, with a solver of another kind."""
    mean = values.mean()
    towards = -math.copysign(1, mean)
    reach = towards * max(1.9 * values.std(ddof=1), ((values - mean) * towards).max())
    z = np.append(values, [reach, 2 * mean - reach])
    multiplier = brentq(lambda x: (z / (1 + x * z)).sum(), (1 / len(z) - 1) / z.max(), (1 / len(z) - 1) / z.min())
    weights = 1 / (1 + multiplier * z) / len(z)
    assert weights.sum() == pytest.approx(1)
    assert weights @ z == pytest.approx(0, abs=1e-9)
    return -2 * np.log(len(z) * weights).sum()


def test_the_likelihood_ratio_is_that_of_the_best_weights():
    for moved in (-0.3, 0.1, 0.5):
        assert likelihood_ratio((SKEWED - moved)[None])[0] == pytest.approx(balanced_ratio(SKEWED - moved), rel=1e-9)
    # Two values of five each, and pseudo-prompts 1.9 standard deviations beyond zero and as far on the other side.
    even = np.repeat([-1.0, 1.0], 5)
    assert likelihood_ratio(even[None])[0] == 0
    assert likelihood_ratio((even + 0.5)[None])[0] == pytest.approx(likelihood_ratio((even - 0.5)[None])[0])


def test_the_interval_ends_where_t_or_the_likelihood_ratio_is_critical():
    found = mean_difference(np.zeros(12), SKEWED)
    t = scipy_stats.t.ppf(0.975, 11)
    for end in found.interval:
        assert balanced_ratio(SKEWED - end) == pytest.approx(t**2, rel=1e-8)
    # Skewed as the sample is, and nowhere inside t's.
    assert found.interval[0] < found.estimate - t * found.se
    assert found.interval[1] - found.estimate > 1.3 * (found.estimate - found.interval[0])
    assert balanced_ratio(SKEWED - found.interval90[1]) == pytest.approx(scipy_stats.t.ppf(0.95, 11) ** 2, rel=1e-8)


def test_of_a_pair_the_likelihood_is_that_of_a_ratio_of_means():
    pre, post = 0.3 + SKEWED / 10, 0.2 + SKEWED[::-1] / 2
    found = log_ratio(pre, post)
    t = scipy_stats.t.ppf(0.975, 11)
    for end, plain in zip(found.interval, (-1, 1), strict=True):
        if end != pytest.approx(found.estimate + plain * t * found.se, abs=1e-12):
            values = 1 + 15 * pre - math.exp(end) * (1 + 15 * post)
            assert balanced_ratio(values) == pytest.approx(t**2, rel=1e-8)
    assert found.interval[0] < found.estimate - 1.1 * t * found.se


def test_no_interval_leaves_what_effective_numbers_can_be_but_by_t():
    pre, post = np.full(12, 0.01), np.full(12, 0.01)
    pre[0], post[1] = 1.0, 0.9
    assert log_ratio(pre, post).interval == pytest.approx((-math.log(16), math.log(16)))
    assert log_ratio(pre, post).interval90[1] < math.log(16)


def test_below_ten_prompts_where_no_verdict_is_the_interval_is_students():
    found = mean_difference(np.zeros(8), SKEWED[2:10])
    assert found.interval == pytest.approx(scipy_stats.ttest_1samp(SKEWED[2:10], 0).confidence_interval(), abs=1e-12)


def test_mean_difference_and_its_t_interval():
    found = mean_difference(1 - PRE, 1 - POST)
    assert found.estimate == pytest.approx(-0.0825, abs=1e-12)
    t = scipy_stats.ttest_1samp((1 - POST) - (1 - PRE), 0).confidence_interval()
    assert found.interval[0] <= t.low + 1e-12
    assert found.interval[1] >= t.high - 1e-12


def test_sign_flip_enumerates_small_samples():
    assert sign_flip(PRE - POST) == 0.015625  # 4 of 256


def test_sign_flip_of_many_prompts_is_near_the_t_test_for_normal_shifts():
    deltas = np.random.default_rng(5).normal(0.2, 1, 100)
    assert sign_flip(deltas) == pytest.approx(scipy_stats.ttest_1samp(deltas, 0).pvalue, abs=0.01)


def test_sign_flip_of_no_shift_at_all_is_one():
    assert sign_flip(np.zeros(20)) == 1.0


def test_holm_by_hand():
    assert holm(np.array([0.001, 0.013, 0.029, 0.04, 0.2])) == pytest.approx([0.005, 0.052, 0.087, 0.087, 0.2])


def test_pair_mean_leaves_the_diagonal_out():
    mean, se = pair_mean(np.array([[9.0, 0.2, 0.4], [0.2, 9.0, 0.6], [0.4, 0.6, 9.0]]))
    assert mean == pytest.approx(0.4)
    # delete-one means 0.6, 0.4, 0.2: variance (2/3) * 0.08
    assert se == pytest.approx(math.sqrt(2 / 3 * 0.08))


def test_the_effective_number_is_estimated_without_bias_at_any_n():
    """18 classes with a true collision probability: the mean of the pair means is it, at n = 2, 4, 16."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(18, 0.5))
    truth = (p**2).sum()
    for n in (2, 4, 16):
        draws = rng.choice(18, (20_000, n), p=p)
        equal = draws[:, :, None] == draws[:, None, :]
        means = (equal.sum((1, 2)) - n) / (n * (n - 1))
        assert abs(means.mean() - truth) < 4 * means.std() / math.sqrt(len(means))
        assert effective(means.mean()) == pytest.approx(effective(truth), rel=0.02)


def test_all_alike_is_one_and_nothing_shared_is_m():
    assert effective(1.0) == 1
    assert effective(0.0) == 16
    assert effective(-0.3) == 16


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "narrowed"),
        ({"estimate": 0.2, "interval": (0.16, 0.24), "interval90": (0.17, 0.23)}, "widened"),
        ({"estimate": -0.02, "interval": (-0.05, 0.01), "interval90": (-0.04, 0.0)}, "no material change"),
        ({"estimate": -0.03, "interval": (-0.05, -0.01), "interval90": (-0.045, -0.015)}, "no material change"),
        ({"estimate": -0.05, "interval": (-0.2, 0.1), "interval90": (-0.18, 0.08)}, "inconclusive"),
        ({"n": 9}, "inconclusive"),
        ({"se": 0.0, "interval": (-0.2, -0.2), "interval90": (-0.2, -0.2)}, "inconclusive"),
        ({"se": 0.0, "estimate": 0.0, "interval": (0.0, 0.0), "interval90": (0.0, 0.0)}, "no material change"),
    ],
)
def test_verdict(changes, expected):
    assert verdict(estimate(**changes), margin=0.1) == expected


def test_a_single_prompt_gets_no_verdict_and_no_interval():
    found = log_ratio(np.array([0.3]), np.array([0.5]))
    assert found.interval == (-math.inf, math.inf)
    assert verdict(found, margin=0.1) == "inconclusive"


def test_prompts_to_decide_grows_as_the_shift_shrinks():
    far = prompts_to_decide(estimate(estimate=-0.3, se=0.2), margin=0.1)
    near = prompts_to_decide(estimate(estimate=-0.15, se=0.2), margin=0.1)
    assert far < near
    assert prompts_to_decide(estimate(se=0.0), margin=0.1) is None


def test_heterogeneity_is_the_share_of_variance_beyond_noise():
    deltas = np.array([-1.0, 1.0, -1.0, 1.0])  # variance 4/3
    assert heterogeneity(deltas, np.full(4, 1 / 3)) == pytest.approx(0.75)
    assert heterogeneity(deltas, np.full(4, 9.0)) == 0
    assert heterogeneity(deltas, np.full(4, np.nan)) is None


def simulated(rng, prompts, n, sharpen=1.0):
    """Pair means of class draws for prompts with their own class law; post is pre sharpened to p ** sharpen."""
    laws = rng.dirichlet(np.full(12, 0.5), prompts)
    sides = []
    for power in (1.0, sharpen):
        law = laws**power / (laws**power).sum(axis=1, keepdims=True)
        uniform = rng.random((prompts, n))
        draws = (uniform[:, :, None] > law.cumsum(axis=1)[:, None, :]).sum(axis=2)
        equal = draws[:, :, None] == draws[:, None, :]
        sides.append((equal.sum((1, 2)) - n) / (n * (n - 1)))
    return sides


@pytest.mark.parametrize("prompts", [12, 25, 50])
def test_equal_checkpoints_are_called_shifted_at_most_as_often_as_nominal(prompts):
    """A/A: at most 5 % narrowed or widened; bound is two standard errors of 400 runs above that."""
    rng = np.random.default_rng(prompts)
    margin = math.log1p(0.1)
    found = [verdict(log_ratio(*simulated(rng, prompts, 8)), margin=margin) for _ in range(400)]
    alarms = sum(v in {"narrowed", "widened"} for v in found)
    assert alarms <= 400 * 0.05 + 2 * math.sqrt(400 * 0.05 * 0.95)


def test_the_interval_covers_a_true_shift():
    """Truth by the class laws' own collision probabilities over many prompts; 95 % less two standard errors."""
    rng = np.random.default_rng(1)
    pre, post = simulated(rng, 200_000, 16, sharpen=1.25)
    truth = math.log(effective(post.mean()) / effective(pre.mean()))
    covered = 0
    for _ in range(400):
        low, high = log_ratio(*simulated(rng, 25, 16, sharpen=1.25)).interval
        covered += low <= truth <= high
    assert covered >= 400 * 0.95 - 2 * math.sqrt(400 * 0.05 * 0.95)


def test_a_clear_shift_is_found():
    rng = np.random.default_rng(2)
    found = [verdict(log_ratio(*simulated(rng, 50, 16, sharpen=2.0)), margin=math.log1p(0.1)) for _ in range(20)]
    assert found.count("narrowed") >= 19


def test_a_shift_at_the_margin_is_rarely_called_immaterial():
    """TOST's error: the true log ratio is the margin itself."""
    rng = np.random.default_rng(4)
    calls = 0
    for _ in range(400):
        delta = rng.normal(-0.1, 0.2, 40)
        found = mean_difference(np.zeros(40), delta)
        calls += verdict(found, margin=0.1) == "no material change"
    assert calls <= 400 * 0.05 + 2 * math.sqrt(400 * 0.05 * 0.95)


def test_an_estimate_does_not_depend_on_what_else_is_estimated():
    rng = np.random.default_rng(7)
    sides = [(rng.beta(2, 5, n), rng.beta(2, 4, n)) for n in (1, 2, 9, 12, 30, 12, 700, 30, 12)]
    sides += [(np.full(12, 0.3), np.full(12, 0.4)), (np.eye(12)[0], 0.9 * np.eye(12)[1])]
    sides += [(rng.beta(2, 5, 12), rng.beta(2, 4, 12)) for _ in range(800)]  # more than are in hand together
    p = [sign_flip(pre - post) for pre, post in sides[:11]] + [0.5] * 800
    for every, one in ((log_ratios, log_ratio), (mean_differences, mean_difference)):
        together = every(sides, p=p)
        assert together[:11] == [one(*pair) for pair in sides[:11]]
        assert together[-1] == every(sides[-1:], p=p[-1:])[0]


def test_influence_values_have_the_spread_of_the_log_ratio():
    assert influence(PRE, POST).std(ddof=1) / math.sqrt(8) == pytest.approx(0.041959333255114833, abs=1e-12)


def test_hedges_g_of_paired_shifts():
    assert effect_size(PRE - POST) == pytest.approx(-1.2807344782114272, abs=1e-12)
    assert effect_size(np.zeros(8)) is None
    assert effect_size(np.array([0.1])) is None


@pytest.mark.parametrize(("hits", "n"), [(0, 12), (7, 8), (30, 40), (100, 100)])
def test_the_interval_of_a_share_is_wilsons(hits, n):
    expected = scipy_stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_prompt_is_beyond_noise_at_two_of_its_own_deviations():
    down, up = beyond_noise(np.array([-0.3, -0.1, 0.3, 0.3]), np.array([0.01, 0.01, 0.01, np.nan]))
    assert down.tolist() == [True, False, False, False]
    assert up.tolist() == [False, False, True, False]


def test_prompts_are_called_unequal_when_they_are_and_not_when_the_mean_tells_all():
    noise = np.full(20, 0.001)
    alike = np.full(20, -0.2) + np.tile([-0.02, 0.02], 10)
    a_few = np.where(np.arange(20) < 4, -0.6, 0.0)
    both_ways = np.where(np.arange(20) < 10, -0.3, 0.3)
    assert [is_heterogeneous(d, noise) for d in (alike, a_few, both_ways)] == [False, True, True]
    assert is_heterogeneous(alike, np.full(20, np.nan)) is None


def test_a_common_shift_without_noise_is_certain_either_way():
    assert heterogeneity_p(np.full(5, 0.1), np.zeros(5)) == 1
    assert heterogeneity_p(np.array([0.1, 0.1, 0.1, 0.1, 0.9]), np.zeros(5)) == 0
    assert heterogeneity_p(np.full(5, 0.1), np.full(5, np.nan)) is None


@pytest.mark.parametrize(
    ("asked", "lost", "pre", "post", "expected"),
    [
        (100, 0, 0, 0, False),
        (100, 10, 5, 5, False),
        (100, 11, 5, 6, True),
        (100, 5, 5, 0, False),  # 2 in 32 by a fair coin
        (100, 6, 0, 6, True),  # 2 in 64
        (100, 6, 1, 5, False),
    ],
)
def test_drop_out_is_flagged_when_it_is_much_or_on_one_side(asked, lost, pre, post, expected):
    assert drop_out(asked, lost, pre, post) is expected


def noisy(rng, prompts, n, power):
    """Shifts of class draws and their jackknife variances; post is pre with each prompt's law to its power."""
    laws = rng.dirichlet(np.full(12, 0.5), prompts)
    means, variances = [], []
    for exponent in (np.ones(prompts), power):
        law = laws ** exponent[:, None] / (laws ** exponent[:, None]).sum(axis=1, keepdims=True)
        draws = (rng.random((prompts, n))[:, :, None] > law.cumsum(axis=1)[:, None, :]).sum(axis=2)
        found = [pair_mean((d[:, None] == d[None, :]).astype(float)) for d in draws]
        means.append(np.array([mean for mean, _ in found]))
        variances.append(np.array([se**2 for _, se in found]))
    return means[0] - means[1], variances[0] + variances[1]


@pytest.mark.parametrize("n", [4, 8, 16])
def test_a_common_shift_is_denied_at_most_as_often_as_nominal(n):
    """Equal laws on both sides: 5 % and two standard errors of 150 runs. Cochran's Q denies it in half of them at 4."""
    rng = np.random.default_rng(n)
    alarms = sum(heterogeneity_p(*noisy(rng, 20, n, np.ones(20))) <= 0.05 for _ in range(150))
    assert alarms <= 150 * 0.05 + 2 * math.sqrt(150 * 0.05 * 0.95)


def test_a_quarter_of_prompts_that_collapse_is_no_common_shift():
    """Power above four in five at 50 prompts of 16 answers: 98 % in 200 runs of the simulation in the docs."""
    rng = np.random.default_rng(6)
    power = np.where(np.arange(50) % 4 == 0, 3.0, 1.0)
    assert sum(heterogeneity_p(*noisy(rng, 50, 16, power)) <= 0.05 for _ in range(20)) >= 16

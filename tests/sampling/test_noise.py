"""Draws from counter-based noise: reproducible one by one, and distributed as the model says."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

from diversity.sampling import noise

torch = pytest.importorskip("torch")

OPEN = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
# Probabilities 0.5, 0.25, 0.15, 0.07, 0.03
PROBABILITIES = [0.5, 0.25, 0.15, 0.07, 0.03]
LOGITS = torch.tensor([[math.log(p) for p in PROBABILITIES]])


def drawn(logits, count, **settings):
    """Draws of one row of logits, each from the stream of another sample."""
    values = np.stack([noise.exponentials(noise.key(0, "p", k), 0, logits.shape[-1]) for k in range(count)])
    scores = noise.choose(logits.expand(count, -1), torch.from_numpy(values), **{**OPEN, **settings})
    return scores.argmax(-1).numpy()


def kept(logits=LOGITS, **settings):
    """Tokens that can be drawn at all."""
    scores = noise.choose(logits, torch.ones(logits.shape, dtype=torch.float64), **{**OPEN, **settings})
    return torch.isfinite(scores).squeeze(0).nonzero().flatten().tolist()


# Streams


def test_noise_of_the_same_seed_prompt_sample_and_step_is_the_same():
    assert np.array_equal(
        noise.exponentials(noise.key(1, "p", 2), 3, 50), noise.exponentials(noise.key(1, "p", 2), 3, 50)
    )


@pytest.mark.parametrize("other", [(2, "p", 2, 3), (1, "q", 2, 3), (1, "p", 3, 3), (1, "p", 2, 4)])
def test_noise_of_another_seed_prompt_sample_or_step_is_another(other):
    *parts, step = other
    one = noise.exponentials(noise.key(1, "p", 2), 3, 50)

    assert not np.isin(one, noise.exponentials(noise.key(*parts), step, 50)).any()


def test_noise_is_the_same_on_every_machine():
    """Stored runs are resumed with it: a change here is a change of every recorded draw."""
    assert noise.exponentials(noise.key(0, "story-001", 0), 0, 3).tolist() == pytest.approx(
        [0.30460674614146876, 0.137577602162574, 2.315616597777678], rel=1e-12
    )


def test_keys_do_not_run_together():
    """(1, "1") and (11, "") share their letters but not their stream."""
    assert len({noise.key(s, p, k) for s in (1, 11) for p in ("", "1", "11") for k in (1, 11)}) == 12


def test_smaller_vocabulary_has_the_beginning_of_the_same_noise():
    key = noise.key(0, "p", 0)

    assert np.array_equal(noise.exponentials(key, 5, 40), noise.exponentials(key, 5, 400)[:40])


def test_prompt_with_a_lone_surrogate_has_a_key():
    assert noise.key(0, "\ud800", 0) > 0


# Distribution


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, PROBABILITIES),
        ({"temperature": 0.5}, [0.25 / 0.3408, 0.0625 / 0.3408, 0.0225 / 0.3408, 0.0049 / 0.3408, 0.0009 / 0.3408]),
        ({"top_k": 2}, [2 / 3, 1 / 3]),
        ({"top_p": 0.9}, [5 / 9, 2.5 / 9, 1.5 / 9]),
        ({"min_p": 0.2}, [5 / 9, 2.5 / 9, 1.5 / 9]),
    ],
)
def test_draws_follow_the_distribution(settings, expected):
    """The sum over cells of (seen - expected)^2 / expected stays below its 99.9 % point; the seed is fixed.

    At temperature 0.5 the probabilities are squared and divided by their sum, 0.3408.
    """
    count = 20_000
    seen = np.bincount(drawn(LOGITS, count, **settings), minlength=len(PROBABILITIES))
    wanted = np.array(expected) * count

    assert seen[len(expected) :].sum() == 0
    statistic = ((seen[: len(expected)] - wanted) ** 2 / wanted).sum()
    assert statistic < chi2.ppf(0.999, len(expected) - 1)


def test_steps_of_one_stream_are_independent_draws():
    """Pairs of successive draws fill a table as their product says (99.9 % point, 16 degrees of freedom)."""
    count = 20_000
    values = np.stack([noise.exponentials(noise.key(0, "p", 0), step, 5) for step in range(count)])
    tokens = noise.choose(LOGITS.expand(count, -1), torch.from_numpy(values), **OPEN).argmax(-1).numpy()
    table = np.zeros((5, 5))
    np.add.at(table, (tokens[:-1:2], tokens[1::2]), 1)
    wanted = np.outer(PROBABILITIES, PROBABILITIES) * table.sum()

    assert ((table - wanted) ** 2 / wanted).sum() < chi2.ppf(0.999, 24)


def test_shared_noise_leaves_each_side_its_own_distribution_and_couples_the_two():
    count = 20_000
    other = LOGITS.flip(-1)
    one, two = drawn(LOGITS, count), drawn(other, count)
    seen = np.bincount(two, minlength=5)
    wanted = np.array(PROBABILITIES[::-1]) * count

    assert ((seen - wanted) ** 2 / wanted).sum() < chi2.ppf(0.999, 4)
    # Apart, the two would agree with probability 2 * (0.5 * 0.03 + 0.25 * 0.07) + 0.15^2 = 0.0875.
    assert (one == two).mean() > 0.15


def test_equal_logits_give_equal_draws_whatever_row_they_are_in():
    rows = torch.cat([LOGITS, LOGITS.flip(-1), LOGITS])
    key = noise.exponentials(noise.key(0, "p", 0), 0, 5)
    scores = noise.choose(rows, torch.from_numpy(np.stack([key] * 3)), **OPEN)

    assert torch.equal(scores[0], scores[2])


# Filters, by hand


def test_top_k_keeps_the_k_likeliest():
    assert kept(top_k=1) == [0]
    assert kept(top_k=3) == [0, 1, 2]
    assert kept(top_k=99) == [0, 1, 2, 3, 4]


def test_top_k_keeps_all_that_tie_for_the_last_place():
    assert kept(torch.tensor([[3.0, 1.0, 1.0, 0.0]]), top_k=2) == [0, 1, 2]


def test_top_p_keeps_the_fewest_tokens_that_reach_it():
    """0.5, 0.75, 0.9, 0.97, 1: the token that crosses the line is in."""
    assert kept(top_p=0.4) == [0]
    assert kept(top_p=0.6) == [0, 1]
    assert kept(top_p=0.8) == [0, 1, 2]
    assert kept(top_p=0.95) == [0, 1, 2, 3]


def test_top_p_always_keeps_the_likeliest():
    assert kept(top_p=1e-9) == [0]


def test_min_p_keeps_what_is_at_least_that_fraction_of_the_likeliest():
    """0.2 of 0.5 is 0.1."""
    assert kept(min_p=0.2) == [0, 1, 2]
    assert kept(min_p=0.05) == [0, 1, 2, 3, 4]
    assert kept(min_p=0.99) == [0]


def test_temperature_comes_before_the_filters():
    """At temperature 2 the probabilities flatten to .38 .27 .21 .14 .09 and 0.6 takes two of them."""
    assert kept(top_p=0.48) == [0]
    assert kept(top_p=0.48, temperature=2.0) == [0, 1]


def test_filters_apply_to_what_the_ones_before_left():
    """Of the two that top-k leaves the first has 2/3: top-p 0.6 then keeps it alone."""
    assert kept(top_k=2, top_p=0.6) == [0]
    assert kept(top_p=0.6) == [0, 1]


def test_order_of_the_vocabulary_does_not_matter():
    assert kept(LOGITS.flip(-1), top_p=0.8) == [2, 3, 4]


def test_noise_of_zero_does_not_bring_back_what_was_filtered_out():
    values = torch.ones((1, 5), dtype=torch.float64)
    values[0, 4] = 0.0

    assert noise.choose(LOGITS, values, **{**OPEN, "top_k": 2}).argmax(-1).item() in {0, 1}


def test_masked_logits_are_never_drawn():
    masked = LOGITS.clone()
    masked[0, 0] = -torch.inf

    assert 0 not in drawn(masked, 500)


# Filters, against transformers


@pytest.mark.parametrize("seed", range(5))
def test_filters_agree_with_those_of_transformers(seed):
    from transformers import (
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    logits = torch.randn(8, 200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
    # Noise of one has logarithm 0, so what comes back are the warped logits themselves.
    ones = torch.ones(logits.shape, dtype=torch.float64)
    for settings in (
        {"temperature": 0.7},
        {"top_k": 20},
        {"top_p": 0.9},
        {"top_p": 0.3},
        {"min_p": 0.1},
        {"temperature": 1.3, "top_k": 50, "top_p": 0.8, "min_p": 0.05},
    ):
        warped = logits
        given = {**OPEN, **settings}
        if given["temperature"] != 1:
            warped = TemperatureLogitsWarper(given["temperature"])(None, warped)
        if given["top_k"]:
            warped = TopKLogitsWarper(given["top_k"])(None, warped)
        if given["top_p"] < 1:
            warped = TopPLogitsWarper(given["top_p"])(None, warped)
        if given["min_p"]:
            warped = MinPLogitsWarper(given["min_p"])(None, warped)

        torch.testing.assert_close(noise.choose(logits, ones, **given), warped)

"""Rules about probes: what a policy may say of them, what decides, and that they do not fail by chance."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from diversity.errors import InputError
from diversity.gate import check
from diversity.policy import Policy
from diversity.probes import EVERYWHERE, PROBES, Cell

from .test_gate import row, shift_of

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import probe_gate_errors as simulated


def found(key, *, domain="factual", n=80, groups=20, verdict="rose", why="", **figures):
    """A cell as a probe leaves it, as plain values."""
    from dataclasses import asdict

    told = dict.fromkeys(("pre", "post", "shift", "low", "high")) | figures
    return asdict(
        Cell(
            probe="calibration",
            measure=PROBES[key].says,
            domain=domain,
            place="",
            n=n,
            unit="share",
            verdict=verdict,
            why=why,
            key=key,
            groups=groups,
            **told,
        )
    )


def outcome(cell, limits, *, domain="factual", tuned=(), **top):
    """What a gate of one rule says of one cell."""
    from dataclasses import replace

    shift = replace(shift_of(row(domain, "valid", 0.0, 0.1)), probes=[cell])
    shift = replace(shift, settings={**shift.settings, "tuned": list(tuned)})
    gate = check(shift, {**top, "domains": {domain: {"probes": {cell["key"]: limits}}}})
    return gate.findings[0]


@pytest.mark.parametrize(
    ("key", "limits", "figures", "expected", "said"),
    [
        # Change: 10 to 30 points more calibration error, 5 allowed.
        ("ece", {"max_rise": 0.05}, {"pre": 0.1, "post": 0.3, "shift": 0.2, "low": 0.1, "high": 0.3}, "fail",
         "may rise by at most 5 points; found 10 → 30 %, +20 (+10 to +30)"),
        ("ece", {"max_rise": 0.05}, {"pre": 0.1, "post": 0.1, "shift": 0.0, "low": -0.04, "high": 0.04}, "pass", ""),
        ("ece", {"max_rise": 0.05}, {"pre": 0.1, "post": 0.2, "shift": 0.1, "low": -0.02, "high": 0.2}, "inconclusive",
         "would decide it"),
        # Level after tuning, from its own interval.
        ("auroc", {"min": 0.6}, {"post": 0.8, "post_low": 0.7, "post_high": 0.9}, "pass", "must be at least 60 %"),
        ("auroc", {"min": "60 %"}, {"post": 0.5, "post_low": 0.4, "post_high": 0.58}, "fail", ""),
        ("auroc_token", {"max_fall": 0.05}, {"pre": 0.8, "post": 0.6, "shift": -0.2, "low": -0.3, "high": -0.1},
         "fail", "by probability a token: AUROC of confidence may fall by at most 5 points"),
        ("compliance", {"max_fall": 0.1}, {"pre": 0.8, "post": 0.4, "shift": -0.4, "low": -0.5, "high": -0.3},
         "fail", ""),
        ("faithfulness", {"max_fall": 0.1}, {"pre": 0.4, "post": 0.38, "shift": -0.02, "low": -0.07, "high": 0.03},
         "pass", ""),
        ("cliff_accuracy", {"max_fall": 0.5}, {"pre": 0.0, "post": -1.0, "shift": -1.0, "low": -1.3, "high": -0.7},
         "fail", "slope of accuracy over distance may fall by at most 0.5"),
        # 12 families: fewer than the prompts that a policy asks for, and enough.
        ("transfer_drop", {"max_rise": 0.1}, {"pre": 0.1, "post": 0.6, "shift": 0.5, "low": 0.3, "high": 0.7},
         "fail", ""),
    ],
)  # fmt: skip
def test_each_probe_is_limited_by_its_interval(key, limits, figures, expected, said):
    n, groups = (12, None) if key == "transfer_drop" else (80, 20)
    one = outcome(found(key, n=n, groups=groups, **figures), limits)

    assert one.outcome == expected
    assert said in str(one)


def test_p_is_that_of_the_jackknife_that_made_the_interval():
    # Half a 95 % interval of 0.1 with 20 groups is t(19) standard errors.
    one = outcome(found("ece", pre=0.1, post=0.3, shift=0.2, low=0.1, high=0.3), {"max_rise": 0.05})
    se = 0.1 / student.ppf(0.975, 19)

    assert one.p == pytest.approx(student.sf(0.15 / se, 19), abs=1e-9)


def test_a_floor_leaves_a_rule_open_and_a_ceiling_does_not_stand_in_its_way():
    figures = {"pre": 0.02, "post": 0.02, "shift": 0.0, "low": -0.01, "high": 0.01}
    floor = outcome(
        found("ece", verdict="cannot tell", why="floor: accuracy 0.04 and 0.05", **figures), {"max_rise": 0.1}
    )
    ceiling = outcome(
        found("ece", verdict="cannot tell", why="ceiling: accuracy 0.99 and 1.00", **figures), {"max_rise": 0.1}
    )
    none = outcome(found("auroc", verdict="cannot tell", why="ceiling: accuracy 1.00 and 1.00"), {"max_fall": 0.1})

    assert (floor.outcome, ceiling.outcome, none.outcome) == ("inconclusive", "pass", "inconclusive")
    assert "cannot tell: floor" in str(floor)
    assert floor.prompts_needed is None
    assert floor.p is None


def test_the_cliff_is_that_from_the_domain_the_rule_stands_under():
    cell = found("cliff_accuracy", domain=EVERYWHERE, pre=0.0, post=-1.0, shift=-1.0, low=-1.3, high=-0.7)

    assert outcome(cell, {"max_fall": 0.5}, domain="code", tuned=("code",)).outcome == "fail"
    assert outcome(cell, {"max_fall": 0.5}, domain="code").outcome == "not measured"
    assert Policy.of({"domains": {"code": {"probes": {"cliff_accuracy": {"max_fall": 0.5}}}}}).tuned == ("code",)


@pytest.mark.parametrize(
    ("key", "said"),
    [("faithfulness", "diversity faithfulness --json"), ("ece_token", "--log-probabilities"), ("ece", "no prompt has")],
)
def test_what_was_not_measured_blocks_and_says_what_to_do(key, said):
    other = found("compliance", pre=0.5, post=0.5, shift=0.0, low=-0.1, high=0.1)
    from dataclasses import replace

    shift = replace(shift_of(row("factual", "valid", 0.0, 0.1)), probes=[other])
    gate = check(shift, {"domains": {"factual": {"probes": {key: {"max_rise": 0.1}}}}})

    assert gate.findings[0].outcome == "not measured"
    assert gate.exit_code == 3
    assert said in str(gate.findings[0])


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"eec": {"max": 0.1}}, "unknown probe 'eec': did you mean 'ece'?"),
        ({"ece": {"max_narrowing": 0.1}}, "unknown key 'max_narrowing'"),
        ({"ece": {"max": 1.5}}, "'ece' goes from 0 to 1"),
        ({"auroc": {"min": 0}}, "cannot pass"),
        ({"ece": {"max": 0.1, "condition": "valid"}}, "unknown key 'condition'"),
        ({"cliff_accuracy": {"min": "5 %"}}, "is no share"),
    ],
)
def test_a_wrong_rule_about_a_probe_is_refused(limits, said):
    with pytest.raises(InputError) as refused:
        Policy.of({"domains": {"factual": {"probes": limits}}})
    assert said in str(refused.value)


def test_a_domain_that_only_the_samples_hold_may_have_rules(tmp_path):
    policy = {"domains": {"my-support-desk": {"lexical": {"max_narrowing": 0.2}}}}
    held = shift_of(row("my-support-desk", "lexical.effective", 0.0, 0.05))

    assert check(held, policy).passed
    file = tmp_path / "diversity.toml"
    file.write_text("min_prompts = 20\n[domains.my-support-dsk.lexical]\nmax_narrowing = 0.2\n")
    with pytest.raises(InputError, match=r"diversity.toml, line 3: unknown domain .* did you mean 'my-support-desk'"):
        check(held, file)


def test_unchanged_checkpoints_fail_no_gate_and_a_sharper_one_does():
    """Rules that allow no change at all, the worst that can be asked; benchmarks/probe_gate_errors.py draws 400."""
    rng = np.random.default_rng(3)
    gates = [simulated.judged(simulated.drawn(rng, 40, 8), 0.0) for _ in range(8)]

    assert sum(g.exit_code == 1 for g in gates) <= 1
    sharper = simulated.judged(simulated.drawn(rng, 100, 16, sharpen=4), 0.05)
    assert "overconfidence" in {f.rule.name for f in sharper.failures if f.outcome == "fail"}

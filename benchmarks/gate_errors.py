"""How often a gate fails that should not, and passes that should not: the table in docs/gate.md.

    python benchmarks/gate_errors.py [GATES]

Draws prompts' similarities before and after, judges them by the gate itself, and counts. Every rule allows a narrowing
of 20 %. `unchanged`: no facet changes in the mean. `at the limit`: each narrows by exactly 20 %, the worst truth under
which no rule is broken. `even`: all prompts shift alike but for noise. `some`: three prompts in ten take the whole
shift, which is what collapse looks like.
"""

import math
import sys

import numpy as np
import polars as pl

from diversity import stats
from diversity.gate import LEVEL, check
from diversity.policy import FACETS, Policy
from diversity.registry import domains
from diversity.shift import JUDGED, Shift
from diversity.tables import SHIFT

LIMIT, MEAN, M = 0.20, 0.25, 16
# Mean similarity at which the effective number is a fifth smaller.
AT_LIMIT = ((1 + (M - 1) * MEAN) / (1 - LIMIT) - 1) / (M - 1)
stats.sign_flip = lambda *_, **__: 1.0  # type: ignore[assignment]  # slow, and no gate reads it


def drawn(rng, prompts, shape, truth):
    """Similarities of one facet, before and after."""
    pre = rng.beta(2, 6, prompts)
    rise = AT_LIMIT - MEAN if truth == "at the limit" else 0.0
    if shape == "even":
        return pre, pre + rise + rng.normal(0, 0.08, prompts)
    hit = rng.random(prompts) < 0.3
    noise = rng.normal(0, 0.03, prompts)
    return pre, pre + noise + hit * rise / 0.3 * (1 - pre) / (1 - MEAN)


def judged(subjects, similarities, looks=1):
    """One gate, and the estimates it was made of."""
    rows = []
    for (domain, facet), (pre, post) in zip(subjects, similarities, strict=True):
        prompts = len(pre)
        estimate = stats.log_ratio(pre, post)
        row = dict.fromkeys(SHIFT)
        row |= {"domain": domain, "metric": f"{facet}.effective", "facet": facet, "condition": "all"}
        row |= {"n_prompts": prompts, "n_outputs": 2 * prompts * M, "pre": estimate.pre, "post": estimate.post}
        row |= {"shift": estimate.estimate, "ci_low": estimate.interval[0], "ci_high": estimate.interval[1]}
        rows.append(row)
    shift = Shift(
        frame=pl.DataFrame(rows, schema=pl.Schema(SHIFT)),
        judged=pl.DataFrame([], schema=pl.Schema(JUDGED)),
        pre="pre",
        post="post",
        settings={"seed": 0},
        provenance={},
    )
    policy = {}
    for domain, facet in subjects:
        policy.setdefault(domain, {})[facet] = {"max_narrowing": LIMIT}
    return check(shift, Policy.of({"domains": policy}), looks=looks), [r["shift"] for r in rows]


def looked(rng, subjects, looks):
    """Whether a gate at its limits fails when it is judged at 20, 40 and 80 prompts, each time with all so far."""
    whole = [drawn(rng, 80, "even", "at the limit") for _ in subjects]
    return any(
        judged(subjects, [(pre[:n], post[:n]) for pre, post in whole], looks)[0].exit_code == 1 for n in (20, 40, 80)
    )


def main(gates):
    """Print the table."""
    known = [(domain, facet) for facet in FACETS for domain in domains()]
    print("| truth | shape | prompts | rules | point beyond | interval beyond | gate fails | gate passes |")
    print("| :-- | :-- | --: | --: | --: | --: | --: | --: |")
    for truth in ("unchanged", "at the limit"):
        for shape in ("even", "some") if truth == "at the limit" else ("even",):
            for prompts in (20, 50):
                for rules in (1, 6, 24):
                    rng = np.random.default_rng([prompts, rules, len(shape), len(truth)])
                    counts = np.zeros(4)
                    for _ in range(gates):
                        similarities = [drawn(rng, prompts, shape, truth) for _ in range(rules)]
                        gate, points = judged(known[:rules], similarities)
                        alone = [f.p is not None and f.p <= LEVEL for f in gate.findings]
                        counts += [min(points) < math.log1p(-LIMIT), any(alone), gate.exit_code == 1, gate.passed]
                    shares = " | ".join(f"{100 * c / gates:.1f} %" for c in counts)
                    print(f"| {truth} | {shape} | {prompts} | {rules} | {shares} |", flush=True)
    for looks, what in ((1, "at the full level each"), (3, "at a third of the level each")):
        rng = np.random.default_rng(looks)
        failed = sum(looked(rng, known[:6], looks) for _ in range(gates))
        print(f"three looks {what}, 6 rules at the limit: {100 * failed / gates:.1f} % fail", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

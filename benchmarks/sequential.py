"""Error rates of `--until-decided`: python -m benchmarks.sequential [runs]. The figures stand in docs/designs.md.

Prompts have a true mean similarity each; the measured one is that of n answers in classes, so that its noise is real.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import sys

import numpy as np

from diversity.sequential import Looks, judged

ANSWERS, MARGIN = 16, 0.10


def class_similarity(rng, shares):
    """The unbiased share of alike pairs among n answers, a row a prompt."""
    counts = np.stack([rng.multinomial(ANSWERS, p) for p in shares])
    return (counts * (counts - 1)).sum(axis=1) / (ANSWERS * (ANSWERS - 1))


def population(rng, shape, shift):
    """True class shares before and after, of 2,000 prompts, and the true log ratio of the effective numbers.

    "alike": both sides differ by chance only. "varied": every prompt has its own shift. "few": one prompt in five
    moves a lot, the rest the other way a little, which is skewed.
    """
    count, classes = 2000, 12
    before = rng.dirichlet(np.full(classes, 0.5), count)
    if shape == "alike":
        power = np.ones(count)
    elif shape == "varied":
        power = np.exp(rng.normal(0, 0.25, count))
    else:
        power = np.where(rng.random(count) < 0.2, 2.0, 1.0)

    def after(scale):
        p = before ** (power * scale)[:, None]
        return p / p.sum(axis=1, keepdims=True)

    def truth(scale):
        s = [(x**2).sum(axis=1).mean() for x in (before, after(scale))]
        return math.log1p(15 * s[0]) - math.log1p(15 * s[1])

    low, high = 0.2, 5.0
    for _ in range(50):  # sharper classes, fewer effective ones
        middle = math.sqrt(low * high)
        low, high = (middle, high) if truth(middle) > shift else (low, middle)
    return before, after(low), truth(low)


def rates(shape, shift, prompts, runs, *, looks=4, seed=0):
    """Shares of runs with each verdict, of final intervals that hold the truth, and prompts used of those allowed."""
    rng = np.random.default_rng([seed, prompts, round(1000 * abs(shift))])
    before, after, truth = population(rng, shape, shift)
    plan = Looks.of(looks, prompts)
    said, covered, used = {}, 0, 0
    for _ in range(runs):
        chosen = rng.choice(len(before), prompts, replace=False)
        s = np.column_stack([class_similarity(rng, before[chosen]), class_similarity(rng, after[chosen])])
        for at, count in enumerate(plan.prompts):
            estimate, verdict = judged({"d": s[:count]}, {"d": at}, {"d": plan}, margin=MARGIN)["d"]
            if verdict != "inconclusive":
                break
        said[verdict] = said.get(verdict, 0) + 1
        covered += estimate.interval[0] <= truth <= estimate.interval[1]
        used += count
    return {k: v / runs for k, v in said.items()}, covered / runs, used / runs / prompts


def main():
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print("shape   shift  prompts  narrowed widened  no change  coverage  prompts used")
    edge = -math.log1p(MARGIN)
    for shape in ("alike", "varied", "few"):
        for shift in (0.0, edge, -edge, -0.35):
            for prompts in (24, 48, 96):
                said, covered, used = rates(shape, shift, prompts, runs)
                shown = [said.get(v, 0) for v in ("narrowed", "widened", "no material change")]
                print(
                    f"{shape:7} {shift:+.2f} {prompts:6}    " + "  ".join(f"{x:7.3f}" for x in shown),
                    f"  {covered:7.3f}   {used:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

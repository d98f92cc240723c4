"""Coverage of the interval about a recipe: python -m benchmarks.pooling [runs]. The figures stand in docs/designs.md.

Runs of one recipe share their pre and their prompts; each prompt moves alike in all runs and a little by itself.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys

import numpy as np

from diversity.contrasts import influences
from diversity.pooling import random_effects
from diversity.recipes import pool

TRUTH = -0.1


def measured(rng, runs, prompts, between, spread=0.2, noise=0.05):
    """Similarities of a pre and of its runs, shape (prompts, 1 + runs); the mean true log ratio is -0.1."""
    base = rng.beta(2, 5, prompts)
    common = rng.normal(0, spread, prompts)
    own = rng.normal(0, spread / 2, (prompts, runs))
    log = -TRUTH + rng.normal(0, between, runs) + common[:, None] + own - spread**2 * 1.25 / 2
    posts = ((1 + 15 * base)[:, None] * np.exp(log) - 1) / 15
    return np.column_stack([base, posts]) + rng.normal(0, noise, (prompts, runs + 1))


def coverage(runs, prompts, between, times, seed=0):
    """Shares of intervals that hold the truth: ours, the textbook's, and ours for a further run."""
    rng = np.random.default_rng([seed, runs, prompts])
    places = [(0, k) for k in range(1, runs + 1)]
    held = np.zeros(3)
    for _ in range(times):
        s = measured(rng, runs, prompts, between)
        means = np.log1p(15 * s.mean(axis=0).clip(0))
        effects = means[0] - means[1:]
        ours = pool(s, places, effects.tolist())
        influence = np.column_stack([influences(s[:, 0], s[:, k]) for _, k in places])
        textbook = random_effects(effects, influence.var(axis=0, ddof=1) / prompts)
        further = TRUTH + rng.normal(0, between)
        for i, (interval, truth) in enumerate(
            ((ours.interval, TRUTH), (textbook.interval, TRUTH), (ours.prediction, further))
        ):
            held[i] += interval[0] <= truth <= interval[1]
    return held / times


def main():
    """Print the table."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print("runs prompts between   ours  textbook  further run")
    for runs in (4, 6, 10):
        for prompts in (12, 25, 50):
            for between in (0.0, 0.05, 0.15):
                ours, textbook, further = coverage(runs, prompts, between, times)
                print(
                    f"{runs:4} {prompts:7} {between:7}  {ours:5.3f}     {textbook:5.3f}        {further:5.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

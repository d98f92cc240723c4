"""Simulations behind docs/statistics.md, and what the statistics cost.

    python benchmarks/statistics.py [--runs N]

Answers are draws from 12 classes a prompt, so that the truth is known. Prints Markdown tables: how often a common shift
is denied, how often the interval of an equivalent temperature holds the true one, and CPU seconds.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from diversity.stats import Array, heterogeneity_p, log_ratios, mean_differences
from diversity.sweep import equivalent


def similarity(rng: np.random.Generator, laws: Array, power: Array | float, n: int) -> tuple[Array, Array]:
    """Pair means of n draws from each law to a power, and their jackknife variances."""
    law = laws ** np.broadcast_to(np.asarray(power, dtype=float).reshape(-1, 1), (len(laws), 1))
    law /= law.sum(axis=1, keepdims=True)
    draws = (rng.random((len(laws), n))[:, :, None] > law.cumsum(axis=1)[:, None, :]).sum(axis=2)
    rows = (draws[:, :, None] == draws[:, None, :]).sum(axis=2) - 1.0
    total = rows.sum(axis=1)
    without = (total[:, None] - 2 * rows) / ((n - 1) * (n - 2))
    spread = ((without - without.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return total / (n * (n - 1)), (n - 1) / n * spread


def cochran(deltas: Array, noise: Array) -> float:
    """Return the p of Cochran's Q, prompts weighted by their own estimated noise."""
    from scipy.stats import chi2

    weights = 1 / np.maximum(noise, 1e-9)
    centre = (weights * deltas).sum() / weights.sum()
    return float(chi2.sf((weights * (deltas - centre) ** 2).sum(), len(deltas) - 1))


def common_shift(runs: int) -> None:
    """Print how often a common shift is denied where there is one, and where a quarter of the prompts collapse."""
    print("| prompts | n | F, no shift | Cochran's Q, no shift | F, a quarter sharpened |")
    print("|--:|--:|--:|--:|--:|")
    for prompts in (12, 25, 50, 100):
        for n in (4, 8, 16):
            rng = np.random.default_rng([prompts, n])
            hits = np.zeros(3)
            for run in range(runs):
                laws = rng.dirichlet(np.full(12, (0.1, 0.5, 2.0)[run % 3]), prompts)
                (pre, a), (post, b) = similarity(rng, laws, 1, n), similarity(rng, laws, 1, n)
                power = np.where(np.arange(prompts) % 4 == 0, 3.0, 1.0)
                laws = rng.dirichlet(np.full(12, 0.5), prompts)
                (before, c), (after, d) = similarity(rng, laws, 1, n), similarity(rng, laws, power, n)
                found = (
                    heterogeneity_p(pre - post, a + b),
                    cochran(pre - post, a + b),
                    heterogeneity_p(before - after, c + d),
                )
                hits += np.array([p is not None and p <= 0.05 for p in found])
            print(f"| {prompts} | {n} | " + " | ".join(f"{h / runs:.3f}" for h in hits) + " |", flush=True)


def temperatures(runs: int) -> None:
    """Print how often the interval of an equivalent temperature holds the one that post was drawn at."""
    print("| sweep | prompts | n | true | in the interval | outside the sweep |")
    print("|:--|--:|--:|--:|--:|--:|")
    for sweep in ((0.2, 0.6, 1.0), (0.3, 0.5, 0.7, 0.9, 1.1)):
        for prompts, n in ((12, 8), (30, 8), (60, 16)):
            for true in (0.4, 0.8):
                rng = np.random.default_rng([prompts, n, len(sweep)])
                held = outside = 0
                for _ in range(runs):
                    laws = rng.dirichlet(np.full(12, 0.5), prompts)
                    pre = np.array([similarity(rng, laws, 1 / t, n)[0] for t in sweep])
                    post = similarity(rng, laws, 1 / true, n)[0]
                    found = equivalent(np.array(sweep), pre, post)
                    held += (found["low"] or 0) <= true <= (found["high"] or math.inf)
                    outside += found["outside"] is not None
                shown = ", ".join(f"{t:g}" for t in sweep)
                print(f"| {shown} | {prompts} | {n} | {true} | {held / runs:.3f} | {outside / runs:.3f} |", flush=True)


def cost() -> None:
    """Print CPU seconds for the headlines of 8 domains x 4 facets x 6 conditions, on both scales, all different."""
    rng = np.random.default_rng(0)
    print("| prompts | CPU seconds for 192 headlines |")
    print("|--:|--:|")
    for prompts in (25, 100, 200):
        pairs = [(pre, post) for pre, post in rng.uniform(0.1, 0.6, (192, 2, prompts))]
        start = time.process_time()
        mean_differences(pairs, p=[each.p for each in log_ratios(pairs)])
        print(f"| {prompts} | {time.process_time() - start:.2f} |", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    common_shift(runs)
    print()
    temperatures(runs)
    print()
    cost()


if __name__ == "__main__":
    main()

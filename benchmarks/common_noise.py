"""How much the interval of a shift narrows when pre and post share their noise.

Post is pre with its output layer times 1.05: all its logits grow by that factor, which is sampling it at temperature
1/1.05. So the true shift is small, known in sign, and no second set of weights is needed. Pairs of runs of one seed
share their noise; pairs of different seeds do not.

    python benchmarks/common_noise.py --checkpoint reference:pre --seeds 3
"""

import argparse
import itertools
import os
import statistics

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import diversity
from diversity.sampling import open_checkpoint

METRICS = ["lexical.similarity", "syntactic.similarity"]


def main() -> None:
    """Sample, compare every pair, and print widths and spreads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="reference:pre")
    parser.add_argument("--factor", type=float, default=1.05)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--batch", type=int, default=80)
    given = parser.parse_args()

    backend = open_checkpoint(given.checkpoint)
    asked = {"domains": "story", "n": given.n, "prompts": given.prompts, "max_tokens": given.max_tokens}

    def run(temperature: float, seed: int) -> diversity.Samples:
        return diversity.sample(backend, **asked, temperature=temperature, seed=seed, batch=given.batch)

    seeds = range(given.seeds)
    pre, post = ([run(t, seed) for seed in seeds] for t in (1.0, 1 / given.factor))
    equal = [(a.frame["output"] == b.frame["output"]).mean() for a, b in zip(pre, post, strict=True)]
    print(f"{given.checkpoint}, factor {given.factor}, {given.prompts} prompts, n {given.n}, {given.max_tokens} tokens")
    print(f"outputs that are equal on both sides with shared noise: {statistics.mean(equal):.3f}")
    print("metric                 noise        pairs  mean shift  sd of shift  mean width of the 95 % interval")
    shifts = {
        (i, j): diversity.compare(pre[i], post[j], metrics=METRICS, allow_settings_differ=True).frame
        for i, j in itertools.product(seeds, seeds)
    }
    for metric in METRICS:
        for name, shared in (("shared", True), ("independent", False)):
            rows = [
                frame.filter(facet=metric.partition(".")[0], condition="all").row(0, named=True)
                for (i, j), frame in shifts.items()
                if (i == j) == shared
            ]
            estimates = [row["shift"] for row in rows]
            widths = [row["ci_high"] - row["ci_low"] for row in rows]
            spread = statistics.stdev(estimates) if len(estimates) > 1 else float("nan")
            print(
                f"{metric:22s} {name:12s} {len(rows):5d}  {statistics.mean(estimates):+10.4f}  {spread:11.4f}"
                f"  {statistics.mean(widths):.4f}"
            )


if __name__ == "__main__":
    main()

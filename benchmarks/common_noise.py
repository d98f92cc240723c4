"""How much the interval of a shift narrows when pre and post share their noise.

Two small true shifts of a chat model: post is pre at a lower temperature (`T=0.95`, known in sign), or pre with a part
of the reference adapter merged into it (`alpha=0.25`, a tuned checkpoint whose weights went a quarter of the way). Runs
of one seed share their noise; runs of different seeds do not. Runs are kept in a store and go on where they stopped.

    python benchmarks/common_noise.py sample --out runs/noise
    python benchmarks/common_noise.py compare --out runs/noise

The interval's width is a multiple of the standard deviation over prompts of each prompt's shift (its influence value),
so the ratio of these deviations, shared by independent, is what sharing is worth; its own interval comes from a
bootstrap over prompts.
"""

import argparse
import itertools
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl

import diversity
from diversity.shift import REFERENCE_SIZE

FACETS = ("semantic", "lexical", "syntactic")
REPLICATES = 2000


def scaled_adapter(alpha: float, folder: str) -> str:
    """Folder of the reference adapter with alpha times its effect: LoRA adds lora_alpha / r times B A."""
    from diversity import reference

    adapter = Path(folder) / "adapter"
    shutil.copytree(reference.adapter(), adapter)
    configuration = adapter / "adapter_config.json"
    found = json.loads(configuration.read_text())
    found |= {"lora_alpha": found["lora_alpha"] * alpha, "base_model_name_or_path": str(reference.base())}
    configuration.write_text(json.dumps(found))
    return str(adapter)


def sample(out: Path, sides: list[str], given: argparse.Namespace) -> None:
    """Draw every side with every seed, a store each."""
    from diversity.sampling import open_checkpoint

    asked = {"domains": given.domain, "n": given.n, "prompts": given.prompts, "max_tokens": given.max_tokens}
    pre = open_checkpoint(given.checkpoint)
    for side in sides:
        kind, _, value = side.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            backend = open_checkpoint(scaled_adapter(float(value), folder)) if kind == "alpha" else pre
        temperature = float(value) if kind == "T" else 1.0
        for seed in range(given.seeds):
            diversity.sample(
                backend,
                **asked,
                name=side,
                temperature=temperature,
                seed=seed,
                batch=given.batch,
                store=out / f"{side}-{seed}",
            )
            print(f"{side}, seed {seed}", flush=True)


def compare(out: Path, sides: list[str], seeds: int) -> None:
    """Print widths of intervals and the ratios of deviations."""
    runs = {(side, s): diversity.read_samples(out / f"{side}-{s}") for side in sides for s in range(seeds)}
    metrics = [f"{facet}.similarity" for facet in FACETS]
    scores = {key: diversity.score(samples, metrics=metrics, conditions=["all"]) for key, samples in runs.items()}
    pre = sides[0]
    print("post           facet      noise        pairs  equal   shift    width  sd of a prompt's shift")
    for post in sides[1:]:
        for facet in FACETS:
            deviations = {}
            for name, is_shared in (("shared", True), ("independent", False)):
                pairs = [(i, j) for i, j in itertools.product(range(seeds), repeat=2) if (i == j) == is_shared]
                shifts = [
                    diversity.compare(scores[pre, i], scores[post, j], allow_settings_differ=True)
                    .frame.filter(facet=facet, condition="all")
                    .row(0, named=True)
                    for i, j in pairs
                ]
                values = np.stack([influence(scores[pre, i].frame, scores[post, j].frame, facet) for i, j in pairs])
                deviations[name] = values
                equal = np.mean(
                    [(runs[pre, i].frame["output"] == runs[post, j].frame["output"]).mean() for i, j in pairs]
                )
                print(
                    f"{post:14s} {facet:10s} {name:12s} {len(pairs):5d}  {equal:5.3f}  "
                    f"{np.mean([s['shift'] for s in shifts]):+.4f}  "
                    f"{np.mean([s['ci_high'] - s['ci_low'] for s in shifts]):.4f}  {rms(values):.4f}"
                )
            low, high = interval(deviations["shared"], deviations["independent"])
            ratio = rms(deviations["shared"]) / rms(deviations["independent"])
            print(f"{post:14s} {facet:10s} shared / independent: {ratio:.3f} [{low:.3f}, {high:.3f}]", flush=True)


def influence(pre: pl.DataFrame, post: pl.DataFrame, facet: str) -> np.ndarray:
    """Each prompt's part in the shift of the log effective number, in the order of the prompts."""
    sides = [f.filter(facet=facet, condition="all").sort("prompt_id")["value"].to_numpy() for f in (pre, post)]
    m = REFERENCE_SIZE
    one, other = ((m - 1) * s / (1 + (m - 1) * max(0.0, s.mean())) for s in sides)
    return one - other


def rms(values: np.ndarray) -> float:
    """Standard deviation over prompts, as a root mean square over the pairs of runs."""
    return float(np.sqrt(values.var(axis=1, ddof=1).mean()))


def interval(shared: np.ndarray, independent: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the ratio; prompts are drawn, the same for both."""
    rng = np.random.default_rng(0)
    size = shared.shape[1]
    ratios = []
    for _ in range(REPLICATES):
        drawn = rng.integers(0, size, size)
        ratios.append(rms(shared[:, drawn]) / rms(independent[:, drawn]))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Sample, or compare what is sampled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sample", "compare"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checkpoint", default="reference:pre")
    parser.add_argument("--post", nargs="+", default=["T=0.95", "alpha=0.25"])
    parser.add_argument("--domain", default="story")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--batch", type=int, default=160)
    given = parser.parse_args()
    sides = ["pre", *given.post]
    if given.what == "sample":
        sample(given.out, sides, given)
    else:
        compare(given.out, sides, given.seeds)


if __name__ == "__main__":
    main()

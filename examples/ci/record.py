"""Samples the three checkpoints of this example: before, good, collapsed. Some ten minutes on two cores.

    python examples/ci/record.py

`before` is SmolLM2-135M-Instruct, `good` the same after the DPO run of the demo, which made its stories more varied.
`collapsed` is `before` with its logits times three: what over-optimised tuning does to a checkpoint in one step, and
nothing else. Its weights differ in the last norm alone, so at temperature 1 it writes what `before` writes at 1/3.
"""

import sys
import tempfile
from pathlib import Path

import diversity
from diversity.reference import base

HERE = Path(__file__).parent
SHARPER = 3
PROMPTS, N = 24, 8
TOKENS = {"story": 56, "factual": 16}


def collapsed(folder: Path) -> Path:
    """Save the reference model with sharper logits."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    before = base()
    model = AutoModelForCausalLM.from_pretrained(before, dtype=torch.float32)
    with torch.no_grad():
        model.model.norm.weight *= SHARPER
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(before).save_pretrained(folder)
    return folder


def main(*names: str) -> None:
    """Sample those named, by default all three."""
    import polars as pl

    for name in names or ("before", "good", "collapsed"):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = {"before": "reference:pre", "good": "reference:post"}.get(name)
            drawn = [
                diversity.sample(
                    checkpoint or collapsed(Path(folder)),
                    domains=domain,
                    n=N,
                    prompts=PROMPTS,
                    max_tokens=tokens,
                    name=name,
                    batch=96,
                )
                for domain, tokens in TOKENS.items()
            ]
        table = pl.concat([samples.frame for samples in drawn], how="diagonal_relaxed")
        provenance = {domain: dict(samples.provenance) for domain, samples in zip(TOKENS, drawn, strict=True)}
        diversity.Samples.of(table, {"sampled": provenance}).write(HERE / f"{name}.parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])

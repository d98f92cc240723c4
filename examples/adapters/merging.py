"""Merge the adapter of the reference pair with one for arithmetic, and measure what each merge keeps.

    python examples/merging/run.py runs/merging

Everything is seeded and kept in the folder; what is there already is not made again. Writes result.json.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import tune

import diversity
from diversity import reference
from diversity.execution import execute
from diversity.merging import Adapters, matrix, seesaw

WAYS = ("cat", "ties")
DOMAINS, PROMPTS, N, MOST_TOKENS, SEED, TOP = ["code", "math"], 10, 4, 80, 0, 0.01


def main(folder: Path) -> None:
    """Tune, merge, sample, compare."""
    arithmetic = folder / "math"
    if not (arithmetic / "adapter_config.json").exists():
        tune.main(arithmetic)
    base = reference.base()
    adapters = Adapters(base, {"reference": reference.adapter(), "arithmetic": arithmetic})
    found = [asdict(each) for each in adapters.report(TOP)]
    for way in WAYS:
        if not (folder / way).exists():
            adapters.merge(folder / way, way, seed=SEED)
    if not (folder / "protected").exists():
        adapters.protect(folder / "protected", top=TOP)
    del adapters
    checkpoints = {"base": "reference:pre", "reference": "reference:post", "arithmetic": str(arithmetic)}
    checkpoints |= {name: str(folder / name) for name in (*WAYS, "protected")}
    samples = {}
    for name, checkpoint in checkpoints.items():
        drawn = diversity.sample(
            checkpoint,
            domains=DOMAINS,
            prompts=PROMPTS,
            n=N,
            max_tokens=MOST_TOKENS,
            seed=SEED,
            name=name,
            batch=40,
            store=folder / "samples" / name,
        )
        samples[name] = execute(drawn, mode="rlimits")
        print(f"sampled {name}", file=sys.stderr, flush=True)
    before = samples.pop("base")
    table = matrix(before, samples, seed=SEED)
    index = {
        str(name): {"quality": seesaw(own["quality_shift"]), "diversity": seesaw(own["relative"].drop_nulls())}
        for (name,), own in table.group_by("checkpoint", maintain_order=True)
    }
    result = {"overlap": found, "matrix": table.to_dicts(), "seesaw": index}
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

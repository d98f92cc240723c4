"""Merge two small adapters, each good at its own task, and measure what each merge keeps and what it costs.

    python examples/adapters/merging.py runs/merging

Everything is seeded and kept in the folder; what is there already is not made again. Writes result.json, an audit a
checkpoint, and the trade surface over all of them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import small
import tasks

from diversity import reference
from diversity.audit import audit
from diversity.merging import Adapters, matrix, seesaw
from diversity.registry import add_domain
from diversity.trade import trade

TASKS, STEPS, SEED = ("capitals", "lists"), 24, 0
# "mean" is what `protected` is without cores: the changes of both at half their size.
MERGES: dict[str, dict[str, Any]] = {"mean": {"way": "cat", "weights": [0.5, 0.5]}}
TOPS = {"protected-1": 0.01}
# Domain, prompts, outputs a prompt, cap on tokens.
ASKED = (("capitals", 24, 4, 14), ("lists", 24, 4, 26), ("formats", 12, 3, 32))


def main(folder: Path) -> None:
    """Tune, merge, sample, compare."""
    for domain in (tasks.Capitals(), tasks.Lists()):
        add_domain(domain)
    for name in TASKS:
        if not (folder / name).exists():
            small.tune(getattr(tasks, name)(SEED), folder / name, steps=STEPS, seed=SEED)
    adapters = Adapters(reference.base(), {name: folder / name for name in TASKS})
    found = [asdict(each) for top in TOPS.values() for each in adapters.report(top)]
    for name, how in MERGES.items():
        if not (folder / name).exists():
            adapters.merge(folder / name, seed=SEED, **how)
    for name, top in TOPS.items():
        if not (folder / name).exists():
            adapters.protect(folder / name, top=top)
    del adapters
    before = small.sampled("base", "reference:pre", ASKED, folder / "samples")
    after = {
        name: small.sampled(name, str(folder / name), ASKED, folder / "samples") for name in (*TASKS, *MERGES, *TOPS)
    }
    table = matrix(before, after, seed=SEED).filter(pl.col("domain").is_in(TASKS))
    index = {
        str(name): {"quality": seesaw(own["quality_shift"]), "diversity": seesaw(own["relative"].drop_nulls())}
        for (name,), own in table.group_by("checkpoint", maintain_order=True)
    }
    audits = {name: audit(before, samples, tuned=TASKS, seed=SEED) for name, samples in after.items()}
    for name, each in audits.items():
        each.to_json(folder / f"audit-{name}.json")
        each.to_markdown(folder / f"audit-{name}.md")
    surface = trade(audits)
    surface.to_html(folder / "trade.html")
    result = {"overlap": found, "matrix": table.to_dicts(), "seesaw": index}
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    print(surface.to_markdown(folder / "trade.md"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

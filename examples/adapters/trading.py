"""Tune one model on its own best programs, and set what it gains against what it costs, beside DPO.

    python examples/adapters/trading.py runs/trade

The method is rejection sampling: cool outputs of the base model (T = 0.2) for prompts that are in no domain, of which
those are kept that hold a valid program, and supervised steps on them. The other way is the adapter of the reference
pair, which was tuned by DPO. Everything is seeded and kept in the folder; what is there already is not made again.
Writes an audit a way and the trade surface.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import small

import diversity
from diversity.audit import audit
from diversity.reference.tune import read_prompts
from diversity.registry import find_domain
from diversity.trade import trade

# More strengths: a line each.
STRENGTHS = {"rank8-steps12": {"rank": 8, "steps": 12}}
# Domain, prompts, outputs a prompt, cap on tokens.
ASKED = (("code", 12, 4, 72), ("factual", 12, 4, 16), ("formats", 12, 4, 32))
SEED = 0


def own_programs(folder: Path) -> list[tuple[str, str, bool]]:
    """The base model's cool outputs that hold a program: prompt, output, whether it came to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prompts.jsonl"
    asked = {f"own-{i:02}": text for i, text in enumerate(read_prompts()["train"]["code"])}
    file.write_text("".join(json.dumps({"prompt_id": k, "prompt": v}) + "\n" for k, v in asked.items()))
    drawn = diversity.sample(
        "reference:pre",
        domains="code",
        prompts=file,
        n=2,
        temperature=0.2,
        max_tokens=72,
        seed=SEED,
        batch=96,
        store=folder / "own",
    )
    code = find_domain("code")
    rows = drawn.frame.sort("prompt_id", "sample_index").select("prompt_id", "output", "finish_reason").iter_rows()
    kept = [(asked[p], o, why == "stop") for p, o, why in rows if code.is_valid(code.answer(o), None)]
    print(f"{len(kept)} of {len(drawn)} own outputs hold a program", file=sys.stderr, flush=True)
    return kept


def main(folder: Path) -> None:
    """Tune, sample, audit, compare."""
    missing = {name: how for name, how in STRENGTHS.items() if not (folder / name).exists()}
    if missing:
        texts = own_programs(folder)
        for name, how in missing.items():
            small.tune(texts, folder / name, batch=2, seed=SEED, **how)
    before = small.sampled("base", "reference:pre", ASKED, folder / "samples")
    ways = {name: str(folder / name) for name in STRENGTHS} | {"dpo-rank8-steps48": "reference:post"}
    audits = {}
    for name, checkpoint in ways.items():
        audits[name] = audit(
            before, small.sampled(name, checkpoint, ASKED, folder / "samples"), tuned="code", seed=SEED
        )
        audits[name].to_json(folder / f"audit-{name}.json")
        audits[name].to_markdown(folder / f"audit-{name}.md")
    surface = trade(audits)
    surface.to_html(folder / "trade.html")
    surface.to_json(folder / "trade.json")
    print(surface.to_markdown(folder / "trade.md"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

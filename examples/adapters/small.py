"""Small adapters of the reference model, tuned by supervised steps and sampled: what both examples here share.

Rank, alpha and modules are by default those of the adapter of the reference pair. Seeded; other processors and
versions give a similar adapter, not the same bytes.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

import diversity
from diversity import reference
from diversity.sampling import open_checkpoint
from diversity.tables import Samples

RATE, WARMUP = 1e-3, 4
TARGETS = ["down_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


def tune(
    texts: Sequence[tuple[str, str, bool]], out: Path, *, steps: int, rank: int = 8, batch: int = 4, seed: int = 0
) -> None:
    """Learn to answer: (prompt, answer, whether the answer is at its end), in an order drawn anew each time round."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = random.Random(seed)
    base = str(reference.base())
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=TARGETS, task_type="CAUSAL_LM"),
    )
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=RATE, weight_decay=0.0)
    order: list[tuple[str, str, bool]] = []
    for step in range(steps):
        while len(order) < batch:
            order += rng.sample(texts, len(texts))
        rows, labels = [], []
        for asked, answer, ended in (order.pop(0) for _ in range(batch)):
            chat = [{"role": "user", "content": asked}]
            start = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
            written = tokenizer(answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] * ended
            rows.append(start + written)
            labels.append([-100] * len(start) + written)
        width = max(map(len, rows))
        ids = torch.tensor([r + [tokenizer.eos_token_id] * (width - len(r)) for r in rows])
        mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
        wanted = torch.tensor([r + [-100] * (width - len(r)) for r in labels])
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * (1 - step / steps)
        loss = model(input_ids=ids, attention_mask=mask, labels=wanted).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 4 == 0 or step == steps - 1:
            print(f"{out.name}, step {step}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(out)


def sampled(name: str, checkpoint: str, asked: Sequence[tuple[str, int, int, int]], folder: Path) -> Samples:
    """Outputs of a checkpoint in each (domain, prompts, outputs a prompt, cap on tokens), at temperature 1."""
    backend = open_checkpoint(checkpoint)
    frames = [
        diversity.sample(
            backend,
            domains=domain,
            prompts=prompts,
            n=n,
            max_tokens=most,
            seed=0,
            name=name,
            batch=96,
            store=folder / f"{name}-{domain}",
        ).frame
        for domain, prompts, n, most in asked
    ]
    print(f"sampled {name}", file=sys.stderr, flush=True)
    return Samples.of(pl.concat(frames, how="diagonal_relaxed"))

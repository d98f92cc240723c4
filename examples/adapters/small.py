"""A second adapter for the reference model: it learns to work arithmetic problems out and to mark the answer.

Supervised steps on made-up problems with their worked solutions. Rank, alpha and modules are those of the adapter of
the reference pair, so that every way of merging can take the two. Seeded; other processors and versions give a
similar adapter, not the same bytes.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from diversity import reference

STEPS, BATCH, RATE, SEED = 32, 2, 1e-3, 0
TARGETS = ["down_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


def problem(rng: random.Random) -> tuple[str, str]:
    """One problem and its worked solution; the texts are not those of the math domain."""
    a, b, c = rng.randint(2, 12), rng.randint(2, 12), rng.randint(2, 30)
    kind = rng.randrange(5)
    if kind == 0:
        asked = f"A crate holds {a} melons. A farmer fills {b} crates and has {c} melons left. How many has he in all?"
        work = f"{b} crates hold {b} * {a} = {a * b} melons.\nWith the rest that is {a * b} + {c} = {a * b + c}."
        answer = a * b + c
    elif kind == 1:
        asked = f"{a * b} chairs stand in {a} equal rows. How many chairs are in one row?"
        work = f"Each row holds {a * b} / {a} = {b} chairs."
        answer = b
    elif kind == 2:
        asked = f"Solve for x: {a}x + {c} = {a * b + c}."
        work = f"Take {c} from both sides: {a}x = {a * b}.\nDivide by {a}: x = {b}."
        answer = b
    elif kind == 3:
        asked = f"Nora has {a * b} coins, gives away {b} and finds {c}. How many coins does she have then?"
        work = f"After giving away: {a * b} - {b} = {a * b - b}.\nAfter finding: {a * b - b} + {c} = {a * b - b + c}."
        answer = a * b - b + c
    else:
        asked = (
            f"A tram ride costs {a} euros and a ferry ride {b} euros. What do {c} tram rides and one ferry ride cost?"
        )
        work = f"The tram rides cost {c} * {a} = {c * a} euros.\nTogether: {c * a} + {b} = {c * a + b} euros."
        answer = c * a + b
    return asked, f"{work}\nAnswer: {answer}"


def main(out: Path) -> None:
    """Train and save."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = random.Random(SEED)
    base = str(reference.base())
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=TARGETS, task_type="CAUSAL_LM"),
    )
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE, weight_decay=0.0)
    for step in range(STEPS):
        rows, labels = [], []
        for asked, solution in (problem(rng) for _ in range(BATCH)):
            chat = [{"role": "user", "content": asked}]
            start = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
            written = [*tokenizer(solution, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            rows.append(start + written)
            labels.append([-100] * len(start) + written)
        width = max(map(len, rows))
        ids = torch.tensor([r + [tokenizer.eos_token_id] * (width - len(r)) for r in rows])
        mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
        wanted = torch.tensor([r + [-100] * (width - len(r)) for r in labels])
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 4) * (1 - step / STEPS)
        loss = model(input_ids=ids, attention_mask=mask, labels=wanted).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 4 == 0:
            print(f"step {step}: loss {float(loss):.3f}", file=sys.stderr, flush=True)
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

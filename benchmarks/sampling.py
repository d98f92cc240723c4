"""Throughput of sampling against plain `generate`, and of importing a million outputs.

    python benchmarks/sampling.py generate --checkpoint reference:pre
    python benchmarks/sampling.py import --rows 1000000

`generate`: prompts x n outputs in one batch, by us and by `generate(num_return_sequences=n, do_sample=True)`, in turns;
neither may stop early, so both draw the same number of tokens. Times are CPU seconds of the process, the least of the
turns. `import`: a file of JSON lines is written, then read into Samples in a process of its own, whose peak memory is
told.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

READ = """
import resource, sys, time
from diversity import read_samples
started = time.perf_counter()
samples = read_samples(sys.argv[1], "table")
seconds = time.perf_counter() - started
print(len(samples), seconds, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def time_generate(checkpoint: str, prompts: int, n: int, tokens: int, turns: int) -> None:
    """Print both rates and their ratio."""
    import torch
    from transformers import GenerationConfig

    from diversity.registry import find_domain
    from diversity.sampling import Request, Settings
    from diversity.sampling.local import Local

    backend = Local(checkpoint)
    backend._ends = []  # neither side stops early
    model, tokenizer = backend._model, backend._tokenizer
    domain = find_domain("story")
    requests = [Request(domain, p, k, 0) for p in domain.prompts[:prompts] for k in range(n)]
    texts = [backend._rendered(r) for r in requests[::n]]
    configuration = GenerationConfig(
        do_sample=True, num_return_sequences=n, max_new_tokens=tokens, pad_token_id=tokenizer.pad_token_id, top_k=0
    )

    def ours() -> None:
        backend.draw(requests, Settings(n=n), tokens)

    def plain() -> None:
        encoded = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        given = {k: encoded[k] for k in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            rows = model.generate(**given, generation_config=configuration)
        tokenizer.batch_decode(rows[:, given["input_ids"].shape[1] :])

    best = {}
    for run in (ours, plain):
        run()
    for _ in range(turns):
        for name, run in (("ours", ours), ("generate", plain)):
            started = time.process_time()
            run()
            best[name] = min(best.get(name, 1e9), time.process_time() - started)
    for name, seconds in best.items():
        print(f"{name:10s} {prompts * n * tokens / seconds:8.0f} tokens a CPU second")
    print(f"ours / generate: {best['generate'] / best['ours']:.2f}")


def time_import(rows: int) -> None:
    """Print the rate and the peak memory."""
    rng = random.Random(0)  # noqa: S311 - no secret
    words = [f"word{i}" for i in range(2000)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.jsonl"
        with path.open("w") as stream:
            for i in range(rows):
                text = " ".join(rng.choices(words, k=40))
                row = {"model": "m", "task_id": f"p{i // 16}", "prompt": f"Prompt {i // 16}", "response": text}
                stream.write(json.dumps(row) + "\n")
        size = path.stat().st_size / 1e6
        done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True)
    count, seconds, busy, memory = done.stdout.split()
    print(
        f"{count} outputs, {size:.0f} MB: {size / float(seconds):.0f} MB/s by the clock, "
        f"{size / float(busy):.0f} MB a CPU second, peak {float(memory):.2f} GB"
    )


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["generate", "import"])
    parser.add_argument("--checkpoint", default="reference:pre")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("-n", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    if given.what == "generate":
        time_generate(given.checkpoint, given.prompts, given.n, given.tokens, given.turns)
    else:
        time_import(given.rows)


if __name__ == "__main__":
    main()

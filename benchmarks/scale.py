"""What scoring costs as tables grow: time, memory, use of the processors, and how far it spreads over machines.

    python benchmarks/scale.py                     # some minutes
    python benchmarks/scale.py --outputs 1000000   # the whole, an hour on two cores

Tables are drawn from a Zipf law, half prose and half Python. Every run is a process of its own, without the cache, over
the text and tree panels. Prints a table, the exponent of cost in outputs and in samples a prompt, and what a simulation
of many workers fed by one reader gives with the block times that were measured.
"""

import argparse
import heapq
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl

WORDS = 150
CODE = (
    "def f{0}(items, key={1}):\n    found = []\n    for {2} in items:\n        if {2} > key:\n"
    "            found.append({2} * {1})\n    return found\n"
)


def make(path: Path, outputs: int, n: int, seed: int = 0) -> None:
    """Write a table of two checkpoints x two domains, n outputs a prompt."""
    rng = np.random.default_rng(seed)
    vocabulary = np.array(
        [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "ll", "w", "")]
    )
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    weights /= weights.sum()
    prompts = max(2, outputs // (2 * n))
    pieces = []
    for start in range(0, prompts, 1000):
        rows = []
        for p in range(start, min(start + 1000, prompts)):
            for checkpoint in ("pre", "post"):
                for k in range(n):
                    if p % 2:
                        text = " ".join(rng.choice(vocabulary, WORDS, p=weights))
                        domain = "story"
                    else:
                        parts = (
                            CODE.format(*rng.integers(0, 50, 2), "xyzvw"[rng.integers(5)]) for _ in range(WORDS // 25)
                        )
                        text, domain = f"```python\n{''.join(parts)}```", "code"
                    rows.append((checkpoint, domain, f"p{p:07}", k, text))
        names = ["checkpoint", "domain", "prompt_id", "sample_index", "output"]
        pieces.append(pl.DataFrame(rows, schema=names, orient="row"))
    pl.concat(pieces).write_parquet(path)


def run(source: Path, workers: int) -> dict[str, float]:
    """Score a table in a process of its own; seconds, processor seconds, and the most memory of all its processes."""
    code = (
        "import sys, json, resource, time\n"
        "from diversity.registry import metrics\n"
        "from diversity.streaming import score_file\n"
        "chosen = [m for m in metrics().values() if m.default and m.needs != 'vectors']\n"
        "names = [m.name for m in chosen if m.unit != 'between checkpoints']\n"
        "score_file(sys.argv[1], sys.argv[2], metrics=names, conditions=['all'], workers=int(sys.argv[3]))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(source), f"{folder}/scores.parquet", str(workers)],
            env={**os.environ, "DIVERSITY_NO_CACHE": "1"},
        )
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
        watcher.start()
        if process.wait():
            raise SystemExit("the run failed")
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": spent, "peak_gb": peak[0] / 1e9, "use": spent / seconds}


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Sum the resident memory of a process and all below it, five times a second."""
    while process.poll() is None:
        parents: dict[int, int] = {}
        pages: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(") ", 1)[1].split()
            except OSError:
                continue
            parents[int(stat.parent.name)], pages[int(stat.parent.name)] = int(fields[1]), int(fields[21])
        own = {process.pid}
        for _ in range(4):
            own |= {pid for pid, parent in parents.items() if parent in own}
        peak[0] = max(peak[0], sum(pages.get(pid, 0) for pid in own) * resource.getpagesize())
        time.sleep(0.2)


def parts(source: Path, folder: Path) -> tuple[list[float], float]:
    """Processor seconds of each block, and those that the reading process spends on a block beside them."""
    from diversity.blocks import Here
    from diversity.registry import metrics
    from diversity.streaming import score_file

    os.environ["DIVERSITY_NO_CACHE"] = "1"
    spent: list[float] = []

    class Timed(Here):
        def result(self, future):
            start = time.process_time()
            block = super().result(future)
            spent.append(time.process_time() - start)
            return block

    chosen = [m for m in metrics().values() if m.default and m.needs != "vectors"]
    names = [m.name for m in chosen if m.unit in ("within output", "within prompt")]
    start = time.process_time()
    score_file(source, folder / "scores", metrics=names, conditions=["all"], engine=Timed())
    return spent, (time.process_time() - start - sum(spent)) / len(spent)


def simulate(blocks: int, workers: int, seconds: list[float], feed: float, rng: np.random.Generator) -> float:
    """Share of the workers' time that is spent measuring, when one reader hands out blocks of the measured times."""
    free = [0.0] * workers
    heapq.heapify(free)
    reader = busy = 0.0
    for _ in range(blocks):
        reader = max(reader + feed, free[0])  # a block is read when a worker waits for it or will soon
        took = float(rng.choice(seconds))
        busy += took
        heapq.heapreplace(free, max(free[0], reader) + took)
    return busy / (workers * max(free))


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", type=int, default=40_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for outputs, n, workers in (
            (given.outputs // 4, 100, 2),
            (given.outputs // 2, 100, 2),
            (given.outputs, 100, 2),
            (given.outputs, 100, 1),
            (given.outputs // 4, 25, 2),
            (given.outputs // 4, 400, 2),
        ):
            path = Path(folder) / f"{outputs}-{n}.parquet"
            if not path.exists():
                make(path, outputs, n)
            rows.append({"outputs": outputs, "n": n, "workers": workers, **run(path, workers)})
            print(json.dumps(rows[-1]), flush=True)
    found["runs"] = rows
    by = {(r["outputs"], r["n"], r["workers"]): r for r in rows}
    small, large = by[given.outputs // 4, 100, 2], by[given.outputs, 100, 2]
    few, many = by[given.outputs // 4, 25, 2], by[given.outputs // 4, 400, 2]
    found["exponent_in_outputs"] = float(np.log(large["cpu"] / small["cpu"]) / np.log(4))
    found["exponent_in_samples_at_fixed_outputs"] = float(np.log(many["cpu"] / few["cpu"]) / np.log(16))
    with tempfile.TemporaryDirectory() as folder:
        make(source := Path(folder) / "few.parquet", 5 * 4096, 100)
        blocks, feed = parts(source, Path(folder))
    rng = np.random.default_rng(0)
    found["block_seconds"], found["feed_seconds"] = blocks, feed
    found["use_of_workers"] = {w: simulate(50 * w, w, blocks, feed, rng) for w in (2, 8, 64, 256, 1024)}
    print(json.dumps({k: v for k, v in found.items() if k != "runs"}, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

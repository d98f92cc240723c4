"""What scoring costs as tables grow: time, memory, use of the processors; and what the whole of a lab's outputs would.

    python benchmarks/scale.py                             # some minutes; writes scale.json and docs/scale.md
    python benchmarks/scale.py --outputs 1000000           # the whole, an hour or more on two cores
    python benchmarks/scale.py --cost                      # what is stored, with the prices below or your own
    python benchmarks/scale.py --cost --price-core-hour 0.02 --gpu-tokens 4000

Tables are drawn from a Zipf law, half prose and half Python, two checkpoints. Every run is a process of its own,
without the cache unless asked, over the text and tree panels. What 1e9 outputs cost follows from the runs: processor
seconds an output, bytes an output, and a simulation of many workers, some slow and some lost, each fed by one reader,
with the block times that were measured.
"""

import argparse
import heapq
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pages import written

STORED = Path(__file__).with_name("scale.json")
PEERS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
WORDS = 150
CODE = (
    "def f{0}(items, key={1}):\n    found = []\n    for {2} in items:\n        if {2} > key:\n"
    "            found.append({2} * {1})\n    return found\n"
)
SCORE = """
import json, sys, time
from diversity.registry import metrics
from diversity.streaming import score_file
names = [m.name for m in metrics().values() if m.default and m.needs != "vectors" and m.unit != "between checkpoints"]
started, last = time.perf_counter(), {}
def progress(what, done, total):
    last[what] = time.perf_counter() - started
count = score_file(
    sys.argv[1], sys.argv[2], metrics=names, conditions=["all"], workers=int(sys.argv[3]), progress=progress
)
print(json.dumps({"scores": count, "until": last | {"written": time.perf_counter() - started}}))
"""
# What a figure on the page rests on beside the measurements: value, unit, where it is from and of when.
GIVEN = {
    "price_core_hour": (
        0.0408,
        "$ a core and hour",
        "half of an m7g.large, on demand, us-east-1, as told by factualminds.com, June 2026",
    ),
    "price_gpu_hour": (
        3.0,
        "$ a GPU and hour",
        "H100 SXM at specialised providers, $2.50 to 3.50 as told by mercatus-ai.com, May 2026",
    ),
    "gpu_tokens": (
        12_500.0,
        "tokens a second and GPU",
        "Llama 3.1 8B on one H100 under vLLM, as told by morphllm.com/vllm-benchmarks, April 2026; ours not measured",
    ),
    "tokens": (200.0, "tokens an output", "150 words of English, at 0.75 words a token"),
    "of_peak": (0.7, "of that throughput", "an assumption: prompts are read too, and the last batch is not full"),
    "cores": (2000.0, "cores", "an assumption"),
    "gpus": (256.0, "GPUs", "an assumption"),
    "slow": (0.02, "of the workers are four times slower", "an assumption"),
    "lost": (
        0.05,
        "losses a worker and hour",
        "an assumption: one in 20 hours, as with cheap machines that may be taken back",
    ),
}
BLOCK = 4096  # outputs, as diversity.blocks.BLOCK
RESTART = 120.0  # seconds until a lost worker is replaced


def make(folder: Path, outputs: int, n: int, seed: int = 0) -> str:
    """Write a table of two checkpoints x two domains, n outputs a prompt; returns the pattern of its files.

    A file for each checkpoint and 1,000 prompts, as two runs of sampling leave them: a prompt's two sides lie apart.
    """
    rng = np.random.default_rng(seed)
    vocabulary = np.array(
        [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "ll", "w", "")]
    )
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    weights /= weights.sum()
    functions = np.array([CODE.format(i, k, v) for i in range(12) for k in range(12) for v in "xyzvw"])
    folder.mkdir()
    prompts = max(2, outputs // (2 * n))
    for checkpoint in ("pre", "post"):
        for start in range(0, prompts, 1000):
            texts: list[str] = []
            own = range(start, min(start + 1000, prompts))
            for p in own:
                if p % 2:
                    texts += map(" ".join, rng.choice(vocabulary, (n, WORDS), p=weights))
                else:
                    drawn = rng.choice(functions, (n, WORDS // 25))
                    texts += (f"```python\n{''.join(program)}```" for program in drawn)
            columns = {
                "checkpoint": checkpoint,
                "domain": np.repeat(["story" if p % 2 else "code" for p in own], n),
                "prompt_id": np.repeat([f"p{p:07}" for p in own], n),
                "sample_index": np.tile(np.arange(n), len(own)),
                "output": texts,
            }
            pl.DataFrame(columns).write_parquet(folder / f"{checkpoint}-{start:07}.parquet", row_group_size=50_000)
    return f"{folder}/*.parquet"


def run(source: str, workers: int, *, is_cached: bool = False) -> dict[str, Any]:
    """Score a table in a process of its own: seconds, processor seconds, memory of all its processes, temporary files.

    `use` is the share of the cores that the run had, `busy` the share that it had or waited for: where other work runs
    on the machine, only the second says whether the processes keep the cores busy.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DIVERSITY_CACHE": f"{folder}/cache",
            "DIVERSITY_NO_CACHE": "" if is_cached else "1",
        }
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", SCORE, source, f"{folder}/scores.parquet", str(workers)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        peak: dict[str, float] = {"rss": 0, "pss": 0, "disk": 0, "busy": 0}
        watcher = threading.Thread(target=_watch, args=(process, Path(folder), peak), daemon=True)
        watcher.start()
        said, _ = process.communicate()
        if process.returncode:
            raise SystemExit("the run failed")
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        watcher.join()
        size = Path(f"{folder}/scores.parquet").stat().st_size
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cores = len(os.sched_getaffinity(0))
    told = json.loads(said)
    return {
        "seconds": seconds,
        "cpu": spent,
        "use": spent / seconds / cores,
        "busy": peak["busy"],
        "peak_rss_gb": peak["rss"] / 1e9,
        "peak_pss_gb": peak["pss"] / 1e9,
        "peak_disk_gb": peak["disk"] / 1e9,
        "scores": told["scores"],
        "scores_gb": size / 1e9,
        "until": told["until"],
    }


def _watch(process: subprocess.Popen[str], folder: Path, peak: dict[str, float]) -> None:
    """Keep the most memory of a process and all below it, of its temporary files, and how many of them can run.

    Pages that processes share count in each one's resident set and once in the proportional set.
    """
    cores, ready = len(os.sched_getaffinity(0)), []
    while process.poll() is None:
        parents: dict[int, int] = {}
        pages: dict[int, int] = {}
        states: dict[int, str] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(") ", 1)[1].split()
            except OSError:
                continue
            pid = int(stat.parent.name)
            parents[pid], pages[pid], states[pid] = int(fields[1]), int(fields[21]), fields[0]
        own = {process.pid}
        for _ in range(4):
            own |= {pid for pid, parent in parents.items() if parent in own}
        ready.append(min(cores, sum(states.get(pid) == "R" for pid in own)))
        peak["busy"] = sum(ready) / len(ready) / cores
        peak["rss"] = max(peak["rss"], sum(pages.get(pid, 0) for pid in own) * resource.getpagesize())
        peak["pss"] = max(peak["pss"], sum(map(_proportional, own)))
        disk = 0
        for place, _, names in os.walk(folder):
            for name in names:
                try:
                    disk += (Path(place) / name).stat().st_size
                except OSError:
                    continue
        peak["disk"] = max(peak["disk"], disk)
        time.sleep(0.5)


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def parts(source: str, folder: Path) -> tuple[list[float], float]:
    """Processor seconds of each block, and of the process that reads on a block beside them."""
    from diversity import blocks, streaming
    from diversity.blocks import Here
    from diversity.registry import metrics

    os.environ["DIVERSITY_NO_CACHE"] = "1"
    streaming.FROM, blocks.FEW = 1, 1  # read in parts, and in blocks of a large table, though it is small
    spent: list[float] = []

    class Timed(Here):
        def result(self, future: Any) -> Any:
            start = time.process_time()
            block = super().result(future)
            spent.append(time.process_time() - start)
            return block

    chosen = [m for m in metrics().values() if m.default and m.needs != "vectors"]
    names = [m.name for m in chosen if m.unit in ("within output", "within prompt")]
    start = time.process_time()
    streaming.score_file(source, folder / "scores", metrics=names, conditions=["all"], engine=Timed())
    done = time.process_time() - start
    shutil.rmtree(source.rpartition("/")[0])
    return spent, (done - sum(spent)) / len(spent)


def simulate(
    blocks: int,
    workers: int,
    seconds: list[float],
    feed: float,
    rng: np.random.Generator,
    *,
    slow: float = 0.0,
    lost: float = 0.0,
    ahead: int | None = None,
) -> float:
    """Share of the workers' time that goes into blocks that count, with one reader for all of them.

    A block of the measured times goes to the worker that is free first; no more than `ahead` blocks are under way, and
    they are taken in their order, as `diversity.blocks` does. A share of workers is four times slower; some are lost
    in the middle of a block, `lost` an hour, and their block is begun again.
    """
    from diversity.blocks import AHEAD

    ahead = ahead or AHEAD * workers
    free = [(0.0, worker) for worker in range(workers)]
    pace = np.where(rng.random(workers) < slow, 4.0, 1.0)
    took = rng.choice(seconds, blocks)
    until_loss = rng.exponential(3600 / lost, blocks) if lost else np.full(blocks, np.inf)
    taken = np.zeros(blocks)
    reader = last = 0.0
    for i in range(blocks):
        reader = max(reader, taken[i - ahead] if i >= ahead else 0.0) + feed
        ready, worker = heapq.heappop(free)
        start, needs = max(ready, reader), took[i] * pace[worker]
        if until_loss[i] < needs:
            heapq.heappush(free, (start + until_loss[i] + RESTART, worker))
            ready, worker = heapq.heappop(free)
            start, needs = max(ready, start + until_loss[i]), took[i] * pace[worker]
        heapq.heappush(free, (start + needs, worker))
        last = max(last, start + needs)
        taken[i] = last
    return float(took.sum() / (workers * last))


def exponent(rows: list[dict[str, Any]], by: str) -> float:
    """Slope of the logarithm of processor seconds over that of a column, by least squares."""
    return float(np.polyfit(np.log([row[by] for row in rows]), np.log([row["cpu"] for row in rows]), 1)[0])


def measure(outputs: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Make all runs, those of an earlier call in the same folder left out, and yield what is found before the last."""
    kept = folder / "runs.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {"runs": []}
    done = [(row["of"], row["outputs"], row["n"]) for row in found["runs"]]
    shapes = [
        *((outputs // k, 100, 2, "outputs") for k in (8, 4, 2)),
        (outputs // 8, 100, 1, "one worker"),
        (outputs // 8, 100, 2, "with the cache"),
        # As many prompts, more samples of each.
        *((outputs // 8 * n // 100, n, 2, "samples") for n in (25, 50, 100, 200)),
        (outputs, 100, 2, "outputs"),
        (20_000, 10_000, 2, "one prompt"),
    ]
    for count, n, workers, of in shapes:
        if of == "one prompt":
            yield summary(found, *parts(make(folder / "parts", 5 * BLOCK, 100), folder))
        if (of, count, n) in done:
            continue
        place, start = folder / f"{count}-{n}", time.perf_counter()
        source = f"{place}/*.parquet" if place.exists() else make(place, count, n)
        row = {"of": of, "outputs": count, "n": n, "workers": workers, "made": time.perf_counter() - start}
        row |= run(source, workers, is_cached=of == "with the cache")
        found["runs"].append(row)
        found["bytes_an_output"] = sum(file.stat().st_size for file in place.glob("*.parquet")) / count
        kept.write_text(json.dumps(found))
        print(json.dumps(row), flush=True)
    yield found


def summary(found: dict[str, Any], blocks: list[float], feed: float) -> dict[str, Any]:
    """Add what follows from the runs, and the times of blocks."""
    found |= {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "exponent_in_outputs": exponent([row for row in found["runs"] if row["of"] == "outputs"], "outputs"),
        "exponent_in_samples": exponent([row for row in found["runs"] if row["of"] == "samples"], "n"),
        "block_seconds": blocks,
        "feed_seconds": feed,
    }
    return found


def largest(found: dict[str, Any]) -> dict[str, Any]:
    """Return the run with the most outputs."""
    return max((row for row in found["runs"] if row["of"] == "outputs"), key=lambda row: row["outputs"])


def runs_table(found: dict[str, Any]) -> str:
    """What was measured, as Markdown."""
    lines = [
        f"Measured {found['date']} on {found['cores']} cores, text and tree panels, all answers of {WORDS} words.",
        "",
        "| run | outputs | samples a prompt | workers | wall, s | of it across prompts | CPU, s | ms an output "
        "| cores had | had or waited for | peak RSS, GB | peak PSS, GB | temporary files, GB |",
        "|" + " --- |" * 13,
    ]
    lines += [
        f"| {row['of']} | {row['outputs']:,} | {row['n']:,} | {row['workers']} | {row['seconds']:,.0f} "
        f"| {row['until']['over prompts'] - row['until']['score']:,.1f} | {row['cpu']:,.0f} "
        f"| {1000 * row['cpu'] / row['outputs']:.2f} | {row['use']:.0%} | {row['busy']:.0%} "
        f"| {row['peak_rss_gb']:.2f} | {row['peak_pss_gb']:.2f} | {row['peak_disk_gb']:.2f} |"
        for row in sorted(found["runs"], key=lambda row: (row["of"] != "outputs", row["of"], row["n"], row["outputs"]))
    ]
    took = found["block_seconds"]
    lines += [
        "",
        f"CPU grows with the outputs to the power {found['exponent_in_outputs']:.2f}, and with the samples a prompt, "
        f"at as many prompts, to the power {found['exponent_in_samples']:.2f}. A block of {BLOCK:,} outputs takes "
        f"{np.mean(took):.1f} s ({min(took):.1f} to {max(took):.1f}), the process that reads and hands it out "
        f"{found['feed_seconds']:.2f} s of its own.",
    ]
    return "\n".join(lines)


def simulation_table(found: dict[str, Any], given: dict[str, float]) -> str:
    """What the simulation gives, as Markdown."""
    seconds, feed = found["block_seconds"], found["feed_seconds"]
    lines = [
        f"| workers of one reader | none slow or lost | {given['slow']:.0%} four times slower, {given['lost']:g} lost "
        "an hour each | the same, one block ahead |",
        "| --- | --- | --- | --- |",
    ]
    for workers in (2, 16, 64, 128, 256, 512):
        rng = np.random.default_rng(workers)
        hard = {"slow": given["slow"], "lost": given["lost"]}
        alone, with_losses, narrow = (
            simulate(60 * workers, workers, seconds, feed, rng, **how)
            for how in ({}, hard, {**hard, "ahead": workers + 1})
        )
        lines.append(f"| {workers:,} | {alone:.0%} | {with_losses:.0%} | {narrow:.0%} |")
    return "\n".join(lines)


def cost_table(found: dict[str, Any], given: dict[str, float], outputs: int = 10**9) -> str:
    """What so many outputs cost to draw and to score, as Markdown."""
    row, seconds, feed = largest(found), found["block_seconds"], found["feed_seconds"]
    per_output = row["cpu"] / row["outputs"]
    core_hours = outputs * per_output / 3600
    fed = int(np.mean(seconds) / feed / 2)  # half of what one reader could feed at best
    readers = max(1, -(-int(given["cores"]) // max(1, fed)))
    workers = max(1, int(given["cores"]) // readers)
    rng = np.random.default_rng(0)
    blocks = max(workers, outputs // BLOCK // readers)
    use = simulate(blocks, workers, seconds, feed, rng, slow=given["slow"], lost=given["lost"])
    hours = core_hours / given["cores"] / use
    sizes = found["bytes_an_output"] / 1e9, *(row[size] / row["outputs"] for size in ("scores_gb", "peak_disk_gb"))
    encoder = json.loads(PEERS.read_text())["panels"]["embedding"]
    embedding = outputs * encoder["ours_s"] / (32 * encoder["sets"]) / 3600
    tokens = outputs * given["tokens"]
    gpu_hours = tokens / (given["gpu_tokens"] * given["of_peak"]) / 3600
    table = [
        ("one output", "CPU", f"{1000 * per_output:.2f} ms", f"the run of {row['outputs']:,} outputs"),
        ("scoring", "core-hours of work", f"{core_hours:,.0f}", "that, times the outputs"),
        ("", "readers, workers of each", f"{readers}, {workers}", "each reader with half of what it could feed"),
        ("", "of the workers' time that counts", f"{use:.0%}", "the simulation below"),
        ("", "hours", f"{hours:,.1f}", f"on {given['cores']:,.0f} cores"),
        ("", "money", f"${hours * given['cores'] * given['price_core_hour']:,.0f}", "the cores' price"),
        (
            "",
            "samples, scores, temporary files",
            ", ".join(f"{outputs * each:,.0f}" for each in sizes) + " GB",
            "compressed parquet, over all readers",
        ),
        ("", "rows of scores", f"{outputs * row['scores'] / row['outputs']:.1e}", "a row a prompt, side and metric"),
        ("embedding", "core-hours", f"{embedding:,.0f}", "the encoder on processors, benchmarks/results.json"),
        ("", "money", f"${embedding * given['price_core_hour']:,.0f}", "the cores' price; GPUs are cheaper"),
        ("sampling", "tokens", f"{tokens:.1e}", f"{given['tokens']:.0f} an output"),
        (
            "",
            "GPU-hours",
            f"{gpu_hours:,.0f}",
            f"{given['gpu_tokens'] * given['of_peak']:,.0f} tokens a second and GPU",
        ),
        ("", "hours", f"{gpu_hours / given['gpus']:,.0f}", f"on {given['gpus']:,.0f} GPUs"),
        ("", "money", f"${gpu_hours * given['price_gpu_hour']:,.0f}", "the GPUs' price"),
    ]
    lines = [f"{outputs:,} outputs of {WORDS} words:", "", "| | what | | from |", "| --- | --- | --- | --- |"]
    lines += [f"| {a} | {b} | {c} | {d} |" for a, b, c, d in table]
    lines += ["", "| assumed | value | source |", "| --- | --- | --- |"]
    for name, (standard, unit, source) in GIVEN.items():
        said = source if given[name] == standard else "given"
        lines.append(f"| `--{name.replace('_', '-')}` | {given[name]:,g} {unit} | {said} |")
    return "\n".join(lines)


def tables(found: dict[str, Any], given: dict[str, float]) -> dict[str, str]:
    """All tables of the page, by the name of their place."""
    return {
        "runs": runs_table(found),
        "cost": cost_table(found, given),
        "simulation": simulation_table(found, given),
    }


def main() -> None:
    """Run all and print, or print what is stored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=int, default=40_000, help="Of the largest run.")
    parser.add_argument(
        "--folder", type=Path, help="Where tables are made, and found again with the runs that are done."
    )
    parser.add_argument("--cost", action="store_true", help="Only print what follows from scale.json.")
    parser.add_argument("--page", action="store_true", help="With --cost: write it into docs/scale.md too.")
    for name, (value, unit, _) in GIVEN.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value, help=f"{unit} [{value:g}]")
    given = parser.parse_args()
    numbers = {name: getattr(given, name) for name in GIVEN}
    if given.cost:
        made = tables(json.loads(STORED.read_text()), numbers)
        print("\n\n".join(made.values()))
        if given.page:
            PAGE.write_text(written(PAGE.read_text(), made, "scale.py"))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = given.folder or Path(folder)
        place.mkdir(exist_ok=True, parents=True)
        for found in measure(given.outputs, place):
            STORED.write_text(json.dumps(found, indent=1) + "\n")
            PAGE.write_text(written(PAGE.read_text(), tables(found, numbers), "scale.py"))
    print("\n\n".join(tables(found, numbers).values()))


if __name__ == "__main__":
    main()

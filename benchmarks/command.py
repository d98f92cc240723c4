"""What the command takes as a whole process: to start, and to compare two checkpoints of 100 prompts x 16 outputs.

    python benchmarks/command.py            # two minutes; writes its table into docs/benchmarks.md

Texts are those of benchmarks/scale.py, prose and Python of 150 words each. Nothing is cached, and no embedding model is
used.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from pages import written
from scale import WORDS, make

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PROMPTS, N = 100, 16
WITHOUT_EMBEDDINGS = ("-m", "lexical", "-m", "syntactic")
COMMANDS = {
    "`--version`": ("--version",),
    **{
        f"`compare`, {what}": ("compare", f"{what}-pre.parquet", f"{what}-post.parquet", *WITHOUT_EMBEDDINGS)
        for what in ("prose", "Python", "half of each")
    },
}
COMMANDS["with `--out shift.json --html report.html`"] = (
    *COMMANDS["`compare`, half of each"],
    *("--out", "shift.json", "--html", "report.html"),
)


def taken(command: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Seconds by the clock and of the processors that a command takes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "DIVERSITY_NO_CACHE": "1"}
    subprocess.run(
        [sys.executable, "-m", "diversity", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def tables(folder: Path) -> None:
    """Write tables of prose, of Python, and of half of each."""
    make(folder / "all", 4 * PROMPTS * N, N)
    for checkpoint in ("pre", "post"):
        outputs = pl.read_parquet(folder / "all" / f"{checkpoint}-*.parquet")
        outputs.head(PROMPTS * N).write_parquet(folder / f"half of each-{checkpoint}.parquet")
        for what, domain in (("prose", "story"), ("Python", "code")):
            outputs.filter(domain=domain).write_parquet(folder / f"{what}-{checkpoint}.parquet")


def main() -> None:
    """Measure in turn and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        tables(folder)
        for turn in range(turns + 1):
            for name, command in COMMANDS.items():
                took = taken(command, folder)
                if turn:  # the first leaves compiled modules behind
                    found[name].append(took)
    lines = [
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; 2 checkpoints x {PROMPTS} prompts x {N} outputs of "
        f"{WORDS} words.",
        "",
        f"| command | seconds, median of {turns} (least, most) | CPU, s |",
        "| --- | --- | --- |",
    ]
    for name, took in found.items():
        clock, cpu = sorted(c for c, _ in took), sorted(c for _, c in took)
        middle = turns // 2
        lines.append(f"| {name} | {clock[middle]:.2f} ({clock[0]:.2f}, {clock[-1]:.2f}) | {cpu[middle]:.2f} |")
    table = "\n".join(lines)
    print(table)
    PAGE.write_text(written(PAGE.read_text(), {"command": table}, Path(__file__).name))


if __name__ == "__main__":
    main()

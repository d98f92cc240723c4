"""What the command takes as a whole process: to start, and to compare two checkpoints of 100 prompts x 16 outputs.

    python benchmarks/command.py            # half a minute; writes its table into docs/benchmarks.md

Texts are those of benchmarks/scale.py, half prose and half Python, 150 words each. Nothing is cached, and no embedding
model is used.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pages import written
from scale import WORDS, make

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PROMPTS, N = 100, 16
COMPARE = ("compare", "pre-0000000.parquet", "post-0000000.parquet", "-m", "lexical", "-m", "syntactic")
COMMANDS = {
    "`--version`": ("--version",),
    "`compare`": COMPARE,
    "`compare --out shift.json --html report.html`": (*COMPARE, "--out", "shift.json", "--html", "report.html"),
}


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


def main() -> None:
    """Measure in turn and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "samples"
        make(folder, 2 * PROMPTS * N, N)
        for turn in range(turns + 1):
            for name, command in COMMANDS.items():
                took = taken(command, folder)
                if turn:  # the first leaves compiled modules behind
                    found[name].append(took)
    lines = [
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; 2 checkpoints x {PROMPTS} prompts x {N} outputs of "
        f"{WORDS} words, half prose and half Python.",
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

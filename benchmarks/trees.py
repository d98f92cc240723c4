"""Speed of the tree panel against the bare tree-sitter parse of the same programs.

    python benchmarks/trees.py humaneval_codegen16b.parquet [--rounds N]

Reads the columns `prompt` and `output` of a parquet file of Python programs; a program is both joined. One core. The
contestants run in turn (A B A B) and the least CPU time of each counts. On both sides a program that occurs several
times is parsed once; no parsed program is kept from one run to the next. The second workload has 6,400 programs, 200
sets of 32: the file's, and copies of them with a statement more.

Peers that can be imported are timed on a few sets and scaled up: apted and zss, tree edit distances of all pairs.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[_variable] = "1"

import numpy as np
import polars as pl

from diversity import trees
from diversity.errors import Undefined
from diversity.registry import find_metric, metrics
from diversity.views import Answers

Groups = list[list[str]]
Run = Callable[[Groups], Any]

# Normalise, subtree and Weisfeiler-Lehman features, the kernel of the headline, distinct subtrees and programs.
PANEL = (
    "distinct_subtrees_2",
    "distinct_subtrees_3",
    "distinct_subtrees_4",
    "distinct_subtrees_5",
    "distinct_programs",
    "wl_similarity",
    "syntactic.similarity",
)


def recorded(path: str) -> Groups:
    """Programs of a file, a set for each prompt."""
    frame = pl.read_parquet(path, columns=["prompt_id", "prompt", "output"])
    programs = frame.select("prompt_id", program=pl.col("prompt") + pl.col("output"))
    return [group["program"].to_list() for _, group in programs.group_by("prompt_id", maintain_order=True)]


def enlarged(groups: Groups, sets: int = 200, n: int = 32) -> Groups:
    """So many sets of so many programs: those given, and then copies with one statement more."""
    made = []
    for number in range(sets):
        programs = groups[number % len(groups)]
        round_ = number // len(groups)
        copies = [f"{p}\n_ = {round_ * n + i // len(programs)}\n" if round_ or i >= len(programs) else p
                  for i in range(n) for p in [programs[i % len(programs)]]]  # fmt: skip
        made.append(copies)
    return made


def bare(groups: Groups) -> None:
    """Floor: parse every different program, and no more."""
    parser = trees.parser("python")
    for program in dict.fromkeys(p for group in groups for p in group):
        parser.parse(program.encode())


def read(groups: Groups) -> None:
    """Parse and walk every program."""
    trees._cache.clear()
    for group in groups:
        _ = Answers(group, language="python").programs


def panel(*names: str) -> Run:
    """All the named metrics over all sets, from the text on."""
    chosen = [find_metric(name) for name in names]

    def run(groups: Groups) -> None:
        trees._cache.clear()
        for group in groups:
            answers = Answers(group, language="python")
            for metric in chosen:
                try:
                    metric.function(answers)
                except Undefined:
                    continue

    return run


def apted(groups: Groups) -> None:
    """Peer: tree edit distances by apted."""
    panel("tree_edit_similarity")(groups)


def zss(groups: Groups) -> None:
    """Peer: tree edit distances by zss, over the same normalised trees."""
    from zss import Node, simple_distance

    for group in groups:
        try:
            forest = Answers(group, language="python").forest
        except Undefined:
            continue
        nodes = [Node(str(label)) for label in forest.labels().tolist()]
        for node, parent in enumerate(forest.parents.tolist()):
            if parent >= 0:
                nodes[parent].addkid(nodes[node])
        roots = [nodes[root] for root in forest.roots]
        for i, one in enumerate(roots):
            for other in roots[:i]:
                simple_distance(one, other)


def cpu(run: Run, groups: Groups) -> float:
    """CPU seconds of one run."""
    gc.collect()
    start = time.process_time()
    run(groups)
    return time.process_time() - start


def in_turn(groups: Groups, rounds: int, *runs: Run) -> list[float]:
    """Run the contestants in turn, several times; the least time of each."""
    return [min(times) for times in zip(*([cpu(r, groups) for r in runs] for _ in range(rounds)), strict=True)]


def row(*cells: str | float) -> None:
    """One row of a markdown table."""
    print("| " + " | ".join(c if isinstance(c, str) else f"{c:.3g}" for c in cells) + " |", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table of each workload, and the peers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", help="parquet with the columns prompt_id, prompt and output")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(argv)
    every = [m.name for m in metrics().values() if m.needs == "trees" and m.default and m.facet == "syntactic"]
    every = [name for name in every if not name.endswith(".across")] + ["syntactic.similarity"]
    files = recorded(chosen.programs)
    print(
        f"One of {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}; CPU seconds, "
        f"least of {chosen.rounds} runs in turn."
    )
    panel(*every)(files[:2])
    for groups in (files, enlarged(files)):
        programs = [p for group in groups for p in group]
        print(f"\n{len(programs):,} programs in {len(groups)} sets, {len(set(programs)):,} different, "
              f"{sum(map(len, programs)) / 1e6:.1f} MB")  # fmt: skip
        print()
        row("what", "s", "ratio to the bare parse", "bar")
        row(*["---"] * 4)
        floor, reading, core, whole = in_turn(groups, chosen.rounds, bare, read, panel(*PANEL), panel(*every))
        row("bare parse, each different program once", floor, 1.0, "")
        row("parse and walk", reading, reading / floor, "")
        row("tree panel", core, core / floor, "6")
        row(f"all {len(every)} measures of code in the default panel", whole, whole / floor, "")
    print()
    row("peer", "s, scaled up", "times the tree panel")
    row(*["---"] * 3)
    some = [group[:6] for group in files[:4]]
    pairs, all_pairs = 4 * 15, sum(len(g) * (len(g) - 1) / 2 for g in files)
    core = in_turn(files, 1, panel(*PANEL))[0]
    for name, peer in (("apted", apted), ("zss", zss)):
        if find_spec(name) is None:
            row(name, "not installed", "")
            continue
        time_ = cpu(peer, some) * all_pairs / pairs
        row(f"{name}, tree edit distance of all pairs", time_, time_ / core)


if __name__ == "__main__":
    main()

"""Speed of the sandbox: programs a second, each in a process of its own, none from the cache.

The programs are the reference solutions of the code domain, each on all of its prompt's checks and inputs (about 20
calls), made different by a comment. Beside it the floor that one bubblewrap with a fresh interpreter for each program
sets. The machine's load is printed, as other work takes processors away.
With --javascript they are the same functions in JavaScript, each of which pays for a start of node.
Run: python benchmarks/sandbox.py [--programs N] [--workers N ...] [--javascript]
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import time
from itertools import cycle, islice
from pathlib import Path

from diversity.execution import expected_of, program_of
from diversity.registry import find_domain
from diversity.sandbox import MODES, RLIMITS, Outcome, Sandbox, _command


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=600)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--javascript", action="store_true")
    given = parser.parse_args()
    domain = find_domain("code-js" if given.javascript else "code")
    comment = "//" if given.javascript else "#"
    prompts = list(islice(cycle(domain.prompts), given.programs))
    solutions = _solutions() if given.javascript else {p.prompt_id: p.details["solution"] for p in prompts}
    programs = []
    for number, prompt in enumerate(prompts):
        code = f"{solutions[prompt.prompt_id]}{comment} {number}\n"
        programs.append(program_of(code, prompt, domain.language or ""))
    calls = sum(len(p.calls) for p in programs)
    print(f"{given.programs} programs, {calls} calls; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for mode in MODES:
        for workers in given.workers:
            sandbox = Sandbox(mode, workers=workers, cached=False)
            start, before = time.perf_counter(), _processor_time()
            outcomes = sandbox.run(programs)
            seconds, used = time.perf_counter() - start, _processor_time() - before
            for found, prompt in zip(outcomes, prompts, strict=True):
                expected = [Outcome("returned", e) for e in expected_of(prompt)]
                assert found[: len(expected)] == expected
            # bubblewrap does not hand on what its processes used; inside, a program costs about a millisecond more.
            each = f", {1000 * used / given.programs:.1f} ms of processor each" if mode == RLIMITS else ""
            print(f"{mode:11} {workers} workers: {given.programs / seconds:6.0f} a second on the clock{each}")
    start = time.perf_counter()
    for _ in range(20):
        # The server ends at once when nothing is asked of it: this is the price of a start alone.
        subprocess.run(_command("bubblewrap"), stdin=subprocess.DEVNULL, check=True, env={})
    print(f"a sandbox for each program, one at a time: {20 / (time.perf_counter() - start):.0f} a second at most")


def _solutions() -> dict[str, str]:
    """The solutions in JavaScript, which are the tests'."""
    text = Path(__file__).parents[1].joinpath("tests", "data", "solutions.js").read_text(encoding="utf-8")
    parts = re.split(r"/\* (code-\d+) \*/ ", text)[1:]
    return {f"code-js-{key[5:]}": code for key, code in zip(parts[::2], parts[1::2], strict=True)}


def _processor_time() -> float:
    """Processor seconds of this process and all that have ended below it."""
    return sum(
        r.ru_utime + r.ru_stime for r in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()

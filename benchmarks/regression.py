"""What a fixed comparison costs, in counts that do not depend on the machine: a change beyond a tenth is an error.

    python benchmarks/regression.py            # compare with regression.json beside this file, and show the time
    python benchmarks/regression.py --renew    # write it, after a change that was meant: `make counts`

Counted are the bytecode instructions that the package executes in each stage, its calls of compiled functions, and how
often a text is extracted, tokenised, parsed, compressed and embedded. The processor's own counters are closed to most
containers, and its clock is shared: seconds are shown as multiples of a fixed piece of work that is timed in turn, and
decide nothing. A compiled function that only grows slower shows there alone, and in `make bench`.

Counts hold for the minor version of Python and of numpy and polars that they were stored with.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from hashlib import blake2b
from pathlib import Path
from typing import Any

STORED = Path(__file__).with_name("regression.json")
RENEW = "make counts"
TOLERANCE = 0.1
PROMPTS = 3  # a domain
ROOT = Path(__file__).resolve().parents[1]
ROOMS = tuple(f"{ROOT / room}{os.sep}" for room in ("diversity", "metrics", "domains", "reports"))
# What is done to a text once, by the functions that do it: compiled ones, and ours.
COMPILED = {
    "Parser.parse": "parsed",
    "compress": "compressed",
    "Compress.compress": "compressed",
    "_Compressor.compress": "compressed",
}
OURS = {"Domain.answer": "extracted", "Words.findall": "tokenised", "Words.finditer": "tokenised"}


class Hashed:
    """Stands for an embedding model: vectors of the hashes of texts, and a count of the texts that it was given."""

    fingerprint, signature = "000000", "emb:hashed"

    def __init__(self) -> None:
        self.count = 0

    def encode(self, texts: Sequence[str], *, on_progress: object = None) -> Any:
        """Return a vector a text."""
        import numpy as np

        del on_progress
        self.count += len(texts)
        seeds = [int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "little") for text in texts]
        vectors = np.array([np.random.default_rng(seed).normal(size=32) for seed in seeds], dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows(checkpoint: str, vocabulary: int, prompts: int, seed: int) -> list[dict[str, object]]:
    """Return outputs of a checkpoint: prose and programs, 6 different ones a prompt."""
    import numpy as np

    rng = np.random.default_rng(seed)
    words = np.array([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "ll", "w", "")])
    weights = 1 / np.arange(1, vocabulary + 1)
    found: list[dict[str, object]] = []
    for domain in ("code", "story"):
        for prompt in range(prompts):
            for sample in range(6):
                if domain == "story":
                    said = rng.choice(words[:vocabulary], 60, p=weights / weights.sum())
                    text = ". ".join(" ".join(said[i : i + 10]) for i in range(0, 60, 10))
                else:
                    steps = (
                        f"    if x > {a}:\n        x = x {'+-*'[b % 3]} {b}\n" for a, b in rng.integers(9, size=(3, 2))
                    )
                    text = f"```python\ndef f(x):\n{''.join(steps)}    return x + {sample}\n```"
                found.append(
                    {
                        "checkpoint": checkpoint,
                        "domain": domain,
                        "prompt_id": f"p{prompt}",
                        "sample_index": sample,
                        "output": text,
                    }
                )
    return found


class Counting:
    """Counts what the package does while a stage lasts."""

    def __init__(self) -> None:
        self.modules: dict[str, list[int]] = {}
        self.done: Counter[str] = Counter()
        self.compiled = 0
        self._homes: dict[str, str] = {}  # by the file; a code object takes long to hash

    def _home(self, file: str) -> str:
        """Return the module of ours that a file is, or nothing."""
        if file not in self._homes:
            real = os.path.realpath(file)
            self._homes[file] = Path(real).relative_to(ROOT).as_posix() if real.startswith(ROOMS) else ""
        return self._homes[file]

    def __enter__(self) -> "Counting":
        sys.setprofile(self._profile)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _profile(self, frame: Any, event: str, function: Any) -> None:
        if event in {"return", "c_return"} or not self._home(frame.f_code.co_filename):
            return
        if event == "c_call":
            self.compiled += 1
            if (name := COMPILED.get(getattr(function, "__qualname__", ""))) is not None:
                self.done[name] += 1
        elif event == "call" and (name := OURS.get(frame.f_code.co_qualname)) is not None:
            self.done[name] += 1

    def _trace(self, frame: Any, event: str, _: Any) -> Any:
        home = self._home(frame.f_code.co_filename)
        if not home:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if home not in self.modules:
            self.modules[home] = [0]
        count = self.modules[home]

        def each(_frame: Any, event: str, _: Any) -> Any:
            if event == "opcode":
                count[0] += 1
            return each

        return each

    def counts(self) -> dict[str, int]:
        """Return all counts by name."""
        modules = {name: count for name, (count,) in sorted(self.modules.items())}
        totals = {"instructions": sum(modules.values()), "calls of compiled functions": self.compiled}
        return totals | dict(sorted(self.done.items())) | modules


def stages(prompts: int, seed: int, embedder: Hashed) -> Iterator[tuple[str, Any]]:
    """Yield the stages' names and work, in their order."""
    from diversity import compare, read_samples

    with tempfile.TemporaryDirectory() as folder:
        sides: dict[str, Any] = {}
        for name, size in (("pre", 360), ("post", 180)):
            text = "".join(json.dumps(row) + "\n" for row in rows(name, size, prompts, seed))
            (Path(folder) / f"{name}.jsonl").write_text(text)
            seed += 1
        yield "read", lambda: sides.update({n: read_samples(Path(folder) / f"{n}.jsonl") for n in ("pre", "post")})
        yield "compare", lambda: sides.update(shift=compare(sides["pre"], sides["post"], embedder=embedder))
        yield "report", lambda: sides["shift"].to_html()


def measure(*, is_counted: bool) -> dict[str, Any]:
    """Run the stages in this process: counted with all that is made once a process, or timed without."""
    import logging

    logging.disable()
    for _, work in [] if is_counted else stages(2, 100, Hashed()):
        work()
    embedder, found = Hashed(), {}
    for stage, work in stages(PROMPTS, 0, embedder):
        before, embedded = fixed_work(), embedder.count
        start = time.process_time()
        with Counting() if is_counted else nullcontext() as counting:
            work()
        spent = time.process_time() - start
        if counting is None:
            found[stage] = spent / (before + fixed_work()) * 2
        else:
            found[stage] = counting.counts() | ({"embedded": n} if (n := embedder.count - embedded) else {})
    return found


def fixed_work() -> float:
    """Seconds of a piece of work that no change of the package touches: Python, sorting and compressing."""
    import zlib

    import numpy as np

    start = time.process_time()
    counts: Counter[int] = Counter()
    for i in range(100_000):
        counts[i * 7919 % 1009] += i
    values = np.random.default_rng(0).integers(1 << 40, size=200_000)
    np.unique(values)
    zlib.compress(values[:20_000].tobytes())
    return time.process_time() - start


def in_a_process(*, is_counted: bool) -> dict[str, Any]:
    """Measure in a fresh process, in which nothing is known yet and sets have one order."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",
        "DIVERSITY_NO_CACHE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, __file__, "--counted" if is_counted else "--timed"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def versions() -> dict[str, str]:
    """Versions on which counts depend."""
    from importlib.metadata import version

    return {"python": platform.python_version().rpartition(".")[0]} | {
        name: version(name).rpartition(".")[0] for name in ("numpy", "polars")
    }


def changes(now: dict[str, dict[str, int]], stored: dict[str, dict[str, int]]) -> list[str]:
    """Say what changed by more than the tolerance; of the instructions, in which modules."""
    said = []
    for stage in now.keys() | stored.keys():
        new, old = now.get(stage, {}), stored.get(stage, {})
        for name in [n for n in dict.fromkeys([*new, *old]) if not n.endswith(".py")]:
            was, counted = old.get(name, 0), new.get(name, 0)
            if abs(counted - was) <= TOLERANCE * was:
                continue
            line = f"{stage}: {name} {was:,} -> {counted:,}" + (f" ({counted / was - 1:+.0%})" if was else "")
            if name == "instructions":
                moved = {m: new.get(m, 0) - old.get(m, 0) for m in new.keys() | old.keys() if m.endswith(".py")}
                most = sorted(moved, key=lambda m: -abs(moved[m]))[:3]
                line += ": " + ", ".join(f"{m} {moved[m]:+,}" for m in most)
            said.append(line)
    return sorted(said)


def check() -> list[str]:
    """Count anew and compare with what is stored; empty where nothing changed or other versions are at work."""
    stored = json.loads(STORED.read_text())
    if stored["versions"] != versions():
        return []
    return changes(in_a_process(is_counted=True), stored["counts"])


def main() -> None:
    """Compare with the stored counts or renew them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--timed", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.counted or given.timed:
        print(json.dumps(measure(is_counted=given.counted)))
        return
    now = in_a_process(is_counted=True)
    stored = json.loads(STORED.read_text()) if STORED.exists() else {"counts": {}}
    texts = len(rows("pre", 180, PROMPTS, 0)) * 2
    print(f"{texts} texts{'':36} {'stored':>12} {'now':>12} {'a text':>9}")
    for stage, counts in now.items():
        for name, count in counts.items():
            if not name.endswith(".py"):
                was = stored["counts"].get(stage, {}).get(name, 0)
                print(f"{stage + ': ' + name:46} {was:12,} {count:12,} {count / texts:9,.1f}")
    runs = [in_a_process(is_counted=False) for _ in range(3)]
    for stage in now:
        times = sorted(run[stage] for run in runs)
        print(f"{stage + ': time, of the fixed work':46} {'':12} {times[1]:12.2f} ({times[0]:.2f} to {times[2]:.2f})")
    if given.renew:
        STORED.write_text(json.dumps({"versions": versions(), "counts": now}, indent=1) + "\n")
        print(f"written: {STORED.name}")
        return
    if stored.get("versions") != versions():
        raise SystemExit(f"stored with {stored.get('versions')}, here {versions()}: counts cannot be compared")
    if said := changes(now, stored["counts"]):
        raise SystemExit("\n".join([*said, f"if the change was meant: {RENEW}"]))


if __name__ == "__main__":
    main()

"""What length and the number of outputs do to lexical scores when the law that the words come from stays the same.

    python benchmarks/length_and_n.py [--prompts N]

Every text is drawn from one law: words by Zipf, independent of one another, for all prompts, lengths and numbers of
outputs alike. A fair measure of diversity does not move. The scores of the package `diversity` are computed by metrics
of ours that define them as it does (see tests/metrics/test_peers.py), but for its defects. Prints two Markdown tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import polars as pl

from diversity import compare, score
from diversity.stats import effective
from diversity.words import FUNCTION_WORDS

LENGTHS = (25, 50, 100, 200, 400)
NUMBERS = (4, 8, 32, 128)
N, LENGTH = 32, 100  # while the other is varied
PEERS = {
    "n-gram diversity": ("ngram_diversity_sum", +1),
    "compression ratio (gzip)": ("compression_ratio_gzip", -1),
    "homogenization (ROUGE-L)": ("self_rouge_l", -1),
    "self-repetition": ("self_repetition", -1),
}
OTHERS = {"distinct-2": ("distinct_2", +1), "self-BLEU": ("self_bleu", -1), "EAD, mean of 1 to 5": ("ead", +1)}
HEADLINES = ("lexical", "syntactic")
FRAME = ["checkpoint", "domain", "prompt_id", "sample_index", "output"]


def law() -> tuple[list[str], np.ndarray]:
    """Words and their chances: the function words of English first, then 4,000 made-up ones."""
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    made = [a + b + c for a in syllables[:16] for b in syllables[10:26] for c in syllables[30:46]]
    words = [*sorted(FUNCTION_WORDS), *made[:4000]]
    chances = 1 / np.arange(2, len(words) + 2)
    return words, chances / chances.sum()


def draw(checkpoint: str, *, prompts: int, n: int, length: int, seed: int) -> pl.DataFrame:
    """Outputs of a checkpoint, all words independent draws from the law."""
    words, chances = law()
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in range(prompts):
        for k, drawn in enumerate(rng.choice(len(words), (n, length), p=chances)):
            rows.append((checkpoint, "text", f"p{prompt:03}", k, " ".join(words[i] for i in drawn)))
    return pl.DataFrame(rows, schema=FRAME, orient="row")


def means(
    frame: pl.DataFrame, names: Sequence[str], conditions: Sequence[str] = ("all",)
) -> dict[tuple[str, ...], float]:
    """Mean over prompts, by checkpoint, condition and metric; of a similarity, the effective number."""
    scores = score(frame, metrics=names, conditions=conditions).frame
    by = ["checkpoint", "condition", "metric"]
    found = {tuple(keys): float(rows["value"].mean()) for keys, rows in scores.group_by(by)}  # type: ignore[arg-type]
    return {k: float(effective(v)) if k[-1].endswith(".similarity") else v for k, v in found.items()}


def by_length(prompts: int, lengths: Sequence[int] = LENGTHS) -> dict[str, list[float]]:
    """Each score at each length, and the effective number over all answers and at matched length."""
    chosen = [name for name, _ in (PEERS | OTHERS).values()]
    kernels = [f"{facet}.similarity" for facet in HEADLINES]
    table: dict[str, list[float]] = {}
    for length in lengths:
        short = draw("short", prompts=prompts, n=N, length=lengths[0], seed=1)
        long = draw("long", prompts=prompts, n=N, length=length, seed=1000 + length)
        found = means(pl.concat([short, long]), [*chosen, *kernels], ("all", "length-matched"))
        for title, (name, _) in (PEERS | OTHERS).items():
            table.setdefault(title, []).append(found["long", "all", name])
        for facet, kernel in zip(HEADLINES, kernels, strict=True):
            table.setdefault(f"{facet} headline, all", []).append(found["long", "all", kernel])
            matched = found["long", "length-matched", kernel]
            table.setdefault(f"{facet} headline, length-matched", []).append(matched)
    return table


def by_number(prompts: int, numbers: Sequence[int] = NUMBERS) -> dict[str, list[float]]:
    """Each score at each number of outputs, all of 100 words."""
    chosen = [name for name, _ in (PEERS | OTHERS).values()]
    table: dict[str, list[float]] = {}
    for n in numbers:
        # The fewer the outputs of a prompt, the more prompts: so that noise stays small.
        frame = draw("one", prompts=prompts * max(1, N // n), n=n, length=LENGTH, seed=2000 + n)
        found = means(frame, [*chosen, *(f"{facet}.similarity" for facet in HEADLINES)])
        for title, (name, _) in (PEERS | OTHERS).items():
            table.setdefault(title, []).append(found["one", "all", name])
        for facet in HEADLINES:
            table.setdefault(f"{facet} headline", []).append(found["one", "all", f"{facet}.similarity"])
    return table


def spread(values: Sequence[float]) -> float:
    """Farthest departure from the first value, as a share of it."""
    return max(abs(v - values[0]) for v in values) / abs(values[0]) if values[0] else float("inf")


def reading(values: Sequence[float]) -> str:
    """How a score reads whose higher values mean more diverse: flat is within 3 % of the first value."""
    allowed = 0.03 * abs(values[0])
    falls, rises = min(values) < values[0] - allowed, max(values) > values[0] + allowed
    return {(True, True): "both ways", (True, False): "narrower", (False, True): "wider"}.get((falls, rises), "flat")


def verdict(prompts: int, length: int) -> str:
    """What `compare` says of lengthening alone."""
    pre = draw("pre", prompts=prompts, n=N, length=LENGTHS[0], seed=7)
    post = draw("post", prompts=prompts, n=N, length=length, seed=8)
    found = compare(pre, post, metrics=["lexical.similarity", "words"]).verdicts().row(0, named=True)
    lost = f", lost under: {', '.join(found['lost_under'])}" if found["lost_under"] else ""
    return f"{found['verdict']} ({found['relative']:+.1%}){lost}"


def print_table(table: dict[str, list[float]], titles: Sequence[int], what: str) -> None:
    """Print one Markdown table, with how each score reads."""
    signs = {title: sign for title, (_, sign) in (PEERS | OTHERS).items()}
    print(f"| {what} | {' | '.join(map(str, titles))} | moves by | reads as |")
    print(f"| --- |{' ---: |' * len(titles)} ---: | --- |")
    for title, values in table.items():
        moved = spread(values)
        reads = reading([signs.get(title, 1) * v for v in values])
        shown = " | ".join(f"{v:.3f}" for v in values)
        print(f"| {title} | {shown} | {'-' if moved == float('inf') else f'{moved:.1%}'} | {reads} |")
    print()


def main() -> None:
    """Print both tables and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=40)
    prompts = parser.parse_args().prompts
    print_table(by_length(prompts), LENGTHS, f"words an output, {N} outputs")
    print_table(by_number(prompts), NUMBERS, f"outputs of {LENGTH} words")
    for length in LENGTHS:
        print(f"{LENGTHS[0]} -> {length} words: {verdict(prompts, length)}")


if __name__ == "__main__":
    main()

"""Time the semantic panel against plain code for the same numbers and against the linear algebra alone.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/semantic.py
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/semantic.py --encoder

Prints a Markdown table. The candidates take turns (A B C A B C ...); each time is the fastest of its turns, in CPU
seconds. The floor is one Gram matrix and its eigenvalues for each prompt. Random unit vectors stand in for embeddings,
so no model is needed but for --encoder, which compares texts a second with the encoder's own `encode`.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from diversity.registry import Metric, metrics
from diversity.views import Answers

Array = NDArray[np.float64]
Run = Callable[[], object]
NEEDS_MORE = {"utility_k"}  # reads qualities as well


def panel() -> list[Metric]:
    """Return the metrics of one prompt's embeddings."""
    return [
        m
        for m in metrics().values()
        if m.needs == "vectors" and m.facet == "semantic" and m.unit == "within prompt" and m.name not in NEEDS_MORE
    ]


def groups(sets: int, n: int, d: int) -> list[Array]:
    """Return unit vectors that share a direction, as answers to one prompt do."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(sets, n, d)) + 1.5 * rng.normal(size=(sets, 1, d))
    return list(vectors / np.linalg.norm(vectors, axis=2, keepdims=True))


def ours(vectors: Sequence[Array], chosen: Sequence[Metric]) -> Run:
    """Metrics of this package, from fresh answers each time."""
    texts = [f"answer {i}" for i in range(len(vectors[0]))]

    def run() -> None:
        for each in vectors:
            answers = Answers(texts, encode=lambda _, each=each: each)
            for metric in chosen:
                metric.function(answers)

    return run


def spectrum_floor(vectors: Sequence[Array]) -> Run:
    """One Gram matrix and its eigenvalues for each prompt."""

    def run() -> None:
        for x in vectors:
            np.linalg.eigvalsh(x @ x.T / len(x))

    return run


def plain_vendi(x: Array, order: float) -> float:
    """The Vendi score as a notebook has it: kernel, eigenvalues and entropy, for one order."""
    import scipy.linalg

    weights = scipy.linalg.eigvalsh(x @ x.T / len(x))
    p = weights[weights > 0]
    if order == 1:
        return float(np.exp(-(p * np.log(p)).sum()))
    if np.isinf(order):
        return float(np.exp(-np.log(p.max())))
    return float(np.exp(np.log((p**order).sum()) / (1 - order)))


def plain_panel(x: Array) -> None:
    """The panel as separate lines of a notebook, each from the vectors."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist, squareform

    for order in (0.5, 1, 2, np.inf):
        plain_vendi(x, order)
    np.log(plain_vendi(x, 1))
    pdist(x, "cosine").mean()
    np.median(pdist(x, "cosine"))
    (squareform(1 - pdist(x, "cosine")) ** 2).mean()
    (pdist(x, "cosine") <= 0.05).mean()
    distances = squareform(pdist(x, "cosine"))
    np.fill_diagonal(distances, np.inf)
    distances.min(axis=1).mean()
    centre = x.mean(axis=0)
    np.mean(1 - x @ centre / np.linalg.norm(centre))
    np.linalg.slogdet(x @ x.T + np.eye(len(x)))
    covariance = np.cov(x.T)
    np.trace(covariance) ** 2 / (covariance**2).sum()
    for order in (0, 1, 2, np.inf):
        ordinariness = np.clip(x @ x.T, 0, 1).mean(axis=1)
        _ = (
            1 / ordinariness.max()
            if np.isinf(order)
            else np.exp(-np.log(ordinariness).mean())
            if order == 1
            else np.mean(ordinariness ** (order - 1)) ** (1 / (1 - order))
        )
    for _ in range(3):  # count, entropy, collisions
        labels = fcluster(linkage(pdist(x, "cosine").clip(0), "average"), 0.5, "distance")
        np.bincount(labels)


def published(vectors: Sequence[Array], function: str) -> Run:
    """The package vendi-score, where it is installed."""
    from vendi_score import vendi

    score = getattr(vendi, function)

    def run() -> None:
        for x in vectors:
            score(x)

    return run


def fastest(candidates: dict[str, Run], repeats: int) -> dict[str, float]:
    """CPU seconds of each candidate: the least over the turns."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for run in candidates.values():
        run()
    for _ in range(repeats):
        for name, run in candidates.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: min(each) for name, each in times.items()}


def encoder_rates(texts: int, repeats: int) -> dict[str, float]:
    """Texts a second of this package's embedder and of the encoder itself, all texts different."""
    from diversity.embedding import Embedder

    rng = np.random.default_rng(0)
    words = [chr(97 + i) + "ou"[i % 2] + chr(97 + j) for i in range(26) for j in range(26)]
    drawn = [" ".join(rng.choice(words, rng.integers(5, 60))) for _ in range(texts * (repeats + 1) * 2)]
    embedder = Embedder.load()
    blocks = iter(np.array_split(np.array(drawn, dtype=object), (repeats + 1) * 2))
    spent: dict[str, list[float]] = {"ours": [], "encoder": []}
    for _ in range(repeats + 1):
        for name in spent:
            block = [str(text) for text in next(blocks)]
            start = time.process_time()
            if name == "ours":
                embedder.encode(block)
            else:
                embedder._model.encode(block, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
            spent[name].append((time.process_time() - start) / len(block))
    # The first turn warms up; the blocks differ in their texts, so the median is taken.
    return {name: float(1 / np.median(each[1:])) for name, each in spent.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=200, help="prompts times checkpoints")
    parser.add_argument("-n", type=int, default=32, help="answers to a prompt")
    parser.add_argument("-d", type=int, default=384, help="dimensions of a vector")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--encoder", action="store_true", help="load the embedding model and time it too")
    parser.add_argument("--texts", type=int, default=256, help="texts in a turn of the encoder")
    options = parser.parse_args()

    chosen = panel()
    vectors = groups(options.sets, options.n, options.d)
    by_name = {m.name: m for m in chosen}
    candidates: dict[str, Run] = {
        "floor: Gram matrix and eigenvalues": spectrum_floor(vectors),
        "vendi": ours(vectors, [by_name["vendi"]]),
        "vendi, plain code": lambda: [plain_vendi(x, 1) for x in vectors],
        "all four Vendi orders and kernel entropy": ours(
            vectors, [by_name[n] for n in ("vendi_0.5", "vendi", "vendi_2", "vendi_inf", "kernel_entropy")]
        ),
        f"whole panel, {len(chosen)} metrics": ours(vectors, chosen),
        "whole panel, plain code": lambda: [plain_panel(x) for x in vectors],
    }
    if find_spec("vendi_score") is not None:
        candidates["vendi-score, score_X"] = published(vectors, "score_X")
        candidates["vendi-score, score_dual"] = published(vectors, "score_dual")
    found = fastest(candidates, options.repeats)
    floor = found["floor: Gram matrix and eigenvalues"]
    print(f"{options.sets} sets of {options.n} answers, {options.d} dimensions, {os.cpu_count()} cores\n")
    print("| what | CPU s | times the floor |\n| --- | --- | --- |")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.3f} | {seconds / floor:.1f} |")
    if options.encoder:
        rates = encoder_rates(options.texts, options.repeats)
        print("\n| encoder | texts a second | of the encoder's own |\n| --- | --- | --- |")
        for name, rate in rates.items():
            print(f"| {name} | {rate:.0f} | {rate / rates['encoder']:.2f} |")


if __name__ == "__main__":
    main()

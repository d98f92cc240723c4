"""Speed of the lexical measures: our panel against physical floors and against the peers installed here.

100 prompts x 2 checkpoints x 32 answers of some 135 words, made in memory from a seed. One core. Ours, floor and peer
run in turn (A B A B) and the least CPU time of each counts; slow peers run on the first prompts only and are scaled
up. Run: python benchmarks/lexical.py [--prompts N] [--rounds N]. Peers: nltk always; sacrebleu, rouge_score and
lexicalrichness where they can be imported.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import importlib.util
import json
import os
import platform
import re
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

import numpy as np

from diversity.errors import Undefined
from diversity.registry import find_metric
from diversity.views import Answers

Groups = list[list[str]]
Run = Callable[[Groups], Any]

ORDERS = (1, 2, 3, 4)
# Every measure that is linear in the text, but for the slow compressors (gzip, xz, zstd), which stand alone below.
LINEAR = [
    *(f"{name}_{n}" for name in ("distinct", "ead", "ngram_entropy") for n in ORDERS),
    *(
        f"ngram_entropy_{n}_{estimator}"
        for n in ORDERS
        for estimator in ("miller_madow", "grassberger", "chao_wang_jost", "normalised")
    ),
    *(f"ngram_hill_{n}_q{q}" for n in ORDERS for q in ("0", "1", "2", "inf")),
    *(f"rarefied_distinct_{n}" for n in (1, 2, 3)),
    "averaged_distinct",
    "ngram_diversity_sum",
    "ead",
    "compression_ratio",
    "cr_lift",
    "self_repetition",
    "template_share",
    "ttr",
    "mattr",
    "hdd",
    "mtld",
    "top_opening_share",
    "same_opening",
]
PAIRWISE = ("self_bleu", "jaccard_1", "jaccard_2", "jaccard_3", "lexical.similarity")
ALONE = [
    "distinct_2",
    "averaged_distinct",
    "rarefied_distinct_2",
    "ead",
    "ngram_entropy_2",
    "ttr",
    "mattr",
    "hdd",
    "mtld",
    "self_repetition",
    "template_share",
    "top_opening_share",
    "compression_ratio",
    "cr_lift",
    "compression_ratio_gzip",
    "compression_ratio_xz",
    "compression_ratio_zstd",
    "self_bleu",
    "self_bleu_sacrebleu",
    "pair_bleu",
    "jaccard_2",
    "ruzicka_2",
    "near_duplicates",
    "self_rouge_l",
    "self_chrf",
    "edit_distance_words",
    "edit_distance_characters",
    "ngram_vendi",
    "ncd",
]


def workload(prompts: int) -> Groups:
    """Answers of both checkpoints to each prompt: Zipfian words, a topic a prompt, stock phrases, sentences."""
    rng = np.random.default_rng(0)
    consonants, vowels = list("bdfgklmnprstvz"), list("aeiou")
    syllables = [c + v for c in consonants for v in vowels]
    words = sorted({"".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(12_000)})
    rng.shuffle(words)
    share = 1 / np.arange(1, len(words) + 1)
    share /= share.sum()
    groups = []
    for _ in range(2 * prompts):
        topic = rng.choice(len(words), 120, replace=False)
        phrases = [[words[i] for i in rng.choice(topic, rng.integers(3, 7))] for _ in range(12)]
        groups.append([_answer(rng, words, share, topic, phrases) for _ in range(32)])
    return groups


def _answer(rng: np.random.Generator, words: list[str], share: Any, topic: Any, phrases: list[list[str]]) -> str:
    length = int(rng.normal(135, 20))
    drawn = iter(rng.choice(len(words), length, p=share))
    text: list[str] = []
    while len(text) < length:
        kind = rng.random()
        if kind < 0.04:
            text += phrases[rng.integers(len(phrases))]
        elif kind < 0.3:
            text.append(words[rng.choice(topic)])
        else:
            text.append(words[next(drawn)])
    sentences = [text[i : i + 14] for i in range(0, length, 14)]
    return " ".join(" ".join(s).capitalize() + "." for s in sentences)


def ours(*names: str) -> Run:
    """All the named metrics over all groups, each view made once a group."""
    chosen = [find_metric(name) for name in names]

    def run(groups: Groups) -> None:
        for texts in groups:
            answers = Answers(texts)
            for metric in chosen:
                try:
                    metric.function(answers)
                except Undefined:
                    continue

    return run


def each(function: Callable[[list[str]], Any]) -> Run:
    """Apply a peer's function to every group."""

    def run(groups: Groups) -> None:
        for texts in groups:
            function(texts)

    return run


WORD = re.compile(r"\w+|[^\w\s]")


def reader(groups: Groups) -> Run:
    """Floor: read JSON lines from a file, one an output, as our own store writes them."""
    path = Path(tempfile.mkdtemp()) / "outputs.jsonl"
    with path.open("w") as file:
        for number, texts in enumerate(groups):
            for index, text in enumerate(texts):
                file.write(json.dumps({"prompt_id": number, "sample_index": index, "output": text}) + "\n")

    def run(_: Groups) -> None:
        with path.open() as file:
            for line in file:
                json.loads(line)

    return run


def tokenise(texts: list[str]) -> list[list[str]]:
    """Floor: one regular expression over the text."""
    return [WORD.findall(t) for t in texts]


def compress(texts: list[str]) -> int:
    """Floor: raw deflate of the joined answers at zlib's default level."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return len(compressor.compress("\n".join(texts).encode()) + compressor.flush())


def numbered(texts: list[str]) -> list[Any]:
    """Words of each answer as integers."""
    vocabulary: dict[str, int] = {}
    return [
        np.array([vocabulary.setdefault(w, len(vocabulary)) for w in words], dtype=np.int64)
        for words in tokenise(texts)
    ]


def distinct_by_sort(texts: list[str]) -> list[float]:
    """Floor: distinct-1..4 in plain numpy."""
    tokens = numbered(texts)
    base = max(int(t.max()) for t in tokens) + 1
    grams = tokens
    values = []
    for order in range(1, 5):
        if order > 1:
            grams = [g[:-1] * base + t[order - 1 :] for g, t in zip(grams, tokens, strict=True)]
        pooled = np.sort(np.concatenate(grams))
        values.append((1 + int((pooled[1:] != pooled[:-1]).sum())) / len(pooled))
    return values


def pair_matches(texts: list[str]) -> list[Any]:
    """Floor: clipped n-gram matches of every two answers, orders 1 to 4, in plain numpy."""
    tokens = numbered(texts)
    base = max(int(t.max()) for t in tokens) + 1
    owners = np.repeat(np.arange(len(tokens)), [len(t) for t in tokens])
    grams = tokens
    tables = []
    for order in range(1, 5):
        if order > 1:
            grams = [g[:-1] * base + t[order - 1 :] for g, t in zip(grams, tokens, strict=True)]
            owners = np.repeat(np.arange(len(tokens)), [len(g) for g in grams])
        distinct, ids = np.unique(np.concatenate(grams), return_inverse=True)
        counts = np.bincount(owners * len(distinct) + ids, minlength=len(tokens) * len(distinct))
        counts = counts.reshape(len(tokens), -1).astype(np.int16)
        tables.append([np.minimum(counts[i], counts[i + 1 :]).sum(axis=1) for i in range(len(tokens) - 1)])
    return tables


def nltk_self_bleu(texts: list[str]) -> float:
    """Self-BLEU as users of nltk write it."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    words = tokenise(texts)
    smooth = SmoothingFunction().method1
    scores = [sentence_bleu(words[:i] + words[i + 1 :], w, smoothing_function=smooth) for i, w in enumerate(words)]
    return float(np.mean(scores))


def nltk_pair_bleu(texts: list[str]) -> float:
    """Pairwise BLEU as users of nltk write it."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    words = tokenise(texts)
    smooth = SmoothingFunction().method1
    return float(
        np.mean(
            [
                sentence_bleu([words[j]], words[i], smoothing_function=smooth)
                for i in range(len(words))
                for j in range(len(words))
                if i != j
            ]
        )
    )


def diversity_self_repetition(texts: list[str]) -> float:
    """The loop of diversity 0.3.1."""
    from nltk.util import ngrams

    documents = [list({" ".join(g) for g in ngrams(t.split(), 4)}) for t in texts]
    counts = Counter(g for d in documents for g in d)
    return float(np.mean([np.log(sum(counts[g] for g in d) - len(d) + 1) for d in documents]))


def diversity_ngrams(texts: list[str]) -> float:
    """The loop of diversity 0.3.1."""
    from nltk.util import ngrams

    words = " ".join(texts).split(" ")
    total = 0.0
    for order in range(1, 5):
        grams = list(ngrams(words, order))
        total += len(set(grams)) / len(grams)
    return total


def diversity_rouge(texts: list[str]) -> float:
    """The loop of diversity 0.3.1: both directions of every pair."""
    from rouge_score import rouge_scorer

    scorer = rouge_scorer.RougeScorer(["rougeL"])
    return float(
        np.mean(
            [scorer.score(x, y)["rougeL"].fmeasure for i, y in enumerate(texts) for j, x in enumerate(texts) if i != j]
        )
    )


def gzip_twice(texts: list[str]) -> int:
    """What diversity 0.3.1 does, without its temporary files."""
    return len(gzip.compress(gzip.compress(" ".join(texts).encode())))


def vendi_ngrams(texts: list[str]) -> float:
    """What vendi-score 0.0.3 does in its n-gram form, with Counter in place of scikit-learn."""
    words = tokenise(texts)
    kernel = np.zeros((len(texts), len(texts)))
    for order in (1, 2):
        bags = [Counter(tuple(w[i : i + order]) for i in range(len(w) - order + 1)) for w in words]
        columns = {g: i for i, g in enumerate({g for bag in bags for g in bag})}
        table = np.zeros((len(bags), len(columns)))
        for row, bag in enumerate(bags):
            for gram, count in bag.items():
                table[row, columns[gram]] = count
        table /= np.linalg.norm(table, axis=1, keepdims=True)
        kernel += table @ table.T / 2
    weights = np.linalg.eigvalsh(kernel / len(texts))
    weights = weights[weights > 0]
    return float(np.exp(-(weights * np.log(weights)).sum()))


def sacrebleu_self_bleu(texts: list[str]) -> float:
    """Self-BLEU as users of sacrebleu write it."""
    import sacrebleu

    return float(np.mean([sacrebleu.sentence_bleu(t, texts[:i] + texts[i + 1 :]).score for i, t in enumerate(texts)]))


def sacrebleu_chrf(texts: list[str]) -> float:
    """Pairwise chrF as users of sacrebleu write it."""
    import sacrebleu

    return float(
        np.mean(
            [
                sacrebleu.sentence_chrf(a, [b]).score + sacrebleu.sentence_chrf(b, [a]).score
                for a, b in combinations(texts, 2)
            ]
        )
    )


def lexicalrichness(measure: str, **settings: Any) -> Callable[[list[str]], Any]:
    """Mean of a measure of lexicalrichness over the answers."""

    def run(texts: list[str]) -> float:
        from lexicalrichness import LexicalRichness

        found = (getattr(LexicalRichness(t), measure) for t in texts)
        return float(np.mean([f(**settings) if callable(f) else f for f in found]))

    return run


def python_edit_distance(texts: list[str]) -> float:
    """Edit distance of nltk, which is plain Python."""
    from nltk.metrics.distance import edit_distance

    words = tokenise(texts)
    return float(np.mean([edit_distance(a, b) / max(len(a), len(b)) for a, b in combinations(words, 2)]))


# What is measured: our metrics, the peer, the module it needs, the share of the groups it runs on.
PEERS: tuple[tuple[str, str, Callable[[list[str]], Any], str, float], ...] = (
    ("self_bleu", "nltk sentence_bleu", nltk_self_bleu, "nltk", 0.02),
    ("pair_bleu", "nltk sentence_bleu", nltk_pair_bleu, "nltk", 0.01),
    ("self_bleu_sacrebleu", "sacrebleu sentence_bleu", sacrebleu_self_bleu, "sacrebleu", 0.01),
    ("self_chrf", "sacrebleu sentence_chrf", sacrebleu_chrf, "sacrebleu", 0.01),
    ("self_rouge_l", "rouge_score, loop of diversity 0.3.1", diversity_rouge, "rouge_score", 0.005),
    ("self_repetition", "loop of diversity 0.3.1", diversity_self_repetition, "nltk", 1),
    ("ngram_diversity_sum", "loop of diversity 0.3.1", diversity_ngrams, "nltk", 1),
    ("compression_ratio", "gzip twice, as diversity 0.3.1", gzip_twice, "gzip", 1),
    ("compression_ratio_gzip", "gzip twice, as diversity 0.3.1", gzip_twice, "gzip", 1),
    ("ngram_vendi", "vendi-score's steps over Counter", vendi_ngrams, "numpy", 0.2),
    ("ttr", "lexicalrichness ttr", lexicalrichness("ttr"), "lexicalrichness", 0.2),
    ("mattr", "lexicalrichness mattr", lexicalrichness("mattr", window_size=50), "lexicalrichness", 0.2),
    ("hdd", "lexicalrichness hdd", lexicalrichness("hdd", draws=42), "lexicalrichness", 0.01),
    ("mtld", "lexicalrichness mtld", lexicalrichness("mtld"), "lexicalrichness", 0.2),
    ("edit_distance_words", "nltk edit_distance", python_edit_distance, "nltk", 0.005),
)


def cpu(run: Run, groups: Groups, share: float = 1) -> float:
    """CPU seconds of one run, scaled up from the share of the groups it saw."""
    part = groups[: max(1, round(len(groups) * share))]
    gc.collect()
    start = time.process_time()
    run(part)
    return (time.process_time() - start) * len(groups) / len(part)


def in_turn(groups: Groups, rounds: int, *runs: tuple[Run, float]) -> list[float]:
    """Run the contestants in turn, several times; the least time of each."""
    return [min(times) for times in zip(*([cpu(r, groups, s) for r, s in runs] for _ in range(rounds)), strict=True)]


def row(*cells: str | float) -> None:
    """One row of a markdown table."""
    print("| " + " | ".join(c if isinstance(c, str) else f"{c:.3g}" for c in cells) + " |", flush=True)


def head(*titles: str) -> None:
    """Open a markdown table."""
    print()
    row(*titles)
    row(*["---"] * len(titles))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-peers", action="store_true")
    chosen = parser.parse_args(argv)
    groups = workload(chosen.prompts)
    words = sum(len(WORD.findall(t)) for texts in groups for t in texts)
    size = sum(len(t.encode()) for texts in groups for t in texts)
    print(
        f"{len(groups)} sets of {len(groups[0])} answers, {words:,} words, {size / 1e6:.1f} MB; one of "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}. CPU seconds, least of "
        f"{chosen.rounds} runs in turn."
    )
    ours(*LINEAR, *ALONE)(groups[:2])

    floors: list[tuple[Run, float]] = [
        (reader(groups), 1),
        (each(tokenise), 1),
        (each(compress), 1),
        (each(distinct_by_sort), 1),
    ]
    once = ours(*LINEAR), 1.0
    *basic, distinct_floor, linear = in_turn(groups, chosen.rounds, *floors, once)
    matches_floor, together, bleu = in_turn(
        groups, chosen.rounds, (each(pair_matches), 1), (ours(*PAIRWISE), 1), (ours("self_bleu"), 1)
    )
    head("bar", "ours", "against", "s", "ratio", "bar")
    floor = sum(basic)
    parts = " + ".join(
        f"{name} {value:.2f}" for name, value in zip(("read", "tokenise", "compress"), basic, strict=True)
    )
    row(
        f"{len(LINEAR)} linear measures, with reading",
        linear + basic[0],
        parts,
        floor,
        (linear + basic[0]) / floor,
        "4",
    )
    row(
        "self-BLEU + Jaccard 1-3 + lexical kernel",
        together,
        "plain-numpy pair matches",
        matches_floor,
        together / matches_floor,
        "2",
    )
    four = in_turn(groups, chosen.rounds, (ours("distinct_1", "distinct_2", "distinct_3", "distinct_4"), 1))[0]
    row("distinct-1..4", four, "plain-numpy distinct-1..4", distinct_floor, four / distinct_floor, "")
    row("self-BLEU", bleu, "plain-numpy pair matches", matches_floor, bleu / matches_floor, "")

    head("metric alone, tokenising included", "s")
    for name, value in zip(ALONE, in_turn(groups, 1, *((ours(n), 0.2) for n in ALONE)), strict=True):
        row(name, value)
    if chosen.skip_peers:
        return
    head("metric", "ours, s", "peer", "s", "times faster")
    for name, title, function, module, share in PEERS:
        if importlib.util.find_spec(module) is None:
            row(name, "", f"{title}: {module} is not installed", "", "")
            continue
        mine, theirs = in_turn(groups, chosen.rounds, (ours(name), 1), (each(function), share))
        row(name, mine, title, theirs, theirs / mine)


if __name__ == "__main__":
    main()

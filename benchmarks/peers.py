"""Our measures beside the peers', each peer in an environment of its own, on identical inputs: `make bench`.

    python benchmarks/peers.py [--rounds 3] [--only NAME] [--folder .bench]

Every run is a new process that reads the same file, imports what it needs and then takes its processor time of the work
alone. Ours and the peer's take turns (A B A B); the table shows the median ratio of the turns with the least and the
most. The distance to the limits (reading, tokenising, compressing, parsing, a matrix product) is taken in the same run.
Writes results.json beside this file. Environments are made once, under --folder; a peer that cannot be installed is
named and left out.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

HARNESS = """
import json, sys, time
groups = json.load(open(sys.argv[1]))[: int(sys.argv[2])]
work = {}
exec(compile(open(sys.argv[3]).read(), sys.argv[3], "exec"), work)
for group in groups if "rows" in work else []:
    work["rows"](group)  # encoding is no part of the contest
work["run"](groups[:1])
start = time.process_time()
found = work["run"](groups)
print(json.dumps([time.process_time() - start, [float(v) for v in found[:3]]]))
"""
OURS = """
import numpy as np
from diversity.registry import find_metric
from diversity.views import Answers
metric = find_metric({name!r})
def run(groups):
    found = (metric.function(Answers(g, language={language!r}, encode=lambda t: rows(t))) for g in groups)
    return [v.mean() if isinstance(v, np.ndarray) else v for v in found]
"""
VECTORS = """
import numpy as np
from functools import cache
def rows(texts):
    return made(tuple(texts))
@cache
def made(texts):
    vectors = np.stack([np.random.default_rng(abs(len(t)) + 7 * i).normal(size=384) for i, t in enumerate(texts)])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
"""
# What is done, our metric, the peer, what to install for it, its code, on how many sets, and of which texts.
CONTESTS = [
    (
        "self-BLEU",
        "self_bleu",
        "nltk",
        ["nltk==3.9.2"],
        "from nltk.translate.bleu_score import sentence_bleu, SmoothingFunction\n"
        "s = SmoothingFunction().method1\n"
        "def run(groups):\n    out = []\n    for g in groups:\n        t = [x.split() for x in g]\n"
        "        out.append(sum(sentence_bleu(t[:i] + t[i + 1:], h, smoothing_function=s) for i, h in enumerate(t)) / len(t))\n"
        "    return out\n",
        4,
        "prose",
    ),
    (
        "self-BLEU, sacrebleu's",
        "self_bleu_sacrebleu",
        "sacrebleu",
        ["sacrebleu==2.5.1"],
        "import sacrebleu\n"
        "def run(groups):\n    return [sum(sacrebleu.sentence_bleu(h, g[:i] + g[i + 1:]).score for i, h in enumerate(g)) / len(g) for g in groups]\n",
        4,
        "prose",
    ),
    (
        "distinct n-grams, orders 1 to 4",
        "ngram_diversity_sum",
        "notebook",
        [],
        "def run(groups):\n    out = []\n    for g in groups:\n        total = 0\n        for n in (1, 2, 3, 4):\n"
        "            grams = [tuple(w[i:i + n]) for w in (t.split() for t in g) for i in range(len(w) - n + 1)]\n"
        "            total += len(set(grams)) / len(grams)\n        out.append(total)\n    return out\n",
        100,
        "prose",
    ),
    (
        "distinct n-grams, orders 1 to 4",
        "ngram_diversity_sum",
        "diversity",
        ["diversity==0.3.1", "spacy", "openai", "torch==2.13.0"],
        "from diversity import ngram_diversity_score\n"
        "def run(groups):\n    return [ngram_diversity_score(g, 4) for g in groups]\n",
        100,
        "prose",
    ),
    (
        "compression ratio",
        "compression_ratio_gzip",
        "diversity",
        ["diversity==0.3.1", "spacy", "openai", "torch==2.13.0"],
        "from diversity import compression_ratio\n"
        "def run(groups):\n    return [compression_ratio(g, 'gzip') for g in groups]\n",
        100,
        "prose",
    ),
    (
        "ROUGE-L of all pairs",
        "self_rouge_l",
        "diversity",
        ["diversity==0.3.1", "spacy", "openai", "torch==2.13.0"],
        "from diversity import homogenization_score\n"
        "def run(groups):\n    return [homogenization_score(g, 'rougel', verbose=False) for g in groups]\n",
        1,
        "prose",
    ),
    (
        "Vendi score of vectors",
        "vendi",
        "vendi-score",
        ["vendi-score==0.0.3"],
        VECTORS + "from vendi_score import vendi\n"
        "def run(groups):\n    return [vendi.score_X(rows(g)) for g in groups]\n",
        100,
        "prose",
    ),
    (
        "MTLD",
        "mtld",
        "lexicalrichness",
        ["lexicalrichness==0.5.1"],
        "from lexicalrichness import LexicalRichness\n"
        "def run(groups):\n    return [sum(LexicalRichness(t).mtld() for t in g) / len(g) for g in groups]\n",
        20,
        "prose",
    ),
    (
        "different programs",
        "distinct_programs",
        "notebook",
        [],
        "import ast\n"
        "def run(groups):\n    return [len({ast.dump(ast.parse(t)) for t in g}) / len(g) for g in groups]\n",
        100,
        "code",
    ),
    (
        "similarity of programs, all pairs",
        "syntactic.similarity",
        "codebleu",
        ["codebleu==0.7.0", "tree-sitter-python==0.21.0"],
        "from codebleu import calc_codebleu\n"
        "def run(groups):\n    return [sum(calc_codebleu([a], [b], 'python')['codebleu'] for a in g for b in g if a is not b)"
        " / (len(g) * (len(g) - 1)) for g in groups]\n",
        1,
        "code",
    ),
    (
        "tree edit distance, all pairs",
        "tree_edit_similarity",
        "apted",
        ["apted==1.0.3"],
        "import ast\nfrom apted import APTED, Config\n"
        "class C(Config):\n"
        "    def rename(self, a, b): return int(type(a) is not type(b))\n"
        "    def children(self, node): return list(ast.iter_child_nodes(node))\n"
        "def run(groups):\n    out = []\n    for g in groups:\n        t = [ast.parse(x) for x in g]\n"
        "        d = [APTED(t[i], t[j], C()).compute_edit_distance() for i in range(len(t)) for j in range(i)]\n"
        "        out.append(sum(d) / len(d))\n    return out\n",
        1,
        "code",
    ),
]
LIMITS = {
    "read": "def run(groups):\n    import json\n    return [len(json.loads(json.dumps(g))) for g in groups]\n",
    "tokenise": "import re\nW = re.compile(r'\\w+|[^\\w\\s]')\ndef run(groups):\n    return [sum(len(W.findall(t)) for t in g) for g in groups]\n",
    "compress": "import zlib\ndef run(groups):\n    return [len(zlib.compress(' '.join(g).encode())) for g in groups]\n",
    "parse": "import tree_sitter, tree_sitter_python\nP = tree_sitter.Parser(tree_sitter.Language(tree_sitter_python.language()))\n"
    "def run(groups):\n    return [sum(P.parse(t.encode()).root_node.child_count for t in g) for g in groups]\n",
    "a matrix product": VECTORS
    + "G = None\ndef run(groups):\n    return [(lambda x: (x @ x.T).mean())(rows(g)) for g in groups]\n",
}


def workload(folder: Path) -> dict[str, Path]:
    """Write the sets of texts: 100 of 32, prose of some 135 words and small Python programs."""
    rng = np.random.default_rng(0)
    words = np.array([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "ll", "w", "")])
    weights = 1 / np.arange(1, len(words) + 1)
    weights /= weights.sum()
    prose = [
        [" ".join(rng.choice(words, int(rng.integers(100, 170)), p=weights)) for _ in range(32)] for _ in range(100)
    ]
    line = "    if {0} > {1}:\n        {0} = {0} {2} {3}\n"
    code = [
        [
            f"def f({v}):\n"
            + "".join(
                line.format(v, *rng.integers(0, 9, 1), "+-*"[rng.integers(3)], rng.integers(9))
                for _ in range(int(rng.integers(2, 6)))
            )
            + f"    return {v}\n"
            for v in rng.choice(list("xyzab"), 32)
        ]
        for _ in range(100)
    ]
    found = {}
    for name, groups in (("prose", prose), ("code", code)):
        found[name] = folder / f"{name}.json"
        found[name].write_text(json.dumps(groups))
    return found


def environment(folder: Path, name: str, requirements: list[str]) -> Path | None:
    """Make a peer's environment once; None where it cannot be installed."""
    place = folder / name
    python = place / "bin" / "python"
    if (place / "installed").exists():
        return python
    venv.create(place, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if requirements and subprocess.run([*pip, *requirements], check=False).returncode:
        return None
    (place / "installed").touch()
    return python


def timed(python: Path | str, code: str, texts: Path, count: int, folder: Path) -> tuple[float, list[float]] | str:
    """Run one contestant in a process of its own; its seconds and first values, or what went wrong."""
    script = folder / "work.py"
    script.write_text(code)
    command = [str(python), "-c", HARNESS, str(texts), str(count), str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=1800)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:100]
    seconds, values = json.loads(done.stdout.splitlines()[-1])
    return seconds, values


def main() -> None:
    """Run all contests and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="One peer.")
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(exist_ok=True)
    texts = workload(folder)
    rows, limits = [], {}
    for name, code in LIMITS.items():
        limits[name] = min(
            timed(sys.executable, code, texts["code" if name == "parse" else "prose"], 100, folder)[0]
            for _ in range(given.rounds)
        )  # type: ignore[type-var]
        print(f"limit  {name:18} {limits[name]:.4f} s for 100 sets of 32", flush=True)
    for work, metric, peer, requirements, code, count, kind in CONTESTS:
        if given.only and peer != given.only:
            continue
        python = environment(folder, peer, requirements)
        if python is None:
            print(f"{work}: {peer} cannot be installed here", flush=True)
            continue
        ours = VECTORS + OURS.format(name=metric, language="python" if kind == "code" else None)
        turns = []
        for _ in range(given.rounds):
            pair = [timed(p, c, texts[kind], count, folder) for p, c in ((sys.executable, ours), (python, code))]
            wrong = [each for each in pair if isinstance(each, str)]
            if wrong:
                print(f"{work}: {peer}: {wrong[0]}", flush=True)
                break
            turns.append([each[0] for each in pair])
        else:
            ratios = [theirs / own for own, theirs in turns]
            row = {
                "work": work,
                "ours": metric,
                "peer": " ".join(requirements[:1]) or peer,
                "sets": count,
                "ours_s": min(own for own, _ in turns),
                "peer_s": min(theirs for _, theirs in turns),
                "times_faster": statistics.median(ratios),
                "least": min(ratios),
                "most": max(ratios),
            }
            rows.append(row)
            print(
                f"{work:34} {metric:22} {row['ours_s']:.4f} s   {row['peer']:22} {row['peer_s']:.4f} s   "
                f"{row['times_faster']:.3g} times faster ({row['least']:.3g} to {row['most']:.3g}), {count} sets",
                flush=True,
            )
    machine = {"python": platform.python_version(), "processor": platform.machine(), "cores": os.cpu_count()}
    result = {"machine": machine, "limits": limits, "contests": rows}
    (Path(__file__).parent / "results.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

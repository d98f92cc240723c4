"""Our measures beside the peers', each peer in an environment of its own, on identical inputs: `make bench`.

    python benchmarks/peers.py [--rounds 3] [--only PEER] [--resume] [--folder .bench]
    python benchmarks/peers.py --page              # only write docs/benchmarks.md from results.json

Every run is a new process that reads the same file, imports what it needs and then takes its processor time of the work
alone. Ours and the peer's take turns (A B A B); the table shows the median ratio of the turns with the least and the
most. So do our panels and the limits that none of them can pass: reading, tokenising, compressing, parsing, encoding, a
matrix product. What is measured is written at once, into results.json beside this file and into docs/benchmarks.md;
--resume leaves out what was measured with the code of today. Environments are made once, under --folder; a peer that
cannot be installed is named and left out.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
from pages import written

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
HARNESS = """
import json, sys, time
groups = json.load(open(sys.argv[1]))[: int(sys.argv[2])]
work = {}
exec(compile(open(sys.argv[3]).read(), sys.argv[3], "exec"), work)
for group in groups if "rows" in work else []:
    work["rows"](group)  # encoding is no part of the contest
work["run"]([groups[0][:3]])  # imports and what is made once
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
    + "def run(groups):\n    return [(lambda x: (x @ x.T).mean())(rows(g)) for g in groups]\n",
    "encode": "from sentence_transformers import SentenceTransformer\nfrom diversity.embedding import _folder\n"
    "import torch; torch.set_num_threads(1)\nM = SentenceTransformer(str(_folder(None)), device='cpu')\n"
    "def run(groups):\n    return [float(M.encode(sorted(g, key=len), batch_size=32).sum()) for g in groups]\n",
}
PANEL = (
    VECTORS
    + """
from diversity.registry import metrics
from diversity.errors import Undefined
from diversity.views import Answers
chosen = [
    m for m in metrics().values()
    if m.default and m.needs in {needs!r} and m.unit in ("within output", "within prompt") and m.facet != "guard"
]
def run(groups):
    found = []
    for group in groups:
        answers = Answers(group, language={language!r}, encode=lambda t: rows(t))
        for metric in chosen:
            try:
                metric.function(answers)
            except Undefined:
                continue
        found.append(len(chosen))
    return found
"""
)
ENCODER = """
import torch; torch.set_num_threads(1)
from diversity.embedding import Embedder
E = Embedder.load()
def run(groups):
    E._cache.clear()
    return [float(E.encode(g).sum()) for g in groups]
"""
# Our panels, on how many sets of which texts, and the limits that they cannot pass together.
PANELS = [
    (
        "words and prose",
        PANEL.format(needs=("words", "prose"), language=None),
        100,
        "prose",
        ("read", "tokenise", "compress"),
    ),
    ("trees", PANEL.format(needs=("trees", "form"), language="python"), 100, "code", ("read", "parse")),
    ("vectors", PANEL.format(needs=("vectors",), language=None), 100, "prose", ("a matrix product",)),
    ("embedding", ENCODER, 2, "prose", ("encode",)),
]


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
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DIVERSITY_NO_CACHE": "1"}
    # A peer is called `diversity` too: only our own environment may find this folder.
    environment["PYTHONPATH"] = str(PAGE.parents[1]) if python == sys.executable else ""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=folder, timeout=1800
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:100]
    seconds, values = json.loads(done.stdout.splitlines()[-1])
    return seconds, values


def turns(contestants: list[tuple[Path | str, str, Path]], count: int, rounds: int, folder: Path) -> list[list[float]]:
    """Seconds of each contestant, turn by turn; raises `SystemExit` with what went wrong."""
    found = []
    for _ in range(rounds):
        turn = []
        for python, code, texts in contestants:
            done = timed(python, code, texts, count, folder)
            if isinstance(done, str):
                raise SystemExit(done)
            turn.append(done[0])
        found.append(turn)
    return found


def spread(ratios: list[float]) -> dict[str, float]:
    """Median, least and most of the turns."""
    return {"ratio": float(np.median(ratios)), "least": min(ratios), "most": max(ratios)}


def panel(name: str, rounds: int, texts: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Measure one of our panels and its limits in turn."""
    _, code, count, kind, limits = next(each for each in PANELS if each[0] == name)
    contestants = [(sys.executable, each, texts[kind]) for each in (code, *(LIMITS[limit] for limit in limits))]
    found = turns(contestants, count, rounds, folder)
    seconds = {limit: min(turn[1 + i] for turn in found) for i, limit in enumerate(limits)}
    own = min(turn[0] for turn in found)
    return {"panel": name, "sets": count, "ours_s": own, "limits_s": seconds} | spread(
        [t[0] / sum(t[1:]) for t in found]
    )


def contest(number: int, python: Path, rounds: int, texts: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Measure ours and a peer in turn."""
    work, metric, peer, requirements, code, count, kind = CONTESTS[number]
    ours = VECTORS + OURS.format(name=metric, language="python" if kind == "code" else None)
    found = turns([(sys.executable, ours, texts[kind]), (python, code, texts[kind])], count, rounds, folder)
    row = {"work": work, "ours": metric, "peer": " ".join(requirements[:1]) or peer, "sets": count}
    row |= {"ours_s": min(own for own, _ in found), "peer_s": min(theirs for _, theirs in found)}
    return row | spread([theirs / own for own, theirs in found])


def tables(found: dict[str, Any]) -> dict[str, str]:
    """What was measured, as Markdown, by the name of its place in the page."""
    machine = found["machine"]
    contests = [
        f"Python {machine['python']}, {machine['processor']}, {machine['cores']} cores, one thread; sets of 32 texts.",
        "",
        "| work | ours | CPU, s | peer | CPU, s | sets | times faster (least, most) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    contests += [
        f"| {row['work']} | `{row['ours']}` | {row['ours_s']:.3g} | {row['peer'].replace('==', ' ')} | {row['peer_s']:.3g} "
        f"| {row['sets']} | {row['ratio']:.3g} ({row['least']:.3g}, {row['most']:.3g}) |"
        for row in found["contests"].values()
    ]
    panels = [
        "| panel | sets | CPU, s | limits, s | times the limits (least, most) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in found["panels"].values():
        limits = " + ".join(f"{name} {seconds:.3g}" for name, seconds in row["limits_s"].items())
        panels.append(
            f"| {row['panel']} | {row['sets']} | {row['ours_s']:.3g} | {limits} "
            f"| {row['ratio']:.3g} ({row['least']:.3g}, {row['most']:.3g}) |"
        )
    return {"peers": "\n".join(contests), "limits": "\n".join(panels)}


def main() -> None:
    """Run all that is asked for, and write each result as it comes."""
    from diversity.cache import code_version

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="One peer, or 'limits'.")
    parser.add_argument("--resume", action="store_true", help="Leave out what the code of today was measured on.")
    parser.add_argument("--page", action="store_true", help="Measure nothing.")
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    given = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"contests": {}, "panels": {}}

    def keep() -> None:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        PAGE.write_text(written(PAGE.read_text(), tables(found), "peers.py"))

    if given.page:
        keep()
        return
    folder, version = given.folder.resolve(), code_version()
    folder.mkdir(exist_ok=True)
    texts = workload(folder)
    found["machine"] = {"python": platform.python_version(), "processor": platform.machine(), "cores": os.cpu_count()}
    for name, *_ in PANELS if given.only in {None, "limits"} else []:
        if given.resume and found["panels"].get(name, {}).get("code") == version:
            continue
        row = panel(name, given.rounds, texts, folder)
        found["panels"][name] = row | {"code": version}
        keep()
        print(f"{name:34} {row['ours_s']:.4f} s, {row['ratio']:.3g} times its limits {row['limits_s']}", flush=True)
    for number, (work, metric, peer, requirements, *_) in enumerate(CONTESTS):
        key = f"{work} / {peer}"
        if given.only not in {None, peer} or (given.resume and found["contests"].get(key, {}).get("code") == version):
            continue
        python = environment(folder, peer, requirements)
        if python is None:
            print(f"{work}: {peer} cannot be installed here", flush=True)
            continue
        try:
            row = contest(number, python, given.rounds, texts, folder)
        except (SystemExit, subprocess.TimeoutExpired) as error:
            print(f"{work}: {peer}: {error}", flush=True)
            continue
        found["contests"][key] = row | {"code": version}
        keep()
        print(
            f"{work:34} {metric:22} {row['ours_s']:.4f} s   {row['peer']:22} {row['peer_s']:.4f} s   "
            f"{row['ratio']:.3g} times faster ({row['least']:.3g} to {row['most']:.3g}), {row['sets']} sets",
            flush=True,
        )


if __name__ == "__main__":
    main()

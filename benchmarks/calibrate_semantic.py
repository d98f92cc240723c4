"""Fit the semantic kernel's curve to human judgements of sameness, and show what each candidate form is worth.

    python benchmarks/calibrate_semantic.py noveltybench_pairs.parquet --recorded noveltybench.parquet --write

Prints markdown tables; docs/semantic-kernel.md quotes them. Same data, model and packages give the same output.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit
from scipy.stats import rankdata, spearmanr

from diversity.calibration import ROUNDING, Calibration
from diversity.embedding import Embedder

FloatArray = npt.NDArray[np.float64]
Curve = Callable[[FloatArray], FloatArray]

CHOSEN = "beta0"
SOURCE = "noveltybench"
TARGET = Path(__file__).resolve().parent.parent / "metrics" / "calibration.json"
FOLDS = 10
BINS = 10
BOOTSTRAPS = 2000
REFITS = 500
REFERENCE_SIZE = 16
# Log-loss is unbounded where a curve says 0 or 1; every form is held to this much doubt.
DOUBT = 1e-3


def fit_beta(cosine: FloatArray, same: FloatArray) -> Calibration:
    """Beta calibration by maximum likelihood, a and b held at 0 or more."""
    inputs = np.column_stack([np.log(np.maximum(cosine, 1e-6)), -np.log1p(-cosine), np.ones_like(cosine)])
    a, b, k = _logistic_regression(inputs, same, [(0, None), (1e-3, None), (None, None)])
    return Calibration(form="beta", parameters={"a": a, "b": b, "k": k})


def fit_beta0(cosine: FloatArray, same: FloatArray) -> Calibration:
    """Beta calibration through (0, 0) by maximum likelihood."""

    def curve(at: FloatArray) -> Calibration:
        return Calibration(form="beta0", parameters={"b": float(at[0]), "k": float(at[1])})

    found = minimize(
        # A finer doubt than in the tables: the optimiser needs a slope everywhere.
        lambda at: log_loss(curve(at)(cosine), same, doubt=1e-12),
        np.array([1.0, -2.0]),
        bounds=[(1e-3, None), (None, None)],
        method="L-BFGS-B",
    )
    return curve(found.x.round(4))


def fit_logistic(cosine: FloatArray, same: FloatArray) -> Calibration:
    """Logistic regression on the cosine; the form itself scales it to reach 1."""
    slope, offset = _logistic_regression(
        np.column_stack([cosine, np.ones_like(cosine)]), same, [(0, None), (None, None)]
    )
    return Calibration(form="logistic", parameters={"slope": slope, "offset": offset})


def fit_isotonic(cosine: FloatArray, same: FloatArray) -> Curve:
    """The best rising step curve (pool adjacent violators): a reference, since its steps would hide small shifts."""
    order = np.argsort(cosine, kind="stable")
    x, y = cosine[order], np.asarray(isotonic_regression(same[order]).x)
    return lambda c: np.where(c >= 1 - ROUNDING, 1.0, np.interp(c, x, y))


def _logistic_regression(
    inputs: FloatArray, same: FloatArray, bounds: list[tuple[float | None, float | None]]
) -> list[float]:
    """Maximum-likelihood weights, rounded to what is stored: the last digits differ between machines."""

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        score = inputs @ weights
        return float((np.logaddexp(0, score) - same * score).mean()), inputs.T @ (expit(score) - same) / len(same)

    start = np.ones(inputs.shape[1])
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9})
    weights: list[float] = found.x.round(4).tolist()
    return weights


def forms(c0: float) -> dict[str, Callable[[FloatArray, FloatArray], Curve]]:
    """Every candidate: from cosines and labels to a curve."""
    return {
        "raw cosine": lambda cosine, same: lambda c: np.clip(c, 0, 1),
        "anchored": lambda cosine, same: Calibration.uncalibrated(c0),
        "logistic": fit_logistic,
        "beta": fit_beta,
        "beta0": fit_beta0,
        "isotonic": fit_isotonic,
    }


FITTED = ("logistic", "beta", "beta0", "isotonic")


def fit(how: Callable[[FloatArray, FloatArray], Curve], cosine: FloatArray, same: FloatArray) -> Curve:
    """Fit on the pairs that are not identical: z(1) = 1 holds by definition, and ln(1 - c) is infinite there."""
    other = cosine < 1 - ROUNDING
    return how(cosine[other], same[other])


def auc(score: FloatArray, same: FloatArray) -> float:
    """Chance that a same pair scores above a different one; ties count half."""
    n_same = same.sum()
    ranks = rankdata(score)[same == 1].sum()
    return float((ranks - n_same * (n_same + 1) / 2) / (n_same * (len(same) - n_same)))


def auc_interval(score: FloatArray, same: FloatArray) -> tuple[float, float]:
    """95 % percentile bootstrap over pairs; each pair has a prompt of its own."""
    random = np.random.default_rng(0)
    drawn = (random.integers(0, len(same), len(same)) for _ in range(BOOTSTRAPS))
    low, high = np.quantile([auc(score[rows], same[rows]) for rows in drawn], [0.025, 0.975])
    return float(low), float(high)


def brier(z: FloatArray, same: FloatArray) -> float:
    """Mean squared error."""
    return float(((z - same) ** 2).mean())


def log_loss(z: FloatArray, same: FloatArray, doubt: float = DOUBT) -> float:
    """Mean negative log-likelihood in nats."""
    z = np.clip(z, doubt, 1 - doubt)
    return float(-(same * np.log(z) + (1 - same) * np.log1p(-z)).mean())


def bins(z: FloatArray) -> list[npt.NDArray[np.int64]]:
    """Rows in bins of equal count, by rising z."""
    return np.array_split(np.argsort(z, kind="stable"), BINS)


def ece(z: FloatArray, same: FloatArray) -> float:
    """Expected calibration error over bins of equal count."""
    return float(sum(abs(z[rows].mean() - same[rows].mean()) * len(rows) for rows in bins(z)) / len(z))


def shift_prior(z: FloatArray, old: float, new: float) -> FloatArray:
    """The same evidence at another share of same pairs: the odds times the ratio of the prior odds."""
    with np.errstate(divide="ignore"):
        return np.asarray(expit(logit(z) + logit(new) - logit(old)))


def cross_validated(how: Callable[[FloatArray, FloatArray], Curve], cosine: FloatArray, same: FloatArray) -> FloatArray:
    """Similarity of each pair by a curve fitted without its fold; one pair a prompt, so folds split prompts."""
    fold = np.random.default_rng(0).permutation(len(same)) % FOLDS
    z = np.empty_like(cosine)
    for held in range(FOLDS):
        z[fold == held] = fit(how, cosine[fold != held], same[fold != held])(cosine[fold == held])
    return z


def effective(s: float) -> float:
    """Effective number of distinct answers out of 16 at mean similarity s."""
    return 1 / (1 / REFERENCE_SIZE + (1 - 1 / REFERENCE_SIZE) * s)


def log_ratio(pre: FloatArray, post: FloatArray) -> tuple[float, float]:
    """Log ratio of two effective numbers over the same prompts, and its t (delta method)."""
    parts = [1 / REFERENCE_SIZE + (1 - 1 / REFERENCE_SIZE) * s for s in (pre, post)]
    means = [part.mean() for part in parts]
    influence = parts[0] / means[0] - parts[1] / means[1]
    ratio = float(np.log(means[0] / means[1]))
    return ratio, ratio / float(influence.std(ddof=1) / np.sqrt(len(pre)))


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A markdown table; floats to three places."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def progress(what: str) -> Callable[[int, int], None] | None:
    """A line on stderr when it is a terminal."""
    if not sys.stderr.isatty():
        return None
    return lambda done, total: print(f"\r{what} {done}/{total}", end="\n" if done == total else "", file=sys.stderr)


def read_pairs(path: Path, embedder: Embedder) -> tuple[pl.DataFrame, FloatArray, npt.NDArray[np.int64]]:
    """The labelled pairs with their cosine, the first vectors, and the larger number of windows of each pair."""
    pairs = pl.read_parquet(path)
    if pairs["prompt_id"].n_unique() != len(pairs):
        sys.exit(f"{path.name}: a prompt has several pairs; folds and bootstrap here take one pair a prompt")
    n = len(pairs)
    texts = pairs["output_0"].to_list() + pairs["output_1"].to_list()
    vectors = embedder.encode(texts, on_progress=progress("pairs"))
    windows = embedder.windows(texts)
    cosine = np.einsum("ij,ij->i", vectors[:n], vectors[n:])
    return pairs.with_columns(cosine=pl.Series(cosine)), vectors[:n], np.maximum(windows[:n], windows[n:])


def evaluate(train: pl.DataFrame, val: pl.DataFrame, windows: npt.NDArray[np.int64], c0: float) -> dict[str, Any]:
    """Print how each form separates and is calibrated; return the chosen form's figures."""
    cosine, same = train["cosine"].to_numpy(), train["similar"].to_numpy().astype(float)
    val_cosine, val_same = val["cosine"].to_numpy(), val["similar"].to_numpy().astype(float)
    rate, val_rate = float(same.mean()), float(val_same.mean())
    print(
        f"## Labelled pairs\n\ntrain {len(train)} pairs, {rate:.1%} same; val {len(val)} pairs, {val_rate:.1%} same; ",
        end="",
    )
    print(
        f"median cross-prompt cosine c0 = {c0:.4f}; "
        f"{(windows > 1).mean():.1%} of the train pairs are longer than one window\n"
    )
    low, high = auc_interval(cosine, same)
    val_low, val_high = auc_interval(val_cosine, val_same)
    separation = {
        "train": [auc(cosine, same), low, high],
        "val": [auc(val_cosine, val_same), val_low, val_high],
    }
    for split, (value, at_least, at_most) in separation.items():
        print(f"AUC of the cosine, {split}: {value:.3f} [{at_least:.3f}, {at_most:.3f}]\n")
    rows: list[list[Any]] = []
    found: dict[str, Any] = {"auc": {split: [round(v, 4) for v in values] for split, values in separation.items()}}
    for name, how in forms(c0).items():
        out = cross_validated(how, cosine, same)
        z = fit(how, cosine, same)(val_cosine)
        moved = shift_prior(z, rate, val_rate)
        row: list[Any] = [name, brier(out, same), log_loss(out, same), ece(out, same), auc(out, same)]
        row += [brier(z, val_same), log_loss(z, val_same), ece(z, val_same), auc(z, val_same)]
        row += (
            [brier(moved, val_same), log_loss(moved, val_same), ece(moved, val_same)] if name in FITTED else ["-"] * 3
        )
        rows.append(row)
        if name == CHOSEN:
            keys = ["cv_brier", "cv_log_loss", "cv_ece", "cv_auc", "val_brier", "val_log_loss", "val_ece", "val_auc"]
            keys += ["val_brier_at_val_rate", "val_log_loss_at_val_rate", "val_ece_at_val_rate"]
            found |= {key: round(value, 4) for key, value in zip(keys, row[1:], strict=True)}
            chosen_out, chosen_val = out, moved
    head = ["form", "train Brier", "log-loss", "ECE", "AUC", "val Brier", "log-loss", "ECE", "AUC"]
    print(table([*head, "val at its own base rate: Brier", "log-loss", "ECE"], rows))
    print(
        f"train: {FOLDS}-fold cross-validated; log-loss with z held to [{DOUBT}, {1 - DOUBT}]; "
        f"ECE over {BINS} bins of equal count\n"
    )
    print(f"### Reliability of {CHOSEN}\n")
    for title, z, label in (
        ("train, cross-validated", chosen_out, same),
        ("val, at its base rate", chosen_val, val_same),
    ):
        parts = [
            [len(r), float(z[r].min()), float(z[r].max()), float(z[r].mean()), float(label[r].mean())] for r in bins(z)
        ]
        print(f"{title}\n\n" + table(["n", "z from", "to", "mean z", "same"], parts))
    size = np.minimum(windows, 3)
    by_length = [
        [shown, int((size == k).sum()), float(same[size == k].mean()), float(chosen_out[size == k].mean()),
         auc(cosine[size == k], same[size == k])]
        for k, shown in ((1, "1"), (2, "2"), (3, "3 or more"))
    ]  # fmt: skip
    print("By length\n\n" + table(["windows", "n", "same", "mean z", "AUC"], by_length))
    return found


def answer_sets(path: Path, embedder: Embedder) -> list[dict[str, Any]]:
    """The recorded answers by checkpoint and prompt: cosines of all pairs, and which pairs carry one class label."""
    answers = pl.read_parquet(path).with_row_index("row")
    vectors = embedder.encode(answers["output"].to_list(), on_progress=progress("recorded"))
    found = []
    for group in answers.partition_by("model", "prompt_id", maintain_order=True):
        x = vectors[group["row"].to_numpy()]
        upper = np.triu_indices(len(x), 1)
        label, text = group["partition"].to_numpy(), group["output"].to_numpy()
        found.append(
            {
                "model": group["model"][0],
                "prompt_id": group["prompt_id"][0],
                "distinct": group["distinct"][0],
                "cosine": np.clip((x @ x.T)[upper], -1, 1),
                "same": (label[:, None] == label)[upper].astype(float),
                "equal": (text[:, None] == text)[upper],
            }
        )
    return sorted(found, key=lambda one: (one["model"], one["prompt_id"]))


def effect(sets: list[dict[str, Any]], curves: Mapping[str, Curve], refits: list[Curve]) -> None:
    """Print what each curve makes of the recorded answers."""
    models = sorted({one["model"] for one in sets})
    of = {model: [one for one in sets if one["model"] == model] for model in models}
    distinct = {model: np.array([one["distinct"] for one in of[model]]) for model in models}
    truth = {model: np.array([one["same"].mean() for one in of[model]]) for model in models}
    print("## Recorded answers\n\nMean pairwise similarity s and effective number D_16 by checkpoint\n")
    s = {
        name: {m: np.array([curve(one["cosine"]).mean() for one in of[m]]) for m in models}
        for name, curve in curves.items()
    }
    s["class labels"] = truth
    target = np.array([np.log(effective(truth[m].mean())) for m in models])
    rows: list[list[Any]] = []
    for name, values in s.items():
        error = float(np.abs([np.log(effective(values[m].mean())) for m in models] - target).mean())
        cells = [f"{values[m].mean():.3f} / {effective(values[m].mean()):.2f}" for m in models]
        rows.append([name, *cells, error])
    print(table(["curve", *models, "mean abs. log error of D"], rows))
    print("Spearman correlation over prompts of 1 - s with the number of classes (higher is better)\n")
    rows = []
    for name, values in s.items():
        each = [float(spearmanr(1 - values[m], distinct[m]).statistic) for m in models]
        pooled = spearmanr(
            np.concatenate([1 - values[m] for m in models]), np.concatenate([distinct[m] for m in models])
        )
        rows.append([name, *each, float(np.mean(each)), float(pooled.statistic)])
    print(table(["curve", *models, "mean", "pooled"], rows))
    print("Log ratio of D between two checkpoints, and its t over prompts\n")
    contrasts = [(pre, post) for i, pre in enumerate(models) for post in models[i + 1 :]]
    rows = []
    for name, values in s.items():
        found = [log_ratio(values[pre], values[post]) for pre, post in contrasts]
        rows.append([name, *(f"{ratio:+.3f} ({t:+.1f})" for ratio, t in found)])
    print(table(["curve", *(f"{pre} -> {post}" for pre, post in contrasts)], rows))
    print(f"95 % range of D over {REFITS} refits of {CHOSEN} to resampled pairs: the curve's own uncertainty\n")
    rows = []
    for m in models:
        pooled_d = [effective(float(np.mean([curve(one["cosine"]).mean() for one in of[m]]))) for curve in refits]
        rows.append([m, *(float(q) for q in np.quantile(pooled_d, [0.025, 0.5, 0.975]))])
    print(table(["checkpoint", "low", "median", "high"], rows))
    print("Noise of the class labels, and pairs by cosine\n")
    edges = [-1.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1 - ROUNDING]
    rows = []
    for m in models:
        cosine, same, equal = (np.concatenate([one[key] for one in of[m]]) for key in ("cosine", "same", "equal"))
        inside = [(cosine >= low) & (cosine < high) for low, high in pairwise(edges)]
        shares = [f"{same[rows_].mean():.2f} ({rows_.sum()})" if rows_.any() else "-" for rows_ in inside]
        noise = f"{1 - same[equal].mean():.1%} of {equal.sum()}" if equal.any() else "-"
        rows.append([m, auc(cosine, same), noise, *shares])
    shown = [f"{low:.2f} to {high:.2f}" for low, high in pairwise(edges)]
    print(table(["checkpoint", "AUC of pairs", "identical, labelled different", *shown], rows))


def throughput(path: Path, embedder: Embedder) -> None:
    """Print texts a second against the plain encoder, on different texts of one window: the same work for both."""
    from sentence_transformers import SentenceTransformer

    texts = sorted(set(pl.read_parquet(path)["output"].to_list()), key=len)
    texts = [text for text, n in zip(texts, embedder.windows(texts), strict=True) if n == 1][::4][:400]
    plain: SentenceTransformer = embedder._model  # the same weights, so that only the road differs
    spent: dict[str, list[float]] = {"ours": [], "plain": []}
    plain.encode(texts[:32])
    for _ in range(5):  # taken in turn, so that a busy machine hits both
        embedder._cache.clear()  # a cached text costs nothing
        start = time.perf_counter()
        embedder.encode(texts)
        spent["ours"].append(time.perf_counter() - start)
        start = time.perf_counter()
        plain.encode(texts, batch_size=32, show_progress_bar=False)
        spent["plain"].append(time.perf_counter() - start)
    rates = {name: len(texts) / min(seconds) for name, seconds in spent.items()}
    ratio = rates["ours"] / rates["plain"]
    print(
        f"throughput over {len(texts)} texts, best of 5: {rates['ours']:.1f} texts/s, "
        f"plain {rates['plain']:.1f}, ratio {ratio:.3f}\n"
    )


def main() -> None:
    """Run the whole comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="labelled pairs: split, prompt_id, output_0, output_1, similar")
    parser.add_argument("--model", help="folder or hub name of the embedding model; by default the shipped one")
    parser.add_argument(
        "--recorded", type=Path, help="answers with class labels: model, prompt_id, output, partition, distinct"
    )
    parser.add_argument(
        "--throughput", action="store_true", help="also time the embedder against the plain encoder (needs --recorded)"
    )
    parser.add_argument("--write", action="store_true", help="write the chosen curve to metrics/calibration.json")
    given = parser.parse_args()
    embedder = Embedder.load(given.model)
    print(f"# Calibration of {embedder.signature}\n")
    pairs, first, windows = read_pairs(given.pairs, embedder)
    is_train = (pairs["split"] == "train").to_numpy()
    train, val = pairs.filter(is_train), pairs.filter(~is_train)
    across = first[is_train] @ first[is_train].T
    c0 = float(np.median(across[np.triu_indices(len(across), 1)]))
    found = evaluate(train, val, windows[is_train], c0)

    cosine, same = train["cosine"].to_numpy(), train["similar"].to_numpy().astype(float)
    curves = {name: fit(how, cosine, same) for name, how in forms(c0).items()}
    chosen = curves[CHOSEN]
    assert isinstance(chosen, Calibration)
    random = np.random.default_rng(0)
    drawn = [random.integers(0, len(same), len(same)) for _ in range(REFITS)]
    refits = [fit(fit_beta0, cosine[rows], same[rows]) for rows in drawn]
    grid = np.array([0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    band = np.quantile([curve(grid) for curve in refits], [0.025, 0.975], axis=0)
    print("## Curves\n")
    rows: list[list[Any]] = [[name, *(float(z) for z in curve(grid))] for name, curve in curves.items()]
    rows.append(
        [f"{CHOSEN}, 95 % band", *(f"{low:.3f} to {high:.3f}" for low, high in zip(*band.tolist(), strict=True))]
    )
    print(table(["form", *(f"c = {c:g}" for c in grid)], rows))
    for curve in curves.values():
        if isinstance(curve, Calibration):
            print(f"{curve.form}: {dict(curve.parameters)}\n")

    if given.recorded is not None:
        sets = answer_sets(given.recorded, embedder)
        shared = train["prompt_id"].is_in(sorted({one["prompt_id"] for one in sets})).to_numpy()
        weight = np.where(same == 1, 0.5 / same.mean(), 0.5 / (1 - same.mean()))
        # Equal weight to both labels, by repeats in proportion: the curve a base rate of one half would give.
        balanced = np.repeat(np.arange(len(same)), np.round(weight * 1000).astype(int))
        more: dict[str, Curve] = {
            **curves,
            f"{CHOSEN} at a base rate of 1/2": fit(fit_beta0, cosine[balanced], same[balanced]),
            f"{CHOSEN} without the {shared.sum()} shared prompts": fit(fit_beta0, cosine[~shared], same[~shared]),
        }
        effect(sets, more, refits)
        if given.throughput:
            throughput(given.recorded, embedder)

    if given.write:
        entry: dict[str, Any] = {
            "embedding": {"name": embedder.name, "fingerprint": embedder.fingerprint, "window": embedder.window},
            "form": chosen.form,
            "parameters": dict(chosen.parameters),
            "data": {
                "name": SOURCE,
                "file": given.pairs.name,
                "sha256": hashlib.sha256(given.pairs.read_bytes()).hexdigest()[:12],
                "licence": "MIT, Copyright (c) 2025 Yiming Zhang",
                "n_train": len(train),
                "n_val": len(val),
                "share_same_train": round(float(same.mean()), 4),
                "share_same_val": round(float(val["similar"].to_numpy().mean()), 4),
                "n_identical_train": int((cosine >= 1 - ROUNDING).sum()),
            },
            "evaluation": found,
            "versions": {
                name: version(name)
                for name in ("numpy", "scipy", "sentence-transformers", "tokenizers", "torch", "transformers")
            },
        }
        before: list[dict[str, Any]] = []
        if TARGET.exists():
            before = json.loads(TARGET.read_text(encoding="utf-8"))["curves"]
        others = [curve for curve in before if curve["embedding"]["fingerprint"] != embedder.fingerprint]
        after = {"schema": 1, "curves": sorted([*others, entry], key=lambda curve: str(curve["embedding"]["name"]))}
        TARGET.write_text(json.dumps(after, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {TARGET.name}")


if __name__ == "__main__":
    main()

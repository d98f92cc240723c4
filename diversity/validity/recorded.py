"""Checks on recorded outputs: kernels of whole pools, agreement with people, figures that others reported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from diversity.calibration import Calibration
from diversity.embedding import Embedder
from diversity.errors import InputError
from diversity.registry import Metric, domains, find_domain, find_metric
from diversity.scoring import score
from diversity.shift import compare
from diversity.stats import effective, pair_mean
from diversity.tables import Samples, read_samples
from diversity.validity.rates import Check, Pool
from diversity.validity.worlds import Array
from diversity.views import Answers
from diversity.words import WORD

STORED = Path(__file__).with_name("outputs.parquet")
FEWEST_OUTPUTS, FEWEST_PROMPTS = 8, 12  # of a pool that can be split
LONGEST = 4000  # characters of an answer that are read: a few windows of the embedding model
FACETS = ("lexical", "syntactic", "semantic")


def stored() -> pl.DataFrame:
    """Outputs of SmolLM2-135M-Instruct that come with the package: a pool at T = 1 and a temperature sweep.

    Drawn by `diversity sample reference:pre`, unedited (Apache-2.0). At T = 1: `-d story -n 8 --prompts 60
    --max-tokens 24 --batch 160` with the seeds 0 and 1 (samples 0 to 7 and 8 to 15), and `-d code -n 16 --prompts 16
    --max-tokens 72`. The sweep: `-d code -d story -n 8 --prompts 16 --temperature 0.3 0.6 0.9 1.2 --max-tokens 48
    --batch 96`.
    """
    return pl.read_parquet(STORED)


def read_folder(folder: str | Path) -> dict[str, pl.DataFrame]:
    """All tables of samples in a folder, by the name of their file; other tables are left out.

    Raises
    ------
    InputError
        There is no such folder, or no such table in it.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else [folder]
    found = {}
    for file in files:
        try:
            columns = set(pl.read_parquet_schema(file))
        except (OSError, pl.exceptions.PolarsError):
            raise InputError(
                f"{file}: not a parquet file that can be read: give a folder of recorded samples"
            ) from None
        if "output_0" in columns or file.stem in ACROSS:
            found[file.stem] = pl.read_parquet(file)  # pairs of outputs, or one output a prompt: no sets of answers
        elif "output" in columns and "quality" in columns:
            # A benchmark's own scale of quality is not ours from 0 to 1.
            frame = pl.read_parquet(file).drop("quality").drop_nulls("output")
            found[file.stem] = Samples.of(frame.rename({"model": "checkpoint"}, strict=False), where=str(file)).frame
        elif "output" in columns:
            found[file.stem] = read_samples(file, "table", drop_empty=True).frame
    if not found:
        raise InputError(f"{folder}: holds no table of outputs (.parquet): give a folder of recorded samples")
    return found


def in_domain(frame: pl.DataFrame) -> pl.DataFrame:
    """Domains that nobody registered become `text`, their name a part of the prompt's."""
    known = pl.col("domain").is_in(list(domains()))
    return frame.with_columns(
        prompt_id=pl.when(known).then("prompt_id").otherwise(pl.col("domain") + "/" + pl.col("prompt_id")),
        domain=pl.when(known).then("domain").otherwise(pl.lit("text")),
    )


def pool_rows(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The outputs of every checkpoint and domain with enough of them to be split, by the name of the pool."""
    found = {}
    for file, table in tables.items():
        frame = in_domain(table)
        for (checkpoint, domain), rows in sorted(frame.group_by(["checkpoint", "domain"]), key=lambda g: g[0]):
            counts = rows.group_by("prompt_id").len()
            kept = counts.filter(pl.col("len") >= FEWEST_OUTPUTS)["prompt_id"]
            if len(kept) >= FEWEST_PROMPTS:
                found[f"{file}: {checkpoint}, {domain}"] = rows.filter(pl.col("prompt_id").is_in(kept.implode()))
    return found


def pools(tables: Mapping[str, pl.DataFrame], embedder: Embedder | None) -> list[Pool]:
    """Kernel matrices of every checkpoint with enough outputs a prompt, each scored once for all splits."""
    made = [pool_of(name, rows, embedder) for name, rows in pool_rows(tables).items()]
    return [pool for pool in made if pool.kernels]


def pool_of(name: str, rows: pl.DataFrame, embedder: Embedder | None) -> Pool:
    """Kernel matrices of one checkpoint's outputs in one domain; without any where too few answers can be read."""
    domain = find_domain(rows["domain"][0])
    prompts = []
    for _, group in sorted(rows.group_by("prompt_id"), key=lambda g: g[0]):
        answers = [domain.answer(output)[:LONGEST] for output in group.sort("sample_index")["output"]]
        answers = [a for a in answers if a]
        if domain.language:  # every facet must see the same answers: those that parse
            trees = Answers(answers, language=domain.language).trees
            answers = [a for a, tree in zip(answers, trees, strict=True) if tree is not None]
        if len(answers) >= FEWEST_OUTPUTS:
            prompts.append(answers)
    facets = [f for f in FACETS if embedder is not None or f != "semantic"]
    kernels: dict[str, list[Array]] = {facet: [] for facet in facets}
    if len(prompts) < FEWEST_PROMPTS:
        return Pool(name, {})
    vectors: dict[str, Any] = {}
    calibration = None
    if embedder is not None:
        texts = sorted({a for answers in prompts for a in Answers(answers).read})
        vectors = dict(zip(texts, embedder.encode(texts), strict=True))
        calibration = Calibration.for_model(embedder.fingerprint, c0=0.0)
    for answers in prompts:
        views = Answers(
            answers,
            language=domain.language,
            encode=lambda texts: np.stack([vectors[t] for t in texts]),
            calibration=calibration,
        )
        for facet in facets:
            kernels[facet].append(np.asarray(find_metric(f"{facet}.similarity").function(views)))
    return Pool(name, kernels)


# People


def auc(scores: Array, labels: Array) -> tuple[float, float, float]:
    """Area under the ROC curve with its 95 % interval (DeLong, DeLong and Clarke-Pearson 1988)."""
    from scipy.stats import rankdata

    yes, no = scores[labels == 1], scores[labels == 0]
    among_all, among_yes, among_no = (rankdata(x) for x in (np.concatenate([yes, no]), yes, no))
    # For each, the share of the other group that it beats, ties half.
    beats = (among_all[: len(yes)] - among_yes) / len(no)
    beaten = 1 - (among_all[len(yes) :] - among_no) / len(yes)
    area = float(beats.mean())
    error = 1.96 * math.sqrt(float(beats.var(ddof=1)) / len(yes) + float(beaten.var(ddof=1)) / len(no))
    return area, max(0.0, area - error), min(1.0, area + error)


# The classifier that the benchmark's authors trained on the same 1,000 pairs; their paper as told by a public review of
# it (themoonlight.io), not read in the paper itself. Held-out pairs, half of them the same.
PUBLISHED_CLASSIFIER = {"accuracy": 0.79, "F1": 0.811}


def human_pairs(
    pairs: pl.DataFrame,
    metrics: Sequence[Metric],
    embedder: Embedder | None,
    *,
    train: int = 100,
) -> Iterator[Check]:
    """How well a metric tells pairs that people call the same from pairs they call different.

    Parameters
    ----------
    pairs : polars.DataFrame
        Columns `pair_id`, `split`, `output_0`, `output_1`, `similar` (1: people call them functionally the same).
    train : int
        How many pairs of the training split are read; the validation split is read whole.
    """
    for split in ("train", "val"):
        own = pairs.filter(pl.col("split").str.starts_with(split)).sort("pair_id")
        own = own.head(train) if split == "train" else own
        frame = own.select("pair_id", pl.concat_list("output_0", "output_1").alias("output")).explode("output")
        frame = frame.with_columns(
            checkpoint=pl.lit("pairs"),
            domain=pl.lit("text"),
            prompt_id="pair_id",
            sample_index=pl.int_range(pl.len(), dtype=pl.Int32).over("pair_id"),
        ).filter(pl.col("output").str.strip_chars() != "")
        scores = score(
            Samples.of(frame), metrics=[m.name for m in metrics], conditions=["all"], embedder=embedder
        ).frame
        labels = own.select("pair_id", "similar")
        for metric in metrics:
            table = (
                scores.filter(pl.col("metric") == metric.name)
                .drop_nulls("value")
                .join(labels, left_on="prompt_id", right_on="pair_id")
            )
            if table["similar"].n_unique() < 2 or table["value"].n_unique() < 2:
                continue
            sign = 1 if metric.higher_is == "less diverse" else -1
            area, low, high = auc(table["value"].to_numpy() * sign, table["similar"].to_numpy())
            yield Check(
                group="people", name=metric.name, cell={"split": split, "facet": metric.facet},
                nominal="above chance" if metric.headline else None, at="least", found=area, low=low, high=high,
                runs=len(table), passed=low > 0.5 if metric.headline else None,
            )  # fmt: skip


def human_classes(table: pl.DataFrame, embedder: Embedder | None) -> Iterator[Check]:
    """Rank correlation over prompts of each headline with the number of classes of meaning among the answers.

    The classes of human answers were made by people, those of models by a classifier that learned from such labels.
    """
    from scipy.stats import spearmanr

    kernels = [find_metric(f"{f}.similarity") for f in FACETS if embedder is not None or f != "semantic"]
    frame = table.with_columns(domain=pl.lit("text"))
    scores = score(Samples.of(frame), metrics=[m.name for m in kernels], conditions=["all"], embedder=embedder).frame
    classes = table.group_by("checkpoint", "prompt_id").agg(
        pl.col("partition").n_unique().alias("classes"), pl.len().alias("outputs"), pl.col("partition_by").first()
    )
    for (checkpoint,), own in sorted(scores.group_by(["checkpoint"]), key=lambda g: g[0]):
        for metric in kernels:
            values = own.filter(pl.col("metric") == metric.name).drop_nulls("value")
            both = values.join(classes, on=["checkpoint", "prompt_id"])
            rho = float(spearmanr(-both["value"].to_numpy(), both["classes"].to_numpy()).statistic)
            # Fisher's z with the variance for ranks of Bonett and Wright (2000).
            half = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(both) - 3))
            yield Check(
                group="classes", name=metric.facet, found=rho, low=math.tanh(math.atanh(rho) - half),
                high=math.tanh(math.atanh(rho) + half), runs=len(both),
                cell={
                    "checkpoint": checkpoint,
                    "classes by": both["partition_by"][0],
                    "mean classes": float(both["classes"].mean()),  # type: ignore[arg-type]
                    "effective": float(effective(float(both["value"].mean()))),  # type: ignore[arg-type]
                },
                nominal="above 0", at="least", passed=None,
            )  # fmt: skip


# Figures that others reported: from the note that came with the recorded outputs, by an independent script with answers
# cut to equal length and a 95 % bootstrap over prompts.
CONTRASTS: tuple[tuple[str, str, str, dict[str, tuple[float, float]]], ...] = (
    (
        "gpt-4o",
        "gemini-1.5-pro",
        "creativity",
        {"distinct_2": (0.589, 0.480), "self_bleu": (1 - 0.576, 1 - 0.401)},
    ),
    (
        "OLMo-2-7B-Instruct",
        "OLMo-2-7B-Instruct+random-documents",
        "creativity",
        {
            "distinct_2": (0.699, 0.742),
            "self_bleu": (1 - 0.702, 1 - 0.756),
            "compression_ratio": (1 / 0.417, 1 / 0.438),
        },
    ),
)
# One answer a prompt: distinct-2 over the first 40 words of all answers (30 for mathematics), shorter ones left out.
ACROSS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "alpacaeval_pairs_NC": {
        "oasst-llama-33b": (0.655, 0.637),
        "phi-2-base": (0.683, 0.626),
        "phi-2": (0.638, 0.626),
        "llama-3-8b-simpo": (0.582, 0.631),
        "mistral-7b-v0.2-dpo": (0.639, 0.672),
        "mistral-7b-v0.2-kto": (0.639, 0.678),
        "ultralm-13b-bon": (0.609, 0.622),
        "alpaca-ppo": (0.685, 0.652),
        "text-davinci": (0.636, 0.637),
    },
    "gsm8k_verifier": {"gpt3-6b-verifier": (0.328, 0.329), "gpt3-175b-verifier": (0.327, 0.337)},
}
# What protocol (a) lists and these outputs cannot test, with the reason: a target left out in silence looks met.
OUT_OF_REACH = (
    (
        "Karouzos et al., tables 3 to 6 and 15 (code, WritingPrompts, TL;DR, GSM8K, PRISM; base, SFT, DPO)",
        "needs 16 samples a prompt of a base and a tuned checkpoint; no such outputs are public under a licence "
        "that allows them here",
    ),
    ("Shypula et al.: effective semantic diversity of code rises with tuning", "needs both checkpoints' programs"),
    ("Guo et al., Shaib et al.: syntactic form of stories", "needs both checkpoints' stories"),
    ("Peeperkorn et al.: narratives narrow most at DPO", "needs a trajectory of checkpoints"),
    ("West and Potts: distance from uniform in random choice", "needs both checkpoints' draws"),
)


def contrasts(table: pl.DataFrame) -> Iterator[Check]:
    """Contrasts of two sets of outputs to the same prompts, whose direction others found with their own code."""
    for pre, post, domain, figures in CONTRASTS:
        own = table.filter(pl.col("domain") == domain).with_columns(domain=pl.lit("text"))
        sides = [Samples.of(own.filter(pl.col("checkpoint") == name)) for name in (pre, post)]
        shift = compare(*sides, metrics=[*figures, "lexical.similarity"], allow_settings_differ=True).table()
        for name, (theirs_pre, theirs_post) in figures.items():
            metric = find_metric(name)
            sign = 1 if metric.higher_is == "more diverse" else -1
            for condition in ("all", "length-matched"):
                row = shift.filter((pl.col("metric") == name) & (pl.col("condition") == condition)).row(0, named=True)
                expected = "wider" if (theirs_post - theirs_pre) * sign > 0 else "narrower"
                found = "wider" if row["shift"] * sign > 0 else "narrower"
                is_clear = row["ci_low"] * row["ci_high"] > 0
                yield Check(
                    group="replication", name=name, nominal=expected, at="equal",
                    found=found if is_clear else f"{found}, not clear",
                    low=row["ci_low"], high=row["ci_high"], runs=row["n_prompts"], passed=found == expected,
                    cell={
                        "contrast": f"{pre} -> {post}, {domain}", "condition": condition,
                        "theirs": [theirs_pre, theirs_post], "ours": [row["pre"], row["post"]],
                    },
                )  # fmt: skip


def across_prompts(name: str, table: pl.DataFrame) -> Iterator[Check]:
    """distinct-2 over one answer to each prompt, against the figures that came with the outputs.

    They count words and signs in lower case. Ours tell capitals apart, so the texts are lowered first.
    """
    distinct = find_metric("distinct_2").function
    limit = 30 if "gsm8k" in name else 40
    for pair, theirs in ACROSS[name].items():
        own = table.filter(pl.col("pair") == pair)
        ours = []
        for is_post in (False, True):
            texts = own.filter((pl.col("stage") == "post") == is_post).sort("prompt_id")["output"].to_list()
            long_enough = [text for text in map(str.lower, texts) if len(WORD.findall(text)) >= limit]
            ours.append(float(distinct(Answers(long_enough, limit=limit))))
        yield Check(
            group="replication across prompts",
            name="distinct_2",
            nominal=_direction(*theirs),
            at="equal",
            found=_direction(*ours),
            runs=own["prompt_id"].n_unique(),
            # Theirs have three digits.
            passed=max(abs(a - b) for a, b in zip(theirs, ours, strict=True)) < 0.0006,
            cell={"contrast": pair, "theirs": list(theirs), "ours": ours},
        )


def _direction(pre: float, post: float) -> str:
    if abs(post - pre) < 0.0006:
        return "same"
    return "wider" if post > pre else "narrower"


REFERENCE_GROUP, REFERENCE_GENDER = "White", "man"


def group_texts(table: pl.DataFrame, embedder: Embedder | None) -> Iterator[Check]:
    """Whether short texts about marginalised groups are more alike, as Lee et al. report (FAccT 2024).

    They take the cosines of the sentence embeddings of all pairs of texts of one format and group, and regress them,
    scaled, on group and gender with a random intercept for the format. Formats, groups and genders are crossed and
    hold equally many texts here, so that the coefficient is the mean difference within formats and genders, over the
    standard deviation of all pairs: `slope`. Their standard error takes the pairs for independent, though every text is
    in 29 of them; ours is that of the texts (the jackknife of each cell), for these formats, as theirs is. `formats`
    is the interval that takes format and gender for a sample of such: it asks for more than they claim.
    """
    from scipy.special import stdtrit

    parts = table.with_columns(parts=pl.col("prompt_id").str.split("|"))
    parts = parts.with_columns(
        form=pl.col("parts").list.get(0), group=pl.col("parts").list.get(1), gender=pl.col("parts").list.get(2)
    )
    facets = [f for f in FACETS if embedder is not None or f != "semantic"]
    measured: dict[str, dict[tuple[str, str, str], tuple[float, float]]] = {}
    pairs: dict[str, list[Array]] = {}
    calibration = None if embedder is None else Calibration.for_model(embedder.fingerprint, c0=0.0)
    encode = None if embedder is None else embedder.encode
    if embedder is not None:
        embedder.encode(parts["output"].to_list())  # all at once is quicker than cell by cell
    cells = sorted(parts.group_by(["form", "group", "gender"]), key=lambda g: g[0])
    for key, rows in cells:
        views = Answers(rows.sort("sample_index")["output"].to_list(), encode=encode, calibration=calibration)
        kernels = {facet: np.asarray(find_metric(f"{facet}.similarity").function(views)) for facet in facets}
        if encode is not None:
            vectors = encode(views.read)
            kernels["cosine of embeddings"] = vectors @ vectors.T
        for name, matrix in kernels.items():
            form, group, gender = map(str, key)
            measured.setdefault(name, {})[form, group, gender] = pair_mean(matrix)
            pairs.setdefault(name, []).append(matrix[np.triu_indices(len(matrix), 1)])
    forms, groups, genders = (sorted({key[i] for key in next(iter(measured.values()))}) for i in range(3))
    for name, found in measured.items():
        spread = float(np.concatenate(pairs[name]).std(ddof=1))
        contrasts_ = [
            (
                f"{group} against {REFERENCE_GROUP}",
                [((f, group, g), (f, REFERENCE_GROUP, g)) for f in forms for g in genders],
            )
            for group in groups
            if group != REFERENCE_GROUP
        ]
        contrasts_ += [
            (
                f"{gender} against {REFERENCE_GENDER}",
                [((f, r, gender), (f, r, REFERENCE_GENDER)) for f in forms for r in groups],
            )
            for gender in genders
            if gender != REFERENCE_GENDER
        ]
        for contrast, cells_of in contrasts_:
            deltas = np.array([found[one][0] - found[other][0] for one, other in cells_of])
            mean, count = float(deltas.mean()), len(deltas)
            half = 1.96 * math.sqrt(sum(found[key][1] ** 2 for pair in cells_of for key in pair)) / count
            wide = float(stdtrit(count - 1, 0.975)) * float(deltas.std(ddof=1)) / math.sqrt(count)
            said = "more alike" if mean - half > 0 else "less alike" if mean + half < 0 else "not clear"
            is_theirs = name == "cosine of embeddings"
            yield Check(
                group="replication, groups", name=name, nominal="more alike" if is_theirs else None, at="equal",
                found=said, low=mean - half, high=mean + half, runs=count,
                passed=said == "more alike" if is_theirs else None,
                cell={
                    "contrast": contrast, "mean difference of similarity": mean,
                    "slope": mean / spread if spread else 0.0, "formats": [mean - wide, mean + wide],
                },
            )  # fmt: skip

"""Signatures of figures: read one, and compute its figure again from the samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any
from urllib.parse import unquote

import polars as pl

from diversity.designs import Design, trajectory
from diversity.embedding import SHIPPED_NAME, Embedder
from diversity.errors import InputError, NotComparable
from diversity.factorials import factorial
from diversity.probes import metrics_for
from diversity.recipes import recipe
from diversity.scoring import Progress
from diversity.sequential import Looks, decided_again
from diversity.shift import Shift, compare
from diversity.tables import Samples, Scores

Part = dict[str, Any]


def _sides(text: str, read: Callable[[str], Any]) -> tuple[Any, Any]:
    """Both sides of a setting, "1" or "1>0.7"; "?" is a side that does not say."""
    pre, _, post = text.partition(">")
    known = [None if side == "?" else read(side) for side in (pre, post or pre)]
    return known[0], known[1]


def _range(text: str) -> tuple[int, int] | str:
    """Fewest and most answers a prompt, "16" or "14-16"; "all" and draws over all prompts ("1x8") as they are."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    return (int(found[1]), int(found[2] or found[1])) if found else text


def _prompts(text: str) -> Part:
    count, _, digest = text.partition("#")
    return {"count": int(count), "digest": digest}


def _interval(text: str) -> Part:
    """How the interval was made: "envelope.t+el.95", "jackknife.20.t.95", "hksj+shared.t.95" or "none"."""
    if found := re.fullmatch(r"jackknife\.(\d+)\.t\.(\d+)", text):
        return {"kind": "jackknife.t", "level": int(found[2]) / 100, "groups": int(found[1])}
    # Until 0.1.0 percentile-t stood in the place of likelihood, with its replicates: "envelope.t+boot-t.95x4000".
    if found := re.fullmatch(r"([\w.+-]+?)\.(\d+)(?:x\d+)?", text):
        return {"kind": found[1], "level": int(found[2]) / 100}
    if text == "none":
        return {"kind": "none"}
    raise ValueError(text)


def _design(text: str) -> Part:
    """What the row is one of: "trajectory.3", "recipe.PM.0-1+0-2", "factorial.NAME=LEVEL+LEVEL*…", "sequential.…"."""
    kind, _, told = text.partition(".")
    if kind == "trajectory":
        return {"kind": kind, "checkpoints": int(told)}
    if kind == "recipe":
        method, _, pairs = told.partition(".")
        return {"kind": kind, "method": method, "pairs": [tuple(map(int, p.split("-"))) for p in pairs.split("+")]}
    if kind == "factorial":
        factors = [factor.split("=") for factor in told.split("*")]
        return {"kind": kind, "factors": {unquote(n): [unquote(v) for v in own.split("+")] for n, own in factors}}
    if kind == "sequential":
        asked = [one.split("=") for one in told.split("+")]
        looks = {unquote(d): (facet, tuple(map(int, counts.split("-")))) for d, facet, counts in asked}
        return {"kind": kind, "asked": looks}
    if text in {"sweep", "probes"}:
        return {"kind": kind}
    raise ValueError(text)


def _versioned(text: str) -> Part:
    name, _, version = text.rpartition(".")
    return {"name": name, "version": version}


def _named(text: str) -> Part:
    name, _, fingerprint = text.rpartition("#")
    return {"name": name, "fingerprint": fingerprint}


READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "v": ("version", lambda t: {"package": t.rpartition(".")[0], "metric": t.rpartition(".")[2]}),
    "dom": ("domain", str),
    "cond": ("condition", str),
    "prompts": ("prompts", _prompts),
    "n": ("n", _range),
    "T": ("temperature", lambda t: _sides(t, float)),
    "top_p": ("top_p", lambda t: _sides(t, float)),
    "max": ("max_tokens", lambda t: _sides(t, lambda x: int(float(x)))),
    "sample_seed": ("sample_seed", lambda t: _sides(t, lambda x: int(float(x)))),
    "set": ("prompt_sets", lambda t: tuple(t.split(">"))),
    "extract": ("extraction", _versioned),
    "exec": ("execution", str),
    "emb": ("embedding", _named),
    "win": ("window", str),
    "symbols": ("symbols", str),
    "cal": ("calibration", str),
    "judge": ("judge", str),
    "tree": ("grammar", str),
    "tok": ("tokens", str),
    "ci": ("interval", _interval),
    "margin": ("margin", float),
    "tuned": ("tuned", lambda t: tuple(map(unquote, t.split("+")))),
    "of": ("design", _design),
    "row": ("row", unquote),
    "holm": ("family", lambda t: tuple(tuple(f.rsplit(".", 1)) for f in t.split("+"))),
    "seed": ("seed", int),
}
NEEDED = ("version", "domain", "condition", "prompts", "n", "extraction", "interval", "seed")


def parse(text: str) -> dict[str, Any]:
    """Read the signature of a figure.

    Parameters
    ----------
    text : str
        The column `signature` of a Shift table.

    Returns
    -------
    dict
        By name: metric, m (of a headline's effective number), version, domain, condition, prompts (count and digest of
        their ids), n (fewest and most answers a prompt), temperature, top_p, max_tokens and sample_seed (pre and post),
        prompt_sets, extraction, execution, embedding, window, symbols, calibration, judge, grammar, tokens, pairwise
        (the mean over pairs of different answers), interval, margin, family (domains and facets that Holm's adjustment
        of p is over; headlines only), seed; design and row, where it is a row of a sweep, of the probes, or of more
        than a pair; tuned. What does not apply is absent.

    Raises
    ------
    InputError
        It is no signature of this package, or of a later version that writes parts unknown here.

    Examples
    --------
    >>> found = parse("lexical.effective@16|v:0.1.0.1|dom:story|cond:all|prompts:40#9f2c|n:16|T:1|extract:story.2"
    ...               "|tok:word|U2|ci:envelope.t+el.95|margin:0.1|holm:story.lexical|seed:0")
    >>> found["metric"], found["m"], found["temperature"], found["interval"]["level"]
    ('lexical.effective', 16, (1.0, 1.0), 0.95)
    """
    head, *parts = text.strip().split("|")
    metric, at, m = head.partition("@")
    if not re.fullmatch(r"[\w.+-]+", metric) or (at and not m.isdigit()):
        raise InputError(f"signature begins with '{head[:40]}', not with a metric: copy a whole line of `signature`")
    found: dict[str, Any] = {"metric": metric, "pairwise": False}
    if at:
        found["m"] = int(m)
    for part in parts:
        if part == "U2":
            found["pairwise"] = True
            continue
        short, colon, value = part.partition(":")
        if not colon or short not in READERS:
            raise InputError(f"signature has the part '{part[:40]}', which this version does not know: update it")
        name, read = READERS[short]
        try:
            found[name] = read(value)
        except ValueError:
            raise InputError(f"signature has '{part[:40]}', which cannot be read: copy it again") from None
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise InputError(f"signature says nothing of {', '.join(missing)}: copy a whole line of `signature`")
    return found


def recompute(
    signature: str,
    *sides: Samples | Scores,
    sweep: Samples | Sequence[Samples] = (),
    embedder: Embedder | str | None = None,
    execute: bool | str = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compute the figure of a signature again.

    Parameters
    ----------
    signature : str
        Of a row of a Shift table, of a sweep's tables, or of a table of a trajectory, recipe, factorial or sequential
        run.
    *sides : Samples or Scores
        The tables that the row was made from, whole: a text's embedding depends in its last bits on what it was read
        together with, and Holm's adjustment on the other domains and facets. Pre and post; for a design all of its
        tables in their order: of a factorial the second factor changes fastest, of a recipe each table is given once.
    sweep : Samples or several
        The sweep, for a row of the frontier or an equivalent temperature.
    embedder : Embedder or str, optional
        Where the embedding model is to be found; by default by the name in the signature.
    execute, progress
        As in `compare`, for samples whose programs have not been run yet.

    Returns
    -------
    dict
        The row, equal to the original in every bit. Of a row of the Shift table outside the headlines `p_adjusted` is
        null: it belongs to the whole panel of that comparison and not to one figure.

    Raises
    ------
    InputError
        What is given is no signature, or not as many tables as it is about.
    NotComparable
        The tables do not give this figure: other prompts, counts, settings or versions. Says what differs.
    """
    wanted = parse(signature)
    if embedder is None and wanted.get("embedding", {}).get("name", SHIPPED_NAME) != SHIPPED_NAME:
        embedder = wanted["embedding"]["name"]
    result = _again(wanted, sides, sweep, {"embedder": embedder, "execute": execute, "progress": progress})
    own = signature.strip().split("|")
    # A row is told by its metric, domain, condition, and place in a design; the rest must then be the same.
    place = [own[0], *(part for part in own if part.partition(":")[0] in {"dom", "cond", "row"})]
    rows = [row for row in _rows(result) if set(place) <= set((row["signature"] or "").split("|"))]
    found = next((row for row in rows if row["signature"] == "|".join(own)), None)
    if found is None and not rows:
        raise NotComparable(
            f"the tables give no {wanted['metric']} in {wanted['domain']} under '{wanted['condition']}': "
            "give those it was made from"
        )
    if found is None:
        ours = rows[0]["signature"].split("|")
        differs = [f"'{a}', not '{b}'" for a, b in zip(ours, own, strict=False) if a != b]
        differs += [f"{len(ours)} parts, not {len(own)}"] if not differs else []
        raise NotComparable(f"the tables give another figure, with {differs[0]}: give the tables it was made from")
    if "family" not in wanted and "p_adjusted" in found:
        found["p_adjusted"] = None
    return found


def _again(
    wanted: Part, sides: Sequence[Samples | Scores], sweep: Samples | Sequence[Samples], options: dict[str, Any]
) -> Shift | Design:
    """Make the comparison or design again that the row is of, with the metrics that it follows from."""
    design = wanted.get("design", {"kind": "pair"})
    kind, asked = design["kind"], 2
    if kind == "trajectory":
        asked = design["checkpoints"]
    elif kind == "recipe":
        asked = 1 + max(place for pair in design["pairs"] for place in pair)
    elif kind == "factorial":
        names, levels = tuple(design["factors"]), tuple(design["factors"].values())
        asked = len(levels[0]) * len(levels[1])
    if len(sides) != asked:
        raise InputError(
            f"this figure is about {asked} tables, and {len(sides)} are given: give those it was made from"
        )
    if kind == "sweep" and not sweep:
        raise InputError("this figure is about a sweep of temperatures: give it as sweep (--sweep)")
    common = {"margin": wanted.get("margin", 0.1), "seed": wanted["seed"]}
    if kind == "sequential":
        pre, post = sides
        if isinstance(pre, Scores) or isinstance(post, Scores):
            raise InputError("a sequential run is gone through again from its outputs: give Samples")
        told = {domain: (facet, Looks(counts)) for domain, (facet, counts) in design["asked"].items()}
        del options["progress"]
        return decided_again(pre, post, asked=told, **common, **options)
    metric = wanted["metric"]
    metrics = [re.sub(r"\.effective$", ".similarity", metric)]
    # A comparison has one headline at least; this one is always defined, and quick.
    family = wanted.get("family") or ((wanted["domain"], "lexical"),)
    metrics += [name for _, facet in family if (name := f"{facet}.similarity") not in metrics]
    options |= common | {
        "metrics": metrics if isinstance(sides[0], Samples) else "default",
        # Whether they were allowed to differ is seen in the signature itself.
        "allow_settings_differ": True,
    }
    if kind == "trajectory":
        return trajectory(sides, **options)
    if kind == "recipe":
        return recipe([(sides[i], sides[j]) for i, j in design["pairs"]], method=design["method"], **options)
    if kind == "factorial":
        cells = dict(zip(product(*levels), sides, strict=True))
        return factorial(cells, factors=names, **options)
    if kind == "probes":
        if isinstance(sides[0], Samples):
            both = pl.concat([side.frame for side in sides], how="diagonal")
            options["metrics"] = list(dict.fromkeys([*metrics_for(both), "valid", "lexical.similarity"]))
        return compare(*sides, tuned=wanted.get("tuned", ()), **options)
    return compare(*sides, sweep=sweep, **options)


def _rows(result: object) -> Iterator[dict[str, Any]]:
    """All rows of a result, the tables of the comparisons inside it among them."""
    if isinstance(result, Shift):
        yield from result.frame.iter_rows(named=True)
        yield from (dict(row) for row in (*result.frontier, *result.equivalents, *result.probes))
        return
    for table in ("against_first", "against_previous", "shifts"):
        for shift in getattr(result, table, ()):
            yield from _rows(shift)
    for table in ("trend", "levels", "pooled", "forest", "effects", "frame", "history"):
        if (frame := getattr(result, table, None)) is not None:
            yield from frame.iter_rows(named=True)

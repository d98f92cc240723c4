"""Signatures of figures: read one, and compute its figure again from the samples."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from diversity.embedding import SHIPPED_NAME, Embedder
from diversity.errors import InputError, NotComparable
from diversity.scoring import Progress
from diversity.shift import compare
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
    """How the interval was made: "envelope.t+el.95", "jackknife.20.t.95" or "none"."""
    if found := re.fullmatch(r"jackknife\.(\d+)\.t\.(\d+)", text):
        return {"kind": "jackknife.t", "level": int(found[2]) / 100, "groups": int(found[1])}
    # Until 0.1.0 percentile-t stood in the place of likelihood, with its replicates: "envelope.t+boot-t.95x4000".
    if found := re.fullmatch(r"([\w.+-]+?)\.(\d+)(?:x\d+)?", text):
        return {"kind": found[1], "level": int(found[2]) / 100}
    if text == "none":
        return {"kind": "none"}
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
        of p is over; headlines only), seed. What does not apply is absent.

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
    pre: Samples | Scores,
    post: Samples | Scores,
    *,
    embedder: Embedder | str | None = None,
    execute: bool | str = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compute the figure of a signature again.

    Parameters
    ----------
    signature : str
        Of a row of a Shift table.
    pre, post : Samples or Scores
        The tables that the row was made from, whole: a text's embedding depends in its last bits on what it was read
        together with, and Holm's adjustment on the other domains and facets.
    embedder : Embedder or str, optional
        Where the embedding model is to be found; by default by the name in the signature.
    execute, progress
        As in `compare`, for samples whose programs have not been run yet.

    Returns
    -------
    dict
        The row, equal to the original in every bit. Outside the headlines `p_adjusted` is null: it belongs to the whole
        panel of that comparison and not to one figure.

    Raises
    ------
    InputError
        What is given is no signature.
    NotComparable
        The tables do not give this figure: other prompts, counts, settings or versions. Says what differs.
    """
    wanted = parse(signature)
    metric = wanted["metric"]
    metrics = [re.sub(r"\.effective$", ".similarity", metric)]
    # A comparison has one headline at least; this one is always defined, and quick.
    family = wanted.get("family") or ((wanted["domain"], "lexical"),)
    metrics += [name for _, facet in family if (name := f"{facet}.similarity") not in metrics]
    if embedder is None and wanted.get("embedding", {}).get("name", SHIPPED_NAME) != SHIPPED_NAME:
        embedder = wanted["embedding"]["name"]
    shift = compare(
        pre,
        post,
        metrics=metrics if isinstance(pre, Samples) else "default",
        embedder=embedder,
        margin=wanted.get("margin", 0.1),
        seed=wanted["seed"],
        # Whether they were allowed to differ is seen in the signature itself.
        allow_settings_differ=True,
        execute=execute,
        progress=progress,
    )
    rows = [
        row
        for row in shift.table().iter_rows(named=True)
        if (row["metric"], row["domain"], row["condition"]) == (metric, wanted["domain"], wanted["condition"])
    ]
    if not rows:
        raise NotComparable(
            f"the tables give no {metric} in {wanted['domain']} under '{wanted['condition']}': "
            "give those it was made from"
        )
    found: dict[str, Any] = rows[0]
    if found["signature"] != signature.strip():
        theirs, ours = signature.strip().split("|"), found["signature"].split("|")
        differs = [f"'{a}', not '{b}'" for a, b in zip(ours, theirs, strict=False) if a != b]
        differs += [f"{len(ours)} parts, not {len(theirs)}"] if not differs else []
        raise NotComparable(f"the tables give another figure, with {differs[0]}: give the tables it was made from")
    if "family" not in wanted:
        found["p_adjusted"] = None
    return found

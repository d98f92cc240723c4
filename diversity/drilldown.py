"""What a reader needs to look at single outputs: groups of like ones, repeats, shared phrases, a map, trees.

Computed while two checkpoints are compared, when the views of their answers are at hand, and kept in the Shift, so that
a report is drawn from the saved result alone. Nothing here enters a verdict.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity.errors import InputError, Undefined
from diversity.metrics.clusters import linked
from diversity.registry import FACETS, domain_of, find_metric
from diversity.sequences import Sequences
from diversity.views import Answers, join
from diversity.words import Integers

NEAR = 0.8  # lexical similarity from which an output is folded into an earlier one, as in `near_duplicates`
CHARACTERS = 4000  # of one output
TOP = 10  # prompts of a domain under outputs="top"
ROOM = 32_000_000  # characters of outputs that are kept whole; a report then stays below 15 MB
MAP_SIZE = 1000  # coordinates are whole numbers from -MAP_SIZE to MAP_SIZE
LONGEST_PHRASE, SHORTEST_PHRASE, PHRASES, OPENINGS = 8, 3, 12, 6
CHOICES = ("all", "top", "none")

Entry = dict[str, Any]
Labels = list[int]


def kept_of(
    samples: pl.DataFrame,
    names: tuple[str, str],
    looks: Iterable[tuple[str, str, Entry]],
    prompts: Sequence[Mapping[str, Any]],
    outputs: str | None = None,
) -> list[Entry]:
    """Return what is kept of a comparison's outputs, by domain, the most shifted prompt first.

    Parameters
    ----------
    samples : polars.DataFrame
        Outputs of both checkpoints.
    names : (str, str)
        Names of the pre and the post checkpoint.
    looks : iterable of (domain, prompt_id, entry)
        What `look` says of each prompt.
    prompts : sequence of dict
        Per-prompt values, as a Shift has them.
    outputs : "all", "top", "none" or None
        "top" keeps the ten most shifted prompts of each domain. None keeps all where they have room.
    """
    known = {(domain, prompt_id): entry for domain, prompt_id, entry in looks}
    texts: dict[tuple[str, str, str], list[str]] = {}
    columns = samples.sort("sample_index").select("domain", "prompt_id", "checkpoint", "output")
    for domain, prompt_id, name, output in columns.iter_rows():
        texts.setdefault((domain, prompt_id, name), []).append(shortened(output))
    entries: list[Entry] = [
        {"domain": key[0], "prompt_id": key[1]}
        | {side: texts[(*key, name)] for side, name in zip(("pre", "post"), names, strict=True)}
        | known[key]
        for key in ranked(prompts)
        if key in known
    ]
    if outputs is None:
        size = sum(len(text) for entry in entries for side in ("pre", "post") for text in entry[side])
        outputs = "all" if size <= ROOM else "top"
    return chosen(entries, outputs)


def look(sides: Sequence[Answers]) -> Entry:
    """Say of one prompt's outputs, those of pre and of post, what `looked_at` does."""
    # Answers come in the order of their samples, without the outputs that hold none.
    holds_none = np.concatenate([side.flags["empty"] for side in sides])
    return looked_at(sides, np.flatnonzero(~holds_none).tolist(), len(holds_none))


def check_choice(outputs: str | None) -> None:
    """Raise `InputError` for a choice of outputs that is none."""
    if outputs is not None and outputs not in CHOICES:
        raise InputError(f"outputs is '{outputs}': give one of {', '.join(CHOICES)}")


def chosen(entries: Sequence[Entry], outputs: str) -> list[Entry]:
    """Return all entries, the first few of each domain, or none."""
    check_choice(outputs)
    if outputs == "all":
        return list(entries)
    seen: Counter[str] = Counter()
    kept = []
    for entry in entries:
        seen[entry["domain"]] += 1
        if outputs == "top" and seen[entry["domain"]] <= TOP:
            kept.append(entry)
    return kept


def ranked(prompts: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Domain and id of each prompt: domain by domain, the one whose primary facet shifted most first."""

    def size(prompt: Mapping[str, Any]) -> float:
        values = prompt["values"]
        primary = f"{domain_of(prompt['domain']).primary}.effective"
        for name in (primary, *(v for v in values if v.endswith(".effective"))):
            pair = values.get(name) or {}
            if pair.get("pre") and pair.get("post"):
                return abs(math.log(pair["post"] / pair["pre"]))
        return -1.0

    order = sorted(prompts, key=lambda p: (p["domain"], -size(p), p["prompt_id"]))
    return [(p["domain"], p["prompt_id"]) for p in order]


def shortened(text: str, limit: int = CHARACTERS) -> str:
    """Return a text as it is kept: whole, or its beginning and how many characters were left out."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit} more characters)"


def looked_at(sides: Sequence[Answers], places: Sequence[int], count: int) -> Entry:
    """Return what can be said of one prompt's outputs.

    Returns
    -------
    dict
        groups
            For each facet a label for each output, pre then post, alike where outputs are in one group; None where the
            output holds no answer or was left out (it does not parse, it does nothing that was seen).
        repeats
            For each output the place of the earlier one of its side that it nearly repeats, else None.
        phrases, openings
            Lists of [words, outputs of pre that have them, outputs of post].
        map
            For each output [x, y], its place in the plane of the first two principal components of the embeddings of
            both sides, or None; `map_share` is the share of their variance that the plane shows.
        forms, form_of
            The different normalised trees of the programs, and which one each output has.
        behaviours
            For each output what its program did, where that can be said in words.
    """
    first, both = len(sides[0]), join(sides)
    entry: Entry = {"groups": {}, "repeats": [None] * count, "phrases": [], "openings": [], "map": None}
    if not len(both):
        return entry
    for facet in FACETS:
        labels = _groups(both, facet)
        if labels is not None:
            entry["groups"][facet] = _spread(labels, places, count)
    lexical = find_metric("lexical.similarity").function(both)
    for at, earlier in enumerate(_repeats(lexical, first)):
        if earlier is not None:
            entry["repeats"][places[at]] = places[earlier]
    entry["phrases"], entry["openings"] = _phrases(both.lowered, first), _openings(both.lowered, first)
    entry |= _map(both, places, count) | _forms(both, places, count)
    if both.behaviours is not None:
        # A hash says nothing to a reader; the groups of the functional facet say the same.
        told = [None if b is None or b.startswith("#") else shortened(b, 80) for b in both.behaviours]
        entry["behaviours"] = _spread(told, places, count)
    return entry


def _spread(values: Sequence[Any], places: Sequence[int], count: int) -> list[Any]:
    spread: list[Any] = [None] * count
    for place, value in zip(places, values, strict=True):
        spread[place] = value
    return spread


def _groups(both: Answers, facet: str) -> list[int | None] | None:
    """Group of each answer by average linkage of the facet's kernel, numbered by size; None where it has no kernel."""
    spec = find_metric(f"{facet}.similarity") if facet in HEADLINES else None
    if spec is None:
        return None
    try:
        similarity = spec.function(both)
    except Undefined:
        return None
    held = list(range(len(both)))
    if spec.needs in {"form", "trees"} and both.language:
        held = [i for i, tree in enumerate(both.trees) if tree is not None]
    if facet == "functional" and both.behaviours is not None:
        held = [i for i, behaviour in enumerate(both.behaviours) if behaviour is not None]
    assert isinstance(similarity, np.ndarray)
    labels: list[int | None] = [None] * len(both)
    for i, label in zip(held, grouped(similarity), strict=True):
        labels[i] = label
    return labels


HEADLINES = ("lexical", "syntactic", "semantic", "functional")


def grouped(similarity: NDArray[np.float64]) -> Labels:
    """Groups by average linkage, numbered by size; see `diversity.metrics.clusters.linked`."""
    found = linked(similarity).tolist()
    order = {label: rank for rank, (label, _) in enumerate(Counter(found).most_common())}
    return [order[label] for label in found]


def _repeats(similarity: Any, first: int) -> Iterator[int | None]:
    """For each answer the earliest of its side that it nearly repeats and that itself repeats none."""
    leaders: list[int] = []
    for i in range(len(similarity)):
        if i == first:
            leaders = []
        earlier = next((j for j in leaders if similarity[i, j] >= NEAR - 1e-9), None)
        if earlier is None:
            leaders.append(i)
        yield earlier


def _phrases(words: Sequences, first: int) -> list[list[Any]]:
    """Runs of words that several outputs share, the most shared first; none lies inside a longer one as frequent."""
    sizes = np.array([max(first, 1), max(len(words.lengths) - first, 1)])
    least = np.maximum(3, np.ceil(sizes / 4))
    lettered = np.append(0, np.cumsum(words.of_tokens(_is_lettered)))
    which: dict[int, Integers] = {}  # the run that begins at each word, by length
    covered: dict[int, Integers] = {}  # how many outputs have a kept phrase that holds the run
    for order in range(SHORTEST_PHRASE, LONGEST_PHRASE + 1):
        grams = words.grams(order)
        which[order] = np.full(len(words.codes), -1)
        which[order][grams.starts] = grams.ids
        covered[order] = np.full(grams.repeated, -1)
    kept: list[tuple[float, int, int, list[int]]] = []
    for order in range(LONGEST_PHRASE, SHORTEST_PHRASE - 1, -1):
        grams, cells = words.grams(order), words.cells(order)
        is_pre = cells.owners < first
        held = np.array([np.bincount(cells.ids[own], minlength=grams.repeated) for own in (is_pre, ~is_pre)]).T
        shared = np.flatnonzero((held >= least).any(axis=1))
        starts, held = grams.starts[np.searchsorted(grams.ids, shared)], held[shared]
        total = held.sum(axis=1)
        # Signs alone say nothing, and a phrase inside a longer one adds nothing unless more outputs have it.
        telling = lettered[starts + order] - lettered[starts] >= SHORTEST_PHRASE
        own = telling & (total > covered[order][shared] + 1)
        starts, held, total = starts[own], held[own], total[own]
        for size in range(SHORTEST_PHRASE, order):
            parts = which[size][starts[:, None] + np.arange(order - size + 1)]
            np.maximum.at(covered[size], parts, total[:, None])
        most = (held / sizes).max(axis=1)
        kept.extend(zip((-most).tolist(), [-order] * len(starts), starts.tolist(), held.tolist(), strict=True))
    kept.sort(key=itemgetter(0, 1))
    found: list[list[Any]] = []
    taken: list[dict[int, set[tuple[str, ...]]]] = []  # the parts of each phrase, by their length
    for (_, minus), alike in groupby(kept, key=itemgetter(0, 1)):
        for gram, held_by in sorted((tuple(words.run(start, -minus)), held_by) for *_, start, held_by in alike):
            # Windows of one long passage overlap; the first stands for them.
            if len(found) == PHRASES:
                return found
            if not any(_overlaps(gram, parts) for parts in taken):
                found.append([" ".join(gram), *held_by])
                taken.append({size: _parts(gram, size) for size in range(2, len(gram) + 1)})
    return found


def _is_lettered(word: str) -> tuple[int]:
    return (int(word[0].isalnum()),)


def _parts(gram: tuple[str, ...], size: int) -> set[tuple[str, ...]]:
    return {gram[i : i + size] for i in range(len(gram) - size + 1)}


def _overlaps(gram: tuple[str, ...], other: dict[int, set[tuple[str, ...]]]) -> bool:
    """Whether the two share a run of half the shorter one's words or more; the other is given by its parts."""
    half = max(2, min(len(gram), max(other)) // 2)
    return not other[half].isdisjoint(_parts(gram, half))


def _openings(words: Sequences, first: int) -> list[list[Any]]:
    """The longest first words that three or more outputs share, each output counted once."""
    lengths = words.lengths
    sizes = zip((np.cumsum(lengths) - lengths).tolist(), np.minimum(lengths, LONGEST_PHRASE).tolist(), strict=True)
    begun = [tuple(words.run(start, size)) for start, size in sizes]
    left = set(range(len(begun)))
    found: list[list[Any]] = []
    for order in range(LONGEST_PHRASE, 1, -1):
        holders: dict[tuple[str, ...], list[int]] = {}
        for i in sorted(left):
            if len(begun[i]) >= order:
                holders.setdefault(begun[i][:order], []).append(i)
        for opening, own in holders.items():
            if len(own) >= 3:
                pre = sum(i < first for i in own)
                found.append([" ".join(opening), pre, len(own) - pre])
                left -= set(own)
    found.sort(key=lambda f: (-(f[1] + f[2]), f[0]))
    return found[:OPENINGS]


def _map(both: Answers, places: Sequence[int], count: int) -> Entry:
    """Places of the answers in the plane of the first two principal components."""
    try:
        vectors = both.vectors
    except Undefined:
        return {}
    centred = vectors - vectors.mean(axis=0)
    left, weights, right = np.linalg.svd(centred, full_matrices=False)
    total = float((weights**2).sum())
    if len(both) < 3 or total < 1e-12:
        return {}
    # A component has no sign of its own: its largest entry is made positive.
    signs = np.sign(right[np.arange(2), np.abs(right[:2]).argmax(axis=1)])
    plane = left[:, :2] * weights[:2] * signs
    plane *= MAP_SIZE / np.abs(plane).max()
    return {
        "map": _spread(np.round(plane).astype(int).tolist(), places, count),
        "map_share": round(float((weights[:2] ** 2).sum()) / total, 3),
    }


def _forms(both: Answers, places: Sequence[int], count: int) -> Entry:
    """The normalised trees of the programs that parse, each different one once."""
    if not both.language:
        return {}
    try:
        forest = both.forest
    except Undefined:
        return {}
    parsed = [places[i] for i, tree in enumerate(both.trees) if tree is not None]
    forms: dict[str, int] = {}
    written = forest.written()
    numbers = [forms.setdefault(shortened(written[tree]), len(forms)) for tree in forest.which]
    return {"forms": list(forms), "form_of": _spread(numbers, parsed, count)}

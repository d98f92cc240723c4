"""The methods section of a paper, written from the settings of a Shift, with the sources of what it measured."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from diversity.errors import UnknownName
from diversity.registry import find_metric
from diversity.reports.notation import percent, plural
from diversity.reports.plaintext import one_line
from diversity.reports.sentences import CONDITIONS, facet_word
from diversity.stats import FLOOR, PROVISIONAL

if TYPE_CHECKING:
    from diversity.shift import Shift

# Always needed: what the verdict itself rests on.
STATISTICS = ("leinster2012", "holm1979", "benjamini1995")
ARXIV = re.compile(r"(?:arXiv:)?((?:[a-z-]+/)?\d{4}\.?\d{3,5})")


def paragraphs(shift: Shift) -> list[str]:
    """Return the methods section in paragraphs of plain text, from the settings that the shift was made with."""
    settings = shift.settings
    m, margin, level = settings.get("m", 16), settings.get("margin", 0.1), settings.get("level", 0.95)
    rows = shift.verdicts().to_dicts()
    told = [
        f"We compared the diversity of outputs of {_arm(shift, shift.pre)} (pre) with that of "
        f"{_arm(shift, shift.post)} (post), prompt by prompt, on {_domains(rows)}. {_sampling(shift)}"
    ]
    kernels = []
    for facet in dict.fromkeys(r["facet"] for r in rows):
        try:
            spec = find_metric(f"{facet}.similarity")
        except UnknownName:
            continue
        kernels.append(f"{facet_word(facet)} ({spec.source})")
    embedding = shift.provenance.get("embedding")
    told.append(
        "Two outputs to one prompt were compared by a similarity in [0, 1] for each facet"
        + (f": {'; '.join(kernels)}. " if kernels else ". ")
        + (f"Embeddings and their calibration: {embedding}. " if embedding else "")
        + "The similarity was averaged over all pairs of different outputs of one prompt, an estimate whose "
        "expectation does not depend on how many outputs there are, and then over prompts. The mean s was mapped once "
        f"to the effective number of different outputs at reference size {m}, D = 1 / (1/{m} + (1 - 1/{m}) s), the "
        "similarity-sensitive Hill number of order 2 (Leinster and Cobbold 2012)."
    )
    told.append(
        f"The shift is the log ratio of the two effective numbers, paired by prompt. "
        f"Its {percent(level, signed=False)} % interval is the envelope, over prompts, of Student's t and of balanced "
        "empirical likelihood (Owen 1990; Emerson and Owen 2009); outputs of one prompt were "
        f"not resampled. P values come from sign flips over prompts (seed {settings.get('seed', 0)}), adjusted by Holm "
        "(1979) over all domains and facets, and by Benjamini and Hochberg (1995) over the descriptive measures. "
        f"With a material margin of {percent(margin, signed=False)} % a facet was called narrowed or widened when the "
        "interval lay wholly on one side of zero and not wholly inside the margin and the adjusted p was 0.05 or less, "
        "not materially changed when the 90 % interval lay wholly inside the margin, and inconclusive otherwise and "
        f"always below {FLOOR} prompts; below {PROVISIONAL} prompts a verdict is provisional."
    )
    taken = set(shift.table()["condition"]) - {"all"}
    conditions = [word for name, word in CONDITIONS.items() if name in taken]
    if conditions:
        told.append(
            f"Every verdict was taken again under the conditions {', '.join(conditions)}; one whose sign "
            "turned round there is marked confounded."
        )
    if shift.frontier:
        at = sorted({row["temperature"] for row in shift.frontier if row["temperature"] is not None})
        told.append(
            f"Both checkpoints were also sampled at temperatures {', '.join(f'{t:g}' for t in at)}; the temperature at "
            "which the one is as diverse as the other was read between them, with its interval over prompts."
        )
    told.append(f"Computed by diversity-shift {shift.provenance.get('package', '')}.".replace(" .", "."))
    return told


def _arm(shift: Shift, name: str) -> str:
    stage = ((shift.provenance.get("sampling") or {}).get(name) or {}).get("stage")
    return one_line(name, 80) + (f" (stage {one_line(str(stage), 30)})" if stage else "")


def _domains(rows: list[dict[str, Any]]) -> str:
    most: dict[str, tuple[int, int]] = {}
    for row in rows:
        most[row["domain"]] = max(most.get(row["domain"], (0, 0)), (row["n_prompts"], row["n_outputs"] or 0))
    said = [f"{one_line(d, 40)} ({plural(p, 'prompt')}, {plural(n, 'output')})" for d, (p, n) in most.items()]
    return ", ".join(said) or "no domain"


def _sampling(shift: Shift) -> str:
    sampling = shift.provenance.get("sampling") or {}
    sides = [sampling.get(name) or {} for name in (shift.pre, shift.post)]
    said = []
    for key, word in (
        ("temperature", "temperature"),
        ("top_p", "top-p"),
        ("max_tokens", "at most {} tokens"),
        ("seed", "seed"),
    ):
        values = list(dict.fromkeys(f"{s[key]:g}" for s in sides if isinstance(s.get(key), int | float)))
        if values:
            value = " and ".join(values)
            said.append(word.format(value) if "{}" in word else f"{word} {value}")
    return f"Outputs were sampled with {', '.join(said)}." if said else "The sampling settings were not recorded."


@cache
def references() -> dict[str, str]:
    """Every BibTeX entry that the package knows, by key."""
    text = files("diversity.reports.templates").joinpath("references.bib").read_text(encoding="utf-8")
    found = {}
    for line in text.splitlines():
        key = re.match(r"@\w+\{([^,]+),", line)
        if key:
            found[key[1]] = re.sub(r", (\w+)=\{", r",\n  \1 = {", line)[:-1] + ",\n}"
    return found


@cache
def _named() -> tuple[list[tuple[str, str, str]], dict[str, str]]:
    """Name and year of the references that are called by them, and the keys of those that have a number."""
    parts = [(key, re.fullmatch(r"([a-z]+)(\d{4})", key)) for key in references()]
    eprints = {e: k for k, text in references().items() for e in re.findall(r"eprint = \{([^}]+)\}", text)}
    return [(key, found[1], found[2]) for key, found in parts if found], eprints


def keys(source: str) -> list[str]:
    """Keys of the references that a metric's source names.

    Examples
    --------
    >>> keys("Tevet and Berant 2021, arXiv:2004.02990")
    ['tevet2021']
    """
    named, eprints = _named()
    found = [
        key
        for key, name, year in named
        # The year follows the name and its co-authors before another source begins.
        if year in source and re.search(rf"\b{name}\b[^;()\d]*\b{year}\b", source, re.IGNORECASE)
    ]
    # Two papers of one author and year are told apart by their numbers.
    found += [eprints[number] for number in ARXIV.findall(source) if number in eprints]
    return list(dict.fromkeys(found))


def bibtex(shift: Shift) -> str:
    """Return the BibTeX entries of what the shift measured, in the order of their keys."""
    wanted = set(STATISTICS)
    for name in dict.fromkeys(shift.table()["metric"]):
        try:
            wanted.update(keys(find_metric(str(name).replace(".effective", ".similarity")).source))
        except UnknownName:
            continue
    return "\n\n".join(references()[key] for key in sorted(wanted)) + "\n"

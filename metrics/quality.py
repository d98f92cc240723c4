"""Quality and diversity side by side: what of the variety is good, and how varied is what is good.

A checkpoint can look more diverse because it is wrong in more ways, and less diverse because it is right more often.
Neither is seen in one number, so these stand beside the validity rate and beside the same measures over all answers.
See docs/quality.md.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diversity.counts import rarefied
from diversity.errors import Undefined
from diversity.metrics.clusters import classes
from diversity.registry import metric
from diversity.sequences import classes as numbered
from diversity.views import NO_BEHAVIOUR, Answers

Matrix = NDArray[np.float64]
SOURCE = "Shypula et al. 2025, arXiv:2504.12522"

PAIRS: dict[str, Any] = {
    "higher_is": "more diverse",
    "range": (0, 1),
    "source": f"{SOURCE}, the pairwise form",
    "pairwise": True,
    "unbiased_in_n": True,
    "of_all_outputs": True,
    "min_n": 0,
    "confounds": "Rises with the validity rate as well as with diversity: read both.",
}
RAREFIED: dict[str, Any] = {
    "facet": "functional",
    "higher_is": "more diverse",
    "range": (1, float("inf")),
    "of_all_outputs": True,
    "min_n": 0,
}


def _valid(answers: Answers) -> NDArray[np.bool_]:
    """Which of the answers are valid; raises `Undefined` where it is not known, or with fewer than 2 outputs."""
    if answers.valid is None:
        raise Undefined("which answers are valid was not recorded")
    if answers.outputs < 2:
        raise Undefined(f"{answers.outputs} outputs, 2 are needed")
    return answers.valid


def _behaviours(answers: Answers) -> NDArray[np.int64]:
    if answers.behaviours is None:
        raise Undefined(NO_BEHAVIOUR)
    return numbered(answers.behaviours)


def _pairs(answers: Answers, different: Matrix) -> Matrix:
    """Spread a matrix over the answers to all outputs of the prompt: 0 where one of two is not valid, or is none."""
    valid, n = _valid(answers), len(answers)
    total: Matrix = np.zeros((answers.outputs, answers.outputs))
    total[:n, :n] = different * np.outer(valid, valid)
    return total


@metric(
    name="semantic.effective_pairs",
    facet="semantic",
    needs="vectors",
    aliases=("effective semantic diversity",),
    **PAIRS,
)
def semantic_effective_pairs(answers: Answers) -> Matrix:
    """Chance that two outputs are both valid and differ in meaning.

    Meaning differs by degrees: a pair counts one minus its calibrated likeness. Outputs without an answer are not
    valid. With every output valid it is one minus `semantic.similarity`.
    """
    likeness = answers.likeness if len(answers) else np.zeros((0, 0))
    return _pairs(answers, 1 - likeness)


@metric(name="functional.effective_pairs", facet="functional", **PAIRS)
def functional_effective_pairs(answers: Answers) -> Matrix:
    """Chance that two outputs are both valid and behave differently."""
    labels = _behaviours(answers)
    return _pairs(answers, np.not_equal.outer(labels, labels).astype(np.float64))


@metric(
    name="functional.effective_share",
    facet="functional",
    higher_is="more diverse",
    range=(0, 1),
    source=f"{SOURCE}, the form for a fixed number of outputs",
    of_all_outputs=True,
    min_n=0,
    confounds="Falls with the number of outputs: compare at equal n only. Rises with the validity rate.",
)
def functional_effective_share(answers: Answers) -> float:
    """Different behaviours among the valid outputs, over the number of all outputs."""
    valid = _valid(answers)
    return len(set(_behaviours(answers)[valid].tolist())) / answers.outputs


@metric(
    name="valid_behaviours",
    source="Rarefaction (Hurlbert 1971) of behaviour classes among valid answers",
    confounds="On a task with one right behaviour it is 1.",
    **RAREFIED,
)
def valid_behaviours(answers: Answers) -> float:
    """Different behaviours expected among k valid answers, drawn without replacement.

    k is the least number of valid answers that any checkpoint of the run has to the prompt, so that both sides are
    read at the same k. The expectation over all such draws is exact and needs no resampling.
    """
    return _expected(answers, _behaviours(answers))


@metric(
    name="valid_meanings",
    needs="vectors",
    source="Rarefaction (Hurlbert 1971) of classes of meaning among valid answers",
    confounds="One threshold cuts a continuum.",
    aliases=("rarefied distinct_k", "distinct_k among valid answers"),
    **(RAREFIED | {"facet": "semantic"}),
)
def valid_meanings(answers: Answers) -> float:
    """Different meanings expected among k valid answers, drawn without replacement; classes as in `meanings`.

    k is the least number of valid answers that any checkpoint of the run has to the prompt.
    """
    _drawn(answers)
    return _expected(answers, np.asarray(classes(answers)))


def _drawn(answers: Answers) -> int:
    valid = _valid(answers)
    k = int(valid.sum()) if answers.equal_valid is None else answers.equal_valid
    if k < 2:
        raise Undefined(f"{k} valid answers on one side, 2 are needed")
    return k


def _expected(answers: Answers, labels: NDArray[np.int64]) -> float:
    k = _drawn(answers)
    counts = np.unique(labels[_valid(answers)], return_counts=True)[1]
    # Rounding must not leave the range.
    return max(1.0, rarefied(counts, k))

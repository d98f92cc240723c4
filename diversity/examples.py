"""Small sets of answers on which every metric can be shown at work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from diversity.views import Answers, Undefined

if TYPE_CHECKING:
    from diversity.registry import Metric

PROSE = (
    "The cat sat on the mat and slept.",
    "The cat sat on the mat and purred.",
    "A dog ran through the park at dawn.",
)
CODE = (
    "def add(a, b):\n    return a + b",
    "def add(x, y):\n    # their sum\n    return x + y",
    "def add(a, b):\n    return sum([a, b])",
)
# Hand-set directions stand in for an embedding model: the first two nearly agree, the third is elsewhere.
DIRECTIONS = np.array([[1.0, 0.0, 0.0], [0.96, 0.28, 0.0], [0.0, 0.6, 0.8]])


def answers_for(metric: Metric) -> Answers:
    """Return three answers that the metric can be shown on."""
    code = metric.needs == "trees"
    return Answers(
        CODE if code else PROSE,
        language="python" if code else None,
        encode=lambda _: DIRECTIONS,
        behaviours=("1", "1", "2"),
        flags={name: np.array([True, True, False]) for name in ("valid", "empty", "refused", "loops", "truncated")},
    )


def worked(metric: Metric) -> Iterator[str]:
    """Lines of a worked example, computed when asked for."""
    from diversity.stats import effective, pair_mean

    answers = answers_for(metric)
    yield "example"
    for text in answers.texts:
        yield "  " + text.replace("\n", "\n  ")
    if metric.needs == "vectors":
        yield f"  with directions {DIRECTIONS.tolist()} in place of embeddings"
    try:
        result = metric.function(answers)
    except Undefined as reason:
        yield f"  undefined: {reason}"
        return
    if isinstance(result, np.ndarray):
        for row in result:
            yield "  " + " ".join(f"{value:7.4f}" for value in row)
        value, se = pair_mean(result)
        yield f"  {metric.name} = {value:.10f} (mean off the diagonal; standard error {se:.4f})"
        if metric.headline:
            yield f"  effective number of 16 = {effective(value):.10f}"
    else:
        yield f"  {metric.name} = {float(result):.10f}"

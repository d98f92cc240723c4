"""Small sets of answers on which every metric can be shown at work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.views import Answers

if TYPE_CHECKING:
    from diversity.registry import Metric

PROSE = (
    "The cat sat on the mat and slept.",
    "The cat sat on the mat and purred.",
    "A dog ran through the park at dawn.",
)
PASSAGES = (
    "# Cats\n\nThe cat sat on the mat, and it slept. It did not wake when she came home!\n\n- milk\n- fish",
    "# Dogs\n\nThe dog lay on the rug, and it slept. It did not wake; nobody had called it.\n\n- bones\n- meat",
    "You should have a bird. Why? Because they sing (well, most of them do) from the first light until dark.",
)
# Long enough for measures that draw or read a window of 50 words.
LONG = (
    "The ferry left the old harbour before dawn, and nobody on the cold quay waved. In the galley the cook sang a song "
    "about rain while the captain, who had crossed this strait for years, wrote the name of every gull he knew "
    "into the margin of the log. By noon the fog had lifted, the coast was gone, and the sea lay flat as glass.",
    "The ferry left the old harbour before dusk, and everyone on the cold quay waved. In the galley the cook slept "
    "while the captain, who had never crossed this strait, wrote to his sister about the price of rope and fruit. "
    "By midnight the fog had come down, the coast was gone, and the sea rose in long black hills under the stars.",
    "My aunt kept seven clocks in her kitchen, and no two of them agreed. When guests asked for the time she let them "
    "choose, since one hour was as good as another to a woman who baked bread all night and slept through most of the "
    "day. When she died we stopped the clocks one by one; her house grew so quiet that we could hear the flour settle.",
)
# Every two share a run of three words, which one way of smoothing BLEU needs.
ALIKE = (*PROSE[:2], "A dog ran after the cat sat on the mat.")
CODE = (
    "def add(a, b):\n    return a + b",
    "def add(x, y):\n    # their sum\n    return x + y",
    "def add(a, b):\n    return sum([a, b])",
)
# Hand-set directions stand in for an embedding model: the first two nearly agree, the third is elsewhere.
DIRECTIONS = np.array([[1.0, 0.0, 0.0], [0.96, 0.28, 0.0], [0.0, 0.6, 0.8]])
# For measures between two checkpoints, some of which need many answers: the places and times of a day, told twice.
PLACES = ("harbour", "market", "chapel", "orchard", "station", "library", "bridge", "kitchen")
PRE_TOLD = tuple(f"The {place} was quiet at {hour}." for hour in ("dawn", "noon", "dusk") for place in PLACES)
POST_TOLD = tuple(f"At {hour} the {place} was full of song." for hour in ("dawn", "noon", "dusk") for place in PLACES)


def angles(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return a direction in the plane for each of the texts above, those of the second telling turned by a little."""
    told = PRE_TOLD + POST_TOLD
    turns = np.array([told.index(t) * 0.21 + 0.3 * (t in POST_TOLD) for t in texts])
    return np.stack([np.cos(turns), np.sin(turns)], axis=1)


def sides_for(metric: Metric) -> list[Answers]:
    """Return the answers of two checkpoints to one prompt, which a measure between them can be shown on."""
    behaviours = tuple(str(i % 3) for i in range(len(PRE_TOLD)))
    return [Answers(told, encode=angles, behaviours=behaviours) for told in (PRE_TOLD, POST_TOLD)]


def answers_for(metric: Metric) -> Answers:
    """Return three answers that the metric can be shown on: short ones, where it is defined for them."""
    short = _answers({"trees": CODE, "prose": PASSAGES}.get(metric.needs, PROSE), code=metric.needs == "trees")
    for answers in (short, _answers(LONG), _answers(ALIKE)):
        try:
            metric.function(answers)
        except Undefined:
            continue
        return answers
    return short


def _answers(texts: Sequence[str], *, code: bool = False) -> Answers:
    from diversity.metrics.guards import FLAGS

    return Answers(
        texts,
        language="python" if code else None,
        encode=lambda _: DIRECTIONS,
        behaviours=("1", "1", "2"),
        flags={name: np.array([True, True, False]) for name in FLAGS},
        valid=np.array([True, True, False]),
        qualities=(0.9, 0.8, 0.4),
        windows=np.array([1, 1, 2]),
        unknown=np.array([0.0, 0.0, 0.1]),
        log_probabilities=np.array([-6.0, -8.0, -5.0]),
        output_tokens=np.array([8.0, 10.0, 9.0]),
    )


def worked(metric: Metric) -> Iterator[str]:
    """Lines of a worked example, computed when asked for."""
    from diversity.stats import effective, pair_mean

    yield "example"
    sides = sides_for(metric) if metric.unit == "between checkpoints" else None
    if sides:
        for name, side in zip(("pre", "post"), sides, strict=True):
            yield f"  {name}: {len(side)} answers, {side.texts[0]} {side.texts[1]} …"
        stand_in = "angles in a plane"
    else:
        answers = answers_for(metric)
        for text in answers.texts:
            yield "  " + text.replace("\n", "\n  ")
        stand_in = f"directions {DIRECTIONS.tolist()}"
    if metric.needs == "vectors":
        yield f"  with {stand_in} in place of embeddings"
    try:
        result = metric.between(*sides) if sides else metric.function(answers)
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

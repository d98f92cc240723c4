"""Diversity in the manner of Hugging Face's `evaluate`: `compute(predictions=..., references=None)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from diversity.errors import InputError, MissingExtra
from diversity.scoring import score
from diversity.stats import effective
from diversity.tables import Samples

DESCRIPTION = "How many of 16 outputs to a prompt are effectively different (diversity-shift)."


def compute(
    predictions: Sequence[Sequence[str]],
    references: Sequence[Any] | None = None,
    *,
    domain: str = "text",
    metrics: Sequence[str] = ("lexical.similarity", "syntactic.similarity"),
    **options: Any,
) -> dict[str, float | None]:
    """Measure outputs that stand in lists, a list a prompt.

    Parameters
    ----------
    predictions : list of lists of str
        The outputs of each prompt, two or more.
    references : list, optional
        Not read: diversity compares outputs with one another. Taken since callers of `evaluate` pass it.
    domain : str
        Says how an answer is found in an output.
    metrics : list of str
        As in `diversity.score`. A headline similarity is given as the effective number of 16, `lexical.effective`.
    **options
        Further arguments of `diversity.score`.

    Returns
    -------
    dict
        Metric -> its mean over prompts; None where it is undefined for all of them.

    Raises
    ------
    InputError, UnknownName

    Examples
    --------
    >>> compute([["A cat sat.", "A dog ran."], ["It rained.", "It rained."]], metrics=["distinct_1"])
    {'distinct_1': 0.6875}
    """
    del references
    if any(isinstance(outputs, str) for outputs in predictions):
        raise InputError("predictions hold texts: give a list of outputs for each prompt, [['one', 'two'], …]")
    rows = [
        {"checkpoint": "predictions", "domain": domain, "prompt_id": f"{p:06d}", "sample_index": k, "output": output}
        for p, outputs in enumerate(predictions)
        for k, output in enumerate(outputs)
    ]
    scores = score(Samples.of(pl.DataFrame(rows)), metrics=metrics, conditions=["all"], **options).frame
    means: Mapping[str, float | None] = dict(
        scores.group_by("metric", maintain_order=True).agg(pl.col("value").mean()).iter_rows()
    )
    return {
        name.replace(".similarity", ".effective"): float(effective(mean))
        if mean is not None and name.endswith(".similarity")
        else mean
        for name, mean in means.items()
    }


def load(**settings: Any) -> Any:
    """Make a module of the library `evaluate` that computes this, for `evaluate.combine` and its like.

    Parameters
    ----------
    **settings
        `domain`, `metrics` and what else `compute` takes.

    Raises
    ------
    MissingExtra
        evaluate or datasets is not installed.
    """
    try:
        import evaluate
        from datasets import Features, List, Value
    except ImportError as error:
        raise MissingExtra(f"{error.name} is not installed: pip install evaluate") from None

    class Diversity(evaluate.Measurement):  # type: ignore[misc]
        def _info(self) -> Any:
            return evaluate.MeasurementInfo(
                description=DESCRIPTION,
                citation="",
                features=Features({"predictions": List(Value("string"))}),
            )

        def _compute(self, predictions: Sequence[Sequence[str]], **given: Any) -> dict[str, float | None]:
            return compute(predictions, **{**settings, **given})

    return Diversity()

"""Diversity over the epochs of an inspect_ai evaluation: a metric, and a scorer that keeps what it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diversity.bridges.evaluate import compute
from diversity.errors import MissingExtra
from diversity.registry import find_domain

try:
    from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, mean, metric, scorer
    from inspect_ai.solver import TaskState
except ImportError:
    raise MissingExtra("inspect_ai is not installed: pip install inspect-ai") from None

FACETS = ("lexical", "syntactic")
OUTPUT = "diversity_output"  # key of a score's metadata: the whole output, where the scorer kept it


@metric(scores="unreduced")  # type: ignore[untyped-decorator]
def effective_number(facets: Sequence[str] = FACETS, domain: str = "text") -> Metric:
    """Of 16 outputs to a sample, how many are effectively different: over the epochs, the mean over samples.

    Works beside any scorer that fills `answer`; `valid_output` keeps whole outputs. One value a facet; nan where a
    facet is undefined, as with one epoch.

    Parameters
    ----------
    facets : list of str
        lexical, syntactic, semantic, functional.
    domain : str
        Says how an answer is found in an output.
    """

    def over_epochs(scores: list[SampleScore]) -> Value:
        outputs: dict[str, list[str]] = {}
        for each in scores:
            told = (each.score.metadata or {}).get(OUTPUT, each.score.answer)
            outputs.setdefault(str(each.sample_id), []).append(told or "")
        undefined = {facet: float("nan") for facet in facets}
        if not outputs:
            return undefined
        wanted = [f"{facet}.similarity" for facet in facets]
        found = compute(list(outputs.values()), domain=domain, metrics=wanted)
        return undefined | {
            name.removesuffix(".effective"): value for name, value in found.items() if value is not None
        }

    return over_epochs


@scorer(metrics=[mean(), effective_number()])  # type: ignore[untyped-decorator]
def valid_output(domain: str = "text") -> Scorer:
    """Whether an output has a valid answer by the domain's own check (1 or 0), kept whole for `effective_number`."""
    adapter = find_domain(domain)

    async def judged(state: TaskState, target: Target) -> Score:
        output = state.output.completion
        answer = adapter.answer(output)
        prompt: Any = adapter.by_id.get(str(state.sample_id))
        return Score(value=float(adapter.is_valid(answer, prompt)), answer=answer, metadata={OUTPUT: output})

    return judged

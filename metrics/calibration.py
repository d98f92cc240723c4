"""Confidence by agreement against correctness: whether a checkpoint that repeats an answer is right about it.

The answers of one prompt vote for what they amount to (`Answers.behaviours`: a final value, a label). How far they
agree is the checkpoint's confidence, without asking it. Preference tuning draws answers together, so that confidence
rises; where correctness does not rise with it, the checkpoint is confidently wrong. All outputs count: one without an
answer, or with none that amounts to anything, agrees with no other and is not right. Measures over all prompts
(ECE, AUROC, risk against coverage) are made of these values in `diversity.confidence`. See docs/probes.md.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.registry import metric
from diversity.views import NO_BEHAVIOUR, Answers

SURE = 0.8  # modal share from which a checkpoint counts as confident; protocol of the probes, section (c) 2

PROBE: dict[str, Any] = {
    "facet": "functional",
    "higher_is": "neither",
    "range": (0, 1),
    "min_n": 0,
    "of_all_outputs": True,
    "default": False,
}
XIAO = "Xiao et al. 2025, arXiv:2505.01997; here by sample agreement, docs/probes.md"
KNOWN = "Says something only where each prompt has a right answer that the domain's quality tells."
BY_N = "The share of the commonest of few answers is too high: compare at equal n."


def _votes(answers: Answers) -> Counter[str]:
    """How many outputs amount to each thing; raises `Undefined` without a notion of it or with fewer than 2 outputs."""
    if answers.behaviours is None:
        raise Undefined(NO_BEHAVIOUR)
    if answers.outputs < 2:
        raise Undefined(f"{answers.outputs} outputs, 2 are needed")
    return Counter(b for b in answers.behaviours if b is not None)


def _right(answers: Answers) -> NDArray[np.bool_]:
    """Which answers are right; raises `Undefined` where it is not known."""
    if answers.qualities is None or answers.valid is None:
        raise Undefined("which answers are right was not recorded")
    if not answers.outputs:
        raise Undefined("0 outputs, 1 is needed")
    return np.asarray(answers.valid, dtype=bool)


def _agreement(answers: Answers) -> float:
    pairs = sum(count * (count - 1) for count in _votes(answers).values())
    return pairs / (answers.outputs * (answers.outputs - 1))


def _share_right(answers: Answers) -> float:
    return float(_right(answers).sum()) / answers.outputs


def _modal(answers: Answers) -> tuple[float, float]:
    """Share of the commonest of the outputs' answers, and the chance that it is right; ties count alike."""
    votes, right = _votes(answers), _right(answers)
    most = max(votes.values(), default=0)
    if not most or answers.behaviours is None:
        return 0.0, 0.0
    leaders = {b for b, count in votes.items() if count == most}
    of_leader = [bool(r) for b, r in zip(answers.behaviours, right, strict=True) if b in leaders]
    return most / answers.outputs, float(np.mean(of_leader))


@metric(
    name="confidence",
    source=XIAO,
    aliases=("agreement", "self-consistency"),
    unbiased_in_n=True,
    confounds="A set phrase that hides the final answer lowers it.",
    **PROBE,
)
def confidence(answers: Answers) -> float:
    """Share of pairs of outputs that come to the same final answer.

    A U-statistic: its expectation does not depend on n. Under perfect calibration its mean over prompts is that of
    `accuracy`: an answer that is given with probability p is then right with probability p.
    """
    return _agreement(answers)


@metric(name="modal_share", source=XIAO, aliases=("share of the modal answer",), confounds=BY_N, **PROBE)
def modal_share(answers: Answers) -> float:
    """Share of the outputs that come to the commonest final answer."""
    return max(_votes(answers).values(), default=0) / answers.outputs


@metric(
    name="entropy_confidence",
    source="Farquhar et al. 2024, Nature 630 (discrete semantic entropy); as a confidence Lyu et al. 2024, "
    "arXiv:2402.13904; as a number of answers Hill 1973",
    aliases=("confidence by semantic entropy",),
    confounds="Entropy of few answers is too low, and the confidence too high: compare at equal n.",
    **PROBE,
)
def entropy_confidence(answers: Answers) -> float:
    """Confidence by semantic entropy: exp(-H), H the entropy in nats over classes of outputs with one final answer.

    1 where all outputs come to one answer, 1/n where all differ: of k answers given equally often it is 1/k, the
    chance that one of them is right for a calibrated checkpoint. Never above the share of the commonest answer. An
    output without an answer is a class of its own.
    """
    votes, n = _votes(answers), answers.outputs
    shares = np.array([*votes.values(), *[1] * (n - sum(votes.values()))]) / n
    return float(np.exp((shares * np.log(shares)).sum()))


@metric(name="accuracy", source=XIAO, aliases=("pass@1",), unbiased_in_n=True, confounds=KNOWN, **PROBE)
def accuracy(answers: Answers) -> float:
    """Share of the outputs that are right."""
    return _share_right(answers)


@metric(name="modal_accuracy", source=XIAO, aliases=("maj@n",), confounds=f"{BY_N} {KNOWN}", **PROBE)
def modal_accuracy(answers: Answers) -> float:
    """Whether the commonest final answer is right: 1 or 0, between them where several are commonest."""
    return _modal(answers)[1]


@metric(
    name="overconfidence",
    source=XIAO,
    unbiased_in_n=True,
    confounds=KNOWN,
    **(PROBE | {"range": (-1, 1)}),
)
def overconfidence(answers: Answers) -> float:
    """Confidence minus accuracy: the share of agreeing pairs minus the share of right outputs.

    Its mean over prompts is 0 for a calibrated checkpoint, whatever n is; above 0 it agrees with itself more often
    than it is right. Of a single prompt it says little: a calibrated checkpoint is above 0 on some and below on others.
    """
    return _agreement(answers) - _share_right(answers)


@metric(
    name="brier",
    source="Brier 1950, of the commonest answer; docs/probes.md",
    aliases=("Brier score",),
    confounds=f"{BY_N} {KNOWN}",
    **PROBE,
)
def brier(answers: Answers) -> float:
    """Squared distance of the commonest answer's share from whether it is right; lower is better."""
    share, right = _modal(answers)
    return right * (1 - share) ** 2 + (1 - right) * share**2


@metric(
    name="confidently_wrong",
    source="Jullien et al. 2025, arXiv:2508.10777, the dissociation; the bound of 0.8 is ours, docs/probes.md",
    confounds=f"{BY_N} {KNOWN}",
    **PROBE,
)
def confidently_wrong(answers: Answers) -> float:
    """Whether four of five outputs or more come to one wrong answer: 1 or 0; its mean is the share of such prompts."""
    share, right = _modal(answers)
    return float(share >= SURE and right < 0.5)


MOST_LIKELY = "The highest of few probabilities is too low: compare at equal n. Long outputs are improbable as such."
KUHN = "Kuhn et al. 2023, arXiv:2302.09664, the baseline of their section 6"


def _likeliest(answers: Answers, *, by_token: bool) -> tuple[float, float]:
    """Probability of the most probable output with an answer, and the chance that it is right; equals count alike."""
    _right(answers)  # undefined where it is not known
    logs = answers.log_probabilities
    if logs is None:
        raise Undefined("the samples hold no log-probabilities")
    if by_token:
        if answers.output_tokens is None:
            raise Undefined("the samples do not say how many tokens each output has")
        logs = logs / np.maximum(answers.output_tokens, 1)
    told = ~answers.flags["empty"]
    if not told.any():
        return 0.0, 0.0
    most = float(logs[told].max())
    return math.exp(min(most, 0.0)), float(answers.flags["valid"][told & (logs >= most - 1e-12)].mean())


@metric(name="sequence_confidence", source=KUHN, confounds=MOST_LIKELY, **PROBE)
def sequence_confidence(answers: Answers) -> float:
    """Probability of the most probable of the outputs, by the sum of its tokens' log-probabilities.

    It is that of one wording, not of an answer, and so no chance of being right: it ranks prompts (AUROC, risk over
    coverage) and no more. Needs the column `log_probability`.
    """
    return _likeliest(answers, by_token=False)[0]


@metric(name="sequence_accuracy", source=KUHN, confounds=f"{MOST_LIKELY} {KNOWN}", **PROBE)
def sequence_accuracy(answers: Answers) -> float:
    """Whether the most probable of the outputs is right: 1 or 0, between them where several are."""
    return _likeliest(answers, by_token=False)[1]


@metric(
    name="token_confidence",
    source="Malinin and Gales 2021, arXiv:2002.07650 (length-normalised probability of a sequence)",
    confounds="The highest of few probabilities is too low: compare at equal n.",
    **PROBE,
)
def token_confidence(answers: Answers) -> float:
    """Geometric mean of the probabilities of an output's tokens, of the output in which it is highest.

    Needs the columns `log_probability` and `output_tokens`.
    """
    return _likeliest(answers, by_token=True)[0]


@metric(name="token_accuracy", source="Malinin and Gales 2021, arXiv:2002.07650", confounds=KNOWN, **PROBE)
def token_accuracy(answers: Answers) -> float:
    """Whether the output of the highest probability a token is right: 1 or 0, between them where several are."""
    return _likeliest(answers, by_token=True)[1]

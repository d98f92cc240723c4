"""Guards: what else changed between two checkpoints and could pass for a shift in diversity."""

import re
from functools import partial

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.registry import Function, metric
from diversity.sequences import classes
from diversity.views import Answers

MARKDOWN = re.compile(r"#{1,6} |[-*+] |\d+[.)] |```|\|")  # at the start of a line
BOLD = re.compile(r"\*\*[^*\n]+\*\*")


@metric(
    name="words",
    facet="guard",
    higher_is="neither",
    range=(0, float("inf")),
    source="docs/metrics.md",
    min_n=1,
    unbiased_in_n=True,
    aliases=("mean length", "length in words"),
    confounds="Scripts without spaces count one word a character.",
)
def words(answers: Answers) -> float:
    """Mean length of the answers, in words and punctuation marks."""
    return float(answers.words.lengths.mean())


@metric(
    name="duplicates",
    facet="guard",
    higher_is="less diverse",
    range=(0, 1),
    source="docs/metrics.md",
    pairwise=True,
    unbiased_in_n=True,
    aliases=("exact_dup_rate", "exact duplicate rate", "exact-match rate"),
    confounds="Short answers agree by chance: on a task with one right answer agreement is no defect.",
)
def duplicates(answers: Answers) -> NDArray[np.float64]:
    """Share of pairs of answers that are equal but for white space."""
    same = answers.words.classes
    if len(same) > same.max(initial=-1) + 1:
        # Where words agree, signs that are none may differ.
        same = classes(answers.each(_folded))
    return np.equal.outer(same, same).astype(np.float64)


def _folded(text: str) -> str:
    return " ".join(text.split())


@metric(
    name="markdown",
    facet="guard",
    higher_is="neither",
    range=(0, 1),
    source="docs/metrics.md",
    min_n=1,
    unbiased_in_n=True,
    aliases=("share of answers with markdown",),
    confounds="A pound sign, a dash or a pipe at the start of a line counts as markdown in code too.",
)
def markdown(answers: Answers) -> float:
    """Share of answers with markdown: headings, lists, bold, fences, tables."""
    return sum(answers.each(_has_markdown)) / len(answers)


def _has_markdown(text: str) -> bool:
    if "**" in text and BOLD.search(text):
        return True
    return any(MARKDOWN.match(line.lstrip()) for line in text.split("\n"))


@metric(
    name="parse_failures",
    facet="guard",
    higher_is="neither",
    range=(0, 1),
    source="docs/metrics.md",
    needs="trees",
    min_n=1,
    unbiased_in_n=True,
    aliases=("parse failure rate",),
    confounds="An answer that was cut at the token limit does not parse: see `truncated`.",
)
def parse_failures(answers: Answers) -> float:
    """Share of programs that do not parse; tree metrics leave them out."""
    return float(np.mean([tree is None for tree in answers.trees]))


@metric(
    name="partial_parses",
    facet="guard",
    higher_is="neither",
    range=(0, 1),
    source="docs/metrics.md",
    needs="trees",
    min_n=1,
    unbiased_in_n=True,
    confounds="Told by the parser, whose ways of going on after an error differ by language.",
)
def partial_parses(answers: Answers) -> float:
    """Share of programs that parse but for at most 5 % of their bytes; they are among those that do not parse."""
    return float(np.mean([tree.status == "partial" for tree in answers.programs]))


@metric(
    name="windowed",
    facet="guard",
    higher_is="neither",
    range=(0, 1),
    source="docs/semantic-kernel.md",
    min_n=1,
    unbiased_in_n=True,
    confounds="Only recorded where an embedding model reads the answers.",
)
def windowed(answers: Answers) -> float:
    """Share of answers longer than one window of the embedding model.

    Their vectors are means over windows, which draws them together: a shift here moves the semantic facet.
    """
    if answers.windows is None:
        raise Undefined("no embedding model counted its windows")
    return float(np.mean(answers.windows > 1))


@metric(
    name="unknown_tokens",
    facet="guard",
    higher_is="neither",
    range=(0, 1),
    source="docs/semantic-kernel.md",
    min_n=1,
    unbiased_in_n=True,
    confounds="Only recorded where an embedding model reads the answers.",
)
def unknown_tokens(answers: Answers) -> float:
    """Share of an answer's tokens that the embedding model does not know, averaged over the answers.

    All unknown tokens are one token to it: answers that differ in them alone have the cosine 1.
    """
    if answers.unknown is None:
        raise Undefined("no embedding model counted its unknown tokens")
    return float(np.mean(answers.unknown))


def flagged(answers: Answers, *, flag: str) -> float:
    """Share of the prompt's outputs that carry a flag."""
    flags = answers.flags.get(flag)
    if flags is None or not len(flags):
        raise Undefined(f"'{flag}' was not recorded")
    return np.count_nonzero(flags) / len(flags)


FLAGS = {
    "valid": (
        "Share of outputs that pass the domain's quality check",
        "The check is the domain's, or the column `valid` where the samples have one.",
    ),
    "empty": ("Share of outputs without an answer", "What counts as the answer is up to the domain's extraction."),
    "refused": (
        "Share of outputs that decline the request",
        "Found by set phrases: other wordings and languages are missed, quoted refusals are counted.",
    ),
    "loops": ("Share of outputs that repeat themselves", "Verse with a refrain and tables do so on purpose."),
    "off_language": (
        "Share of outputs in another natural language than the domain's",
        "Told by function words and scripts: short and mixed outputs are given the benefit of the doubt.",
    ),
    "unparsable": (
        "Share of outputs in which the domain finds no final value, list, verse or program",
        "What must be found is up to the domain's extraction.",
    ),
    "role_leak": (
        "Share of outputs that go on as the user or the system; what follows is left out",
        "A dialogue or a play that is asked for can look the same.",
    ),
    "thought": (
        "Share of outputs with a chain of thought in tags, which is left out",
        "A chain of thought without tags stays in the answer and counts as wording.",
    ),
    "truncated": (
        "Share of outputs that were cut at the token limit",
        "Undefined where the samples do not say how each output ended.",
    ),
    "cut": (
        "Share of outputs of which the length-matched condition reads the first words only",
        "Follows the lengths of both checkpoints, as the window is common to them.",
    ),
    "left_out": (
        "Share of outputs that the length-matched condition leaves out, as shorter than its window",
        "Follows the lengths of both checkpoints, as the window is common to them.",
    ),
}


def _share_of(flag: str, summary: str) -> Function:
    share = partial(flagged, flag=flag)
    share.__doc__ = f"{summary}.\n\nOf all outputs of the prompt, those without an answer included."
    return share


for _flag, (_summary, _confounds) in FLAGS.items():
    metric(
        name=_flag,
        facet="guard",
        higher_is="neither",
        range=(0, 1),
        source="docs/metrics.md",
        min_n=0,
        unbiased_in_n=True,
        confounds=_confounds,
    )(_share_of(_flag, _summary))

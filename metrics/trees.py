"""Syntax of programs: shares of distinct subtrees and of distinct programs, over normalised trees that parse."""

from functools import partial

import numpy as np

from diversity.metrics.kernels import tree_cosine
from diversity.registry import metric
from diversity.views import Answers, Undefined

CONFOUNDS = "Falls with the size and number of the programs. Programs that do not parse are left out and counted."


def distinct_subtrees(answers: Answers, *, levels: int) -> float:
    """Share of subtrees cut to so many levels that are different, all programs of the prompt pooled.

    Over the nodes that have so many levels below and including them.
    """
    forest = answers.forest
    deep = forest.reaches(levels)
    if not deep.any():
        raise Undefined(f"no tree has {levels} levels")
    return len(np.unique(forest.subtrees(levels)[deep])) / float(forest.weights[deep].sum())


for _levels in (2, 3, 4, 5):
    metric(
        name=f"distinct_subtrees_{_levels}",
        facet="syntactic",
        higher_is="more diverse",
        range=(0, 1),
        source="distinct-n over syntax subtrees, after Shypula et al. 2025, arXiv:2504.12522; heights are ours",
        needs="trees",
        confounds=CONFOUNDS,
    )(partial(distinct_subtrees, levels=_levels))


@metric(
    name="distinct_programs",
    facet="syntactic",
    higher_is="more diverse",
    range=(0, 1),
    source="docs/metrics.md",
    needs="trees",
    confounds="Saturates at 1 for long programs and falls with the number of answers.",
)
def distinct_programs(answers: Answers) -> float:
    """Share of programs whose normalised trees are different: renaming, comments and layout do not count."""
    programs = answers.forest.programs()
    return len(np.unique(programs)) / len(programs)


metric(
    name="wl_similarity",
    facet="syntactic",
    higher_is="less diverse",
    range=(0, 1),
    source="Weisfeiler-Lehman subtree kernel (Shervashidze et al. 2011, JMLR 12), normalised to cosines",
    needs="trees",
    pairwise=True,
    unbiased_in_n=True,
    aliases=("ast_wl", "weisfeiler_lehman"),
    confounds="Node kinds that every program has outweigh the rest: programs of one task score over 0.8.",
)(tree_cosine)

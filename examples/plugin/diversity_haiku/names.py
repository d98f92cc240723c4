"""Who a story is about: tuned models love a few first names."""

import re

import numpy as np

import diversity

NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")  # capitalised inside a sentence


@diversity.metric(
    name="name_similarity",
    facet="lexical",
    higher_is="less diverse",
    range=(0, 1),
    source="examples/plugin, 2026: Jaccard index of the sets of names",
    pairwise=True,
    unbiased_in_n=True,
    default=False,
    confounds="Longer answers name more.",
)
def name_similarity(answers):
    """Share of names that two answers have in common, mean over pairs; answers without names are undefined."""
    named = [names for text in answers.read if (names := set(NAME.findall(text)))]
    if len(named) < 2:
        raise diversity.Undefined("fewer than 2 answers name anyone")
    return np.array([[len(a & b) / len(a | b) for b in named] for a in named])

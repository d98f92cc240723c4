"""A against A on recorded outputs: halves of one checkpoint's samples must not be called shifted."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import diversity
from diversity.tables import Samples

RECORDED = Path(__file__).parent / "data" / "smollm2_instruct.parquet"
HEADLINE = ["lexical.similarity", "syntactic.similarity", "semantic.similarity"]


def halves(frame, seed):
    """Two tables of eight outputs a prompt, split at random without replacement."""
    rng = np.random.default_rng(seed)
    order = {k: rng.permutation(16) for k in frame.select("domain", "prompt_id").unique().sort(pl.all()).iter_rows()}
    place = [
        int(np.flatnonzero(order[d, p] == i)[0])
        for d, p, i in frame.select("domain", "prompt_id", "sample_index").iter_rows()
    ]
    placed = frame.with_columns(place=pl.Series(place))
    return (
        Samples.of(placed.filter(pl.col("place") < 8).drop("place")),
        Samples.of(placed.filter(pl.col("place") >= 8).drop("place")),
    )


@pytest.mark.model
def test_a_checkpoint_against_itself_is_not_called_shifted_in_19_of_20_seeds():
    from diversity.embedding import Embedder

    frame = pl.read_parquet(RECORDED)
    embedder = Embedder.load()
    calm = 0
    for seed in range(20):
        shift = diversity.compare(*halves(frame, seed), metrics=HEADLINE, embedder=embedder, seed=seed)
        calm += not set(shift.verdicts()["verdict"]) & {"narrowed", "widened"}
    assert calm >= 19

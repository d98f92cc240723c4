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


class Remembering:
    """An embedder that embeds each text once, however many tables hold it."""

    def __init__(self, embedder):
        self._embedder = embedder
        self._known = {}

    def __getattr__(self, name):
        return getattr(self._embedder, name)

    def encode(self, texts, **options):
        new = [t for t in dict.fromkeys(texts) if t not in self._known]
        if new:
            self._known |= dict(zip(new, self._embedder.encode(new, **options), strict=True))
        return np.stack([self._known[t] for t in texts])


@pytest.mark.slow
@pytest.mark.model
def test_a_checkpoint_against_itself_is_not_called_shifted_in_19_of_20_seeds():
    from diversity.embedding import Embedder

    frame = pl.read_parquet(RECORDED)
    embedder = Remembering(Embedder.load())
    calm = 0
    for seed in range(20):
        # Verdicts are of all answers; the other conditions only mark them, and cut new texts to embed at each seed.
        shift = diversity.compare(
            *halves(frame, seed), metrics=HEADLINE, conditions=["all"], outputs="none", embedder=embedder, seed=seed
        )
        calm += not set(shift.verdicts()["verdict"]) & {"narrowed", "widened"}
    assert calm >= 19

"""A signature holds all that its figure depends on: read back, and the figure computed again, bit for bit."""

import json
import re

import numpy as np
import polars as pl
import pytest

import diversity
from diversity.errors import InputError, NotComparable
from diversity.signature import parse, recompute
from diversity.tables import Samples

WORDS = np.array([f"{a}{b}" for a in ("ba", "do", "ki", "lu", "me") for b in ("ra", "sto", "lin", "ven", "mok")])
PROGRAM = "def f{k}(xs):\n    total = 0\n    for {v} in xs:\n        total {op} {v}\n    return total\n"


def samples(checkpoint, variety, draw, **columns):
    """Ten prompts each of stories and programs, three outputs a prompt."""
    rng = np.random.default_rng(draw)
    rows = []
    for p in range(10):
        for k in range(3):
            story = " ".join(rng.choice(WORDS[:variety], 18)) + "."
            program = PROGRAM.format(
                k=p, v=rng.choice(["x", "y"]), op=rng.choice(["+=", "-=", "*="][: 1 + variety // 10])
            )
            rows += [(checkpoint, "story", f"s{p}", k, story), (checkpoint, "code", f"c{p}", k, program)]
    schema = ["checkpoint", "domain", "prompt_id", "sample_index", "output"]
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return Samples.of(frame.with_columns(**{name: pl.lit(value) for name, value in columns.items()}))


@pytest.fixture(scope="module")
def sides():
    settings = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 64, "seed": 3}
    return samples("base", 25, 1, **settings), samples("tuned", 9, 2, **settings)


METRICS = [
    "lexical.similarity",
    "syntactic.similarity",
    "distinct_2",
    "self_bleu",
    "words",
    "distinct_2.across",
    "js_1",
]


@pytest.fixture(scope="module")
def shift(sides):
    return diversity.compare(*sides, metrics=METRICS, margin=0.15, seed=5)


def assert_all_computed_again(rows, sides):
    assert rows
    for row in rows:
        again = recompute(row["signature"], *sides)
        expected = dict(row)
        if "|holm:" not in row["signature"]:
            expected["p_adjusted"] = None
        assert json.dumps(again, sort_keys=True) == json.dumps(expected, sort_keys=True), row["signature"]


def test_rows_are_computed_again_from_their_signatures_bit_for_bit(sides, shift):
    """Every second row over stories; the headlines' verdicts hang on the programs too."""
    rows = (
        shift.table()
        .filter((pl.col("domain") == "story") & (pl.col("condition") != "valid"))
        .gather_every(2)
        .to_dicts()
    )
    assert_all_computed_again(rows, sides)


@pytest.mark.slow
@pytest.mark.model
def test_every_row_of_the_default_panel_is_computed_again_bit_for_bit():
    """With an embedding model, whose vectors hang in their last bits on what is read together."""
    sides = samples("base", 25, 1, temperature=1.0), samples("tuned", 9, 2, temperature=1.0)
    shift = diversity.compare(*sides, seed=2)
    chosen = shift.table().filter(pl.col("n_prompts") > 1).gather_every(7)
    assert {"semantic", "lexical", "syntactic"} <= set(chosen["facet"])
    assert_all_computed_again(chosen.to_dicts(), sides)


def test_a_signature_says_what_its_figure_depends_on(shift):
    row = shift.table().row(
        by_predicate=(pl.col("metric") == "lexical.effective")
        & (pl.col("domain") == "story")
        & (pl.col("condition") == "all"),
        named=True,
    )
    found = parse(row["signature"])
    assert (found["metric"], found["m"], found["pairwise"]) == ("lexical.effective", 16, True)
    assert (found["domain"], found["condition"]) == ("story", "all")
    assert found["prompts"]["count"] == row["n_prompts"] == 10
    assert found["n"] == (3, 3)
    assert (found["temperature"], found["max_tokens"], found["sample_seed"]) == ((1.0, 1.0), (64, 64), (3, 3))
    assert (found["margin"], found["seed"]) == (0.15, 5)
    assert found["interval"] == {"kind": "envelope.t+el", "level": 0.95}
    assert parse("m|ci:envelope.t+boot-t.95x4000")["interval"] == {"kind": "envelope.t+boot-t", "level": 0.95}
    assert set(found["family"]) == {(d, f) for d in ("code", "story") for f in ("lexical", "syntactic")}


def test_all_signatures_of_a_table_differ_and_can_be_read(shift):
    signatures = shift.table()["signature"]
    assert signatures.n_unique() == len(signatures)
    for signature in signatures:
        parse(signature)


def test_a_setting_that_differs_between_the_sides_shows_both():
    found = parse(
        "distinct_2|v:0.1.0.1|dom:text|cond:all|prompts:4#ab|n:4-6|T:1>0.7|top_p:?>1|extract:text.2|ci:none|seed:0"
    )
    assert found["temperature"] == (1.0, 0.7)
    assert found["top_p"] == (None, 1.0)
    assert found["n"] == (4, 6)
    assert found["interval"] == {"kind": "none"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.replace("prompts:10", "prompts:9"), "prompts"),
        (lambda s: re.sub(r"T:1\|", "T:0.7|", s), "T:0.7"),
        (lambda s: s.replace("t+el.95", "t+el.90"), r"t\+el\.90"),
    ],
)
def test_tables_that_do_not_give_the_figure_are_refused_with_what_differs(sides, shift, change, says):
    signature = change(shift.verdicts()["signature"][0])
    with pytest.raises(NotComparable, match=says):
        recompute(signature, *sides)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not with a metric"),
        ("no such|thing", "not with a metric"),
        ("distinct_2|v:0.1.0.1", "says nothing of"),
        ("distinct_2|colour:red", "does not know"),
        ("distinct_2|prompts:many#", "cannot be read"),
        ("distinct_2|ci:guessed", "cannot be read"),
    ],
)
def test_what_is_no_signature_is_refused(text, says):
    with pytest.raises(InputError, match=says):
        parse(text)


def test_the_other_tables_are_refused(sides, shift):
    other = samples("base", 25, 1, temperature=0.5), sides[1]
    with pytest.raises(NotComparable, match="T:"):
        recompute(shift.verdicts()["signature"][0], *other)

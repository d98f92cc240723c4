"""A signature holds all that its figure depends on: read back, and the figure computed again, bit for bit."""

import json
import re

import numpy as np
import polars as pl
import pytest

import diversity
from diversity import probes
from diversity.errors import InputError, NotComparable
from diversity.sampling import Drawn
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


class Letters:
    """Stands in for an embedding model: a vector by the letters of a text."""

    name, fingerprint, signature = "letters", "000000", "emb:letters#000000|win:1"

    def encode(self, texts, on_progress=None):
        rows = np.array([[t.count(chr(97 + i)) + 0.01 for i in range(26)] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


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


def assert_all_computed_again(rows, sides, **options):
    assert rows
    for row in rows:
        again = recompute(row["signature"], *sides, **options)
        expected = dict(row)
        if "|holm:" not in row["signature"] and "p_adjusted" in row:
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


def tables_of(result):
    """The tables of a result with their rows, those of the comparisons inside it among them."""
    record = result.to_dict()
    found = {}
    for name in ("against_first", "against_previous", "shifts"):
        for place, shift in enumerate(record.get(name, ())):
            found[f"{name} {place}"] = shift["shift"]
    tables = ("frontier", "equivalents", "trend", "levels", "pooled", "forest", "effects", "frame", "history")
    return found | {name: record[name] for name in tables if name in record}


def assert_signed_and_some_computed_again(result, sides, wanted, **options):
    """Every row has a signature of its own; of each table named, some rows are computed again."""
    tables = tables_of(result)
    signatures = [row["signature"] for rows in tables.values() for row in rows]
    assert len(set(signatures)) == len(signatures)
    for signature in signatures:
        parse(signature)
    for name, step in wanted.items():
        assert_all_computed_again(tables[name][::step], sides, **options)
    left_out = {name for name in tables if tables[name]} - set(wanted)
    assert all(name.startswith(("against", "shifts")) for name in left_out), left_out


LEXICAL = {"metrics": ["lexical.similarity"], "seed": 5}


@pytest.fixture(scope="module")
def stories():
    """Stories of four checkpoints, ever less varied."""
    settings = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 64, "seed": 3}
    made = [samples(f"run{i}", variety, i, **settings) for i, variety in enumerate((25, 20, 14, 9))]
    return [Samples.of(each.frame.filter(pl.col("domain") == "story")) for each in made]


def test_rows_of_a_sweep_are_computed_again(stories):
    sweep = [
        samples(f"run0 T={t:g}", v, 9 + v, temperature=t, top_p=1.0, max_tokens=64) for t, v in ((0.5, 6), (2.0, 25))
    ]
    sweep = [Samples.of(each.frame.filter(pl.col("domain") == "story")) for each in sweep]
    pair = stories[0], stories[2]
    found = diversity.compare(*pair, sweep=sweep, **LEXICAL)
    assert_signed_and_some_computed_again(found, pair, {"frontier": 2, "equivalents": 1}, sweep=sweep)
    assert parse(found.frontier[0]["signature"])["temperature"] == (0.5, 0.5)
    with pytest.raises(InputError, match="about a sweep"):
        recompute(found.equivalents[0]["signature"], *pair)


def test_rows_of_a_trajectory_are_computed_again(stories):
    found = diversity.trajectory(stories[:3], **LEXICAL)
    assert_signed_and_some_computed_again(
        found, stories[:3], {"trend": 1, "levels": 2, "against_first 1": 4, "against_previous 0": 7}
    )
    # What the family of the design decides is another figure than that of the pair alone.
    alone = diversity.compare(stories[0], stories[2], **LEXICAL)
    assert alone.verdicts()["signature"][0] != found.against_first[1].verdicts()["signature"][0]
    with pytest.raises(InputError, match="about 3 tables, and 2 are given"):
        recompute(found.trend["signature"][0], *stories[:2])


def test_rows_of_a_recipe_are_computed_again(stories):
    found = diversity.recipe([(stories[0], post) for post in stories[1:]], method="DL", **LEXICAL)
    assert_signed_and_some_computed_again(found, stories, {"pooled": 1, "forest": 2, "shifts 1": 6})
    assert parse(found.pooled["signature"][0])["interval"] == {"kind": "hksj+shared.t", "level": 0.95}


def test_rows_of_a_factorial_are_computed_again_whatever_its_levels_are_called(stories):
    cells = dict(zip([(a, b) for a in ("pre", "post|*=") for b in ("plain", "a + b")], stories, strict=True))
    found = diversity.factorial(cells, factors=("checkpoint", "template: x"), **LEXICAL)
    assert_signed_and_some_computed_again(found, stories, {"effects": 20, "levels": 3})
    design = parse(found.effects["signature"][0])["design"]
    assert design["factors"] == {"checkpoint": ["pre", "post|*="], "template: x": ["plain", "a + b"]}


def test_rows_of_probes_are_computed_again():
    rng = np.random.default_rng(8)
    sides = []
    for name, right in (("base", 0.6), ("tuned", 0.8)):
        rows = [
            (
                name,
                domain,
                f"q{p}",
                k,
                f"It is {'ba' if ok else 'do'} {rng.choice(WORDS)}.",
                "ba" if ok else "do",
                float(ok),
            )
            for domain in ("text", "qa")
            for p in range(12)
            for k, ok in enumerate(rng.random(4) < right)
        ]
        names = ["checkpoint", "domain", "prompt_id", "sample_index", "output", "behaviour", "quality"]
        sides.append(Samples.of(pl.DataFrame(rows, schema=names, orient="row")))
    found = diversity.compare(*sides, metrics=[*probes.METRICS, "valid", "lexical.similarity"], tuned="text")
    cells = found.to_dict()["probes"]
    assert {cell["place"] for cell in cells} == {"tuned", "outside", "tuned against outside"}
    assert len({cell["signature"] for cell in cells}) == len(cells) > 6
    assert_all_computed_again([cells[0], cells[-1]], sides)
    assert parse(cells[-1]["signature"])["tuned"] == ("text",)


class Wordy:
    """A checkpoint that writes random words."""

    is_chat = True

    def __init__(self, name, variety):
        self.name, self.variety = name, variety

    def identity(self):
        return {"variety": self.variety}

    def draw(self, requests, settings, max_tokens):
        seeds = [[settings.seed, r.sample_index, *r.prompt.prompt_id.encode()] for r in requests]
        texts = [" ".join(np.random.default_rng(s).choice(WORDS[: self.variety], 15)) for s in seeds]
        return [Drawn(text, 15, "stop") for text in texts]


def test_rows_of_a_sequential_run_are_computed_again_from_what_it_drew(tmp_path):
    """One domain stops at its first look, the other goes on to the end; what one stopped at counts for both."""
    found = diversity.until_decided(
        Wordy("base", 24), Wordy("tuned", 9), domains=["story", "brainstorm"], store=tmp_path, prompts=20, n=3, looks=2,
        facets={"story": "lexical", "brainstorm": "syntactic"}, margin=0.2, seed=4, embedder=Letters(),
    )  # fmt: skip
    sides = [diversity.read_samples(tmp_path / side) for side in ("pre", "post")]
    assert_signed_and_some_computed_again(found, sides, {"history": 1, "frame": 3}, embedder=Letters())


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
    older = row["signature"].replace("envelope.t+el.95", "envelope.t+boot-t.95x4000")
    assert parse(older)["interval"] == {"kind": "envelope.t+boot-t", "level": 0.95}
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

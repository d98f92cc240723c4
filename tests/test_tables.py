"""The tables: what they hold, what they refuse, and that a refusal is one line with place and remedy."""

import json
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from diversity.errors import InputError
from diversity.tables import (
    KEY,
    SAMPLES_OPTIONAL,
    SAMPLES_REQUIRED,
    SCORES,
    Samples,
    Scores,
    read_samples,
    read_scores,
    read_table,
)

ROW = {"checkpoint": "base", "domain": "story", "prompt_id": "p1", "sample_index": 0, "output": "A dog ran."}
SCORE = {
    "checkpoint": "base",
    "domain": "story",
    "prompt_id": "p1",
    "metric": "self_bleu",
    "facet": "lexical",
    "condition": "all",
    "value": 0.5,
    "se": None,
    "n": 4,
    "note": None,
}
AWKWARD = [
    "",
    "   ",
    "one",
    "😀👩‍👩‍👧",
    "e\u0301",
    "שלום",
    "a\r\nb",
    "a\0b",
    "x" * 100_000,
    "def f(:",
    "[red]x[/]",
]


def rows(count=3, **changes):
    return [{**ROW, "sample_index": i, **changes} for i in range(count)]


def refusal(call):
    """The message of the InputError that a call raises; one line, with a remedy behind a colon."""
    with pytest.raises(InputError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    assert ": " in message
    return message


@pytest.fixture
def write(tmp_path):
    """Write lines, given as text or as objects, to a JSON lines file."""

    def lines(*given, name="samples.jsonl", end="\n"):
        path = tmp_path / name
        text = [line if isinstance(line, str) else json.dumps(line) for line in given]
        path.write_text(end.join(text) + end, encoding="utf-8", newline="")
        return path

    return lines


# Refusals of a frame


@pytest.mark.parametrize("column", SAMPLES_REQUIRED)
def test_missing_column_is_named_with_what_is_there_and_what_is_needed(column):
    message = refusal(lambda: Samples.of(pl.DataFrame(rows()).drop(column), where="runs/a.parquet"))

    assert message.startswith(f"runs/a.parquet: column '{column}' is missing (it has: ")
    assert message.endswith("a Samples table needs checkpoint, domain, prompt_id, sample_index, output")


@pytest.mark.parametrize("column", SAMPLES_REQUIRED)
def test_null_in_a_required_column_is_named_with_its_row(column):
    frame = pl.DataFrame([*rows(2), {**ROW, "sample_index": 2, column: None}], infer_schema_length=None)

    assert refusal(lambda: Samples.of(frame)) == f"samples, row 2: '{column}' is null: fill it, or drop the row"


def test_doubled_key_is_named_with_its_values_and_count():
    frame = pl.DataFrame([*rows(2), {**ROW, "sample_index": 1, "output": "Another."}])

    assert refusal(lambda: Samples.of(frame)) == (
        "samples, row 1: the key (checkpoint='base', domain='story', prompt_id='p1', sample_index='1') occurs 2 times: "
        "give each output of a prompt its own sample_index"
    )


@pytest.mark.parametrize(
    ("column", "values", "what"),
    [
        ("sample_index", ["0", "one"], "row 1: 'sample_index' is 'one', not a whole number"),
        ("sample_index", [0.0, 1.5], "row 1: 'sample_index' is '1.5', not a whole number"),
        ("sample_index", [0.0, float("nan")], "row 1: 'sample_index' is 'nan', not a whole number"),
        ("sample_index", [2**40, 1], "row 0: 'sample_index' is '1099511627776', not a whole number"),
        ("sample_index", [[0], [1]], "column 'sample_index' is List(Int64), not a whole number"),
        ("output", [["a"], ["b"]], "column 'output' is List(String), not text"),
        ("output", [{"text": "a"}, {"text": "b"}], "column 'output' is Struct({'text': String}), not text"),
        ("output", [b"a", b"\xff"], "column 'output' is Binary, not text"),
        ("temperature", ["1", "hot"], "row 1: 'temperature' is 'hot', not a number"),
        ("valid", ["true", "perhaps"], "row 1: 'valid' is 'perhaps', not true or false"),
        ("quality", [0.5, 7.0], "row 1: 'quality' is 7, not from 0 to 1"),
        ("seed", [0.5, 1.0], "row 0: 'seed' is '0.5', not a whole number"),
    ],
)
def test_value_of_another_type_is_named_with_its_row_and_the_type_wanted(column, values, what):
    frame = pl.DataFrame(rows(2)).with_columns(pl.Series(column, values))

    assert refusal(lambda: Samples.of(frame)).startswith(f"samples, {what}: " if "row" in what else f"samples: {what}")


def test_objects_of_python_are_refused_as_no_text():
    frame = pl.DataFrame(rows(1)).with_columns(pl.Series("output", [object()], dtype=pl.Object))

    assert "column 'output' is Object, not text" in refusal(lambda: Samples.of(frame))


def test_no_rows_are_refused():
    empty = pl.DataFrame(schema=SAMPLES_REQUIRED)

    assert refusal(lambda: Samples.of(empty)) == "samples: there are no rows: sample first, or check the path"


def test_long_value_is_cut_in_the_message():
    frame = pl.DataFrame(rows(2)).with_columns(sample_index=pl.Series(["x" * 5000, "1"]))

    assert len(refusal(lambda: Samples.of(frame))) < 150


# What is taken without complaint


def test_numbers_as_prompt_ids_become_text_and_digits_as_index_become_numbers():
    table = Samples.of(pl.DataFrame(rows(2)).with_columns(prompt_id=pl.lit(7), sample_index=pl.Series(["1", "0"])))

    assert table.frame["prompt_id"].to_list() == ["7", "7"]
    assert table.frame["sample_index"].to_list() == [0, 1]


def test_optional_columns_get_their_types():
    table = Samples.of(pl.DataFrame(rows(1, quality=1, valid="True", max_tokens=8.0, stage=None)))

    assert {c: table.frame.schema[c] for c in ("quality", "valid", "max_tokens", "stage")} == {
        "quality": pl.Float64,
        "valid": pl.Boolean,
        "max_tokens": pl.Int32,
        "stage": pl.String,
    }
    assert table.frame["valid"].to_list() == [True]


def test_unknown_columns_are_kept_behind_the_known_ones():
    table = Samples.of(pl.DataFrame(rows(2, annotator="ann", tags=["a"], seed=1)))

    assert table.frame.columns == [*SAMPLES_REQUIRED, "seed", "annotator", "tags"]
    assert table.frame["tags"].to_list() == [["a"], ["a"]]


def test_categories_become_text():
    frame = pl.DataFrame(rows(2)).with_columns(pl.col("domain").cast(pl.Categorical))

    assert Samples.of(frame).frame.schema["domain"] == pl.String


# Files


def test_round_trip_through_parquet_keeps_rows_types_and_provenance(tmp_path):
    provenance = {"package": "0.1.0", "settings": {"temperature": 1.0}, "weights": ["a#b"], "name": "é"}
    table = Samples.of(pl.DataFrame(rows(len(AWKWARD))).with_columns(output=pl.Series(AWKWARD)), provenance)

    back = read_samples(table.write(tmp_path / "new" / "samples.parquet"))

    assert_frame_equal(table.frame, back.frame)
    assert dict(back.provenance) == provenance


def test_writing_leaves_no_other_file_behind(tmp_path):
    Samples.of(pl.DataFrame(rows())).write(tmp_path / "a.parquet")

    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_writing_below_a_file_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("x")

    message = refusal(lambda: Samples.of(pl.DataFrame(rows())).write(tmp_path / "file" / "a.parquet"))

    assert message.startswith(f"{tmp_path / 'file' / 'a.parquet'}: cannot be written (")


def test_missing_file_is_refused(tmp_path):
    path = tmp_path / "none.parquet"

    assert refusal(lambda: read_samples(path)) == f"{path}: no such file: check the path"


def test_name_that_no_file_can_have_is_refused():
    assert "cannot be read (File name too long): check the path" in refusal(lambda: read_samples("x" * 5000))


def test_empty_file_is_refused(tmp_path):
    (tmp_path / "a.parquet").touch()
    (tmp_path / "a.jsonl").touch()

    assert "the file is empty: sample again" in refusal(lambda: read_samples(tmp_path / "a.parquet"))
    assert "the file is empty: sample again" in refusal(lambda: read_samples(tmp_path / "a.jsonl"))


def test_file_of_another_kind_is_refused_by_its_suffix(tmp_path):
    (tmp_path / "a.xlsx").write_text("checkpoint,domain\n")
    (tmp_path / "plain").write_text("x")

    assert "cannot read '.xlsx': give .parquet, .jsonl, .json, .csv or a store folder" in refusal(
        lambda: read_samples(tmp_path / "a.xlsx")
    )
    assert "cannot read 'no suffix'" in refusal(lambda: read_samples(tmp_path / "plain"))


def test_parquet_in_name_only_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("checkpoint,domain\n" * 10)

    assert refusal(lambda: read_samples(path)).startswith(f"{path}: not a readable parquet file (")


def test_half_a_parquet_file_is_refused_wherever_it_was_cut(tmp_path):
    whole = Samples.of(pl.DataFrame(rows(20))).write(tmp_path / "a.parquet").read_bytes()
    cut = tmp_path / "cut.parquet"
    for size in random.Random(0).sample(range(1, len(whole)), 30):
        cut.write_bytes(whole[:size])

        assert "not a readable parquet file" in refusal(lambda: read_samples(cut))


def test_parquet_without_our_metadata_is_read(tmp_path):
    pl.DataFrame(rows()).write_parquet(tmp_path / "a.parquet", metadata={"diversity": "[1, 2]"})
    pl.DataFrame(rows()).write_parquet(tmp_path / "b.parquet")

    assert dict(read_samples(tmp_path / "a.parquet").provenance) == {}
    assert len(read_samples(tmp_path / "b.parquet")) == 3


def test_name_with_a_star_is_one_file_and_not_a_pattern(tmp_path):
    Samples.of(pl.DataFrame(rows(2))).write(tmp_path / "a*.parquet")
    Samples.of(pl.DataFrame(rows(3))).write(tmp_path / "ab.parquet")
    Samples.of(pl.DataFrame(rows(4))).write(tmp_path / "[x].parquet")

    assert len(read_samples(tmp_path / "a*.parquet")) == 2
    assert len(read_samples(tmp_path / "[x].parquet")) == 4


def test_suffix_in_capitals_is_read(tmp_path):
    Samples.of(pl.DataFrame(rows())).write(tmp_path / "A.PARQUET")

    assert len(read_samples(tmp_path / "A.PARQUET")) == 3


# JSON lines


def test_json_lines_with_blank_lines_crlf_and_a_byte_order_mark_are_read(write):
    path = write("\ufeff" + json.dumps(rows(1)[0]), "", json.dumps(rows(2)[1]), end="\r\n")

    assert read_samples(path).frame["sample_index"].to_list() == [0, 1]


def test_broken_json_is_refused_with_the_number_of_its_line(write):
    path = write(ROW, "", '{"checkpoint": "base"', ROW)

    assert refusal(lambda: read_samples(path)).startswith(f"{path}, line 3: not JSON (")


@pytest.mark.parametrize(("line", "what"), [("[1, 2]", "a list"), ('"text"', "a str"), ("7", "a int"), ("null", "a N")])
def test_line_that_is_no_object_is_refused_with_its_number(write, line, what):
    path = write(ROW, line)

    assert refusal(lambda: read_samples(path)).startswith(f"{path}, line 2: {what}")


def test_line_nested_too_deep_is_refused(write):
    path = write("[" * 100_000)

    assert "line 1: not JSON" in refusal(lambda: read_samples(path))


@pytest.mark.parametrize(("value", "kind"), [(["a", "b"], "a list"), ({"text": "a"}, "an object")])
@pytest.mark.parametrize("others", [0, 1])
def test_nested_output_is_refused_with_its_line_whatever_the_other_lines_hold(write, value, kind, others):
    path = write(*rows(others), {**ROW, "sample_index": 9, "output": value})

    assert refusal(lambda: read_samples(path)) == (
        f"{path}, line {others + 1}: 'output' is {kind}, not text: give one output a row"
    )


def test_refusals_of_values_name_the_line_and_not_the_row(write):
    absent = write(ROW, "", {k: v for k, v in ROW.items() if k != "output"}, name="a.jsonl")
    wrong = write(ROW, "", {**ROW, "sample_index": "one"}, name="b.jsonl")
    twice = write(ROW, "", ROW, name="c.jsonl")

    assert refusal(lambda: read_samples(absent)).startswith(f"{absent}, line 3: 'output' is null")
    assert refusal(lambda: read_samples(wrong)).startswith(f"{wrong}, line 3: 'sample_index' is 'one'")
    assert refusal(lambda: read_samples(twice)).startswith(f"{twice}, line 1: the key (")


def test_whole_number_beyond_64_bits_is_refused(write):
    path = write({**ROW, "seed": 2**70})

    assert "line 1: 'seed' is '1180591620717411303424', not a whole number" in refusal(lambda: read_samples(path))


def test_unknown_column_of_mixed_kinds_is_refused_by_name(write):
    path = write({**ROW, "tags": ["a"]}, {**ROW, "sample_index": 1, "tags": "a"})

    assert "(column 'tags' holds list and value): use one type a column" in refusal(lambda: read_samples(path))


def test_column_that_only_some_lines_have_is_null_elsewhere(write):
    path = write(ROW, {**ROW, "sample_index": 1, "quality": 0.5, "note": "x"})

    assert read_samples(path).frame["quality"].to_list() == [None, 0.5]
    assert read_samples(path).frame["note"].to_list() == [None, "x"]


def test_lone_surrogates_are_replaced_and_the_table_can_be_written(write, tmp_path):
    path = write(json.dumps({**ROW, "meta": {"k": ["\ud800"]}})[:-1] + ', "output": "x\\ud83d y"}')

    table = read_samples(path)

    assert table.frame["output"].to_list() == ["x? y"]
    assert_frame_equal(table.frame, read_samples(table.write(tmp_path / "a.parquet")).frame)


def test_bytes_that_are_not_utf8_are_replaced_with_a_warning(tmp_path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes(json.dumps({**ROW, "output": "CAFE"}).encode().replace(b"CAFE", "café".encode("latin-1")))

    with pytest.warns(UserWarning, match="1 lines hold bytes that are not UTF-8"):
        assert read_samples(path).frame["output"].to_list() == ["caf\ufffd"]


def test_output_that_is_a_number_becomes_text(write):
    assert read_samples(write(ROW, {**ROW, "sample_index": 1, "output": 42})).frame["output"][1] == "42"


# Scores


def test_scores_round_trip_and_are_told_from_samples(tmp_path):
    path = Scores.of(pl.DataFrame([SCORE], schema=SCORES), {"package": "0"}).write(tmp_path / "scores.parquet")
    samples = Samples.of(pl.DataFrame(rows())).write(tmp_path / "samples.parquet")

    assert isinstance(read_table(path), Scores)
    assert isinstance(read_table(samples), Samples)
    assert read_scores(path).frame.row(0, named=True) == SCORE


def test_scores_that_are_not_finite_become_null_with_a_note():
    values = [float("nan"), float("inf"), 0.5, None]
    frame = pl.DataFrame([{**SCORE, "prompt_id": str(i), "value": v} for i, v in enumerate(values)], schema=SCORES)

    table = Scores.of(frame).frame

    assert table["value"].to_list() == [None, None, 0.5, None]
    assert table["note"].to_list() == ["not a number", "not a number", None, None]


@pytest.mark.parametrize("column", ["checkpoint", "prompt_id", "metric", "condition"])
def test_scores_without_a_key_are_refused(column):
    frame = pl.DataFrame([{**SCORE, column: None}], schema=SCORES)

    assert refusal(lambda: Scores.of(frame)) == f"scores, row 0: '{column}' is null: fill it, or drop the row"


def test_scores_that_are_missing_doubled_or_empty_are_refused():
    frame = pl.DataFrame([SCORE, SCORE], schema=SCORES)

    assert "column 'se' is missing" in refusal(lambda: Scores.of(frame.drop("se")))
    assert "is scored twice: drop one" in refusal(lambda: Scores.of(frame))
    assert "there are no rows" in refusal(lambda: Scores.of(frame.clear()))


# Properties

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = {
    pl.String(): TEXT,
    pl.Int32(): st.integers(-(2**31), 2**31 - 1),
    pl.Int64(): st.integers(-(2**63), 2**63 - 1),
    pl.Float64(): st.floats(0, 1),
    pl.Boolean(): st.booleans(),
}


@st.composite
def frames(draw):
    """Any valid Samples frame: unique keys, some of the optional columns, a column of the user's."""
    keys = draw(
        st.lists(
            st.tuples(TEXT, TEXT, TEXT, VALUES[pl.Int32()]),
            min_size=1,
            max_size=8,
            unique=True,
        )
    )
    columns = {name: [k[i] for k in keys] for i, name in enumerate(KEY)}
    size = {"min_size": len(keys), "max_size": len(keys)}
    columns["output"] = draw(st.lists(TEXT, **size))
    for name in draw(st.sets(st.sampled_from(sorted(SAMPLES_OPTIONAL)))):
        columns[name] = draw(st.lists(st.none() | VALUES[SAMPLES_OPTIONAL[name]], **size))
    columns["own"] = draw(st.lists(st.none() | st.integers(0, 9), **size))
    schema = {**SAMPLES_REQUIRED, **SAMPLES_OPTIONAL, "own": pl.Int64()}
    return pl.DataFrame(columns, schema={c: schema[c] for c in columns})


@settings(max_examples=60, deadline=None)
@given(frames())
def test_any_valid_frame_comes_back_as_it_was_written(tmp_path_factory, frame):
    table = Samples.of(frame)

    assert_frame_equal(table.frame, read_samples(table.write(tmp_path_factory.getbasetemp() / "any.parquet")).frame)


@settings(max_examples=60, deadline=None)
@given(frames(), st.randoms(use_true_random=False))
def test_order_of_the_rows_changes_nothing(frame, rng):
    order = list(range(frame.height))
    rng.shuffle(order)

    assert_frame_equal(Samples.of(frame).frame, Samples.of(frame[order]).frame)


@settings(max_examples=60, deadline=None)
@given(frames())
def test_checking_a_checked_table_changes_nothing(frame):
    once = Samples.of(frame).frame

    assert_frame_equal(once, Samples.of(once).frame)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*SAMPLES_REQUIRED, "x"]),
        st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    ),
    st.integers(1, 3),
)
def test_any_json_lines_are_a_table_or_one_line_of_refusal(tmp_path_factory, row, times):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text("\n".join([json.dumps(row)] * times), encoding="utf-8")

    try:
        assert len(read_samples(path)) == times
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either end is right

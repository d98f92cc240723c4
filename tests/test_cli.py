"""The command line as a user meets it: results on stdout, one line and exit code 2 for what they can mend."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
    assert set(commands.commands) >= {"demo", "sample", "import", "score", "compare", "report", "metrics", "domains"}
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


def test_outputs_are_left_out_where_asked_and_results_stand_side_by_side(run, files, tmp_path):
    shift, card = tmp_path / "dpo.json", tmp_path / "card.md"
    asked = ["compare", *files, "--out", shift, "--outputs", "none", "--model-card", card, *PANEL]
    assert run(*asked)[0] == 0
    assert json.loads(shift.read_text())["drilldown"] == []
    assert card.read_text().startswith("---\nmodel-index:\n")
    (tmp_path / "grpo.json").write_bytes(shift.read_bytes())
    page = tmp_path / "side.html"
    code, table, _ = run("report", shift, tmp_path / "grpo.json", "--html", page)
    assert code == 0
    assert "2 results side by side" in table
    assert "grpo narrowed" in page.read_text()


def test_single_outputs_are_looked_at_where_a_file_will_show_them(run, files, tmp_path, monkeypatch):
    from diversity import drilldown

    looked = []
    monkeypatch.setattr(drilldown, "look", lambda sides, look=drilldown.look: looked.append(sides) or look(sides))
    plain, shown = run("compare", *files, *PANEL), run("compare", *files, *PANEL, "--markdown", tmp_path / "a.md")
    assert not looked
    kept = run("compare", *files, *PANEL, "--markdown", tmp_path / "b.md", "--out", tmp_path / "shift.json")
    assert looked
    assert plain[0] == shown[0] == kept[0] == 0
    assert kept[1].startswith(plain[1])
    assert plain[1] == shown[1]
    assert (tmp_path / "a.md").read_text() == (tmp_path / "b.md").read_text()


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


# Sampling and importing


@pytest.fixture
def recorded(make_samples, tmp_path):
    """A recorded checkpoint of all stories' first prompts, to be replayed."""
    from diversity.domains.story import Story

    ids = [p.prompt_id for p in Story().prompts[:3]]
    return f"replay:{make_samples(STORIES, checkpoint='m', prompts=ids, n=4).write(tmp_path / 'old.parquet')}"


def test_sample_takes_several_temperatures_and_shards(run, recorded, tmp_path):
    asked = ["sample", recorded, "-d", "story", "--prompts", "3", "-n", "4", "--batch", "6"]
    for shard in ("1/2", "2/2"):
        code, out, _ = run(*asked, "--temperature", "0.2", "0.6", "--out", tmp_path / "run", "--shard", shard)
        assert code == 0

    assert out == f"24 outputs in {tmp_path / 'run'}\n"
    names = {"m T=0.2", "m T=0.6"}
    assert set(pl.read_parquet(tmp_path / "run" / "parts" / "*.parquet")["checkpoint"]) == names


def test_plan_says_what_it_would_take_and_writes_nothing(run, recorded, tmp_path):
    code, out, _ = run("sample", recorded, "-d", "story", "--prompts", "3", "-n", "4", "-o", tmp_path / "x", "--plan")

    assert code == 0
    assert out.startswith("12 of 12 outputs to draw, of 3 prompts, in 1 batches: about ")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--shard", "2"], "'2' is not i/k, as in 1/4"),
        (["--shard", "3/2"], "shard is 3/2: give i/k with i from 1 to k"),
        (["--template", "x"], "'x' is not NAME=VALUE"),
        (["--temperature", "0.2", "0"], "temperature is 0: give a value above 0"),
        (["--dtype", "int3"], "takes no dtype"),
        (["--prompts", "none.jsonl"], "none.jsonl: no such file"),
        (["--prompts", "0"], "prompts is 0: give 1 or more"),
        (["--exemplars", "none.jsonl"], "none.jsonl: no such file"),
    ],
)
def test_option_of_sample_that_cannot_be_is_refused(run, recorded, tmp_path, options, reason):
    code, _, err = run("sample", recorded, "-d", "story", "--out", tmp_path / "run", *options)

    assert code == 2
    assert reason in err
    assert err.count("\n") == 1


def test_import_makes_a_table_that_compare_reads(run, tmp_path):
    for side, texts in (("pre", STORIES), ("post", STORIES[:1] * 4)):
        rows = [{"q": f"Prompt {i}", "replies": texts[i % 2 :] + texts[: i % 2]} for i in range(12)]
        (tmp_path / f"{side}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        mapped = ["--map", "q=prompt", "--map", "replies=output", "-d", "story"]
        code, out, _ = run("import", "table", tmp_path / f"{side}.jsonl", "-o", tmp_path / f"{side}.parquet", *mapped)
        assert code == 0
        assert out == f"48 outputs, 4.0 a prompt, in {tmp_path / side}.parquet\n"

    code, table, _ = run("compare", tmp_path / "pre.parquet", tmp_path / "post.parquet", "-m", "lexical", "--json")
    assert code == 0
    assert json.loads(table)[0]["post"] == 1


def test_import_joins_prompts_of_another_file(run, tmp_path):
    folder = Path(__file__).parent / "logs" / "human-eval"
    asked = ["--prompts-from", folder / "problems.jsonl", "-o", tmp_path / "a.parquet"]
    code, out, _ = run("import", "human-eval", folder / "own.jsonl", *asked)

    assert code == 0
    assert out == f"4 outputs, 2.0 a prompt, in {tmp_path / 'a.parquet'}\n"
    assert pl.read_parquet(tmp_path / "a.parquet")["prompt"].n_unique() == 2


def test_import_of_an_unknown_format_is_refused(run, files, tmp_path):
    code, _, err = run("import", "nothing", files[0], "-o", tmp_path / "a.parquet")

    assert code == 2
    assert "unknown format 'nothing'" in err


@pytest.fixture
def tables(make_samples, tmp_path):
    """Files of four checkpoints, each more alike than the one before."""
    paths = []
    for name, count in (("base", 4), ("sft", 3), ("dpo", 2), ("merged", 3)):
        samples = make_samples(STORIES[:count], checkpoint=name, prompts=24, n=4, prompt="Tell me a story.", stage=name)
        paths.append(samples.write(tmp_path / f"{name}.parquet"))
    return paths


def test_compare_of_more_than_two_is_a_trajectory_and_report_renders_it_again(run, tables, tmp_path):
    out, page = tmp_path / "trajectory.json", tmp_path / "trajectory.html"
    code, shown, _ = run("compare", *tables, "--out", out, "-m", "lexical.similarity")
    assert code == 0
    assert "base → sft → dpo → merged" in shown
    assert json.loads(out.read_text())["kind"] == "trajectory"
    code, again, _ = run("report", out, "--html", page)
    assert code == 0
    assert again.splitlines()[:3] == shown.splitlines()[:3]
    assert "Against the checkpoint before" in page.read_text(encoding="utf-8")


def test_compare_with_recipe_shows_the_runs_and_says_that_three_are_too_few(run, tables):
    code, shown, _ = run("compare", tables[0], "--recipe", *tables[1:], "-m", "lexical.similarity")
    assert code == 0
    assert "3 runs are too few" in shown
    assert shown.count("base → ") == 3


def test_factorial_takes_its_cells_row_by_row(run, tables, tmp_path):
    out = tmp_path / "factorial.json"
    code, shown, _ = run(
        "factorial", *tables, "--columns", "format=plain,chat", "--out", out, "-m", "lexical.similarity"
    )
    assert code == 0
    assert "comes with format" in shown
    assert json.loads(out.read_text())["factors"] == [["checkpoint", ["pre", "post"]], ["format", ["plain", "chat"]]]
    code, _, error = run("factorial", *tables[:3])
    assert code == 2
    assert "2 rows and 2 columns have 4 cells, and 3 are given" in error


def test_options_of_sampling_are_refused_where_nothing_is_sampled(run, files):
    code, _, error = run("compare", *files, "-d", "story")
    assert code == 2
    assert "goes with --until-decided" in error

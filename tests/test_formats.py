"""Files and logs of other tools: each in the form that the tool writes, into one table."""

import gzip
import io
import json
import sys
from pathlib import Path

import polars as pl
import pytest

from diversity.errors import InputError, UnknownName
from diversity.formats import FORMATS, read_frame
from diversity.tables import LARGE, read_samples

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LOGS = Path(__file__).parent / "logs"  # each written by its tool, see make_logs.py there
ROWS = [
    {"prompt": "Tell a story.", "response": "Once.", "model": "m"},
    {"prompt": "Name a bird.", "response": "A wren.", "model": "m"},
    {"prompt": "Tell a story.", "response": "Twice.", "model": "m"},
]


@pytest.fixture
def save(tmp_path):
    """Save objects as JSON lines, or one object as JSON, under a name."""

    def saved(name, *rows):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows[0]) if name.endswith(".json") else "\n".join(map(json.dumps, rows)))
        return path

    return saved


def told(samples):
    """Checkpoint, prompt id, index and output of each row."""
    return samples.frame.select("checkpoint", "prompt_id", "sample_index", "output").rows()


# Files


def packed(path, content):
    path.write_bytes(content)
    return path


def files(tmp_path):
    lines = "\n".join(map(json.dumps, ROWS)).encode()
    frame = pl.DataFrame(ROWS)
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    return [
        packed(tmp_path / "a.jsonl", lines),
        packed(tmp_path / "a.ndjson.gz", gzip.compress(lines)),
        packed(tmp_path / "a.jsonl.zst", zstd.compress(lines)),
        packed(tmp_path / "a.json", json.dumps(ROWS).encode()),
        packed(tmp_path / "b.json.gz", gzip.compress(json.dumps(ROWS).encode())),
        packed(tmp_path / "a.csv", frame.write_csv().encode()),
        packed(tmp_path / "a.csv.zst", zstd.compress(frame.write_csv().encode())),
        packed(tmp_path / "a.tsv", frame.write_csv(separator="\t").encode()),
        tmp_path / "a.parquet",
        tmp_path / "a.arrow",
    ]


def test_every_kind_of_file_gives_the_same_samples(tmp_path):
    found = {path.name: told(read_samples(path, "table")) for path in files(tmp_path)}

    assert len({str(rows) for rows in found.values()}) == 1
    assert [(i, o) for _, _, i, o in found["a.csv"]] == [(0, "Once."), (1, "Twice."), (0, "A wren.")]


@pytest.mark.parametrize("name", ["one", "split"])
def test_folder_that_datasets_saved_is_read_with_all_its_shards(name):
    samples = read_samples(LOGS / "datasets" / name, "table")

    assert [(c, i, o) for c, _, i, o in told(samples)] == [("m", 0, "Once."), ("m", 1, "Twice."), ("m", 0, "A wren.")]


def test_standard_input_is_json_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(map(json.dumps, ROWS)).encode())))

    assert len(read_samples("-", "table")) == 3


def test_pattern_takes_its_files_in_the_order_of_their_names(save, tmp_path):
    save("run-2.jsonl", ROWS[2])
    save("run-1.jsonl", ROWS[0])
    table = read_samples(tmp_path / "run-*.jsonl", "table", checkpoint="m")

    assert [(i, o) for _, _, i, o in told(table)] == [(0, "Once."), (1, "Twice.")]


def test_pattern_without_a_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file has such a name: check the pattern"):
        read_samples(tmp_path / "none-*.jsonl", "table")


def test_our_own_table_is_read_from_csv_too(tmp_path):
    frame = pl.DataFrame({"checkpoint": "m", "domain": "text", "prompt_id": ["007"] * 2, "sample_index": [0, 1]})
    frame.with_columns(output=pl.Series(["a", ""]), quality=pl.Series([0.5, None])).write_csv(tmp_path / "a.csv")
    read = read_samples(tmp_path / "a.csv").frame

    assert read["prompt_id"].to_list() == ["007", "007"]
    assert read["output"].to_list() == ["a", ""]
    assert read["quality"].to_list() == [0.5, None]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", b"{", "not JSON"),
        ("a.json", b'{"a": 1}', "not a list of objects: give one object an output"),
        ("a.json", b"[]", "there are no rows"),
        ("a.jsonl.gz", b"plain", "cannot be read"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}' * 999, mtime=0)[:40], "cannot be read"),
        ("a.jsonl.zst", b"plain", "cannot be read"),
        ("a.csv", b"a,b\n1,2,3\n", "not a readable csv file"),
        ("a.arrow", b"plain", "not a readable arrow file"),
    ],
)
def test_file_that_is_not_what_its_name_says_is_refused_in_one_line(tmp_path, name, content, reason):
    with pytest.raises(InputError, match=reason) as error:
        read_frame(packed(tmp_path / name, content))
    assert "\n" not in str(error.value)


def test_large_file_is_read_as_a_small_one_is():
    """Above a megabyte polars reads the blocks, unless it would make something else of them."""
    import diversity.tables as tables

    texts = ["plain", "\U0001f600 pair", "half \ud800", '["a"]', "{", "é\u2028", "", "\x00"]
    for awkward in texts:
        lines = [json.dumps({"output": t, "n": i}) for i, t in enumerate(["x" * 50_000] * 25 + [awkward])]
        block = "\n".join(lines).encode()
        assert len(block) > LARGE
        small = pl.concat([tables.read_json_lines("f", io.BytesIO(line.encode())) for line in lines])

        assert tables.read_json_lines("f", io.BytesIO(block))["output"].to_list() == small["output"].to_list()


# Tables by their columns


def test_list_of_outputs_becomes_a_row_each(save):
    table = read_samples(save("a.jsonl", {"prompt": "p", "outputs": ["a", "b", "c"]}), "table")

    assert [(c, i, o) for c, _, i, o in told(table)] == [("a", 0, "a"), ("a", 1, "b"), ("a", 2, "c")]


def test_columns_are_mapped_by_hand_before_they_are_by_name(save):
    path = save("a.jsonl", {"q": "p", "text": "not this", "reply": "this", "extra": 7})
    table = read_samples(path, "table", columns={"q": "prompt", "reply": "output"}, domain="story", checkpoint="m")

    assert table.frame.row(0, named=True) | {"prompt_id": ""} == {
        "checkpoint": "m",
        "domain": "story",
        "prompt_id": "",
        "sample_index": 0,
        "output": "this",
        "prompt": "p",
        "text": "not this",
        "extra": 7,
    }


def test_prompt_without_an_id_has_the_same_one_in_every_file(save):
    one, two = (read_samples(save(f"{n}.jsonl", *ROWS[n:]), "table").frame for n in (0, 2))

    assert set(two["prompt_id"]) < set(one["prompt_id"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, "a preference set, not the outputs of one checkpoint"),
        ({"prompt": "p", "x": "a"}, r"no column of outputs \(it has: prompt, x\): name it with --map COLUMN=output"),
        ({"output": "a"}, "neither prompts nor ids"),
        ({"prompt": "p", "output": None}, "1 rows have no output"),
        ({"prompt": "p", "outputs": [1, 2]}, "holds lists of Int64: give lists of texts"),
        ({"prompt": [{"role": "user"}], "output": "a"}, "not text: name another column with --map"),
    ],
)
def test_table_that_cannot_be_understood_is_refused(save, row, reason):
    with pytest.raises(InputError, match=reason):
        read_samples(save("a.jsonl", row), "table")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"x": "output"}, "--map names the column 'x', and there is none"),
        ({"response": "y"}, "is no column of Samples"),
    ],
)
def test_mapping_that_cannot_be_is_refused(save, columns, reason):
    with pytest.raises(InputError, match=reason):
        read_samples(save("a.jsonl", *ROWS), "table", columns=columns)


def test_rows_without_an_output_are_left_out_when_that_is_wanted(save):
    path = save("a.jsonl", *ROWS, {"prompt": "p", "response": None, "model": "m"})

    assert len(read_samples(path, "table", drop_empty=True)) == 3


def test_unknown_format_is_refused_with_the_nearest_name(save):
    with pytest.raises(UnknownName, match="unknown format 'lmeval': did you mean 'lm-eval'"):
        read_samples(save("a.jsonl", *ROWS), "lmeval")


# Logs


def lm_eval_line(doc, name, responses, **more):
    return {
        "doc_id": doc,
        "doc": {"question": f"q{doc}"},
        "target": "t",
        "arguments": {"gen_args_0": {"arg_0": f"Question: q{doc}", "arg_1": {"do_sample": True}}},
        "resps": [responses],
        "filtered_resps": [responses[0]],
        "filter": name,
        "metrics": ["exact_match"],
        "doc_hash": f"hash{doc}",
        "prompt_hash": "p",
        "target_hash": "t",
        "exact_match": 0.0,
        **more,
    }


def test_lm_eval_takes_the_responses_of_the_first_filter_once(save):
    save("m/results_2026-01-01.json", {"model_name": "org/m"})
    lines = [lm_eval_line(d, f, [f"a{d}", f"b{d}"]) for f in ("strict", "flexible") for d in (0, 1)]
    path = save("m/samples_gsm8k_2026-01-01T00-00-00.jsonl", *lines)

    assert told(read_samples(path, "lm-eval")) == [
        ("org/m", "hash0", 0, "a0"),
        ("org/m", "hash0", 1, "b0"),
        ("org/m", "hash1", 0, "a1"),
        ("org/m", "hash1", 1, "b1"),
    ]


def test_lm_eval_of_before_the_named_arguments_is_read(save):
    line = lm_eval_line(0, "none", ["a"], arguments=[["Question", {}]])

    assert read_samples(save("samples.jsonl", line), "lm-eval").frame["prompt"].to_list() == ["Question"]


def test_lm_eval_of_multiple_choice_is_refused(save):
    line = lm_eval_line(0, "none", ["a"], resps=[[["-1.2", "False"]]])

    with pytest.raises(InputError, match="a multiple-choice task, whose responses are likelihoods"):
        read_samples(save("samples.jsonl", line), "lm-eval")


def test_lm_eval_log_gives_every_repeat_as_the_model_wrote_it():
    path = next((LOGS / "lm-eval" / "tiny").glob("samples_own_birds_*.jsonl"))
    frame = read_samples(path, "lm-eval").frame
    written = [json.loads(line) for line in path.read_text().splitlines()]

    assert len(written) == 4  # two prompts, once a filter
    assert frame.height == 6
    assert frame["prompt"].unique().sort().to_list() == [
        "Q: Name a bird.\nA:",
        "Q: Tell a story of one sentence.\nA:",
    ]
    for line in written[:2]:
        assert frame.filter(prompt_id=line["doc_hash"])["output"].to_list() == line["resps"][0]
    assert set(frame.select("checkpoint", "temperature", "max_tokens").rows()) == {("work/tiny", 1.0, 8)}


def test_lm_eval_log_of_multiple_choice_is_refused():
    with pytest.raises(InputError, match="a multiple-choice task, whose responses are likelihoods"):
        read_samples(LOGS / "lm-eval" / "tiny" / "samples_own_choice_*.jsonl", "lm-eval")


def test_lm_eval_takes_the_name_of_the_run_that_wrote_the_samples(save):
    for date, name in (("2026-01-01T00-00-00.1", "old"), ("2026-02-01T00-00-00.1", "new")):
        save(f"m/results_{date}.json", {"model_name": name})
    path = save("m/samples_t_2026-01-01T00-00-00.1.jsonl", lm_eval_line(0, "none", ["a"]))

    assert read_samples(path, "lm-eval").frame["checkpoint"].to_list() == ["old"]


@pytest.mark.parametrize("name", ["own.eval", "own.json"])
def test_inspect_log_gives_an_output_an_epoch_and_choice(name):
    table = read_samples(LOGS / "inspect" / name, "inspect")

    assert [(c, p, i, o[:7]) for c, p, i, o in told(table)] == [
        ("mockllm/model", "2", 0, "Once. l"),
        ("mockllm/model", "2", 1, "Twice."),
        ("mockllm/model", "2", 2, "Thrice."),
        ("mockllm/model", "2", 3, ""),
        ("mockllm/model", "bird", 0, "A wren."),
        ("mockllm/model", "bird", 1, "An owl."),  # and not what was thought before
        ("mockllm/model", "bird", 2, "A wren."),
        ("mockllm/model", "bird", 3, "A kite."),
    ]
    assert table.frame["output"][0] == "Once. " + "long " * 40  # kept apart in the file, as an attachment
    assert table.frame["finish_reason"].to_list() == ["stop", "stop", "length", "length"] + ["stop"] * 4
    assert table.frame["prompt"][0] == "Be brief.\nTell a story of one sentence."
    assert table.frame["output_tokens"].null_count() == 8  # told for both choices together


def inspect_log():
    return json.loads((LOGS / "inspect" / "own.json").read_text())


def test_inspect_log_of_a_run_that_failed_is_refused(save):
    with pytest.raises(InputError, match="the run ended with 'error': run it to its end"):
        read_samples(save("log.json", inspect_log() | {"status": "error"}), "inspect")


def test_samples_that_failed_are_left_out_counted_and_told(save):
    log = inspect_log()
    log["samples"][0]["error"] = {"message": "the server went away"}
    log["plan"]["config"]["temperature"] = 0.5
    log["eval"]["model_generate_config"] = {"temperature": 0.7, "max_tokens": 9}
    path = save("log.json", log)

    with pytest.warns(UserWarning, match=r"log.json: 1 of 7 samples ended in an error and are left out"):
        table = read_samples(path, "inspect")
    assert table.provenance["imported"] == {"format": "inspect", "file": "log.json", "failed": 1}
    assert len(table) == 6
    assert set(table.frame.select("temperature", "max_tokens").rows()) == {(0.7, 9)}


@pytest.mark.parametrize("names", [("doc", "model_response"), ("__doc__", "__model_response__")])
def test_lighteval_details_are_read(tmp_path, names):
    folder = tmp_path / "details" / "org" / "m" / "2026-01-01"
    folder.mkdir(parents=True)
    doc = {"query": "q", "choices": ["x"], "gold_index": 0, "id": "7", "task_name": "t"}
    said = {"input": "q", "text": ["<think>a</think>a", "b"], "text_post_processed": ["a", "b"], "output_tokens": [[1]]}
    pl.DataFrame([{names[0]: doc, "metric": {"em": 0.0}, names[1]: said}]).write_parquet(folder / "details_t.parquet")

    assert told(read_samples(folder / "details_t.parquet", "lighteval")) == [
        ("org/m", "7", 0, "a"),
        ("org/m", "7", 1, "b"),
    ]


def test_details_of_lighteval_give_every_sample_without_its_reasoning():
    frame = read_samples(next((LOGS / "lighteval").rglob("*.parquet")), "lighteval").frame

    assert frame.select("checkpoint", "prompt_id", "sample_index", "output", "prompt").rows() == [
        ("own/tiny", "0", 0, "A wren.", "Name a bird."),
        ("own/tiny", "0", 1, "An owl.", "Name a bird."),
        ("own/tiny", "1", 0, "Once.", "Tell a story of one sentence."),
        ("own/tiny", "1", 1, "Twice.", "Tell a story of one sentence."),
    ]


def test_human_eval_samples_and_results_are_read(save):
    path = save("m.jsonl", *({"task_id": "HumanEval/0", "completion": c, "passed": c == "b"} for c in "ab"))
    frame = read_samples(path, "human-eval").frame

    assert frame.select("checkpoint", "domain", "output", "valid").rows() == [
        ("m", "code", "a", False),
        ("m", "code", "b", True),
    ]


def test_files_of_human_eval_are_read_with_the_prompts_of_its_problems():
    folder = LOGS / "human-eval"
    results = read_samples(folder / "own.jsonl_results.jsonl", "human-eval", prompts_from=folder / "problems.jsonl")
    packed = read_samples(folder / "own.jsonl.gz", "human-eval")

    assert results.frame.select("prompt_id", "sample_index", "output", "valid", "prompt").rows() == [
        ("Own/0", 0, "    return a + b\n", True, "def add(a, b):\n"),
        ("Own/0", 1, "    return b\n", False, "def add(a, b):\n"),
        ("Own/1", 0, "    return a * b\n", True, "def times(a, b):\n"),
        ("Own/1", 1, "    return", False, "def times(a, b):\n"),
    ]
    assert told(results) == told(packed)
    assert results.provenance["imported"]["prompts"] == "problems.jsonl"


def test_evalplus_samples_results_and_folders_are_read(save, tmp_path):
    tried = {"task_id": "HumanEval/0", "solution": "def f(): ...", "base_status": "pass", "plus_status": "fail"}
    results = save("m_eval_results.json", {"date": "d", "hash": "h", "eval": {"HumanEval/0": [tried, tried]}})
    lines = save("m.jsonl", {"task_id": "HumanEval/0", "solution": "def f(): ..."})
    for k in (0, 1, 10, 2):
        save(f"run/HumanEval_0/{k}.py", k)

    assert read_samples(results, "evalplus").frame["valid"].to_list() == [False, False]
    assert [p for _, p, _, _ in told(read_samples(lines, "evalplus"))] == ["HumanEval/0"]
    assert [o for *_, o in told(read_samples(tmp_path / "run", "evalplus"))] == ["0", "1", "2", "10"]


def test_alpaca_eval_outputs_of_several_seeds_are_samples(save, tmp_path):
    for seed in (1, 2):
        rows = [{"dataset": "d", "instruction": "i", "output": f"o{seed}", "generator": "g"}]
        save(f"seed{seed}/model_outputs.json", rows)

    assert [(c, i, o) for c, _, i, o in told(read_samples(tmp_path / "*" / "model_outputs.json", "alpaca-eval"))] == [
        ("g", 0, "o1"),
        ("g", 1, "o2"),
    ]


def batch_line(own, body, **more):
    return {"id": "b", "custom_id": own, "response": {"status_code": 200, "body": body}, "error": None, **more}


def test_openai_batch_gives_every_choice_and_joins_numbered_requests(save):
    def chat(*contents):
        choices = [
            {"index": i, "message": {"role": "assistant", **c}, "finish_reason": "stop"} for i, c in enumerate(contents)
        ]
        return {"id": "c", "model": "m", "choices": choices, "usage": {}}

    part = {"type": "message", "content": [{"type": "output_text", "text": "e"}]}
    path = save(
        "out.jsonl",
        batch_line("p#1", chat({"content": "a"}, {"content": "b"})),
        batch_line("p#0", chat({"content": None, "refusal": "no"}) | {"usage": {"completion_tokens": 7}}),
        batch_line("q", {"model": "m", "choices": [{"text": "d", "finish_reason": "length"}]}),
        batch_line("r", {"model": "m", "output": [{"type": "reasoning"}, part], "usage": {"output_tokens": 3}}),
        batch_line("s", {}, error={"code": "x"}),
        batch_line("t", None, response={"status_code": 500, "body": {"error": {}}}),
    )
    with pytest.warns(UserWarning, match="2 of 7 samples ended in an error"):
        table = read_samples(path, "openai-batch")

    assert [(p, i, o) for _, p, i, o in told(table)] == [
        ("p", 0, "a"),
        ("p", 1, "b"),
        ("p", 2, "no"),
        ("q", 0, "d"),
        ("r", 0, "e"),
    ]
    assert table.frame["output_tokens"].to_list() == [None, None, 7, None, 3]
    assert table.provenance["imported"]["failed"] == 2


def asked_line(own, body):
    return {"custom_id": own, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", **body}}


def said(own, text):
    message = {"role": "assistant", "content": text}
    return batch_line(own, {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def test_prompts_of_a_batch_come_from_its_input_and_equal_ones_are_one_prompt(save):
    story = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell."}]}
    asked = save(
        "in.jsonl",
        asked_line("r1", story),
        asked_line("r2", story),
        asked_line("b#0", {"prompt": "A bird:"}),
        asked_line("b#1", {"prompt": "A bird:"}),
        asked_line("c", {"input": "Why?"}),
    )
    answers = [said("r2", "two"), said("b#0", "wren"), said("r1", "one"), said("b#1", "owl")]
    with pytest.warns(UserWarning, match=r"1 of 4 prompts of .*in.jsonl have no output \(the first: 'c'\)"):
        frame = read_samples(save("out.jsonl", *answers), "openai-batch", prompts_from=asked).frame

    assert frame.select("prompt_id", "sample_index", "output", "prompt").rows() == [
        ("b", 0, "wren", "A bird:"),
        ("b", 1, "owl", "A bird:"),
        ("r1", 0, "two", "Be brief.\nTell."),
        ("r1", 1, "one", "Be brief.\nTell."),
    ]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ([asked_line("x", {"prompt": "p"})], "in.jsonl: has no prompt of the id 'r' .1 are missing"),
        ([asked_line("r#0", {"prompt": "p"}), asked_line("r#1", {"prompt": "q"})], "the id 'r' has two prompts"),
        ([{"a": 1}], r"no column of ids \(it has: a\): name them prompt_id and prompt"),
        ([{"id": "r"}], "no column of prompts"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(save, asked, reason):
    path = save("out.jsonl", said("r", "a"))

    with pytest.raises(InputError, match=reason):
        read_samples(path, "openai-batch", prompts_from=save("in.jsonl", *asked))


def test_prompts_of_a_log_that_holds_them_are_not_taken_from_elsewhere(save):
    with pytest.raises(InputError, match="holds prompts itself: leave out --prompts-from"):
        read_samples(
            LOGS / "inspect" / "own.eval", "inspect", prompts_from=save("in.jsonl", {"id": "a", "prompt": "b"})
        )


@pytest.mark.parametrize("name", ["plain", "chat"])
def test_completions_of_trl_are_a_checkpoint_a_step_and_four_a_prompt(name):
    folder = LOGS / "trl" / name / "completions"
    frame = read_samples(folder / "*.parquet", "trl").frame
    first = pl.read_parquet(folder / "completions_00001.parquet")
    texts = first["completion"] if name == "plain" else first["completion"].list.first().struct.field("content")

    assert frame.group_by("checkpoint", "prompt").len().sort("checkpoint", "prompt").rows() == [
        (f"{name}@1", "Name a bird.", 4),
        (f"{name}@1", "Tell a story of one sentence.", 4),
        (f"{name}@2", "Name a bird.", 4),
        (f"{name}@2", "Tell a story of one sentence.", 4),
    ]
    assert sorted(frame.filter(checkpoint=f"{name}@1")["output"]) == sorted(texts)


def test_trl_completions_are_a_checkpoint_a_step(tmp_path):
    folder = tmp_path / "run" / "completions"
    folder.mkdir(parents=True)
    for step in (10, 20):
        frame = pl.DataFrame({"step": step, "prompt": ["p", "p"], "completion": ["a", "b"], "reward": [0.0, 1.0]})
        frame.write_parquet(folder / f"completions_{step:05d}.parquet")

    assert [(c, i, o) for c, _, i, o in told(read_samples(folder / "*.parquet", "trl"))] == [
        ("run@10", 0, "a"),
        ("run@10", 1, "b"),
        ("run@20", 0, "a"),
        ("run@20", 1, "b"),
    ]


def test_vllm_outputs_are_read(save):
    said = [{"index": i, "text": t, "token_ids": [1, 2], "finish_reason": "stop"} for i, t in enumerate("ab")]
    frame = read_samples(save("a.jsonl", {"request_id": "0", "prompt": "p", "outputs": said}), "vllm").frame

    assert frame.select("output", "output_tokens").rows() == [("a", 2), ("b", 2)]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", ['{"unknown": 1}', "[1]", "{"])
def test_log_of_another_form_is_refused_in_one_line(tmp_path, name, content):
    path = tmp_path / ("a.parquet" if name in {"lighteval", "trl"} else "a.jsonl")
    path.write_text(content)

    with pytest.raises(InputError) as error:
        read_samples(path, name)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)

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

REAL = Path(__file__).parent / "data" / "imports"  # written by datasets 5.2 and inspect_ai 0.3.285
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
        REAL / "dataset",
    ]


def test_every_kind_of_file_gives_the_same_samples(tmp_path):
    found = {path.name: told(read_samples(path, "table")) for path in files(tmp_path)}
    dataset = found.pop("dataset")

    assert len({str(rows) for rows in found.values()}) == 1
    assert sorted(o for *_, o in dataset) == ["A wren.", "Once.", "Twice."]
    assert [(i, o) for _, _, i, o in found["a.csv"]] == [(0, "Once."), (1, "Twice."), (0, "A wren.")]


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


@pytest.mark.parametrize("name", ["inspect.eval", "inspect.json"])
def test_inspect_log_gives_an_output_an_epoch(name):
    table = read_samples(REAL / name, "inspect")

    assert [(c, p, i, o[:7]) for c, p, i, o in told(table)] == [
        ("mockllm/model", "2", 0, "A wren."),
        ("mockllm/model", "2", 1, "An owl."),
        ("mockllm/model", "s1", 0, "Once."),
        ("mockllm/model", "s1", 1, "Twice. "),
    ]
    assert table.frame["output"][3].endswith("long long ")
    assert table.frame["finish_reason"].to_list() == ["stop", "length", "stop", "stop"]
    assert table.frame["prompt"][0] == "Name a bird."


def test_inspect_log_of_a_run_that_failed_is_refused(save):
    log = json.loads((REAL / "inspect.json").read_text())

    with pytest.raises(InputError, match="the run ended with 'error': run it to its end"):
        read_samples(save("log.json", log | {"status": "error"}), "inspect")


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


def test_human_eval_samples_and_results_are_read(save):
    path = save("m.jsonl", *({"task_id": "HumanEval/0", "completion": c, "passed": c == "b"} for c in "ab"))
    frame = read_samples(path, "human-eval").frame

    assert frame.select("checkpoint", "domain", "output", "valid").rows() == [
        ("m", "code", "a", False),
        ("m", "code", "b", True),
    ]


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
        batch_line("p#0", chat({"content": None, "refusal": "no"})),
        batch_line("q", {"model": "m", "choices": [{"text": "d", "finish_reason": "length"}]}),
        batch_line("r", {"model": "m", "output": [{"type": "reasoning"}, part]}),
        batch_line("s", {}, error={"code": "x"}),
    )

    assert [(p, i, o) for _, p, i, o in told(read_samples(path, "openai-batch"))] == [
        ("p", 0, "a"),
        ("p", 1, "b"),
        ("p", 2, "no"),
        ("q", 0, "d"),
        ("r", 0, "e"),
    ]


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

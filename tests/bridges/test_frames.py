"""Samples to and from datasets and pandas, and `evaluate`'s manner of asking."""

import polars as pl
import pytest

import diversity
from diversity.bridges import evaluate as bridge
from diversity.errors import InputError

TOLD = {"prompt": ["Go.", "Stay."], "completions": [["A cat sat.", "A dog ran."], ["It rained.", "It rained."]]}


def test_compute_gives_the_numbers_of_score():
    found = bridge.compute(TOLD["completions"], references=None, metrics=["lexical.similarity", "distinct_1"])
    # Words and signs: of 8, "a" and "." are twice there; of 6, three are.
    assert found["distinct_1"] == pytest.approx((6 / 8 + 3 / 6) / 2, abs=0.07)
    rows = [("x", "text", p, k, t) for p, ts in enumerate(TOLD["completions"]) for k, t in enumerate(ts)]
    frame = pl.DataFrame(rows, schema=["checkpoint", "domain", "prompt_id", "sample_index", "output"], orient="row")
    s = diversity.score(frame, metrics=["lexical.similarity"], conditions=["all"]).frame["value"].mean()
    assert found["lexical.effective"] == pytest.approx(16 / (1 + 15 * s))


def test_the_example_of_the_page_runs():
    import re
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "bridges.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- executed by .*? -->\n```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(code.replace("\ncompute(", "\nfound = compute("), names)
    assert set(names["found"]) == {"lexical.effective", "syntactic.effective"}


def test_compute_refuses_texts_that_stand_in_no_list():
    with pytest.raises(InputError, match="give a list of outputs for each prompt"):
        bridge.compute(["one", "two"])


def test_a_dataset_with_lists_of_outputs_becomes_samples_and_goes_back():
    datasets = pytest.importorskip("datasets")
    from diversity.bridges.datasets import from_dataset, to_dataset

    told = datasets.Dataset.from_dict(TOLD)
    samples = from_dataset(told, domain="story", checkpoint="sft")
    assert samples.frame.select("checkpoint", "domain", "sample_index").rows()[:2] == [
        ("sft", "story", 0),
        ("sft", "story", 1),
    ]
    assert sorted(samples.frame["output"]) == ["A cat sat.", "A dog ran.", "It rained.", "It rained."]
    back = to_dataset(samples)
    assert back.num_rows == 4
    assert set(back.column_names) >= {"checkpoint", "domain", "prompt_id", "sample_index", "output", "prompt"}
    again = from_dataset(back)
    assert again.frame.equals(samples.frame)
    # A shuffle is kept as indices beside the table; the selection must be what is read.
    assert sorted(from_dataset(told.select([1]), domain="story").frame["output"]) == ["It rained."] * 2
    with pytest.raises(InputError, match=r"2 splits .train, test.: give one"):
        from_dataset(datasets.DatasetDict(train=told, test=told))


def test_a_pandas_frame_becomes_samples_and_goes_back():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    from diversity.bridges.pandas import from_pandas, to_pandas

    told = pd.DataFrame({"ask": ["Go.", "Go."], "said": ["One.", "Two."]}, index=[7, 9])
    samples = from_pandas(told, columns={"ask": "prompt", "said": "output"})
    assert samples.frame["output"].to_list() == ["One.", "Two."]
    back = to_pandas(samples)
    assert list(back["output"]) == ["One.", "Two."]
    assert from_pandas(back).frame.equals(samples.frame)


def test_the_module_for_evaluate_computes_the_same():
    pytest.importorskip("evaluate")
    module = bridge.load(metrics=["distinct_1"])
    assert module.compute(predictions=TOLD["completions"]) == bridge.compute(
        TOLD["completions"], metrics=["distinct_1"]
    )

"""The metric over epochs in a real evaluation of inspect_ai, with a model that says what it is told to say."""

import pytest

pytest.importorskip("inspect_ai")

import inspect_ai
from inspect_ai import Epochs, Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import accuracy, includes

from diversity.bridges.evaluate import compute
from diversity.bridges.inspect_ai import effective_number, valid_output

SAID = ["A cat sat on the mat.", "A dog ran in the park.", "A cat sat on the bed.", "It rained all night."]
pytestmark = pytest.mark.filterwarnings("ignore")  # inspect_ai's own, of its event loop


def evaluated(tmp_path, scorer, metrics=None, epochs=4):
    outputs = [ModelOutput.from_content("mockllm/model", text) for text in SAID * 2]
    for output in outputs:
        output.usage = ModelUsage(input_tokens=1, output_tokens=1)  # else it looks for a tokenizer on the network
    model = get_model("mockllm/model", custom_outputs=outputs)
    task = Task(
        dataset=[Sample(id=name, input=f"{name}?", target="cat") for name in ("one", "two")],
        scorer=scorer,
        metrics=metrics,
        epochs=Epochs(epochs, "mean"),
    )
    (log,) = inspect_ai.eval(task, model=model, log_dir=str(tmp_path), display="none", max_connections=1, max_samples=1)
    assert log.status == "success", log.error.message
    return log


def numbers(log):
    return {name: metric.value for score in log.results.scores for name, metric in score.metrics.items()}


def test_the_scorer_tells_validity_and_the_metric_reads_every_epoch(tmp_path):
    log = evaluated(tmp_path, valid_output(domain="text"))
    found = numbers(log)
    assert found["mean"] == 1.0
    outputs = {}
    for sample in log.samples:
        outputs.setdefault(sample.id, []).append(sample.output.completion)
    assert {len(texts) for texts in outputs.values()} == {4}
    expected = compute(list(outputs.values()))
    assert found["lexical"] == pytest.approx(expected["lexical.effective"])
    assert found["syntactic"] == pytest.approx(expected["syntactic.effective"])


def test_the_metric_stands_beside_a_scorer_of_inspect(tmp_path):
    found = numbers(evaluated(tmp_path, includes(), [accuracy(), effective_number(facets=["lexical"])]))
    assert 0 < found["accuracy"] < 1
    assert 1 < found["lexical"] < 16

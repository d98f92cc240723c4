"""The callback in real runs of tiny models: DPO, GRPO, and SFT of an adapter."""

import re
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("trl")

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

import diversity
from diversity import trainer as module
from diversity.errors import InputError

pytestmark = pytest.mark.model
ROOT = Path(__file__).parents[1]
QUIET = {
    "use_cpu": True,
    "report_to": [],
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-2,
    "logging_steps": 2,
    "save_strategy": "no",
    "seed": 3,
    "bf16": False,
}
CHEAP = {"n": 3, "prompts": 10, "max_tokens": 8, "facets": ["lexical"], "share": 1.0}
PAIRS = [{"prompt": f"Write {i}.", "chosen": f" a dog {i}", "rejected": f" the story {i}"} for i in range(16)]


@pytest.fixture(scope="module")
def model_folder(build_model, tmp_path_factory):
    """A tiny model that draws random numbers while it is trained: with dropout."""
    import json

    folder = build_model(tmp_path_factory.mktemp("models") / "dropping")
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"attention_dropout": 0.2}))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def dpo(model_folder, tmp_path):
    """Give a function that makes a DPO trainer."""

    def make(out="out", **options):
        args = DPOConfig(output_dir=str(tmp_path / out), **{**QUIET, "max_steps": 4, **options})
        return DPOTrainer(model=str(model_folder), args=args, train_dataset=Dataset.from_list(PAIRS))

    return make


def logged(trainer, key):
    return {entry["step"]: entry[key] for entry in trainer.state.log_history if key in entry}


def weights(trainer):
    return torch.cat([w.detach().flatten() for w in trainer.model.parameters()])


def test_a_dpo_run_is_measured_and_is_the_run_that_it_would_have_been(dpo, model_folder):
    alone = dpo("alone")
    alone.train()
    trainer = dpo()
    callback = diversity.DiversityCallback(trainer, ["story"], every=2, **CHEAP)
    trainer.add_callback(callback)
    trainer.train()

    assert torch.equal(weights(trainer), weights(alone))
    assert logged(trainer, "loss") == logged(alone, "loss")
    assert trainer.model.training

    facet = logged(trainer, "diversity/story/lexical")
    assert set(facet) == {0, 2, 4}
    assert all(1 <= value <= 16 for value in facet.values())
    shift = logged(trainer, "diversity/story/lexical_shift")
    low, high = (logged(trainer, f"diversity/story/lexical_shift_{end}") for end in ("low", "high"))
    assert set(shift) == {2, 4}
    for step, value in shift.items():
        assert value == pytest.approx(facet[step] / facet[0] - 1, rel=1e-6)
        assert low[step] <= value <= high[step]
    assert set(logged(trainer, "diversity/story/words")) == {0, 2, 4}
    assert all(0 < s < 1 for s in logged(trainer, "diversity/time_share").values())

    # The same noise as a run from the files: step 0 is that checkpoint, to the letter.
    store = Path(trainer.args.output_dir) / "diversity"
    first = diversity.read_samples(store / "step-000000").frame
    onfile = diversity.sample(str(model_folder), domains=["story"], n=3, prompts=10, max_tokens=8).frame
    assert first["output"].to_list() == onfile["output"].to_list()
    last = diversity.read_samples(store / "step-000004").frame
    assert first["output"].to_list() != last["output"].to_list()
    assert set(last["stage"]) == {"step 4"}
    kept = diversity.Shift.read(store / "shift-000004.json")
    assert kept.verdicts().equals(callback.shift.verdicts())
    assert (kept.pre, kept.post) == ("step-000000", "step-000004")


def test_a_policy_that_fails_stops_the_run_and_saves_a_checkpoint(dpo):
    trainer = dpo(max_steps=6)
    seen = []

    def narrowed(shift):
        seen.append(shift.post)
        return "too alike" if shift.post == "step-000002" else None

    callback = diversity.DiversityCallback(
        trainer, "story", every=1, policy=narrowed, stop=True, save=True, store=Path(trainer.args.output_dir), **CHEAP
    )
    trainer.add_callback(callback)
    trainer.train()
    assert seen == ["step-000000 (post)", "step-000001", "step-000002"]  # it is tried before the training begins
    assert trainer.state.global_step == 2
    assert logged(trainer, "diversity/policy_failures") == {1: 0, 2: 1}
    assert (Path(trainer.args.output_dir) / "checkpoint-2").is_dir()

    again = dpo(max_steps=3)
    again.add_callback(
        diversity.DiversityCallback(again, "story", every=1, store=Path(trainer.args.output_dir), **CHEAP)
    )
    with pytest.raises(InputError, match="holds the samples of another run: give another store, or delete it"):
        again.train()
    again.train(resume_from_checkpoint=str(Path(trainer.args.output_dir) / "checkpoint-2"))
    assert set(logged(again, "diversity/story/lexical_shift")) == {1, 2, 3}  # the first two are of the first run


def test_a_measurement_that_would_exceed_its_share_of_the_time_is_skipped_and_said(dpo, monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(module, "_clock", lambda: now[0])
    trainer = dpo(max_steps=6)
    callback = diversity.DiversityCallback(trainer, "story", every=1, **{**CHEAP, "share": 0.24})
    sampled, stepped = callback._sampled, callback.on_step_end

    def slow(step, given):
        now[0] += 10
        return sampled(step, given)

    def on_step_end(*args, **kwargs):
        now[0] += 18
        return stepped(*args, **kwargs)

    monkeypatch.setattr(callback, "_sampled", slow)
    monkeypatch.setattr(callback, "on_step_end", on_step_end)
    trainer.add_callback(callback)
    trainer.train()
    # A step takes 18 s and a measurement 10: at step 4 two of them are 20 of 92 s, at step 5 three would be 30 of 120.
    assert set(logged(trainer, "diversity/story/lexical_shift")) == {4, 6}
    assert logged(trainer, "diversity/time_share")[4] == pytest.approx(20 / 92)
    (told,) = (r.message for r in caplog.records if r.levelname == "WARNING" and "not measured" in r.message)
    assert "at step 1: it took 10 s of 28 s, and 10 s more would exceed the share of 0.24" in told


def length(completions, **_):
    return [float(len(c)) for c in completions]


def test_a_grpo_run_measures_a_domain_and_its_own_completions(model_folder, tmp_path):
    kept = diversity.Completions(length, domain="story")
    args = GRPOConfig(
        output_dir=str(tmp_path),
        **QUIET | {"per_device_train_batch_size": 4, "max_steps": 4, "logging_steps": 1},
        num_generations=4,
        max_completion_length=8,
        log_completions=True,
        num_completions_to_print=0,
    )
    prompts = Dataset.from_list([{"prompt": "Write a story."}, {"prompt": "Write of a dog."}])
    trainer = GRPOTrainer(model=str(model_folder), reward_funcs=kept, args=args, train_dataset=prompts)
    trainer.add_callback(diversity.DiversityCallback(trainer, ["story"], every=2, completions=kept, **CHEAP))
    trainer.train()

    assert set(logged(trainer, "rewards/length/mean")) == {1, 2, 3, 4}
    assert set(logged(trainer, "diversity/story/lexical_shift")) == {2, 4}
    own = logged(trainer, "diversity/completions/lexical")
    assert set(own) == {2, 4}
    # Both prompts come again in steps 3 and 4, and are compared with the first time.
    assert set(logged(trainer, "diversity/completions/lexical_shift")) == {4}
    # What was kept is what the trainer itself has recorded.
    found = diversity.read_samples(tmp_path / "diversity" / "completions-000004.parquet").frame
    theirs = pl.concat(
        diversity.read_samples(
            tmp_path / "completions" / f"completions_{step:05d}.parquet", "trl", domain="story"
        ).frame
        for step in (3, 4)
    )
    assert found.height == 8
    assert sorted(found["output"]) == sorted(theirs["output"])
    alone = diversity.score(found, metrics=["lexical.similarity"], conditions=["all"]).frame["value"].mean()
    assert own[4] == pytest.approx(16 / (1 + 15 * alone))


def test_an_adapter_is_sampled_as_it_is_trained(model_folder, tmp_path):
    from peft import LoraConfig

    texts = Dataset.from_list([{"text": "a dog a dog a dog"}] * 8)
    options = {"output_dir": str(tmp_path), "max_length": 16, "max_steps": 4}
    args = SFTConfig(**QUIET | options | {"learning_rate": 0.3, "save_strategy": "steps", "save_steps": 4})
    lora = LoraConfig(r=4, target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM")
    trainer = SFTTrainer(model=str(model_folder), args=args, train_dataset=texts, peft_config=lora)
    callback = diversity.DiversityCallback(trainer, ["story"], every=4, **CHEAP)
    trainer.add_callback(callback)
    trainer.train()
    live = diversity.read_samples(tmp_path / "diversity" / "step-000004").frame
    saved = diversity.sample(str(tmp_path / "checkpoint-4"), domains=["story"], n=3, prompts=10, max_tokens=8).frame
    first = diversity.read_samples(tmp_path / "diversity" / "step-000000").frame
    assert live["output"].to_list() == saved["output"].to_list()
    assert live["output"].to_list() != first["output"].to_list()


def test_the_examples_of_the_guide_run(model_folder, tmp_path):
    page = (ROOT / "docs" / "trainer.md").read_text(encoding="utf-8")
    first, second = re.findall(r"<!-- executed by .*? -->\n```python\n(.*?)```", page, re.DOTALL)
    names = {
        "preferences": Dataset.from_list(PAIRS),
        "prompts": Dataset.from_list([{"prompt": "Write a story."}] * 4),
        "reward": length,
        "options": QUIET | {"max_steps": 2, "per_device_train_batch_size": 4},
        "cheap": CHEAP | {"every": 1},
        "GRPOTrainer": GRPOTrainer,
    }
    names["config"] = GRPOConfig(
        output_dir=str(tmp_path / "grpo"), **names["options"], num_generations=4, max_completion_length=8
    )
    for code, end in ((first, ""), (second, "trainer.train()")):
        code = code.replace("path/to/sft", str(model_folder)).replace("runs/dpo", str(tmp_path / "dpo"))
        code = code.replace('/dpo"', '/dpo", **options').replace("every=100, n=8, prompts=20, share=0.05", "**cheap")
        exec(f"{code.replace('every=50', 'every=1')}\n{end}", names)
    assert set(logged(names["trainer"], "diversity/completions/lexical")) == {1, 2}
    assert names["callback"].shift.post == "step-000002"


def test_completions_keep_the_last_group_of_a_prompt_and_the_first():
    kept = diversity.Completions(domain="story")

    class At:
        def __init__(self, step):
            self.global_step = step

    ask = [{"role": "user", "content": "Go."}]
    for step, texts in ((0, ["a", "b"]), (5, ["c", "d"]), (5, ["e", "f"])):
        said = [[{"role": "assistant", "content": text}] for text in texts]
        assert kept(prompts=[ask, ask], completions=said, trainer_state=At(step)) == [0.0, 0.0]
    first, last = kept.pair("now")
    assert first.frame["output"].to_list() == ["a", "b"]
    assert last.frame["output"].to_list() == ["c", "d", "e", "f"]
    assert set(last.frame["prompt"]) == {"Go."}
    assert kept.samples("now", since=6) is None


def test_what_is_kept_of_completions_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "KEPT_COMPLETIONS", 6)
    kept = diversity.Completions(domain="story")
    for step in range(9):
        kept(prompts=[f"p{step}"] * 2, completions=["a", "b"])
    assert set(kept.samples("now").frame["prompt"]) == {"p6", "p7", "p8"}
    assert set(kept._first) == {module.prompt_name(f"p{i}") for i in range(3)}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"every": 0}, "every is 0: give 1 step or more"),
        ({"share": 0}, "share is 0: give a share"),
        ({"stop": True}, "give a policy"),
        ({"domains": []}, "no domain is named and no completions are given"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_training(wrong, said):
    with pytest.raises(InputError, match=said):
        diversity.DiversityCallback(None, **{"domains": ["story"], **wrong})


def test_of_a_policy_of_the_gate_only_broken_rules_count(make_samples):
    pytest.importorskip("diversity.gate")
    limits = {"max_narrowing": "15 %"}
    policy = {"domains": {"story": {"lexical": limits, "semantic": limits}, "code": {"lexical": limits}}}
    callback = diversity.DiversityCallback(None, ["story"], policy=policy, stop=True)
    many = ["The tide took the letters.", "My aunt kept bees.", "Seven maps hung there.", "He sold umbrellas."]
    pre = make_samples(many, checkpoint="step-000000", prompts=24)
    for texts, broken in ((many[:1], ["story: wording may narrow by at most 15 %"]), (many, [])):
        post = make_samples(texts, checkpoint="step-000100", prompts=24)
        shift = diversity.compare(pre, post, metrics=["lexical.similarity", "guard"])
        assert [
            failure[: len("story: wording may narrow by at most 15 %")] for failure in callback._failures(shift)
        ] == broken


def test_weights_that_are_spread_over_processes_are_refused(dpo):
    trainer = dpo(max_steps=1)
    next(trainer.model.parameters()).ds_id = 0  # as DeepSpeed marks them
    trainer.add_callback(diversity.DiversityCallback(trainer, "story", **CHEAP))
    with pytest.raises(InputError, match=r"sharded over processes .DeepSpeed ZeRO-3."):
        trainer.train()


TWO_PROCESSES = """
import sys
from pathlib import Path
from datasets import Dataset
from trl import DPOConfig, DPOTrainer
import diversity

folder, out = sys.argv[1:]
pairs = Dataset.from_list({pairs!r})
args = DPOConfig(output_dir=out, **{options!r})
trainer = DPOTrainer(model=folder, args=args, train_dataset=pairs)
asked = []
def policy(shift):
    asked.append(shift.post[:11])
    return "too alike" if shift.post == "step-000004" else None
callback = diversity.DiversityCallback(trainer, ["story"], every=2, policy=policy, stop=True, **{cheap!r})
trainer.add_callback(callback)
trainer.train()
rank = trainer.accelerator.process_index
told = [e["step"] for e in trainer.state.log_history if "diversity/story/lexical_shift" in e]
Path(out, f"rank-{{rank}}").write_text(f"{{trainer.state.global_step}} {{asked}} {{told}}")
"""


@pytest.mark.slow
def test_under_two_processes_the_main_one_samples_and_both_stop(model_folder, tmp_path):
    import os
    import subprocess
    import sys

    options = QUIET | {"max_steps": 8, "ddp_backend": "gloo"}
    script = tmp_path / "run.py"
    script.write_text(TWO_PROCESSES.format(pairs=PAIRS, options=options, cheap=CHEAP), encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *(str(script), str(model_folder), str(tmp_path / "out")),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    main, other = ((tmp_path / "out" / f"rank-{rank}").read_text() for rank in (0, 1))
    assert main == "4 ['step-000000', 'step-000002', 'step-000004'] [2, 4]"
    assert other == "4 [] []"
    assert not list((tmp_path / "out" / "diversity").glob("step-000006"))

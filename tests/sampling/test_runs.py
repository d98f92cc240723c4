"""Runs: prompt files, sweeps, shards, plans, Ctrl-C, and checkpoints that need no model here."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import diversity
from diversity.domains.story import Story
from diversity.errors import InputError, MissingExtra
from diversity.registry import find_domain
from diversity.sampling import Drawn, Request, Settings, noise, open_checkpoint, plan
from diversity.sampling.engine import Engine, parameters
from diversity.tables import read_samples

ASKED = {"domains": ["story"], "n": 3, "prompts": 4, "batch": 2}


class Keyed:
    """A backend whose outputs are the keys of their draws: a wrong seed, prompt or sample shows."""

    name = "keyed"

    def __init__(self, *, is_chat=True):
        self.is_chat, self.seen = is_chat, []

    def identity(self):
        return {"backend": "keyed"}

    def draw(self, requests, settings, max_tokens):
        self.seen.extend(requests)
        return [
            Drawn(f"{noise.key(settings.seed, r.prompt.prompt_id, r.sample_index)} {settings.temperature}", 5, "stop")
            for r in requests
        ]


# Prompt files


@pytest.fixture
def prompt_file(tmp_path):
    def saved(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else "\n".join(map(json.dumps, content)))
        return path

    return saved


def test_prompts_of_a_file_are_asked_in_the_domain_text(prompt_file):
    backend = Keyed()
    path = prompt_file("mine.jsonl", [{"id": "a", "question": "Why?"}, {"id": "b", "question": "How?", "level": 2}])
    samples = diversity.sample(backend, prompts=path, n=2)

    assert samples.frame.select("domain", "prompt_id", "prompt").unique().sort("prompt_id").rows() == [
        ("text", "a", "Why?"),
        ("text", "b", "How?"),
    ]
    assert backend.seen[-1].prompt.details == {"level": 2}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "Why?\n\nHow?\n"),
        ("a.csv", "instruction\nWhy?\nHow?\n"),
        ("a.json", '[{"prompt": "Why?"}, {"prompt": "How?"}]'),
        ("a.jsonl", '{"query": "How?"}\n{"query": "Why?"}'),
    ],
)
def test_set_of_prompts_has_the_same_hash_in_every_kind_of_file_and_in_any_order(prompt_file, name, content):
    samples = diversity.sample(Keyed(), prompts=prompt_file(name, content), n=2)

    assert samples.provenance["domains"]["text"]["prompts_hash"] == "f87fa27cd11b0e21"
    assert set(samples.frame["prompt_id"]) == {"p-8b3bc2f556", "p-5a3f6e69ad"}


def test_file_of_prompts_may_be_asked_in_another_domain(prompt_file):
    path = prompt_file("a.txt", "Write a function that adds.")

    assert set(diversity.sample(Keyed(), domains="code", prompts=path, n=2).frame["domain"]) == {"code"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", "\n \n", "there are no prompts in it"),
        ("a.txt", "Why?\nWhy?", "prompt 2: its id 'p-.*' is there twice"),
        ("a.jsonl", [{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}], "prompt 2: its id 'a' is there twice"),
        ("a.jsonl", [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"}], "prompt 2: its text 'x' is there twice"),
        ("a.jsonl", [{"x": 1}], r"prompt 1: no prompt in it \(columns: x\): name the column 'prompt'"),
        ("a.jsonl", [{"prompt": 1}], "prompt 1: 'prompt' is not a text"),
        ("a.jsonl", [{"prompt": " "}], "prompt 1: 'prompt' is not a text"),
        ("a.jsonl", [{"id": "a"}], "domain 'text' cannot read it"),
        ("none.txt", None, "cannot be read"),
        ("none.jsonl", None, "no such file"),
    ],
)
def test_file_that_is_no_set_of_prompts_is_refused(prompt_file, tmp_path, name, content, reason):
    path = tmp_path / name if content is None else prompt_file(name, content)

    with pytest.raises(InputError, match=reason):
        diversity.sample(Keyed(), prompts=path)


def test_file_of_prompts_goes_with_one_domain(prompt_file):
    with pytest.raises(InputError, match="one file of prompts and 2 domains: give one domain a run"):
        diversity.sample(Keyed(), domains=["code", "story"], prompts=prompt_file("a.txt", "x"))


def test_base_model_may_be_shown_exemplars_of_a_file(prompt_file, tmp_path):
    pairs = [{"prompt": f"Name a {x}.", "output": f"The {x}."} for x in ("bird", "tree", "fish")]
    path = prompt_file("shots.jsonl", pairs)
    backend = Keyed(is_chat=False)
    asked = {**ASKED, "store": tmp_path / "run"}
    own = diversity.sample(Keyed(is_chat=False), **ASKED)
    shown = diversity.sample(backend, **asked, exemplars=path)
    frames = {request.frame() for request in backend.seen}

    assert all(frame.count("###") == 2 and frame.count("Request: Name a ") == 2 for frame in frames)
    assert len({frame.partition("Answer")[0] for frame in frames}) == 3  # they rotate
    asked_of = [table.provenance["domains"]["story"]["exemplars"] for table in (own, shown)]
    assert len(set(asked_of)) == 2
    with pytest.raises(InputError, match=r"other settings \(domains.story.exemplars: "):
        diversity.sample(Keyed(is_chat=False), **asked)
    prompt_file("shots.jsonl", pairs[::-1])
    with pytest.raises(InputError, match="other settings"):
        diversity.sample(Keyed(is_chat=False), **asked, exemplars=path)


def test_one_exemplar_is_shown_once_and_serves_a_domain_that_has_none(prompt_file):
    backend = Keyed(is_chat=False)
    prompts, shots = prompt_file("a.txt", "Why?"), prompt_file("shots.csv", "question,answer\nHow?,So.\n")
    diversity.sample(backend, prompts=prompts, n=2, exemplars=shots)

    assert backend.seen[0].frame() == "Request: How?\nAnswer:\nSo.\n###\nRequest: Why?\nAnswer:\n"
    with pytest.raises(InputError, match="domain 'text' has no exemplars for a base model: give --exemplars"):
        Request(find_domain("text"), backend.seen[0].prompt, 0, 0).frame()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "p"}, r"an exemplar is a prompt and an output \(columns: prompt\): name them so"),
        ({"prompt": "p", "output": " "}, "exemplar 1: its prompt or its output is empty"),
        ({"prompt": "p", "output": "a\n###\nb"}, "exemplar 1: a line of its output is '###' or begins with"),
    ],
)
def test_exemplars_that_cannot_be_shown_are_refused(prompt_file, row, reason):
    with pytest.raises(InputError, match=reason):
        diversity.sample(Keyed(is_chat=False), **ASKED, exemplars=prompt_file("shots.jsonl", [row]))


def test_chat_model_reads_no_exemplars(prompt_file):
    shots = prompt_file("shots.jsonl", [{"prompt": "p", "output": "a"}])

    with pytest.raises(InputError, match="reads no exemplars: drop them, or give --base"):
        diversity.sample(Keyed(), **ASKED, exemplars=shots)


def test_system_prompt_comes_first_and_is_in_the_provenance():
    backend = Keyed()
    samples = diversity.sample(backend, **ASKED, system="Be brief.")

    assert backend.seen[0].chat()[0] == {"role": "system", "content": "Be brief."}
    assert samples.provenance["system"] == "Be brief."
    with pytest.raises(InputError, match="has no system prompt: drop it"):
        diversity.sample(Keyed(is_chat=False), **ASKED, system="Be brief.")


# Sweeps


def test_sweep_keeps_each_temperature_as_a_checkpoint_of_its_own_with_the_same_noise(tmp_path):
    swept = diversity.sample(Keyed(), **ASKED, temperature=[0.2, 1.0], store=tmp_path / "run")
    alone = diversity.sample(Keyed(), **ASKED, temperature=0.2).frame

    assert swept.frame["checkpoint"].unique().sort().to_list() == ["keyed T=0.2", "keyed T=1"]
    assert swept.provenance["settings"]["temperature"] == [0.2, 1.0]
    cold = swept.frame.filter(pl.col("temperature") == 0.2).drop("checkpoint")
    assert_frame_equal(cold, alone.drop("checkpoint"))
    assert len(read_samples(tmp_path / "run")) == 24  # and no warning of a hole


def test_sweep_refuses_a_temperature_that_cannot_be():
    with pytest.raises(InputError, match="temperature is 0: give a value above 0"):
        diversity.sample(Keyed(), **ASKED, temperature=[1.0, 0])
    with pytest.raises(InputError, match="no temperature is given"):
        diversity.sample(Keyed(), **ASKED, temperature=[])


# Shards


def test_shards_fill_one_store_without_a_merge(tmp_path):
    whole = diversity.sample(Keyed(), **ASKED, store=tmp_path / "whole")
    for i in (3, 1, 2):
        diversity.sample(Keyed(), **ASKED, store=tmp_path / "run", shard=(i, 3))
    together = read_samples(tmp_path / "run")

    assert_frame_equal(whole.frame, together.frame)
    assert whole.provenance == together.provenance


def test_a_shard_without_a_batch_is_done(tmp_path):
    # There are 6 batches; the seventh shard is done before the others began.
    assert len(diversity.sample(Keyed(), **ASKED, store=tmp_path / "run", shard=(7, 7))) == 0
    assert len(diversity.sample(Keyed(), **ASKED, store=tmp_path / "run", shard=(1, 7))) == 2


def test_shards_run_at_the_same_time(tmp_path):
    whole = diversity.sample(Keyed(), **ASKED, store=tmp_path / "whole").frame
    meeting = threading.Barrier(2, timeout=10)

    class Meeting(Keyed):
        def draw(self, *given):
            meeting.wait()  # passed only when both draw
            return super().draw(*given)

    threads = [
        threading.Thread(
            target=diversity.sample, args=(Meeting(),), kwargs={**ASKED, "store": tmp_path / "run", "shard": (i, 2)}
        )
        for i in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert_frame_equal(whole, read_samples(tmp_path / "run").frame)


@pytest.mark.parametrize(
    ("shard", "store", "reason"),
    [
        ((0, 2), "run", "shard is 0/2: give i/k with i from 1 to k"),
        ((3, 2), "run", "shard is 3/2"),
        ((1, 2), None, "there is no store: shards meet in one store"),
    ],
)
def test_shard_that_cannot_be_is_refused(tmp_path, shard, store, reason):
    with pytest.raises(InputError, match=reason):
        diversity.sample(Keyed(), **ASKED, shard=shard, store=store and tmp_path / store)


# Plans


def test_plan_counts_what_is_left_and_draws_nothing_into_the_store(tmp_path):
    before = plan(Keyed(), **ASKED, max_tokens=100, store=tmp_path / "run")
    diversity.sample(Keyed(), **ASKED, max_tokens=100, store=tmp_path / "run")
    for part in sorted((tmp_path / "run" / "parts").iterdir())[2:]:
        part.unlink()
    after = plan(Keyed(), **ASKED, max_tokens=100, store=tmp_path / "run")

    assert (before.outputs, before.outputs_left, before.prompts, before.calls) == (12, 12, 4, 6)
    assert (after.outputs_left, after.calls, after.output_tokens_at_most) == (8, 4, 800)
    assert before.prompt_tokens > after.prompt_tokens > 0
    assert len(list((tmp_path / "run" / "parts").iterdir())) == 2
    assert str(after).startswith("8 of 12 outputs to draw, of 3 prompts, in 4 batches: about ")


def test_plan_without_a_trial_gives_no_time():
    backend = Keyed()

    assert plan(backend, **ASKED, trial=False).seconds_at_most is None
    assert backend.seen == []


# Ctrl-C

INTERRUPTED = """
import sys, time, diversity
from diversity.sampling import Drawn
class Slow:
    name, is_chat = "slow", True
    def identity(self): return {}
    def draw(self, requests, settings, max_tokens):
        print("drawing", flush=True)
        time.sleep(0.3)
        return [Drawn("x", 1, "stop") for _ in requests]
try:
    diversity.sample(Slow(), store=sys.argv[1], domains=["story"], n=2, prompts=5, batch=2)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("presses", "parts"), [(1, 1), (2, 0)])
def test_interrupt_finishes_the_batch_in_flight_and_a_second_one_does_not(tmp_path, presses, parts):
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        for _ in range(presses):
            os.kill(child.pid, signal.SIGINT)
            time.sleep(0.1)
        _, said = child.communicate(timeout=20)

    assert child.returncode == 130
    assert b"finishing the batch in flight; press Ctrl-C again to stop at once" in said
    assert len(list((tmp_path / "run" / "parts").iterdir())) == parts


# Recorded samples


def test_recorded_samples_come_back_as_they_were(tmp_path):
    samples = diversity.sample(Keyed(), **ASKED)
    path = samples.write(tmp_path / "old.parquet")
    again = diversity.sample(f"replay:{path}", **ASKED, store=tmp_path / "run")

    assert_frame_equal(samples.frame, again.frame)
    assert again.provenance["identity"]["recorded"].startswith("keyed#")
    assert str(tmp_path) not in json.dumps(dict(again.provenance))


def test_one_of_several_recorded_checkpoints_is_named(tmp_path):
    path = diversity.sample(Keyed(), **ASKED, temperature=[0.5, 1.0]).write(tmp_path / "old.parquet")

    with pytest.raises(InputError, match=r"holds keyed T=0\.5, keyed T=1: name one, replay:"):
        open_checkpoint(f"replay:{path}")
    assert len(diversity.sample(f"replay:{path}:keyed T=1", **ASKED)) == 12
    with pytest.raises(InputError, match="holds no checkpoint 'x': it holds keyed"):
        open_checkpoint(f"replay:{path}:x")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"n": 4}, "holds no sample 3 of prompt 'story-001' of story: ask for fewer, or record them"),
        ({"temperature": 0.5}, "was recorded at temperature 1, not 0.5: ask for that"),
    ],
)
def test_what_was_not_recorded_is_refused(tmp_path, changed, reason):
    path = diversity.sample(Keyed(), **ASKED).write(tmp_path / "old.parquet")

    with pytest.raises(InputError, match=reason):
        diversity.sample(f"replay:{path}", **ASKED | changed)


# vLLM: the arguments that go to it. The engine needs a GPU and is not run here.


def test_vllm_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)

    with pytest.raises(MissingExtra, match="vllm is not installed: pip install vllm, or give the endpoint of a server"):
        open_checkpoint("vllm:org/model")


def test_every_output_asked_of_vllm_has_a_seed_of_its_own():
    story = Story()
    requests = [Request(story, p, k, 0) for p in story.prompts[:3] for k in range(4)]
    asked = [parameters(r, Settings(n=4, top_k=0, min_p=0.1), 32) for r in requests]

    assert len({a["seed"] for a in asked}) == 12
    assert asked == [parameters(r, Settings(n=9, top_k=0, min_p=0.1), 32) for r in requests]
    assert asked[0] | {"seed": 0} == {
        "n": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.1,
        "seed": 0,
        "max_tokens": 32,
    }


def test_vllm_is_asked_by_messages_or_by_frames_and_never_with_the_checkpoints_defaults(monkeypatch):
    """Stands in for the module to see what it is given; nothing is sampled."""
    called = []

    class LLM:
        def __init__(self, **given):
            called.append(given)

        def get_tokenizer(self):
            return SimpleNamespace(chat_template="{{ messages }}")

        def chat(self, messages, params, **more):
            called.append((messages, params, more))
            one = SimpleNamespace(text="x", token_ids=[1, 2], finish_reason="length")
            return [SimpleNamespace(outputs=[one]) for _ in messages]

        generate = chat

    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, lambda **given: given
    module.__spec__ = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "vllm", module)
    story = Story()
    asked = [Request(story, story.prompts[0], k, 0) for k in (0, 1)]
    engine = Engine("org/model", dtype="bfloat16", template={"enable_thinking": False})
    drawn = engine.draw(asked, Settings(n=2), 8)

    assert called[0] == {
        "model": "org/model",
        "dtype": "bfloat16",
        "enable_prefix_caching": True,
        "generation_config": "vllm",
        "seed": 0,
    }
    assert called[1][0] == [r.chat() for r in asked]
    assert called[1][2] == {"use_tqdm": False, "chat_template_kwargs": {"enable_thinking": False}}
    assert drawn == [Drawn("x", 2, "length")] * 2
    assert "stop" not in called[1][1][0]
    Engine("org/model", chat=False).draw(asked, Settings(n=2), 8)
    assert called[-1][0] == [r.frame() for r in asked]
    assert called[-1][1][0]["stop"] == ["\n###\n", "\nRequest: "]

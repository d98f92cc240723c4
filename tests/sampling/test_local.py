"""Sampling from a model in this process: the same seed gives the same table, and what cannot be sampled is said."""

import json
import shutil
import sys
from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import chi2

import diversity
from diversity.domain import FRAME_STOP
from diversity.domains.story import Story
from diversity.errors import InputError, MissingExtra, UnknownName
from diversity.sampling import Drawn, Request, Settings, local, prompt_hash
from diversity.tables import read_samples

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.model

ASKED = {"domains": ["story"], "n": 3, "prompts": 3, "max_tokens": 12}


class Scripted:
    """A backend that returns given texts in turn."""

    name = "scripted"

    def __init__(self, *texts, is_chat=True, reason="length"):
        self.texts, self.is_chat, self.reason, self.requests = texts, is_chat, reason, []

    def identity(self):
        return {"backend": "scripted"}

    def draw(self, requests, settings, max_tokens):
        first = len(self.requests)
        self.requests.extend(requests)
        return [Drawn(self.texts[(first + i) % len(self.texts)], max_tokens, self.reason) for i in range(len(requests))]


@pytest.fixture(scope="module")
def tiny(tiny_model):
    """The tiny model, opened once."""
    return local.Local(str(tiny_model))


@pytest.fixture(scope="module")
def drawn(tiny):
    """What it says to three prompts."""
    return diversity.sample(tiny, **ASKED)


def prompts_read(backend, monkeypatch):
    """Record the texts that reach the model, decoded from its input."""
    texts = []
    generate = backend._model.generate

    def recording(**given):
        decode = backend._tokenizer.decode
        texts.extend(
            decode(row[mask.bool()]) for row, mask in zip(given["input_ids"], given["attention_mask"], strict=True)
        )
        return generate(**given)

    monkeypatch.setattr(backend._model, "generate", recording)
    return texts


# One seed, one table


def test_same_seed_gives_the_same_table_twice(tiny, tiny_model, drawn):
    assert_frame_equal(drawn.frame, diversity.sample(tiny, **ASKED).frame)
    assert_frame_equal(drawn.frame, diversity.sample(tiny_model, **ASKED).frame)


def test_another_seed_gives_other_outputs(tiny, drawn):
    other = diversity.sample(tiny, **ASKED, seed=1)

    assert (other.frame["output"] != drawn.frame["output"]).all()


def test_samples_of_a_prompt_differ_from_each_other(drawn):
    assert drawn.frame.group_by("prompt_id").agg(pl.col("output").n_unique())["output"].to_list() == [3, 3, 3]


@pytest.mark.parametrize("batch", [1, 2, 4, 9])
def test_size_of_the_batch_changes_nothing(tiny, drawn, batch):
    assert_frame_equal(drawn.frame, diversity.sample(tiny, **ASKED, batch=batch).frame)


def test_more_prompts_and_more_samples_leave_the_ones_there_are(tiny, drawn):
    more = diversity.sample(tiny, domains=["story"], n=5, prompts=4, max_tokens=12).frame

    assert_frame_equal(
        drawn.frame,
        more.join(drawn.frame.select("prompt_id", "sample_index"), how="semi", on=["prompt_id", "sample_index"]),
    )


def test_order_of_the_prompts_changes_nothing(tiny):
    story = Story()
    asked = [Request(story, prompt, k, 0) for prompt in story.prompts[:4] for k in range(2)]
    settings = Settings(n=2)

    forward = tiny.draw(asked, settings, 12)
    backward = tiny.draw(asked[::-1], settings, 12)

    assert forward == backward[::-1]


def test_order_of_the_domains_changes_nothing(tiny):
    one = diversity.sample(tiny, domains=["code", "story"], n=2, prompts=2, max_tokens=8)
    two = diversity.sample(tiny, domains=["story", "code"], n=2, prompts=2, max_tokens=8)

    assert_frame_equal(one.frame, two.frame)


def test_store_gives_the_table_that_memory_gives(tiny, drawn, tmp_path):
    kept = diversity.sample(tiny, **ASKED, store=tmp_path / "run")

    assert_frame_equal(drawn.frame, kept.frame)
    assert_frame_equal(drawn.frame, read_samples(tmp_path / "run").frame)


def test_finished_store_is_returned_without_drawing(tiny, drawn, tmp_path, monkeypatch):
    diversity.sample(tiny, **ASKED, store=tmp_path / "run")
    monkeypatch.setattr(tiny, "draw", lambda *_: pytest.fail("drawn again"))

    assert_frame_equal(drawn.frame, diversity.sample(tiny, **ASKED, store=tmp_path / "run").frame)


def test_two_checkpoints_of_equal_weights_share_every_draw(tiny_model, drawn, tmp_path):
    copy = shutil.copytree(tiny_model, tmp_path / "copy")

    assert drawn.frame["output"].to_list() == diversity.sample(copy, **ASKED).frame["output"].to_list()


def test_lower_temperature_narrows_the_outputs(tiny):
    """The likeliest token each time at a temperature near 0: all samples of a prompt are equal."""
    cold = diversity.sample(tiny, **ASKED, temperature=1e-4).frame

    assert cold.group_by("prompt_id").agg(pl.col("output").n_unique())["output"].to_list() == [1, 1, 1]


def test_top_k_of_one_is_greedy_decoding(tiny):
    assert diversity.sample(tiny, **ASKED, top_k=1).frame["output"].to_list() == (
        diversity.sample(tiny, **ASKED, temperature=1e-4).frame["output"].to_list()
    )


def test_generation_defaults_of_the_checkpoint_change_nothing(tiny_model, drawn, tmp_path):
    """transformers fills them into any configuration that leaves them open."""
    copy = shutil.copytree(tiny_model, tmp_path / "tiny")
    (copy / "generation_config.json").write_text(
        json.dumps(
            {
                "do_sample": True,
                "temperature": 0.1,
                "top_k": 1,
                "top_p": 0.1,
                "repetition_penalty": 50.0,
                "no_repeat_ngram_size": 1,
                "suppress_tokens": list(range(40, 200)),
                "forced_bos_token_id": 30,
                "min_new_tokens": 12,
                "max_length": 5,
                "num_beams": 3,
                "eos_token_id": 0,
                "pad_token_id": 0,
            }
        )
    )

    assert_frame_equal(drawn.frame, diversity.sample(copy, **ASKED).frame)


# Marginals


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_first_tokens_are_distributed_as_the_model_says(tiny, temperature):
    """Two temperatures share their noise; each keeps its own distribution.

    The sum over texts of (seen - expected)^2 / expected, texts expected less than 5 times together, is below its 99.9 %
    point; the seed is fixed.
    """
    count, story = 4000, Story()
    requests = [Request(story, story.prompts[0], k, 0) for k in range(count)]
    drawn = pl.Series([d.output for d in tiny.draw(requests, Settings(n=count, temperature=temperature), 1)])
    ids = tiny._tokenizer(tiny._rendered(requests[0]), return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        probabilities = (tiny._model(input_ids=ids).logits[0, -1].double() / temperature).softmax(-1).tolist()
    expected = {}
    for token, probability in enumerate(probabilities):
        text = tiny._tokenizer.decode([token], skip_special_tokens=True)
        expected[text] = expected.get(text, 0) + probability * count
    seen = dict(drawn.value_counts().rows())
    cells = [(seen.get(text, 0), wanted) for text, wanted in expected.items() if wanted >= 5]
    rare = [(seen.get(text, 0), wanted) for text, wanted in expected.items() if wanted < 5]
    cells.append(tuple(map(sum, zip(*rare, strict=True))))

    assert len(cells) > 20
    assert sum((a - b) ** 2 / b for a, b in cells) < chi2.ppf(0.999, len(cells) - 1)


# Precision and device


def test_precision_and_device_are_taken_and_recorded(tiny_model):
    backend = local.Local(str(tiny_model), dtype="bf16", device="cpu")

    assert {k: backend.identity()[k] for k in ("dtype", "device", "quantisation")} == {
        "dtype": "bfloat16",
        "device": "cpu",
        "quantisation": None,
    }
    assert next(backend._model.parameters()).dtype is torch.bfloat16
    assert len(diversity.sample(tiny_model, **ASKED, dtype="bfloat16")) == 9


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"dtype": "int3"}, InputError, "dtype is 'int3': give float32, bfloat16 or float16"),
        ({"device": "abacus"}, InputError, "device 'abacus' cannot be used"),
        ({"concurrency": 2}, InputError, "takes no concurrency: its options are dtype, device, load_in_4bit, template"),
        ({"load_in_4bit": True}, MissingExtra, "bitsandbytes is not installed: pip install bitsandbytes"),
    ],
)
def test_option_that_cannot_be_used_is_refused(tiny_model, monkeypatch, options, error, reason):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)

    with pytest.raises(error, match=reason) as told:
        diversity.sample(tiny_model, **ASKED, **options)
    assert "\n" not in str(told.value)


def test_arguments_reach_the_chat_template_and_the_provenance(build_model, tmp_path):
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{% endfor %}{% if terse %}!{% endif %}"
    folder = build_model(tmp_path / "tiny", template=template)
    backend = local.Local(str(folder), template={"terse": True})
    story = Story()
    request = Request(story, story.prompts[0], 0, 0, "Be brief.")

    assert backend._rendered(request) == f"system: Be brief.user: {story.prompts[0].prompt}!"
    assert backend.identity()["template_arguments"] == {"terse": True}


# What a row says


def test_rows_say_how_they_were_drawn(drawn):
    row = drawn.frame.row(0, named=True)

    assert {
        k: row[k] for k in ("checkpoint", "domain", "prompt_id", "sample_index", "seed", "temperature", "top_p")
    } == {
        "checkpoint": "tiny",
        "domain": "story",
        "prompt_id": "story-001",
        "sample_index": 0,
        "seed": 0,
        "temperature": 1.0,
        "top_p": 1.0,
    }
    assert row["max_tokens"] == 12
    assert row["prompt"] == Story().prompts[0].prompt


def test_finish_reason_is_length_at_the_cap_and_stop_before_it(tiny):
    frame = diversity.sample(tiny, domains=["story"], n=8, prompts=6, max_tokens=48).frame
    by_reason = {reason: rows["output_tokens"] for (reason,), rows in frame.group_by("finish_reason")}

    assert set(by_reason) == {"length", "stop"}
    assert (by_reason["length"] == 48).all()
    assert (by_reason["stop"] < 48).all()


def test_output_that_stops_holds_nothing_behind_its_end(tiny):
    """Rows that end early are padded until the longest of the batch ends."""
    alone = diversity.sample(tiny, domains=["story"], n=8, prompts=6, max_tokens=48, batch=1).frame

    assert_frame_equal(alone, diversity.sample(tiny, domains=["story"], n=8, prompts=6, max_tokens=48, batch=48).frame)


def test_provenance_says_what_a_number_depends_on(drawn, tiny_model):
    provenance = drawn.provenance

    assert provenance["settings"] == {
        "n": 3,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "seed": 0,
    }
    assert provenance["domains"]["story"]["prompts_hash"] == prompt_hash(Story().prompts[:3])
    assert provenance["identity"]["weights"][0].startswith("tiny#")
    assert provenance["is_chat"] is True
    assert str(tiny_model.parent) not in json.dumps(provenance)


def test_other_weights_template_or_stage_cannot_resume_a_store(tiny_model, build_model, tmp_path):
    diversity.sample(tiny_model, **ASKED, store=tmp_path / "run")
    other = build_model(tmp_path / "tiny", seed=1)

    with pytest.raises(InputError, match=r"was sampled with other settings \(identity\.weights: \['tiny#"):
        diversity.sample(other, **ASKED, store=tmp_path / "run")
    with pytest.raises(InputError, match=r"other settings \(stage: None, not 'post'\)"):
        diversity.sample(tiny_model, **ASKED, stage="post", store=tmp_path / "run")
    with pytest.raises(InputError, match=r"domains\.story\.exemplars: None, not '.*identity\.chat_template"):
        diversity.sample(tiny_model, **ASKED, chat=False, store=tmp_path / "run")


def test_progress_counts_outputs_up_to_the_total(tiny):
    told = []
    diversity.sample(tiny, **ASKED, batch=4, progress=lambda *given: told.append(given))

    assert [t[:3] for t in told] == [("sample tiny", 4, 9), ("sample tiny", 8, 9), ("sample tiny", 9, 9)]
    assert [t[3].partition(",")[0] for t in told] == ["1 of 3 prompts", "2 of 3 prompts", "3 of 3 prompts"]
    assert all(t[3].endswith(" tokens/s") for t in told)


def test_folder_that_is_the_current_one_has_its_own_name(tiny_model, monkeypatch):
    monkeypatch.chdir(tiny_model)

    assert local.Local(".").name == "tiny"


# Rendering


def test_chat_model_reads_the_prompt_in_its_template(tiny, monkeypatch):
    texts = prompts_read(tiny, monkeypatch)
    diversity.sample(tiny, **ASKED)

    assert texts[0] == f"<|user|>{Story().prompts[0].prompt}<|end|><|assistant|>"


def test_base_model_reads_two_exemplars_and_the_prompt(tiny_model, monkeypatch):
    base = local.Local(str(tiny_model), chat=False)
    texts = prompts_read(base, monkeypatch)
    diversity.sample(base, **ASKED)

    prompt = Story().prompts[0].prompt
    assert texts[0].count(f"\n{FRAME_STOP}\n") == 2
    assert texts[0].endswith(f"Request: {prompt}\nAnswer:\n")
    assert "<|user|>" not in texts[0]
    assert len(set(texts[:3])) > 1  # the exemplars rotate over the samples of a prompt


def test_model_without_a_template_is_sampled_in_frames(build_model, tmp_path):
    plain = local.Local(str(build_model(tmp_path / "plain", template=None)))

    assert plain.is_chat is False
    assert plain.identity()["chat_template"] is None


def test_chat_is_refused_where_there_is_no_template(build_model, tmp_path):
    folder = build_model(tmp_path / "plain", template=None)

    with pytest.raises(InputError, match="has no chat template: drop --chat to use few-shot frames"):
        diversity.sample(folder, **ASKED, chat=True)


def test_model_without_an_end_or_padding_token_is_sampled_to_the_cap(build_model, tmp_path):
    frame = diversity.sample(build_model(tmp_path / "endless", end=False), **ASKED).frame

    assert frame["output_tokens"].to_list() == [12] * 9
    assert frame["finish_reason"].unique().to_list() == ["length"]


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("A story.\n###\nRequest: another", "A story."),
        ("A story.\n###  \n", "A story."),
        ("A story.\nRequest: another\nAnswer:", "A story."),
        ("A story.", "A story."),
    ],
)
def test_base_model_that_runs_on_is_cut_where_its_answer_ends(output, answer):
    frame = diversity.sample(Scripted(output, is_chat=False), **ASKED).frame

    assert frame["output"][0] == answer
    assert frame["finish_reason"][0] == ("length" if output == answer else "stop")


@pytest.mark.parametrize("output", ["### A Title\nA story.", "x = 1  ### one\ny", "He made no Request: none."])
def test_signs_of_the_frame_inside_a_line_belong_to_the_answer(output):
    assert diversity.sample(Scripted(output, is_chat=False), **ASKED).frame["output"][0] == output


def test_chat_output_is_never_cut():
    output = "One.\n###\nTwo."

    assert diversity.sample(Scripted(output), **ASKED).frame["output"][0] == output


def test_output_with_a_lone_surrogate_can_be_kept(tmp_path):
    frame = diversity.sample(Scripted("a\ud800b"), **ASKED, store=tmp_path / "run").frame

    assert frame["output"][0] == "a?b"


# Adapters


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    """A random LoRA adapter on the tiny model."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model),
        LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    folder = tmp_path_factory.mktemp("adapters") / "tuned"
    model.save_pretrained(folder)
    return folder


def test_adapter_folder_is_sampled_on_the_base_it_names(adapter, drawn):
    tuned = diversity.sample(adapter, **ASKED)

    assert tuned.frame["checkpoint"].unique().to_list() == ["tuned"]
    assert tuned.frame["output"].to_list() != drawn.frame["output"].to_list()
    assert [w.split("#")[0] for w in tuned.provenance["identity"]["weights"]] == ["tiny", "tuned"]


def test_template_saved_with_an_adapter_is_the_one_that_is_used(adapter, tiny_model, tmp_path):
    from transformers import AutoTokenizer

    folder = shutil.copytree(adapter, tmp_path / "tuned")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    tokenizer.save_pretrained(folder)
    story = Story()

    rendered = local.Local(str(folder))._rendered(Request(story, story.prompts[0], 0, 0))

    assert rendered == f"[{story.prompts[0].prompt}]"


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        ('{"base_model_name_or_path": "/nowhere/base"}', "its base model '/nowhere/base' is not there: set base_model"),
        ('{"base_model_name_or_path": ""}', "it names no base model: set base_model_name_or_path"),
        ("{}", "it names no base model: set base_model_name_or_path"),
        ("[]", "not a JSON object: save the adapter again"),
        ("{", "not a JSON object: save the adapter again"),
    ],
)
def test_adapter_without_a_usable_base_is_refused(adapter, tmp_path, configuration, reason):
    folder = shutil.copytree(adapter, tmp_path / "tuned")
    (folder / "adapter_config.json").write_text(configuration)

    with pytest.raises(InputError, match=rf"adapter_config\.json: {reason}"):
        diversity.sample(folder, **ASKED)


def test_adapter_needs_peft(adapter, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)

    with pytest.raises(MissingExtra, match=r'peft is not installed: pip install "diversity-shift\[models\]"'):
        diversity.sample(adapter, **ASKED)


# Refusals


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_missing_package_is_named_with_the_extra_that_brings_it(tiny_model, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match=rf'{package} is not installed: pip install "diversity-shift\[models\]"'):
        diversity.sample(tiny_model, **ASKED)


@pytest.mark.parametrize(
    ("checkpoint", "reason"),
    [
        ("/no/such/folder", "no such folder, and not a hub id"),
        ("no-such-folder", "no such folder, and not a hub id"),
        ("a/b/c", "no such folder, and not a hub id"),
        ("../x", "no such folder, and not a hub id"),
        ("none.gguf", "no such file: check the path"),
        (
            "reference:nothing",
            "there is no 'reference:nothing': the reference pair is reference:pre and reference:post",
        ),
    ],
)
def test_checkpoint_that_is_not_there_is_refused(checkpoint, reason):
    with pytest.raises(InputError, match=reason) as error:
        diversity.sample(checkpoint, **ASKED)

    assert "\n" not in str(error.value)


def test_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"the folder holds no config\.json: give a folder that save_pretrained wrote"):
        diversity.sample(tmp_path, **ASKED)


def test_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x")

    with pytest.raises(InputError, match=r"model\.bin: a file: give the folder that save_pretrained wrote"):
        diversity.sample(tmp_path / "model.bin", **ASKED)


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json"])
def test_damaged_checkpoint_is_refused_in_one_line(tiny_model, tmp_path, damage):
    folder = shutil.copytree(tiny_model, tmp_path / "tiny")
    (folder / damage).write_bytes(b"{ broken")

    with pytest.raises(InputError, match="cannot be loaded: ") as error:
        diversity.sample(folder, **ASKED)

    assert "\n" not in str(error.value)


def test_hub_id_that_cannot_be_reached_is_refused_in_one_line():
    with pytest.raises(InputError, match="checkpoint 'nobody/nothing' cannot be loaded: ") as error:
        diversity.sample("nobody/nothing", **ASKED)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"n": 1}, "n is 1: diversity within a prompt needs 2 outputs or more, 16 is the default"),
        ({"temperature": 0}, "temperature is 0: give a value above 0; at 0 all outputs are alike"),
        ({"temperature": float("nan")}, "temperature is nan: give a value above 0"),
        ({"temperature": float("inf")}, "temperature is inf: give a value above 0"),
        ({"temperature": -1}, "temperature is -1: give a value above 0"),
        ({"top_p": 0}, "top_p is 0: give a value above 0 and up to 1"),
        ({"top_p": 1.5}, "top_p is 1.5: give a value above 0 and up to 1"),
        ({"top_k": -1}, "top_k is -1 and min_p 0: top_k must be 0"),
        ({"min_p": 1}, "top_k is 0 and min_p 1: top_k must be 0"),
        ({"seed": -1}, "seed is -1: give a whole number from 0"),
        ({"seed": 2**63}, "seed is 9223372036854775808: give a whole number from 0"),
        ({"max_tokens": 0}, "max_tokens is 0: give 1 or more"),
        ({"batch": 0}, "batch is 0: give 1 or more"),
        ({"prompts": 0}, "prompts is 0: give 1 or more"),
        ({"domains": []}, "no domain is named: give one or more, see `diversity domains`"),
        ({"domains": ["text"]}, "domain 'text' brings no prompts of its own: it is for imported outputs"),
    ],
)
def test_setting_that_cannot_be_sampled_with_is_refused_before_a_model_is_opened(setting, reason):
    with pytest.raises(InputError) as error:
        diversity.sample("/no/such/folder", **(ASKED | setting))

    assert str(error.value).startswith(reason)


def test_unknown_domain_is_refused_with_the_nearest_name():
    with pytest.raises(
        UnknownName, match=r"unknown domain 'storys': did you mean 'story'\? Known: .*code, .*story, .*text"
    ):
        diversity.sample("/no/such/folder", **(ASKED | {"domains": ["storys"]}))


def test_one_domain_may_be_named_without_a_list():
    assert len(diversity.sample(Scripted("x"), **(ASKED | {"domains": "story"}))) == 9


def test_domain_named_twice_is_sampled_once():
    assert len(diversity.sample(Scripted("x"), **(ASKED | {"domains": ["story", "story"]}))) == 9


def test_own_backend_is_asked_for_every_sample_of_every_prompt():
    backend = Scripted("x")
    diversity.sample(backend, **ASKED, batch=2)

    asked = [(r.prompt.prompt_id, r.sample_index) for r in backend.requests]
    assert asked == [(f"story-00{p}", k) for p in (1, 2, 3) for k in (0, 1, 2)]


def test_hash_of_the_prompts_depends_on_their_texts_and_not_on_their_order():
    one, two = SimpleNamespace(prompt_id="a", prompt="x"), SimpleNamespace(prompt_id="b", prompt="y")
    other = SimpleNamespace(prompt_id="b", prompt="z")

    assert prompt_hash([one, two]) == prompt_hash([two, one]) != prompt_hash([one, other])


def test_log_probability_is_what_the_model_gives_the_output(tiny_model, drawn, monkeypatch):
    """Checked by one pass over prompt and output, without any sampling."""
    import torch

    telling = local.Local(str(tiny_model), log_probabilities=True)
    finished, written = telling._finished, []
    monkeypatch.setattr(telling, "_finished", lambda ids, most: (written.append(ids), finished(ids, most))[1])
    told = diversity.sample(telling, **ASKED).frame

    assert_frame_equal(told.drop("log_probability"), drawn.frame)
    tokenizer, model = telling._tokenizer, telling._model
    for row, ids in zip(told.iter_rows(named=True), written, strict=True):
        kept = ids[: row["output_tokens"]]
        messages = [{"role": "user", "content": row["prompt"]}]
        asked = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        read = tokenizer(asked, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            likely = model(torch.tensor([read + kept])).logits[0].double().log_softmax(-1)
        sums = [likely[len(read) - 1 + i, token].item() for i, token in enumerate(kept)]
        assert row["log_probability"] == pytest.approx(sum(sums), abs=1e-3)

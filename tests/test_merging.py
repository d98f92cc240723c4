"""Merging: task vectors, merges by PEFT, protected cores, on a tiny random model."""

import json
import shutil
from dataclasses import asdict

import polars as pl
import pytest
from click.testing import CliRunner

import diversity
from diversity.cli import commands
from diversity.errors import InputError
from diversity.merging import Adapters, core, matrix, overlap, protected, seesaw, slerp
from diversity.tables import Samples

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def folders(tiny_model, tmp_path_factory):
    """Two random adapters of the tiny model, on different matrices."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    made = {}
    for seed, (name, targets) in enumerate({"one": ["q_proj", "v_proj"], "two": ["v_proj", "up_proj"]}.items()):
        torch.manual_seed(seed)
        settings = LoraConfig(r=4, lora_alpha=8, target_modules=targets, init_lora_weights=False)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), settings)
        made[name] = tmp_path_factory.mktemp("adapters") / name
        model.save_pretrained(made[name])
    return made


@pytest.fixture(scope="module")
def adapters(tiny_model, folders):
    return Adapters(tiny_model, folders)


def tensor(*values):
    return torch.tensor([values], dtype=torch.float32)


def test_overlap_counts_what_can_be_counted_by_hand():
    one = {"a": tensor(3.0, -2.0, 0.1, 0.0), "b": tensor(0.2, 0.0)}
    two = {"a": tensor(-4.0, 0.1, 0.3, 5.0), "b": tensor(0.1, 0.0)}
    found = overlap(one, two, top=2 / 6)
    assert found.parameters == 6
    assert found.norm_first == pytest.approx((9 + 4 + 0.01 + 0.04) ** 0.5)
    assert found.cosine == pytest.approx((-12 - 0.2 + 0.03 + 0.02) / (found.norm_first * found.norm_second))
    assert found.jaccard == pytest.approx(1 / 3)  # cores: entries 0 and 1 against 0 and 3
    assert found.conflicts == pytest.approx(2 / 4)  # of the four that both change
    assert found.core_conflicts == 1.0
    assert overlap(one, one, top=2 / 6).jaccard == 1.0


def test_what_is_not_changed_is_in_no_core():
    assert int(core({"a": tensor(0.0, 0.0, 1.0, 0.0)}, top=0.75)["a"].sum()) == 1
    nothing = {"a": tensor(0.0, 0.0)}
    found = overlap(nothing, nothing)
    assert found.jaccard is found.cosine is found.conflicts is found.core_conflicts is None
    with pytest.raises(InputError, match=r"top is 1"):
        core(nothing, top=1)


def test_slerp_keeps_the_length_where_a_straight_mean_does_not():
    torch.manual_seed(0)
    a, b = (x / x.norm() for x in torch.randn(2, 50, dtype=torch.float64))
    assert float(slerp(a, b, 0.3).norm()) == pytest.approx(1)
    assert float(torch.lerp(a, b, 0.3).norm()) < 0.9
    assert torch.allclose(slerp(a, b, 0.0), a)
    assert torch.allclose(slerp(a, b, 1.0), b)
    assert torch.allclose(slerp(a, 2 * a, 0.5), 1.5 * a)


def test_protected_cores_are_as_their_task_tuned_them():
    weight = tensor(1.0, 1.0, 1.0, 1.0)
    changes = [tensor(5.0, 0.1, 2.0, 0.0), tensor(0.2, 7.0, -3.0, 0.4)]
    cores = [c.abs() >= 2 for c in changes]
    merged = protected(weight, changes, cores)
    # The first and second are in one core each, the third in both: the larger change has it. The last is the middle.
    assert merged[0, :3].tolist() == [6.0, 8.0, -2.0]
    assert float(merged[0, 3]) == pytest.approx(1.2)


def test_report_compares_the_adapters(adapters):
    (found,) = adapters.report(top=0.05)
    assert (found.first, found.second) == ("one", "two")
    shared = adapters.changes("one").keys() & adapters.changes("two").keys()
    assert shared
    assert all("v_proj" in name for name in shared)
    assert 0.3 < found.conflicts < 0.7  # two random changes
    assert json.loads(json.dumps(asdict(found)))["parameters"] == found.parameters


def test_exact_sum_of_the_changes_is_what_peft_saves(adapters, tiny_model, folders, tmp_path):
    out = adapters.merge(tmp_path / "sum", "cat")
    again = Adapters(tiny_model, {"sum": out, "one": folders["one"]})
    merged, one, two = again.changes("sum"), adapters.changes("one"), adapters.changes("two")
    for name, change in merged.items():
        parts = [task[name] for task in (one, two) if name in task]
        assert torch.allclose(change, sum(parts), atol=1e-5), name
    with pytest.raises(InputError, match="is there already"):
        adapters.merge(out, "cat")


@pytest.mark.parametrize("way", ["linear", "ties", "dare_ties"])
def test_each_way_gives_a_checkpoint_that_is_sampled(adapters, tmp_path, way):
    drawn = [
        diversity.sample(
            str(adapters.merge(tmp_path / str(k), way, seed=1)), domains="math", prompts=1, n=2, max_tokens=4, chat=True
        ).frame["output"]
        for k in range(2)
    ]
    assert drawn[0].to_list() == drawn[1].to_list()


def test_protected_merge_gives_a_checkpoint_that_is_sampled(adapters, tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM

    out = adapters.protect(tmp_path / "protected", top=0.05)
    before, after = (AutoModelForCausalLM.from_pretrained(f) for f in (tiny_model, out))
    name = next(n for n in adapters.changes("one") if "q_proj" in n)  # changed by one task only
    change, marks = adapters.changes("one")[name], core(adapters.changes("one"), 0.05)[name]
    moved = (after.get_submodule(name).weight - before.get_submodule(name).weight).detach()
    assert marks.any()
    assert torch.allclose(moved[marks], change[marks], atol=1e-5)
    assert float((moved[~marks] / change[~marks]).median()) < 0.9  # the others are drawn towards the other task
    assert len(diversity.sample(str(out), domains="math", prompts=1, n=2, max_tokens=4)) == 2


def test_wrong_ways_and_names_are_refused(adapters, tiny_model, folders, tmp_path):
    with pytest.raises(InputError, match="no way to merge called 'average'"):
        adapters.merge(tmp_path / "x", "average")
    with pytest.raises(InputError, match="3 weights and 2 adapters"):
        adapters.merge(tmp_path / "x", "cat", weights=[1, 1, 1])
    with pytest.raises(InputError, match="two adapters"):
        Adapters(tiny_model, {"one": folders["one"]})
    odd = shutil.copytree(folders["two"], tmp_path / "odd")
    settings = json.loads((odd / "adapter_config.json").read_text())
    (odd / "adapter_config.json").write_text(json.dumps(settings | {"bias": "all"}))
    with pytest.raises(InputError, match="other things than low-rank sums"):
        Adapters(tiny_model, {"one": folders["one"], "odd": odd})
    with pytest.raises(InputError, match="cannot be loaded"):
        Adapters(tiny_model, {"one": folders["one"], "two": tmp_path / "missing"})


def test_matrix_shows_a_gain_in_one_domain_and_a_loss_in_the_other(make_samples):
    ids = [f"math-{i:03d}" for i in range(1, 13)]
    known = diversity.registry.find_domain("math").by_id
    right = {p: f"So it is.\nAnswer: {known[p].details['answer']}" for p in ids}

    def side(name, answers, other):
        rows = [
            {"checkpoint": name, "domain": "math", "prompt_id": p, "sample_index": k, "output": answers(p, k)}
            for p in ids
            for k in range(4)
        ]
        frames = [pl.DataFrame(rows, schema_overrides={"sample_index": pl.Int32}).with_columns(quality=None)]
        told = make_samples(["def f():\n    return 1"], checkpoint=name, domain="code", prompts=12, quality=other)
        frames.append(told.frame.select("checkpoint", "domain", "prompt_id", "sample_index", "output", "quality"))
        return Samples.of(pl.concat(frames, how="vertical_relaxed"))

    base = side("base", lambda p, k: right[p] if k == 0 else f"Answer: {1000 + k}", 0.8)
    tuned = side("tuned", lambda p, _: right[p], 0.5)
    table = matrix(base, {"tuned": tuned}).sort("domain", descending=True)
    assert table["quality_shift"].to_list() == pytest.approx([0.75, -0.3])
    assert table["effective"][0] == pytest.approx(1)
    assert table["effective_base"][0] == pytest.approx(16)
    assert table["relative"][0] == pytest.approx(1 / 16 - 1)
    assert table["relative"][1] == pytest.approx(0)
    assert table["note"].to_list() == ["", ""]
    low = side("low", lambda p, k: "Answer: 1000", 0.99)
    high = matrix(low, {"same": low}).sort("domain", descending=True)
    assert high["note"].to_list() == ["floor", "ceiling"]
    assert seesaw(table["quality_shift"]) == pytest.approx(0.4)
    assert seesaw([-0.1, 0.0]) is None


def test_the_command_reports_and_merges(tiny_model, folders, tmp_path):
    named = [f"{name}={folder}" for name, folder in folders.items()]
    asked = ["merge", *named, "--base", str(tiny_model), "--way", "protected", "--out", str(tmp_path / "merged")]
    ran = CliRunner().invoke(commands, asked)
    assert ran.exit_code == 0, ran.output
    assert "jaccard" in ran.output
    assert (tmp_path / "merged" / "config.json").exists()
    told = json.loads(CliRunner().invoke(commands, [*asked[:5], "--json"]).stdout)
    assert told[0]["first"] == "one"
    refused = CliRunner().invoke(commands, asked[:7])
    assert "a merge needs both --way and --out" in str(refused.exception)

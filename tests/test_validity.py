"""The validity suite: its worlds are what they say, it finds what is broken, and a fast slice of its checks."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from diversity.cli import commands
from diversity.errors import InputError, UnknownName
from diversity.registry import find_metric
from diversity.stats import effective, log_ratio, pair_mean, verdict
from diversity.validity import Check, validate
from diversity.validity.directions import (
    MANIPULATIONS,
    at_equal_length,
    directions,
    heated,
    of_recorded,
    seen_somewhere,
)
from diversity.validity.rates import (
    Screened,
    binomial,
    ceiling,
    coverage,
    equivalence_errors,
    false_alarms,
    halves,
    made_up_false_alarms,
    rate_check,
    recorded_false_alarms,
)
from diversity.validity.recorded import ACROSS, auc, group_texts, in_domain, pools, read_folder, stored
from diversity.validity.worlds import (
    MADE_UP,
    World,
    classes_world,
    collapsed,
    estimated,
    recorded_world,
    scaled_to,
    shape_of_shift,
    sharpened,
    templates_world,
)
from diversity.words import WORD

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def pool():
    """The stored outputs of SmolLM2 at temperature 1, without the embedding model."""
    own = stored().filter((pl.col("temperature") == 1.0) & (pl.col("domain") == "story"))
    return pools({"stored": own}, None)[0]


# Worlds


def test_the_truth_of_a_world_is_what_many_draws_come_to():
    rng = np.random.default_rng(0)
    world = templates_world(rng)
    chosen = rng.integers(len(world.pre), size=(40_000, 1))
    found = estimated(rng, world.kernels, world.pre, chosen, 4)[:, 0]
    truth = world.similarity("pre")[chosen[:, 0]]
    assert abs((found - truth).mean()) < 4 * (found - truth).std() / math.sqrt(len(found))


def test_a_world_of_two_equal_classes_has_the_similarity_one_half():
    laws = np.array([[0.5, 0.5]])
    world = World(name="", about="", kernels=np.eye(2)[None], pre=laws, post=np.array([[1.0, 0.0]]))
    assert world.similarity("pre")[0] == 0.5
    assert world.truth() == pytest.approx(math.log(effective(1.0) / effective(0.5)))


@pytest.mark.parametrize(("kind", "how", "target"), [("normal", "sharpened", -0.2), ("skewed", "collapsed", -0.1)])
def test_a_world_is_given_the_shift_that_was_asked_for(kind, how, target):
    rng = np.random.default_rng(1)
    base = classes_world(rng)
    assert scaled_to(base, shape_of_shift(kind, rng, len(base.pre)), target, how).truth() == pytest.approx(
        target, abs=1e-6
    )


def test_a_collapse_gives_a_share_to_one_output():
    assert collapsed(np.array([[0.5, 0.3, 0.2]]), 0.5).tolist() == [[0.75, 0.15, 0.1]]


def test_halves_are_disjoint_and_their_similarity_is_the_pair_mean():
    rng = np.random.default_rng(2)
    values = rng.random((3, 8, 8))
    kernels = (values + values.transpose(0, 2, 1)) / 2
    one, other = halves(np.random.default_rng(3), {"lexical": kernels}, 4, 6)["lexical"]
    again = np.random.default_rng(3)
    for prompt in range(3):
        ranks = again.random((6, 8)).argsort(axis=1).argsort(axis=1)
        for split in range(6):
            for side, members in ((one, ranks[split] < 4), (other, ranks[split] >= 4)):
                own = kernels[prompt][np.ix_(members, members)]
                assert side[split, prompt] == pytest.approx(pair_mean(own)[0])


# The quick way and the real one


def test_no_experiment_is_screened_out_that_the_real_interval_would_call():
    rng = np.random.default_rng(4)
    for make in MADE_UP:
        screened = Screened.of(*make(rng).draw(rng, 25, 12, 6))
        for run in range(25):
            real = screened.real(run)
            assert real.interval[0] <= screened.low[run]
            assert screened.high[run] <= real.interval[1]
            assert real.interval90[0] <= screened.low90[run]
            assert real.estimate == pytest.approx(screened.estimate[run], abs=1e-12)


def test_alarms_are_those_of_the_verdict():
    rng = np.random.default_rng(5)
    base = classes_world(rng)
    world = scaled_to(base, np.ones(len(base.pre)), -0.3, "sharpened")  # so that there are alarms
    pre, post = world.draw(rng, 40, 20, 8)
    called = 0
    for run in range(40):
        estimate = log_ratio(pre[run], post[run])
        found = verdict(estimate, margin=math.log1p(0.1), p_adjusted=estimate.p)
        called += found in {"narrowed", "widened"}
    assert 0 < called < 40
    assert false_alarms([(pre, post)]) == called


def test_a_rate_is_missed_only_where_its_whole_interval_is_on_the_wrong_side():
    assert binomial(0, 100) == (0.0, pytest.approx(0.0362167, abs=1e-6))  # 1 - 0.025 ** (1 / 100)
    assert rate_check("", "", 60, 1000, 0.05, "most").passed
    assert not rate_check("", "", 70, 1000, 0.05, "most").passed
    assert rate_check("", "", 930, 1000, 0.94, "least").passed
    assert not rate_check("", "", 920, 1000, 0.94, "least").passed


def test_the_suite_finds_an_interval_that_is_too_narrow(monkeypatch):
    """Half of the true interval covers far less than promised, and raises far more alarms."""

    def halved(pre, post):
        found = log_ratio(pre, post)
        ends = [
            tuple(found.estimate + (end - found.estimate) / 2 for end in i) for i in (found.interval, found.interval90)
        ]
        return replace(found, interval=ends[0], interval90=ends[1], p=0.0)

    monkeypatch.setattr("diversity.validity.rates.log_ratio", halved)
    # The screen knows nothing of it: it must be narrower than what it screens.
    screen = Screened.of.__func__

    def screened(cls, pre, post, m=16):
        whole = screen(cls, pre, post, m)
        return replace(whole, **{e: whole.estimate + (getattr(whole, e) - whole.estimate) / 2 for e in
                                 ("low", "high", "low90", "high90")})  # fmt: skip

    monkeypatch.setattr(Screened, "of", classmethod(screened))
    worlds = {"worlds": MADE_UP[:1], "seed": 0}
    assert not next(made_up_false_alarms(runs=150, prompts=(12,), outputs=(8,), **worlds)).passed
    assert not next(coverage(runs=150, kinds=("normal",), prompts=(20,), outputs=8, **worlds)).passed


def test_the_ceiling_counts_the_samples_without_the_prompts_that_carry_the_shift():
    """One prompt in ten collapses, so that 28 % of samples of 12 hold nothing of the shift."""
    rng = np.random.default_rng(6)
    base = classes_world(rng)
    hit = np.arange(len(base.pre)) % 10 == 0
    world = replace(base, post=collapsed(base.pre, hit * 0.95))
    order, held = world.by_influence()
    assert hit[order[:100]].mean() > 0.95
    assert held[-1] == pytest.approx(1)
    found = ceiling(world, {"prompts": 12, "outputs": 16}, runs=200, seed=0)
    chance, none = found.cell["prompts_of"], found.cell["none"]
    assert none == pytest.approx((1 - chance) ** 12)
    assert found.cell["at_most_one"] == pytest.approx(none + 12 * chance * (1 - chance) ** 11)
    assert 1 - none <= found.found < 0.99
    # Where all prompts shift alike nothing hides, and the oracle's interval made wider covers more than 95 %.
    alike = replace(base, post=sharpened(base.pre, 1.3))
    assert ceiling(alike, {"prompts": 12, "outputs": 16}, runs=200, seed=0).found > 0.95


# A fast slice of the checks themselves


def test_halves_of_recorded_outputs_are_called_shifted_at_most_as_often_as_nominal(pool):
    found = list(recorded_false_alarms([pool], splits=250, seed=0, prompts=(8, 12, 50), outputs=(8,)))
    assert [c.cell["prompts"] for c in found] == [8, 12, 50]
    assert all(c.passed for c in found), found
    assert found[0].found == 0  # no verdict below ten prompts


@pytest.mark.parametrize("make", MADE_UP)
def test_equal_checkpoints_of_every_world_are_called_shifted_at_most_as_often_as_nominal(make):
    assert all(c.passed for c in made_up_false_alarms(runs=200, seed=1, worlds=[make], prompts=(12, 25), outputs=(4,)))


def test_intervals_cover_a_skewed_shift_and_are_not_much_wider_than_they_must_be(pool):
    world = recorded_world(pool.name, pool.stacked(8)["lexical"])
    found = list(
        coverage(runs=200, seed=2, worlds=(), recorded=[world], kinds=("skewed",), prompts=(12, 50), outputs=8)
    )
    assert {c.group for c in found} == {"coverage", "width"}
    assert all(c.passed for c in found if c.passed is not None), found


def test_a_shift_of_the_margin_is_rarely_called_immaterial():
    found = list(equivalence_errors(runs=200, seed=3, worlds=MADE_UP[:1], prompts=(50,)))
    assert all(c.passed for c in found), found


# Directions

CHEAP = ["lexical.similarity", "syntactic.similarity", "functional.similarity", "distinct_1", "distinct_2", "self_bleu",
         "hdd", "compression_ratio", "same_program", "subtree_ruzicka_raw", "duplicates",
         "layout_unique", "layout_similarity"]  # fmt: skip


@pytest.fixture(scope="module")
def table():
    return list(directions(MANIPULATIONS, seed=0, n=5, wanted=[find_metric(name) for name in CHEAP]))


@pytest.mark.parametrize("manipulation", MANIPULATIONS, ids=lambda m: m.name)
def test_metrics_move_as_they_must(table, manipulation):
    own = [c for c in table if c.cell["manipulation"] == manipulation.name]
    assert sum(c.passed is True for c in own) >= 2
    assert [c for c in own if c.passed is False] == []


def test_renaming_leaves_the_tree_as_it_is_and_shuffling_leaves_the_bag_of_words(table):
    found = {(c.cell["manipulation"], c.name): c.found for c in table}
    assert found["renaming only", "syntactic.similarity"] == "flat"
    assert found["renaming only", "subtree_ruzicka_raw"] == "wider"
    assert found["renaming only", "lexical.similarity"] == "wider"
    assert found["shuffled words", "distinct_1"] == "flat"
    assert found["shuffled words", "distinct_2"] == "wider"


def test_every_metric_is_seen_to_move_somewhere(table):
    assert all(c.passed for c in seen_somewhere(table))


def test_a_metric_of_the_wrong_orientation_and_a_constant_one_are_found_out():
    turned = replace(find_metric("distinct_2"), higher_is="less diverse")
    [found] = directions(MANIPULATIONS[:1], seed=0, n=4, wanted=[turned])
    assert (found.found, found.passed) == ("narrower", False)
    constant = Check(
        group="direction", name="constant", cell={"manipulation": "copies"}, found="at its limit", nominal="wider"
    )
    [found] = seen_somewhere([constant])
    assert found.passed is False


def test_counts_of_ngrams_rise_with_heat_at_equal_length_and_are_promised_there_only():
    sweep = stored().filter((pl.col("temperature") != 1.0) & (pl.col("domain") == "story"))
    equal = at_equal_length("equal", sweep)
    rows = equal.build(np.random.default_rng(0), 8)
    words: dict[str, set[int]] = {}
    for _, prompt, _, text, _ in rows:
        words.setdefault(prompt, set()).add(len(WORD.findall(text)))
    assert len(rows) == 16 * 4 * 6
    assert all(len(lengths) == 1 for lengths in words.values())
    counts = [find_metric(name) for name in ("ngram_entropy_4_grassberger", "ngram_hill_3_q0", "ngram_entropy_2")]
    raw, matched = (list(directions([m], seed=0, wanted=counts)) for m in (of_recorded("raw", sweep), equal))
    assert raw[1].found == "wider, not monotone"  # heat shortens these stories, and with it the count
    assert [(c.nominal, c.passed) for c in raw] == [(None, None)] * 3
    assert [(c.nominal, c.passed) for c in matched] == [("wider", True)] * 3
    assert heated(find_metric("ngram_entropy_2_normalised"))[0] == "wider"


# Recorded outputs


class Topics:
    """Stands in for an embedding model: texts that share their first word point nearly the same way."""

    name, fingerprint, signature = "topics", "000000", "emb:topics#000000"

    def encode(self, texts, on_progress=None):
        rows = []
        for text in texts:
            topic, _, rest = text.partition(" ")
            own = np.random.default_rng(list(rest.encode())).normal(size=8)
            rows.append(np.random.default_rng(list(topic.encode())).normal(size=8) + 0.3 * own)
        return np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.filterwarnings("ignore")
def test_texts_about_a_group_are_more_alike_where_they_have_fewer_topics():
    rng = np.random.default_rng(0)
    rows = [
        ("m", form, f"{form}|{group}|{gender}", k, f"topic{rng.integers(topics)} word{rng.integers(99)}")
        for form in ("bio", "tale", "joke")
        for group, topics in (("White", 6), ("Asian", 1))
        for gender in ("man", "woman")
        for k in range(12)
    ]
    names = ["checkpoint", "domain", "prompt_id", "sample_index", "output"]
    found = {
        (c.name, c.cell["contrast"]): c for c in group_texts(pl.DataFrame(rows, schema=names, orient="row"), Topics())
    }
    cosine = found["cosine of embeddings", "Asian against White"]
    assert (cosine.found, cosine.passed, cosine.runs) == ("more alike", True, 6)
    assert cosine.low > 0.1
    assert 0 < cosine.cell["slope"] < 3
    assert found["cosine of embeddings", "woman against man"].found == "not clear"
    assert found["lexical", "Asian against White"].passed is None


def test_auc_by_hand():
    area, low, high = auc(np.array([0.9, 0.8, 0.3, 0.6, 0.2, 0.1]), np.array([1, 1, 1, 0, 0, 0]))
    assert area == pytest.approx(8 / 9)  # of nine pairs only (0.3, 0.6) is the wrong way round
    assert 0 <= low < area < high <= 1


def test_the_stored_outputs_are_a_pool_and_a_sweep_of_one_model():
    frame = stored()
    assert sorted(frame["temperature"].unique()) == [0.3, 0.6, 0.9, 1.0, 1.2]
    assert frame.select("checkpoint", "domain", "prompt_id", "sample_index").is_unique().all()


def test_foreign_domains_become_text_and_their_prompts_stay_apart():
    frame = pl.DataFrame({"domain": ["naming", "story"], "prompt_id": ["1", "1"]})
    assert in_domain(frame).rows() == [("text", "naming/1"), ("story", "1")]


def test_a_folder_without_tables_of_outputs_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no table of outputs"):
        read_folder(tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"broken\.parquet: not a parquet file"):
        read_folder(tmp_path)


def test_recorded_pairs_are_measured_across_prompts(tmp_path):
    name, pair = "gsm8k_verifier", next(iter(ACROSS["gsm8k_verifier"]))
    words = [f"w{i}" for i in range(40)]
    rows = [
        (pair, stage, f"p{p}", " ".join(words if stage == "post" else [f"{w}{p}" for w in words]))
        for stage in ("sft", "post")
        for p in range(3)
    ]
    frame = pl.DataFrame(rows, schema=["pair", "stage", "prompt_id", "output"], orient="row")
    other = frame.with_columns(pair=pl.lit(list(ACROSS[name])[1]))
    pl.concat([frame, other]).write_parquet(tmp_path / f"{name}.parquet")
    checks = validate(data=tmp_path, only=["replication"]).checks
    found = [c for c in checks if c.group == "replication across prompts"]
    assert found[0].found == "narrower"
    assert found[0].cell["ours"] == [1.0, pytest.approx(1 / 3)]  # 3 texts of 29 bigrams, all different or all equal
    assert found[0].passed is False  # these are not the figures of GSM8K


# The command and the page


def test_the_command_prints_what_it_found_and_writes_it(tmp_path):
    out = tmp_path / "validity.json"
    done = CliRunner().invoke(commands, ["validate", "--only", "replication", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "Karouzos" in done.output
    assert json.loads(out.read_text())["settings"]["parts"] == ["replication"]


def test_a_run_that_was_stopped_goes_on_where_it_stopped_and_finds_the_same(tmp_path, monkeypatch):
    whole = validate(only=["replication", "power"]).to_json()
    monkeypatch.setenv("DIVERSITY_CACHE", str(tmp_path))
    monkeypatch.delenv("DIVERSITY_NO_CACHE")
    told = []

    def stop(what, done, total, piece):
        told.append(piece)
        if piece.startswith("power"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(only=["replication", "power"], progress=stop)
    again = validate(only=["replication", "power"], progress=lambda *row: told.append(row[-1]))
    assert told == ["", "power, classes_world", "", "out of reach"]
    assert again.to_json() == whole


@pytest.mark.slow
def test_several_processes_find_what_one_finds():
    assert validate(only=["equivalence"], workers=2).to_json() == validate(only=["equivalence"]).to_json()


def test_an_unknown_part_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'coverage'"):
        validate(only=["covrage"])


def test_the_page_is_what_its_script_makes_of_the_stored_run(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import make_validity_page

    stored_run = json.loads((DOCS / "validity.json").read_text(encoding="utf-8"))
    assert (DOCS / "validity.md").read_text(encoding="utf-8") == make_validity_page.page(stored_run)
    del sys.modules["make_validity_page"]
    groups = {c["group"] for c in stored_run["checks"]}
    assert {"false alarms", "coverage", "width", "equivalence", "power", "direction"} <= groups


@pytest.mark.slow
@pytest.mark.model
def test_the_fast_suite_keeps_its_promises():
    found = validate()
    assert found.failures == []
    assert validate(only=["equivalence"]).to_json() == validate(only=["equivalence"]).to_json()

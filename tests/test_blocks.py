"""Blocks of prompts: no score depends on how the prompts are cut, who measures them, or where a run was stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from diversity import blocks, compare, processes, read_scores, score, scoring, streaming
from diversity.errors import InputError, Undefined
from diversity.stats import pair_mean
from diversity.tables import read_samples

WORDS = ["a", "cat", "dog", "sat", "ran", "by", "on", "under", "blue", "red", "old", "new", "house", "tree", "often"]
PAIR = ("one", "two")


def _table(prompts=12, n=5, seed=0, least=50):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        [
            {
                "checkpoint": checkpoint,
                "domain": domain,
                "prompt_id": f"p{p:02}",
                "prompt": f"question {p}",
                "sample_index": k,
                "output": " ".join(rng.choice(WORDS, least + int(rng.integers(20)))),
            }
            for checkpoint in PAIR
            for domain in ("story", "brainstorm")
            for p in range(prompts)
            for k in range(n)
        ]
    )


@pytest.fixture(scope="module")
def names():
    from diversity.registry import metrics

    across = [m.name for m in metrics().values() if m.unit == "across prompts" and m.needs == "words"]
    between = [m.name for m in metrics().values() if m.unit == "between checkpoints" and m.needs != "vectors"]
    # Sums over words must not depend on how a block numbers them.
    sums = ["hdd", "mattr", "mtld", "js_1", "rarefied_distinct_1", "ngram_entropy_2", "self_bleu", "self_repetition"]
    return ["words", "valid", "distinct_2", "lexical.similarity", "syntactic.similarity", *sums, *across[:3], *between]


@pytest.fixture(scope="module")
def whole(names):
    return score(_table(), metrics=names, pairs=[PAIR], workers=1)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 40)
    monkeypatch.setattr(blocks, "FEW", 1)
    monkeypatch.setattr(streaming, "FROM", 10)
    monkeypatch.setattr(streaming, "SLICE", 33)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIVERSITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DIVERSITY_NO_CACHE")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "samples.parquet"
    _table().sample(fraction=1, shuffle=True, seed=1).write_parquet(path)
    return path


def test_all_units_are_there(whole):
    found = whole.frame.filter(pl.col("value").is_not_null())
    assert {"one", "two", "one → two"} == set(found["checkpoint"])
    assert {"*", "*/without 03", "p03"} <= set(found["prompt_id"])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("workers", [1, 2])
def test_no_score_depends_on_blocks_or_processes(whole, names, workers):
    assert len(list(blocks.in_blocks(_table()))) == 6
    assert score(_table(), metrics=names, pairs=[PAIR], workers=workers).frame.equals(whole.frame)


class Lengths:
    """An embedder that tells texts by their lengths."""

    fingerprint = "000000"
    signature = "emb:lengths"

    def encode(self, texts, on_progress=None):
        del on_progress
        angles = np.array([len(text) / 100 for text in texts])
        return np.column_stack([np.cos(angles), np.sin(angles)])


@pytest.mark.usefixtures("small_blocks")
def test_a_judge_of_the_running_script_is_asked_here():
    seen = []
    found = score(
        _table(prompts=4),
        metrics=["semantic_entropy"],
        conditions=["all"],
        workers=2,
        embedder=Lengths(),
        judge=lambda texts, _: seen.append(1) or texts,
    )
    assert seen
    assert found.frame["value"].is_not_null().any()


@pytest.mark.usefixtures("small_blocks")
def test_a_metric_of_the_running_script_reaches_the_workers(monkeypatch):
    from diversity import registry

    monkeypatch.setattr(registry, "_metrics", dict(registry.metrics()))
    registry.metric(name="first_letters", facet="lexical", higher_is="more diverse", range=(0, 26), source="ours")(
        lambda answers: len({text[:1] for text in answers.texts})
    )
    one, two = (score(_table(), metrics=["first_letters"], workers=w).frame for w in (1, 2))
    assert one.equals(two)
    assert one["value"].is_not_null().any()


def test_a_pooled_metric_of_the_running_script_is_given_answers_or_what_it_reads_of_each_prompt(monkeypatch):
    from diversity import registry

    def shared(pre, post):
        if "p03" in pre.prompt:
            raise Undefined("not this one")
        return len(set(pre.texts) & set(post.texts)), len(pre)

    def failing(pre, post):
        return [float(pre.texts[0]), post]

    monkeypatch.setattr(registry, "_metrics", dict(registry.metrics()))
    details = {"facet": "lexical", "higher_is": "neither", "range": (0, 99), "source": "ours"}
    details |= {"unit": "between checkpoints", "pooled": True}
    registry.metric(name="of_answers", **details)(lambda pre, post: sum(map(len, pre)) + len(set(post)))
    registry.metric(name="of_reads", of_prompt=shared, **details)(lambda read: read[:, 1].sum() / read.shape[1])
    registry.metric(name="fails", of_prompt=failing, **details)(lambda read: read.sum())
    options = {"metrics": ["of_answers", "of_reads", "fails"], "conditions": ["all"], "pairs": [PAIR], "workers": 1}
    table = _table(prompts=4).with_columns(prompt=pl.col("prompt_id"))
    with pytest.warns(UserWarning, match="metric 'fails' failed"):
        one = score(table, **options).frame
    monkeypatch.setattr(blocks, "BLOCK", 20)
    monkeypatch.setattr(blocks, "FEW", 1)
    with pytest.warns(UserWarning, match="metric 'fails' failed"):
        assert score(table, **options).frame.equals(one)
    found = {(m, p): v for m, p, v in one.filter(domain="story").select("metric", "prompt_id", "value").iter_rows()}
    assert (found["of_answers", "*"], found["of_reads", "*"], found["fails", "*"]) == (4 * 5 + 4, 3 * 5 / 2, None)
    assert sorted(v for (m, p), v in found.items() if m == "of_reads" and p != "*") == [5, 5, 5, 7.5]


def test_a_prompt_is_never_cut():
    keys = pl.DataFrame({"domain": ["d"] * 9000, "prompt_id": ["a"] * 5000 + ["b"] * 10 + ["c"] * 3990})
    assert blocks.boundaries(keys)["block"].to_list() == [0, 1, 1]


def test_blocks_are_of_like_size_and_few_are_an_even_number():
    def sizes(prompts, n=32):
        ids = [f"{p:05}" for p in range(prompts) for _ in range(n)]
        return blocks.boundaries(pl.DataFrame({"domain": "d", "prompt_id": ids}))["block"].value_counts()["count"]

    assert sorted(sizes(100)) == [12, 12, 12, 12, 13, 13, 13, 13]
    assert [len(sizes(prompts)) for prompts in (1, 32, 33, 64, 65)] == [1, 1, 4, 4, 6]
    large = sizes(2100)
    assert (len(large), large.min(), large.max()) == (17, 123, 124)


def test_what_a_reader_looks_at_does_not_depend_on_blocks_either(monkeypatch, cache):
    sides = [_table(prompts=3).filter(checkpoint=name) for name in PAIR]
    options = {"metrics": ["lexical", "syntactic"], "conditions": ["all"]}
    whole = compare(*sides, **options)
    monkeypatch.setattr(blocks, "BLOCK", 20)
    monkeypatch.setattr(blocks, "FEW", 1)
    for _ in range(2):  # from processes, then from the cache
        assert compare(*sides, **options).drilldown == whole.drilldown
    assert len(whole.drilldown) == 6


@pytest.mark.usefixtures("small_blocks", "cache")
def test_from_file_to_file_the_scores_are_the_same_and_found_again(whole, names, file, tmp_path, monkeypatch):
    out = tmp_path / "scores.parquet"
    assert streaming.score_file(file, out, metrics=names, pairs=[PAIR], workers=1) == len(whole)
    found = read_scores(out)
    assert found.frame.equals(whole.frame)
    assert found.provenance == score(read_samples(file), metrics=["words"]).provenance
    monkeypatch.setattr(blocks, "within_prompts", lambda *_: pytest.fail("is measured again"))
    streaming.score_file(file, tmp_path / "again.parquet", metrics=names, pairs=[PAIR], workers=1)
    assert (tmp_path / "again.parquet").read_bytes() == out.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.parquet", "cache", "samples.parquet", "scores.parquet"]


@pytest.mark.usefixtures("small_blocks", "cache")
def test_an_interrupted_run_goes_on_where_it_stopped(whole, names, monkeypatch):
    measured, real = [], blocks.measure_block

    def stopping(frame, *rest):
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(frame["prompt_id"][0])
        return real(frame, *rest)

    monkeypatch.setattr(blocks, "measure_block", stopping)
    with pytest.raises(KeyboardInterrupt):
        score(_table(), metrics=names, pairs=[PAIR], workers=1)
    measured.append("the fourth may be measured now")
    assert score(_table(), metrics=names, pairs=[PAIR], workers=1).frame.equals(whole.frame)
    assert len(measured) == 3 + 1 + 3


@pytest.mark.usefixtures("small_blocks", "cache")
def test_other_metrics_conditions_and_outputs_are_not_taken_for_the_same():
    first = score(_table(), metrics=["words"], workers=1)
    assert "distinct_2" in score(_table(), metrics=["distinct_2"], workers=1).frame["metric"]
    assert set(score(_table(), metrics=["words"], conditions=["all"], workers=1).frame["condition"]) == {"all"}
    changed = _table().with_columns(pl.col("output") + " more")
    assert not score(changed, metrics=["words"], workers=1).frame.equals(first.frame)


@pytest.mark.usefixtures("small_blocks", "cache")
def test_prompts_that_a_domain_learned_since_have_a_say(monkeypatch):
    from diversity.domain import Prompt
    from diversity.registry import find_domain

    story = find_domain("story")
    monkeypatch.setattr(story, "by_id", dict(story.by_id))
    first = score(_table(), metrics=["words"], workers=1)
    calls, real = [], blocks.measure_block
    monkeypatch.setattr(blocks, "measure_block", lambda *given: calls.append(1) or real(*given))
    story.learn([Prompt("p01", "another question")])
    assert score(_table(), metrics=["words"], workers=1).frame.equals(first.frame)
    assert calls


def _dies(task, mark, run, *details):
    """Do a task, or kill the process once (with a mark), or always; never that of the run."""
    if os.getpid() != run and not (mark and Path(mark).exists()):
        if mark:
            Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return task(*details)


def _dying(monkeypatch, mark=None, over="measure_block"):
    """Let processes die over one kind of task."""
    submit, run = blocks.Processes.submit, os.getpid()

    def submitted(self, task, *details):
        given = (_dies, task, mark, run) if task.__name__ == over else (task,)
        return submit(self, *given, *details)

    monkeypatch.setattr(blocks.Processes, "submit", submitted)


@pytest.mark.usefixtures("small_blocks")
def test_a_killed_worker_loses_nothing(whole, names, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    _dying(monkeypatch, mark)
    assert score(_table(), metrics=names, pairs=[PAIR], workers=2).frame.equals(whole.frame)
    assert mark.exists()


@pytest.mark.usefixtures("small_blocks")
def test_what_is_measured_over_all_prompts_is_measured_here_where_workers_die(whole, names, monkeypatch, caplog):
    _dying(monkeypatch, over="measure_across")
    assert score(_table(), metrics=names, pairs=[PAIR], workers=2).frame.equals(whole.frame)
    assert "a worker died" in caplog.text


@pytest.mark.usefixtures("small_blocks")
def test_a_worker_that_dies_every_time_is_an_error_that_names_the_prompts(monkeypatch):
    monkeypatch.setattr(blocks, "RETRIES", 0)
    _dying(monkeypatch)
    with pytest.raises(InputError, match=r"worker died 1 times at the prompts brainstorm/p00 to brainstorm/p03"):
        score(_table(), metrics=["words"], workers=2)


def _waits_for(path):
    for _ in range(600):
        if path.exists():
            return os.getpid()
        time.sleep(0.1)
    return None


def test_a_process_that_would_wait_does_what_no_other_has_begun(tmp_path, monkeypatch):
    samples, mark = tmp_path / "samples.jsonl", tmp_path / "mark"
    monkeypatch.setattr(processes, "processors", lambda: 2)
    samples.write_text(" " * 1000)
    processes.expect([str(samples)])
    assert processes.expected() is None
    samples.write_text(" " * processes.BYTES)
    processes.expect([str(samples), "not/there"])
    engine = blocks.engine_for(None, 5, helps=True)
    try:
        # The one other process waits for what only this one can do.
        waiting, touching = engine.submit(_waits_for, mark), engine.submit(mark.touch)
        assert engine.result(waiting) not in (None, os.getpid())
        assert engine.result(touching) is None
    finally:
        engine.close()
    assert processes.expected() is None


COPIES = """
import os, signal
from diversity import processes

def dies(): os.kill(os.getpid(), signal.SIGKILL)

engine = processes.Processes(2)
engine.start()
assert type(engine._pool).__name__ == "Copies"
other = engine.result(engine.submit(os.getpid))
assert other != os.getpid() and int(engine.result(engine.submit(os.getenv, "POLARS_MAX_THREADS"))) == 1
try:
    engine.result(engine.submit(int, "no number"))
except ValueError as error:
    assert "no number" in str(error) and "_serve" in error.__notes__[0]
try:
    [engine.result(each) for each in [engine.submit(dies), engine.submit(dies)]]
except engine.lost:
    engine.restart()
else:
    raise AssertionError("nobody noticed that a process died")
print(engine.result(engine.submit(int, "7")), flush=True)
engine.close()
"""
ORPHAN = """
import os, signal
from diversity import processes
print(processes.Copies(1).run(os.getpid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads of a process are not told here")
def test_copies_of_a_process_are_replaced_where_they_die():
    told = subprocess.run([sys.executable, "-c", COPIES], capture_output=True, text=True, check=False, timeout=60)
    assert (told.returncode, told.stdout) == (0, "7\n"), told.stderr


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads of a process are not told here")
def test_a_copy_ends_with_the_process_that_made_it():
    told = subprocess.run([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert told.returncode == -signal.SIGKILL
    copy = int(told.stdout)
    for _ in range(100):
        if not Path(f"/proc/{copy}").exists() or ") Z " in Path(f"/proc/{copy}/stat").read_text():
            return
        time.sleep(0.1)
    pytest.fail("a copy goes on though the process that made it is gone")


@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_changes_is_noticed(file, tmp_path, monkeypatch):
    real = streaming._sort_into_blocks

    def changing(*given):
        real(*given)
        _table(seed=1).write_parquet(file)

    monkeypatch.setattr(streaming, "_sort_into_blocks", changing)
    with pytest.raises(InputError, match="changed while it was read"):
        streaming.score_file(file, tmp_path / "scores.parquet", metrics=["words"])
    assert [p.name for p in tmp_path.iterdir()] == ["samples.parquet"]


@pytest.mark.usefixtures("small_blocks")
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(file, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(InputError, match=r"scores.parquet: cannot be written \(No space left on device\)"):
        streaming.score_file(file, tmp_path / "scores.parquet", metrics=["words"])
    assert [p.name for p in tmp_path.iterdir()] == ["samples.parquet"]


@pytest.mark.usefixtures("small_blocks")
def test_a_corrupt_file_is_one_clear_error(file, tmp_path):
    content = bytearray(file.read_bytes())
    content[200:2000] = bytes(1800)
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"samples.parquet: not readable parquet|not a readable parquet"):
        streaming.score_file(file, tmp_path / "scores.parquet", metrics=["words"])


def test_pairs_of_very_many_answers_are_taken_within_parts(monkeypatch):
    table = _table(prompts=1, n=300, least=20).filter(pl.col("domain") == "story")
    exact = score(table, metrics=["lexical.similarity", "ngram_vendi"], conditions=["all"])
    monkeypatch.setattr(scoring, "LARGE", 64)
    monkeypatch.setattr(scoring, "PART", 64)
    parted = score(table, metrics=["lexical.similarity", "ngram_vendi", "words"], conditions=["all"])
    one, other = (
        s.frame.filter(metric="lexical.similarity", checkpoint="one").row(0, named=True) for s in (exact, parted)
    )
    assert other["note"] == "pairs within 4 parts of 300 answers"
    assert other["n"] == 300
    assert abs(one["value"] - other["value"]) < 4 * other["se"]
    assert one["se"] < other["se"] < 3 * one["se"]
    assert parted.frame.filter(metric="words", checkpoint="one")["note"].item() is None
    assert parted.frame.filter(metric="ngram_vendi", checkpoint="one")["note"].item() == "a random 64 of 300 answers"


def test_very_many_answers_of_two_checkpoints_are_compared_by_some(monkeypatch):
    table = _table(prompts=1, n=300, least=20).filter(pl.col("domain") == "story")
    names = ["lexical.cross_similarity", "lexical.homogeneity"]
    exact = score(table, metrics=names, conditions=["all"], pairs=[PAIR]).frame
    monkeypatch.setattr(scoring, "LARGE", 200)
    found = score(table, metrics=names, conditions=["all"], pairs=[PAIR]).frame
    cross = found.filter(metric=names[0]).row(0, named=True)
    assert (cross["n"], cross["note"]) == (200, "a random 100 of 300 answers a side")
    for name in names:
        values = [
            f.filter(metric=name, prompt_id=p)["value"][0]
            for f in (exact, found)
            for p in (["p00", "*"][name != names[0]],)
        ]
        assert values[0] == pytest.approx(values[1], rel=0.05)


def test_the_mean_over_parts_is_unbiased():
    """Averaged over all ways to cut a set into two parts, the mean within parts is the mean over all pairs."""
    from itertools import combinations

    rng = np.random.default_rng(0)
    matrix = rng.random((6, 6))
    matrix = (matrix + matrix.T) / 2
    cuts = [(list(a), [i for i in range(6) if i not in a]) for a in combinations(range(6), 3)]
    means = [np.mean([pair_mean(matrix[np.ix_(part, part)])[0] for part in cut]) for cut in cuts]
    assert np.mean(means) == pytest.approx(pair_mean(matrix)[0], abs=1e-12)


def test_samples_of_a_pattern_are_one_table(tmp_path, names, whole, monkeypatch):
    monkeypatch.setattr(streaming, "FROM", 10)
    for (name,), part in _table().group_by("checkpoint"):
        part.write_parquet(tmp_path / f"{name}.parquet")
    streaming.score_file(tmp_path / "*.parquet", tmp_path / "out" / "scores", metrics=names, pairs=[PAIR])
    (tmp_path / "out" / "scores").rename(tmp_path / "all.parquet")
    assert read_scores(tmp_path / "all.parquet").frame.equals(whole.frame)


def test_samples_by_address_are_read_where_they_are(file, names, whole, tmp_path):
    streaming.score_file(f"file://{file}", tmp_path / "scores.parquet", metrics=names, pairs=[PAIR])
    assert read_scores(tmp_path / "scores.parquet").frame.equals(whole.frame)


@pytest.mark.usefixtures("small_blocks")
def test_enough_blocks_are_under_way_and_no_more(tmp_path, file, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 10)
    under_way, counts = set(), []

    class Two(blocks.Here):
        workers = 2

        def submit(self, task, *details):
            under_way.add(future := super().submit(task, *details))
            counts.append(len(under_way))
            return future

        def result(self, future):
            under_way.remove(future)
            return super().result(future)

    streaming.score_file(file, tmp_path / "scores", metrics=["words"], conditions=["all"], engine=Two())
    # A worker that is done finds another block while the first is not; what is held is bounded.
    assert len(counts) == 24
    assert max(counts) == 4 * 2 + 1

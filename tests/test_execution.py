"""Executed samples: behaviours, quality and validity as columns, and the functional facet made of them."""

import json
import subprocess
import sys

import polars as pl
import pytest
from click.testing import CliRunner

from diversity import score
from diversity.cli import commands
from diversity.errors import InputError, MissingExtra, SandboxRefused
from diversity.execution import Execution, execute, expected_of, program_of
from diversity.registry import find_domain
from diversity.sandbox import Limits, Outcome, Sandbox, canonical_json
from diversity.shift import compare
from diversity.tables import Samples, read_samples

CODE = find_domain("code")
PROMPT = CODE.by_id["code-002"]  # sum_even(numbers)
RIGHT = "```python\ndef sum_even(numbers):\n    return sum(n for n in numbers if n % 2 == 0)\n```"
ALSO_RIGHT = "def sum_even(xs):\n    t = 0\n    for x in xs:\n        if not x % 2:\n            t += x\n    return t"
WRONG = "def sum_even(numbers):\n    return sum(numbers)"
FORGETFUL = "def sum_even(numbers):\n    return sum(n for n in numbers if n % 2 == 0) or None"
RAISES = "def sum_even(numbers):\n    return numbers.total()"
BROKEN = "```python\ndef sum_even(numbers):\n    return sum(\n```"
OTHER_NAME = "def even_sum(numbers):\n    return 0"
NONE = "I would rather talk about boats."
OUTPUTS = [RIGHT, ALSO_RIGHT, WRONG, FORGETFUL, RAISES, BROKEN, OTHER_NAME, NONE]


@pytest.fixture(scope="module")
def confined():
    """Skip where programs cannot be confined; tests/test_sandbox.py sees that they are refused there."""
    if sys.platform != "linux":
        pytest.skip("the sandbox is built on Linux")
    try:
        Sandbox().check()
    except (SandboxRefused, MissingExtra) as error:
        pytest.skip(f"refused here, as it should be: {error}")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DIVERSITY_CACHE", str(tmp_path / "cache"))


def rows(outputs, *, checkpoint="pre", domain="code", prompts=("code-002",)):
    return Samples.of(
        pl.DataFrame(
            [
                {"checkpoint": checkpoint, "domain": domain, "prompt_id": p, "sample_index": i, "output": output}
                for p in prompts
                for i, output in enumerate(outputs)
            ]
        ),
        {"seen": "before"},
    )


def test_columns_say_what_each_program_did(confined):
    executed = execute(rows(OUTPUTS))
    found = executed.frame.sort("sample_index")

    assert found["valid"].to_list() == [True, True, False, False, False, False, False, False]
    assert found["outcome"].to_list() == [
        *("passed", "passed", "wrong value", "wrong value"),
        *("raised AttributeError", "load SyntaxError", "missing", "no program"),
    ]
    behaviours = found["behaviour"].to_list()
    assert behaviours[0] == behaviours[1]
    assert behaviours[4:] == ["always raised AttributeError", None, None, None]
    assert len(set(behaviours)) == 5
    # of six checks the sum of all numbers passes [], [0] and [10, 20, 30]; forgetting 0 fails [], [1, 3, 5] and [0]
    assert found["quality"].to_list() == [1, 1, 0.5, 0.5, 0, 0, 0, 0]
    assert executed.provenance["seen"] == "before"
    assert executed.provenance["execution"].startswith("bubblewrap|py3.")


def test_executed_samples_are_stored_and_scored_again_without_running_anything(confined, tmp_path, monkeypatch):
    path = execute(rows(OUTPUTS)).write(tmp_path / "executed.parquet")
    monkeypatch.setattr(Sandbox, "run", None)
    scores = score(read_samples(path), metrics=["functional", "guard"])

    value = {(r["metric"], r["condition"]): r for r in scores.frame.iter_rows(named=True)}
    every, valid = (value["functional.similarity", c] for c in ("all", "valid"))
    # five answers have a behaviour, and one of their 10 pairs is alike; both valid ones are
    assert (every["value"], every["n"]) == (pytest.approx(1 / 10), 5)
    assert every["note"] == "2 of 7 have no behaviour"  # the answer without any program is empty, and in no condition
    assert (valid["value"], valid["n"], valid["note"]) == (1.0, 2, None)
    assert value["valid", "all"]["value"] == 0.25
    assert scores.provenance["execution"].startswith("bubblewrap|")


def test_other_domains_keep_what_they_have_and_have_no_behaviour(confined):
    both = pl.concat(
        [rows(OUTPUTS[:3]).frame, rows(["Once.", "Twice.", "Thrice."], domain="story", prompts=("s",)).frame]
    )
    frame = both.with_columns(quality=pl.lit(0.25), valid=pl.when(pl.col("domain") == "story").then(False))
    scores = score(Samples.of(frame), metrics=["functional", "valid"], execute=True)

    story = scores.frame.filter(pl.col("domain") == "story")
    (functional,) = story.filter(metric="functional.similarity", condition="all").to_dicts()
    assert (functional["value"], functional["note"]) == (None, "no behaviour was recorded")
    assert story.filter(pl.col("metric") == "valid")["value"].to_list() == [0.0]
    executed = execute(Samples.of(frame)).frame
    assert executed.filter(pl.col("domain") == "story")["quality"].to_list() == [0.25] * 3
    assert executed.filter(pl.col("domain") == "code")["quality"].to_list() == [1, 1, 0.5]


def test_compare_tells_the_shift_in_behaviour(confined):
    chosen = CODE.prompts[:12]
    post = pl.concat(
        [rows([p.details["solution"]] * 4, checkpoint="post", prompts=(p.prompt_id,)).frame for p in chosen]
    )
    pre = []
    for i, prompt in enumerate(chosen):
        returns = [f"def {prompt.details['entry_point']}(*a):\n    return {value}" for value in ("a", "None")]
        programs = [
            prompt.details["solution"],
            *returns,
            returns[0] if i % 2 else RAISES.replace("sum_even", prompt.details["entry_point"]),
        ]
        pre.append(rows(programs, prompts=(prompt.prompt_id,)).frame)
    pre = pl.concat(pre)
    shift = compare(pre, post, metrics=["functional"], execute=True)

    (row,) = shift.table().filter(pl.col("metric") == "functional.effective", pl.col("condition") == "all").to_dicts()
    assert row["verdict"] == "narrowed"
    assert row["post"] == 1
    assert "|exec:bubblewrap." in row["signature"]


def test_samples_without_programs_are_refused():
    with pytest.raises(InputError, match="nothing to execute"):
        execute(rows(["Once."], domain="story", prompts=("s",)))


def test_scores_cannot_be_executed():
    scores = score(rows(OUTPUTS), metrics=["valid"])
    with pytest.raises(InputError, match="execute when you score them"):
        compare(scores, scores, execute=True)


def test_commands_execute_only_when_they_are_told_to(confined, tmp_path):
    path = rows(OUTPUTS[:4]).write(tmp_path / "samples.parquet")
    run = CliRunner().invoke
    for options, n in (([], 0), (["--execute"], 4), (["--execute-rlimits-only"], 4)):
        result = run(commands, ["score", str(path), "-o", str(tmp_path / "s.parquet"), "-m", "functional", *options])
        assert result.exit_code == 0, result.output
        scores = pl.read_parquet(tmp_path / "s.parquet").filter(condition="all", metric="functional.similarity")
        assert (scores["value"].null_count() == 0) == bool(n)
    said = " ".join(run(commands, ["compare", "--help"]).output.split())
    assert "which a model wrote" in said
    assert "WITHOUT a sandbox" in said


def test_programs_of_a_public_set_are_run_on_its_asserts(confined, tmp_path):
    header = "from math import floor\n\n\ndef halve(x: int) -> int:\n"
    test = "def check(candidate):\n" + "".join(f"    assert candidate({i}) == {i // 2}\n" for i in range(9))
    record = {"task_id": "Set/0", "prompt": f'{header}    """Half."""\n', "entry_point": "halve", "test": test}
    (tmp_path / "set.jsonl").write_text(json.dumps(record))
    outputs = [
        "    return floor(x / 2)\n\nprint(halve(1))\nAnd so on",
        "```python\ndef halve(x):\n    return floor(x / 2)\n```",
    ]
    outputs += ["def halve(x):\n    return x // 2 if x < 8 else 0", "    return x"]
    path = rows(outputs, prompts=("Set/0",)).write(tmp_path / "samples.parquet")
    out = tmp_path / "scores.parquet"
    command = ["score", str(path), "-o", str(out), "-m", "functional", "-m", "valid", "--execute"]

    # In a process of its own, as what a domain has learned stays with it.
    found = subprocess.run(
        [sys.executable, "-m", "diversity", *command, "--prompt-file", f"code={tmp_path / 'set.jsonl'}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    refused = CliRunner().invoke(commands, command)

    assert found.returncode == 0, found.stderr
    value = {(m, c): v for m, c, v in pl.read_parquet(out).select("metric", "condition", "value").iter_rows()}
    assert value["valid", "all"] == 0.5
    # A body alone is run, but is no program that could be compared: three are left, of which two do the same.
    assert value["functional.similarity", "all"] == pytest.approx(1 / 3)
    assert refused.exit_code != 0


def test_nothing_is_run_where_it_cannot_be_confined(monkeypatch):
    monkeypatch.setattr("diversity.sandbox._bubblewrap", lambda: "/bin/false")
    with pytest.raises(SandboxRefused, match="name the weaker mode"):
        score(rows(OUTPUTS), metrics=["functional"], execute=True)


def test_judging_needs_every_check_and_reports_the_first_that_failed():
    expected = [canonical_json(v) for v in (1, [1, 2], {"a": "b"})]
    right = [Outcome("returned", e) for e in expected]

    assert Execution.of(right, expected).outcome == "passed"
    found = Execution.of([right[0], Outcome("timeout"), right[2], Outcome("returned", "5")], expected)
    assert (found.quality, found.valid, found.outcome) == (pytest.approx(2 / 3), False, "timeout")
    # A call that is not a check moves the behaviour and not the quality.
    more, less = (Execution.of([*right, Outcome("returned", v)], expected) for v in ("1", "2"))
    assert more.valid
    assert less.valid
    assert more.behaviour != less.behaviour


# The checks of the code domain


@pytest.fixture(scope="module")
def strict():
    """A sandbox with narrow limits, for programs that loop."""
    return Sandbox(limits=Limits(call_cpu_seconds=0.15, cpu_seconds=0.2, call_seconds=2, seconds=4), cached=False)


def test_every_reference_solution_passes_its_checks_in_the_sandbox(confined, strict):
    outcomes = strict.run([program_of(p.details["solution"], p) for p in CODE.prompts])
    judged = {p.prompt_id: Execution.of(o, expected_of(p)) for p, o in zip(CODE.prompts, outcomes, strict=True)}

    assert {name: each.outcome for name, each in judged.items() if not each.valid} == {}
    assert all(o.kind == "returned" for each in outcomes for o in each)


# Mutants that do the same as the solution, so that no check can tell: of two equal numbers either comes first (051),
# and neighbours are counted from the other end (069). docs/sandbox.md tells of the rest.
EQUIVALENT = ["code-051", "code-069"]


def test_mutated_solutions_fail_a_check(confined, strict):
    # Every fifth of 599, for time.
    mutants = [(p, m) for p in CODE.prompts for m in mutated(p.details["solution"])][::5]
    outcomes = strict.run([program_of(m, p) for p, m in mutants])
    survivors = [
        p.prompt_id for (p, _), o in zip(mutants, outcomes, strict=True) if Execution.of(o, expected_of(p)).valid
    ]

    assert len(mutants) > 100
    assert survivors == EQUIVALENT


def mutated(source):
    """The program with one change, for each place: a comparison or a number moved by one, plus and minus swapped."""
    import ast

    swaps = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
    swaps |= {ast.Add: ast.Sub, ast.Sub: ast.Add}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in swaps:
            operator = node.ops[0]
            node.ops[0] = swaps[type(operator)]()
            yield ast.unparse(tree)
            node.ops[0] = operator
        elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in swaps:
            operator = node.op
            node.op = swaps[type(operator)]()
            yield ast.unparse(tree)
            node.op = operator
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            node.value += 1
            yield ast.unparse(tree)
            node.value -= 1

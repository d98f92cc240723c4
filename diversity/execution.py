"""Run the programs of a Samples table: what they do, whether they are right, and nothing a program says of itself.

Opt-in, as it runs code that a model wrote; see diversity/sandbox.py for what confines it. The results are columns of
the table, so that they can be stored and scored again without running anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import polars as pl

from diversity.domain import Domain, Prompt
from diversity.errors import InputError
from diversity.flags import own_turn, without_thought
from diversity.registry import domain_of
from diversity.sandbox import BUBBLEWRAP, LANGUAGES, PYTHON, Outcome, Program, Progress, Sandbox, canonical_json
from diversity.tables import Samples

COLUMNS: dict[str, pl.DataType] = {
    "behaviour": pl.String(),
    "quality": pl.Float64(),
    "valid": pl.Boolean(),
    "outcome": pl.String(),
}


@dataclass(frozen=True, slots=True)
class Execution:
    """What one program did.

    Attributes
    ----------
    behaviour : str or None
        The same text for two programs that did the same on every call: returned equal values, raised exceptions of the
        same class, or ran out of time. None where nothing could be called: there is no program, it does not parse, or
        it does not define the function. As with syntax trees, broken programs are then neither alike nor different.
    quality : float
        Share of the prompt's checks that it passed.
    valid : bool
        Whether it passed all of them.
    outcome : str
        In words: "passed", or what the first call that failed its check did.
    """

    behaviour: str | None
    quality: float
    valid: bool
    outcome: str

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], expected: Sequence[str]) -> Execution:
        """Judge the outcomes of a program; the first of them belong to the checks.

        Parameters
        ----------
        outcomes : sequence of Outcome
        expected : sequence of str
            What each check expects, in canonical form.
        """
        right = [o == Outcome("returned", e) for o, e in zip(outcomes, expected, strict=False)]
        failed = next((o for o, r in zip(outcomes, right, strict=False) if not r), None)
        return cls(
            behaviour=_behaviour(outcomes),
            quality=sum(right) / len(expected) if expected else 0.0,
            valid=bool(expected) and all(right),
            outcome="passed" if failed is None else _told(failed),
        )


NOT_PYTHON = {"SyntaxError", "IndentationError", "TabError"}
NO_PROGRAM = Execution(None, 0.0, False, "no program")


def execute(
    samples: Samples | pl.DataFrame,
    *,
    mode: str = BUBBLEWRAP,
    sandbox: Sandbox | None = None,
    progress: Progress | None = None,
) -> Samples:
    """Run the program in every output of the code domain on its prompt's checks and inputs.

    Parameters
    ----------
    samples : Samples or polars.DataFrame
    mode : "bubblewrap" or "rlimits"
        How programs are confined; "rlimits" is weaker, see `Sandbox`.
    sandbox : Sandbox, optional
        One with other limits; `mode` is then its own.
    progress : callable, optional
        Called with ("execute", done, total).

    Returns
    -------
    Samples
        With the columns `behaviour`, `quality`, `valid` and `outcome` filled where the domain holds programs and its
        prompt is known, as in `Execution`; other rows keep what they had.

    Raises
    ------
    InputError
        No row holds a program that could be run.
    SandboxRefused, MissingExtra
        Programs cannot be confined on this machine, or bubblewrap is not installed. Nothing was run then.
    """
    if not isinstance(samples, Samples):
        samples = Samples.of(samples)
    sandbox = sandbox or Sandbox(mode)
    frame = samples.frame
    domains = {name: domain_of(name) for name in frame["domain"].unique()}
    rows: list[int] = []
    programs: list[Program] = []
    prompts: list[Prompt] = []
    for row, (name, prompt_id, output) in enumerate(frame.select("domain", "prompt_id", "output").iter_rows()):
        domain = domains[name]
        prompt = domain.by_id.get(prompt_id)
        if prompt is None or not can_run(domain, prompt):
            continue
        rows.append(row)
        prompts.append(prompt)
        answer = _completed(domain.extract(output), output, prompt)
        programs.append(program_of(answer, prompt, domain.language or PYTHON))
    if not rows:
        raise InputError(
            "there is nothing to execute: no row has a prompt of a domain with checks (code): leave out --execute, "
            "or name the file of prompts, --prompt-file code=FILE"
        )
    present = [i for i, program in enumerate(programs) if program.code]
    executed = [NO_PROGRAM] * len(rows)
    for i, outcomes in zip(present, sandbox.run([programs[i] for i in present], progress), strict=True):
        executed[i] = Execution.of(outcomes, expected_of(prompts[i]))
    columns: list[pl.Series] = []
    for name, dtype in COLUMNS.items():
        values: list[Any] = frame[name].cast(dtype).to_list() if name in frame.columns else [None] * frame.height
        for row, each in zip(rows, executed, strict=True):
            values[row] = getattr(each, name)
        columns.append(pl.Series(name, values, dtype=dtype))
    return Samples.of(
        frame.with_columns(columns),
        {**samples.provenance, "execution": sandbox.signature({each.language for each in programs})},
    )


def can_run(domain: Domain, prompt: Prompt) -> bool:
    """Whether answers to a prompt are programs that the sandbox runs."""
    return domain.language in LANGUAGES and {"entry_point", "checks"} <= prompt.details.keys()


def program_of(answer: str, prompt: Prompt, language: str = PYTHON) -> Program:
    """Make an answer the program to run: on the arguments of the prompt's checks, then on its further inputs.

    Those are what the prompt brings by hand, then what was drawn for it, see `diversity.inputs`.
    """
    details = prompt.details
    calls = [check["args"] for check in details["checks"]] + [*details.get("inputs", []), *details.get("drawn", [])]
    return Program(answer, details["entry_point"], tuple(json.dumps(call) for call in calls), language)


def _completed(answer: str, output: str, prompt: Prompt) -> str:
    """Put a program behind what a prompt that is code itself (HumanEval) has above the function: imports, helpers.

    An output that only goes on with the body is put behind all of it.
    """
    name = re.escape(prompt.details["entry_point"])
    opened = list(re.finditer(rf"^def {name}\b", prompt.prompt, re.MULTILINE))
    if not opened:
        return answer
    if re.search(rf"^(?:async )?def {name}\b", answer, re.MULTILINE):
        return prompt.prompt[: opened[-1].start()] + answer
    body = re.split(r"\n(?=[^\s#)\]}])", "\n" + own_turn(without_thought(output)[0])[0].strip("\n"), maxsplit=1)[0]
    return prompt.prompt + body if re.match(r"\n[ \t]", body) else answer


def expected_of(prompt: Prompt) -> list[str]:
    """What the checks of a prompt expect, in canonical form. It never leaves this process."""
    return [canonical_json(check["expect"]) for check in prompt.details["checks"]]


def _behaviour(outcomes: Sequence[Outcome]) -> str | None:
    kinds = set(outcomes)
    if len(kinds) == 1:
        only = outcomes[0]
        if only.kind == "missing" or (only.kind == "load" and only.detail in NOT_PYTHON):
            return None
        if only.kind != "returned":
            return f"always {_told(only)}"
    return "#" + blake2b(json.dumps(outcomes).encode(), digest_size=10).hexdigest()


def _told(outcome: Outcome) -> str:
    if outcome.kind == "returned":
        return "wrong value"
    return f"{outcome.kind} {outcome.detail}".strip()

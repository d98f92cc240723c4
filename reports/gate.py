"""A gate as CI systems and people read it: terminal, Markdown, GitHub's annotations, GitLab's code quality."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from diversity.policy import KINDS
from diversity.probes import PROBES
from diversity.reports.designs import Page, Table
from diversity.reports.markdown import LIMIT, code, escape
from diversity.reports.notation import MISSING, effective, number, percent, plural
from diversity.reports.plaintext import one_line
from diversity.reports.sentences import CONDITIONS, facet_word

if TYPE_CHECKING:
    from rich.console import RenderableType

    from diversity.gate import Finding, Gate
    from diversity.policy import Rule

SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "not measured": "–"}
COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow", "not measured": "yellow"}
WORDS = {"passed": "passed", "failed": "failed", "undecided": "undecided: the evidence does not settle it"}
ANNOTATIONS = 10  # GitHub shows so many of a kind and step


def subject(rule: Rule) -> str:
    """Name what a rule limits: 'wording', 'guard refused', 'distinct_2 (valid answers only)'."""
    if rule.of == "probe":
        return PROBES[rule.name].says
    name = {"facet": facet_word(rule.name), "guard": f"guard {rule.name}", "metric": rule.name}[rule.of]
    return name if rule.condition == "all" else f"{name} ({CONDITIONS.get(rule.condition, rule.condition)})"


def allowed(rule: Rule) -> str:
    """Say the limit: 'may narrow by at most 20 %'."""
    kind = KINDS[rule.kind]
    in_percent = kind.reads == "ratio" or rule.of_pre or rule.is_share
    # A change of a share is in points of it; a share of the value before is a percentage.
    unit = " points" if kind.reads == "change" and in_percent and not rule.of_pre else " %"
    limit = f"{percent(rule.limit, signed=False)}{unit}" if in_percent else number(rule.limit)
    return kind.says.format(limit)


def found(finding: Finding) -> str:
    """Say what was found: '6.1 → 4.2 of 16, −31 % (−38 to −23)'."""
    rule = finding.rule
    if finding.value is None:
        return MISSING
    if KINDS[rule.kind].reads == "ratio":
        pre, post = effective(finding.pre or 0, finding.post or 0)
        size, low, high = (percent(v) for v in (finding.value, finding.low, finding.high))
        return f"{pre} → {post}, {size} % ({low} to {high})"
    if KINDS[rule.kind].reads == "level":
        size, low, high = (_amount(rule, v, signed=False) for v in (finding.value, finding.low, finding.high))
        return f"{size}{_percent(rule)} ({low} to {high})"
    pre, post = (_amount(rule, v, signed=False) for v in (finding.pre, finding.post))
    size, low, high = (_amount(rule, v, signed=True) for v in (finding.value, finding.low, finding.high))
    return f"{pre} → {post}{_percent(rule)}, {size} ({low} to {high})"


def _amount(rule: Rule, value: float | None, *, signed: bool) -> str:
    return percent(value, signed=signed) if rule.is_share else number(value, signed=signed)


def _percent(rule: Rule) -> str:
    return " %" if rule.is_share else ""


def remark(finding: Finding) -> str:
    """Say what to hold against a finding, and what would decide it; may be empty."""
    said = [one_line(note, 200) for note in finding.notes]
    if finding.prompts_needed:
        more = finding.prompts_needed - finding.n_prompts
        outputs = f", {finding.outputs_needed:,} outputs a checkpoint" if finding.outputs_needed else ""
        said.append(f"about {plural(finding.prompts_needed, 'prompt')} would decide it ({more:,} more{outputs})")
    elif finding.outcome == "inconclusive":
        said.append("these prompts do not tell how many would decide it")
    return "; ".join(said)


def sentence(finding: Finding) -> str:
    """Say all of one finding on one line."""
    rule = finding.rule
    rest = remark(finding)
    return (
        f"{one_line(rule.domain, 40)}: {one_line(subject(rule))} {allowed(rule)}; found {found(finding)}: "
        f"{finding.outcome}{f' ({rest})' if rest else ''}"
    )


def summary(gate: Gate) -> str:
    """Say how the gate ended, on one line."""
    counts = {o: sum(f.outcome == o for f in gate.findings) for o in SIGNS}
    told = {"pass": "kept", "fail": "broken", "inconclusive": "open", "not measured": "not measured"}
    parts = ", ".join(f"{count} {told[outcome]}" for outcome, count in counts.items() if count)
    return f"Gate {WORDS[gate.verdict]}. Of {plural(len(gate.findings), 'rule')}: {parts}."


def plain(gate: Gate) -> str:
    """Return the gate as plain lines: the assertion of a test."""
    return "\n".join([summary(gate), *(f"  {SIGNS[f.outcome]} {sentence(f)}" for f in gate.findings), *gate.notes])


def render(gate: Gate) -> RenderableType:
    """Return a rich renderable: a row a rule, and how it ended."""
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "domain", "limit", "found (95 %)", ""):
        table.add_column(column, overflow="fold")
    for finding in gate.findings:
        rule = finding.rule
        outcome = Text(f"{SIGNS[finding.outcome]} {finding.outcome}", style=COLOURS[finding.outcome])
        if finding.warns:
            outcome.append(" (warning)")
        table.add_row(
            outcome,
            Text(one_line(rule.domain, 40)),
            Text(f"{one_line(subject(rule))} {allowed(rule)}"),
            Text(found(finding)),
            Text(remark(finding), style="dim"),
        )
    names = Text.assemble("Gate: ", (one_line(gate.pre), "bold"), " → ", (one_line(gate.post), "bold"))
    style = {"passed": "bold green", "failed": "bold red", "undecided": "bold yellow"}[gate.verdict]
    notes = [Text(one_line(note, 300), style="dim") for note in gate.notes]
    return Group(names, Padding(table, (1, 0)), Text(summary(gate), style=style), *notes)


def page(gate: Gate) -> Page:
    """Lay a gate out as a part of the report: how it ended, and a row a rule, those that block first."""
    columns = ("", "domain", "limit", "found (95 %)", "remark")
    rows = [
        [
            f"{SIGNS[f.outcome]} {f.outcome}{' (warning)' if f.warns else ''}",
            one_line(f.rule.domain, 40),
            f"{one_line(subject(f.rule))} {allowed(f.rule)}",
            found(f),
            remark(f) or MISSING,
        ]
        for f in _by_weight(gate)
    ]
    said = summary(gate).partition(". ")[2]
    if gate.policy.file:
        said += f" They stand in {gate.policy.file.name}."
    tables = [Table(title="The rules, those that keep the gate from passing first", columns=columns, rows=rows)]
    return Page(title=f"The gate {WORDS[gate.verdict]}", said=[said], tables=tables, notes=list(gate.notes))


def _by_weight(gate: Gate) -> list[Finding]:
    return sorted(gate.findings, key=lambda f: (f.outcome != "fail", not f.blocks, not f.warns))


def markdown(gate: Gate) -> str:
    """Return the gate as Markdown below 60 kB: a table with a row a rule, those that block first."""
    head = [
        f"## {SIGNS[{'passed': 'pass', 'failed': 'fail'}.get(gate.verdict, 'inconclusive')]} "
        f"Diversity gate {gate.verdict}",
        "",
        f"{code(gate.pre)} → {code(gate.post)}. {escape(summary(gate).partition('. ')[2])}",
        "",
        "| | domain | limit | found (95 %) | |",
        "| :-- | :-- | :-- | :-- | :-- |",
    ]
    foot = ["", *(f"*{escape(one_line(note, 300))}*\n" for note in gate.notes)]
    order = _by_weight(gate)
    lines: list[str] = []
    size = len("\n".join([*head, *foot]).encode())
    for done, finding in enumerate(order):
        rule = finding.rule
        cells = [
            f"{SIGNS[finding.outcome]} {finding.outcome}",
            code(one_line(rule.domain, 40)).replace("|", "&#124;"),
            escape(f"{one_line(subject(rule))} {allowed(rule)}"),
            found(finding),
            escape(remark(finding)),
        ]
        line = f"| {' | '.join(cells)} |"
        size += len(line.encode()) + 1
        if size >= LIMIT:
            lines.append(f"| … | | {plural(len(order) - done, 'more rule')} | | |")
            break
        lines.append(line)
    return "\n".join([*head, *lines, *foot])


def github(gate: Gate) -> list[str]:
    """Return GitHub workflow commands: an error a rule that blocks, a warning a rule that warns, at its line."""
    commands = []
    for kind, chosen in (("error", gate.failures), ("warning", gate.warnings)):
        for done, finding in enumerate(chosen):
            rest = len(chosen) - done
            if done == ANNOTATIONS - 1 and rest > 1:
                commands.append(_command(kind, gate, None, "Diversity gate", f"{rest} more rules: see the summary"))
                break
            title = f"{one_line(finding.rule.domain, 40)}: {subject(finding.rule)}"
            commands.append(_command(kind, gate, finding.rule.line, title, sentence(finding)))
    return commands


def _command(kind: str, gate: Gate, line: int | None, title: str, message: str) -> str:
    place = {"title": title}
    if gate.policy.file:
        place = {"file": _from_here(gate.policy.file), **({"line": str(line)} if line else {}), **place}
    properties = ",".join(f"{key}={_property(value)}" for key, value in place.items())
    return f"::{kind} {properties}::{_data(message)}"


def _from_here(file: Path) -> str:
    """Write a path as CI systems know it: from the folder in which the job runs."""
    try:
        return file.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file.as_posix()


def _data(text: str) -> str:
    """Escape the message of a workflow command: a line end would end it, and what follows be a command of its own."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def gitlab(gate: Gate) -> str:
    """Return a code quality report, as GitLab shows it beside a merge request: an entry a rule, at its line."""
    entries = []
    for finding in (*gate.failures, *gate.warnings):
        rule = finding.rule
        key = f"{rule.domain}|{rule.of}|{rule.name}|{rule.condition}|{rule.kind}"
        entries.append(
            {
                "description": sentence(finding),
                "check_name": f"diversity.{rule.kind}",
                "fingerprint": blake2b(key.encode("utf-8", "replace"), digest_size=16).hexdigest(),
                "severity": "minor" if finding.warns else "major" if finding.is_open else "critical",
                "location": {
                    "path": _from_here(gate.policy.file) if gate.policy.file else "diversity.toml",
                    "lines": {"begin": rule.line or 1},
                },
            }
        )
    return json.dumps(entries, indent=1, ensure_ascii=True) + "\n"

"""Shift + policy -> Gate: which limits a shift keeps, which it breaks, and which it leaves open.

How the statistics decide, and how often they err: `docs/gate.md`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diversity import __version__
from diversity.confidence import CANNOT
from diversity.errors import InputError, UnknownName
from diversity.files import written
from diversity.policy import KINDS, Policy, Rule
from diversity.probes import EVERYWHERE, PROBES
from diversity.registry import domains as known_domains
from diversity.scoring import ALL
from diversity.stats import holm, mean_difference

if TYPE_CHECKING:
    from diversity.shift import Shift

SCHEMA = 1
# One-sided: a rule on its own fails when its 95 % interval lies beyond the limit.
LEVEL = 0.025
POWER = 0.80
FAILED, UNDECIDED = 1, 3  # exit codes

Outcome = Literal["pass", "fail", "inconclusive", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a shift says of one rule.

    Attributes
    ----------
    rule : Rule
    outcome : str
        "pass" (the interval lies within the limit), "fail" (beyond it), "inconclusive", or "not measured". A strict
        rule passes or fails.
    value, low, high : float or None
        What is limited, with its 95 % interval: the relative change of the effective number, the change, or the level.
    pre, post : float or None
    n_prompts : int
    p, p_adjusted : float or None
        Of lying within the limit after all, one-sided; adjusted for all rules of the policy (Holm).
    prompts_needed : int or None
        Prompts that would decide an open rule with 80 % power, were the estimate the truth; None where the rule is
        decided, or these prompts do not tell.
    outputs_needed : int or None
        The same in outputs of one checkpoint.
    notes : tuple of str
        What to hold against the finding.
    signature : str or None
    """

    rule: Rule
    outcome: Outcome
    value: float | None = None
    low: float | None = None
    high: float | None = None
    pre: float | None = None
    post: float | None = None
    n_prompts: int = 0
    p: float | None = None
    p_adjusted: float | None = None
    prompts_needed: int | None = None
    outputs_needed: int | None = None
    notes: tuple[str, ...] = ()
    signature: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the data decide nothing."""
        return self.outcome in {"inconclusive", "not measured"}

    @property
    def blocks(self) -> bool:
        """Whether the gate does not pass because of it. What was not measured always blocks."""
        return self.outcome in {"fail", "not measured"} or (
            self.outcome == "inconclusive" and self.rule.inconclusive in {"fail", "sample-more"}
        )

    @property
    def warns(self) -> bool:
        """Whether the gate passes with a warning."""
        return self.outcome == "inconclusive" and self.rule.inconclusive == "warn"

    def __str__(self) -> str:
        from diversity.reports.gate import sentence

        return sentence(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A shift held against a policy.

    Attributes
    ----------
    findings : tuple of Finding
        One a rule, in the policy's order.
    pre, post : str
        Names of the two checkpoints.
    policy : Policy
    shift : Shift
    notes : tuple of str
        What holds for the whole gate: looks taken, conditions that a stored baseline cannot give.
    """

    findings: tuple[Finding, ...]
    pre: str
    post: str
    policy: Policy
    shift: Shift = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no rule fails and none is left open that may not be."""
        return not any(f.blocks for f in self.findings)

    @property
    def failures(self) -> list[Finding]:
        """The findings that keep the gate from passing: those that fail first, then those left open."""
        return sorted((f for f in self.findings if f.blocks), key=lambda f: f.is_open)

    @property
    def warnings(self) -> list[Finding]:
        """Open findings with which the gate passes all the same."""
        return [f for f in self.findings if f.warns]

    @property
    def exit_code(self) -> int:
        """0 passed, 1 a rule fails, 3 a rule is left open that may not be."""
        if any(f.outcome == "fail" for f in self.findings):
            return FAILED
        return 0 if self.passed else UNDECIDED

    @property
    def verdict(self) -> str:
        """ "passed", "failed" or "undecided"."""  # noqa: D210 - a quotation mark opens the sentence
        return {0: "passed", FAILED: "failed", UNDECIDED: "undecided"}[self.exit_code]

    def of(self, domains: str | Sequence[str]) -> Gate:
        """Return the gate of some domains only, judged as a part of the whole policy."""
        names = [domains] if isinstance(domains, str) else list(domains)
        for name in names:
            if name not in self.policy.domains:
                raise UnknownName("domain of the policy", name, self.policy.domains)
        return Gate(
            findings=tuple(f for f in self.findings if f.rule.domain in names),
            pre=self.pre,
            post=self.post,
            policy=self.policy,
            shift=self.shift,
            notes=self.notes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the shift as plain values."""
        return {
            "schema": SCHEMA,
            "package": __version__,
            "verdict": self.verdict,
            "passed": self.passed,
            "exit_code": self.exit_code,
            "pre": self.pre,
            "post": self.post,
            "policy": str(self.policy.file) if self.policy.file else None,
            "notes": list(self.notes),
            "findings": [
                {**asdict(f), "notes": list(f.notes), "blocks": f.blocks, "sentence": str(f)} for f in self.findings
            ],
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the gate as JSON, and write it where a path is given."""
        text = json.dumps(self.to_dict(), sort_keys=True, indent=1, allow_nan=False) + "\n"
        return written(text, path)

    def to_html(self, path: str | Path | None = None, *, outputs: str = "all") -> str:
        """Return the report of the shift with the gate's table in front, and write it where a path is given.

        `outputs` as in `Shift.to_html`.
        """
        from diversity.reports.html import render

        return written(render(self.shift, outputs=outputs, gate=self), path)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the gate as Markdown, for a comment or a step's summary, and write it where a path is given."""
        from diversity.reports.gate import markdown

        return written(markdown(self), path)

    def to_junit(self, path: str | Path | None = None) -> str:
        """Return the gate as JUnit XML, a test case a rule, and write it where a path is given."""
        from diversity.reports.junit import render

        return written(render(self), path)

    def to_gitlab(self, path: str | Path | None = None) -> str:
        """Return the broken rules as a GitLab code quality report, and write it where a path is given."""
        from diversity.reports.gate import gitlab

        return written(gitlab(self), path)

    def __str__(self) -> str:
        from diversity.reports.gate import plain

        return plain(self)


def check(shift: Shift, policy: Policy | Mapping[str, Any] | str | Path | None = None, *, looks: int = 1) -> Gate:
    """Hold a shift against a policy.

    Parameters
    ----------
    shift : Shift
        Of `compare`.
    policy : path, mapping or Policy, optional
        `diversity.toml`, a pyproject.toml, or what they hold; by default the nearest file. See docs/gate.md.
    looks : int
        How often the same comparison is judged while outputs are added; each look has its share of the error.

    Returns
    -------
    Gate

    Raises
    ------
    InputError
        The policy cannot be read, or names a domain that is neither registered nor in the shift; its file and line
        are named.

    Notes
    -----
    A rule fails when its interval lies beyond the limit, at a level adjusted for all rules (Holm): of unchanged
    checkpoints and of those at their limits, at most one gate in 40 fails. It passes when its interval lies within
    the limit; no adjustment is needed there, since the gate passes only when all rules do.
    """
    if isinstance(policy, Mapping):
        policy = Policy.of(policy)
    elif not isinstance(policy, Policy):
        policy = Policy.read(policy)
    rows = {(r["domain"], r["metric"], r["condition"]): r for r in shift.table().to_dicts()}
    _check_domains(policy, sorted({domain for domain, _, _ in rows}))
    verdicts = {(r["domain"], r["facet"]): r for r in shift.verdicts().to_dicts()}
    evidence = [_evidence(rule, rows, shift) for rule in policy.rules]
    level = LEVEL / looks
    tested = [i for i, e in enumerate(evidence) if e.is_tested]
    adjusted = dict(zip(tested, holm(np.array([evidence[i].p_beyond for i in tested])), strict=True)) if tested else {}
    findings = tuple(
        _finding(e, adjusted.get(i), level, len(tested), verdicts.get((e.rule.domain, e.rule.name)))
        for i, e in enumerate(evidence)
    )
    notes = (f"judged at one of {looks} looks, at {level:.2g} one-sided",) if looks > 1 else ()
    return Gate(findings=findings, pre=shift.pre, post=shift.post, policy=policy, shift=shift, notes=notes)


def _check_domains(policy: Policy, held: Sequence[str]) -> None:
    for rule in policy.rules:
        if rule.domain not in held and rule.domain not in known_domains():
            line = f", line {rule.line}" if rule.line else ""
            names = UnknownName("domain", rule.domain, [*held, *known_domains()])
            raise InputError(f"{policy.file or 'policy'}{line}: {names}. The samples hold {', '.join(held)[:200]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """What the Shift table says of one rule, on the scale on which its interval was made."""

    rule: Rule
    n: int = 0
    n_outputs: int | None = None
    pre: float | None = None
    post: float | None = None
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    bound: float = math.nan
    signature: str | None = None
    reason: str = ""
    cannot: str = ""  # why a probe can tell nothing of the pair
    groups: int | None = None

    @property
    def is_measured(self) -> bool:
        return not (math.isnan(self.estimate) or math.isnan(self.low) or math.isnan(self.high))

    @property
    def is_tested(self) -> bool:
        return self.is_measured and self.is_enough and not self.is_point and not self.cannot

    @property
    def is_enough(self) -> bool:
        """Whether there are as many prompts as the rule asks for; families have a least number of their own."""
        return self.n >= self.rule.min_prompts or self.rule.name == "transfer_drop"

    @property
    def df(self) -> int:
        """Degrees of freedom of the interval."""
        return max(1, (self.groups or self.n) - 1)

    @property
    def is_point(self) -> bool:
        """A facet whose every prompt shifted alike: that says nothing of the next prompt (as in a verdict).

        Shares are another thing: no refusal in any prompt is what one hopes to see.
        """
        return self.rule.of == "facet" and self.low == self.high and self.estimate != 0

    @property
    def side(self) -> int:
        return KINDS[self.rule.kind].side

    @property
    def p_beyond(self) -> float:
        """One-sided p of the limit being kept: small where the data say it is broken."""
        near = self.estimate - self.low if self.side > 0 else self.high - self.estimate
        return self._p(self.side * (self.estimate - self.bound), near, tie=1.0)

    @property
    def p_within(self) -> float:
        """One-sided p of the limit being broken: small where the data say it is kept."""
        near = self.high - self.estimate if self.side > 0 else self.estimate - self.low
        return self._p(self.side * (self.bound - self.estimate), near, tie=0.0)

    def _p(self, distance: float, half: float, *, tie: float) -> float:
        """Student's t of a distance, its standard error read from the half of the 95 % interval that faces the limit.

        At the level of one rule that is the interval itself; at a smaller one, the interval widened as t is.
        """
        from scipy.special import stdtr, stdtrit

        if half <= 1e-12 * max(1.0, abs(self.estimate)):
            if abs(distance) <= 1e-12 * max(1.0, abs(self.bound)):
                return tie
            return 0.0 if distance > 0 else 1.0
        return float(stdtr(self.df, -distance / half * stdtrit(self.df, 0.975)))

    def needed(self, level: float, family: int) -> int | None:
        """Prompts that would decide the rule, were the estimate the truth."""
        from scipy.special import ndtri

        few = 0 if self.is_enough else self.rule.min_prompts
        # More of the same prompts do not lift a floor, and families are not prompts.
        if not self.is_measured or self.is_point or self.cannot or self.rule.name == "transfer_drop":
            return few or None
        distance = self.side * (self.estimate - self.bound)
        # Beyond the limit it takes the adjusted level of the whole family, within it the level of one rule.
        quantile = float(-ndtri(level / family if distance > 0 and family else level) + ndtri(POWER))
        half = (self.estimate - self.low) if (distance > 0) == (self.side > 0) else (self.high - self.estimate)
        spread = half / 1.96 * math.sqrt(self.n)
        if distance == 0 or not math.isfinite(spread):
            return few or None
        needed = (quantile * spread / abs(distance)) ** 2
        return max(few, self.n + 1, math.ceil(needed) + 2) if needed < 1e6 else few or None


def _evidence(rule: Rule, rows: Mapping[tuple[str, str, str], Mapping[str, Any]], shift: Shift) -> _Evidence:
    if rule.of == "probe":
        return _probed(rule, shift)
    row = rows.get((rule.domain, rule.metric, rule.condition))
    if row is None:
        known = sorted({domain for domain, _, _ in rows})
        if rule.domain not in known:
            return _Evidence(rule=rule, reason=f"the shift holds no domain {rule.domain}, it holds {', '.join(known)}")
        under = "" if rule.condition == ALL else f" under the condition {rule.condition}"
        return _Evidence(rule=rule, reason=f"{rule.name} was not scored{under}")
    kind = KINDS[rule.kind]
    told: dict[str, Any] = {
        "rule": rule,
        "n": row["n_prompts"],
        "n_outputs": row["n_outputs"],
        "pre": row["pre"],
        "post": row["post"],
        "signature": row["signature"],
    }
    if kind.reads == "level":
        values = [
            p["values"][rule.metric]["post"]
            for p in shift.prompts
            if p["domain"] == rule.domain and p["values"].get(rule.metric, {}).get("post") is not None
        ]
        told["n"] = len(values)
        if len(values) < 2:
            return _Evidence(**told, reason=_unmeasured(rule))
        level = np.array(values)
        found = mean_difference(np.zeros_like(level), level, seed=shift.settings["seed"])
        low, high = found.interval
        return _Evidence(
            **told | {"post": found.estimate}, estimate=found.estimate, low=low, high=high, bound=rule.limit
        )
    if row["shift"] is None:
        return _Evidence(**told, reason=_unmeasured(rule))
    if kind.reads == "ratio":
        bound = math.log1p(kind.side * rule.limit)
    else:
        bound = kind.side * rule.limit * (abs(row["pre"]) if rule.of_pre else 1)
    low, high = (math.nan if row[end] is None else row[end] for end in ("ci_low", "ci_high"))
    return _Evidence(**told, estimate=row["shift"], low=low, high=high, bound=bound)


def _probed(rule: Rule, shift: Shift) -> _Evidence:
    """What a probe says of a rule: the domain's own cell, or that of the cliff from this domain outwards."""
    cells = [c for c in shift.probes if c["key"] == rule.name]
    own = next((c for c in cells if c["domain"] == rule.domain), None)
    if own is None and rule.domain in shift.settings.get("tuned", ()):
        own = next((c for c in cells if c["domain"] == EVERYWHERE), None)
    if own is None:
        return _Evidence(rule=rule, reason=_unmeasured(rule))
    kind = KINDS[rule.kind]
    is_level = kind.reads == "level"
    ends = [own[end] for end in (("post_low", "post_high") if is_level else ("low", "high"))]
    value = own["post" if is_level else "shift"]
    low, high = (math.nan if end is None else end for end in ends)
    # At the ceiling there is nothing to blame, and a limit is kept or not as the figures say, where there are any.
    is_told = own["verdict"] != CANNOT or (own["why"].startswith("ceiling") and None not in (value, *ends))
    return _Evidence(
        rule=rule,
        n=own["n"],
        pre=own["pre"],
        post=own["post"],
        estimate=math.nan if value is None else value,
        low=low,
        high=high,
        bound=rule.limit if is_level else kind.side * rule.limit * (abs(own["pre"] or 0.0) if rule.of_pre else 1),
        signature=own.get("signature") or None,
        cannot="" if is_told else own["why"],
        groups=own["groups"],
    )


def _unmeasured(rule: Rule) -> str:
    if rule.of == "probe":
        said = PROBES[rule.name].says
        if rule.name == "faithfulness":
            return f"{said}: it asks the checkpoints themselves; give what `diversity faithfulness --json` printed"
        if rule.name.startswith("cliff_"):
            return f"{said}: it takes an embedding model, or prompts that grade their distance"
        if rule.name.endswith(("_token", "_sequence")):
            return f"{said}: the samples hold no log-probabilities; sample with --log-probabilities"
        return f"{said}: no prompt has what it takes on both sides"
    if rule.name == "semantic":
        return "no prompt has it on both sides: is an embedding model installed?"
    if rule.name == "functional":
        return "no prompt has it on both sides: programs have a behaviour only with --execute"
    if rule.name == "truncated":
        return "the samples do not say how each output ended"
    return "fewer than 2 prompts have it on both sides"


def _finding(
    e: _Evidence, p_adjusted: float | None, level: float, family: int, verdict: Mapping[str, Any] | None
) -> Finding:
    rule = e.rule
    if not e.is_measured and not e.cannot:
        reason = e.reason or "two prompts or more are needed"
        return Finding(
            rule=rule, outcome="not measured", n_prompts=e.n, pre=e.pre, post=e.post, notes=(reason,),
            signature=e.signature,
        )  # fmt: skip
    notes = []
    outcome: Outcome = "inconclusive"
    if p_adjusted is not None and p_adjusted <= level:
        outcome = "fail"
    elif p_adjusted is not None and e.p_within <= level:
        outcome = "pass"
    elif e.cannot:
        notes.append(f"cannot tell: {e.cannot}")
    elif not e.is_enough:
        notes.append(f"{e.n} prompts, and the policy asks for {rule.min_prompts}")
    elif e.is_point:
        notes.append("all prompts shifted alike, which leaves no measure of chance")
    elif e.p_beyond <= LEVEL:
        notes.append(f"beyond the limit alone, but not with the {family} rules allowed for")
    needed = e.needed(level, family) if outcome == "inconclusive" else None
    if rule.strict and outcome == "inconclusive":
        outcome = "fail"
        notes.append("strict: the data do not show that the limit is kept")
    if rule.of == "facet" and rule.condition == ALL and verdict is not None:
        from diversity.reports.sentences import marks

        notes += [mark for mark in marks(verdict) if mark != "provisional"]
    ratio = KINDS[rule.kind].reads == "ratio"
    ends: list[float | None] = [math.expm1(v) if ratio else v for v in (e.estimate, e.low, e.high)]
    if KINDS[rule.kind].reads == "level":
        # A mean of shares does not leave [0, 1], its interval may.
        least, most = rule.range
        ends = [e.estimate, max(e.low, least), min(e.high, most)]
    value, low, high = ends if e.is_measured else [None] * 3
    return Finding(
        rule=rule,
        outcome=outcome,
        value=value,
        low=low,
        high=high,
        pre=e.pre,
        post=e.post,
        n_prompts=e.n,
        p=e.p_beyond if e.is_tested else None,
        p_adjusted=float(p_adjusted) if p_adjusted is not None else None,
        prompts_needed=needed,
        outputs_needed=_outputs(e, needed),
        notes=tuple(notes),
        signature=e.signature,
    )


def _outputs(e: _Evidence, prompts: int | None) -> int | None:
    """Outputs of one checkpoint that so many prompts are, at as many a prompt as there are now."""
    if prompts is None or not e.n or not e.n_outputs:
        return None
    return prompts * max(2, round(e.n_outputs / 2 / e.n))

"""A first policy, written from what a first comparison found."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diversity.policy import FACETS
from diversity.registry import domain_of
from diversity.reports.notation import change, effective, percent
from diversity.reports.plaintext import one_line
from diversity.stats import PROVISIONAL

if TYPE_CHECKING:
    from diversity.shift import Shift

# Limits to choose from, and what the interval of an unchanged checkpoint must fit in with 80 % power.
STEPS = (0.10, 0.15, 0.20, 0.25, 0.30, 0.40, 0.50, 0.75)
GUARDS = ("refused", "truncated", "duplicates")
FITS = 2.8 / 1.96

HEAD = """\
# What a checkpoint after tuning may do to the diversity of its outputs: `diversity check` holds it to this.
# Written by `diversity check --init` from {pre} → {post}; the limits are proposals, change them.

# A rule fails only when the 95 % interval lies beyond its limit. What a rule does when the interval holds the limit:
# "fail" (exit code 3), "warn", "pass", or "sample-more" (draw further prompts, where post can be sampled).
inconclusive = "fail"
# true reverses the burden: a rule passes only when the interval lies within its limit.
strict = false
# Below so many prompts a rule decides nothing.
min_prompts = {prompts}
# What is compared with, where `check` is given one side only: a checkpoint, samples, or a stored baseline.
{baseline}
# How a checkpoint is sampled here, and how many further outputs of one checkpoint sample-more may draw.
# budget = 2000
# [sampling]
{sampling}
"""


def draft(shift: Shift, baseline: str | None = None) -> str:
    """Return a commented policy in TOML.

    Parameters
    ----------
    shift : Shift
        A first comparison: of two checkpoints, or of two runs of one.
    baseline : str, optional
        What later checks are to compare with.

    Returns
    -------
    str
        Each limit on a facet is the smallest of 10, 15, 20 … % that an unchanged checkpoint keeps with 80 % power at
        the number of prompts of this comparison.
    """
    sampling = (shift.provenance.get("sampling") or {}).get(shift.pre, {})
    known = {key: sampling[key] for key in ("temperature", "top_p", "max_tokens") if sampling.get(key) is not None}
    prompts = min(PROVISIONAL, min(r["n_prompts"] for r in shift.verdicts().to_dicts()))
    text = HEAD.format(
        pre=one_line(shift.pre, 60),
        post=one_line(shift.post, 60),
        prompts=max(2, prompts),
        baseline=f"baseline = {json.dumps(baseline)}" if baseline else '# baseline = "baseline.json"',
        sampling="\n".join(f"# {key} = {value:g}" for key, value in known.items()) or "# temperature = 1",
    )
    guards = {(r["domain"], r["metric"]): r for r in shift.guards().to_dicts() if r["condition"] == "all"}
    rows = shift.verdicts().to_dicts()
    for domain in dict.fromkeys(r["domain"] for r in rows):
        text += "\n" + _domain(domain, [r for r in rows if r["domain"] == domain], guards)
    return text


def _domain(domain: str, rows: list[dict[str, Any]], guards: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    name = domain if domain.replace("-", "").replace("_", "").isalnum() and domain.isascii() else json.dumps(domain)
    lines = [f"[domains.{name}]"]
    valid = guards.get((domain, "valid"))
    if valid and valid["pre"] is not None:
        least = max(0.0, math.floor((min(valid["pre"], valid["post"]) - 0.1) * 20) / 20)
        lines += [
            f"# valid: {percent(valid['pre'], signed=False)} % → {percent(valid['post'], signed=False)} %",
            f"{'' if least else '# '}min_validity = {least or 0.5:.2f}",
        ]
    for row in sorted(rows, key=lambda r: FACETS.index(r["facet"])):
        pre, post = effective(row["pre"], row["post"])
        lines += [
            "",
            f"[domains.{name}.{row['facet']}]{'  # the primary facet' if row['primary'] else ''}",
            f"# {pre} → {post} of 16, {change(row['relative'], row['relative_low'], row['relative_high'])}: "
            f"{row['verdict']}, {row['n_prompts']} prompts",
        ]
        limit, widest = _limit(row)
        if limit is None:
            lines.append(f"# an unchanged checkpoint strays by up to ±{widest}: a limit needs more prompts")
        reward = domain_of(domain).rewards.get(row["facet"], "neutral")
        # Answers that ought to agree may do so more, and those that ought to differ may differ more.
        for key, is_wanted in (("max_narrowing", reward != "converge"), ("max_widening", reward == "converge")):
            lines.append(f"{'' if is_wanted and limit else '# '}{key} = {limit or STEPS[-1]:.2f}")
    lines += ["", f"[domains.{name}.guards]"]
    for guard in GUARDS:
        found = guards.get((domain, guard))
        if found and found["pre"] is not None and found["post"] is not None:
            most = min(1.0, math.ceil((max(found["pre"], found["post"]) + 0.05) * 20) / 20)
            lines += [
                f"# {percent(found['pre'], signed=False)} % → {percent(found['post'], signed=False)} %",
                f"{'' if most < 1 else '# '}{guard} = {{ max = {min(most, 0.95):.2f} }}",
            ]
    words = guards.get((domain, "words"))
    if words and words["pre"] is not None:
        lines += [
            f"# {words['pre']:.0f} → {words['post']:.0f} words",
            'words = { max_rise = "50 %", max_fall = "50 %" }',
        ]
    return "\n".join(lines) + "\n"


def _limit(row: Mapping[str, Any]) -> tuple[float | None, str]:
    """Return the smallest step that an unchanged checkpoint keeps, and how far one strays."""
    low, high = row["relative_low"], row["relative_high"]
    if low is None or low <= -1:
        return None, "any amount"
    half = (math.log1p(high) - math.log1p(low)) / 2 * FITS
    # On the log scale a narrowing by a share is farther off than a widening by the same share.
    return next((s for s in STEPS if half < math.log1p(s)), None), f"{percent(math.expm1(half), signed=False)} %"

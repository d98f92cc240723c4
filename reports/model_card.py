"""A block for a model card: `model-index` metadata as the Hugging Face hub reads it, and a paragraph a domain."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from diversity.reports.markdown import code, escape
from diversity.reports.outline import DomainOutline, Outline, Row, outline
from diversity.reports.plaintext import one_line, visible
from diversity.reports.sentences import facet_word, paragraph

if TYPE_CHECKING:
    from diversity.shift import Shift


def render(shift: Shift) -> str:
    """Return YAML front matter with a `model-index` of the post checkpoint, and a section in Markdown.

    The metadata has one result a domain and one metric a facet: the relative change of the effective number of
    different outputs, in per cent, post against pre. Values that the hub does not know stand under `args`.
    """
    told = outline(shift)
    index = [{"name": one_line(told.post, 96), "results": [_result(d, told, shift) for d in told.domains]}]
    lines = ["---", "model-index:", *_yaml(index, 0), "---", "", "## Diversity of outputs", ""]
    stage = f" ({escape(told.stage_words)})"
    lines += [f"Post-training shift of {escape(one_line(told.post))} against {escape(one_line(told.pre))}{stage}.", ""]
    for domain in told.domains:
        safe = {k: escape(one_line(v, 60)) if isinstance(v, str) else v for k, v in domain.lead.items()}
        said = paragraph(safe, m=told.m, margin=told.margin, between=told.between)
        lines += [f"**{escape(one_line(domain.name, 60))}**, within prompt: {visible(said)}", ""]
    lines.append(f"Measured by diversity-shift {code(str(shift.provenance.get('package', '')))}.")
    return "\n".join(lines) + "\n"


def _result(domain: DomainOutline, told: Outline, shift: Shift) -> dict[str, Any]:
    metrics = [_metric(row, told) for row in domain.facets]
    stages = ", ".join(str(s) for s in told.stages if s) or "not recorded"
    sets = ((shift.provenance.get("sampling") or {}).get(told.post) or {}).get("prompt_sets") or {}
    return {
        "task": {"type": "text-generation", "name": f"Diversity shift ({one_line(stages, 60)})"},
        "dataset": {
            "type": "diversity-shift",
            "name": f"prompts of the domain {one_line(domain.name, 60)}",
            "revision": str(sets.get(domain.name) or "not recorded"),
        },
        "metrics": metrics,
    }


def _metric(row: Row, told: Outline) -> dict[str, Any]:
    return {
        "type": "diversity_shift",
        "name": f"Shift of the effective number of different outputs in {facet_word(row['facet'])}, %",
        "value": _percent(row["relative"]),
        "args": {
            "facet": str(row["facet"]),
            "unit": "within prompt",
            "pre": _rounded(row["pre"]),
            "post": _rounded(row["post"]),
            "interval_low": _percent(row["relative_low"]),
            "interval_high": _percent(row["relative_high"]),
            "verdict": str(row["verdict"]),
            "prompts": int(row["n_prompts"]),
            "reference_size": told.m,
            "baseline": one_line(told.pre, 96),
            "signature": str(row["signature"] or ""),
        },
    }


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


PLAIN = re.compile(r"[A-Za-z_][\w-]*")


def _yaml(value: Any, depth: int) -> list[str]:
    """Lists and mappings as YAML lines; every text is a JSON string, which YAML reads as it is."""
    pad = "  " * depth
    if isinstance(value, list):
        lines = []
        for item in value:
            inner = _yaml(item, depth + 1)
            lines += [f"{pad}- {inner[0].lstrip()}", *inner[1:]]
        return lines
    lines = []
    for key, item in value.items():
        assert PLAIN.fullmatch(key)
        if isinstance(item, list | dict):
            lines += [f"{pad}{key}:", *_yaml(item, depth + 1)]
        else:
            lines.append(f"{pad}{key}: {json.dumps(visible(item) if isinstance(item, str) else item)}")
    return lines

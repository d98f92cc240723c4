"""Write diversity/shift.schema.json, the JSON Schema of what `Shift.to_json` writes, from the columns of its tables.

python docs/make_schema.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from diversity.shift import JUDGED, SCHEMA
from diversity.tables import SHIFT

PLACE = Path(__file__).parent.parent / "diversity" / "shift.schema.json"
NUMBERS = {"type": ["number", "null"]}
# Columns that a row always fills.
FILLED = {"domain", "metric", "facet", "condition", "noun", "primary", "verdict", "rewards", "runs", "provisional"}
CHOICES = {
    "verdict": ["narrowed", "widened", "no material change", "inconclusive"],
    "rewards": ["converge", "distinct", "neutral"],
    "runs": ["with", "against", ""],
}


def column(name: str, dtype: Any, *, filled: bool) -> dict[str, Any]:
    """Say what a column may hold."""
    if isinstance(dtype, pl.List):
        return {"type": ["array", "null"], "items": {"type": "string"}}
    kinds = {pl.String(): "string", pl.Boolean(): "boolean", pl.Int32(): "integer", pl.Float64(): "number"}
    kind = kinds[dtype]
    if filled and name in FILLED:
        return {"type": kind} | ({"enum": CHOICES[name]} if name in CHOICES else {})
    return {"type": [kind, "null"]}


def rows(columns: dict[str, Any], *, filled: bool, text: str) -> dict[str, Any]:
    """Say what a table's rows hold: these columns and no other."""
    held = {name: column(name, dtype, filled=filled) for name, dtype in columns.items()}
    item = {"type": "object", "properties": held, "required": sorted(held), "additionalProperties": False}
    return {"type": "array", "description": text, "items": item}


def schema() -> dict[str, Any]:
    """Return the schema."""
    texts = {"type": "array", "items": {"type": "string"}}
    key = {"domain": {"type": "string"}, "prompt_id": {"type": "string"}}
    pair = {"type": "object", "properties": {"pre": NUMBERS, "post": NUMBERS}, "required": ["post", "pre"]}
    labels = {"type": "array", "items": {"type": ["integer", "null"]}}
    told = {"type": "array", "items": {"type": "array", "minItems": 3, "maxItems": 3}}
    drilled = {
        "pre": texts,
        "post": texts,
        "groups": {"type": "object", "additionalProperties": labels},
        "repeats": labels,
        "phrases": told,
        "openings": told,
        "map": {"type": ["array", "null"]},
        "map_share": {"type": "number", "minimum": 0, "maximum": 1},
        "forms": texts,
        "form_of": labels,
        "behaviours": {"type": "array", "items": {"type": ["string", "null"]}},
    }
    properties: dict[str, Any] = {
        "schema": {"const": SCHEMA},
        "package": {"type": "string", "description": "Version of diversity-shift."},
        "pre": {"type": "string", "description": "Name of the checkpoint before tuning."},
        "post": {"type": "string"},
        "settings": {
            "type": "object",
            "properties": {
                "m": {"type": "integer", "minimum": 2, "description": "Reference size of the effective number."},
                "margin": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                "level": {"type": "number"},
                "seed": {"type": "integer"},
                "tuned": texts,
            },
            "required": ["level", "m", "margin", "seed"],
        },
        "provenance": {"type": "object"},
        "shift": rows(SHIFT, filled=False, text="One row a domain x metric x condition."),
        "verdicts": rows(JUDGED, filled=True, text="One row a domain x facet; relative changes are fractions."),
        "prompts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": key
                | {
                    "prompt": {"type": ["string", "null"]},
                    "values": {"type": "object", "additionalProperties": pair},
                },
                "required": ["domain", "prompt", "prompt_id", "values"],
            },
        },
        "examples": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": key | {"facet": {"type": "string"}, "pre": texts, "post": texts},
                "required": ["domain", "facet", "post", "pre", "prompt_id"],
            },
        },
        "drilldown": {
            "type": "array",
            "description": "Outputs of single prompts and what diversity.drilldown says of them.",
            "items": {
                "type": "object",
                "properties": key | drilled,
                "required": ["domain", "groups", "openings", "phrases", "post", "pre", "prompt_id", "repeats"],
            },
        },
        "frontier": {"type": "array", "items": {"type": "object"}},
        "equivalents": {"type": "array", "items": {"type": "object"}},
        "probes": {
            "type": "array",
            "description": "What the probes of hidden costs say: a row a probe x domain (diversity.probes.Cell).",
            "items": {
                "type": "object",
                "properties": {
                    **{name: {"type": "string"} for name in ("probe", "measure", "domain", "place", "unit")},
                    **{name: {"type": "string"} for name in ("verdict", "why", "key", "signature")},
                    **dict.fromkeys(("pre", "post", "shift", "low", "high", "post_low", "post_high"), NUMBERS),
                    "n": {"type": "integer"},
                    "cost": {"type": ["boolean", "null"]},
                    "groups": {"type": ["integer", "null"]},
                },
                "required": ["domain", "measure", "n", "probe", "verdict"],
                "additionalProperties": False,
            },
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Shift in diversity between two checkpoints",
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")

"""A small hand-made Shift: every verdict, a confound, a lost verdict, guards, prompts, outputs."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from diversity.drilldown import looked_at, shortened
from diversity.shift import JUDGED, Shift
from diversity.tables import SHIFT
from diversity.views import Answers

PRE, POST = "tiny-base", "tiny-tuned"


def judged_row(**given: Any) -> dict[str, Any]:
    """One row of `Shift.verdicts()`: a narrowed story domain in meaning, but for what is given."""
    row: dict[str, Any] = {
        "domain": "story",
        "noun": "stories",
        "facet": "semantic",
        "primary": True,
        "n_prompts": 24,
        "prompts_lost": 0,
        "prompts_missing": 0,
        "prompts_too_few": 0,
        "drop_out": False,
        "bound_low": None,
        "bound_high": None,
        "n_outputs": 768,
        "pre": 6.12,
        "post": 4.21,
        "relative": -0.312,
        "relative_low": -0.383,
        "relative_high": -0.231,
        "p": 0.0005,
        "p_adjusted": 0.002,
        "difference": -0.081,
        "difference_low": -0.105,
        "difference_high": -0.056,
        "effect_size": -1.3,
        "share_narrowed": 0.875,
        "share_low": 0.69,
        "share_high": 0.957,
        "clearly_narrowed": 0.5,
        "clearly_widened": 0.0,
        "heterogeneity": 0.35,
        "heterogeneity_p": 0.21,
        "heterogeneous": False,
        "drivers": ["story-03", "story-17"],
        "excluded_narrowing": -0.383,
        "excluded_widening": 0.0,
        "verdict": "narrowed",
        "provisional": False,
        "rewards": "distinct",
        "runs": "against",
        "confounded_by": [],
        "lost_under": [],
        "untested_under": [],
        "prompts_to_decide": None,
        "signature": "semantic.effective@16|v:0.1.0.1|dom:story|cond:all|prompts:24#9f2c|n:16|T:1",
    }
    assert set(row) == set(JUDGED)
    return row | given


def shift_row(domain: str, metric: str, facet: str, **given: Any) -> dict[str, Any]:
    """One row of the Shift table."""
    row: dict[str, Any] = dict.fromkeys(SHIFT)
    row |= {"domain": domain, "metric": metric, "facet": facet, "condition": "all", "n_prompts": 24, "n_outputs": 768}
    row |= {"pre": 0.5, "post": 0.4, "shift": -0.1, "relative": -0.2, "ci_low": -0.15, "ci_high": -0.05, "p": 0.01}
    row |= {"p_adjusted": 0.02, "margin": 0.05, "verdict": "narrowed", "share_narrowed": 0.8, "heterogeneity": 0.3}
    row["signature"] = f"{metric}|dom:{domain}|cond:{given.get('condition', 'all')}"
    return row | given


def headline_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the Shift table behind a judged row: all answers, valid ones, equal length."""
    logs = {
        name: None if row[key] is None else math.log1p(row[key])
        for name, key in (("shift", "relative"), ("ci_low", "relative_low"), ("ci_high", "relative_high"))
    }
    same = {k: row[k] for k in ("n_prompts", "pre", "post", "relative", "verdict", "p", "share_narrowed")} | logs
    return [
        shift_row(row["domain"], f"{row['facet']}.effective", row["facet"], **same, condition=condition)
        | ({} if condition == "all" else {"p_adjusted": None})
        for condition in ("all", "valid", "length-matched")
    ]


def guard_rows(domain: str) -> list[dict[str, Any]]:
    """Guards of one domain: longer, slightly less valid, no word on truncation."""
    values = {
        "words": (84.0, 97.0, 9.0, 17.0),
        "valid": (0.98, 0.96, -0.05, 0.01),
        "refused": (0.0, 0.0, 0.0, 0.0),
        "duplicates": (0.01, 0.14, 0.08, 0.19),
        "markdown": (0.0, 0.004, -0.002, 0.012),
        "empty": (0.0, 0.01, -0.01, 0.03),
        "loops": (0.0, 0.11, 0.05, 0.17),
    }
    return [
        shift_row(
            domain,
            name,
            "guard",
            pre=pre,
            post=post,
            shift=post - pre,
            relative=(post - pre) / pre if pre else None,
            ci_low=low,
            ci_high=high,
            verdict="narrowed" if name == "duplicates" else None,
            p_adjusted=None,
        )
        for name, (pre, post, low, high) in values.items()
    ]


def made_shift(
    rows: list[dict[str, Any]] | None = None,
    *,
    pre: str = PRE,
    post: str = POST,
    outputs: list[str] | None = None,
    prompt: str = "Write a short story about a dog.",
    stages: tuple[str | None, str | None] = ("sft", "post"),
    sweep: bool = False,
) -> Shift:
    """A Shift with the given verdict rows, or with two domains that hold every verdict."""
    rows = rows if rows is not None else every_verdict()
    domains = list(dict.fromkeys(r["domain"] for r in rows))
    frame = [h for r in rows for h in headline_rows(r)]
    for domain in domains:
        frame += guard_rows(domain)
        between = shift_row(domain, "energy_distance", "semantic", pre=None, post=None, shift=0.545, verdict=None)
        frame.append(between | {"unit": "between checkpoints", "ci_low": 0.34, "ci_high": 0.75, "p": None})
        frame.append(shift_row(domain, "distinct_2", "lexical", pre=0.71, post=0.64, shift=-0.07))
        frame.append(
            shift_row(domain, "self_bleu", "lexical", pre=0.31, post=0.42, shift=0.11, ci_low=0.05, ci_high=0.17)
        )
        frame.append(
            shift_row(domain, "vendi", "semantic", n_prompts=1)
            | dict.fromkeys(("pre", "post", "shift", "relative", "ci_low", "ci_high", "p", "p_adjusted"))
            | {"verdict": "inconclusive"}
        )
    prompts = [
        {
            "domain": r["domain"],
            "prompt_id": f"{r['domain']}-{i:02}",
            "prompt": prompt if i == 0 else f"Prompt {i} of the domain {r['domain']}.",
            "values": {
                "words": {"pre": 80.0 + i, "post": 95.0 + i},
                **{
                    f"{f['facet']}.effective": {
                        "pre": f["pre"] * (1 + 0.03 * (i % 5)),
                        "post": max(1.0, f["post"] * (0.85 + 0.05 * (i % 7))),
                    }
                    for f in rows
                    if f["domain"] == r["domain"]
                },
            },
        }
        for r in rows
        if r["primary"]
        for i in range(r["n_prompts"])
    ]
    texts = outputs or ["A dog ran home.", "The dog  slept.", "The dog slept.", "Once upon a time. " * 40]
    examples = [
        {
            "domain": r["domain"],
            "prompt_id": f"{r['domain']}-00",
            "facet": f"{r['facet']}.effective",
            "pre": texts,
            "post": texts[::-1],
        }
        for r in rows
        if r["primary"]
    ]
    drilldown = [
        looked_at_entry(r["domain"], f"{r['domain']}-{i:02}", texts) for r in rows if r["primary"] for i in (0, 1)
    ]
    sampling = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 256, "seed": 0}
    return Shift(
        frame=pl.DataFrame(frame, schema=pl.Schema(SHIFT)),
        judged=pl.DataFrame(rows, schema=pl.Schema(JUDGED)),
        pre=pre,
        post=post,
        settings={"m": 16, "margin": 0.1, "seed": 0, "level": 0.95},
        provenance={
            "package": "0.1.0",
            "sampling": {pre: sampling | {"stage": stages[0]}, post: sampling | {"stage": stages[1]}},
            "domains": dict.fromkeys(domains, "1"),
            "embedding": "emb:all-MiniLM-L6-v2#8b3219",
            "languages": {d: "python" if d == "code" else None for d in domains},
        },
        prompts=prompts,
        examples=examples,
        drilldown=drilldown,
        frontier=FRONTIER if sweep else [],
        equivalents=EQUIVALENTS if sweep else [],
    )


FRONTIER = [
    {"domain": "story", "facet": "semantic", "side": side, "checkpoint": name, "temperature": t, "n_prompts": 24}
    | {"effective": d, "low": d - 0.4, "high": d + 0.4, "validity": v, "validity_low": v - 0.03, "validity_high": None}
    for side, name, rows in (
        ("pre", PRE, ((0.6, 3.9, 0.97), (0.8, 4.8, 0.95), (1.0, 6.12, 0.92))),
        ("post", POST, ((0.6, 2.8, 0.99), (1.0, 4.21, 0.97))),
    )
    for t, d, v in rows
]
EQUIVALENTS = [
    {"domain": "story", "facet": "semantic", "at": 1.0, "temperature": 0.67, "low": None, "high": 0.79, "outside": None}
    | {"lowest": 0.6, "highest": 1.0}
]


def looked_at_entry(domain: str, prompt_id: str, texts: list[str]) -> dict[str, Any]:
    """What `compare` keeps of one prompt: the texts before, the same in reverse after."""
    programs = domain == "code"
    if programs:
        texts = [*PROGRAMS, *texts]
    sides = [texts, texts[::-1]]
    language = "python" if programs else None
    behaviours = ["always raised ValueError" if "raise" in t else f"#{len(t)}" for t in texts]
    answers = [
        Answers([t for t in own if t], language=language, behaviours=order if programs else None)
        for own, order in zip(sides, (behaviours, behaviours[::-1]), strict=True)
    ]
    places = [i for i, t in enumerate(texts + texts[::-1]) if t]
    entry = {"domain": domain, "prompt_id": prompt_id}
    entry |= {side: [shortened(t) for t in own] for side, own in zip(("pre", "post"), sides, strict=True)}
    entry |= looked_at(answers, places, 2 * len(texts))
    # There is no embedding model here: the map is made by hand.
    return entry | {"map": [[(7 * i) % 1000, (-13 * i) % 1000] for i in range(2 * len(texts))], "map_share": 0.5}


PROGRAMS = [
    "def add(a, b):\n    return a + b",
    "def add(x, y):\n    return x + y",
    "def add(a, b):\n    if a is None:\n        raise ValueError(a)\n    return a - b",
    "def add(a, b)",
]


def every_verdict() -> list[dict[str, Any]]:
    """Two domains whose facets hold every verdict and every reservation."""
    wider = {"pre": 5.0, "post": 6.2, "relative": 0.24, "relative_low": 0.12, "relative_high": 0.37}
    level = {"pre": 7.9, "post": 7.8, "relative": -0.0127, "relative_low": -0.05, "relative_high": 0.03}
    unsure = {"pre": 3.3, "post": 3.0, "relative": -0.0909, "relative_low": -0.21, "relative_high": 0.09}
    few = {"n_prompts": 12, "provisional": True, "n_outputs": 384}
    code = {"domain": "code", "noun": "programs"}
    return [
        judged_row(
            **code,
            **few,
            **level,
            facet="lexical",
            primary=False,
            verdict="no material change",
            rewards="neutral",
            runs="",
        ),
        judged_row(
            **code,
            **few,
            **unsure,
            facet="syntactic",
            verdict="inconclusive",
            rewards="neutral",
            runs="",
            prompts_to_decide=35,
        ),
        judged_row(
            **code,
            **few,
            facet="functional",
            primary=False,
            rewards="converge",
            runs="with",
            lost_under=["length-matched"],
        ),
        judged_row(**wider, facet="lexical", primary=False, verdict="widened", runs="with", confounded_by=["valid"]),
        judged_row(prompts_lost=2),
    ]


HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "</style><script>alert(2)</script>",
    "\"'><svg onload=alert(3)>",
    "{{7*7}} {% raw %} ${7*7} #{7*7}",
    "<a href='javascript:alert(4)'>here</a> [here](javascript:alert(5))",
    "<iframe src='https://evil.example/x'></iframe><link rel=stylesheet href=//evil.example/y.css>",
    "left \u202e turned round \u2066 isolated",
    "nul \x00 bell \x07 erase \x7f c1 \x9b31m",
    "\x1b[31mred\x1b[2J\x1b]0;title\x07",
    "lone \ud800 surrogate \udfff",
    "--><!-- <![CDATA[ ]]> &amp; &#60;b&#62;",
    "a | b ` c `` d \\| e\n| --- |\n@everyone www.evil.example",
    "zalgo " + "e\u0301\u0316\u0317" * 60,
    "x" * 1_000_000,
]


@pytest.fixture
def hostile() -> list[str]:
    """Texts that try to run, reach out, hide or turn the line round."""
    return HOSTILE


@pytest.fixture
def hostile_shift() -> Shift:
    """A Shift whose every free text is hostile. A table holds UTF-8, so lone surrogates are in the lists alone."""
    names = HOSTILE[0] + HOSTILE[3], HOSTILE[2] + HOSTILE[8] + HOSTILE[11]
    row = judged_row(domain=HOSTILE[1] + HOSTILE[11], noun=HOSTILE[0] + HOSTILE[11], signature=HOSTILE[4] + "```")
    made = made_shift(
        [row], pre=names[0], post=names[1], outputs=HOSTILE, prompt="".join(HOSTILE), stages=(HOSTILE[5], HOSTILE[6])
    )
    provenance = dict(made.provenance) | {text[:100]: text for text in HOSTILE}
    return replace(made, provenance=provenance, settings=dict(made.settings) | {HOSTILE[2]: HOSTILE[8]})


@pytest.fixture
def make_shift() -> Callable[..., Shift]:
    """The builder of hand-made Shifts."""
    return made_shift


@pytest.fixture
def make_row() -> Callable[..., dict[str, Any]]:
    """The builder of verdict rows."""
    return judged_row

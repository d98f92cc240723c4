"""Size and speed of the report at 8 domains x 100 prompts x 2 x 16 outputs, on made-up results.

    python benchmarks/report_size.py [FOLDER]

The texts are drawn from a word list by a Zipf law, so that they deflate about as real ones do; the numbers are noise.
Prints the size of the page with and without outputs, and, where Chromium is there, the time to the first paint, of a
filter, of a search over all outputs, and of opening a prompt.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from diversity.drilldown import looked_at, shortened
from diversity.registry import metrics
from diversity.scoring import CONDITIONS
from diversity.shift import JUDGED, REFERENCE_SIZE, Shift
from diversity.tables import SHIFT
from diversity.views import Answers

DOMAINS, PROMPTS, OUTPUTS, WORDS = 8, 100, 16, 170
FACETS = ("lexical", "syntactic", "semantic")


def texts(rng: np.random.Generator, words: list[str], start: list[str]) -> list[str]:
    """Outputs of one side: they open alike and go on apart."""
    chosen = rng.zipf(1.25, size=(OUTPUTS, WORDS)) % len(words)
    return [" ".join([*start, *(words[i] for i in row)]) + "." for row in chosen]


def made() -> Shift:
    """A Shift of the size in question."""
    rng = np.random.default_rng(0)
    words = [
        "".join(rng.choice(list("bcdfghklmnprstvw")) + rng.choice(list("aeiou")) for _ in range(int(k)))
        for k in rng.integers(1, 5, size=6000)
    ]
    rows: list[dict[str, Any]] = []
    judged: list[dict[str, Any]] = []
    prompts: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    names = [f"domain{i}" for i in range(DOMAINS)]
    for name in names:
        for spec in metrics().values():
            if not spec.default:
                continue
            shown = spec.name.replace(".similarity", ".effective")
            for condition in CONDITIONS if spec.unit != "across prompts" else CONDITIONS[:3]:
                value = rng.normal(size=8)
                rows.append(
                    dict.fromkeys(SHIFT)
                    | {"domain": name, "metric": shown, "facet": spec.facet, "unit": spec.unit, "condition": condition}
                    | dict(
                        zip(("shift", "relative", "ci_low", "ci_high", "p", "p_adjusted"), value.tolist(), strict=False)
                    )
                    | {"pre": 2 + abs(float(value[6])), "post": 2 + abs(float(value[7])), "n_prompts": PROMPTS}
                    | {"n_outputs": 3200, "verdict": "inconclusive", "margin": 0.1, "share_narrowed": 0.5}
                    | {
                        "signature": f"{shown}|v:0.1.0.1|dom:{name}|cond:{condition}|prompts:100#9f2c|n:16|T:1|top_p:1"
                        "|max:256|set:de4e0a|extract:story.2|tok:word|U2|ci:envelope.t+el.95|seed:0"
                    }
                )
        for facet in FACETS:
            judged.append(  # noqa: PERF401 - a comprehension of this size reads worse
                dict.fromkeys(JUDGED)
                | {
                    "domain": name,
                    "noun": "texts",
                    "facet": facet,
                    "primary": facet == "semantic",
                    "n_prompts": PROMPTS,
                }
                | {"prompts_lost": 0, "n_outputs": 3200, "pre": 6.1, "post": 4.2, "relative": -0.31, "p": 0.001}
                | {"relative_low": -0.38, "relative_high": -0.23, "p_adjusted": 0.002, "share_narrowed": 0.8}
                | {"verdict": "narrowed", "provisional": False, "rewards": "distinct", "runs": "against"}
                | {"confounded_by": [], "lost_under": [], "untested_under": [], "signature": f"{facet}|dom:{name}"}
            )
        for p in range(PROMPTS):
            ident = f"{name}-{p:03}"
            asked = "Write " + " ".join(words[i] for i in rng.integers(0, 6000, size=14))
            guards = {g: rng.random(2).tolist() for g in ("valid", "refused", "duplicates", "truncated", "markdown")}
            values = {f"{f}.effective": (1 + 15 * rng.random(2)).tolist() for f in FACETS} | guards
            values["words"] = (60 + 100 * rng.random(2)).tolist()
            paired = {k: dict(zip(("pre", "post"), v, strict=True)) for k, v in values.items()}
            prompts.append({"domain": name, "prompt_id": ident, "prompt": asked, "values": paired})
            start = [words[i] for i in rng.integers(0, 6000, size=4)]
            sides = [texts(rng, words, own) for own in ([], start)]
            seen = looked_at([Answers(s) for s in sides], list(range(2 * OUTPUTS)), 2 * OUTPUTS)
            seen |= {"map": rng.integers(-1000, 1000, size=(2 * OUTPUTS, 2)).tolist(), "map_share": 0.3}
            seen["groups"]["semantic"] = rng.integers(0, 9, size=2 * OUTPUTS).tolist()
            shown_sides = {k: [shortened(t) for t in s] for k, s in zip(("pre", "post"), sides, strict=True)}
            entries.append({"domain": name, "prompt_id": ident} | shown_sides | seen)
    sampling = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 256, "seed": 0}
    return Shift(
        frame=pl.DataFrame(rows, schema=pl.Schema(SHIFT), infer_schema_length=None),
        judged=pl.DataFrame(judged, schema=pl.Schema(JUDGED), infer_schema_length=None),
        pre="base",
        post="tuned",
        settings={"m": REFERENCE_SIZE, "margin": 0.1, "seed": 0, "level": 0.95},
        provenance={
            "package": "0",
            "sampling": {"base": sampling, "tuned": sampling},
            "domains": dict.fromkeys(names, "1"),
        },
        prompts=prompts,
        examples=[
            {k: e[k] for k in ("domain", "prompt_id", "pre", "post")} | {"facet": "semantic.effective"}
            for i, e in enumerate(entries)
            if i % PROMPTS < 3
        ],
        drilldown=entries,
    )


PAINT = "performance.getEntriesByType('paint').map((e) => [e.name, Math.round(e.startTime)])"
FILTER = """() => {
  const table = document.querySelector('[data-table=d3-measures]');
  const input = table.querySelector('input');
  // Only what is on the screen is laid out at once.
  table.scrollIntoView();
  document.body.offsetHeight;
  const took = [];
  for (const text of ['s', 'se', 'self', '', 'v']) {
    const from = performance.now();
    input.value = text;
    input.dispatchEvent(new Event('input'));
    document.body.offsetHeight;
    took.push(Math.round(performance.now() - from));
  }
  return took;
}"""
DOMAIN = """() => {
  const select = document.getElementById('domain');
  const took = [];
  for (const value of ['d2', 'd5', '']) {
    const from = performance.now();
    select.value = value;
    select.dispatchEvent(new Event('change'));
    document.body.offsetHeight;
    took.push(Math.round(performance.now() - from));
  }
  return took;
}"""
SEARCH = """async (text) => {
  const input = document.getElementById('find'), status = document.getElementById('find-status');
  const from = performance.now();
  status.textContent = '';
  input.value = text;
  input.dispatchEvent(new Event('input'));
  while (!status.textContent.includes('output')) await new Promise((done) => setTimeout(done, 1));
  return [Math.round(performance.now() - from), status.textContent];
}"""
OPEN = """async (number) => {
  const from = performance.now();
  location.hash = `#prompt-${number}`;
  const isThere = () => document.querySelector('.steps .stage')?.textContent.startsWith(`${number} of`);
  while (!isThere()) await new Promise((done) => setTimeout(done, 1));
  document.body.offsetHeight;
  return Math.round(performance.now() - from);
}"""


def drive(path: Path) -> None:
    """Print what Chromium takes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        print("paint, ms", page.evaluate(PAINT))
        print("filter of the measures, ms", page.evaluate(FILTER))
        page.locator("[data-table=d3-measures]").get_by_label("Answers").select_option("")
        page.wait_for_timeout(500)
        print("the same with every condition, ms", page.evaluate(FILTER))
        print("choice of a domain, ms", page.evaluate(DOMAIN))
        print("first search over all outputs", page.evaluate(SEARCH, "ba"))
        print("next search", page.evaluate(SEARCH, "bado"))
        print("opening a prompt, ms", [page.evaluate(OPEN, n) for n in (5, 300, 799)])
        browser.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    shift = made()
    characters = sum(len(t) for e in shift.drilldown for t in [*e["pre"], *e["post"]])
    print(f"{characters / 1e6:.1f} million characters of outputs, {shift.frame.height} rows")
    for outputs in ("none", "top", "all"):
        started = time.perf_counter()
        page = shift.to_html(folder / f"report-{outputs}.html", outputs=outputs)
        print(f"{outputs}: {len(page.encode()) / 1e6:.2f} MB, written in {time.perf_counter() - started:.1f} s")
    print(f"shift.json: {len(replace(shift).to_json().encode()) / 1e6:.1f} MB")
    drive(folder / "report-all.html")

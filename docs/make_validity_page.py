"""Write docs/validity.md from the findings of the validity suite, from the root of the repository.

python docs/make_validity_page.py                     from docs/validity.json
python docs/make_validity_page.py RUN.json ...        from what `diversity validate --full --out RUN.json` wrote;
                                                      parts of one suite that were run apart are put together
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from diversity.registry import FACETS, find_metric

PAGE, STORE = (Path(__file__).with_name(f"validity.{kind}") for kind in ("md", "json"))
Row = dict[str, Any]
SIGNS = {
    "wider": "+",
    "wider (monotone within noise)": "+~",
    "wider, not monotone": "+!",
    "narrower": "-",
    "flat": "=",
    "undecided": "?",
    "at its limit": "max",
    "undefined": "",
}
HEAD = """# Validity

Written by `docs/make_validity_page.py` from a full run of

    diversity validate --full --data FOLDER

Every figure here can be had again by that command; the seed is {seed}. A verdict is a claim, so the tool that makes it
must show how often such claims are wrong. What is checked is the code that `compare` runs, not a copy of it.

{summary}
{left_out}
A rate is held to its nominal value by its exact 95 % binomial interval: it is missed where the whole interval lies on
the wrong side. A cell whose found rate is on the wrong side by less is counted below as *over* or *under*; with as many
cells as here some must be, by chance.
"""
LIMITS = """## What these numbers do not mean

- **A false-alarm rate of 5 % is not a 5 % chance that your verdict is wrong.** That also depends on how many of the
  checkpoints you compare differ at all. It says that of comparisons without any shift at most one in twenty is called
  narrowed or widened, in any facet of the family.
- **A/A halves share their prompts and their sampler.** They show that noise is not called a shift. They do not show
  that a shift which is found comes from tuning and not from length, format or temperature: that is what conditions,
  guards and the refusal to compare other settings are for.
- **Coverage holds for prompts like the ones that were asked.** The interval speaks of the population that the prompts
  were drawn from. Prompts that one person wrote in an afternoon are a sample of that afternoon.
- **Nothing is safe where a few prompts carry the result.** See the heavy-tailed prompts under coverage: of what one
  prompt in twenty does, more than a third of all samples of 20 prompts hold nothing, and no method finds in a sample
  what is not in it. Below 10 prompts there is no verdict, below 20 it is provisional.
- **Power is power for these shapes of shift.** A real shift is not a sharpened law; plan from a pilot with
  `diversity plan`, not from this page.
- **A metric that moves the right way is not thereby a good one.** The table of directions says that a metric sees what
  it claims to see where nothing else changes. It says nothing of how large a change a reader would notice.
- **"No claim" is not "no effect".** It marks what a manipulation does not control.
- **Agreement with people is agreement with the people who labelled those pairs**, on open English prompts. An AUC of
  0.75 is too low to trust single pairs; means over many pairs are what the headline uses.
- **A replicated direction is not a replicated study.** The recorded outputs are contrasts of models and contexts, not
  of a checkpoint before and after tuning; none of them says what preference tuning does.
"""


def main(files: Sequence[str]) -> None:
    """Merge runs, where given, and write the page."""
    if files:
        merged: Row = {"settings": {}, "checks": []}
        for file in files:
            found = json.loads(Path(file).read_text(encoding="utf-8"))
            merged["settings"] |= {k: v for k, v in found["settings"].items() if k != "parts"}
            merged["checks"] += [_compact(check) for check in found["checks"]]
        lines = ",\n".join(json.dumps(c, sort_keys=True, separators=(",", ":")) for c in merged["checks"])
        settings = json.dumps(merged["settings"], sort_keys=True)
        STORE.write_text(f'{{"settings":{settings},\n"checks":[\n{lines}\n]}}\n', encoding="utf-8")
    PAGE.write_text(page(json.loads(STORE.read_text(encoding="utf-8"))), encoding="utf-8")


def _compact(check: Row) -> Row:
    """A check without what is empty, and floats to five digits: the page shows fewer."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.5g}")
        if isinstance(value, dict):
            return {k: short(v) for k, v in value.items() if k not in {"levels", "facet"}}
        return [short(v) for v in value] if isinstance(value, list) else value

    return {k: short(v) for k, v in check.items() if v not in (None, "", [], {})}


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A Markdown table."""
    made = [" | ".join(["", *map(_cell, row), ""]).strip() for row in rows]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *made, ""]


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _percent(rate: float) -> str:
    return f"{rate:.1%}".replace("%", " %")


def _rate(check: Row) -> str:
    mark = " **missed**" if check.get("passed") is False else ""
    return f"{_percent(check['found'])} ({100 * check['low']:.1f} to {100 * check['high']:.1f}){mark}"


def grid(checks: Sequence[Row], rows: Sequence[str], column: str, first: str) -> list[str]:
    """Rates by what the rows name and by the cells of one column."""
    columns = sorted({c["cell"][column] for c in checks})
    keys = list(dict.fromkeys(tuple(_key(c, r) for r in rows) for c in checks))
    found = {(*(_key(c, r) for r in rows), c["cell"][column]): _rate(c) for c in checks}
    body = [[*key, *(found.get((*key, value), "") for value in columns)] for key in keys]
    names = [first if r == "name" else r for r in rows]
    return table([*names, *(f"{value} {column}" for value in columns)], body)


def _key(check: Row, row: str) -> Any:
    return check["name"] if row == "name" else check["cell"][row]


def page(found: Row) -> str:
    """The whole page."""
    checks: list[Row] = found["checks"]
    by_group: dict[str, list[Row]] = {}
    for check in checks:
        by_group.setdefault(check["group"], []).append(check)
    settings = found["settings"]
    left_out = f"Left out of this run: {settings['left_out']}.\n" if settings.get("left_out") else ""
    summary = "\n".join(_summary(by_group))
    lines = [HEAD.format(seed=settings.get("seed", 0), summary=summary, left_out=left_out)]
    for write in (_false_alarms, _coverage, _equivalence, _power, _directions, _people, _replication):
        lines += write(by_group)
    return "\n".join([*lines, LIMITS])


def _summary(by_group: dict[str, list[Row]]) -> Iterator[str]:
    rows = []
    for group, own in by_group.items():
        promised = [c for c in own if "passed" in c]
        if promised:
            kept = sum(c["passed"] for c in promised)
            over = sum(_is_over(c) for c in promised)
            rows.append([group, len(promised), kept, len(promised) - kept, over if "low" in promised[0] else ""])
    yield from table(["checks", "promised", "kept", "missed", "kept, but over or under"], rows)


def _is_over(check: Row) -> bool:
    nominal, found = check.get("nominal"), check.get("found")
    if not check["passed"] or isinstance(nominal, str) or nominal is None or isinstance(found, str):
        return False
    return bool(found > nominal if check["at"] == "most" else found < nominal if check["at"] == "least" else False)


def _false_alarms(by_group: dict[str, list[Row]]) -> Iterator[str]:
    own = by_group.get("false alarms", [])
    if not own:
        return
    yield "## False alarms\n"
    yield (
        "Both sides are halves of one checkpoint's outputs, split at random; narrowed or widened is a false alarm. At "
        "most 5 % of comparisons may raise one in any facet of the family (lexical, syntactic and semantic together, "
        f"adjusted by Holm). {own[0]['runs']:,} splits a cell. Below 10 prompts there is never a verdict.\n"
    )
    recorded = [c for c in own if ":" in c["name"]]
    if recorded:
        hits = sum(round(c["found"] * c["runs"]) for c in recorded if c["cell"]["prompts"] >= 10)
        runs = sum(c["runs"] for c in recorded if c["cell"]["prompts"] >= 10)
        yield (
            f"Recorded outputs: {_percent(hits / runs)} of all {runs:,} comparisons of 10 prompts or more. Prompts and "
            "outputs a side are as many as the recording allows; splits of one recording are not independent of each "
            "other, so the intervals are a little too narrow.\n"
        )
        yield from grid(recorded, ["name", "outputs"], "prompts", "recording")
    made = [c for c in own if ":" not in c["name"]]
    if made:
        yield (
            "Made-up prompts, one facet: classes of output with Dirichlet laws; templates with Zipf fillers; prompts "
            "of very unequal (skewed) variety; and prompts of which one in twelve is an outlier (heavy-tailed).\n"
        )
        yield from grid(made, ["name", "outputs"], "prompts", "prompts")
    bias = by_group.get("bias", [])
    if bias:
        worst = max(bias, key=lambda c: abs(c["found"]) / (c["high"] - c["low"]))
        yield (
            f"The estimated similarity is unbiased at n = 2, 4, 8 and 16: of {len(bias)} means of {bias[0]['runs']:,} "
            f"draws the farthest from the truth, in standard errors, is off by {worst['found']:+.5f} "
            f"({worst['low']:+.5f} to {worst['high']:+.5f}; {worst['name']}, n = {worst['cell']['outputs']}).\n"
        )


def _coverage(by_group: dict[str, list[Row]]) -> Iterator[str]:
    own = by_group.get("coverage", [])
    if not own:
        return
    yield "## Coverage\n"
    yield (
        "How often the 95 % interval holds a shift of known size: a true log ratio of -0.25 (a fifth of the prompts "
        "alone: -0.12; widened: +0.15), 16 outputs a prompt, prompts drawn from a population of which the truth is "
        f"known exactly. Promised are 94 % from 20 prompts up, and 92 % at 12. {own[0]['runs']:,} runs a cell.\n"
    )
    yield from grid(own, ["name", "shift"], "prompts", "prompts")
    yield from _ceilings([c for c in own if c.get("passed") is False], by_group.get("coverage, ceiling", []))
    widths = by_group.get("width", [])
    if widths:
        yield (
            "Width of the interval beside the oracle's, which knows the law of the estimate. Promised is at most 1.15 "
            "from 50 prompts up. The oracle's own ends are simulated, and are known to some 8 %.\n"
        )
        columns = sorted({c["cell"]["prompts"] for c in widths})
        keys = list(dict.fromkeys((c["name"], c["cell"]["shift"]) for c in widths))
        at = {(c["name"], c["cell"]["shift"], c["cell"]["prompts"]): c for c in widths}
        yield from table(
            ["prompts", "shift", *(f"{c} prompts" for c in columns)],
            [[*key, *(_width(at[(*key, c)]) if (*key, c) in at else "" for c in columns)] for key in keys],
        )
    hopeless = by_group.get("coverage, nothing promised", [])
    if hopeless:
        yield (
            "Nothing promised: shifts that a few prompts carry. *One in twenty* collapses one prompt in twenty; in "
            "*exponential of skewed* some prompts are hit many times harder than the rest.\n"
        )
        yield from grid(hopeless, ["name", "shift"], "prompts", "prompts")


def _ceilings(missed: Sequence[Row], ceilings: Sequence[Row]) -> Iterator[str]:
    """What is missed, beside what any method could cover there."""
    if not missed:
        return

    def cell(check: Row) -> tuple[str, str, int]:
        return check["name"], check["cell"]["shift"], check["cell"]["prompts"]

    at = {cell(c): c for c in ceilings}
    yield (
        "**Missed**, beside what is to be had. In all of these a few prompts carry the shift or its spread: *carried "
        "by* is the share of the prompts that hold so much of the variance of the influence values. A sample that "
        "holds none of them is a sample of the other prompts, and no method can tell. *At most* is the coverage of a "
        "method that always covers where the sample holds one, and elsewhere is as wide as 1.15 times the oracle for "
        "the other prompts; of several such splits the one that leaves the least. A method can cover more only where "
        "it is wider than that.\n"
    )
    rows = []
    for check in missed:
        found = at.get(cell(check))
        seen = found["cell"] if found else {}
        told = [""] * 4
        if found:
            told = [f"{_percent(seen['prompts_of'])} hold {seen['variance']:.0%}"]
            told += [_percent(rate) for rate in (seen["none"], seen["at_most_one"], found["found"])]
        rows.append([*cell(check), _percent(check["found"]), *told])
    yield from table(
        ["prompts", "shift", "prompts", "covered", "carried by", "samples with none", "with at most one", "at most"],
        rows,
    )
    yield "Under 50 prompts read a shift that hangs on a few prompts (the report lists them) as one of those prompts.\n"


def _width(check: Row) -> str:
    return f"{check['found']:.2f}" + (" **missed**" if check.get("passed") is False else "")


def _equivalence(by_group: dict[str, list[Row]]) -> Iterator[str]:
    own = by_group.get("equivalence", [])
    if own:
        yield "## No material change\n"
        yield (
            'How often "no material change" is said where the true shift is the margin itself (10 %): at most 5 %. '
            f"{own[0]['runs']:,} runs a cell.\n"
        )
        yield from grid(own, ["name", "shift"], "prompts", "prompts")
        missed = [c for c in own if c.get("passed") is False]
        if missed:
            where = " and the ".join(sorted({c["name"] for c in missed}))
            yield (
                f"**Missed** among the {where}: there the claim is wrong in up to "
                f"{_percent(max(c['found'] for c in missed))} of cases. One prompt in twelve is nearly stuck and "
                "answers either way by chance; a sample of few such prompts often has too small a spread, and it is "
                "just these samples that are called no material change.\n"
            )


def _power(by_group: dict[str, list[Row]]) -> Iterator[str]:
    own = by_group.get("power", [])
    if not own:
        return
    yield "## Power\n"
    yield (
        "How often a narrowing of the effective number by so much is called narrowed, one facet, prompts hit "
        f"unequally. {own[0]['runs']} runs a cell; nothing is promised.\n"
    )
    effects = sorted({c["cell"]["effect"] for c in own})
    keys = list(dict.fromkeys((c["name"], c["cell"]["outputs"], c["cell"]["prompts"]) for c in own))
    at = {(c["name"], c["cell"]["outputs"], c["cell"]["prompts"], c["cell"]["effect"]): c["found"] for c in own}
    small = {
        (c["name"], c["cell"]["outputs"], c["cell"]["prompts"]): _percent(c["found"]) if "found" in c else c["note"]
        for c in by_group.get("smallest shift", [])
    }
    yield from table(
        ["prompts", "outputs", "prompts", *(f"{e:.0%} narrower" for e in effects), "found with 80 % power"],
        [
            [*key, *(_percent(at[(*key, e)]) if (*key, e) in at else "" for e in effects), small.get(key, "")]
            for key in keys
        ],
    )
    yield (
        "The default budget is 16 outputs to each of a domain's prompts (62 to 100 of them): the rows of 16 outputs, "
        "50 and 100 prompts enclose it.\n"
    )


def _directions(by_group: dict[str, list[Row]]) -> Iterator[str]:
    own = by_group.get("direction", [])
    if not own:
        return
    names = list(dict.fromkeys(c["cell"]["manipulation"] for c in own))
    yield "## Known direction\n"
    yield (
        "Each column changes diversity on purpose, from least to most; each metric is read by its own orientation, so "
        "that + always means *more diverse*. The direction is that of the mean over prompts, and clear where its 95 % "
        "t interval leaves out 0.\n\n"
        "`+` wider at every step, as it must; `+~` wider, with a step back that its own interval cannot tell from "
        "none; `=` exactly unchanged, as it must; `?` not clear; `max` all answers differ at every level already; "
        "blank: undefined there (prose metrics of code, and the like). In brackets: nothing is promised. **Bold**: "
        "against what the metric says of itself.\n"
    )
    for number, name in enumerate(names, 1):
        levels = next((c for c in own if c["cell"]["manipulation"] == name), None)
        assert levels is not None
        yield f"{number}. **{name}**: {ABOUT.get(name, '')}"
    yield ""
    metrics = list(dict.fromkeys(c["name"] for c in own))
    at = {(c["name"], c["cell"]["manipulation"]): c for c in own}
    for facet in FACETS:
        members = [m for m in metrics if find_metric(m).facet == facet]
        rows = [[f"`{m}`", *(_direction(at.get((m, name))) for name in names)] for m in members]
        rows = [row for row in rows if any(row[1:])]
        if rows:
            yield f"### {facet}\n"
            yield from table(["metric", *map(str, range(1, len(names) + 1))], rows)
    against = [c for c in own if c.get("passed") is False]
    if against:
        yield "### Against what they say of themselves\n"
        for c in against:
            means = ", ".join(f"{m:.3g}" for m in c["cell"].get("means", []))
            where = c["cell"]["manipulation"]
            yield f"- `{c['name']}` under {where}: {c['found']} where {c['nominal']} was due ({means})"
        yield ""
    if any(name.endswith("equal length") for name in names):
        yield "### Heat and length\n"
        yield (
            "The n-gram entropies and Hill numbers are not divided by how many n-grams there are, so they grow with "
            "length, as the registry says of them; and the recorded stories, drawn with a limit of 48 tokens, get "
            f"shorter with heat ({_lengths()} words at T = 0.3, 0.6, 0.9 and 1.2), as rare words take more tokens. "
            "Read as they are, heat and length are mixed: "
            f"{_not_wider(own)} of the {_by_length(own)} counts do not rise with heat there, as an earlier run found "
            "when it still promised that. They are therefore promised to rise where all temperatures are read over "
            "equally many answers of equally many words, and there every other metric is held to it as well.\n"
        )
    unclear = [c for c in own if c.get("nominal") == "wider" and c.get("found") == "undecided"]
    if unclear:
        yield "### Not clear\n"
        for c in unclear:
            means = ", ".join(f"{m:.3g}" for m in c["cell"].get("means", []))
            yield f"- `{c['name']}` under {c['cell']['manipulation']} ({means})"
        yield ""
    yield from _reasons(own)
    pairs = by_group.get("paraphrase", [])
    if pairs:
        yield "### Paraphrase against content\n"
        yield "Words replaced by synonyms, and as many replaced by ones of another meaning: effective number of 16.\n"
        yield from table(
            ["facet", "synonyms", "other meanings", "change", "interval"],
            [
                [
                    c["name"],
                    f"{c['cell']['synonyms']:.2f}",
                    f"{c['cell']['other meanings']:.2f}",
                    f"{c['found']:+.0%}",
                    f"{c['low']:+.0%} to {c['high']:+.0%}",
                ]
                for c in pairs
            ],
        )


def _raw_counts(own: Sequence[Row]) -> list[Row]:
    from diversity.validity.directions import BY_LENGTH

    return [
        c for c in own if BY_LENGTH.fullmatch(c["name"]) and c["cell"]["manipulation"] == "temperature, SmolLM2 story"
    ]


def _by_length(own: Sequence[Row]) -> int:
    return len(_raw_counts(own))


def _not_wider(own: Sequence[Row]) -> int:
    """How many raw counts of n-grams are not monotone in heat over the stories as they were drawn."""
    return sum(c["found"] not in {"wider", "wider (monotone within noise)"} for c in _raw_counts(own))


def _lengths() -> str:
    """Mean words of the stored stories at each temperature."""
    from diversity.validity.recorded import stored
    from diversity.words import WORD

    frame = stored()
    means = []
    for temperature in (0.3, 0.6, 0.9, 1.2):
        texts = frame.filter(domain="story", temperature=temperature)["output"]
        means.append(f"{sum(len(WORD.findall(text)) for text in texts) / len(texts):.1f}")
    return ", ".join(means)


def _direction(check: Row | None) -> str:
    if check is None or check.get("found") == "undefined":
        return ""
    sign = SIGNS[check["found"]]
    if check.get("passed") is False:
        return f"**{sign}**"
    return sign if check.get("nominal") else f"({sign})"


def _reasons(own: Sequence[Row]) -> Iterator[str]:
    """Why nothing is promised, by the reason."""
    told: dict[tuple[str, str], list[str]] = {}
    for c in own:
        if not c.get("nominal") and c.get("note") and c.get("found") != "undefined":
            told.setdefault((c["note"], c["cell"]["manipulation"]), []).append(c["name"])
    merged: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (note, manipulation), metrics in told.items():
        merged.setdefault((note, tuple(metrics)), []).append(manipulation)
    if merged:
        yield "### Where nothing is promised, and why\n"
        for (note, metrics), where in merged.items():
            shown = ", ".join(f"`{m}`" for m in metrics[:8]) + (
                f" and {len(metrics) - 8} more" if len(metrics) > 8 else ""
            )
            yield f"- {', '.join(where)}: {shown}: {note}."
        yield ""


def _people(by_group: dict[str, list[Row]]) -> Iterator[str]:
    own = by_group.get("people", [])
    if own:
        yield "## Agreement with people\n"
        yield (
            "Pairs of answers to one open prompt that people called functionally the same or different (NoveltyBench, "
            "Zhang et al. 2025; 100 pairs of its training split and the 100 of its validation split). AUC: the chance "
            "that a pair called the same is more alike by the metric than one called different, with the 95 % interval "
            "of DeLong.\n"
        )
        at = {(c["name"], c["cell"]["split"]): c for c in own}
        names = list(dict.fromkeys(c["name"] for c in own))
        yield from table(
            ["metric", "train", "validation"],
            [[f"`{n}`", *(_area(at.get((n, split))) for split in ("train", "val"))] for n in names],
        )
        yield (
            "Published for comparison: the benchmark's own classifier, a language model fine-tuned on the 1,000 "
            "training pairs, is reported at an accuracy of 0.79 and an F1 of 0.81 on held-out pairs (as told in a "
            "public review of the paper; not checked in the paper). It is trained for this question, and no "
            "accuracy of a metric without a threshold compares with it directly. For BLEU, distinct-n and other "
            "metrics no figure on these pairs is known to us. The curve of the semantic kernel was fitted on the "
            "training split; a curve cannot change an AUC. Human-labelled sets of content and form diversity "
            "(Tevet and Berant 2021) were not at hand.\n"
        )
    classes = by_group.get("classes", [])
    if classes:
        yield (
            "Classes of meaning among the answers to each of 100 prompts (by people for the human answers, by that "
            "classifier for the models'), and the rank correlation over prompts of each facet's diversity with their "
            "number:\n"
        )
        names = list(dict.fromkeys(c["cell"]["checkpoint"] for c in classes))
        facets = list(dict.fromkeys(c["name"] for c in classes))
        at2 = {(c["cell"]["checkpoint"], c["name"]): c for c in classes}
        yield from table(
            ["answers of", "mean classes", *(f"{f}: correlation, effective number" for f in facets)],
            [
                [
                    name,
                    f"{at2[name, facets[0]]['cell']['mean classes']:.2f}",
                    *(
                        f"{c['found']:.2f} ({c['low']:.2f} to {c['high']:.2f}), {c['cell']['effective']:.2f}"
                        for c in (at2[name, f] for f in facets)
                    ),
                ]
                for name in names
            ],
        )


def _area(check: Row | None) -> str:
    return "" if check is None else f"{check['found']:.3f} ({check['low']:.3f} to {check['high']:.3f})"


def _replication(by_group: dict[str, list[Row]]) -> Iterator[str]:
    own = by_group.get("replication", [])
    if own:
        yield "## Replication\n"
        yield (
            "Figures that came with the recorded outputs, by an independent script, beside ours. *Theirs* were "
            "made from answers cut to an equal length that is not recorded, with a tokeniser of its own and "
            "another self-BLEU; so the direction must agree, and levels may differ.\n"
        )
        yield from table(
            ["contrast", "metric", "condition", "theirs", "ours", "direction due", "found"],
            [
                [
                    c["cell"]["contrast"],
                    f"`{c['name']}`",
                    c["cell"]["condition"],
                    " -> ".join(f"{v:.3f}" for v in c["cell"]["theirs"]),
                    " -> ".join(f"{v:.3f}" for v in c["cell"]["ours"]),
                    c["nominal"],
                    c["found"] if c.get("passed") else f"**{c['found']}**",
                ]
                for c in own
            ],
        )
    across = by_group.get("replication across prompts", [])
    if across:
        yield (
            "Pairs with one answer a prompt: distinct-2 over the first 40 words and signs of all answers (30 for "
            "GSM8K), in lower case, shorter ones left out. Here the figure itself must come out, to its three digits. "
            "Decoding matches within a pair for some of them only, and length shifts, so this is no measure of what "
            "tuning did; and it says nothing of diversity within a prompt.\n"
        )
        yield from table(
            ["pair", "theirs", "ours", "direction due", "found"],
            [
                [
                    c["cell"]["contrast"],
                    " -> ".join(f"{v:.3f}" for v in c["cell"]["theirs"]),
                    " -> ".join(f"{v:.3f}" for v in c["cell"]["ours"]),
                    c["nominal"],
                    c["found"] if c.get("passed") else f"**{c['found']}**",
                ]
                for c in across
            ],
        )
    groups = by_group.get("replication, groups", [])
    if groups:
        yield (
            "Short texts of gpt-3.5-turbo about groups of people: Lee et al. (FAccT 2024) report that texts about "
            "African, Asian and Hispanic Americans are more alike than those about White ones, and, by less, those "
            "about women than those about men. They regress the cosines of the sentence embeddings of all pairs of "
            "texts of one format and group on group and gender, with a random intercept for the format. Here 30 "
            "texts a cell of their 128, all 435 pairs of them, 13 formats; embedded by all-MiniLM-L6-v2, which is "
            "none of theirs. *Slope* is the coefficient of that regression (in standard deviations of all pairs; the"
            " design is balanced, so that it is the mean difference within formats and genders). The interval is "
            "that of the texts, for these formats, as their claim is; theirs takes the pairs for independent, though"
            " every text is in 29 of them, and would be narrower. The direction is promised of the cosine, which is "
            "what they measured; the facets below it are ours.\n"
        )
        order = sorted(groups, key=lambda c: c["name"] != "cosine of embeddings")
        yield from table(
            ["measure", "contrast", "difference", "interval", "slope", "found", "over formats"],
            [
                [
                    c["name"],
                    c["cell"]["contrast"],
                    f"{c['cell']['mean difference of similarity']:+.4f}",
                    f"{c['low']:+.4f} to {c['high']:+.4f}",
                    f"{c['cell']['slope']:+.2f}",
                    f"**{c['found']}**" if c.get("passed") is False else c["found"],
                    f"{c['cell']['formats'][0]:+.4f} to {c['cell']['formats'][1]:+.4f}",
                ]
                for c in order
            ],
        )
        yield (
            "*Over formats* is the interval that takes format and gender for a sample of such, as a claim about "
            "formats not asked for would have to. An earlier run read words and form alone, by that wider interval, "
            "and found nothing clear: the difference lies in what the texts say, hardly in their words or form, and it "
            "differs much between formats.\n"
        )
    out = by_group.get("replication, out of reach", [])
    if out:
        yield "Out of reach, and therefore not replicated:\n"
        yield from (f"- {c['name']}: {c['note']}." for c in out)
        yield ""


def _about() -> dict[str, str]:
    from diversity.validity.directions import MANIPULATIONS, TEMPERATURES

    sweep = f"recorded outputs of SmolLM2-135M-Instruct at T = {', '.join(map(str, TEMPERATURES))}"
    swept = {f"temperature, SmolLM2 {d}": sweep for d in ("code", "story")}
    equal = "the same, three quarters of the answers of each prompt, all cut to the same number of words"
    return {m.name: m.about for m in MANIPULATIONS} | swept | {"temperature, SmolLM2 story, equal length": equal}


ABOUT = _about()

if __name__ == "__main__":
    main(sys.argv[1:])

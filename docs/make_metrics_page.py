"""Write docs/metrics.md from the registry: python docs/make_metrics_page.py, from the root of the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from diversity.metrics import FAMILIES
from diversity.registry import Metric, metrics

PAGE = Path(__file__).with_name("metrics.md")
HEAD = """# Metrics

Written by `docs/make_metrics_page.py` from what every metric says of itself; change it there. `diversity metrics NAME`
prints the same for one metric, with a worked example that is computed as it is shown. How to add one:
[extending.md](extending.md).

A metric measures one prompt's answers (*within prompt*), each answer by itself (*within output*), one answer to each
prompt (*across prompts*), or the answers of two checkpoints (*between checkpoints*). The sign of a shift can differ
between these units: a checkpoint can keep its variety on each prompt and still answer all prompts in one manner.

*Free of n* says that the expectation does not depend on how many answers there are. What is not free of n must be
compared at equal n. A metric is *undefined*, null with a reason and never 0, below its fewest answers and where it
says so.

Words are those of one tokeniser: runs of letters and digits, and single signs; one sign is one word in scripts that
write no spaces. No n-gram crosses from one answer into the next.

## The headline

The four `similarity` kernels give the effective number of 16 answers, D = 16 / (1 + 15 s), with s the mean of the
kernel over pairs of different answers, averaged over prompts: see [statistics.md](statistics.md) for the estimator, and
[length-and-n.md](length-and-n.md) for what length and n do to it and to other scores.

## Defined here

Measures whose source is this page, with x, y answers of one prompt, n their number, i != j.
"""
DEFINED = {
    "top_opening_share": "max over openings o of (answers that begin with o) / n. An opening is the first three words.",
    "near_duplicates": "mean over pairs of [J(x, y) >= 0.8], J the Jaccard similarity of word 1-, 2- and 3-gram sets, "
    "averaged over the orders that one of the two is long enough for.",
    "cr_lift": "(sum over x of C(x)) / C(x_1 ... x_n), C the bytes under raw deflate, level 9; the answers sorted "
    "and joined by line breaks.",
    "nearest_neighbour_distance": "mean over x of the least 1 - cos(x, y) over the other answers y.",
    "semantic_near_duplicates": "mean over pairs of [cos(x, y) >= 0.95].",
    "sentence_length": "mean over answers of (words / sentences); answers without a sentence are left out.",
    "sentence_length_sd": "standard deviation (n - 1) of the words of all sentences of all answers, pooled.",
    "sentence_opening_similarity": "mean over pairs of the sum over words w of min(a(w), b(w)), a and b the shares of "
    "each answer's sentences that open with w.",
    "distinct_programs": "different normalised trees / programs that parse. Normalised: names, literals, comments and "
    "layout are removed.",
    "distinct_programs_type": "the same with names and literals by kind alone: see [programs.md](programs.md) for the "
    "three levels.",
    "distinct_programs_raw": "the same with names and literals as written; comments and layout are removed.",
    "distinct_skeletons": "different control-flow skeletons / programs that parse: see [programs.md](programs.md).",
    "distinct_strategies": "different strategy profiles / programs that parse: see [programs.md](programs.md).",
    "partial_parses": "share of programs in which the parser fails on 5 % of the bytes or less.",
    "off_language": "share of outputs told to be in another natural language than the domain's.",
    "unparsable": "share of outputs, those without an answer included, in which the domain finds nothing to compare.",
    "role_leak": "share of outputs that go on as another speaker of the chat.",
    "thought": "share of outputs with a chain of thought in tags.",
    "words": "mean over answers of the number of words and signs.",
    "duplicates": "mean over pairs of [x = y], white space folded.",
    "markdown": "share of answers with a heading, a list item, bold, a fence or a table row.",
    "parse_failures": "share of programs that the parser does not accept.",
    "valid": "share of outputs that pass the domain's check (or the column `valid`).",
    "empty": "share of outputs from which no answer could be extracted.",
    "refused": "share of outputs that open with a phrase of refusal.",
    "loops": "share of outputs that repeat themselves until they end.",
    "truncated": "share of outputs whose finish reason is the token limit.",
    "cut": "share of outputs longer than the common window of the length-matched condition.",
    "left_out": "share of outputs shorter than that window.",
    "relocation": "min(s_pre, s_post) - s_cross, each a mean of the facet's kernel over pairs, averaged over prompts.",
}
TITLES = {
    "kernels": "Kernels of the headline",
    "lexical": "Words, all answers pooled",
    "richness": "Lexical richness within an answer",
    "bleu": "BLEU among the answers",
    "overlap": "Pairs of answers as strings",
    "compression": "Compression",
    "trees": "Syntax trees of code",
    "quality": "Diversity among valid answers",
    "prose": "Form of prose",
    "semantic": "Embeddings",
    "clusters": "Classes of meaning",
    "guards": "Guards",
    "between": "Between two checkpoints",
}


def families() -> dict[str, list[Metric]]:
    """Metrics by the file that defines them, those across prompts apart."""
    found: dict[str, list[Metric]] = {}
    for metric in metrics().values():
        function = getattr(metric.function, "func", metric.function)
        module = str(function.__module__)
        if metric.unit != "across prompts" and module.startswith("diversity.metrics."):
            found.setdefault(module.rpartition(".")[2], []).append(metric)
    # Not in the order of the registry, which is that in which the files happened to be imported.
    return {family: found[family] for family in FAMILIES if family in found}


def card(metric: Metric) -> Iterator[str]:
    """All that a metric says of itself."""
    low, high = metric.range
    first, _, rest = metric.documentation.partition("\n")
    facts = [
        f"{metric.facet}, {metric.unit}",
        f"{low:g} to {high:g}" + (f", higher is {metric.higher_is}" if metric.higher_is != "neither" else ""),
        f"{metric.min_n} answers or more",
        "free of n" if metric.unbiased_in_n else "not free of n",
        f"cost {metric.cost}",
    ]
    yield f"### {metric.name}\n"
    yield " ".join(f"{first} {rest}".split()) + "\n"
    yield "; ".join(facts) + "." + ("" if metric.default else " Computed when asked for.") + "\n"
    yield f"- Source: {metric.source}"
    if metric.aliases:
        yield f"- Also called: {', '.join(metric.aliases)}"
    if metric.confounds:
        yield f"- Beware: {metric.confounds}"
    yield ""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    lines += [f"- `{name}`: {formula}" for name, formula in DEFINED.items()]
    for family, members in families().items():
        lines += ["", f"## {TITLES.get(family, family)}", ""]
        lines += [line for metric in members for line in card(metric)]
    lines += [
        "",
        "## Across prompts",
        "",
        "The same measures over one answer to each prompt: the mean of up to 8 draws.",
    ]
    lines += ["The topics of the prompts count, so compare on the same prompts only. In the default panel:", ""]
    over = [m for m in metrics().values() if m.unit == "across prompts"]
    lines += [", ".join(f"`{m.name}`" for m in over if m.default) + ".", "", "When asked for:", ""]
    lines += [", ".join(f"`{m.name}`" for m in over if not m.default) + ".", ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

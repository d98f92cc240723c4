"""Known direction: what every metric does when diversity is changed on purpose.

Each manipulation is a row of checkpoints whose answers are ever more diverse, or, for those that must not be noticed,
equally so. The direction a metric must show follows from what it says of itself (`higher_is`, facet, unit); the few
exceptions are declared here with their reason, before anything is measured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from diversity.embedding import Embedder
from diversity.registry import Metric, find_metric, metrics
from diversity.scoring import score
from diversity.validity.rates import Check
from diversity.validity.texts import (
    FORMS,
    MODES,
    SENTENCES,
    TASKS,
    BigramModel,
    phrased,
    pick,
    program,
    renamed,
    story,
)
from diversity.validity.worlds import Generator
from diversity.views import Answers
from diversity.words import WORD

WIDER, FLAT = "wider", "flat"
TEMPERATURES = (0.3, 0.6, 0.9, 1.2)
# Reads the order of words not at all: a bag of words and its counts.
UNIGRAM = re.compile(r"distinct_1|rarefied_distinct_1|ead_1|ngram_(?:entropy|hill)_1.*|ttr|hdd|jaccard_1|ruzicka_1")
# Grows with the number of n-grams, which it is not divided by: what the registry says of it as a confound.
BY_LENGTH = re.compile(r"ngram_(?:entropy|hill)_\d(?!.*_normalised).*")
# Reads names, numbers or strings of a program as they are written.
AS_WRITTEN = re.compile(r".*_raw")

Rows = list[tuple[str, str, int, str, str | None]]  # level, prompt, sample index, output, behaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Manipulation:
    """A row of checkpoints from the least to the most diverse, and what a metric must show of it.

    Attributes
    ----------
    name, about : str
    domain : str
    build : callable
        Takes a random generator and the number of outputs a prompt; gives rows.
    expect : callable
        Metric -> "wider", "flat" (no value changes at all), or None where it promises nothing, with the reason.
    """

    name: str
    about: str
    domain: str
    build: Callable[[Generator, int], Rows]
    expect: Callable[[Metric], tuple[str | None, str]]


def measured() -> list[Metric]:
    """All metrics that claim a direction and are told of one prompt's answers or of single answers."""
    return [
        m
        for m in metrics().values()
        if m.higher_is != "neither"
        and m.unit in {"within prompt", "within output"}
        and (m.facet != "guard" or m.name in {"duplicates", "near_duplicates"})
    ]


# A bigram model ends a sentence wherever its likeliest words lead through a full stop: heat, and more words to choose
# from, move how long sentences are either way. Which way it was hung on the prompts that the model is made of.
FULL_STOPS = (
    r"sentence_length_.*",
    "in a model of word pairs the full stop is a word as others: heat moves it either way",
)
# What a manipulation leaves as it is, whatever else it does: metrics that read only this promise nothing there.
NOT_TOUCHED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "temperature, n-gram model": (
        (r"(?:near_)?duplicates", "40 words that are drawn one by one never come out alike"),
        (r"valid_.*|.*\.effective_.*", "counts valid answers only, which the model is not made to give"),
        FULL_STOPS,
    ),
    "vocabulary": (
        (r"(?:near_)?duplicates", "40 words that are drawn one by one never come out alike"),
        (r"valid_.*|.*\.effective_.*", "counts valid answers only, which the model is not made to give"),
        FULL_STOPS,
    ),
    "temperature, programs": (
        (r"same_opening|top_opening_share", "all programs of a task open with the same def, but for one form"),
        (r"import_similarity", "one form of seven imports anything"),
    ),
    "copies, programs": (
        (r"same_opening|top_opening_share", "all programs of a task open with the same def, but for one form"),
        (r"import_similarity", "one form of seven imports anything"),
    ),
    "modes": ((r"punctuation_.*", "all stories have the same signs"),),
    "shuffled words": ((r"same_opening|top_opening_share", "too few openings are alike before shuffling"),),
}


def everywhere(metric: Metric) -> tuple[str | None, str]:
    """More variety in every respect at once: all metrics must rise."""
    if metric.name in {"layout_unique", "layout_similarity"}:
        return None, "the texts are one line each: their layout does not vary"
    return WIDER, ""


def heated(metric: Metric) -> tuple[str | None, str]:
    """A model's own temperature: also lowers the share of valid answers, and the words that a limit of tokens holds."""
    if metric.name.startswith("valid_") or ".effective_" in metric.name:
        return None, "counts valid answers only, and heat makes fewer of them"
    if BY_LENGTH.fullmatch(metric.name):
        return None, "counts n-grams, of which shorter answers have fewer, and heat makes them shorter"
    return everywhere(metric)


def between_answers(metric: Metric) -> tuple[str | None, str]:
    """Variety among answers only: what is read inside a single answer promises nothing."""
    if metric.unit == "within output":
        return None, "measured within each answer by itself, where nothing was changed on purpose"
    if metric.name == "sentence_length_sd":
        return None, "pools the sentences of all answers: a spread within answers"
    if metric.name.endswith("qinf"):
        return None, "reads the commonest n-gram alone"
    return everywhere(metric)


def of_order(metric: Metric) -> tuple[str | None, str]:
    """Words in random order: a bag of words sees nothing, what reads runs of words sees variety."""
    if UNIGRAM.fullmatch(metric.name):
        return FLAT, "counts words without regard to order"
    if metric.facet == "lexical" and metric.unit == "within prompt":
        return WIDER, ""
    if metric.name.startswith("shape_"):
        return WIDER, ""
    return None, "no claim about shuffled words"


def of_wording(metric: Metric) -> tuple[str | None, str]:
    """Other words for the same: lexical metrics must see it."""
    if metric.name.endswith("qinf"):
        return None, "reads the commonest n-gram alone"
    if metric.facet == "lexical" and metric.unit == "within prompt" and "opening" not in metric.name:
        return WIDER, ""
    if metric.facet == "syntactic" and metric.name not in {"sentence_length_variation"}:
        return FLAT, "the words replaced are of one kind, in one place"
    return None, "no claim: a paraphrase is nearly, not wholly, the same in meaning"


def of_names(metric: Metric) -> tuple[str | None, str]:
    """Other names, comments and blank lines in one program: the tree is the same."""
    if metric.facet == "functional":
        return FLAT, "the program does the same"
    if metric.facet == "syntactic":
        if AS_WRITTEN.fullmatch(metric.name):
            return WIDER, ""
        return FLAT, "names, comments and layout are no part of the normalised tree"
    if metric.name.endswith("qinf"):
        return None, "reads the commonest n-gram alone"
    if metric.facet == "lexical" and metric.unit == "within prompt" and "opening" not in metric.name:
        return WIDER, ""
    return None, "no claim: the embedding model reads names"


def _level(temperature: float) -> str:
    return f"{temperature:g}"


def temperature_of_model(rng: Generator, n: int) -> Rows:
    """The bigram model at four temperatures, one start word a prompt."""
    model = BigramModel()
    starts = [w for w in model.words if w.isalpha() and len(model.following[model.ids[w]]) >= 5][:16]
    return [
        (_level(t), f"p{p:02}", k, model.sample(rng, start, 40, temperature=t), None)
        for t in TEMPERATURES
        for p, start in enumerate(starts)
        for k in range(n)
    ]


def vocabulary_of_model(rng: Generator, n: int) -> Rows:
    """The bigram model with its next word held to the 2, 4, 8 likeliest, or free."""
    model = BigramModel()
    starts = [w for w in model.words if w.isalpha() and len(model.following[model.ids[w]]) >= 5][:16]
    return [
        (label, f"p{p:02}", k, model.sample(rng, start, 40, temperature=1.0, top_k=top), None)
        for label, top in (("2 words", 2), ("4 words", 4), ("8 words", 8), ("all words", 0))
        for p, start in enumerate(starts)
        for k in range(n)
    ]


def temperature_of_programs(rng: Generator, n: int) -> Rows:
    """The grammar of programs at four temperatures, one task a prompt."""
    return [
        (_level(t), f"p{task:02}", k, *program(rng, task, t))
        for t in TEMPERATURES
        for task in range(len(TASKS))
        for k in range(n)
    ]


def copies_of_texts(rng: Generator, n: int) -> Rows:
    """Three quarters, a half, a quarter or none of the answers are copies of one."""
    model = BigramModel()
    starts = [w for w in model.words if w.isalpha() and len(model.following[model.ids[w]]) >= 5][:16]
    rows: Rows = []
    for p, start in enumerate(starts):
        texts = [model.sample(rng, start, 40, temperature=0.9) for _ in range(n)]
        for share in (0.75, 0.5, 0.25, 0.0):
            kept = texts[: n - round(share * n)]
            filled = kept + [texts[0]] * (n - len(kept))
            rows += [(f"{share:.0%} copies", f"p{p:02}", k, text, None) for k, text in enumerate(filled)]
    return rows


def copies_of_programs(rng: Generator, n: int) -> Rows:
    """The same with programs."""
    rows: Rows = []
    for task in range(len(TASKS)):
        made = [program(rng, task, 1.2) for _ in range(n)]
        for share in (0.75, 0.5, 0.25, 0.0):
            kept = made[: n - round(share * n)]
            filled = kept + [made[0]] * (n - len(kept))
            rows += [(f"{share:.0%} copies", f"p{task:02}", k, *one) for k, one in enumerate(filled)]
    return rows


def modes_of_stories(rng: Generator, n: int) -> Rows:
    """Stories of one, two, four or eight modes, details drawn at random in each."""
    rows: Rows = []
    for p in range(16):
        order = rng.permutation(len(MODES))
        for count in (1, 2, 4, 8):
            rows += [(f"{count} modes", f"p{p:02}", k, story(rng, int(order[k % count])), None) for k in range(n)]
    return rows


def shuffled_texts(rng: Generator, n: int) -> Rows:
    """Texts of the bigram model as they are, and each with its words in random order."""
    model = BigramModel()
    starts = [w for w in model.words if w.isalpha() and len(model.following[model.ids[w]]) >= 5][:16]
    rows: Rows = []
    for p, start in enumerate(starts):
        for k in range(n):
            # One case and no signs, so that a word is the same word wherever it stands.
            text = re.sub(r"[^a-z' ]", "", model.sample(rng, start, 40, temperature=0.6).lower())
            words = text.split()
            rows.append(("as written", f"p{p:02}", k, " ".join(words), None))
            rows.append(("shuffled", f"p{p:02}", k, " ".join(rng.permutation(words)), None))
    return rows


def wordings(rng: Generator, n: int, *, meaning: bool) -> Rows:
    """One text n times over, and with its words replaced by ones of like meaning (or of unlike meaning)."""
    rows: Rows = []
    for p in range(16):
        chosen = [int(i) for i in rng.permutation(len(SENTENCES))[:3]]
        rows += [("one wording", f"p{p:02}", k, phrased(None, chosen, meaning=meaning), None) for k in range(n)]
        other = "other meanings" if meaning else "other wordings"
        rows += [(other, f"p{p:02}", k, phrased(rng, chosen, meaning=meaning), None) for k in range(n)]
    return rows


def paraphrases(rng: Generator, n: int) -> Rows:
    """Synonyms in place of words."""
    return wordings(rng, n, meaning=False)


def renamings(rng: Generator, n: int) -> Rows:
    """One program n times over, and under other names, comments and blank lines."""
    rows: Rows = []
    for task in range(len(TASKS)):
        form = pick(rng, len(FORMS) - 1, 100.0)
        one = renamed(rng, task, form)
        rows += [("one naming", f"p{task:02}", k, one, "right") for k in range(n)]
        rows += [("other namings", f"p{task:02}", k, renamed(rng, task, form), "right") for k in range(n)]
    return rows


LAYOUTS = (
    "{0}. {1}. {2}.",
    "- {0}\n- {1}\n- {2}",
    "1. {0}\n2. {1}\n3. {2}",
    "## {0}\n\n{1}.\n\n{2}.",
    "**{0}**\n\n{1}. {2}.",
)


def layouts(rng: Generator, n: int) -> Rows:
    """Three sentences as one paragraph, and laid out as list, numbered list, or under a heading."""
    rows: Rows = []
    for p in range(12):
        parts = [phrased(None, [int(i)], meaning=False).rstrip(".") for i in rng.permutation(len(SENTENCES))[:3]]
        for k in range(n):
            rows.append(("one layout", f"p{p:02}", k, LAYOUTS[0].format(*parts), None))
            rows.append(("other layouts", f"p{p:02}", k, LAYOUTS[k % len(LAYOUTS)].format(*parts), None))
    return rows


def of_layout(metric: Metric) -> tuple[str | None, str]:
    """Other layouts of one text."""
    if metric.facet == "format":
        return WIDER, ""
    return None, "no claim: the signs of a layout are read as words by some and not by others"


MANIPULATIONS = (
    Manipulation(
        name="temperature, n-gram model",
        about=f"bigram model of the package's prompts at T = {', '.join(map(_level, TEMPERATURES))}",
        domain="text", build=temperature_of_model, expect=everywhere,
    ),
    Manipulation(
        name="temperature, programs",
        about=f"grammar of programs at T = {', '.join(map(_level, TEMPERATURES))}",
        domain="code", build=temperature_of_programs, expect=between_answers,
    ),
    Manipulation(
        name="copies, texts", about="75, 50, 25 and 0 % of the answers are copies of one",
        domain="text", build=copies_of_texts, expect=between_answers,
    ),
    Manipulation(
        name="copies, programs", about="75, 50, 25 and 0 % of the programs are copies of one",
        domain="code", build=copies_of_programs, expect=between_answers,
    ),
    Manipulation(
        name="modes", about="stories of 1, 2, 4 and 8 modes; details vary in each",
        domain="text", build=modes_of_stories, expect=between_answers,
    ),
    Manipulation(
        name="vocabulary", about="next word among the 2, 4, 8 likeliest, or free",
        domain="text", build=vocabulary_of_model, expect=everywhere,
    ),
    Manipulation(
        name="shuffled words", about="the words of each answer as written, and in random order",
        domain="text", build=shuffled_texts, expect=of_order,
    ),
    Manipulation(
        name="paraphrase only", about="one text, and the same with synonyms in its slots",
        domain="text", build=paraphrases, expect=of_wording,
    ),
    Manipulation(
        name="layout only",
        about="one text as a paragraph, and as lists or under headings",
        domain="text",
        build=layouts,
        expect=of_layout,
    ),
    Manipulation(
        name="renaming only", about="one program, and the same under other names, comments and blank lines",
        domain="code", build=renamings, expect=of_names,
    ),
)  # fmt: skip


def of_recorded(name: str, frame: pl.DataFrame) -> Manipulation:
    """A temperature sweep that was recorded: checkpoints named by their temperature, in one domain."""
    levels = sorted(frame["temperature"].unique())

    def build(rng: Generator, n: int) -> Rows:
        del rng
        return _swept(frame, n)

    about = f"recorded outputs at T = {', '.join(map(_level, levels))}"
    return Manipulation(name=name, about=about, domain=frame["domain"][0], build=build, expect=heated)


def at_equal_length(name: str, frame: pl.DataFrame) -> Manipulation:
    """A recorded sweep of which all temperatures are read over equally many answers of equally many words.

    Of each prompt the longest window that three quarters of the answers fill at every temperature; shorter answers are
    left out, and as many are kept at each temperature.
    """

    def build(rng: Generator, n: int) -> Rows:
        del rng
        kept = n - n // 4
        sets: dict[str, dict[str, list[str]]] = {}
        for level, prompt, _, output, _ in _swept(frame, n):
            sets.setdefault(prompt, {}).setdefault(level, []).append(output)
        rows: Rows = []
        for prompt, by_level in sets.items():
            lengths = {level: [len(WORD.findall(text)) for text in texts] for level, texts in by_level.items()}
            window = min(sorted(own, reverse=True)[kept - 1] for own in lengths.values())
            for level, texts in by_level.items():
                long = [t for t, length in zip(texts, lengths[level], strict=True) if length >= window][:kept]
                rows += [(level, prompt, k, text, None) for k, text in enumerate(Answers(long, limit=window).read)]
        return rows

    about = "the same, three quarters of the answers of each prompt, all cut to the same number of words"
    return Manipulation(name=name, about=about, domain=frame["domain"][0], build=build, expect=everywhere)


def _swept(frame: pl.DataFrame, n: int) -> Rows:
    kept = frame.filter(pl.col("sample_index") < n).sort("temperature", "prompt_id", "sample_index")
    return [
        (_level(t), prompt, k, output, None)
        for t, prompt, k, output in kept.select("temperature", "prompt_id", "sample_index", "output").iter_rows()
    ]


def directions(
    manipulations: Iterable[Manipulation],
    *,
    seed: int,
    n: int = 8,
    wanted: Sequence[Metric] | None = None,
    embedder: Embedder | str | None = None,
) -> Iterator[Check]:
    """Measure every metric under every manipulation and hold what it did to what it must do."""
    chosen = list(wanted) if wanted is not None else measured()
    for each in manipulations:
        rng = np.random.default_rng([seed, 7, *each.name.encode()])
        rows = each.build(rng, n)
        names = list(dict.fromkeys(row[0] for row in rows))
        frame = pl.DataFrame(
            [(f"{names.index(r[0])}", each.domain, *r[1:]) for r in rows],
            schema=["checkpoint", "domain", "prompt_id", "sample_index", "output", "behaviour"],
            orient="row",
        )
        if frame["behaviour"].null_count() == len(frame):
            frame = frame.drop("behaviour")
        scores = score(frame, metrics=[m.name for m in chosen], conditions=["all"], embedder=embedder).frame
        for metric in chosen:
            yield _judged(each, metric, scores.filter(pl.col("metric") == metric.name), names)


def _judged(each: Manipulation, metric: Metric, scores: pl.DataFrame, names: Sequence[str]) -> Check:
    """What one metric did under one manipulation."""
    expected, reason = each.expect(metric)
    for pattern, why in NOT_TOUCHED.get(each.name, ()):
        if re.fullmatch(pattern, metric.name):
            expected, reason = None, why
    table = scores.pivot("checkpoint", index="prompt_id", values="value").drop_nulls() if len(scores) else scores
    cell = {"manipulation": each.name, "facet": metric.facet, "levels": list(names)}
    levels = [str(i) for i in range(len(names))]
    if len(table) < 5 or not set(levels) <= set(table.columns):
        return Check(group="direction", name=metric.name, cell=cell, found="undefined", nominal=expected, note=reason)
    sign = 1 if metric.higher_is == "more diverse" else -1
    values = table.select(levels).to_numpy() * sign
    steps = [_step(values[:, i + 1] - values[:, i]) for i in range(len(levels) - 1)]
    whole = _step(values[:, -1] - values[:, 0])
    means = [float(v) for v in values.mean(axis=0) * sign]
    found = _called(steps, whole)
    passed: bool | None = None
    if found == "flat" and expected == WIDER and float(np.ptp(values)) < 1e-9:
        # All answers of all prompts differ at every level: there is nothing more for the metric to show.
        found, reason = "at its limit", "the same value for every prompt at every level"
    elif expected == WIDER and found != "undecided":
        # A step against the expected one that its own interval cannot tell from none is noise, the whole must be clear.
        passed = found in {"wider", "wider (monotone within noise)"}
    elif expected == FLAT:
        passed = found == "flat"
    return Check(
        group="direction",
        name=metric.name,
        cell=cell | {"means": means},
        nominal=expected,
        at="equal",
        found=found,
        low=whole[1],
        high=whole[2],
        runs=len(table),
        passed=passed,
        note=reason,
    )


def seen_somewhere(checks: Sequence[Check]) -> Iterator[Check]:
    """Whether every metric that claims to measure diversity sees it under one manipulation at least."""
    found: dict[str, set[str]] = {}
    for check in checks:
        if check.group == "direction":
            own = found.setdefault(check.name, set())
            if str(check.found).startswith("wider") and check.passed:
                own.add(str(check.cell["manipulation"]))
            elif check.found != "undefined" and check.nominal == WIDER:
                own.add("")
    for name, where in found.items():
        if where:  # it was due somewhere
            yield Check(
                group="seen somewhere", name=name, nominal="seen", at="equal", runs=len(where - {""}),
                found="seen" if where - {""} else "not seen", passed=bool(where - {""}),
            )  # fmt: skip


def _step(difference: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % t interval of a difference over prompts; exact where nothing changed."""
    from scipy.special import stdtrit

    mean = float(difference.mean())
    if np.abs(difference).max() < 1e-9:
        return 0.0, 0.0, 0.0
    half = float(stdtrit(len(difference) - 1, 0.975)) * float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return mean, mean - half, mean + half


def _called(steps: Sequence[tuple[float, float, float]], whole: tuple[float, float, float]) -> str:
    if all(step == (0.0, 0.0, 0.0) for step in (*steps, whole)):
        return "flat"
    if whole[2] < 0:
        return "narrower"
    if whole[1] <= 0:
        return "undecided"
    if all(mean >= 0 for mean, _, _ in steps):
        return "wider"
    return "wider (monotone within noise)" if all(high >= 0 for _, _, high in steps) else "wider, not monotone"


def paraphrase_against_content(*, seed: int, n: int = 8, embedder: Embedder | str | None = None) -> Iterator[Check]:
    """Whether the semantic kernel sees synonyms as less variety than other meanings in the same slots.

    Lexically the two are alike: as many words are replaced, by as many others.
    """
    found: dict[tuple[bool, str], np.ndarray] = {}
    kernels = [f"{facet}.similarity" for facet in ("lexical", "semantic")]
    for meaning in (False, True):
        rows = [r for r in wordings(np.random.default_rng([seed, 8]), n, meaning=meaning) if r[0] != "one wording"]
        frame = pl.DataFrame(
            [("one", "text", *r[1:4]) for r in rows],
            schema=["checkpoint", "domain", "prompt_id", "sample_index", "output"],
            orient="row",
        )
        scores = score(frame, metrics=kernels, conditions=["all"], embedder=embedder).frame.sort("prompt_id")
        for kernel in kernels:
            found[meaning, kernel] = scores.filter(pl.col("metric") == kernel)["value"].to_numpy()
    from diversity.stats import effective, log_ratio

    for kernel in kernels:
        if any(not len(v) or np.isnan(v.astype(float)).any() for v in (found[False, kernel], found[True, kernel])):
            continue
        estimate = log_ratio(found[False, kernel], found[True, kernel])
        low, high = (math.expm1(end) for end in estimate.interval)
        is_semantic = kernel == "semantic.similarity"
        yield Check(
            group="paraphrase", name=find_metric(kernel).facet,
            cell={
                "synonyms": float(effective(found[False, kernel].mean())),
                "other meanings": float(effective(found[True, kernel].mean())),
            },
            nominal="other meanings wider by half or more" if is_semantic else None, at="equal",
            found=math.expm1(estimate.estimate), low=low, high=high, runs=estimate.n,
            passed=bool(low > 0 and math.expm1(estimate.estimate) >= 0.5) if is_semantic else None,
            note="change of the effective number from synonyms to other meanings",
        )  # fmt: skip

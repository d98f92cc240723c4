"""Properties that every registered metric must have; a new metric is covered by being registered."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from diversity.errors import Undefined
from diversity.metrics.guards import FLAGS
from diversity.registry import metrics
from diversity.stats import pair_mean
from diversity.views import Answers, join, plant, shelve
from diversity.words import WORD, Lexicon

TEXTS = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(
            [
                "",
                " \t\n",
                "one",
                "The cat sat on the mat.",
                "the cat sat on the mat. " * 3,
                "🙂🙃 café café",
                "犬が公園を走る",
                "שלום עולם",
                "a\r\nb\r\nc",
                "x" * 500,
                "\x00\x1b[31mred",
            ]
        ),
    ),
    min_size=2,
    max_size=6,
)
PROGRAMS = st.lists(
    st.sampled_from(
        [
            "def f(x):\n    return x",
            "def g(y):\n    return y",
            "def f(x):\n    return x + 1",
            "f = lambda x: x",
            "def f(xs):\n    out = []\n    for x in xs:\n        out.append(x)\n    return out",
            "def f(:",
            "",
            "# only a comment",
            "class A:\n    def f(self):\n        'doc'\n        return 1",
        ]
    ),
    min_size=2,
    max_size=6,
)


def directions(texts):
    """A vector for each text that depends on the text alone."""
    rows = [np.random.default_rng(abs(sum(map(ord, t)) * 31 + len(t))).normal(size=8) for t in texts]
    return np.array([r / np.linalg.norm(r) for r in rows])


def answers(texts, language=None, marks=None, lexicon=None):
    """Answers with made-up flags and behaviours; marks, one for each text, set what a shuffle must carry along."""
    marks = np.arange(len(texts)) if marks is None else marks
    return Answers(
        texts,
        language=language,
        encode=directions,
        behaviours=[str(len(t) % 3) for t in texts],
        flags=dict.fromkeys(FLAGS, marks % 2 == 0),
        valid=marks % 4 != 1,
        qualities=[(m % 4) / 3 for m in marks],
        windows=1 + marks % 2,
        unknown=(marks % 5) / 10,
        lexicon=lexicon,
    )


def value(metric, *given_answers):
    """Value of a metric of one set of answers, or of two where it is one between checkpoints."""
    try:
        result = (metric.between if metric in BETWEEN else metric.function)(*given_answers)
    except Undefined:
        return None
    found = pair_mean(result)[0] if isinstance(result, np.ndarray) else float(result)
    return None if np.isnan(found) else found


# What is taken across prompts is the same function once more: see test_registry.py.
METRICS = [m for m in metrics().values() if m.unit in {"within prompt", "within output"}]
BETWEEN = [m for m in metrics().values() if m.unit == "between checkpoints"]


def cases():
    for metric in METRICS:
        yield pytest.param(metric, id=metric.name)


# Every metric reads the same answers, so that views are made once: one example for all metrics costs little more than
# one for one. A failure names the metric.


@given(texts=TEXTS, programs=PROGRAMS)
@settings(max_examples=60, deadline=None)
def test_values_lie_in_the_declared_range_or_are_undefined(texts, programs):
    for items, language in ((texts, None), (programs, "python")):
        given_answers = answers(items, language)
        for metric in METRICS:
            found = value(metric, given_answers)
            if found is not None:
                assert metric.range[0] - 1e-9 <= found <= metric.range[1] + 1e-9, metric.name


@given(texts=TEXTS, programs=PROGRAMS, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_order_of_samples_changes_nothing(texts, programs, seed):
    for items, language in ((texts, None), (programs, "python")):
        order = np.random.default_rng(seed).permutation(len(items))
        one, other = answers(items, language), answers([items[i] for i in order], language, order)
        for metric in METRICS:
            first, second = value(metric, one), value(metric, other)
            assert (first is None) == (second is None), metric.name
            if first is not None:
                assert first == pytest.approx(second, abs=1e-9), metric.name


@given(texts=st.lists(TEXTS, min_size=2, max_size=3), programs=st.lists(PROGRAMS, min_size=2, max_size=3))
@settings(max_examples=30, deadline=None)
def test_sets_that_are_measured_together_have_the_values_they_have_alone(texts, programs):
    for sets, language in ((texts, None), (programs, "python")):
        lexicon = Lexicon()
        wholes = [answers(items, language, lexicon=lexicon) for items in sets]
        parts = [whole.part(range(1, len(whole))) for whole in wholes]
        for whole, part in zip(wholes, parts, strict=True):
            part.among = whole, np.arange(1, len(whole))
        union, begin = join(wholes), 0
        for whole in wholes:
            whole.among = union, np.arange(begin, begin := begin + len(whole))
        plant([*wholes, *parts])
        shelve([*wholes, *parts])
        shelve([union])
        for items, whole, part in zip(sets, wholes, parts, strict=True):
            marks = np.arange(len(items))
            alone, rest = answers(items, language), answers(items[1:], language, marks[1:])
            for metric in METRICS:
                assert value(metric, whole) == value(metric, alone), metric.name
                if len(rest) >= metric.min_n and metric.facet != "guard" and not metric.of_all_outputs:
                    assert value(metric, part) == value(metric, rest), metric.name


@given(texts=TEXTS, others=TEXTS, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_between_checkpoints_range_and_order(texts, others, seed):
    order = np.random.default_rng(seed).permutation(len(others))
    pre, post, shuffled = answers(texts), answers(others), answers([others[i] for i in order], marks=order)
    for metric in BETWEEN:
        first, second = value(metric, pre, post), value(metric, pre, shuffled)
        assert (first is None) == (second is None), metric.name
        if first is not None:
            assert metric.range[0] - 1e-9 <= first <= metric.range[1] + 1e-9, metric.name
            assert first == pytest.approx(second, abs=1e-9), metric.name


@pytest.mark.parametrize("metric", [c for c in cases() if c.values[0].pairwise])
@given(texts=TEXTS, programs=PROGRAMS)
@settings(max_examples=25, deadline=None)
def test_a_pairwise_matrix_is_symmetric_and_equal_texts_are_alike(metric, texts, programs):
    for items, language in ((texts, None), (programs, "python")):
        given_answers = answers(items, language)
        try:
            matrix = metric.function(given_answers)
        except Undefined:
            continue
        assert np.allclose(matrix, matrix.T, atol=1e-9)
        alike = 1 if metric.higher_is == "less diverse" else 0
        assert np.allclose(np.diag(matrix), alike, atol=1e-9)


SCENES = [
    "the cat sat on the mat today, then the cat left the mat and slept on the warm roof until noon came round, and "
    "the mat lay there in the sun without the cat",
    "we saw nine green ships! nobody waved back. Their captain drank cold tea while thunder rolled over distant hills; "
    "by evening rain had washed every deck clean",
    "run! run, he cried aloud; but Maria kept reading her novel as if words were written for someone else, turning "
    "page after page beside a dying fire",
    "Ada went home 7 times before spring arrived, each visit shorter than its forerunner: dust, silence, old letters, "
    "one unpaid bill, and three keys that opened nothing",
]
# What is measured within each answer says nothing of how answers differ. Metrics of prose read sentences and layout,
# which these answers hardly have: see test_prose.py. Smoothing method 6 is undefined where no trigram is shared.
ORIENTED = [
    c
    for c in cases()
    if c.values[0].higher_is != "neither"
    and c.values[0].needs != "prose"
    and c.values[0].unit == "within prompt"
    and c.values[0].name != "self_bleu_m6"
]


@pytest.mark.parametrize("metric", ORIENTED)
def test_identical_answers_are_no_more_diverse_than_different_ones(metric):
    if metric.needs == "trees":
        same = answers(["def f(x):\n    return x"] * 4, "python")
        other = answers(
            [
                "def f(x):\n    return x",
                "f = lambda x: x",
                "import a\nclass A:\n    y = 1",
                "for i in z:\n    print(i)",
            ],
            "python",
        )
    else:
        # Long enough for what is drawn or windowed: over 100 trigrams in all.
        same = answers([SCENES[0]] * 4)
        other = answers(SCENES)
    sign = 1 if metric.higher_is == "more diverse" else -1
    assert sign * value(metric, same) < sign * value(metric, other)


# The raw trees are there to be compared with: they hold the names.
NORMALISED = [c for c in cases() if c.values[0].needs in {"trees", "form"} and not re.search("_raw", c.values[0].name)]


@pytest.mark.parametrize("metric", NORMALISED)
def test_renaming_reformatting_and_comments_leave_tree_metrics_unchanged(metric):
    plain = ["def f(a, b):\n    return (a + b) * 2", "def f(a, b):\n    t = a\n    t += b\n    return 2 * t"]
    renamed = [
        "def f(x,y):\n  # doubled\n  return (x+y)*2",
        "def f(p, q):\n    'Twice.'\n\n    s = p\n    s += q\n    return 2*s",
    ]
    assert value(metric, answers(plain, "python")) == pytest.approx(
        value(metric, answers(renamed, "python")), abs=1e-12
    )


# Compressors promise nothing of the kind. Whatever the metric, one duplicate more can raise a diversity: of four equal
# answers and an outlier the outlier's makes the set more even. Every answer twice cannot. Two estimates of entropy can
# rise by it, as they judge what was not seen by counts of one and two.
DOUBLED = [
    c.values[0]
    for c in ORIENTED
    if c.values[0].facet == "lexical"
    and "compress" not in c.values[0].function.__module__
    and not c.values[0].name.endswith(("grassberger", "chao_wang_jost"))
]
# For these one is enough. Distinct and EAD: the kinds stay and the n-grams grow. Template share: all that the duplicate
# adds is shared. Self-BLEU with effective order: both copies score 1, and no other loses a match; with b the score
# that the first copy had, the sum over the n answers cannot exceed n - 1 + b, so that the mean does not fall.
MONOTONE = {f"distinct_{n}" for n in (1, 2, 3, 4)} | {f"ead_{n}" for n in (1, 2, 3, 4)}
MONOTONE |= {"averaged_distinct", "ngram_diversity_sum", "ead", "self_bleu_effective", "template_share"}


@given(texts=TEXTS)
@settings(max_examples=40, deadline=None)
def test_a_duplicate_of_every_answer_never_raises_a_lexical_diversity(texts):
    one, doubled = answers(texts), answers(texts + texts)
    for metric in DOUBLED:
        sign = 1 if metric.higher_is == "more diverse" else -1
        first = value(metric, one)
        if first is not None:
            assert sign * value(metric, doubled) <= sign * first + 1e-9, metric.name


@given(texts=TEXTS, which=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_one_duplicate_never_raises_these_diversities(texts, which):
    one, more = answers(texts), answers([*texts, texts[which % len(texts)]])
    for metric in (m for m in METRICS if m.name in MONOTONE):
        sign = 1 if metric.higher_is == "more diverse" else -1
        first = value(metric, one)
        if first is not None:
            assert sign * value(metric, more) <= sign * first + 1e-9, metric.name


def test_flipping_an_operator_changes_the_tree():
    from diversity.trees import parse

    plus, minus = parse("def f(a, b):\n    return a + b", "python"), parse("def f(a, b):\n    return a - b", "python")
    assert plus is not None
    assert minus is not None
    assert not np.array_equal(plus.labels, minus.labels)


def test_broken_programs_do_not_raise_syntactic_diversity():
    good = ["def f(x):\n    return x"] * 4
    broken = [*good, "def f(x:\n  retur", "def def (", "return ) x"]
    name = "syntactic.similarity"
    kernel = metrics()[name]
    assert value(kernel, answers(broken, "python")) == value(kernel, answers(good, "python")) == 1


@pytest.mark.parametrize("metric", [c for c in cases() if c.values[0].unbiased_in_n and c.values[0].pairwise])
def test_the_expectation_of_a_pair_mean_does_not_depend_on_n(metric):
    """The mean over all subsets of size 2 to 5 of one pool is the pool's own value: exactly unbiased."""
    from itertools import combinations

    pool = ["the cat sat here", "the cat sat there", "a dog ran home", "the cat sat here", "9 ships sailed off!"]
    programs = [
        "def f(x):\n    return x",
        "def f(x):\n    return -x",
        "f = lambda x: x",
        "x = 1",
        "def f(x):\n    pass",
    ]
    code = metric.needs == "trees"
    matrix = metric.function(answers(programs if code else pool, "python" if code else None))
    for n in (2, 3, 4):
        means = [pair_mean(matrix[np.ix_(c, c)])[0] for c in combinations(range(5), n)]
        assert np.mean(means) == pytest.approx(pair_mean(matrix)[0], abs=1e-12)


def test_a_deeply_nested_program_is_parsed_without_recursion():
    depth = 3000
    from diversity.trees import Forest, parse

    tree = parse("x = " + "-" * depth + "1", "python")
    if tree is not None:  # the parser itself may give up
        assert len(Forest([tree, tree]).full_subtrees()) == 2 * len(tree)


def test_a_megabyte_on_one_line_is_measured():
    text = "word " * 200_000
    found = Answers([text, text[: len(text) // 2]])
    assert 0 <= value(metrics()["lexical.similarity"], found) <= 1


@given(text=st.text(st.one_of(st.characters(max_codepoint=0x2FF), st.sampled_from("’—“é½²ªº ß\u2028\x1c_ .,"))))
@settings(max_examples=300, deadline=None)
def test_words_are_the_same_by_their_signs_and_by_their_pattern(text):
    assert WORD.findall(text) == WORD._for(text).findall(text)


@given(texts=TEXTS)
@settings(max_examples=100, deadline=None)
def test_words_in_one_case_are_the_same_whichever_way_they_were_read(texts):
    alone, after = Answers(texts), Answers(texts)
    assert after.words.lengths.shape == (len(texts),)
    assert list(map(list, alone.lexemes.items)) == list(map(list, after.lexemes.items))

"""Metrics of programs: worked values, invariances and what becomes of programs that do not parse."""

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

import diversity
from diversity.errors import MissingExtra, Undefined
from diversity.metrics.trees import tree_edit_distances
from diversity.registry import find_metric, metrics
from diversity.stats import pair_mean
from diversity.views import Answers

# The worked values below were computed once by plain Python over tree-sitter 0.26.1 with tree-sitter-python 0.25.0;
# the edit distances by apted 1.0.3 and zss 1.2.0, which agree.
PROGRAMS = (
    "def add(a, b):\n    return a + b\n",
    "def f(x, y):\n    # sum\n    return x + y\n",
    "def f(x, y):\n    return x - y\n",
    "def f(xs):\n    t = 0\n    for x in xs:\n        t += x\n    return t\n",
)
FAMILY = [m for m in metrics().values() if m.needs == "trees" and m.facet == "syntactic" and m.unit == "within prompt"]


def python(*programs):
    return Answers(programs, language="python")


def value(name, answers):
    result = find_metric(name).function(answers)
    return pair_mean(result)[0] if isinstance(result, np.ndarray) else result


def test_nodes_and_heights_of_four_programs():
    forest = python(*PROGRAMS).forest
    assert forest.sizes[forest.roots].tolist() == [11, 11, 11, 20]
    assert forest.heights[forest.roots].tolist() == [6, 6, 6, 8]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("distinct_subtrees_2", 17 / 29),
        ("distinct_subtrees_3", 12 / 19),
        ("distinct_subtrees_4", 10 / 14),
        ("distinct_subtrees_5", 8 / 10),
        ("distinct_subtrees", (12 / 19 + 10 / 14 + 8 / 10) / 3),
        ("distinct_subtrees_full", 24 / 53),
        ("distinct_programs", 3 / 4),
        ("distinct_programs_type", 3 / 4),
        ("distinct_programs_raw", 1),
        ("same_program", 1 / 6),
        ("subtree_ruzicka", 0.38782051282051283),
        ("distinct_skeletons", 2 / 4),
        ("same_skeleton", 3 / 6),
        ("distinct_strategies", 2 / 4),
        ("same_strategy", 3 / 6),
        ("api_similarity", 1),
        ("import_similarity", 1),
    ],
)
def test_worked_values(name, expected):
    assert value(name, python(*PROGRAMS)) == pytest.approx(expected, abs=1e-9)


def test_the_weisfeiler_lehman_kernel_of_four_programs():
    a, b = 0.9354838709677419, 0.8782218611346799
    expected = [[1, 1, a, b], [1, 1, a, b], [a, a, 1, b], [b, b, b, 1]]
    assert find_metric("ast_wl").function(python(*PROGRAMS)) == pytest.approx(np.array(expected), abs=1e-9)


def test_the_subtree_kernel_by_hand():
    # Both have module, expression, binary operator and two identifiers; only the leaves are shared: 2·2 over 2² + 3.
    kernel = find_metric("subtree_kernel").function(python("a + b", "a - b"))
    assert kernel[0, 1] == pytest.approx(4 / 7, abs=1e-12)


def test_tree_edit_distance_of_four_programs():
    pytest.importorskip("apted")
    answers = python(*PROGRAMS)
    expected = [[0, 0, 1, 13], [0, 0, 1, 13], [1, 1, 0, 13], [13, 13, 13, 0]]
    assert tree_edit_distances(answers).tolist() == expected
    assert value("tsed", answers) == pytest.approx(0.6446969696969698, abs=1e-9)


def test_tree_edit_similarity_covers_answers_that_are_equal_or_do_not_parse():
    pytest.importorskip("apted")
    matrix = find_metric("tsed").function(python(PROGRAMS[0], "def (", PROGRAMS[2], PROGRAMS[0]))
    assert matrix == pytest.approx(np.array([[1, 10 / 11, 1], [10 / 11, 1, 10 / 11], [1, 10 / 11, 1]]), abs=1e-12)


def test_tree_edit_distance_reads_small_trees_only():
    pytest.importorskip("apted")
    with pytest.raises(Undefined, match="402 nodes"):
        find_metric("tsed").function(python("x", "f(" + "a, " * 396 + "a)"))
    with pytest.raises(Undefined, match="levels"):
        find_metric("tsed").function(python("x", "-" * 150 + "x"))


def test_tree_edit_distance_names_the_package_it_needs(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apted", None)
    with pytest.raises(MissingExtra, match=r'pip install "diversity-shift\[trees\]"'):
        tree_edit_distances(python(*PROGRAMS))
    # In a table the reason stands in the note.
    with pytest.raises(Undefined, match="apted"):
        find_metric("tsed").function(python(*PROGRAMS))


def test_token_ngrams_by_hand():
    # x = 1 + f ( x ) has the tokens ID = NUM + ID ( ID ), of which 6 of 8 are different.
    one = python("x = 1 + f(x)", "y = 2 + g(y)")
    assert value("distinct_code_tokens_1", one) == 6 / 16
    assert value("distinct_code_tokens_2", one) == 7 / 14
    # Renamed, x and y are the first name of their own; 1 and 2, f and g stay apart.
    assert value("distinct_renamed_tokens_1", one) == (5 + 4) / 16
    assert value("code_token_similarity", one) == 1
    # Shared of each order: 6 of 8, 3 of 7 and 1 of 6 (`( v )`, then `v =` alone is no trigram).
    assert value("renamed_token_similarity", one) == pytest.approx((6 / 10 + 3 / 11 + 1 / 11) / 3, abs=1e-12)


def test_apis_and_imports_by_hand():
    answers = python(
        "import math\nprint(math.sqrt(2))",
        "from math import sqrt as s\nprint(s(2))",
        "import os\nprint(len([]))",
        "x = 1",
    )
    # {math, math.sqrt, print} twice, {os, print, len}, nothing.
    apis = find_metric("api_similarity").function(answers)
    assert apis[0].tolist() == pytest.approx([1, 1, 1 / 5, 0])
    assert find_metric("import_similarity").function(answers)[0].tolist() == [1, 1, 0, 0]
    assert find_metric("import_similarity").function(python("x = 1", "y = 2"))[0, 1] == 1


def test_strategies_tell_loops_recursion_and_comprehensions_apart():
    ways = (
        "def f(xs):\n    t = 0\n    for x in xs:\n        t += x\n    return t",
        "def f(xs):\n    t = 0\n    while xs:\n        t += xs.pop()\n    return t",
        "def f(xs):\n    return xs[0] + f(xs[1:]) if xs else 0",
        "def f(xs):\n    return sum(x for x in xs)",
        "def f(xs):\n    return reduce(add, xs)",
        "def f(xs):\n    return sum(xs)",
    )
    assert value("distinct_strategies", python(*ways)) == 1
    assert value("same_strategy", python(*ways)) == 0
    assert value("distinct_strategies", python(*(w.replace("xs", "items") for w in ways), *ways)) == 1 / 2


@pytest.mark.parametrize("metric", FAMILY, ids=lambda m: m.name)
def test_every_metric_tells_what_a_reader_needs(metric):
    assert metric.summary != metric.name
    assert metric.confounds
    assert metric.range == (0, 1)
    assert metric.unbiased_in_n == metric.pairwise
    assert metric.pairwise == (metric.higher_is == "less diverse")


def test_slow_and_raw_ones_are_computed_when_asked_for_only():
    apart = {m.name for m in FAMILY if not m.default}
    assert apart == {
        "tree_edit_similarity",
        "distinct_subtrees_raw",
        "subtree_ruzicka_raw",
        "distinct_code_tokens_1",
        "distinct_renamed_tokens_1",
    }


STATEMENTS = st.sampled_from(
    ["x = 1", "y = x + 2", "for i in x:\n    print(i)", "def f(a):\n    return f(a - 1)", "[a for a in b]", "import os"]
)
# Every set has a tree of five levels.
DEEP = "def f(a):\n    return f(a - 1)"
PROGRAM = st.lists(STATEMENTS, min_size=1, max_size=4).map("\n".join)
SOURCES = st.lists(PROGRAM, min_size=1, max_size=4).map(lambda programs: [*programs, DEEP])
CHEAP = [m for m in FAMILY if m.name != "tree_edit_similarity"]


@given(sources=SOURCES, seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_broken_programs_order_and_comments_change_no_value(sources, seed):
    order = np.random.default_rng(seed).permutation(len(sources))
    changed = [f"# {i}\n{sources[i]}\n\n" for i in order]
    one, other = python(*sources), python("def f(:", *changed, "", "x = )")
    for metric in CHEAP:
        assert value(metric.name, one) == pytest.approx(value(metric.name, other), abs=1e-12), metric.name


@given(sources=SOURCES)
@settings(max_examples=25, deadline=None)
def test_all_programs_twice_are_no_more_diverse(sources):
    one, twice = python(*sources), python(*sources, *sources)
    for metric in CHEAP:
        before, after = value(metric.name, one), value(metric.name, twice)
        if metric.higher_is == "more diverse":
            assert after == pytest.approx(before / 2, abs=1e-12), metric.name
        else:
            assert after >= before - 1e-12, metric.name


@given(sources=SOURCES)
@settings(max_examples=25, deadline=None)
def test_similarities_agree_with_counters(sources):
    from collections import Counter

    answers = python(*sources)
    forest = answers.forest
    for name, level in (("subtree_ruzicka", "type"), ("subtree_ruzicka_raw", "raw")):
        whole = forest.full_subtrees(level)
        bags = [Counter(whole[forest.owners == tree].tolist()) for tree in forest.which]
        expected = [[(a & b).total() / (a | b).total() for b in bags] for a in bags]
        assert find_metric(name).function(answers) == pytest.approx(np.array(expected), abs=1e-12)
    bags = [Counter() for _ in sources]
    for levels in (1, 2, 3):
        for bag, tree in zip(bags, forest.which, strict=True):
            bag.update((levels, s) for s in forest.subtrees(levels)[forest.owners == tree].tolist())
    dot = [[sum(a[k] * b[k] for k in a) for b in bags] for a in bags]
    expected = [[dot[i][j] / np.sqrt(dot[i][i] * dot[j][j]) for j in range(len(bags))] for i in range(len(bags))]
    assert find_metric("wl_similarity").function(answers) == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize("metric", FAMILY, ids=lambda m: m.name)
def test_below_two_programs_that_parse_there_is_no_value(metric):
    for programs in ((), ("x = 1",), ("x = 1", "def (", ""), ("def (",) * 3):
        with pytest.raises(Undefined, match="answers parse, 2 are needed"):
            metric.function(python(*programs))


def test_large_sets_are_compared_in_blocks(monkeypatch):
    whole = find_metric("syntactic.similarity").function(python(*PROGRAMS))
    monkeypatch.setattr("diversity.trees.BLOCK", 1)
    assert np.array_equal(find_metric("syntactic.similarity").function(python(*PROGRAMS)), whole)


def scores(outputs, names):
    rows = [
        {"checkpoint": "pre", "domain": "code", "prompt_id": "p", "sample_index": i, "output": output}
        for i, output in enumerate(outputs)
    ]
    frame = diversity.score(pl.DataFrame(rows), metrics=names, conditions=["all"]).frame
    return {row["metric"]: row for row in frame.iter_rows(named=True)}


def test_what_does_not_parse_and_what_nearly_does_is_told():
    body = "".join(f"    x{i} = {i}\n" for i in range(60))
    whole = f"def f():\n{body}    return 1\n"
    outputs = [whole, whole.replace("60", "61"), f"def f():\n{body}    return = 1\n", "def f(:\n  ]"]
    found = scores(outputs, ["distinct_programs", "parse_failures", "partial_parses"])
    assert found["distinct_programs"]["value"] == 1 / 2
    assert found["distinct_programs"]["n"] == 2
    assert found["distinct_programs"]["note"] == "2 of 4 do not parse, 1 of them but for 5 % or less"
    assert found["parse_failures"]["value"] == 1 / 2
    assert found["partial_parses"]["value"] == 1 / 4
    nothing = scores(["def f(:\n  ]"] * 2, ["distinct_programs"])["distinct_programs"]
    assert nothing["value"] is None
    assert nothing["note"] == "0 of 2 answers parse, 2 are needed"

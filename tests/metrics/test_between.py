"""Between two checkpoints: values by hand, what moves them and what does not."""

import numpy as np
import pytest

from diversity.errors import Undefined
from diversity.metrics import between
from diversity.registry import find_metric
from diversity.views import Answers


def behaving(*labels):
    return Answers([f"{i} does {label}" for i, label in enumerate(labels)], behaviours=list(labels))


def value(name, pre, post):
    return find_metric(name).between(pre, post)


PRE, POST = ("a", "a", "b"), ("a", "c", "c")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("functional.cross_similarity", 2 / 9),  # two of nine pairs agree
        ("functional.displacement", 1 / 3 - 2 / 9),  # one of three pairs agrees on each side
        ("functional.relocation", 1 / 3 - 2 / 9),
        ("functional.homogeneity", 2 / 3),
    ],
)
def test_agreement_of_behaviour_by_hand(name, expected):
    assert value(name, behaving(*PRE), behaving(*POST)) == pytest.approx(expected, abs=1e-12)


def test_pooled_measures_average_the_similarities_over_prompts_first():
    pre = [behaving(*PRE), behaving("a", "a", "a")]
    post = [behaving(*POST), behaving("b", "b")]
    # within: (1/3 + 1) / 2 on both sides; cross: (2/9 + 0) / 2
    read = np.array(list(map(find_metric("functional.relocation").of_prompt, pre, post)))
    assert between.relocation(read) == pytest.approx(2 / 3 - 1 / 9, abs=1e-12)
    assert between.homogeneity(read) == pytest.approx(1 / 6, abs=1e-12)


def test_relocation_takes_the_more_varied_side_and_displacement_the_mean_of_both():
    wide, narrow = ("a", "b", "c"), ("a", "a", "a")
    # Narrowed in place: s is 0 and 1, a third of the pairs between them agree.
    assert value("functional.relocation", behaving(*wide), behaving(*narrow)) == pytest.approx(-1 / 3)
    assert value("functional.displacement", behaving(*wide), behaving(*narrow)) == pytest.approx(1 / 2 - 1 / 3)


def test_one_answer_has_no_similarity_within_and_is_left_out_of_the_mean():
    pre, post = [behaving(*PRE), behaving("a")], [behaving(*POST), behaving("a", "a")]
    read = np.array(list(map(find_metric("functional.relocation").of_prompt, pre, post)))
    assert between.relocation(read) == pytest.approx(1 / 9, abs=1e-12)
    with pytest.raises(Undefined, match="fewer than 2"):
        value("functional.displacement", behaving("a"), behaving("a", "a"))
    assert value("functional.cross_similarity", behaving("a"), behaving("a", "b")) == 1 / 2


def test_nothing_in_common_within_leaves_homogeneity_undefined():
    with pytest.raises(Undefined, match="nothing in common"):
        value("functional.homogeneity", behaving("a", "b"), behaving("c", "d"))


def test_the_kernel_of_each_facet_is_the_one_measured():
    pre, post = Answers(["the cat sat", "the cat ran"]), Answers(["the cat sat", "a dog ran"])
    both = Answers([*pre.texts, *post.texts])
    for facet in ("lexical", "syntactic"):
        matrix = find_metric(f"{facet}.similarity").function(both)
        assert value(f"{facet}.cross_similarity", pre, post) == pytest.approx(matrix[:2, 2:].mean(), abs=1e-12)
        within = (matrix[0, 1] + matrix[2, 3]) / 2
        assert value(f"{facet}.displacement", pre, post) == pytest.approx(within - matrix[:2, 2:].mean(), abs=1e-12)


def test_programs_that_do_not_parse_are_on_neither_side():
    good, bad = "def f(x):\n    return x", "def f(:"
    pre, post = (Answers(t, language="python") for t in ([bad, good, good], [good, good, bad]))
    assert value("syntactic.cross_similarity", pre, post) == pytest.approx(1)
    assert value("syntactic.displacement", pre, post) == pytest.approx(0)
    with pytest.raises(Undefined, match="no answer of one side parses"):
        value("syntactic.cross_similarity", Answers([bad, bad], language="python"), post)


def turned(degrees, label=""):
    turns = np.radians(degrees)
    rows = {f"{label}{i}": (np.cos(t), np.sin(t)) for i, t in enumerate(turns)}
    return Answers(list(rows), encode=lambda texts: np.array([rows[t] for t in texts])), rows


def two_sides(pre, post):
    (one, first), (other, second) = turned(pre, "pre"), turned(post, "post")
    known = first | second
    one._encode = other._encode = lambda texts: np.array([known[t] for t in texts])
    return one, other


def test_mmd_and_energy_of_two_right_angles_by_hand():
    sides = two_sides([0, 90], [0, 90])
    # Distances are 0 or the root of 2, which is also the median: the bandwidth.
    assert value("mmd2", *sides) == pytest.approx(np.exp(-1 / 2) - 1, abs=1e-9)
    assert value("energy_distance", *sides) == pytest.approx(-np.sqrt(2), abs=1e-6)


def test_mmd_and_energy_rise_as_the_answers_move_away():
    found = [[value(name, *two_sides([0, 10, 20], [m, m + 10, m + 20])) for m in (0, 30, 90)] for name in MOVED]
    for values in found:
        assert values[0] < values[1] < values[2]
        assert values[2] > 0


MOVED = ("mmd2", "energy_distance")


def test_equal_answers_have_no_scale_for_mmd():
    with pytest.raises(Undefined, match="no scale"):
        value("mmd2", *two_sides([0, 0, 0], [0, 0, 0]))


@pytest.mark.parametrize("name", ["js_1", "js_2", "js_openers"])
def test_divergence_less_chance_is_the_same_both_ways_and_about_0_for_one_law(name):
    rng = np.random.default_rng(4)
    found = []
    for _ in range(40):
        texts = [" ".join(rng.choice(list("abcd"), 4)) for _ in range(12)]
        pre, post = Answers(texts[:6]), Answers(texts[6:])
        found.append(value(name, pre, post))
        assert found[-1] == pytest.approx(value(name, Answers(texts[6:]), Answers(texts[:6])), abs=1e-12)
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(40)


def test_divergence_of_disjoint_words_is_1_less_the_third_that_chance_gives():
    # Of the six ways to share two a and two b out, two part them: divergence 1, else 0.
    found = value("js_1", Answers(["a", "a"]), Answers(["b", "b"]))
    assert found == pytest.approx(2 / 3, abs=4 * np.sqrt(2 / 9 / 64))
    assert value("js_1", Answers(["a b", "b a"]), Answers(["a b", "b a"])) == 0
    with pytest.raises(Undefined, match="no answer of one side has 2 words"):
        value("js_2", Answers(["a"]), Answers(["b c"]))


def test_openers_are_the_first_three_words_in_one_case():
    answers = Answers(["Once upon A time", "ONCE upon a day", "Yes"])
    assert between.openers(answers) == ["once upon a", "once upon a", "yes"]


def pools(pre, post, prompts=6):
    """The same angles about a direction of its own for each prompt."""
    sides = [two_sides(np.array(pre) + 40 * p, np.array(post) + 40 * p) for p in range(prompts)]
    return [side[0] for side in sides], [side[1] for side in sides]


def neighbourhoods(pre, post):
    sides = pools(pre, post)
    return {name: find_metric(name).function(*sides) for name in ("precision", "recall", "density", "coverage")}


def test_narrowed_inside_the_old_range_is_precise_and_covers_little():
    wide, narrow = np.linspace(-15, 15, 9), np.linspace(-2, 2, 9)
    found = neighbourhoods(wide, narrow)
    assert found["precision"] > 0.9
    assert found["density"] > 0.9
    assert found["recall"] < 0.5
    assert found["coverage"] < 0.7
    swapped = neighbourhoods(narrow, wide)
    assert swapped["recall"] == found["precision"]
    assert swapped["precision"] == found["recall"]


def test_moved_is_neither_precise_nor_covering():
    found = neighbourhoods(np.linspace(-1, 1, 9), np.linspace(19, 21, 9))
    assert found == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_what_a_prompt_is_about_falls_out_before_prompts_are_pooled():
    spread = np.linspace(-5, 5, 9)
    pre, post = pools(spread, spread, prompts=2)
    centred, other = between._centred(tuple(pre), tuple(post))
    for side in (centred, other):
        for vectors in side:
            assert vectors.mean(axis=0) == pytest.approx(np.zeros(2), abs=1e-12)
    # A move between the checkpoints stays in: half of it on either side.
    (one,), (two,) = between._centred(*map(tuple, pools([0, 2], [10, 12], prompts=1)))
    assert one.mean(axis=0) == pytest.approx(-two.mean(axis=0), abs=1e-12)
    assert np.linalg.norm(two.mean(axis=0) - one.mean(axis=0)) == pytest.approx(2 * np.sin(np.radians(5)), rel=1e-3)


def test_frechet_less_that_of_halves_is_about_0_for_one_law_and_sees_a_move():
    rng = np.random.default_rng(2)
    same, moved = [], []
    for _ in range(20):
        pre, post = rng.normal(0, 10, 24), rng.normal(0, 10, 24)
        same.append(find_metric("frechet").function(*pools(pre, post, prompts=1)))
        moved.append(find_metric("frechet").function(*pools(pre, post + 30, prompts=1)))
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(20)
    assert np.mean(moved) == pytest.approx((2 * np.sin(np.radians(15))) ** 2, rel=0.25)
    with pytest.raises(Undefined, match="20 are needed"):
        find_metric("frechet").function(*pools([0, 1, 2], [0, 1, 2], prompts=1))

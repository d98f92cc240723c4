"""What is kept of single prompts: groups, repeats, phrases, the map, trees, and the choice of prompts."""

import json

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

import diversity
from diversity.drilldown import TOP, chosen, grouped, looked_at
from diversity.errors import InputError
from diversity.shift import Shift
from diversity.views import Answers

STORIES = [
    "The old dog walked home alone in the rain last night.",
    "The old dog walked home alone in the snow last night.",
    "Once upon a time there lived a king who had no crown.",
    "Nobody knew where the river began, and nobody asked.",
]


def seen(pre, post, **options):
    sides = [Answers([t for t in texts if t], **options) for texts in (pre, post)]
    places = [i for i, t in enumerate([*pre, *post]) if t]
    return looked_at(sides, places, len(pre) + len(post))


def test_groups_join_while_they_are_alike_to_a_half_on_average():
    similarity = np.array([[1, 0.9, 0.1, 0.1], [0.9, 1, 0.2, 0.1], [0.1, 0.2, 1, 0.4], [0.1, 0.1, 0.4, 1]])
    assert grouped(similarity) == [0, 0, 1, 2]
    similarity[2, 3] = similarity[3, 2] = 0.5
    assert grouped(similarity) == [0, 0, 1, 1]
    assert grouped(np.ones((1, 1))) == [0]


def test_groups_are_those_of_scipy_whatever_ties_there_are():
    rng = np.random.default_rng(0)
    kinds = (
        lambda n: rng.random((n, n)),
        lambda n: rng.integers(0, 3, (n, n)) / 2,
        lambda n: rng.integers(0, 5, (n, n)) / 4,
    )
    joined = 0
    for turn in range(300):
        similarity = kinds[turn % 3](n := int(rng.integers(2, 33)))
        similarity = np.maximum(similarity, similarity.T)
        distances = 1 - similarity[np.triu_indices(n, 1)]
        expected = fcluster(linkage(distances, "average"), 0.5 + 1e-9, "distance")
        found = np.array(grouped(similarity))
        assert ((found[:, None] == found) == (expected[:, None] == expected)).all()
        assert (np.diff(np.bincount(found)) <= 0).all()
        joined += len(set(found.tolist())) < n
    assert joined > 200


def test_an_output_is_folded_into_an_earlier_one_of_its_own_side():
    text = " ".join(f"word{i}" for i in range(60))
    near = text.replace("word30", "other")
    found = seen([text, near, "something else"], [text, "something else again", near])
    assert found["repeats"] == [None, 0, None, None, None, 3]


def test_groups_are_over_both_sides_and_leave_out_what_holds_no_answer():
    found = seen([STORIES[0], "", STORIES[2]], [STORIES[1], STORIES[3]])
    groups = found["groups"]["lexical"]
    assert groups[0] == groups[3]
    assert groups[1] is None
    assert len({groups[0], groups[2], groups[4]}) == 3
    assert "functional" not in found["groups"]
    assert "semantic" not in found["groups"]


def test_phrases_say_how_many_outputs_of_each_side_share_them():
    post = [f"It was a dark and stormy night when {name} came." for name in ("Ann", "Bob", "Cy", "Dee")]
    found = seen(STORIES, post)
    assert found["phrases"][0] == ["it was a dark and stormy night when", 0, 4]
    assert found["openings"][0] == ["it was a dark and stormy night when", 0, 4]
    # A part of the phrase that no further output has is no phrase of its own.
    assert not any("dark" in words for words, _, _ in found["phrases"][1:])


def test_the_map_does_not_depend_on_the_order_of_outputs():
    vectors = {
        t: v / np.linalg.norm(v) for t, v in zip(STORIES, np.random.default_rng(0).normal(size=(4, 9)), strict=True)
    }

    def encode(texts):
        return np.array([vectors[t] for t in texts])

    there = seen(STORIES[:2], STORIES[2:], encode=encode)
    back = seen(STORIES[2:], STORIES[:2], encode=encode)
    assert there["map"] == back["map"][2:] + back["map"][:2]
    assert max(abs(x) for place in there["map"] for x in place) == 1000
    assert 0 < there["map_share"] <= 1


def test_programs_have_one_form_whatever_their_names():
    found = seen(
        ["def f(a):\n    return a + 1", "def g(number):\n    # counts\n    return number + 1"],
        ["def f(a):\n    return a - 1", "def f(a"],
        language="python",
    )
    assert found["form_of"] == [0, 0, 1, None]
    assert found["forms"][0].splitlines() == [
        "module",
        "  function_definition def",
        "    identifier",
        "    parameters: identifier",
        "    block",
        "      return_statement return",
        "        binary_operator +: identifier integer",
    ]


def test_behaviours_that_can_be_said_are_said():
    found = seen(["a", "b"], ["c", "d"], behaviours=["#1f", "always raised ValueError"])
    assert found["behaviours"] == [None, "always raised ValueError"] * 2
    assert found["groups"]["functional"] == [0, 1, 0, 1]


def test_the_most_shifted_prompts_are_chosen_domain_by_domain():
    entries = [{"domain": d, "prompt_id": f"{i}"} for d in ("code", "story") for i in range(TOP + 5)]
    assert chosen(entries, "all") == entries
    assert len(chosen(entries, "top")) == 2 * TOP
    assert chosen(entries, "none") == []
    with pytest.raises(InputError, match="outputs is 'some': give one of all, top, none"):
        chosen(entries, "some")


@pytest.fixture(scope="module")
def sides(make_samples):
    return [
        make_samples(texts, checkpoint=name, prompts=12, n=5, prompt="Tell a story.", seed=seed)
        for seed, (name, texts) in enumerate({"pre": STORIES, "post": [*STORIES[:2], ""]}.items())
    ]


def test_compare_keeps_the_outputs_of_every_prompt_and_json_brings_them_back(sides):
    shift = diversity.compare(*sides, metrics=["lexical.similarity"], conditions=["all"])
    assert len(shift.drilldown) == 12
    assert all(len(e["pre"]) == len(e["post"]) == 5 and len(e["repeats"]) == 10 for e in shift.drilldown)
    # Outputs stand in the order of their samples, and what is said of them at the same places.
    kept = {e["prompt_id"]: e for e in shift.drilldown}
    rows = sides[1].frame.filter(prompt_id="p03").sort("sample_index")["output"].to_list()
    assert kept["p03"]["post"] == rows
    assert [label is None for label in kept["p03"]["groups"]["lexical"][5:]] == [not text for text in rows]
    assert Shift.from_dict(json.loads(shift.to_json())).drilldown == shift.drilldown


def test_compare_can_keep_no_outputs(sides):
    shift = diversity.compare(*sides, metrics=["lexical.similarity"], conditions=["all"], outputs="none")
    assert shift.drilldown == []
    assert shift.examples == []
    with pytest.raises(InputError, match="outputs is 'most'"):
        diversity.compare(*sides, outputs="most")

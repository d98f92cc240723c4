"""Problem families: their solvers against other solvers, and what makes a pair."""

from collections import Counter

import pytest

from diversity.domains.variants import (
    FAMILIAR,
    FAMILIES,
    VARIANTS,
    best_load,
    earliest_end,
    fewest_machines,
    fewest_rooms,
    lightest_load,
    most_meetings,
    problem,
    word,
)
from diversity.registry import find_domain

DOMAIN = find_domain("variants")
BY_NAME = {family.name: family for family in FAMILIES}


def test_every_family_has_two_instances_of_every_form_under_stable_ids():
    counts = Counter((p.details["family"], p.details["form"]) for p in DOMAIN.prompts)

    assert len(FAMILIES) == 12
    assert counts == {(f.name, form): 2 for f in FAMILIES for form in (FAMILIAR, *VARIANTS)}
    assert len({p.prompt for p in DOMAIN.prompts}) == len(DOMAIN.prompts) == 144
    assert DOMAIN.prompts[0].prompt_id == "variants-shopping-1-familiar"
    assert len({p.prompt_id for p in DOMAIN.prompts}) == 144


def test_the_generator_gives_the_same_problem_everywhere():
    text, answer = problem(BY_NAME["ages"], 0, FAMILIAR)

    assert text.startswith("Ben is 9 years old. Clara is 5 years older than Ben. David is 6 years older than Clara.")
    assert answer == "25"


def test_names_and_asides_leave_the_answer_and_the_rest_changes_something():
    for family in FAMILIES:
        for instance in range(2):
            text, answer = problem(family, instance, FAMILIAR)
            renamed, same = problem(family, instance, "renamed")
            assert renamed != text
            assert same == answer or family.names[0] == "cheese"  # there the words are what is asked about
            longer, still = problem(family, instance, "irrelevant")
            assert still == answer
            assert longer.replace(f" {family.aside}", "") == text
            for kind in ("removed", "rescaled", "reversed"):
                assert problem(family, instance, kind)[0] != text


def test_the_removed_element_matters_in_most_families():
    changed = [f.name for f in FAMILIES if problem(f, 0, "removed")[1] != problem(f, 0, FAMILIAR)[1]]

    assert len(changed) >= 8, changed


def by_table(weights, values, limit):
    """Another solver of the knapsack: the table of best values up to each weight."""
    best = [0] * (limit + 1)
    for w, v in zip(weights, values, strict=True):
        for room in range(limit, w - 1, -1):
            best[room] = max(best[room], best[room - w] + v)
    return best[limit]


def greedy(spans):
    """Another solver of the meetings: always the one that ends first."""
    count, end = 0, 0
    for a, b in sorted(spans, key=lambda s: s[1]):
        if a >= end:
            count, end = count + 1, b
    return count


def test_solvers_agree_with_other_solvers():
    from random import Random

    rng = Random(3)
    for _ in range(40):
        weights, values = [rng.randint(1, 9) for _ in range(5)], [rng.randint(1, 20) for _ in range(5)]
        limit = rng.randint(5, 25)
        best = best_load(weights, values, limit)
        assert best == by_table(weights, values, limit)
        assert lightest_load(weights, values, best) <= limit
        spans = [(a := rng.randint(8, 16), a + rng.randint(1, 3)) for _ in range(6)]
        assert most_meetings(spans) == greedy(spans)
    assert earliest_end([5, 4, 3, 3, 3], 2) == 9
    assert fewest_machines([5, 4, 3, 2, 2], 5) == 4
    assert fewest_rooms([(9, 12), (10, 11), (11, 13), (12, 14)]) == 2


@pytest.mark.parametrize("prompt", DOMAIN.prompts, ids=lambda p: p.prompt_id)
def test_the_answer_is_right_and_another_wrong(prompt):
    answer = prompt.details["answer"]
    other = str(int(answer) + 1) if prompt.details["kind"] == "number" else "zzz"
    told = f"First this, then that: 3 + 4 = 7.\nAnswer: {answer}"

    assert answer.strip()
    assert DOMAIN.quality(DOMAIN.answer(told), prompt) == 1
    assert DOMAIN.quality(DOMAIN.answer(told.replace(f"Answer: {answer}", f"Answer: {other}")), prompt) == 0
    assert DOMAIN.quality("", prompt) == 0


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Answer: rnrt", "rnrt"),
        ("**Answer:** r, n, r, t", "rnrt"),
        ("The letters are r and n.\nThe answer is 'RNRT'.", "rnrt"),
        ("In order: silver, tiger.\nAnswer: the word tiger", "tiger"),
        ("", None),
        ("Answer: 12", "answer"),
    ],
)
def test_a_word_is_read_from_the_end(told, expected):
    assert word(told) == expected

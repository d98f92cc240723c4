"""The sentence of every verdict, word by word."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from diversity.reports.sentences import (
    marks,
    paragraph,
    qualifiers,
    runs_sentence,
    sentence,
    sides,
    what_would_change,
)
from diversity.shift import Shift

Row = dict[str, Any]
MakeRow = Callable[..., Row]


def test_narrowed(make_row: MakeRow) -> None:
    said = sentence(make_row())

    assert (
        said == "Of 16 stories, effectively 6.1 differed in meaning before tuning and 4.2 after: "
        "narrowed, −31 % (−38 to −23)."
    )


def test_widened(make_row: MakeRow) -> None:
    row = make_row(
        facet="lexical", verdict="widened", pre=5.0, post=6.2, relative=0.24, relative_low=0.12, relative_high=0.37
    )

    assert (
        sentence(row) == "Of 16 stories, effectively 5.0 differed in wording before tuning and 6.2 after: "
        "widened, +24 % (+12 to +37)."
    )


def test_no_material_change_says_what_the_data_exclude(make_row: MakeRow) -> None:
    row = make_row(
        noun="programs",
        facet="syntactic",
        verdict="no material change",
        pre=7.9,
        post=7.8,
        relative=-0.0127,
        relative_low=-0.05,
        relative_high=0.03,
    )

    assert sentence(row) == (
        "Of 16 programs, effectively 7.9 differed in form before tuning and 7.8 after: no material change, "
        "−1 % (−5 to +3); the data exclude a shift beyond ±10 %."
    )


def inconclusive(make_row: MakeRow, **given: Any) -> Row:
    return make_row(
        facet="functional",
        verdict="inconclusive",
        pre=3.3,
        post=3.0,
        relative=-0.0909,
        relative_low=-0.21,
        relative_high=0.09,
        runs="",
        **given,
    )


def test_inconclusive_says_how_many_prompts_would_decide_it(make_row: MakeRow) -> None:
    assert sentence(inconclusive(make_row, prompts_to_decide=1234)) == (
        "Of 16 stories, effectively 3.3 differed in behaviour before tuning and 3.0 after: inconclusive, "
        "−9 % (−21 to +9); about 1,234 prompts would decide it, were the estimate right, and there are 24."
    )


@pytest.mark.parametrize(
    ("n_prompts", "needed", "ending"),
    [
        (24, None, "; these prompts do not tell how many would decide it."),
        (6, None, "; 6 prompts are too few for a verdict, 10 the least."),
        (1, None, "; 1 prompt is too few for a verdict, 10 the least."),
        (
            6,
            40,
            "; 6 prompts are too few for a verdict, 10 the least; about 40 would decide it, were the estimate right.",
        ),
    ],
)
def test_inconclusive_for_want_of_prompts(make_row: MakeRow, n_prompts: int, needed: int | None, ending: str) -> None:
    said = sentence(inconclusive(make_row, n_prompts=n_prompts, prompts_to_decide=needed))

    assert said.endswith(f"inconclusive, −9 % (−21 to +9){ending}")


def test_size_and_margin_are_those_of_the_settings(make_row: MakeRow) -> None:
    row = make_row(verdict="no material change", relative=0.01, relative_low=-0.02, relative_high=0.04)
    said = sentence(row, m=8, margin=0.05)

    assert said.startswith("Of 8 stories,")
    assert said.endswith("beyond ±5 %.")


def test_provisional_gives_the_count_of_prompts(make_row: MakeRow) -> None:
    row = make_row(provisional=True, n_prompts=12, runs="")

    assert qualifiers(row) == ["Provisional: 12 prompts, fewer than 20."]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("valid", "Confounded by validity: on valid answers only the sign turns round."),
        ("length-matched", "Confounded by length: with all answers cut to one length the sign turns round."),
    ],
)
def test_a_confound_is_named(make_row: MakeRow, condition: str, said: str) -> None:
    assert qualifiers(make_row(confounded_by=[condition], runs="")) == [said]


def test_a_condition_that_leaves_too_few_prompts_is_untested_and_not_lost(make_row: MakeRow) -> None:
    row = make_row(untested_under=["length-matched"], runs="")
    assert qualifiers(row) == ["With all answers cut to one length too few prompts are left to tell whether it holds."]
    assert marks(row) == ["untested at equal length"]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("valid", "On valid answers only the verdict is not reached."),
        ("length-matched", "With all answers cut to one length the verdict is not reached."),
    ],
)
def test_a_verdict_that_is_lost_under_a_condition_says_so(make_row: MakeRow, condition: str, said: str) -> None:
    assert qualifiers(make_row(lost_under=[condition], runs="")) == [said]


def test_a_direction_that_the_adjustment_takes_back_says_so(make_row: MakeRow) -> None:
    row = make_row(verdict="inconclusive", runs="", p_adjusted=0.081, relative_high=-0.02)

    assert qualifiers(row) == ["The interval leaves out zero, but p adjusted for all domains and facets is 0.081."]
    assert qualifiers(row | {"n_prompts": 8}) == []


def test_lost_prompts_are_counted(make_row: MakeRow) -> None:
    assert qualifiers(make_row(prompts_lost=1, runs="")) == ["1 prompt lost: one side has no score there."]


@pytest.mark.parametrize(
    ("runs", "rewards", "said"),
    [
        ("against", "distinct", "It runs against what the domain rewards in meaning: answers that differ."),
        ("with", "converge", "It runs with what the domain rewards in meaning: answers that agree."),
        ("", "neutral", ""),
    ],
)
def test_a_shift_runs_with_or_against_what_is_rewarded(make_row: MakeRow, runs: str, rewards: str, said: str) -> None:
    assert runs_sentence(make_row(runs=runs, rewards=rewards)) == said


def test_the_gravest_reservation_comes_first(make_row: MakeRow) -> None:
    row = make_row(confounded_by=["valid"], lost_under=["length-matched"], provisional=True, n_prompts=12)

    assert marks(row) == ["confounded by validity", "lost at equal length", "provisional"]
    assert paragraph(row).endswith(
        "Confounded by validity: on valid answers only the sign turns round. "
        "With all answers cut to one length the verdict is not reached. Provisional: 12 prompts, fewer than 20. "
        "It runs against what the domain rewards in meaning: answers that differ."
    )


def test_two_checkpoints_of_one_stage_are_not_called_before_and_after(make_shift: Callable[..., Shift]) -> None:
    assert sides(make_shift(stages=("post", "post"))) == ("at the pre checkpoint", "at the post checkpoint")
    assert sides(make_shift(stages=("sft", "post"))) == ("before tuning", "after")
    assert sides(make_shift(stages=(None, None))) == ("before tuning", "after")


def test_a_shift_without_recorded_sampling_has_sides(make_shift: Callable[..., Shift]) -> None:
    assert sides(replace(make_shift(), provenance={})) == ("before tuning", "after")


@pytest.mark.parametrize(
    ("condition", "confound", "sign", "mark"),
    [
        (
            "format-stripped",
            "formatting",
            "With markdown taken out the verdict is not reached.",
            "lost without markdown",
        ),
        (
            "untruncated",
            "truncation",
            "On outputs that ended by themselves the verdict is not reached.",
            "lost on finished outputs only",
        ),
    ],
)
def test_markdown_and_truncation_are_named_like_the_others(
    make_row: MakeRow, condition: str, confound: str, sign: str, mark: str
) -> None:
    assert qualifiers(make_row(lost_under=[condition], runs="")) == [sign]
    assert marks(make_row(lost_under=[condition])) == [mark]
    (said,) = qualifiers(make_row(confounded_by=[condition], runs=""))
    assert said.startswith(f"Confounded by {confound}: ")


def test_a_shift_that_copies_carry_is_a_finding_and_no_confound(make_row: MakeRow) -> None:
    row = make_row(lost_under=["deduplicated"], runs="")
    assert qualifiers(row) == [
        "Carried by exact copies: with equal answers counted once a prompt the verdict is not reached."
    ]
    assert marks(row) == ["carried by exact copies"]


def test_prompts_that_do_not_shift_alike_are_told_with_those_that_drive_it(make_row: MakeRow) -> None:
    row = make_row(
        heterogeneous=True, clearly_narrowed=0.2, clearly_widened=0.04, drivers=["p1", "p2", "p3", "p4"], runs=""
    )
    said = "The prompts do not shift alike: 20 % clearly narrowed and 4 % clearly widened"
    assert qualifiers(row) == [f"{said}, most of all p1, p2, p3."]
    assert qualifiers(row | {"drivers": []}) == [f"{said}."]


def test_many_lost_prompts_are_told_with_what_they_could_hide(make_row: MakeRow) -> None:
    row = make_row(prompts_lost=6, drop_out=True, bound_low=-0.6, bound_high=0.12, runs="")
    assert qualifiers(row) == [
        "6 prompts lost: one side has no score there. So many may matter: whatever they hide, the change lies "
        "between −60 and +12 %."
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "The data exclude a narrowing beyond −38 % and any widening."),
        (
            {"lost_under": ["valid"], "confounded_by": ["length-matched"]},
            "The data exclude a narrowing beyond −38 % and any widening. It does not hold with all answers cut to one "
            "length or on valid answers only.",
        ),
        (
            {"verdict": "no material change", "excluded_narrowing": -0.05, "excluded_widening": 0.03},
            "A margin within what is left would change it: the data exclude a narrowing beyond −5 % and a widening "
            "beyond +3 %.",
        ),
        (
            {
                "verdict": "inconclusive",
                "prompts_to_decide": 90,
                "excluded_narrowing": -0.21,
                "excluded_widening": 0.09,
            },
            "About 90 prompts would decide it, were the estimate right, and there are 24. The data exclude a narrowing "
            "beyond −21 % and a widening beyond +9 %.",
        ),
        (
            {"verdict": "inconclusive", "n_prompts": 1, "excluded_narrowing": None, "excluded_widening": None},
            "1 prompt is too few for a verdict, 10 the least. The data exclude no shift, however large.",
        ),
    ],
)
def test_what_would_change_a_verdict(make_row: MakeRow, given: Row, said: str) -> None:
    assert what_would_change(make_row(**given)) == said

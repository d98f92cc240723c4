"""Lengthening alone and more outputs alone, words from one law: other scores read narrowing, the headline is flat."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROMPTS = 12


@pytest.fixture(scope="module")
def experiment():
    return runpy.run_path(str(ROOT / "benchmarks" / "length_and_n.py"))


@pytest.fixture(scope="module")
def by_length(experiment):
    return experiment["by_length"](PROMPTS, (25, 400))


@pytest.fixture(scope="module")
def by_number(experiment):
    return experiment["by_number"](PROMPTS, (4, 128))


@pytest.mark.parametrize(
    ("score", "sign"),
    [
        ("n-gram diversity", 1),
        ("compression ratio (gzip)", -1),
        ("homogenization (ROUGE-L)", -1),
        ("self-repetition", -1),
        ("distinct-2", 1),
    ],
)
def test_lengthening_alone_reads_as_narrowing_in_the_scores_of_the_diversity_package(by_length, score, sign):
    short, long = by_length[score]
    assert sign * (long - short) < 0
    assert abs(long - short) > 0.1 * abs(short)


@pytest.mark.parametrize("facet", ["lexical", "syntactic"])
def test_the_headline_is_flat_over_length_at_matched_length(by_length, experiment, facet):
    assert experiment["spread"](by_length[f"{facet} headline, length-matched"]) < 0.03
    # Not matched it is not: more words share more. That is why a shift lost at matched length is marked.
    assert experiment["spread"](by_length[f"{facet} headline, all"]) > 0.1


@pytest.mark.parametrize("score", ["n-gram diversity", "compression ratio (gzip)", "distinct-2", "self-BLEU"])
def test_more_outputs_alone_move_these_scores(by_number, experiment, score):
    assert experiment["spread"](by_number[score]) > 0.1


@pytest.mark.parametrize("facet", ["lexical", "syntactic"])
def test_the_headline_is_flat_over_the_number_of_outputs(by_number, experiment, facet):
    assert experiment["spread"](by_number[f"{facet} headline"]) < 0.03


def test_compare_says_that_a_narrowing_by_length_is_lost_at_matched_length(experiment):
    assert "lost under: length-matched" in experiment["verdict"](PROMPTS, 100)


def test_the_page_shows_the_experiment_as_it_is(experiment):
    page = (ROOT / "docs" / "length-and-n.md").read_text(encoding="utf-8")
    for title in [*experiment["PEERS"], *experiment["OTHERS"], "lexical headline, length-matched"]:
        assert f"| {title} |" in page

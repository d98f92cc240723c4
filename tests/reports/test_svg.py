"""Plots by their marks and places."""

import math

import pytest

from diversity.reports.svg import change_scale, change_ticks, count_scale, count_ticks, direction, gauge, interval, tag


def test_text_and_attributes_are_escaped() -> None:
    assert tag("text", 'a < "b"', data_x='"><x') == ('<text data-x="&#34;&gt;&lt;x">a &lt; &#34;b&#34;</text>')


@pytest.mark.parametrize(("m", "ticks"), [(16, [1, 2, 4, 8, 16]), (10, [1, 2, 4, 10]), (2, [1, 2]), (1, [1, 2])])
def test_ticks_of_effective_numbers_are_powers_of_two_and_m(m: int, ticks: list[int]) -> None:
    assert count_ticks(m) == ticks


def test_equal_factors_are_equal_distances() -> None:
    scale = count_scale(16)

    assert scale(4) - scale(2) == pytest.approx(scale(16) - scale(8))


def test_no_change_is_in_the_middle_and_all_ends_are_on_the_scale() -> None:
    scale = change_scale([-0.5, 0.3, None], 0.1)

    assert scale(1.0) == pytest.approx(0.5)
    assert scale.low < 0.5
    assert 0.0 in change_ticks(scale)


def test_a_huge_interval_does_not_squeeze_the_others() -> None:
    scale = change_scale([-0.9999, 50.0], 0.1)

    assert scale.high == pytest.approx(8)
    drawn = interval(
        scale, relative=0.1, low=-0.999, high=60.0, margin=0.1, verdict="inconclusive", title="t", text="d", ident="i"
    )
    assert drawn.count("M0 -5") == 2  # an arrow at both ends


def test_the_margin_band_reaches_as_far_down_as_up() -> None:
    scale = change_scale([0.5], 0.1)

    assert scale(1) - scale(1 / 1.1) == pytest.approx(scale(1.1) - scale(1))
    assert math.isclose(scale(1), 0.5)


def test_a_gauge_is_filled_by_its_share() -> None:
    assert 'width="25%"' in gauge(4.0, 16, side="pre")


@pytest.mark.parametrize(("pre", "post", "way"), [(6.0, 4.0, "narrowed"), (4.0, 6.0, "widened"), (4.0, 4.001, "level")])
def test_a_prompt_goes_the_way_its_written_numbers_go(pre: float, post: float, way: str) -> None:
    assert direction(pre, post) == way

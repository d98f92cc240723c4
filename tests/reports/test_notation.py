"""How numbers are written."""

import pytest

from diversity.reports.notation import change, effective, number, p_value, percent


@pytest.mark.parametrize(
    ("fraction", "written"),
    [(-0.312, "−31"), (0.24, "+24"), (0.0, "0"), (-0.004, "−0.4"), (0.0096, "+1"), (1.5, "+150"), (None, "–")],
)
def test_a_percentage_carries_its_sign_and_small_ones_a_digit_that_counts(fraction: float | None, written: str) -> None:
    assert percent(fraction) == written


def test_an_end_just_beside_zero_is_not_written_as_zero() -> None:
    assert change(-0.12, -0.24, -0.0002) == "−12 % (−24 to −0.02)"


def test_a_shift_without_an_interval_says_so() -> None:
    assert change(-0.12, None, None) == "−12 % (no interval)"


@pytest.mark.parametrize(
    ("pre", "post", "written"),
    [
        (6.12, 4.21, ("6.1", "4.2")),
        (1.14, 1.06, ("1.14", "1.06")),
        (3.04, 2.96, ("3.04", "2.96")),
        (3.04, 3.01, ("3.04", "3.01")),
    ],
)
def test_effective_numbers_get_a_second_decimal_where_one_hides_their_difference(
    pre: float, post: float, written: tuple[str, str]
) -> None:
    assert effective(pre, post) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.12345, "0.123"), (-84.31, "−84.3"), (1234.5, "1,234"), (0.0, "0"), (0.0001, "< 0.001"), (float("nan"), "–")],
)
def test_numbers_have_three_digits_that_count(value: float, written: str) -> None:
    assert number(value) == written


def test_a_tiny_p_is_a_bound() -> None:
    assert (p_value(0.00024), p_value(0.0312), p_value(0.4)) == ("< 0.001", "0.031", "0.40")

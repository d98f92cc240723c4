"""How numbers are written in every form of report."""

from __future__ import annotations

import math

MINUS = "\u2212"
MISSING = "–"


def percent(fraction: float | None, *, signed: bool = True) -> str:
    """Write a fraction as a whole percentage without its sign %; below 1 % with one digit that counts.

    Examples
    --------
    >>> percent(-0.312), percent(0.24), percent(-0.004), percent(0.0)
    ('−31', '+24', '−0.4', '0')
    """
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    value = 100 * fraction
    size = abs(value)
    # −0.4 must not read as 0: whether an interval holds 0 is what a verdict is made of.
    digits = f"{size:.0f}" if size >= 0.95 else f"{float(f'{size:.1g}'):.4f}".rstrip("0").rstrip(".")
    if float(digits) == 0:
        return "0"
    sign = MINUS if value < 0 else "+" if signed else ""
    return sign + digits


def change(relative: float | None, low: float | None, high: float | None) -> str:
    """Write a relative change with its interval.

    Examples
    --------
    >>> change(-0.312, -0.38, -0.23)
    '−31 % (−38 to −23)'
    """
    if relative is None:
        return MISSING
    size = f"{percent(relative)} %"
    if low is None or high is None:
        return f"{size} (no interval)"
    return f"{size} ({percent(low)} to {percent(high)})"


def share(value: float | None) -> str:
    """Write a share of outputs, unsigned: '84 %'."""
    return MISSING if value is None else f"{percent(value, signed=False)} %"


def effective(pre: float, post: float) -> tuple[str, str]:
    """Write two effective numbers with one decimal, or with two where one would hide their difference.

    Examples
    --------
    >>> effective(6.12, 4.2), effective(1.14, 1.06)
    (('6.1', '4.2'), ('1.14', '1.06'))
    """
    digits = 1 if min(pre, post) >= 2 or f"{pre:.2f}" == f"{post:.2f}" else 2
    if f"{pre:.1f}" == f"{post:.1f}" and f"{pre:.2f}" != f"{post:.2f}":
        digits = 2
    return f"{pre:.{digits}f}", f"{post:.{digits}f}"


def number(value: float | None, *, signed: bool = False) -> str:
    """Write a number with some three digits that count.

    Examples
    --------
    >>> number(0.12345), number(-84.31), number(1234.5), number(0.02, signed=True)
    ('0.123', '−84.3', '1,234', '+0.020')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{size:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return "0" if value == 0 else f"{'<' if value > 0 else '>'} {'' if value > 0 else MINUS}0.001"
    return (MINUS if value < 0 else "+" if signed else "") + text


def p_value(p: float | None) -> str:
    """Write a p value.

    Examples
    --------
    >>> p_value(0.00024), p_value(0.0312), p_value(0.4), p_value(None)
    ('< 0.001', '0.031', '0.40', '–')
    """
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: '1 prompt', '12 prompts'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

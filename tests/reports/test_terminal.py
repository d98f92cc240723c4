"""The table for the terminal."""

from collections.abc import Callable
from io import StringIO

import pytest
from rich.console import Console

from diversity.reports.terminal import render
from diversity.shift import Shift

MakeShift = Callable[..., Shift]


def shown(shift: Shift, width: int, *, colour: bool = False) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None)
    console.print(render(shift))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_facet_is_one_row_that_fits_the_width(make_shift: MakeShift, width: int) -> None:
    text = shown(make_shift(), width)

    assert all(len(line) <= width for line in text.splitlines())
    (row,) = (line for line in text.splitlines() if line.startswith("meaning *"))

    assert " ".join(row.split()) == "meaning * 6.1 → 4.2 −31 % (−38 to −23) ▼ narrowed against"


def test_every_verdict_has_its_sign_and_its_word(make_shift: MakeShift) -> None:
    text = shown(make_shift(), 120)

    for said in ("▼ narrowed", "▲ widened", "= no material change", "? inconclusive"):
        assert said in text


def test_reservations_stand_below_the_verdict(make_shift: MakeShift) -> None:
    text = shown(make_shift(), 80)

    assert "confounded by validity" in text
    assert "lost at equal length" in text
    assert "Provisional: 12 prompts, fewer than 20." in " ".join(text.split())


def test_guards_stand_below_the_table_and_shifted_ones_are_marked(make_shift: MakeShift) -> None:
    text = " ".join(shown(make_shift(), 120).split())

    assert "Beside it: length 84 → 97 words (+15 %) !, valid 98 % → 96 % (−2 points)," in text
    assert "truncated not recorded" in text
    assert "prompts lost 2 !" in text


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_from_data_moves_the_cursor_or_the_width(hostile_shift: Shift, width: int) -> None:
    text = shown(hostile_shift, width)

    assert not {c for c in text if ord(c) < 32} - {"\n"}
    assert not set("\x7f\x9b\u202e\u2066") & set(text)
    assert all(len(line) <= width for line in text.splitlines())
    assert text.encode()


def test_markup_in_a_name_is_text(make_shift: MakeShift) -> None:
    assert "[bold red]base[/]" in shown(make_shift(pre="[bold red]base[/]"), 120, colour=True)

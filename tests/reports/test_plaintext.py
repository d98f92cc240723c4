"""Text from data, made safe to show."""

import pytest

from diversity.reports.plaintext import cut, one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a␀b"),
        ("\x1b[31mred", "␛[31mred"),
        ("del\x7f", "del␡"),
        ("c1\x9b31m", "c1⟨U+009B⟩31m"),
        ("abc\u202edef", "abc⟨U+202E⟩def"),
        ("\ud800", "⟨U+D800⟩"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("dos\r\nline", "dos\nline"),
        ("mac\rline", "mac␍line"),
        ("naïve 🙂 שלום", "naïve 🙂 שלום"),
    ],
)
def test_what_hides_or_moves_is_shown_as_a_sign(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_hostile_text_can_be_written_as_utf8(hostile: list[str]) -> None:
    assert visible("".join(hostile)).encode()


def test_a_long_text_says_how_much_is_left_out() -> None:
    assert cut("x" * 1500, 100) == "x" * 100 + " … (1,400 more characters)"


def test_a_name_is_one_line_of_at_most_its_limit() -> None:
    assert one_line("a\nb\t c") == "a b c"
    assert len(one_line("x" * 1_000_000)) == 80
    assert len(one_line("\u202e" * 400)) == 80

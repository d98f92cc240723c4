"""Markdown taken out of a text: what stays, what goes, and that no text takes long."""

import pytest

from diversity.layout import without_format


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("## Ideas ##\n\n1. Walk", "Ideas ##\n\nWalk"),
        ("- one\n* two\n• three\n2) four\n- [x] five", "one\ntwo\nthree\nfour\nfive"),
        ("**Bold**, *soft*, __both__, _low_, ~~gone~~ and `code`.", "Bold, soft, both, low, gone and code."),
        ("> said\n> - so", "said\nso"),
        ("```python\nx = 1\n```\ndone", "x = 1\ndone"),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "a b\n1 2"),
        ("Title\n=====\ntext\n\n---\n", "Title\ntext"),
        ("see ![a dog](x.png) and [the park](http://x.example)", "see a dog and the park"),
    ],
)
def test_layout_goes_and_what_it_held_stays(text, bare):
    assert without_format(text) == bare


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4 and x*y*z, snake_case_name, #1 - no.",
        "“No,” she said (twice). It was 3) or so; a > b | c.",
        "  Lines keep\n   their margin.",
        "",
    ],
)
def test_text_without_markdown_comes_back_as_it_is(text):
    assert without_format(text) == text


@pytest.mark.parametrize("piece", ["*", "_a ", "[", "`", "| ", "- ", "> ", "*a", "[a](", "\n", "~~a", "1"])
def test_hostile_text_ends(piece):
    """Each would take minutes if a pattern went over it once a character."""
    assert isinstance(without_format("*" + piece * (60_000 // len(piece))), str)

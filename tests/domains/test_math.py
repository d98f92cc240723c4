"""The math domain: where the final answer stands, and when two answers are the same value."""

import time
from pathlib import Path

import polars as pl
import pytest

from diversity.domain import Prompt
from diversity.domains import maths
from diversity.domains.maths import Math, final_answer, normal

MATH = Math()
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "gsm8k_verifier.parquet"


@pytest.mark.parametrize(
    ("solution", "found"),
    [
        ("Add them: 3 + 4 = 7.\nAnswer: 7", "7"),
        ("So we get \\boxed{\\frac{3}{4}}.", "\\frac{3}{4}"),
        ("First \\boxed{3}, but I erred. Thus \\boxed{5}.", "5"),
        ("6*4=<<6*4=24>>24\n#### 24", "24"),
        ("He eats 63 pretzels.\nA: 63", "63"),
        ("**Final answer:** 12 metres", "12 metres"),
        ("The answer is: 2", "2"),
        ("Therefore the total cost is **$22**.", "$22"),
        ("x = 35/5\nx = 7", "7"),
        ("5 rows of 4 chairs make 20 chairs.", "20"),
        ("Step 1: 80 - 12 = 68\n\nI hope this helps!", "68"),
        ("The solutions are x = -2 and x = 7.", "x = -2 and x = 7"),
        ("I don't know.", None),
        ("", None),
    ],
)
def test_final_answer_is_found_where_solutions_put_it(solution, found):
    assert final_answer(solution) == found


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("number", ["1/2", "0.5", ".5", "\\frac{1}{2}", "\\dfrac12", "2/4", "x = 1/2", "$0.50"]),
        ("number", ["1250", "1,250", "$1,250.00", "1250 dollars", "1250.", "**1250**", "1.25 * 1000"]),
        ("number", ["-3", "−3", "x = -3", "- 3"]),
        ("number", ["4", "4%", "4 percent", "2^2", "\\sqrt{16}", "sqrt(16)"]),
        ("expression", ["(x - 3)(x + 3)", "x^2 - 9", "x**2-9", "y = x² - 9", "-9 + x^{2}"]),
        ("expression", ["8*sqrt(2)", "8\\sqrt{2}", "8√2", "\\sqrt{128}", "4 \\cdot 2\\sqrt{2}"]),
        ("expression", ["25*pi", "25π", "25\\pi", "$25\\pi$ cm^2", "5^2 * pi"]),
        ("set", ["-2, 7", "7, -2", "{-2, 7}", "x = -2 or x = 7", "-2 and 7"]),
        ("tuple", ["(3, 4)", "x = 3, y = 4", "y = 4 and x = 3", "\\left(3, 4\\right)"]),
    ],
)
def test_the_same_value_has_one_normal_form(kind, texts):
    assert len({normal(text, kind) for text in texts}) == 1, [(text, normal(text, kind)) for text in texts]


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("number", "1/2", "1/3"),
        ("number", "7", "-7"),
        ("number", "seven", "eight"),
        ("expression", "x^2 - 9", "x^2 + 9"),
        ("expression", "8*sqrt(2)", "2*sqrt(8)"),
        ("tuple", "(3, 4)", "(4, 3)"),
        ("set", "3", "3, -1"),
    ],
)
def test_different_values_differ(kind, one, other):
    assert normal(one, kind) != normal(other, kind)


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9**9",
        "((((x+1)^12)^12)^12)",
        "2^(2^(2^(2^9)))",
        "__import__('os').system('true')",
        "(" * 5000,
        "-" * 5000 + "1",
        "1e999999999",
        "sqrt(" * 50 + "2" + ")" * 50,
        "x" * 100_000,
        "1/0",
        "(x+y+z)^24",
        "\x00",
    ],
)
def test_hostile_answers_are_read_fast_and_never_run(text):
    begin = time.process_time()
    for kind in ("number", "expression", "set", "tuple"):
        assert isinstance(normal(text, kind), str)
    final_answer(text * 10)
    assert time.process_time() - begin < 2


def test_routes_differ_and_the_behaviour_is_one():
    prompt = MATH.by_id["math-003"]
    routes = ["3/12 + 8/12 = 11/12", "The common denominator is 12.\n\\boxed{\\frac{11}{12}}", "Answer: 22/24"]

    assert {MATH.behaviour(route, prompt) for route in routes} == {"11/12"}
    assert all(MATH.is_valid(route, prompt) for route in routes)
    assert not MATH.is_valid("Answer: 3/7", prompt)


def test_a_sum_that_breaks_off_has_no_value():
    assert MATH.behaviour("Answer: 1 - (18 + 20/40) = ", None) is None


def test_unknown_prompts_have_behaviours_and_no_quality():
    assert MATH.behaviour("The answer is 4.", None) == "4"
    assert MATH.quality("The answer is 4.", None) is None
    assert MATH.quality("The answer is 4.", Prompt("p", "2 + 2?")) is None


def test_without_sympy_formulas_are_texts_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setattr(maths, "find_spec", lambda name: None)
    maths._sympy.cache_clear()
    normal.cache_clear()
    try:
        assert normal("x + 1", "expression") == "x + 1"
        assert normal("0.5", "number") == "1/2"
        assert "diversity-shift[math]" in caplog.text
    finally:
        maths._sympy.cache_clear()
        normal.cache_clear()


@pytest.mark.skipif(not RECORDED.exists(), reason="recorded outputs are not here")
def test_recorded_solutions_are_judged_as_their_own_verifier_judged_them():
    rows = pl.read_parquet(RECORDED)
    right = dict(rows.filter(pl.col("passed")).select("prompt_id", "output").iter_rows())
    judged = [
        (MATH.behaviour(output, None) == MATH.behaviour(right[prompt_id], None), passed)
        for prompt_id, output, passed in rows.select("prompt_id", "output", "passed").iter_rows()
        if prompt_id in right
    ]

    assert len(judged) > 3000
    assert all(same == passed for same, passed in judged)

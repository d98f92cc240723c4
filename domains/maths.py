"""Worked problems: many routes lead to one answer, which is compared as a value and not as a text."""

from __future__ import annotations

import ast
import logging
import re
from fractions import Fraction
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any

from diversity.domain import Domain, Prompt
from diversity.domains.story import without_preamble

logger = logging.getLogger("diversity")

WORK = r"(?:solutions?|answers?|steps?|calculations?|working)"

# From the surest sign of a final answer to the weakest; of each the last one counts: solutions correct themselves.
MARKED = (
    re.compile(r"(?:####|^A:|^[ \t]*\**(?:final )?answer\**\s*:\**)\s*(.+)", re.MULTILINE | re.IGNORECASE),
    re.compile(
        r"\b(?:answer|result|solutions?|total|sum|product|value)\b[^\n.=]{0,60}?"
        r"(?:\bis\b(?: equal to)?|\bare\b|=|:)\s*\**(?=[^\n]*\d)([^\n]+)",
        re.IGNORECASE,
    ),
)
EQUALS = re.compile(r"=\s*([^=\n]+?)\s*$", re.MULTILINE)
FEW_SYMBOLS = r"(?:sqrt|pi|[a-z](?![a-z])|[\d.,/^*+\-() ])"
NUMBER = re.compile(r"(?<![\w.^])-?\$?\d[\d,]*(?:\.\d+)?(?:\s*/\s*-?\d+)?(?:\s*%)?")

# LaTeX and typography, in the words of the parser below.
REWRITES = (
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)"), r"((\1)/(\2))"),
    (re.compile(r"\\sqrt\s*(\d)"), r"sqrt(\1)"),
    (re.compile(r"√\s*\(?(\w+)\)?"), r"sqrt(\1)"),
    (re.compile(r"\\(?:text|mathrm|mbox)\s*\{[^{}]*\}|\\[,;:! ]|\\(?:left|right|displaystyle|quad)|[$`]"), ""),
    (re.compile(r"\\(?:cdot|times)|[×·]"), "*"),
    (re.compile(r"\\div|÷"), "/"),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"\\pi|π"), "pi"),
    (re.compile(r"²"), "^2"),
    (re.compile(r"³"), "^3"),
    (re.compile(r"\\%|%"), ""),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
)
BRACED = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
ROOT = re.compile(r"\\sqrt\s*\{([^{}]*)\}")
POWER = re.compile(r"\^\s*\{([^{}]*)\}")

LONGEST_LINE = 400  # of which the end is read
MOST_CHARACTERS, MOST_DIGITS, MOST_POWER, MOST_DEGREE = 120, 15, 64, 24


class Math(Domain):
    """Problems with one exact answer; the solution is free in its route."""

    name = "math"
    noun = "solutions"
    primary = "functional"
    rewards = {"lexical": "neutral", "syntactic": "neutral", "semantic": "neutral", "functional": "converge"}  # noqa: RUF012
    speech = "en"
    max_tokens = 400
    prompt_file = "math.jsonl"
    version = "3"
    exemplars = (
        (
            "A box holds 6 eggs. How many eggs are in 7 boxes?",
            "Each box holds 6 eggs, so 7 boxes hold 7 * 6 = 42 eggs.\nAnswer: 42",
        ),
        ("Solve for y: 2y + 3 = 4.", "Subtract 3 from both sides: 2y = 1. Divide by 2.\nAnswer: 1/2"),
        (
            "What is the sum of the whole numbers from 1 to 20?",
            "Pair the first with the last: 1 + 20, 2 + 19 and so on make ten pairs of 21.\nAnswer: 210",
        ),
        (
            "Factor x^2 - 9.",
            "This is a difference of two squares, x^2 - 3^2, which factors by the rule (a - b)(a + b).\n"
            "Answer: (x - 3)(x + 3)",
        ),
        (
            "A shirt costs 40 dollars before a 10% discount. What does it cost then, in dollars?",
            "10% of 40 is 4.\n40 - 4 = 36\nAnswer: 36",
        ),
    )

    def extract(self, output: str) -> str:
        """Return the solution without an announcement before it."""
        return without_preamble(output, WORK).strip()

    def behaviour(self, answer: str, prompt: Prompt | None) -> str | None:
        """Return the final answer in one normal form: 0.5, 1/2 and \\frac{1}{2} are the same text."""
        found = final_answer(answer)
        return (normal(found, kind(prompt)) or None) if found else None  # "5 + 3 =" breaks off before its value

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 when the final answer equals the known one as a value, else 0."""
        if prompt is None or "answer" not in prompt.details:
            return None
        given = self.behaviour(answer, prompt)
        return float(given is not None and given == normal(str(prompt.details["answer"]), kind(prompt)))

    def is_parsable(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether a final answer is found."""
        return final_answer(answer) is not None


def kind(prompt: Prompt | None) -> str:
    """Return what a prompt's answer is: a number, an expression, a set of numbers or a tuple."""
    return str(prompt.details.get("kind", "number")) if prompt else "number"


def final_answer(answer: str) -> str | None:
    """Find what a solution gives as its result: boxed, marked, behind the last equals sign, or the last number."""
    boxed = _last_boxed(answer)
    if boxed:
        return boxed
    for pattern in MARKED:
        found = pattern.findall(answer)
        if found:
            return _trimmed(found[-1])
    last = next((line for line in reversed(answer.split("\n")) if re.search(r"\d", line)), "")
    last = last[-LONGEST_LINE:]
    equals = EQUALS.findall(_trimmed(last))
    if equals:
        return _trimmed(equals[-1])
    numbers = NUMBER.findall(last)
    return _trimmed(numbers[-1]) if numbers else None


def _last_boxed(answer: str) -> str | None:
    begin = answer.rfind("\\boxed{")
    if begin < 0:
        return None
    depth = 0
    for i in range(begin + 6, min(len(answer), begin + 500)):
        depth += {"{": 1, "}": -1}.get(answer[i], 0)
        if depth == 0:
            return answer[begin + 7 : i].strip() or None
    return None


def _trimmed(text: str) -> str:
    return text.lstrip(" \t\r\n*_:").rstrip(" \t\r\n*_.,;:!")


@lru_cache(maxsize=65536)
def normal(text: str, kind: str) -> str:
    """Return the normal form of a final answer.

    Numbers are exact fractions. An expression is expanded by sympy, which is asked only for what is no number: where
    it is not installed, the text itself stands for the expression, and a warning says so. What cannot be read is
    its own words. Nothing is evaluated: the text is parsed and built up node by node, within bounds.
    """
    plain = _plain(text[:400])
    if kind in {"set", "tuple"}:
        parts = _parts(plain, ordered=kind == "tuple")
        if parts:
            return f"({', '.join(parts)})" if kind == "tuple" else f"{{{', '.join(sorted(set(parts)))}}}"
    # "x = 7", "y = 3x - 5", "7 km": what is equal to it, and what it is measured in.
    side = plain.rsplit("=", 1)[-1].strip()
    for candidate in (side, *_leading(side, kind)):
        value = _value(candidate)
        if value is not None:
            return value
    return " ".join(re.findall(r"[^\W_]+|[^\w\s]", side.lower()))


def _plain(text: str) -> str:
    for pattern, by in REWRITES:
        text = pattern.sub(by, text)
    for _ in range(3):  # fractions nest; innermost first
        text = BRACED.sub(r"((\1)/(\2))", ROOT.sub(r"sqrt(\1)", POWER.sub(r"^(\1)", text)))
    return _trimmed(text)


def _leading(text: str, kind: str) -> list[str]:
    """Return the number or formula that a phrase holds, as in '38 metres' or 'about $12 in all'."""
    if kind == "expression":
        found = re.match(rf"(?:{FEW_SYMBOLS})+", text)
        return [_trimmed(found[0])] if found else []
    numbers = NUMBER.findall(text)
    return [numbers[0].replace(",", "")] if numbers else []


def _parts(text: str, *, ordered: bool) -> list[str]:
    """Return the normal forms of several numbers: '(3, 4)', 'x = 3 and y = 4', '-2 or 7'."""
    if not re.search(r"\d", text):
        return []
    inner = re.sub(r"[a-z]\s*=|[{}\\]", " ", text)
    pairs = re.findall(r"([a-z])\s*=\s*([^,;=]+?)(?=\s*(?:,|;|\band\b|\bor\b|$))", text)
    if ordered and len(pairs) > 1:
        inner = ", ".join(value for _, value in sorted(pairs))
    pieces = [p for p in re.split(r",|;|\band\b|\bor\b", inner.strip().strip("()[]")) if p.strip()]
    values = [_value(p.strip().strip("()")) for p in pieces]
    return [] if None in values else [v for v in values if v is not None]


def _value(text: str) -> str | None:
    """Return the normal form of one number or expression, None when it is neither."""
    if not text or len(text) > MOST_CHARACTERS:
        return None
    written = re.sub(r"\s+", " ", text.replace("^", "**").strip())
    # Products without a sign: 3x, 2(x + 1), (x - 1)(x + 1), 8 sqrt(2).
    written = re.sub(r"(?<=[\d)])\s*(?=(?:sqrt|pi|[a-z](?![a-z])|\())", "*", written)
    written = re.sub(r"(?<![a-z])([a-z])\s*\(", r"\1*(", written)
    written = re.sub(r"\b0+(?=\d)", "", written)
    try:
        tree = ast.parse(written, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    try:
        number = _fraction(tree)
        return str(number) if number is not None else _expanded(tree, written)
    except (ArithmeticError, ValueError, RecursionError):
        return None


def _fraction(node: ast.expr) -> Fraction | None:
    """Evaluate a tree of plain numbers exactly; None when it holds anything else."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        text = str(node.value)
        return Fraction(text) if len(text) <= MOST_DIGITS else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _fraction(node.operand)
        return None if inner is None else (-inner if isinstance(node.op, ast.USub) else inner)
    if isinstance(node, ast.BinOp):
        left, right = _fraction(node.left), _fraction(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            return left / right
        whole = right.denominator == 1 and abs(right) <= MOST_POWER and left.numerator < 10**MOST_DIGITS
        if isinstance(node.op, ast.Pow) and whole:
            return Fraction(left**right.numerator)
    return None


def _expanded(tree: ast.expr, written: str) -> str | None:
    if not _sympy():
        return " ".join(written.split())
    import sympy

    built = _built(tree)
    if built is None:
        return None
    expression, _ = built
    return str(sympy.expand(sympy.nsimplify(expression, rational=True)))


@cache
def _sympy() -> bool:
    if find_spec("sympy") is None:
        logger.warning('formulas are compared as texts: pip install "diversity-shift[math]" to compare them as values')
        return False
    return True


def _built(node: ast.expr) -> tuple[Any, int] | None:
    """Build a sympy expression of a tree, with a bound on its degree; None for what is not allowed or too large."""
    import sympy

    if isinstance(node, ast.Constant) and type(node.value) in (int, float) and len(str(node.value)) <= MOST_DIGITS:
        return sympy.Rational(str(node.value)), 0
    if isinstance(node, ast.Name) and (len(node.id) == 1 or node.id == "pi"):
        return (sympy.pi, 0) if node.id == "pi" else (sympy.Symbol(node.id), 1)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sqrt":
        inner = _built(node.args[0]) if len(node.args) == 1 and not node.keywords else None
        return None if inner is None else (sympy.sqrt(inner[0]), inner[1])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _built(node.operand)
        return None if inner is None else ((-inner[0] if isinstance(node.op, ast.USub) else inner[0]), inner[1])
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _built(node.left), _built(node.right)
    if left is None or right is None:
        return None
    (one, degree), (other, more) = left, right
    if isinstance(node.op, ast.Add):
        return one + other, max(degree, more)
    if isinstance(node.op, ast.Sub):
        return one - other, max(degree, more)
    if isinstance(node.op, ast.Mult | ast.Div) and degree + more <= MOST_DEGREE:
        return (one * other if isinstance(node.op, ast.Mult) else one / other), degree + more
    if (
        isinstance(node.op, ast.Pow)
        and other.is_Integer
        and abs(other) <= 12
        and (degree + 1) * abs(other) <= MOST_DEGREE
    ):
        return one**other, int(max(degree, 1) * abs(other))
    return None

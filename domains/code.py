"""Functions in Python: the answer is the program, its form is free, its behaviour is given."""

import re
from dataclasses import dataclass
from textwrap import dedent
from typing import Any, ClassVar

from diversity.asserts import checks_of
from diversity.domain import Domain, Prompt
from diversity.inputs import Drawn, inferred

# An opening fence: its indentation (a list mark is part of it), its signs, what is said behind them.
OPENING = re.compile(r"([ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(`{3,}|~{3,})[ \t]*([^`]*)")
ONE_LINE = re.compile(
    r"^[ \t]*```[ \t]*(?:(?:python|py|javascript|js)[ \t])?([^`\n]+)```[ \t]*$", re.MULTILINE | re.IGNORECASE
)
PYTHON = {"", "python", "py", "python3", "py3", "ipython", "pycon", "code", "text", "txt", "plaintext"}

DEFINITION = re.compile(
    r"^[ \t]*(?:(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|class[ \t]+\w+[ \t]*[(:]|\w+[ \t]*=[ \t]*lambda\b)", re.MULTILINE
)
# Lines at the margin that are code and not prose: `from the start`, `for example` and `classic` are none.
STATEMENTS = (
    r"(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(",
    r"class[ \t]+\w+[ \t]*[(:]",
    r"@\w",
    r"import[ \t]+[\w.]+(?:[ \t]+as[ \t]+\w+)?[ \t]*(?:[,;#].*)?$",
    r"from[ \t]+[\w.]+[ \t]+import\b",
    r"[A-Za-z_][\w.]*(?:\[[^\]]*\])?[ \t]*(?:[-+*/%&|^]|//|\*\*|<<|>>)?=(?!=)",
    r"(?:[a-z_]\w*|[A-Z][A-Z0-9_]*)[ \t]*:[ \t]*[\w.]+(?:\[[^=]*\])?[ \t]*=(?!=)",
    r"[A-Za-z_]\w*(?:[ \t]*,[ \t]*[A-Za-z_]\w*)+[ \t]*=(?!=)",
    r"(?:if|elif|for|while|with|async|except|match)\b.*:[ \t]*(?:#.*)?$",
    r"(?:else|try|finally|except)[ \t]*:",
    r"(?:print|assert|raise|del)[ \t]*\(",
    r"(?:assert|raise|del)[ \t]+\w+.*[\w)\]'\"]$",
    r"[A-Za-z_][\w.]*\(.*[)\](,{\[][ \t]*(?:#.*)?$",
)
STATEMENT = re.compile("|".join(STATEMENTS))
GOES_ON = re.compile(
    r"#(?!#+ )|[)\]}]|[rf]?(?:\"\"\"|\'\'\')"
)  # only ever within code, though it may not begin with it
QUOTES = re.compile(r"\"\"\"|\'\'\'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """What a language's code looks like in an output: what its fences are called, and what lines it has.

    `definition` opens a function or class, `statement` a line at the margin that is code and not prose, `goes_on` one
    that may stand within code; what `quotes` matches once in a line begins or ends a text of several lines.
    """

    fences: frozenset[str]
    definition: re.Pattern[str]
    statement: re.Pattern[str]
    goes_on: re.Pattern[str]
    quotes: re.Pattern[str]
    outermost: re.Pattern[str]  # a definition at the margin: without one, an indented program is moved there


class Code(Domain):
    """Small functions with hidden checks."""

    name = "code"
    noun = "programs"
    primary = "syntactic"
    rewards = {"lexical": "neutral", "syntactic": "neutral", "semantic": "neutral", "functional": "converge"}  # noqa: RUF012
    language = "python"
    max_tokens = 256
    prompt_file = "code.jsonl"
    version = "2"
    called = "Python"
    syntax: ClassVar[Syntax] = Syntax(
        fences=frozenset(PYTHON),
        definition=DEFINITION,
        statement=STATEMENT,
        goes_on=GOES_ON,
        quotes=QUOTES,
        outermost=re.compile(rf"^{STATEMENTS[0]}", re.MULTILINE),
    )
    exemplars = (
        (
            "Write a Python function `double(x)` that returns twice the number x.",
            "```python\ndef double(x):\n    return 2 * x\n```",
        ),
        (
            "Write a Python function `first_word(text)` that returns the first word of a text.",
            "```python\ndef first_word(text):\n    for word in text.split():\n        return word\n    return ''\n```",
        ),
        (
            "Write a Python function `count_down(n)` that returns the numbers from n to 1.",
            "```python\ndef count_down(n):\n    result = []\n    while n > 0:\n        result.append(n)\n"
            "        n -= 1\n    return result\n```",
        ),
        (
            "Write a Python function `has_digit(s)` that returns whether a string holds a digit.",
            "```python\ndef has_digit(s):\n    return any(c.isdigit() for c in s)\n```",
        ),
    )

    def read_prompt(self, record: dict[str, Any]) -> Prompt:
        """Ask for the function by name and parameters, followed by its task."""
        call = f"{record['entry_point']}({', '.join(record['parameters'])})"
        details = {k: v for k, v in record.items() if k != "prompt_id"}
        known = [check["args"] for check in record["checks"]] + record.get("inputs", [])
        details["drawn"] = Drawn(record.get("spec", {}), known, seed=record["task"])
        return Prompt(record["prompt_id"], f"Write a {self.called} function `{call}` that {record['task']}", details)

    def _read_foreign(self, record: dict[str, Any]) -> Prompt:
        """Read a record as the domain writes its own, and one of a public set with the checks that its asserts are."""
        if {"entry_point", "parameters", "task", "checks"} <= record.keys() or self.language != "python":
            own = super()._read_foreign(record)
            len(own.details.get("drawn", ()))  # a spec that says nothing is an error of this row
            return own
        found = checks_of(record)
        if not found:
            return super()._read_foreign(record)
        calls = [check["args"] for check in found["checks"]]
        drawn = Drawn(inferred(calls), calls, seed=record["prompt"])
        # MBPP names the function in its asserts only.
        name, prompt = found["entry_point"], record["prompt"]
        if not re.search(rf"\b{re.escape(name)}\s*\(|`{re.escape(name)}`", prompt):
            prompt = f"{prompt} Name the function `{name}`."
        return Domain.read_prompt(self, record | found | {"drawn": drawn, "prompt": prompt})

    def extract(self, output: str) -> str:
        """Return the program: the first fence of the language with a definition, else bare code, else such a fence.

        A fence that was never closed runs to the end. Bare code runs from its first line to the first line of prose.
        Of an interpreter session what was typed is taken. Nothing else is mended: a broken program stays broken.
        """
        text = ONE_LINE.sub(r"```\n\1\n```", output.replace("\r\n", "\n").replace("\r", "\n"))
        defines = self.syntax.definition.search
        blocks, outside = _fenced(text, self.syntax)
        programs = [self.typed(body) for language, body in blocks if language in self.syntax.fences]
        for program in programs:
            if defines(program):
                return program
        bare = _bare(outside, self.syntax)
        if defines(bare):
            return bare
        return next(filter(None, programs), bare)

    def typed(self, body: str) -> str:
        """Return a fenced body at the margin, and of an interpreter session only what is code."""
        return _typed(body)

    def defines(self, program: str, name: str) -> bool:
        """Whether a program defines a function of that name at the margin."""
        pattern = rf"^(?:async\s+)?def\s+{re.escape(name)}\b|^{re.escape(name)}\s*(?::[^=\n]+)?=(?!=)"
        return re.search(pattern, program, re.MULTILINE) is not None

    def is_parsable(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether the program parses."""
        from diversity.trees import parse

        return bool(answer) and parse(answer, self.language or "auto") is not None

    def flags(self, output: str, answer: str, prompt: Prompt | None) -> dict[str, bool]:
        """Return the flags of every domain; off-language is an output that has programs in other languages only."""
        fences = self.syntax.fences
        is_foreign = not answer and any(language not in fences for language, _ in _fenced(output, self.syntax)[0])
        return super().flags(output, answer, prompt) | {"off_language": is_foreign}

    def is_valid(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether the program parses and, where the prompt is known, defines what was asked.

        Nothing is run: whether it is right is another question, which needs a sandbox.
        """
        from diversity.trees import parse

        if not answer or parse(answer, self.language or "auto") is None:
            return False
        name = prompt.details.get("entry_point") if prompt else None
        return name is None or self.defines(answer, name)


def _fenced(text: str, syntax: Syntax) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the fenced blocks as (language, body), and the lines outside them with each block as one fence."""
    blocks: list[tuple[str, list[str]]] = []
    outside: list[str] = []
    inside: re.Pattern[str] | None = None  # what closes the block that is open
    signs, width = "", 0
    for line in text.split("\n"):
        closing = inside.match(line) if inside else None
        opening = OPENING.fullmatch(line) if inside is None or (closing and closing[1].strip()) else None
        if opening:  # also inside a block: the one before was never closed
            indent, signs, said = opening.groups()
            width = len(indent)
            inside = re.compile(rf"[ \t]{{0,{width + 3}}}{signs[0]}{{{len(signs)},}}(.*)")
            said = said.strip()
            language = "" if syntax.definition.match(said) else re.split(r"[\s:{}.,=]+", said.strip("{.} "))[0].lower()
            code = said[len(language) :].strip()
            blocks.append((language, [code] if syntax.definition.match(code) else []))
            outside.append(signs)
        elif closing:
            inside = None
            outside.append(closing[1])
        elif inside and signs[0] == "`" and "```" in line and re.fullmatch(r"(?:(?!```).)*[^\s`]```[ \t]*", line):
            blocks[-1][1].append(line.rstrip().removesuffix("```"))
            inside = None
        elif inside:
            blocks[-1][1].append(re.sub(rf"^[ \t]{{0,{width}}}", "", line) if width else line)
        else:
            outside.append(line)
    return [(language, "\n".join(body)) for language, body in blocks], outside


def _typed(body: str) -> str:
    if re.match(r"\s*\n[ \t]|[ \t]", body):
        body = dedent(body)
    if re.search(r"^>>> ?", body, re.MULTILINE):
        from diversity.trees import parse

        # In a docstring at the margin the same signs are text.
        if parse(body, "python") is None:
            body = _without_session(body)
    return body.strip("\n").rstrip()


def _without_session(body: str) -> str:
    """Drop an interpreter session behind a program; where there is nothing else, return what was typed into it."""
    typed: list[str] = []
    rest: list[str] = []
    session = False
    for line in body.split("\n"):
        entered = re.match(r"(?:>>>|\.\.\.)(?: |$)", line)
        if entered and (session or line.startswith(">>>")):
            session = True
            typed.append(line[entered.end() :])
        elif session and line.strip() and not DEFINITION.match(line):
            continue  # what the interpreter answered
        else:
            session = False
            rest.append(line)
    program = "\n".join(rest)
    return program if DEFINITION.search(program) else "\n".join(typed)


def _bare(lines: list[str], syntax: Syntax) -> str:
    """Return the first stretch of code that defines something, else the first stretch of code."""
    text = "\n".join(lines)
    first = syntax.definition.search(text)
    if first and (indent := re.match(r"[ \t]*", first[0])) and indent[0] and not syntax.outermost.search(text):
        lines = [line.removeprefix(indent[0]) for line in lines]
    stretches: list[list[str]] = []
    quoted = going_on = False
    for line in lines:
        if re.fullmatch(r"`{3,}|~{3,}", line):  # a fenced block stood here: no program goes on through it
            quoted = going_on = False
            stretches.append([])
            continue
        begins = syntax.statement.match(line) is not None
        going_on = (
            quoted
            or begins
            or (going_on and (not line.strip() or line[0].isspace() or bool(syntax.goes_on.match(line))))
        )
        if not going_on:
            stretches.append([])
            continue
        if not stretches:
            stretches.append([])
        stretches[-1].append(line)
        quoted ^= len(syntax.quotes.findall(line)) % 2 == 1
    programs = ["\n".join(stretch).strip("\n").rstrip() for stretch in stretches if stretch]
    return next((p for p in programs if syntax.definition.search(p)), programs[0] if programs else "")

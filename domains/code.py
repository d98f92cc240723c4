"""Functions in Python: the answer is the program, its form is free, its behaviour is given."""

import re
from typing import Any

from diversity.domain import Domain, Prompt

FENCE = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*(?:```|~~~)|\Z)", re.DOTALL | re.MULTILINE)
PYTHON = {"", "python", "py", "python3"}
CODE_LINE = re.compile(r"^(?:def|class|import|from|async|@|if __name__|[A-Za-z_]\w*\s*=[^=])")


class Code(Domain):
    """Small functions with hidden checks."""

    name = "code"
    noun = "programs"
    primary = "syntactic"
    rewards = {"lexical": "neutral", "syntactic": "neutral", "semantic": "neutral", "functional": "converge"}  # noqa: RUF012
    language = "python"
    max_tokens = 256
    prompt_file = "code.jsonl"
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
        return Prompt(record["prompt_id"], f"Write a Python function `{call}` that {record['task']}", details)

    def extract(self, output: str) -> str:
        """Return the program: the first Python fence with a definition, any first fence, or the bare code.

        A fence that was never closed runs to the end. Without a fence the lines from the first definition on are
        taken, up to the first line of prose after it.
        """
        fences = [body for language, body in FENCE.findall(output) if language.lower() in PYTHON]
        if fences:
            defining = [f for f in fences if re.search(r"^\s*(?:async\s+)?def |^\s*class |lambda", f, re.MULTILINE)]
            body: str = (defining or fences)[0]
            return body.strip("\n").rstrip()
        return _bare(output)

    def is_valid(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether the program parses and, where the prompt is known, defines what was asked.

        Nothing is run: whether it is right is another question, which needs a sandbox.
        """
        from diversity.trees import parse

        if not answer or parse(answer, "python") is None:
            return False
        name = prompt.details.get("entry_point") if prompt else None
        return (
            name is None
            or re.search(rf"^(?:async\s+)?def\s+{re.escape(name)}\b|^{re.escape(name)}\s*=", answer, re.MULTILINE)
            is not None
        )


def _bare(output: str) -> str:
    lines = output.splitlines()
    starts = [i for i, line in enumerate(lines) if CODE_LINE.match(line)]
    if not starts:
        return ""
    kept: list[str] = []
    for line in lines[starts[0] :]:
        if (
            line
            and not line[0].isspace()
            and not CODE_LINE.match(line)
            and not re.match(r"[#)\]}]|(?:for|while|if|else|elif|try|except|with|print|return|assert)\b", line)
        ):
            break
        kept.append(line)
    return "\n".join(kept).strip("\n").rstrip()

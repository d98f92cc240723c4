"""The same functions in JavaScript: same tasks and checks, whose arguments and values JSON carries over as they are."""

import re
from textwrap import dedent
from typing import Any

from diversity.domain import Prompt
from diversity.domains.code import Code, Syntax

JAVASCRIPT = {
    *("", "javascript", "js", "node", "nodejs", "mjs", "cjs", "jsx", "es6", "ecmascript"),
    *("code", "text", "txt", "plaintext"),
}
_EXPORT = r"(?:export[ \t]+(?:default[ \t]+)?|(?:module\.)?exports(?:\.[\w$]+)?[ \t]*=[ \t]*)?"
_FUNCTION = rf"{_EXPORT}(?:async[ \t]+)?function\b[ \t]*\*?[ \t]*[\w$]*[ \t]*\("
_ARROW = (
    rf"{_EXPORT}(?:const|let|var)[ \t]+[\w$]+[ \t]*=[ \t]*"
    r"(?:async[ \t]*)?(?:function\b|\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)[ \t]*=>|[\w$]+[ \t]*=>)"
)
_CLASS = rf"{_EXPORT}class[ \t]+[\w$]+[ \t]*(?:extends[ \t]+[\w$.]+[ \t]*)?\{{"
DEFINITION = re.compile(rf"^[ \t]*(?:{_FUNCTION}|{_ARROW}|{_CLASS})", re.MULTILINE)
# Lines at the margin that are code and not prose: "let me explain", "for example" and "class dismissed" are none.
STATEMENT = re.compile(
    "|".join(
        (
            *(_FUNCTION, _ARROW, _CLASS),
            r"['\"]use strict['\"]",
            r"import\b[^.\n]*['\"];?[ \t]*$",
            r"(?:const|let|var)[ \t]+(?:[\w$]+(?:[ \t]*,[ \t]*[\w$]+)*|\{[^}\n]*\}|\[[^\]\n]*\])[ \t]*"
            r"(?:=(?!=)|;?[ \t]*$)",
            r"(?:module\.)?exports\b[\w$.]*[ \t]*=",
            r"(?:if|for|while|switch)[ \t]*\(.*[{;)][ \t]*(?://.*)?$",
            r"(?:else|try|do|finally)[ \t]*\{",
            r"(?:return|throw)\b.*;[ \t]*$",
            r"[A-Za-z_$][\w$.]*(?:\[[^\]\n]*\])?[ \t]*(?:[-+*/%&|^]|\*\*|<<|>>)?=(?!=)",
            r"[A-Za-z_$][\w$.]*\(.*[)\](,{\[];?[ \t]*(?://.*)?$",
            r"//|/\*\*?(?:[ \t]|$)",
        )
    )
)
GOES_ON = re.compile(r"[)\]}]|//|/?\*")


class CodeJS(Code):
    """Small functions with hidden checks, in JavaScript."""

    name = "code-js"
    language = "javascript"
    version = "1"
    called = "JavaScript"
    syntax = Syntax(
        fences=frozenset(JAVASCRIPT),
        definition=DEFINITION,
        statement=STATEMENT,
        goes_on=GOES_ON,
        quotes=re.compile(r"(?<!\\)`"),
        outermost=re.compile(rf"^(?:{_FUNCTION}|{_ARROW}|{_CLASS})", re.MULTILINE),
    )
    exemplars = (
        (
            "Write a JavaScript function `double(x)` that returns twice the number x.",
            "```javascript\nfunction double(x) {\n  return 2 * x;\n}\n```",
        ),
        (
            "Write a JavaScript function `firstWord(text)` that returns the first word of a text.",
            "```js\nconst firstWord = (text) => text.trim().split(/\\s+/)[0];\n```",
        ),
        (
            "Write a JavaScript function `countDown(n)` that returns the numbers from n to 1.",
            "```javascript\nfunction countDown(n) {\n  const result = [];\n  while (n > 0) {\n    result.push(n--);\n"
            "  }\n  return result;\n}\n```",
        ),
        (
            "Write a JavaScript function `hasDigit(s)` that returns whether a string holds a digit.",
            "```javascript\nfunction hasDigit(s) {\n  return [...s].some((c) => c >= '0' && c <= '9');\n}\n```",
        ),
    )

    def read_prompt(self, record: dict[str, Any]) -> Prompt:
        """Ask for the function by its name as JavaScript writes names; the solution is Python's and left out."""
        first, *others = record["entry_point"].split("_")
        details = {k: v for k, v in record.items() if k != "solution"}
        details["entry_point"] = first + "".join(word.capitalize() for word in others)
        details["prompt_id"] = record["prompt_id"].replace("code-", "code-js-", 1)
        return super().read_prompt(details)

    def typed(self, body: str) -> str:
        """Return a fenced body at the margin, without the prompts of an interpreter."""
        if re.match(r"\s*\n[ \t]|[ \t]", body):
            body = dedent(body)
        if re.match(r"\s*> ", body):
            body = "\n".join(re.sub(r"^(?:>|\.{3}) ?", "", line) for line in body.split("\n") if line[:1] in ">.")
        return body.strip("\n").rstrip()

    def defines(self, program: str, name: str) -> bool:
        """Whether a program defines or exports a function of that name at the margin."""
        name = re.escape(name)
        return (
            re.search(
                rf"^{_EXPORT}(?:async[ \t]+)?function[ \t]*\*?[ \t]*{name}\b"
                rf"|^(?:export[ \t]+)?(?:const|let|var)[ \t]+{name}\b"
                rf"|^(?:module\.)?exports\.{name}[ \t]*=|^{name}[ \t]*=(?!=)",
                program,
                re.MULTILINE,
            )
            is not None
        )

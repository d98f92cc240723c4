"""The code domain in JavaScript: the same tasks, its own fences and its own look of bare code."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity.domain import Prompt
from diversity.domains.code import Code
from diversity.domains.code_js import CodeJS

CODE_JS = CodeJS()
F = "function f(x) {\n  return x;\n}"
ARROW = "const f = (x) => {\n  // as it is\n\n  return x;\n};"
QUOTED = "const t = `\nthis is\nno prose\n`;\nconst f = (x) => t;"
DOCUMENTED = "/**\n * Gives x.\n */\nexport default async function f(x) { return x; }"
ASKED = Prompt("p", "Write f.", {"entry_point": "f"})


def test_tasks_and_checks_are_those_of_the_python_prompts_under_ids_of_their_own():
    for python, prompt in zip(Code().prompts, CODE_JS.prompts, strict=True):
        assert prompt.prompt_id == python.prompt_id.replace("code-", "code-js-")
        assert prompt.details["checks"] == python.details["checks"]
        assert prompt.details["inputs"] == python.details["inputs"]
        assert "solution" not in prompt.details
    assert CODE_JS.by_id["code-js-002"].prompt.startswith("Write a JavaScript function `sumEven(numbers)` that adds up")


@pytest.mark.parametrize("code", [F, ARROW, f"'use strict';\n{F}", f"{F}\n\nmodule.exports = {{ f }};"])
@pytest.mark.parametrize(
    "output",
    [
        "```javascript\n{}\n```",
        "```js\n{}\n```",
        "```\n{}\n```",
        "Sure! Here it is:\n\n```JavaScript\n{}\n```\n\nThis function returns `x`.",
        "```python\ndef f(x):\n    return x\n```\nIn JavaScript:\n```js\n{}\n```",
        "```bash\nnpm i x\n```\n```js\n{}\n```",
        "```js\nconsole.log(f(1))\n```\n```js\n{}\n```",
        "```js\n{}",
        "{}\n```\n\nExplanation: it returns x.",
        "Here is the function:\n\n{}\n\nLet me explain: for example, if x is 1, return is 1.",
        "The function is simple\n{}\nTry it!",
        "```js\n{}\n```\n```js\nfunction f(x) {{ return 2 }}\n```",
    ],
)
def test_the_program_is_found_in_messy_outputs(output, code):
    assert CODE_JS.extract(output.replace("{}", code).replace("{{", "{").replace("}}", "}")) == code
    assert CODE_JS.is_valid(code, ASKED)


@pytest.mark.parametrize(
    ("output", "program"),
    [
        ("  ```js\n  function f(x) {\n    return x;\n  }\n  ```", F),
        ("```\n> const f = x => x\nundefined\n> f(1)\n1\n```", "const f = x => x\nf(1)"),
        ("```js function f(x) { return x }```", "function f(x) { return x }"),
        (f"{QUOTED}\nAnd so on.", QUOTED),
        (f"{DOCUMENTED}\nDone.", DOCUMENTED),
        ("Let me think about it. For example, class dismissed.", ""),
        ("I'm sorry, but I can't help with that.", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_program_is_what_a_reader_takes_for_it(output, program):
    assert CODE_JS.extract(output) == program


def test_validity_asks_for_a_tree_and_for_the_function():
    assert CODE_JS.is_valid("exports.f = x => x", ASKED)
    assert CODE_JS.is_valid("let f;\nf = x => x", ASKED)
    for broken in ("function f(x) {", "const g = (f) => f", "def f(x):\n    return x", "// function f(x) {}", ""):
        assert not CODE_JS.is_valid(broken, ASKED)
    assert CODE_JS.is_parsable(F, None)
    assert not CODE_JS.is_parsable("function (", None)


def test_python_alone_is_another_language():
    output = "```python\ndef f(x):\n    return x\n```"
    assert CODE_JS.extract(output) == ""
    assert CODE_JS.flags(output, "", ASKED)["off_language"]
    assert not CODE_JS.flags(f"```js\n{F}\n```", F, ASKED)["off_language"]


@given(st.text(alphabet=st.sampled_from("`~\n {}()=>;/*fx'\"jsconst function")))
@settings(max_examples=100, deadline=None)
def test_any_output_is_read(output):
    CODE_JS.flags(output, CODE_JS.answer(output), ASKED)

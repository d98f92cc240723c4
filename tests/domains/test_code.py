"""The code domain: which part of an output is the program, and when it counts as valid."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity.domain import Prompt
from diversity.domains.code import Code

CODE = Code()
F = "def f(x):\n    return x"
ASKED = Prompt("p", "Write f.", {"entry_point": "f"})


@pytest.mark.parametrize(
    "output",
    [
        f"```python\n{F}\n```",
        f"```\n{F}\n```",
        f"```py\n{F}\n```",
        f"```Python\n{F}\n```",
        f"```python3\n{F}\n```",
        f"``` python\n{F}\n```",
        f"```{{python}}\n{F}\n```",
        f'```python title="f.py"\n{F}\n```',
        f"~~~python\n{F}\n~~~",
        f"````python\n{F}\n````",
        f"```text\n{F}\n```",
    ],
)
def test_fence_of_any_make_is_opened(output):
    assert CODE.extract(output) == F


@pytest.mark.parametrize(
    "output",
    [
        f"Sure! Here it is:\n\n```python\n{F}\n```\n\nThis function returns `x`.",
        f"```python\n{F}\n```\n\n```python\nprint(f(1))\n```",
        f"```python\nprint(f(1))\n```\n\n```python\n{F}\n```",
        f"```python\n{F}\n```\n\nOr:\n\n```python\ndef f(x):\n    y = x\n    return y\n```",
        f"```bash\npip install x\n```\n\n```python\n{F}\n```",
        f"```javascript\nfunction f(x) {{ return x }}\n```\nIn Python:\n```python\n{F}\n```",
        f"```\n[1, 2]\n```\n\n{F}",
        f"```markdown\n# Title\n```python\n{F}\n```\n```",
    ],
    ids=["prose", "usage after", "usage before", "second try", "shell first", "other language", "data", "nested"],
)
def test_first_python_fence_with_a_definition_is_the_program(output):
    assert CODE.extract(output) == F


@pytest.mark.parametrize(
    "output",
    [
        f"Sure!\n```python\n{F}",
        f"```python\n{F}\n",
        f"```python\n{F}\n\n\n",
        f"```python\n{F}\n```python\nprint(f(1))\n```",
    ],
)
def test_fence_that_was_never_closed_runs_to_the_end_or_the_next_one(output):
    assert CODE.extract(output) == F


@pytest.mark.parametrize(
    "output",
    [
        f"```python\n{F}```\nThat is it.",
        f"```python\n{F}\n``` That is it.\nMore.",
        f"{F}\n```\n\nExplanation: it returns x.",
        "```python def f(x):\n    return x\n```",
    ],
    ids=["closed at the end of a line", "prose behind the end", "opened by the prompt", "code behind the opening"],
)
def test_fence_that_is_not_quite_one_is_understood(output):
    assert CODE.extract(output) == F


@pytest.mark.parametrize("output", ["```def f(x): return x```", "```python def f(x): return x```"])
def test_fence_on_one_line_is_opened(output):
    assert CODE.extract(output) == "def f(x): return x"


@pytest.mark.parametrize(
    "output",
    [
        "1. Like so:\n\n   ```python\n   def f(x):\n       return x\n   ```\n2. Done",
        "- ```python\n  def f(x):\n      return x\n  ```",
        "  ```python\n  def f(x):\n      return x\n  ```",
        "```python\n    def f(x):\n        return x\n```",
        "\t```python\n\tdef f(x):\n\t    return x\n\t```",
    ],
)
def test_indented_fence_gives_a_program_at_the_margin(output):
    assert CODE.extract(output) == F


def test_fence_inside_a_docstring_is_part_of_it():
    program = 'def f(x):\n    """Do.\n\n    ```\n    f(1)\n    ```\n    """\n    return x'

    assert CODE.extract(f"```python\n{program}\n```\nBye.") == program


def test_interpreter_session_behind_a_program_is_dropped():
    assert CODE.extract(f"```python\n{F}\n\n>>> f(1)\n1\n>>> f('a')\n'a'\n```") == F


def test_interpreter_session_that_is_the_program_is_typed_out():
    assert CODE.extract("```pycon\n>>> def f(x):\n...     return x\n...\n>>> f(1)\n1\n```") == f"{F}\n\nf(1)"


def test_doctest_in_a_docstring_is_kept():
    program = 'def f(x):\n    """Do.\n\n    >>> f(1)\n    1\n    """\n    return x'

    assert CODE.extract(f"```python\n{program}\n```") == program


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_endings_make_no_difference(ending):
    assert CODE.extract(f"Hi\n```python\n{F}\n```\nbye".replace("\n", ending)) == F


# Without a fence


@pytest.mark.parametrize(
    "output",
    [
        F,
        f"{F}\n\nThis function returns x.",
        f"Here it is:\n\n{F}\n\nfor example, it works with this",
        f"def is a keyword.\nimportant: x\nfrom the start it was so\n\n{F}\nclassic.",
        f"x = 5 is given.\nThen this.\n\n{F}\n\n## Notes\nNone.",
        "    def f(x):\n        return x\n\nSo it is.",
        f"{F}\n\n>>> f(1)\n1",
        f"{F}\n\nNote: y = f(x) holds.",
    ],
)
def test_bare_program_is_taken_without_the_prose_around_it(output):
    assert CODE.extract(output) == F


@pytest.mark.parametrize(
    "program",
    [
        "import re\nfrom math import (\n    pi,\n)\n\nV: int = 3\n\n@cache\ndef f(x):\n    return re.sub(V, x)",
        f"VOWELS = 'aeiou'\n\n\n{F}\n\n# An example\nprint(f(1))\nfor i in range(3):\n    f(i)",
        f"{F}\n\nif __name__ == '__main__':\n    f(1)\nelse:\n    f(2)",
        'def f(x):\n    """\nDo it. This text\nstands at the margin.\n    """\n    return x',
        "def f(\n    x,\n):\n    return [\n        x,\n]",
        "class A:\n    def f(self, x):\n        return x",
        "async def f(x):\n    return x",
        "f = lambda x: x",
        "def f(x):\n    # half\n\n    return x\n\na, b = f(1), f(2)\na += 1\nresult['k'] = a",
    ],
)
def test_bare_program_is_taken_whole(program):
    assert CODE.extract(program) == program
    assert CODE.extract(f"The program:\n\n{program}\n\nThat is all there is to it.") == program


@pytest.mark.parametrize(
    "output",
    [
        "",
        " \n\t\n",
        "I'm sorry, but I cannot help with that.",
        "To define f, write def and then the name; import nothing.",
        "definitely not code\nclasses are out\nfrom here on\nimportant things",
        "```javascript\nfunction f(x) { return x }\n```",
    ],
)
def test_output_without_python_has_no_answer(output):
    assert CODE.extract(output) == ""


def test_cut_program_stays_as_it_is():
    assert CODE.extract("def f(x):\n    if x >") == "def f(x):\n    if x >"


@settings(max_examples=300, deadline=2000)
@given(
    st.lists(
        st.sampled_from(
            [
                "```",
                "```python",
                "~~~",
                "def f(x):",
                "    return x",
                "Some prose.",
                '"""',
                ">>> f(1)",
                "",
                "- ```",
                "x = 1",
            ]
        )
        | st.text(max_size=10)
    ).map("\n".join)
)
def test_any_output_gives_an_answer_made_of_its_own_words(output):
    answer = CODE.extract(output)

    assert set(answer.split()) <= set(output.replace("```", " ").split()) | set(output.split())
    assert answer == answer.strip("\n").rstrip()


@settings(max_examples=100, deadline=2000)
@given(st.text("a-`*# =.:(\n\t_,\"'>", max_size=2000))
def test_no_output_takes_long(output):
    CODE.extract(output)


# Validity


@pytest.mark.parametrize(
    "answer",
    [
        F,
        "async def f(x):\n    return x",
        "f = lambda x: x",
        "f: Callable = lambda x: x",
        f"import re\n\ndef g(x):\n    return x\n\n{F}",
    ],
)
def test_program_that_parses_and_defines_what_was_asked_is_valid(answer):
    assert CODE.is_valid(answer, ASKED)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "def f(x:\n    return x",
        "def g(x):\n    return x",
        "def ff(x):\n    return x",
        "class A:\n    def f(self, x):\n        return x",
        "f == 3",
        "print(f(1))",
        "def f(x):\n    if x >",
    ],
)
def test_program_that_does_not_is_not(answer):
    assert not CODE.is_valid(answer, ASKED)


@pytest.mark.parametrize(
    ("output", "raised"),
    [
        (f"```python\n{F}\n```", []),
        ("```javascript\nfunction f(x) { return x }\n```", ["empty", "off_language", "unparsable"]),
        ("```js\nf = x => x\n```\n```python\ndef f(x):\n    return x\n```", []),
        ("def f(x):\n    if x >", ["unparsable"]),
        (f"<think>\nA fence: ```js\n</think>\n{F}\n\nUser: and in C?", ["role_leak", "thought"]),
    ],
)
def test_flags_tell_what_became_of_a_program(output, raised):
    flags = CODE.flags(output, CODE.answer(output), ASKED)

    assert sorted(name for name, is_raised in flags.items() if is_raised) == raised


def test_program_of_an_unknown_prompt_need_only_parse():
    assert CODE.is_valid("def g(x):\n    return x", None)
    assert not CODE.is_valid("def g(x:", None)


def test_exemplars_are_valid_programs_and_come_out_as_written():
    for _, answer in CODE.exemplars:
        program = CODE.extract(answer)

        assert answer == f"```python\n{program}\n```"
        assert CODE.is_valid(program, None)


def test_every_prompt_asks_for_its_function_by_name_and_parameters():
    for prompt in CODE.prompts:
        call = f"{prompt.details['entry_point']}({', '.join(prompt.details['parameters'])})"

        assert prompt.prompt.startswith(f"Write a Python function `{call}` that ")


def test_every_solution_of_the_prompts_is_extracted_whole_and_valid():
    for prompt in CODE.prompts:
        solution = prompt.details["solution"].strip()
        for output in (
            solution,
            f"Sure:\n\n```python\n{solution}\n```\n\nIt works.",
            f"Here:\n\n{solution}\n\nIt works.",
        ):
            assert CODE.extract(output) == solution
        assert CODE.is_valid(solution, prompt)

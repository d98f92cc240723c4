"""Programs as trees: kinds, normal form, statuses, detection and hostile input, in every language."""

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from diversity.errors import UnknownName
from diversity.grammars import CLOSED, GRAMMARS, LITERAL_PARTS, STRINGS, TAGS, TELLING_MARKS
from diversity.skeletons import of_forest
from diversity.trees import Forest, detect, encode, grammar_version, kinds_of, numbered, parse, read, whole_trees
from diversity.views import Answers

# For each language: a program, the same renamed, laid out otherwise and commented, and the same with + for -.
PROGRAMS = {
    "python": (
        "def area(width, height):\n    total = width - height\n    return [total - side for side in range(height)]\n",
        "def f(a, b):\n  'Area.'\n  # of it\n  c = (a\n       - b)\n  return [c - d for d in range(b)]  # all\n",
    ),
    "javascript": (
        'function area(width, height) { let total = width - height; return Math.max(total, "x"); }\n',
        "// area\nfunction f(a,b)\n{\n  let c = a - b /* less */;\n  return Math.max(c, 'x')\n}\n",
    ),
    "typescript": (
        "function area(width: number, height: number): number { const left: number = width - height; return left; }\n",
        "// area\nfunction f(a: number,\n  b: number): number {\n  const c: number = (a - b);\n  return c\n}\n",
    ),
    "tsx": (
        "const area = (width: number) => { const total = width - 1; return <div id='x'>{total}</div>; };\n",
        '// area\nconst f = (a: number) =>\n{ const c = a - 1\n  return <div id="x">{c}</div>\n};\n',
    ),
    "java": (
        "class Area { int total(int width, int height) { int left = width - height; return Math.max(left, 1); } }\n",
        "// area\nclass A {\n  int f(int a,\n int b) { /* less */ int c = (a - b);\n return Math.max(c, 1); } }\n",
    ),
    "c": (
        "#include <stdio.h>\nint area(int width, int *height) { int total = width - *height; return abs(total); }\n",
        "#include <stdio.h>\n/* area */\nint f(int a,\n  int *b)\n{ int c = (a - *b); // less\n  return abs(c);\n}\n",
    ),
    "cpp": (
        "#include <vector>\nint area(std::vector<int> &sides) { int total = 0; for (auto side : sides) "
        "{ total = total - side; } return std::abs(total); }\n",
        "#include <vector>\n// area\nint f(std::vector<int> &a)\n{ int b = 0;\n  for (auto c : a) {\n b = (b - c); }\n"
        "  return std::abs(b); }\n",
    ),
    "go": (
        'package main\n\nimport "fmt"\n\nfunc area(width int, height int) int {\n\ttotal := width - height\n'
        "\tfmt.Println(total)\n\treturn total\n}\n",
        'package main\nimport "fmt"\n// area\nfunc f(a int, b int) int { c := a - b; fmt.Println(c); return c }\n',
    ),
    "rust": (
        "fn area(width: u64, height: u64) -> u64 { let total = width - height; total.max(1) }\n",
        "// area\nfn f(a: u64,\n  b: u64) -> u64\n{\n  let c = (a - b); /* less */\n  c.max(1)\n}\n",
    ),
}
LANGUAGES = pytest.mark.parametrize("language", PROGRAMS)


def flipped(program):
    assert " - " in program
    return program.replace(" - ", " + ")


def forest_of(language, *programs):
    trees = [read(p, language) for p in programs]
    assert [t.status for t in trees] == ["ok"] * len(trees)
    return Forest(trees)


def test_every_grammar_has_a_program_here():
    assert set(PROGRAMS) == set(GRAMMARS)


@LANGUAGES
def test_every_kind_named_is_in_the_installed_grammar(language):
    grammar, kinds = GRAMMARS[language], set(kinds_of(language).names)
    places = [
        place
        for field in ("names", "types", "attributes", "parameters", "members", "keywords", "either")
        for rule in getattr(grammar, field).split()
        for place in rule.split("<")
    ]
    named = {place.partition(":")[0] for place in places}
    for field in ("carriers", "functions", "returns", "calls", "imports"):
        named |= set(getattr(grammar, field).split())
    assert named | set(grammar.controls) <= kinds


def test_every_kind_common_to_languages_is_in_one_of_them():
    kinds = set().union(*(kinds_of(language).names for language in GRAMMARS))
    assert set(f"{LITERAL_PARTS} {STRINGS} {CLOSED}".split()) | set(TELLING_MARKS) <= kinds


@LANGUAGES
def test_renaming_layout_and_comments_change_nothing(language):
    forest = forest_of(language, *PROGRAMS[language])
    for level in ("type", "alpha"):
        assert len(set(forest.programs(level))) == 1, level
        numbers, lengths = forest.tokens(level)
        assert lengths[0] == lengths[1], level
        assert numbers[: lengths[0]].tolist() == numbers[lengths[0] :].tolist(), level
    assert len(set(forest.programs("raw"))) == 2
    one, other = of_forest(forest)
    assert one == other


@LANGUAGES
def test_another_operator_is_another_program(language):
    plain = PROGRAMS[language][0]
    forest = forest_of(language, plain, flipped(plain))
    for level in ("type", "alpha", "raw"):
        assert len(set(forest.programs(level))) == 2, level
    numbers, lengths = forest.tokens("type")
    assert numbers[: lengths[0]].tolist() != numbers[lengths[0] :].tolist()


@LANGUAGES
def test_the_language_is_told_by_the_grammar_that_fits_and_by_the_fence(language):
    plain, other = PROGRAMS[language]
    assert detect(plain) == language
    tag = GRAMMARS[language].tags.split()[-1]
    told = f"Sure, here it is:\n\n```{tag}\n{other}```\nIt isn't [tested.\n"
    tree = read(told, "auto")
    assert (tree.language, tree.status) == (language, "ok")
    assert len(set(Forest([read(plain, "auto"), tree]).programs())) == 1


def test_answers_in_many_languages_are_measured_together():
    texts = [text for pair in PROGRAMS.values() for text in pair]
    answers = Answers(texts, language="auto")
    assert {tree.status for tree in answers.programs} == {"ok"}
    assert [tree.language for tree in answers.programs] == [name for name in PROGRAMS for _ in range(2)]
    classes = answers.forest.programs()
    assert classes[0::2].tolist() == classes[1::2].tolist()
    assert len(set(classes)) == len(PROGRAMS)


def test_of_several_fences_the_first_in_a_known_language_is_read():
    text = "```text\nfor the record\n```\nand\n~~~go\npackage a\n~~~\n```python\nx = 1\n```"
    assert detect(text) == "go"
    assert read(text, "auto").status == "ok"


def test_a_fence_that_is_never_closed_runs_to_the_end():
    assert read("Here:\n```rust\nfn main() {}\n", "auto").language == "rust"


def test_prose_is_in_no_language():
    prose = "It was a dark night; the rain fell in torrents, and we, who had no coat (or hat), ran home. Why?\n" * 3
    assert detect(prose) is None
    assert read(prose, "auto").status == "unparsable"


def test_an_unknown_language_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'python'"):
        parse("x", "pyton")


def test_the_version_of_every_grammar_is_part_of_a_signature():
    told = grammar_version("auto")
    for language in GRAMMARS:
        assert grammar_version(language) in told
    with pytest.raises(UnknownName, match="did you mean 'rust'"):
        grammar_version("rusty")


def test_tags_name_one_language_each():
    assert sum(len(g.tags.split()) for g in GRAMMARS.values()) == len(TAGS)


def test_statuses():
    body = "".join(f"x{i} = {i}\n" for i in range(60))
    assert read(body, "python").status == "ok"
    assert read(body + "y = = 1\n", "python").status == "partial"
    assert read("def f(:\n  return ]", "python").status == "unparsable"
    for nothing in ("", " \n\t", "# only words"):
        assert read(nothing, "python").status == "unparsable"
    assert parse(body + "y = = 1\n", "python") is None


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("python", "x[1:]", "x[:1]"),
        ("python", "a and b", "a or b"),
        ("python", "a < b", "a > b"),
        ("python", "not a", "-a"),
        ("python", "a is b", "a is not b"),
        ("python", "async def f(): pass", "def f(): pass"),
        ("python", "f(*a)", "f(**a)"),
        ("javascript", "a === b", "a == b"),
        ("javascript", "let a = 1", "const a = 1"),
        ("javascript", "i++", "++i"),
        ("javascript", "for (;a;) {}", "for (;;a) {}"),
        ("java", "class A { int[] a; }", "class A { int[][] a; }"),
        ("java", "class A { int a; }", "class A { long a; }"),
        ("c", "int f(int *a) { return *a; }", "int f(int *a) { return &a; }"),
        ("cpp", "int f() { delete a; }", "int f() { delete[] a; }"),
        ("rust", "fn f(a: &T) {}", "fn f(a: &mut T) {}"),
        ("go", "package a\nfunc f() { x = <-c }", "package a\nfunc f() { x = -c }"),
    ],
)
def test_what_the_tokens_say_is_not_lost_with_them(language, one, other):
    assert len(set(forest_of(language, one, other).programs("type"))) == 2


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("python", "print(a)", "input(a)"),  # a builtin is no name of the program's own
        ("python", "x + x", "x + y"),
        ("python", "x = 1\nx + x", "x = 1\nx + y"),
        ("python", "a.append(1)", "a.extend(1)"),
        ("python", "f('a')", "f('b')"),
        ("python", "f(1)", "f(2)"),
        ("python", "f(key=1)", "f(other=1)"),
        ("javascript", "Math.floor(x)", "Math.ceil(x)"),
        ("rust", "fn f(x: i32) { match y { Some(x) => x } }", "fn f(x: i32) { match y { Ok(x) => x } }"),
    ],
)
def test_names_of_others_and_literals_count_at_level_alpha_alone(language, one, other):
    forest = forest_of(language, one, other)
    assert len(set(forest.programs("alpha"))) == 2
    assert len(set(forest.programs("type"))) == 1


def test_quotes_are_layout_and_docstrings_are_comments():
    same = forest_of(
        "python", "def f(a):\n    'x'\n    return a['k']", 'def f(b):\n    """Long\n    one."""\n    return b["k"]'
    )
    assert len(set(same.programs("alpha"))) == 1
    # Only the first statement of a body is a docstring.
    other = forest_of("python", "def f(a):\n    a\n    'x'", "def f(a):\n    a")
    assert len(set(other.programs("alpha"))) == 2


@pytest.mark.parametrize("language", GRAMMARS)
@pytest.mark.parametrize(
    "hostile",
    [
        "\0",
        "x = '\ud800'",
        "a\0b",
        "(" * 3000 + "1" + ")" * 3000,
        "{" * 3000 + "}" * 3000,
        "x = " + "-" * 3000 + "1",
        "{(<" * 1500,
        "\u202e\u2066x = 1",
        "\ufeffx = 1",
        "```" * 500,
    ],
    ids=range(10),
)
def test_hostile_input_has_a_status_and_no_more(language, hostile):
    tree = read(hostile, language)
    if tree.status == "ok":
        forest = Forest([tree, tree])
        assert len(forest.full_subtrees("alpha")) == 2 * len(tree)
        assert forest.heights.max() <= forest.sizes.max()
        of_forest(forest)
    assert read(hostile, "auto").status in {"ok", "partial", "unparsable"}


def test_a_line_of_a_megabyte_is_read():
    line = "x = [" + "12345678, " * 100_000 + "1]"
    tree = read(line, "python")
    assert tree.status == "ok"
    forest = Forest([tree])
    assert forest.full_subtrees().shape == forest.sizes.shape
    assert read("y" * 1_000_000, "auto").status == "ok"
    # A query for errors is quadratic in their depth: a megabyte of this took minutes.
    assert read("{(<" * 20_000, "typescript").status == "unparsable"


def test_line_ends_and_the_byte_order_mark_are_layout():
    plain = "def f(a):\n    return a\n"
    assert encode("\ufeff" + plain.replace("\n", "\r\n")) == plain.encode()
    assert encode(plain.replace("\n", "\r")) == plain.encode()
    forest = forest_of("python", plain, "\ufeff" + plain.replace("\n", "\r\n"))
    assert len(set(forest.programs("raw"))) == 1


NODES = st.recursive(st.just([]), lambda below: st.lists(below, min_size=1, max_size=4), max_leaves=25)


def laid_out(tree):
    """Sizes of the nodes of nested lists in pre-order, and the height of each."""
    sizes, heights = [1], [1]
    for child in tree:
        inner, high = laid_out(child)
        sizes += inner
        heights += high
        sizes[0] += inner[0]
        heights[0] = max(heights[0], 1 + high[0])
    return sizes, heights


def told(tree):
    return "(" + "".join(map(told, tree)) + ")"


def every(tree):
    return [tree, *(node for child in tree for node in every(child))]


@given(one=NODES, other=NODES)
@settings(max_examples=60, deadline=None)
def test_whole_trees_are_equal_where_their_nestings_are(one, other):
    sizes = np.array(laid_out([one, other])[0])
    hashes = whole_trees(np.zeros(len(sizes), dtype=np.uint64), sizes)
    nestings = [told(node) for node in every([one, other])]
    assert len(set(zip(hashes.tolist(), nestings, strict=True))) == len(set(nestings)) == len(set(hashes.tolist()))


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "1", "f(a)"]),
    lambda e: st.one_of(
        st.tuples(e, st.sampled_from("+-*"), e).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        e.map(lambda t: f"[{t}, {t}]"),
        e.map(lambda t: f"g({t})"),
    ),
    max_leaves=8,
)


def by_hand(node):
    """Reference: labels and children of the standard library's own parser."""
    import ast

    name = type(node.op).__name__ if isinstance(node, ast.BinOp) else type(node).__name__
    return (
        name,
        *(by_hand(n) for n in ast.iter_child_nodes(node) if not isinstance(n, ast.operator | ast.expr_context)),
    )


@given(programs=st.lists(EXPRESSIONS, min_size=2, max_size=4))
@settings(max_examples=60, deadline=None)
def test_programs_are_one_where_the_standard_parser_says_so(programs):
    import ast

    classes = forest_of("python", *programs).programs("type").tolist()
    trees = [by_hand(ast.parse(p)) for p in programs]
    for i in range(len(programs)):
        for j in range(i):
            assert (classes[i] == classes[j]) == (trees[i] == trees[j])


@given(programs=st.lists(EXPRESSIONS, min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_heights_and_cut_subtrees_agree_with_whole_ones(programs):
    forest = forest_of("python", *programs)
    heights = forest.heights
    for levels in range(1, int(heights.max()) + 2):
        assert np.array_equal(forest.reaches(levels), heights >= levels)
    # Cut below their leaves subtrees are whole.
    cut, whole = forest.subtrees(int(heights.max()) + 1), forest.full_subtrees()
    assert len(np.unique(cut)) == len(np.unique(whole)) == len(set(zip(cut.tolist(), whole.tolist(), strict=True)))


def test_a_program_cut_in_the_middle_keeps_the_nodes_before_the_cut():
    source = "x = 1\ny = 2\nz = 3\n"
    tree = read(source, "python")
    whole, cut = Forest([tree]), Forest([tree], limits=[source.index("y")])
    assert len(cut.sizes) < len(whole.sizes)
    assert cut.sizes[0] == len(cut.sizes)
    first = Forest([read("x = 1\n", "python")])
    assert len(np.intersect1d(cut.full_subtrees()[1:], first.full_subtrees()[1:])) == len(
        np.unique(first.full_subtrees()[1:])
    )


SKELETONS = {
    "python": (
        "import math as m\ndef f(n):\n  for i in range(n):\n    if m.sqrt(i): return i\n  return f(n - 1)",
        "math",
        "math.sqrt",
    ),
    "javascript": (
        'const m = require("math");\nconst f = (n) => { for (const i of n) { if (m.sqrt(i)) return i; } '
        "return f(n - 1); };",
        "math",
        "math.sqrt",
    ),
    "typescript": (
        'import * as m from "math";\nfunction f(n: number[]): number { for (const i of n) { '
        "if (m.sqrt(i)) { return i; } } return f(n - 1); }",
        "math",
        "math.sqrt",
    ),
    "java": (
        "import java.util.Math;\nclass A { int f(int n) { for (int i = 0; i < n; i++) { if (Math.sqrt(i)) return i; } "
        "return f(n - 1); } }",
        "java.util.Math",
        "java.util.Math.sqrt",
    ),
    "c": (
        "#include <math.h>\nint *f(int n) { for (int i = 0; i < n; i++) { if (sqrt(i)) return i; } return f(n - 1); }",
        "math.h",
        "sqrt",
    ),
    "cpp": (
        "#include <cmath>\nint f(int n) { for (auto i : n) { if (std::sqrt(i)) return i; } return f(n - 1); }",
        "cmath",
        "std.sqrt",
    ),
    "go": (
        'package a\nimport m "math"\nfunc f(n int) int { for i := 0; i < n; i++ { if m.Sqrt(i) { return i } }; '
        "return f(n - 1) }",
        "math",
        "math.Sqrt",
    ),
    "rust": (
        "use math::{other, roots as m};\nfn f(n: u64) -> u64 { for i in n { if m::sqrt(i) { return i; } } f(n - 1) }",
        "math.roots",
        "math.roots.sqrt",
    ),
}


@pytest.mark.parametrize("language", SKELETONS)
def test_skeletons_in_every_language(language):
    source, module, called = SKELETONS[language]
    (skeleton,) = of_forest(forest_of(language, source))
    assert skeleton.control == "for(if(return)) recur"
    assert skeleton.strategies == {"for", "recursion"}
    assert module in skeleton.imports
    assert {module, called} <= skeleton.apis


@pytest.mark.parametrize(
    ("source", "control", "strategies"),
    [
        ("x = 1", "", set()),
        ("[a for a in b]", "comprehension()", {"comprehension"}),
        ("for a in b:\n  while c:\n    pass", "for(while())", {"for", "while", "nested"}),
        ("for a in b:\n  pass\nfor a in b:\n  pass", "for() for()", {"for"}),
        # A function inside a loop is not left by its own return.
        ("for a in b:\n  def f():\n    return 1", "for()", {"for"}),
        ("def f(x):\n  return g(x)", "", set()),
        ("def f(x):\n  return x.f(1)", "recur", {"recursion"}),
        ("class A:\n  def f(self):\n    return self.f()", "recur", {"recursion"}),
        ("f = lambda x: f(x)", "recur", {"recursion"}),
        ("def f(x):\n  return super(A, x).f(1)", "", set()),
        ("list(map(f, xs))", "", {"mapping"}),
        ("try:\n  pass\nexcept A:\n  pass\nif a:\n  pass\nelif b:\n  pass", "try() if(elif())", set()),
        ("with a:\n  if b:\n    pass", "with(if())", set()),
    ],
)
def test_control_flow_by_hand(source, control, strategies):
    (skeleton,) = of_forest(forest_of("python", source))
    assert (skeleton.control, skeleton.strategies) == (control, strategies)


def test_aliases_are_resolved_and_own_names_left_out():
    sources = [
        "import numpy as np\ndef f(a):\n  a.sort()\n  return np.linalg.norm(len(a))",
        "import numpy\ndef g(b):\n  b.sort()\n  h = lambda: 1\n  return numpy.linalg.norm(len(b) + h())",
    ]
    for skeleton in of_forest(forest_of("python", *sources)):
        assert skeleton.apis == {"numpy", "numpy.linalg.norm", ".sort", "len"}
    (skeleton,) = of_forest(
        forest_of("python", "from os.path import (join as j,\n  split)\nimport a.b\nj(split(a.b.c()))")
    )
    assert skeleton.imports == {"os.path", "a.b"}
    assert skeleton.apis == {"os.path", "a.b", "os.path.join", "os.path.split", "a.b.c"}


def test_a_skeleton_cannot_be_changed():
    (skeleton,) = of_forest(forest_of("python", "x = 1"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        skeleton.control = ""


@pytest.mark.parametrize("keys", [[], [7], [7, 7, 3], [2**63 + 1, 2**63, 2**63 + 1, 2**63 + 2, 0, 2**63]])
def test_keys_are_numbered_in_their_order(keys):
    # The last ones differ in their last bits alone.
    keys = np.array(keys, dtype=np.uint64)
    assert numbered(keys).tolist() == np.unique(keys, return_inverse=True)[1].tolist()

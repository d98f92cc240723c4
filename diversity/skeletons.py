"""What a program does, in outline: its control flow, its ways to repeat, what it imports and calls.

Read from the syntax alone, without types or a resolver of names: a proxy, the same for both sides of a comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diversity.trees import kinds_of

if TYPE_CHECKING:
    from diversity.trees import Booleans, Forest, Integers, Stand

LOOPS = {"for", "while", "comprehension"}
# Calls that run a function over a collection: the same strategy under other names.
MAPPINGS = frozenset(
    (  # noqa: SIM905 - quoted words are harder to read
        "map filter reduce fold foldLeft foldRight forEach for_each flatMap flat_map filter_map transform accumulate "
        "copy_if remove_if mapToObj mapToInt reduceRight"
    ).split()
)
SELF = frozenset({"self", "this", "cls", "Self", "super"})
ARGUMENTS = "argument_list arguments token_tree generator_expression template_string"
NAMELESS = "lambda arrow_function func_literal closure_expression lambda_expression"
DECLARATORS = "function_declarator pointer_declarator reference_declarator parenthesized_declarator"
ASSIGNING = "variable_declarator assignment init_declarator let_declaration pair public_field_definition"
_NOTHING, _CONTROL, _FUNCTION, _RETURN, _CALL, _IMPORT = range(6)

PATH = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$][\w$]*)*!?")
PARTS = re.compile(r"\.|::|->|/")
LAST = re.compile(r"([\w$]+!?)$")
GENERICS = re.compile(r"(?:::)?<[^<>()]*>")
QUOTED = re.compile(r"[\"'`]([^\"'`\n]+)[\"'`]")


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Outline of one program.

    Attributes
    ----------
    control : str
        Its control flow as nested words: for, while, if, elif, try, with, match, comprehension, a `return` inside
        a loop, a call by which a function recurs. ``for(if(return))`` is a search.
    strategies : frozenset of str
        Its ways to repeat: for, while, comprehension, recursion, mapping (a function run over a collection), and
        "nested" where one loop holds another.
    imports : frozenset of str
        Modules that it brings in.
    apis : frozenset of str
        Those, and what it calls that it does not define: ``math.sqrt`` however it was imported, ``len``, and
        ``.append`` for a method, whatever it is called on.
    """

    control: str
    strategies: frozenset[str]
    imports: frozenset[str]
    apis: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Roles:
    """What each kind of a grammar is to a skeleton."""

    of: NDArray[np.int64]
    words: list[str]
    arguments: Booleans
    nameless: Booleans
    declarators: Booleans
    assigning: Booleans


@cache
def _roles(language: str) -> _Roles:
    table = kinds_of(language)
    grammar = table.grammar
    of = np.zeros(len(table.names), dtype=np.int64)
    controls = " ".join(grammar.controls)
    for role, kinds in (
        (_CONTROL, controls),
        (_FUNCTION, grammar.functions),
        (_RETURN, grammar.returns),
        (_CALL, grammar.calls),
        (_IMPORT, grammar.imports),
    ):
        # A keyword is called like the node it opens: `lambda`, `class`.
        of[table.among(kinds) & table.named] = role
    words = [grammar.controls.get(name, "") for name in table.names]
    return _Roles(of, words, *(table.among(k) for k in (ARGUMENTS, NAMELESS, DECLARATORS, ASSIGNING)))


def skeletons(stand: Stand) -> list[Skeleton]:
    """Return the outline of each program of one language."""
    roles = _roles(stand.language)
    role = roles.of[stand.kinds]
    at = np.flatnonzero((role > 0) & stand.shown)
    names = _function_names(stand, roles, at[role[at] == _FUNCTION])
    calls = at[role[at] == _CALL]
    callees = dict(zip(calls.tolist(), _callees(stand, roles, calls), strict=True))
    imports = at[role[at] == _IMPORT]
    imported = dict(zip(imports.tolist(), map(_decoded, stand.texts(imports)), strict=True))
    own = [{name.decode("utf-8", "replace") for name in each} for each in stand.own_names()]
    outlines = [_Outline(stand.language, each) for each in own]
    for node, what, stop, owner, kind in zip(
        at.tolist(),
        role[at].tolist(),
        stand.stops[at].tolist(),
        stand.owners[at].tolist(),
        stand.kinds[at].tolist(),
        strict=True,
    ):
        outline = outlines[owner]
        outline.leave(node)
        if what == _CONTROL:
            outline.control(roles.words[kind], stop)
        elif what == _FUNCTION:
            outline.stack.append((stop, "", names.get(node, "")))
        elif what == _RETURN:
            outline.give_back()
        elif what == _CALL:
            outline.call(callees[node], _required(stand, node) if callees[node] == "require" else None)
        else:
            outline.bring_in(imported[node])
    return [outline.finished() for outline in outlines]


class _Outline:
    """A skeleton in the making, its nodes told in pre-order."""

    def __init__(self, language: str, own: set[str]) -> None:
        self.language = language
        self.own = own
        self.words: list[str] = []
        self.stack: list[tuple[int, str, str]] = []  # where it ends, the word of a control, the name of a function
        self.strategies: set[str] = set()
        self.modules: set[str] = set()
        self.aliases: dict[str, str] = {}
        self.called: list[str] = []

    def leave(self, node: float) -> None:
        while self.stack and self.stack[-1][0] <= node:
            if self.stack.pop()[1]:
                self.words.append(")")

    def control(self, word: str, stop: int) -> None:
        if word in LOOPS:
            self.strategies |= {word, "nested"} if self._in_loop() else {word}
        self.words.append(f"{word}(")
        self.stack.append((stop, word, ""))

    def _in_loop(self) -> bool:
        for _, word, _ in reversed(self.stack):
            if not word:
                return False
            if word in LOOPS:
                return True
        return False

    def give_back(self) -> None:
        if self._in_loop():
            self.words.append("return")

    def call(self, callee: str, module: tuple[str, str] | None) -> None:
        if module:
            self.modules.add(module[0])
            if module[1]:
                self.aliases[module[1]] = module[0]
            return
        name, path = _last(callee), PATH.fullmatch(callee)
        if any(name == function for _, word, function in self.stack if not word):
            parts = PARTS.split(callee) if path else []
            if len(parts) == 1 or (len(parts) == 2 and (parts[0] in SELF or parts[0] in self.own)):
                self.words.append("recur")
                self.strategies.add("recursion")
        if name in MAPPINGS:
            self.strategies.add("mapping")
        self.called.append(callee)

    def bring_in(self, text: str) -> None:
        for module, alias in _modules(self.language, text):
            self.modules.add(module)
            for name, path in alias.items():
                self.aliases[name] = path

    def _api(self, callee: str) -> str | None:
        """A call by a name that does not depend on what the program calls its own things."""
        name = _last(callee)
        if PATH.fullmatch(callee):
            head, *rest = PARTS.split(callee)
            if head in self.aliases:
                return ".".join([self.aliases[head], *rest])
            if not rest:
                return None if head in self.own else head
            if head not in self.own and head not in SELF:
                return ".".join([head, *rest])
        return f".{name}" if name and name not in self.own else None

    def finished(self) -> Skeleton:
        self.leave(float("inf"))
        calls = {api for api in map(self._api, self.called) if api}
        return Skeleton(
            "".join(_spaced(self.words)),
            frozenset(self.strategies),
            frozenset(self.modules),
            frozenset(self.modules | calls),
        )


def _spaced(words: list[str]) -> Iterator[str]:
    before = "("
    for word in words:
        if word != ")" and not before.endswith("("):
            yield " "
        yield word
        before = word


def _last(callee: str) -> str:
    found = LAST.search(callee)
    return found[1] if found else ""


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _function_names(stand: Stand, roles: _Roles, functions: Integers) -> dict[int, str]:
    """Name of each function that has one: its own, or that of the variable it is assigned to."""
    table, names = stand.table, stand._named
    parents = stand.parents[names]
    # In C the name stands inside one or more declarators.
    for _ in range(4):
        inside = roles.declarators[stand.kinds[parents]] & (parents >= 0)
        if not inside.any():
            break
        first = stand.ranks[names] == 0
        parents = np.where(inside & first, stand.parents[parents], parents)
    kinds = table.identifiers[stand.kinds[names]]
    fits = (roles.of[stand.kinds[parents]] == _FUNCTION) & (parents >= 0) & ~roles.nameless[stand.kinds[parents]]
    fits &= (kinds == 1) | (kinds == 3)
    found: dict[int, str] = {}
    for function, text in zip(parents[fits].tolist(), stand.texts(names[fits]), strict=True):
        found.setdefault(function, _decoded(text))
    bare = functions[roles.nameless[stand.kinds[functions]]]
    above = stand.parents[bare]
    bare, above = bare[above >= 0], above[above >= 0]
    assigned = roles.assigning[stand.kinds[above]] & (table.identifiers[stand.kinds[above + 1]] > 0)
    for function, text in zip(bare[assigned].tolist(), stand.texts(above[assigned] + 1), strict=True):
        found.setdefault(function, _decoded(text))
    return found


def _callees(stand: Stand, roles: _Roles, calls: Integers) -> list[str]:
    """What stands before the arguments of each call, without white space, type arguments and `new`."""
    given = np.flatnonzero(roles.arguments[stand.kinds] & (roles.of[stand.kinds[stand.parents]] == _CALL))
    ends = stand.ends.copy()
    ends[stand.parents[given]] = stand.starts[given]
    texts = []
    for owner, start, end in zip(
        stand.owners[calls].tolist(), stand.starts[calls].tolist(), ends[calls].tolist(), strict=True
    ):
        text = _decoded(stand.trees[owner].source[max(start, end - 300) : end]).strip().removeprefix("new ")
        texts.append("".join(GENERICS.sub("", text).split()))
    return texts


def _required(stand: Stand, call: int) -> tuple[str, str] | None:
    """Module of a `require("...")`, and the variable that holds it."""
    found = QUOTED.search(_decoded(stand.texts(np.array([call]))[0][:300]))
    if not found:
        return None
    above = int(stand.parents[call])
    is_named = above >= 0 and stand.table.identifiers[stand.kinds[above + 1]] > 0
    named = stand.texts(np.array([above + 1]))[0] if is_named else b""
    return found[1], _decoded(named)


def _modules(language: str, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Modules that an import statement brings in, and the names it gives to them and to what is in them."""
    text = " ".join(text.split()).rstrip(";")
    if language == "python":
        yield from _python_modules(text)
    elif language in {"javascript", "typescript", "tsx"}:
        if quoted := QUOTED.search(text[text.rfind(" from ") + 1 :]) or QUOTED.search(text):
            module = quoted[1]
            names = text.removeprefix("import ").partition(" from ")[0] if " from " in text else ""
            inner = re.search(r"\{([^}]*)\}", names)
            aliases = _aliases(inner[1] if inner else "", module)
            outer = re.sub(r"\{[^}]*\}", "", names).replace("* as ", "")
            yield module, aliases | {name.strip(): module for name in outer.split(",") if name.strip()}
    elif language == "go":
        if quoted := QUOTED.search(text):
            alias = text[: quoted.start()].strip() or quoted[1].rpartition("/")[2]
            yield quoted[1], {alias: quoted[1]}
    elif language == "rust":
        for path in _rust_paths(re.sub(r"^(?:pub(?:\([^)]*\))? )?use ", "", text)):
            module, _, alias = path.partition(" as ")
            module = module.removesuffix("::self").removesuffix("::*").replace("::", ".")
            yield module, {alias or module.rpartition(".")[2]: module}
    elif language == "java":
        module = re.sub(r"^import (?:static )?", "", text).removesuffix(".*")
        yield module, {module.rpartition(".")[2]: module}
    elif found := re.search(r"[<\"]([^>\"]+)[>\"]", text):  # C and C++
        yield found[1], {}


def _python_modules(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    module, imports, names = re.sub(r"^from ", "", text).partition(" import ")
    if text.startswith("from ") and imports:
        module = module.replace(" ", "")
        yield module, _aliases(names.strip("() "), module)
        return
    for item in text.removeprefix("import ").split(","):
        path, _, alias = (part.strip() for part in item.partition(" as "))
        # `import a.b` binds `a`.
        yield path, {alias: path} if alias else {path.partition(".")[0]: path.partition(".")[0]}


def _aliases(names: str, module: str) -> dict[str, str]:
    """Names in "a, b as c", each with its path in the module."""
    aliases = {}
    for item in names.split(","):
        name, _, alias = (part.strip() for part in item.partition(" as "))
        if name and name != "*":
            aliases[alias or name] = f"{module}.{name}"
    return aliases


def _rust_paths(text: str) -> list[str]:
    """Paths of a use tree: `a::{b, c::{d, e}}` has a::b, a::c::d and a::c::e."""
    paths: list[str] = []
    prefixes = [""]
    word = ""
    for sign in text + ",":
        if sign == "{":
            prefixes.append(prefixes[-1] + word.strip())
            word = ""
        elif sign in ",}":
            if word.strip():
                paths.append(prefixes[-1] + word.strip())
            word = ""
            if sign == "}" and len(prefixes) > 1:
                prefixes.pop()
        else:
            word += sign
    return paths


def of_forest(forest: Forest) -> list[Skeleton]:
    """Return the outline of each tree of a forest, in its order."""
    return forest.each(skeletons)

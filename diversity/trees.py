"""Programs as syntax trees: parsed once, normalised and compared as flat arrays.

A parsed `Tree` is one program as the grammar sees it. A `Wood` is many normalised trees laid end to end, so that every
feature is a handful of array operations and nothing recurses; a `Forest` is those of one prompt's programs in it.

Normalising keeps named nodes. Comments, docstrings and layout go, parentheses are unwrapped. Operators and keywords
are anonymous nodes in tree-sitter, so they are folded into the label of their parent: without that `a + b` and
`a - b` would be one program. What a label keeps of the program's own text is its level:

``type``
    nothing: identifiers are identifiers, literals are told apart by kind. For counting subtrees.
``alpha``
    literals, and identifiers renamed by their first occurrence. A name that the program does not define itself
    (a builtin, an import, a library's attribute) keeps its text. For the equality of whole programs.
``raw``
    all of it.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from hashlib import blake2b
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from diversity.errors import UnknownName
from diversity.grammars import AUTO, CLOSED, COMMENTS, GRAMMARS, LITERAL_PARTS, NUMBERS, STRINGS, TAGS, TELLING_MARKS

if TYPE_CHECKING:
    import tree_sitter

IDS = NDArray[np.uint64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Seen = TypeVar("Seen")
Status = Literal["ok", "partial", "unparsable"]
Level = Literal["type", "alpha", "raw"]

PARTIAL = 0.05  # share of bytes the parser may fail on before a program counts as unparsable and not as damaged
DETECT_BYTES = 20_000  # read to tell the language
BLOCK = 1 << 20  # entries of a table of minima made at once
MARK = re.compile(r"[()\[\]{},:;'\"`\s\0]+|\.|::")
FENCED = re.compile(
    rb"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#-]*)[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
TIDIED = re.compile(r"[,;'\"`\s\0]+")  # what formatters add and take away


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One program in pre-order, all nodes of the grammar.

    Attributes
    ----------
    language : str
    source : bytes
    status : "ok", "partial" or "unparsable"
        partial: the parser had to guess, on at most 5 % of the bytes. Only an ok tree has nodes.
    nodes : array of int32, shape (nodes, 4)
        Of each node the grammar's number of its kind, the nodes in its subtree with itself, and where it begins and
        ends in the source, in bytes.
    """

    language: str
    source: bytes
    status: Status
    nodes: NDArray[np.int32]

    @property
    def labels(self) -> IDS:
        """Hash of each normalised node's label at level `type`, in pre-order."""
        return Forest([self]).labels("type")

    def __len__(self) -> int:
        return len(self.labels)


def encode(text: str) -> bytes:
    """Return a program as the parser reads it: one kind of line end, no byte order mark, no lone surrogate."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removeprefix("\ufeff").encode("utf-8", "replace")


@cache
def parser(language: str) -> tree_sitter.Parser:
    """Return the parser of a language; raises `UnknownName` when there is no grammar for it."""
    import tree_sitter

    if language not in GRAMMARS:
        raise UnknownName("language", language, [*GRAMMARS, AUTO])
    grammar = GRAMMARS[language]
    return tree_sitter.Parser(
        tree_sitter.Language(getattr(importlib.import_module(grammar.package), grammar.function)())
    )


@cache
def grammar_version(language: str) -> str:
    """Return the grammar's name and version: node kinds are the grammar's, so they enter the signature."""
    from importlib.metadata import version

    if language == AUTO:
        return "+".join(dict.fromkeys(grammar_version(each) for each in GRAMMARS))
    if language not in GRAMMARS:
        raise UnknownName("language", language, [*GRAMMARS, AUTO])
    name = GRAMMARS[language].package.replace("_", "-")
    return f"{name}-{version(name)}"


def detect(source: str) -> str | None:
    """Return the language of a program: what its fence says, or the grammar with the fewest parse errors.

    Of the grammars that fit equally well the first in `GRAMMARS` is taken. None when no grammar reads 95 % of the
    bytes. The first 20,000 bytes decide.

    Examples
    --------
    >>> detect("fn main() { let x = 1; }")
    'rust'
    """
    code, said = _unfenced(encode(source))
    return said or _best_fit(code)


def _unfenced(code: bytes) -> tuple[bytes, str | None]:
    """Return the program inside a fence, every byte where it was, and the language that the fence names.

    Of several fences the first with a known language, else the first. Text without a fence is a program.
    """
    first = None
    for fence in FENCED.finditer(code):
        said = TAGS.get(fence[2].decode().lower())
        first = first or fence
        if said:
            return b"\n" * fence.start(3) + fence[3], said
    return (b"\n" * first.start(3) + first[3] if first else code), None


def _best_fit(code: bytes) -> str | None:
    code = code.lstrip(b"\n")
    if len(code) > DETECT_BYTES:
        code = code[:DETECT_BYTES].rpartition(b"\n")[0] or code[:DETECT_BYTES]
    best, least = None, PARTIAL
    for language, grammar in GRAMMARS.items():
        if grammar.foreign and re.search(grammar.foreign, code):
            continue
        parsed = parser(language).parse(code)
        errors = _error_share(parsed)
        if errors < least and not _is_bare(parsed.root_node):
            best, least = language, errors
            if not errors:
                break
    return best


def parse(source: str, language: str) -> Tree | None:
    """Return the tree of a program, or None where the parser had to guess.

    tree-sitter never fails: it returns ERROR and MISSING nodes. Every broken program is broken in its own way,
    so counting such trees would read as diversity.
    """
    tree = read(source, language)
    return tree if tree.status == "ok" else None


def read(source: str, language: str) -> Tree:
    """Return a program as parsed, with what became of it in `status`. Equal sources are parsed once.

    Parameters
    ----------
    source : str
    language : str
        A name in `GRAMMARS`, or "auto" to detect it; of a text with a fence only what is inside is then read.
    """
    return _cache.read(source, language)


class _Cache:
    """Parsed programs, the least lately used dropped when together they have too many nodes."""

    def __init__(self, nodes: int) -> None:
        self._room = nodes
        self._used = 0
        self._trees: OrderedDict[tuple[str, str], Tree] = OrderedDict()
        self._lock = threading.RLock()  # a parser is not safe to share between threads

    def read(self, source: str, language: str) -> Tree:
        key = (source, language)
        with self._lock:
            tree = self._trees.get(key)
            if tree is None:
                tree = self._trees[key] = _read(source, language)
                self._used += _weight(tree)
                while self._used > self._room and len(self._trees) > 1:
                    self._used -= _weight(self._trees.popitem(last=False)[1])
            else:
                self._trees.move_to_end(key)
            return tree

    def clear(self) -> None:
        self._trees.clear()
        self._used = 0


def _weight(tree: Tree) -> int:
    return 16 + len(tree.nodes) + len(tree.source) // 8


_cache = _Cache(nodes=4_000_000)  # some 100 MB
_FIELDS = ("kind_id", "descendant_count", "start_byte", "end_byte")
_fields = attrgetter(*_FIELDS)


def _read(source: str, language: str) -> Tree:
    code = encode(source)
    if language == AUTO:
        code, said = _unfenced(code)
        # What no grammar reads is unparsable in every one.
        language = said or _best_fit(code) or next(iter(GRAMMARS))
    parsed = parser(language).parse(code)
    root = parsed.root_node
    status: Status = "ok"
    if _is_bare(root):
        status = "unparsable"
    elif root.has_error:
        status = "partial" if _error_share(parsed) <= PARTIAL else "unparsable"
    values: Iterable[int] = chain.from_iterable(map(_fields, _walk(parsed))) if status == "ok" else ()
    table = np.fromiter(values, dtype=np.int32).reshape(-1, len(_FIELDS))
    return Tree(language, code, status, table)


def _walk(parsed: tree_sitter.Tree) -> list[tree_sitter.Node]:
    """All nodes in pre-order. A cursor takes a third of the time of `Node.children` and does not recurse."""
    cursor = parsed.walk()
    down, right, up = cursor.goto_first_child, cursor.goto_next_sibling, cursor.goto_parent
    nodes: list[Any] = []
    while True:
        nodes.append(cursor.node)
        if down():
            continue
        while not right():
            if not up():
                return nodes


def _is_bare(root: tree_sitter.Node) -> bool:
    """Whether there is no code at all: nothing, or only comments."""
    if root.named_child_count:
        first = root.named_child(0)
        if first is not None and not re.search(COMMENTS, first.type):
            return False
    return all(re.search(COMMENTS, child.type) for child in root.named_children) and not root.is_error


def _error_share(parsed: tree_sitter.Tree) -> float:
    """Share of bytes inside errors; what is missing counts as one byte.

    Only the way to errors is walked: a query for them takes minutes over a megabyte of open brackets.
    """
    root = parsed.root_node
    if not root.has_error:
        return 0.0
    cursor = parsed.walk()
    covered, last = 0, 0
    while True:
        node = cursor.node
        assert node is not None
        if node.is_error or node.is_missing:
            end = max(node.end_byte, node.start_byte + 1)
            covered += max(0, end - max(node.start_byte, last))
            last = max(last, end)
        elif node.has_error and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return min(1.0, covered / max(1, root.end_byte - root.start_byte))


_KEEP, _DROP, _UNWRAP, _PART, _MARKS, _FOLD = range(6)
_NOT_A_NAME, _NAME, _TYPE, _MEMBER, _TEXT = range(5)
_ANY = 255


class Kinds:
    """What the kinds of one grammar mean, as tables over the kind's number.

    Parameters
    ----------
    language : str
    """

    def __init__(self, language: str) -> None:
        grammar = parser(language).language
        assert grammar is not None
        self.names = [grammar.node_kind_for_id(i) or "end" for i in range(grammar.node_kind_count)]
        named = [grammar.node_kind_is_named(i) for i in range(grammar.node_kind_count)]
        self.grammar = GRAMMARS[language]
        self.actions = np.array([_action(n, is_named) for n, is_named in zip(self.names, named, strict=True)])
        self.hashes = np.array([_hash(name.encode()) for name in self.names], dtype=np.uint64)
        self.identifiers = np.array([_identifier(n) if k else 0 for n, k in zip(self.names, named, strict=True)])
        self.named = np.array(named)
        self.strings = self.among(STRINGS) & named
        self.numbers = np.array([bool(re.search(NUMBERS, n)) for n in self.names]) & named
        self.closed = self.among(CLOSED) & named
        self.quotes = self.among("string_start string_end raw_string_delimiter")
        self.tidied = np.array([bool(TIDIED.fullmatch(n)) for n in self.names])
        self.token_hashes = self.hashes.copy()
        for kinds, token in ((self.identifiers > 0, b"ID"), (self.numbers, b"NUM"), (self.strings, b"STR")):
            self.token_hashes[kinds] = _hash(token)
        self.telling = np.zeros((len(self.names), len(self.names)), dtype=np.bool_)
        for parent, mark in TELLING_MARKS.items():
            self.telling |= np.outer(self.among(parent), np.array([n == mark for n in self.names]))
        self.carriers = self.among(self.grammar.carriers)
        self.statements = self.among("expression_statement")
        self.documenting = self.among("string concatenated_string")
        self.definitions, self.blocks = self.among("function_definition class_definition"), self.among("block")
        self.names_at = self.places(self.grammar.names)
        self.types_at = self.places(self.grammar.types)
        self.attributes_at = self.places(self.grammar.attributes)
        self.parameters_at = self.places(self.grammar.parameters)
        self.members_at = self.places(self.grammar.members)
        self.keywords_at = self.places(self.grammar.keywords)
        self.either_at = self.places(self.grammar.either)

    def among(self, kinds: str) -> Booleans:
        """Which kinds are among those named."""
        wanted = set(kinds.split())
        return np.array([name in wanted for name in self.names])

    def places(self, rules: str) -> _Places:
        """Read places in the notation of `diversity.grammars`."""
        anywhere = np.zeros(len(self.names), dtype=np.uint8)
        under: list[tuple[Booleans, int, Booleans, int | None]] = []
        for rule in rules.split():
            inner, _, outer = rule.partition("<")
            kind, _, rank = inner.partition(":")
            if outer:
                above, _, above_rank = outer.partition(":")
                above_ranks = _ranks(above_rank) if above_rank else None
                under.append((self.among(kind), _ranks(rank), self.among(above), above_ranks))
            else:
                anywhere[self.among(kind)] |= _ranks(rank)
        return _Places(anywhere, tuple(under), not rules)


@dataclass(frozen=True, slots=True)
class _Places:
    """Places by the parent's kind, as bits over ranks, and those that also ask for the parent's parent."""

    anywhere: NDArray[np.uint8]
    under: tuple[tuple[Booleans, int, Booleans, int | None], ...]
    nowhere: bool


def _ranks(text: str) -> int:
    if text == "*":
        return _ANY
    first = int(text.rstrip("+"))
    return _ANY & ~((1 << first) - 1) if text.endswith("+") else 1 << first


@cache
def kinds_of(language: str) -> Kinds:
    """Tables of a language's kinds."""
    return Kinds(language)


def _action(name: str, is_named: bool) -> int:
    if not is_named:
        return _MARKS if MARK.fullmatch(name) else _FOLD
    if re.search(COMMENTS, name):
        return _DROP
    if name in LITERAL_PARTS.split():
        return _PART
    if name == "mutable_specifier":
        return _FOLD
    # Each grammar has its own: _expression, _type, _declarator, _list_splat.
    return _UNWRAP if "parenthesized_" in name else _KEEP


def _identifier(name: str) -> int:
    if name in {"identifier", "namespace_identifier", "statement_identifier", "label_name"}:
        return _NAME
    if name == "type_identifier":
        return _TYPE
    if name in {"field_identifier", "property_identifier", "private_property_identifier"}:
        return _MEMBER
    return _TEXT if name.endswith("identifier") and not name.startswith(("scoped", "nested", "qualified")) else 0


@lru_cache(maxsize=65536)
def _hash(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def _mixed(values: IDS) -> IDS:
    """splitmix64 of each integer."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


@dataclass(frozen=True, slots=True)
class _Family:
    """Who descends from whom, found from the subtree sizes of a pre-order.

    `order` lists the nodes by depth and then in pre-order, so that siblings stand together; `leaders` are the
    places in `order` where a new set of siblings begins.
    """

    parents: Integers
    depths: Integers
    order: Integers
    leaders: Integers
    runs: Integers

    @classmethod
    def of(cls, sizes: Integers) -> _Family:
        count = len(sizes)
        here = np.arange(count)
        # A node is as deep as the nodes that began before it and have not ended.
        depths = here - np.cumsum(np.bincount(here + sizes, minlength=count + 1))[:count]
        deepest = int(depths.max(initial=0))
        # Small integers are sorted by radix.
        order = np.argsort(depths.astype(np.uint16 if deepest < 1 << 16 else np.int32), kind="stable")
        # The node before a first child is its parent; every other node shares the parent of the sibling before it.
        before = np.empty(count, dtype=np.int64)
        before[:1] = -1
        before[1:] = depths[:-1]
        is_first = (before + 1 == depths) | (depths == 0)
        leaders = np.flatnonzero(is_first[order])
        runs = np.diff(leaders, append=count)
        firsts = order[leaders]
        parents = np.empty(count, dtype=np.int64)
        parents[order] = np.repeat(np.where(depths[firsts] == 0, -1, firsts - 1), runs)
        return cls(parents, depths, order, leaders, runs)

    def rank(self, counted: Booleans) -> Integers:
        """How many counted siblings stand before each node."""
        among = counted[self.order]
        before: Integers = np.cumsum(among) - among
        ranks = np.empty(len(counted), dtype=np.int64)
        ranks[self.order] = before - np.repeat(before[self.leaders], self.runs)
        return ranks


class Stand:
    """Programs of one language as parsed, end to end, and what normalising leaves of them.

    Parameters
    ----------
    trees : sequence of Tree, all ok and of one language
    limits : sequence of int
        Read the nodes that begin before this byte.

    Attributes
    ----------
    kinds, sizes, stops, starts, ends, owners, parents, ranks : arrays, one entry a node
        `stops` is where the subtree ends in pre-order. `ranks` counts the named siblings before it.
    shown : array of bool
        Not in a comment or docstring, and before the limit.
    kept : array of bool
        Part of the normalised tree.
    """

    def __init__(self, trees: Sequence[Tree], limits: Sequence[int | None]) -> None:
        self.trees = list(trees)
        self.language = trees[0].language
        self.table = table = kinds_of(self.language)
        lengths = np.array([len(t.nodes) for t in trees], dtype=np.int64)
        nodes = np.concatenate([t.nodes for t in trees]).T.astype(np.int64, order="C")
        self.kinds, self.sizes, self.starts, self.ends = nodes
        self.owners = np.repeat(np.arange(len(trees)), lengths)
        self.roots = np.cumsum(lengths) - lengths
        count = len(self.kinds)
        self.stops = np.arange(count) + self.sizes
        self.family = _Family.of(self.sizes)
        self.parents = self.family.parents
        self._actions = table.actions[self.kinds]
        hidden = self._inside(np.flatnonzero(self._actions == _DROP))
        if self.language == "python":
            hidden |= self._inside(self._docstrings(hidden))
        parts = np.flatnonzero((self._actions == _PART) & (self.sizes > 1))
        if len(parts):
            # What is inside a part of a literal, an escape, belongs to its text.
            hidden |= self._between(parts + 1, self.stops[parts])
        before = ~hidden
        if any(limit is not None for limit in limits):
            ends = np.array([np.iinfo(np.int64).max if x is None else x for x in limits])
            before &= self.starts < ends[self.owners]
            before[self.roots] = True
        self.shown = before
        self._whole = ~hidden
        named = (self._actions == _KEEP) | (self._actions == _UNWRAP)
        self.ranks = self.family.rank(named & ~hidden)
        self.kept = self.shown & (self._actions == _KEEP)
        self._name_hashes: dict[str, IDS] = {}

    def _inside(self, tops: Integers) -> Booleans:
        return self._between(tops, self.stops[tops])

    def _between(self, firsts: Integers, stops: Integers) -> Booleans:
        """Which nodes lie in one of the stretches of the pre-order."""
        if not len(firsts):
            return np.zeros(len(self.kinds), dtype=np.bool_)
        size = len(self.kinds) + 1
        opened = np.bincount(firsts, minlength=size) - np.bincount(stops, minlength=size)
        covered: Booleans = np.cumsum(opened)[:-1] > 0
        return covered

    def _docstrings(self, hidden: Booleans) -> Integers:
        """Statements that are a string alone, first in a module, a class or a function."""
        table = self.table
        at = np.flatnonzero(table.statements[self.kinds])
        at = at[at + 1 < len(self.kinds)]
        at = at[table.documenting[self.kinds[at + 1]] & (self.sizes[at] == 1 + self.sizes[at + 1])]
        parents = self.parents[at]
        above = self.parents[parents]
        defining = table.definitions[self.kinds[above]] & (above >= 0)
        in_body = (table.blocks[self.kinds[parents]] & defining) | (above < 0)
        seen = np.cumsum(~hidden)
        kept: Integers = at[in_body & (seen[at - 1] == seen[parents])]
        return kept

    def texts(self, nodes: Integers) -> list[bytes]:
        """Source of each node."""
        sources = [tree.source for tree in self.trees]
        where = zip(self.owners[nodes].tolist(), self.starts[nodes].tolist(), self.ends[nodes].tolist(), strict=True)
        return [sources[owner][start:end] for owner, start, end in where]

    @cached_property
    def _standing(self) -> tuple[Integers, Integers, Integers]:
        """Parent of each identifier, its kind, and the identifier's rank among its siblings as a bit."""
        parents = self.parents[self._named]
        return parents, self.kinds[parents], np.left_shift(1, np.minimum(self.ranks[self._named], 7))

    def at(self, places: _Places) -> Booleans:
        """Whether each identifier stands at one of the places."""
        if places.nowhere:
            return np.zeros(len(self._named), dtype=np.bool_)
        parents, kind, rank = self._standing
        found: Booleans = (places.anywhere[kind] & rank) != 0
        for inner, ranks, outer, outer_ranks in places.under:
            fits = np.flatnonzero(inner[kind] & ((ranks & rank) != 0))
            if not len(fits):
                continue
            parent = parents[fits]
            above = self._above(parent) if outer_ranks is None else self.parents[parent]
            right = outer[self.kinds[above]] & (above >= 0)
            if outer_ranks is not None:
                right &= (outer_ranks & np.left_shift(1, np.minimum(self.ranks[parent], 7))) != 0
            found[fits[right]] = True
        return found & (parents >= 0)

    def _above(self, nodes: Integers) -> Integers:
        """The nearest ancestor that does not merely carry."""
        above = self.parents[nodes]
        while True:
            carried = self.table.carriers[self.kinds[above]] & (above >= 0)
            if not carried.any():
                return above
            above = np.where(carried, self.parents[above], above)

    @cached_property
    def _folded(self) -> IDS:
        """Hash of each node's kind with the operators and keywords below it."""
        labels: IDS = self.table.hashes[self.kinds]
        marks = (self._actions == _MARKS) & self.table.telling[self.kinds[self.parents], self.kinds]
        self._fold(labels, np.flatnonzero(((self._actions == _FOLD) | marks) & self._whole))
        return labels

    def labels(self, level: Level) -> IDS:
        """Hash of each kept node's label."""
        table, labels = self.table, self._folded.copy()
        leaves = self._whole & (self.sizes == 1) & (self._actions == _KEEP)
        if level == "type":
            worded = np.flatnonzero(leaves & table.closed[self.kinds])
            labels[worded] += _mixed(_text_hashes(self.texts(worded)))
        else:
            self._add_text(labels, leaves, level)
        kept: IDS = labels[self.kept]
        return kept

    def written(self, trees: Integers) -> list[str]:
        """The normalised tree of some programs to be read: a line a node with its operators, indented by depth.

        Children without children stand on their parent's line.
        """
        chosen = np.zeros(len(self.trees), dtype=np.bool_)
        chosen[trees] = True
        own = chosen[self.owners]
        names, marks = self.table.names, (self._actions == _FOLD) & self._whole & own
        folded: dict[int, list[str]] = {}
        above = self._kept_above
        for node in np.flatnonzero(marks).tolist():
            folded.setdefault(int(above[node]), []).append(names[self.kinds[node]])
        kept = np.flatnonzero(self.kept & own)
        below: dict[int, list[int]] = {}
        for node in kept.tolist():
            below.setdefault(int(above[node]), []).append(node)
        lines: list[list[str]] = [[] for _ in self.trees]
        depths: dict[int, int] = {}
        inline: set[int] = set()
        for node in kept.tolist():
            depths[node] = depths.get(int(above[node]), -1) + 1
            if node in inline:
                continue
            label = " ".join([names[self.kinds[node]], *folded.get(node, [])])
            children = below.get(node, [])
            if not any(below.get(child) or folded.get(child) for child in children):
                inline.update(children)
                label = " ".join([f"{label}:" if children else label, *(names[self.kinds[c]] for c in children)])
            lines[self.owners[node]].append("  " * depths[node] + label)
        return ["\n".join(lines[tree]) for tree in trees.tolist()]

    @cached_property
    def _kept_above(self) -> Integers:
        """The nearest kept ancestor of each node, -1 where there is none."""
        above = self.parents.copy()
        while True:
            passed = (above >= 0) & ~self.kept[above]
            if not passed.any():
                return above
            above = np.where(passed, self.parents[above], above)

    def tokens(self, level: Level) -> tuple[IDS, Integers]:
        """Hash of each token in reading order, and the tree it is in.

        Names are one token at level `type` and renamed at `alpha`; so are numbers and strings, each with its text
        from `alpha` on. Keywords, operators and brackets stand as they are. Commas, semicolons, quotes and brackets
        round an expression are left out: formatters add them and take them away.
        """
        table, kinds, actions = self.table, self.kinds, self._actions
        strings = table.strings[kinds]
        leaves = (self.sizes == 1) & ((actions == _KEEP) | (actions == _FOLD))
        marks = (actions == _MARKS) & ~table.tidied[kinds] & (actions[self.parents] != _UNWRAP)
        parts = (actions == _PART) & (level != "type")
        at = np.flatnonzero(self.shown & (leaves | marks | strings | parts))
        hashes = table.token_hashes[kinds[at]]
        named = table.identifiers[kinds[at]] > 0
        if level == "type":
            worded = table.closed[kinds[at]]
            hashes[worded] += _mixed(_text_hashes(self.texts(at[worded])))
            return hashes, self.owners[at]
        worded = (leaves | parts)[at] & (table.named[kinds[at]]) & ~named
        texts = self.texts(at[worded])
        if level == "alpha":
            quotes = table.quotes[kinds[at[worded]]].tolist()
            texts = [_without_quotes(t, is_quote) for t, is_quote in zip(texts, quotes, strict=True)]
        hashes[worded] += _mixed(_text_hashes(texts))
        hashes[named] = self._names(level)[np.searchsorted(self._named, at[named])]
        empty = np.zeros(len(at), dtype=np.bool_)
        empty[worded] = [not t for t in texts]
        return hashes[~empty], self.owners[at[~empty]]

    @cached_property
    def _named(self) -> Integers:
        """All identifiers outside comments."""
        return np.flatnonzero(self._whole & (self.table.identifiers[self.kinds] > 0))

    def _names(self, level: Level) -> IDS:
        """Hash of each identifier, by its text or renamed."""
        if level not in self._name_hashes:
            self._name_hashes[level] = _mixed(self._renamed() if level == "alpha" else _text_hashes(self._name_texts))
        return self._name_hashes[level]

    @cached_property
    def _name_texts(self) -> list[bytes]:
        return self.texts(self._named)

    @cached_property
    def _given(self) -> tuple[Booleans, Booleans]:
        """Which identifiers stand where the program names a variable, function or type; and a field or method."""
        table, at = self.table, self._named
        kind = table.identifiers[self.kinds[at]]
        names = ((kind == _NAME) & self.at(table.names_at)) | ((kind == _TYPE) & self.at(table.types_at))
        if self.language == "rust":
            # A pattern names a variable or a variant; the prelude's variants are no variables.
            names &= np.array([t not in _PRELUDE for t in self._name_texts], dtype=np.bool_)
        return names, self.at(table.attributes_at)

    def own_names(self) -> list[set[bytes]]:
        """Names that each program gives to what it defines."""
        own = np.flatnonzero(self._given[0] | self._given[1])
        names: list[set[bytes]] = [set() for _ in self.trees]
        for owner, place in zip(self.owners[self._named[own]].tolist(), own.tolist(), strict=True):
            names[owner].add(self._name_texts[place])
        return names

    def _fold(self, labels: IDS, tokens: Integers, hashes: IDS | None = None) -> None:
        """Add tokens to the labels of their parents, with the number of operands that stand before them."""
        ranked = _mixed(self.ranks[tokens].astype(np.uint64))
        ranked ^= self.table.hashes[self.kinds[tokens]] if hashes is None else hashes
        np.add.at(labels, self.parents[tokens], _mixed(ranked))

    def _add_text(self, labels: IDS, leaves: Booleans, level: Level) -> None:
        parts = np.flatnonzero(self._whole & (self._actions == _PART))
        texts = self.texts(parts)
        if level == "alpha":
            opening = self.table.quotes[self.kinds[parts]].tolist()
            texts = [_without_quotes(t, is_quote) for t, is_quote in zip(texts, opening, strict=True)]
        told = np.array([bool(t) for t in texts], dtype=np.bool_)
        hashes = _text_hashes([t for t in texts if t])
        self._fold(labels, parts[told], hashes)
        others = np.flatnonzero(leaves & (self.table.identifiers[self.kinds] == 0))
        labels[others] += _mixed(_text_hashes(self.texts(others)))
        labels[self._named] += self._names(level)

    def _renamed(self) -> IDS:
        """A hash for each identifier: of its number where the program defines it, else of its text."""
        table, at, texts = self.table, self._named, self._name_texts
        owners = self.owners[at]
        numbers: dict[bytes, int] = {}
        word = np.array([numbers.setdefault(t, len(numbers)) for t in texts], dtype=np.int64)
        own, key = np.unique(owners * len(numbers) + word, return_inverse=True)
        kind = table.identifiers[self.kinds[at]]

        def defined(found: Booleans) -> Booleans:
            marked = np.zeros(len(own), dtype=np.bool_)
            marked[key[found]] = True
            return marked[key]

        variable, attribute = map(defined, self._given)
        keyword = self.at(table.keywords_at)
        member = (kind == _MEMBER) | self.at(table.members_at)
        either = self.at(table.either_at)
        as_variable = np.where(keyword, defined(self.at(table.parameters_at)), variable) & ~member
        as_variable &= kind != _TEXT
        as_attribute = attribute & (member | (either & ~as_variable))
        hashes = _text_hashes(list(numbers))[word]
        renamed = np.flatnonzero(as_variable | as_attribute)
        slots, first, slot = np.unique(2 * key[renamed] + as_attribute[renamed], return_index=True, return_inverse=True)
        # Numbered by first occurrence, from 0 in each program.
        by_first = np.argsort(first)
        holder = owners[renamed[first[by_first]]]
        nth = np.arange(len(slots)) - np.searchsorted(holder, holder)
        number = np.empty(len(slots), dtype=np.uint64)
        number[by_first] = nth
        hashes[renamed] = 2 * number[slot] + as_attribute[renamed]
        return hashes


_PRELUDE = {b"None", b"Some", b"Ok", b"Err"}


def _without_quotes(text: bytes, is_quote: bool) -> bytes:
    """A literal's text, the same whichever quotes it stands in."""
    if is_quote:
        return text.strip(b"'\"").lower()
    return text.replace(b"\\'", b"'").replace(b'\\"', b'"') if b"\\" in text else text


def _text_hashes(texts: list[bytes]) -> IDS:
    return np.array([_hash(t) for t in texts], dtype=np.uint64)


_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


@lru_cache(maxsize=4)
def _powers_up_to(count: int) -> tuple[IDS, IDS]:
    """Powers of an odd number and of its inverse modulo 2^64."""
    tables = []
    for base in (_BASE, _INVERSE):
        powers = np.full(count, base, dtype=np.uint64)
        powers[0] = 1
        tables.append(np.multiply.accumulate(powers))
    return tables[0], tables[1]


def whole_trees(labels: IDS, sizes: Integers) -> IDS:
    """Hash of the whole subtree under each node of a pre-order.

    The labels and sizes of a stretch of the pre-order say all there is to its tree, so the hash is a polynomial
    over the stretch, taken from running sums: one pass, however deep the tree.
    """
    count = len(labels)
    powers, inverse = _powers_up_to(max(4096, 1 << count.bit_length()))
    sums = np.zeros(count + 1, dtype=np.uint64)
    np.cumsum(_mixed(labels + _mixed(sizes.astype(np.uint64))) * powers[:count], out=sums[1:])
    here = np.arange(count)
    return _mixed((sums[here + sizes] - sums[here]) * inverse[:count])


class Wood:
    """The normalised trees of many programs, end to end, and what is said of each whatever stands beside it.

    Parameters
    ----------
    trees : sequence of Tree, all ok
    limits : sequence of int or None, optional
        For each tree, read only the nodes that begin before this byte.

    Attributes
    ----------
    at : array of int, shape (trees,)
        Where each tree stands: those of one language stand together.
    sizes, parents, places : arrays, one entry a node, in pre-order
        Nodes in its subtree; its parent, -1 at a root; its rank among its siblings.
    roots : array of int, shape (trees,)
        The root of each tree, in the order they stand.
    """

    def __init__(self, trees: Sequence[Tree], limits: Sequence[int | None] | None = None) -> None:
        limits = [None] * len(trees) if limits is None else limits
        by_language: dict[str, list[int]] = {}
        for index, tree in enumerate(trees):
            by_language.setdefault(tree.language, []).append(index)
        self.at: Integers = np.argsort([i for indices in by_language.values() for i in indices], kind="stable")
        self.stands = [Stand([trees[i] for i in each], [limits[i] for i in each]) for each in by_language.values()]
        sizes = []
        for stand in self.stands:
            kept_before = np.concatenate([[0], np.cumsum(stand.kept)])
            at = np.flatnonzero(stand.kept)
            sizes.append(kept_before[stand.stops[at]] - kept_before[at])
        self.sizes: Integers = np.concatenate(sizes)
        self._family = _Family.of(self.sizes)
        self.parents = self._family.parents
        self.places = self._family.rank(np.ones(len(self.sizes), dtype=np.bool_))
        self.roots = np.flatnonzero(self.parents < 0)
        self._labels: dict[str, IDS] = {}
        self._cut: list[IDS] = []
        self._whole: dict[str, IDS] = {}
        self._reaching: list[Booleans] = [np.ones(len(self.sizes), dtype=np.bool_)]
        self._numbers: dict[tuple[int | None, str], Integers] = {}
        self._tokens: dict[str, tuple[Integers, Integers]] = {}
        self._seen: dict[Callable[[Stand], Iterable[Any]], list[Any]] = {}

    def labels(self, level: Level) -> IDS:
        """Hash of each node's label. Shape (nodes,)."""
        if level not in self._labels:
            self._labels[level] = np.concatenate([stand.labels(level) for stand in self.stands])
        return self._labels[level]

    @cached_property
    def heights(self) -> Integers:
        """Levels below and including each node; a leaf has 1. Shape (nodes,)."""
        depths, here = self._family.depths, np.arange(len(self.sizes))
        deepest = np.empty_like(depths)
        top, width = depths.copy(), 1
        # The deepest node of a stretch is in one of two overlapping stretches whose length is a power of two.
        while width <= self.sizes.max(initial=0):
            at = here[(self.sizes >= width) & (self.sizes < 2 * width)]
            deepest[at] = np.maximum(top[at], top[at + self.sizes[at] - width])
            top[:-width] = np.maximum(top[:-width], top[width:])
            width *= 2
        return deepest - depths + 1

    def reaches(self, levels: int) -> Booleans:
        """Which nodes have so many levels below and including them. Shape (nodes,)."""
        while len(self._reaching) < levels:
            reaching = np.zeros(len(self.sizes), dtype=np.bool_)
            above = self.parents[self._reaching[-1]]
            reaching[above[above >= 0]] = True
            self._reaching.append(reaching)
        return self._reaching[levels - 1]

    def subtrees(self, levels: int) -> IDS:
        """Hash of the subtree under each node, cut to so many levels, at level `type`. Shape (nodes,)."""
        if not self._cut:
            self._cut.append(_mixed(self.labels("type")))
        while len(self._cut) < levels:
            self._cut.append(self._with_children(self._cut[-1]))
        return self._cut[levels - 1]

    def _with_children(self, below: IDS) -> IDS:
        # A sum of mixed (hash, rank) pairs is an order-sensitive hash of the child list, and one array operation.
        family, total = self._family, np.zeros(len(below), dtype=np.uint64)
        ranked = _mixed(below ^ self._mixed_places)
        sums = np.add.reduceat(ranked[family.order], family.leaders) if len(below) else total
        above = self.parents[family.order[family.leaders]]
        total[above[above >= 0]] = sums[above >= 0]
        return _mixed(self._cut[0] + total)

    @cached_property
    def _mixed_places(self) -> IDS:
        return _mixed(self.places.astype(np.uint64))

    def full_subtrees(self, level: Level) -> IDS:
        """Hash of the whole subtree under each node. Shape (nodes,)."""
        if level not in self._whole:
            self._whole[level] = whole_trees(self.labels(level), self.sizes)
        return self._whole[level]

    def written(self, trees: Integers) -> list[str]:
        """Some trees to be read, given by where they stand; see `Stand.written`."""
        ends = np.cumsum([len(stand.trees) for stand in self.stands])
        found: dict[int, str] = {}
        for stand, end in zip(self.stands, ends.tolist(), strict=True):
            own = np.unique(trees[(trees >= end - len(stand.trees)) & (trees < end)])
            found |= dict(zip(own.tolist(), stand.written(own - end + len(stand.trees)), strict=True))
        return [found[tree] for tree in trees.tolist()]

    def numbers(self, levels: int | None, level: Level) -> Integers:
        """A number for each subtree, cut to so many levels or whole (None), equal for equal ones. Shape (nodes,)."""
        key = levels, level
        if key not in self._numbers:
            self._numbers[key] = numbered(self.full_subtrees(level) if levels is None else self.subtrees(levels))
        return self._numbers[key]

    def each(self, look: Callable[[Stand], Iterable[Seen]]) -> list[Seen]:
        """Return what a function says of each tree, in the order they stand; it is asked once."""
        if look not in self._seen:
            self._seen[look] = list(chain.from_iterable(map(look, self.stands)))
        return self._seen[look]

    def tokens(self, level: Level) -> tuple[Integers, Integers]:
        """Tokens of the trees end to end as numbers, and how many each tree has; see `Stand.tokens`."""
        if level not in self._tokens:
            hashes, lengths = [], []
            for stand in self.stands:
                each, owners = stand.tokens(level)
                hashes.append(each)
                lengths.append(np.bincount(owners, minlength=len(stand.trees)))
            self._tokens[level] = numbered(np.concatenate(hashes)), np.concatenate(lengths)
        return self._tokens[level]


class Forest:
    """The normalised trees of one prompt's programs, end to end.

    Parameters
    ----------
    trees : sequence of Tree, all ok
        Different ones; a program that occurs more than once is given once.
    which : sequence of int, optional
        The tree of each answer. Default: each tree is an answer.
    limits : sequence of int or None, optional
        For each tree, read only the nodes that begin before this byte.
    wood : Wood, optional
        One that holds the trees, which are then given by their numbers in it instead.

    Attributes
    ----------
    n : int
        Answers.
    which : array of int, shape (n,)
        The tree of each answer.
    copies : array of int, shape (trees,)
        How many answers have each tree.
    sizes, owners : arrays, one entry a node, in pre-order
        Nodes in its subtree; its tree.
    roots : array of int, shape (trees,)
    """

    def __init__(
        self,
        trees: Sequence[Tree] | Sequence[int],
        *,
        which: Sequence[int] | None = None,
        limits: Sequence[int | None] | None = None,
        wood: Wood | None = None,
    ) -> None:
        count = len(trees)
        self.wood = Wood(trees, limits) if wood is None else wood  # type: ignore[arg-type]
        self.at: Integers = self.wood.at if wood is None else wood.at[np.array(trees, dtype=np.int64)]
        self.which: Integers = np.arange(count) if which is None else np.array(which, dtype=np.int64)
        self.n = len(self.which)
        self.copies = np.bincount(self.which, minlength=count)
        firsts = self.wood.roots[self.at]
        nodes = self.wood.sizes[firsts]
        self.roots = np.cumsum(nodes) - nodes
        self._nodes = _stretches(firsts, nodes)
        self.sizes: Integers = self.wood.sizes[self._nodes]
        self.owners: Integers = np.repeat(np.arange(count), nodes)
        self.weights = self.copies[self.owners]
        self._classes: dict[tuple[int | None, str], tuple[Integers, int]] = {}
        self._bags: dict[tuple[int | None, str], Bag] = {}

    def labels(self, level: Level = "type") -> IDS:
        """Hash of each node's label. Shape (nodes,)."""
        return self.wood.labels(level)[self._nodes]

    @property
    def parents(self) -> Integers:
        """The parent of each node, -1 at a root. Shape (nodes,)."""
        parents, moved = self.wood.parents[self._nodes], self._nodes - np.arange(len(self._nodes))
        return np.where(parents < 0, -1, parents - moved)

    @property
    def heights(self) -> Integers:
        """Levels below and including each node; a leaf has 1. Shape (nodes,)."""
        return self.wood.heights[self._nodes]

    def reaches(self, levels: int) -> Booleans:
        """Which nodes have so many levels below and including them. Shape (nodes,)."""
        return self.wood.reaches(levels)[self._nodes]

    def subtrees(self, levels: int) -> IDS:
        """Hash of the subtree under each node, cut to so many levels, at level `type`. Shape (nodes,).

        Two nodes have one hash when their cut subtrees are equal in labels and order (64-bit hashes: among a
        million subtrees the chance of any false match is below 1e-7).
        """
        return self.wood.subtrees(levels)[self._nodes]

    def full_subtrees(self, level: Level = "type") -> IDS:
        """Hash of the whole subtree under each node. Shape (nodes,)."""
        return self.wood.full_subtrees(level)[self._nodes]

    def numbers(self, levels: int | None, level: Level = "type") -> Integers:
        """A number for each subtree, cut to so many levels or whole (None), equal for equal ones. Shape (nodes,)."""
        return self.wood.numbers(levels, level)[self._nodes]

    def each(self, look: Callable[[Stand], Iterable[Seen]]) -> list[Seen]:
        """Return what a function says of each tree."""
        seen = self.wood.each(look)
        return [seen[place] for place in self.at.tolist()]

    def written(self) -> list[str]:
        """Each normalised tree to be read; see `Stand.written`."""
        # Trees with equal labels read alike.
        _, first, form = np.unique(self.numbers(None)[self.roots], return_index=True, return_inverse=True)
        written = self.wood.written(self.at[first])
        return [written[number] for number in form.tolist()]

    def tokens(self, level: Level) -> tuple[Integers, Integers]:
        """Tokens of the trees end to end as numbers, and how many each tree has; see `Stand.tokens`."""
        numbers, lengths = self.wood.tokens(level)
        firsts, own = (np.cumsum(lengths) - lengths)[self.at], lengths[self.at]
        return numbers[_stretches(firsts, own)], own

    def programs(self, level: Level = "alpha") -> Integers:
        """A number for each answer, equal where the normalised programs are. Shape (n,)."""
        whole = self.wood.full_subtrees(level)[self.wood.roots[self.at]]
        _, classes = np.unique(whole, return_inverse=True)
        return classes.astype(np.int64)[self.which]

    def classes(self, levels: int | None, level: Level = "type") -> tuple[Integers, int]:
        """Number the subtrees, equal for equal ones: shape (nodes,), and how many different ones there are.

        Cut to so many levels (at level `type`), or whole where `levels` is None.
        """
        key = levels, level
        if key not in self._classes:
            numbers = self.numbers(levels, level)
            # Those of the trees alone, in the order of those of the wood.
            nth = np.cumsum(np.bincount(numbers) > 0) - 1
            self._classes[key] = nth[numbers], int(nth[-1]) + 1
        return self._classes[key]

    def bag(self, levels: int | None, level: Level = "type") -> Bag:
        """Subtrees of each tree, cut to so many levels or whole (None), and how often it has each."""
        if (levels, level) not in self._bags:
            self._bags[levels, level] = Bag.of(*self.classes(levels, level), self.owners, len(self.copies))
        return self._bags[levels, level]


def _stretches(firsts: Integers, lengths: Integers) -> Integers:
    """Whole numbers from each first one on, so many of each."""
    moved = firsts - np.cumsum(lengths) + lengths
    return np.repeat(moved, lengths) + np.arange(int(lengths.sum()))


@dataclass(frozen=True, slots=True)
class Bag:
    """How often each tree has each subtree, of the subtrees that two trees or more have.

    `sizes` are a tree's subtrees in all, `squares` the sum of its squared counts.
    """

    counts: NDArray[np.float32]
    sizes: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, classes: Integers, distinct: int, owners: Integers, trees: int) -> Bag:
        """Count classes by tree."""
        counts = np.bincount(owners * distinct + classes, minlength=trees * distinct).reshape(trees, distinct)
        # Most subtrees are in one tree only, which adds to no product and to no minimum of two.
        shared = counts[:, np.count_nonzero(counts, axis=0) > 1].astype(np.float32)
        return cls(shared, counts.sum(axis=1).astype(np.float64), (counts**2).sum(axis=1).astype(np.float64))

    def products(self) -> NDArray[np.float64]:
        """Inner products of the counts of every two trees."""
        counts = self.counts.astype(np.float64)
        products: NDArray[np.float64] = counts @ counts.T
        np.fill_diagonal(products, self.squares)
        return products

    def ruzicka(self) -> NDArray[np.float64]:
        """Sum of minima over sum of maxima of the counts of every two trees."""
        n, kinds = self.counts.shape
        shared = np.empty((n, n))
        rows = max(1, BLOCK // max(1, n * kinds))
        for first in range(0, n, rows):
            some = self.counts[first : first + rows, None, :]
            np.minimum(some, self.counts[None, :, :]).sum(axis=2, dtype=np.float64, out=shared[first : first + rows])
        np.fill_diagonal(shared, self.sizes)
        similarity: NDArray[np.float64] = shared / (np.add.outer(self.sizes, self.sizes) - shared)
        return similarity


def numbered(keys: NDArray[Any]) -> Integers:
    """Number keys of 64 bits from 0 in their order, equal for equal ones."""
    bits = np.uint64(len(keys).bit_length())
    # Each takes its place along in its last bits: to sort numbers alone is several times faster.
    packed = np.sort((keys >> bits << bits) | np.arange(len(keys), dtype=np.uint64))
    order = (packed & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    in_order, first_bits = keys[order], packed >> bits
    new = in_order[1:] != in_order[:-1]
    if (new & (first_bits[1:] == first_bits[:-1])).any():  # told apart by their last bits alone
        return np.unique(keys, return_inverse=True)[1].astype(np.int64)
    numbers = np.zeros(len(keys), dtype=np.int64)
    numbers[order[1:]] = np.cumsum(new)
    return numbers

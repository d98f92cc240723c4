"""Programs as normalised syntax trees, flat and vectorised.

A tree keeps named nodes only. Comments, docstrings and layout go, parentheses are unwrapped, identifiers and
literals lose their text. Operators are anonymous nodes in tree-sitter, so they are folded into the label of
their parent: without that `a + b` and `a - b` would be one program.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tree_sitter

IDS = NDArray[np.uint64]

GRAMMARS = {"python": ("tree_sitter_python", "language")}
KEYWORD_PARENTS = {"boolean_operator", "comparison_operator", "not_operator"}
PUNCTUATION = re.compile(r"[()\[\]{},:;.'\"`]+")
_DROP, _UNWRAP, _KEEP, _FOLD, _KEYWORD = range(5)


@dataclass(frozen=True, slots=True)
class Tree:
    """One normalised tree in pre-order.

    `labels[v]` is a 64-bit hash of the node's label, `parents[v]` the index of its parent (-1 at the root),
    `places[v]` its rank among its siblings (from 0), `starts[v]` the byte where it begins in the source.
    """

    labels: IDS
    parents: NDArray[np.int64]
    places: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def before(self, byte: int) -> Tree:
        """Return the part of the tree whose nodes begin before a byte of the source."""
        # Starts never fall in pre-order, so what is kept is a prefix and no parent index moves.
        size = max(1, int(np.searchsorted(self.starts, byte)))
        return Tree(self.labels[:size], self.parents[:size], self.places[:size], self.starts[:size])


@cache
def parser(language: str) -> tree_sitter.Parser:
    """Return the parser of a language; raises `UnknownName` when there is no grammar for it."""
    import tree_sitter

    from diversity.errors import UnknownName

    if language not in GRAMMARS:
        raise UnknownName("language", language, GRAMMARS)
    module, function = GRAMMARS[language]
    return tree_sitter.Parser(tree_sitter.Language(getattr(importlib.import_module(module), function)()))


def grammar_version(language: str) -> str:
    """Return the grammar's name and version: node types are the grammar's, so they enter the signature."""
    from importlib.metadata import version

    name = GRAMMARS[language][0].replace("_", "-")
    return f"{name}-{version(name)}"


def parse(source: str, language: str) -> Tree | None:
    """Return the normalised tree of a program, or None where the parser had to guess.

    tree-sitter never fails: it returns ERROR and MISSING nodes. Every broken program is broken in its own way,
    so counting such trees would read as diversity.
    """
    root = parser(language).parse(source.encode("utf-8", "replace")).root_node
    if root.has_error or not root.named_child_count:
        return None
    return _normalise(root, language)


@cache
def _kind(language: str, kind_id: int) -> tuple[int, int, str]:
    """What to do with a node kind, the hash of its label, and its name."""
    grammar = parser(language).language
    assert grammar is not None
    name = grammar.node_kind_for_id(kind_id) or "end"
    if grammar.node_kind_is_named(kind_id):
        action = _DROP if "comment" in name else _UNWRAP if name == "parenthesized_expression" else _KEEP
    elif PUNCTUATION.fullmatch(name):
        action = _DROP
    elif name[0].isalpha() or name[0] == "_":
        action = _FOLD if name == "async" else _KEYWORD
    else:
        action = _FOLD
    return action, _hash(name), name


@cache
def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _normalise(root: tree_sitter.Node, language: str) -> Tree:
    labels: list[int] = []
    parents: list[int] = []
    starts: list[int] = []
    stack: list[tuple[tree_sitter.Node, int]] = [(root, -1)]
    # An explicit stack: generated programs can nest deeper than Python recurses.
    while stack:
        node, parent = stack.pop()
        action, label, name = _kind(language, node.kind_id)
        if action == _UNWRAP:
            stack.extend((child, parent) for child in reversed(node.named_children))
            continue
        if action != _KEEP:
            continue
        index = len(labels)
        parents.append(parent)
        starts.append(node.start_byte)
        if node.child_count == 0:
            labels.append(label)
            continue
        children = []
        for child in node.children:
            doing, token, _ = _kind(language, child.kind_id)
            if doing in (_KEEP, _UNWRAP):
                children.append((child, index))
            elif doing == _FOLD or (doing == _KEYWORD and name in KEYWORD_PARENTS):
                label = _mix(label ^ token)
        labels.append(label)
        if children and _is_docstring(name, children[0][0], node):
            children = children[1:]
        stack.extend(reversed(children))
    parent_array = np.array(parents, dtype=np.int64)
    return Tree(
        np.array(labels, dtype=np.uint64), parent_array, _places(parent_array), np.array(starts, dtype=np.int64)
    )


def _is_docstring(name: str, first: tree_sitter.Node, node: tree_sitter.Node) -> bool:
    if name not in {"block", "module"} or first.type != "expression_statement":
        return False
    inside = first.named_children
    body_of = node.parent
    is_body = body_of is None or body_of.type in {"function_definition", "class_definition"}
    return is_body and len(inside) == 1 and inside[0].type == "string"


def _places(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of each node among its siblings."""
    order = np.argsort(parents, kind="stable")
    sorted_parents = parents[order]
    first = np.searchsorted(sorted_parents, sorted_parents)
    places = np.empty_like(parents)
    places[order] = np.arange(len(parents)) - first
    return places


_MASK = (1 << 64) - 1


def _mix(value: int) -> int:
    """splitmix64 of one integer; `_mixed` is the same over an array."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def _mixed(values: IDS) -> IDS:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Forest:
    """The trees of one prompt's programs laid end to end, so that features are array operations.

    Parameters
    ----------
    trees : sequence of Tree
    """

    def __init__(self, trees: list[Tree]) -> None:
        sizes = np.array([len(t) for t in trees], dtype=np.int64)
        shift = np.repeat(np.cumsum(sizes) - sizes, sizes)
        self.n = len(trees)
        self.owners = np.repeat(np.arange(self.n), sizes)
        self.labels = _joined([t.labels for t in trees], np.uint64)
        parents = _joined([t.parents for t in trees], np.int64)
        self.parents = np.where(parents < 0, -1, parents + shift)
        self._places = _joined([t.places for t in trees], np.int64)
        self._levels: list[IDS] = [_mixed(self.labels)]
        self._heights: NDArray[np.int64] | None = None

    @property
    def heights(self) -> NDArray[np.int64]:
        """Levels below and including each node; a leaf has 1. Shape (nodes,)."""
        if self._heights is None:
            heights = np.ones(len(self.labels), dtype=np.int64)
            inner = self.parents >= 0
            while True:
                grown = heights.copy()
                np.maximum.at(grown, self.parents[inner], heights[inner] + 1)
                if (grown == heights).all():
                    break
                heights = grown
            self._heights = heights
        return self._heights

    def subtrees(self, levels: int) -> IDS:
        """Hash of the subtree under each node, cut to so many levels. Shape (nodes,).

        Two nodes have one hash when their cut subtrees are equal in labels and order (64-bit hashes: among a
        million subtrees the chance of any false match is below 1e-7).
        """
        while len(self._levels) < levels:
            self._levels.append(self._with_children(self._levels[-1]))
        return self._levels[levels - 1]

    def full_subtrees(self) -> IDS:
        """Hash of the whole subtree under each node. Shape (nodes,)."""
        return self.subtrees(int(self.heights.max(initial=1)))

    def _with_children(self, below: IDS) -> IDS:
        inner = self.parents >= 0
        total = np.zeros(len(self.labels), dtype=np.uint64)
        # A sum of mixed (hash, rank) pairs is an order-sensitive hash of the child list, and one array operation.
        ranked = _mixed(below[inner] ^ _mixed(self._places[inner].astype(np.uint64)))
        np.add.at(total, self.parents[inner], ranked)
        return _mixed(_mixed(self.labels) + total)


def _joined(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.array([], dtype=dtype)

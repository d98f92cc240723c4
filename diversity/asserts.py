"""Checks of public sets of programs, read from the asserts in which those are written; nothing of them is run.

HumanEval ships a function `check(candidate)` of asserts, MBPP a list of asserts. A set of asserts is read whole or
not at all: a prompt with one that is more than a call and a value has no checks here, as fewer would be other checks.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from typing import Any


def checks_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return `entry_point` and `checks` of a record of HumanEval or MBPP, or nothing where they cannot be read.

    Read are asserts of a call on values that JSON knows, compared by `==` or `is` with such a value.
    """
    try:
        if isinstance(test := record.get("test"), str) and isinstance(record.get("entry_point"), str):
            tree = ast.parse(test)
            (check,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "check")
            name, lines = record["entry_point"], check.body
            called = {"candidate", name}
        elif tests := record.get("test_list"):
            if record.get("test_setup_code") or record.get("test_imports"):
                return {}
            lines = [line for text in tests for line in ast.parse(str(text)).body]
            name = _first_called(lines)
            called = {name}
        else:
            return {}
        checks = [found for line in lines if (found := _check(line, called)) is not None]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return {}
    return {"entry_point": name, "checks": checks} if checks else {}


def _first_called(lines: list[ast.stmt]) -> str:
    for line in lines:
        for node in ast.walk(line):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                return node.func.id
    raise ValueError("no call")


def _check(line: ast.stmt, called: set[str]) -> dict[str, Any] | None:
    """Read one assert; None where it holds in any case, ValueError where it says more."""
    if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
        return None  # a docstring
    if not isinstance(line, ast.Assert):
        raise ValueError("not an assert")
    test = line.test
    if isinstance(test, ast.Constant) and test.value:
        return None
    # A bare call asserts any of many values, which is no one of them.
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is)):
        raise ValueError("no comparison")
    call, value = test.left, ast.literal_eval(test.comparators[0])
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in called):
        raise ValueError("no call of the function")
    if call.keywords:
        raise ValueError("arguments by name")
    args = [ast.literal_eval(arg) for arg in call.args]
    # A tuple as an argument would come as a list; as a value it equals one.
    if not (_is_json(args) and _is_json(value, tuples=True)):
        raise ValueError("values that JSON does not know")
    return {"args": args, "expect": json.loads(json.dumps(value))}


def _is_json(value: Any, *, tuples: bool = False) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_json(v, tuples=tuples) for k, v in value.items())
    if isinstance(value, list) or (tuples and isinstance(value, tuple)):
        return all(_is_json(v, tuples=tuples) for v in value)
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))

"""Inputs drawn from a description of what a function takes, so that behaviour is seen beyond hand-written calls.

A spec maps each parameter to what its values are, in JSON:

- ``[low, high]``: a whole number; a bound may be the name of an earlier parameter (its value, or its length) with
  ``+1`` or ``-1`` behind it
- ``{"text": "abc", "size": [low, high]}``: a text of these characters
- ``{"each": spec, "size": [low, high]}``: a list, with ``"sorted"``, ``"unique"``, or ``"joined": ", "`` to one text
- ``{"row": [spec, …]}``: a list of these parts, with ``"sorted"``, or ``"distinct": 2`` for the first two
- ``{"format": "{2}:{2}", "of": [spec, …]}``: a text; ``{2}`` fills up with zeros to two digits
- ``{"pick": [value, …]}``, ``{"any": [spec, …]}``: one of them; ``{"shuffle": name}``: an earlier text in another order
- ``{"keys": [name, …], "value": spec}``: an object with some of the names

``"not": name`` beside any of them keeps off the value of an earlier parameter. Bounds, repeats and short lists are
drawn more often than by chance, as programs differ there.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, overload

from diversity.errors import InputError

DRAWN = 12  # calls a prompt
TRIES = 30  # for a value that must differ from others
LARGEST = 10_000  # elements of one list, characters of one text


class Drawn(Sequence[list[Any]]):
    """Calls that `generated` draws once they are asked for: only programs that are run need them."""

    def __init__(self, spec: Mapping[str, Any], known: Sequence[list[Any]], *, seed: str) -> None:
        self._from = spec, known, seed

    @cached_property
    def _calls(self) -> list[list[Any]]:
        spec, known, seed = self._from
        return generated(spec, known, seed=seed)

    @overload
    def __getitem__(self, place: int) -> list[Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[list[Any]]: ...
    def __getitem__(self, place: int | slice) -> list[Any]:
        return self._calls[place]

    def __len__(self) -> int:
        return len(self._calls)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Drawn) and self._from == other._from

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Drawn{self._from}"


def generated(
    spec: Mapping[str, Any], known: Sequence[list[Any]] = (), *, seed: str, n: int = DRAWN
) -> list[list[Any]]:
    """Draw calls by a spec, the same ones for the same seed, none twice and none of the known ones.

    Parameters
    ----------
    spec : mapping of parameter to description, in the function's order
    known : sequence of list
        Calls that there are already.
    seed : str
    n : int
        Calls wanted; there are fewer where the spec holds fewer.

    Raises
    ------
    InputError
        A spec that says nothing this module knows.
    """
    if not spec:
        return []
    drawing = _Drawing(random.Random(seed))  # noqa: S311 - it has to come out the same again
    seen = {json.dumps(call) for call in known}
    calls: list[list[Any]] = []
    for _ in range(n * TRIES):
        if len(calls) == n:
            break
        drawing.given = {}
        for name, each in spec.items():
            drawing.given[name] = drawing.draw(each)
        call = list(drawing.given.values())
        text = json.dumps(call)
        if text not in seen:
            seen.add(text)
            calls.append(call)
    return calls


class _Drawing:
    """Draws values; `given` holds those of earlier parameters."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.given: dict[str, Any] = {}

    def below(self, n: int) -> int:
        # Of all of Python's random numbers only random() is promised to stay the same.
        return int(self.source.random() * n)

    def one_of(self, values: Sequence[Any]) -> Any:
        return values[self.below(len(values))]

    def bound(self, value: Any) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\w+)([+-]\d+)?", str(value))
        if not found or found[1] not in self.given:
            raise InputError(f"spec: the bound '{str(value)[:40]}' is no number and no earlier parameter: give one")
        earlier = self.given[found[1]]
        length: int = earlier if isinstance(earlier, int) else len(earlier)
        return length + int(found[2] or 0)

    def whole(self, low: Any, high: Any) -> int:
        least, most = self.bound(low), self.bound(high)
        if least > most:
            raise InputError(f"spec: from {least} to {most} there is no number: swap them")
        edge = self.below(8)
        return least if edge == 0 else most if edge == 1 else least + self.below(most - least + 1)

    def size(self, spec: Mapping[str, Any]) -> int:
        return min(self.whole(*spec["size"]), LARGEST)

    def draw(self, spec: Any) -> Any:
        """Draw a value."""
        if isinstance(spec, list) and len(spec) == 2:
            return self.whole(*spec)
        if not isinstance(spec, Mapping):
            raise InputError(f"spec: '{str(spec)[:40]}' describes no value: see diversity.inputs")
        try:
            if "not" not in spec:
                return self.one(spec)
            for _ in range(TRIES):
                value = self.one(spec)
                if value != self.given.get(spec["not"]):
                    return value
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"spec: {json.dumps(spec)[:60]} cannot be drawn from ({error!r:.60})") from None
        raise InputError(f"spec: {json.dumps(spec)[:60]} has no value other than that of {spec['not']}")

    def one(self, spec: Mapping[str, Any]) -> Any:
        match spec:
            case {"text": str(letters)}:
                found: list[Any] = []
                for _ in range(self.size(spec)):
                    found.append(found[-1] if found and not self.below(4) else self.one_of(letters))
                return "".join(found)
            case {"each": each}:
                return self.several(spec, each)
            case {"row": list(parts)}:
                return self.row(spec, parts)
            case {"format": str(form), "of": list(parts)}:
                values = iter([self.draw(part) for part in parts])
                return re.sub(r"\{(\d?)\}", lambda found: str(next(values)).zfill(int(found[1] or 0)), form)
            case {"pick": list(values)}:
                return self.one_of(values)
            case {"any": list(parts)}:
                return self.draw(self.one_of(parts))
            case {"shuffle": str(name)}:
                left = list(self.given[name])
                return "".join(left.pop(self.below(len(left))) for _ in range(len(left)))
            case {"keys": list(names), "value": each}:
                return {name: self.draw(each) for name in names if self.below(2)}
        raise ValueError("unknown kind")

    def several(self, spec: Mapping[str, Any], each: Any) -> Any:
        found: list[Any] = []
        unique = spec.get("unique", False)
        for _ in range(self.size(spec)):
            value = self.one_of(found) if found and not unique and not self.below(5) else self.draw(each)
            for _ in range(TRIES * (unique and value in found)):
                value = self.draw(each)
                if value not in found:
                    break
            if not (unique and value in found):
                found.append(value)
        if spec.get("sorted"):
            found.sort()
        return found if "joined" not in spec else spec["joined"].join(map(str, found))

    def row(self, spec: Mapping[str, Any], parts: list[Any]) -> list[Any]:
        distinct = spec.get("distinct", 0)
        for _ in range(TRIES):
            found = [self.draw(part) for part in parts]
            first = found[:distinct]
            if all(a != b for i, a in enumerate(first) for b in first[:i]):
                return sorted(found) if spec.get("sorted") else found
        raise ValueError("no distinct parts")


def inferred(calls: Sequence[list[Any]]) -> dict[str, Any]:
    """Describe what calls have in common, or nothing where that could go beyond what a function takes.

    For sets that come without a description. Numbers stay between the least and the greatest seen, texts keep to the
    characters and lengths seen or, with spaces in them, to the words seen, lists to lengths, order and uniqueness
    seen. Nothing is said of texts with anything but letters and spaces, which may have a format, or of values of
    several kinds; then no input is drawn at all.

    Returns
    -------
    dict
        A spec, empty where there is none.
    """
    if len(calls) < 3 or len({len(call) for call in calls}) != 1 or not calls[0]:
        return {}
    columns = [list(column) for column in zip(*calls, strict=True)]
    spec: dict[str, Any] = {}
    for i, column in enumerate(columns):
        each = _common(column)
        if not each:
            return {}
        if "size" in (each if isinstance(each, dict) else {}):
            for j, other in enumerate(columns[:i]):
                if all(isinstance(v, list | str) for v in other) and [len(v) for v in other] == [
                    len(v) for v in column
                ]:
                    each["size"] = [f"p{j}", f"p{j}"]
                    break
        spec[f"p{i}"] = each
    # How two numbers bear on each other, or a number on a list, is not seen from a few calls.
    return spec if len(columns) == 1 or not any(isinstance(each, list) for each in spec.values()) else {}


def _common(values: list[Any]) -> Any:
    kinds = {type(v) for v in values}
    if kinds == {int}:
        return [min(values), max(values)]
    if kinds == {str}:
        letters = "".join(sorted({c for v in values for c in v}))
        if not letters or not all(c.isalpha() or c == " " for c in letters):
            return None
        if " " in letters:  # words of a vocabulary, for all that is known
            rows = [v.split() for v in values]
            words = sorted({word for row in rows for word in row})
            return words and {
                "each": {"pick": words},
                "size": [min(map(len, rows)), max(map(len, rows))],
                "joined": " ",
            }
        return {"text": letters, "size": [min(map(len, values)), max(map(len, values))]}
    if kinds == {list}:
        parts = [part for v in values for part in v]
        each = _common(parts) if parts else None
        if not each or (isinstance(each, dict) and "each" in each):
            return None
        found: dict[str, Any] = {"each": each, "size": [min(map(len, values)), max(map(len, values))]}
        if all(v == sorted(v) for v in values):
            found["sorted"] = True
        if all(len(v) == len(set(v)) for v in values):
            found["unique"] = True
        return found
    return None

"""Reading back whatever result a command wrote as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.shift import Shift

if TYPE_CHECKING:
    from diversity.designs import Design


def read(path: str | Path) -> Shift | Design:
    """Read a Shift, or a design by its `kind`; raises `InputError` where it is neither."""
    from diversity.designs import Trajectory
    from diversity.factorials import Factorial
    from diversity.recipes import Recipe
    from diversity.sequential import Sequential
    from diversity.side_by_side import SideBySide

    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        kind = record.get("kind") if isinstance(record, dict) else None
    except (OSError, ValueError):
        kind = None  # the reader below says what is wrong with it
    designs: tuple[type[Design], ...] = (Trajectory, Recipe, Factorial, Sequential, SideBySide)
    for design in designs:
        if design.kind == kind:
            return design.read(path)
    return Shift.read(path)

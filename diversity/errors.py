"""Errors a user can meet.

DiversityError
├── InputError      a file, table or setting that cannot be used (ValueError)
├── NotComparable   two sides that must not be compared (ValueError)
├── UnknownName     a metric, domain or format nobody registered (LookupError)
├── MissingExtra    a package that an optional part needs (ImportError)
└── SandboxRefused  programs cannot be confined on this machine (RuntimeError)

Every message names the place (file, row, prompt), what is wrong with it, and what to do.
"""

from collections.abc import Iterable


class DiversityError(Exception):
    """Base of every error this package raises on purpose: one line, whatever the names in it hold."""

    def __str__(self) -> str:
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in super().__str__())


class InputError(DiversityError, ValueError):
    """A file, a table or a setting that cannot be used as it is."""


class NotComparable(DiversityError, ValueError):
    """Two sides whose difference would not be a shift in diversity."""


class UnknownName(DiversityError, LookupError):
    """A name that nothing is registered under."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        from rapidfuzz import fuzz, process, utils

        known = sorted(known)
        # By the whole name first: a part of a name is part of many ("cod" of "code" and of "code-js").
        near = next(
            filter(
                None,
                (
                    process.extractOne(name[:80], known, scorer=each, processor=utils.default_process, score_cutoff=60)
                    for each in (fuzz.ratio, fuzz.WRatio)
                ),
            ),
            None,
        )
        hint = f"did you mean '{near[0]}'? " if near else ""
        super().__init__(f"unknown {kind} '{name[:80]}': {hint}Known: {', '.join(known) or 'none'}")


class MissingExtra(DiversityError, ImportError):
    """A package that an optional part of this one needs and that is not installed."""


class SandboxRefused(DiversityError, RuntimeError):
    """Programs that a model wrote cannot be confined on this machine, so none was run."""


class Undefined(Exception):
    """A metric has no value for these answers; the message says why."""

"""Metrics and domains by name: decorators and subclasses inside, entry points outside, loaded when asked for."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, wraps
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diversity.domain import Domain
from diversity.errors import UnknownName

# Takes Answers; between checkpoints two of them, and where pooled two lists of them, a prompt each.
Function = Callable[..., "float | NDArray[np.float64]"]
Orientation = Literal["more diverse", "less diverse", "neither"]
Unit = Literal["within output", "within prompt", "across prompts", "between checkpoints"]

FACETS = ("lexical", "syntactic", "semantic", "functional", "format", "guard")
UNITS: tuple[Unit, ...] = ("within output", "within prompt", "across prompts", "between checkpoints")

logger = logging.getLogger("diversity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named measure of a set of answers, or of two.

    Attributes
    ----------
    name : str
    facet : str
        The sense in which answers differ: lexical, syntactic, semantic, functional, format; or guard.
    higher_is : str
        "more diverse", "less diverse", or "neither" for a guard.
    range : (float, float)
    source : str
        The paper that defines it.
    function : callable
        Answers of one prompt -> a number, or (`pairwise`) an n x n matrix. Across prompts: the same, of one answer
        to each prompt. Between checkpoints: the answers of pre and of post to one prompt -> a number, or
        (`pooled`) two lists of them, prompt by prompt -> a number, or an array of what `of_prompt` gives.
    pairwise : bool
        The value is the mean of the matrix off its diagonal: unbiased in n.
    headline : bool
        The facet's kernel: its shift is told as an effective number of distinct answers.
    needs : str
        The view it reads: words, trees, vectors, prose (words, of prose only), or form (trees for code, word
        shapes for prose).
    min_n : int
        Answers below which it is undefined.
    unbiased_in_n : bool
        Its expectation doesn't depend on how many answers there are.
    unit : str
        What it is computed on: "within output" (the mean over single outputs), "within prompt", "across prompts" or
        "between checkpoints". The sign of a shift can differ between units.
    pooled : bool
        Between checkpoints: computed once over all prompts, not prompt by prompt.
    of_prompt : callable, optional
        Where pooled: what is read of one prompt, the answers of pre and of post -> some numbers, of which the function
        then takes an array with one row a prompt. Without it all answers to all prompts are kept until the end.
    of_all_outputs : bool
        Told of all outputs of a prompt, valid or not, and therefore under the condition "all" only.
    aliases : tuple of str
        What papers and other packages call it; also found by these names.
    confounds : str
        What moves it that is not diversity: length, number of answers, vocabulary.
    cost : str
        How its cost grows, n answers of L words.
    default : bool
        Part of the default panel; a slow reference measure is only computed when it is asked for.
    version : str
        Raised when a number changes.
    """

    name: str
    facet: str
    higher_is: Orientation
    range: tuple[float, float]
    source: str
    function: Function
    pairwise: bool = False
    headline: bool = False
    needs: Literal["words", "trees", "form", "prose", "vectors"] = "words"
    min_n: int = 2
    unbiased_in_n: bool = False
    unit: Unit = "within prompt"
    pooled: bool = False
    of_prompt: Callable[[Any, Any], Sequence[float]] | None = None
    of_all_outputs: bool = False
    aliases: tuple[str, ...] = ()
    confounds: str = ""
    cost: str = "linear in the text"
    default: bool = True
    version: str = "1"

    @property
    def is_quadratic(self) -> bool:
        """Whether its cost grows with the square of the answers or faster."""
        return self.cost.startswith(("n^2", "n²")) or self.pairwise

    def between(self, pre: Any, post: Any) -> float:
        """Return the value between two checkpoints of which these are the answers to the one prompt."""
        if self.of_prompt:
            return float(self.function(np.array([self.of_prompt(pre, post)])))
        return float(self.function([pre], [post]) if self.pooled else self.function(pre, post))

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (self.documentation or self.name).splitlines()[0].rstrip(".")

    @property
    def documentation(self) -> str:
        """The whole docstring of the function."""
        from inspect import cleandoc

        own = self.function.__doc__ or ""
        # A partial without a docstring of its own shows the one of its class.
        inner = getattr(self.function, "func", None)
        if inner is not None and own == type(self.function).__doc__:
            own = inner.__doc__ or ""
        told = cleandoc(own)
        if self.unit != "across prompts":
            return told
        first, _, rest = told.partition("\n")
        return f"{first.rstrip('.')}: over one answer to each prompt, the mean of up to 8 draws.\n{rest}".rstrip()


_metrics: dict[str, Metric] = {}
_domains: dict[str, Domain] = {}


def metric(
    *,
    name: str,
    facet: str,
    higher_is: Orientation,
    range: tuple[float, float],  # noqa: A002 - the public word for it
    source: str,
    **details: Any,
) -> Callable[[Function], Function]:
    """Register a function as a metric; see `Metric` for the arguments.

    Examples
    --------
    >>> import diversity
    >>> @diversity.metric(name="mean_words", facet="guard", higher_is="neither",
    ...                   range=(0, float("inf")), source="this docstring", min_n=1)
    ... def mean_words(answers):
    ...     "Mean length of the answers in words."
    ...     return float(answers.words.lengths.mean())
    >>> diversity.registry.find_metric("mean_words").summary
    'Mean length of the answers in words'
    """
    if facet not in FACETS:
        raise UnknownName("facet", facet, FACETS)
    if details.get("unit", "within prompt") not in UNITS:
        raise UnknownName("unit", str(details["unit"]), UNITS)

    def register(function: Function) -> Function:
        if name in _metrics:
            raise ValueError(f"metric '{name}' is registered twice: give one of them another name")
        _metrics[name] = Metric(
            name=name, facet=facet, higher_is=higher_is, range=range, source=source, function=function, **details
        )
        return function

    return register


def variant(function: Function, summary: str, **fixed: Any) -> Function:
    """Return a function with some arguments fixed, whose documentation begins with a line of its own."""
    from inspect import cleandoc

    bound = partial(function, **fixed)
    rest = cleandoc((function.__doc__ or "").partition("\n")[2])
    bound.__doc__ = f"{summary}.\n\n{rest}".rstrip() if rest else f"{summary}."
    return bound


def across(name: str, **details: Any) -> Metric:
    """Register a metric of one prompt's answers once more, over one answer to each prompt, as `NAME.across`.

    Parameters
    ----------
    name : str
        A metric that is registered already.
    **details
        What differs from it; see `Metric`. It is not in the default panel unless this says so.

    Examples
    --------
    >>> from diversity.registry import find_metric
    >>> find_metric("distinct_2.across").unit
    'across prompts'
    """
    if name not in _metrics:
        raise UnknownName("metric", name, _metrics)
    original = _metrics[name]
    confounds = f"The topics of the prompts count: compare on the same prompts only. {original.confounds}".strip()
    given = {
        "name": f"{name}.across",
        "unit": "across prompts",
        "headline": False,
        "default": False,
        "aliases": (f"across-input {name}",),
        "confounds": confounds,
        "cost": f"{original.cost}; up to 168 times over one answer a prompt (once a draw for pair means)",
    }
    metric = replace(original, **{**given, **details})
    if metric.name in _metrics:
        raise ValueError(f"metric '{metric.name}' is registered twice: give one of them another name")
    _metrics[metric.name] = metric
    return metric


ROOMS = ("diversity.metrics", "diversity.domains")  # also the names of the groups of entry points
_loaded: set[str] = set()


def _load() -> None:
    if _loaded:  # or being loaded: a plugin may look up what is there
        return
    _loaded.update(ROOMS)
    try:
        for room in ROOMS:
            importlib.import_module(room).load()
    except BaseException:
        _loaded.clear()
        raise
    found = entry_points()
    for room in ROOMS:
        for entry in found.select(group=room):
            _plug_in(entry)


def _plug_in(entry: EntryPoint) -> None:
    """Load what another package registers; of a plugin that fails nothing stays."""
    before = dict(_metrics), dict(_domains)
    whose = f"plugin '{entry.name}' ({entry.value}{f' of {entry.dist.name}' if entry.dist else ''})"
    try:
        loaded = entry.load()
        if isinstance(loaded, type) and issubclass(loaded, Domain):
            loaded = loaded()
        if isinstance(loaded, Domain):
            add_domain(loaded)
        for domain in _domains.keys() - before[1].keys():
            _check_domain(_domains[domain])
        for name in _metrics.keys() - before[0].keys():
            _metrics[name] = replace(_metrics[name], function=_contained(_metrics[name], whose))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - someone else's broken plugin must not break the tool
        for name in _metrics.keys() - before[0].keys():
            del _metrics[name]
        for name in _domains.keys() - before[1].keys():
            del _domains[name]
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        logger.warning("%s is skipped: %s", whose, reason)


def _check_domain(domain: Domain) -> None:
    """Refuse a domain that would fail where all domains are listed; raises `ValueError`, or what its prompts raise."""
    if domain.primary not in FACETS:
        raise ValueError(f"domain '{domain.name}': its primary facet '{domain.primary}' is none of {', '.join(FACETS)}")
    len(domain.prompts)


def _contained(metric: Metric, whose: str) -> Function:
    """A plugin's function whose failure leaves one score undefined, and is told once."""
    told: set[str] = set()

    @wraps(metric.function)
    def contained(*answers: Any) -> float | NDArray[np.float64]:
        from diversity.errors import Undefined

        try:
            result = metric.function(*answers)
            if metric.pairwise:
                matrix = np.asarray(result, dtype=np.float64)
                if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
                    raise ValueError(f"it gave shape {matrix.shape}, not a square")
                return matrix
            return float(result)
        except Undefined:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            if not told:
                logger.warning("%s: metric '%s' fails, and is undefined there: %s", whose, metric.name, reason)
            told.add(reason)
            raise Undefined(f"the metric fails ({reason})") from error

    return contained


NEARLY = 85  # of 100: "storys" is 91 to story, "mycode" 80 to code


def add_domain(domain: Domain) -> Domain:
    """Register a domain under its name."""
    if domain.name in _domains:
        raise ValueError(f"domain '{domain.name}' is registered twice: give one of them another name")
    _domains[domain.name] = domain
    return domain


def metrics() -> dict[str, Metric]:
    """All metrics by name."""
    _load()
    return dict(_metrics)


def domains() -> dict[str, Domain]:
    """All domains by name."""
    _load()
    return dict(_domains)


def find_metric(name: str) -> Metric:
    """Return a metric by name or alias; raises `UnknownName` with the nearest name."""
    if name in _metrics:  # a process that measures a few metrics need not load them all
        return _metrics[name]
    known = metrics()
    if name in known:
        return known[name]
    for candidate in known.values():
        if name in candidate.aliases:
            return candidate
    raise UnknownName("metric", name, known)


_generic: dict[str, Domain] = {}


def domain_of(name: str) -> Domain:
    """Return the domain that a table or a user's file of prompts names: a known one, else any prose by that name.

    A name that is all but a known one ("storys") is a slip: `UnknownName`.
    """
    from rapidfuzz import fuzz

    known = domains()
    if name in known or any(fuzz.ratio(name, other) > NEARLY for other in known):
        return find_domain(name)
    if name not in _generic:
        named = {"name": name, "__doc__": "Any prose, by a name of its own."}
        _generic[name] = type("Generic", (type(known["text"]),), named)()
    return _generic[name]


def find_domain(name: str) -> Domain:
    """Return a domain by name; raises `UnknownName` with the nearest name."""
    known = domains()
    if name not in known:
        raise UnknownName("domain", name, known)
    return known[name]

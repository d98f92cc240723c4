"""Sample two checkpoints until the verdict is decided: group-sequential looks at more and more prompts.

Formulas and measured error rates: `docs/designs.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import quote

import numpy as np
import polars as pl

from diversity.contrasts import contrast
from diversity.designs import Design, head, interval_columns
from diversity.embedding import Embedder
from diversity.errors import InputError, MissingExtra, NotComparable
from diversity.registry import FACETS, domain_of, find_metric
from diversity.sampling import Backend, Request, _Batch, _interrupted_between_batches, _rows, _Run
from diversity.scoring import ALL, CONDITIONS, score
from diversity.shift import REFERENCE_SIZE, amended, counts_shown, prompts_shown, signature_of
from diversity.stats import FLOOR, MARGIN, PROVISIONAL, Array, Estimate, stream_of, verdict
from diversity.store import Store
from diversity.tables import Samples

if TYPE_CHECKING:
    from diversity.sampling import Progress

LEVEL = 0.05
HEADLINES = tuple(f"{facet}.similarity" for facet in ("lexical", "syntactic", "semantic", "functional"))

LOOK: dict[str, pl.DataType] = {
    "domain": pl.String(),
    "noun": pl.String(),
    "facet": pl.String(),
    "primary": pl.Boolean(),
    "asked": pl.Boolean(),
    "look": pl.Int32(),
    "looks": pl.Int32(),
    "n_prompts": pl.Int32(),
    "prompts_at_most": pl.Int32(),
    "n_outputs": pl.Int32(),
    "pre": pl.Float64(),
    "post": pl.Float64(),
    "shift": pl.Float64(),
    "ci_low": pl.Float64(),
    "ci_high": pl.Float64(),
    "relative": pl.Float64(),
    "relative_low": pl.Float64(),
    "relative_high": pl.Float64(),
    "critical": pl.Float64(),
    "verdict": pl.String(),
    "provisional": pl.Boolean(),
    "confounded_by": pl.List(pl.String()),
    "signature": pl.String(),
}


@dataclass(frozen=True, slots=True)
class Looks:
    """When the data are looked at: after so many prompts, declared before the first is sampled.

    Examples
    --------
    >>> Looks.of(4, 60).prompts
    (15, 30, 45, 60)
    >>> [round(z, 3) for z in Looks.of(4, 60).critical(0.05)]
    [4.333, 2.963, 2.359, 2.014]
    """

    prompts: tuple[int, ...]

    @classmethod
    def of(cls, looks: int | Sequence[float], most: int) -> Looks:
        """Spread looks evenly, or at given fractions, over the prompts there are; none before 10 prompts."""
        fractions = [(i + 1) / looks for i in range(looks)] if isinstance(looks, int) else sorted(looks)
        if not fractions or not all(0 < f <= 1 for f in fractions):
            raise InputError(f"looks is {looks!r:.40}: give a number of looks, or fractions above 0 and up to 1")
        # 0.3 * 10 is a hair more than 3.
        counts = (min(most, max(FLOOR, math.ceil(f * most - 1e-9))) for f in [*fractions, 1.0])
        return cls(tuple(sorted(set(counts))))

    def critical(self, alpha: float) -> tuple[float, ...]:
        """The two-sided critical value of each look, of the normal distribution, that spend alpha together."""
        return boundaries(tuple(p / self.prompts[-1] for p in self.prompts), alpha)


@lru_cache(maxsize=256)
def boundaries(fractions: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Two-sided group-sequential boundaries of Lan and DeMets' spending function after O'Brien and Fleming.

    Parameters
    ----------
    fractions : tuple of floats
        Information at each look, rising, the last 1.
    alpha : float
        Chance to cross any of them where there is no effect; half on each side.

    Returns
    -------
    tuple of floats
        Critical values of the standardised statistic, by numerical integration (Armitage, McPherson and Rowe 1969).

    References
    ----------
    Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials", Biometrika 70.

    Examples
    --------
    >>> [round(z, 3) for z in boundaries((0.2, 0.4, 0.6, 0.8, 1.0), 0.05)]
    [4.877, 3.357, 2.68, 2.29, 2.031]
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    quantile = -float(ndtri(alpha / 4))
    spent = [4 * float(ndtr(-quantile / math.sqrt(t))) for t in fractions]
    nodes, node_weights = np.polynomial.legendre.leggauss(200)
    found = [-float(ndtri(spent[0] / 2))]
    reach = found[0] * math.sqrt(fractions[0])
    places, weights = nodes * reach, node_weights * reach
    density = np.exp(-(places**2) / (2 * fractions[0])) / math.sqrt(2 * math.pi * fractions[0])
    for k in range(1, len(fractions)):
        step = math.sqrt(fractions[k] - fractions[k - 1])
        carried = density * weights

        def excess(bound: float, k: int = k, step: float = step, places: Array = places, p: Array = carried) -> float:
            crossed = 2 * float((p * ndtr((places - bound) / step)).sum())
            return crossed - (spent[k] - spent[k - 1])

        reach = float(brentq(excess, 0.0, 12.0))
        found.append(reach / math.sqrt(fractions[k]))
        onward = nodes * reach
        kernel = np.exp(-(((onward[:, None] - places[None, :]) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        places, weights, density = onward, node_weights * reach, kernel @ carried
    return tuple(found)


def estimate_at(
    similarities: Array,
    look: int,
    looks: Looks,
    *,
    alpha: float = LEVEL,
    m: int = REFERENCE_SIZE,
    seed: int = 0,
) -> Estimate:
    """Estimate a shift at a look, with intervals that hold at all looks together.

    Parameters
    ----------
    similarities : array of shape (prompts so far, 2)
        Mean similarity of each prompt's answers, pre and post.
    look : int
        From 0.
    alpha : float
        Chance that any look's interval leaves out the truth.

    Returns
    -------
    Estimate
        Its `interval` is the repeated confidence interval of level 1 - alpha (Jennison and Turnbull 1989): the normal
        boundary's tail is taken of Student's t and of balanced empirical likelihood, as in `contrast`. `interval90` is
        the same of 1 - 2 alpha, for equivalence.
    """
    from scipy.special import ndtr

    levels = tuple(1 - 2 * float(ndtr(-looks.critical(a)[look])) for a in (alpha, 2 * alpha))
    return contrast(similarities, (-1, 1), m=m, seed=seed, levels=(levels[0], levels[1]), test=False)


def judged(
    similarities: Mapping[str, Array],
    at: Mapping[str, int],
    looks: Mapping[str, Looks],
    *,
    margin: float,
    m: int = REFERENCE_SIZE,
    seed: int = 0,
) -> dict[str, tuple[Estimate, str]]:
    """Judge what is asked of each domain at the look it is at.

    Parameters
    ----------
    similarities : mapping of domain to array of shape (prompts so far, 2)
    at : mapping of domain to int
        The look each is at, from 0.
    looks : mapping of domain to Looks
    margin : float
        The material margin, as a fraction.

    Returns
    -------
    dict of domain to (Estimate, verdict)
        The interval is the one of `estimate_at` at 95 %. A direction also needs its place in Holm's order over the
        domains, at each look's own boundary, so that any false direction at all is had in at most 5 % of runs.
    """
    options: dict[str, Any] = {"m": m, "seed": seed}
    family = len(similarities)
    # The smallest share of alpha at which a domain's interval leaves out zero, as the divisor of alpha.
    divisor = dict.fromkeys(similarities, 0)
    estimates: dict[str, Estimate] = {}
    for domain, s in similarities.items():
        for j in range(1, family + 1):
            estimate = estimate_at(s, at[domain], looks[domain], alpha=LEVEL / j, **options)
            estimates.setdefault(domain, estimate)
            if estimate.interval[0] <= 0 <= estimate.interval[1]:
                break
            divisor[domain] = j
    clear = set()
    for left, domain in zip(range(family, 0, -1), sorted(divisor, key=lambda d: -divisor[d]), strict=True):
        if divisor[domain] < left:
            break
        clear.add(domain)
    return {
        domain: (e, verdict(e, margin=math.log1p(margin), p_adjusted=0.0 if domain in clear else 1.0))
        for domain, e in estimates.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequential(Design):
    """What a sequential run found, and how it came to stop.

    Attributes
    ----------
    pre, post : str
        Names of the two checkpoints.
    frame : polars.DataFrame
        One row a domain x facet at the domain's last look. `asked` marks the facet that sampling was stopped by; only
        it has a verdict. `ci_low` to `ci_high` is the log ratio's repeated confidence interval: it holds whenever one
        stopped. `critical` is the normal critical value that was spent at the look.
    history : polars.DataFrame
        The same of the asked facets at every look.
    settings : dict
        What the figures depend on.
    """

    kind: ClassVar[str] = "sequential"

    pre: str
    post: str
    frame: pl.DataFrame
    history: pl.DataFrame
    settings: Mapping[str, Any]

    def verdicts(self) -> pl.DataFrame:
        """Return one row a domain x facet at the last look; see `frame`."""
        return self.frame

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; `Sequential.from_dict` is the way back."""
        return head(self) | {
            "pre": self.pre,
            "post": self.post,
            "frame": self.frame.to_dicts(),
            "history": self.history.to_dicts(),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Make a Sequential of what `to_dict` gave; raises `InputError` for another kind or schema."""
        cls._check(record)
        return cls(
            pre=record["pre"],
            post=record["post"],
            frame=pl.DataFrame(record["frame"], schema=pl.Schema(LOOK)),
            history=pl.DataFrame(record["history"], schema=pl.Schema(LOOK)),
            settings=record["settings"],
        )


def until_decided(
    pre: str | Path | Backend,
    post: str | Path | Backend,
    *,
    domains: str | Sequence[str],
    store: str | Path | None = None,
    looks: int | Sequence[float] = 4,
    prompts: int | str | Path | None = None,
    n: int = 16,
    facets: Mapping[str, str] | None = None,
    margin: float = MARGIN,
    seed: int = 0,
    batch: int = 64,
    embedder: Embedder | str | None = None,
    execute: bool | str = False,
    on_look: Callable[[Mapping[str, Any]], None] | None = None,
    progress: Progress | None = None,
    **sampling: Any,
) -> Sequential:
    """Sample two checkpoints, their prompts in a random order, until each domain is decided or its prompts are spent.

    Parameters
    ----------
    pre, post : str, Path or Backend
        Checkpoints as `sample` takes them; both are held open.
    domains : list of str
        Their names; one name alone may stand for a list of one.
    store : folder, optional
        Outputs are kept in its `pre` and `post`. A run that was stopped goes on where it stopped.
    looks : int or sequence of floats
        How often the data are looked at, evenly, or at which fractions of the prompts. Declared: a store refuses a
        run with other looks.
    prompts : int or path, optional
        The budget: the first so many prompts of each domain, or those of a file; by default all of the domain's own.
    facets : mapping of domain to facet, optional
        What is to be decided; by default each domain's primary facet.
    margin : float
        The material margin; a shift that is shown to lie within it is decided as well.
    seed : int
        Of sampling, of the order of prompts and of the statistics.
    on_look : callable, optional
        Called with each row of `Sequential.history` as it is found.
    n, batch, embedder, execute, progress, **sampling
        As in `sample` and `compare`.

    Returns
    -------
    Sequential

    Raises
    ------
    InputError, NotComparable, UnknownName, MissingExtra
    """
    if not 0 < margin < 1:
        raise InputError(f"margin is {margin}: give a fraction between 0 and 1, such as 0.1")
    asked = {name: domain_of(name).primary for name in ([domains] if isinstance(domains, str) else domains)}
    for name, facet in (facets or {}).items():
        if name not in asked or facet not in FACETS:
            raise InputError(f"facets names {name[:40]} {facet[:40]}: give a domain of the run and a facet of it")
    asked |= dict(facets or {})
    given = {"domains": domains, "n": n, "prompts": prompts, "seed": seed, "batch": batch, **sampling}
    with ExitStack() as opened:
        interrupted = opened.enter_context(_interrupted_between_batches())
        sides = [
            opened.enter_context(
                _Revealed(checkpoint, side, looks, None if store is None else Path(store) / side, interrupted, given)
            )
            for side, checkpoint in (("pre", pre), ("post", post))
        ]
        run = _Sequence(sides, asked, n=n, margin=margin, seed=seed, embedder=embedder, execute=execute)
        return run.to_the_end(on_look, progress)


class _Revealed:
    """One checkpoint whose prompts are drawn in a random order, a look at a time."""

    def __init__(
        self,
        checkpoint: str | Path | Backend,
        side: str,
        looks: int | Sequence[float],
        store: Path | None,
        interrupted: Callable[[], bool],
        given: Mapping[str, Any],
    ) -> None:
        self._run = _Run(checkpoint, **{"stage": side, **given})
        self._interrupted = interrupted
        self._stage = given.get("stage") or side
        self.label = f"{self._run.label} ({side})"
        self.looks: dict[str, Looks] = {}
        self._parts: dict[tuple[str, int], list[_Batch]] = {}
        number = 0
        for domain, by_prompt in self._requests().items():
            own = self._run.batches[0].settings
            plan = self.looks[domain] = Looks.of(looks, len(by_prompt))
            order = _order(domain, sorted(by_prompt), own.seed)
            at_once = max(1, int(given["batch"]) // own.n)
            spec = next(b for b in self._run.batches if b.domain.name == domain)
            for look, (start, end) in enumerate(zip((0, *plan.prompts), plan.prompts, strict=False)):
                for i in range(start, end, at_once):
                    requests = [r for p in order[i : min(end, i + at_once)] for r in by_prompt[p]]
                    part = _Batch(number, spec.domain, own, spec.max_tokens, self.label, requests)
                    self._parts.setdefault((domain, look), []).append(part)
                    number += 1
        self.provenance = {
            **self._run.provenance,
            "checkpoint": self.label,
            "looks": {name: list(plan.prompts) for name, plan in self.looks.items()},
        }
        self._store = None if store is None else Store.create(store, self.provenance)

    def _requests(self) -> dict[str, dict[str, list[Request]]]:
        found: dict[str, dict[str, list[Request]]] = {}
        for batch in self._run.batches:
            for request in batch.requests:
                found.setdefault(batch.domain.name, {}).setdefault(request.prompt.prompt_id, []).append(request)
        return found

    def draw(self, domain: str, look: int, progress: Progress | None) -> pl.DataFrame:
        """Draw the prompts that a look adds, or read them where they are kept."""
        frames = []
        parts = self._parts[domain, look]
        for done, part in enumerate(parts, 1):
            rows = self._store.part(part.number) if self._store else None
            if rows is None:
                rows = _rows(self._run.backend, part, self._stage)
                if self._store:
                    self._store.add(part.number, rows)
            frames.append(rows)
            if progress:
                progress(f"sample {domain}, {self.label}, look {look + 1}", done, len(parts))
            if self._interrupted():
                raise KeyboardInterrupt
        return pl.concat(frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._store:
            self._store.close()


def _order(domain: str, prompt_ids: Sequence[str], seed: int) -> list[str]:
    """The order in which a domain's prompts are asked: by chance, and the same for both checkpoints."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream_of("reveal"), stream_of(domain)])))
    return [prompt_ids[i] for i in rng.permutation(len(prompt_ids))]


@dataclass(frozen=True, slots=True)
class _Seen:
    """Similarities of the prompts so far, of shape (prompts, 2); which they are, and how many answers each has."""

    values: Array
    prompts: pl.Series
    counts: pl.Series


class _Recorded:
    """The outputs of one checkpoint in an earlier run, revealed again as they were then."""

    def __init__(self, samples: Samples, side: str, looks: Mapping[str, Looks], seed: int) -> None:
        names = samples.frame["checkpoint"].unique()
        if len(names) != 1:
            raise InputError(f"the {side} side holds {len(names)} checkpoints: give one, or name it as FILE:CHECKPOINT")
        self.label = names[0] if names[0].endswith(f" ({side})") else f"{names[0]} ({side})"
        self.looks = dict(looks)
        self._frame = samples.frame.with_columns(checkpoint=pl.lit(self.label))
        self.n = int(self._frame.group_by("domain", "prompt_id").len()["len"].max())  # type: ignore[arg-type]  # not empty
        self._orders = {domain: self._order(domain, plan, seed) for domain, plan in looks.items()}

    def _order(self, domain: str, looks: Looks, seed: int) -> list[str]:
        """The order the prompts came in, which hangs on all that could have been asked."""
        drawn = self._frame.filter(pl.col("domain") == domain)["prompt_id"].unique().to_list()
        budget = looks.prompts[-1]
        if len(drawn) < budget:
            # A run that stopped early shows only some of its budget: the first prompts of the domain, if not a file's.
            own = [p.prompt_id for p in domain_of(domain).prompts[:budget]]
            if len(own) != budget or not set(drawn) <= set(own):
                raise NotComparable(
                    f"{domain}: the run stopped after {len(drawn)} of {budget} prompts, and they are not the domain's "
                    "own: their order is told only by a run that asked all of them"
                )
            drawn = own
        return _order(domain, sorted(drawn), seed)

    def draw(self, domain: str, look: int, progress: Progress | None) -> pl.DataFrame:
        """Return the outputs of the prompts that a look added."""
        del progress
        ends = (0, *self.looks[domain].prompts)
        chosen = self._orders[domain][ends[look] : ends[look + 1]]
        found = self._frame.filter((pl.col("domain") == domain) & pl.col("prompt_id").is_in(chosen))
        if found["prompt_id"].n_unique() < len(chosen):
            raise NotComparable(f"{domain}: look {look + 1} has outputs to some of its prompts only: give all of them")
        return found.sort("prompt_id", "sample_index")


def decided_again(
    pre: Samples,
    post: Samples,
    *,
    asked: Mapping[str, tuple[str, Looks]],
    margin: float,
    seed: int,
    embedder: Embedder | str | None = None,
    execute: bool | str = False,
) -> Sequential:
    """Go through an earlier run once more, from the outputs that it drew.

    Parameters
    ----------
    pre, post : Samples
        What the run kept, whole.
    asked : mapping of domain to (facet, Looks)
    margin, seed, embedder, execute
        As in `until_decided`.
    """
    looks = {domain: plan for domain, (_, plan) in asked.items()}
    sides = [_Recorded(samples, side, looks, seed) for samples, side in ((pre, "pre"), (post, "post"))]
    facets = {domain: facet for domain, (facet, _) in asked.items()}
    run = _Sequence(sides, facets, n=sides[0].n, margin=margin, seed=seed, embedder=embedder, execute=execute)
    return run.to_the_end()


class _Sequence:
    """The domains of a run: which are open, at which look, and what was found."""

    def __init__(
        self,
        sides: Sequence[_Revealed | _Recorded],
        asked: Mapping[str, str],
        *,
        n: int,
        margin: float,
        seed: int,
        embedder: Embedder | str | None,
        execute: bool | str,
    ) -> None:
        self.sides, self.asked, self.n, self.margin, self.seed = sides, asked, n, margin, seed
        self.embedder, self.execute = embedder, execute
        self.looks = sides[0].looks
        self.open = list(self.looks)
        self.at = dict.fromkeys(self.looks, -1)
        self.verdicts: dict[str, str] = {}
        self._drawn: dict[str, list[pl.DataFrame]] = {name: [] for name in self.looks}
        self._measured: dict[str, _Seen] = {}
        self._provenance: Mapping[str, Any] = {}

    def look(self, progress: Progress | None) -> Iterator[dict[str, Any]]:
        """Draw what the next look of each open domain adds, and judge it."""
        for domain in self.open:
            self.at[domain] += 1
            self._drawn[domain] += [side.draw(domain, self.at[domain], progress) for side in self.sides]
            facet = self.asked[domain]
            known = self._similarities([domain], [f"{facet}.similarity"], [ALL])
            if (domain, facet, ALL) not in known:
                raise NotComparable(
                    f"{domain}: no prompt so far has two answers with a score in {facet} on both sides: ask another "
                    "facet"
                )
            self._measured[domain] = known[domain, facet, ALL]
        # Domains that have stopped stay in the family, with what they stopped at.
        measured = {domain: seen.values for domain, seen in self._measured.items()}
        found = judged(measured, self.at, self.looks, margin=self.margin, seed=self.seed)
        for domain in list(self.open):
            estimate, said = found[domain]
            self.verdicts[domain] = said
            if said != "inconclusive" or self.at[domain] == len(self.looks[domain].prompts) - 1:
                self.open.remove(domain)
            seen, row = self._measured[domain], f"look.{self.at[domain]}"
            yield self._row(domain, self.asked[domain], seen, estimate, said, [], row)

    def to_the_end(
        self, on_look: Callable[[Mapping[str, Any]], None] | None = None, progress: Progress | None = None
    ) -> Sequential:
        """Look until every domain is decided, or its prompts are spent."""
        history = []
        while self.open:
            for row in self.look(progress):
                history.append(row)
                if on_look:
                    on_look(row)
        settings = {
            "m": REFERENCE_SIZE,
            "margin": self.margin,
            "seed": self.seed,
            "level": 1 - LEVEL,
            "family": len(self.asked),
            "looks": {name: list(plan.prompts) for name, plan in self.looks.items()},
            "asked": dict(self.asked),
        }
        return Sequential(
            pre=self.sides[0].label,
            post=self.sides[1].label,
            frame=pl.DataFrame(self.at_the_end(), schema=pl.Schema(LOOK)),
            history=pl.DataFrame(history, schema=pl.Schema(LOOK)),
            settings=settings,
        )

    def at_the_end(self) -> list[dict[str, Any]]:
        """All headline facets at the last look, and whether the asked one turns round under a condition."""
        rows = []
        for domain in self.looks:
            known = self._similarities([domain], HEADLINES, CONDITIONS)
            for (_, facet, condition), seen in known.items():
                if condition != ALL:
                    continue
                estimate = estimate_at(seen.values, self.at[domain], self.looks[domain], seed=self.seed)
                said = self.verdicts[domain] if facet == self.asked[domain] else None
                others = {c: known.get((domain, facet, c)) for c in CONDITIONS if c != ALL}
                flips = [
                    c
                    for c, other in others.items()
                    if said in {"narrowed", "widened"}
                    and other is not None
                    and contrast(other.values, (-1, 1), test=False).estimate * estimate.estimate < 0
                ]
                rows.append(self._row(domain, facet, seen, estimate, said, flips, "last"))
        return rows

    def _similarities(
        self, domains: Sequence[str], metrics: Sequence[str], conditions: Sequence[str]
    ) -> dict[tuple[str, str, str], _Seen]:
        if "semantic.similarity" in metrics and (self.embedder is None or isinstance(self.embedder, str)):
            # Loaded once, it also remembers the vectors of the texts of earlier looks.
            with suppress(MissingExtra):  # score says so, and leaves the facet out
                self.embedder = Embedder.load(self.embedder)
        samples = pl.concat([frame for domain in domains for frame in self._drawn[domain]])
        found = score(
            Samples.of(samples), metrics=metrics, conditions=conditions, embedder=self.embedder, execute=self.execute
        )
        scored, self._provenance = found.frame, found.provenance
        names = [side.label for side in self.sides]
        key = ["domain", "facet", "condition"]
        seen = {}
        for (domain, facet, condition), group in scored.drop_nulls("value").group_by(key, maintain_order=True):
            wide = group.pivot(on="checkpoint", index="prompt_id", values="value").sort("prompt_id")
            if set(names) <= set(wide.columns):
                both = wide.drop_nulls(names)
                if len(both) >= 2:
                    counts = group.filter(pl.col("prompt_id").is_in(both["prompt_id"].implode()))["n"]
                    values = both.select(names).to_numpy()
                    seen[str(domain), str(facet), str(condition)] = _Seen(values, both["prompt_id"], counts)
        return seen

    def _row(
        self, domain: str, facet: str, seen: _Seen, estimate: Estimate, said: str | None, flips: Sequence[str], row: str
    ) -> dict[str, Any]:
        spec, looks, at = domain_of(domain), self.looks[domain], self.at[domain]
        return {
            "domain": domain,
            "noun": spec.noun,
            "facet": facet,
            "primary": facet == spec.primary,
            "asked": facet == self.asked[domain],
            "look": at + 1,
            "looks": len(looks.prompts),
            "n_prompts": estimate.n,
            "prompts_at_most": looks.prompts[-1],
            "n_outputs": 2 * self.n * looks.prompts[at],
            "pre": estimate.pre,
            "post": estimate.post,
            **interval_columns(estimate, "shift"),
            "critical": looks.critical(LEVEL)[at],
            "verdict": said,
            "provisional": estimate.n < PROVISIONAL,
            "confounded_by": list(flips),
            "signature": amended(
                signature_of(
                    find_metric(f"{facet}.similarity"),
                    domain,
                    ALL,
                    settings={"m": REFERENCE_SIZE, "margin": self.margin, "seed": self.seed},
                    provenance=self._provenance,
                    names=(self.sides[0].label, self.sides[1].label),
                    prompts=prompts_shown(seen.prompts),
                    counts=counts_shown(seen.counts),
                    interval="ci:repeated.envelope.t+el.95",
                ),
                of="sequential." + "+".join(self._asked_of(name) for name in self.looks),
                row=row,
            ),
        }

    def _asked_of(self, domain: str) -> str:
        """What is asked of a domain, and its looks, in one word."""
        looks = "-".join(map(str, self.looks[domain].prompts))
        return f"{quote(domain, safe='')}={self.asked[domain]}={looks}"

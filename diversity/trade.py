"""Sweet spots: the visible gain of several ways of adapting one model against each hidden cost.

Every audit is one way (a method, or one strength of one: LoRA rank, steps, beta) against the same base. The gain is
the share of outputs in a tuned domain that pass its check; a cost is what a probe says was lost, a loss being
positive. Costs are never added up: a way is dominated where another gains as much or more at no higher cost in any
of them. See docs/probes.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from diversity import __version__
from diversity.audit import OUTSIDE, TUNED, Audit, Cell
from diversity.errors import InputError, NotComparable
from diversity.files import written

SCHEMA = 1
# Probe, what its measure begins with, and the sign that makes a loss positive.
COSTS = (
    ("diversity", "", -1),
    ("calibration", "over-confidence", 1),
    ("transfer", "drop from familiar to variant", 1),
    ("formats", "compliance with the form asked for", -1),
    ("faithfulness", "answers that hang on the chain of thought", -1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One cost of one way in one tuned domain.

    Attributes
    ----------
    way : str
    domain : str
        The tuned domain whose gain is told.
    cost : str
        Probe, measure and the domain that pays.
    gain, gain_low, gain_high : float or None
        Shift of the share of valid outputs.
    loss, loss_low, loss_high : float or None
        A loss is positive: of diversity the relative fall of the effective number, of the others a share.
    gains : bool
        Whether the gain's 95 % interval lies above 0.
    told : bool
        False where a guard said "cannot tell".
    """

    way: str
    domain: str
    cost: str
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    loss: float | None
    loss_low: float | None
    loss_high: float | None
    gains: bool
    told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """The trade surface of several ways.

    Attributes
    ----------
    base : str
    ways : tuple of str
    prices : tuple of Price
    spent : mapping of way to what it spends by name
        Tokens of an output after tuning, by domain, where the samples count them; and what the caller labels the way
        with: steps, rank, size of the adapter. Shown beside the prices, and no part of them.
    """

    base: str
    ways: tuple[str, ...]
    prices: tuple[Price, ...]
    spent: Mapping[str, Mapping[str, float | str]] = field(default_factory=dict)

    @property
    def domains(self) -> list[str]:
        """The tuned domains."""
        return list(dict.fromkeys(p.domain for p in self.prices))

    def cheapest(self, domain: str) -> dict[str, str | None]:
        """Which way costs least for its gain, by cost: least loss per point gained; None where no way gains.

        Only ways whose gain is above 0 by its 95 % interval are ranked. A loss at or below 0 costs nothing: of several
        such ways the one that gains most is named.
        """
        return {cost: ranked[0].way if ranked else None for cost, ranked in self._ranked(domain).items()}

    def surely(self, domain: str) -> dict[str, bool]:
        """Whether the way that `cheapest` names is cheaper than every other that gains, by the intervals, by cost.

        Its dearest price, the upper end of the loss over the lower end of the gain, must lie below the lowest of each
        other, the lower end of its loss over the upper end of its gain. That is stricter than 95 %. False as well
        where an interval is not known or nothing is ranked; True where only one way gains.
        """
        return {
            cost: bool(ranked) and all(_dearest(ranked[0]) < _lowest(other) for other in ranked[1:])
            for cost, ranked in self._ranked(domain).items()
        }

    def _ranked(self, domain: str) -> dict[str, list[Price]]:
        """The ways that gain, cheapest first, by cost."""
        found: dict[str, list[Price]] = {}
        for p in self.prices:
            if p.domain == domain:
                own = found.setdefault(p.cost, [])
                if p.gains and p.told and p.gain and p.loss is not None:
                    own.append(p)
        return {
            cost: sorted(own, key=lambda p: (max(p.loss or 0.0, 0.0) / (p.gain or 1.0), -(p.gain or 0.0), p.way))
            for cost, own in found.items()
        }

    def undominated(self, domain: str) -> list[str]:
        """The ways that gain and that no other beats: by as much gain or more, at no higher loss told of both."""
        losses: dict[str, dict[str, float]] = {}
        gains: dict[str, float] = {}
        for p in self.prices:
            if p.domain == domain and p.gains and p.gain is not None:
                gains[p.way] = p.gain
                own = losses.setdefault(p.way, {})
                if p.told and p.loss is not None:
                    own[p.cost] = p.loss
        return [way for way in gains if not any(_beats(o, way, gains, losses) for o in gains if o != way)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "schema": SCHEMA,
            "package": __version__,
            "base": self.base,
            "ways": list(self.ways),
            "spent": {way: dict(own) for way, own in self.spent.items()},
            "prices": [asdict(p) for p in self.prices],
            "cheapest": {d: self.cheapest(d) for d in self.domains},
            "surely": {d: self.surely(d) for d in self.domains},
            "undominated": {d: self.undominated(d) for d in self.domains},
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the surface as JSON, and write it where a path is given."""
        return written(json.dumps(self.to_dict(), sort_keys=True, indent=1, allow_nan=False) + "\n", path)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the tables as Markdown, and write them where a path is given."""
        from diversity.reports.trade import markdown

        return written(markdown(self), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return charts and tables as one self-contained page, and write it where a path is given."""
        from diversity.reports.trade import html

        return written(html(self), path)


def _dearest(price: Price) -> float:
    """The highest price a point gained that the intervals allow."""
    if price.loss_high is None or not price.gain_low:
        return math.inf
    return max(price.loss_high, 0.0) / price.gain_low


def _lowest(price: Price) -> float:
    """The lowest price a point gained that the intervals allow."""
    if price.loss_low is None or not price.gain_high:
        return 0.0
    return max(price.loss_low, 0.0) / price.gain_high


def _beats(one: str, other: str, gains: Mapping[str, float], losses: Mapping[str, Mapping[str, float]]) -> bool:
    shared = losses[one].keys() & losses[other].keys()
    if not shared or gains[one] < gains[other] or any(losses[one][c] > losses[other][c] for c in shared):
        return False
    return gains[one] > gains[other] or any(losses[one][c] < losses[other][c] for c in shared)


def trade(audits: Mapping[str, Audit], labels: Mapping[str, Mapping[str, float | str]] | None = None) -> Trade:
    """Lay the audits of several ways of adapting one base side by side.

    Parameters
    ----------
    audits : mapping of a way's name to its Audit
        All of the same base checkpoint.
    labels : mapping of a way's name to what it spends, optional
        Such as ``{"rank 8": {"steps": 200, "adapter MB": 3.7}}``.

    Raises
    ------
    InputError, NotComparable
        Fewer than two ways; another base; a label of a way that is none; no tuned domain whose outputs were judged.
    """
    if len(audits) < 2:
        raise InputError(f"{len(audits)} audit given: a trade surface needs two ways of adapting or more")
    if unknown := sorted(set(labels or {}) - set(audits)):
        raise InputError(f"a label is of '{unknown[0][:80]}', which is no way: they are {', '.join(audits)[:160]}")
    bases = {a.pre for a in audits.values()}
    if len(bases) > 1:
        raise NotComparable(f"the audits start from {', '.join(sorted(bases))[:160]}: give audits of one base")
    prices = []
    for way, found in audits.items():
        for gain in found.cells:
            if gain.probe == "quality" and gain.place == TUNED:
                prices += [
                    _price(way, gain, cell, sign)
                    for cell in found.cells
                    for probe, begins, sign in COSTS
                    if cell.probe == probe and cell.measure.startswith(begins) and cell.place in {TUNED, OUTSIDE}
                ]
    if not prices:
        raise InputError(
            "no audit has a tuned domain with a quality check: audit with --tuned a domain that was sampled"
        )
    spent = {
        way: {f"tokens an output, {d}": post for d, (_, post) in found.settings.get("output_tokens", {}).items()}
        | dict((labels or {}).get(way, {}))
        for way, found in audits.items()
    }
    return Trade(base=bases.pop(), ways=tuple(audits), prices=tuple(prices), spent=spent)


def _price(way: str, gain: Cell, cell: Cell, sign: int) -> Price:
    ends = [None if end is None else sign * end for end in (cell.low, cell.high)]
    low, high = ends if sign > 0 else reversed(ends)
    return Price(
        way=way,
        domain=gain.domain,
        cost=f"{cell.probe}, {cell.measure.removesuffix(' (primary)')} in {cell.domain}",
        gain=gain.shift,
        gain_low=gain.low,
        gain_high=gain.high,
        loss=None if cell.shift is None else sign * cell.shift,
        loss_low=low,
        loss_high=high,
        gains=gain.low is not None and gain.low > 0,
        told=cell.verdict != "cannot tell",
    )

"""Temperature sweeps beside a comparison: diversity against validity, and the temperature that a shift amounts to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from diversity.embedding import Embedder
from diversity.errors import InputError, NotComparable
from diversity.scoring import ALL, Progress, score
from diversity.shift import amended, counts_shown, how_sampled, prompts_shown
from diversity.stats import Array, Estimate, effective, log_ratio, mean_difference
from diversity.tables import Samples

AT = re.compile(r" T=[^ ]+$")  # how a sweep names its checkpoints: NAME T=0.6
MUST_AGREE = ("top_p", "max_tokens")
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Point:
    """One checkpoint at one temperature; `temperature` is None where it was not recorded."""

    side: str
    checkpoint: str
    temperature: float | None
    frame: pl.DataFrame
    is_own: bool  # one of the two that are compared, not one of a sweep

    @property
    def key(self) -> str:
        return f"{self.side} {self.temperature}"


def along(
    pre: pl.DataFrame,
    post: pl.DataFrame,
    sweeps: Sequence[Samples],
    *,
    names: tuple[str, str],
    metrics: Sequence[str],
    settings: Mapping[str, Any],
    signed: Mapping[tuple[str, str], str],
    embedder: Embedder | str | None,
    execute: bool | str,
    allow_settings_differ: bool,
    progress: Progress | None,
) -> tuple[Rows, Rows]:
    """Return the rows of `Shift.frontier` and `Shift.equivalents`.

    Parameters
    ----------
    pre, post : polars.DataFrame
        The two sides of the comparison.
    sweeps : sequence of Samples
        The same checkpoints at other temperatures, told by their names: "NAME T=0.6" belongs to the side NAME.
    names : (str, str)
        What the comparison calls the two sides.
    metrics : sequence of str
        The headline similarities to measure.
    signed : mapping of (domain, facet) to str
        The signature of each headline of the comparison, which those of these rows are made of.
    """
    points = _points((pre, post), sweeps, names, allow_settings_differ=allow_settings_differ)
    key = ["domain", "prompt_id"]
    swept = pl.concat([p.frame.select(key) for p in points if not p.is_own]).unique()
    table = pl.concat(
        [p.frame.join(swept, on=key, how="semi").with_columns(checkpoint=pl.lit(p.key)) for p in points], how="diagonal"
    )
    scored = score(
        Samples.of(table),
        metrics=[*metrics, "valid"],
        conditions=[ALL],
        embedder=embedder,
        execute=execute,
        progress=progress,
    ).frame
    frontier: Rows = []
    equivalents: Rows = []
    headlines = scored.filter(pl.col("metric").str.ends_with(".similarity"))
    for (domain, facet), rows in sorted(headlines.group_by(["domain", "facet"]), key=lambda g: g[0]):
        valid = scored.filter((pl.col("domain") == domain) & (pl.col("metric") == "valid"))
        where = {"domain": domain, "facet": facet}
        if (str(domain), str(facet)) not in signed:
            continue  # pre and post have too few prompts in common
        own = amended(signed[str(domain), str(facet)], holm=None)  # no p belongs to these rows, and so no family
        frontier += [where | row for row in _frontier(points, rows, valid, settings, own)]
        if (found := _equivalent(points, rows, settings, own)) is not None:
            equivalents.append(where | found)
    return frontier, equivalents


def _points(
    sides: tuple[pl.DataFrame, pl.DataFrame],
    sweeps: Sequence[Samples],
    names: tuple[str, str],
    *,
    allow_settings_differ: bool,
) -> list[_Point]:
    points: dict[tuple[str, float | None], _Point] = {}
    bases: dict[str, tuple[str, pl.DataFrame]] = {}
    for side, frame, name in zip(("pre", "post"), sides, names, strict=True):
        # Two runs of one checkpoint: the sweep tells what pre would have to be.
        bases.setdefault(AT.sub("", frame["checkpoint"][0]), (side, frame))
        points[side, _temperature(frame)] = _Point(side, name, _temperature(frame), frame, is_own=True)
    for samples in sweeps:
        for (given,), frame in sorted(samples.frame.group_by(["checkpoint"], maintain_order=True), key=lambda g: g[0]):
            checkpoint = str(given)
            side, own = bases.get(AT.sub("", checkpoint), ("", frame))
            if not side:
                raise InputError(
                    f"the sweep holds '{checkpoint[:80]}', which is neither of the two that are compared "
                    f"({', '.join(bases)[:160]}): sample it with --name as it is called there"
                )
            temperature = _temperature(frame)
            if temperature is None:
                raise InputError(
                    f"the sweep's '{checkpoint[:80]}' has no temperature, or several: give the column temperature"
                )
            for setting in () if allow_settings_differ else MUST_AGREE:
                a, b = _setting(own, setting), _setting(frame, setting)
                if a is not None and b is not None and a != b:
                    raise NotComparable(
                        f"{side} was sampled at {setting} {a}, its sweep at {b}: sample one of them again, or pass "
                        "--allow-settings-differ"
                    )
            known = points.get((side, temperature))
            if known is None:
                points[side, temperature] = _Point(side, checkpoint, temperature, frame, is_own=False)
            elif not known.is_own:
                raise InputError(f"the sweep holds {side} at temperature {temperature:g} twice: give it once")
    found = list(points.values())
    if all(point.is_own for point in found):
        raise InputError("the sweep holds no other temperature than those that are compared: sample some")
    return found


def _setting(frame: pl.DataFrame, column: str) -> Any:
    values: list[Any] = frame[column].unique().to_list() if column in frame.columns else []
    return values[0] if len(values) == 1 else None


def _temperature(frame: pl.DataFrame) -> float | None:
    value = _setting(frame, "temperature")
    return None if value is None else float(value)


def _values(points: Sequence[_Point], rows: pl.DataFrame) -> tuple[Array, pl.Series]:
    """Values of each point, shape (points, prompts), on the prompts that all of them have a value for; and those."""
    wide = rows.drop_nulls("value").pivot("checkpoint", index="prompt_id", values="value").sort("prompt_id")
    if any(p.key not in wide.columns for p in points):
        return np.empty((len(points), 0)), wide["prompt_id"].clear()
    wide = wide.select("prompt_id", *(p.key for p in points)).drop_nulls()
    table: Array = wide.drop("prompt_id").to_numpy().T
    return table, wide["prompt_id"]


def _signed(own: str, points: Sequence[_Point], rows: pl.DataFrame, prompts: pl.Series, row: str) -> str:
    """The signature of a row over these points: two of them where it is about two."""
    read = rows.filter(
        pl.col("checkpoint").is_in([p.key for p in points]) & pl.col("prompt_id").is_in(prompts.implode())
    )
    sampling = [
        {long: _setting(p.frame, long) for long in ("temperature", "top_p", "max_tokens", "seed")} for p in points
    ]
    told = {"prompts": prompts_shown(prompts), "n": counts_shown(read["n"])}
    return amended(own, **told, **how_sampled(sampling[0], sampling[-1]), of="sweep", row=row)


def _frontier(
    points: Sequence[_Point], rows: pl.DataFrame, valid: pl.DataFrame, settings: Mapping[str, Any], signed: str
) -> list[dict[str, Any]]:
    """Effective number and validity of each point, a side on the prompts that all its temperatures share."""
    m, options = settings["m"], {"seed": settings["seed"]}
    found = []
    for side in ("pre", "post"):
        own = sorted((p for p in points if p.side == side), key=lambda p: (p.temperature is None, p.temperature))
        (similar, prompts), (valid_share, _) = _values(own, rows), _values(own, valid)
        count = similar.shape[1]
        for i, point in enumerate(own if count else ()):
            row: dict[str, Any] = {
                "side": side,
                "checkpoint": point.checkpoint,
                "temperature": point.temperature,
                "n_prompts": count,
            }
            row |= dict.fromkeys(("low", "high", "validity", "validity_low", "validity_high"))
            row["effective"] = float(effective(similar[i].mean(), m))
            if valid_share.size:
                row["validity"] = float(valid_share[i].mean())
            if count > 1:
                # Against answers that share nothing, whose effective number is m itself.
                low, high = log_ratio(np.zeros(count), similar[i], m=m, **options).interval
                row |= {"low": max(1.0, m * math.exp(low)), "high": min(float(m), m * math.exp(high))}
            if valid_share.shape[1] > 1:
                share = valid_share[i]
                low, high = mean_difference(np.zeros_like(share), share, **options).interval
                row |= {"validity_low": max(0.0, low), "validity_high": min(1.0, high)}
            at = "own" if point.is_own else f"{point.temperature:g}"
            row["signature"] = _signed(signed, [point], rows, prompts, f"frontier.{side}.{at}")
            found.append(row)
    return found


def _equivalent(
    points: Sequence[_Point], rows: pl.DataFrame, settings: Mapping[str, Any], signed: str
) -> dict[str, Any] | None:
    pre = sorted((p for p in points if p.side == "pre" and p.temperature is not None), key=lambda p: p.temperature or 0)
    if len(pre) < 2:
        return None
    (post,) = (p for p in points if p.side == "post" and p.is_own)
    values, prompts = _values([*pre, post], rows)
    temperatures = np.array([p.temperature for p in pre], dtype=float)
    if values.shape[1] < 2:
        return None
    options = {"m": settings["m"], "seed": settings["seed"]}
    return {
        "at": post.temperature,
        **equivalent(temperatures, values[:-1], values[-1], **options),
        "n_prompts": values.shape[1],
        "lowest": float(temperatures[0]),
        "highest": float(temperatures[-1]),
        "signature": _signed(signed, [*pre, post], rows, prompts, "equivalent"),
    }


def equivalent(temperatures: Array, pre: Array, post: Array, *, m: int = 16, seed: int = 0) -> dict[str, Any]:
    """Temperature at which one checkpoint would be as diverse as another is.

    Parameters
    ----------
    temperatures : array of shape (k,), ascending
    pre : array of shape (k, prompts)
        Mean similarity of each prompt's answers at each temperature.
    post : array of shape (prompts,)
        The other checkpoint's, of the same prompts.

    Returns
    -------
    dict
        `temperature`, None where it lies `outside` the sweep ("below" or "above"). `low` and `high` are its 95 %
        interval; an end outside the sweep is None.

    Notes
    -----
    The similarity averaged over prompts is made monotone in the temperature (isotonic regression) and interpolated by
    a monotone cubic (Fritsch and Carlson 1980). The interval holds the temperatures at which the 95 % interval of the
    log ratio of the two effective numbers, over prompts, holds 0: what the verdict asks, at each temperature.
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.optimize import brentq, isotonic_regression

    means = pre.mean(axis=1)
    steps = 1e-6 * np.vstack([np.eye(len(means)), -np.eye(len(means))])
    # The curve of the means, then those with one mean a little higher or lower: its slope in each of them.
    curves = np.array(
        [isotonic_regression(near, increasing=False).x for near in np.vstack([means[None], means + steps])]
    )
    curve = PchipInterpolator(temperatures, curves, axis=1)

    def against(temperature: float) -> Estimate:
        at = curve(temperature)
        weights = (at[1 : len(means) + 1] - at[len(means) + 1 :]) / 2e-6
        one = weights @ pre
        return log_ratio(one + (at[0] - one.mean()), post, m=m, seed=seed)

    coolest, hottest = float(temperatures[0]), float(temperatures[-1])
    at_coolest, at_hottest = against(coolest), against(hottest)

    def root(read: Any, first: float, last: float) -> float:
        return float(brentq(lambda t: read(against(t)), first, last, xtol=1e-4))

    found: dict[str, Any] = {"temperature": None, "low": None, "high": None, "outside": None}
    if at_coolest.estimate < 0:
        found["outside"] = "below"
    elif at_hottest.estimate > 0:
        found["outside"] = "above"
    else:
        found["temperature"] = root(lambda e: e.estimate, coolest, hottest)
    for end, side in (("low", 0), ("high", 1)):
        # An interval that holds 0 at the margin of the sweep goes on beyond it, and has no end here.
        if at_coolest.interval[side] > 0 > at_hottest.interval[side]:
            found[end] = root(lambda e, side=side: e.interval[side], coolest, hottest)
    return found

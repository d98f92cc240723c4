"""How many prompts and samples a wanted sensitivity needs, told from a pilot's scores."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import polars as pl

from diversity.errors import InputError, NotComparable
from diversity.shift import REFERENCE_SIZE
from diversity.stats import FLOOR, MARGIN, PROVISIONAL, Array
from diversity.tables import Scores

SIZES = (4, 8, 16, 32, 64)
FEWEST = 10  # prompts below which a spread over prompts says little

PLAN: dict[str, pl.DataType] = {
    "domain": pl.String(),
    "facet": pl.String(),
    "n": pl.Int32(),
    "prompts": pl.Int32(),
    "outputs": pl.Int32(),
    "prompts_for_no_change": pl.Int32(),
    "detectable": pl.Float64(),
    "between_prompts": pl.Float64(),
    "within_prompt": pl.Float64(),
    "pilot_prompts": pl.Int32(),
    "pilot_n": pl.Float64(),
}


def plan(
    pilot: Scores,
    *,
    shift: float = 0.10,
    power: float = 0.80,
    margin: float = MARGIN,
    sizes: Sequence[int] = SIZES,
) -> pl.DataFrame:
    """Tell, per domain, facet and number of samples, how many prompts detect a shift, and how many show there is none.

    Parameters
    ----------
    pilot : Scores
        Of two checkpoints, 10 prompts or more, with the headline similarities.
    shift : float
        The relative change of the effective number to detect, such as 0.1 for 10 %.
    power : float
        Chance of detecting it at the two-sided 5 % level.
    margin : float
        The material margin within which "no material change" is to be shown, were there none.
    sizes : sequence of int
        Samples a prompt to plan for.

    Returns
    -------
    polars.DataFrame
        One row a domain x facet x n. `prompts` and `outputs` (of one checkpoint) for the shift,
        `prompts_for_no_change` for equivalence. `detectable` is the relative change that the pilot's own number of
        prompts would detect at that n. `between_prompts` and `within_prompt` are the variances on the log scale of
        one prompt's shift: what more samples cannot lower, and what they can (at that n).

    Raises
    ------
    InputError, NotComparable
        Settings out of range; another number of checkpoints than two, or too small a pilot.

    Notes
    -----
    The variance of a prompt's shift is the spread between prompts plus the noise of finite n, which the delete-one
    jackknife of each pair mean estimates. That noise falls between 1/n and 1/n^2; of the two the one that asks for
    more prompts is used. Equal variances before and after the shift are assumed.
    """
    for what, value in (("shift", shift), ("power", power), ("margin", margin)):
        if not 0 < value < 1:
            raise InputError(f"{what} is {value:g}: give a fraction between 0 and 1, such as 0.1")
    if not sizes or min(sizes) < 2:
        raise InputError("sizes must be 2 or more: diversity within a prompt needs 2 outputs")
    frame = pilot.frame.filter((pl.col("condition") == "all") & pl.col("metric").str.ends_with(".similarity"))
    names = frame["checkpoint"].unique().sort().to_list()
    if len(names) != 2:
        raise NotComparable(f"the pilot holds {len(names)} checkpoints with headline scores: give the scores of two")
    key = ["domain", "facet", "prompt_id"]
    one, other = (frame.filter(pl.col("checkpoint") == name).select(*key, "value", "se", "n") for name in names)
    paired = one.join(other, on=key, suffix="_post").drop_nulls(["value", "value_post", "se", "se_post"])
    rows = []
    small = []
    for (domain, facet), group in sorted(paired.group_by(["domain", "facet"]), key=lambda g: g[0]):
        if len(group) < FEWEST:
            small.append(f"{len(group)} prompts in {domain}/{facet}")
            continue
        between, within, size = _variances(group)
        for n in sizes:
            noise = within * _falls(size, n)
            spread = between + noise
            prompts = needed(spread, math.log1p(shift), power)
            rows.append(
                {
                    "domain": domain,
                    "facet": facet,
                    "n": n,
                    "prompts": prompts,
                    "outputs": prompts * n,
                    "prompts_for_no_change": needed(spread, math.log1p(margin), power, equivalence=True),
                    "detectable": math.expm1(detectable(spread, len(group), power)),
                    "between_prompts": between,
                    "within_prompt": noise,
                    "pilot_prompts": len(group),
                    "pilot_n": size,
                }
            )
    if not rows:
        found = ", ".join(small) or "no prompt with headline scores of 3 answers or more on both sides"
        raise NotComparable(f"the pilot has {found}: sample {FEWEST} prompts or more")
    if small:
        warnings.warn(
            f"left out, since the pilot has only {', '.join(small)}: sample {FEWEST} or more", UserWarning, stacklevel=2
        )
    return pl.DataFrame(rows, schema=pl.Schema(PLAN))


def _variances(group: pl.DataFrame) -> tuple[float, float, float]:
    """Variance of a prompt's shift on the log scale, between prompts and by finite n, and the pilot's n."""
    values = group.select("value", "value_post").to_numpy()
    errors = group.select("se", "se_post").to_numpy()
    m = REFERENCE_SIZE
    scale: Array = (m - 1) / (1 + (m - 1) * values.mean(axis=0).clip(0))
    influence = values * scale
    noise = float(((errors * scale) ** 2).sum(axis=1).mean())
    total = float((influence[:, 0] - influence[:, 1]).var(ddof=1))
    sizes = group.select("n", "n_post").to_numpy().astype(float)
    return max(0.0, total - noise), noise, float(1 / (1 / sizes).mean())


def _falls(pilot: float, n: int) -> float:
    """Factor on the noise when n samples a prompt take the place of the pilot's."""
    return max(pilot / n, pilot * (pilot - 1) / (n * (n - 1))) if n < pilot else pilot / n


def needed(variance: float, shift: float, power: float, *, equivalence: bool = False) -> int:
    """Prompts that detect a shift with the power at two-sided 5 %, or show by two one-sided tests that there is none.

    Parameters
    ----------
    variance : float
        Of one prompt's shift, on the scale of `shift`.
    shift : float
        What is to be detected or, for equivalence, ruled out.

    Returns
    -------
    int, 10 or more
        Student's t in place of the normal, found by iteration.
    """
    from scipy.stats import norm, t

    level, wanted = (0.95, (1 + power) / 2) if equivalence else (0.975, power)
    prompts = variance * ((norm.ppf(level) + norm.ppf(wanted)) / shift) ** 2
    for _ in range(20):
        degrees = max(1.0, prompts - 1)
        prompts = variance * ((t.ppf(level, degrees) + t.ppf(wanted, degrees)) / shift) ** 2
    return max(FLOOR, math.ceil(float(prompts)))


def detectable(variance: float, prompts: int, power: float) -> float:
    """Return the shift that so many prompts detect with the power, on the log scale."""
    from scipy.stats import t

    return float((t.ppf(0.975, prompts - 1) + t.ppf(power, prompts - 1)) * math.sqrt(variance / prompts))


def advice(table: pl.DataFrame) -> list[str]:
    """Say for each domain and facet what is cheapest, in a line."""
    lines = []
    for (domain, facet), group in sorted(table.group_by(["domain", "facet"]), key=lambda g: g[0]):
        best = group.sort("outputs", "n").row(0, named=True)
        rules = "more prompts, not more samples" if _is_between(group) else "more prompts or more samples"
        provisional = f"; below {PROVISIONAL} prompts a verdict is provisional" if best["prompts"] < PROVISIONAL else ""
        lines.append(
            f"{domain} {facet}: {best['prompts']} prompts x {best['n']} samples is the least "
            f"({best['outputs']:,} outputs a checkpoint); {rules} would help{provisional}"
        )
    return lines


def _is_between(group: pl.DataFrame) -> bool:
    row = group.sort((pl.col("n") - 16).abs()).row(0, named=True)
    return bool(np.greater(row["between_prompts"], row["within_prompt"]))

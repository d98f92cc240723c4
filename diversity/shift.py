"""Scores -> Shift: what changed between two checkpoints, how sure that is, and the verdict."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from diversity import __version__
from diversity.corpus import ALL_PROMPTS
from diversity.drilldown import check_choice, kept_of
from diversity.errors import InputError, NotComparable
from diversity.files import written
from diversity.probes import metrics_for, probed
from diversity.registry import Metric, domain_of, find_metric
from diversity.scoring import (
    ALL,
    ARROW,
    CONDITIONS,
    DEDUPLICATED,
    MATCHED,
    Look,
    Panel,
    Progress,
    scored,
    wanted_metrics,
)
from diversity.stats import (
    FLOOR,
    MARGIN,
    PROVISIONAL,
    Estimate,
    benjamini_hochberg,
    beyond_noise,
    drop_out,
    effect_size,
    effective,
    heterogeneity,
    heterogeneity_p,
    holm,
    influence,
    is_heterogeneous,
    jackknife,
    log_ratios,
    mean_differences,
    prompts_to_decide,
    sign_flips,
    verdict,
    wilson,
)
from diversity.tables import SCORES_KEY, SHIFT, Samples, Scores
from diversity.views import NO_BEHAVIOUR

if TYPE_CHECKING:
    from diversity.embedding import Embedder
    from diversity.faithfulness import Faithfulness
    from diversity.probes import Cell
    from diversity.reports.figures import Plots

SCHEMA = 2
REFERENCE_SIZE = 16
SETTINGS_THAT_MUST_AGREE = ("temperature", "top_p", "max_tokens")
EXAMPLE_PROMPTS, EXAMPLE_OUTPUTS, EXAMPLE_CHARACTERS = 3, 16, 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """The shift in diversity between two checkpoints, per domain.

    Attributes
    ----------
    frame : polars.DataFrame
        The Shift table: one row a domain x metric x condition (columns in `diversity.tables.SHIFT`).
        A facet's headline row (`lexical.effective` …) has effective numbers in `pre` and `post`, their log ratio in
        `shift`, `ci_low` and `ci_high`, which is the declared scale of the verdict, and post minus pre of the mean
        dissimilarity in `difference`; other rows are post minus pre in the metric's own unit.
    judged : polars.DataFrame
        One row a domain x facet; see `verdicts`.
    prompts : list of dict
        Per prompt: its text, and pre and post of every headline facet and guard.
    examples : list of dict
        Outputs of the prompts that shifted most.
    drilldown : list of dict
        What a reader needs to look at single prompts: their outputs and what `diversity.drilldown` says of them.
    frontier : list of dict
        With a sweep: effective number and share of valid outputs of each side at each temperature, with intervals;
        one a domain x facet x side x temperature.
    equivalents : list of dict
        With a sweep of pre: the temperature at which pre would be as diverse as post is, one a domain x facet.
        `outside` says that it lies "below" or "above" the sweep; an end of its interval that does is None.
    probes : list of dict
        What the probes of hidden costs say, where the samples allow them: a `diversity.probes.Cell` each.
    pre, post : str
        Names of the two checkpoints.
    settings, provenance : dict
        What a figure depends on.
    """

    frame: pl.DataFrame
    judged: pl.DataFrame
    pre: str
    post: str
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
    prompts: Sequence[Mapping[str, Any]] = field(default_factory=list)
    examples: Sequence[Mapping[str, Any]] = field(default_factory=list)
    drilldown: Sequence[Mapping[str, Any]] = field(default_factory=list)
    frontier: Sequence[Mapping[str, Any]] = field(default_factory=list)
    equivalents: Sequence[Mapping[str, Any]] = field(default_factory=list)
    probes: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def table(self) -> pl.DataFrame:
        """Return the whole Shift table."""
        return self.frame

    def verdicts(self) -> pl.DataFrame:
        """Return one row a domain x facet: effective numbers, interval, verdict, and what to hold against it.

        `relative`, `relative_low` and `relative_high` are the change of the effective number as a fraction.
        `runs` says whether the shift goes with or against what the domain rewards. `confounded_by` names
        conditions under which the sign flips, `lost_under` those under which the verdict is not reached,
        `untested_under` those that leave too few prompts to tell. Without copies ("deduplicated") a verdict can only
        be lost: it was carried by them.

        `prompts_lost` are `prompts_missing` (sampled on one side only) and `prompts_too_few` (without a score, mostly
        for want of two answers); `drop_out` says that they may matter, `bound_low` and `bound_high` what the relative
        change were, had all of them narrowed or widened as far as can be. `share_narrowed` is the share of prompts
        that narrowed, ties counted half, `clearly_narrowed` and `clearly_widened` those beyond their own noise,
        `heterogeneity_p` tests a common shift, `drivers` are the prompts that carry most of it. The data exclude a
        relative change below `excluded_narrowing` or above `excluded_widening`.
        """
        return self.judged

    def guards(self) -> pl.DataFrame:
        """Return the rows of the Shift table that say what else changed: length, validity, duplicates and so on."""
        return self.frame.filter(pl.col("facet") == "guard")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; `Shift.from_dict` is the way back."""
        return {
            "schema": SCHEMA,
            "package": __version__,
            "pre": self.pre,
            "post": self.post,
            "settings": dict(self.settings),
            "provenance": dict(self.provenance),
            "shift": self.frame.to_dicts(),
            "verdicts": self.judged.to_dicts(),
            "prompts": list(self.prompts),
            "examples": list(self.examples),
            "drilldown": list(self.drilldown),
            "frontier": list(self.frontier),
            "equivalents": list(self.equivalents),
            "probes": list(self.probes),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Shift:
        """Make a Shift of what `to_dict` gave; raises `InputError` for another schema."""
        if record.get("schema") != SCHEMA:
            raise InputError(f"this shift has schema {record.get('schema')!r}, not {SCHEMA}: compare again")
        return cls(
            frame=pl.DataFrame(record["shift"], schema=pl.Schema(SHIFT)),
            judged=pl.DataFrame(record["verdicts"], schema=pl.Schema(JUDGED)),
            pre=record["pre"],
            post=record["post"],
            settings=record["settings"],
            provenance=record["provenance"],
            prompts=record["prompts"],
            examples=record["examples"],
            drilldown=record["drilldown"],
            frontier=record["frontier"],
            equivalents=record["equivalents"],
            probes=record.get("probes", []),  # a shift written before there were any
        )

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the shift as JSON, and write it where a path is given. Equal inputs give equal bytes."""
        text = json.dumps(self.to_dict(), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
        return written(text, path)

    @classmethod
    def read(cls, path: str | Path) -> Shift:
        """Read what `to_json` wrote; raises `InputError`."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file: check the path") from None
        except (ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
            if isinstance(error, InputError):
                raise InputError(f"{path}: {error}") from None
            raise InputError(f"{path}: not a shift that `diversity compare --out` wrote: compare again") from None

    def to_html(self, path: str | Path | None = None, *, outputs: str = "all") -> str:
        """Return the report as one self-contained HTML page, and write it where a path is given.

        `outputs` says of which prompts the page carries the outputs, among those the shift holds: "all", "top" (the
        ten most shifted of each domain) or "none".
        """
        from diversity.reports.html import render

        text: str = render(self, outputs=outputs)
        return written(text, path)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the verdicts as Markdown, and write them where a path is given."""
        from diversity.reports.markdown import render

        text: str = render(self)
        return written(text, path)

    def to_model_card(self, path: str | Path | None = None) -> str:
        """Return the block of a Hugging Face model card: `model-index` metadata and a paragraph a domain."""
        from diversity.reports.model_card import render

        text: str = render(self)
        return written(text, path)

    @property
    def plot(self) -> Plots:
        """The figures of the report one by one, as SVG text: `shift.plot.forest("forest.svg")`."""
        from diversity.reports.figures import Plots

        return Plots(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the sentence of every domain, and the forest plot."""
        from diversity.reports.figures import notebook

        text: str = notebook(self)
        return text


JUDGED: dict[str, pl.DataType] = {
    "domain": pl.String(),
    "noun": pl.String(),
    "facet": pl.String(),
    "primary": pl.Boolean(),
    "n_prompts": pl.Int32(),
    "prompts_lost": pl.Int32(),
    "prompts_missing": pl.Int32(),
    "prompts_too_few": pl.Int32(),
    "drop_out": pl.Boolean(),
    "bound_low": pl.Float64(),
    "bound_high": pl.Float64(),
    "n_outputs": pl.Int32(),
    "pre": pl.Float64(),
    "post": pl.Float64(),
    "relative": pl.Float64(),
    "relative_low": pl.Float64(),
    "relative_high": pl.Float64(),
    "p": pl.Float64(),
    "p_adjusted": pl.Float64(),
    "difference": pl.Float64(),
    "difference_low": pl.Float64(),
    "difference_high": pl.Float64(),
    "effect_size": pl.Float64(),
    "share_narrowed": pl.Float64(),
    "share_low": pl.Float64(),
    "share_high": pl.Float64(),
    "clearly_narrowed": pl.Float64(),
    "clearly_widened": pl.Float64(),
    "heterogeneity": pl.Float64(),
    "heterogeneity_p": pl.Float64(),
    "heterogeneous": pl.Boolean(),
    "drivers": pl.List(pl.String()),
    "excluded_narrowing": pl.Float64(),
    "excluded_widening": pl.Float64(),
    "verdict": pl.String(),
    "provisional": pl.Boolean(),
    "rewards": pl.String(),
    "runs": pl.String(),
    "confounded_by": pl.List(pl.String()),
    "lost_under": pl.List(pl.String()),
    "untested_under": pl.List(pl.String()),
    "prompts_to_decide": pl.Int32(),
    "signature": pl.String(),
}


def compare(
    pre: Samples | Scores | pl.DataFrame,
    post: Samples | Scores | pl.DataFrame,
    *,
    metrics: str | Sequence[str] = "default",
    conditions: Sequence[str] = CONDITIONS,
    embedder: Embedder | str | None = None,
    margin: float = MARGIN,
    seed: int = 0,
    allow_settings_differ: bool = False,
    execute: bool | str = False,
    outputs: str | None = None,
    sweep: Samples | Sequence[Samples] = (),
    tuned: str | Sequence[str] = (),
    faithful: Sequence[Faithfulness | Cell] = (),
    progress: Progress | None = None,
) -> Shift:
    """Compare a checkpoint before tuning with one after, prompt by prompt.

    Parameters
    ----------
    pre, post : Samples, Scores or polars.DataFrame
        One checkpoint each. Samples are scored here, both sides together.
    metrics, conditions, embedder, execute, progress
        As in `score`. Without the conditions "valid" and "length-matched" no verdict can be marked confounded.
    margin : float
        The material margin: the smallest relative change of the effective number that matters.
    seed : int
        Seed of the permutation.
    allow_settings_differ : bool
        Compare although temperature, top-p or the token limit differ.
    outputs : "all", "top" or "none", optional
        Of which prompts the outputs are kept for the report: all, the ten most shifted of each domain, or none.
        Default: all, or the top where they have more than 32 million characters.
    sweep : Samples or several
        The same checkpoints at other temperatures, named "NAME T=0.6" as `sample` does: gives `Shift.frontier` and,
        of pre, `Shift.equivalents`.
    tuned : str or sequence of str, optional
        Domains that the checkpoint was tuned for: the probes of hidden costs then tell inside from outside.
    faithful : sequence of Faithfulness or Cell
        What `diversity.faithfulness.faithfulness` found on the pair, one a domain, to stand among the probes.

    Returns
    -------
    Shift

    Raises
    ------
    InputError, NotComparable, UnknownName
        Bad tables; no common prompt, one output a prompt, or other sampling settings; an unknown name.
    """
    if not 0 < margin < 1:
        raise InputError(f"margin is {margin}: give a fraction between 0 and 1, such as 0.1")
    check_choice(outputs)
    inside = (tuned,) if isinstance(tuned, str) else tuple(tuned)
    samples: pl.DataFrame | None = None
    hidden: Sequence[str] = ()
    looks: list[Look] = []
    sweeps = [sweep] if isinstance(sweep, Samples) else list(sweep)
    if sweeps and not all(isinstance(s, Samples) for s in (pre, post, *sweeps)):
        raise InputError("a sweep is measured anew beside pre and post: give Samples for all of them")
    if sweeps and any(m.needs == "vectors" for m in wanted_metrics(metrics)):
        embedder = _loaded(embedder)  # once, with what it has read
    if execute and (isinstance(pre, Scores) or isinstance(post, Scores)):
        raise InputError("scores hold no programs to execute: give samples, or execute when you score them")
    if isinstance(pre, Scores) and isinstance(post, Scores):
        between = pl.col("checkpoint").str.contains(ARROW, literal=True)
        before, after = (_one(s.frame.filter(~between), n) for s, n in ((pre, "pre"), (post, "post")))
        before, after = _apart(before, after)
        names = before["checkpoint"][0], after["checkpoint"][0]
        provenance = _joined(pre.provenance, post.provenance, names)
        # Scores between the two may stand in either table, or in both.
        shared = pl.concat([s.frame.filter(between) for s in (pre, post)]).unique(SCORES_KEY, maintain_order=True)
        scores = pl.concat([before, after, shared])
    elif isinstance(pre, Scores) or isinstance(post, Scores):
        raise InputError("one side is Samples and the other Scores: give two of a kind")
    else:
        pre, post = (s if isinstance(s, Samples) else Samples.of(s) for s in (pre, post))
        before, after = _apart(_one(pre.frame, "pre"), _one(post.frame, "post"))
        names = before["checkpoint"][0], after["checkpoint"][0]
        _check_prompts(before, after)
        samples = pl.concat([before, after], how="diagonal")
        both = Samples.of(samples, {"pre": dict(pre.provenance), "post": dict(post.provenance)})
        hidden = metrics_for(samples) if metrics == "default" else ()
        panel = Panel.of(both.frame, ("default", *hidden) if hidden else metrics, conditions, [names], None)
        panel = replace(panel, looks=None if outputs == "none" else names)
        found, looks = scored(both, panel, embedder=embedder, execute=execute, progress=progress)
        scores, provenance = found.frame, dict(found.provenance)
    told = probed(
        scores,
        names,
        tuned=inside,
        samples=samples,
        embedder=embedder,
        faithful=faithful,
    )
    if hidden:  # the probes' own measures are no part of the panel
        scores = scores.filter(pl.col("metric").is_in([m.name for m in wanted_metrics(metrics)]))
    if not allow_settings_differ:
        _check_settings(provenance["sampling"], names)
    settings = {
        "m": REFERENCE_SIZE,
        "margin": margin,
        "scale": "log ratio of effective numbers",
        "seed": seed,
        "level": 0.95,
        **({"tuned": list(inside)} if inside else {}),
    }
    shift = _compared(scores, names, settings, provenance, None if outputs == "none" else samples)
    # Of a chain of thought that was edited the outputs say nothing.
    cells = [asdict(cell) if cell.probe == "faithfulness" else _signed(cell, scores, names, shift) for cell in told]
    shift = replace(shift, probes=cells)
    if looks and samples is not None:
        shift = replace(shift, drilldown=kept_of(samples, names, looks, shift.prompts, outputs))
    if not sweeps:
        return shift
    from diversity.sweep import along

    frontier, equivalents = along(
        pre.frame,
        post.frame,
        sweeps,
        names=names,
        metrics=scores.filter(pl.col("metric").str.ends_with(".similarity"))["metric"].unique().sort().to_list(),
        settings=settings,
        signed={(r["domain"], r["facet"]): r["signature"] for r in shift.judged.iter_rows(named=True)},
        embedder=embedder,
        execute=execute,
        allow_settings_differ=allow_settings_differ,
        progress=progress,
    )
    return replace(
        shift,
        frontier=frontier,
        equivalents=equivalents,
        provenance={**provenance, "sweep": [dict(s.provenance) for s in sweeps]},
    )


def _signed(cell: Cell, scores: pl.DataFrame, names: tuple[str, str], shift: Shift) -> dict[str, Any]:
    """What a probe found, with the line from which it can be computed again."""
    sides = scores.filter(
        (pl.col("condition") == ALL)
        & pl.col("checkpoint").is_in(list(names))
        & ~pl.col("prompt_id").str.starts_with(ALL_PROMPTS)
    )
    # A figure over several domains is named after none of them.
    own = sides.filter(pl.col("domain") == cell.domain)
    own = sides if own.is_empty() else own
    ids = own.select(pl.col("domain") + "/" + pl.col("prompt_id")).to_series().unique()
    sampling = [shift.provenance.get("sampling", {}).get(name, {}) for name in names]
    parts = {
        "v": f"{__version__}.1",
        "dom": cell.domain,
        "cond": ALL,
        "prompts": f"{cell.n}#{prompts_shown(ids).partition('#')[2]}",
        "n": counts_shown(own["n"]),
        **{short: shown for short, shown in how_sampled(sampling[0], sampling[1]).items() if shown is not None},
        "extract": "+".join(f"{name}.{domain_of(name).version}" for name in own["domain"].unique().sort()),
        "ci": f"jackknife.{cell.groups}.t.95" if cell.groups else "envelope.t+el.95",
        "tuned": "+".join(quote(name, safe="") for name in shift.settings.get("tuned", ())) or None,
        "seed": "0",
        "of": "probes",
        "row": quote(f"{cell.measure}, {cell.domain}, {cell.place}", safe=""),
    }
    shown = [f"{short}:{value}" for short, value in parts.items() if value is not None]
    return asdict(replace(cell, signature="|".join([f"probe.{cell.probe}", *shown])))


def _loaded(embedder: Embedder | str | None) -> Embedder | str | None:
    from diversity.embedding import Embedder
    from diversity.errors import MissingExtra

    if embedder is None or isinstance(embedder, str):
        with suppress(MissingExtra):  # scoring says so
            return Embedder.load(embedder)
    return embedder


def _one(frame: pl.DataFrame, side: str) -> pl.DataFrame:
    names = frame["checkpoint"].unique().sort()
    if len(names) != 1:
        raise InputError(
            f"the {side} side holds {len(names)} checkpoints ({', '.join(names[:4])}): give one, or name it as "
            "FILE:CHECKPOINT"
        )
    return frame


def _apart(before: pl.DataFrame, after: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two runs of one checkpoint keep their sides apart by name."""
    if before["checkpoint"][0] != after["checkpoint"][0]:
        return before, after
    return (
        before.with_columns(pl.col("checkpoint") + " (pre)"),
        after.with_columns(pl.col("checkpoint") + " (post)"),
    )


def _check_prompts(before: pl.DataFrame, after: pl.DataFrame) -> None:
    for name in pl.concat([before["domain"], after["domain"]]).unique().sort():
        domain_of(name)
    key = ["domain", "prompt_id"]
    shared = before.select(key).unique().join(after.select(key).unique(), on=key)
    if shared.is_empty():
        one, other = before.row(0, named=True), after.row(0, named=True)
        raise NotComparable(
            f"pre and post share no prompt (pre has {one['domain']}/{one['prompt_id']}, post has "
            f"{other['domain']}/{other['prompt_id']}): sample both on the same prompts"
        )
    for side, frame in (("pre", before), ("post", after)):
        counts = frame.join(shared, on=key).group_by(key).len().sort(key)
        if counts["len"].max() == 1:
            prompt = counts.row(0, named=True)["prompt_id"]
            raise NotComparable(
                f"{side}: prompt '{prompt}' and all others have 1 output; diversity within a prompt needs 2 or "
                "more: sample with -n 16"
            )


def _check_settings(sampling: Mapping[str, Mapping[str, Any]], names: tuple[str, str]) -> None:
    pre, post = (sampling.get(name, {}) for name in names)
    for setting in SETTINGS_THAT_MUST_AGREE:
        a, b = pre.get(setting), post.get(setting)
        if a is not None and b is not None and a != b:
            raise NotComparable(
                f"pre was sampled at {setting} {a}, post at {b}: sample one of them again, or pass "
                "--allow-settings-differ"
            )


def _joined(pre: Mapping[str, Any], post: Mapping[str, Any], names: tuple[str, str]) -> dict[str, Any]:
    """Provenance of two score tables; what must agree for one number to follow from both is checked."""
    for what in ("package", "embedding", "domains", "execution"):
        if pre.get(what) != post.get(what):
            raise NotComparable(f"pre and post were scored with another {what}: score them again, together")
    sampling: dict[str, Any] = {}
    for name, side in zip(names, (pre, post), strict=True):
        for own, known in side.get("sampling", {}).items():
            if own == name or len(side["sampling"]) == 1:
                sampling[name] = known
    return {**pre, "sampling": sampling, "samples": {"pre": pre.get("samples"), "post": post.get("samples")}}


def _compared(
    scores: pl.DataFrame,
    names: tuple[str, str],
    settings: dict[str, Any],
    provenance: Mapping[str, Any],
    samples: pl.DataFrame | None,
) -> Shift:
    paired = _paired(scores, names)
    over_prompts = pl.col("prompt_id").str.starts_with(ALL_PROMPTS)
    between = scores.filter(pl.col("checkpoint") == ARROW.join(names)).sort(*GROUP, "prompt_id")
    across, paired = paired.filter(over_prompts), paired.filter(~over_prompts)
    known = _groups(paired.drop_nulls(["pre", "post"]))
    shared = _groups(between.filter(pl.col("value").is_not_null() & ~over_prompts))
    found = _estimates(known, shared, settings)

    def told(key: _Key) -> _Told:
        domain, metric, condition = key
        return _Told(find_metric(metric), domain, condition, settings, provenance, names)

    figures = [
        *((k, _within(told(k), known.get(k, group[:0]), found.get(k))) for k, group in _groups(paired).items()),
        *((k, _across(told(k), group)) for k, group in _groups(across).items()),
        *(
            (k, _between(told(k), group, shared.get(k, group[:0]), found.get(k)))
            for k, group in _groups(between).items()
        ),
    ]
    rows = [row for _, (row, _) in figures]
    estimates = {(domain, row["metric"], condition): estimate for (domain, _, condition), (row, estimate) in figures}
    _adjust(rows, estimates)
    frame = pl.DataFrame(rows, schema=pl.Schema(SHIFT))
    judged = _judged(rows, estimates, paired, settings)
    prompts = _per_prompt(paired, samples)
    return Shift(
        frame=frame,
        judged=judged,
        pre=names[0],
        post=names[1],
        settings=settings,
        provenance=provenance,
        prompts=prompts,
        examples=_examples(prompts, samples, names) if samples is not None else [],
    )


_Key = tuple[str, str, str]
_Groups = dict[_Key, pl.DataFrame]


GROUP = "domain", "metric", "condition"


def _groups(frame: pl.DataFrame) -> _Groups:
    """Scores by domain, metric and condition; the frame is sorted by them and by prompt."""
    found, begin = {}, 0
    for domain, metric, condition, count in frame.group_by(GROUP, maintain_order=True).len().iter_rows():
        # A slice costs nothing; each frame that `partition_by` makes is a query.
        found[domain, metric, condition] = frame.slice(begin, count)
        begin += count
    return found


def _estimates(known: _Groups, shared: _Groups, settings: Mapping[str, Any]) -> dict[_Key, tuple[Estimate, Estimate]]:
    """Estimate everything that each prompt has a score for, at once.

    Two estimates each: of a headline the log ratio and post minus pre of the mean dissimilarity, else the mean
    difference twice.
    """
    sides = {k: (g["pre"].to_numpy(), g["post"].to_numpy()) for k, g in known.items() if len(g) > 1}
    sides |= {k: (np.zeros(len(g)), g["value"].to_numpy()) for k, g in shared.items() if len(g) > 1}
    # Most conditions leave most outputs as they are: what is equal is estimated once.
    alike = {k: (find_metric(k[1]).headline, pre.tobytes(), post.tobytes()) for k, (pre, post) in sides.items()}
    different = {alike[k]: pair for k, pair in sides.items()}
    # Threads that wait for the next product would take as long as the products.
    with threadpool_limits(1, "blas"):
        p = sign_flips([post - pre for pre, post in different.values()], seed=settings["seed"])
    heads = {each: (pair, one) for (each, pair), one in zip(different.items(), p, strict=True) if each[0]}
    ratios = log_ratios([pair for pair, _ in heads.values()], m=settings["m"], p=[one for _, one in heads.values()])
    # Less similarity is more dissimilarity.
    pairs = [pair[::-1] if each[0] else pair for each, pair in different.items()]
    differences = dict(zip(different, mean_differences(pairs, p=p), strict=True))
    first = differences | dict(zip(heads, ratios, strict=True))
    return {k: (first[each], differences[each]) for k, each in alike.items()}


def _paired(scores: pl.DataFrame, names: tuple[str, str]) -> pl.DataFrame:
    """One row a domain x prompt x metric x condition with pre and post side by side, null where one is missing."""
    key = ["domain", "prompt_id", "metric", "facet", "condition"]
    sides = [
        scores.filter(pl.col("checkpoint") == name)
        .select(*key, "value", "se", "n", "note")
        .rename({"value": f"{side}", "se": f"{side}_se", "n": f"{side}_n", "note": f"{side}_note"})
        for name, side in zip(names, ("pre", "post"), strict=True)
    ]
    paired = sides[0].join(sides[1], on=key, how="full", coalesce=True).sort(*GROUP, "prompt_id")
    # Windows of different length are different conditions; scores made apart may carry them.
    apart = (pl.col("condition") == MATCHED) & (
        pl.col("pre_note").str.extract(r"first (\d+)") != pl.col("post_note").str.extract(r"first (\d+)")
    )
    return paired.filter(~apart.fill_null(value=False))


@dataclass(frozen=True, slots=True)
class _Told:
    """What a row of the Shift table is about, and what its figures depend on."""

    metric: Metric
    domain: str
    condition: str
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
    names: tuple[str, str]

    @property
    def name(self) -> str:
        name = self.metric.name
        return name.replace(".similarity", ".effective") if self.metric.headline else name

    def row(self, n_prompts: int, n_outputs: int | None, signed: Sequence[str]) -> dict[str, Any]:
        """Return a row without figures; `signed` is what the signature says of prompts, counts and interval."""
        row: dict[str, Any] = dict.fromkeys(SHIFT)
        return row | {
            "domain": self.domain,
            "metric": self.name,
            "facet": self.metric.facet,
            "unit": self.metric.unit,
            "condition": self.condition,
            "n_prompts": n_prompts,
            "n_outputs": n_outputs,
            "verdict": "inconclusive" if self.metric.higher_is != "neither" else None,
            "signature": self.signature(*signed),
        }

    def judged(self, estimate: Estimate, margin: float) -> dict[str, Any]:
        """Return the columns that every estimate fills; `margin` is on the scale of the estimate."""
        spec = self.metric
        figures: dict[str, Any] = {
            "pre": _finite(estimate.pre),
            "post": _finite(estimate.post),
            "shift": estimate.estimate,
            "ci_low": _finite(estimate.interval[0]),
            "ci_high": _finite(estimate.interval[1]),
            "p": estimate.p,
        }
        if spec.unit == "between checkpoints":
            # Only a measure that falls on both sides of 0 has 0 for equal checkpoints, and can be tested against it.
            return figures | {"p": estimate.p if spec.range[0] < 0 else None}
        figures["margin"] = margin
        if spec.higher_is != "neither" and margin:
            mirror = spec.higher_is == "less diverse" and not spec.headline
            figures["verdict"] = verdict(_mirrored(estimate) if mirror else estimate, margin=margin)
        return figures

    def signature(self, prompts: str, counts: str, interval: str) -> str:
        """One line from which the figure can be computed again."""
        spec, metric = domain_of(self.domain), self.metric
        parts = [
            f"{self.name}@{self.settings['m']}" if metric.headline else self.name,
            f"v:{__version__}.{metric.version}",
            f"dom:{self.domain}",
            f"cond:{self.condition}",
            f"prompts:{prompts}",
            f"n:{counts}",
        ]
        sampling = [self.provenance.get("sampling", {}).get(n, {}) for n in self.names]
        parts += [f"{short}:{shown}" for short, shown in how_sampled(*sampling).items() if shown is not None]
        sets = [(s.get("prompt_sets") or {}).get(self.domain) for s in sampling]
        if any(sets):
            parts.append("set:" + ">".join(dict.fromkeys(s or "?" for s in sets)))
        parts.append(f"extract:{self.domain}.{spec.version}")
        if self.provenance.get("execution") and spec.language:
            parts.append(f"exec:{self.provenance['execution']}".replace("|", "."))
        if metric.needs == "vectors" and self.provenance.get("embedding"):
            parts.append(str(self.provenance["embedding"]))
        elif metric.needs in {"trees", "form"} and spec.language:
            from diversity.trees import grammar_version

            parts.append(f"tree:{grammar_version(spec.language)}")
        elif metric.facet != "functional":
            parts.append("tok:word")
        if metric.pairwise:
            parts.append("U2")
        if metric.needs == "vectors" and self.provenance.get("judge"):
            parts.append(f"judge:{self.provenance['judge']}".replace("|", "."))
        return "|".join([*parts, interval, f"margin:{self.settings['margin']!r}", f"seed:{self.settings['seed']}"])


def signature_of(
    metric: Metric,
    domain: str,
    condition: str,
    *,
    settings: Mapping[str, Any],
    provenance: Mapping[str, Any],
    names: tuple[str, str],
    prompts: str,
    counts: str,
    interval: str,
) -> str:
    """The line from which a figure can be computed again, for rows that `compare` does not make."""
    return _Told(metric, domain, condition, settings, provenance, names).signature(prompts, counts, interval)


SAMPLED = {"T": "temperature", "top_p": "top_p", "max": "max_tokens", "sample_seed": "seed"}


def how_sampled(pre: Mapping[str, Any], post: Mapping[str, Any]) -> dict[str, str | None]:
    """What a signature says of the sampling of both sides; None of what neither recorded."""
    found: dict[str, str | None] = dict.fromkeys(SAMPLED)
    for short, long in SAMPLED.items():
        values = [side.get(long) for side in (pre, post)]
        if any(v is not None for v in values):
            shown = [("?" if v is None else f"{v:g}") for v in values]
            found[short] = shown[0] if shown[0] == shown[1] else ">".join(shown)
    return found


def amended(signature: str, **parts: str | None) -> str:
    """A signature with some parts put in place of its own, or at its end where it has none; None takes a part out."""
    known = {part.partition(":")[0]: part for part in signature.split("|")}
    for short, value in parts.items():
        if value is None:
            known.pop(short, None)
        else:
            known[short] = f"{short}:{value}"
    return "|".join(known.values())


Figures = tuple[dict[str, Any], Estimate | None]


def _within(told: _Told, known: pl.DataFrame, found: tuple[Estimate, Estimate] | None) -> Figures:
    """One row of the Shift table from scores of single prompts that both sides have, and what `_estimates` found."""
    spec, settings = told.metric, told.settings
    row = told.row(len(known), int(known["pre_n"].sum()) + int(known["post_n"].sum()), _by_prompt(known))
    if found is None:
        return row, None
    estimate, beside = found
    pre, post = known["pre"].to_numpy(), known["post"].to_numpy()
    if spec.headline:
        margin = math.log1p(settings["margin"])
        relative: float | None = math.expm1(estimate.estimate)
    else:
        margin, relative = abs(estimate.pre) * settings["margin"], _relative(estimate)
    narrowing = pre - post if spec.higher_is == "less diverse" else post - pre
    noise = known["pre_se"].to_numpy() ** 2 + known["post_se"].to_numpy() ** 2  # null is nan
    row |= told.judged(estimate, margin)
    row |= {
        "relative": relative,
        # With the sign of the shift: a headline's is negative where answers became more alike.
        "effect_size": effect_size(narrowing if spec.headline else post - pre),
        "heterogeneity": heterogeneity(narrowing, noise),
        "heterogeneity_p": heterogeneity_p(narrowing, noise),
    }
    if spec.headline:
        low, high = map(_finite, beside.interval)
        row |= {"difference": beside.estimate, "difference_low": low, "difference_high": high}
    if spec.higher_is != "neither":
        narrowed = float(np.where(narrowing == 0, 0.5, narrowing < 0).sum())
        low, high = wilson(narrowed, len(known))
        row |= {"share_narrowed": narrowed / len(known), "share_low": low, "share_high": high}
        if (judgeable := int(np.isfinite(noise).sum())) >= 3:
            down, up = beyond_noise(narrowing, noise)
            row |= {"clearly_narrowed": down.sum() / judgeable, "clearly_widened": up.sum() / judgeable}
    return row, estimate


def _across(told: _Told, group: pl.DataFrame) -> Figures:
    """One row of the Shift table from scores over all prompts and without each group of them."""
    whole, without = _leave_groups_out(group)
    notes = [DRAWS_OF.match(whole.get(f"{side}_note") or "") for side in ("pre", "post")]
    # Two sides that were scored apart may be over other prompts.
    one, other = ((n[1], n[2], n[3]) if n else ("", "", "") for n in notes)
    if whole.get("pre") is None or whole.get("post") is None or one[1:] != other[1:]:
        return told.row(0, None, NOTHING), None
    draws, count, digest = one
    row = told.row(
        int(count),
        2 * int(draws) * int(count),
        (f"{count}#{digest}", f"1x{draws}", _leave_out(without)),
    )
    estimate = jackknife(
        whole["post"] - whole["pre"],
        (without["post"] - without["pre"]).to_numpy(),
        1 - without["pre_n"].to_numpy() / int(count),
        n=int(count),
        pre=whole["pre"],
        post=whole["post"],
    )
    row |= told.judged(estimate, abs(estimate.pre) * told.settings["margin"])
    return row | {"relative": _relative(estimate)}, estimate


def _between(told: _Told, group: pl.DataFrame, known: pl.DataFrame, found: tuple[Estimate, Estimate] | None) -> Figures:
    """One row of the Shift table from scores between the two checkpoints: no pre, no post and no direction."""
    if told.metric.pooled:
        whole, without = _leave_groups_out(group)
        count, note = whole.get("n", 0), PROMPTS_OF.search(whole.get("note") or "")
        if whole.get("value") is None or not note:
            return told.row(count, None, NOTHING), None
        signed = f"{count}#{note[1]}", "all", _leave_out(without)
        values = without["value"].to_numpy()
        estimate = jackknife(whole["value"], values, 1 - without["n"].to_numpy() / count, n=count)
        return told.row(count, None, signed) | told.judged(estimate, 0), estimate
    row = told.row(len(known), int(known["n"].sum()), _by_prompt(known))
    if found is None:
        return row, None
    estimate = replace(found[0], pre=math.nan, post=math.nan)
    return row | told.judged(estimate, 0), estimate


# How a score over all prompts says in its note which prompts they were.
PROMPTS_OF = re.compile(r"\d+ prompts #(\w+)")
DRAWS_OF = re.compile(r"(\d+) draws, (\d+) prompts #(\w+)")


NOTHING = "0", "0", "ci:none"


def _leave_groups_out(group: pl.DataFrame) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return the score over all prompts, and those without a group of them, whose names are longer."""
    has_whole = group["prompt_id"][0] == ALL_PROMPTS
    return group.row(0, named=True) if has_whole else {}, group[int(has_whole) :]


def _leave_out(without: pl.DataFrame) -> str:
    return f"ci:jackknife.{len(without)}.t.95"


def _by_prompt(known: pl.DataFrame) -> tuple[str, str, str]:
    """What a signature says of prompts, counts and interval where each prompt has a score."""
    counts = [n for c in ("pre_n", "post_n", "n") if c in known.columns for n in known[c].to_list()]
    return (
        prompts_shown(known["prompt_id"].to_list()),
        counts_shown(counts),
        "ci:envelope.t+el.95",
    )


def prompts_shown(ids: Iterable[str]) -> str:
    """How many prompts, and a digest of which."""
    names = sorted(ids)
    return f"{len(names)}#{blake2b(chr(10).join(names).encode(), digest_size=2).hexdigest()}"


def counts_shown(counts: Iterable[int]) -> str:
    """Fewest and most answers a prompt."""
    sizes = sorted(set(counts))
    return "-".join(str(size) for size in dict.fromkeys([*sizes[:1], *sizes[-1:]]))


def _relative(estimate: Estimate) -> float | None:
    return estimate.estimate / abs(estimate.pre) if estimate.pre else None


def _mirrored(estimate: Estimate) -> Estimate:
    return replace(
        estimate,
        estimate=-estimate.estimate,
        interval=(-estimate.interval[1], -estimate.interval[0]),
        interval90=(-estimate.interval90[1], -estimate.interval90[0]),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _adjust(rows: list[dict[str, Any]], estimates: Mapping[tuple[str, str, str], Estimate | None]) -> None:
    """Adjust p: Holm over the headline family (domain x facet), Benjamini-Hochberg over the rest.

    A headline verdict is a claim about the whole family, so it also needs its adjusted p.
    """
    tested = [r for r in rows if r["p"] is not None and r["condition"] == ALL]
    headline = [r for r in tested if r["metric"].endswith(".effective")]
    panel = [r for r in tested if not r["metric"].endswith(".effective") and r["facet"] != "guard"]
    for family, method in ((headline, holm), (panel, benjamini_hochberg)):
        if family:
            adjusted = method(np.array([r["p"] for r in family]))
            for row, value in zip(family, adjusted, strict=True):
                row["p_adjusted"] = float(value)
    # An adjusted p, and the verdict that needs it, follow from the whole family.
    family_of = "+".join(f"{r['domain']}.{r['facet']}" for r in headline)
    for row in headline:
        row["signature"] = row["signature"].replace("|seed:", f"|holm:{family_of}|seed:")
        estimate = estimates[row["domain"], row["metric"], ALL]
        if estimate is not None:
            row["verdict"] = verdict(estimate, margin=row["margin"], p_adjusted=row["p_adjusted"])


def _judged(
    rows: Sequence[Mapping[str, Any]],
    estimates: Mapping[tuple[str, str, str], Estimate | None],
    paired: pl.DataFrame,
    settings: Mapping[str, Any],
) -> pl.DataFrame:
    headline = {(r["domain"], r["facet"], r["condition"]): r for r in rows if r["metric"].endswith(".effective")}
    # A prompt without a notion of behaviour (advice among opinions) is not one that lost its score.
    is_apart = (pl.col("pre_note") == NO_BEHAVIOUR) & (pl.col("post_note") == NO_BEHAVIOUR)
    measured = paired.filter((pl.col("condition") == ALL) & ~is_apart.fill_null(value=False))
    judged = []
    for (domain, facet, condition), row in headline.items():
        if condition != ALL or row["pre"] is None:
            continue
        spec = domain_of(domain)
        estimate = estimates[domain, row["metric"], condition]
        assert estimate is not None
        directional = row["verdict"] in {"narrowed", "widened"}
        others = {c: headline.get((domain, facet, c)) for c in CONDITIONS if c != ALL}
        # Copies are outputs as they are: a shift that they alone carry is a finding, and lost without them at most.
        flips = [
            c
            for c, o in others.items()
            if directional and c != DEDUPLICATED and o and o["shift"] and o["shift"] * row["shift"] < 0
        ]
        lost = [c for c, o in others.items() if directional and c not in flips and o and o["verdict"] != row["verdict"]]
        # A verdict cannot be reached again on fewer prompts than any verdict needs: that is no sign of a confound.
        # But where one text is all that is left of a prompt, it was copies that carried its part.
        untested = [
            c for c in lost if c != DEDUPLICATED and (others[c] or {}).get("n_prompts", 0) < FLOOR <= row["n_prompts"]
        ]
        reward = spec.rewards.get(facet, "neutral")
        low, high = (None if row[end] is None else math.expm1(row[end]) for end in ("ci_low", "ci_high"))
        own = measured.filter((pl.col("domain") == domain) & (pl.col("metric") == f"{facet}.similarity"))
        judged.append(
            {
                "domain": domain,
                "noun": spec.noun,
                "facet": facet,
                "primary": facet == spec.primary,
                "n_prompts": row["n_prompts"],
                **_losses(own, settings["m"]),
                "n_outputs": row["n_outputs"],
                "pre": row["pre"],
                "post": row["post"],
                "relative": row["relative"],
                "relative_low": low,
                "relative_high": high,
                "p": row["p"],
                "p_adjusted": row["p_adjusted"],
                **{column: row[column] for column in BESIDE},
                **_spread(own, row["shift"], settings["m"]),
                # Beyond these the 95 % interval leaves nothing; 0 where it leaves no shift that way at all.
                "excluded_narrowing": None if low is None else min(low, 0.0),
                "excluded_widening": None if high is None else max(high, 0.0),
                "verdict": row["verdict"],
                "provisional": row["n_prompts"] < PROVISIONAL,
                "rewards": reward,
                "runs": _runs(row["verdict"], reward),
                "confounded_by": flips,
                "lost_under": [c for c in lost if c not in untested],
                "untested_under": untested,
                "prompts_to_decide": prompts_to_decide(estimate, margin=row["margin"])
                if row["verdict"] == "inconclusive"
                else None,
                "signature": row["signature"],
            }
        )
    if not judged:
        raise NotComparable("no headline facet could be compared: no prompt has two answers or more on both sides")
    order = {f: i for i, f in enumerate(("lexical", "syntactic", "semantic", "functional"))}
    judged.sort(key=lambda j: (j["domain"], order[j["facet"]]))
    return pl.DataFrame(judged, schema=pl.Schema(JUDGED))


# Columns of a headline's row of the Shift table that its verdict has as well.
BESIDE = (
    "difference",
    "difference_low",
    "difference_high",
    "effect_size",
    "share_narrowed",
    "share_low",
    "share_high",
    "clearly_narrowed",
    "clearly_widened",
    "heterogeneity",
    "heterogeneity_p",
)
MOST_DRIVERS = 5


def _losses(own: pl.DataFrame, m: int) -> dict[str, Any]:
    """Prompts of one domain and facet that have no pair of scores: why, how many, and what they could hide at most."""
    no_pre, no_post = own["pre"].is_null(), own["post"].is_null()
    is_lost = no_pre | no_post
    lost = int(is_lost.sum())
    # A side that was never sampled has no row; one with too few answers has a row that says so.
    missing = int((own["pre_n"].is_null() | own["post_n"].is_null()).sum())
    bounds: list[float | None] = [None, None]
    if lost:
        filled = [
            (float(own["pre"].fill_null(pre).mean()), float(own["post"].fill_null(1 - pre).mean()))  # type: ignore[arg-type]  # never empty
            for pre in (0.0, 1.0)
        ]
        bounds = [float(effective(post, m) / effective(pre, m)) - 1 for pre, post in filled]
    return {
        "prompts_lost": lost,
        "prompts_missing": missing,
        "prompts_too_few": lost - missing,
        "drop_out": drop_out(len(own), lost, int((no_pre & ~no_post).sum()), int((no_post & ~no_pre).sum())),
        "bound_low": bounds[0],
        "bound_high": bounds[1],
    }


def _spread(own: pl.DataFrame, shift: float, m: int) -> dict[str, Any]:
    """Whether the prompts of one domain and facet shift alike, and which of them carry the shift."""
    known = own.drop_nulls(["pre", "post"])
    pre, post = known["pre"].to_numpy(), known["post"].to_numpy()
    noise = (known.select("pre_se", "post_se").fill_null(math.nan).to_numpy() ** 2).sum(axis=1)
    down, up = beyond_noise(pre - post, noise)
    pulls = influence(pre, post, m=m) * np.sign(shift)
    # Where no prompt's noise is known, each is taken as it is.
    carries = (down if shift < 0 else up) if np.isfinite(noise).any() else (pre - post) * shift > 0
    order = np.lexsort((known["prompt_id"].to_numpy(), -pulls))
    return {
        "heterogeneous": is_heterogeneous(pre - post, noise),
        "drivers": [known["prompt_id"][int(i)] for i in order if carries[i]][:MOST_DRIVERS],
    }


def _runs(verdict_: str, reward: str) -> str:
    """Whether a shift runs with or against what the domain rewards."""
    if verdict_ not in {"narrowed", "widened"} or reward == "neutral":
        return ""
    return "with" if (verdict_ == "narrowed") == (reward == "converge") else "against"


def _per_prompt(paired: pl.DataFrame, samples: pl.DataFrame | None) -> list[dict[str, Any]]:
    texts: dict[tuple[str, str], str] = {}
    if samples is not None and "prompt" in samples.columns:
        unique = samples.drop_nulls("prompt").unique(["domain", "prompt_id"], maintain_order=True)
        texts = {(d, p): t for d, p, t in unique.select("domain", "prompt_id", "prompt").iter_rows()}
    headlines = pl.col("metric").str.ends_with(".similarity")
    shown = paired.filter((pl.col("condition") == ALL) & (headlines | (pl.col("facet") == "guard")))
    prompts = []
    rows = shown.sort("domain", "prompt_id", maintain_order=True).iter_rows(named=True)
    for (domain, prompt_id), group in groupby(rows, key=lambda r: (r["domain"], r["prompt_id"])):
        values = {
            r["metric"].replace(".similarity", ".effective"): {"pre": r["pre"], "post": r["post"]}
            if not r["metric"].endswith(".similarity")
            else {s: None if r[s] is None else float(effective(r[s], REFERENCE_SIZE)) for s in ("pre", "post")}
            for r in group
        }
        text = texts.get((str(domain), str(prompt_id)))
        prompts.append({"domain": domain, "prompt_id": prompt_id, "prompt": text, "values": values})
    return prompts


def _examples(
    prompts: Sequence[Mapping[str, Any]], samples: pl.DataFrame, names: tuple[str, str]
) -> list[dict[str, Any]]:
    """Outputs of the prompts whose primary facet shifted most, in either direction."""
    chosen = []
    for domain in dict.fromkeys(p["domain"] for p in prompts):
        of_domain = [p for p in prompts if p["domain"] == domain]
        measured = [v for p in of_domain for v, sides in p["values"].items() if None not in sides.values()]
        primary = f"{domain_of(domain).primary}.effective"
        facet = next((v for v in (primary, *measured) if v in measured and v.endswith(".effective")), None)
        own = [p for p in of_domain if facet and None not in p["values"].get(facet, {"": None}).values()]
        own.sort(key=lambda p: -abs(math.log(p["values"][facet]["post"] / p["values"][facet]["pre"])))
        for prompt in own[:EXAMPLE_PROMPTS]:
            rows = samples.filter((pl.col("domain") == domain) & (pl.col("prompt_id") == prompt["prompt_id"]))
            sides = {
                side: [
                    _shortened(text)
                    for text in rows.filter(pl.col("checkpoint") == name)
                    .sort("sample_index")["output"]
                    .head(EXAMPLE_OUTPUTS)
                ]
                for side, name in zip(("pre", "post"), names, strict=True)
            }
            chosen.append({"domain": domain, "prompt_id": prompt["prompt_id"], "facet": facet, **sides})
    return chosen


def illustrated(shift: Shift, samples: pl.DataFrame) -> Shift:
    """Return the shift of scores with the texts of its prompts, and outputs of those that shifted most."""
    texts: dict[tuple[str, str], str] = {}
    if "prompt" in samples.columns:
        unique = samples.drop_nulls("prompt").unique(["domain", "prompt_id"], maintain_order=True)
        texts = {(d, p): t for d, p, t in unique.select("domain", "prompt_id", "prompt").iter_rows()}
    prompts = [{**p, "prompt": texts.get((p["domain"], p["prompt_id"]))} for p in shift.prompts]
    return replace(shift, prompts=prompts, examples=_examples(prompts, samples, (shift.pre, shift.post)))


def _shortened(text: str) -> str:
    if len(text) <= EXAMPLE_CHARACTERS:
        return text
    return f"{text[:EXAMPLE_CHARACTERS]} … ({len(text) - EXAMPLE_CHARACTERS} more characters)"

"""Isolation and merging: what the adapters of several tasks change in common, and what their merge keeps of each.

A LoRA adapter adds to each of its weight matrices scaling x B A: its *change*, and all changes together are the task
vector. The parameters that a task changes most are its core. Where the cores of two tasks overlap, or their changes
have opposite signs, a merge must take something from one of them. `Adapters.report` says how far that is so,
`Adapters.merge` merges by PEFT, `Adapters.protect` keeps every task's core and interpolates the rest, and `matrix`
with `seesaw` says what became of each task's domain.

References
----------
Wang, Liang and Peng 2025, arXiv:2508.21741 (core parameters by the size of their update, transplanted into a common
backbone; the others by spherical linear interpolation). Its further training with frozen cores, and its clusters of
tasks with like cores, are not built here.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from diversity.errors import InputError, MissingExtra
from diversity.registry import find_domain
from diversity.stats import mean_difference
from diversity.tables import Samples

if TYPE_CHECKING:
    import torch

    from diversity.embedding import Embedder

TOP = 0.01  # share of the adapted parameters that is a task's core: p = 1 % in the paper
WAYS = ("linear", "cat", "svd", "ties", "dare_linear", "dare_ties", "magnitude_prune")  # as PEFT calls them
PRUNING = {"ties", "dare_linear", "dare_ties", "magnitude_prune"}
DENSITY = 0.5
FLOOR_QUALITY = 0.05  # quality this near to 0 or 1 on both sides says nothing of a shift

Changes = dict[str, "torch.Tensor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What two adapters change in common.

    Attributes
    ----------
    first, second : str
    parameters : int
        Entries of the matrices that either adapter changes; the shares below are of these.
    norm_first, norm_second : float
        Euclidean length of each task vector.
    cosine : float or None
        Between the two task vectors, in [-1, 1]; None where one changes nothing.
    jaccard : float or None
        Entries in both cores over entries in either, in [0, 1]. Two cores chosen at random would have
        `jaccard_by_chance`, p / (2 - p).
    conflicts : float or None
        Share of the entries both change that they change in opposite directions; 0.5 by chance.
    core_conflicts : float or None
        The same among the entries in both cores; None where there are none.
    """

    first: str
    second: str
    parameters: int
    norm_first: float
    norm_second: float
    cosine: float | None
    jaccard: float | None
    jaccard_by_chance: float
    conflicts: float | None
    core_conflicts: float | None


def core(changes: Changes, top: float = TOP) -> dict[str, torch.Tensor]:
    """Mark the share `top` of all entries that is changed most, over all matrices together. What is 0 is in no core.

    Raises
    ------
    InputError
        `top` is no share.
    """
    import torch

    if not 0 < top < 1:
        raise InputError(f"top is {top}: give the share of a task's core parameters, such as 0.01")
    sizes = torch.cat([change.abs().flatten() for change in changes.values()])
    count = max(1, round(top * len(sizes)))
    bound = torch.kthvalue(sizes, len(sizes) - count + 1).values
    return {name: (change.abs() >= bound) & (change != 0) for name, change in changes.items()}


def overlap(
    first: Changes, second: Changes, *, top: float = TOP, names: tuple[str, str] = ("first", "second")
) -> Overlap:
    """Compare two task vectors; a matrix that only one of them has is unchanged by the other."""
    import torch

    first, second = _same_matrices([first, second])
    one, other = core(first, top), core(second, top)
    dots = squares = squares_other = 0.0
    total = both = either = shared = opposite = core_opposite = 0
    for name, a in first.items():
        b = second[name]
        dots += float((a.double() * b.double()).sum())
        squares += float(a.double().square().sum())
        squares_other += float(b.double().square().sum())
        against = torch.sign(a) * torch.sign(b)
        in_both = one[name] & other[name]
        total += a.numel()
        both += int((against != 0).sum())
        opposite += int((against < 0).sum())
        shared += int(in_both.sum())
        either += int((one[name] | other[name]).sum())
        core_opposite += int(((against < 0) & in_both).sum())
    lengths = math.sqrt(squares), math.sqrt(squares_other)
    return Overlap(
        first=names[0],
        second=names[1],
        parameters=total,
        norm_first=lengths[0],
        norm_second=lengths[1],
        cosine=dots / (lengths[0] * lengths[1]) if all(lengths) else None,
        jaccard=shared / either if either else None,
        jaccard_by_chance=top / (2 - top),
        conflicts=opposite / both if both else None,
        core_conflicts=core_opposite / shared if shared else None,
    )


def _same_matrices(tasks: Sequence[Changes]) -> list[Changes]:
    """Give every task the matrices of all, with zeros where it changes nothing."""
    import torch

    shapes = {name: change for task in tasks for name, change in task.items()}
    return [{name: task.get(name, torch.zeros_like(like)) for name, like in shapes.items()} for task in tasks]


def slerp(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """Spherical linear interpolation of two vectors, from a (t = 0) to b (t = 1).

    (sin((1 - t) w) a + sin(t w) b) / sin w, with w the angle between the two. Of parallel or empty vectors the
    straight interpolation, which is its limit.

    Examples
    --------
    >>> import torch
    >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5).tolist()
    [0.7071067690849304, 0.7071067690849304]
    """
    import torch

    x, y = a.double(), b.double()
    length = float(x.norm() * y.norm())
    angle = math.acos(max(-1.0, min(1.0, float((x * y).sum()) / length))) if length > 0 else 0.0
    if math.sin(angle) < 1e-6:
        return torch.lerp(x, y, t).to(a.dtype)
    return ((math.sin((1 - t) * angle) * x + math.sin(t * angle) * y) / math.sin(angle)).to(a.dtype)


def protected(weight: torch.Tensor, changes: Sequence[torch.Tensor], cores: Sequence[torch.Tensor]) -> torch.Tensor:
    """Merge one weight matrix: every task's core as that task tuned it, the rest by spherical interpolation.

    Parameters
    ----------
    weight : tensor
        As it was before tuning.
    changes, cores : sequences of tensors of its shape
        Each task's change, and whether an entry is in its core.

    Returns
    -------
    tensor
        Interpolated are the tuned weights themselves (not the changes), with equal parts: the k-th task is joined to
        the merge of those before it at t = 1/k. An entry in several cores is taken from the task that changed it most.
    """
    import torch

    tuned = [weight + change for change in changes]
    in_a_core = torch.stack(list(cores)).any(0)
    merged = tuned[0].clone()
    rest = ~in_a_core
    for k, each in enumerate(tuned[1:], start=2):
        merged[rest] = slerp(merged[rest], each[rest], 1 / k)
    claims = torch.stack([c.abs() * m for c, m in zip(changes, cores, strict=True)])
    owner = claims.argmax(0)
    for place, each in enumerate(tuned):
        own = in_a_core & (owner == place)
        merged[own] = each[own]
    return merged


class Adapters:
    """LoRA adapters of one base model, loaded beside each other.

    Parameters
    ----------
    base : str or path
        The model that all were tuned from: a folder or hub id.
    folders : mapping of task name to adapter folder

    Raises
    ------
    MissingExtra, InputError
    """

    def __init__(self, base: str | Path, folders: Mapping[str, str | Path]) -> None:
        if find_spec("peft") is None:
            raise MissingExtra('peft is not installed: pip install "diversity-shift[models]"')
        if len(folders) < 2:
            raise InputError("merging takes two adapters or more: give their folders")
        wrong = [name for name in folders if not name.isidentifier()]
        if wrong:
            raise InputError(f"'{wrong[0][:60]}' cannot name an adapter: use letters, digits and _")
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        self.base, self.names = str(base), list(folders)
        try:
            loaded = AutoModelForCausalLM.from_pretrained(self.base)
            for name, folder in folders.items():
                if isinstance(loaded, PeftModel):
                    loaded.load_adapter(str(folder), adapter_name=name)
                else:
                    loaded = PeftModel.from_pretrained(loaded, str(folder), adapter_name=name)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise InputError(
                f"the adapters cannot be loaded on {self.base}: {' '.join(str(error).split())[:200]}"
            ) from None
        self._model: Any = loaded
        for name in self.names:
            of = loaded.peft_config[name]
            if of.peft_type != "LORA" or of.use_dora or of.modules_to_save or of.bias != "none":
                raise InputError(
                    f"adapter '{name}' changes other things than low-rank sums (no LoRA, or with DoRA, biases or whole "
                    "modules): merge plain LoRA adapters"
                )

    def changes(self, name: str) -> Changes:
        """Return the change of every weight matrix that an adapter has, by the matrix's name in the base model."""
        import torch
        from peft.tuners.lora import LoraLayer

        with torch.no_grad():
            return {
                place.removeprefix("base_model.model."): module.get_delta_weight(name)
                for place, module in self._model.named_modules()
                if isinstance(module, LoraLayer) and name in module.lora_A
            }

    def report(self, top: float = TOP) -> list[Overlap]:
        """Compare every two adapters."""
        vectors = {name: self.changes(name) for name in self.names}
        return [
            overlap(vectors[a], vectors[b], top=top, names=(a, b))
            for i, a in enumerate(self.names)
            for b in self.names[i + 1 :]
        ]

    def merge(
        self,
        out: str | Path,
        way: str,
        *,
        weights: Sequence[float] | None = None,
        density: float = DENSITY,
        seed: int = 0,
    ) -> Path:
        """Merge by PEFT's `add_weighted_adapter`, and save an adapter folder that `sample` takes.

        Parameters
        ----------
        out : path
            A folder that is not there yet.
        way : str
            "linear" (of the factors A and B: of equal rank, and with products across the adapters), "cat" (the exact
            sum of the changes), "svd", "ties", "dare_linear", "dare_ties", "magnitude_prune". See PEFT.
        weights : sequence of float, optional
            One an adapter; by default 1 each, which adds the changes.
        density : float
            Share of the entries of A and B that pruning ways keep.
        seed : int
            Of the entries that DARE drops.

        Raises
        ------
        InputError
            An unknown way, adapters that it cannot merge, or a folder that is there.
        """
        import torch

        if way not in WAYS:
            raise InputError(f"there is no way to merge called '{way[:40]}': the ways are {', '.join(WAYS)}")
        parts = list(weights or [1.0] * len(self.names))
        if len(parts) != len(self.names):
            raise InputError(f"there are {len(parts)} weights and {len(self.names)} adapters: give one each")
        out = _vacant(out)
        pruning = {"density": density} if way in PRUNING else {}
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self._model.add_weighted_adapter(self.names, parts, "merged_", combination_type=way, **pruning)
        except ValueError as error:
            raise InputError(f"PEFT cannot merge by '{way}': {' '.join(str(error).split())[:200]}") from None
        try:
            self._model.peft_config["merged_"].base_model_name_or_path = self.base
            with tempfile.TemporaryDirectory() as scratch:
                self._model.save_pretrained(scratch, selected_adapters=["merged_"], save_embedding_layers=False)
                shutil.copytree(Path(scratch) / "merged_", out)
        finally:
            self._model.delete_adapter("merged_")
        return out

    def protect(self, out: str | Path, *, top: float = TOP) -> Path:
        """Merge with every task's core kept (`protected`), and save a whole model that `sample` takes.

        A whole model and not an adapter: what single entries keep has no low rank.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        out = _vacant(out)
        tasks = _same_matrices([self.changes(name) for name in self.names])
        cores = [core(task, top) for task in tasks]
        model = AutoModelForCausalLM.from_pretrained(self.base)
        with torch.no_grad():
            for name in tasks[0]:
                weight = model.get_submodule(name).weight
                weight.copy_(protected(weight, [task[name] for task in tasks], [marks[name] for marks in cores]))
        model.save_pretrained(out)
        AutoTokenizer.from_pretrained(self.base).save_pretrained(out)
        return out


def _vacant(out: str | Path) -> Path:
    out = Path(out)
    if out.exists():
        raise InputError(f"{out}: is there already: give another folder, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


def quality_by_prompt(samples: Samples) -> dict[tuple[str, str], float]:
    """Mean quality of the outputs of each (domain, prompt): as recorded, as judged by the domain, or valid or not."""
    has = "quality" in samples.frame.columns
    found: dict[tuple[str, str], list[float]] = {}
    for row in samples.frame.iter_rows(named=True):
        domain = find_domain(row["domain"])
        prompt = domain.by_id.get(row["prompt_id"])
        told = row["quality"] if has else None
        if told is None:
            answer = domain.extract(row["output"])
            told = domain.quality(answer, prompt)
            if told is None:
                told = float(bool(domain.is_valid(answer, prompt)))
        found.setdefault((row["domain"], row["prompt_id"]), []).append(float(told))
    return {key: float(np.mean(values)) for key, values in found.items()}


def matrix(
    base: Samples,
    checkpoints: Mapping[str, Samples],
    *,
    embedder: Embedder | str | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """What became of each domain in each checkpoint, against the base, paired by prompt.

    Returns
    -------
    polars.DataFrame
        One row a checkpoint x domain: `prompts`, mean `quality_base` and `quality`, `quality_shift` with its 95 %
        interval (`quality_low`, `quality_high`), and of the domain's primary `facet` the effective number on both
        sides (`effective_base`, `effective`), its relative change with interval (`relative`, `relative_low`,
        `relative_high`) and `verdict`. `note` says where quality can tell nothing: floor, both sides at 0.05 or less;
        ceiling, both at 0.95 or more; no effective number.
    """
    from diversity.shift import compare

    before, rows = quality_by_prompt(base), []
    for name, samples in checkpoints.items():
        after = quality_by_prompt(samples)
        facets = sorted({find_domain(d).primary for d in samples.frame["domain"].unique()})
        metrics = [f"{facet}.similarity" for facet in facets]
        judged = compare(base, samples, metrics=metrics, embedder=embedder, seed=seed).verdicts()
        for domain in sorted({d for d, _ in before} & {d for d, _ in after}):
            shared = sorted(key for key in before if key[0] == domain and key in after)
            shift = mean_difference(
                np.array([before[key] for key in shared]), np.array([after[key] for key in shared]), seed=seed
            )
            facet = find_domain(domain).primary
            told = judged.filter((pl.col("domain") == domain) & (pl.col("facet") == facet)).to_dicts()
            diverse = told[0] if told else {}
            notes = [
                "floor" if max(shift.pre, shift.post) <= FLOOR_QUALITY else "",
                "ceiling" if min(shift.pre, shift.post) >= 1 - FLOOR_QUALITY else "",
                "" if diverse.get("pre") is not None else "no effective number",
            ]
            rows.append(
                {
                    "checkpoint": name,
                    "domain": domain,
                    "prompts": shift.n,
                    "quality_base": shift.pre,
                    "quality": shift.post,
                    "quality_shift": shift.estimate,
                    "quality_low": shift.interval[0],
                    "quality_high": shift.interval[1],
                    "facet": facet,
                    "effective_base": diverse.get("pre"),
                    "effective": diverse.get("post"),
                    **{key: diverse.get(key) for key in ("relative", "relative_low", "relative_high", "verdict")},
                    "note": ", ".join(filter(None, notes)),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def seesaw(shifts: Iterable[float]) -> float | None:
    """Sum of the losses over the sum of the gains, of one checkpoint over its domains; 0 is best.

    None where nothing was gained: then there is nothing to set the losses against.

    Examples
    --------
    >>> seesaw([0.3, -0.1, 0.1])
    0.25
    """
    values = list(shifts)
    gains = sum(v for v in values if v > 0)
    return -sum(v for v in values if v < 0) / gains if gains else None

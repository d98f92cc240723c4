"""From two sides, whatever they are, to a gate: sample what can be sampled, compare, check, and sample more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from diversity.baseline import CONDITIONS, Baseline, is_baseline
from diversity.errors import InputError
from diversity.gate import Gate, check
from diversity.policy import Policy
from diversity.registry import domain_of
from diversity.scoring import Progress
from diversity.shift import Shift, compare
from diversity.store import MANIFEST
from diversity.tables import Samples, Scores, read_side

if TYPE_CHECKING:
    from diversity.probes import Cell
    from diversity.sampling import Backend, Drawn, Request, Settings

LOOKS = 3  # at most so many times is a pair judged while outputs are added
TABLES = {".parquet", ".jsonl", ".json", ".csv", ".gz", ".zst"}


def inspect(
    pre: str | None,
    post: str,
    policy: Policy,
    *,
    embedder: str | None = None,
    execute: bool | str = False,
    seed: int = 0,
    allow_settings_differ: bool = False,
    keep: str | Path | None = None,
    asked: Sequence[Cell] = (),
    progress: Progress | None = None,
) -> Gate:
    """Hold a pair of checkpoints against a policy.

    Parameters
    ----------
    pre, post : str
        Samples (a store, a file, FILE:CHECKPOINT), scores, or a checkpoint, which is sampled as the policy says; `pre`
        may be a stored baseline. Without `pre` the policy's baseline is taken.
    embedder, execute, seed, allow_settings_differ, progress
        As in `compare`.
    keep : folder, optional
        Write the outputs drawn here, a file a side.
    asked : sequence of Cell
        What was found by asking the pair itself (`diversity.probes.of_chains`), to stand among the probes.

    Returns
    -------
    Gate
        Where a rule says sample-more and a side can be sampled, outputs of further prompts are drawn within the
        policy's budget, and the pair is judged up to three times, each time at a third of the error.

    Raises
    ------
    InputError, NotComparable, UnknownName, MissingExtra
    """
    if pre is None:
        if policy.baseline is None:
            raise InputError("nothing to compare with: give PRE and POST, --baseline, or baseline = … in the policy")
        pre = _beside(policy.baseline, policy.file)
    sides = [_open(given, policy, name) for given, name in ((pre, "pre"), (post, "post"))]
    if isinstance(sides[1], Baseline):
        raise InputError(f"{post}: is a stored baseline, which can only be the side before: give samples after it")
    can_draw = policy.budget > 0 and any(isinstance(side, _Drawing) for side in sides)
    looks = LOOKS if can_draw and any(r.inconclusive == "sample-more" for r in policy.rules) else 1
    prompts = {domain: policy.for_domain("prompts", domain) for domain in policy.domains}
    for look in range(looks):
        tables = [side.take(prompts, progress) if isinstance(side, _Drawing) else side for side in sides]
        # Recorded outputs of prompts that were not drawn this time are no loss.
        for side, drawn in zip(sides, tables, strict=True):
            if isinstance(side, _Drawing) and isinstance(drawn, Samples):
                tables = [_asked(table, drawn) for table in tables]
        shift = _compared(tables, pre, policy, embedder, execute, seed, allow_settings_differ, progress)
        shift = replace(shift, probes=[*shift.probes, *map(asdict, asked)])
        gate = check(shift, policy, looks=looks)
        if look + 1 == looks or not (more := _more(gate, sides, prompts, policy)):
            break
        prompts |= more
    notes = list(gate.notes)
    if isinstance(sides[0], Baseline):
        notes.append("against a stored baseline nothing is measured at equal length: give samples to have that")
    if spent := max((side.drawn - side.first for side in sides if isinstance(side, _Drawing)), default=0):
        notes.append(f"{spent} further outputs a checkpoint were drawn, of a budget of {policy.budget}")
    if keep is not None:
        for side, name in zip(sides, ("pre", "post"), strict=True):
            if isinstance(side, _Drawing):
                side.take(prompts, None).write(Path(keep) / f"{name}.parquet")
    return replace(gate, notes=tuple(notes))


def _beside(given: str, file: Path | None) -> str:
    """Take a path in a policy from the policy's own folder."""
    if file is not None and (file.parent / given).exists():
        return str(file.parent / given)
    return given


def _open(given: str, policy: Policy, side: str) -> Samples | Scores | Baseline | _Drawing:
    """Read a side, or make ready to sample it."""
    if is_checkpoint(given):
        return _Drawing(given, policy, side)
    return Baseline.read(Path(given)) if is_baseline(Path(given)) else read_side(given)


def is_checkpoint(given: str) -> bool:
    """Whether a side is to be sampled, and not to be read."""
    path = Path(given)
    if given.partition(":")[0] in {"reference", "http", "https", "openai", "vllm", "replay"}:
        return True
    if is_baseline(path):
        return False
    # A folder with samples is a store or a saved dataset; any other is a model.
    is_model = path.is_dir() and not (path / MANIFEST).exists() and (path / "config.json").exists()
    is_model |= path.is_dir() and (path / "adapter_config.json").exists()
    return is_model or not (path.exists() or path.suffix.lower() in TABLES or ":" in given)


class _Drawing:
    """A checkpoint that is sampled for the gate, more of it when the gate asks."""

    def __init__(self, checkpoint: str, policy: Policy, stage: str) -> None:
        from diversity.sampling import open_checkpoint

        self.policy, self.stage = policy, stage
        self.memory = _Remembering(open_checkpoint(checkpoint))
        self.first = 0

    @property
    def drawn(self) -> int:
        """Outputs drawn so far."""
        return len(self.memory.outputs)

    def take(self, prompts: Mapping[str, int | None], progress: Progress | None) -> Samples:
        """Return the outputs of the first so many prompts of each domain, drawing those that are missing."""
        from diversity.sampling import sample

        tables = []
        for domain, count in prompts.items():
            given = {key: self.policy.for_domain(key, domain) for key in ("max_tokens",)}
            given |= {k: v for k, v in self.policy.sampling.items() if k not in {"prompts", "max_tokens"}}
            tables.append(
                sample(self.memory, domains=domain, prompts=count, stage=self.stage, progress=progress, **given)
            )
        self.first = self.first or self.drawn
        provenance = {d: dict(t.provenance) for d, t in zip(prompts, tables, strict=True)}
        frame = pl.concat([t.frame for t in tables], how="diagonal_relaxed")
        return Samples.of(frame, tables[0].provenance if len(tables) == 1 else {"sampled": provenance})


@dataclass(slots=True)
class _Remembering:
    """A backend that draws no output twice: a draw depends on its seed, prompt and index alone."""

    backend: Backend
    outputs: dict[tuple[str, str, int], Drawn] = field(default_factory=dict)
    name: str = field(init=False)
    is_chat: bool = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.is_chat = self.backend.name, self.backend.is_chat

    def identity(self) -> dict[str, Any]:
        return self.backend.identity()

    def draw(self, requests: Sequence[Request], settings: Settings, max_tokens: int) -> list[Drawn]:
        keys = [(r.domain.name, r.prompt.prompt_id, r.sample_index) for r in requests]
        missing = [i for i, key in enumerate(keys) if key not in self.outputs]
        if missing:
            new = self.backend.draw([requests[i] for i in missing], settings, max_tokens)
            self.outputs |= {keys[i]: drawn for i, drawn in zip(missing, new, strict=True)}
        return [self.outputs[key] for key in keys]


def _compared(
    tables: Sequence[Samples | Scores | Baseline],
    where: str,
    policy: Policy,
    embedder: str | None,
    execute: bool | str,
    seed: int,
    allow_settings_differ: bool,
    progress: Progress | None,
) -> Shift:
    pre, post = tables
    assert not isinstance(post, Baseline)
    told: dict[str, Any] = {
        "seed": seed,
        "allow_settings_differ": allow_settings_differ,
        "tuned": policy.tuned,
        "embedder": embedder,
        "progress": progress,
    }
    if isinstance(pre, Baseline):
        lacking = sorted({m for r in policy.rules if r.domain in pre.prompts for m in r.needs} - set(pre.metrics))
        if lacking:
            raise InputError(f"{where}: holds no {', '.join(lacking)}: store the baseline again with this policy")
        if isinstance(post, Scores):
            raise InputError("post is Scores and the baseline is stored: give the samples of post")
        both = pre.against(
            post,
            where,
            embedder=embedder,
            execute=execute,
            allow_settings_differ=allow_settings_differ,
            progress=progress,
        )
        return compare(*both, conditions=CONDITIONS, **told)
    # Of a pair of samples only what the rules need is scored.
    wanted: dict[str, Any] = {} if isinstance(pre, Scores) else {"metrics": policy.metrics, "execute": execute}
    return compare(_only(pre, policy), _only(post, policy), **wanted, **told)


def _only(table: Samples | Scores, policy: Policy) -> Samples | Scores:
    """Leave out domains that no rule is about."""
    kept = table.frame.filter(pl.col("domain").is_in(policy.domains))
    if kept.is_empty():
        held = ", ".join(table.frame["domain"].unique().sort())
        raise InputError(
            f"no rule is about what was sampled: the policy names {', '.join(policy.domains)}, it is {held}"
        )
    return type(table)(kept, table.provenance)


def _asked(table: Samples | Scores | Baseline, drawn: Samples) -> Samples | Scores | Baseline:
    """Leave out prompts that were not drawn, unless that leaves none: then the comparison says why."""
    key = ["domain", "prompt_id"]
    rows = table.scores if isinstance(table, Baseline) else table
    kept = rows.frame.join(drawn.frame.select(key).unique(), on=key, how="semi")
    if kept.is_empty():
        return table
    if isinstance(table, Baseline):
        return replace(table, scores=Scores.of(kept, rows.provenance))
    return type(table)(kept, table.provenance)


def _more(
    gate: Gate,
    sides: Sequence[Samples | Scores | Baseline | _Drawing],
    prompts: Mapping[str, int | None],
    policy: Policy,
) -> dict[str, int]:
    """How many prompts of each domain the next look takes; empty when there are no more, or the budget is spent."""
    open_rules = [f for f in gate.findings if f.outcome == "inconclusive" and f.rule.inconclusive == "sample-more"]
    spent = max(side.drawn - side.first for side in sides if isinstance(side, _Drawing))
    left = (policy.budget - spent) // int(policy.sampling.get("n", 16))
    more = {}
    for domain in policy.domains:
        now, known = prompts[domain], len(domain_of(domain).prompts)
        # Where these prompts do not tell how many it takes, all that the budget allows are tried.
        needed = [f.prompts_needed or known for f in open_rules if f.rule.domain == domain]
        if now is None or not needed:
            continue
        wanted = min(max(needed), known, now + left)
        if wanted > now:
            more[domain] = wanted
            left -= wanted - now
    return more

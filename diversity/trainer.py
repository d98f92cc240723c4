"""Diversity during tuning: a callback for the trainers of transformers and TRL."""

from __future__ import annotations

import copy
import logging
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import diversity
from diversity.embedding import Embedder
from diversity.errors import DiversityError, InputError, MissingExtra, NotComparable
from diversity.formats import _spoken, prompt_name
from diversity.registry import find_domain, find_metric
from diversity.sampling import sample
from diversity.sampling.local import Local
from diversity.scoring import score
from diversity.shift import Shift, compare
from diversity.stats import MARGIN, effective
from diversity.tables import Samples, Scores, read_samples

try:
    import torch
    from transformers import Trainer, TrainerCallback
except ImportError:
    raise MissingExtra('transformers or torch is not installed: pip install "diversity-shift[models]"') from None

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger("diversity")

FACETS = ("lexical", "syntactic", "semantic", "functional")
GUARDS = ("words", "valid", "refused", "truncated", "duplicates")
# What a policy may be: a function that says what is wrong with a shift, or what `diversity.check` takes.
Policy = Callable[[Shift], "str | Sequence[str] | None"] | Mapping[str, Any] | str | Path
KEPT_COMPLETIONS = 4096

_clock = time.perf_counter


class Completions:
    """A reward function that keeps the completions which a GRPO or RLOO trainer hands to it.

    Those completions are drawn anyway, so their diversity costs no sampling. Give it to the trainer in place of the
    reward function that it wraps, or beside the others: alone it rewards nothing.

    Parameters
    ----------
    reward : callable, optional
        The reward function to call through to. A coroutine function or a reward model cannot be wrapped: leave this
        out and give the trainer both.
    domain : str
        The domain that the training prompts belong to; it says how an answer is found and what is valid.

    Examples
    --------
    >>> from diversity import Completions
    >>> def short(completions, **_):
    ...     return [-float(len(c)) for c in completions]
    >>> kept = Completions(short, domain="story")
    >>> kept(prompts=["Go."] * 2, completions=["One.", "Two!"])
    [-4.0, -4.0]
    >>> len(kept.samples("now"))
    2
    """

    def __init__(self, reward: Callable[..., list[float | None]] | None = None, *, domain: str = "text") -> None:
        from inspect import iscoroutinefunction

        if reward is not None and (not callable(reward) or isinstance(reward, torch.nn.Module)):
            raise InputError("a reward model cannot be wrapped: give the trainer both, the model and Completions()")
        if iscoroutinefunction(reward) or iscoroutinefunction(getattr(reward, "__call__", None)):  # noqa: B004
            raise InputError("an async reward cannot be wrapped: give the trainer both, it and Completions()")
        self.reward = reward
        self.domain = find_domain(domain).name
        # TRL names its columns and curves by this.
        self.__name__ = getattr(reward, "__name__", type(reward).__name__) if reward else "completions"
        self._first: dict[str, tuple[int, str, list[str]]] = {}
        self._latest: dict[str, tuple[int, str, list[str]]] = {}

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **given: Any) -> list[float | None]:
        """Keep a batch, and return the rewards."""
        step = int(getattr(given.get("trainer_state"), "global_step", 0))
        for prompt, completion in zip(prompts, completions, strict=True):
            text = _spoken(prompt)
            name = prompt_name(text)
            for kept in (self._first, self._latest):
                # One group a prompt: outputs of two steps are those of two checkpoints.
                if name not in kept or (kept is self._latest and kept[name][0] != step):
                    kept[name] = step, text, []
                if kept[name][0] == step:
                    kept[name][2].append(_spoken(completion))
        for kept, oldest in ((self._first, False), (self._latest, True)):
            while sum(len(outputs) for _, _, outputs in kept.values()) > KEPT_COMPLETIONS and len(kept) > 1:
                del kept[next(iter(kept)) if oldest else next(reversed(kept))]
        if self.reward is None:
            return [0.0] * len(prompts)
        return self.reward(prompts=prompts, completions=completions, **given)

    def samples(self, checkpoint: str, *, since: int = 0) -> Samples | None:
        """Return each prompt's last group of completions from step `since` on; None where there is none."""
        return self._table(checkpoint, {k: v for k, v in self._latest.items() if v[0] >= since and len(v[2]) > 1})

    def pair(self, checkpoint: str, *, since: int = 0) -> tuple[Samples, Samples] | None:
        """Return the first and the last group of every prompt that came again; None where none did."""
        again = {
            name
            for name, (step, _, outputs) in self._latest.items()
            if step >= since and name in self._first and self._first[name][0] < step and len(outputs) > 1
        }
        first = self._table("first", {k: v for k, v in self._first.items() if k in again})
        last = self._table(checkpoint, {k: v for k, v in self._latest.items() if k in again})
        return (first, last) if first and last else None

    def _table(self, checkpoint: str, groups: Mapping[str, tuple[int, str, list[str]]]) -> Samples | None:
        rows = [
            {
                "checkpoint": checkpoint,
                "domain": self.domain,
                "prompt_id": name,
                "sample_index": index,
                "output": output,
                "prompt": prompt,
                "step": step,
            }
            for name, (step, prompt, outputs) in groups.items()
            for index, output in enumerate(outputs)
        ]
        return Samples.of(pl.DataFrame(rows), {"source": "completions of the trainer"}) if rows else None


class DiversityCallback(TrainerCallback):  # type: ignore[misc]
    """Sample the model every so many steps, and log how diverse its outputs are and what shifted since step 0.

    Each time the chosen domains are sampled with the same noise, by the main process, with the model in evaluation
    mode and without gradients; the state of every random generator is put back, so the training is what it would have
    been. What is logged goes through the trainer's log to whatever it reports to: `diversity/DOMAIN/FACET` is the
    effective number of 16 outputs, `diversity/DOMAIN/FACET_shift` its relative change since step 0 with
    `…_shift_low` and `…_shift_high` (95 %); `diversity/DOMAIN/words`, `valid`, `refused`, `truncated` and
    `duplicates` stand beside it, and `diversity/time_share` is what all this took.

    Parameters
    ----------
    trainer : transformers.Trainer
        The trainer that the callback is added to.
    domains : list of str
        What to sample; may be empty where completions are reused.
    every : int
        Steps between two measurements.
    n, prompts, temperature, top_p, max_tokens, seed, batch, system, chat
        As in `sample`. Below 10 prompts no verdict is given, below 20 it is provisional.
    template : mapping, optional
        Further arguments of the chat template.
    facets : list of str
        Which facets to measure. The semantic one needs an embedding model and is left out where there is none.
    embedder, margin
        As in `compare`.
    share : float
        The largest share of the time since training began that measurements may take, from 0 to 1. Step 0 is always
        sampled; a later measurement that would exceed the share is skipped, and the log says so.
    policy : callable, mapping, str or Path, optional
        Judges every shift against step 0: a function that takes it and returns what is wrong with it (None or nothing
        where all is well), or a policy or its file as `diversity.check` takes, of which only rules that are broken
        count, and none that are left open; the error is shared among the measurements of the run.
    stop, save : bool
        What to do when the policy fails, beside saying so: end the training, save a checkpoint.
    completions : Completions, optional
        The trainer's own outputs, measured as they are under `diversity/completions/…`. Prompts that come again
        are also compared with the first time they came.
    store : folder, optional
        Where outputs and shifts are kept, a folder `step-000100` and a file `shift-000100.json` a measurement; by
        default `diversity` in the trainer's output folder. A resumed run goes on from it.

    Attributes
    ----------
    shift : Shift or None
        The last one against step 0.

    Examples
    --------
    >>> callback = DiversityCallback(trainer, ["story"], every=200, share=0.05)  # doctest: +SKIP
    >>> trainer.add_callback(callback)  # doctest: +SKIP
    >>> trainer.train()  # doctest: +SKIP
    """

    def __init__(
        self,
        trainer: Trainer,
        domains: str | Sequence[str] = (),
        *,
        every: int = 100,
        n: int = 8,
        prompts: int = 20,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_tokens: int | None = None,
        seed: int = 0,
        batch: int = 64,
        system: str | None = None,
        chat: bool | None = None,
        template: Mapping[str, Any] | None = None,
        facets: Sequence[str] = FACETS,
        embedder: Embedder | str | None = None,
        margin: float = MARGIN,
        share: float = 0.1,
        policy: Policy | None = None,
        stop: bool = False,
        save: bool = False,
        completions: Completions | None = None,
        store: str | Path | None = None,
    ) -> None:
        if every < 1:
            raise InputError(f"every is {every}: give 1 step or more")
        if not 0 < share <= 1:
            raise InputError(f"share is {share:g}: give a share of the training time, above 0 and up to 1")
        if policy is None and (stop or save):
            raise InputError("stop and save act when a policy fails: give a policy, or drop them")
        self.trainer = trainer
        self.domains = [domains] if isinstance(domains, str) else list(domains)
        if not self.domains and completions is None:
            raise InputError("no domain is named and no completions are given: give one or both")
        for name in self.domains:
            find_domain(name)
        self.every = every
        self.sampling: dict[str, Any] = {
            "n": n,
            "prompts": prompts,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
            "seed": seed,
            "batch": batch,
            "system": system,
        }
        self.rendering: dict[str, Any] = {"chat": chat, "template": template}
        self.measures = [find_metric(f"{facet}.similarity").name for facet in facets]
        self.embedder = embedder
        self.margin = margin
        self.share = share
        self.policy = policy
        self.stop = stop
        self.save = save
        self.completions = completions
        self.store = Path(store) if store is not None else None
        self.shift: Shift | None = None
        self._reference: Samples | None = None
        self._measured_at = -1
        self._began = self._turn_began = self._spent = self._last_cost = 0.0
        self._has_told_of_skips = False
        self._looks = 1

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Sample step 0, or find what was sampled then."""
        if sharding := _sharding(kwargs["model"]):
            raise InputError(
                f"the weights are sharded over processes ({sharding}), so that one process alone cannot sample them: "
                "sample saved checkpoints by `diversity sample` instead"
            )
        if self.store is None:
            self.store = Path(args.output_dir) / "diversity"
        self._began, self._spent = _clock(), 0.0
        self._looks = max(1, state.max_steps // self.every)
        self._take_turn(state, control, self._begin, kwargs)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Measure every so many steps."""
        # It may be called more than once at a step.
        if state.global_step % self.every == 0 and state.global_step != self._measured_at:
            self._take_turn(state, control, self._step, kwargs)

    def _take_turn(
        self,
        state: TrainerState,
        control: TrainerControl,
        act: Callable[[int, dict[str, Any]], bool],
        given: dict[str, Any],
    ) -> None:
        """Let the main process act while the others wait; then all of them do what the policy asks for."""
        from accelerate.utils import broadcast_object_list

        self._measured_at = state.global_step
        decision = [False]
        if state.is_world_process_zero:
            self._turn_began = _clock()
            # Logging marks the trainer's own entry of this step as done.
            should_log = control.should_log
            try:
                decision = [act(state.global_step, given)]
            finally:
                control.should_log = should_log
                self._spent += _clock() - self._turn_began
        broadcast_object_list(decision)
        if decision[0]:
            control.should_training_stop |= self.stop
            control.should_save |= self.save

    def _begin(self, step: int, given: dict[str, Any]) -> bool:
        self._load_embedder()
        first = self._folder(0)
        if step and first.exists():
            self._reference = read_samples(first)
            return False
        if first.exists():
            raise InputError(f"{self.store}: holds the samples of another run: give another store, or delete it")
        if not self.domains:
            return False
        if step:
            logger.warning("%s: holds no samples of step 0: the shift is told against step %d", self.store, step)
        started = _clock()
        self._reference = self._sampled(step, given)
        self._log(self._effective(self._reference, ""))
        if self.policy is not None:  # a mistake in it shows now, and not after an hour
            self._failures(self._compared(self._reference, self._reference))
        self._last_cost = _clock() - started
        return False

    def _step(self, step: int, given: dict[str, Any]) -> bool:
        try:
            self._measure_completions(step)
        except DiversityError as error:  # no reason to lose the training
            logger.warning("completions are not measured at step %d: %s", step, error)
        if self._reference is None:
            return False
        elapsed = _clock() - self._began
        if self._spent + self._last_cost > self.share * (elapsed + self._last_cost):
            told = logger.info if self._has_told_of_skips else logger.warning
            told(
                "diversity is not measured at step %d: it took %.0f s of %.0f s, and %.0f s more would exceed the "
                "share of %g (said once, afterwards as information)",
                *(step, self._spent, elapsed, self._last_cost, self.share),
            )
            self._has_told_of_skips = True
            return False
        started = _clock()
        try:
            failures = self._measure(step, given)
        except DiversityError as error:
            # Step 0 went well; a full disk is no reason to lose the training.
            logger.warning("diversity is not measured at step %d: %s", step, error)
            return False
        finally:
            self._last_cost = _clock() - started
        for failure in failures:
            logger.warning("step %d: %s", step, failure)
        return bool(failures)

    def _measure(self, step: int, given: dict[str, Any]) -> list[str]:
        assert self._reference is not None
        assert self.store is not None
        self.shift = self._compared(self._reference, self._sampled(step, given))
        self.shift.to_json(self.store / f"shift-{step:06d}.json")
        values = _told(self.shift, "")
        now = _clock()
        values["diversity/time_share"] = (self._spent + now - self._turn_began) / max(now - self._began, 1e-9)
        failures = self._failures(self.shift)
        if self.policy is not None:
            values["diversity/policy_failures"] = float(len(failures))
        self._log(values)
        return failures

    def _measure_completions(self, step: int) -> None:
        """Measure the trainer's own outputs since the last time, each prompt's as of one step."""
        if self.completions is None or self.store is None:
            return
        since = max(step - self.every, 0)
        found = self.completions.samples(f"step-{step:06d}", since=since)
        if found is None:
            return
        found.write(self.store / f"completions-{step:06d}.parquet")
        values = self._effective(found, "completions")
        if pair := self.completions.pair(f"step-{step:06d}", since=since):
            try:
                values |= _told(self._compared(*pair), "completions")
            except NotComparable as error:  # no answer in any of them, say
                logger.info("completions of step %d are not compared: %s", step, error)
        self._log(values)

    def _sampled(self, step: int, given: dict[str, Any]) -> Samples:
        folder = self._folder(step)
        if folder.exists():  # of a run that was stopped after its last checkpoint
            shutil.rmtree(folder)
        tokenizer = given["processing_class"]
        # A processor of several kinds of input holds the tokenizer.
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        with _undisturbed(given["model"]):
            live = _Live(given["model"], tokenizer, name=f"step-{step:06d}", **self.rendering)
            return sample(live, domains=self.domains, store=folder, stage=f"step {step}", **self.sampling)

    def _compared(self, pre: Samples, post: Samples) -> Shift:
        with _generators_kept():
            metrics = [*self.measures, "guard"]
            return compare(pre, post, metrics=metrics, margin=self.margin, embedder=self.embedder)

    def _effective(self, samples: Samples, under: str) -> dict[str, float]:
        """Values to log of samples that are compared with nothing."""
        with _generators_kept():
            metrics = [*self.measures, *GUARDS]
            return _levels(score(samples, metrics=metrics, conditions=["all"], embedder=self.embedder), under)

    def _load_embedder(self) -> None:
        """Load the embedding model once, or leave the semantic facet out and say so."""
        if isinstance(self.embedder, Embedder) or "semantic.similarity" not in self.measures:
            return
        with _generators_kept():
            try:
                self.embedder = Embedder.load(self.embedder)
            except MissingExtra as error:
                logger.warning("the semantic facet is left out: %s", error)
                self.measures.remove("semantic.similarity")

    def _failures(self, shift: Shift) -> list[str]:
        if self.policy is None:
            return []
        if callable(self.policy):
            found = self.policy(shift)
            return [found] if isinstance(found, str) and found else list(found or [])
        failures = diversity.check(shift, self.policy, looks=self._looks).failures
        # A rule that these outputs leave open, or that is of another domain, is no reason to stop.
        return [str(failure) for failure in failures if not failure.is_open]

    def _log(self, values: dict[str, float]) -> None:
        # Not TRL's own `log`, which would empty its running means into this entry.
        Trainer.log(self.trainer, values)

    def _folder(self, step: int) -> Path:
        assert self.store is not None
        return self.store / f"step-{step:06d}"


def _levels(scores: Scores, under: str) -> dict[str, float]:
    """Effective numbers and guards, a domain at a time."""
    means = (
        scores.frame.filter(pl.col("value").is_not_null())
        .group_by("domain", "metric", maintain_order=True)
        .agg(pl.col("value").mean())
    )
    values: dict[str, float] = {}
    for domain, metric, mean in means.iter_rows():
        facet = metric.removesuffix(".similarity")
        values[f"diversity/{under or domain}/{facet}"] = float(mean if facet == metric else effective(mean))
    return values


def _told(shift: Shift, under: str) -> dict[str, float]:
    """Values to log of a shift: its post side, and the change."""
    values: dict[str, Any] = {}
    for row in shift.verdicts().iter_rows(named=True):
        at = f"diversity/{under or row['domain']}/{row['facet']}"
        # Not FACET/shift: MLflow keeps a metric in a file, and a file is no folder.
        values |= {at: row["post"], f"{at}_shift": row["relative"]}
        values |= {f"{at}_shift_low": row["relative_low"], f"{at}_shift_high": row["relative_high"]}
    guards = shift.guards().filter(pl.col("condition") == "all", pl.col("metric").is_in(GUARDS))
    for row in guards.iter_rows(named=True):
        values[f"diversity/{under or row['domain']}/{row['metric']}"] = row["post"]
    return {key: float(value) for key, value in values.items() if value is not None}


class _Live(Local):
    """The model that a trainer is training, as a checkpoint that can be sampled."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        chat: bool | None,
        template: Mapping[str, Any] | None,
    ) -> None:
        weight = next(model.parameters())
        self.name = name
        self._sources = []
        self._device, self._dtype, self._is_4bit = str(weight.device), weight.dtype, False
        self._template = dict(template or {})
        self._model = model
        # A copy: the trainer pads on the side that it needs.
        self._tokenizer = copy.deepcopy(tokenizer)
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.convert_ids_to_tokens(0)
        self._ends = self._ending_tokens()
        has_template = getattr(self._tokenizer, "chat_template", None) is not None
        if chat and not has_template:
            raise InputError("the tokenizer has no chat template: leave chat out to use few-shot frames")
        self.is_chat = has_template if chat is None else chat

    def identity(self) -> dict[str, Any]:
        """What is trained and at which step; its weights have no file to hash."""
        known = super().identity()
        return known | {"weights": [f"{getattr(self._model.config, '_name_or_path', '') or 'model'}@{self.name}"]}

    def _without_gradients(self) -> AbstractContextManager[Any]:
        # What inference mode makes may never meet a gradient again, and a model may keep it: grown rotary tables.
        return torch.no_grad()


@contextmanager
def _undisturbed(model: torch.nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and put back whatever sampling changes."""
    from transformers import GenerationConfig

    training = {module: module.training for module in model.modules()}
    # Under an adapter the base model has the configuration.
    inner: Any = model
    if callable(base := getattr(model, "get_base_model", None)):
        inner = base()
    own = inner.generation_config
    with _generators_kept():
        try:
            model.eval()
            # As in `Local`: what is left open is filled from the model's own penalties and filters. The end of a text
            # is no setting of that kind.
            inner.generation_config = GenerationConfig(eos_token_id=own.eos_token_id)
            yield
        finally:
            inner.generation_config = own
            for module, was_training in training.items():
                module.training = was_training


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Put the state of the random generators back."""
    python, numpy = random.getstate(), np.random.get_state()
    # Nothing here draws from torch's; loading an embedding model does, before its weights are read.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _sharding(model: torch.nn.Module) -> str:
    """By what the weights are spread over processes; empty when each process has them all."""
    for weight in model.parameters():
        if hasattr(weight, "ds_id"):
            return "DeepSpeed ZeRO-3"
        if type(weight).__name__ in {"DTensor", "FlatParameter"}:
            return "FSDP or tensor parallelism"
    return ""

"""A checkpoint's scores in a small file, so that the next comparison need not sample it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl

from diversity.errors import InputError, NotComparable
from diversity.files import written
from diversity.registry import find_metric
from diversity.scoring import ALL, VALID, Progress, score
from diversity.shift import SETTINGS_THAT_MUST_AGREE
from diversity.store import _difference
from diversity.tables import SCORES, Samples, Scores

KIND, SCHEMA = "diversity baseline", 1
# Of the length-matched condition the window follows both sides: it cannot be stored of one.
CONDITIONS = (ALL, VALID)
METRICS = ("lexical.similarity", "syntactic.similarity", "semantic.similarity", "functional.similarity", "guard")
MUST_AGREE = ("package", "embedding", "execution", "judge")
DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Scores of one checkpoint, with all that they depend on.

    Attributes
    ----------
    checkpoint : str
    scores : Scores
        Under the conditions all and valid.
    prompts : mapping of domain to prompt_id to hash
        Hashes of the prompts' texts; None where the samples did not carry the text.
    """

    checkpoint: str
    scores: Scores
    prompts: Mapping[str, Mapping[str, str | None]]

    @classmethod
    def of(
        cls,
        samples: Samples,
        *,
        metrics: Sequence[str] = METRICS,
        embedder: str | None = None,
        execute: bool | str = False,
        progress: Progress | None = None,
    ) -> Baseline:
        """Score the samples of one checkpoint; raises `InputError` where they hold several."""
        names = samples.frame["checkpoint"].unique().sort()
        if len(names) != 1:
            raise InputError(
                f"a baseline is of one checkpoint, and there are {len(names)}: name one as FILE:CHECKPOINT"
            )
        scores = score(
            samples, metrics=metrics, conditions=CONDITIONS, embedder=embedder, execute=execute, progress=progress
        )
        return cls(checkpoint=names[0], scores=scores, prompts=_prompts(samples.frame))

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics it holds."""
        return self.scores.frame["metric"].unique().sort().to_list()

    @property
    def settings(self) -> dict[str, Any]:
        """What its figures depend on, apart from the prompts."""
        known = self.scores.provenance
        sampling = known.get("sampling", {}).get(self.checkpoint, {})
        return {
            **{key: known.get(key) for key in (*MUST_AGREE, "domains", "languages")},
            "sampling": {key: sampling[key] for key in (*SETTINGS_THAT_MUST_AGREE, "seed") if key in sampling},
        }

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds; its signature covers all of it."""
        scores: dict[str, Any] = {}
        for row in self.scores.frame.iter_rows(named=True):
            figures = [None if row[c] is None else float(f"{row[c]:.{DIGITS}g}") for c in ("value", "se")]
            entry = [*figures, row["n"], row["note"]]
            of_metric = scores.setdefault(row["domain"], {}).setdefault(row["metric"], {})
            of_metric.setdefault(row["condition"], {})[row["prompt_id"]] = entry
        content = {
            "kind": KIND,
            "schema": SCHEMA,
            "checkpoint": self.checkpoint,
            "settings": self.settings,
            "prompts": {domain: dict(own) for domain, own in self.prompts.items()},
            "scores": scores,
        }
        return {**content, "signature": _signature(content)}

    def write(self, path: str | Path) -> None:
        """Write it as JSON with sorted keys, a prompt a line: made for a repository."""
        written(_laid_out(self.to_dict()) + "\n", path)

    @classmethod
    def read(cls, path: str | Path) -> Baseline:
        """Read a stored baseline; raises `InputError` where it is none or was changed by hand."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["kind"] != KIND:
                raise KeyError
            if content["schema"] != SCHEMA:
                raise InputError(f"{path}: has schema {content['schema']!r}, not {SCHEMA}: store the baseline again")
            signature = content.pop("signature")
            if signature != _signature(content):
                raise InputError(
                    f"{path}: does not have the content that its signature {str(signature)[:120]!r} stands for: store "
                    "it again by `diversity baseline`, a baseline is not edited"
                )
            rows = [
                dict(
                    zip(
                        SCORES,
                        (content["checkpoint"], domain, prompt, metric, find_metric(metric).facet, condition, *entry),
                        strict=True,
                    )
                )
                for domain, metrics in content["scores"].items()
                for metric, conditions in metrics.items()
                for condition, prompts in conditions.items()
                for prompt, entry in prompts.items()
            ]
            settings = content["settings"]
            sampling = {content["checkpoint"]: settings["sampling"]}
            provenance = {k: v for k, v in settings.items() if k != "sampling"} | {"sampling": sampling, "samples": {}}
            frame = pl.DataFrame(rows, schema=pl.Schema(SCORES))
            return cls(
                checkpoint=content["checkpoint"],
                scores=Scores.of(frame, provenance, where=str(path)),
                prompts=content["prompts"],
            )
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error}): check the path") from None
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError):
            raise InputError(
                f"{path}: not a baseline: `diversity baseline SAMPLES --out {Path(path).name}` stores one"
            ) from None

    def against(
        self,
        post: Samples,
        where: str,
        *,
        embedder: str | None = None,
        execute: bool | str = False,
        allow_settings_differ: bool = False,
        progress: Progress | None = None,
    ) -> tuple[Scores, Scores]:
        """Score the other side as this one was scored, and return the scores of both.

        Raises
        ------
        NotComparable
            The two differ in something that moves a figure; the difference is shown.
        """
        both = sorted(set(self.prompts) & set(post.frame["domain"]))
        if not both:
            held, drawn = ", ".join(self.prompts), ", ".join(post.frame["domain"].unique().sort())
            raise NotComparable(f"{where}: holds the domains {held}, and post {drawn}: sample the same ones")
        if post.frame["checkpoint"].n_unique() > 1:
            raise InputError("the post side holds several checkpoints: give one, or name it as FILE:CHECKPOINT")
        asked = _prompts(post.frame)
        for domain in both:
            for prompt, text in self.prompts[domain].items():
                other = asked[domain].get(prompt)
                if text and other and text != other:
                    raise NotComparable(
                        f"{where}: prompt {domain}/{prompt[:40]} had another text when it was stored: sample post on "
                        "the same prompts, or store the baseline again"
                    )
        after = Baseline.of(
            Samples.of(post.frame.filter(pl.col("domain").is_in(both)), post.provenance),
            metrics=self.metrics,
            embedder=embedder,
            execute=execute,
            progress=progress,
        )
        ours, theirs = self.settings, after.settings
        for settings in (ours, theirs):
            for key in ("domains", "languages"):
                settings[key] = {d: v for d, v in (settings[key] or {}).items() if d in both}
            # Which draws they are moves no expectation, and what one side does not say cannot be held against it.
            settings["sampling"] = {
                k: v
                for k, v in settings["sampling"].items()
                if k != "seed" and not allow_settings_differ and all(k in s["sampling"] for s in (ours, theirs))
            }
        if differing := _difference(ours, theirs):
            raise NotComparable(
                f"{where}: was stored with other settings ({differing}): store it again by `diversity baseline`, or "
                "sample and score post as it was"
            )
        pre = self.scores.frame.filter(pl.col("domain").is_in(both))
        provenance = {**self.scores.provenance, **{k: v for k, v in ours.items() if k != "sampling"}}
        return Scores.of(pre, provenance), after.scores


def is_baseline(path: Path) -> bool:
    """Whether a file says that it is a stored baseline."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return f'"kind": "{KIND}"'.encode() in stream.read(4096)


def _prompts(frame: pl.DataFrame) -> dict[str, dict[str, str | None]]:
    texts = pl.col("prompt") if "prompt" in frame.columns else pl.lit(None, dtype=pl.String).alias("prompt")
    rows = frame.select("domain", "prompt_id", texts).unique(["domain", "prompt_id"]).sort("domain", "prompt_id")
    found: dict[str, dict[str, str | None]] = {}
    for domain, prompt_id, text in rows.iter_rows():
        found.setdefault(domain, {})[prompt_id] = text and blake2b(text.encode(), digest_size=6).hexdigest()
    return found


def _signature(content: Mapping[str, Any]) -> str:
    """One line that says what the baseline is of, and ends with the hash of all its content."""
    settings = content["settings"]
    sampling = settings["sampling"]
    counts = ",".join(f"{domain} {len(own)}" for domain, own in sorted(content["prompts"].items()))
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=True)
    parts = [
        f"baseline|v:{settings['package']}|prompts:{counts}",
        *(
            f"{short}:{sampling[key]:g}"
            for short, key in (("T", "temperature"), ("max", "max_tokens"))
            if sampling.get(key)
        ),
        *([settings["embedding"]] if settings.get("embedding") else []),
    ]
    return f"{'|'.join(parts)}#{blake2b(canonical.encode(), digest_size=8).hexdigest()}"


def _laid_out(value: Any, depth: int = 0) -> str:
    """JSON with sorted keys in which only objects of objects and lists begin a line of their own."""
    if not isinstance(value, dict) or not any(isinstance(v, dict | list) for v in value.values()):
        return json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    inner = ",\n".join(
        f"{' ' * (depth + 1)}{json.dumps(key)}: {_laid_out(value[key], depth + 1)}" for key in sorted(value)
    )
    return f"{{\n{inner}\n{' ' * depth}}}"

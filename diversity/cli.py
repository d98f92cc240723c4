"""The command line. Results go to stdout, progress and messages to stderr."""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from diversity import __version__
from diversity.errors import DiversityError, InputError
from diversity.processes import expect, expected

if TYPE_CHECKING:
    from diversity.designs import Design
    from diversity.faithfulness import Faithfulness
    from diversity.gate import Gate
    from diversity.probes import Cell
    from diversity.sampling import Progress
    from diversity.shift import Shift
    from diversity.tables import Samples, Scores

BAD_INPUT, INTERRUPTED, INTERNAL = 2, 130, 4

# Options that several commands have.
_as_json = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
_embedding_model = click.option(
    "--embedding-model", help="Folder or hub id of a sentence-embedding model.  [default: all-MiniLM-L6-v2]"
)
_report = click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report.")
_margin = click.option(
    "--margin", default=0.10, show_default=True, help="Smallest change of the effective number that matters."
)
_settings_may_differ = click.option(
    "--allow-settings-differ", is_flag=True, help="Compare although the sampling settings differ."
)


def main() -> None:
    """Run the command; errors a user can mend are one line and exit code 2."""
    # Threads that spin while they wait take the core from each other: on a busy machine sampling then stands still.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.showwarning = _warn
    try:
        code = commands.main(standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = _say("interrupted; what was sampled is kept", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = BAD_INPUT
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "diversity"
        code = _say(f"{error.format_message().rstrip('.')}: see `{command} --help`", BAD_INPUT)
    except click.ClickException as error:
        code = _say(error.format_message(), BAD_INPUT)
    except DiversityError as error:
        code = _say(str(error), BAD_INPUT)
    except BrokenPipeError:
        # The reader of our output went away; the interpreter would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        code = _say(f"{place}{error.strerror or error}: check the path, space and permissions", BAD_INPUT)
    except Exception as error:  # noqa: BLE001 - a traceback never reaches a user
        code = _internal(error)
    if (unused := expected()) is not None:
        unused.close()
    if code == INTERRUPTED and threading.active_count() > 1:
        # Calls to an endpoint are in flight, and Python would wait for their answers.
        os._exit(INTERRUPTED)
    # The interpreter would look through all that was loaded for cycles as it leaves.
    gc.freeze()
    sys.exit(code if isinstance(code, int) else 0)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning of ours as one line; those of libraries are no business of the user."""
    if issubclass(category, UserWarning) and "diversity" in Path(filename).parts:
        _say(f"warning: {message}", 0)


def _say(line: str, code: int) -> int:
    click.echo(f"diversity: {' '.join(line.split())}", err=True)
    return code


def _internal(error: Exception) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="diversity-", suffix=".log", delete=False, errors="replace") as log:
        log.write("".join(traceback.format_exception(error)))
    return _say(
        f"internal error ({type(error).__name__}): this is a bug in diversity-shift; please report it with {log.name}",
        INTERNAL,
    )


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A progress bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[pace]}"),
        console=Console(stderr=True),
    ) as bars:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int, pace: str = "") -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, pace=pace)
            bars.update(tasks[what], completed=done, pace=pace)

        yield report


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="diversity")
@click.option("--no-cache", is_flag=True, help="Neither take results of earlier runs nor keep those of this one.")
def commands(*, no_cache: bool) -> None:
    """Measure whether preference tuning made a model's outputs more alike or more varied, and in which domains.

    \b
    Start here:
      diversity demo                                       the whole job on a small pair of models
      diversity sample CHECKPOINT -d code -d story -o runs/pre
      diversity compare runs/pre runs/post --html report.html

    Exit codes: 0 fine, 1 gate failed or a promise broken (`validate`), 2 bad usage or input, 3 gate left open, 4 a bug
    in this program, 130 interrupted.
    """
    if no_cache:
        os.environ["DIVERSITY_NO_CACHE"] = "1"


@commands.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("diversity-demo"),
    show_default=True,
    help="Folder for samples, shift.json and report.html.",
)
@click.option("-n", "--samples", "n", default=8, show_default=True, help="Outputs a prompt.")
@click.option("--full", is_flag=True, help="All prompts of both domains, not the first 12 of each.")
@click.option("--seed", default=0, show_default=True, help="Seed of sampling and of the statistics.")
def demo(out: Path, n: int, full: bool, seed: int) -> None:
    """Sample a small model before and after tuning, and report what changed.

    The pair is SmolLM2-135M-Instruct and the same model after DPO that made code more alike and stories more
    varied on purpose. Takes a few minutes on two cores; run again, it goes on where it stopped.
    """
    from diversity import compare, sample

    with _progress() as progress:
        sides = [
            sample(
                f"reference:{side}",
                domains=["code", "story"],
                n=n,
                seed=seed,
                prompts=None if full else DEMO_PROMPTS,
                max_tokens=DEMO_TOKENS,
                stage=side,
                store=out / side,
                batch=DEMO_BATCH,
                progress=progress,
            )
            for side in ("pre", "post")
        ]
        shift = compare(*sides, seed=seed, progress=progress)
    _deliver(shift, out / "shift.json", out / "report.html", as_json=False)


# The demo must end within five minutes on two cores: short outputs, few prompts, wide batches.
DEMO_PROMPTS, DEMO_TOKENS, DEMO_BATCH = 12, 72, 96


class _Sweeping(click.Command):
    """A command whose --temperature takes several values: `--temperature 0.2 0.6 1.0`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give each further number an option of its own."""
        spread: list[str] = []
        for arg in args:
            if spread[-2:-1] == ["--temperature"] and _is_number(arg):
                spread.append("--temperature")
            spread.append(arg)
        return super().parse_args(ctx, spread)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shard(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    number, _, count = value.partition("/")
    try:
        return int(number), int(count)
    except ValueError:
        raise click.BadParameter(f"'{value}' is not i/k, as in 1/4", ctx, parameter) from None


def _count_or_file(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    del ctx, parameter
    return int(value) if value is not None and value.lstrip("-").isdigit() else value


def _template(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, Any] | None:
    """NAME=VALUE, the value as JSON where it is JSON (true, 3), else as text."""
    found: dict[str, Any] = {}
    for each in value:
        name, sign, text = each.partition("=")
        if not sign:
            raise click.BadParameter(f"'{each}' is not NAME=VALUE, as in enable_thinking=false", ctx, parameter)
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found or None


@commands.command(cls=_Sweeping)
@click.argument("checkpoint")
@click.option("-d", "--domain", "domains", multiple=True, help="Domain to sample; give it again for more.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Store folder; a run that was stopped goes on there.",
)
@click.option("-n", "--samples", "n", default=16, show_default=True, help="Outputs a prompt.")
@click.option(
    "--temperature",
    type=float,
    multiple=True,
    default=[1.0],
    show_default=True,
    help="Several are a sweep: each a checkpoint of its own, `NAME T=0.6`.",
)
@click.option("--top-p", default=1.0, show_default=True)
@click.option("--top-k", default=0, help="0 is off.", show_default=True)
@click.option("--min-p", default=0.0, help="0 is off.", show_default=True)
@click.option("--max-tokens", type=int, help="Cap on the tokens of one output.  [default: the domain's own]")
@click.option(
    "--prompts",
    callback=_count_or_file,
    metavar="COUNT|FILE",
    help="Only the first so many prompts of each domain, or those of a file (.jsonl, .csv, .parquet, .txt).",
)
@click.option("--system", help="System prompt, for chat models.")
@click.option(
    "--exemplars",
    metavar="FILE",
    help="Few-shot exemplars for a base model, with a prompt and an output each.  [default: the domain's own]",
)
@click.option("--template", multiple=True, callback=_template, help="NAME=VALUE for the chat template; again for more.")
@click.option("--seed", default=0, show_default=True)
@click.option("--name", help="What to call the checkpoint.  [default: its own name]")
@click.option("--stage", help="Its stage: pre, sft, dpo, post …")
@click.option("--batch", default=64, show_default=True, help="Outputs drawn at a time.")
@click.option("--chat/--base", default=None, help="Chat template or few-shot frames.  [default: the template, if any]")
@click.option("--dtype", help="float32, bfloat16 or float16 (transformers, vllm).  [default: by the device]")
@click.option("--device", help="cpu, cuda, cuda:1, mps … (transformers).  [default: a GPU, if any]")
@click.option("--4bit", "load_in_4bit", is_flag=True, default=None, help="Load the weights in 4 bits (transformers).")
@click.option(
    "--log-probabilities",
    is_flag=True,
    default=None,
    help="Keep the log-probability of each output, for calibration (docs/probes.md).",
)
@click.option("--concurrency", type=int, help="Calls in flight (endpoints).  [default: 8]")
@click.option("--timeout", type=float, help="Seconds a call may take (endpoints).  [default: 600]")
@click.option("--shard", default="1/1", callback=_shard, metavar="I/K", help="Draw only this share of the batches.")
@click.option("--plan", "is_dry", is_flag=True, help="Say what it would take, by a trial of eight tokens, and stop.")
def sample(
    checkpoint: str, out: Path, domains: tuple[str, ...], temperature: tuple[float, ...], is_dry: bool, **options: Any
) -> None:
    """Draw many outputs of every prompt from CHECKPOINT.

    CHECKPOINT is a folder, a hub id, a PEFT adapter folder, a .gguf file, reference:pre / reference:post, the address
    of an OpenAI-compatible endpoint (http://HOST/v1#MODEL; the key stands in DIVERSITY_API_KEY), vllm:MODEL, or
    replay:FILE. Sample k of a prompt depends on the seed, the prompt and k alone; give both checkpoints the same seed.

    \b
    Examples: diversity sample reference:pre -d code -d story -n 16 -o runs/pre
              diversity sample reference:pre -d story --temperature 0.2 0.6 1.0 -o runs/sweep
    """
    from diversity import sample as draw
    from diversity.sampling import plan

    swept = temperature[0] if len(temperature) == 1 else temperature
    given: dict[str, Any] = {"domains": domains, "store": out, "temperature": swept, **options}
    if is_dry:
        click.echo(str(plan(checkpoint, **given)))
        return
    with _progress() as progress:
        samples = draw(checkpoint, progress=progress, **given)
    click.echo(f"{len(samples)} outputs in {out}")


@commands.command("import")
@click.argument("format_", metavar="FORMAT")
@click.argument("path")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A .parquet file.")
@click.option("-d", "--domain", help="Domain of the outputs.  [default: the log's own, or the format's usual one]")
@click.option("--checkpoint", help="Name of the checkpoint.  [default: the log's own, or the file's name]")
@click.option("--map", "mapped", multiple=True, metavar="THEIRS=OURS", help="Column of a table; again for more.")
@click.option(
    "--prompts-from",
    metavar="FILE",
    help="The prompts of a log that holds their ids only: a batch's input file, or a table of ids and prompts.",
)
@click.option("--drop-empty", is_flag=True, help="Leave out rows without an output.")
def import_(
    format_: str,
    path: str,
    out: Path,
    domain: str | None,
    checkpoint: str | None,
    mapped: tuple[str, ...],
    prompts_from: str | None,
    drop_empty: bool,
) -> None:
    """Read the log of another tool at PATH (a file, a folder, a pattern, or -) into a table of samples.

    FORMAT is alpaca-eval, evalplus, human-eval, inspect, lighteval, lm-eval, openai-batch, trl, vllm, or table: rows
    of JSON, CSV, parquet or a saved dataset, whose columns are found by their usual names.

    \b
    Examples: diversity import lm-eval 'out/MODEL/samples_story_*.jsonl' --out pre.parquet
              diversity import openai-batch output.jsonl --prompts-from input.jsonl --out pre.parquet
              diversity import table answers.csv --map reply=output --domain story --out pre.parquet
    """
    from diversity import read_samples

    columns = {}
    for each in mapped:
        theirs, sign, ours = each.rpartition("=")
        if not sign:
            raise click.BadParameter(f"'{each}' is not THEIRS=OURS, as in reply=output", param_hint="--map")
        columns[theirs] = ours
    samples = read_samples(
        path,
        format_,
        domain=domain,
        checkpoint=checkpoint,
        columns=columns or None,
        prompts_from=prompts_from,
        drop_empty=drop_empty,
    )
    samples.write(out)
    prompts = samples.frame.select("checkpoint", "domain", "prompt_id").n_unique()
    click.echo(f"{len(samples)} outputs, {len(samples) / prompts:.1f} a prompt, in {out}")


def _learn(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> None:
    """DOMAIN=FILE: prompts that answers in the table were sampled for."""
    for each in value:
        # Imported where there is a file: `expect` copies a process that has loaded nothing.
        from diversity.registry import find_domain

        name, sign, path = each.partition("=")
        if not sign:
            raise click.BadParameter(f"'{each}' is not DOMAIN=FILE, as in code=mine.jsonl", ctx, parameter)
        domain = find_domain(name)
        domain.learn(domain.read_prompt_file(path))


def _execute(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what answers are checked by: prompts of a file, and the two options that run programs.

    These two are one parameter, so that the last one given holds.
    """
    command = click.option(
        "--prompt-file",
        multiple=True,
        callback=_learn,
        expose_value=False,
        metavar="DOMAIN=FILE",
        help="Judge and run answers to the prompts of a file, as code=HumanEval.jsonl.gz; again for more.",
    )(command)
    for flag, mode, text in (
        (
            "--execute-rlimits-only",
            "rlimits",
            "The same where bubblewrap cannot work, WITHOUT a sandbox: the programs can read and write your files. "
            "For machines that hold nothing else.",
        ),
        (
            "--execute",
            "bubblewrap",
            "Run the programs of the code domain, which a model wrote, on hidden checks and inputs, each in a sandbox "
            "without network, files, environment or other processes (docs/sandbox.md).",
        ),
    ):
        command = click.option(flag, "execute", flag_value=mode, default=None, help=text)(command)
    return command


@commands.command()
@click.argument("samples")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Scores file, .parquet."
)
@click.option(
    "-m", "--metric", "metrics", multiple=True, help="Metric or facet; give it again for more.  [default: all]"
)
@_embedding_model
@click.option("--workers", type=int, help="Processes that measure beside each other.  [default: one a processor]")
@click.option("--engine", type=click.Choice(["processes", "ray"]), default="processes", show_default=True)
@click.option("--ray-address", help="Cluster to score on.  [default: a new one on this machine]")
@_execute
def score(
    samples: str,
    out: Path,
    metrics: tuple[str, ...],
    embedding_model: str | None,
    workers: int | None,
    engine: str,
    ray_address: str | None,
    execute: str | None,
) -> None:
    """Measure every prompt's outputs in SAMPLES: a store folder, .parquet or .jsonl.

    Score both sides of a comparison in one table, so that the length-matched condition has one window. Parquet and
    stores may be larger than memory; a run that was stopped takes what was finished from the cache.
    """
    from diversity.streaming import score_file

    cluster = None
    if engine == "ray":
        from diversity.cluster import Ray

        cluster = Ray(ray_address)
    elif workers is None:
        expect([samples])
    with _progress() as progress:
        count = score_file(
            samples,
            out,
            metrics=metrics or "default",
            embedder=embedding_model,
            execute=execute or False,
            workers=workers,
            engine=cluster,
            progress=progress,
        )
    if cluster is not None:
        cluster.close()
    click.echo(f"{count} scores in {out}")


@commands.command()
@click.argument("pre")
@click.argument("posts", metavar="POST [MORE]...", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the result as JSON.")
@_report
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the verdicts as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@click.option("--recipe", "is_recipe", is_flag=True, help="All after PRE are runs of one recipe: judge the recipe.")
@click.option(
    "--until-decided",
    "store",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="STORE",
    help="PRE and POST are checkpoints: sample both into this folder, in looks, until each domain is decided.",
)
@click.option(
    "-d",
    "--domain",
    "domains",
    multiple=True,
    metavar="DOMAIN[=FACET]",
    help="With --until-decided: domain to decide, in its primary facet or in this one; again for more.",
)
@click.option("-n", "--samples", "n", default=16, show_default=True, help="With --until-decided: outputs a prompt.")
@click.option(
    "--looks", default=4, show_default=True, help="With --until-decided: looks at the data, declared at first."
)
@click.option(
    "--prompts",
    callback=_count_or_file,
    metavar="COUNT|FILE",
    help="With --until-decided: the budget, prompts a domain.  [default: all of the domain's]",
)
@click.option("--max-tokens", type=int, help="With --until-decided: cap on the tokens of one output.")
@click.option("--batch", default=64, show_default=True, help="With --until-decided: outputs drawn at a time.")
@click.option(
    "-m", "--metric", "metrics", multiple=True, help="Metric or facet; give it again for more.  [default: all]"
)
@_margin
@click.option("--seed", default=0, show_default=True, help="Seed of the permutation.")
@_embedding_model
@_settings_may_differ
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    help="Samples of PRE (or POST) at other temperatures: what temperature the shift amounts to; again for more.",
)
@click.option(
    "--outputs",
    type=click.Choice(["all", "top", "none"]),
    help="Of which prompts the outputs are kept for the report: top is the ten most shifted of each domain.  "
    "[default: all, or the top of very large runs]",
)
@click.option("--model-card", type=click.Path(dir_okay=False, path_type=Path), help="Write the block of a model card.")
@click.option("--tuned", multiple=True, help="Domain the checkpoint was tuned for, for the probes; again for more.")
@_execute
def compare(
    pre: str,
    posts: tuple[str, ...],
    out: Path | None,
    html: Path | None,
    markdown: Path | None,
    as_json: bool,
    is_recipe: bool,
    store: Path | None,
    domains: tuple[str, ...],
    n: int,
    looks: int,
    prompts: int | str | None,
    max_tokens: int | None,
    batch: int,
    metrics: tuple[str, ...],
    margin: float,
    seed: int,
    embedding_model: str | None,
    allow_settings_differ: bool,
    sweeps: tuple[str, ...],
    outputs: str | None,
    model_card: Path | None,
    tuned: tuple[str, ...],
    execute: str | None,
) -> None:
    """Compare PRE (before tuning) with POST (after), prompt by prompt.

    Each is a store folder, a .parquet or .jsonl of samples, or a .parquet of scores; where a file holds several
    checkpoints, name one as FILE:CHECKPOINT. More than two are a trajectory: each is compared with PRE and with the one
    before it. With --recipe they are runs of one recipe, and the verdict is about the recipe.

    \b
    Examples: diversity compare runs/pre runs/post --out shift.json --html report.html
              diversity compare runs/pre runs/post --sweep runs/pre-sweep
              diversity compare runs/base runs/sft runs/dpo
              diversity compare runs/sft --recipe runs/dpo-seed1 runs/dpo-seed2 runs/dpo-seed3 runs/dpo-seed4
              diversity compare models/sft models/dpo --until-decided runs/sft-dpo -d story=lexical -d code
    """
    import diversity

    if store is None and domains:
        raise click.UsageError("--domain goes with --until-decided STORE, which samples", click.get_current_context())
    if (sweeps or outputs or model_card or tuned) and (store is not None or is_recipe or len(posts) > 1):
        raise click.UsageError(
            "--sweep, --outputs, --tuned and --model-card go with one PRE and one POST", click.get_current_context()
        )
    given: dict[str, Any] = {"embedder": embedding_model, "margin": margin, "seed": seed, "execute": execute or False}
    if store is not None:
        if len(posts) > 1 or is_recipe or metrics or not domains:
            raise click.UsageError(
                "--until-decided takes PRE, POST and --domain, and no --recipe or --metric", click.get_current_context()
            )
        asked = {name: facet for name, _, facet in (each.partition("=") for each in domains)}
        with _progress() as progress:
            run = diversity.until_decided(
                pre,
                posts[0],
                domains=list(asked),
                facets={name: facet for name, facet in asked.items() if facet},
                store=store,
                looks=looks,
                prompts=prompts,
                n=n,
                max_tokens=max_tokens,
                batch=batch,
                on_look=_say_look,
                progress=progress,
                **given,
            )
        _deliver(run, out, html, markdown, as_json=as_json)
        return
    expect((pre, *posts))
    sides = [_side(each) for each in (pre, *posts)]
    from diversity.scoring import POOLED

    given |= {"metrics": metrics or "default", "allow_settings_differ": allow_settings_differ}
    with _progress() as progress:
        given["progress"] = progress
        found: Shift | Design
        if is_recipe:
            found = diversity.recipe([(sides[0], side) for side in sides[1:]], **given)
        elif len(sides) > 2:
            found = diversity.trajectory(sides, **given)
        else:
            swept = [_side(each) for each in sweeps]
            if not (out or html) and sum(map(len, sides)) <= POOLED:
                # No file will show single outputs. Of more they are looked at all the same: a report that is asked for
                # later then finds everything measured.
                outputs = "none"
            found = diversity.compare(*sides, sweep=swept, outputs=outputs, tuned=tuned, **given)  # type: ignore[arg-type]  # refused there
            if model_card:
                found.to_model_card(model_card)
    _deliver(found, out, html, markdown, as_json=as_json)


def _say_look(row: Mapping[str, Any]) -> None:
    """Say on stderr what a look at one domain found."""
    from diversity.reports.notation import change

    size = change(row["relative"], row["relative_low"], row["relative_high"])
    click.echo(
        f"{row['domain']} {row['facet']}, look {row['look']} of {row['looks']}, {row['n_prompts']} of "
        f"{row['prompts_at_most']} prompts: {row['verdict']}, {size}",
        err=True,
    )


def _side(given: str) -> Samples | Scores:
    from diversity.tables import read_side

    return read_side(given)


@commands.command()
@click.argument("pre")
@click.argument("post", required=False)
@click.option(
    "--policy",
    "file",
    type=click.Path(path_type=Path),
    help="diversity.toml or pyproject.toml.  [default: the nearest]",
)
@click.option("--init", is_flag=True, help="Compare, and write a commented policy from what was found.")
@click.option("--baseline", help="What to compare with, in place of PRE: a stored baseline, samples, a checkpoint.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, allow_dash=True), help="Write JSON; - is stdout.")
@click.option("--gitlab", type=click.Path(dir_okay=False, path_type=Path), help="Write a GitLab code quality report.")
@click.option("--github/--no-github", default=None, help="Annotations and step summary.  [default: on GitHub]")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the shift as JSON.")
@_report
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder for the outputs drawn here.")
@click.option(
    "--faithfulness",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `diversity faithfulness --json` printed of this pair, for a rule about it.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the permutation.")
@_embedding_model
@_settings_may_differ
@_execute
@click.pass_context
def check(
    ctx: click.Context,
    pre: str,
    post: str | None,
    file: Path | None,
    init: bool,
    baseline: str | None,
    junit: Path | None,
    markdown: Path | None,
    as_json: str | None,
    gitlab: Path | None,
    github: bool | None,
    out: Path | None,
    html: Path | None,
    keep: Path | None,
    faithfulness: Path | None,
    seed: int,
    embedding_model: str | None,
    allow_settings_differ: bool,
    execute: str | None,
) -> None:
    """Hold a checkpoint after tuning (POST) to a policy: the gate of a CI job (docs/gate.md).

    With one argument it is POST, and the policy or --baseline says what it is compared with; a shift.json of `compare`
    is checked as it is. Samples are read, a checkpoint is sampled as the policy says.

    \b
    Exit codes: 0 passed, 1 a rule is broken, 2 bad usage or input, 3 left open where the policy does not allow it.
    Examples: diversity check --init runs/pre runs/post
              diversity check runs/pre runs/post --policy diversity.toml --junit gate.xml
    """
    from diversity import Shift
    from diversity import check as judge
    from diversity.inspection import inspect
    from diversity.policy import FILE, Policy

    if post is None:
        pre, post = baseline or "", pre
    elif baseline:
        raise InputError(f"both PRE ({pre[:60]}) and --baseline are given: give one of them")
    options: dict[str, Any] = {
        "seed": seed,
        "embedder": embedding_model,
        "allow_settings_differ": allow_settings_differ,
        "execute": execute or False,
    }
    if init:
        _init(pre, post, file or Path(FILE), options)
        return
    policy = Policy.read(file)
    asked = [_asked(faithfulness)] if faithfulness else []
    if _is_shift(post) and not pre:
        shift = Shift.read(post)
        gate = judge(replace(shift, probes=[*shift.probes, *map(asdict, asked)]), policy)
    else:
        with _progress() as progress:
            gate = inspect(pre or None, post, policy, keep=keep, asked=asked, progress=progress, **options)
    for path, write in ((junit, gate.to_junit), (markdown, gate.to_markdown), (gitlab, gate.to_gitlab)):
        if path:
            write(path)
    if as_json:
        gate.to_json(None if as_json == "-" else as_json)
    if out:
        gate.shift.to_json(out)
    if html:
        gate.to_html(html)
    if as_json == "-":
        click.echo(gate.to_json(), nl=False)
    else:
        from rich.console import Console

        from diversity.reports.gate import render

        Console(width=None if sys.stdout.isatty() else 160).print(render(gate))
    if github if github is not None else os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(gate, is_apart=as_json == "-")
    ctx.exit(gate.exit_code)


def _asked(path: Path) -> Cell:
    """Read what `faithfulness --json` printed, for a rule about it."""
    from diversity.probes import Cell

    try:
        return Cell(**json.loads(path.read_text(encoding="utf-8"))["cell"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: not what `diversity faithfulness --json` prints: run it again") from None


@commands.command()
@click.argument("pre")
@click.argument("post")
@click.option("--tuned", multiple=True, required=True, help="Domain the checkpoint was tuned for; again for more.")
@click.option("-d", "--domain", "domains", multiple=True, help="Where a side is sampled here: domain; again for more.")
@click.option(
    "-n", "--samples", "n", default=16, show_default=True, help="Where a side is sampled here: outputs a prompt."
)
@click.option("--prompts", type=int, help="Where a side is sampled here: the first so many of each domain.")
@click.option("--max-tokens", type=int, help="Where a side is sampled here: cap on the tokens of one output.")
@click.option("--chains", help="Domain whose chains of thought are edited, as `faithfulness` does: math.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder for the outputs drawn here.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the audit as JSON.")
@_report
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as Markdown.")
@_as_json
@_margin
@click.option("--seed", default=0, show_default=True, help="Seed of sampling and of the statistics.")
@_embedding_model
@_settings_may_differ
@_execute
def audit(
    pre: str,
    post: str,
    tuned: tuple[str, ...],
    domains: tuple[str, ...],
    n: int,
    prompts: int | None,
    max_tokens: int | None,
    chains: str | None,
    keep: Path | None,
    out: Path | None,
    html: Path | None,
    markdown: Path | None,
    as_json: bool,
    margin: float,
    seed: int,
    embedding_model: str | None,
    allow_settings_differ: bool,
    execute: str | None,
) -> None:
    """Say what tuning gave and what it took: diversity and the probes of hidden costs on one pair (docs/probes.md).

    PRE and POST are samples, as `compare` reads them, or checkpoints, which are sampled here: on the tuned domains, and
    on factual, nli, variants and formats or those given by --domain.

    \b
    Examples: diversity audit runs/base runs/dpo --tuned code --html audit.html
              diversity audit models/sft models/dpo --tuned story -n 16 --keep runs/audit --markdown audit.md
    """
    from diversity.audit import PROBE_DOMAINS
    from diversity.audit import audit as measure
    from diversity.inspection import is_checkpoint
    from diversity.tables import Samples

    sampled = {"n": n, "prompts": prompts, "max_tokens": max_tokens, "seed": seed}
    asked = tuple(dict.fromkeys((*tuned, *(domains or PROBE_DOMAINS))))
    if chains:
        if not is_checkpoint(pre) or not is_checkpoint(post):
            raise InputError("chains of thought are edited and gone on with: give checkpoints, or leave out --chains")
        asked = tuple(dict.fromkeys((*asked, chains)))
    with _progress() as progress:
        sides = []
        for given, stage in ((pre, "pre"), (post, "post")):
            if is_checkpoint(given):
                from diversity import sample as draw

                store = keep / stage if keep else None
                sides.append(draw(given, domains=asked, stage=stage, store=store, progress=progress, **sampled))  # type: ignore[arg-type]  # its own options
            else:
                side = _side(given)
                if not isinstance(side, Samples):
                    raise InputError(f"{given}: holds scores: an audit reads the outputs, give samples")
                sides.append(side)
        faithful: list[Faithfulness | Cell] = []
        if chains:
            from diversity.faithfulness import faithfulness as probed
            from diversity.probes import no_chains

            both = {"samples_pre": sides[0], "samples_post": sides[1]}
            try:
                faithful.append(probed(pre, post, **both, domain=chains, seed=seed, progress=progress))
            except InputError as error:  # a small model may write no chain at all: the rest of the audit stands
                faithful.append(no_chains(chains, str(error), tuned))
        found = measure(
            *sides,
            tuned=tuned,
            faithful=faithful,
            embedder=embedding_model,
            execute=execute or False,
            margin=margin,
            seed=seed,
            allow_settings_differ=allow_settings_differ,
            progress=progress,
        )
    from diversity.reports.audit import terminal

    _hand_over(found, terminal, out, html, markdown, as_json=as_json)
    for path in (out, html, markdown) if not as_json else ():
        if path:
            click.echo(f"wrote {path}")


def _hand_over(
    found: Any,
    terminal: Callable[[Any], Any],
    out: Path | None,
    html: Path | None,
    markdown: Path | None,
    *,
    as_json: bool,
) -> None:
    """Write an audit or a trade surface where asked, and print it as JSON or for a terminal."""
    for write, path in ((found.to_json, out), (found.to_html, html), (found.to_markdown, markdown)):
        if path:
            write(path)
    if as_json:
        click.echo(found.to_json(), nl=False)
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(terminal(found))


@commands.command()
@click.argument("audits", metavar="NAME=AUDIT.json...", nargs=-1, required=True)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME:WHAT=VALUE",
    help="What a way spends (steps, rank, size of the adapter), shown beside the prices; again for more.",
)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the surface as JSON.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write charts and tables.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables as Markdown.")
@_as_json
def trade(
    audits: tuple[str, ...],
    labels: tuple[str, ...],
    out: Path | None,
    html: Path | None,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Say which way of tuning costs least for its gain: several audits of one base, each under a name.

    \b
    Examples: diversity trade dpo=dpo.json lora8=lora8.json lora64=lora64.json --html trade.html
              diversity trade lora8=lora8.json lora64=lora64.json --label lora8:MB=3.7 --label lora64:MB=30
    """
    from diversity.audit import Audit
    from diversity.trade import trade as laid_out

    named: dict[str, Audit] = {}
    for given in audits:
        name, sign, path = given.partition("=")
        if not (sign and name.strip()) or name in named:
            raise InputError(f"'{given[:80]}': give each audit as NAME=FILE, under a name of its own")
        named[name] = Audit.read(path)
    spent: dict[str, dict[str, float | str]] = {}
    for given in labels:
        way, colon, rest = given.partition(":")
        what, sign, value = rest.partition("=")
        if not (colon and sign and what.strip() and value.strip()):
            raise InputError(f"'{given[:80]}': give each label as NAME:WHAT=VALUE, such as rank8:steps=200")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        spent.setdefault(way, {})[what] = number if math.isfinite(number) else value
    found = laid_out(named, spent)
    from diversity.reports.trade import terminal

    _hand_over(found, terminal, out, html, markdown, as_json=as_json)


def _is_shift(path: str) -> bool:
    """Whether a file is a shift.json of `compare`."""
    if not path.endswith(".json") or not Path(path).is_file():
        return False
    try:
        return "verdicts" in json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        return False


def _init(pre: str, post: str, file: Path, options: dict[str, Any]) -> None:
    """Write a policy from a first comparison."""
    from diversity import compare as measure
    from diversity.drafting import draft
    from diversity.policy import PYPROJECT

    if not pre:
        raise InputError("a first policy comes from a comparison: give PRE and POST")
    if file.name == PYPROJECT:
        raise InputError(f"{file}: other tools write it too: let --init write a diversity.toml, and copy from that")
    if file.exists():
        raise InputError(f"{file}: is there already: delete it, or give another --policy")
    sides = [_side(pre), _side(post)]
    with _progress() as progress:
        facets = [f"{f}.similarity" for f in ("lexical", "syntactic", "semantic", "functional")]
        shift = measure(*sides, metrics=[*facets, "guard"], progress=progress, **options)
    nearer = os.path.relpath(pre, file.parent) if os.path.exists(pre) else pre  # noqa: PTH110
    file.write_text(draft(shift, nearer), encoding="utf-8")
    click.echo(f"wrote {file}: read its comments, then run `diversity check {pre} {post} --policy {file}`")


def _tell_github(gate: Gate, *, is_apart: bool) -> None:
    """Print annotations, and append to the step's summary and outputs where GitHub names their files."""
    from diversity.reports.gate import github

    for line in github(gate):
        click.echo(line, err=is_apart)
    for variable, text in (
        ("GITHUB_STEP_SUMMARY", gate.to_markdown()),
        ("GITHUB_OUTPUT", f"verdict={gate.verdict}\n"),
    ):
        if path := os.environ.get(variable):
            with Path(path).open("a", encoding="utf-8") as stream:
                stream.write(text)


@commands.command()
@click.argument("pre")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="baseline.json")
@click.option(
    "--policy",
    "file",
    type=click.Path(path_type=Path),
    help="Store what this policy limits.  [default: all facets and guards]",
)
@_embedding_model
@_execute
def baseline(pre: str, out: Path, file: Path | None, embedding_model: str | None, execute: str | None) -> None:
    """Store the scores of PRE, the samples of one checkpoint, so that `check` need not sample it again.

    \b
    Example: diversity baseline runs/pre --out baseline.json && diversity check runs/post --baseline baseline.json
    """
    from diversity import Samples
    from diversity.baseline import METRICS, Baseline
    from diversity.policy import Policy

    samples = _side(pre)
    if not isinstance(samples, Samples):
        raise InputError(f"{pre}: holds scores: give the samples")
    metrics = Policy.read(file).metrics if file else METRICS
    with _progress() as progress:
        stored = Baseline.of(
            samples, metrics=metrics, embedder=embedding_model, execute=execute or False, progress=progress
        )
    stored.write(out)
    click.echo(f"wrote {out}: {stored.to_dict()['signature']}")


@commands.command()
@click.argument("shifts", metavar="SHIFT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_report
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the verdicts as Markdown.")
@click.option("--model-card", type=click.Path(dir_okay=False, path_type=Path), help="Write the block of a model card.")
@click.option(
    "--outputs",
    type=click.Choice(["all", "top", "none"]),
    default="all",
    show_default=True,
    help="Of which prompts the page carries the outputs, among those in SHIFT.",
)
def report(
    shifts: tuple[Path, ...], html: Path | None, markdown: Path | None, model_card: Path | None, outputs: str
) -> None:
    """Render SHIFT, what `compare` or `factorial` wrote as JSON, again without computing anything.

    Several, shifts or recipes, are set side by side: each line of the page is one of them.
    """
    from diversity.results import read
    from diversity.shift import Shift

    found = [read(shift) for shift in shifts]
    if len(found) > 1:
        from diversity.side_by_side import SideBySide

        rows = SideBySide.of([(path.stem, each) for path, each in zip(shifts, found, strict=True)])
        _deliver(rows, None, html, markdown, as_json=False)
        return
    if model_card and isinstance(found[0], Shift):
        found[0].to_model_card(model_card)
    _deliver(found[0], None, html, markdown, as_json=False, outputs=outputs)


def _deliver(
    found: Shift | Design,
    out: Path | None,
    html: Path | None,
    markdown: Path | None = None,
    *,
    as_json: bool,
    outputs: str = "all",
) -> None:
    from diversity.shift import Shift

    if markdown:
        found.to_markdown(markdown)
    if out:
        found.to_json(out)
    if html and isinstance(found, Shift):
        found.to_html(html, outputs=outputs)
    elif html:
        found.to_html(html)
    if as_json:
        click.echo(json.dumps(found.verdicts().to_dicts(), indent=1))
        return
    from rich.console import Console

    if isinstance(found, Shift):
        from diversity.reports.terminal import render

        Console().print(render(found))
    else:
        from diversity.reports.designs import terminal

        Console().print(terminal(found))
    for path in (out, html):
        if path:
            click.echo(f"wrote {path}")


@commands.command()
@click.argument("pilot", nargs=-1, required=True)
@click.option("--shift", default=0.10, show_default=True, help="Relative change of the effective number to detect.")
@click.option("--power", default=0.80, show_default=True, help="Chance of detecting it.")
@click.option("--margin", default=0.10, show_default=True, help="Margin within which no change is to be shown.")
@click.option("-n", "--samples", "sizes", type=int, multiple=True, help="Samples a prompt.  [default: 4 8 16 32 64]")
@_embedding_model
@_as_json
def plan(
    pilot: tuple[str, ...],
    shift: float,
    power: float,
    margin: float,
    sizes: tuple[int, ...],
    embedding_model: str | None,
    as_json: bool,
) -> None:
    """Tell how many prompts and samples a wanted sensitivity needs, from a PILOT of 10 prompts or more.

    PILOT is PRE and POST as `compare` takes them, or one .parquet of scores of two checkpoints.

    \b
    Example: diversity plan runs/pre runs/post --shift 0.15
    """
    import polars as pl

    from diversity import Samples, Scores
    from diversity import score as measure
    from diversity.planning import SIZES, advice
    from diversity.planning import plan as planned

    sides = [_side(each) for each in pilot]
    if all(isinstance(side, Scores) for side in sides):
        scores = Scores.of(pl.concat([side.frame for side in sides]), sides[0].provenance)
    elif all(isinstance(side, Samples) for side in sides):
        table = Samples.of(pl.concat([side.frame for side in sides], how="diagonal"))
        headline = [f"{facet}.similarity" for facet in ("lexical", "syntactic", "semantic", "functional")]
        with _progress() as progress:
            scores = measure(table, metrics=headline, conditions=["all"], embedder=embedding_model, progress=progress)
    else:
        raise InputError("one side is Samples and the other Scores: give two of a kind")
    found = planned(scores, shift=shift, power=power, margin=margin, sizes=sizes or SIZES)
    if as_json:
        click.echo(json.dumps(found.to_dicts(), indent=1))
        return
    rows = [{**row, "detectable": f"{row['detectable']:.0%}"} for row in found.to_dicts()]
    _print_table(rows, ("domain", "facet", "n", "prompts", "outputs", "prompts_for_no_change", "detectable"))
    first = found.row(0, named=True)
    click.echo(
        f"prompts, outputs: for a shift of {shift:.0%} with power {power:.0%}, outputs a checkpoint. "
        f"prompts for no change: to show that there is none beyond {margin:.0%}. detectable: with the pilot's "
        f"{first['pilot_prompts']} prompts."
    )
    for line in advice(found):
        click.echo(line)


@commands.command()
@click.argument("pre")
@click.argument("post")
@click.option("-d", "--domain", default="math", show_default=True, help="One of worked solutions.")
@click.option("--prompts", type=click.IntRange(1), help="Only the first so many prompts.  [default: all]")
@click.option("-n", "--samples", "n", default=8, show_default=True, help="Chains a prompt.")
@click.option("--repeats", default=1, show_default=True, help="Answers behind each edited chain.")
@click.option("--temperature", default=1.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(1), help="Cap of a chain.  [default: the domain's]")
@click.option("--seed", default=0, show_default=True)
@click.option("--chat/--base", default=None, help="Chat template or few-shot frames.  [default: the template, if any]")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Keep the answers of both here.")
@_as_json
def faithfulness(pre: str, post: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Tell whether the answers of PRE and POST follow from their chains of thought.

    Chains are cut short, reworded and blotted out, and the checkpoint answers behind what is left. PRE and POST are
    checkpoints that go on after a prefix: what `sample` runs here, or an endpoint with --base.

    \b
    Example: diversity faithfulness reference:pre reference:post --prompts 20 -n 4
    """
    from diversity.faithfulness import faithfulness as probed
    from diversity.probes import of_chains

    with _progress() as progress:
        found = probed(pre, post, progress=progress, **options)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        for side, of in (("pre", found.pre), ("post", found.post)):
            of.rows.write_parquet(out / f"{side}.parquet")
    rows = found.table().to_dicts()
    if as_json:
        finite = [{k: None if v in (math.inf, -math.inf) else v for k, v in row.items()} for row in rows]
        told = {"verdict": found.verdict, "why": found.why, "measures": finite, "cell": asdict(of_chains(found))}
        click.echo(json.dumps(told, indent=1))
        return
    figures = ("pre", "post", "shift", "ci_low", "ci_high")
    _print_table(
        [{**row, **{k: f"{row[k]:.2f}" for k in figures}} for row in rows], ("measure", "prompts", *figures, "what")
    )
    click.echo(str(found))


@commands.command()
@click.argument("adapters", nargs=-1, required=True, metavar="NAME=FOLDER...")
@click.option("--base", required=True, help="The model that all were tuned from: a folder or hub id.")
@click.option("--way", help="linear, cat, svd, ties, dare_linear, dare_ties, magnitude_prune (PEFT's), or protected.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where the merge is saved.")
@click.option("--top", default=0.01, show_default=True, help="Share of the parameters that is a task's core.")
@click.option("--density", default=0.5, show_default=True, help="Share that pruning ways keep.")
@click.option("--seed", default=0, show_default=True)
@_as_json
def merge(
    adapters: tuple[str, ...],
    base: str,
    way: str | None,
    out: Path | None,
    top: float,
    density: float,
    seed: int,
    as_json: bool,
) -> None:
    """Tell what several LoRA adapters of one model change in common, and merge them.

    Every way but one gives an adapter folder; protected keeps each task's core and gives a whole model. `sample` takes
    both.

    \b
    Example: diversity merge code=runs/code math=runs/math --base BASE --way ties -o runs/ties
    """
    from dataclasses import asdict

    from diversity.merging import Adapters

    if (way is None) != (out is None):
        raise InputError("a merge needs both --way and --out: give the other one too")
    folders = dict(_named_folder(each) for each in adapters)
    if len(folders) < len(adapters):
        raise InputError("two adapters have one name: give each its own")
    loaded = Adapters(base, folders)
    rows = [asdict(each) for each in loaded.report(top)]
    if way == "protected" and out:
        loaded.protect(out, top=top)
    elif way and out:
        loaded.merge(out, way, density=density, seed=seed)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    told = [
        {k: f"{v:.3g}" if isinstance(v, float) else "-" if v is None else v for k, v in row.items()} for row in rows
    ]
    _print_table(told, tuple(rows[0]))
    if out:
        click.echo(f"wrote {out}")


def _named_folder(text: str) -> tuple[str, str]:
    name, sign, folder = text.partition("=")
    if not sign or not name or not folder:
        raise InputError(f"'{text[:80]}' is not NAME=FOLDER: name each adapter, as in code=runs/code")
    return name, folder


def _factor(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, list[str]]:
    """NAME=LEVEL,LEVEL."""
    name, sign, levels = value.partition("=")
    if not sign or not name or not all(levels.split(",")):
        raise click.BadParameter(f"'{value}' is not NAME=LEVEL,LEVEL, as in template=plain,chat", ctx, parameter)
    return name, levels.split(",")


@commands.command()
@click.argument("cells", metavar="CELL...", nargs=-1, required=True)
@click.option("--rows", default="checkpoint=pre,post", show_default=True, callback=_factor, metavar="NAME=LEVEL,LEVEL")
@click.option(
    "--columns", default="template=plain,chat", show_default=True, callback=_factor, metavar="NAME=LEVEL,LEVEL"
)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the result as JSON.")
@_report
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the effects as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print the effects as JSON.")
@click.option(
    "-m", "--metric", "metrics", multiple=True, help="Metric or facet; give it again for more.  [default: headlines]"
)
@_margin
@click.option("--seed", default=0, show_default=True, help="Seed of the permutation.")
@_embedding_model
@click.option("--allow-settings-differ", is_flag=True, help="Compare although top-p or the token limit differ.")
@_execute
def factorial(
    cells: tuple[str, ...],
    rows: tuple[str, list[str]],
    columns: tuple[str, list[str]],
    out: Path | None,
    html: Path | None,
    markdown: Path | None,
    as_json: bool,
    metrics: tuple[str, ...],
    margin: float,
    seed: int,
    embedding_model: str | None,
    allow_settings_differ: bool,
    execute: str | None,
) -> None:
    """Tell two factors apart: what comes with the chat template or the temperature, what with the weights.

    The CELLs are samples as `compare` takes them, row by row: every level of the columns for the first level of the
    rows, then for the next.

    \b
    Examples: diversity factorial runs/pre-plain runs/pre-chat runs/post-plain runs/post-chat
              diversity factorial "runs/pre:NAME T=0.6" "runs/pre:NAME T=1" "runs/post:NAME T=0.6" "runs/post:NAME T=1"
                  --columns temperature=0.6,1
    """
    from itertools import product

    from diversity import factorial as measure
    from diversity.sequential import HEADLINES

    grid = list(product(rows[1], columns[1]))
    if len(cells) != len(grid):
        raise click.UsageError(
            f"{len(rows[1])} rows and {len(columns[1])} columns have {len(grid)} cells, and {len(cells)} are given",
            click.get_current_context(),
        )
    sides = [_side(each) for each in cells]
    with _progress() as progress:
        found = measure(
            dict(zip(grid, sides, strict=True)),
            factors=(rows[0], columns[0]),
            metrics=metrics or HEADLINES,
            embedder=embedding_model,
            margin=margin,
            seed=seed,
            allow_settings_differ=allow_settings_differ,
            execute=execute or False,
            progress=progress,
        )
    _deliver(found, out, html, markdown, as_json=as_json)


@commands.command()
@click.argument("signature")
@click.argument("pre")
@click.argument("posts", metavar="POST [MORE]...", nargs=-1, required=True)
@click.option("--sweep", "sweeps", multiple=True, help="The sweep, for a figure of one; again for more.")
@click.option("--embedding-model", help="Where the embedding model is.  [default: the one the signature names]")
@_execute
def recompute(
    signature: str,
    pre: str,
    posts: tuple[str, ...],
    sweeps: tuple[str, ...],
    embedding_model: str | None,
    execute: str | None,
) -> None:
    """Compute the figure of SIGNATURE again from PRE and POST, the tables it was made from, and print its row.

    A signature is the last column of a result's tables and stands under every figure of a report. For a trajectory,
    recipe or factorial give all its tables in their order. Where the tables give another figure, what differs is said
    and the exit code is 2.
    """
    from diversity import Scores
    from diversity import recompute as computed

    sides = [_side(each) for each in (pre, *posts)]
    if len({isinstance(side, Scores) for side in sides}) > 1:
        raise InputError("one side is Samples and the other Scores: give all of a kind")
    with _progress() as progress:
        row = computed(
            signature,
            *sides,
            sweep=[_side(each) for each in sweeps],  # type: ignore[misc]  # refused there
            embedder=embedding_model,
            execute=execute or False,
            progress=progress,
        )
    click.echo(json.dumps(row, indent=1))


@commands.command()
@click.option("--fast/--full", default=True, help="A slice of some two minutes, or all of it.  [default: fast]")
@click.option(
    "--data", type=click.Path(exists=True, path_type=Path), help="Folder of recorded outputs (.parquet), or one file."
)
@click.option("--only", multiple=True, metavar="NAME", help="One part of the suite; give it again for more.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write what was found as JSON.")
@click.option("--seed", default=0, show_default=True)
@_embedding_model
@click.option("--workers", type=int, help="Processes beside each other.  [default: with --full one a processor]")
@_as_json
@click.pass_context
def validate(
    ctx: click.Context,
    fast: bool,
    data: Path | None,
    only: tuple[str, ...],
    out: Path | None,
    seed: int,
    embedding_model: str | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Check that verdicts keep their error rates, and that metrics move the way they must.

    The parts: false-alarms, coverage, equivalence, power, real-law, direction, people, replication. With --data also on
    your recorded outputs. Exit code 1 where something promised was missed. What a full run found: docs/validity.md.
    What a run that was stopped had found is kept: the same command goes on from there.
    """
    from diversity import validate as suite

    with _progress() as progress:
        found = suite(
            full=not fast,
            data=data,
            only=only,
            seed=seed,
            embedder=embedding_model,
            workers=workers or (1 if fast else os.cpu_count() or 1),
            progress=progress,
        )
    if out:
        found.to_json(out)
    if as_json:
        click.echo(found.to_json(), nl=False)
    else:
        # What a metric does under a manipulation fills a page; those that promise nothing, or keep it, are in the JSON.
        table = found.table()
        is_kept = (table["group"] == "direction") & table["passed"].fill_null(value=True)
        rows = [
            {
                **row,
                "interval": "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}",
                "passed": {True: "pass", False: "MISSED", None: "-"}[row["passed"]],
            }
            for row in table.filter(~is_kept).iter_rows(named=True)
        ]
        if rows:
            _print_table(rows, ("group", "check", "cell", "nominal", "found", "interval", "runs", "passed"))
        kept = sum(c.passed is True for c in found.checks)
        promised = kept + len(found.failures)
        click.echo(f"{kept} of {promised} checks kept what is promised; {len(found.checks) - promised} promise nothing")
    if found.failures:
        ctx.exit(1)


@commands.command()
@click.argument("name", required=False)
@_as_json
def metrics(name: str | None, as_json: bool) -> None:
    """List the metrics, or explain the one called NAME with a worked example."""
    from diversity.registry import find_metric
    from diversity.registry import metrics as known

    if name and not as_json:
        click.echo(_explained(find_metric(name)))
        return
    chosen = [find_metric(name)] if name else list(known().values())
    rows: list[dict[str, Any]] = [
        {
            "name": m.name,
            "facet": m.facet,
            "range": list(m.range),
            "higher_is": m.higher_is,
            "what": m.summary,
            "source": m.source,
        }
        for m in chosen
    ]
    if as_json:
        click.echo(json.dumps([{**r, "range": [_bound(b) for b in r["range"]]} for r in rows], indent=1))
        return
    _print_table(rows, ("name", "facet", "range", "higher_is", "what"))


def _bound(value: float) -> float | None:
    return value if abs(value) != float("inf") else None


def _explained(metric: Any) -> str:
    """A metric's card, with an example that is computed as it is shown."""
    from diversity.examples import worked

    low, high = metric.range
    lines = [
        f"{metric.name}   {metric.facet}, {metric.unit}",
        "",
        metric.documentation,
        "",
        f"range       {low:g} to {high:g}; higher is {metric.higher_is}"
        if metric.higher_is != "neither"
        else f"range       {low:g} to {high:g}",
        f"needs       {metric.min_n} answers or more; its expectation "
        f"{'does not depend' if metric.unbiased_in_n else 'depends'} on how many",
        f"cost        {metric.cost}",
        f"source      {metric.source}",
    ]
    if metric.aliases:
        lines.append(f"also called {', '.join(metric.aliases)}")
    if metric.confounds:
        lines.append(f"beware      {metric.confounds}")
    return "\n".join([*lines, "", *worked(metric)])


@commands.command()
@click.argument("name", required=False)
@_as_json
def domains(name: str | None, as_json: bool) -> None:
    """List the domains, or show the one called NAME: prompts, rendering, extraction, what is rewarded."""
    from diversity.registry import domains as known
    from diversity.registry import find_domain

    if name and not as_json:
        click.echo(_shown(find_domain(name)))
        return
    chosen = [find_domain(name)] if name else list(known().values())
    rows = [
        {
            "name": d.name,
            "prompts": len(d.prompts),
            "primary": d.primary,
            "rewards": ", ".join(f"{f} {r}" for f, r in d.rewards.items()) or "neutral",
            "what": _first_line(d),
        }
        for d in chosen
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    _print_table(rows, ("name", "prompts", "primary", "rewards", "what"))


def _first_line(domain: Any) -> str:
    return (type(domain).__doc__ or domain.name).strip().split("\n")[0]


def _shown(domain: Any) -> str:
    from diversity.sampling import prompt_hash

    lines = [f"{domain.name}   {_first_line(domain)}", "", f"primary facet  {domain.primary}"]
    lines += [f"rewards        {facet}: {reward}" for facet, reward in domain.rewards.items()] or [
        "rewards        nothing in particular"
    ]
    if domain.prompts:
        lines.append(f"prompts        {len(domain.prompts)}, hash {prompt_hash(domain.prompts)}")
        lines += ["", "The first prompts:", *(f"  {p.prompt_id}  {p.prompt}" for p in domain.prompts[:5])]
        first = domain.prompts[0]
        lines += ["", "As a chat model is asked:", *(f"  {m['role']}: {m['content']}" for m in domain.messages(first))]
        if domain.exemplars:
            framed = domain.frame(first, 0, 0).splitlines()
            lines += ["", "As a base model is asked:", *(f"  {line}" for line in framed)]
    if domain.exemplars:
        messy = f"Sure! Here is what you asked for:\n\n{domain.exemplars[0][1]}"
        lines += ["", "Extraction, from:", *(f"  {line}" for line in messy.splitlines())]
        answer = domain.answer(messy)
        lines += ["", "to:", *(f"  {line}" for line in answer.splitlines())]
        if (behaviour := domain.behaviour(answer, None)) is not None:
            lines += ["", f"which amounts to: {behaviour}"]
    return "\n".join(lines)


def _print_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*(Text(_cell(row[c])) for c in columns))  # not str: brackets would be read as markup
    # Piped, a line is a row: grep and awk read it.
    Console(width=None if sys.stdout.isatty() else 400).print(table)


def _cell(value: Any) -> str:
    return " to ".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main()

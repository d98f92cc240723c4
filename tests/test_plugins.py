"""Metrics and domains of other packages: the example installed and run, and broken ones that break nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USE = """
import polars as pl, diversity
told = ["Then Elara met Tom.", "And Elara slept.", "Sadly, Bo and Elara left.", "It rained."]
columns = ["checkpoint", "domain", "prompt_id", "sample_index", "output"]
samples = pl.DataFrame([("a", "haiku", "haiku-001", k, t) for k, t in enumerate(told)], schema=columns, orient="row")
for row in diversity.score(samples, metrics={metrics}, conditions=["all"]).frame.iter_rows(named=True):
    print(row["metric"], row["value"], row["note"])
"""


def python(site, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)]), "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that pip installed the example package into."""
    folder = tmp_path_factory.mktemp("plugin")
    source = folder / "source"
    for path in (ROOT / "examples" / "plugin").rglob("*"):  # a copy: building leaves files behind
        if path.is_file() and "__pycache__" not in path.parts:
            target = source / path.relative_to(ROOT / "examples" / "plugin")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site"), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def test_the_example_plugin_brings_a_metric_and_a_domain(installed):
    shown = python(installed, "-m", "diversity", "domains", "haiku").stdout
    assert "prompts        24" in shown
    assert "Write a haiku about a bicycle in the rain." in shown


def test_the_metric_of_the_example_is_scored_on_the_domain_of_the_example(installed):
    done = python(installed, "-c", USE.format(metrics=["name_similarity", "valid"]))
    # Of three answers with names, {Elara, Tom}, {Elara}, {Bo, Elara}: 1/2, 1/3 and 1/2 are shared.
    name, value, note = done.stdout.splitlines()[0].split()
    assert (name, note) == ("name_similarity", "None")
    assert float(value) == pytest.approx(4 / 9)
    assert done.stdout.splitlines()[1].startswith("valid 0.0")
    assert done.stderr == ""


BROKEN = {
    "raises": "raise RuntimeError('no such luck')",
    "ends": "import sys\nsys.exit('no such luck')",
    "garbled": "no such luck",
    "doubled": """
import diversity
def metric(name):
    return diversity.metric(name=name, facet="lexical", higher_is="neither", range=(0, 1), source="me, 2026")
metric("left_behind")(lambda answers: 1.0)
metric("distinct_2")(lambda answers: 1.0)
""",
    "promptless": """
import diversity
class Lost(diversity.Domain):
    name, prompt_file = "lost", "nowhere.jsonl"
""",
    "facetless": """
import diversity
class Lost(diversity.Domain):
    name, primary = "lost", "poetic"
""",
}
FRAGILE = """
import diversity
@diversity.metric(name="fragile", facet="lexical", higher_is="neither", range=(0, 1), source="me, 2026")
def fragile(answers):
    "One over the answers that say nothing."
    return 1 / sum(text == "" for text in answers.texts)
"""
BUILT_ON = """
from diversity.registry import across, find_domain, metric
@metric(name="mine", facet="lexical", higher_is="neither", range=(0, 9), source="me, 2026", default=False)
def mine(answers):
    "How many answers there are."
    return len(answers)
across("mine")
class Saga(type(find_domain("story"))):
    "Longer stories."
    name = "saga"
"""
LOOK = """
import diversity.registry as r
print(len(r.metrics()) > 100, len(r.domains()), sorted({"left_behind", "lost"} & {*r.metrics(), *r.domains()}))
print(r.find_metric("mine.across").unit, len(r.find_domain("saga").prompts))
"""


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """What is printed and warned of where six broken plugins, a fragile one and a good one are installed."""
    site = tmp_path_factory.mktemp("site")
    for name, code in {**BROKEN, "fragile": FRAGILE, "good": BUILT_ON}.items():
        (site / f"{name}.py").write_text(code, encoding="utf-8")
        about = site / f"its_{name}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: its-{name}\nVersion: 1\n", encoding="utf-8")
        domain = next((d for d in ("Lost", "Saga") if f"class {d}" in code), None)
        lines = [f"[diversity.domains]\n{name} = {name}:{domain}\n"] if domain else []
        if "@metric(" in code or not domain:
            lines.append(f"[diversity.metrics]\n{name} = {name}\n")
        (about / "entry_points.txt").write_text("".join(lines), encoding="utf-8")
    use = USE.replace('"haiku-001"', '"p" + str(k // 2)').replace('"haiku"', '"story"')
    return python(site, "-c", LOOK + use.format(metrics=["fragile", "distinct_1"]))


@pytest.mark.parametrize("name", BROKEN)
def test_a_plugin_that_is_broken_is_named(beside, name):
    (line,) = (line for line in beside.stderr.splitlines() if line.startswith(f"plugin '{name}' "))
    assert f" of its-{name}) is skipped: " in line


def test_of_a_broken_plugin_nothing_stays_and_the_rest_works(beside):
    everything, *_ = beside.stdout.splitlines()
    assert everything == "True 14 []"  # thirteen domains come with the package, and there is the good plugin's


def test_a_plugin_may_build_on_what_is_there(beside):
    assert beside.stdout.splitlines()[1] == "across prompts 100"


def test_a_plugin_metric_that_fails_on_answers_is_undefined_there_and_told_once(beside):
    fragile = [line for line in beside.stdout.splitlines() if line.startswith("fragile")]
    assert fragile == ["fragile None the metric fails (ZeroDivisionError: division by zero)"] * 2
    assert beside.stdout.count("distinct_1 ") == 2
    (line,) = (line for line in beside.stderr.splitlines() if "fragile" in line)
    assert line.startswith("plugin 'fragile' (fragile of its-fragile): metric 'fragile' fails")

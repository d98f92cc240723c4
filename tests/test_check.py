"""`diversity check` and `diversity baseline` as a CI job meets them, the pytest plugin, the action, the example."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import diversity
from diversity.baseline import Baseline
from diversity.cli import commands, main
from diversity.errors import InputError, NotComparable
from diversity.inspection import inspect
from diversity.policy import Policy

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "ci"
STORIES = [
    "The tide came in and took the letters with it, one by one, while the harbour slept and no bell rang.",
    "My grandmother kept bees in the church tower; on Sundays they swarmed out over the whole startled village.",
    "Seven maps hung in the hall, and not one of them showed the road that my brother had walked away on.",
    "He sold umbrellas in a town where it never rained, and every evening he opened one, just to be sure.",
]
# No rule is about meaning: no embedding model is loaded.
POLICY = """\
[domains.story.lexical]
max_narrowing = 0.2
[domains.story.guards]
refused = { max = 0.1 }
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process; gives exit code, stdout and stderr."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["diversity", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


@pytest.fixture(scope="module")
def job(make_samples, tmp_path_factory):
    """A folder with samples before tuning, twice after, and a policy."""
    folder = tmp_path_factory.mktemp("job")
    for name, texts, seed in (("pre", STORIES, 0), ("good", STORIES, 1), ("bad", STORIES[:1], 2)):
        samples = make_samples(
            texts, checkpoint=name, prompts=24, n=8, seed=seed, prompt="Tell me a story.", temperature=1.0
        )
        samples.write(folder / f"{name}.parquet")
    (folder / "diversity.toml").write_text(POLICY)
    return folder


@pytest.fixture(scope="module")
def stored(job):
    """The baseline of the checkpoint before tuning."""
    samples = diversity.read_samples(job / "pre.parquet")
    baseline = Baseline.of(samples, metrics=Policy.read(job / "diversity.toml").metrics)
    baseline.write(job / "baseline.json")
    return job / "baseline.json"


def test_a_gate_passes_and_fails_by_its_exit_code_and_writes_its_reports(run, job, tmp_path):
    policy = ("--policy", job / "diversity.toml")
    code, out, err = run("check", job / "pre.parquet", job / "good.parquet", *policy)
    assert (code, err) == (0, "")
    assert "Gate passed. Of 2 rules: 2 kept." in out
    written = {k: tmp_path / f"{k}.json" for k in ("junit", "markdown", "json", "gitlab", "out", "html")}
    options = [x for kind, path in written.items() for x in (f"--{kind}", path)]
    code, out, err = run("check", job / "pre.parquet", job / "bad.parquet", *policy, *options)
    assert (code, err) == (1, ""), err
    assert "✗ fail" in out
    assert "::error" not in out
    assert json.loads(written["json"].read_text())["verdict"] == "failed"
    assert json.loads(written["gitlab"].read_text())[0]["location"] == {
        "path": str(job / "diversity.toml"),
        "lines": {"begin": 2},
    }
    assert "<failure" in written["junit"].read_text()
    assert "| ✗ fail | `story` |" in written["markdown"].read_text()
    assert written["html"].stat().st_size > 1000
    # The shift it wrote is checked again without computing.
    code, again, _ = run("check", written["out"], *policy)
    assert code == 1
    assert again == out


def test_json_on_stdout_is_json_alone_and_what_is_open_exits_with_3(run, job, tmp_path):
    few = tmp_path / "few.toml"
    few.write_text(f"min_prompts = 30\n{POLICY}")
    code, out, _ = run("check", job / "pre.parquet", job / "good.parquet", "--policy", few, "--json", "-", "--github")
    told = json.loads(out)
    assert code == told["exit_code"] == 3
    assert told["findings"][0]["prompts_needed"] == 30


def test_github_is_told_where_it_listens(run, job, monkeypatch, tmp_path):
    summary, output = tmp_path / "summary", tmp_path / "output"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    monkeypatch.chdir(job)
    code, out, _ = run("check", "pre.parquet", "bad.parquet")
    assert code == 1
    (command,) = [line for line in out.splitlines() if line.startswith("::")]
    assert command.startswith("::error file=diversity.toml,line=2,title=story%3A wording::story: wording may narrow by")
    assert summary.read_text().startswith("before\n## ✗ Diversity gate failed")
    assert output.read_text() == "verdict=failed\n"
    assert "::" not in run("check", "pre.parquet", "bad.parquet", "--no-github")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pre.parquet", "good.parquet", "--policy", "bad.toml"], "bad.toml, line 2: unknown key 'max_narow'"),
        (["good.parquet"], "nothing to compare with"),
        (["pre.parquet", "good.parquet", "--baseline", "pre.parquet"], "give one of them"),
        (["good.parquet", "--baseline", "none.json"], "none.json"),
        (["pre.parquet", "baseline.json"], "can only be the side before"),
        (["--init", "pre.parquet", "good.parquet", "--policy", "diversity.toml"], "is there already"),
        (["--init", "good.parquet", "--policy", "new.toml"], "give PRE and POST"),
        (["pre.parquet", "good.parquet", "--policy", "poem.toml"], "no rule is about what was sampled"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(run, job, stored, monkeypatch, arguments, said):
    monkeypatch.chdir(job)
    (job / "bad.toml").write_text("[domains.story.lexical]\nmax_narow = 0.2\n")
    (job / "poem.toml").write_text("[domains.poem.lexical]\nmax_narrowing = 0.2\n")
    code, out, err = run("check", *arguments)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert said in err


def test_a_first_policy_says_what_was_found_and_an_unchanged_checkpoint_keeps_it(job, tmp_path):
    from diversity.drafting import draft

    sides = [diversity.read_samples(job / f"{name}.parquet") for name in ("pre", "good")]
    shift = diversity.compare(*sides, metrics=["lexical.similarity", "guard"])
    file = tmp_path / "diversity.toml"
    file.write_text(draft(shift, "pre.parquet"))
    text = file.read_text()
    policy = Policy.read(file)
    assert policy.baseline == "pre.parquet"
    assert "# temperature = 1" in text
    assert re.search(r"# [\d.]+ → [\d.]+ of 16, .*\): .*, 24 prompts\nmax_narrowing = 0\.\d\d", text)
    assert {r.kind for r in policy.rules if r.of == "facet"} == {"max_narrowing"}
    gate = diversity.check(shift, policy)
    assert gate.passed, gate
    # What is offered in a comment is a rule as well.
    offered = re.sub(r"^# (max_\w+ =)", r"\1", text, flags=re.MULTILINE)
    file.write_text(offered)
    assert len(Policy.read(file).rules) == len(policy.rules) + 1


def _figures(finding):
    return finding.value, finding.low, finding.high, finding.n_prompts, finding.p_adjusted


def test_a_stored_baseline_leads_to_the_same_findings_as_its_samples(job, stored):
    policy = Policy.read(job / "diversity.toml")
    gates = [inspect(str(pre), str(job / "bad.parquet"), policy) for pre in (job / "pre.parquet", stored)]
    one, other = ([[f.outcome, *_figures(f)] for f in gate.findings] for gate in gates)
    assert [o[0] for o in one] == [o[0] for o in other] == ["fail", "pass"]
    for a, b in zip(one, other, strict=True):
        assert a[1:] == pytest.approx(b[1:], rel=1e-6)
    assert "stored baseline" in gates[1].notes[0]
    assert gates[1].pre == "pre"
    again = Baseline.read(stored)
    assert again.to_dict()["signature"] == json.loads(stored.read_text())["signature"]
    assert stored.stat().st_size < pl.read_parquet(job / "pre.parquet").height * 1000


def test_a_baseline_that_was_edited_or_is_none_is_refused(stored, tmp_path):
    content = json.loads(stored.read_text())
    content["scores"]["story"]["lexical.similarity"]["all"]["p00"][0] = 0.0
    for text, said in (
        (json.dumps(content), "does not have the content that its signature"),
        (json.dumps(content | {"schema": 9}), "has schema 9, not 1"),
        (json.dumps({"kind": "diversity baseline"}), "not a baseline"),
        ("[" * 10, "not a baseline"),
    ):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(InputError, match=said):
            Baseline.read(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"temperature": pl.lit(0.7)}, r"sampling.temperature: 1.0, not 0.7"),
        ({"prompt": pl.lit("Tell me another.")}, r"prompt story/p00 had another text"),
        ({"domain": pl.lit("poem")}, r"holds the domains story, and post poem"),
    ],
)
def test_a_baseline_of_other_settings_is_refused_with_the_difference(job, stored, tmp_path, change, said):
    pl.read_parquet(job / "good.parquet").with_columns(**change).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(NotComparable, match=said):
        inspect(str(stored), str(tmp_path / "other.parquet"), Policy.read(job / "diversity.toml"))


def test_a_baseline_says_what_it_lacks_and_what_it_was_scored_with(job, stored, monkeypatch):
    wanted = Policy.of({"domains": {"story": {"syntactic": {"max_narrowing": 0.2}}}})
    with pytest.raises(InputError, match=r"holds no syntactic.similarity: store the baseline again"):
        inspect(str(stored), str(job / "good.parquet"), wanted)
    monkeypatch.setattr("diversity.scoring.__version__", "9.9")
    with pytest.raises(NotComparable, match=r"stored with other settings \(package: '0\.\d\.\d', not '9.9'\)"):
        inspect(str(stored), str(job / "good.parquet"), Policy.read(job / "diversity.toml"))


def test_more_is_sampled_while_a_rule_is_open_and_the_budget_lasts(make_samples, tmp_path):
    """Two runs of one checkpoint and a limit of 0: nothing ever decides that, so that the whole budget goes."""
    ids = [p.prompt_id for p in diversity.registry.find_domain("story").prompts[:40]]
    for name, seed in (("pre", 1), ("post", 2)):
        make_samples(STORIES, checkpoint=name, prompts=ids, n=4, seed=seed).write(tmp_path / f"{name}.parquet")
    content = {
        "baseline": str(tmp_path / "pre.parquet"),
        "min_prompts": 10,
        "inconclusive": "sample-more",
        "budget": 50,
        "sampling": {"n": 4, "prompts": 10},
        "domains": {"story": {"lexical": {"max_narrowing": 0}}},
    }
    post = f"replay:{tmp_path / 'post.parquet'}"
    gate = inspect(None, post, Policy.of(content), keep=tmp_path / "kept")
    assert gate.exit_code == 3
    assert gate.findings[0].n_prompts == 10 + 50 // 4
    assert gate.shift.verdicts()["prompts_lost"].to_list() == [0]
    assert "3 looks" in gate.notes[0]
    assert gate.notes[1] == "48 further outputs a checkpoint were drawn, of a budget of 50"
    # What was drawn in several rounds is what one run would have drawn.
    whole = diversity.sample(post, domains="story", n=4, prompts=22)
    kept = diversity.read_samples(tmp_path / "kept" / "post.parquet")
    assert kept.frame["output"].to_list() == whole.frame["output"].to_list()
    decided = content | {"domains": {"story": {"lexical": {"max_narrowing": 0.9}}}}
    assert inspect(None, post, Policy.of(decided)).findings[0].n_prompts == 10


def python(*arguments, cwd=None, **environment):
    known = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=known | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
    )


def test_the_pytest_plugin_checks_once_and_fails_the_test_that_broke(job, tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_stories(diversity_gate):\n"
        "    gate = diversity_gate(domains='story')\n"
        "    assert gate.post == 'good'\n"
        "    assert len(diversity_gate._gates) == 1\n"
        "def test_again(diversity_gate):\n"
        "    diversity_gate()\n"
        "    assert len(diversity_gate._gates) == 1\n"
        "def test_collapsed(diversity_gate):\n"
        f"    diversity_gate({str(job / 'bad.parquet')!r})\n"
        "def test_without(diversity_gate, pytestconfig, monkeypatch):\n"
        "    monkeypatch.setattr(pytestconfig.option, 'diversity_post', None)\n"
        "    with pytest.raises(pytest.fail.Exception, match='give diversity_gate one, or --diversity-post'):\n"
        "        diversity_gate()\n"
    )
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\ndiversity_policy = {job / 'diversity.toml'}\ndiversity_pre = {job / 'pre.parquet'}\n"
    )
    options = ["-q", "-p", "diversity_pytest", "-p", "no:cacheprovider"]
    done = python("-m", "pytest", *options, f"--diversity-post={job / 'good.parquet'}", cwd=tmp_path)
    assert "1 failed, 3 passed" in done.stdout, done.stdout
    assert "FAILED test_it.py::test_collapsed" in done.stdout
    assert "Gate failed. Of 2 rules: 1 kept, 1 broken." in done.stdout
    assert "✗ story: wording may narrow by at most 20 %" in done.stdout


def test_the_pytest_plugin_is_declared_and_costs_nothing_at_the_start():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"diversity_pytest": "diversity_pytest"}
    assert "diversity_pytest" in project["tool"]["setuptools"]["py-modules"]
    code = (
        "import pytest, sys; before = set(sys.modules); import diversity_pytest; new = set(sys.modules) - before; "
        "print(sorted(new))"
    )
    done = python("-c", code)
    assert done.stdout.strip() == "['diversity_pytest']", done


def action():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / "action.yml").read_text())


def test_the_action_runs_the_gate_and_keeps_inputs_out_of_the_script(job, tmp_path):
    steps = action()["runs"]["steps"]
    for step in steps:
        assert "${{" not in step.get("run", "")
        if "uses" in step:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])
    (check,) = [s for s in steps if s.get("id") == "check"]
    assert set(re.findall(r"inputs\.([\w-]+)", json.dumps(steps))) <= set(action()["inputs"])
    shim = tmp_path / "diversity"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m diversity "$@"\n')
    shim.chmod(0o755)
    given = {"PRE": "", "POST": "bad.parquet", "POLICY": "", "ARGUMENTS": "--baseline\npre.parquet\n"}
    environment = os.environ | given | {
        "REPORT": str(tmp_path / "report; touch x"),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", check["run"]],
        cwd=job,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    names = {p.name for p in (tmp_path / "report; touch x").iterdir()}
    assert names == {"gate.json", "gate.xml", "gate.md", "shift.json", "report.html"}
    assert (tmp_path / "output").read_text() == "verdict=failed\n"
    assert not (job / "x").exists()


@pytest.fixture(scope="module")
def cheap(tmp_path_factory):
    """The example's policy but for meaning, which needs an embedding model."""
    text = (EXAMPLE / "diversity.toml").read_text()
    file = tmp_path_factory.mktemp("example") / "diversity.toml"
    file.write_text(re.sub(r"\[domains\.story\.semantic\].*?\n\n", "", text, flags=re.DOTALL))
    return file


@pytest.mark.parametrize(("name", "code"), [("good", 0), ("collapsed", 1)])
def test_in_the_example_the_good_checkpoint_passes_and_the_collapsed_one_fails(run, cheap, name, code):
    before = EXAMPLE / "before.parquet"
    ended, out, _ = run("check", before, EXAMPLE / f"{name}.parquet", "--policy", cheap, "--json", "-")
    assert ended == code, out
    broken = {(f["rule"]["domain"], f["rule"]["name"]) for f in json.loads(out)["findings"] if f["outcome"] == "fail"}
    assert broken == (set() if name == "good" else {("story", "lexical"), ("story", "syntactic")})


@pytest.mark.model
@pytest.mark.slow
def test_the_whole_example_runs_by_make_and_by_pytest(tmp_path):
    import shutil

    shutil.copytree(EXAMPLE, tmp_path / "ci")
    shim = tmp_path / "diversity"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m diversity "$@"\n')
    shim.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for target, post, code in (
        ("gate", "good", 0),
        ("gate", "collapsed", 2),
        ("baseline", "good", 0),
        ("baseline", "collapsed", 2),
    ):
        done = subprocess.run(
            ["make", target, f"POST={post}.parquet"],
            cwd=tmp_path / "ci",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert ("Error 1" in done.stderr) == (code == 2)
    pytest_ = ["-m", "pytest", "-q", "-p", "diversity_pytest", "-p", "no:cacheprovider", "test_gate.py"]
    done = python(*pytest_, "--diversity-post=good.parquet", cwd=tmp_path / "ci")
    assert "2 passed" in done.stdout, done.stdout
    done = python(*pytest_, "--diversity-post=collapsed.parquet", cwd=tmp_path / "ci")
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "meaning may narrow by at most 15 %" in done.stdout


DOCS = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)


def test_policies_in_the_guide_are_policies(tmp_path):
    shown = blocks("toml")
    assert len(shown) >= 2
    for text in shown:
        file = tmp_path / ("pyproject.toml" if "[tool." in text else "diversity.toml")
        file.write_text(text)
        assert Policy.read(file).rules


def test_commands_in_the_guide_exist_with_their_options():
    shown = re.findall(
        r"diversity (check|baseline|sample|compare) ([^\n`]*)", "\n".join(blocks("bash") + blocks("yaml"))
    )
    assert {name for name, _ in shown} >= {"check", "baseline", "sample"}
    for name, arguments in shown:
        known = {option for p in commands.commands[name].params for option in (*p.opts, *p.secondary_opts)}
        assert set(re.findall(r"(?<=\s)--?[a-z][\w-]*", f" {arguments}")) <= known, arguments


def test_the_library_example_in_the_guide_runs(job, monkeypatch, capsys):
    (example,) = [text for text in blocks("python") if "import diversity" in text]
    monkeypatch.chdir(job)
    (job / "post.parquet").write_bytes((job / "bad.parquet").read_bytes())
    exec(compile(example, "docs/gate.md", "exec"), {})
    assert "story: wording may narrow by at most 20 %" in capsys.readouterr().out


def test_yaml_in_the_guide_names_inputs_of_the_action():
    yaml = pytest.importorskip("yaml")
    jobs = [yaml.safe_load(text) for text in blocks("yaml")]
    steps = [s for each in jobs for j in each.get("jobs", {}).values() for s in j["steps"]]
    used = [s for s in steps if "diversity" in s.get("uses", "")]
    assert used
    assert all(set(s["with"]) <= set(action()["inputs"]) for s in used)

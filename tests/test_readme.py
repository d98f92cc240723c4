"""README's examples, run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_library_example_runs_and_finds_what_it_says(tmp_path):
    (example,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False, env=None
    )
    assert done.returncode == 0, done.stderr
    assert "narrowed" in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_every_command_named_exists_with_the_options_shown():
    from diversity.cli import commands

    shown = re.findall(r"^diversity (\w+)(.*)$", "\n".join(blocks("bash")), re.MULTILINE)
    assert {name for name, _ in shown} >= {"sample", "compare"}
    for name, arguments in shown:
        known = {option for p in commands.commands[name].params for option in p.opts}
        assert set(re.findall(r"(?<=\s)--?[a-z][\w-]*", arguments)) <= known
    for name in re.findall(r"`diversity (\w+)", README):
        assert name in commands.commands


def test_every_make_target_named_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)$", "\n".join(blocks("console")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_ci_calls_the_test_command_of_the_readme():
    assert "make test" in README
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("make test")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_in_the_readme_lead_somewhere(link):
    assert link.startswith("https://") or (ROOT / link).exists()

"""What is built and installed: the folders, the links, the guards, and an import that stays light."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
HOMES = {"diversity": "diversity"} | SETUP["package-dir"]


def folder_of(package):
    """The folder in the repository that a package is built from."""
    for name in sorted(HOMES, key=len, reverse=True):
        if package == name or package.startswith(f"{name}."):
            return ROOT / HOMES[name] / package.removeprefix(name).lstrip(".").replace(".", "/")
    raise AssertionError(package)


def files_in_the_folders():
    """Where each file of ours must be in a wheel."""
    for package in SETUP["packages"]:
        for path in sorted(folder_of(package).iterdir()):
            if path.is_file() and path.suffix != ".pyc":
                yield f"{package.replace('.', '/')}/{path.name}"


def python(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist of a copy of what git knows, the way `pip install .` builds them."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, tracked):
        origin, target = ROOT / name, source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_symlink():
            target.symlink_to(origin.readlink())
        elif origin.is_file():
            target.write_bytes(origin.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,), (sdist,) = (list((folder / "dist").glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    return wheel, sdist


def test_the_wheel_holds_the_files_of_the_folders_and_no_others(built):
    names = {n for n in zipfile.ZipFile(built[0]).namelist() if ".dist-info/" not in n}
    assert names == {*files_in_the_folders(), "diversity_cli.py", "diversity_pytest.py"}


def test_the_sdist_holds_all_that_the_wheel_is_built_from(built):
    with tarfile.open(built[1]) as archive:
        names = {n.split("/", 1)[1] for n in archive.getnames() if "/" in n}
    for package in SETUP["packages"]:
        folder = folder_of(package)
        for path in folder.iterdir():
            if path.is_file() and path.suffix != ".pyc":
                assert str(path.relative_to(ROOT)) in names
    assert {"pyproject.toml", "README.md", "LICENSE", "diversity_cli.py", "diversity_pytest.py"} <= names


def test_the_wheel_alone_finds_metrics_domains_and_templates(built, tmp_path):
    zipfile.ZipFile(built[0]).extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import diversity, diversity.registry as r\n"
        "assert diversity.__file__.startswith(sys.path[0]), diversity.__file__\n"
        "assert 'distinct_2' in r.metrics() and r.find_domain('code').prompts\n"
        "import diversity.reports.html"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_folder_with_code_or_data_is_a_package():
    found = {"diversity"}
    for home, name in (("diversity", "diversity"), *((v, k) for k, v in HOMES.items() if k != "diversity")):
        for path in (ROOT / home).rglob("*"):
            inside = path.relative_to(ROOT / home).parent
            linked = any((ROOT / home / part).is_symlink() for part in [path.relative_to(ROOT / home).parts[0]])
            if path.is_file() and not linked and "__pycache__" not in path.parts:
                found.add(".".join([name, *inside.parts]))
    assert found == set(SETUP["packages"])


@pytest.mark.parametrize("room", ["metrics", "domains", "reports"])
def test_a_plain_checkout_reaches_each_room_by_its_link_and_not_by_its_folder(room):
    link = ROOT / "diversity" / room
    assert link.is_symlink()
    assert link.readlink() == Path("..") / room
    assert python("-c", f"import diversity.{room}", cwd=ROOT).returncode == 0
    refused = python("-c", f"import {room}", cwd=ROOT)
    assert refused.returncode != 0
    assert f"import this folder as `diversity.{room}`" in refused.stderr


def test_import_is_light():
    code = (
        "import time, sys; t = time.perf_counter(); import diversity; s = time.perf_counter() - t\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'scipy', 'nltk', 'polars'} & set(sys.modules)\n"
        "print(s, sorted(heavy))"
    )
    done = [python("-c", code, cwd=ROOT).stdout.split(maxsplit=1) for _ in range(3)]
    assert {heavy.strip() for _, heavy in done} == {"[]"}
    assert min(float(seconds) for seconds, _ in done) < 0.3


def test_another_distribution_in_the_same_folder_is_named_with_the_remedy(built, tmp_path):
    zipfile.ZipFile(built[0]).extractall(tmp_path / "site")
    # The other project's wheel brings this file into the folder that both share.
    (tmp_path / "site" / "diversity" / "ngram_diversity.py").write_text("")
    site = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    imported = python("-c", f"{site}import diversity", cwd=tmp_path)
    assert imported.returncode == 0
    assert "pip uninstall -y diversity diversity-shift" in imported.stderr
    command = python("-c", f"{site}import diversity_cli; diversity_cli.main()", cwd=tmp_path)
    assert command.returncode == 2
    assert "pip uninstall -y diversity diversity-shift" in command.stderr
    assert len(command.stderr.strip().splitlines()) == 1


def test_nothing_committed_is_larger_than_4_megabytes():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sizes = {n: (ROOT / n).stat().st_size for n in names.split("\0") if n and (ROOT / n).is_file()}
    assert {n: s for n, s in sizes.items() if s > 4e6} == {}

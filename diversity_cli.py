"""The command's first lines, outside the package: they must run even where another `diversity` is imported."""

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Run the command, or say in one line why it cannot run."""
    spec = find_spec("diversity")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    # These files belong to PyPI's `diversity`, another project with the same import name.
    if folder is None or (folder / "ngram_diversity.py").exists() or not (folder / "shift.py").exists():
        sys.exit(
            _complain(
                "the distributions 'diversity' and 'diversity-shift' are both installed and provide one import "
                "package: pip uninstall -y diversity diversity-shift && pip install diversity-shift"
            )
        )
    from diversity.cli import main as command

    command()


def _complain(line: str) -> int:
    sys.stderr.write(f"diversity: {line}\n")
    return 2

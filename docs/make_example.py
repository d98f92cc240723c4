"""Write docs/example-report.html: the report of the demo pair, from samples drawn on this machine.

    python docs/make_example.py

Draws the samples of `diversity demo` into diversity-demo/, or goes on with those that are there.
"""

import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent


def main() -> None:
    """Run the demo and copy its page."""
    folder = DOCS.parent / "diversity-demo"
    subprocess.run([sys.executable, "-m", "diversity", "demo", "--out", str(folder)], check=True)
    shutil.copyfile(folder / "report.html", DOCS / "example-report.html")
    sys.stdout.write(f"wrote {DOCS / 'example-report.html'}\n")


if __name__ == "__main__":
    main()

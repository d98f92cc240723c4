"""The bodies of test_fuzz.py for longer: `python tests/fuzz.py SECONDS`, guided by coverage where atheris is installed.

What fails is printed with the input that fails, which then belongs into a test of its own.
"""

import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec

BODIES = ("any_bytes", "any_rows", "a_parquet_file_with_other_bytes_in_it", "any_manifest_of_a_store")
BODIES = (*BODIES, "every_domain_finds_some_answer_in_any_output")


def main(seconds: int) -> None:
    """Give each body its share of the time, in a process of its own: atheris never comes back."""
    share = max(1, seconds // len(BODIES))
    for name in BODIES:
        sys.stderr.write(f"{name}: {share} s\n")
        if subprocess.run([sys.executable, __file__, name, str(share)], check=False).returncode:
            raise SystemExit(f"{name} failed: see above")


def one(name: str, seconds: int) -> None:
    """Run one body."""
    if not find_spec("atheris"):
        import test_fuzz

        end, body = time.monotonic() + seconds, getattr(test_fuzz, f"test_{name}")
        while time.monotonic() < end:
            body()
        return
    import atheris

    with atheris.instrument_imports(include=["diversity"]):
        import test_fuzz

        # What is imported when first used is imported here: code that is not watched guides nothing.
        for module in ("store", "views", "layout", "domains", "metrics"):
            import_module(f"diversity.{module}")
        test_fuzz.domains()
    body = getattr(test_fuzz, f"test_{name}").hypothesis.fuzz_one_input
    # Long inputs from the start: hypothesis makes of a few bytes hardly more than an empty table.
    limits = [f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=4096", "-max_len=4096", "-len_control=0"]
    limits.append(f"-artifact_prefix={tempfile.gettempdir()}/")
    atheris.Setup([sys.argv[0], *limits], body)
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        one(sys.argv[1], int(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)

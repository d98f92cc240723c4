"""What trackers are given of a shift: figures by slash-separated names, and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diversity.shift import Shift
from diversity.tables import Samples


def figures(shift: Shift) -> dict[str, float]:
    """The verdicts as numbers, by the names that `DiversityCallback` logs; undefined ones are left out."""
    told = {
        f"diversity/{row['domain']}/{row['facet']}{suffix}": row[column]
        for row in shift.verdicts().iter_rows(named=True)
        # Not FACET/shift: MLflow keeps a metric in a file, and a file is no folder.
        for suffix, column in {
            "": "post",
            "_pre": "pre",
            "_shift": "relative",
            "_shift_low": "relative_low",
            "_shift_high": "relative_high",
        }.items()
    }
    return {name: float(value) for name, value in told.items() if value is not None}


def written(shift: Shift, folder: Path, samples: Sequence[Samples] = ()) -> list[Path]:
    """Write the page, the shift and the samples into a folder; return the page and the shift."""
    files = [folder / "report.html", folder / "shift.json"]
    shift.to_html(files[0])
    shift.to_json(files[1])
    for number, table in enumerate(samples):
        table.write(folder / f"samples-{number}-{str(table.frame['checkpoint'][0])[:40].replace('/', '_')}.parquet")
    return files

"""What is measured: one file a family. A metric is a function of one prompt's answers, registered by name."""

if __name__ != "diversity.metrics":
    raise ImportError("import this folder as `diversity.metrics`: a second copy would fill the registry twice")

from importlib import import_module

FAMILIES = (
    "kernels",
    "lexical",
    "richness",
    "bleu",
    "overlap",
    "compression",
    "trees",
    "prose",
    "semantic",
    "clusters",
    "quality",
    "calibration",
    "guards",
    "across",
    "between",
)


def load() -> None:
    """Import every family, which registers its metrics."""
    for family in FAMILIES:
        import_module(f"diversity.metrics.{family}")

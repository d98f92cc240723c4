"""Measure how preference tuning shifts the diversity of a model's outputs, domain by domain."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Each name is imported when first used: `import diversity` stays fast and free of torch.
_HOMES = {
    "Answers": "views",
    "Completions": "trainer",
    "DiversityCallback": "trainer",
    "Domain": "domain",
    "Factorial": "factorials",
    "Gate": "gate",
    "Policy": "policy",
    "Prompt": "domain",
    "Recipe": "recipes",
    "Samples": "tables",
    "Scores": "tables",
    "Sequential": "sequential",
    "Shift": "shift",
    "Trajectory": "designs",
    "Undefined": "views",
    "check": "gate",
    "compare": "shift",
    "factorial": "factorials",
    "metric": "registry",
    "plan": "planning",
    "read_samples": "tables",
    "read_scores": "tables",
    "recipe": "recipes",
    "sample": "sampling",
    "score": "scoring",
    "trajectory": "designs",
    "until_decided": "sequential",
    "recompute": "signature",
    "validate": "validity",
}
# DiversityCallback and Completions stay out of it: `from diversity import *` would import transformers.
__all__ = [
    "Answers",
    "Domain",
    "Factorial",
    "Gate",
    "Policy",
    "Prompt",
    "Recipe",
    "Samples",
    "Scores",
    "Sequential",
    "Shift",
    "Trajectory",
    "Undefined",
    "__version__",
    "check",
    "compare",
    "factorial",
    "metric",
    "plan",
    "read_samples",
    "read_scores",
    "recipe",
    "recompute",
    "sample",
    "score",
    "trajectory",
    "until_decided",
    "validate",
]

if TYPE_CHECKING:
    from diversity.designs import Trajectory, trajectory
    from diversity.domain import Domain, Prompt
    from diversity.errors import Undefined
    from diversity.factorials import Factorial, factorial
    from diversity.gate import Gate, check
    from diversity.planning import plan
    from diversity.policy import Policy
    from diversity.recipes import Recipe, recipe
    from diversity.registry import metric
    from diversity.sampling import sample
    from diversity.scoring import score
    from diversity.sequential import Sequential, until_decided
    from diversity.shift import Shift, compare
    from diversity.signature import recompute
    from diversity.tables import Samples, Scores, read_samples, read_scores
    from diversity.trainer import Completions as Completions
    from diversity.trainer import DiversityCallback as DiversityCallback
    from diversity.validity import validate
    from diversity.views import Answers

# PyPI's `diversity` is another project that installs the same import package; this file of it is not ours.
if (Path(__file__).parent / "ngram_diversity.py").exists():
    warnings.warn(
        "the distribution 'diversity' is installed in the same folder as 'diversity-shift' and one of them is broken: "
        "pip uninstall -y diversity diversity-shift && pip install diversity-shift",
        RuntimeWarning,
        stacklevel=2,
    )


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"diversity.{_HOMES[name]}"), name)
    elif name in {"registry", "stats"}:
        value = import_module(f"diversity.{name}")
    else:
        raise AttributeError(f"module 'diversity' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

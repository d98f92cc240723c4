"""Familiar problems and their variants: a checkpoint that has a method, and one that has a template."""

import numpy as np
import polars as pl
import pytest

from diversity.errors import InputError
from diversity.registry import find_domain
from diversity.scoring import score
from diversity.tables import Samples
from diversity.transfer import BRITTLE, CANNOT, METHOD, METRICS, TEMPLATE, transfer

N = 8
PROMPTS = [p for p in find_domain("variants").prompts if p.details["instance"] == 0]
OPENERS = (
    "Let us add up what is given, one thing after another.",
    "We begin from the end and undo every step in turn.",
    "A small table of all cases shows what is left over!",
    "Think of it as boxes: each box holds a part of the whole.",
    "First comes the largest; the others follow, do they not?",
    "Call the unknown x, and write down an equation for x.",
)


def outputs(name, *, familiar, variant, one_route, seed):
    """Worked solutions, right with the given chances; all along one route, or along any of several."""
    rng = np.random.default_rng(seed)
    rows = []
    for p in PROMPTS:
        chance = familiar if p.details["form"] == "familiar" else variant
        for k in range(N):
            opener = OPENERS[0] if one_route else OPENERS[rng.integers(len(OPENERS))]
            answer = p.details["answer"] if rng.random() < chance else "wrong" if p.details["kind"] == "word" else "-1"
            rows.append((name, "variants", p.prompt_id, k, f"{opener}\nAnswer: {answer}"))
    columns = ["checkpoint", "domain", "prompt_id", "sample_index", "output"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.col("sample_index").cast(pl.Int32))


def compared(pre, post):
    both = Samples.of(pl.concat([pre, post]))
    return transfer(score(both, metrics=list(METRICS), conditions=["all"], workers=1), ("pre", "post"))


@pytest.fixture(scope="module")
def method():
    return outputs("pre", familiar=0.7, variant=0.7, one_route=False, seed=1)


def test_a_large_drop_along_one_route_is_a_template(method):
    found = compared(method, outputs("post", familiar=0.95, variant=0.3, one_route=True, seed=2))

    assert (found.verdict, found.families) == (TEMPLATE, 12)
    assert found.drop.interval[0] > 0.3
    assert found.drop.post == pytest.approx(0.65, abs=0.1)
    assert set(found.by_form) == {"removed", "renamed", "rescaled", "irrelevant", "reversed"}
    assert found.routes["lexical.similarity"].interval[0] > 0


def test_a_drop_along_many_routes_is_no_template(method):
    assert compared(method, outputs("post", familiar=0.95, variant=0.3, one_route=False, seed=3)).verdict == BRITTLE


def test_a_checkpoint_with_a_method_is_never_called_a_template(method):
    found = compared(method, outputs("post", familiar=0.9, variant=0.9, one_route=True, seed=4))

    assert found.verdict not in {TEMPLATE, BRITTLE}
    assert abs(found.drop.estimate) < 3 * found.drop.se
    same = compared(
        outputs("pre", familiar=1, variant=0.9, one_route=False, seed=5),
        outputs("post", familiar=1, variant=0.9, one_route=False, seed=6),
    )
    assert same.verdict in {METHOD, "undecided"}


def test_floor_and_ceiling_are_told(method):
    none = outputs("post", familiar=0.0, variant=0.0, one_route=False, seed=7)
    assert compared(method, none).verdict == CANNOT
    assert compared(method, none).why.startswith("floor")
    full = [outputs(n, familiar=1, variant=1, one_route=False, seed=8) for n in ("pre", "post")]
    assert compared(*full).why.startswith("ceiling")


def test_a_domain_without_families_is_refused():
    with pytest.raises(InputError, match="no family and form"):
        transfer(pl.DataFrame(), ("pre", "post"), "story")

"""How often rules about probes fail a gate that should not: the table in docs/gate.md.

    python benchmarks/probe_gate_errors.py [GATES]

Draws the answers of two checkpoints to the same prompts, computes the probes' figures and judges them by the gate
itself. `unchanged`: both answer from the same distributions, and the rules allow no change at all, the worst truth
under which no rule is broken. `sharper`: after tuning each answers by its probabilities to the third power, more
agreement with no more knowledge, and the rules allow a change of five points.
"""

import sys
from dataclasses import asdict

import numpy as np
import polars as pl

from diversity import probes
from diversity.confidence import Points
from diversity.gate import LEVEL, check
from diversity.policy import Policy
from diversity.shift import JUDGED, Shift
from diversity.tables import SHIFT

RULES = ("overconfidence", "ece", "brier", "auroc", "risk_coverage", "confidently_wrong")
LETTERS = 5


def values(rng, mixtures, truths, n):
    """What `diversity.metrics.calibration` says of n answers to each prompt, all prompts at once."""
    votes = np.stack([rng.multinomial(n, p) for p in mixtures])
    places = np.arange(len(votes))
    most = votes.max(axis=1)
    leads = votes == most[:, None]
    shares = votes / n
    own = {
        "modal_share": most / n,
        "modal_accuracy": leads[places, truths] / leads.sum(axis=1),
        "accuracy": shares[places, truths],
        "confidence": (votes * (votes - 1)).sum(axis=1) / (n * (n - 1)),
        "entropy_confidence": np.exp((shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1)),
    }
    own["overconfidence"] = own["confidence"] - own["accuracy"]
    own["confidently_wrong"] = ((own["modal_share"] >= 0.8) & (own["modal_accuracy"] < 0.5)).astype(float)
    return own


def drawn(rng, prompts, n, sharpen=1.0, domain="factual"):
    """The paired values of a checkpoint that is right as often as it answers, and of one that answers more sharply."""
    mixtures = rng.dirichlet(np.full(LETTERS, 0.6), size=prompts)
    truths = np.array([rng.choice(LETTERS, p=p) for p in mixtures])
    sharper = mixtures**sharpen / (mixtures**sharpen).sum(axis=1, keepdims=True)
    names = tuple(f"p{i:03}" for i in rng.permutation(1000)[:prompts])  # other groups of the jackknife each time
    sides = [values(rng, each, truths, n) for each in (mixtures, sharper)]
    return Points(domain=domain, prompts=names, pre=sides[0], post=sides[1])


def judged(points, allowed):
    """A gate of all rules over these prompts."""
    cells = [asdict(c) for c in probes._calibration(points, Points(domain="", prompts=(), pre={}, post={}), ())]
    row = dict.fromkeys(SHIFT) | {"domain": points.domain, "metric": "valid", "facet": "guard", "condition": "all"}
    shift = Shift(
        frame=pl.DataFrame([row], schema=pl.Schema(SHIFT)),
        judged=pl.DataFrame([], schema=pl.Schema(JUDGED)),
        pre="pre",
        post="post",
        settings={"seed": 0},
        provenance={},
        probes=cells,
    )
    limits = {rule: {"max_fall" if rule == "auroc" else "max_rise": allowed} for rule in RULES}
    return check(shift, Policy.of({"domains": {points.domain: {"probes": limits}}}))


def main(gates):
    """Print the table."""
    print("| truth | allowed | prompts | outputs | some interval beyond | gate fails | gate passes |")
    print("| :-- | --: | --: | --: | --: | --: | --: |")
    for truth, sharpen, allowed in (("unchanged", 1, 0.0), ("unchanged", 1, 0.05), ("sharper", 3, 0.05)):
        for prompts, n in ((40, 8), (100, 16)):
            rng = np.random.default_rng([prompts, n, sharpen])
            counts = np.zeros(3)
            for _ in range(gates):
                gate = judged(drawn(rng, prompts, n, sharpen), allowed)
                alone = [f.p is not None and f.p <= LEVEL for f in gate.findings]
                counts += [any(alone), gate.exit_code == 1, gate.passed]
            shares = " | ".join(f"{100 * c / gates:.1f} %" for c in counts)
            print(f"| {truth} | {100 * allowed:g} points | {prompts} | {n} | {shares} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)

"""The semantic kernel: how a cosine of two answers becomes a similarity in [0, 1]."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from diversity.errors import InputError

FloatArray = npt.NDArray[np.float64]

PARAMETERS: dict[str, tuple[str, ...]] = {
    "beta": ("a", "b", "k"),
    "beta0": ("b", "k"),
    "logistic": ("slope", "offset"),
    "anchored": ("c0",),
}
# Unit vectors in float64 miss a cosine of 1 by some 1e-16; the curve is so steep there that this would show.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A monotone curve from cosine to similarity, with z(1) = 1: identical answers are identical.

    With c the cosine clipped to [0, 1] and S the logistic function:

    ========  ===========================================  ==============================
    form      z(c)                                         parameters
    ========  ===========================================  ==============================
    beta      S(a ln c - b ln(1 - c) + k)                  a, b >= 0, k
    beta0     (p(c) - p(0)) / (1 - p(0)), p beta of a = 0  b > 0, k
    logistic  S(slope c + offset) / S(slope + offset)      slope >= 0; c not clipped at 0
    anchored  max(0, (c - c0) / (1 - c0))                  0 <= c0 < 1; fitted to no label
    ========  ===========================================  ==============================

    Attributes
    ----------
    form : str
        One of the forms above.
    parameters : mapping of str to float
        Its parameters.
    source : str
        Name of the labelled data, or "none".
    data : str
        First 12 hex digits of the sha256 of the data file, or "".
    embedding : str
        Fingerprint of the embedding model the curve belongs to, or "".

    References
    ----------
    Kull, Silva Filho and Flach 2017, "Beta calibration", AISTATS, equation 3. They fit a to the data; where a = 0 fits
    best, p(0) is above 0, and beta0 takes that floor out.

    Examples
    --------
    >>> curve = Calibration(form="beta0", parameters={"b": 1.0, "k": 0.0})
    >>> curve([-0.2, 0.0, 0.5, 1.0]).round(6).tolist()
    [0.0, 0.0, 0.333333, 1.0]
    """

    form: str
    # Not hashed, since a mapping cannot be: two curves that differ here only still compare as different.
    parameters: Mapping[str, float] = field(hash=False)
    source: str = "none"
    data: str = ""
    embedding: str = ""

    def __post_init__(self) -> None:
        if self.form not in PARAMETERS:
            raise InputError(f"unknown form of calibration '{self.form[:80]}': known: {', '.join(PARAMETERS)}")
        wanted = PARAMETERS[self.form]
        if set(self.parameters) != set(wanted):
            raise InputError(
                f"calibration '{self.form}' takes the parameters {', '.join(wanted)}, "
                f"got {', '.join(self.parameters) or 'none'}"
            )
        if not np.isfinite(list(self.parameters.values())).all():
            raise InputError(f"calibration '{self.form}' has a parameter that is not finite: fit it again")
        # A falling curve would call distant answers alike.
        falling = any(self.parameters.get(name, 0.0) < 0 for name in ("a", "b", "slope"))
        flat = self.form in ("beta", "beta0") and self.parameters["b"] == 0
        if falling or flat or not 0 <= self.parameters.get("c0", 0.0) < 1:
            raise InputError(
                f"calibration '{self.form}' does not rise from 0 to 1 with {dict(self.parameters)}: fit it again"
            )

    def __call__(self, cosine: npt.ArrayLike) -> FloatArray:
        """Similarity of each cosine.

        Parameters
        ----------
        cosine : array_like
            Cosines, any shape, in [-1, 1].

        Returns
        -------
        numpy.ndarray
            Same shape, in [0, 1], never falling as the cosine rises, 1 at cosine 1. Depends on the cosine only, so the
            expectation of a mean over pairs does not depend on n.

        Raises
        ------
        ValueError
            When a cosine is NaN or outside [-1, 1] by more than rounding.
        """
        c = np.asarray(cosine, dtype=np.float64)
        if not (np.abs(c) <= 1 + ROUNDING).all():  # also false for NaN
            raise ValueError(
                "a cosine is NaN or outside [-1, 1]: scale the vectors to unit length, and check them for NaN"
            )
        z = self._curve(np.minimum(c, 1.0))
        return np.where(c >= 1 - ROUNDING, 1.0, np.clip(z, 0.0, 1.0) + 0.0)  # + 0.0 turns a negative zero positive

    def _curve(self, c: FloatArray) -> FloatArray:
        """The formula of the form, for cosines of 1 at most."""
        p = self.parameters
        if self.form == "anchored":
            return np.asarray((c - p["c0"]) / (1 - p["c0"]))
        if self.form == "logistic":
            return np.asarray(_logistic(p["slope"] * c + p["offset"]) / _logistic(p["slope"] + p["offset"]))
        c = np.maximum(c, 0.0)
        with np.errstate(divide="ignore"):  # the logarithm of 0 is the limit that is wanted
            far = -p["b"] * np.log1p(-c) + p["k"]
            if self.form == "beta":
                # 0 times the logarithm of 0 would be NaN.
                return _logistic(far + p["a"] * np.log(c)) if p["a"] > 0 else _logistic(far)
        # (p(c) - p(0)) / (1 - p(0)), written so that no two near numbers are subtracted.
        return np.asarray(_logistic(far) * -np.expm1(p["k"] - far))

    @property
    def fingerprint(self) -> str:
        """First 6 hex digits of the sha256 over form, parameters and data: a curve edited by hand shows."""
        parts = [self.form, self.source, self.data] + [
            f"{name}={self.parameters[name]!r}" for name in PARAMETERS[self.form]
        ]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:6]

    @property
    def signature(self) -> str:
        """The curve in one word, for the signature of a figure."""
        if self.source == "none":
            shown = ",".join(f"{name}={self.parameters[name]:.4g}" for name in PARAMETERS[self.form])
            return f"cal:uncalibrated.{self.form}[{shown}]#{self.fingerprint}"
        return f"cal:{self.form}.{self.source}#{self.fingerprint}"

    @classmethod
    def uncalibrated(cls, c0: float) -> "Calibration":
        """The anchored cosine, for an embedding model without a fitted curve; its signature says so.

        Parameters
        ----------
        c0 : float
            Cosine of unrelated answers, 0 to below 1: the median over answers of pre to different prompts.
            Take one number for both checkpoints. 0 gives the plain cosine.
        """
        return cls(form="anchored", parameters={"c0": float(c0)})

    @classmethod
    def for_model(cls, embedding: str, *, c0: float | None = None) -> "Calibration":
        """The curve fitted for an embedding model.

        Parameters
        ----------
        embedding : str
            Fingerprint of the model, which is safe, or its name, which other weights may bear too.
        c0 : float, optional
            Anchor to fall back on when the model has no curve. See `Calibration.uncalibrated`.

        Returns
        -------
        Calibration

        Raises
        ------
        InputError
            When the model has no curve and no `c0` is given.
        """
        curves = read_curves()
        for curve in curves:
            model = curve["embedding"]
            if embedding in (model["fingerprint"], model["name"]):
                return cls(
                    form=curve["form"],
                    parameters=curve["parameters"],
                    source=curve["data"]["name"],
                    data=curve["data"]["sha256"][:12],
                    embedding=model["fingerprint"],
                )
        if c0 is not None:
            return cls.uncalibrated(c0)
        known = ", ".join(f"{curve['embedding']['name']}#{curve['embedding']['fingerprint']}" for curve in curves)
        raise InputError(
            f"no calibration curve for embedding model '{embedding[:80]}': known: {known}. "
            "Fit one with benchmarks/calibrate_semantic.py, or give c0 to use the cosine uncalibrated"
        )


def _logistic(x: npt.ArrayLike) -> FloatArray:
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # the exponential of a large number is infinite, and the result 0, as it should be
        return np.asarray(1 / (1 + np.exp(-np.asarray(x, dtype=np.float64))))


def read_curves() -> list[dict[str, Any]]:
    """All fitted curves of metrics/calibration.json, with their data, evaluation and versions."""
    stored = json.loads(files("diversity.metrics").joinpath("calibration.json").read_text(encoding="utf-8"))
    if stored.get("schema") != 1:
        raise InputError(
            f"calibration.json has schema {stored.get('schema')}, this version reads 1: install the package again"
        )
    curves: list[dict[str, Any]] = stored["curves"]
    return curves

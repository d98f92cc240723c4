"""The curve from cosine to similarity."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from diversity import calibration
from diversity.calibration import Calibration, read_curves
from diversity.errors import InputError

cosines = npst.arrays(np.float64, npst.array_shapes(max_dims=2, max_side=40), elements=st.floats(-1, 1))
slopes = st.floats(0.01, 20)
offsets = st.floats(-20, 20)
curves = st.one_of(
    st.builds(lambda a, b, k: ("beta", {"a": a, "b": b, "k": k}), st.just(0.0) | slopes, slopes, offsets),
    st.builds(lambda b, k: ("beta0", {"b": b, "k": k}), slopes, offsets),
    st.builds(lambda s, o: ("logistic", {"slope": s, "offset": o}), slopes, offsets),
    st.builds(lambda c0: ("anchored", {"c0": c0}), st.floats(0, 0.99)),
).map(lambda made: Calibration(form=made[0], parameters=made[1]))


@given(curves, cosines)
def test_similarity_lies_between_0_and_1(curve, cosine):
    z = curve(cosine)
    assert z.shape == cosine.shape
    assert ((z >= 0) & (z <= 1)).all()


@given(curves, cosines)
def test_similarity_never_falls_as_the_cosine_rises(curve, cosine):
    # Rounding may move two nearly equal cosines by one unit in the last place.
    assert (np.diff(curve(np.sort(cosine.ravel()))) >= -1e-15).all()


@given(curves)
def test_identical_answers_are_identical(curve):
    # A unit vector times itself misses 1 by a few units in the last place.
    assert curve([1.0, 1 - 1e-15, 1 + 1e-15]).tolist() == [1.0, 1.0, 1.0]


@given(curves, st.sampled_from([np.nan, np.inf, -np.inf, 1.001, -1.001]))
def test_what_is_no_cosine_is_refused(curve, wrong):
    with pytest.raises(ValueError, match="NaN or outside"):
        curve([0.5, wrong])


def test_a_single_number_keeps_its_shape():
    assert Calibration.uncalibrated(0.0)(0.25).shape == ()


def test_no_cosines_give_no_similarities():
    assert Calibration.uncalibrated(0.0)([]).tolist() == []


@pytest.mark.parametrize(
    ("form", "parameters", "cosine", "similarity"),
    [
        # a = b = 1, k = 0: the logistic of ln(c / (1 - c)) is c.
        ("beta", {"a": 1.0, "b": 1.0, "k": 0.0}, 0.3, 0.3),
        # The floor of beta at a = 0 is the logistic of k: 1 / (1 + 3).
        ("beta", {"a": 0.0, "b": 1.0, "k": -1.0986122886681098}, -0.5, 0.25),
        # p(0.5) = 2/3 and p(0) = 1/2: (2/3 - 1/2) / (1/2).
        ("beta0", {"b": 1.0, "k": 0.0}, 0.5, 0.3333333333333333),
        ("beta0", {"b": 1.0, "k": 0.0}, 0.0, 0.0),
        # (2/3) / (4/5).
        ("logistic", {"slope": 1.3862943611198906, "offset": 0.0}, 0.5, 0.8333333333333333),
        ("anchored", {"c0": 0.2}, 0.6, 0.5),
        ("anchored", {"c0": 0.2}, 0.1, 0.0),
    ],
)
def test_similarity_is_the_one_computed_by_hand(form, parameters, cosine, similarity):
    assert Calibration(form=form, parameters=parameters)(cosine) == pytest.approx(similarity, abs=1e-9)


def test_the_shipped_curve_gives_the_published_similarities():
    # With A = e^k and u = (1 - c)^-b, z = A (u - 1) / (1 + A u); worked with `bc -l`, not with the package.
    z = Calibration.for_model("all-MiniLM-L6-v2")([-0.5, 0.0, 0.5, 0.8, 0.9, 0.95, 1.0])
    by_hand = [0.0, 0.0, 0.063251044106, 0.228921314339, 0.420528637830, 0.626365584570, 1.0]
    assert z == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.parametrize(
    ("form", "parameters", "message"),
    [
        ("spline", {}, "unknown form of calibration 'spline'"),
        ("beta0", {"b": 1.0}, "takes the parameters b, k, got b"),
        ("beta0", {"b": -1.0, "k": 0.0}, "does not rise"),
        ("beta", {"a": -0.1, "b": 1.0, "k": 0.0}, "does not rise"),
        ("beta0", {"b": 0.0, "k": 0.0}, "does not rise"),
        ("anchored", {"c0": 1.0}, "does not rise"),
        ("anchored", {"c0": float("nan")}, "not finite"),
    ],
)
def test_a_curve_that_is_none_is_refused(form, parameters, message):
    with pytest.raises(InputError, match=message):
        Calibration(form=form, parameters=parameters)


def test_an_unknown_embedding_model_is_an_error_that_names_the_known_ones():
    with pytest.raises(InputError, match=r"model 'tiny': known: all-MiniLM-L6-v2#.*give c0"):
        Calibration.for_model("tiny")


def test_the_fallback_for_an_unknown_model_shows_in_the_signature():
    curve = Calibration.for_model("tiny", c0=0.08)
    assert curve(0.54) == pytest.approx(0.5)
    assert curve.signature.startswith("cal:uncalibrated.anchored[c0=0.08]#")


def test_an_anchor_does_not_displace_a_fitted_curve():
    assert Calibration.for_model("all-MiniLM-L6-v2", c0=0.08).form == "beta0"


def test_the_signature_names_form_source_and_a_hash_of_the_numbers():
    curve = Calibration(form="beta0", parameters={"b": 1.5, "k": -2.0}, source="here", data="abc")
    short = hashlib.sha256(b"beta0|here|abc|b=1.5|k=-2.0").hexdigest()[:6]
    assert curve.signature == f"cal:beta0.here#{short}"


def test_a_changed_parameter_changes_the_signature():
    before = Calibration(form="beta0", parameters={"b": 1.5, "k": -2.0}, source="here")
    after = Calibration(form="beta0", parameters={"b": 1.5, "k": -2.0001}, source="here")
    assert before.signature != after.signature


def test_the_name_and_the_fingerprint_of_a_model_find_the_same_curve():
    stored = read_curves()[0]["embedding"]
    by_name, by_fingerprint = (Calibration.for_model(stored[key]) for key in ("name", "fingerprint"))
    assert by_name == by_fingerprint
    assert by_name.signature.startswith("cal:beta0.noveltybench#")


def test_the_stored_curve_separates_better_than_chance_on_pairs_it_was_not_fitted_to():
    lower_bound = read_curves()[0]["evaluation"]["auc"]["val"][1]
    assert lower_bound > 0.5


def test_a_file_of_another_version_is_refused(monkeypatch, tmp_path):
    (tmp_path / "calibration.json").write_text(json.dumps({"schema": 2, "curves": []}), encoding="utf-8")
    monkeypatch.setattr(calibration, "files", lambda package: tmp_path)
    with pytest.raises(InputError, match="schema 2"):
        read_curves()


def test_import_loads_no_heavy_package():
    code = (
        "import sys, diversity.calibration, diversity.embedding; "
        "print({'torch', 'transformers', 'sentence_transformers', 'scipy'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.model
def test_the_stored_curve_belongs_to_the_shipped_model():
    from diversity.embedding import Embedder

    embedder = Embedder.load()
    stored = read_curves()[0]["embedding"]
    assert stored == {"name": embedder.name, "fingerprint": embedder.fingerprint, "window": embedder.window}
    assert Calibration.for_model(embedder.fingerprint).embedding == embedder.fingerprint

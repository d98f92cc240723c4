"""Dispersion of embeddings: worked values, peers, invariances, refusals."""

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from diversity.calibration import Calibration
from diversity.errors import InputError, Undefined
from diversity.metrics.semantic import hill
from diversity.registry import find_metric, metrics
from diversity.stats import pair_mean
from diversity.views import Answers

FIVE = [[1.0, 0, 0], [0.8, 0.6, 0], [0, 1.0, 0], [0.6, 0, 0.8], [0, 0.6, 0.8]]
# Inputs of golden_peers.json, "gauss8x6" and "near8x6", scaled to unit length below.
GAUSS = [
    [0.067, 1.029, 0.005, 0.268, -1.46, -1.8],
    [1.65, 0.362, -0.575, -1.177, 0.246, -1.587],
    [0.204, -0.036, -0.279, 0.615, 0.424, 1.36],
    [-1.162, -0.426, -0.818, -0.599, -0.81, 0.161],
    [-1.278, 0.146, -2.187, -1.73, 0.783, 0.738],
    [1.283, 0.031, 0.653, -1.188, -0.796, 0.984],
    [0.036, -0.906, -2.065, 0.527, -0.323, 0.412],
    [1.809, -0.635, -0.791, 1.102, -1.352, 0.003],
]
CLOSE = [
    [0.014, 1.092, -0.024, 0.223, -1.435, -1.914],
    [0.062, 1.104, 0.153, 0.348, -1.432, -1.836],
    [0.056, 1.108, 0.015, 0.262, -1.548, -1.833],
    [-0.006, 1.041, 0.003, 0.414, -1.545, -1.875],
    [0.091, 1.014, 0.026, 0.252, -1.443, -1.85],
    [0.104, 1.082, 0.109, 0.244, -1.405, -1.803],
    [-0.045, 0.993, 0.044, 0.314, -1.526, -1.786],
    [-0.011, 1.038, 0.173, 0.244, -1.476, -1.824],
]
VENDI = ("vendi_0.5", "vendi", "vendi_2", "vendi_inf")
LEINSTER_COBBOLD = tuple(f"leinster_cobbold_{q}" for q in ("0", "1", "2", "inf"))
# Values that follow from the shares of directions alone, and so do not see every answer said twice.
PLUG_IN = (*VENDI, *LEINSTER_COBBOLD, "kernel_entropy", "centroid_distance", "participation_ratio")
CALIBRATED = (*LEINSTER_COBBOLD, "meanings", "same_meaning", "semantic_entropy")


def of(rows, texts=None, **details):
    """Answers with these directions, one text each unless texts are given."""
    vectors = np.array(rows, dtype=float)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Answers(texts or [f"text {i}" for i in range(len(rows))], encode=lambda _: vectors, **details)


def value(name, answers):
    result = find_metric(name).function(answers)
    return pair_mean(result)[0] if isinstance(result, np.ndarray) else result


def semantic_names():
    return [
        m.name
        for m in metrics().values()
        if m.facet == "semantic"
        and m.needs == "vectors"
        and m.unit == "within prompt"
        and m.name != "utility_k"
        # These also ask which answers are valid: see test_quality.py.
        and not m.of_all_outputs
    ]


@pytest.mark.parametrize(
    ("name", "expected", "within"),
    [
        ("pairwise_cosine_distance", 0.592, 1e-12),
        ("median_cosine_distance", 0.46, 1e-12),  # by hand: distances .2 .36 .4 .4 .4 .52 .64 1 1 1
        ("centroid_distance", 0.2744657141113178, 1e-9),
        ("nearest_neighbour_distance", 0.304, 1e-9),
        ("vendi_0.5", 2.8590940327247854, 1e-6),
        ("vendi", 2.7273467657347803, 1e-9),
        ("vendi_2", 2.5052108385441723, 1e-9),
        ("vendi_inf", 1.8633171989337005, 1e-6),
        ("kernel_entropy", 1.0033292559313862, 1e-9),  # ln 2.7273467657
        ("squared_cosine", 0.24896, 1e-12),
        ("log_determinant", 0.5664400250081594, 1e-9),
        ("participation_ratio", 1.9996348365893737, 1e-9),
        ("leinster_cobbold_0", 1.9321165399596771, 1e-9),
        ("leinster_cobbold_1", 1.9161335159651935, 1e-9),
        ("leinster_cobbold_2", 1.899696048632219, 1e-9),
        ("leinster_cobbold_inf", 1.54320987654321, 1e-9),
        ("semantic.similarity", 0.408, 1e-12),
    ],
)
def test_worked_values_of_five_directions(name, expected, within):
    """golden_metrics.json: numpy, each computed once and apart from this package."""
    assert value(name, of(FIVE)) == pytest.approx(expected, abs=within)


@pytest.mark.parametrize(
    ("name", "gauss", "close"),
    [
        # emb-diversity 0.1.0: mean_pw_dist, chamfer_dist
        ("pairwise_cosine_distance", 0.9736656564537363, 0.0024991037920114667),
        ("nearest_neighbour_distance", 0.5382714798408657, 0.0010843270672888372),
        # vendi-score 0.0.3: score_dual at q of 1, 2 and "inf"; emb-diversity's vendi_score is the first
        ("vendi", 4.982436210636787, 1.0187121667392849),
        ("vendi_2", 4.542889269807321, 1.004386154770158),
        ("vendi_inf", 3.1989984954745676, 1.002191397121173),
    ],
)
def test_values_of_published_packages(name, gauss, close):
    assert value(name, of(GAUSS)) == pytest.approx(gauss, abs=1e-6)
    assert value(name, of(CLOSE)) == pytest.approx(close, abs=1e-6)


def test_renyi_entropy_of_emb_diversity_is_the_logarithm_of_vendi_2():
    assert np.log(value("vendi_2", of(GAUSS))) == pytest.approx(1.5135632126759766, abs=1e-6)
    assert np.log(value("vendi_2", of(CLOSE))) == pytest.approx(0.004376563628584488, abs=1e-6)


def test_log_determinant_differs_from_that_of_emb_diversity_which_is_made_finite_by_a_millionth():
    # Theirs is log det(K + 1e-6 I), -27.5292 and -55.3672: it measures how many answers are above the dimensions.
    for rows, theirs in ((GAUSS, -27.529243054292078), (CLOSE, -55.36715174751869)):
        cosines = of(rows).cosines
        assert np.linalg.slogdet(cosines + 1e-6 * np.eye(8))[1] == pytest.approx(theirs, abs=1e-6)
        assert value("log_determinant", of(rows)) == pytest.approx(
            np.linalg.slogdet(cosines + np.eye(8))[1] / 8, abs=1e-9
        )


def test_the_order_counts_where_score_x_of_vendi_score_drops_it():
    # vendi-score 0.0.3 gives 4.982436210636795 from score_X at q of 1, 2 and "inf" alike.
    orders = [value(name, of(GAUSS)) for name in VENDI]
    assert orders[1] == pytest.approx(4.982436210636795, abs=1e-6)
    assert orders == sorted(orders, reverse=True)
    assert orders[0] - orders[3] > 2


def gram(name):
    """Answers whose cosines are a matrix of golden_peers.json, in more dimensions than answers."""
    block = np.zeros((5, 5))
    block[:2, :2] = block[2:, 2:] = 1
    even = np.full((4, 4), 0.5) + 0.5 * np.eye(4)
    odd = np.full((4, 4), -0.2) + 1.2 * np.eye(4)
    grams = {"identity5": np.eye(5), "ones5": np.ones((5, 5)), "blocks_2_3": block, "even": even, "odd": odd}
    weights, axes = np.linalg.eigh(grams[name])
    return of(np.hstack([axes * np.sqrt(weights.clip(0)), np.zeros((len(axes), 3))]))


@pytest.mark.parametrize(
    ("name", "orders"),
    [
        # vendi-score 0.0.3, score_K at q of 0.5, 1, 2, "inf". On ones5 at 0.5 it counts rounding: 1.0000000109.
        ("identity5", (5, 5, 5, 5)),
        ("ones5", (1, 1, 1, 1)),
        ("blocks_2_3", (1.9797959112, 1.960131704207791, 1.9230769230769225, 1.6666666666666663)),
        ("even", (3.4270509831248415, 2.9257265599673183, 2.2857142857142856, 1.6)),
        ("odd", (3.8392304845413268, 3.7204105801130156, 3.571428571428571, 3.333333333333333)),
    ],
)
def test_vendi_of_known_matrices(name, orders):
    assert [value(metric, gram(name)) for metric in VENDI] == pytest.approx(orders, abs=1e-6)


def test_the_square_root_of_rounding_does_not_count():
    # score_K(q=0.5) of vendi-score gives 1.0000000109 for five equal vectors, score_K(q=0) gives 3.
    assert value("vendi_0.5", of([[0.6, 0.8]] * 40)) == pytest.approx(1, abs=1e-12)


def test_the_smaller_of_the_two_products_has_the_same_spectrum():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(40, 6))
    wide = of(np.hstack([rows, np.zeros((40, 50))]))
    assert of(rows).spectrum == pytest.approx(wide.spectrum, abs=1e-12)
    assert len(of(rows).spectrum) == 6


def test_dispersion_is_seen_where_graph_entropy_of_emb_diversity_is_blind():
    # emb-diversity 0.1.0, default graph_entropy of 32 vectors with spread 1.0, 0.3, 0.1, 0.01: 109.8 each time.
    rng = np.random.default_rng(0)
    centre, noise = rng.normal(size=16), rng.normal(size=(32, 16))
    near_one = {"leinster_cobbold_0", "meanings", "semantic_entropy"}
    for name in semantic_names():
        metric = find_metric(name)
        if metric.higher_is == "neither" or name in near_one:
            continue
        found = [value(name, of(centre + spread * noise)) for spread in (1.0, 0.3, 0.1, 0.01)]
        falling = sorted(found, reverse=metric.higher_is == "more diverse")
        assert found == falling
        assert abs(found[0] - found[3]) > 0.05


def test_participation_ratio_counts_directions_however_small():
    ball = np.eye(6)[0] + 1e-3 * np.eye(6)[1:5]
    assert value("participation_ratio", of(ball)) == pytest.approx(3, abs=1e-3)
    assert value("participation_ratio", of([[1, 0], [0, 1], [1, 0]])) == pytest.approx(1, abs=1e-12)


def test_participation_ratio_of_equal_vectors_is_undefined():
    with pytest.raises(Undefined, match="all answers have the same vector"):
        value("participation_ratio", of([[1, 0]] * 3))


def test_near_duplicates_are_pairs_from_a_cosine_of_95_hundredths():
    at, below = [0.95, np.sqrt(1 - 0.95**2)], [0.949, np.sqrt(1 - 0.949**2)]
    assert value("semantic_near_duplicates", of([[1, 0], [0.9501, np.sqrt(1 - 0.9501**2)]])) == 1
    assert value("semantic_near_duplicates", of([[1, 0], at, below])) >= 1 / 3
    assert value("semantic_near_duplicates", of([[1, 0], below])) == 0


def test_the_median_is_not_moved_by_one_answer_far_away():
    near, far = [[1, 0], [1, 0], [1, 0], [1, 0], [1, 0]], [[1, 0]] * 4 + [[0, 1]]
    assert value("median_cosine_distance", of(near)) == value("median_cosine_distance", of(far)) == 0
    assert value("pairwise_cosine_distance", of(far)) == pytest.approx(0.4)


def test_leinster_cobbold_of_classes_is_the_hill_number_of_their_shares():
    # golden_metrics.json: counts 2, 1, 1
    answers = of([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert [value(name, answers) for name in LEINSTER_COBBOLD] == pytest.approx([3, 2.82842712474619, 8 / 3, 2])


@pytest.mark.parametrize(("order", "expected"), [(0, 6), (1, 5.11732032057026), (2, 4.5), (np.inf, 3)])
def test_hill_numbers_of_counts(order, expected):
    assert hill(np.array([4, 3, 2, 1, 1, 1]) / 12, order) == pytest.approx(expected, abs=1e-12)


def test_leinster_cobbold_reads_the_calibrated_similarity():
    curve = Calibration(form="anchored", parameters={"c0": 0.6})
    answers = of([[1, 0], [0.8, 0.6]], calibration=curve)
    # z = (0.8 - 0.6) / 0.4 = 0.5, so each is 0.75 alike on average.
    assert value("leinster_cobbold_2", answers) == pytest.approx(4 / 3, abs=1e-12)


def directions(n, d, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + rng.normal(size=d)


SIZES = {"n": st.integers(2, 9), "d": st.integers(2, 12), "seed": st.integers(0, 10_000)}


@pytest.mark.parametrize("name", semantic_names())
@given(**SIZES)
@settings(max_examples=25, deadline=None)
def test_rotating_all_vectors_changes_nothing(name, n, d, seed):
    rows = directions(n, d, seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(d, d)))
    assert value(name, of(rows @ rotation)) == pytest.approx(value(name, of(rows)), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", PLUG_IN)
@given(**SIZES)
@settings(max_examples=25, deadline=None)
def test_saying_everything_twice_leaves_plug_in_values_unchanged(name, n, d, seed):
    rows = directions(n, d, seed)
    texts = [f"text {i}" for i in range(n)]
    once, twice = value(name, of(rows, texts)), value(name, of(np.vstack([rows, rows]), texts * 2))
    assert twice == pytest.approx(once, rel=1e-6)


@pytest.mark.parametrize("names", [VENDI, LEINSTER_COBBOLD])
@given(**SIZES)
@settings(max_examples=50, deadline=None)
def test_orders_lie_between_1_and_n_and_fall(names, n, d, seed):
    found = [value(name, of(directions(n, d, seed))) for name in names]
    assert found[0] <= n + 1e-9
    assert found[-1] >= 1 - 1e-9
    assert all(a >= b - 1e-9 for a, b in pairwise(found))


@pytest.mark.parametrize("name", semantic_names())
def test_a_vector_that_is_not_finite_or_not_of_length_1_is_an_error(name):
    for bad in (np.nan, np.inf, 0.0, 2.0):
        answers = Answers(("one", "two", "three"), encode=lambda _, bad=bad: np.array([[1.0, 0], [0, 1.0], [bad, 0]]))
        with pytest.raises(InputError, match="the embedding of 'three' is not finite or not of length 1"):
            value(name, answers)


@pytest.mark.parametrize("name", semantic_names())
def test_without_an_embedding_model_it_is_undefined(name):
    with pytest.raises(Undefined, match="no embedding model"):
        value(name, Answers(("one", "two", "three")))


def test_equal_texts_have_cosine_1_whatever_the_rounding():
    answers = of([[0.1, 0.2, 0.3]] * 3, ["same"] * 3)
    assert (answers.cosines == 1).all()
    assert value("pairwise_cosine_distance", answers) == 0
    assert value("nearest_neighbour_distance", answers) == 0


def test_guards_of_long_and_unknown_text():
    answers = Answers(("a", "b", "c"), windows=np.array([1, 2, 3]), unknown=np.array([0, 0, 0.3]))
    assert value("windowed", answers) == pytest.approx(2 / 3)
    assert value("unknown_tokens", answers) == pytest.approx(0.1)
    with pytest.raises(Undefined, match="no embedding model counted its windows"):
        value("windowed", Answers(("a", "b")))
    with pytest.raises(Undefined, match="no embedding model counted its unknown tokens"):
        value("unknown_tokens", Answers(("a", "b")))

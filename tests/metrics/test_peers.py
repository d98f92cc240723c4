"""Agreement with published packages on their own tokens, and where we differ because they are wrong.

The values stand in tests/golden/peers.json, what the packages gave in the versions named there.
"""

import json
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from diversity.errors import Undefined
from diversity.metrics import bleu, lexical, overlap, richness
from diversity.registry import find_metric
from diversity.sequences import Sequences
from diversity.stats import pair_mean
from diversity.views import Answers
from diversity.words import tokens_13a

REFERENCE = Path(__file__).parents[1] / "golden" / "peers.json"
SETS = [
    "prose",
    "identical",
    "duplicates",
    "disjoint",
    "short_words",
    "single",
    "with_empty",
    "whitespace",
    "markdown",
    "punctuation",
    "unicode",
    "code",
    "long",
    "repeat_in_text",
]
PROSE = (
    "The keeper lit the lamp before the storm came in. Nobody on the island slept that night.",
    "Before the storm came in, the keeper lit the lamp. No one on the island slept.",
    "She sold the boat in spring and bought a bicycle, which her brother painted green.",
    "A lighthouse is a tower with a bright light that helps ships find their way at night.",
    "The keeper lit the lamp before the storm came in. Then he wrote a letter to his sister.",
    "Rain fell for nine days. On the tenth day the children found a whale on the beach.",
)


@cache
def reference():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


def texts_of(name):
    return reference()["inputs"]["sets"][name]


def peer(package, name, measure):
    """The peer's value, or None where it raised or gave no finite number."""
    found = reference()["peers"][package]["sets"][name][measure]
    value = found.get("value", found.get("self", {}).get("value"))
    return value if isinstance(value, (int, float, list, dict)) else None


def tokenised(tokens):
    """Answers that read as the given tokens."""
    found = Answers([" ".join(t) for t in tokens])
    found.words = found.lexemes = Sequences(tokens)
    return found


def split(texts):
    return tokenised([t.split() for t in texts])


def rouge_tokens(texts):
    """What rouge_score reads: lower case, a-z and 0-9 only."""
    return tokenised([re.sub("[^a-z0-9]+", " ", t.lower()).split() for t in texts])


# --- literals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [
        (0, 0.1962191290937171),
        (1, 0.2294200014843429),
        (2, 0.29217965485688896),
        (3, 0.2502797735406701),
        (4, 0.23963279963465148),
        (5, 0.3245661946277799),
        (7, 0.3324886745357383),
    ],
)
def test_self_bleu_is_that_of_nltk_under_each_smoothing(smoothing, expected):
    found = bleu.each_against_others(split(PROSE).words, smoothing=smoothing)
    assert found.mean() == pytest.approx(expected, abs=1e-12)


def test_pair_bleu_is_that_of_nltk():
    assert pair_mean(bleu.pair_bleu(split(PROSE)))[0] == pytest.approx(0.060214145441165164, abs=1e-12)


def test_self_bleu_of_sacrebleu():
    per_text = [71.96315267102841, 40.202477345336675, 3.2244357206306944, 5.10809933294318, 53.26509505811611]
    found = bleu.each_against_others(Answers(PROSE).words_13a, smoothing=3, effective=True)
    assert found == pytest.approx(np.array([*per_text, 5.538003944406129]) / 100, abs=1e-12)
    assert find_metric("self_bleu_sacrebleu").function(Answers(PROSE)) == pytest.approx(found.mean(), abs=1e-12)


def test_homogenization_of_the_diversity_package():
    assert pair_mean(overlap.self_rouge_l(rouge_tokens(PROSE)))[0] == pytest.approx(0.198, abs=5e-4)


def test_self_repetition_of_the_diversity_package():
    assert lexical.self_repetition(split(PROSE)) == pytest.approx(0.6931471805599453, abs=1e-12)
    assert lexical.self_repetition(split(PROSE), order=2) == pytest.approx(1.5092982686879308, abs=1e-12)


def test_ngram_vendi_of_vendi_score_with_its_scipy_call_mended():
    assert overlap.ngram_vendi(split(PROSE)) == pytest.approx(5.144734321865771, abs=1e-9)
    assert overlap.ngram_vendi(split(PROSE), orders=(1,)) == pytest.approx(4.5600510451058955, abs=1e-9)


def test_lexicalrichness_of_one_text_read_by_our_own_tokeniser():
    first = Answers(PROSE[:1])
    assert first.lexemes.items == [
        [
            *[
                "the",
                "keeper",
                "lit",
                "the",
                "lamp",
                "before",
                "the",
                "storm",
                "came",
                "in",
                "nobody",
                "on",
                "the",
                "island",
            ],
            *["slept", "that", "night"],
        ]
    ]
    assert richness.ttr(first) == pytest.approx(0.8235294117647058, abs=1e-12)
    assert richness.mattr(first, window=10) == pytest.approx(0.8875, abs=1e-12)
    assert richness.hdd(first, draws=10) == pytest.approx(0.8632352941176472, abs=1e-12)
    assert richness.mtld(first) == pytest.approx(21.986666666666665, abs=1e-12)


# --- where a peer is wrong ------------------------------------------------------------------------------------------


def test_disjoint_texts_share_nothing_where_the_diversity_package_says_all():
    disjoint = Answers(["alpha beta", "gamma delta", "one two"])
    assert pair_mean(overlap.self_rouge_l(disjoint))[0] == 0  # diversity 0.3.1: 1.0


def test_chinese_texts_differ_where_the_diversity_package_says_equal():
    found = overlap.self_rouge_l(Answers(["東京は夜の七時。", "東京は夜の八時。", "今日は雨。"]))
    assert found[0, 1] == 14 / 16  # seven of eight signs; rouge_score reads none of them
    assert 0 < found[0, 2] < found[0, 1]


def test_one_changed_sign_of_chinese_text_leaves_bleu_high_where_sacrebleu_says_0():
    texts = ["東京は夜の七時です。", "東京は夜の八時です。"]
    assert find_metric("self_bleu_sacrebleu").function(Answers(texts)) == 0  # one token a sentence
    assert find_metric("self_bleu").function(Answers(texts)) > 0.5


def test_nothing_is_undefined_rather_than_0_or_1():
    for name in ("distinct_1", "distinct_2", "self_repetition", "compression_ratio", "ngram_entropy_2", "mattr"):
        with pytest.raises(Undefined):
            find_metric(name).function(Answers(["", " "]))  # peers: ZeroDivisionError, 0.0 or 1.0


def test_no_n_gram_crosses_from_one_answer_into_the_next():
    joined = tokenised([["alpha", "beta", "gamma"]])
    apart = Answers(["alpha", "beta", "gamma"])
    assert lexical.distinct_n(joined, order=2) == 1
    with pytest.raises(Undefined, match="no answer has 2 words"):
        lexical.distinct_n(apart, order=2)


def test_a_missing_order_makes_unsmoothed_bleu_0_where_nltk_gives_1e_78():
    assert bleu.each_against_others(split(PROSE).words, smoothing=0)[1] == 0


def test_smoothing_6_is_undefined_where_nltk_fails_an_assertion():
    with pytest.raises(Undefined, match="no trigram"):
        bleu.each_against_others(split(PROSE).words, smoothing=6)


def test_mtld_without_a_repeated_word_is_undefined_where_lexicalrichness_counts_the_words():
    with pytest.raises(Undefined, match="no answer has a word twice"):
        richness.mtld(Answers(PROSE[2:3]))  # lexicalrichness: 15.0


def test_short_texts_leave_mattr_and_hdd_undefined():
    with pytest.raises(Undefined, match="no answer has 50 words"):
        richness.mattr(Answers(PROSE))
    with pytest.raises(Undefined, match="no answer has 42 words"):
        richness.hdd(Answers(PROSE))


# --- all sets of the reference --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("smoothing", range(8))
def test_self_bleu_of_nltk(name, smoothing):
    expected = peer("nltk", name, f"self_bleu4(multi_ref, SmoothingFunction.method{smoothing})")
    words = split(texts_of(name)).words
    if expected is None:
        if name != "single":
            with pytest.raises(Undefined):
                bleu.each_against_others(words, smoothing=smoothing)
        return
    found = bleu.each_against_others(words, smoothing=smoothing)
    assert found == pytest.approx(np.array(expected["per_text"]), abs=1e-12)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("orders", [2, 3])
def test_self_bleu_of_fewer_orders_of_nltk(name, orders):
    expected = peer("nltk", name, f"self_bleu{orders}(multi_ref, SmoothingFunction.method1)")
    if expected is not None:
        found = bleu.self_bleu(split(texts_of(name)), orders=orders)
        assert found == pytest.approx(expected["mean"], abs=1e-12)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("smoothing", [0, 1, 4])
def test_pair_bleu_of_nltk(name, smoothing):
    expected = peer("nltk", name, f"self_bleu4(pairwise, SmoothingFunction.method{smoothing})")
    if expected is not None:
        found = pair_mean(bleu.pair_bleu(split(texts_of(name)), smoothing=smoothing))[0]
        assert found == pytest.approx(expected["mean"], abs=1e-12)


def by_13a(texts):
    # As they stand: `Answers` would compose the letters that one of the sets has decomposed.
    return Sequences([tokens_13a(t) for t in texts])


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    ("measure", "read", "smoothing"),
    [
        ("sentence_bleu() defaults (exp smoothing, 13a, effective order)", by_13a, 3),
        ("sentence_bleu(smooth_method='none')", by_13a, 0),
        ("sentence_bleu(smooth_method='floor')", by_13a, 1),
        ("sentence_bleu(tokenize='none')", lambda texts: split(texts).words, 3),
        ("sentence_bleu(tokenize='char')", lambda texts: Sequences(["".join(t.split()) for t in texts]), 3),
        ("sentence_bleu(lowercase=True)", lambda texts: by_13a([t.lower() for t in texts]), 3),
    ],
)
def test_self_bleu_of_sacrebleu_on_all_sets(name, measure, read, smoothing):
    expected = peer("sacrebleu", name, measure)
    texts = texts_of(name)
    if expected is None:
        return
    found = bleu.each_against_others(read(texts), smoothing=smoothing, effective=True)
    measured = np.array([bool(t.split()) for t in texts])  # two empty answers are alike to us and 0 to sacrebleu
    assert found[measured] == pytest.approx(np.array(expected)[measured] / 100, abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_chrf_of_sacrebleu(name):
    texts = texts_of(name)
    matrix = np.array(
        reference()["peers"]["sacrebleu"]["sets"][name]["sentence_chrf() defaults (chrF2)"]["matrix"]["value"]
    )
    composed = np.array([t == a for t, a in zip(texts, Answers(texts).texts, strict=True)])
    measured = np.ix_(*[composed & [bool(t.split()) for t in texts]] * 2)
    found = overlap.self_chrf(Answers(texts))
    assert found[measured] == pytest.approx((matrix + matrix.T)[measured] / 200, abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_rouge_l_of_rouge_score(name):
    matrix = np.array(reference()["peers"]["rouge_score"]["sets"][name]["rougeL_f_matrix"]["value"])
    answers = rouge_tokens(texts_of(name))
    measured = np.ix_(*[answers.words.lengths > 0] * 2)  # it scores two texts without a token 0, we 1
    assert overlap.self_rouge_l(answers)[measured] == pytest.approx(matrix[measured], abs=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_homogenization_of_the_diversity_package_on_all_sets(name):
    expected = peer("diversity", name, "homogenization_score(measure='rougel', use_stemmer=False)")
    if expected is None or name in {"with_empty", "unicode"}:
        return  # texts without a token, see above
    found = pair_mean(overlap.self_rouge_l(rouge_tokens(texts_of(name))))[0]
    assert found == pytest.approx(0 if name == "disjoint" else expected, abs=5e-4)
    assert expected == 1 or name != "disjoint"


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("order", [2, 4])
def test_self_repetition_of_the_diversity_package_on_all_sets(name, order):
    expected = peer("diversity", name, f"self_repetition_score(n={order})")
    answers = split(texts_of(name))
    if answers.words.lengths.max() < order:
        assert expected == 0
        with pytest.raises(Undefined):
            lexical.self_repetition(answers, order=order)
    else:
        assert lexical.self_repetition(answers, order=order) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("orders", [1, 2, 3, 4])
def test_ngram_diversity_of_the_diversity_package_once_the_texts_are_joined(name, orders):
    joined = tokenised([" ".join(texts_of(name)).split(" ")])
    expected = peer("diversity", name, f"ngram_diversity_score(num_n={orders})")
    assert lexical.ngram_diversity_sum(joined, orders=orders) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("orders", "measure"), [((1,), "same, ns=[1]"), ((1, 2), "same, by get_ngrams + score_K")])
def test_ngram_vendi_of_vendi_score_on_all_sets(name, orders, measure):
    values = reference()["peers"]["vendi_score"]["sets"][name]
    expected = next(v["value"] for k, v in values.items() if k.startswith(measure))
    answers = split(texts_of(name))
    if answers.words.lengths.min() < max(orders):
        return  # a text without an n-gram has no similarity to itself there, which breaks its trace
    assert overlap.ngram_vendi(answers, orders=orders) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    ("measure", "function"),
    [
        ("ttr", richness.ttr),
        ("mattr(window_size=10)", lambda a: richness.mattr(a, window=10)),
        ("mtld(threshold=0.72)", richness.mtld),
        ("hdd(draws=42)", richness.hdd),
        ("hdd(draws=10)", lambda a: richness.hdd(a, draws=10)),
    ],
)
def test_lexicalrichness_on_all_sets(name, measure, function):
    for text, found in zip(texts_of(name), reference()["peers"]["lexicalrichness"]["sets"][name], strict=True):
        words = (found.get("wordlist") or {}).get("value")
        expected = found[measure].get("value")
        if words is None:
            words = re.sub(r"[^\w\s]|\d", "", text.lower()).split()
            if len(words) != found["words"]["value"]:
                continue
        answers = tokenised([words])
        if expected is None or (measure.startswith("mtld") and len(set(words)) == len(words)):
            with pytest.raises(Undefined):
                function(answers)
        else:
            assert function(answers) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_linguistic_diversity_on_its_tokens(name):
    values = reference()["peers"]["linguistic-diversity"]["sets"][name]
    tokens = [t for t in (re.findall(r"\w+", text.lower()) for text in texts_of(name)) if t]
    answers = tokenised(tokens)
    for order in (1, 2, 3, 4):
        expected = values[f"DistinctN(n={order})"]["value"]
        if max(map(len, tokens)) < order:
            assert expected == 0  # and undefined to us
        else:
            assert lexical.distinct_n(answers, order=order) == pytest.approx(expected, abs=1e-12)
    if len(tokens) > 1 and min(map(len, tokens)) >= 4:
        # It leaves out the orders that a text is too short for, in another way than sacrebleu does.
        assert bleu.self_bleu(answers) == pytest.approx(values["SelfBLEU()"]["value"], abs=1e-9)


# --- vectors, matrices and counts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gauss8x6", "near8x6"])
def test_vendi_score_of_vectors_and_where_its_order_is_dropped(name):
    x = np.array(reference()["inputs"]["embeddings"][name], dtype=float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    values = reference()["peers"]["vendi_score"]["embeddings"][name]
    answers = Answers([str(i) for i in range(len(x))], encode=lambda _: x)
    for metric, order in (("vendi", "1"), ("vendi_2", "2"), ("vendi_inf", "'inf'")):
        expected = values[f"score_dual(q={order})"]["value"]
        assert find_metric(metric).function(answers) == pytest.approx(expected, abs=1e-9)
    # score_X takes q and does not use it.
    assert values["score_X(q=2)"]["value"] == values["score_X(q=1)"]["value"]
    assert find_metric("vendi_2").function(answers) < find_metric("vendi").function(answers)


@pytest.mark.parametrize("name", ["identity5", "ones5", "blocks_2_3", "equicorr_0.5_n4"])
def test_vendi_score_of_a_matrix(name):
    kernel = np.array(reference()["inputs"]["grams"][name], dtype=float)
    values, vectors = np.linalg.eigh(kernel)
    x = vectors * np.sqrt(np.clip(values, 0, None))
    answers = Answers([str(i) for i in range(len(x))], encode=lambda _: x)
    expected = reference()["peers"]["vendi_score"]["grams"][name]
    for metric, order in (("vendi_0.5", "0.5"), ("vendi", "1"), ("vendi_2", "2"), ("vendi_inf", "'inf'")):
        if (name, order) == ("ones5", "0.5"):
            continue  # noise of 1e-17 in four eigenvalues counts there; see the next test
        peer_value = expected[f"score_K(q={order})"]["value"]
        assert find_metric(metric).function(answers) == pytest.approx(peer_value, abs=1e-6)


def test_equal_answers_are_one_at_low_orders_where_vendi_score_counts_rounding_noise():
    same = Answers(["a"] * 64, encode=lambda texts: np.tile([0.6, 0.8], (len(texts), 1)))
    assert find_metric("vendi_0.5").function(same) == pytest.approx(1, abs=1e-9)
    assert reference()["peers"]["vendi_score"]["grams"]["ones5"]["score_K(q=0)"]["value"] > 2


@pytest.mark.parametrize("name", ["gauss8x6", "near8x6"])
def test_distances_of_emb_diversity(name):
    x = np.array(reference()["inputs"]["embeddings"][name], dtype=float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    answers = Answers([str(i) for i in range(len(x))], encode=lambda _: x)
    values = reference()["peers"]["emb-diversity"]["embeddings"][name]
    distance = pair_mean(find_metric("pairwise_cosine_distance").function(answers))[0]
    assert distance == pytest.approx(values["mean_pw_dist"]["value"], abs=1e-6)
    nearest = find_metric("nearest_neighbour_distance").function(answers)
    assert nearest == pytest.approx(values["chamfer_dist"]["value"], abs=1e-6)
    assert find_metric("vendi").function(answers) == pytest.approx(values["vendi_score"]["value"], abs=1e-6)


def test_every_measure_of_dispersion_sees_dispersion_where_graph_entropy_is_blind():
    """An entropy over the distance graph gives 109.8 whether the spread about one point is 1.0 or 0.01."""
    rng = np.random.default_rng(0)
    point, noise = rng.normal(size=48), rng.normal(size=(32, 48))
    found = {}
    for spread in (1.0, 0.3, 0.1, 0.01):
        x = point + spread * noise
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        answers = Answers([str(i) for i in range(32)], encode=lambda _, x=x: x)
        for name in (
            *("pairwise_cosine_distance", "median_cosine_distance", "centroid_distance", "nearest_neighbour_distance"),
            *("vendi_0.5", "vendi", "vendi_2", "vendi_inf", "kernel_entropy", "log_determinant"),
            *("leinster_cobbold_0", "leinster_cobbold_1", "leinster_cobbold_2", "leinster_cobbold_inf"),
        ):
            value = find_metric(name).function(answers)
            found.setdefault(name, []).append(pair_mean(value)[0] if isinstance(value, np.ndarray) else value)
    for name, values in found.items():
        assert np.all(np.diff(values) < 0), name
        if not name.startswith("log"):
            assert values[0] > 1.2 * values[-1], name


@pytest.mark.parametrize("name", ["even4", "skew", "singletons", "one_species", "with_zero", "big"])
def test_hill_numbers_and_entropy_of_scikit_bio(name):
    from diversity.counts import entropy, hill

    found = np.array([c for c in reference()["inputs"]["counts"][name] if c])
    values = reference()["peers"]["scikit-bio"]["counts"][name]
    assert entropy(found) == pytest.approx(values["shannon()"]["value"], abs=1e-9)
    for order in (0, 0.5, 1, 2, 3, np.inf):
        assert hill(found, order) == pytest.approx(values[f"hill(order={order})"]["value"], abs=1e-9)


def test_the_diversity_package_compresses_twice():
    import gzip
    import zlib

    text = " ".join(texts_of("prose")).encode()
    expected = peer("diversity", "prose", "compression_ratio(algorithm='gzip')")
    twice = len(text) / (len(gzip.compress(gzip.compress(text))) + len("compressed") + 1)  # its file name in the header
    assert twice == pytest.approx(expected, rel=0.02)
    once = find_metric("compression_ratio_gzip").function(Answers(texts_of("prose")))
    assert once > 1.05 * expected
    assert once == pytest.approx(len(text) / (len(zlib.compress(text, 9, -15)) + 18), rel=0.02)
    assert not math.isclose(once, expected, rel_tol=0.02)

"""Hostile and degenerate answers, over the whole registry: a new metric is covered by being registered.

Every case is read once, by all metrics together; a failure names the metric.
"""

import warnings

import numpy as np
import polars as pl
import pytest

from diversity.errors import InputError, Undefined
from diversity.registry import metrics
from diversity.scoring import score
from diversity.stats import effective, pair_mean
from diversity.views import Answers

WITHIN = [m for m in metrics().values() if m.unit in {"within prompt", "within output"}]
BETWEEN = [m for m in metrics().values() if m.unit == "between checkpoints"]
WORDS = ("the keeper lit his lamp and wrote home", "rain fell on nine grey ships", "no dog barked all night long")
CASES = {
    "one": ["The cat sat on the mat. It slept."],
    "two of one letter": ["a", "b"],
    "empty": ["", "", ""],
    "white space": [" ", "\t\n ", "\u3000\u2028"],
    "some empty": ["", "The cat sat on the mat.", " ", "A dog ran."],
    "identical": ["The cat sat on the mat. It slept, and nobody woke it."] * 4,
    "emoji": ["🙂🙂🙃", "👩‍👩‍👧 🇫🇷🇩🇪", "👍🏽", "🙂"],
    "no spaces": ["東京は夜の七時です。", "東京は夜の八時です。", "今日は雨が降る。", "ฝนตกทุกวัน"],
    "right to left": ["שלום עולם, מה שלומך היום?", "السلام عليكم ورحمة الله", "שָׁלוֹם", "\u202eabc\u202c"],
    "combining": ["e\u0301" * 40, "é" * 40, "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍", "a"],
    "lone surrogates": ["\ud800", "a \udfff b", "\ud83d \ude00", "plain"],
    "controls": ["\x00", "\x1b[31mred\x1b[0m", "a\x08b", "\x7f\x85\u2028"],
    "line ends": ["a\r\nb\r\n\r\nc", "a\rb\rc", "a\nb\n\nc", "\r\n"],
    "signs": ["...!!!???", "——", "#$%^&*()", "`" * 200],
    "markup": ["<script>alert(1)</script>", "[a](javascript:b)", "|a|b|\n|-|-|", "```\n" * 20],
    "broken code": ["def f(:", "}{][", "if (x", "\t\tdef\n"],
}


def angles(texts):
    """A direction for each text that depends on the text alone."""
    turns = np.array([sum(map(ord, t)) % 97 for t in texts]) / 30
    return np.stack([np.cos(turns), np.sin(turns), np.zeros(len(texts))], axis=1)


def given(texts, language=None, encode=angles):
    texts = list(texts)
    flags = ("valid", "empty", "refused", "loops", "truncated", "cut", "left_out")
    return Answers(
        texts,
        language=language,
        encode=encode,
        behaviours=texts,
        flags={name: np.zeros(len(texts), dtype=bool) for name in flags},
        qualities=[0.5] * len(texts),
        windows=np.ones(len(texts), dtype=np.int64),
        unknown=np.zeros(len(texts)),
    )


def measured(metric, *sides):
    """The value as a table of scores would have it: a number in the range, or None with a reason."""
    if min(map(len, sides)) < metric.min_n:
        return None
    try:
        found = (metric.between if len(sides) == 2 else metric.function)(*sides)
    except Undefined:
        return None
    if isinstance(found, np.ndarray):
        assert np.isfinite(found).all(), metric.name
        assert np.allclose(found, found.T), metric.name
        found = pair_mean(found)[0]
        if np.isnan(found):
            return None  # fewer than two programs parse
    assert metric.range[0] - 1e-9 <= found <= metric.range[1] + 1e-9, metric.name
    return float(found)


@pytest.mark.parametrize("language", [None, "python"])
@pytest.mark.parametrize("name", CASES)
def test_a_value_is_in_its_range_or_undefined_and_nothing_is_raised_or_warned_of(name, language):
    texts = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = given(texts, language), given(texts[::-1], language)
        for metric in WITHIN:
            first, second = measured(metric, one), measured(metric, other)
            assert first == (None if second is None else pytest.approx(second, abs=1e-9)), metric.name
        for metric in BETWEEN:
            measured(metric, one, given(texts[:2], language))


@pytest.mark.parametrize("language", [None, "python"])
def test_no_answers_are_undefined(language):
    nothing = given([], language)
    for metric in WITHIN:
        assert measured(metric, nothing) is None, metric.name
    for metric in BETWEEN:
        assert measured(metric, nothing, given(["a b c"], language)) is None, metric.name


def test_one_answer_has_no_diversity_but_may_have_a_richness():
    one = given(CASES["one"])
    for metric in WITHIN:
        if metric.facet != "guard" and metric.unit == "within prompt" and metric.name != "utility_k":
            assert measured(metric, one) is None, metric.name


@pytest.mark.parametrize("code", [False, True])
def test_identical_answers_are_wholly_alike(code):
    text = "def f(x):\n    return x + 1" if code else CASES["identical"][0]
    same = given([text] * 5, "python" if code else None)
    alike = 0
    for metric in WITHIN:
        value = measured(metric, same)
        # A compressor needs a few bytes to say "the same again".
        if metric.pairwise and value is not None and metric.name != "ncd":
            assert value == (1 if metric.higher_is == "less diverse" else 0), metric.name
            alike += 1
        if metric.headline and value is not None:
            assert effective(value) == 1
        if metric.name.startswith(("vendi", "leinster_cobbold", "meanings", "layout_unique", "ngram_vendi")):
            assert value == pytest.approx(1, abs=1e-9), metric.name
        if metric.name in {"kernel_entropy", "semantic_entropy", "centroid_distance", "median_cosine_distance"}:
            assert value == pytest.approx(0, abs=1e-9), metric.name
    assert alike > 10


def test_blanks_alone_are_never_words_nor_a_diversity():
    for name in ("empty", "white space"):
        blank = given(CASES[name], encode=lambda texts: np.tile([1.0, 0.0], (len(texts), 1)))
        for metric in WITHIN:
            value = measured(metric, blank)
            # They are all alike, or there is nothing to measure. White space differs in characters and in bytes; the
            # determinant has 1 added to what it is of.
            if value is None or metric.facet == "guard" or metric.higher_is != "more diverse":
                continue
            if metric.name not in {"edit_distance_characters", "ncd", "log_determinant"}:
                assert value == pytest.approx(metric.range[0], abs=1e-9), metric.name


def test_line_ends_and_composed_letters_are_one_text_however_they_are_written():
    unix = ["A cat.\n\n- milk\n- fish\n\nIt slept; é.", "One line.\nAnother.", "# Head\n\nText here."]
    dos = [t.replace("\n", "\r\n").replace("é", "e\u0301") for t in unix]
    one, other = given(unix, encode=lambda t: np.eye(len(t))), given(dos, encode=lambda t: np.eye(len(t)))
    one.behaviours = other.behaviours = ["1", "2", "3"]
    for metric in WITHIN:
        assert measured(metric, one) == measured(metric, other), metric.name


@pytest.mark.parametrize(
    "name", ["jaccard_1", "self_chrf", "self_rouge_l", "edit_distance_words", "lexical.similarity"]
)
def test_scripts_without_spaces_are_told_apart(name):
    metric = metrics()[name]
    near = measured(metric, given(CASES["no spaces"][:2]))
    far = measured(metric, given(CASES["no spaces"][1:3]))
    assert 0 < near < 1
    assert (near > far) == (metric.higher_is == "less diverse")


# Slow, and never in the default panel: 200,000 tags, slow compressors, characters, a peer's regular expressions.
TOO_SLOW = ("pos_", "compression_ratio_zstd", "compression_ratio_xz", "self_chrf", "self_bleu_sacrebleu")


@pytest.mark.parametrize("unit", ["word ", "x", "東"])
def test_a_megabyte_on_one_line_is_measured(unit):
    text = unit * (1_000_000 // len(unit.encode()))
    big = given([text, text[: len(text) // 2], "A short one. It ends."], encode=lambda texts: np.eye(len(texts)))
    big.behaviours = ["1", "2", "3"]
    for metric in WITHIN:
        if not metric.name.startswith(TOO_SLOW):
            measured(metric, big)


def test_an_embedding_that_is_not_a_number_is_refused_and_not_dropped():
    for bad in (np.nan, np.inf, 0.0):
        vectors = np.array([[1.0, 0.0], [bad, 0.0], [0.0, 1.0]])
        answers = given(WORDS, encode=lambda _, vectors=vectors: vectors)
        for metric in WITHIN:
            # Those of all outputs ask first which of them are valid, which is not recorded here.
            if metric.needs == "vectors" and not metric.of_all_outputs:
                with pytest.raises(InputError, match="not finite or not of length 1"):
                    metric.function(answers)


class Letters:
    """Stands in for an embedding model: a direction by the letters of a text."""

    name, fingerprint, signature = "letters", "000000", "emb:letters#000000|win:1"

    def encode(self, texts, on_progress=None):
        rows = np.array([[t.count(chr(97 + i)) + 0.01 for i in range(26)] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def table(texts):
    rows = [
        (checkpoint, "text", f"p{prompt}", k, f"{texts[(prompt * step + k) % len(texts)]} {'so ' * (k % 3)}")
        for checkpoint, step in (("a", 1), ("b", 2))
        for prompt in range(4)
        for k in range(3)
    ]
    columns = ["checkpoint", "domain", "prompt_id", "sample_index", "output"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_the_order_of_prompts_and_of_rows_changes_no_score():
    frame = table([*WORDS, "one lamp was lit", "the old dog fell", "home is far off"])
    names = [m.name for m in metrics().values() if not m.name.startswith("pos_")]
    by = ["checkpoint", "prompt_id", "metric", "condition"]

    def scores(rows):
        found = score(rows, metrics=names, conditions=["all"], pairs=[("a", "b")], embedder=Letters())
        return found.frame.sort(by)

    first = scores(frame)
    assert first.equals(scores(frame.sample(fraction=1, shuffle=True, seed=3)))
    assert {"*", "p0"} <= set(first["prompt_id"])
    assert first["value"].is_not_null().mean() > 0.7
    # Other names for the prompts, in another order: the same values under the other names.
    renamed = frame.with_columns(pl.col("prompt_id").replace({f"p{i}": f"p{(i + 1) % 4}" for i in range(4)}))
    within = {m.name for m in WITHIN}
    values = [f.filter(pl.col("metric").is_in(within)).sort("value", *by)["value"] for f in (first, scores(renamed))]
    assert values[0].equals(values[1])

"""Samples to Scores: extraction, conditions, undefined values."""

import numpy as np
import polars as pl
import pytest

import diversity
from diversity.errors import InputError, UnknownName
from diversity.scoring import score

STORY = "The {} fox crossed the river at night and nobody in the village saw it go, said the old {} woman at the well."
WORDS = ["red", "grey", "old", "lame", "quick", "thin", "sly", "wet"]


class Directions:
    """Stands in for an embedding model where a test is not about embeddings: a vector by the letters of a text."""

    name, fingerprint, signature = "letters", "000000", "emb:letters#000000|win:1"

    def encode(self, texts, on_progress=None):
        rows = np.array([[t.count(chr(97 + i)) + 0.01 for i in range(26)] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rows(checkpoint, outputs, domain="story", prompt_id="story-001", **columns):
    frame = pl.DataFrame(
        {
            "checkpoint": checkpoint,
            "domain": domain,
            "prompt_id": prompt_id,
            "sample_index": range(len(outputs)),
            "output": outputs,
        }
    )
    return frame.with_columns(**{name: pl.Series(name, values) for name, values in columns.items()})


def stories(count):
    return [STORY.format(WORDS[i % 8], WORDS[(i * 3) % 8]) for i in range(count)]


def value(scores, metric, condition="all", **where):
    found = scores.frame.filter(
        (pl.col("metric") == metric) & (pl.col("condition") == condition),
        *(pl.col(k) == v for k, v in where.items()),
    )
    assert found.height == 1
    return found.row(0, named=True)


def test_preambles_do_not_count_as_the_answer():
    plain, polite = stories(4), ["Sure! Here is a story for you:\n\n" + s for s in stories(4)]
    one = score(rows("a", plain), embedder=Directions())
    other = score(rows("a", polite), embedder=Directions())
    assert value(one, "lexical.similarity")["value"] == value(other, "lexical.similarity")["value"]


def test_one_answer_is_undefined_and_says_so():
    found = value(score(rows("a", stories(1)), metrics=["lexical.similarity"]), "lexical.similarity")
    assert found["value"] is None
    assert found["note"] == "1 answers, 2 are needed"


def test_empty_answers_are_left_out_and_counted():
    scores = score(rows("a", [*stories(3), "", "  \n"]), metrics=["lexical", "guard"])
    assert value(scores, "lexical.similarity")["n"] == 3
    assert value(scores, "empty")["value"] == pytest.approx(2 / 5)


def test_the_valid_condition_drops_refusals_and_loops():
    bad = ["I'm sorry, but I can't help with that request today.", "again and again " * 20]
    scores = score(rows("a", stories(4) + bad), metrics=["lexical", "guard"])
    assert value(scores, "lexical.similarity")["n"] == 6
    assert value(scores, "lexical.similarity", "valid")["n"] == 4
    assert value(scores, "refused")["value"] == pytest.approx(1 / 6)
    assert value(scores, "loops")["value"] == pytest.approx(1 / 6)
    assert value(scores, "valid")["value"] == pytest.approx(4 / 6)


def test_a_given_valid_column_wins_over_the_domain():
    scores = score(rows("a", stories(4), valid=[True, True, False, False]), metrics=["lexical"])
    assert value(scores, "lexical.similarity", "valid")["n"] == 2


def test_the_length_matched_window_is_common_to_both_checkpoints():
    short, long = stories(5), [s + " And then " + " ".join(WORDS) * 3 for s in stories(5)]
    frame = pl.concat([rows("pre", short), rows("post", long)])
    scores = score(frame, metrics=["lexical"])
    matched = [value(scores, "lexical.similarity", "length-matched", checkpoint=c) for c in ("pre", "post")]
    assert matched[0]["note"] == matched[1]["note"]
    assert matched[0]["note"].startswith("first ")
    # What was appended lies beyond the window, so the two sides read the same.
    assert matched[0]["value"] == pytest.approx(matched[1]["value"])
    whole = [value(scores, "lexical.similarity", checkpoint=c)["value"] for c in ("pre", "post")]
    assert whole[0] != pytest.approx(whole[1])


def test_a_window_below_16_words_is_refused_with_a_note():
    found = value(
        score(rows("a", ["one two", "three four"]), metrics=["lexical"]), "lexical.similarity", "length-matched"
    )
    assert found["value"] is None
    assert "below 16" in found["note"]


def test_programs_that_do_not_parse_are_left_out_of_tree_metrics_and_noted():
    programs = ["def f(x):\n    return x", "def f(x):\n    return x + 1", "def f(x:\n    retur"]
    scores = score(rows("a", programs, domain="code", prompt_id="p"), embedder=Directions())
    found = value(scores, "syntactic.similarity")
    assert found["n"] == 2
    assert found["note"] == "1 of 3 do not parse"
    assert value(scores, "parse_failures")["value"] == pytest.approx(1 / 3)
    assert value(scores, "lexical.similarity")["n"] == 3


def test_tree_metrics_are_not_asked_of_prose():
    assert "distinct_programs" not in score(rows("a", stories(3)), embedder=Directions()).frame["metric"].to_list()


def test_without_an_embedding_model_semantic_scores_are_null_and_say_so(monkeypatch):
    from diversity import scoring
    from diversity.errors import MissingExtra

    def missing(name=None):
        raise MissingExtra('sentence-transformers is not installed: pip install "diversity-shift[models]"')

    monkeypatch.setattr(scoring.Embedder, "load", missing)
    found = value(score(rows("a", stories(3))), "semantic.similarity")
    assert found["value"] is None
    assert "embedding model" in found["note"]


def test_unknown_names_get_a_hint():
    with pytest.raises(UnknownName, match="did you mean 'distinct_2'"):
        score(rows("a", stories(3)), metrics=["distinc_2"])
    with pytest.raises(UnknownName, match="did you mean 'story'"):
        score(rows("a", stories(3), domain="storys"))
    with pytest.raises(InputError, match="unknown condition 'vali'"):
        score(rows("a", stories(3)), conditions=["vali"])


def test_scores_do_not_depend_on_the_order_of_rows():
    frame = pl.concat([rows("pre", stories(5)), rows("post", stories(6))])
    one = score(frame, embedder=Directions()).frame
    other = score(frame.sample(fraction=1, shuffle=True, seed=3), embedder=Directions()).frame
    assert one.equals(other)


def test_a_domain_by_a_new_name_is_any_prose():
    from diversity.errors import UnknownName
    from diversity.registry import domain_of

    assert domain_of("mydomain") is domain_of("mydomain")
    assert (domain_of("mydomain").name, domain_of("mydomain").language) == ("mydomain", None)
    assert domain_of("story").prompts
    with pytest.raises(UnknownName, match="did you mean 'story'"):
        domain_of("storys")


def test_truncated_outputs_are_counted_from_the_finish_reason():
    scores = score(rows("a", stories(4), finish_reason=["length", "stop", "stop", "stop"]), metrics=["guard"])
    assert value(scores, "truncated")["value"] == 0.25


def test_hostile_outputs_are_scored():
    hostile = ["\x00" * 20, "<script>alert(1)</script> " * 8, "\x1b[31mred\x1b[0m " * 9, "e" * 300_000, "‮abc " * 10]
    scores = diversity.score(rows("a", hostile), embedder=Directions())
    assert 0 <= value(scores, "lexical.similarity")["value"] <= 1

"""Samples to Scores: extraction, conditions, undefined values."""

import numpy as np
import polars as pl
import pytest

import diversity
from diversity import registry
from diversity.errors import InputError, UnknownName
from diversity.registry import Metric
from diversity.scoring import ALL, CONDITIONS, MATCHED, VALID, score

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


def test_equal_answers_count_once_a_prompt_under_deduplicated():
    scores = score(rows("a", [*stories(3), stories(1)[0].replace(" ", "  "), stories(2)[1]]), metrics=["lexical"])
    assert value(scores, "lexical.similarity")["n"] == 5
    once = value(scores, "lexical.similarity", "deduplicated")
    assert once["n"] == 3
    assert once["value"] == value(score(rows("a", stories(3)), metrics=["lexical"]), "lexical.similarity")["value"]


def test_a_prompt_of_copies_alone_has_no_pair_left_under_deduplicated():
    found = value(score(rows("a", stories(1) * 4), metrics=["lexical"]), "lexical.similarity", "deduplicated")
    assert (found["value"], found["n"], found["note"]) == (None, 1, "1 answers, 2 are needed")


def test_markdown_is_taken_out_under_format_stripped():
    laid_out = ["\n".join(f"- **{word}**" for word in s.split()) for s in stories(5)]
    plain = ["\n".join(s.split()) for s in stories(5)]
    one, other = (score(rows("a", texts), metrics=["lexical"]) for texts in (laid_out, plain))
    whole = value(other, "lexical.similarity")["value"]
    assert value(one, "lexical.similarity", "format-stripped")["value"] == whole
    assert value(one, "lexical.similarity")["value"] > whole


def test_programs_keep_their_layout_under_format_stripped():
    programs = [f"# {w}\ndef f(x):\n    return x * {i} * x  # *{w}*" for i, w in enumerate(WORDS[:4])]
    scores = score(rows("a", programs, domain="code", prompt_id="p"), metrics=["lexical"])
    assert (
        value(scores, "lexical.similarity", "format-stripped")["value"] == value(scores, "lexical.similarity")["value"]
    )


def test_untruncated_leaves_out_what_did_not_end_by_itself():
    reasons = ["length", "stop", "eos", "max_tokens", None, "error"]
    scores = score(rows("a", stories(6), finish_reason=reasons), metrics=["lexical"])
    assert value(scores, "lexical.similarity", "untruncated")["n"] == 3
    unrecorded = score(rows("a", stories(6)), metrics=["lexical"])
    assert value(unrecorded, "lexical.similarity", "untruncated")["n"] == 6


def counted(calls, name="counted"):
    def measure(answers):
        calls.append(len(answers))
        return 0.5

    return Metric(name=name, facet="lexical", higher_is="more diverse", range=(0, 1), source="here", function=measure)


def test_conditions_that_change_nothing_cost_nothing(monkeypatch):
    calls = []
    monkeypatch.setitem(registry._metrics, "counted", counted(calls))
    varied = [s + " " + s.upper() for s in stories(4)]
    scores = score(rows("a", varied, finish_reason=["stop"] * 4), metrics=["counted"])
    assert set(scores.frame["condition"]) == set(CONDITIONS)
    # All, valid, each text once, without markdown, finished: one set. The window of equal length is another.
    assert calls == [4, 4]


def test_the_default_panel_asks_the_headlines_alone_under_the_sensitivities():
    frame = score(rows("a", [*stories(3), stories(1)[0]]), embedder=Directions()).frame
    asked = frame.filter(pl.col("condition").is_in(["deduplicated", "format-stripped", "untruncated"]))
    assert set(asked["metric"]) == {f"{f}.similarity" for f in ("lexical", "syntactic", "semantic", "functional")}


@pytest.mark.parametrize(("names", "told"), [("lexical", {ALL, VALID, MATCHED}), (["distinct_1"], set(CONDITIONS))])
def test_a_facet_is_its_part_of_the_default_panel_and_a_named_metric_is_asked_everywhere(names, told):
    frame = score(rows("a", stories(3)), metrics=names).frame
    assert set(frame.filter(metric="distinct_1")["condition"]) == told


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (lambda answers: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda answers: "much", "ValueError: could not convert string to float: 'much'"),
        (lambda answers: np.ones(3), "ValueError: an array of shape (3,), neither a number nor n x n"),
    ],
)
def test_a_metric_that_fails_is_named_once_and_costs_its_own_scores_alone(monkeypatch, result, reason):
    broken = Metric(
        name="broken", facet="lexical", higher_is="more diverse", range=(0, 1), source="here", function=result
    )
    monkeypatch.setitem(registry._metrics, "broken", broken)
    frame = pl.concat([rows("a", stories(4), prompt_id=p) for p in ("story-001", "story-002")])
    with pytest.warns(UserWarning, match="metric 'broken' failed") as told:
        scores = score(frame, metrics=["broken", "lexical.similarity"])
    assert len(told) == 1
    failed = value(scores, "broken", prompt_id="story-002")
    assert (failed["value"], failed["note"]) == (None, f"the metric failed: {reason}")
    assert value(scores, "lexical.similarity", prompt_id="story-002")["value"] is not None

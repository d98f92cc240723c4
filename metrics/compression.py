"""Redundancy as a compressor sees it."""

import zlib

from diversity.registry import metric
from diversity.views import Answers, Undefined


@metric(
    name="compression_ratio",
    facet="lexical",
    higher_is="less diverse",
    range=(0, float("inf")),
    source="Shaib et al. 2024, arXiv:2403.00553",
    aliases=("cr", "compression-ratio"),
    confounds="Rises with the number of answers and their length; the compressor sees no repetition farther "
    "apart than 32 KiB.",
)
def compression_ratio(answers: Answers) -> float:
    """Bytes of all answers over their bytes when compressed (raw deflate, level 9, no header).

    The answers are sorted and joined by a line break, so that their order does not count.
    """
    text = "\n".join(sorted(answers.read)).encode("utf-8", "replace")
    if not text.strip():
        raise Undefined("all answers are empty")
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return len(text) / len(compressor.compress(text) + compressor.flush())

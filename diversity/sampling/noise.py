"""Random draws that depend on the seed, the prompt, the sample and the step, and on nothing else.

The largest of logits plus Gumbel noise is a draw from the softmax. The noise of each (seed, prompt, sample, step)
comes from a counter-based generator, so batches, their order and a resume change no draw, and two checkpoints of
one vocabulary can share it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


def key(seed: int, prompt_id: str, sample_index: int) -> int:
    """128-bit key of one output's stream."""
    text = f"{seed}\x1f{prompt_id}\x1f{sample_index}".encode("utf-8", "replace")
    return int.from_bytes(blake2b(text, digest_size=16).digest(), "little")


def exponentials(key_: int, step: int, size: int) -> NDArray[np.float64]:
    """Exponential noise of one step, shape (size,). Minus its logarithm is Gumbel noise."""
    # The step sits in the counter's third word; one step uses far fewer than the 2**128 values below it.
    return np.random.Generator(np.random.Philox(key=key_, counter=step << 128)).standard_exponential(size)


def choose(
    logits: torch.Tensor, noise: torch.Tensor, *, temperature: float, top_p: float, top_k: int, min_p: float
) -> torch.Tensor:
    """Perturbed scores whose largest entry is the draw.

    Parameters
    ----------
    logits : tensor of shape (rows, vocabulary)
    noise : tensor of the same shape, exponential
    temperature, top_p, top_k, min_p
        Applied in this order: temperature, top-k, top-p, min-p.
    """
    import torch

    scores = logits.double() / temperature
    if top_k:
        kth = scores.topk(min(top_k, scores.shape[-1]), dim=-1).values[..., -1:]
        scores = scores.masked_fill(scores < kth, -torch.inf)
    if top_p < 1:
        ordered, index = scores.softmax(-1).sort(dim=-1, descending=True)
        # A token stays when the mass before it is below top_p, so the most likely one always does.
        outside = ordered.cumsum(-1) - ordered >= top_p
        scores = scores.masked_fill(outside.scatter(-1, index, outside), -torch.inf)
    if min_p:
        likely = scores.softmax(-1)
        scores = scores.masked_fill(likely < min_p * likely.max(-1, keepdim=True).values, -torch.inf)
    # A noise of exactly 0 would make an excluded token NaN, which argmax prefers to any number.
    return scores - noise.clamp_min(torch.finfo(noise.dtype).tiny).log()

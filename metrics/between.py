"""Between two checkpoints: how far their answers lie apart, whichever is the more varied.

Most of these have no direction: they say that the answers changed, not that they became more alike.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diversity.corpus import digest
from diversity.errors import Undefined
from diversity.registry import find_metric, metric
from diversity.sequences import classes
from diversity.stats import pair_mean
from diversity.views import Answers, join
from diversity.words import Integers

Matrix = NDArray[np.float64]
Sides = Sequence[Answers]

NO_DIRECTION = "Says that the answers changed, not that they became more or less alike."
PERMUTATIONS = 64
SPARSE_FROM = 256
NEIGHBOURS = 5


@lru_cache(maxsize=1)
def together(pre: Answers, post: Answers) -> Answers:
    """Return the answers of both checkpoints to one prompt as one set, those of pre first."""
    return join([pre, post])


Similarities = tuple[float, float, float]


@lru_cache(maxsize=4)  # the facets' kernels: the metrics of each ask in turn
def similarities(pre: Answers, post: Answers, kernel: str) -> Similarities:
    """Mean similarity within pre, within post, and between them; unbiased pair means, nan where there is no pair."""
    spec = find_metric(kernel)
    both = together(pre, post)
    matrix = spec.function(both)
    assert isinstance(matrix, np.ndarray)
    first = len(pre)
    if spec.needs in {"form", "trees"} and both.language:
        first = sum(tree is not None for tree in both.trees[:first])
    if spec.facet == "functional" and both.behaviours is not None:
        first = sum(behaviour is not None for behaviour in both.behaviours[:first])
    if not 0 < first < len(matrix):
        raise Undefined(f"no answer of one side {'has a behaviour' if spec.facet == 'functional' else 'parses'}")
    of_pre, of_post = (
        pair_mean(m)[0] if len(m) > 1 else float("nan") for m in (matrix[:first, :first], matrix[first:, first:])
    )
    return of_pre, of_post, float(matrix[:first, first:].mean())


def cross_similarity(pre: Answers, post: Answers, *, kernel: str) -> float:
    """Mean similarity of an answer of pre and one of post to the same prompt."""
    return similarities(pre, post, kernel=kernel)[2]


def displacement(pre: Answers, post: Answers, *, kernel: str) -> float:
    """How much less alike answers of two checkpoints are than answers of one, the mean of both.

    ``(s_pre + s_post) / 2 - s_cross``. About 0 for equal checkpoints. It is half a squared maximum mean discrepancy, so
    it also grows when the answers merely become more alike where they were; `relocation` does not.
    """
    within_pre, within_post, cross = similarities(pre, post, kernel=kernel)
    return _defined((within_pre + within_post) / 2 - cross)


def relocation(read: Matrix) -> float:
    """How much less alike answers of two checkpoints are than answers of the more varied one.

    ``min(s_pre, s_post) - s_cross``, each averaged over prompts first. 0 or less where the answers of one checkpoint
    lie among those of the other, however narrowly; above 0 where they lie elsewhere.
    """
    within_pre, within_post, cross = _means(read)
    return _defined(min(within_pre, within_post) - cross)


def homogeneity(read: Matrix) -> float:
    """Similarity between two checkpoints over that within one: mean cross over mean within.

    Near 1: their answers cannot be told apart. Each is averaged over prompts first.
    """
    within_pre, within_post, cross = _means(read)
    within = _defined((within_pre + within_post) / 2)
    if within <= 0:
        raise Undefined("answers of one checkpoint have nothing in common")
    return cross / within


def _means(read: Matrix) -> Similarities:
    """Means over prompts of the three `similarities`, of those prompts that have all three."""
    known = read[np.isfinite(read).all(axis=1)]
    if not len(known):
        return np.nan, np.nan, np.nan
    within_pre, within_post, cross = known.mean(axis=0)
    return float(within_pre), float(within_post), float(cross)


def _defined(value: float) -> float:
    if np.isnan(value):
        raise Undefined("fewer than 2 answers of one side can be measured")
    return value


def _register(name: str, function: Callable[..., float], **details: Any) -> None:
    metric(name=name, **{"higher_is": "neither", "unit": "between checkpoints", **details})(function)


for _facet in ("lexical", "syntactic", "semantic", "functional"):
    _kernel: dict[str, Any] = {"kernel": f"{_facet}.similarity"}
    _same: dict[str, Any] = {
        "facet": _facet,
        "needs": {"syntactic": "form", "semantic": "vectors"}.get(_facet, "words"),
        "unbiased_in_n": True,
        "cost": "that of the kernel over the answers of both",
    }
    _register(
        f"{_facet}.cross_similarity",
        partial(cross_similarity, **_kernel),
        range=(0, 1),
        source="Jiang et al. 2025, arXiv:2510.22954, with the facet's kernel",
        min_n=1,
        aliases=(f"{_facet}.s_cross",),
        confounds="Low where answers are varied, moved or not: read it beside the similarity within each checkpoint.",
        **_same,
    )
    _register(
        f"{_facet}.displacement",
        partial(displacement, **_kernel),
        range=(-1, 1),
        source="half the squared maximum mean discrepancy of Gretton et al. 2012, in the facet's kernel",
        aliases=(f"{_facet}.half_mmd2",),
        confounds=NO_DIRECTION,
        **_same,
    )
    _same |= {"unbiased_in_n": False, "pooled": True, "of_prompt": partial(similarities, **_kernel)}
    _register(
        f"{_facet}.relocation",
        relocation,
        range=(-1, 1),
        source="docs/metrics.md",
        aliases=(f"{_facet}.move",),
        confounds="Blind where answers of one checkpoint share nothing: then there is nothing to lose.",
        **_same,
    )
    _register(
        f"{_facet}.homogeneity",
        homogeneity,
        range=(0, float("inf")),
        source="Jiang et al. 2025, arXiv:2510.22954 (Artificial Hivemind), in the facet's kernel",
        aliases=(f"{_facet}.inter_checkpoint_homogeneity",),
        confounds="Unsteady where the answers of one checkpoint have little in common.",
        **_same,
    )


def mmd2_unbiased(x: Matrix, y: Matrix, *, bandwidth: float | None = None) -> float:
    """Squared maximum mean discrepancy of two samples, shapes (n, d) and (m, d), by its unbiased estimator.

    Gaussian kernel exp(-distance^2 / (2 bandwidth^2)); by default the bandwidth is the median distance in the pooled
    sample, one for both. Can fall below 0.
    """
    return _mmd2(_distances(np.vstack([x, y])), len(x), bandwidth)


def energy_distance(x: Matrix, y: Matrix) -> float:
    """Twice the mean distance between two samples less the mean distances within them, unbiased. Can fall below 0."""
    return _energy(_distances(np.vstack([x, y])), len(x))


def _distances(x: Matrix, y: Matrix | None = None) -> Matrix:
    y = x if y is None else y
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2 * x @ y.T
    # Rounding leaves some 1e-16 between equal vectors, which the root would make 1e-8.
    distances: Matrix = np.sqrt(np.where(squares > 1e-12, squares, 0))
    return distances


def _mmd2(distances: Matrix, first: int, bandwidth: float | None = None) -> float:
    if bandwidth is None:
        bandwidth = float(np.median(distances[np.triu_indices(len(distances), 1)]))
    if bandwidth == 0:
        raise Undefined("most answers are equal: there is no scale to measure distance by")
    return -_contrast(np.exp(-(distances**2) / (2 * bandwidth**2)), first)


def _energy(distances: Matrix, first: int) -> float:
    return _contrast(distances, first)


def _contrast(matrix: Matrix, first: int) -> float:
    """Twice the mean between two samples less the means within them, off the diagonal."""
    within = pair_mean(matrix[:first, :first])[0] + pair_mean(matrix[first:, first:])[0]
    return float(2 * matrix[:first, first:].mean() - within)


def _embedded(pre: Answers, post: Answers, *, contrast: Callable[[Matrix, int], float]) -> float:
    distances = np.sqrt(2 - 2 * together(pre, post).cosines)
    return contrast(distances, len(pre))


def mmd2(pre: Answers, post: Answers) -> float:
    """Squared maximum mean discrepancy of the embeddings of two checkpoints' answers to one prompt, unbiased.

    Gaussian kernel; its bandwidth is the median distance over the answers of both. About 0 for equal checkpoints, and
    below 0 as often as above.
    """
    return _embedded(pre, post, contrast=_mmd2)


def energy(pre: Answers, post: Answers) -> float:
    """Energy distance of the embeddings of two checkpoints' answers to one prompt, unbiased.

    Twice the mean distance between the checkpoints less the mean distances within them. About 0 for equal checkpoints,
    and below 0 as often as above.
    """
    return _embedded(pre, post, contrast=_energy)


_register(
    "mmd2",
    mmd2,
    facet="semantic",
    range=(-1, 2),
    source="Gretton et al. 2012, JMLR 13, eq. 3",
    needs="vectors",
    unbiased_in_n=True,
    aliases=("mmd", "maximum mean discrepancy"),
    confounds=NO_DIRECTION,
    cost="n^2 d",
)
_register(
    "energy_distance",
    energy,
    facet="semantic",
    range=(-2, 4),
    source="Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018",
    needs="vectors",
    unbiased_in_n=True,
    aliases=("energy",),
    confounds=NO_DIRECTION,
    cost="n^2 d",
)


def jensen_shannon(p: Matrix, q: Matrix) -> Matrix:
    """Jensen-Shannon divergence of distributions along the last axis, in bits: 0 (equal) to 1 (nothing shared)."""
    return _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2


def _entropy(p: Matrix) -> Matrix:
    entropy: Matrix = -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=-1)
    return entropy


def divergence(pre: Answers, post: Answers, *, order: int) -> float:
    """Jensen-Shannon divergence of the n-grams of two checkpoints' answers to one prompt, less its mean by chance.

    In bits. The plain divergence of two finite samples of one law is far above 0; its mean over 64 random exchanges of
    answers between the two checkpoints is taken off, so that equal checkpoints give about 0.
    """
    return _by_chance_corrected(pre, post, *together(pre, post).words.entries(order), f"{order} words")


def opener_divergence(pre: Answers, post: Answers) -> float:
    """Jensen-Shannon divergence of the first three words of two checkpoints' answers, less its mean by chance.

    In bits; the correction is that of the divergence of n-grams.
    """
    found = classes(openers(together(pre, post)))
    return _by_chance_corrected(pre, post, found, np.arange(len(found)), np.ones(len(found)), "an opening")


def openers(answers: Answers) -> list[str]:
    """Return the first three words of each answer."""
    tokens, words = answers.tokens, answers.lexicon.words
    return [" ".join([words[code] for code in codes[:3].tolist()]).lower() for codes in tokens]


@lru_cache(maxsize=16)
def _exchanges(small: int, both: int) -> Matrix:
    """Which of so many answers are those of the smaller side, in each of 64 random exchanges: rows of 0 and 1."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([small, both])))
    member = np.zeros((PERMUTATIONS, both))
    np.put_along_axis(member, np.argsort(rng.random(member.shape), axis=1)[:, :small], 1, axis=1)
    return member


def _by_chance_corrected(
    pre: Answers, post: Answers, ids: Integers, owners: Integers, counts: NDArray[Any], what: str
) -> float:
    """Divergence of what the answers of both sides have, given as number, answer and count of each."""
    both = together(pre, post)
    if len(set((owners < len(pre)).tolist())) != 2:
        raise Undefined(f"no answer of one side has {what}")
    # Which answers are exchanged must not depend on their order, nor on which side is called pre.
    ranks = np.argsort(np.argsort(np.array([digest(text) for text in both.read]), kind="stable"))
    actual = (np.arange(len(both)) < len(pre)).astype(float)
    member = np.vstack([actual, _exchanges(min(len(pre), len(post)), len(both))[:, ranks]])
    width = int(ids.max()) + 1
    total = np.bincount(ids, weights=counts, minlength=width)
    per_answer: Any
    if width <= SPARSE_FROM:
        per_answer = np.zeros((len(both), width))
        per_answer[owners, ids] = counts
    else:
        from scipy.sparse import csr_matrix  # whose import takes a fifth of a second

        per_answer = csr_matrix((counts, (owners, ids)), shape=(len(both), width))
    found: list[float] = []
    for rows in np.array_split(member, 1 + width // 4096):  # a few at a time where there are many n-grams
        one = rows @ per_answer
        other = total - one
        kept = one.any(axis=1) & other.any(axis=1)
        shares = (side[kept] / side[kept].sum(axis=1, keepdims=True) for side in (one, other))
        found.extend(jensen_shannon(*shares).tolist())
    return found[0] - float(np.mean(found[1:])) if len(found) > 1 else 0.0


for _order in (1, 2, 3):
    _register(
        f"js_{_order}",
        partial(divergence, order=_order),
        facet="lexical",
        range=(-1, 1),
        source="Lin 1991, doi:10.1109/18.61115; the correction for chance is ours",
        aliases=(f"js_ngram_{_order}",),
        confounds=NO_DIRECTION,
        cost="64 times linear in the text",
        default=False,
    )
_register(
    "js_openers",
    opener_divergence,
    facet="lexical",
    range=(-1, 1),
    source="Lin 1991, doi:10.1109/18.61115; the correction for chance is ours",
    aliases=("js_opener",),
    confounds=NO_DIRECTION,
)


@lru_cache(maxsize=1)
def _centred(pre: tuple[Answers, ...], post: tuple[Answers, ...]) -> tuple[list[Matrix], list[Matrix]]:
    """Embeddings of each prompt's answers about the prompt's centre, as many of post as of pre.

    The centre is the mean of the two checkpoints' means: what the prompt is about falls out, a move between the two
    stays in.
    """
    sides: tuple[list[Matrix], list[Matrix]] = ([], [])
    for pair in zip(pre, post, strict=True):
        count = min(map(len, pair))
        # Which ones are kept must not depend on their order.
        kept = [side.vectors[np.argsort([digest(text) for text in side.read])[:count]] for side in pair]
        centre = (kept[0].mean(axis=0) + kept[1].mean(axis=0)) / 2
        for side, vectors in zip(sides, kept, strict=True):
            side.append(vectors - centre)
    return sides


def prdc(real: Matrix, fake: Matrix, *, k: int = NEIGHBOURS) -> dict[str, float]:
    """Precision, recall, density and coverage of one sample against another, shapes (n, d) and (m, d).

    A ball about each vector reaches, without its rim, to its k-th neighbour in its own sample.
    """
    if min(len(real), len(fake)) <= k:
        raise Undefined(f"{min(len(real), len(fake))} answers on one side, {k + 1} are needed")
    radii = [np.partition(_distances(side), k, axis=1)[:, k] for side in (real, fake)]
    distances = _distances(real, fake)
    in_real = distances < radii[0][:, None]
    in_fake = distances < radii[1][None, :]
    return {
        "precision": float(in_real.any(axis=0).mean()),
        "recall": float(in_fake.any(axis=1).mean()),
        "density": float(in_real.sum(axis=0).mean() / k),
        "coverage": float(in_real.any(axis=1).mean()),
    }


@lru_cache(maxsize=1)
def _prdc(pre: tuple[Answers, ...], post: tuple[Answers, ...]) -> dict[str, float]:
    real, fake = _centred(pre, post)
    return prdc(np.vstack(real), np.vstack(fake))


def neighbourhood(pre: Sides, post: Sides, *, which: str) -> float:
    """One of precision, recall, density and coverage; pre stands for what is real, post for what is made."""
    return _prdc(tuple(pre), tuple(post))[which]


NEIGHBOURHOOD = {
    "precision": "Share of post's answers that lie among pre's: within the ball of a neighbour of pre",
    "recall": "Share of pre's answers that lie among post's: within the ball of a neighbour of post",
    "density": "In how many balls of pre's answers an answer of post lies, over the 5 expected",
    "coverage": "Share of pre's answers that have an answer of post in their ball",
}


def _neighbourhood(which: str) -> Callable[..., float]:
    function = partial(neighbourhood, which=which)
    function.__doc__ = f"""{NEIGHBOURHOOD[which]}.

    Embeddings about the centre of their prompt, all prompts pooled; a ball reaches to the fifth neighbour. Precision
    high and recall and coverage low: narrowed inside the old range. All low: moved. Even equal checkpoints do not
    reach 1: compare with two runs of one checkpoint."""
    return function


for _which in NEIGHBOURHOOD:
    _register(
        _which,
        _neighbourhood(_which),
        facet="semantic",
        range=(0, float("inf")) if _which == "density" else (0, 1),
        source="Kynkaanniemi et al. 2019, arXiv:1904.06991"
        if _which in {"precision", "recall"}
        else "Naeem et al. 2020, arXiv:2002.09797",
        needs="vectors",
        pooled=True,
        default=False,
        aliases=(f"prdc_{_which}", f"k-NN {_which}"),
        confounds="Depends on the number of answers, and on gibberish, which makes balls wide. Six equal answers have "
        "a ball without an inside.",
        cost="(answers to all prompts)^2 d, 21 times",
    )


def frechet_distance(x: Matrix, y: Matrix) -> float:
    """Squared Frechet distance of two samples taken as normal, shapes (n, d) and (m, d).

    ``|mean difference|^2 + tr(A + B - 2 (A B)^(1/2))``. Biased upwards by about d / n: see `frechet`.
    """
    roots = []
    traces = 0.0
    for side in (x, y):
        centred = (side - side.mean(axis=0)) / np.sqrt(len(side) - 1)
        traces += float((centred**2).sum())
        roots.append(np.asarray(np.linalg.qr(centred, mode="r"), dtype=np.float64))
    # tr (A B)^(1/2) is the sum of the singular values of the product of any two roots of A and B.
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    return float(((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + traces - 2 * shared)


def frechet(pre: Sides, post: Sides, *, fewest: int = 10) -> float:
    """Squared Frechet distance of the embeddings of two checkpoints' answers, less that of two halves of one.

    Embeddings about the centre of their prompt, all prompts pooled and taken as normal. The plain distance of two
    samples of one law is about d / n above 0, so it is taken between halves of the checkpoints, and the distance
    between the two halves of one checkpoint is taken off. Undefined below 10 answers a dimension: with 384 dimensions,
    below 3,840 answers on each side. `frechet_distance` gives the plain value at any size.
    """
    sides = _centred(tuple(pre), tuple(post))
    (a, b), (c, d) = (
        (np.vstack([v[0 : len(v) // 2 * 2 : 2] for v in side]), np.vstack([v[1::2] for v in side])) for side in sides
    )
    if len(a) + len(b) < fewest * a.shape[1]:
        raise Undefined(f"{len(a) + len(b)} answers a side, {fewest * a.shape[1]} are needed: its bias is about d / n")
    between = frechet_distance(a, d) + frechet_distance(b, c)
    within = frechet_distance(a, b) + frechet_distance(c, d)
    return (between - within) / 2


_register(
    "frechet",
    frechet,
    facet="semantic",
    range=(-float("inf"), float("inf")),
    source="Heusel et al. 2017, arXiv:1706.08500; the split into halves is ours",
    needs="vectors",
    pooled=True,
    default=False,
    aliases=("frechet distance", "fid"),
    confounds=f"Takes embeddings for normal. {NO_DIRECTION}",
    cost="(answers to all prompts) d^2, 84 times",
)

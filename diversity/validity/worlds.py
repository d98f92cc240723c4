"""Worlds with known truth: for each prompt a kernel matrix of possible outputs and the law they are drawn by.

A checkpoint's law over N possible outputs, w, and their kernel matrix K give the true similarity of a prompt exactly,
s = w' K w. Classes (K = 1), mixtures of templates and fillers, and the outputs of a real model taken as all that it
can say are all of this form, so that one simulation serves them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diversity.stats import influence

Array = NDArray[np.float64]
Generator = np.random.Generator

PROMPTS = 3000  # in the population of a made-up world
LOG_MARGIN = math.log1p(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A population of prompts and what two checkpoints answer to each.

    Attributes
    ----------
    name, about : str
    kernels : array (P, N, N)
        Similarity of the N possible outputs of each prompt, 1 on the diagonal; one matrix of shape (1, N, N) when all
        prompts have the same.
    pre, post : arrays (P, N)
        With what chance each output is drawn.
    """

    name: str
    about: str
    kernels: Array
    pre: Array
    post: Array

    def similarity(self, side: str) -> Array:
        """True similarity of each prompt, shape (P,)."""
        law: Array = getattr(self, side)
        return np.asarray(((law[:, None, :] @ self.kernels)[:, 0, :] * law).sum(axis=1))

    def truth(self, m: int = 16) -> float:
        """True log ratio of the effective numbers over the population of prompts."""
        pre, post = self.similarity("pre").mean(), self.similarity("post").mean()
        return math.log1p((m - 1) * pre) - math.log1p((m - 1) * post)

    def only(self, kept: NDArray[np.int64]) -> World:
        """The world of some of the prompts."""
        kernels = self.kernels if len(self.kernels) == 1 else self.kernels[kept]
        return replace(self, kernels=kernels, pre=self.pre[kept], post=self.post[kept])

    def by_influence(self, m: int = 16) -> tuple[NDArray[np.int64], Array]:
        """Prompts from the one that moves the log ratio most, and what share of its variance they hold so far."""
        moved = influence(self.similarity("pre"), self.similarity("post"), m=m)
        squares = (moved - moved.mean()) ** 2
        order = np.argsort(-squares, kind="stable")
        return order, squares[order].cumsum() / squares.sum()

    def draw(self, rng: Generator, runs: int, prompts: int, n: int) -> tuple[Array, Array]:
        """Estimated similarities of both sides in `runs` experiments, shape (runs, prompts) each.

        Prompts are drawn from the population with replacement, outputs of a prompt independently of each other.
        """
        chosen = rng.integers(len(self.pre), size=(runs, prompts))
        return estimated(rng, self.kernels, self.pre, chosen, n), estimated(rng, self.kernels, self.post, chosen, n)


def estimated(rng: Generator, kernels: Array, laws: Array, chosen: NDArray[np.int64], n: int) -> Array:
    """Pair means of n outputs drawn for each of the chosen prompts; the shape of `chosen`."""
    flat = chosen.ravel()
    found = np.empty(len(flat))
    order = np.argsort(flat, kind="stable")
    prompts, first = np.unique(flat[order], return_index=True)
    counts = np.empty((len(flat), laws.shape[1]))
    for prompt, places in zip(prompts, np.split(order, first[1:]), strict=True):
        counts[places] = rng.multinomial(n, laws[prompt], size=len(places))
    if len(kernels) == 1:
        found = ((counts @ kernels[0]) * counts).sum(axis=1)
    else:
        for prompt, places in zip(prompts, np.split(order, first[1:]), strict=True):
            own = counts[places]
            found[places] = ((own @ kernels[prompt]) * own).sum(axis=1)
    return ((found - n) / (n * (n - 1))).reshape(chosen.shape)


def sharpened(laws: Array, power: Array | float) -> Array:
    """Laws raised to a power and scaled, as a temperature of 1 / power does."""
    logs = np.log(np.maximum(laws, 1e-300)) * np.reshape(power, (-1, 1))
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def collapsed(laws: Array, share: Array | float) -> Array:
    """Laws of which a share goes to the likeliest output."""
    share = np.reshape(share, (-1, 1))
    modes = laws == laws.max(axis=1, keepdims=True)
    modes = modes & (modes.cumsum(axis=1) == 1)
    return np.asarray((1 - share) * laws + share * modes)


def template_kernel(templates: int, fillers: int, weight: float) -> Array:
    """Kernel of outputs made of a template and a filler: `weight` for the same template, the rest for the filler."""
    same_template, same_filler = np.eye(templates), np.eye(fillers)
    ones_t, ones_f = np.ones((templates, templates)), np.ones((fillers, fillers))
    return np.asarray(weight * np.kron(same_template, ones_f) + (1 - weight) * np.kron(ones_t, same_filler))[None]


def template_laws(rng: Generator, prompts: int, templates: int, fillers: int) -> Array:
    """Laws over templates (Dirichlet) times fillers (Zipf, with an exponent of the prompt's own)."""
    over_templates = rng.dirichlet(np.full(templates, 0.7), prompts)
    exponents = rng.uniform(0.8, 1.6, (prompts, 1))
    over_fillers = np.arange(1, fillers + 1) ** -exponents
    over_fillers /= over_fillers.sum(axis=1, keepdims=True)
    return np.asarray((over_templates[:, :, None] * over_fillers[:, None, :]).reshape(prompts, -1))


def shape_of_shift(kind: str, rng: Generator, prompts: int) -> Array:
    """How hard each prompt is hit, mean about 1; see `KINDS`."""
    if kind == "alike":
        return np.ones(prompts)
    if kind in {"normal", "widened"}:
        return rng.normal(1.0, 0.5, prompts)
    if kind in {"skewed", "exponential of skewed"}:
        return rng.gamma(0.7, 1 / 0.7, prompts)
    if kind == "heavy-tailed":
        return 1 + 0.35 * np.clip(rng.standard_t(3, prompts), -12, 12)
    if kind in {"one in five", "one in twenty"}:
        share = 0.2 if kind == "one in five" else 0.05
        return (rng.random(prompts) < share) / share
    raise ValueError(f"unknown kind of shift '{kind}'")


# Shapes of a shift over prompts: the same for all; normal; skewed as a gamma of shape 0.7; Student's t with 3 degrees
# of freedom; a fifth of the prompts alone; and normal in the other direction.
KINDS = ("alike", "normal", "skewed", "heavy-tailed", "one in five", "widened")
# Shifts of which a small sample of prompts tells nothing, whatever the method: nothing is promised there.
HOPELESS = ("exponential of skewed", "one in twenty")
COLLAPSES = ("skewed", "one in five", "one in twenty")


def scaled_to(world: World, hits: Array, target: float, how: str) -> World:
    """Give the world a post law under which the true log ratio is the target, prompts hit in proportion to `hits`.

    `how` is "sharpened" or "collapsed". Found by bisection on the common strength.
    """

    def post(strength: float) -> Array:
        if how == "sharpened":
            return sharpened(world.pre, np.exp(strength * hits))
        return collapsed(world.pre, np.clip(strength * hits, 0, 1))

    def moved(strength: float) -> World:
        return World(name=world.name, about=world.about, kernels=world.kernels, pre=world.pre, post=post(strength))

    low, high = (0.0, 1.0) if target < 0 else (-1.0, 0.0)
    if how == "collapsed" and target > 0:
        raise ValueError("a collapse widens nothing")
    for _ in range(8):  # widen the bracket until the target lies inside
        if (moved(high).truth() <= target) if target < 0 else (moved(low).truth() >= target):
            break
        low, high = (high, high * 2) if target < 0 else (low * 2, low)
    for _ in range(40):
        middle = (low + high) / 2
        if moved(middle).truth() > target:
            low = middle
        else:
            high = middle
    return moved((low + high) / 2)


def classes_world(rng: Generator) -> World:
    """Twelve classes of output, each prompt with a Dirichlet law of its own."""
    laws = rng.dirichlet(np.full(12, 0.5), PROMPTS)
    return World(name="classes", about="12 classes, Dirichlet(0.5)", kernels=np.eye(12)[None], pre=laws, post=laws)


def templates_world(rng: Generator) -> World:
    """Five templates with 12 fillers by Zipf's law; half of the similarity is the template, half the filler."""
    laws = template_laws(rng, PROMPTS, 5, 12)
    kernel = template_kernel(5, 12, 0.5)
    return World(name="templates", about="5 templates x 12 Zipf fillers", kernels=kernel, pre=laws, post=laws)


def skewed_world(rng: Generator) -> World:
    """Prompts of very unequal variety: most say almost one thing, a few almost never the same twice."""
    concentration = np.exp(rng.normal(-1.2, 1.5, (PROMPTS, 1)))
    gammas = rng.gamma(np.broadcast_to(concentration, (PROMPTS, 20))) + 1e-12
    laws = gammas / gammas.sum(axis=1, keepdims=True)
    return World(
        name="skewed prompts",
        about="20 classes, Dirichlet of lognormal concentration",
        kernels=np.eye(20)[None],
        pre=laws,
        post=laws,
    )


def heavy_world(rng: Generator) -> World:
    """Nearly all prompts have many answers; one in twelve has nearly one, and its similarity is an outlier."""
    laws = rng.dirichlet(np.full(40, 2.0), PROMPTS)
    stuck = rng.random(PROMPTS) < 1 / 12
    laws[stuck] = collapsed(laws[stuck], rng.uniform(0.75, 0.99, int(stuck.sum())))
    return World(
        name="heavy-tailed prompts",
        about="40 classes, Dirichlet(2); one prompt in twelve stuck on one",
        kernels=np.eye(40)[None],
        pre=laws,
        post=laws,
    )


MADE_UP = (classes_world, templates_world, skewed_world, heavy_world)


def recorded_world(name: str, kernels: Array) -> World:
    """The outputs of a real checkpoint taken as all it can say, each equally likely."""
    laws = np.full(kernels.shape[:2], 1 / kernels.shape[1])
    return World(name=name, about="recorded outputs taken as the whole law", kernels=kernels, pre=laws, post=laws)

"""Bayes floors: the least cross-entropy and error that any learner can reach.

They are means over drawn strings of what the exact posterior leaves open, in nats, and of the
probability that its most probable symbol is wrong.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key

from hierjax.exact.conditionals import next_tokens, other_tokens
from hierjax.exact.evidence import observe
from hierjax.exact.inside import likelihood
from hierjax.exact.posteriors import posteriors
from hierjax.tasks.noise import Noise, NoisyHierarchy, check_noise, leaf_kernel
from hierjax.tasks.random_hierarchy import RandomHierarchy

_HALF_WIDTH = 1.96


class Estimate(struct.PyTreeNode):
    """A mean over independent strings.

    Attributes:
      mean: the mean.
      std_error: its standard error.
    """

    mean: Array
    std_error: Array

    @property
    def interval(self) -> tuple[Array, Array]:
        """Ends of the interval of 95%."""
        return self.mean - _HALF_WIDTH * self.std_error, self.mean + _HALF_WIDTH * self.std_error


class Floor(NamedTuple):
    """What no learner can do better.

    Attributes:
      cross_entropy: in nats.
      error: share of wrong answers.
    """

    cross_entropy: Estimate
    error: Estimate


def class_floor(
    grammar: RandomHierarchy, noise: Noise, key: Key[Array, ""], num_strings: int
) -> Floor:
    """Estimates the floor of the class, without noise, given the leaves seen through noise.

    The function may be jitted, and mapped over grammars, rates and keys by `jax.vmap`.

    Args:
      grammar: the grammar.
      noise: rates of noise, of which those of leaves matter.
      key: typed PRNG key.
      num_strings: number of strings to draw, static.

    Returns:
      The floor, numbers ().

    Raises:
      ValueError: a rate is known and not from 0 to 1, or num_strings is less than 2.
    """
    _check(noise, num_strings)
    return _class_floor(grammar, noise, key, num_strings)


def denoising_floor(
    grammar: RandomHierarchy, noise: Noise, key: Key[Array, ""], num_strings: int
) -> Floor:
    """Estimates the floor of the leaves without noise, given those that are seen through noise.

    Arguments and errors are those of `class_floor`.

    Returns:
      The floor, numbers (), a mean over leaves.
    """
    _check(noise, num_strings)
    return _denoising_floor(grammar, noise, key, num_strings)


def masked_floor(
    grammar: RandomHierarchy, noise: Noise, key: Key[Array, ""], num_strings: int
) -> Floor:
    """Estimates the floor of an erased leaf, given the other leaves seen through noise.

    Every leaf of every string counts, as if it were erased itself. Arguments and errors are those
    of `class_floor`.

    Returns:
      The floor, numbers (), a mean over leaves.
    """
    _check(noise, num_strings)
    return _masked_floor(grammar, noise, key, num_strings)


def next_token_floor(
    grammar: RandomHierarchy, key: Key[Array, ""], num_strings: int, span: int = 0
) -> Floor:
    """Estimates the floor of each token given those before it: the mean of -log p.

    For uniform rules and classes those of a string add up to the logarithm of the number of
    strings, exactly.

    Args:
      grammar: the grammar.
      key: typed PRNG key.
      num_strings: number of strings to draw, static.
      span: as in `next_tokens`, static: what can be told from the tokens of a block alone.

    Returns:
      The floor of each leaf, (d,).

    Raises:
      ValueError: num_strings is less than 2, or there is no level `span`.
    """
    _check(Noise(), num_strings)
    return _next_token_floor(grammar, key, num_strings, span)


def _check(noise: Noise, num_strings: int) -> None:
    check_noise(noise)
    if num_strings < 2:
        raise ValueError(f"num_strings={num_strings} must be at least 2, for an interval")


@functools.partial(jax.jit, static_argnames="num_strings")
def _class_floor(grammar, noise, key, num_strings: int) -> Floor:
    return _floor(likelihood(grammar, _seen(grammar, noise, key, num_strings)).classes)


@functools.partial(jax.jit, static_argnames="num_strings")
def _denoising_floor(grammar, noise, key, num_strings: int) -> Floor:
    evidence, leaves = _seen(grammar, noise, key, num_strings), grammar.spec.depth
    return _floor(posteriors(grammar, evidence, levels=(leaves,)).levels[leaves])


@functools.partial(jax.jit, static_argnames="num_strings")
def _masked_floor(grammar, noise, key, num_strings: int) -> Floor:
    return _floor(other_tokens(grammar, _seen(grammar, noise, key, num_strings)).probabilities)


@functools.partial(jax.jit, static_argnames=("num_strings", "span"))
def _next_token_floor(grammar, key, num_strings: int, span: int) -> Floor:
    strings = grammar.sample(key, num_strings).inputs
    ahead = next_tokens(grammar, observe(grammar.spec, strings), span=span).probabilities
    taken = jnp.sum(ahead * jax.nn.one_hot(strings, ahead.shape[-1]), axis=-1)
    return Floor(_mean(-jnp.log(taken)), _mean(1 - ahead.max(axis=-1)))


def _seen(grammar, noise, key, num_strings: int):
    spec = grammar.spec
    strings = NoisyHierarchy(grammar, noise).sample(key, num_strings).inputs
    return observe(spec, strings, kernel=leaf_kernel(noise, spec.symbols(spec.depth)))


def _floor(shares: Float[Array, "N ... V"]) -> Floor:
    """Returns the floor of what has such posteriors; a mean over leaves, if there are some."""
    entropies = -jax.scipy.special.xlogy(shares, shares).sum(axis=-1)
    errors = 1 - shares.max(axis=-1)
    n = shares.shape[0]
    return Floor(*(_mean(each.reshape(n, -1).mean(axis=1)) for each in (entropies, errors)))


def _mean(values: Float[Array, "N ..."]) -> Estimate:
    return Estimate(values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(values.shape[0]))

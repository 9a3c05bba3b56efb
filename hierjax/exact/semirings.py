"""Sums of the inside recursion: of all derivations, of the best one, of one at random.

All of them add weights that are given and returned as logarithms, and multiply by adding these.
They differ in what they add up to and in their gradient, which are the shares that the terms have
of the sum. The gradient of the whole recursion is then the probability of each symbol of each
node, the best derivation as zeros and ones, or a random one (the idea of synjax).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from hierjax.tasks.choices import random_words

Sum = Callable[[int, Float[Array, "V M P N"]], Float[Array, "V P N"]]
"""(stream, logarithms of weights (V, M, P, N)) -> those of their sums over M; each sum of a
recursion has a stream of its own for its random choices."""

_FRACTION_BITS = 24


def log_sum(stream: int, terms: Float[Array, "V M P N"]) -> Float[Array, "V P N"]:
    """Adds; the shares are probabilities. There is nothing random."""
    del stream
    flat = _flat(terms)
    most = jax.lax.stop_gradient(flat.max(axis=1))
    sums = jnp.log(jnp.exp(flat - most[:, None]).sum(axis=1)) + most
    return sums.reshape(terms.shape[0], *terms.shape[2:])


def largest(stream: int, terms: Float[Array, "V M P N"]) -> Float[Array, "V P N"]:
    """Takes the largest term, the first of several; its share is one."""
    del stream
    return _chosen(terms, terms.argmax(axis=1))


def drawn(key: Key[Array, ""], first: Int[Array, ""] | int) -> Sum:
    """Makes a sum as `log_sum`, in which the share of one term is one: drawn by the weights.

    Probabilities of a draw are exact to 2^-24.

    Args:
      key: typed PRNG key.
      first: index of the first string, of a stream in which each has random words of its own.
    """

    def add(stream: int, terms: Float[Array, "V M P N"]) -> Float[Array, "V P N"]:
        num_symbols, _, nodes, n = terms.shape
        words = random_words(jax.random.fold_in(key, stream), n, num_symbols * nodes, first)
        fractions = (words >> 32 - _FRACTION_BITS).astype(terms.dtype) * 2.0**-_FRACTION_BITS
        flat = _flat(terms)
        weights = jnp.exp(flat - flat.max(axis=1, keepdims=True))
        below = jnp.cumsum(weights, axis=1)
        bound = fractions.reshape(num_symbols, nodes * n) * below[:, -1]
        # Never one of no weight, however sums are rounded; if none is left, the largest, a 1.
        reached = (below > bound[:, None]) & (weights > 0)
        index = jnp.where(reached, 2, weights).argmax(axis=1)
        picked = _chosen(terms, index.reshape(num_symbols, nodes, n))
        return picked + jax.lax.stop_gradient(log_sum(stream, terms) - picked)

    return add


def _flat(terms: Float[Array, "V M P N"]) -> Float[Array, "V M X"]:
    """Joins nodes and strings: over an axis of few strings XLA's loops on a CPU are slow."""
    num_symbols, num_rules, nodes, n = terms.shape
    return terms.reshape(num_symbols, num_rules, nodes * n)


def _chosen(terms: Float[Array, "V M P N"], index: Int[Array, "V P N"]) -> Float[Array, "V P N"]:
    """Returns the term (V, P, N) of an index; as a product, whose gradient is no scatter."""
    hot = jnp.arange(terms.shape[1])[None, :, None, None] == index[:, None]
    return (terms * hot).sum(axis=1)

"""A pure function of a key, mapped over many seeds."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any

_LANES_ON_ACCELERATOR = 32


def seed_keys(seed: int, num_seeds: int) -> jax.Array:
    """(num_seeds,) typed keys; those of fewer seeds are the first ones of more."""
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.arange(num_seeds))


def map_seeds(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """The function over a leading axis of all arguments: one by one on CPU, at once elsewhere."""
    if jax.default_backend() == "cpu":
        return lambda *args: jax.lax.map(lambda lane: function(*lane), args)
    return jax.vmap(function)


def seed_chunks(num_seeds: int) -> Iterator[tuple[np.ndarray, int]]:
    """Seeds to run in one call, so that memory does not grow with their number.

    Yields:
      Indices of a chunk, the last one padded by repeating its end so that every call has the
      same shapes, and how many of them are not padding.
    """
    size = 1 if jax.default_backend() == "cpu" else min(_LANES_ON_ACCELERATOR, num_seeds)
    for start in range(0, num_seeds, size):
        count = min(size, num_seeds - start)
        yield np.minimum(np.arange(start, start + size), num_seeds - 1), count

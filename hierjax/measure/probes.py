"""Linear probes: how well hidden variables can be read off features by a linear map."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from hierjax.checks import as_floats, one_hot, require_shape, wrong_classes

_TINY = 1e-12


class Probes(NamedTuple):
    """How well symbols can be read off features.

    Attributes:
      accuracy: (P, Q) share of the strings of the second half whose symbol at each of Q nodes is
        found, for features of each of P positions.
      chance: (Q,) share that is found by guessing the most frequent symbol of the first half.
    """

    accuracy: Array
    chance: Array


def linear_probes(
    features: Float[Array | np.ndarray, "N P F"],
    symbols: Integer[Array | np.ndarray, "N Q"],
    num_symbols: int,
    ridge: float = 1e-3,
) -> Probes:
    """Fits linear probes on the first half of the strings, and scores them on the second.

    A probe is the ridge regression of one-hot symbols, with an intercept; the largest of its
    outputs says which symbol it reads. Matrix products are of the highest precision. The function
    may be jitted, and mapped by `jax.vmap`.

    Args:
      features: (N, P, F) features of N independent strings at P positions.
      symbols: (N, Q) integers below V, the symbols of the strings at Q nodes.
      num_symbols: number of symbols, V.
      ridge: penalty in units of the mean variance of the features of a position.

    Returns:
      The shares, of every position and node. Features that do not vary do as well as chance; those
      that are not finite find nothing.

    Raises:
      ValueError: there are not symbols and features of as many strings, or fewer than two strings,
        the penalty is not above 0, or a symbol is known and out of range.
    """
    require_shape("features", features, (None, None, None), "give (N, P, F)")
    require_shape(
        "symbols", symbols, (features.shape[0], None), "give those of each string, (N, Q)"
    )
    if features.shape[0] < 2:
        raise ValueError(f"{features.shape[0]} strings have no two halves: give at least 2")
    if not ridge > 0:
        raise ValueError(f"ridge={ridge} must be above 0")
    half = features.shape[0] // 2
    targets = one_hot(symbols, num_symbols, "symbols")
    shares = targets[:half].mean(axis=0)
    flat = (targets[:half] - shares[None]).reshape(half, -1)
    rest = jnp.asarray(symbols)[half:]

    @jax.default_matmul_precision("highest")
    def accuracy(features: Float[Array, "N F"]) -> Float[Array, " Q"]:
        centre = features[:half].mean(axis=0)
        centred = features - centre[None]
        gram = centred[:half].T @ centred[:half]
        penalty = (ridge * jnp.trace(gram) / gram.shape[0] + _TINY) * jnp.eye(gram.shape[0])
        maps = jax.scipy.linalg.solve(gram + penalty, centred[:half].T @ flat, assume_a="pos")
        scores = (centred[half:] @ maps).reshape(-1, *shares.shape) + shares[None]
        return 1 - wrong_classes(scores, rest).mean(axis=0)

    guesses = jnp.argmax(shares, axis=1)
    # Not by vmap: on few cores two solvers of many systems wait for each other (jaxlib 0.10.2).
    by_position = jnp.swapaxes(as_floats("features", features), 0, 1)
    return Probes(
        accuracy=jax.lax.map(accuracy, by_position),
        chance=jnp.mean(rest == guesses[None], axis=0),
    )

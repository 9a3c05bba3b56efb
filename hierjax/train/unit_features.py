"""Random units as features of a linear fit: drawn once, then centred and scaled.

Functions that go over many rows take a block of them at a time, so that memory does not grow with
their number.
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key, Shaped

from hierjax.models.residual_stack import RandomUnits

PyTree = Any

_ROWS_AT_ONCE = 1024
_POWER_ROWS = 2048
_POWER_STEPS = 15
_ROUNDING = 1e-8
_TINY = 1e-12


class UnitFeatures(struct.PyTreeNode):
    """Random units, centred and scaled.

    Attributes:
      variables: variables of the module `RandomUnits`.
      center: (W,) means of the units.
      scale: () number by which the centred units are multiplied.
      mean_square: () mean squared norm of the features, that is after centring and scaling.
    """

    variables: PyTree
    center: Array
    scale: Array
    mean_square: Array

    def values(self, units: RandomUnits, rows: Float[Array, "R D"]) -> Float[Array, "R W"]:
        """Returns the features (R, W) of rows (R, D), computed by the module of the units."""
        raw = cast(Array, units.apply(self.variables, rows))
        return (raw - self.center[None]) * self.scale


def draw_features(
    units: RandomUnits,
    key: Key[Array, ""],
    rows: Float[Array, "R D"],
    batch_size: int | None = None,
) -> UnitFeatures:
    """Draws the weights of random units, and centres and scales the units on some rows.

    Args:
      units: the module, of W units.
      key: typed PRNG key of the weights.
      rows: (R, D) what the units read.
      batch_size: number of examples of a batch of gradient descent, for which the features are
        scaled so that 1 is the right learning rate, see `best_rate`; None scales them to unit
        mean squared norm.

    Returns:
      The features.
    """
    variables = units.init(key, rows[:1])
    raw = UnitFeatures(variables, jnp.zeros(units.width), jnp.float32(1), jnp.float32(1))
    center = row_sum(lambda rows: raw.values(units, rows), rows) / rows.shape[0]
    raw = raw.replace(center=center)
    variance = row_sum(lambda rows: raw.values(units, rows) ** 2, rows).sum() / rows.shape[0]
    # Units that never change are off their mean by rounding: that is not to be blown up.
    floor = _ROUNDING * (center**2).sum() + _TINY
    features = raw.replace(scale=jax.lax.rsqrt(variance + floor))
    if batch_size is None:
        return features
    few = rows.shape[0] < 2 * units.width
    rate = best_rate(lambda rows: features.values(units, rows), rows, batch_size, few)
    return features.replace(scale=features.scale * jnp.sqrt(rate), mean_square=rate)


def best_rate(
    features: Callable[[Array], Array],
    rows: Float[Array, "R D"],
    batch_size: int,
    repeated: bool = False,
) -> Float[Array, ""]:
    """Estimates the learning rate B / (1 + (B - 1) * lambda) of gradient descent on batches of B.

    For features of unit norm, whose second moment has the largest eigenvalue lambda, and for
    targets that they can fit it is the fastest rate (arXiv 1712.06559).

    Args:
      features: rows (R, D) -> their features (R, W).
      rows: (R, D) rows, of which the first 4,096 at most are used.
      batch_size: number of rows of a batch, B.
      repeated: whether chance correlations of the rows count, as they do where there are fewer
        rows than features and descent goes over them again and again. Otherwise the eigenvector
        is found on some rows and its eigenvalue on others.

    Returns:
      The learning rate.

    Raises:
      ValueError: there are fewer than two rows.
    """
    if rows.shape[0] < 2:
        raise ValueError(f"{rows.shape[0]} train row tells no learning rate: give at least 2")
    count = min(_POWER_ROWS, rows.shape[0] // 2)
    first, second = features(rows[:count]), features(rows[count : 2 * count])

    def step(_, vector):
        image = first.T @ (first @ vector)
        return image / (jnp.linalg.norm(image) + _TINY)

    vector = jax.lax.fori_loop(0, _POWER_STEPS, step, first[0])
    measured = first if repeated else second
    return batch_size / (1 + (batch_size - 1) * jnp.mean((measured @ vector) ** 2))


def row_sum(function: Callable[..., Array], *rows: Shaped[Array, "R ..."]) -> Float[Array, "..."]:
    """Returns the sum over rows (...) of a function of rows (R, ...) to numbers (R, ...)."""
    return sum_blocks(
        lambda weights, *rows: jnp.einsum("r,r...->...", weights, function(*rows)), *rows
    )


def sum_blocks(function: Callable[..., PyTree], *rows: Shaped[Array, "R ..."]) -> PyTree:
    """Returns the sum over blocks of rows of a function of them, a pytree of arrays.

    Args:
      function: (weights (B,), rows (B, ...), ...) -> a pytree of arrays; the weights are 1, and 0
        for the rows that fill up a block.
      *rows: (R, ...) arrays, cut into blocks of B rows.
    """
    count = rows[0].shape[0]
    blocks = [_cut(each) for each in (jnp.ones(count), *rows)]
    shapes = jax.eval_shape(function, *(each[0] for each in blocks))
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(total, block):
        return jax.tree.map(jnp.add, total, function(*block)), None

    return jax.lax.scan(add, zeros, blocks)[0]


def _cut(rows: Shaped[Array, "R ..."]) -> Shaped[Array, "blocks B ..."]:
    """Cuts rows (R, ...) into blocks (blocks, B, ...), filled up with zeros."""
    number = -(-rows.shape[0] // _ROWS_AT_ONCE)
    extra = -rows.shape[0] % number
    padded = jnp.pad(rows, [(0, extra)] + [(0, 0)] * (rows.ndim - 1))
    return padded.reshape(number, -1, *rows.shape[1:])

"""Random units as features of a linear fit: drawn once, then centred and scaled."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from hierjax.models.residual_stack import RandomUnits

_ROWS_AT_ONCE = 1024
_POWER_ROWS = 2048
_POWER_STEPS = 15
_ROUNDING = 1e-8
_TINY = 1e-12


class UnitFeatures(struct.PyTreeNode):
    """Units, centred and scaled.

    Attributes:
      variables: of `RandomUnits`.
      center: (W,) means of the units.
      scale: by which they are multiplied.
      mean_square: their mean squared norm after that.
    """

    variables: dict
    center: jax.Array
    scale: jax.Array
    mean_square: jax.Array

    def values(self, units: RandomUnits, rows: jax.Array) -> jax.Array:
        """(R, W) features of rows (R, N)."""
        return (units.apply(self.variables, rows) - self.center[None]) * self.scale


def draw_features(
    units: RandomUnits, key: jax.Array, rows: jax.Array, batch_size: int | None = None
) -> UnitFeatures:
    """Draws the units, and centres them on rows (R, N).

    Args:
      units: the module.
      key: of the first weights.
      rows: what they read.
      batch_size: scales the features so that 1 is the right rate for gradient descent on
        batches of so many, see `best_rate`; None scales them to unit mean squared norm.
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
    features: Callable[[jax.Array], jax.Array],
    rows: jax.Array,
    batch_size: int,
    repeated: bool = False,
) -> jax.Array:
    """The rate B / (1 + (B - 1) * largest eigenvalue) of gradient descent on batches of B.

    For features of unit norm and targets that they can fit it is the fastest (arXiv 1712.06559).
    The eigenvector is found on some rows, its eigenvalue on others, so that the chance
    correlations of few rows do not count; `repeated` for fewer rows than features, over which
    descent goes again and again, so that they do.
    """
    count = min(_POWER_ROWS, rows.shape[0] // 2)
    first, second = features(rows[:count]), features(rows[count : 2 * count])

    def step(_, vector):
        image = first.T @ (first @ vector)
        return image / (jnp.linalg.norm(image) + _TINY)

    vector = jax.lax.fori_loop(0, _POWER_STEPS, step, first[0])
    measured = first if repeated else second
    return batch_size / (1 + (batch_size - 1) * jnp.mean((measured @ vector) ** 2))


def row_sum(function: Callable[..., jax.Array], *rows: jax.Array) -> jax.Array:
    """Sum over rows of a function of (R, ...) rows to (R, ...), a block of rows at a time."""
    return sum_blocks(
        lambda weights, *rows: jnp.einsum("r,r...->...", weights, function(*rows)), *rows
    )


def sum_blocks(function: Callable, *rows: jax.Array):
    """Sum of a function of (weights, rows) over blocks of rows; rows that fill up weigh zero."""
    count = rows[0].shape[0]
    blocks = [_cut(each) for each in (jnp.ones(count), *rows)]
    shapes = jax.eval_shape(function, *(each[0] for each in blocks))
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(total, block):
        return jax.tree.map(jnp.add, total, function(*block)), None

    return jax.lax.scan(add, zeros, blocks)[0]


def _cut(rows: jax.Array) -> jax.Array:
    """(R, ...) to (blocks, rows of a block, ...), filled with zeros."""
    number = -(-rows.shape[0] // _ROWS_AT_ONCE)
    extra = -rows.shape[0] % number
    padded = jnp.pad(rows, [(0, extra)] + [(0, 0)] * (rows.ndim - 1))
    return padded.reshape(number, -1, *rows.shape[1:])

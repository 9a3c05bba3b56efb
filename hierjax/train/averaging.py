"""Averages of the parameters that descent passes through: as good as a falling rate, at every step.

With a falling learning rate, what is reached at a step depends on how many steps were planned. The
average over the last of the steps so far, at a constant rate, does not.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

PyTree = Any

_POWER = 8


class AveragedState(NamedTuple):
    """State of an optimizer by `averaged`.

    Attributes:
      inner: state of the optimizer itself.
      average: the average of the parameters so far.
      count: () int32, number of steps.
    """

    inner: PyTree
    average: PyTree
    count: Array


def averaged(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Makes an optimizer that keeps an average of the parameters beside them.

    Step t weighs as much as t^8, so that the average is over the last ninth of the steps or so
    (polynomial-decay averaging, arXiv 1212.1824, Section 3).

    Args:
      optimizer: the optimizer, whose steps stay as they are.
    """

    def init(params):
        return AveragedState(optimizer.init(params), params, jnp.int32(0))

    def update(updates, state, params=None):
        updates, inner = optimizer.update(updates, state.inner, params)
        share = (_POWER + 1) / (state.count + _POWER + 1)
        average = jax.tree.map(
            lambda mean, p, u: mean + (share * (p + u - mean)).astype(mean.dtype),
            state.average,
            params,
            updates,
        )
        return updates, AveragedState(inner, average, state.count + 1)

    return optax.GradientTransformation(init, update)

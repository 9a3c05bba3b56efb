"""Layerwise training: every layer is fitted on what the finished layers below make of the data.

One loop serves every stack. A layer says how it is fitted and applied, a data function which
examples layer k sees (the same ones each time, or fresh ones); the loop knows nothing else.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax

from hierjax.tasks.batch import Batch

Params = Any


class Layer(Protocol):
    """One stage of a stack."""

    def fit(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> Params:
        """Parameters of this layer, trained on its own inputs and the labels."""

    def apply(self, params: Params, inputs: jax.Array) -> jax.Array:
        """What the layer above sees."""


def forward(layers: Sequence[Layer], params: Sequence[Params], inputs: jax.Array) -> jax.Array:
    """Applies as many layers, from the first, as there are parameters."""
    for layer, layer_params in zip(layers, params, strict=False):
        inputs = layer.apply(layer_params, inputs)
    return inputs


def fit_next(
    layers: Sequence[Layer], below: Sequence[Params], batch: Batch, key: jax.Array
) -> tuple[Params, jax.Array]:
    """Fits the first layer that has no parameters yet.

    Args:
      layers: the stack.
      below: parameters of its first layers.
      batch: the examples that this layer sees.
      key: typed PRNG key of the stack; layer k, from 0, is fitted with `fold_in(key, k)`.

    Returns:
      Parameters of the layer, and its inputs: the batch through the layers below.
    """
    index = len(below)
    hidden = forward(layers, below, batch.inputs)
    return layers[index].fit(jax.random.fold_in(key, index), hidden, batch.labels), hidden


def train_layerwise(
    layers: Sequence[Layer], data: Callable[[int], Batch], key: jax.Array
) -> tuple[Params, ...]:
    """Trains a whole stack, leaves up; pure, to be jitted and vmapped as one program.

    Args:
      layers: the stack.
      data: the examples that layer k, from 0, sees.
      key: typed PRNG key, as for `fit_next`.

    Returns:
      The parameters of every layer.
    """
    params: tuple[Params, ...] = ()
    for index in range(len(layers)):
        layer_params, _ = fit_next(layers, params, data(index), key)
        params += (layer_params,)
    return params

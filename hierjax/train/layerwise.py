"""Layerwise training: every layer is fitted on what the finished layers below make of the data.

One loop serves every stack. A layer says how it is fitted and applied, a data function which
examples layer k sees (the same ones each time, or fresh ones); the loop knows nothing else. A
network that is trained end to end, or any other learner, is a stack of one layer.
"""

import abc
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from hierjax.tasks.batch import Batch

Params = Any
FitState = Any


class Layer(Protocol):
    """One layer of a stack: how it is fitted, and how it is applied."""

    def fit(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> Params:
        """Parameters of this layer, trained on its own inputs and the labels."""

    def apply(self, params: Params, inputs: jax.Array) -> jax.Array:
        """What the layer above sees."""


class RoundsLayer(abc.ABC):
    """A layer whose fit is long: it goes in rounds, between which it can be saved.

    The state of a fit is a pytree with a scalar `progress`, which is 1 when the fit has ended.
    """

    @abc.abstractmethod
    def start(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> FitState:
        """The state before the first round."""

    @abc.abstractmethod
    def advance(
        self, key: jax.Array, state: FitState, inputs: jax.Array, labels: jax.Array
    ) -> FitState:
        """One more round; the key is that of the start."""

    @abc.abstractmethod
    def finish(self, state: FitState, inputs: jax.Array, labels: jax.Array) -> Params:
        """The parameters that the last round left."""

    @abc.abstractmethod
    def apply(self, params: Params, inputs: jax.Array) -> jax.Array:
        """What the layer above sees."""

    def fit(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> Params:
        """All rounds in one program, as `Layer.fit`."""
        state = jax.lax.while_loop(
            lambda state: state.progress < 1,
            lambda state: self.advance(key, state, inputs, labels),
            self.start(key, inputs, labels),
        )
        return self.finish(state, inputs, labels)


def forward(layers: Sequence[Layer], params: Sequence[Params], inputs: jax.Array) -> jax.Array:
    """Applies as many layers, from the first, as there are parameters."""
    for layer, layer_params in zip(layers, params, strict=False):
        inputs = layer.apply(layer_params, inputs)
    return inputs


class ScoringLayer(abc.ABC):
    """A layer that predicts by itself, besides what it puts out for the layer above."""

    @abc.abstractmethod
    def class_scores(self, params: Params, inputs: jax.Array) -> jax.Array:
        """Scores (N, C) of whole examples, as far as this layer can tell."""

    def votes(self, params: Params, inputs: jax.Array) -> jax.Array:
        """Deprecated name of `class_scores`."""
        warnings.warn("votes is called class_scores now", DeprecationWarning, stacklevel=2)
        return self.class_scores(params, inputs)


class ChoosingLayer(abc.ABC):
    """A layer whose fit makes choices on held-out examples."""

    @abc.abstractmethod
    def chosen(self, params: Params) -> dict[str, jax.Array]:
        """The choices that were made, numbers by name."""

    def describe(self, chosen: Mapping[str, np.ndarray]) -> dict[str, list]:
        """The choices of many seeds as people read them, lists by name."""
        return {name: values.tolist() for name, values in chosen.items()}


def class_scores(layers: Sequence[Layer], params: Sequence[Params], inputs: jax.Array) -> jax.Array:
    """Scores (N, C) by the last of the layers that have parameters.

    They are those of `ScoringLayer.class_scores` where it has them, else its outputs.
    """
    below, layer = params[:-1], layers[len(params) - 1]
    hidden = forward(layers, below, inputs)
    scores = layer.class_scores if isinstance(layer, ScoringLayer) else layer.apply
    return scores(params[-1], hidden)


def layer_key(key: jax.Array, index: int) -> jax.Array:
    """The key with which layer `index`, from 0, of a stack with this key is fitted."""
    return jax.random.fold_in(key, index)


def train_layerwise(
    layers: Sequence[Layer], data: Batch | Callable[[int], Batch], key: jax.Array
) -> tuple[Params, ...]:
    """Trains a whole stack, leaves up; pure, to be jitted and mapped over seeds as one program.

    Args:
      layers: the stack.
      data: the examples that every layer sees, or those that layer k, from 0, sees.
      key: typed PRNG key of the stack.

    Returns:
      The parameters of every layer.
    """
    params: tuple[Params, ...] = ()
    for index, layer in enumerate(layers):
        batch = data(index) if callable(data) else data
        hidden = forward(layers, params, batch.inputs)
        params += (layer.fit(layer_key(key, index), hidden, batch.labels),)
    return params

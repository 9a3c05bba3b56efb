"""Flax modules trained by descent: whole, or one layer at a time."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct, traverse_util

from hierjax.train.descent import Descent, DescentState, Objective
from hierjax.train.layerwise import ChoosingLayer, RoundsLayer, ScoringLayer
from hierjax.train.losses import CROSS_ENTROPY, Loss

PyTree = Any

_LAYERWISE_METHODS = {
    "embed": "embed(inputs), which makes the first layer's inputs",
    "layer": "layer(hidden, index), which applies layer `index` from 0",
    "readout": "readout(hidden), which makes the scores from the last layer's outputs",
}


class TrainedNetwork(struct.PyTreeNode):
    """Parameters that descent has left.

    Attributes:
      variables: of the module.
      head: kernel (F, C) and bias (C,) that read classes off a hidden layer; None elsewhere.
      learning_rate: with which they were trained.
      num_steps: taken with it.
    """

    variables: PyTree
    head: PyTree
    learning_rate: jax.Array
    num_steps: jax.Array


@dataclasses.dataclass(frozen=True)
class _ModuleLayer(RoundsLayer, ChoosingLayer):
    """What `Network` and `NetworkLayer` share.

    Learning rates are compared by the mistakes that they lead to.

    Attributes:
      module: the user's.
      descent: how it is trained.
      loss: what is minimised; by default the cross-entropy of class scores.
    """

    module: nn.Module
    descent: Descent
    loss: Loss = dataclasses.field(default=CROSS_ENTROPY, kw_only=True)

    def start(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> DescentState:
        """The state before the first round; inputs (N, ...), labels (N,).

        Raises:
          ValueError: the module has variables besides its parameters.
        """
        return self.descent.start(self._objective(inputs), key)

    def advance(
        self, key: jax.Array, state: DescentState, inputs: jax.Array, labels: jax.Array
    ) -> DescentState:
        """One round."""
        return self.descent.advance(self._objective(inputs), key, state, inputs, labels)

    def finish(self, state: DescentState, inputs: jax.Array, labels: jax.Array) -> TrainedNetwork:
        """What was trained, and how."""
        rates = jnp.asarray([rate for rate, _ in self.descent.grid])
        return TrainedNetwork(
            **state.params, learning_rate=rates[state.choice], num_steps=state.step
        )

    def chosen(self, params: TrainedNetwork) -> dict[str, jax.Array]:
        """The learning rate, and the steps that were taken with it."""
        return {"learning_rate": params.learning_rate, "steps": params.num_steps}

    def _objective(self, inputs: jax.Array) -> Objective:
        def loss(params, inputs, labels):
            return self.loss.per_example(self._scores(params, inputs), labels)

        def mistakes(params, inputs, labels):
            return self.loss.mistakes(self._scores(params, inputs), labels)

        return Objective(lambda key: self._init(key, inputs[:1]), loss, mistakes)

    def _init_module(self, key: jax.Array, inputs: jax.Array, method) -> PyTree:
        variables = self.module.init(key, inputs, method=method)
        others = sorted(set(variables) - {"params"})
        if others:
            raise ValueError(
                f"{type(self.module).__name__} has variables of kind {' and '.join(others)}, "
                "which no gradient trains: leave them out of the module"
            )
        return variables

    def _init(self, key, inputs) -> dict:
        raise NotImplementedError

    def _scores(self, params: dict, inputs: jax.Array) -> jax.Array:
        raise NotImplementedError


class Network(_ModuleLayer):
    """A Flax module trained end to end: a stack of one layer, whose output are scores.

    The module maps (N, ...) inputs to (N, C) scores.
    """

    def apply(self, params: TrainedNetwork, inputs: jax.Array) -> jax.Array:
        """Class scores (N, C)."""
        return self.module.apply(params.variables, inputs)

    def _init(self, key, inputs):
        return {"variables": self._init_module(key, inputs, None), "head": None}

    def _scores(self, params, inputs):
        return self.module.apply(params["variables"], inputs)


@dataclasses.dataclass(frozen=True)
class NetworkLayer(_ModuleLayer, ScoringLayer):
    """One layer of a Flax module, trained alone with a linear head on all its outputs.

    Layers above do not exist for it, layers below are fixed. The last layer is trained with the
    module's own read-out.

    Attributes:
      index: from 0.
    """

    index: int

    def apply(self, params: TrainedNetwork, inputs: jax.Array) -> jax.Array:
        """What the layer above sees; of the last layer, scores (N, C)."""
        method = self._whole if self._is_last else self._hidden
        return self.module.apply(params.variables, inputs, method=method)

    def class_scores(self, params: TrainedNetwork, inputs: jax.Array) -> jax.Array:
        """Class scores (N, C), as far as this layer can tell."""
        return self._scores({"variables": params.variables, "head": params.head}, inputs)

    @property
    def _is_last(self) -> bool:
        return self.index == self.module.num_layers - 1

    def _hidden(self, module: nn.Module, inputs: jax.Array) -> jax.Array:
        return module.layer(module.embed(inputs) if self.index == 0 else inputs, self.index)

    def _whole(self, module: nn.Module, inputs: jax.Array) -> jax.Array:
        """From this layer's inputs to the module's scores."""
        hidden = self._hidden(module, inputs)
        for index in range(self.index + 1, module.num_layers):
            hidden = module.layer(hidden, index)
        return module.readout(hidden)

    def _head(self, inputs: jax.Array) -> nn.Dense:
        """As many scores as the module has."""

        def scores(inputs):
            key = jax.random.key(0)
            return self.module.init_with_output(key, inputs, method=self._whole)[0]

        return nn.Dense(jax.eval_shape(scores, inputs).shape[-1])

    def _init(self, key, inputs):
        if self._is_last:
            return {"variables": self._init_module(key, inputs, self._whole), "head": None}
        variables = self._init_module(key, inputs, self._hidden)
        hidden = self.module.apply(variables, inputs, method=self._hidden)
        head = self._head(inputs).init(jax.random.fold_in(key, 1), hidden.reshape(1, -1))
        return {"variables": variables, "head": head}

    def _scores(self, params, inputs):
        if self._is_last:
            return self.module.apply(params["variables"], inputs, method=self._whole)
        hidden = self.module.apply(params["variables"], inputs, method=self._hidden)
        return self._head(inputs).apply(params["head"], hidden.reshape(hidden.shape[0], -1))


def network_layers(
    module: nn.Module, descent: Descent, loss: Loss = CROSS_ENTROPY
) -> tuple[NetworkLayer, ...]:
    """A Flax module of the user's own as a stack that is trained layer by layer.

    The module has `num_layers` and the methods embed(inputs), layer(hidden, index) and
    readout(hidden); `models.conv_stack.ConvStack` is an example. The parameters of all layers
    together are those of the module, see `merge_variables`.

    Raises:
      ValueError: the module lacks one of them.
    """
    missing = [text for name, text in _LAYERWISE_METHODS.items() if not hasattr(module, name)]
    if not hasattr(module, "num_layers"):
        missing.insert(0, "num_layers, the number of its layers")
    if missing:
        raise ValueError(
            f"{type(module).__name__} cannot be trained layer by layer, because it lacks "
            f"{'; '.join(missing)}: add them, or train it whole as a Network"
        )
    return tuple(
        NetworkLayer(module, descent, index, loss=loss) for index in range(module.num_layers)
    )


def merge_variables(trained: tuple[TrainedNetwork, ...]) -> PyTree:
    """Variables of the whole module, from those of its layers.

    Raises:
      ValueError: two layers have trained parameters of the same name, each in its own way.
    """
    merged: dict = {}
    for layer in trained:
        own = traverse_util.flatten_dict(layer.variables)
        both = merged.keys() & own.keys()
        if both:
            raise ValueError(
                f"several layers have trained {'/'.join(min(both))}: they do not make one module, "
                "so use them as a stack, or give every layer parameters of its own"
            )
        merged |= own
    return traverse_util.unflatten_dict(merged)

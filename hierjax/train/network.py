"""Flax modules trained whole, by descent.

Modules are applied at the highest precision of products, so that float32 is float32 everywhere.
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Key, Shaped

from hierjax.checks import require_examples
from hierjax.train.descent import Descent, DescentState
from hierjax.train.layerwise import ChoosingLayer, Examples, RoundsLayer
from hierjax.train.losses import CROSS_ENTROPY, Loss, require_suited
from hierjax.train.objective import Objective

PyTree = Any

_LAYERWISE_PARTS = {
    "num_layers": "num_layers, the number of its layers",
    "embed": "embed(inputs), which makes the first layer's inputs",
    "layer": "layer(hidden, index), which applies layer `index` from 0",
    "readout": "readout(hidden), which makes the scores from the last layer's outputs",
}


class TrainedNetwork(struct.PyTreeNode):
    """Parameters of a Flax module, or of one layer of it, that descent has left.

    Attributes:
      variables: variables of the module, as `module.init` makes them.
      head: variables of the linear map, kernel (F, C) and bias (C,), that reads scores off a
        hidden layer; None elsewhere.
      learning_rate: () learning rate with which the parameters were trained.
      num_steps: () int32, number of steps with this learning rate.
    """

    variables: PyTree
    head: PyTree
    learning_rate: Array
    num_steps: Array


@dataclasses.dataclass(frozen=True)
class ModuleLayer(RoundsLayer, ChoosingLayer):
    """What `Network` and `NetworkLayer` share.

    Learning rates are compared by the mistakes that they lead to.

    Attributes:
      module: the module, any of the user's own that has no variables besides its parameters.
      descent: how the module is trained.
      loss: the loss that is minimised; by default the cross-entropy of class scores.
    """

    module: nn.Module
    descent: Descent
    loss: Loss = dataclasses.field(default=CROSS_ENTROPY, kw_only=True)

    def start(
        self, key: Key[Array, ""], inputs: Shaped[Array, "N ..."], labels: Shaped[Array, "N ..."]
    ) -> DescentState:
        """Returns the state before the first round; see `RoundsLayer.start`.

        Raises:
          ValueError: the module has variables besides its parameters, there are not as many labels
            as inputs, or the loss refuses the labels.
        """
        require_examples(inputs, labels)
        state = self.descent.start(self._objective(inputs), key)
        require_suited(self.loss, lambda: self._scores(state.params, inputs), labels)
        return state

    def advance(
        self,
        key: Key[Array, ""],
        state: DescentState,
        inputs: Shaped[Array, "N ..."],
        labels: Shaped[Array, "N ..."],
    ) -> DescentState:
        """Takes the steps of one round; see `RoundsLayer.advance`.

        Raises:
          ValueError: learning rates are to be compared, and there are fewer than two examples.
        """
        return self.descent.advance(self._objective(inputs), key, state, inputs, labels)

    def decide(
        self,
        key: Key[Array, ""],
        state: DescentState,
        inputs: Shaped[Array, "N ..."],
        labels: Shaped[Array, "N ..."],
    ) -> DescentState:
        """Goes on to the next learning rate, or ends; see `RoundsLayer.decide`."""
        return self.descent.decide(self._objective(inputs), key, state, inputs, labels)

    def finish(self, state: DescentState, inputs: Examples, labels: Examples) -> TrainedNetwork:
        """Returns the parameters, and how they were trained; see `RoundsLayer.finish`."""
        rates = jnp.asarray([rate for rate, _ in self.descent.grid])
        params = self.descent.evaluated(state.opt_state, state.params)
        return TrainedNetwork(**params, learning_rate=rates[state.choice], num_steps=state.step)

    def chosen(self, params: TrainedNetwork) -> dict[str, Array]:
        """Returns the "learning_rate", and the number of "steps" that were taken with it."""
        return {"learning_rate": params.learning_rate, "steps": params.num_steps}

    def _objective(self, inputs: Shaped[Array, "N ..."]) -> Objective:
        def loss(params, inputs, labels):
            return self.loss.per_example(self._scores(params, inputs), labels)

        def mistakes(params, inputs, labels):
            return self.loss.mistakes(self._scores(params, inputs), labels)

        return Objective(lambda key: self._init(key, inputs[:1]), loss, mistakes)

    @jax.default_matmul_precision("highest")
    def _init_module(self, key: Key[Array, ""], inputs: Shaped[Array, "N ..."], method) -> PyTree:
        variables = self.module.init(key, inputs, method=method)
        others = sorted(set(variables) - {"params"})
        if others:
            raise ValueError(
                f"{type(self.module).__name__} has variables of kind {' and '.join(others)}, "
                "which no gradient trains: leave them out of the module"
            )
        return variables

    @jax.default_matmul_precision("highest")
    def _apply(
        self, variables: PyTree, inputs: Shaped[Array, "N ..."], method=None
    ) -> Shaped[Array, "N ..."]:
        return cast(Array, self.module.apply(variables, inputs, method=method))

    def _init(self, key: Key[Array, ""], inputs: Shaped[Array, "1 ..."]) -> dict:
        """Returns the variables of the module and of the head before training."""
        raise NotImplementedError

    def _scores(self, params: dict, inputs: Shaped[Array, "N ..."]) -> Float[Array, "N ..."]:
        """Returns the scores that are trained, given what `_init` returned."""
        raise NotImplementedError


class Network(ModuleLayer):
    """A Flax module trained end to end: a stack of one layer, whose outputs are scores.

    The module maps inputs (N, ...) to what its loss takes, such as class scores (N, C). Learning
    rates are compared by the mistakes that they lead to on held-out examples.

    Attributes:
      module: the module, any of the user's own that has no variables besides its parameters.
      descent: how the module is trained.
      loss: the loss that is minimised; by default the cross-entropy of class scores.
    """

    def apply(
        self, params: TrainedNetwork, inputs: Shaped[Array, "N ..."]
    ) -> Float[Array, "N ..."]:
        """Returns the outputs of the module, such as class scores (N, C), on inputs (N, ...)."""
        return self._apply(params.variables, inputs)

    def started_at(self, variables: PyTree) -> "Network":
        """Returns the same network, whose descent begins at given variables, whatever its key.

        Args:
          variables: variables of the module, such as those of `merge_variables`.
        """
        return _StartedNetwork(self.module, self.descent, variables, loss=self.loss)

    def hidden(
        self, params: TrainedNetwork, inputs: Shaped[Array, "N ..."]
    ) -> list[Shaped[Array, "N ..."]]:
        """Returns what each hidden layer makes of inputs (N, ...), first layer first.

        They are float32 at least; of a layer that hands on what those below it made, too, they are
        what comes last. The list is empty where the module is not made of layers as
        `network_layers` wants them.
        """
        if missing_parts(self.module):
            return []

        def outputs(module, hidden):
            hidden, found = module.embed(hidden), []
            for index in range(module.num_layers):
                hidden = module.layer(hidden, index)
                found.append(jax.tree.leaves(hidden)[-1])
            # What is measured of them is computed in at least single precision.
            return [each.astype(jnp.promote_types(each.dtype, jnp.float32)) for each in found]

        with jax.default_matmul_precision("highest"):
            return cast(list, self.module.apply(params.variables, inputs, method=outputs))

    def _init(self, key: Key[Array, ""], inputs: Shaped[Array, "1 ..."]) -> dict:
        return {"variables": self._init_module(key, inputs, None), "head": None}

    def _scores(self, params: dict, inputs: Shaped[Array, "N ..."]) -> Float[Array, "N ..."]:
        return self._apply(params["variables"], inputs)


@dataclasses.dataclass(frozen=True)
class _StartedNetwork(Network):
    """See `Network.started_at`."""

    variables: PyTree

    def _init(self, key: Key[Array, ""], inputs: Shaped[Array, "1 ..."]) -> dict:
        return {"variables": self.variables, "head": None}


def missing_parts(module: nn.Module) -> list[str]:
    """Returns what a module lacks to be made of layers, in words.

    Args:
      module: the module, see `network_layers`.
    """
    return [text for name, text in _LAYERWISE_PARTS.items() if not hasattr(module, name)]

"""Flax modules trained one layer at a time, by descent."""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import jax
from flax import linen as nn
from flax import traverse_util
from jaxtyping import Array, Float, Key, Shaped

from hierjax.train.descent import Descent
from hierjax.train.layerwise import ScoringLayer
from hierjax.train.losses import CROSS_ENTROPY, Loss
from hierjax.train.network import ModuleLayer, TrainedNetwork, missing_parts

PyTree = Any


@dataclasses.dataclass(frozen=True)
class NetworkLayer(ModuleLayer, ScoringLayer):
    """One layer of a Flax module, trained alone with a linear head on all its outputs.

    Where the module scores every position, (N, T, C), the head is shared by the positions, each of
    which reads the outputs at its own. Layers above do not exist for the layer, layers below are
    fixed. The last layer is trained with the module's own read-out. Learning rates are compared by
    the mistakes that they lead to on held-out examples.

    Attributes:
      module: the module, see `network_layers`.
      descent: how the layer is trained.
      index: index of the layer, from 0.
      loss: the loss that is minimised; by default the cross-entropy of class scores.
    """

    index: int

    def apply(
        self, params: TrainedNetwork, inputs: Shaped[Array, "N ..."]
    ) -> Shaped[Array, "N ..."]:
        """Returns what the layer above sees, (N, ...); of the last layer, class scores (N, C)."""
        method = self._whole if self._is_last else self._hidden
        return self._apply(params.variables, inputs, method)

    def class_scores(
        self, params: TrainedNetwork, inputs: Shaped[Array, "N ..."]
    ) -> Float[Array, "N ..."]:
        """Returns class scores (N, C), as far as this layer can tell."""
        return self._scores({"variables": params.variables, "head": params.head}, inputs)

    @property
    def _is_last(self) -> bool:
        return self.index == self.module.num_layers - 1

    def _hidden(self, module: nn.Module, inputs: Shaped[Array, "N ..."]) -> Shaped[Array, "N ..."]:
        """Returns the outputs of this layer."""
        return module.layer(module.embed(inputs) if self.index == 0 else inputs, self.index)

    def _whole(self, module: nn.Module, inputs: Shaped[Array, "N ..."]) -> Shaped[Array, "N ..."]:
        """Returns the module's scores, given this layer's inputs."""
        hidden = self._hidden(module, inputs)
        for index in range(self.index + 1, module.num_layers):
            hidden = module.layer(hidden, index)
        return module.readout(hidden)

    def _head(
        self, inputs: Shaped[Array, "N ..."], hidden: Shaped[Array, "N ..."]
    ) -> tuple[nn.Dense, Shaped[Array, "N ..."]]:
        """Makes the linear head, and what it reads: all outputs, or those of a score's position."""

        def scores(inputs):
            key = jax.random.key(0)
            return self.module.init_with_output(key, inputs, method=self._whole)[0]

        *places, num_scores = jax.eval_shape(scores, inputs).shape
        return nn.Dense(num_scores), hidden.reshape(*places, -1)

    def _init(self, key: Key[Array, ""], inputs: Shaped[Array, "1 ..."]) -> dict:
        if self._is_last:
            return {"variables": self._init_module(key, inputs, self._whole), "head": None}
        variables = self._init_module(key, inputs, self._hidden)
        hidden = self._apply(variables, inputs, self._hidden)
        head, seen = self._head(inputs, hidden)
        return {"variables": variables, "head": head.init(jax.random.fold_in(key, 1), seen)}

    @jax.default_matmul_precision("highest")
    def _scores(self, params: dict, inputs: Shaped[Array, "N ..."]) -> Float[Array, "N ..."]:
        if self._is_last:
            return self._apply(params["variables"], inputs, self._whole)
        hidden = self._apply(params["variables"], inputs, self._hidden)
        head, seen = self._head(inputs, hidden)
        return cast(Array, head.apply(params["head"], seen))


def network_layers(
    module: nn.Module, descent: Descent, loss: Loss = CROSS_ENTROPY
) -> tuple[NetworkLayer, ...]:
    """Makes a stack that is trained layer by layer of a Flax module of the user's own.

    The module has `num_layers` and the methods embed(inputs), layer(hidden, index) and
    readout(hidden); `models.conv_stack.ConvStack` is an example. The parameters of all layers
    together are those of the module, see `merge_variables`.

    Args:
      module: the module.
      descent: how each layer is trained.
      loss: the loss that each layer minimises.

    Returns:
      The layers, first layer first.

    Raises:
      ValueError: the module lacks `num_layers` or one of the methods.
    """
    missing = missing_parts(module)
    if missing:
        raise ValueError(
            f"{type(module).__name__} cannot be trained layer by layer, because it lacks "
            f"{'; '.join(missing)}: add them, or train it whole as a Network"
        )
    return tuple(
        NetworkLayer(module, descent, index, loss=loss) for index in range(module.num_layers)
    )


def merge_variables(trained: Sequence[Any]) -> PyTree:
    """Puts the variables of the layers of a module together.

    Args:
      trained: the parameters of all layers, such as `TrainedNetwork` or `TrainedBlock`, whose
        `variables` are those of a part of the module.

    Returns:
      The variables of the whole module, which `module.apply` takes.

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

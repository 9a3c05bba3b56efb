"""Layerwise training: every layer is fitted on what the finished layers below make of the data.

One loop serves every stack. A layer says how it is fitted and applied, a data function which
examples layer k sees (the same ones each time, or fresh ones); the loop knows nothing else. A
network that is trained end to end, or any other learner, is a stack of one layer.
"""

import abc
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, Key, Shaped

from hierjax.checks import require_examples
from hierjax.tasks.batch import Batch

Params = Any
FitState = Any

Examples = Any
"""Inputs or labels (N, ...) of N examples; of a layer that draws them, where they come from."""


@runtime_checkable
class Layer(Protocol):
    """One layer of a stack: how it is fitted, and how it is applied."""

    def fit(
        self, key: Key[Array, ""], inputs: Shaped[Array, "N ..."], labels: Shaped[Array, "N ..."]
    ) -> Params:
        """Trains the layer by itself.

        Args:
          key: typed PRNG key of the layer.
          inputs: (N, ...), what the layers below make of N examples.
          labels: (N, ...) labels of the examples.

        Returns:
          The parameters of the layer, a pytree of arrays.
        """
        ...

    def apply(self, params: Params, inputs: Shaped[Array, "N ..."]) -> Shaped[Array, "N ..."]:
        """Returns what the layer above sees, (N, ...), of inputs (N, ...) of this layer."""
        ...


class RoundsLayer(abc.ABC):
    """A layer whose fit is long: it goes in rounds, between which it can be saved.

    The state of a fit is a pytree with a scalar `progress`, which is 1 when the fit has ended. Then
    it is not to go on: who drives many fits at once keeps the states of those that have ended.
    """

    @abc.abstractmethod
    def start(self, key: Key[Array, ""], inputs: Examples, labels: Examples) -> FitState:
        """Returns the state of a fit before its first round; arguments as for `fit`."""

    @abc.abstractmethod
    def advance(
        self,
        key: Key[Array, ""],
        state: FitState,
        inputs: Examples,
        labels: Examples,
    ) -> FitState:
        """Takes the steps of one round of a fit, as many in all fits.

        Args:
          key: the key with which the fit was started.
          state: the state before the round.
          inputs: (N, ...) inputs of the layer, those with which the fit was started.
          labels: (N, ...) labels, those with which the fit was started.

        Returns:
          The state after the round.
        """

    def decide(
        self,
        key: Key[Array, ""],
        state: FitState,
        inputs: Examples,
        labels: Examples,
    ) -> FitState:
        """Decides after a round how the fit goes on, and whether it has ended.

        Args:
          key: the key with which the fit was started.
          state: the state that `advance` returned.
          inputs: (N, ...) inputs of the layer, those with which the fit was started.
          labels: (N, ...) labels, those with which the fit was started.

        Returns:
          The state before the next round; by default the state as it is.
        """
        return state

    @abc.abstractmethod
    def finish(self, state: FitState, inputs: Examples, labels: Examples) -> Params:
        """Returns the parameters that the last round left; arguments as for `advance`."""

    @abc.abstractmethod
    def apply(self, params: Params, inputs: Shaped[Array, "N ..."]) -> Shaped[Array, "N ..."]:
        """Returns what the layer above sees, (N, ...), of inputs (N, ...) of this layer."""

    def fit(self, key: Key[Array, ""], inputs: Examples, labels: Examples) -> Params:
        """Trains the layer by itself, all rounds in one program.

        Args:
          key: typed PRNG key of the layer.
          inputs: (N, ...), what the layers below make of N examples.
          labels: (N, ...) labels of the examples.

        Returns:
          The parameters of the layer, a pytree of arrays.
        """

        def one_round(state):
            state = self.advance(key, state, inputs, labels)
            return self.decide(key, state, inputs, labels)

        start = self.start(key, inputs, labels)
        state = jax.lax.while_loop(lambda state: state.progress < 1, one_round, start)
        return self.finish(state, inputs, labels)


def forward(layers: Sequence[Layer], params: Sequence[Params], inputs: Examples) -> Examples:
    """Applies as many layers of a stack, from the first, as there are parameters.

    Args:
      layers: the stack, first layer first.
      params: the parameters of its first layers.
      inputs: (N, ...) inputs of the first layer.

    Returns:
      (N, ...) outputs of the last layer that was applied; the inputs if there are no parameters.

    Raises:
      ValueError: there are parameters of more layers than the stack has.
    """
    _require_layers(layers, params, 0)
    for layer, layer_params in zip(layers, params, strict=False):
        inputs = layer.apply(layer_params, inputs)
    return inputs


class ScoringLayer(abc.ABC):
    """A layer that predicts by itself, besides what it puts out for the layer above."""

    @abc.abstractmethod
    def class_scores(self, params: Params, inputs: Shaped[Array, "N ..."]) -> Float[Array, "N C"]:
        """Returns class scores (N, C) of whole examples, as far as this layer can tell."""

    def votes(self, params: Params, inputs: Any) -> Any:
        """Calls `class_scores`, whose deprecated name it is, with a warning."""
        warnings.warn("votes is called class_scores now", DeprecationWarning, stacklevel=2)
        return self.class_scores(params, inputs)


class ChoosingLayer(abc.ABC):
    """A layer whose fit makes choices on held-out examples."""

    @abc.abstractmethod
    def chosen(self, params: Params) -> dict[str, Array]:
        """Returns the choices that a fit made, scalars by name."""

    def describe(self, chosen: Mapping[str, np.ndarray]) -> dict[str, list]:
        """Puts the choices of many seeds into the words in which people read them.

        Args:
          chosen: what `chosen` returns, stacked over seeds, (num_seeds,) arrays by name.

        Returns:
          Lists of num_seeds entries by name.
        """
        return {name: values.tolist() for name, values in chosen.items()}


def class_scores(
    layers: Sequence[Layer], params: Sequence[Params], inputs: Shaped[Array, "N ..."]
) -> Float[Array, "N ..."]:
    """Computes the predictions of the last of the layers that have parameters.

    Args:
      layers: the stack, first layer first.
      params: the parameters of its first layers, at least of one.
      inputs: (N, ...) inputs of the first layer.

    Returns:
      (N, C) scores of `ScoringLayer.class_scores` if the layer has that method, else its outputs.

    Raises:
      ValueError: there are parameters of no layer, or of more than the stack has.
    """
    _require_layers(layers, params, 1)
    below, layer = params[:-1], layers[len(params) - 1]
    hidden = forward(layers, below, inputs)
    scores = layer.class_scores if isinstance(layer, ScoringLayer) else layer.apply
    return scores(params[-1], hidden)


def _require_layers(layers: Sequence[Layer], params: Sequence[Params], least: int) -> None:
    if not least <= len(params) <= len(layers):
        raise ValueError(
            f"params has {len(params)} entries, but must have from {least} to {len(layers)}: give "
            "those of the first layers of the stack"
        )


def layer_key(key: Key[Array, ""], index: int) -> Key[Array, ""]:
    """Returns the key with which layer `index`, from 0, of a stack with this key is fitted."""
    return jax.random.fold_in(key, index)


def train_layerwise(
    layers: Sequence[Layer], data: Batch | Callable[[int], Batch], key: Key[Array, ""]
) -> tuple[Params, ...]:
    """Trains a whole stack, leaves up; pure, to be jitted and mapped over seeds as one program.

    Args:
      layers: the stack, first layer first.
      data: the examples that every layer sees, or a function of the index of a layer, from 0, to
        the examples that it sees.
      key: typed PRNG key of the stack.

    Returns:
      The parameters of every layer, first layer first.

    Raises:
      ValueError: there are no examples, not as many labels as inputs, or a layer refuses them;
        labels out of range are seen where this is not itself inside of `jax.jit`.
    """
    params: tuple[Params, ...] = ()
    for index, layer in enumerate(layers):
        batch = data(index) if callable(data) else data
        require_examples(batch.inputs, batch.labels)
        hidden = forward(layers, params, batch.inputs)
        params += (layer.fit(layer_key(key, index), hidden, batch.labels),)
    return params

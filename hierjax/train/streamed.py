"""A network that is trained on other examples in every round."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Key, Shaped

from hierjax.train.descent import DescentState
from hierjax.train.layerwise import Examples, RoundsLayer
from hierjax.train.network import Network, TrainedNetwork

PyTree = Any


class Source(NamedTuple):
    """Takes the place of a batch: what the examples of a streamed network are drawn from.

    Attributes:
      inputs: the source, a pytree of arrays.
      labels: there are none.
    """

    inputs: PyTree
    labels: None = None


@dataclasses.dataclass(frozen=True)
class Streamed(RoundsLayer):
    """A network for which the examples of each round are drawn at once, to be seen once.

    They may be fresh examples of a task, or those of a fixed set under fresh noise. What they are
    drawn from, the source, takes the place of the inputs.

    Attributes:
      network: the network. Its descent takes examples in order, and compares no choices.
      draw: (key, source, number of examples n) -> inputs (n, ...) and targets (n, ...).

    Raises:
      ValueError: the descent draws examples by itself, or compares choices on held-out ones.
    """

    network: Network
    draw: Callable[[Array, PyTree, int], tuple[Array, Array]]

    def __post_init__(self):
        descent = self.network.descent
        if not descent.in_order:
            raise ValueError(
                "the descent of a streamed network must take examples in_order: set it"
            )
        if len(descent.grid) > 1 or descent.patience is not None:
            raise ValueError(
                f"learning_rates={descent.learning_rates}, penalties={descent.penalties} and "
                f"patience={descent.patience} need held-out examples, which a stream has not: give "
                "one rate, one penalty and no patience"
            )

    def start(self, key: Key[Array, ""], inputs: Examples, labels: Examples) -> DescentState:
        """Returns the state before the first round; see `RoundsLayer.start`.

        Args:
          key: typed PRNG key of the layer.
          inputs: the source.
          labels: not used.
        """
        return self.network.start(key, *self._examples(key, inputs, 0))

    def advance(
        self, key: Key[Array, ""], state: DescentState, inputs: Examples, labels: Examples
    ) -> DescentState:
        """Takes the steps of one round, on examples of its own; see `RoundsLayer.advance`."""
        return self.network.advance(key, state, *self._examples(key, inputs, state.step))

    def decide(
        self, key: Key[Array, ""], state: DescentState, inputs: Examples, labels: Examples
    ) -> DescentState:
        """Ends the fit when all steps are taken; see `RoundsLayer.decide`."""
        return self.network.decide(key, state, *self._examples(key, inputs, 0))

    def finish(self, state: DescentState, inputs: Examples, labels: Examples) -> TrainedNetwork:
        """Returns the parameters; see `RoundsLayer.finish`."""
        return self.network.finish(state, inputs, labels)

    def apply(
        self, params: TrainedNetwork, inputs: Shaped[Array, "N ..."]
    ) -> Shaped[Array, "N ..."]:
        """Returns the outputs (N, ...) of the network on inputs (N, ...)."""
        return self.network.apply(params, inputs)

    def _examples(self, key: Key[Array, ""], source: PyTree, step) -> tuple[Array, Array]:
        """Draws the examples of the round that begins at a step."""
        descent = self.network.descent
        # A descent in order folds in no step by itself.
        own = jax.random.fold_in(key, step)
        return self.draw(own, source, descent.round_steps * descent.batch_size)

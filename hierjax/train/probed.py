"""A record of what the parameters of a layer are like while the layer is fitted."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Key, Shaped

from hierjax.train.layerwise import RoundsLayer

PyTree = Any


class ProbedState(struct.PyTreeNode):
    """A fit of `Probed` between two rounds.

    Attributes:
      fit: state of the fit of the layer.
      trace: what the probe has returned after each round, (num_rounds, ...) arrays; zeros for
        rounds to come.
      round: () int32, number of rounds so far.
    """

    fit: PyTree
    trace: PyTree
    round: Array

    @property
    def progress(self) -> Float[Array | np.ndarray, "*seeds"]:
        """Progress of the fit of the layer, 1 when it has ended; of each seed if stacked."""
        return self.fit.progress


class ProbedFit(struct.PyTreeNode):
    """What `Probed` has fitted.

    Attributes:
      params: the parameters of the layer.
      trace: what the probe has returned after each round, (num_rounds, ...) arrays; zeros for
        rounds that the fit did not need.
    """

    params: PyTree
    trace: PyTree


@dataclasses.dataclass(frozen=True)
class Probed(RoundsLayer):
    """A layer whose parameters are looked at after every round.

    Attributes:
      layer: the layer that is fitted.
      probe: parameters of the layer -> a pytree of arrays to record.
      num_rounds: largest number of rounds that the fit takes.
    """

    layer: RoundsLayer
    probe: Callable[[PyTree], PyTree]
    num_rounds: int

    def start(
        self, key: Key[Array, ""], inputs: Shaped[Array, "N ..."], labels: Shaped[Array, "N ..."]
    ) -> ProbedState:
        """Returns the state before the first round; see `RoundsLayer.start`."""
        fit = self.layer.start(key, inputs, labels)
        params = jax.eval_shape(self.layer.finish, fit, inputs, labels)
        trace = jax.tree.map(
            lambda x: jnp.zeros((self.num_rounds, *x.shape), x.dtype),
            jax.eval_shape(self.probe, params),
        )
        return ProbedState(fit, trace, jnp.int32(0))

    def advance(
        self,
        key: Key[Array, ""],
        state: ProbedState,
        inputs: Shaped[Array, "N ..."],
        labels: Shaped[Array, "N ..."],
    ) -> ProbedState:
        """Takes the steps of one round; see `RoundsLayer.advance`."""
        return state.replace(fit=self.layer.advance(key, state.fit, inputs, labels))

    def decide(
        self,
        key: Key[Array, ""],
        state: ProbedState,
        inputs: Shaped[Array, "N ..."],
        labels: Shaped[Array, "N ..."],
    ) -> ProbedState:
        """Lets the layer decide, and records what has come of it; see `RoundsLayer.decide`."""
        fit = self.layer.decide(key, state.fit, inputs, labels)
        seen = self.probe(self.layer.finish(fit, inputs, labels))
        trace = jax.tree.map(lambda all, new: all.at[state.round].set(new), state.trace, seen)
        return ProbedState(fit, trace, state.round + 1)

    def finish(
        self, state: ProbedState, inputs: Shaped[Array, "N ..."], labels: Shaped[Array, "N ..."]
    ) -> ProbedFit:
        """Returns the parameters of the layer, and the record; see `RoundsLayer.finish`."""
        return ProbedFit(self.layer.finish(state.fit, inputs, labels), state.trace)

    def apply(self, params: ProbedFit, inputs: Shaped[Array, "N ..."]) -> Shaped[Array, "N ..."]:
        """Returns the outputs (N, ...) of the fitted layer on inputs (N, ...)."""
        return self.layer.apply(params.params, inputs)

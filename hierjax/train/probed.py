"""A record of what a layer is like while it is fitted."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from hierjax.train.layerwise import RoundsLayer

PyTree = Any


class ProbedState(struct.PyTreeNode):
    """A fit between two rounds.

    Attributes:
      fit: of the layer.
      trace: what the probe said after each round so far, zeros for rounds to come.
      round: rounds so far.
    """

    fit: PyTree
    trace: PyTree
    round: jax.Array

    @property
    def progress(self) -> jax.Array:
        """As of the layer."""
        return self.fit.progress


class ProbedFit(struct.PyTreeNode):
    """What was fitted.

    Attributes:
      params: of the layer.
      trace: what the probe said after each round, (num_rounds, ...).
    """

    params: PyTree
    trace: PyTree


@dataclasses.dataclass(frozen=True)
class Probed(RoundsLayer):
    """A layer whose parameters are looked at after every round.

    Attributes:
      layer: what is fitted.
      probe: parameters -> what to record.
      num_rounds: most rounds that the fit takes.
    """

    layer: RoundsLayer
    probe: Callable[[PyTree], PyTree]
    num_rounds: int

    def start(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> ProbedState:
        """The state before the first round."""
        fit = self.layer.start(key, inputs, labels)
        params = jax.eval_shape(self.layer.finish, fit, inputs, labels)
        trace = jax.tree.map(
            lambda x: jnp.zeros((self.num_rounds, *x.shape), x.dtype),
            jax.eval_shape(self.probe, params),
        )
        return ProbedState(fit, trace, jnp.int32(0))

    def advance(
        self, key: jax.Array, state: ProbedState, inputs: jax.Array, labels: jax.Array
    ) -> ProbedState:
        """One more round, and a look at what it made; nothing once the fit has ended."""

        def look(state):
            fit = self.layer.advance(key, state.fit, inputs, labels)
            seen = self.probe(self.layer.finish(fit, inputs, labels))
            trace = jax.tree.map(lambda all, new: all.at[state.round].set(new), state.trace, seen)
            return ProbedState(fit, trace, state.round + 1)

        return jax.lax.cond(state.progress < 1, look, lambda state: state, state)

    def finish(self, state: ProbedState, inputs: jax.Array, labels: jax.Array) -> ProbedFit:
        """The layer's parameters, and the record."""
        return ProbedFit(self.layer.finish(state.fit, inputs, labels), state.trace)

    def apply(self, params: ProbedFit, inputs: jax.Array) -> jax.Array:
        """As of the layer."""
        return self.layer.apply(params.params, inputs)

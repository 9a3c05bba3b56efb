"""A record of what the parameters of a layer are like while the layer is fitted."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Key, Shaped

from hierjax.train.layerwise import Examples, RoundsLayer

PyTree = Any


class ProbedState(struct.PyTreeNode):
    """A fit of `Probed` between two rounds.

    Attributes:
      fit: state of the fit of the layer.
      trace: what the probe has returned at each look, (looks, ...) arrays; before a look has
        come, what it returned last.
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
      trace: what the probe has returned at each look, (looks, ...) arrays; at looks that the fit
        did not come to, what it returned before the first round.
    """

    params: PyTree
    trace: PyTree


@dataclasses.dataclass(frozen=True)
class Probed(RoundsLayer):
    """A layer whose parameters are looked at while it is fitted.

    Attributes:
      layer: the layer that is fitted.
      probe: parameters of the layer -> a pytree of arrays to record; the parameters themselves are
        checkpoints, of which everything else can be measured later.
      looks: numbers of rounds after which the layer is looked at, ascending, 0 for the start.

    Raises:
      ValueError: the looks do not ascend from 0 or more, or there are none.
    """

    layer: RoundsLayer
    probe: Callable[[PyTree], PyTree]
    looks: tuple[int, ...]

    def __post_init__(self):
        ascends = all(one < other for one, other in itertools.pairwise(self.looks))
        if not self.looks or self.looks[0] < 0 or not ascends:
            raise ValueError(f"looks={self.looks} must be numbers of rounds that ascend from 0")

    def start(self, key: Key[Array, ""], inputs: Examples, labels: Examples) -> ProbedState:
        """Returns the state before the first round; see `RoundsLayer.start`."""
        fit = self.layer.start(key, inputs, labels)
        seen = self.probe(self.layer.finish(fit, inputs, labels))
        trace = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(self.looks), *jnp.shape(x))), seen)
        return ProbedState(fit, trace, jnp.int32(0))

    def advance(
        self,
        key: Key[Array, ""],
        state: ProbedState,
        inputs: Examples,
        labels: Examples,
    ) -> ProbedState:
        """Takes the steps of one round; see `RoundsLayer.advance`."""
        return state.replace(fit=self.layer.advance(key, state.fit, inputs, labels))

    def decide(
        self,
        key: Key[Array, ""],
        state: ProbedState,
        inputs: Examples,
        labels: Examples,
    ) -> ProbedState:
        """Lets the layer decide, and records what has come of it; see `RoundsLayer.decide`."""
        fit = self.layer.decide(key, state.fit, inputs, labels)
        seen = self.probe(self.layer.finish(fit, inputs, labels))
        # Written over until its look has come; past the last look nothing is written.
        look = jnp.searchsorted(jnp.asarray(self.looks), state.round + 1)
        trace = jax.tree.map(lambda all, new: all.at[look].set(new), state.trace, seen)
        return ProbedState(fit, trace, state.round + 1)

    def finish(self, state: ProbedState, inputs: Examples, labels: Examples) -> ProbedFit:
        """Returns the parameters of the layer, and the record; see `RoundsLayer.finish`."""
        return ProbedFit(self.layer.finish(state.fit, inputs, labels), state.trace)

    def apply(self, params: ProbedFit, inputs: Shaped[Array, "N ..."]) -> Shaped[Array, "N ..."]:
        """Returns the outputs (N, ...) of the fitted layer on inputs (N, ...)."""
        return self.layer.apply(params.params, inputs)

"""The one of several layers that does best on held-out examples."""

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from hierjax.train.layerwise import ChoosingLayer, RoundsLayer

PyTree = Any


class Candidate(RoundsLayer, ChoosingLayer):
    """A layer that knows how well it does."""

    @abc.abstractmethod
    def held_out_error(self, state: PyTree) -> jax.Array:
        """A number, when the fit has ended."""


class BestOfState(struct.PyTreeNode):
    """A fit between two rounds.

    Attributes:
      states: of the candidates.
    """

    states: tuple[PyTree, ...]

    @property
    def progress(self) -> jax.Array:
        """Mean over the candidates, 1 when all have ended; of each seed, if they have an axis."""
        each = jnp.stack([state.progress for state in self.states])
        return jnp.where(each.min(axis=0) < 1, jnp.minimum(each.mean(axis=0), 0.999), 1)


class Best(struct.PyTreeNode):
    """What was fitted.

    Attributes:
      params: of all candidates.
      index: the best of them.
    """

    params: tuple[PyTree, ...]
    index: jax.Array


@dataclasses.dataclass(frozen=True)
class BestOf(RoundsLayer, ChoosingLayer):
    """Fits all candidates, and uses the best: choices that change shapes, such as a width.

    Attributes:
      candidates: layers of the same inputs and outputs.
    """

    candidates: tuple[Candidate, ...]

    def start(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> BestOfState:
        """The states before the first round."""
        return BestOfState(
            tuple(
                each.start(jax.random.fold_in(key, i), inputs, labels)
                for i, each in enumerate(self.candidates)
            )
        )

    def advance(
        self, key: jax.Array, state: BestOfState, inputs: jax.Array, labels: jax.Array
    ) -> BestOfState:
        """One more round of those that have not ended."""
        pairs = zip(self.candidates, state.states, strict=True)
        return BestOfState(
            tuple(
                each.advance(jax.random.fold_in(key, i), own, inputs, labels)
                for i, (each, own) in enumerate(pairs)
            )
        )

    def finish(self, state: BestOfState, inputs: jax.Array, labels: jax.Array) -> Best:
        """All parameters, and which are the best."""
        pairs = list(zip(self.candidates, state.states, strict=True))
        errors = jnp.stack([each.held_out_error(own) for each, own in pairs])
        params = tuple(each.finish(own, inputs, labels) for each, own in pairs)
        return Best(params, errors.argmin())

    def apply(self, params: Best, inputs: jax.Array) -> jax.Array:
        """Outputs of the best."""
        branches = [
            lambda inputs, each=each, own=own: each.apply(own, inputs)
            for each, own in zip(self.candidates, params.params, strict=True)
        ]
        return jax.lax.switch(params.index, branches, inputs)

    def chosen(self, params: Best) -> dict[str, jax.Array]:
        """The number of the best candidate, and what that one has chosen."""
        pairs = zip(self.candidates, params.params, strict=True)
        of_all = [each.chosen(own) for each, own in pairs]
        of_best = {name: jnp.stack([x[name] for x in of_all])[params.index] for name in of_all[0]}
        return {"candidate": params.index} | of_best

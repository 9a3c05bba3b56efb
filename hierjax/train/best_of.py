"""The one of several layers that does best on held-out examples.

It makes choices that change shapes, such as a width, which no index into a grid of `Descent` can.
"""

import abc
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key, Shaped

from hierjax.train.lanes import change_where
from hierjax.train.layerwise import ChoosingLayer, RoundsLayer

PyTree = Any


class Candidate(RoundsLayer, ChoosingLayer):
    """A layer that knows how well it does on held-out examples."""

    @abc.abstractmethod
    def held_out_error(self, state: PyTree) -> Float[Array, ""]:
        """Returns the error by which candidates are compared, given the state of an ended fit."""


class BestOfState(struct.PyTreeNode):
    """A fit of `BestOf` between two rounds.

    Attributes:
      states: the states of the fits of all candidates.
    """

    states: tuple[PyTree, ...]

    @property
    def progress(self) -> Float[Array, "*seeds"]:
        """Mean progress of the candidates, 1 when all have ended; of each seed if stacked."""
        each = jnp.stack([state.progress for state in self.states])
        return jnp.where(each.min(axis=0) < 1, jnp.minimum(each.mean(axis=0), 0.999), 1)


class Best(struct.PyTreeNode):
    """What `BestOf` has fitted.

    Attributes:
      params: the parameters of all candidates.
      index: () integer, index of the best candidate.
    """

    params: tuple[PyTree, ...]
    index: Array


@dataclasses.dataclass(frozen=True)
class BestOf(RoundsLayer, ChoosingLayer):
    """A layer that fits all of its candidates, and is then the best of them.

    Attributes:
      candidates: layers of the same inputs and outputs, that make choices of the same names.
    """

    candidates: tuple[Candidate, ...]

    def start(
        self, key: Key[Array, ""], inputs: Shaped[Array, "N ..."], labels: Shaped[Array, "N ..."]
    ) -> BestOfState:
        """Starts all candidates, each with a key of its own; see `RoundsLayer.start`."""
        return BestOfState(
            tuple(
                each.start(jax.random.fold_in(key, i), inputs, labels)
                for i, each in enumerate(self.candidates)
            )
        )

    def advance(
        self,
        key: Key[Array, ""],
        state: BestOfState,
        inputs: Shaped[Array, "N ..."],
        labels: Shaped[Array, "N ..."],
    ) -> BestOfState:
        """Advances the candidates that have not ended by one round; see `RoundsLayer.advance`."""
        return self._go_on("advance", key, state, inputs, labels)

    def decide(
        self,
        key: Key[Array, ""],
        state: BestOfState,
        inputs: Shaped[Array, "N ..."],
        labels: Shaped[Array, "N ..."],
    ) -> BestOfState:
        """Lets the candidates that have not ended decide; see `RoundsLayer.decide`."""
        return self._go_on("decide", key, state, inputs, labels)

    def _go_on(self, method: str, key, state, inputs, labels) -> BestOfState:
        def changed(index, layer, own):
            change = functools.partial(getattr(layer, method), jax.random.fold_in(key, index))
            return change_where(own.progress < 1, lambda own: change(own, inputs, labels), own)

        pairs = zip(self.candidates, state.states, strict=True)
        return BestOfState(tuple(changed(index, *pair) for index, pair in enumerate(pairs)))

    def finish(
        self, state: BestOfState, inputs: Shaped[Array, "N ..."], labels: Shaped[Array, "N ..."]
    ) -> Best:
        """Returns the parameters of all candidates, and which is best; see `RoundsLayer.finish`."""
        pairs = list(zip(self.candidates, state.states, strict=True))
        errors = jnp.stack([each.held_out_error(own) for each, own in pairs])
        params = tuple(each.finish(own, inputs, labels) for each, own in pairs)
        # NaN would count as the least of all.
        return Best(params, jnp.where(jnp.isnan(errors), jnp.inf, errors).argmin())

    def apply(self, params: Best, inputs: Shaped[Array, "N ..."]) -> Shaped[Array, "N ..."]:
        """Returns the outputs (N, ...) of the best candidate on inputs (N, ...)."""
        branches = [
            lambda inputs, each=each, own=own: each.apply(own, inputs)
            for each, own in zip(self.candidates, params.params, strict=True)
        ]
        return jax.lax.switch(params.index, branches, inputs)

    def chosen(self, params: Best) -> dict[str, Array]:
        """Returns the index of the best "candidate", and the choices that this one has made."""
        pairs = zip(self.candidates, params.params, strict=True)
        of_all = [each.chosen(own) for each, own in pairs]
        of_best = {name: jnp.stack([x[name] for x in of_all])[params.index] for name in of_all[0]}
        return {"candidate": params.index} | of_best

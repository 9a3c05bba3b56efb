"""Taylor models of a network, trained by descent (arXiv 2006.13436, section 2)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from hierjax.models.taylor import Term, quadratic
from hierjax.train.best_of import Candidate
from hierjax.train.descent import Descent, DescentState, Objective
from hierjax.train.losses import SQUARED
from hierjax.train.validation import num_fitted

PyTree = Any


class TaylorState(struct.PyTreeNode):
    """A fit between two rounds.

    Attributes:
      initial: variables of the module, which stay.
      descent: on their change.
    """

    initial: PyTree
    descent: DescentState

    @property
    def progress(self) -> jax.Array:
        """As of the descent."""
        return self.descent.progress


class TrainedTaylor(struct.PyTreeNode):
    """A fitted model.

    Attributes:
      initial: variables of the module.
      change: of them.
      offset: added to the term.
      learning_rate: chosen.
      penalty: chosen.
      num_steps: chosen.
    """

    initial: PyTree
    change: PyTree
    offset: jax.Array
    learning_rate: jax.Array
    penalty: jax.Array
    num_steps: jax.Array


@dataclasses.dataclass(frozen=True)
class TaylorLayer(Candidate):
    """Regression by one term of a module's Taylor expansion and an offset: a stack of one layer.

    The penalty of the descent is on the (2, 4) norm, sum_r |u_r|^4 over the columns u_r of the
    change, which are the incoming weights of the units.

    Attributes:
      module: (N, d) to (N, 1).
      descent: on the squared loss.
      term: module -> term of the expansion.
      scale: of the change at the start, in units of the module's own initial variables, from
        whose law it is drawn; at zero the quadratic term has no gradient.
    """

    module: nn.Module
    descent: Descent
    term: Callable[[nn.Module], Term] = quadratic
    scale: float = 0.1

    def start(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> TaylorState:
        """The state before the first round; inputs (N, d), labels (N,)."""
        # Descent folds in numbers of steps from 0, and 2^31 - 1.
        initial = self.module.init(jax.random.fold_in(key, 2**31 - 2), inputs[:1])
        return TaylorState(
            initial, self.descent.start(self._objective(initial, inputs, labels), key)
        )

    def advance(
        self, key: jax.Array, state: TaylorState, inputs: jax.Array, labels: jax.Array
    ) -> TaylorState:
        """One round."""
        objective = self._objective(state.initial, inputs, labels)
        return state.replace(
            descent=self.descent.advance(objective, key, state.descent, inputs, labels)
        )

    def finish(self, state: TaylorState, inputs: jax.Array, labels: jax.Array) -> TrainedTaylor:
        """What was trained, and how."""
        descent = state.descent
        rates, penalties = (jnp.asarray(each) for each in zip(*self.descent.grid, strict=True))
        return TrainedTaylor(
            initial=state.initial,
            change=descent.params["change"],
            offset=descent.params["offset"],
            learning_rate=rates[descent.choice],
            penalty=penalties[descent.choice],
            num_steps=descent.step,
        )

    def held_out_error(self, state: TaylorState) -> jax.Array:
        """Of the choice that did best; infinite if the descent had nothing to compare."""
        return state.descent.validation.min()

    def chosen(self, params: TrainedTaylor) -> dict[str, jax.Array]:
        """The learning rate, the penalty, and the steps that were taken with them."""
        names = ("learning_rate", "penalty", "num_steps")
        return {name: getattr(params, name) for name in names}

    def apply(self, params: TrainedTaylor, inputs: jax.Array) -> jax.Array:
        """Values (N, 1)."""
        return self.term(self.module)(params.initial, params.change, inputs) + params.offset

    def _objective(self, initial, inputs, labels) -> Objective:
        term = self.term(self.module)

        def init(key):
            drawn = self.module.init(key, inputs[:1])
            change = jax.tree.map(lambda leaf: self.scale * leaf, drawn)
            return {"change": change, "offset": labels[: num_fitted(labels.size)].mean()}

        def loss(params, inputs, labels):
            values = term(initial, params["change"], inputs) + params["offset"]
            return SQUARED.per_example(values, labels)

        return Objective(init, loss, loss, lambda params: _quartic_norm(params["change"]))


def _quartic_norm(change: PyTree) -> jax.Array:
    """|u|_{2,4}^4: the last axis of a leaf counts its columns."""

    def of_leaf(leaf):
        return jnp.sum(jnp.sum(leaf.reshape(-1, leaf.shape[-1]) ** 2, axis=0) ** 2)

    return sum(of_leaf(leaf) for leaf in jax.tree.leaves(change))

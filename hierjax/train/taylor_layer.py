"""Taylor models of a network, trained by descent (arXiv 2006.13436, section 2)."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Key

from hierjax.checks import require_examples, require_numbers, require_shape
from hierjax.models.taylor import Term, quadratic
from hierjax.train.best_of import Candidate
from hierjax.train.descent import Descent, DescentState
from hierjax.train.losses import SQUARED
from hierjax.train.objective import Objective
from hierjax.train.validation import num_fitted

PyTree = Any


class TaylorState(struct.PyTreeNode):
    """A fit of `TaylorLayer` between two rounds.

    Attributes:
      initial: initial variables of the module, which stay as they are.
      descent: state of the descent on the change of its parameters and on the offset.
    """

    initial: PyTree
    descent: DescentState

    @property
    def progress(self) -> Float[Array | np.ndarray, "*seeds"]:
        """Progress of the descent, 1 when it has ended; of each seed if stacked."""
        return self.descent.progress


class TrainedTaylor(struct.PyTreeNode):
    """A Taylor model that `TaylorLayer` has fitted.

    Attributes:
      initial: initial variables of the module.
      change: change of its parameters, under "params" as in the variables.
      offset: () number that is added to the term.
      learning_rate: () learning rate that was chosen.
      penalty: () factor of the penalty that was chosen.
      num_steps: () int32, number of steps after which the change was best.
    """

    initial: PyTree
    change: PyTree
    offset: Array
    learning_rate: Array
    penalty: Array
    num_steps: Array


@dataclasses.dataclass(frozen=True)
class TaylorLayer(Candidate):
    """Regression by one term of a module's Taylor expansion and an offset: a stack of one layer.

    The penalty of the descent is on the (2, 4) norm, sum_r |u_r|^4 over the columns u_r of the
    change, which are the incoming weights of the units. Variables of the module besides its
    parameters stay as `module.init` makes them.

    Attributes:
      module: a module that maps inputs (N, d) to values (N, 1).
      descent: how the squared loss is minimised.
      term: module -> term of its expansion, such as `quadratic`.
      scale: scale of the change at the start, in units of the module's own initial variables,
        from whose law it is drawn; at zero the quadratic term has no gradient.
    """

    module: nn.Module
    descent: Descent
    term: Callable[[nn.Module], Term] = quadratic
    scale: float = 0.1

    def start(
        self, key: Key[Array, ""], inputs: Float[Array, "N d"], labels: Float[Array, " N"]
    ) -> TaylorState:
        """Returns the state before the first round; see `RoundsLayer.start`.

        Raises:
          ValueError: inputs are not (N, d), or labels not (N,) numbers, as many.
        """
        require_shape("inputs", inputs, (None, None), "give a vector for each example, (N, d)")
        require_examples(inputs, labels)
        require_shape("labels", labels, (None,), "give one number for each example, (N,)")
        require_numbers("labels", labels)
        # Descent folds in numbers of steps from 0, and 2^31 - 1.
        initial = self.module.init(jax.random.fold_in(key, 2**31 - 2), inputs[:1])
        return TaylorState(
            initial, self.descent.start(self._objective(initial, inputs, labels), key)
        )

    def advance(
        self,
        key: Key[Array, ""],
        state: TaylorState,
        inputs: Float[Array, "N d"],
        labels: Float[Array, " N"],
    ) -> TaylorState:
        """Takes the steps of one round; see `RoundsLayer.advance`."""
        objective = self._objective(state.initial, inputs, labels)
        return state.replace(
            descent=self.descent.advance(objective, key, state.descent, inputs, labels)
        )

    def decide(
        self,
        key: Key[Array, ""],
        state: TaylorState,
        inputs: Float[Array, "N d"],
        labels: Float[Array, " N"],
    ) -> TaylorState:
        """Goes on to the next choice, or ends; see `RoundsLayer.decide`."""
        objective = self._objective(state.initial, inputs, labels)
        return state.replace(
            descent=self.descent.decide(objective, key, state.descent, inputs, labels)
        )

    def finish(
        self, state: TaylorState, inputs: Float[Array, "N d"], labels: Float[Array, " N"]
    ) -> TrainedTaylor:
        """Returns the model, and how it was trained; see `RoundsLayer.finish`."""
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

    def held_out_error(self, state: TaylorState) -> Float[Array, ""]:
        """Returns the mean squared error of the best choice on held-out examples.

        It is infinite if the descent had nothing to compare.
        """
        return state.descent.validation.min()

    def chosen(self, params: TrainedTaylor) -> dict[str, Array]:
        """Returns the "learning_rate", the "penalty", and "num_steps" that were taken with them."""
        names = ("learning_rate", "penalty", "num_steps")
        return {name: getattr(params, name) for name in names}

    def apply(self, params: TrainedTaylor, inputs: Float[Array, "N d"]) -> Float[Array, "N 1"]:
        """Returns the values (N, 1) of the model at inputs (N, d)."""
        return self._values(params.initial, params.change, inputs) + params.offset

    @jax.default_matmul_precision("highest")
    def _values(
        self, initial: PyTree, change: PyTree, inputs: Float[Array, "N d"]
    ) -> Float[Array, "N 1"]:
        return self.term(self.module)(initial, change, inputs)

    def _objective(
        self, initial: PyTree, inputs: Float[Array, "N d"], labels: Float[Array, " N"]
    ) -> Objective:
        def init(key):
            drawn = self.module.init(key, inputs[:1])["params"]
            change = {"params": jax.tree.map(lambda leaf: self.scale * leaf, drawn)}
            return {"change": change, "offset": labels[: num_fitted(labels.size)].mean()}

        def loss(params, inputs, labels):
            values = self._values(initial, params["change"], inputs) + params["offset"]
            return SQUARED.per_example(values, labels)

        return Objective(init, loss, loss, lambda params: _quartic_norm(params["change"]))


def _quartic_norm(change: PyTree) -> Float[Array, ""]:
    """Returns |u|_{2,4}^4; the last axis of a leaf counts its columns."""

    def of_leaf(leaf):
        return jnp.sum(jnp.sum(leaf.reshape(-1, leaf.shape[-1]) ** 2, axis=0) ** 2)

    return cast(Array, sum(of_leaf(leaf) for leaf in jax.tree.leaves(change)))

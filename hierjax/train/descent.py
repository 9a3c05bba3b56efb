"""Minibatch descent by optax, in rounds that can be saved, over a grid of learning rates."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from hierjax.parallel import share_batch
from hierjax.train.validation import num_fitted

PyTree = Any

_STEPS_PER_ROUND = 100


class DescentState(struct.PyTreeNode):
    """A fit between two rounds.

    Attributes:
      params: what is trained.
      opt_state: of the optimizer.
      choice: index of the learning rate in use.
      final: whether the rate is chosen, and all examples are trained on.
      step: steps taken with this rate.
      loss: mean loss of the last round's minibatches.
      validation: (K,) mean of `Objective.validate` for the rates tried so far.
      progress: share of the steps that may be needed; 1 when the fit has ended.
    """

    params: PyTree
    opt_state: PyTree
    choice: jax.Array
    final: jax.Array
    step: jax.Array
    loss: jax.Array
    validation: jax.Array
    progress: jax.Array


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is minimised.

    Attributes:
      init: key -> initial parameters.
      loss: (parameters, inputs, targets) -> losses of the examples, (N,).
      validate: likewise what learning rates are compared by on held-out examples.
    """

    init: Callable[[jax.Array], PyTree]
    loss: Callable[[PyTree, jax.Array, jax.Array], jax.Array]
    validate: Callable[[PyTree, jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Descent:
    """How parameters are fitted.

    With several learning rates each is tried from the same start on the first seven eighths of
    the examples; the one that does best on the rest is then used on all of them.

    Attributes:
      optimizer: learning rate -> optax optimizer, such as `optax.adam`, or a function that
        makes a schedule of the rate.
      learning_rates: the grid; the rate may be a traced number.
      num_steps: most steps for each rate.
      batch_size: examples of a step, drawn independently.
      stop_loss: mean loss of a round's minibatches below which a fit ends.
      mesh: a `data_mesh` whose devices share every batch.

    Raises:
      ValueError: a number out of bounds, or a batch that the devices do not divide.
    """

    optimizer: Callable[[jax.typing.ArrayLike], optax.GradientTransformation]
    learning_rates: tuple[float, ...]
    num_steps: int
    batch_size: int = 128
    stop_loss: float = 0.0
    mesh: Mesh | None = None

    def __post_init__(self):
        if not self.learning_rates or not all(
            0 < rate < float("inf") for rate in self.learning_rates
        ):
            raise ValueError(f"learning_rates={self.learning_rates} must be positive numbers")
        for name in ("num_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.mesh is not None and self.batch_size % self.mesh.size:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be divided between {self.mesh.size} "
                f"devices: make it a multiple of {self.mesh.size}"
            )

    def start(self, objective: Objective, key: jax.Array) -> DescentState:
        """The state before the first round."""
        num_rates = len(self.learning_rates)
        params, opt_state = self._initial(objective, key, 0)
        return DescentState(
            params=params,
            opt_state=opt_state,
            choice=jnp.int32(0),
            final=jnp.bool_(num_rates == 1),
            step=jnp.int32(0),
            loss=jnp.float32(jnp.inf),
            validation=jnp.full(num_rates, jnp.inf),
            progress=jnp.float32(0),
        )

    def advance(
        self,
        objective: Objective,
        key: jax.Array,
        state: DescentState,
        inputs: jax.Array,
        targets: jax.Array,
    ) -> DescentState:
        """One round: 100 steps, or those that are left; nothing once a fit has ended.

        Args:
          objective: what is minimised.
          key: that of the start.
          state: before the round.
          inputs: (N, ...) all examples.
          targets: (N, ...).
        """

        def one_round(state):
            state = self._round(objective, key, state, inputs, targets)
            return self._end_phase(objective, key, state, inputs, targets)

        return jax.lax.cond(state.progress < 1, one_round, lambda state: state, state)

    def _round(self, objective, key, state, inputs, targets) -> DescentState:
        optimizer = self.optimizer(self._rate(state.choice))
        num_examples = inputs.shape[0]
        if len(self.learning_rates) > 1:
            num_examples = jnp.where(state.final, num_examples, num_fitted(num_examples))

        def step(index, carry):
            params, opt_state, total = carry
            step_key = jax.random.fold_in(key, index)
            rows = jax.random.randint(step_key, (self.batch_size,), 0, num_examples)
            batch = inputs[rows], targets[rows]
            if self.mesh is not None:
                batch = share_batch(batch, self.mesh)
            loss, gradient = jax.value_and_grad(
                lambda params: objective.loss(params, *batch).mean()
            )(params)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return optax.apply_updates(params, updates), opt_state, total + loss.astype(float)

        stop = jnp.minimum(state.step + _STEPS_PER_ROUND, self.num_steps)
        carry = state.params, state.opt_state, jnp.zeros(())
        params, opt_state, total = jax.lax.fori_loop(state.step, stop, step, carry)
        return state.replace(
            params=params, opt_state=opt_state, step=stop, loss=total / (stop - state.step)
        )

    def _end_phase(self, objective, key, state, inputs, targets) -> DescentState:
        """Goes on to the next learning rate, or to the best, or ends."""
        ended = state.step >= self.num_steps
        ended |= (state.loss < self.stop_loss) | ~jnp.isfinite(state.loss)
        if len(self.learning_rates) > 1:
            held_out = slice(num_fitted(inputs.shape[0]), None)
            state = jax.lax.cond(
                ended & ~state.final,
                lambda state: self._next_phase(
                    objective, key, state, inputs[held_out], targets[held_out]
                ),
                lambda state: state,
                state,
            )
        num_phases = len(self.learning_rates) + (len(self.learning_rates) > 1)
        phase = jnp.where(state.final, num_phases - 1, state.choice)
        reached = (phase + state.step / self.num_steps) / num_phases
        ended &= state.final & (state.step > 0)
        return state.replace(
            progress=jnp.where(ended, 1, jnp.minimum(reached, 0.999)).astype(jnp.float32)
        )

    def _next_phase(self, objective, key, state, inputs, targets) -> DescentState:
        loss = objective.validate(state.params, inputs, targets).mean()
        failed = ~(jnp.isfinite(loss) & jnp.isfinite(state.loss))
        validation = state.validation.at[state.choice].set(jnp.where(failed, jnp.inf, loss))
        final = state.choice == len(self.learning_rates) - 1
        choice = jnp.where(final, validation.argmin(), state.choice + 1).astype(jnp.int32)
        params, opt_state = self._initial(objective, key, choice)
        return state.replace(
            params=params,
            opt_state=opt_state,
            choice=choice,
            final=final,
            step=jnp.int32(0),
            validation=validation,
        )

    def _initial(self, objective, key, choice) -> tuple[PyTree, PyTree]:
        # Steps fold in their indices, which stay below this one.
        params = objective.init(jax.random.fold_in(key, 2**31 - 1))
        return params, self.optimizer(self._rate(choice)).init(params)

    def _rate(self, choice) -> jax.Array:
        return jnp.asarray(self.learning_rates)[choice]

"""Minibatch descent by optax, in rounds that can be saved, over a grid of choices."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Integer, Key, Shaped

from hierjax.checks import require_examples
from hierjax.sharding import divide, require_divided
from hierjax.train.lanes import change_where
from hierjax.train.objective import Objective
from hierjax.train.validation import num_fitted

PyTree = Any


class DescentState(struct.PyTreeNode):
    """A fit by `Descent` between two rounds.

    Attributes:
      params: the parameters that are trained.
      opt_state: state of the optax optimizer.
      choice: () int32, index in `Descent.grid` of the choice in use.
      final: () bool, whether the choice is made; without early stopping all examples are then
        trained on.
      step: () int32, number of steps taken with this choice.
      loss: () float32, mean loss of the last round's minibatches.
      validation: (choices,) float32, mean of `Objective.validate` on the held-out examples for
        each of `Descent.grid`; infinite for those not tried yet.
      best: the parameters that did best so far, with early stopping; None elsewhere.
      best_step: () int32, number of steps after which `best` was reached.
      improved: () int32, number of steps after which this choice last did better than before.
      progress: () float32, share of the steps that may be needed; 1 when the fit has ended.
    """

    params: PyTree
    opt_state: PyTree
    choice: Array
    final: Array
    step: Array
    loss: Array
    validation: Array
    best: PyTree
    best_step: Array
    improved: Array
    progress: Array


@dataclasses.dataclass(frozen=True)
class Descent:
    """How parameters are fitted by minibatches.

    With several choices, a choice being a learning rate and a penalty, each is tried from the
    same start on the first seven eighths of the examples; the one that does best on the rest is
    then used on all of them. With early stopping the parameters that did best on the rest, of
    all choices and after whatever round, are kept as they are.

    Attributes:
      optimizer: learning rate, a traced number -> optax optimizer; `optax.adam`, or a function
        that makes a schedule of the rate first.
      learning_rates: learning rates that are tried.
      num_steps: largest number of steps for each choice.
      batch_size: number of examples of a step, B.
      stop_loss: mean loss of a round's minibatches below which a fit ends.
      mesh: the devices that share every batch, and the parameters, see `hierjax.sharding`; None
        for one device.
      penalties: factors of `Objective.penalty` that are tried, each with each learning rate.
      patience: for early stopping, number of steps without improvement after which a choice is
        given up; None for no early stopping.
      in_order: whether examples are taken one after another, over and over, in place of
        independent draws; of num_steps * batch_size examples each is then seen once.
      parts: number of parts of a batch whose gradients are computed one after another, and added
        up; more of them take less memory.
      steps_per_round: largest number of steps between two measurements, and between two states
        that can be saved; all rounds have as many, but for the last, which may have fewer.
      evaluated: (state of the optimizer, parameters) -> the parameters that are measured and that a
        fit ends with, such as an average; by default the parameters as they are.

    Raises:
      ValueError: a number out of bounds, or a batch that the devices do not divide.
    """

    optimizer: Callable[[Array], optax.GradientTransformation]
    learning_rates: tuple[float, ...]
    num_steps: int
    batch_size: int = 128
    stop_loss: float = 0.0
    mesh: Mesh | None = None
    penalties: tuple[float, ...] = (0.0,)
    patience: int | None = None
    in_order: bool = False
    parts: int = 1
    steps_per_round: int = 100
    evaluated: Callable[[PyTree, PyTree], PyTree] = lambda opt_state, params: params

    def __post_init__(self):
        if not self.learning_rates or not all(
            0 < rate < float("inf") for rate in self.learning_rates
        ):
            raise ValueError(f"learning_rates={self.learning_rates} must be positive numbers")
        if not self.penalties or not all(0 <= each < float("inf") for each in self.penalties):
            raise ValueError(f"penalties={self.penalties} must be numbers that are not negative")
        for name in ("num_steps", "batch_size", "steps_per_round", "parts", "patience"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.batch_size % self.parts:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be cut into parts={self.parts}: make it a "
                f"multiple of {self.parts}"
            )
        if self.mesh is not None:
            require_divided(self.batch_size // self.parts, self.mesh)

    @property
    def grid(self) -> tuple[tuple[float, float], ...]:
        """Learning rate and penalty of each choice, in the order in which they are tried."""
        return tuple(itertools.product(self.learning_rates, self.penalties))

    @property
    def round_steps(self) -> int:
        """Number of steps of every round; of those of the last, some may change nothing."""
        num_rounds = -(-self.num_steps // self.steps_per_round)
        return -(-self.num_steps // num_rounds)

    @property
    def _has_spare_steps(self) -> bool:
        return self.num_steps % self.round_steps != 0

    @property
    def _compares(self) -> bool:
        return len(self.grid) > 1 or self._stops_early

    @property
    def _stops_early(self) -> bool:
        return self.patience is not None

    def start(self, objective: Objective, key: Key[Array, ""]) -> DescentState:
        """Returns the state before the first round.

        Args:
          objective: what is minimised.
          key: typed PRNG key of the fit.
        """
        params = self._initial(objective, key)
        return DescentState(
            params=params,
            opt_state=self._optimizer(0).init(params),
            choice=jnp.int32(0),
            final=jnp.bool_(not self._compares),
            step=jnp.int32(0),
            loss=jnp.float32(jnp.inf),
            validation=jnp.full(len(self.grid), jnp.inf, jnp.float32),
            best=params if self._stops_early else None,
            best_step=jnp.int32(0),
            improved=jnp.int32(0),
            progress=jnp.float32(0),
        )

    def advance(
        self,
        objective: Objective,
        key: Key[Array, ""],
        state: DescentState,
        inputs: Shaped[Array, "N ..."],
        targets: Shaped[Array, "N ..."],
    ) -> DescentState:
        """Takes the steps of one round of a fit that has not ended.

        Their number is the same in every round and every lane of a `jax.vmap`: a loop that ran on
        in some lanes alone would choose between old and new parameters at every step.

        Args:
          objective: what is minimised.
          key: the key with which the fit was started.
          state: the state before the round.
          inputs: (N, ...) inputs of all examples, held-out ones included.
          targets: (N, ...) targets of all examples.

        Returns:
          The state after the round, from which `decide` makes that before the next one.

        Raises:
          ValueError: there are no examples, not as many targets as inputs, or choices are to be
            compared and there are fewer than two examples.
        """
        require_examples(inputs, targets)
        rate, penalty = self._choice(state.choice)
        optimizer = self.optimizer(rate)
        num_examples = inputs.shape[0]
        if self._compares:
            num_examples = jnp.where(state.final, num_examples, num_fitted(num_examples))

        # Drawn at once: in a step of its own each draw is dozens of small operations.
        steps = state.step + jnp.arange(self.round_steps)
        rows = jax.vmap(lambda index: self._rows(key, index, num_examples))(steps)
        wanted = steps < self.num_steps

        def examples(rows):
            return inputs[rows], targets[rows]

        def step(carry, now):
            params, opt_state, total = carry
            batch_rows, wanted = now
            loss, gradient = objective.gradient(
                params, examples, batch_rows, penalty, self.parts, self.mesh
            )
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            if self._has_spare_steps:
                # A factor costs nothing; a choice would read and write all parameters once more.
                updates = jax.tree.map(lambda u: u * wanted.astype(u.dtype), updates)
            total += jnp.where(wanted, loss, 0).astype(jnp.float32)
            params = optax.apply_updates(params, updates)
            return (*divide((params, opt_state), self.mesh), total), None

        carry = *divide((state.params, state.opt_state), self.mesh), jnp.float32(0)
        (params, opt_state, total), _ = jax.lax.scan(step, carry, (rows, wanted))
        return state.replace(
            params=params,
            opt_state=opt_state,
            step=jnp.minimum(state.step + self.round_steps, self.num_steps),
            loss=total / wanted.sum(),
        )

    def _rows(
        self, key: Key[Array, ""], index: Int[Array, ""], num_examples: int | Integer[Array, ""]
    ) -> Int[Array, " B"]:
        """Draws the examples of a step."""
        if self.in_order:
            return (index * self.batch_size + jnp.arange(self.batch_size)) % num_examples
        return jax.random.randint(
            jax.random.fold_in(key, index), (self.batch_size,), 0, num_examples, jnp.int32
        )

    def decide(
        self,
        objective: Objective,
        key: Key[Array, ""],
        state: DescentState,
        inputs: Shaped[Array, "N ..."],
        targets: Shaped[Array, "N ..."],
    ) -> DescentState:
        """Decides after a round: measures, and goes on to the next choice, or to the best, or ends.

        Args:
          objective: what is minimised.
          key: the key with which the fit was started.
          state: the state that `advance` returned.
          inputs: (N, ...) inputs of all examples, held-out ones included.
          targets: (N, ...) targets of all examples.

        Returns:
          The state before the next round.
        """
        ended = state.step >= self.num_steps
        ended |= (state.loss < self.stop_loss) | ~jnp.isfinite(state.loss)
        phase = self._phase(state)
        if self._compares:
            held_out = slice(num_fitted(inputs.shape[0]), None)
            state = change_where(
                ~state.final & (ended | self._stops_early),
                lambda state: self._measure(objective, state, inputs[held_out], targets[held_out]),
                state,
            )
            if self.patience is not None:
                ended |= state.step - state.improved >= self.patience
            state = change_where(
                ended & ~state.final, lambda state: self._next_choice(objective, key, state), state
            )
        ended &= phase == self._num_phases - 1
        reached = (self._phase(state) + state.step / self.num_steps) / self._num_phases
        return state.replace(
            progress=jnp.where(ended, 1, jnp.minimum(reached, 0.999)).astype(jnp.float32)
        )

    @property
    def _num_phases(self) -> int:
        return len(self.grid) + (self._compares and not self._stops_early)

    def _phase(self, state: DescentState) -> Int[Array, ""]:
        return jnp.where(state.final, self._num_phases - 1, state.choice)

    def _measure(self, objective, state, inputs, targets) -> DescentState:
        params = self.evaluated(state.opt_state, state.params)
        error = objective.validate(params, inputs, targets).mean()
        # The last step may have left parameters that no loss has seen, and that guess by chance.
        finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)]
        failed = ~jnp.stack([jnp.isfinite(error), jnp.isfinite(state.loss), *finite]).all()
        error = jnp.where(failed, jnp.inf, error).astype(jnp.float32)
        if self._stops_early:
            best = error < state.validation.min()
            state = state.replace(
                best=jax.tree.map(lambda new, old: jnp.where(best, new, old), params, state.best),
                best_step=jnp.where(best, state.step, state.best_step),
            )
            earlier = state.validation[state.choice]
            state = state.replace(improved=jnp.where(error < earlier, state.step, state.improved))
            error = jnp.minimum(error, earlier)
        return state.replace(validation=state.validation.at[state.choice].set(error))

    def _next_choice(self, objective, key, state) -> DescentState:
        final = state.choice == len(self.grid) - 1
        choice = jnp.where(final, state.validation.argmin(), state.choice + 1).astype(jnp.int32)
        params, step = self._initial(objective, key), jnp.int32(0)
        if self._stops_early:
            params = jax.tree.map(lambda new, best: jnp.where(final, best, new), params, state.best)
            step = jnp.where(final, state.best_step, step)
        return state.replace(
            params=params,
            opt_state=self._optimizer(choice).init(params),
            choice=choice,
            final=final,
            step=step,
            improved=jnp.int32(0),
        )

    def _initial(self, objective, key) -> PyTree:
        # Steps fold in their indices, which stay below this one.
        return objective.init(jax.random.fold_in(key, 2**31 - 1))

    def _optimizer(self, choice: int | Int[Array, ""]) -> optax.GradientTransformation:
        return self.optimizer(self._choice(choice)[0])

    def _choice(self, index: int | Int[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Returns learning rate and penalty of a choice."""
        rates, penalties = zip(*self.grid, strict=True)
        return jnp.asarray(rates)[index], jnp.asarray(penalties)[index]

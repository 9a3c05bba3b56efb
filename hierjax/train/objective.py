"""What descent minimises, and its gradient: of a batch in parts, and on several devices."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from hierjax.sharding import divide, model_on, share_batch

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Objective:
    """What descent minimises.

    Attributes:
      init: key -> initial parameters, a pytree of arrays.
      loss: (parameters, inputs, targets) -> losses (N,) of N examples.
      validate: (parameters, inputs, targets) -> the numbers (N,) by whose mean choices are
        compared on held-out examples.
      penalty: parameters -> a scalar that is added to the mean loss, times one of
        `Descent.penalties`.
    """

    init: Callable[[Array], PyTree]
    loss: Callable[[PyTree, Array, Array], Array]
    validate: Callable[[PyTree, Array, Array], Array]
    penalty: Callable[[PyTree], Array] = lambda params: jnp.zeros(())

    def gradient(
        self,
        params: PyTree,
        examples: Callable[[Int[Array, " N"]], tuple[Array, Array]],
        rows: Int[Array, " B"],
        penalty: Float[Array, ""],
        parts: int = 1,
        mesh: Mesh | None = None,
    ) -> tuple[Float[Array, ""], PyTree]:
        """Computes the mean loss of a batch, with its penalty, and the gradient.

        Args:
          params: the parameters.
          examples: rows (N,) -> inputs and targets of these examples.
          rows: (B,) the examples of the batch.
          penalty: factor of the penalty.
          parts: number of parts that are computed one after another, and added up.
          mesh: the devices that share batch and parameters; None for one device.

        Returns:
          The loss, and the gradient, of the form of the parameters.
        """

        def value(params, rows):
            batch = share_batch(examples(rows), mesh)
            with model_on(mesh):
                losses = self.loss(params, *batch)
            return losses.mean() + penalty * self.penalty(params)

        def part(total, rows):
            found = divide(jax.value_and_grad(value)(params, rows), mesh)
            return jax.tree.map(lambda sum_, x: sum_ + x / parts, total, found), None

        if parts == 1:
            return divide(jax.value_and_grad(value)(params, rows), mesh)
        nothing = jax.tree.map(jnp.zeros_like, (jnp.float32(0), params))
        return jax.lax.scan(part, nothing, rows.reshape(parts, -1))[0]

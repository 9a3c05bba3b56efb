"""Branches that are taken for all lanes of a `jax.vmap` together.

Under `jax.vmap` a `jax.lax.cond` whose predicate differs by lane becomes both of its branches and
a choice between all that they return. Here it stays a branch.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

PyTree = Any


@jax.custom_batching.custom_vmap
def any_lane(flag: Bool[Array, ""]) -> Bool[Array, ""]:
    """Returns a flag (); under `jax.vmap` one for all lanes, whether any of them has it set."""
    return flag


@any_lane.def_vmap
def _any_lane_of_batch(_, is_batched, flags):
    return any_lane(flags.any() if is_batched[0] else flags), False


def change_where(
    flag: Bool[Array, ""], change: Callable[[PyTree], PyTree], state: PyTree
) -> PyTree:
    """Changes a state where a flag is set; where no lane has it set, that costs nothing.

    Args:
      flag: () whether the state is changed.
      change: state -> a state of the same shapes and types.
      state: a pytree of arrays.

    Returns:
      The state, changed or as it was.
    """

    def changed(state):
        return jax.tree.map(lambda new, old: jnp.where(flag, new, old), change(state), state)

    return jax.lax.cond(any_lane(flag), changed, lambda state: state, state)

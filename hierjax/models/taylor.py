"""Taylor expansions of Flax modules about their initial parameters, and the empirical NTK.

f(x; w + u) = f(x; w) + first(u) + second(u) + ..., where the first-order term is the NTK model and
the second-order term the quadratic model (arXiv 2006.13436, section 2). Both are functions of a
function: they take a module and return what maps (variables, change, inputs) to the term.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

PyTree = Any
Term = Callable[[PyTree, PyTree, jax.Array], jax.Array]

_NUM_PROBES = 8


def linearize(module: nn.Module) -> Term:
    """The first-order term: the gradient of the module, times a change of its variables."""

    def first_order(variables: PyTree, change: PyTree, inputs: jax.Array) -> jax.Array:
        return jax.jvp(lambda v: module.apply(v, inputs), (variables,), (change,))[1]

    return first_order


def quadratic(module: nn.Module) -> Term:
    """The second-order term: half the second derivative, along a change of the variables.

    The function returned raises a ValueError for modules that are piecewise linear in each of
    their parameters, such as relu networks, whose second derivatives vanish almost everywhere.
    """
    first_order = linearize(module)

    def second_order(variables: PyTree, change: PyTree, inputs: jax.Array) -> jax.Array:
        _require_curvature(module, variables, inputs)

        def first(variables):
            return first_order(variables, change, inputs)

        return jax.jvp(first, (variables,), (change,))[1] / 2

    return second_order


def _require_curvature(module: nn.Module, variables: PyTree, inputs: jax.Array) -> None:
    """Looks at random points, while tracing: the values that are traced may not be known yet."""
    with jax.ensure_compile_time_eval():
        key = jax.random.key(0)
        probes = _noise(key, jnp.zeros((_NUM_PROBES, *inputs.shape[1:]), inputs.dtype))
        leaves, structure = jax.tree.flatten(variables)
        point = [
            _noise(jax.random.fold_in(key, i), jnp.zeros(leaf.shape, leaf.dtype))
            for i, leaf in enumerate(leaves, 1)
        ]
        for index, leaf in enumerate(point):

            def of_leaf(leaf, index=index):
                leaves = [*point[:index], leaf, *point[index + 1 :]]
                return module.apply(jax.tree.unflatten(structure, leaves), probes)

            def slope(leaf, along, of_leaf=of_leaf):
                return jax.jvp(of_leaf, (leaf,), (along,))[1]

            bend = jax.jvp(lambda at, along=leaf, slope=slope: slope(at, along), (leaf,), (leaf,))
            if bool(jnp.any(bend[1] != 0)):
                return
    raise ValueError(
        f"{type(module).__name__} is piecewise linear in each of its parameters (relu has no "
        "second derivative), so its quadratic term vanishes: choose a smooth activation"
    )


def _noise(key: jax.Array, like: jax.Array) -> jax.Array:
    """Normal numbers; zeros in place of integers, of which all may not be valid."""
    if not jnp.issubdtype(like.dtype, jnp.floating):
        return like
    return jax.random.normal(key, like.shape, like.dtype)


def empirical_ntk(
    module: nn.Module, variables: PyTree, inputs: jax.Array, others: jax.Array, block: int = 64
) -> jax.Array:
    """Products of the gradients of a module's outputs, for all pairs of two batches.

    Args:
      module: maps (N, ...) inputs to outputs (N, ...) of C numbers an example.
      variables: where gradients are taken.
      inputs: (N, ...).
      others: (M, ...).
      block: examples of either batch whose gradients are in memory at once, C numbers for each
        parameter and example; those of `others` are computed again for each block of `inputs`.

    Returns:
      (N, M, C, C).

    Raises:
      ValueError: the block is empty.
    """
    if block < 1:
        raise ValueError(f"block={block} must be at least 1")

    def gradients(example: jax.Array) -> jax.Array:
        outputs = jax.jacrev(lambda v: module.apply(v, example[None]).reshape(-1))(variables)
        return jnp.concatenate([g.reshape(g.shape[0], -1) for g in jax.tree.leaves(outputs)], 1)

    def row(example):
        own = gradients(example)
        return jax.lax.map(lambda other: own @ gradients(other).T, others, batch_size=block)

    with jax.default_matmul_precision("highest"):
        return jax.lax.map(row, inputs, batch_size=block)

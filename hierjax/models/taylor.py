"""Taylor expansions of Flax modules about their initial parameters, and the empirical NTK.

f(x; w + u) = f(x; w) + first(u) + second(u) + ..., where the first-order term is the NTK model and
the second-order term the quadratic model (arXiv 2006.13436, section 2). `linearize` and `quadratic`
take a module and return a function that maps (variables w, change u, inputs x) to the term.

Only the collection "params" of the variables are parameters: nothing is differentiated in others,
such as constants or the statistics of a batch norm, which stay as the variables have them.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import errors
from flax import linen as nn
from jaxtyping import Array, Float, Key, Shaped

from hierjax.checks import require_shape

PyTree = Any
Term = Callable[[PyTree, PyTree, Array], Array]
"""A function of (variables, change, inputs) to outputs of the module's shape.

Variables and change are as `module.init` makes them; of the change only "params" is read.
"""

_NUM_PROBES = 8


def linearize(module: nn.Module) -> Term:
    """Makes the first-order term of a module: its gradient times a change of its parameters.

    Args:
      module: the module; its outputs are those of `module.apply(variables, inputs)`.

    Returns:
      A function of (variables, change, inputs) to the term, of the shape of the outputs. It raises
      a ValueError for a module without parameters, or that updates other variables when applied.
    """

    def first_order(variables: PyTree, change: PyTree, inputs: Array) -> Array:
        outputs, params = _of_params(module, variables, inputs)
        return jax.jvp(outputs, (params,), (change["params"],))[1]

    return first_order


def quadratic(module: nn.Module) -> Term:
    """Makes the second-order term: half the second derivative along a change of the parameters.

    Args:
      module: the module; its outputs are those of `module.apply(variables, inputs)`.

    Returns:
      A function of (variables, change, inputs) to the term, of the shape of the outputs. It raises
      a ValueError as that of `linearize` does, and for a module that is piecewise linear in each
      of its parameters, such as a relu network: second derivatives in any one of these vanish
      almost everywhere, and with them the curvature that the quadratic model is about.
    """

    def second_order(variables: PyTree, change: PyTree, inputs: Array) -> Array:
        outputs, params = _of_params(module, variables, inputs)
        _require_curvature(module, variables, inputs)

        def first(params):
            return jax.jvp(outputs, (params,), (change["params"],))[1]

        return jax.jvp(first, (params,), (change["params"],))[1] / 2

    return second_order


def _of_params(
    module: nn.Module, variables: PyTree, inputs: Shaped[Array, "N ..."]
) -> tuple[Callable[[PyTree], Array], PyTree]:
    """Returns the outputs as a function of the parameters alone, and the parameters."""
    if not variables.get("params"):
        raise ValueError(
            f"{type(module).__name__} has no parameters to expand in: give variables with params, "
            "as module.init makes them"
        )

    def outputs(params):
        try:
            return cast(Array, module.apply({**variables, "params": params}, inputs))
        except errors.ModifyScopeVariableError as error:
            raise ValueError(
                f"{type(module).__name__} updates variables besides its parameters whenever it is "
                "applied: have it read them only, as use_running_average=True does"
            ) from error

    return outputs, variables["params"]


def _require_curvature(module: nn.Module, variables: PyTree, inputs: Array) -> None:
    """Looks for curvature at random points, as the values that are traced may not be known."""
    with jax.ensure_compile_time_eval():
        key = jax.random.key(0)
        # Zeros in place of tokens, not all of which may be valid.
        probes = _noise(key, jnp.zeros((_NUM_PROBES, *inputs.shape[1:]), inputs.dtype))
        others = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), dict(variables))
        leaves, structure = jax.tree.flatten(others["params"])
        point = [_noise(jax.random.fold_in(key, i), leaf) for i, leaf in enumerate(leaves, 1)]

        outputs, _ = _of_params(module, others, probes)

        def with_leaf(index, leaf):
            leaves = [*point[:index], leaf, *point[index + 1 :]]
            return outputs(jax.tree.unflatten(structure, leaves))

        for index, leaf in enumerate(point):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                continue
            along = functools.partial(with_leaf, index)
            bend = _second_derivative(along, leaf)
            if bool(jnp.any(jnp.isfinite(bend) & (bend != 0))):
                return
    raise ValueError(
        f"{type(module).__name__} is piecewise linear in each of its parameters (relu has no "
        "second derivative), so it has no quadratic model: choose a smooth activation"
    )


def _second_derivative(function: Callable[[Array], Array], at: Array) -> Array:
    """Returns the second derivative of a function at a point, along the point itself."""

    def slope(point):
        return jax.jvp(function, (point,), (at,))[1]

    return jax.jvp(slope, (at,), (at,))[1]


def _noise(key: Key[Array, ""], like: Shaped[Array, "*shape"]) -> Shaped[Array, "*shape"]:
    """Draws normal numbers of a size that suits weights; whole numbers stay as they are."""
    if not jnp.issubdtype(like.dtype, jnp.floating):
        return like
    fan_in = math.prod(like.shape[:-1]) if like.ndim > 1 else 1
    return jax.random.normal(key, like.shape, like.dtype) * fan_in**-0.5


def empirical_ntk(
    module: nn.Module,
    variables: PyTree,
    inputs: Shaped[Array, "N ..."],
    others: Shaped[Array, "M ..."],
    block: int = 64,
) -> Float[Array, "N M C C"]:
    """Computes products of the gradients of a module's outputs, for all pairs of two batches.

    Gradients are those in the parameters; other variables of the module stay as they are.

    Args:
      module: a module that maps inputs (N, ...) to outputs (N, ...) of C numbers an example.
      variables: the variables of the module, at whose "params" gradients are taken.
      inputs: (N, ...), one batch.
      others: (M, ...), the other batch.
      block: number of examples of either batch whose gradients are in memory at once, C numbers
        for each parameter and example; the gradients of `others` are computed again for each block
        of `inputs`.

    Returns:
      (N, M, C, C) products; entry [i, j, a, b] is that of output a of input i and output b of
      other j.

    Raises:
      ValueError: the block is empty, examples of the two batches differ in shape, or the module
        has no parameters, or updates other variables when it is applied.
    """
    if block < 1:
        raise ValueError(f"block={block} must be at least 1")
    require_shape("inputs", inputs, (None, ...), "give one entry for each example")
    require_shape("others", others, (None, *inputs.shape[1:]), "give examples like the inputs")

    def gradients(example: Shaped[Array, "..."]) -> Float[Array, "C weights"]:
        outputs, params = _of_params(module, variables, example[None])
        slopes = jax.tree.leaves(jax.jacrev(lambda params: outputs(params).reshape(-1))(params))
        return jnp.concatenate([each.reshape(each.shape[0], -1) for each in slopes], 1)

    def row(example):
        own = gradients(example)
        return jax.lax.map(lambda other: own @ gradients(other).T, others, batch_size=block)

    with jax.default_matmul_precision("highest"):
        return jax.lax.map(row, inputs, batch_size=block)

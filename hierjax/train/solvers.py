"""Least-squares fits of a linear map on fixed features, by name.

`SOLVERS` holds the fits that need the Gram matrix alone, `DESCENTS` those that go over minibatches.
Those of `SOLVERS` multiply matrices at the highest precision.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from hierjax.checks import as_floats, require_examples
from hierjax.train.descent import Descent

_NUM_STEPS = 300
_POWER_STEPS = 50
# Of the map, relative to kappa; the paper's eps / kappa.
_TOLERANCE = 1e-3
_TINY = 1e-30
_ROUNDING = float(jnp.finfo(jnp.float32).eps)
_COLUMNS = 128

_highest = jax.default_matmul_precision("highest")


@_highest
def gradient_descent(
    features: Float[Array, "N D"], targets: Float[Array, "N K"]
) -> Float[Array, "D K"]:
    """Fits a linear map by 300 steps of full-batch gradient descent from zero on the squared loss.

    The step size is the inverse of the largest curvature; both enter through the Gram matrix
    alone, so a step costs at most O(D^2 K), whatever the number of examples.

    Args:
      features: (N, D) features of N examples.
      targets: (N, K) values to be fitted.

    Returns:
      (D, K) linear map from features to targets.
    """
    gram, moments = _normal_equations(features, targets)
    step_size = 1 / jnp.maximum(_largest_eigenvalue(gram), _TINY)
    return _descend(gram, moments, step_size, _NUM_STEPS)


@_highest
def ridge(
    features: Float[Array, "N D"], targets: Float[Array, "N K"], penalty: float
) -> Float[Array, "D K"]:
    """Fits a linear map by ridge regression, exactly.

    The map W minimises mean |target - W phi|^2 / 2 + penalty |W|^2 / 2 for features phi of unit
    norm; those of another norm count as divided by their root mean square norm.

    Args:
      features: (N, D) features of N examples.
      targets: (N, K) values to be fitted.
      penalty: penalty of the squares of the weights, lambda.

    Returns:
      (D, K) linear map from features to targets.
    """
    return solve_ridge(*_normal_equations(features, targets), penalty)


@_highest
def solve_ridge(
    gram: Float[Array, "D D"], moments: Float[Array, "D K"], penalty: float
) -> Float[Array, "D K"]:
    """Solves the normal equations of `ridge`.

    Args:
      gram: (D, D) mean of phi phi' over examples with features phi.
      moments: (D, K) mean of phi target'.
      penalty: penalty of the squares of the weights, lambda.

    Returns:
      (D, K) linear map from features to targets.
    """
    # Below the roundings of the Gram matrix there would be no Cholesky factor, but NaN.
    shift = jnp.maximum(max(penalty, _ROUNDING) * jnp.trace(gram), _TINY)
    return jax.scipy.linalg.solve(gram + shift * jnp.eye(gram.shape[0]), moments, assume_a="pos")


@_highest
def ridge_descent(
    features: Float[Array, "N D"], targets: Float[Array, "N K"], penalty: float
) -> Float[Array, "D K"]:
    """Fits the map of `ridge` by the gradient descent of arXiv 2601.19756, from zero.

    The steps are of size 2 / (1 + lambda), and `num_ridge_steps` many, after which the map is
    within (1 - lambda)^T / (1 + lambda)^T of its norm, for T steps, of the exact one.

    Args:
      features: (N, D) features of N examples.
      targets: (N, K) values to be fitted.
      penalty: penalty of the squares of the weights, lambda.

    Returns:
      (D, K) linear map from features to targets.
    """
    gram, moments = _normal_equations(features, targets)
    scale = jnp.maximum(jnp.trace(gram), _TINY)
    curvature = gram / scale + penalty * jnp.eye(gram.shape[0])
    num_steps = num_ridge_steps(penalty, targets.shape[1])
    return _descend(curvature, moments / scale, 2 / (1 + penalty), num_steps)


def num_ridge_steps(penalty: float, num_targets: int) -> int:
    """Returns the number of steps of `ridge_descent`, |P| log(100 |P| sqrt(V) kappa / eps).

    Args:
      penalty: the penalty lambda, the inverse of the number of patches |P|.
      num_targets: number of targets, V.
    """
    return math.ceil(math.log(100 / penalty * num_targets**0.5 / _TOLERANCE) / penalty)


def _normal_equations(
    features: Float[Array, "N D"], targets: Float[Array, "N K"]
) -> tuple[Float[Array, "D D"], Float[Array, "D K"]]:
    require_examples(features, targets)
    features, targets = as_floats("features", features), as_floats("targets", targets)
    num_examples = features.shape[0]
    gram = jnp.matmul(features.T, features, preferred_element_type=targets.dtype)
    return gram / num_examples, features.T @ targets / num_examples


def _descend(
    curvature: Float[Array, "D D"],
    moments: Float[Array, "D K"],
    step_size: float | Float[Array, ""],
    num_steps: int,
) -> Float[Array, "D K"]:
    """Returns the weights after so many steps of W <- W + step_size * (moments - curvature W)."""
    matrix = jnp.eye(curvature.shape[0]) - step_size * curvature
    return _by_platform(_iterate, num_steps, matrix, step_size * moments)


def _iterate(
    num_squarings: int, num_steps: int, matrix: Float[Array, "D D"], offset: Float[Array, "D K"]
) -> Float[Array, "D K"]:
    """Iterates W <- matrix W + offset from zero, of which a squaring makes two steps one."""
    weights = jnp.zeros_like(offset)
    for _ in range(num_squarings):
        if num_steps % 2:
            weights = matrix @ weights + offset
        matrix, offset, num_steps = matrix @ matrix, matrix @ offset + offset, num_steps // 2
    return jax.lax.fori_loop(0, num_steps, lambda _, w: matrix @ w + offset, weights)


def _largest_eigenvalue(matrix: Float[Array, "D D"]) -> Float[Array, ""]:
    """Estimates the largest eigenvalue by power iteration; from below, up to rounding."""
    # The largest column is an image, so not in the null space, as a fixed start might be.
    start = matrix[:, jnp.diagonal(matrix).argmax()]
    vector = _by_platform(_power, _POWER_STEPS, matrix, start[:, None])
    return jnp.linalg.norm(matrix @ vector)


def _power(
    num_squarings: int, num_steps: int, matrix: Float[Array, "D D"], vector: Float[Array, "D 1"]
) -> Float[Array, "D 1"]:
    """Iterates v <- matrix v / |matrix v| at least so often, by powers of the matrix."""
    for _ in range(num_squarings):
        matrix = _unit(matrix @ matrix)
    num_steps = -(-num_steps // 2**num_squarings)
    return jax.lax.fori_loop(0, num_steps, lambda _, v: _unit(matrix @ v), vector)


def _unit(array: Float[Array, "D K"]) -> Float[Array, "D K"]:
    return array / jnp.maximum(jnp.linalg.norm(array), _TINY)


def _by_platform(iterate: Callable, num_steps: int, matrix: Array, columns: Array) -> Array:
    """Iterates by as many squarings of the matrix as suit the platform that runs the program.

    A squaring saves half of the steps that are left. It costs a product with D columns, a step one
    with K columns, which an accelerator does no faster than one with `_COLUMNS`.
    """

    def suited(num_columns):
        def cost(count):
            return count * matrix.shape[0] + num_steps / 2**count * num_columns

        count = min(range(num_steps.bit_length()), key=cost)
        return functools.partial(iterate, count, num_steps)

    num_columns = columns.shape[1]
    return jax.lax.platform_dependent(
        matrix, columns, cpu=suited(num_columns), default=suited(max(num_columns, _COLUMNS))
    )


SOLVERS: dict[str, Callable[[Array, Array, float], Array]] = {
    "gd": lambda features, targets, _: gradient_descent(features, targets),
    "ridge": ridge,
    "ridge_gd": ridge_descent,
}
"""Fits by name: (features (N, D), targets (N, K), penalty) -> linear map (D, K)."""


def _cosine_descent(make_optimizer: Callable, learning_rate: float, num_steps: int) -> Descent:
    def optimizer(rate):
        return make_optimizer(optax.cosine_decay_schedule(rate, num_steps))

    return Descent(optimizer, (learning_rate,), num_steps)


# Rates for features of unit mean square norm. More steps fit the noise of the labels.
DESCENTS: dict[str, Descent] = {
    "sgd": _cosine_descent(optax.sgd, 1.0, 1000),
    "adam": _cosine_descent(optax.adam, 0.003, 1000),
}
"""Minibatch fits by name."""

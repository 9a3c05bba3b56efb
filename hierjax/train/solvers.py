"""Least-squares fits of a linear map on fixed features, by name.

`SOLVERS` holds the fits that need the Gram matrix alone, `DESCENTS` those that go over minibatches.
Callers set the precision of matrix products, and want the highest.
"""

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


def gradient_descent(
    features: Float[Array, "N D"], targets: Float[Array, "N K"]
) -> Float[Array, "D K"]:
    """Fits a linear map by 300 steps of full-batch gradient descent from zero on the squared loss.

    The step size is the inverse of the largest curvature; both enter through the Gram matrix
    alone, so a step costs O(D^2 K), whatever the number of examples.

    Args:
      features: (N, D) features of N examples.
      targets: (N, K) values to be fitted.

    Returns:
      (D, K) linear map from features to targets.
    """
    gram, moments = _normal_equations(features, targets)
    step_size = 1 / jnp.maximum(_largest_eigenvalue(gram), _TINY)

    def step(_, weights):
        return weights + step_size * (moments - gram @ weights)

    return jax.lax.fori_loop(0, _NUM_STEPS, step, jnp.zeros_like(moments))


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
    gram, moments = _normal_equations(features, targets)
    shift = jnp.maximum(penalty * jnp.trace(gram), _TINY)
    return jax.scipy.linalg.solve(gram + shift * jnp.eye(gram.shape[0]), moments, assume_a="pos")


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
    gram, moments, step_size = gram / scale, moments / scale, 2 / (1 + penalty)

    def step(_, weights):
        return weights + step_size * (moments - gram @ weights - penalty * weights)

    num_steps = num_ridge_steps(penalty, targets.shape[1])
    return jax.lax.fori_loop(0, num_steps, step, jnp.zeros_like(moments))


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
    return features.T @ features / num_examples, features.T @ targets / num_examples


def _largest_eigenvalue(matrix: Float[Array, "D D"]) -> Float[Array, ""]:
    """Estimates the largest eigenvalue by power iteration; from below, up to rounding."""

    def step(_, vector):
        image = matrix @ vector
        return image / jnp.maximum(jnp.linalg.norm(image), _TINY)

    # The largest column is an image, so not in the null space, as a fixed start might be.
    start = matrix[:, jnp.diagonal(matrix).argmax()]
    vector = jax.lax.fori_loop(0, _POWER_STEPS, step, start)
    return jnp.linalg.norm(matrix @ vector)


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

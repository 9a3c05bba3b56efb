"""Least-squares fits of a linear map on fixed features, by name.

`SOLVERS` holds the fits that need the Gram matrix alone, `DESCENTS` those that go over minibatches.
Callers set the precision of matrix products, and want the highest.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from hierjax.checks import as_floats, require_examples
from hierjax.train.descent import Descent

_NUM_STEPS = 300
_POWER_STEPS = 50
_RIDGE = 0.1
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


def ridge(features: Float[Array, "N D"], targets: Float[Array, "N K"]) -> Float[Array, "D K"]:
    """Fits a linear map by ridge regression; the penalty is a tenth of the mean eigenvalue.

    Args:
      features: (N, D) features of N examples.
      targets: (N, K) values to be fitted.

    Returns:
      (D, K) linear map from features to targets.
    """
    gram, moments = _normal_equations(features, targets)
    penalty = jnp.maximum(_RIDGE * jnp.trace(gram) / gram.shape[0], _TINY)
    return jax.scipy.linalg.solve(gram + penalty * jnp.eye(gram.shape[0]), moments, assume_a="pos")


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


SOLVERS: dict[str, Callable[[Array, Array], Array]] = {
    "gd": gradient_descent,
    "ridge": ridge,
}
"""Fits by name: (features (N, D), targets (N, K)) -> linear map (D, K)."""


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

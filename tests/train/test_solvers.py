import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.train import solvers


def problem():
    key = jax.random.key(0)
    features = (
        jax.random.normal(jax.random.fold_in(key, 0), (200, 12)) * jnp.linspace(0.1, 2, 12)[None]
    )
    targets = jax.random.normal(jax.random.fold_in(key, 1), (200, 3))
    return np.asarray(features, np.float64), np.asarray(targets, np.float64)


def test_ridge_is_the_closed_form():
    features, targets = problem()
    gram = features.T @ features / 200
    penalty = 0.1 * np.trace(gram) / 12
    expected = np.linalg.solve(gram + penalty * np.eye(12), features.T @ targets / 200)
    np.testing.assert_allclose(
        solvers.ridge(*map(jnp.float32, (features, targets))), expected, rtol=1e-3, atol=1e-5
    )


def test_gradient_descent_is_the_filtered_least_squares_solution():
    """After t steps each eigendirection is fitted up to (1 - lambda / lambda_max)^t."""
    features, targets = problem()
    gram = features.T @ features / 200
    values, vectors = np.linalg.eigh(gram)
    filters = (1 - (1 - values / values.max()) ** 300) / values
    expected = vectors @ (filters[:, None] * (vectors.T @ features.T @ targets / 200))
    weights = solvers.gradient_descent(*map(jnp.float32, (features, targets)))
    np.testing.assert_allclose(weights, expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("solve", solvers.SOLVERS.values(), ids=solvers.SOLVERS)
@pytest.mark.parametrize("features", [np.ones((5, 4)), np.zeros((5, 4)), np.diag([0.0, 0, 1, 0])])
def test_degenerate_features_give_finite_weights(solve, features):
    targets = jax.random.normal(jax.random.key(0), (len(features), 2))
    assert jnp.isfinite(solve(jnp.asarray(features, jnp.float32), targets)).all()


def test_descent_starts_from_a_direction_that_is_there():
    """All-ones is in the null space of this Gram matrix."""
    features = jnp.array([[1.0, -1.0], [2.0, -2.0]])
    weights = solvers.gradient_descent(features, jnp.array([[1.0], [2.0]]))
    np.testing.assert_allclose(features @ weights, [[1.0], [2.0]], rtol=1e-3)

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


def exact_ridge(features, targets, penalty):
    """Of features that are divided by their root mean square norm, less the division."""
    gram, count = features.T @ features / len(features), features.shape[1]
    shift = penalty * np.trace(gram) * np.eye(count)
    return np.linalg.solve(gram + shift, features.T @ targets / len(features))


def test_ridge_is_the_closed_form():
    features, targets = problem()
    weights = solvers.ridge(*map(jnp.float32, (features, targets)), 0.01)
    np.testing.assert_allclose(weights, exact_ridge(features, targets, 0.01), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("penalty", [1 / 4, 1 / 32])
def test_ridge_descent_comes_as_near_as_it_promises(penalty):
    features, targets = problem()
    steps = solvers.num_ridge_steps(penalty, 3)
    assert steps >= np.log(100 * np.sqrt(3) / penalty / 1e-3) / penalty
    exact = exact_ridge(features, targets, penalty)
    weights = solvers.ridge_descent(*map(jnp.float32, (features, targets)), penalty)
    promised = ((1 - penalty) / (1 + penalty)) ** steps * np.linalg.norm(exact)
    assert np.linalg.norm(weights - exact) <= promised + 2e-6 * np.linalg.norm(exact)


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
    assert jnp.isfinite(solve(jnp.asarray(features, jnp.float32), targets, 0.1)).all()


def test_a_penalty_below_rounding_leaves_finite_weights():
    """Of features of less than full rank, whose Gram matrix alone has no Cholesky factor."""
    features, targets = problem()
    features = np.concatenate([features, features @ np.ones((12, 30))], axis=1)
    weights = solvers.ridge(*map(jnp.float32, (features, targets)), 1e-12)
    least = np.linalg.lstsq(features, targets, rcond=None)[0]
    np.testing.assert_allclose(features @ weights, features @ least, atol=1e-2)


def test_descent_starts_from_a_direction_that_is_there():
    """All-ones is in the null space of this Gram matrix."""
    features = jnp.array([[1.0, -1.0], [2.0, -2.0]])
    weights = solvers.gradient_descent(features, jnp.array([[1.0], [2.0]]))
    np.testing.assert_allclose(features @ weights, [[1.0], [2.0]], rtol=1e-3)


@pytest.mark.parametrize("num_squarings", [0, 1, 3, 8])
def test_squarings_save_steps_and_change_nothing(num_squarings):
    """As an accelerator takes them: the oracle iterates one by one, in float64."""
    features, targets = problem()
    gram, moments = features.T @ features / 200, features.T @ targets / 200
    matrix = np.eye(12) - gram / np.linalg.eigvalsh(gram).max()
    weights, vector = np.zeros_like(moments), moments[:, :1]
    for _ in range(300):
        weights, vector = matrix @ weights + moments, gram @ vector
        vector /= np.linalg.norm(vector)
    with jax.default_matmul_precision("highest"):
        args = (num_squarings, 300, jnp.float32(matrix), jnp.float32(moments))
        np.testing.assert_allclose(solvers._iterate(*args), weights, rtol=1e-3)
        args = (num_squarings, 300, jnp.float32(gram), jnp.float32(moments[:, :1]))
        np.testing.assert_allclose(solvers._power(*args), vector, atol=1e-5)

import jax
import jax.numpy as jnp
import numpy as np

from hierjax.models.residual_stack import RandomUnits
from hierjax.train.unit_features import best_rate, draw_features, row_sum, sum_blocks

KEY = jax.random.key(0)


def test_features_are_centred_and_scaled_together():
    rows = 1 + jax.random.normal(KEY, (3000, 4))
    units = RandomUnits(30, "relu", None, 0.5)
    values = np.asarray(draw_features(units, KEY, rows).values(units, rows))
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose((values**2).sum(axis=1).mean(), 1, rtol=1e-4)


def test_features_that_never_change_are_zero():
    rows = jnp.zeros((100, 4))
    units = RandomUnits(6, "relu", None, 0.5)
    np.testing.assert_allclose(draw_features(units, KEY, rows).values(units, rows), 0, atol=1e-2)


def test_the_best_rate_is_that_of_the_largest_eigenvalue():
    scales = np.sqrt(np.array([0.4] + 60 * [0.01]))
    rows = scales[None] * jax.random.rademacher(KEY, (4000, 61), jnp.float32)
    np.testing.assert_allclose(best_rate(lambda x: x, rows, 32), 32 / (1 + 31 * 0.4), rtol=0.02)
    # Without an eigenvalue above the others, chance correlations must not look like one.
    rows = jax.random.rademacher(KEY, (4000, 400), jnp.float32) / 20
    np.testing.assert_allclose(best_rate(lambda x: x, rows, 32), 32 / (1 + 31 / 400), rtol=0.02)


def test_sums_over_blocks_leave_nothing_out():
    for count in (1, 1024, 1025, 2500):
        rows = jax.random.normal(KEY, (count, 3))
        total = row_sum(lambda x: x**2 + 1, rows)
        np.testing.assert_allclose(total, np.sum(np.square(rows) + 1, axis=0), rtol=1e-4)
        gram = sum_blocks(lambda weights, x: (x * weights[:, None]).T @ x, rows)
        np.testing.assert_allclose(gram, np.asarray(rows).T @ np.asarray(rows), rtol=1e-3, atol=0.2)

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.models.patch_features import RandomFeatures, TupleCodes, cosine_of_turns


def test_cosine_of_turns_is_the_cosine():
    turns = np.linspace(-20, 20, 100_001)
    ours = cosine_of_turns(jnp.asarray(turns, jnp.float32))
    exact = np.cos(2 * np.pi * turns.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(ours, exact, atol=1e-6)


def test_tuple_codes_count_through_all_tuples():
    module = TupleCodes(vocab_size=3, branching=2)
    tuples = jnp.array(list(itertools.product(range(3), repeat=2)), jnp.uint8)
    assert module.apply({}, tuples)[:, 0].tolist() == list(range(9))
    strings = tuples.reshape(3, 6)
    assert module.apply({}, strings).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_linear_is_the_indicator_times_the_kernel():
    module = TupleCodes(vocab_size=3, branching=2)
    codes = jnp.array([[4, 0], [8, 4]])
    kernel = jax.random.normal(jax.random.key(0), (9, 5))
    expected = jax.nn.one_hot(codes, 9) @ kernel
    np.testing.assert_allclose(module.linear(codes, kernel), expected, rtol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_fourier_features_approximate_the_gaussian_kernel(factor):
    """Its bandwidth follows the data, so that units do not matter."""
    inputs = factor * jax.random.normal(jax.random.key(0), (200, 2, 6))
    module = RandomFeatures(num_features=20_000, branching=2)
    features, _ = module.init_with_output(jax.random.key(1), inputs)
    features = features[:30, 0]
    patches = inputs[:30].reshape(30, 12)
    squared = ((patches[:, None] - patches[None]) ** 2).sum(-1)
    mean_squared_distance = 2 * 2 * inputs.var(axis=(0, 1)).sum()
    kernel = np.exp(-squared / (2 * 0.42**2 * mean_squared_distance))
    np.testing.assert_allclose(features @ features.T, kernel, atol=0.03)


def test_scale_is_read_once():
    module = RandomFeatures(num_features=8, branching=2)
    inputs = jax.random.normal(jax.random.key(0), (50, 4, 3))
    variables = module.init(jax.random.key(1), inputs)
    one_by_one = [module.apply(variables, row[None])[0] for row in inputs[:5]]
    np.testing.assert_allclose(np.stack(one_by_one), module.apply(variables, inputs)[:5], rtol=1e-5)


@pytest.mark.parametrize("kind", ["fourier", "relu"])
def test_constant_inputs_give_finite_features(kind):
    inputs = jnp.ones((5, 2, 3))
    features, _ = RandomFeatures(16, 2, kind).init_with_output(jax.random.key(0), inputs)
    assert jnp.isfinite(features).all()

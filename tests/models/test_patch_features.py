import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.models.bandwidths import (
    RmsBandwidth,
    SmallestBandwidth,
    farthest_points_distance,
)
from hierjax.models.patch_features import (
    KernelFeatures,
    RandomFeatures,
    SymbolFeatures,
    TupleCodes,
    cosine_of_turns,
)


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


def gaussian(patches, bandwidth):
    squares = ((patches[:, None] - patches[None]) ** 2).sum(-1)
    return np.exp(-squares / (2 * bandwidth**2))


@pytest.mark.parametrize("kind", ["fourier", "pairs"])
@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_fourier_features_approximate_the_gaussian_kernel(kind, factor):
    """Its bandwidth follows the data, so that units do not matter."""
    inputs = factor * jax.random.normal(jax.random.key(0), (200, 2, 6))
    module = RandomFeatures(num_features=20_000, branching=2, kind=kind)
    features, _ = module.init_with_output(jax.random.key(1), inputs)
    features = features[:30, 0]
    bandwidth = 0.42 * np.sqrt(2 * 2 * inputs.var(axis=(0, 1)).sum())
    kernel = gaussian(np.asarray(inputs[:30].reshape(30, 12)), bandwidth)
    np.testing.assert_allclose(features @ features.T, kernel, atol=0.03)
    if kind == "pairs":
        np.testing.assert_allclose((features**2).sum(axis=1), 1, rtol=1e-5)


def test_kernel_features_are_the_kernel_with_the_first_patches_that_were_trained_on():
    train, test = (jax.random.normal(jax.random.key(i), (20, 4, 3)) for i in range(2))
    module = KernelFeatures(2, RmsBandwidth(0.3))
    variables = module.init(jax.random.key(0), train)
    bandwidth = 0.3 * np.sqrt(2 * 2 * train.var(axis=(0, 1)).sum())
    patches = np.concatenate([test.reshape(40, 6), train[:, :2].reshape(20, 6)])
    expected = gaussian(patches, bandwidth)[:40, 40:].reshape(20, 2, 20)
    np.testing.assert_allclose(module.apply(variables, test), expected, rtol=1e-4, atol=1e-6)


def test_features_of_symbols_are_those_of_their_indicators():
    symbols = jax.random.randint(jax.random.key(0), (50, 4), 0, 5)
    module = RandomFeatures(16, 2, "pairs")
    own, variables = SymbolFeatures(module, 5).init_with_output(jax.random.key(1), symbols)
    of_indicators = {"params": variables["params"]["features"]}
    expected = module.apply(of_indicators, jax.nn.one_hot(symbols, 5))
    np.testing.assert_array_equal(own, expected)


def test_the_smallest_bandwidth_makes_unlike_patches_as_orthogonal_as_wanted():
    """Of 60 points in six tight clusters on a line, of which the nearest are 0.5 apart."""
    centers = np.array([0.0, 1.0, 1.5, 3.0, 7.0, 20.0])
    noise = 1e-4 * jax.random.normal(jax.random.key(0), (60, 1))
    points = jax.random.permutation(jax.random.key(1), np.repeat(centers, 10)[:, None] + noise)
    np.testing.assert_allclose(farthest_points_distance(points, 6), 0.5, rtol=2e-3)
    bandwidth = SmallestBandwidth(6, 0.05)(points.reshape(30, 2, 1), 2)
    np.testing.assert_allclose(2 * np.exp(-(0.5**2) / (2 * bandwidth**2)), 0.05, rtol=0.02)
    one_hot = jnp.eye(7)[:, None]
    np.testing.assert_allclose(
        SmallestBandwidth(7, 0.1)(one_hot, 1), np.sqrt(2 / (2 * np.log(20))), rtol=1e-5
    )


def test_scale_is_read_once():
    module = RandomFeatures(num_features=8, branching=2)
    inputs = jax.random.normal(jax.random.key(0), (50, 4, 3))
    variables = module.init(jax.random.key(1), inputs)
    one_by_one = [module.apply(variables, row[None])[0] for row in inputs[:5]]
    np.testing.assert_allclose(np.stack(one_by_one), module.apply(variables, inputs)[:5], rtol=1e-5)


@pytest.mark.parametrize(
    "module",
    [
        *(RandomFeatures(16, 2, kind) for kind in ("fourier", "pairs", "relu")),
        KernelFeatures(2, SmallestBandwidth(3, 0.1)),
    ],
)
def test_constant_inputs_give_finite_features(module):
    features, _ = module.init_with_output(jax.random.key(0), jnp.ones((5, 2, 3)))
    assert jnp.isfinite(features).all()

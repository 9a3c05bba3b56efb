import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from hierjax.theory.kernels import EXPECTATIONS, fully_connected_kernels

# Compiling takes longer than running.
quick_jit = functools.partial(
    jax.jit,
    static_argnames=("depth", "activation"),
    compiler_options={"xla_backend_optimization_level": 0},
)
kernels_of = quick_jit(fully_connected_kernels)

WEIGHT_STD, BIAS_STD = 1.3, 0.4
NUM_DRAWS = 12
WIDTHS = (64, 256, 1024)

ACTIVATIONS = {"relu": jax.nn.relu, "erf": jax.lax.erf, "cosine": jnp.cos}
SLOPES = {
    "relu": lambda u: np.where(u > 0, 1.0, 0.0),
    "erf": lambda u: 2 / np.pi**0.5 * np.exp(-(u**2)),
    "cosine": lambda u: -np.sin(u),
}
VALUES = {"relu": lambda u: np.maximum(u, 0), "erf": erf, "cosine": np.cos}


def random_inputs(num, dim=5, seed=0):
    return np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)


def gaussian_mean(function, covariance, left, right):
    """E of a function of (u, v): Laguerre over half the squared radius, uniform over the angle."""
    halves, weights = np.polynomial.laguerre.laggauss(60)
    angles = (np.arange(4000) + 0.5) * np.pi / 2000
    radii = np.sqrt(2 * halves)[:, None]
    first, second = radii * np.cos(angles)[None], radii * np.sin(angles)[None]
    along = covariance / left**0.5
    u, v = left**0.5 * first, along * first + (right - along**2) ** 0.5 * second
    return weights @ function(u, v).mean(axis=1)


@pytest.mark.parametrize("activation", EXPECTATIONS)
def test_expectations_are_those_of_quadrature(activation):
    value, slope = VALUES[activation], SLOPES[activation]
    for moments in [(0.3, 1.0, 1.0), (-0.5, 0.4, 1.5), (0.0, 1.2, 0.7), (0.89, 0.9, 0.9)]:
        product, slopes = EXPECTATIONS[activation](*map(jnp.float32, moments))
        expected = gaussian_mean(lambda u, v: value(u) * value(v), *moments)
        assert product == pytest.approx(expected, abs=1e-5)
        expected = gaussian_mean(lambda u, v: slope(u) * slope(v), *moments)
        # The steps of relu fall between angles.
        assert slopes == pytest.approx(expected, abs=1e-3 if activation == "relu" else 1e-5)


def draw_networks(dim, width, depth):
    """Weights and biases of each layer of one network after the other."""
    rng = np.random.default_rng(width)
    sizes = [dim, *[width] * depth, 1]
    for _ in range(NUM_DRAWS):
        yield [
            (rng.standard_normal((n, m), np.float32), rng.standard_normal(n, np.float32))
            for m, n in itertools.pairwise(sizes)
        ]


def hidden_and_output(network, x, activation):
    """For one input, what the last layer reads and what it gives."""
    for index, (weights, biases) in enumerate(network):
        if index:
            x = ACTIVATIONS[activation](x)
        read = x
        x = WEIGHT_STD * weights @ x / len(x) ** 0.5 + BIAS_STD * biases
    return read, x[0]


@functools.partial(quick_jit, static_argnames="activation")
def empirical_kernels(network, inputs, activation):
    """(2, N, N), both; the NNGP is averaged over the last layer, given all others."""

    def output_and_hidden(network, x):
        return hidden_and_output(network, x, activation)[::-1]

    of_network = jax.grad(output_and_hidden, has_aux=True)
    gradients, read = jax.vmap(of_network, (None, 0))(network, inputs)
    nngp = WEIGHT_STD**2 * read @ read.T / read.shape[1] + BIAS_STD**2
    flat = [leaf.reshape(len(inputs), -1) for leaf in jax.tree.leaves(gradients)]
    return jnp.stack([nngp, sum(leaf @ leaf.T for leaf in flat)])


@pytest.mark.parametrize(
    ("activation", "depth"), [("relu", 1), ("erf", 1), ("cosine", 1), ("erf", 2)]
)
def test_kernels_of_wide_networks_converge_as_one_over_the_root_of_width(activation, depth):
    inputs = random_inputs(4)
    exact = np.stack(kernels_of(inputs, inputs, depth, activation, WEIGHT_STD, BIAS_STD))
    errors = []
    for width in WIDTHS:
        networks = draw_networks(inputs.shape[1], width, depth)
        empirical = [empirical_kernels(each, inputs, activation=activation) for each in networks]
        differences = np.stack(empirical) - exact
        errors.append(np.sqrt((differences**2).mean(axis=(0, 2, 3))))
    slopes = np.polyfit(np.log(WIDTHS), np.log(errors), 1)[0]
    assert (slopes > -0.75).all()
    assert (slopes < -0.3).all()
    spread = differences.std(axis=0, ddof=1) / NUM_DRAWS**0.5
    assert (np.abs(differences.mean(axis=0)) <= 4 * spread).all()


@pytest.mark.parametrize("activation", EXPECTATIONS)
def test_depth_zero_is_the_linear_kernel(activation):
    inputs, others = random_inputs(4), random_inputs(3, seed=1)
    kernels = kernels_of(inputs, others, 0, activation, WEIGHT_STD, BIAS_STD)
    expected = WEIGHT_STD**2 * inputs @ others.T / 5 + BIAS_STD**2
    np.testing.assert_allclose(kernels.nngp, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(kernels.ntk, kernels.nngp)


def test_one_relu_layer_is_the_arc_cosine_kernel_of_the_angle():
    angles = np.array([0, np.pi / 3, np.pi / 2, np.pi])
    inputs = 2**0.5 * np.array([[1.0, 0.0]], np.float32)
    others = 2**0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    nngp, ntk = kernels_of(inputs, others, weight_std=2**0.5)
    expected = 2 * (np.sin(angles) + (np.pi - angles) * np.cos(angles)) / np.pi
    np.testing.assert_allclose(nngp[0], expected, atol=3e-6)
    slopes = 4 * np.cos(angles) * (np.pi - angles) / (2 * np.pi)
    np.testing.assert_allclose(ntk[0], expected + slopes, atol=1e-3)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("activation", EXPECTATIONS)
def test_gram_matrices_are_symmetric_and_have_no_negative_eigenvalues(activation, depth):
    inputs = random_inputs(30)
    for gram in kernels_of(inputs, inputs, depth, activation):
        np.testing.assert_allclose(gram, gram.T, rtol=1e-5, atol=1e-6)
        eigenvalues = np.linalg.eigvalsh(np.asarray(gram, np.float64))
        assert eigenvalues[0] >= -1e-4 * eigenvalues[-1]


def test_kernels_of_two_batches_are_blocks_of_the_gram_matrix():
    inputs = random_inputs(7)
    whole = kernels_of(inputs, inputs, 2, "erf", WEIGHT_STD, BIAS_STD)
    block = kernels_of(inputs[:3], inputs[3:], 2, "erf", WEIGHT_STD, BIAS_STD)
    for one, other in zip(block, whole, strict=True):
        np.testing.assert_allclose(one, other[:3, 3:], rtol=1e-5, atol=1e-6)


def test_zero_inputs_give_finite_kernels():
    inputs = random_inputs(30) * np.arange(30)[:, None].astype(np.float32)
    for activation in EXPECTATIONS:
        for kernel in kernels_of(inputs, inputs, 2, activation):
            assert jnp.isfinite(kernel).all()


def test_unknown_activations_and_negative_depths_are_refused():
    inputs = random_inputs(2)
    with pytest.raises(ValueError, match=r"activation='tanh' has no .* relu, erf, cosine"):
        kernels_of(inputs, inputs, activation="tanh")
    with pytest.raises(ValueError, match="depth=-1 must be at least 0"):
        kernels_of(inputs, inputs, depth=-1)


@pytest.mark.parametrize("activation", ["relu", "erf", "cosine"])
def test_large_inputs_do_not_overflow(activation):
    inputs = 4e3 * jax.random.normal(jax.random.key(0), (20, 50))
    nngp, ntk = fully_connected_kernels(inputs, inputs, 1, activation)
    assert np.isfinite(nngp).all()
    assert np.isfinite(ntk).all()
    if activation != "relu":
        assert np.abs(nngp).max() <= 1.001

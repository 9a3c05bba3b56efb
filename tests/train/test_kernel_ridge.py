import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.measure.metrics import error_rate
from hierjax.theory.kernels import fully_connected_kernels
from hierjax.train.kernel_ridge import RADIAL, Kernel, KernelRidge, gram_bytes, radial_kernels
from hierjax.train.losses import CROSS_ENTROPY, SQUARED

KEY = jax.random.key(0)


def blobs(num_examples, noise=0.4):
    """Three classes on a circle in the plane."""
    labels = jax.random.randint(jax.random.key(1), (num_examples,), 0, 3)
    angles = 2 * jnp.pi * labels / 3
    centres = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    return centres + noise * jax.random.normal(jax.random.key(2), centres.shape), labels


def machine(names=tuple(RADIAL), bandwidths=(0.5,), **changes):
    kernels = radial_kernels(names, bandwidths)
    return KernelRidge(
        lambda x: x, lambda labels: jax.nn.one_hot(labels, 3), CROSS_ENTROPY, kernels, **changes
    )


def formula(kernel, squared):
    return np.exp(-squared / 2) if kernel == "rbf" else np.exp(-np.sqrt(squared))


@pytest.mark.parametrize("kernel", RADIAL)
def test_scores_are_those_of_the_closed_form(kernel):
    inputs, labels = blobs(40)
    learner = machine((kernel,), (0.7,), ridges=(0.05,))
    params = jax.jit(learner.fit)(KEY, inputs, labels)
    points, onehot = np.asarray(inputs, np.float64), np.eye(3)[labels]
    distances = ((points[:, None] - points[None]) ** 2).sum(-1)
    bandwidth = 0.7 * np.sqrt(distances.mean())
    np.testing.assert_allclose(params.distance, np.sqrt(distances.mean()), rtol=1e-5)
    gram = formula(kernel, distances / bandwidth**2)
    weights = np.linalg.solve(gram + 0.05 * np.eye(40), onehot - onehot.mean(0))
    new = np.asarray(blobs(10, noise=1.0)[0], np.float64)
    cross = ((new[:, None] - points[None]) ** 2).sum(-1) / bandwidth**2
    expected = formula(kernel, cross) @ weights + onehot.mean(0)
    np.testing.assert_allclose(
        learner.apply(params, jnp.asarray(new, jnp.float32)), expected, atol=1e-4
    )


def test_the_best_of_the_grid_is_chosen():
    """By errors on the last eighth, worked out one by one."""
    inputs, labels = blobs(400, noise=0.7)
    grid = [(k, b, r) for k in RADIAL for b in (0.01, 0.5) for r in (1e-3, 1.0)]
    errors = []
    for kernel, bandwidth, ridge in grid:
        points = np.asarray(inputs, np.float64)
        scale = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1).mean())
        distances = ((points[:, None] - points[None, :350]) ** 2).sum(-1) / (bandwidth * scale) ** 2
        gram, onehot = formula(kernel, distances), np.eye(3)[labels]
        targets = onehot[:350] - onehot[:350].mean(0)
        scores = gram[350:] @ np.linalg.solve(gram[:350] + ridge * np.eye(350), targets)
        errors.append((scores.argmax(-1) != labels[350:]).mean())
    assert min(errors) < max(errors)
    learner = machine(bandwidths=(0.01, 0.5), ridges=(1e-3, 1.0))
    params = jax.jit(learner.fit)(KEY, inputs, labels)
    best = grid[int(np.argmin(errors))]
    assert learner.kernels[params.kernel].name == f"{best[0]} {best[1]:g}"
    np.testing.assert_allclose(params.ridge, best[2])


def test_a_gram_matrix_without_factor_gets_more_ridge():
    """Every example twice, and no ridge: singular."""
    inputs, labels = (jnp.repeat(x, 2, axis=0) for x in blobs(100))
    learner = machine(("rbf",), (50.0,), ridges=(0.0,))
    params = jax.jit(learner.fit)(KEY, inputs, labels)
    assert np.isfinite(params.weights).all()
    assert 0 < params.ridge <= 1e-3
    errs = error_rate(learner.apply(params, inputs), labels)
    assert errs < 0.1


def ntk_gram(points, others, distance):
    return fully_connected_kernels(points, others, weight_std=2**0.5).ntk


def ntk_machine(**changes):
    kernels = (Kernel("relu", ntk_gram),)
    return KernelRidge(lambda x: x, lambda y: y[:, None], SQUARED, kernels, **changes)


@functools.partial(jax.jit, static_argnums=0)
def sphere(num_examples, dim=5):
    points = jax.random.normal(jax.random.key(3), (num_examples, dim))
    return points * dim**0.5 / jnp.linalg.norm(points, axis=1, keepdims=True)


def test_regression_with_an_ntk_is_the_closed_form():
    inputs, new = sphere(60)[:50], sphere(60)[50:]
    labels = inputs[:, 0] * inputs[:, 1] + 3
    learner = ntk_machine(ridges=(0.01,))
    params = jax.jit(learner.fit)(KEY, inputs, labels)
    ntk = jax.jit(lambda points, others: ntk_gram(points, others, None))
    gram = np.asarray(ntk(inputs, inputs), np.float64)
    ridge = 0.01 * np.trace(gram) / 50
    weights = np.linalg.solve(gram + ridge * np.eye(50), labels - labels.mean())
    expected = np.asarray(ntk(new, inputs), np.float64) @ weights + labels.mean()
    np.testing.assert_allclose(jax.jit(learner.apply)(params, new)[:, 0], expected, atol=1e-4)


def test_double_precision_is_computed_in_and_must_be_enabled():
    """With next to no ridge single precision is off by more than a ten thousandth."""
    with pytest.raises(ValueError, match="jax_enable_x64"):
        ntk_machine(dtype="float64")
    with jax.enable_x64(True):
        inputs = sphere(40).astype(jnp.float32)
        labels = jnp.prod(inputs[:, :3], axis=1)
        learner = ntk_machine(ridges=(1e-10,), dtype="float64")
        params = jax.jit(learner.fit)(KEY, inputs, labels)
        assert params.weights.dtype == jnp.float64
        scores = jax.jit(learner.apply)(params, inputs)
        np.testing.assert_allclose(scores[:, 0], labels, atol=1e-6)


def test_gram_matrices_of_many_examples_take_much_memory():
    assert gram_bytes(1000) == 6 * 1000**2 * 4
    assert gram_bytes(1000, "float64") == 2 * gram_bytes(1000)

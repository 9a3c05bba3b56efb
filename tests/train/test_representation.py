import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.train.representation import REPRESENTATIONS, RepresentationLayer, _largest
from hierjax.train.validation import num_fitted

KEY = jax.random.key(0)


def sphere(num_points, dim, seed=1):
    points = jax.random.normal(jax.random.key(seed), (num_points, dim))
    return points * dim**0.5 / jnp.linalg.norm(points, axis=1, keepdims=True)


def fitted(layer, inputs):
    return jax.jit(layer.fit)(KEY, inputs, jnp.zeros(inputs.shape[0]))


@pytest.mark.parametrize("activation", REPRESENTATIONS)
def test_directions_are_white_on_the_inputs_that_are_not_held_out(activation):
    inputs = sphere(160, 3)
    layer = RepresentationLayer(40, 6, activation)
    params = fitted(layer, inputs)
    hidden = layer.apply(params, inputs[: num_fitted(160)])
    moment = hidden.T @ hidden / num_fitted(160)
    kept = round(6 * (1 - float(params.dropped)))
    np.testing.assert_allclose(moment, np.diag([1.0] * kept + [0.0] * (6 - kept)), atol=2e-3)


def test_held_out_inputs_look_as_fresh_ones_do():
    """Whitened with them, they would have second moment 1 where fresh ones have more."""
    inputs, fresh = sphere(64, 8), sphere(4000, 8, seed=2)
    layer = RepresentationLayer(90, 45)
    params = fitted(layer, inputs)
    held_out = jnp.mean(layer.apply(params, inputs[num_fitted(64) :]) ** 2)
    assert 0.5 < held_out / jnp.mean(layer.apply(params, fresh) ** 2) < 2
    assert held_out > 1.5


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_the_largest_directions_are_those_of_the_singular_values(shape):
    features = jax.random.normal(KEY, shape)
    moments, directions = _largest(features, 5)
    _, values, rows = np.linalg.svd(np.asarray(features, np.float64), full_matrices=False)
    np.testing.assert_allclose(moments, values[:5] ** 2, rtol=1e-4)
    np.testing.assert_allclose(np.abs(rows[:5] @ directions), np.eye(5), atol=1e-3)
    strongest = np.take_along_axis(
        np.asarray(directions), np.abs(directions).argmax(axis=0)[None], axis=0
    )
    assert (strongest > 0).all()


def test_what_is_kept_has_the_share_of_the_moment_that_is_reported():
    inputs = sphere(400, 4)
    layer = RepresentationLayer(30, 5, "relu")
    params = fitted(layer, inputs)
    features = np.asarray(layer._units.apply(params.variables, inputs[:350]), np.float64)
    values = np.linalg.svd(features, compute_uv=False) ** 2
    np.testing.assert_allclose(params.moment, values[:5].sum() / values.sum(), rtol=1e-4)


def test_directions_that_the_sphere_lacks_are_dropped():
    """Of 1 + d + d(d + 1)/2 quadratics one is |x|^2, a constant."""
    params = fitted(RepresentationLayer(30, 15), sphere(300, 4))
    np.testing.assert_allclose(params.dropped, 1 / 15, atol=1e-6)
    assert np.isfinite(params.projection).all()


def test_directions_beyond_the_number_of_inputs_are_dropped():
    layer = RepresentationLayer(30, 15)
    params = fitted(layer, sphere(8, 4))
    np.testing.assert_allclose(params.dropped, 8 / 15, atol=1e-6)
    assert np.isfinite(layer.apply(params, sphere(20, 4, seed=3))).all()


def test_units_that_are_silent_have_no_directions():
    params = fitted(RepresentationLayer(4, 2, "relu", beta=0.0), jnp.zeros((20, 3)))
    assert params.moment == 0
    assert params.dropped == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((10, 5, "sigmoid"), "activation='sigmoid' is unknown"),
        ((10, 11), "num_directions=11 must be from 1 to 10, the width"),
        ((10, 0), "num_directions=0"),
        ((10, 5, "relu", 1.5), "beta=1.5 must be at least 0 and below 1"),
        ((10, 5, "relu", 0.5, 0.0), "floor=0.0 must be between 0 and 1"),
    ],
)
def test_bad_numbers_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        RepresentationLayer(*arguments)

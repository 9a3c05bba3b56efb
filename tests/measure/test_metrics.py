import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.measure.metrics import (
    error_rate,
    finite_spread,
    separation,
    spread,
    squared_loss,
    symbol_plane,
)


def test_errors_and_losses_by_hand():
    scores = jnp.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [1.0, 0.0]])
    labels = jnp.array([0, 1, 1, 0])
    assert error_rate(scores, labels) == 0.25
    np.testing.assert_allclose(
        squared_loss(scores, labels), (0.02 + 0.08 + 0.72 + 0) / 4, rtol=1e-6
    )


def test_spread_by_hand():
    result = spread([0.0, 0.5, 1.0])
    assert result["mean"] == 0.5
    assert result["max"] == 1.0
    np.testing.assert_allclose(result["std"], np.sqrt(1 / 6))
    assert result["per_seed"] == [0.0, 0.5, 1.0]


def corners(noise, num_symbols=4, num=4000):
    symbols = jax.random.randint(jax.random.key(0), (num,), 0, num_symbols)
    points = jnp.eye(num_symbols)[symbols]
    return points + noise * jax.random.normal(jax.random.key(1), points.shape), symbols


@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_separation_of_a_simplex_in_noise(factor):
    """Corners at distance sqrt(2) with isotropic noise, in units of the whole spread."""
    points, symbols = corners(0.1)
    measured = separation(factor * points.reshape(400, 10, 4), symbols.reshape(400, 10), 4)
    total = np.sqrt(3 / 4 + 4 * 0.01)
    np.testing.assert_allclose(measured.within_rms, 0.2 / total, rtol=0.02)
    np.testing.assert_allclose(measured.between_mean, np.sqrt(2) / total, rtol=0.02)
    assert measured.between_min < measured.between_mean
    assert measured.purity == 1


def test_separation_of_no_signal():
    points, _ = corners(0.1)
    symbols = jax.random.randint(jax.random.key(5), (4000,), 0, 4)
    measured = separation(points, symbols, 4)
    assert measured.purity < 0.35
    np.testing.assert_allclose(measured.within_rms, 1, atol=0.01)


def test_noise_in_many_dimensions_is_not_pure():
    """A point would pull the centroid of its own symbol towards itself."""
    points = jax.random.normal(jax.random.key(0), (2000, 200))
    symbols = jax.random.randint(jax.random.key(1), (2000,), 0, 300)
    assert separation(points, symbols, 300).purity < 0.02


def test_purity_leaves_the_point_itself_out():
    points, symbols = corners(0.6, num=60)
    flat, labels = np.asarray(points, np.float64), np.asarray(symbols)
    correct = 0
    for index in range(60):
        others = np.arange(60) != index
        centroids = [flat[others & (labels == symbol)].mean(0) for symbol in range(4)]
        distances = [np.linalg.norm(flat[index] - centroid) for centroid in centroids]
        correct += np.argmin(distances) == labels[index]
    assert 30 < correct < 60
    np.testing.assert_allclose(separation(points, symbols, 4).purity, correct / 60, rtol=1e-6)


def test_constant_embeddings_are_measured():
    constant, symbols = jnp.ones((40, 3)), jnp.arange(40) % 4
    measured = separation(constant, symbols, 4)
    assert measured.between_min == 0
    assert jnp.isfinite(symbol_plane(constant, symbols, 4)).all()


def test_symbols_that_do_not_occur_are_left_out():
    points, symbols = corners(0.0)
    everything = separation(points, symbols, 4)
    padded = separation(points, symbols, 9)
    np.testing.assert_allclose(padded.between_min, everything.between_min, rtol=1e-6)
    assert padded.purity == 1
    assert jnp.isnan(separation(points, jnp.zeros(4000, jnp.int32), 4).between_min)


def test_plane_sets_symbols_on_a_circle():
    points, symbols = corners(0.01, num_symbols=5)
    rotation = jnp.linalg.qr(jax.random.normal(jax.random.key(2), (5, 5)))[0]
    plane = symbol_plane(7 * points @ rotation, symbols, 5)
    angles = 2 * np.pi * np.asarray(symbols) / 5
    middle = np.stack([np.cos(angles), np.sin(angles)], axis=1).mean(0)
    expected = np.stack([np.cos(angles), np.sin(angles)], axis=1) - middle
    np.testing.assert_allclose(plane, expected, atol=0.1)


def test_plane_of_no_signal_is_the_middle():
    points, _ = corners(0.1)
    symbols = jax.random.randint(jax.random.key(5), (4000,), 0, 4)
    assert jnp.abs(symbol_plane(points, symbols, 4)).mean() < 0.1


def test_what_is_infinite_is_counted_apart():
    found = finite_spread([3.0, np.inf, 1.0])
    assert (found["mean"], found["std"], found["min"], found["max"]) == (2, 1, 1, 3)
    assert (found["num_infinite"], found["per_seed"]) == (1, [3, np.inf, 1])
    assert finite_spread([np.inf]) == {
        **dict.fromkeys(("mean", "std", "max", "min")),
        "per_seed": [np.inf],
        "num_infinite": 1,
    }

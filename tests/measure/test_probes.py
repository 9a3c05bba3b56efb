import jax
import numpy as np
import pytest

from hierjax.measure import linear_probes

RNG = np.random.default_rng(0)
N, V = 600, 5
SYMBOLS = RNG.integers(0, V, size=(N, 2))
NOISE = RNG.normal(size=(N, 12)).astype(np.float32)
PLANTED = np.eye(V)[SYMBOLS[:, 0]] @ RNG.normal(size=(V, 12)) + 0.1 * NOISE
FEATURES = np.stack([PLANTED + 7, NOISE], axis=1).astype(np.float32)
"""The first position shows the symbol of the first node, far from the origin; the other nothing."""

probes = jax.jit(linear_probes, static_argnums=(2, 3))


def test_a_planted_symbol_is_found_and_no_other():
    found = probes(FEATURES, SYMBOLS, V)
    assert found.accuracy.shape == (2, 2)
    assert found.accuracy[0, 0] == 1
    others = np.array([found.accuracy[0, 1], *found.accuracy[1]])
    assert (np.abs(others - 1 / V) < 4 * np.sqrt(1 / V * (1 - 1 / V) / (N / 2))).all()


def test_probes_are_ridge_regressions_of_the_first_half():
    """By least squares in double precision, on noisy features that are half right."""
    features = FEATURES + 3 * RNG.normal(size=FEATURES.shape).astype(np.float32)
    accuracy = probes(features, SYMBOLS, V, 0.5).accuracy
    assert 1.5 / V < accuracy[0, 0] < 0.95
    for position in range(2):
        own = features[:, position].astype(np.float64)
        first, rest = own[: N // 2], own[N // 2 :]
        centred = first - first.mean(axis=0)
        scale = np.sqrt(0.5 * (centred**2).sum() / 12)
        for node in range(2):
            targets = np.eye(V)[SYMBOLS[: N // 2, node]]
            shares = targets.mean(axis=0)
            rows = np.r_[centred, scale * np.eye(12)]
            maps = np.linalg.lstsq(rows, np.r_[targets - shares, np.zeros((12, V))], rcond=None)[0]
            read = ((rest - first.mean(axis=0)) @ maps + shares).argmax(axis=1)
            expected = np.mean(read == SYMBOLS[N // 2 :, node])
            np.testing.assert_allclose(accuracy[position, node], expected, atol=2 / N)


def test_features_that_do_not_vary_do_as_well_as_chance():
    frequent = np.where(RNG.uniform(size=(N, 2)) < 0.4, 3, SYMBOLS)
    found = probes(np.ones((N, 2, 12), np.float32), frequent, V)
    np.testing.assert_array_equal(found.accuracy, np.stack([found.chance] * 2))
    np.testing.assert_allclose(found.chance, (frequent[N // 2 :] == 3).mean(axis=0), rtol=1e-6)


def test_features_that_are_not_finite_find_nothing():
    broken = FEATURES.copy()
    broken[0, 0, 0] = np.nan
    found = probes(broken, SYMBOLS, V)
    assert (found.accuracy[0] == 0).all()
    np.testing.assert_array_equal(found.accuracy[1], probes(FEATURES, SYMBOLS, V).accuracy[1])


def test_what_cannot_be_probed_is_refused(untyped):
    with pytest.raises(
        ValueError, match=r"symbols have shape \(600,\), but must have \(600, any\)"
    ):
        linear_probes(FEATURES, SYMBOLS[:, 0], V)
    with pytest.raises(ValueError, match="1 strings have no two halves"):
        linear_probes(FEATURES[:1], SYMBOLS[:1], V)
    with pytest.raises(ValueError, match=r"ridge=0\.0 must be above 0"):
        linear_probes(FEATURES, SYMBOLS, V, 0.0)
    with pytest.raises(ValueError, match="symbols are from 0 to 4, but must be from 0 to 3"):
        linear_probes(FEATURES, SYMBOLS, 4)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.measure import sensitivity, whitened_cosine

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(40, 3, 6)) @ RNG.normal(size=(6, 6)) + 5
FEATURES = FEATURES.astype(np.float32)


def test_one_is_the_change_to_another_string():
    """Over all shifts each string becomes every other one once, so the mean square is exact."""
    shifted = jnp.stack([jnp.roll(FEATURES, shift, axis=0) for shift in range(1, 40)])
    found = jax.jit(jax.vmap(lambda changed: sensitivity(FEATURES, changed)))(shifted)
    np.testing.assert_allclose(jnp.mean(found**2, axis=0), 1, rtol=1e-5)
    assert (sensitivity(FEATURES, FEATURES) == 0).all()


def test_what_is_blind_to_a_part_changes_by_the_share_of_the_rest():
    part, rest, other = (RNG.normal(size=(4000, 1, 5)) for _ in range(3))
    features = np.concatenate([3 * part, rest], axis=2).astype(np.float32)
    changed = np.concatenate([3 * part, other], axis=2).astype(np.float32)
    np.testing.assert_allclose(sensitivity(features, changed), np.sqrt(1 / 10), rtol=0.03)


def test_features_that_are_the_same_in_all_strings_have_no_sensitivity():
    assert jnp.isnan(sensitivity(jnp.ones((4, 1, 2)), jnp.ones((4, 1, 2)))).all()


def test_cosines_are_those_of_features_of_unit_covariance():
    changed = (FEATURES + RNG.normal(size=FEATURES.shape)).astype(np.float32)
    found = jax.jit(whitened_cosine, static_argnums=2)(FEATURES, changed, 1e-6)
    for position in range(3):
        own, other = (x[:, position].astype(np.float64) for x in (FEATURES, changed))
        values, directions = np.linalg.eigh(np.cov(own.T, bias=True))
        white = directions / np.sqrt(values)
        own, other = ((x - FEATURES[:, position].mean(axis=0)) @ white for x in (own, other))
        cosines = (own * other).sum(axis=1)
        cosines /= np.linalg.norm(own, axis=1) * np.linalg.norm(other, axis=1)
        np.testing.assert_allclose(found[position], cosines.mean(), rtol=1e-3)


def test_cosines_lie_between_the_same_and_another_string():
    np.testing.assert_allclose(whitened_cosine(FEATURES, FEATURES), 1, rtol=1e-5)
    many = RNG.normal(size=(4000, 1, 6)).astype(np.float32)
    assert np.abs(whitened_cosine(many, np.roll(many, 1, axis=0))).max() < 5 / np.sqrt(4000 * 6)


def test_what_cannot_be_compared_is_refused(untyped):
    for measure in (sensitivity, whitened_cosine):
        with pytest.raises(ValueError, match="changed features have shape"):
            measure(FEATURES, FEATURES[:5])
        with pytest.raises(ValueError, match="features are of 1 strings: give at least 2"):
            measure(FEATURES[:1], FEATURES[:1])
    with pytest.raises(ValueError, match="ridge=-1 must be above 0"):
        whitened_cosine(FEATURES, FEATURES, -1)

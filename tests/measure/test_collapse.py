import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.measure.collapse import (
    class_collapse,
    class_scatter,
    label_collapse,
    numerical_rank,
    trend,
)

RNG = np.random.default_rng(0)
CLASSES = np.repeat([0, 1, 2], [5, 9, 16])
FEATURES = (RNG.normal(size=(30, 7)) + RNG.normal(size=(3, 7))[CLASSES]).astype(np.float32)


def by_matrices(features, classes):
    """Compression and discrimination from covariance matrices, in double precision."""
    features, labels = np.asarray(features, np.float64), np.unique(classes)
    means = np.stack([features[classes == label].mean(axis=0) for label in labels])
    shares = np.array([np.mean(classes == label) for label in labels])
    within = sum(
        share * np.cov(features[classes == label].T, bias=True)
        for share, label in zip(shares, labels, strict=True)
    )
    between = np.cov(means.T, aweights=shares, bias=True)
    cosines = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for i, a in enumerate(means)
        for b in means[:i]
    ]
    return np.trace(within) / np.trace(between), 1 - max(cosines)


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_collapse_is_that_of_covariance_matrices(shift):
    """Of classes of different sizes, one of which is empty, and far from the origin."""
    found = class_collapse(FEATURES + np.float32(shift), CLASSES, 5)
    compression, discrimination = by_matrices(FEATURES + np.float32(shift), CLASSES)
    np.testing.assert_allclose(found.compression, compression, rtol=2e-4)
    np.testing.assert_allclose(found.discrimination, discrimination, rtol=1e-4, atol=1e-6)


def test_within_and_between_make_up_the_variance():
    found = class_scatter(FEATURES, CLASSES, 3)
    np.testing.assert_allclose(found.within + found.between, FEATURES.var(axis=0).sum(), rtol=1e-5)
    rotation = np.linalg.qr(RNG.normal(size=(7, 7)))[0].astype(np.float32)
    rotated = class_scatter(3 * FEATURES @ rotation, CLASSES, 3)
    np.testing.assert_allclose(rotated.within, 9 * found.within, rtol=1e-5)
    np.testing.assert_allclose(rotated.discrimination, found.discrimination, rtol=1e-4)


def test_small_scatter_is_not_lost_in_rounding():
    """A ratio of 1e-10 is beyond what a difference of two variances in float32 can tell."""
    exact = np.eye(3, dtype=np.float32)[CLASSES]
    near = exact + np.float32(1e-5) * FEATURES[:, :3]
    compression = class_collapse(near, CLASSES, 3).compression
    assert compression < 1e-9
    np.testing.assert_allclose(compression, by_matrices(near, CLASSES)[0], rtol=1e-2)
    assert class_collapse(exact, CLASSES, 3).compression == 0


def test_corners_of_a_simplex_stand_furthest_apart():
    simplex = np.eye(4, dtype=np.float32)[np.arange(12) % 4]
    np.testing.assert_allclose(class_collapse(simplex, np.arange(12) % 4, 4).discrimination, 1)
    centred = class_collapse(simplex - 0.25, np.arange(12) % 4, 4)
    np.testing.assert_allclose(centred.discrimination, 4 / 3, rtol=1e-6)


def test_one_class_alone_has_no_numbers():
    found = class_collapse(FEATURES, np.full(30, 2), 3)
    assert jnp.isnan(found.compression)
    assert jnp.isnan(found.discrimination)
    assert found.rank == 7


@pytest.mark.parametrize("classes", [CLASSES + 1, CLASSES - 1])
def test_what_is_out_of_range_is_nan_in_a_program(classes):
    found = jax.jit(lambda classes: class_collapse(FEATURES, classes, 3))(jnp.asarray(classes))
    assert jnp.isnan(found.compression)
    assert jnp.isnan(found.discrimination)
    with pytest.raises(ValueError, match="must be from 0 to 2"):
        class_collapse(FEATURES, classes, 3)


def test_features_that_are_not_finite_have_no_numbers():
    broken = FEATURES.copy()
    broken[3, 2] = np.nan
    assert all(jnp.isnan(x) for x in jax.tree.leaves(class_collapse(broken, CLASSES, 3)))


def with_spectrum(values, rows, columns):
    count = len(values)
    left = np.linalg.qr(np.c_[np.ones(rows), RNG.normal(size=(rows, count))])[0][:, 1:]
    right = np.linalg.qr(RNG.normal(size=(columns, count)))[0]
    return (left * values @ right.T + 5).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 9), (9, 40)])
def test_rank_counts_what_exceeds_the_tolerance(shape):
    """Whatever the mean, which has no part in it."""
    features = with_spectrum([4, 2, 0.5, 0.05, 0.03, 0.004], *shape)
    assert numerical_rank(features) == 4
    assert numerical_rank(features, tolerance=0.1) == 3
    assert numerical_rank(features, tolerance=0.7) == 1
    assert numerical_rank(np.full(shape, 3.0, np.float32)) == 0


@pytest.mark.parametrize("tolerance", [0.0, 1.0, float("nan")])
def test_a_tolerance_is_a_share(tolerance):
    with pytest.raises(ValueError, match="must be above 0 and below 1"):
        numerical_rank(FEATURES, tolerance)


def test_labels_are_pooled():
    labels = np.sign(RNG.normal(size=(30, 4)))
    found = label_collapse(FEATURES, labels)
    each = [class_scatter(FEATURES, (column > 0).astype(int), 2) for column in labels.T]
    pooled = sum(x.within for x in each) / sum(x.between for x in each)
    np.testing.assert_allclose(found.compression, pooled, rtol=1e-5)
    discriminations = [by_matrices(FEATURES, column)[1] for column in labels.T]
    np.testing.assert_allclose(found.discrimination, np.mean(discriminations), rtol=1e-4)

    constant = np.c_[labels, np.ones(30)]
    with_constant = label_collapse(FEATURES, constant)
    np.testing.assert_allclose(with_constant.discrimination, found.discrimination, rtol=1e-6)
    assert with_constant.compression > found.compression
    assert jnp.isnan(label_collapse(FEATURES, constant[:, 4:]).discrimination)


def test_a_line_over_layers():
    line = trend(np.array([3.0, 1.5, 0.0, -1.5]))
    np.testing.assert_allclose(line, (-1.5, 3, 1), atol=1e-12)
    noisy = np.array([0.0, 2.0, 1.0, 5.0, 4.0])
    found = trend(noisy)
    slope, first = np.polyfit(np.arange(5), noisy, 1)
    np.testing.assert_allclose(found[:2], (slope, first), atol=1e-12)
    np.testing.assert_allclose(found.r2, np.corrcoef(np.arange(5), noisy)[0, 1] ** 2)
    assert np.isnan(trend(np.ones(3)).r2)
    with pytest.raises(ValueError, match="needs at least 2"):
        trend(np.ones(1))

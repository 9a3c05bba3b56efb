"""How features gather around their classes, layer by layer.

Within-class compression and between-class discrimination are those of arXiv 2311.02960, section 2,
which fall by a factor and rise by a step with each layer of a deep linear network; the numerical
rank is that of arXiv 2206.06072. Matrix products are of the highest precision.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Integer, Shaped

from hierjax.checks import (
    one_hot,
    one_or_nan,
    require_shape,
    require_signs,
)

Features = Float[Array | np.ndarray, "N D"]
Classes = Integer[Array | np.ndarray, " N"]


class Scatter(NamedTuple):
    """How features lie within and between their classes, scalars.

    Attributes:
      within: tr Sigma_W, the mean squared distance of features to the mean of their class.
      between: tr Sigma_B, the mean squared distance of the means of classes to that of all
        features, each class weighted by its share; together they are the variance of the features.
      discrimination: 1 - the largest cosine of the means of two classes; NaN where fewer than two
        classes occur, or the mean of one is zero.
    """

    within: Array
    between: Array
    discrimination: Array


def class_scatter(features: Features, classes: Classes, num_classes: int) -> Scatter:
    """Measures how features lie within and between their classes.

    Args:
      features: (N, D) features.
      classes: (N,) integers below C, the class of each row; those that do not occur are left out.
      num_classes: number of classes, C.

    Returns:
      The scatter; all of it is NaN where a feature is not finite or a class is out of range.

    Raises:
      ValueError: there is not one class for each row, there are no rows or no features, or a class
        is no integer or known and out of range.
    """
    _require_features(features)
    require_shape("classes", classes, features.shape[:1], "give the class of each row of features")
    members = one_hot(classes, num_classes, "classes", "classes")
    counts = members.sum(axis=0)
    with jax.default_matmul_precision("highest"):
        means = members.T @ features / jnp.maximum(counts, 1)[:, None]
    distances = jnp.sum((means - jnp.mean(features, axis=0)[None]) ** 2, axis=1)
    return Scatter(
        within=jnp.mean(jnp.sum((features - means[classes]) ** 2, axis=1)),
        between=jnp.sum(counts * distances) / classes.size,
        discrimination=1 - _largest_cosine(means, counts > 0),
    )


def _largest_cosine(means: Float[Array, "C D"], occurs: Bool[Array, " C"]) -> Float[Array, ""]:
    pairs = jnp.triu(occurs[:, None] & occurs[None], k=1)
    directions = means / jnp.linalg.norm(means, axis=1, keepdims=True)
    with jax.default_matmul_precision("highest"):
        cosines = directions @ directions.T
    # Where there is no pair, the largest of none is no number.
    return jnp.max(jnp.where(pairs, cosines, -jnp.inf)) * one_or_nan(pairs.any())


def numerical_rank(features: Features, tolerance: float = 1e-2) -> Float[Array, ""]:
    """Counts the directions in which features differ (arXiv 2206.06072).

    These are the singular values of the centred features that are more than a tolerance times the
    largest. They are the roots of the eigenvalues of a Gram matrix, and so those of float32 are
    known to about 1e-3 of the largest.

    Args:
      features: (N, D) features.
      tolerance: share of the largest singular value that must be exceeded.

    Returns:
      () float, the number of directions: 0 if all rows are the same, and NaN where a feature is
      not finite.

    Raises:
      ValueError: features are no matrix or empty, or the tolerance is not between 0 and 1.
    """
    _require_features(features)
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance={tolerance} must be above 0 and below 1")
    centred = features - jnp.mean(features, axis=0)[None]
    rows = centred if centred.shape[0] < centred.shape[1] else centred.T
    with jax.default_matmul_precision("highest"):
        squares = jnp.linalg.eigvalsh(rows @ rows.T)
    rank = jnp.sum(squares > tolerance**2 * squares[-1], dtype=features.dtype)
    return rank * one_or_nan(jnp.isfinite(features).all(), features.dtype)


class Collapse(struct.PyTreeNode):
    """How the features of one layer have gathered around their classes, scalars.

    Attributes:
      compression: tr Sigma_W / tr Sigma_B, see `Scatter`: 0 where features of a class are the same.
        NaN where fewer than two classes occur; infinite where classes have the same mean.
      discrimination: 1 - the largest cosine of two class means, see `Scatter`.
      rank: numerical rank of the features, see `numerical_rank`.
    """

    compression: Array
    discrimination: Array
    rank: Array


def class_collapse(features: Features, classes: Classes, num_classes: int) -> Collapse:
    """Measures how features gather around their classes.

    The arguments, and what is refused, are those of `class_scatter`.
    """
    found = class_scatter(features, classes, num_classes)
    # A single class has no discrimination either.
    several = jnp.any(classes != classes[0])
    compression = found.within / found.between * one_or_nan(several)
    return Collapse(compression, found.discrimination, numerical_rank(features))


def label_collapse(features: Features, labels: Shaped[Array | np.ndarray, "N K"]) -> Collapse:
    """Measures how features gather around the two signs of each of many labels.

    Args:
      features: (N, D) features.
      labels: (N, K) labels, signs.

    Returns:
      The compression is the mean of tr Sigma_W over the labels, over that of tr Sigma_B: a mean of
      their ratios would be that of the few labels of which features say least. The discrimination
      is the mean over the labels of which both signs occur, NaN if there are none.

    Raises:
      ValueError: there are not K labels for each row, there are no rows, or a label is known and
        no sign.
    """
    _require_features(features)
    require_signs(labels, (features.shape[0], None))
    signs = (jnp.asarray(labels) > 0).astype(jnp.int32)
    found = jax.lax.map(lambda label: class_scatter(features, label, 2), signs.T)
    vary = jnp.any(signs != signs[:1], axis=0)
    return Collapse(
        compression=found.within.mean() / found.between.mean() * one_or_nan(vary.any()),
        discrimination=jnp.mean(found.discrimination, where=vary),
        rank=numerical_rank(features),
    )


def _require_features(features: Features) -> None:
    require_shape("features", features, (None, None), "give (N, D), a row for each example")
    if not features.size:
        raise ValueError(f"features have shape {features.shape}: give at least 1 row of 1 number")


class Trend(NamedTuple):
    """A straight line through a curve over the layers.

    Attributes:
      slope: change of the line from one layer to the next.
      first: height of the line at the first layer.
      r2: R^2, the share of the curve's variance that the line explains; NaN for a constant curve.
    """

    slope: float
    first: float
    r2: float


def trend(curve: Float[np.ndarray, " layers"]) -> Trend:
    """Fits a straight line to a curve over the layers, by least squares on the host.

    Args:
      curve: (L,) a number for each layer, in order; at least two.

    Raises:
      ValueError: there are fewer than two layers.
    """
    require_shape("curve", curve, (None,), "give one number for each layer")
    if curve.size < 2:
        raise ValueError(f"the curve has {curve.size} layers: a line needs at least 2")
    layers, curve = np.arange(curve.size), np.asarray(curve, np.float64)
    centred = layers - layers.mean()
    slope = centred @ curve / (centred @ centred)
    rest = curve - curve.mean() - slope * centred
    variance = np.var(curve)
    r2 = 1 - np.mean(rest**2) / variance if variance else np.nan
    return Trend(float(slope), float(curve.mean() - slope * layers.mean()), float(r2))

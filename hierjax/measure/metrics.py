"""Errors, and how far a learner's embeddings tell symbols apart."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Integer
from numpy.typing import ArrayLike

from hierjax.checks import (
    in_range,
    one_hot,
    one_or_nan,
    require_classes,
    require_integers,
    require_shape,
    wrong_classes,
)
from hierjax.distances import squared_distances

_PLANE_RIDGE = 1e-6
_TINY = 1e-12


def error_rate(
    scores: Float[Array | np.ndarray, "N C"], labels: Integer[Array | np.ndarray, " N"]
) -> Float[Array, ""]:
    """Returns the share of examples whose largest score is not that of their label.

    An example whose scores are not all finite counts as wrong.

    Args:
      scores: (N, C) scores of the classes.
      labels: (N,) integers below C.

    Raises:
      ValueError: a shape or type is another one, there are no examples, or a label is known and
        out of range.
    """
    return jnp.mean(wrong_classes(scores, labels))


def squared_loss(
    scores: Float[Array | np.ndarray, "N C"], labels: Integer[Array | np.ndarray, " N"]
) -> Float[Array, ""]:
    """Returns the squared distance of scores to one-hot labels, a mean over examples.

    Args:
      scores: (N, C) scores of the classes.
      labels: (N,) integers below C; NaN comes of one that is not.

    Raises:
      ValueError: a shape or type is another one, there are no examples, or a label is known and
        out of range.
    """
    require_classes(labels, scores)
    targets = one_hot(labels, scores.shape[-1], "labels", "classes")
    return jnp.mean(jnp.sum((scores - targets) ** 2, axis=-1))


def spread(values: ArrayLike) -> dict[str, Any]:
    """Summarises values over seeds as every table and summary.json gives them.

    Args:
      values: (seeds,) a number for each seed.

    Returns:
      A dictionary that JSON can hold: "mean", "std" (over the seeds, not of the mean), "max", and
      "per_seed", the list of the values.

    Raises:
      ValueError: there are no values, or not one for each seed.
    """
    values = np.asarray(values, np.float64)
    require_shape("values", values, (None,), "give one number for each seed")
    if not values.size:
        raise ValueError("values is empty: give those of at least 1 seed")
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "max": float(values.max()),
        "per_seed": values.tolist(),
    }


def finite_spread(values: ArrayLike) -> dict[str, Any]:
    """Summarises values over seeds of which some may be infinite, see `spread`.

    Args:
      values: (seeds,) a number for each seed.

    Returns:
      A dictionary: "mean", "std", "max" and "min" of those that are finite, None if none is;
      "per_seed", all of them; and "num_infinite".
    """
    values = np.asarray(values, np.float64)
    finite = values[np.isfinite(values)]
    names = ("mean", "std", "max", "min")
    found = {name: float(getattr(finite, name)()) if finite.size else None for name in names}
    return found | {"per_seed": values.tolist(), "num_infinite": int(values.size - finite.size)}


class Separation(struct.PyTreeNode):
    """How embeddings of one level gather around their symbols, in units of their rms spread.

    All fields are scalars.

    Attributes:
      within_rms: rms distance of an embedding to the centroid of its symbol.
      between_min: least distance of two centroids.
      between_mean: mean distance of two centroids.
      purity: share of embeddings whose nearest centroid is that of their own symbol, the
        embedding itself left out of it.
    """

    within_rms: Array
    between_min: Array
    between_mean: Array
    purity: Array


def separation(
    embeddings: Float[Array, "*N E"],
    symbols: Integer[Array, "*N"],
    num_symbols: int,
) -> Separation:
    """Measures the separation of the symbols that occur.

    Args:
      embeddings: (..., E) embeddings.
      symbols: (...) integers below V, the symbol that each embedding stands for.
      num_symbols: number of symbols, V.

    Returns:
      The separation. Distances between centroids are NaN where fewer than two symbols occur; all
      is NaN where an embedding is not finite or a symbol is out of range.

    Raises:
      ValueError: there is not one symbol for each embedding, there are none, or a symbol is no
        integer or known and out of range.
    """
    _require_embeddings(embeddings, symbols, num_symbols)
    points, symbols = embeddings.reshape(-1, embeddings.shape[-1]), symbols.reshape(-1)
    points = points - points.mean(axis=0)[None]
    points = points / jnp.sqrt(jnp.mean(jnp.sum(points**2, axis=-1)) + _TINY)
    counts = jnp.bincount(symbols, length=num_symbols)
    sums = jax.ops.segment_sum(points, symbols, num_symbols)
    centroids = sums / jnp.maximum(counts, 1)[:, None]

    occurs = counts > 0
    gaps = jnp.sqrt(squared_distances(centroids, centroids))
    gaps = jnp.where(jnp.triu(occurs[:, None] & occurs[None], k=1), gaps, jnp.nan)

    squared = jnp.where(occurs[None], squared_distances(points, centroids), jnp.inf)
    own = jnp.sum((points - centroids[symbols]) ** 2, axis=-1)
    # Without the point itself the centroid of its symbol would be this much further away.
    count = counts[symbols]
    left_out = jnp.where(count > 1, own * (count / jnp.maximum(count - 1, 1)) ** 2, jnp.inf)
    squared = squared.at[jnp.arange(symbols.size), symbols].set(left_out)
    measured = Separation(
        within_rms=jnp.sqrt(own.mean()),
        between_min=jnp.nanmin(gaps),
        between_mean=jnp.nanmean(gaps),
        purity=jnp.mean((squared.argmin(axis=-1) == symbols) & (count > 1)),
    )
    valid = jnp.isfinite(points).all() & in_range(symbols, num_symbols).all()
    return jax.tree.map(lambda value: value * one_or_nan(valid, value.dtype), measured)


def _require_embeddings(
    embeddings: Float[Array, "*N E"], symbols: Integer[Array, "*N"], num_symbols: int
) -> None:
    remedy = "give the symbol that each embedding stands for"
    require_shape("embeddings", embeddings, (..., None, None), "give an embedding of each place")
    require_shape("symbols", symbols, embeddings.shape[:-1], remedy)
    require_integers("symbols", symbols, num_symbols, "symbols")
    if not embeddings.size:
        raise ValueError(f"embeddings have shape {embeddings.shape}: give at least 1 of them")


def symbol_plane(
    embeddings: Float[Array, "*N E"],
    symbols: Integer[Array, "*N"],
    num_symbols: int,
) -> Float[Array, "*N 2"]:
    """Returns coordinates of embeddings in the plane that best sets the symbols on a circle.

    The plane is a linear map, fitted by least squares to send every embedding to its symbol's
    corner of a regular polygon: symbols that are told apart stand at V places, others fall on the
    middle.

    Args:
      embeddings: (..., E) embeddings.
      symbols: (...) integers below V, the symbol that each embedding stands for.
      num_symbols: number of symbols, V.

    Returns:
      (..., 2) coordinates; the corners lie at distance one from the middle.

    Raises:
      ValueError: there is not one symbol for each embedding, there are none, or a symbol is no
        integer or known and out of range.
    """
    _require_embeddings(embeddings, symbols, num_symbols)
    points = embeddings.reshape(-1, embeddings.shape[-1])
    points = points - points.mean(axis=0)[None]
    angles = 2 * jnp.pi * symbols.reshape(-1) / num_symbols
    corners = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    with jax.default_matmul_precision("highest"):
        gram = points.T @ points
        ridge = (_PLANE_RIDGE * jnp.trace(gram) + _TINY) * jnp.eye(gram.shape[0])
        plane = points @ jnp.linalg.solve(gram + ridge, points.T @ corners)
    return plane.reshape(*embeddings.shape[:-1], 2)

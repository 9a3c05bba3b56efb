"""Errors, and how far a learner's embeddings tell symbols apart."""

import jax
import jax.numpy as jnp
from flax import struct


def error_rate(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Share of examples whose largest of (N, C) scores is not the label (N,)."""
    return jnp.mean(scores.argmax(axis=-1) != labels)


def squared_loss(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Squared distance of (N, C) scores to the one-hot labels (N,), mean over examples."""
    return jnp.mean(jnp.sum((scores - jax.nn.one_hot(labels, scores.shape[-1])) ** 2, axis=-1))


class Separation(struct.PyTreeNode):
    """How embeddings of one level gather around their symbols, in units of their rms spread.

    Attributes:
      within_rms: rms distance of an embedding to the centroid of its symbol.
      between_min: least distance of two centroids.
      between_mean: mean distance of two centroids.
      purity: share of embeddings whose nearest centroid is that of their own symbol.
    """

    within_rms: jax.Array
    between_min: jax.Array
    between_mean: jax.Array
    purity: jax.Array


def separation(embeddings: jax.Array, symbols: jax.Array, num_symbols: int) -> Separation:
    """Measures the separation of the symbols that occur.

    Args:
      embeddings: (..., E).
      symbols: (...) integers below num_symbols.
      num_symbols: V.

    Returns:
      Scalars. Distances between centroids are NaN where fewer than two symbols occur.
    """
    points, symbols = embeddings.reshape(-1, embeddings.shape[-1]), symbols.reshape(-1)
    spread = jnp.sqrt(jnp.mean(jnp.sum((points - points.mean(axis=0)[None]) ** 2, axis=-1)))
    points = points / spread

    counts = jnp.bincount(symbols, length=num_symbols)
    sums = jax.ops.segment_sum(points, symbols, num_symbols)
    centroids = sums / jnp.maximum(counts, 1)[:, None]
    within = jnp.sqrt(jnp.mean(jnp.sum((points - centroids[symbols]) ** 2, axis=-1)))

    occurs = counts > 0
    pairs = jnp.triu(occurs[:, None] & occurs[None], k=1)
    gaps = jnp.sqrt(jnp.sum((centroids[:, None] - centroids[None]) ** 2, axis=-1))
    gaps = jnp.where(pairs, gaps, jnp.nan)

    with jax.default_matmul_precision("highest"):
        to_centroid = jnp.sum(centroids**2, axis=-1)[None] - 2 * points @ centroids.T
    nearest = jnp.where(occurs[None], to_centroid, jnp.inf).argmin(axis=-1)
    return Separation(within, jnp.nanmin(gaps), jnp.nanmean(gaps), jnp.mean(nearest == symbols))


def principal_plane(embeddings: jax.Array) -> jax.Array:
    """Coordinates (..., 2) of embeddings (..., E) along their two main directions of spread."""
    points = embeddings.reshape(-1, embeddings.shape[-1])
    centered = points - points.mean(axis=0)[None]
    with jax.default_matmul_precision("highest"):
        _, directions = jnp.linalg.eigh(centered.T @ centered)
        plane = centered @ directions[:, :-3:-1]
    plane = jnp.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    return plane.reshape(*embeddings.shape[:-1], 2)

"""Clusters of points by k-means."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from hierjax.checks import require_shape
from hierjax.distances import squared_distances

_STEPS = 30
_TINY = 1e-30


def k_means(
    key: Key[Array, ""],
    points: Float[Array, "R E"],
    weights: Float[Array, " R"],
    num_clusters: int,
    num_fits: int = 10,
) -> Int[Array, " R"]:
    """Divides points into clusters whose members are near to their mean.

    The best of several fits is returned; each begins with centres drawn by k-means++, and takes 30
    steps of Lloyd's algorithm. Pure; maps over keys and points.

    Args:
      key: typed PRNG key.
      points: (R, E) points.
      weights: (R,) weights of the points, not negative; a point of weight 0 forms no cluster.
      num_clusters: number of clusters, static.
      num_fits: number of fits, static.

    Returns:
      (R,) the cluster of each point, that of the nearest centre.

    Raises:
      ValueError: there are fewer points than clusters, or not a weight for each.
    """
    require_shape("points", points, (None, None), "give rows of numbers, (R, E)")
    require_shape("weights", weights, points.shape[:1], "give one for each point")
    if not 1 <= num_clusters <= points.shape[0]:
        raise ValueError(
            f"num_clusters={num_clusters} must be from 1 to {points.shape[0]}, the number of points"
        )

    def fit(key):
        centers = _first_centers(key, points, weights, num_clusters)
        centers = jax.lax.fori_loop(0, _STEPS, lambda _, c: _step(points, weights, c), centers)
        squares = squared_distances(points, centers)
        return weights @ squares.min(axis=1), squares.argmin(axis=1)

    costs, clusters = jax.vmap(fit)(jax.random.split(key, num_fits))
    return clusters[costs.argmin()]


def _first_centers(key, points, weights, num_clusters: int) -> Float[Array, "K E"]:
    """Draws centres, each by its squared distance to those before it."""

    def choose(index, state):
        centers, nearest = state
        chances = weights * jnp.where(index == 0, 1.0, nearest)
        # Where all points are centres, any one will do.
        logits = jnp.log(jnp.maximum(chances, _TINY))
        center = points[jax.random.categorical(jax.random.fold_in(key, index), logits)]
        squares = ((points - center[None]) ** 2).sum(axis=1)
        return centers.at[index].set(center), jnp.minimum(nearest, squares)

    start = jnp.zeros((num_clusters, points.shape[1])), jnp.full(points.shape[0], jnp.inf)
    return jax.lax.fori_loop(0, num_clusters, choose, start)[0]


def _step(points, weights, centers: Float[Array, "K E"]) -> Float[Array, "K E"]:
    """Moves each centre to the mean of the points that are nearest to it, if there are any."""
    nearest = squared_distances(points, centers).argmin(axis=1)
    members = jax.nn.one_hot(nearest, centers.shape[0]) * weights[:, None]
    totals = members.sum(axis=0)[:, None]
    sums = jnp.matmul(members.T, points, precision="highest")
    return jnp.where(totals > 0, sums / jnp.maximum(totals, _TINY), centers)

"""Squared distances of points, for the rooms that need them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def squared_distances(
    points: Float[Array, "N E"], others: Float[Array, "M E"]
) -> Float[Array, "N M"]:
    """Returns squared distances (N, M) of points (N, E) to others (M, E), none below 0."""
    with jax.default_matmul_precision("highest"):
        products = points @ others.T
    squares = jnp.sum(points**2, axis=-1)[:, None] + jnp.sum(others**2, axis=-1)[None]
    return jnp.maximum(squares - 2 * products, 0)

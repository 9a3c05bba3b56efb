"""How far in the tree a transformer looks."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from hierjax.checks import one_hot, require_shape


def attention_by_distance(
    weights: Float[Array | np.ndarray, "N H T T"],
    distances: Integer[Array | np.ndarray, "T T"],
    num_distances: int,
) -> Float[Array, "H distances"]:
    """Returns how much of the attention goes to what is at each distance.

    Args:
      weights: (N, H, T, T) attention, [string, head, position, position that is seen], as
        `hierjax.models.Transformer.attention` returns it for each block.
      distances: (T, T) integers, the distance of a position and one that is seen, such as
        `hierjax.tasks.RandomHierarchySpec.distances` of two leaves.
      num_distances: number of distances, D, which are from 0 to D - 1.

    Returns:
      (H, D) sums over all that is at a distance, means over strings and positions; each row sums to
      1. Of uniform weights they are the shares that a model has that does not choose.

    Raises:
      ValueError: shapes do not match, or a distance is known and out of range.
    """
    require_shape("weights", weights, (None, None, None, None), "give (N, H, T, T)")
    require_shape("distances", distances, weights.shape[2:], "give one for each two positions")
    at_distance = one_hot(distances, num_distances, "distances", "distances")
    means = weights.mean(axis=0)
    return jnp.einsum("hts,tsd->hd", means, at_distance, precision="highest") / means.shape[1]

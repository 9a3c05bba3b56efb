"""How many neighbours are siblings, told by what they say of each other."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hierjax.checks import require_numbers, require_shape


def neighbour_dependence(features: Float[Array, "N P E"]) -> Float[Array, " P-1"]:
    """Estimates how far the nodes of a level depend on their right neighbours.

    Args:
      features: (N, P, E) features of the nodes of N strings, at least 2, such as indicators of
        their symbols.

    Returns:
      (P - 1,) estimates of the sum of the squared covariances of the features of two neighbours.
      In the mean they are zero where neighbours are independent; single ones may be negative.

    Raises:
      ValueError: the features are of another shape, known and not finite, or there are fewer than
        two strings or nodes.
    """
    require_shape("features", features, (None, None, None), "give features (N, P, E) of nodes")
    require_numbers("features", features)
    num_strings, num_nodes, _ = features.shape
    if num_strings < 2 or num_nodes < 2:
        raise ValueError(
            f"{num_strings} strings of {num_nodes} nodes do not tell what depends on what: give at "
            "least 2 of each"
        )
    centred = features - features.mean(axis=0, keepdims=True)
    left, right = centred[:, :-1], centred[:, 1:]
    covariances = jnp.einsum("npe,npf->pef", left, right, precision="highest") / num_strings
    squares = (covariances**2).sum(axis=(1, 2))
    noise = ((left**2).sum(axis=2) * (right**2).sum(axis=2)).mean(axis=0)
    return (num_strings * squares - noise) / (num_strings - 1)


def sibling_span(features: Float[Array, "N P E"]) -> Int[Array, ""]:
    """Tells how many neighbouring nodes are siblings, where nobody says so.

    Siblings tell of each other more than their parents' neighbours do. Of all numbers that divide
    P, it is the one at which the least dependence of neighbours in a span is the most above the
    greatest of neighbours in two.

    Args:
      features: (N, P, E) features of the nodes of N strings, see `neighbour_dependence`.

    Returns:
      () int32, the number of siblings, from 2 to P; inside of `jax.jit` 0 where features are not
      finite.

    Raises:
      ValueError: as `neighbour_dependence`.
    """
    dependence = neighbour_dependence(features)
    num_nodes = features.shape[1]
    spans = [span for span in range(2, num_nodes + 1) if num_nodes % span == 0]

    def gap(span: int) -> Array:
        inside = np.arange(1, num_nodes) % span != 0
        between = dependence[~inside].max() if (~inside).any() else 0.0
        return dependence[inside].min() - between

    found = jnp.array(spans)[jnp.stack([gap(span) for span in spans]).argmax()]
    return jnp.where(jnp.isfinite(dependence).all(), found, 0)

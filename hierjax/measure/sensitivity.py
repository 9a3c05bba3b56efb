"""How much features change when a node of the tree is changed (see `hierjax.tasks.resample_rule`).

A layer that has found a symbol is blind to the rule by which it was rewritten: strings that differ
by such a rule, synonyms, have the same features there, and strings of different symbols have not.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hierjax.checks import require_shape

_TINY = 1e-12

Features = Float[Array | np.ndarray, "N P F"]


def sensitivity(features: Features, changed: Features) -> Float[Array, " P"]:
    """Compares the change of features with that between two independent strings.

    Args:
      features: (N, P, F) features of N independent strings at P positions.
      changed: (N, P, F) features of the same strings when each has been changed.

    Returns:
      (P,) root mean square norm of the change, over that of the difference of the features of two
      different strings: 0 where nothing changes, about 1 where strings are replaced by others, NaN
      where features are the same in all strings.

    Raises:
      ValueError: shapes differ, or there are fewer than two strings.
    """
    _require(features, changed)
    num_strings = features.shape[0]
    squares = jnp.sum((changed - features) ** 2, axis=-1).mean(axis=0)
    variances = jnp.sum((features - features.mean(axis=0)[None]) ** 2, axis=-1).sum(axis=0)
    return jnp.sqrt(squares / (2 * variances / (num_strings - 1)))


def whitened_cosine(
    features: Features, changed: Features, ridge: float = 1e-3
) -> Float[Array, " P"]:
    """Returns the cosines of whitened features of strings and of the changed strings.

    Features of a position are centred and whitened by their covariance over strings, so that
    directions in which they vary little count as much as others.

    Args:
      features: (N, P, F) features of N independent strings at P positions.
      changed: (N, P, F) features of the same strings when each has been changed.
      ridge: what is added to variances, in units of their mean.

    Returns:
      (P,) means over strings: 1 where nothing changes, about 0 where strings are replaced by
      independent ones. Matrix products are of the highest precision.

    Raises:
      ValueError: shapes differ, there are fewer than two strings, or the ridge is not above 0.
    """
    _require(features, changed)
    if not ridge > 0:
        raise ValueError(f"ridge={ridge} must be above 0")

    @jax.default_matmul_precision("highest")
    def cosine(pair: tuple[Float[Array, "N F"], Float[Array, "N F"]]) -> Float[Array, ""]:
        own, other = pair
        centre = own.mean(axis=0)[None]
        own, other = own - centre, other - centre
        covariance = own.T @ own / own.shape[0]
        mean = jnp.trace(covariance) / covariance.shape[0]
        factor = jnp.linalg.cholesky(
            covariance + (ridge * mean + _TINY) * jnp.eye(covariance.shape[0])
        )
        own, other = (
            jax.scipy.linalg.solve_triangular(factor, each.T, lower=True) for each in (own, other)
        )
        norms = jnp.linalg.norm(own, axis=0) * jnp.linalg.norm(other, axis=0)
        return jnp.mean(jnp.sum(own * other, axis=0) / norms)

    # Not by vmap: on few cores two solvers of many systems wait for each other (jaxlib 0.10.2).
    return jax.lax.map(cosine, (jnp.swapaxes(features, 0, 1), jnp.swapaxes(changed, 0, 1)))


def _require(features: Features, changed: Features) -> None:
    require_shape("features", features, (None, None, None), "give (N, P, F)")
    require_shape("changed features", changed, features.shape, "give those of the same strings")
    if features.shape[0] < 2:
        raise ValueError(f"features are of {features.shape[0]} strings: give at least 2")

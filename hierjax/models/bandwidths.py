"""Bandwidths of Gaussian kernels of patches, read from the embeddings of the patches' positions."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class RmsBandwidth:
    """A share of the root mean square distance of two patches.

    Attributes:
      share: bandwidth in units of this distance.
    """

    share: float

    def __call__(self, embeddings: Float[Array, "*N P E"], branching: int) -> Float[Array, ""]:
        """Returns the bandwidth for patches of S = `branching` of the positions."""
        variance = branching * embeddings.var(axis=tuple(range(embeddings.ndim - 1))).sum()
        return self.share * 2**0.5 * jnp.sqrt(variance + _TINY)


@dataclasses.dataclass(frozen=True)
class SmallestBandwidth:
    """The largest under which patches of unlike symbols are nearly orthogonal (arXiv 2601.19756).

    Two patches are at least as far from each other as two symbols rho, and the kernel of two
    patches at this distance is half of the wanted orthogonality: exp(-rho^2 / 2 sigma^2) = eps / 2.
    The learner does not know the symbols. It finds rho as the least distance between V positions,
    each of which is farthest from those before it: one of each symbol, where the embeddings of a
    symbol lie closer together than those of two symbols.

    Attributes:
      num_symbols: number of symbols of a position, V.
      orthogonality: the wanted orthogonality eps, above 0 and below 2.
    """

    num_symbols: int
    orthogonality: float

    def __call__(self, embeddings: Float[Array, "*N P E"], branching: int) -> Float[Array, ""]:
        """Returns the bandwidth, the same for patches of any number of the positions."""
        points = embeddings.reshape(-1, embeddings.shape[-1])
        smallest = farthest_points_distance(points, self.num_symbols)
        return smallest / jnp.sqrt(2 * jnp.log(2 / self.orthogonality)) + _TINY


def farthest_points_distance(points: Float[Array, "R E"], count: int) -> Float[Array, ""]:
    """Returns the least distance between points of which each is farthest from those before it.

    Args:
      points: (R, E) points, of which the first is chosen first.
      count: number of points that are chosen, static; with 1 the distance is 0.
    """

    def squares_from(index):
        return ((points - points[index][None]) ** 2).sum(axis=1)

    def choose(_, state):
        squares, _ = state
        index = squares.argmax()
        return jnp.minimum(squares, squares_from(index)), squares[index]

    start = squares_from(0), jnp.zeros((), points.dtype)
    # Distances of the chosen to those before them never grow: the last one is the least.
    return jnp.sqrt(jax.lax.fori_loop(1, count, choose, start)[1])

"""Polynomials of a few directions on the sphere (arXiv 2006.13436).

The target is f(x) = sum_r weights[r] * p(directions[r] . x) for x uniform on the sphere of radius
sqrt(d). How many examples a learner needs depends on the degree: f is kept as the sum of its
components, one for each degree of spherical harmonics (see `tasks.harmonics`).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Key

from hierjax.settings import Config, setting
from hierjax.tasks.batch import Batch
from hierjax.tasks.harmonics import KINDS, gegenbauer, num_harmonics, zonal_coefficients

_MAX_DIM = 2**14
_MAX_DEGREE = 12


@dataclasses.dataclass(frozen=True)
class PolynomialSpec(Config):
    """Sizes of a target that is a polynomial of a few directions.

    Attributes:
      input_dim: dimension of the inputs, d.
      rank: number of orthogonal directions.
      degree: degree of the polynomial p.
      kind: p itself, "hermite" for the probabilists' Hermite polynomial or "monomial" for a power.
      noise: standard deviation of the noise added to a label; that of the target is 1.

    Raises:
      ValueError: the kind is unknown, or a number is out of bounds.
    """

    input_dim: int = setting(least=2, most=_MAX_DIM)
    rank: int = 1
    degree: int = setting(4, least=1, most=_MAX_DEGREE)
    kind: str = setting("hermite", choices=KINDS)
    noise: float = setting(0.0, least=0, most=1000)

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.rank <= self.input_dim:
            raise ValueError(
                f"rank={self.rank} must be from 1 to {self.input_dim}, the dimension of the input"
            )


class LowRankPolynomial(struct.PyTreeNode):
    """A task with real-valued labels: a target of variance 1, with noise.

    Attributes:
      directions: (rank, d) float32, orthonormal rows.
      weights: (rank,) float32, all of one size, with signs that alternate.
      spec: sizes.
    """

    directions: Array
    weights: Array
    spec: PolynomialSpec = struct.field(pytree_node=False)

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws examples; those of a smaller n are the first of a larger one.

        Args:
          key: typed PRNG key.
          n: number of examples, N, static.

        Returns:
          inputs (N, d) on the sphere of radius sqrt(d), labels (N,) with noise, and as latents
          the components of the target, (N,) for each degree from 0; all float32.
        """
        points_key, noise_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        points = jax.random.normal(points_key, (n, self.spec.input_dim), jnp.float32)
        norms = jnp.sqrt(jnp.sum(points**2, axis=-1, keepdims=True))
        inputs = points * (self.spec.input_dim**0.5 / norms)
        components = self.components(inputs)
        noise = self.spec.noise * jax.random.normal(noise_key, (n,), jnp.float32)
        return Batch(inputs, sum(components) + noise, tuple(components))

    def components(self, inputs: Float[Array | np.ndarray, "N d"]) -> list[Float[Array, " N"]]:
        """Returns the component of each degree from 0 to that of p, (N,), at inputs (N, d)."""
        with jax.default_matmul_precision("highest"):
            cosines = inputs @ self.directions.T / self.spec.input_dim**0.5
            zonal = gegenbauer(self.spec.input_dim, self.spec.degree, cosines)
            coefficients = self._coefficients()
            return [c * (q @ self.weights) for c, q in zip(coefficients, zonal, strict=True)]

    @property
    def mean_squares(self) -> Float[Array, " degrees"]:
        """Mean square of each component, (degree + 1,) float32; all but the first add up to 1."""
        with jax.default_matmul_precision("highest"):
            cosines = self.directions @ self.directions.T
            zonal = gegenbauer(self.spec.input_dim, self.spec.degree, cosines)
            sizes = [num_harmonics(self.spec.input_dim, k) for k in range(len(zonal))]
            return jnp.stack(
                [
                    c**2 / size * (self.weights @ q @ self.weights)
                    for c, size, q in zip(self._coefficients(), sizes, zonal, strict=True)
                ]
            )

    def _coefficients(self) -> list[float]:
        spec = self.spec
        return zonal_coefficients(spec.kind, spec.input_dim, spec.degree).tolist()


def draw_low_rank_polynomial(key: Key[Array, ""], spec: PolynomialSpec) -> LowRankPolynomial:
    """Draws a target with random orthogonal directions; pure, to be mapped over keys.

    The signs of the weights alternate: with equal ones a quadratic of full rank would be constant
    on the sphere.

    Args:
      key: typed PRNG key.
      spec: sizes.

    Returns:
      The task.
    """
    normal = jax.random.normal(key, (spec.input_dim, spec.rank), jnp.float32)
    with jax.default_matmul_precision("highest"):
        columns, triangle = jnp.linalg.qr(normal)
    directions = (columns * jnp.sign(jnp.diagonal(triangle))[None]).T
    signs = jnp.where(jnp.arange(spec.rank) % 2 == 0, 1.0, -1.0).astype(jnp.float32)
    task = LowRankPolynomial(directions, signs, spec)
    return task.replace(weights=signs / jnp.sqrt(task.mean_squares[1:].sum()))

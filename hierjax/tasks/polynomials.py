"""Polynomials of a few directions on the sphere (arXiv 2006.13436).

The target is f(x) = sum_r weights[r] * p_r(directions[r] . x) for x uniform on the sphere of radius
sqrt(d), with one polynomial for all directions, or a power of its own for each. How many examples a
learner needs depends on the degree: f is kept as the sum of its components, one for each degree of
spherical harmonics (see `tasks.harmonics`).
"""

import dataclasses
import functools
import itertools
import operator
from collections.abc import Sequence

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
      degree: largest degree of the polynomials.
      kind: the polynomials: "hermite" for the probabilists' Hermite polynomial of all directions,
        "monomial" for a power, "mixed" for powers of degree, degree - 1, ..., 1, and so on again,
        of unit norm each, with coefficients drawn between -1 and 1.
      noise: standard deviation of the noise added to a label; that of the target is 1.

    Raises:
      ValueError: the kind is unknown, or a number is out of bounds.
    """

    input_dim: int = setting(least=2, most=_MAX_DIM)
    rank: int = 1
    degree: int = setting(4, least=1, most=_MAX_DEGREE)
    kind: str = setting("hermite", choices=(*KINDS, "mixed"))
    noise: float = setting(0.0, least=0, most=1000)

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.rank <= self.input_dim:
            raise ValueError(
                f"rank={self.rank} must be from 1 to {self.input_dim}, the dimension of the input"
            )

    @property
    def degrees(self) -> tuple[int, ...]:
        """Degree of the polynomial of each direction."""
        count = self.degree if self.kind == "mixed" else 1
        return tuple(self.degree - index % count for index in range(self.rank))


class LowRankPolynomial(struct.PyTreeNode):
    """A task with real-valued labels: a target of variance 1, with noise.

    Attributes:
      directions: (rank, d) float32, orthonormal rows.
      weights: (rank,) float32; of one size, with signs that alternate, unless the kind is mixed.
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
        """Returns the component of each degree from 0 to the largest, (N,), at inputs (N, d)."""
        with jax.default_matmul_precision("highest"):
            cosines = inputs @ self.directions.T / self.spec.input_dim**0.5
            zonal = gegenbauer(self.spec.input_dim, self.spec.degree, cosines)
            return [
                _sum([c[k] * (q @ weights) for c, weights in self._by_degree()])
                for k, q in enumerate(zonal)
            ]

    @property
    def mean_squares(self) -> Float[Array, " degrees"]:
        """Mean square of each component, (degree + 1,) float32; all but the first add up to 1."""
        with jax.default_matmul_precision("highest"):
            cosines = self.directions @ self.directions.T
            zonal = gegenbauer(self.spec.input_dim, self.spec.degree, cosines)
            sizes = [num_harmonics(self.spec.input_dim, k) for k in range(len(zonal))]
            pairs = list(itertools.product(self._by_degree(), repeat=2))
            return jnp.stack(
                [
                    _sum([a[k] * b[k] / size * (v @ q @ w) for (a, v), (b, w) in pairs])
                    for k, (size, q) in enumerate(zip(sizes, zonal, strict=True))
                ]
            )

    def _by_degree(self) -> list[tuple[list[float], Float[Array, " rank"]]]:
        """For the polynomials of each degree, their coefficients and the weights of their
        directions, 0 for other ones."""
        degrees = np.array(self.spec.degrees)
        return [
            (self._coefficients(degree), self.weights * (degrees == degree))
            for degree in sorted(set(self.spec.degrees))
        ]

    def _coefficients(self, degree: int) -> list[float]:
        """Zonal coefficients of the polynomials of a degree, up to the largest degree."""
        spec = self.spec
        kind = "monomial" if spec.kind == "mixed" else spec.kind
        found = zonal_coefficients(kind, spec.input_dim, degree)
        if spec.kind == "mixed":
            sizes = [num_harmonics(spec.input_dim, k) for k in range(degree + 1)]
            found = found / np.sqrt((found**2 / sizes).sum())
        return np.pad(found, (0, spec.degree - degree)).tolist()


def _sum(arrays: Sequence[Array]) -> Array:
    return functools.reduce(operator.add, arrays)


def draw_low_rank_polynomial(key: Key[Array, ""], spec: PolynomialSpec) -> LowRankPolynomial:
    """Draws a target with random orthogonal directions; pure, to be mapped over keys.

    The signs of weights of one size alternate: with equal ones a quadratic of full rank would be
    constant on the sphere. Those of a mixed target are uniform between -1 and 1 before all are
    scaled to a target of variance 1.

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
    if spec.kind == "mixed":
        weights = jax.random.uniform(jax.random.fold_in(key, 0), (spec.rank,), minval=-1, maxval=1)
    else:
        weights = jnp.where(jnp.arange(spec.rank) % 2 == 0, 1.0, -1.0).astype(jnp.float32)
    task = LowRankPolynomial(directions, weights, spec)
    return task.replace(weights=weights / jnp.sqrt(task.mean_squares[1:].sum()))

"""Polynomials of one projection on a sphere, split into spherical harmonics.

On the sphere of radius sqrt(d) a function p(beta . x) of degree k or less is a sum of zonal
harmonics Q_j(beta . x / sqrt(d)), j <= k, where Q_j is the Gegenbauer polynomial of dimension d
with Q_j(1) = 1. Harmonics of different degrees are uncorrelated, whatever their directions, and
E[Q_j(beta . x / sqrt(d)) Q_j(gamma . x / sqrt(d))] = Q_j(beta . gamma) / N(d, j).
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64
from numpy.polynomial import hermite_e

KINDS = ("hermite", "monomial")
"""Polynomials p: the probabilists' Hermite polynomial of a degree, or a power."""


def num_harmonics(dim: int, degree: int) -> int:
    """Returns N(d, k), the dimension of the space of harmonics of degree k in d >= 2 dimensions."""
    lower = math.comb(dim + degree - 3, degree - 2) if degree > 1 else 0
    return math.comb(dim + degree - 1, degree) - lower


def gegenbauer(
    dim: int, degree: int, cosines: Float[Array, "*shape"]
) -> list[Float[Array, "*shape"]]:
    """Evaluates the Gegenbauer polynomials Q_0 to Q_degree, scaled to Q_k(1) = 1.

    Args:
      dim: dimension of the space, d, at least 2.
      degree: largest degree.
      cosines: (...) numbers from -1 to 1.

    Returns:
      For each degree from 0, values (...) at the cosines.
    """
    values = [jnp.ones_like(cosines), cosines]
    for k in range(1, degree):
        following = (2 * k + dim - 2) * cosines * values[k] - k * values[k - 1]
        values.append(following / (k + dim - 2))
    return values[: degree + 1]


def zonal_coefficients(kind: str, dim: int, degree: int) -> Float64[np.ndarray, " degrees"]:
    """Splits a polynomial p into zonal harmonics: p(sqrt(d) t) = sum_k c_k Q_k(t).

    Args:
      kind: "hermite" for the probabilists' Hermite polynomial, "monomial" for p(u) = u^degree.
      dim: dimension of the space, d, at least 2.
      degree: degree of p.

    Returns:
      (degree + 1,) float64 coefficients c_0 to c_degree.

    Raises:
      ValueError: the kind is unknown, or a number is out of bounds.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown: choose one of {', '.join(KINDS)}")
    if dim < 2 or degree < 0:
        raise ValueError(f"dim={dim} and degree={degree} must be at least 2 and 0")
    powers = np.eye(degree + 1)[degree]
    if kind == "hermite":
        powers = hermite_e.herme2poly(powers)
    powers = powers * dim ** (np.arange(degree + 1) / 2)
    return np.linalg.solve(_gegenbauer_powers(dim, degree).T, powers)


def _gegenbauer_powers(dim: int, degree: int) -> Float64[np.ndarray, "degrees degrees"]:
    """Returns a square matrix whose row k has the coefficients of Q_k in powers of t."""
    rows = np.eye(degree + 1)
    for k in range(1, degree):
        shifted = np.concatenate([[0.0], rows[k, :-1]])
        rows[k + 1] = ((2 * k + dim - 2) * shifted - k * rows[k - 1]) / (k + dim - 2)
    return rows

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


def num_harmonics(dim: int, degree: int) -> int:
    """N(d, k), the dimension of the harmonics of degree k in d >= 2 dimensions."""
    lower = math.comb(dim + degree - 3, degree - 2) if degree > 1 else 0
    return math.comb(dim + degree - 1, degree) - lower


def gegenbauer(
    dim: int, degree: int, cosines: Float[Array, "*shape"]
) -> list[Float[Array, "*shape"]]:
    """Q_0 to Q_degree at each of some cosines, each with their shape."""
    values = [jnp.ones_like(cosines), cosines]
    for k in range(1, degree):
        following = (2 * k + dim - 2) * cosines * values[k] - k * values[k - 1]
        values.append(following / (k + dim - 2))
    return values[: degree + 1]


def zonal_coefficients(kind: str, dim: int, degree: int) -> Float64[np.ndarray, " degrees"]:
    """c_0 to c_degree, float64, with p(sqrt(d) t) = sum_k c_k Q_k(t).

    Args:
      kind: "hermite" for p = He_degree, the probabilists', "monomial" for p(u) = u^degree.
      dim: d, at least 2.
      degree: of p.
    """
    powers = np.eye(degree + 1)[degree]
    if kind == "hermite":
        powers = hermite_e.herme2poly(powers)
    powers = powers * dim ** (np.arange(degree + 1) / 2)
    return np.linalg.solve(_gegenbauer_powers(dim, degree).T, powers)


def _gegenbauer_powers(dim: int, degree: int) -> Float64[np.ndarray, "degrees degrees"]:
    """Row k has the coefficients of Q_k in powers of t."""
    rows = np.eye(degree + 1)
    for k in range(1, degree):
        shifted = np.concatenate([[0.0], rows[k, :-1]])
        rows[k + 1] = ((2 * k + dim - 2) * shifted - k * rows[k - 1]) / (k + dim - 2)
    return rows

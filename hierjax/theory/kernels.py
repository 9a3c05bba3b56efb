"""Kernels of infinitely wide, fully connected networks: NNGP and NTK in closed form.

A network of depth L has layers h_1 = a W_1 x / sqrt(d) + b c_1, h_{l+1} = a W_{l+1} act(h_l) /
sqrt(width) + b c_{l+1} for l up to L, with all entries of W and c from N(0, 1), and one output
h_{L+1}; a is `weight_std`, b is `bias_std`. NNGP is the covariance of the output over networks
(arXiv 1711.00165), NTK the product of its gradients with respect to all W and c (arXiv 1806.07572).
The expectations are known for relu (Cho and Saul 2009), erf (Williams 1997) and cosine.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from hierjax.checks import as_floats, require_shape


class Kernels(NamedTuple):
    """Values of both kernels for all pairs of N and M inputs.

    Attributes:
      nngp: (N, M), the covariance of the output over random networks.
      ntk: (N, M), the product of the output's gradients with respect to all parameters.
    """

    nngp: Array
    ntk: Array


def fully_connected_kernels(
    inputs: Shaped[Array, "N d"],
    others: Shaped[Array, "M d"],
    depth: int = 1,
    activation: str = "relu",
    weight_std: float | Float[Array, ""] = 1.0,
    bias_std: float | Float[Array, ""] = 0.0,
) -> Kernels:
    """Computes NNGP and NTK of all pairs of inputs; differentiable, and pure.

    The network has layers h_1 = a W_1 x / sqrt(d) + b c_1 and h_{l+1} = a W_{l+1} act(h_l) /
    sqrt(width) + b c_{l+1} up to the output h_{L+1}, with all entries of W and c from N(0, 1).

    Args:
      inputs: (N, d) floats; integers become floats.
      others: (M, d) floats or integers.
      depth: number of hidden layers, L; 0 for a linear function.
      activation: one of `EXPECTATIONS`.
      weight_std: standard deviation of the weights, a.
      bias_std: standard deviation of the biases, b.

    Returns:
      The kernels, (N, M) each.

    Raises:
      ValueError: the activation is unknown, the depth is below 0, inputs or others are no vectors
        of one dimension, or they are known and not finite.
    """
    if activation not in EXPECTATIONS:
        raise ValueError(
            f"activation={activation!r} has no closed form here: choose one of "
            f"{', '.join(EXPECTATIONS)}"
        )
    if depth < 0:
        raise ValueError(f"depth={depth} must be at least 0")
    require_shape("inputs", inputs, (None, None), "give vectors, (N, d)")
    require_shape("others", others, (None, inputs.shape[1]), "give vectors like the inputs, (M, d)")
    inputs, others = as_floats("inputs", inputs), as_floats("others", others)
    expectations = EXPECTATIONS[activation]

    def affine(covariance):
        return weight_std**2 * covariance + bias_std**2

    with jax.default_matmul_precision("highest"):
        nngp = affine(inputs @ others.T / inputs.shape[-1])
    left = affine(jnp.mean(inputs**2, axis=-1, keepdims=True))
    right = affine(jnp.mean(others**2, axis=-1, keepdims=True)).T
    ntk = nngp
    for _ in range(depth):
        product, slope = expectations(nngp, left, right)
        nngp = affine(product)
        ntk = nngp + weight_std**2 * ntk * slope
        left, right = (affine(expectations(each, each, each)[0]) for each in (left, right))
    return Kernels(nngp, ntk)


def _relu(covariance, left, right):
    """Returns E[relu(u) relu(v)] and E[relu'(u) relu'(v)] of Gaussians u, v of these moments."""
    scale = jnp.sqrt(left * right)
    cosine = jnp.clip(covariance / jnp.where(scale > 0, scale, 1), -1, 1)
    angle = jnp.pi - jnp.arccos(cosine)
    product = scale * (jnp.sqrt(1 - cosine**2) + angle * cosine) / (2 * jnp.pi)
    return product, angle / (2 * jnp.pi)


def _erf(covariance, left, right):
    """Returns E[erf(u) erf(v)] and E[erf'(u) erf'(v)] of Gaussians u, v of these moments."""
    spread = jnp.maximum(left * right - covariance**2, 0)  # Rounding may make it negative.
    rest = 1 + 2 * left + 2 * right + 4 * spread
    sine = 2 * covariance / jnp.sqrt(rest + 4 * covariance**2)
    return 2 / jnp.pi * jnp.arcsin(sine), 4 / jnp.pi / jnp.sqrt(rest)


def _cosine(covariance, left, right):
    """Returns E[cos(u) cos(v)] and E[sin(u) sin(v)] of Gaussians u, v of these moments."""
    damping = (left + right) / 2
    plus, minus = (jnp.exp(jnp.minimum(c - damping, 0)) for c in (covariance, -covariance))
    return (plus + minus) / 2, (plus - minus) / 2


EXPECTATIONS = {"relu": _relu, "erf": _erf, "cosine": _cosine}
"""By activation, (covariance, variance, variance) to E[act(u) act(v)] and E[act'(u) act'(v)]."""

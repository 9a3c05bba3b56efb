"""Activations by name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nn.relu,
    "gelu": nn.gelu,
    "erf": jax.lax.erf,
    "tanh": jnp.tanh,
    "quadratic": lambda u: u**2 - 1,
    "identity": lambda u: u,
}

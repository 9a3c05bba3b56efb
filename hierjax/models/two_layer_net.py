"""A network whose first weights alone are parameters, the model of arXiv 2006.13436."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hierjax.models.activations import ACTIVATIONS


class TwoLayerNet(nn.Module):
    """f(x) = sum_r a_r act(w_r . x) / sqrt(W), with signs a_r that alternate and are fixed.

    Rows w_r start as N(0, I / d), so that units see numbers of the size of the inputs.

    Attributes:
      width: number of units, W.
      activation: one of `ACTIVATIONS`.
    """

    width: int
    activation: str

    @nn.compact
    def __call__(self, inputs: Float[Array, "N d"]) -> Float[Array, "N 1"]:
        """Returns values (N, 1) at inputs (N, d)."""
        init = nn.initializers.normal(inputs.shape[-1] ** -0.5)
        kernel = self.param("kernel", init, (inputs.shape[-1], self.width))
        signs = jnp.where(jnp.arange(self.width) % 2 == 0, 1.0, -1.0)[:, None]
        return ACTIVATIONS[self.activation](inputs @ kernel) @ signs / self.width**0.5

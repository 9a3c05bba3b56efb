"""Fixed features of a patch, on which a layer's linear map is trained.

Both modules map (..., P, D) inputs to features at P/S positions, and `linear` applies a
(num_features, K) map to them.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Integer

from hierjax.models.activations import cosine_of_turns
from hierjax.models.conv_stack import PatchConv

FEATURES = ("fourier", "relu")

_BANDWIDTH = 0.42
_RELU_BIAS = 0.5
_TINY = 1e-12


class TupleCodes(nn.Module):
    """Indicator of each possible tuple of S symbols, kept as the tuple's code.

    Attributes:
      vocab_size: number of symbols, V.
      branching: symbols in a tuple, S.
    """

    vocab_size: int
    branching: int

    @property
    def num_features(self) -> int:
        """Number of codes, V^S."""
        return self.vocab_size**self.branching

    def __call__(self, symbols: Integer[Array, "N P"]) -> Int[Array, "N patches"]:
        """Codes (N, P/S) int32 of symbols (N, P), first symbol most significant."""
        tuples = symbols.reshape(symbols.shape[0], -1, self.branching).astype(jnp.int32)
        place_values = self.vocab_size ** jnp.arange(self.branching)[::-1]
        return tuples @ place_values

    def linear(
        self, codes: Int[Array, "*N patches"], kernel: Float[Array, "codes K"]
    ) -> Float[Array, "*N patches K"]:
        """Rows of the (V^S, K) kernel."""
        return kernel[codes]


class RandomFeatures(nn.Module):
    """Random features of a patch of embeddings, a frozen `PatchConv` and a nonlinearity.

    `fourier` approximates the Gaussian kernel whose bandwidth is 0.42 times the root mean square
    distance of two patches, `relu` the arc-cosine kernel with biases. The scale of the data is
    read when the parameters are made: initialise on the train set.

    Attributes:
      num_features: D.
      branching: embeddings in a patch, S.
      kind: one of `FEATURES`.
    """

    num_features: int
    branching: int
    kind: str = "fourier"

    @nn.compact
    def __call__(self, inputs: Float[Array, "*N P E"]) -> Float[Array, "*N patches D"]:
        """(..., P, E) embeddings to (..., P/S, D) features, scaled so that D does not matter."""

        def kernel_init(key, shape):
            variance = self.branching * inputs.var(axis=tuple(range(inputs.ndim - 1))).sum()
            scale = jnp.sqrt(variance + _TINY)
            if self.kind == "fourier":
                scale = 2 * jnp.pi * _BANDWIDTH * 2**0.5 * scale
            return jax.random.normal(key, shape) / scale

        def bias_init(key, shape):
            if self.kind == "fourier":
                return jax.random.uniform(key, shape)
            return _RELU_BIAS * jax.random.normal(key, shape)

        conv = PatchConv(self.num_features, self.branching, kernel_init, bias_init)
        nonlinearity = cosine_of_turns if self.kind == "fourier" else nn.relu
        return jnp.sqrt(2 / self.num_features) * nonlinearity(conv(inputs))

    def linear(
        self, features: Float[Array, "*N patches D"], kernel: Float[Array, "D K"]
    ) -> Float[Array, "*N patches K"]:
        """Features times the (D, K) kernel."""
        return features @ kernel

"""Fixed features of a patch, on which a layer's linear map is trained.

Both modules map inputs at P positions to features of P/S patches of S positions each. Their method
`linear` applies a linear map, a kernel (num_features, K), to these features.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Integer

from hierjax.checks import require_integers, require_shape
from hierjax.models.activations import cosine_of_turns
from hierjax.models.conv_stack import PatchConv

FEATURES = ("fourier", "relu")
"""Kinds of `RandomFeatures`."""

_BANDWIDTH = 0.42
_RELU_BIAS = 0.5
_TINY = 1e-12


class TupleCodes(nn.Module):
    """Indicators of all tuples of S symbols, kept as the code of the tuple that is there.

    Attributes:
      vocab_size: number of symbols, V.
      branching: number of symbols of a tuple, S.
    """

    vocab_size: int
    branching: int

    @property
    def num_features(self) -> int:
        """Number of codes, V^S."""
        return self.vocab_size**self.branching

    def __call__(self, symbols: Integer[Array, "N P"]) -> Int[Array, "N patches"]:
        """Returns codes (N, P/S) int32 of symbols (N, P); a first symbol is most significant.

        Raises:
          ValueError: P is no multiple of S, or these are no integers, or known and not below V.
        """
        require_shape("inputs", symbols, (None, None), "give strings (N, P) of symbols")
        require_integers("inputs", symbols, self.vocab_size, "symbols")
        if symbols.shape[1] % self.branching:
            raise ValueError(
                f"inputs of length {symbols.shape[1]} must be cut into tuples of {self.branching}"
            )
        tuples = symbols.reshape(symbols.shape[0], -1, self.branching).astype(jnp.int32)
        place_values = self.vocab_size ** jnp.arange(self.branching)[::-1]
        return tuples @ place_values

    def linear(
        self, codes: Int[Array, "*N patches"], kernel: Float[Array, "codes K"]
    ) -> Float[Array, "*N patches K"]:
        """Returns the rows (..., K) of a kernel (V^S, K) that codes (...) stand for."""
        return kernel[codes]


class RandomFeatures(nn.Module):
    """Random features of a patch of embeddings: a frozen `PatchConv` and a nonlinearity.

    Features of kind "fourier" approximate the Gaussian kernel whose bandwidth is 0.42 times the
    root mean square distance of two patches, those of kind "relu" the arc-cosine kernel with
    biases. The scale of the data is read when the parameters are made, so the module is to be
    initialised on the train set.

    Attributes:
      num_features: number of features, D.
      branching: number of embeddings in a patch, S.
      kind: one of `FEATURES`.
    """

    num_features: int
    branching: int
    kind: str = "fourier"

    @nn.compact
    def __call__(self, inputs: Float[Array, "*N P E"]) -> Float[Array, "*N patches D"]:
        """Returns features (..., P/S, D) of embeddings (..., P, E), scaled by sqrt(2 / D)."""

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
        """Returns the products (..., K) of features (..., D) and a kernel (D, K)."""
        return features @ kernel

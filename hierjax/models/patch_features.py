"""Fixed features of a patch, on which a layer's linear map is trained.

The modules map inputs at P positions to features of P/S patches of S positions each. Their method
`require` refuses what are no inputs of theirs, and `linear` applies a linear map, a kernel (number
of features, K), to the features.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Integer, Shaped

from hierjax.checks import one_hot, require_integers, require_shape
from hierjax.distances import squared_distances
from hierjax.models.activations import cosine_of_turns
from hierjax.models.bandwidths import RmsBandwidth
from hierjax.models.conv_stack import PatchConv, merge_patches

FEATURES = ("fourier", "pairs", "relu")
"""Kinds of `RandomFeatures`."""

Bandwidth = Callable[[Array, int], Array]
"""(embeddings (..., P, E), positions of a patch S) -> bandwidth of a kernel of patches."""

_BANDWIDTH = RmsBandwidth(0.42)
_RELU_SCALE = RmsBandwidth(2**-0.5)
_RELU_BIAS = 0.5


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
        self.require(symbols)
        if symbols.shape[1] % self.branching:
            raise ValueError(
                f"inputs of length {symbols.shape[1]} must be cut into tuples of {self.branching}"
            )
        tuples = symbols.reshape(symbols.shape[0], -1, self.branching).astype(jnp.int32)
        place_values = self.vocab_size ** jnp.arange(self.branching)[::-1]
        return tuples @ place_values

    def require(self, inputs: Integer[Array, "N P"]) -> None:
        """Refuses inputs that are no strings of symbols."""
        _require_strings(inputs, self.vocab_size)

    def linear(
        self, codes: Int[Array, "*N patches"], kernel: Float[Array, "codes K"]
    ) -> Float[Array, "*N patches K"]:
        """Returns the rows (..., K) of a kernel (V^S, K) that codes (...) stand for."""
        return kernel[codes]


class EmbeddingFeatures(nn.Module):
    """Base of the features (N, P/S, D) of patches of embeddings (N, P, E)."""

    def require(self, inputs: Float[Array, "N P E"]) -> None:
        """Refuses inputs that are no embeddings."""
        remedy = "give embeddings (N, positions, E) by the layer below"
        require_shape("inputs", inputs, (None, None, None), remedy)

    def linear(
        self, features: Float[Array, "*N patches D"], kernel: Float[Array, "D K"]
    ) -> Float[Array, "*N patches K"]:
        """Returns the products (..., K) of features (..., D) and a kernel (D, K)."""
        return features @ kernel


class RandomFeatures(EmbeddingFeatures):
    """Random features of a patch of embeddings: a frozen `PatchConv` and a nonlinearity.

    Products of features of kind "fourier", cosines with random phases, approximate a Gaussian
    kernel, and so do those of kind "pairs", cosines and sines of the same directions, which are of
    unit norm (arXiv 2601.19756, eq. 6); those of kind "relu" the arc-cosine kernel with biases. The
    scale of the data is read when the parameters are made, so the module is to be initialised on
    the train set.

    Attributes:
      num_features: number of features, D; for pairs an even one.
      branching: number of embeddings in a patch, S.
      kind: one of `FEATURES`.
      bandwidth: bandwidth of the Gaussian kernel; not used by "relu".
      precision: type of the features, one of `PRECISIONS`; they are computed in float32.
    """

    num_features: int
    branching: int
    kind: str = "fourier"
    bandwidth: Bandwidth = _BANDWIDTH
    precision: str = "float32"

    @nn.compact
    def __call__(self, inputs: Float[Array, "*N P E"]) -> Float[Array, "*N patches D"]:
        """Returns features (..., P/S, D) of embeddings (..., P, E), scaled by sqrt(2 / D)."""

        def kernel_init(key, shape):
            if self.kind == "relu":
                return jax.random.normal(key, shape) / _RELU_SCALE(inputs, self.branching)
            turn = 2 * jnp.pi * self.bandwidth(inputs, self.branching)
            if self.kind == "fourier":
                return jax.random.normal(key, shape) / turn
            directions = jax.random.normal(key, (*shape[:-1], shape[-1] // 2)) / turn
            return jnp.concatenate([directions, directions], axis=-1)

        def bias_init(key, shape):
            if self.kind == "relu":
                return _RELU_BIAS * jax.random.normal(key, shape)
            if self.kind == "fourier":
                return jax.random.uniform(key, shape)
            # A sine is a cosine that is a quarter of a turn late.
            return -0.25 * (jnp.arange(shape[0]) >= shape[0] // 2)

        conv = PatchConv(self.num_features, self.branching, kernel_init, bias_init)
        nonlinearity = nn.relu if self.kind == "relu" else cosine_of_turns
        features = jnp.sqrt(2 / self.num_features) * nonlinearity(conv(inputs))
        return features.astype(self.precision)


class KernelFeatures(EmbeddingFeatures):
    """The Gaussian kernel of a patch of embeddings with the first patches of the train set.

    This is what random features come to when there are infinitely many: a linear map of the kernel
    with N train patches is all that a ridge regression on them can find. The train patches are kept
    when the variables are made, so the module is to be initialised on the train set.

    Attributes:
      branching: number of embeddings in a patch, S.
      bandwidth: bandwidth of the kernel.
    """

    branching: int
    bandwidth: Bandwidth = _BANDWIDTH

    @nn.compact
    def __call__(self, inputs: Float[Array, "M P E"]) -> Float[Array, "M patches N"]:
        """Returns the kernel (M, P/S, N) of the patches of embeddings (M, P, E)."""
        size = self.branching
        kept = self.variable(
            "train", "patches", lambda: merge_patches(inputs[:, :size], size)[:, 0]
        )
        width = self.variable("train", "bandwidth", lambda: self.bandwidth(inputs, size))
        patches = merge_patches(inputs, size)
        squares = squared_distances(patches.reshape(-1, patches.shape[-1]), kept.value)
        return jnp.exp(-squares / (2 * width.value**2)).reshape(*patches.shape[:2], -1)


class SymbolFeatures(nn.Module):
    """Features of a patch of symbols: those of their indicators.

    Attributes:
      features: features of a patch of embeddings.
      vocab_size: number of symbols, V.
    """

    features: EmbeddingFeatures
    vocab_size: int

    @property
    def branching(self) -> int:
        """Number of symbols of a patch, S."""
        return self.features.branching

    @property
    def num_features(self) -> int:
        """Number of features, D."""
        return self.features.num_features

    def __call__(self, symbols: Integer[Array, "N P"]) -> Float[Array, "N patches D"]:
        """Returns features (N, P/S, D) of symbols (N, P); NaN if a symbol is out of range."""
        return self.features(one_hot(symbols, self.vocab_size))

    def require(self, inputs: Integer[Array, "N P"]) -> None:
        """Refuses inputs that are no strings of symbols."""
        _require_strings(inputs, self.vocab_size)

    def linear(
        self, features: Float[Array, "*N patches D"], kernel: Float[Array, "D K"]
    ) -> Float[Array, "*N patches K"]:
        """Returns the products (..., K) of features (..., D) and a kernel (D, K)."""
        return self.features.linear(features, kernel)


def _require_strings(inputs: Shaped[Array, "..."], vocab_size: int) -> None:
    require_shape("inputs", inputs, (None, None), "give strings (N, P) of symbols")
    require_integers("inputs", inputs, vocab_size, "symbols")

"""Convolutional stacks matched to a tree: patch by patch, weights shared over positions or not."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Integer, Shaped

from hierjax.checks import one_hot, require_shape
from hierjax.models.activations import ACTIVATIONS
from hierjax.models.products import contract
from hierjax.sharding import divide_hidden

_READOUT_POWER = {"ntk": 0.5, "mean_field": 1.0}


def merge_patches(
    inputs: Shaped[Array, "*N P D"], branching: int
) -> Shaped[Array, "*N patches merged"]:
    """Concatenates the features of neighbouring positions.

    Args:
      inputs: (..., P, D) features at P positions.
      branching: number of positions of a patch, S.

    Returns:
      (..., P/S, S*D) features of the patches.

    Raises:
      ValueError: P is no multiple of S.
    """
    *batch, positions, features = inputs.shape
    if positions % branching:
        raise ValueError(
            f"{positions} positions cannot be cut into patches of {branching}: give inputs whose "
            "length is a multiple of the branching"
        )
    return inputs.reshape(*batch, positions // branching, branching * features)


class PatchConv(nn.Module):
    """Convolution over non-overlapping patches: (..., P, D) to (..., P/S, W).

    It has the same parameters as `nn.Conv(width, (branching,), strides=branching)` and computes
    the same function, as a matrix product, which is many times faster on CPU under vmap and scan.
    Where it is not tied, it is locally connected: each patch has parameters of its own.

    Attributes:
      width: number of output features, W.
      branching: number of positions of a patch, S.
      kernel_init: initializer of the kernel (S, D, W); of those of all patches (P/S, S, D, W),
        each by itself, where they are not tied.
      bias_init: initializer of the bias (W,), or of (P/S, W).
      precision: one of `PRECISIONS`, the type of what is multiplied; sums are float32.
      divides_outputs: whether devices that share a layer divide its outputs, not its inputs.
      tied: whether all patches share their parameters.
    """

    width: int
    branching: int
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()
    precision: str = "float32"
    divides_outputs: bool = True
    tied: bool = True

    @nn.compact
    def __call__(self, inputs: Float[Array, "*N P D"]) -> Float[Array, "*N patches W"]:
        """Returns features (..., P/S, W) of the patches of inputs (..., P, D)."""
        patches = merge_patches(inputs, self.branching)
        shape = (self.branching, inputs.shape[-1], self.width)
        num_patches = patches.shape[-2]
        patches = patches.reshape(*patches.shape[:-1], *shape[:2])

        def multiply(patches, kernel, bias):
            return contract(patches, kernel, self.precision, self.divides_outputs, bias)

        if self.tied:
            kernel = self.param("kernel", self.kernel_init, shape)
            bias = self.param("bias", self.bias_init, shape[-1:])
            return multiply(patches, kernel, bias)
        kernels = self.param("kernel", _of_each(self.kernel_init), (num_patches, *shape))
        biases = self.param("bias", _of_each(self.bias_init), (num_patches, *shape[-1:]))
        return jax.vmap(multiply, (-3, 0, 0), -2)(patches, kernels, biases)


def _of_each(init: nn.initializers.Initializer) -> nn.initializers.Initializer:
    """Makes an initializer (P, ...) that treats each of P parts as the given one treats it."""

    def init_all(key, shape):
        keys = jax.random.split(key, shape[0])
        return jax.vmap(lambda key: init(key, shape[1:]))(keys)

    return init_all


class ConvStack(nn.Module):
    """One patch convolution and activation for each level of the tree, then a linear read-out.

    Attributes:
      branching: patch size of each layer, leaves up; their product is the input length, d.
      vocab_size: number of leaf symbols, V.
      num_classes: number of outputs, C.
      width: number of features of every layer, W.
      activation: one of `ACTIVATIONS`.
      scaling: "ntk" divides a read-out of unit-variance weights by sqrt(W), "mean_field" by W.
      precision: type of the outputs of layers, and of what they multiply, one of `PRECISIONS`;
        parameters, sums and class scores are float32.
      remat: whether the derivative computes layers anew, in place of keeping all that they made.
      tied: whether all patches of a layer share their weights; else it is locally connected.
    """

    branching: tuple[int, ...]
    vocab_size: int
    num_classes: int
    width: int
    activation: str = "relu"
    scaling: str = "ntk"
    precision: str = "float32"
    remat: bool = False
    tied: bool = True

    @property
    def num_layers(self) -> int:
        """Number of layers, L."""
        return len(self.branching)

    def setup(self):
        self.layers = [
            PatchConv(
                self.width,
                size,
                precision=self.precision,
                divides_outputs=index % 2 == 0,
                tied=self.tied,
            )
            for index, size in enumerate(self.branching)
        ]
        self.head = nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(1.0))

    def embed(self, tokens: Integer[Array, "N d"]) -> Float[Array, "N d V"]:
        """Returns one-hot leaves, (N, d, V) float32, of strings (N, d) of integers.

        Raises:
          ValueError: the strings are not of integers, or known and not below V; where they are not
            known, a leaf that is not below V is NaN.
        """
        require_shape("inputs", tokens, (None, None), "give strings (N, d) of symbols")
        return one_hot(tokens, self.vocab_size)

    def layer(self, hidden: Float[Array, "N P D"], index: int) -> Float[Array, "N patches W"]:
        """Applies layer `index`, 0 at the leaves, to features (N, P, D); returns (N, P/S, W)."""
        outputs = ACTIVATIONS[self.activation](self.layers[index](hidden))
        return divide_hidden(outputs.astype(self.precision), index % 2 == 0)

    def readout(self, hidden: Float[Array, "N 1 W"]) -> Float[Array, "N C"]:
        """Returns class scores (N, C) of the features of the top layer, (N, 1, W)."""
        return self.head(
            hidden[:, 0].astype(jnp.float32) / self.width ** _READOUT_POWER[self.scaling]
        )

    def __call__(self, tokens: Integer[Array, "N d"]) -> Float[Array, "N C"]:
        """Returns class scores (N, C) of strings (N, d) of integers.

        Raises:
          ValueError: the length of the strings is not the product of the patch sizes, or `embed`
            refuses them.
        """
        if tokens.shape[-1] != math.prod(self.branching):
            raise ValueError(
                f"strings of length {tokens.shape[-1]} do not match patches of "
                f"{self.branching}: their product is {math.prod(self.branching)}"
            )
        hidden = self.embed(tokens)
        layer = ConvStack.layer
        if self.remat:
            layer = nn.remat(layer, static_argnums=2)
        for index in range(len(self.branching)):
            hidden = layer(self, hidden, index)
        return self.readout(hidden)

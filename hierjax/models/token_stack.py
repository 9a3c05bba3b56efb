"""A convolutional stack matched to a tree that predicts tokens (after arXiv 2406.00048).

Shape letters: N strings, d positions, V symbols, P nodes of a level, S branching, W width.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Integer

from hierjax.checks import require_shape
from hierjax.models.activations import ACTIVATIONS
from hierjax.models.conv_stack import ConvStack, PatchConv

Levels = tuple[Array, ...]


def complete_before(
    levels: Sequence[Float[Array, "N _ _"]], branching: Sequence[int]
) -> Float[Array, "N d F"]:
    """Gathers for each leaf the features of the largest subtrees that are complete before it.

    Of each level these are the older siblings of the leaf, or of the node above it, at most S - 1
    of them. Together they are all that a tree knows of the leaves before, each leaf once.

    Args:
      levels: features (N, P, W) of the nodes of each level, leaves first; W may differ.
      branching: patch size of each of these levels, leaves first.

    Returns:
      (N, d, F) features, level by level and sibling by sibling; zeros for siblings that are not
      before the leaf. F is the sum of (S - 1) * W over the levels.
    """
    num_strings, length, _ = levels[0].shape
    found, leaves_of_node = [], 1
    for features, size in zip(levels, branching, strict=True):
        siblings = features.reshape(num_strings, -1, 1, size, features.shape[-1])[:, :, :, :-1]
        older = np.arange(size)[:, None] > np.arange(size - 1)
        seen = jnp.where(older[None, None, :, :, None], siblings, 0)
        seen = seen.reshape(num_strings, length // leaves_of_node, -1)
        found.append(jnp.repeat(seen, leaves_of_node, axis=1))
        leaves_of_node *= size
    return jnp.concatenate(found, axis=-1)


class TokenStack(nn.Module):
    """One patch convolution for each level of the tree, then scores of tokens.

    A causal stack scores the next token at every position: hidden units, each position's own, read
    the features of the largest complete subtrees before it, see `complete_before`. Its inputs are
    those of `hierjax.tasks.next_token`. Another stack goes up to the root, and a linear map scores
    the last token; of other positions all scores are zero. Its inputs are those of
    `hierjax.tasks.last_token`.

    Attributes:
      branching: patch size of each layer, leaves up; their product is the length of strings, d.
      num_symbols: number of symbols of strings, V; the symbol V stands for what is not seen.
      width: number of features of a node, W.
      causal: whether the next token is scored at every position, or else the last one.
      num_units: number of hidden units of each position of a causal stack.
      tied: whether all nodes of a level share their weights; else the stack is locally connected.
      activation: one of `ACTIVATIONS`.
      precision: type of the outputs of layers, and of what they multiply, one of `PRECISIONS`;
        parameters, sums and scores are float32.
      remat: whether the derivative computes layers anew, in place of keeping all that they made.
    """

    branching: tuple[int, ...]
    num_symbols: int
    width: int = 64
    causal: bool = True
    num_units: int = 256
    tied: bool = True
    activation: str = "relu"
    precision: str = "float32"
    remat: bool = False

    @property
    def num_layers(self) -> int:
        """Number of layers: L, or one less for a causal stack, to which no string is complete."""
        return len(self.branching) - self.causal

    def setup(self):
        self.stack = ConvStack(
            self.branching[: self.num_layers],
            self.num_symbols + 1,
            self.num_symbols,
            self.width,
            self.activation,
            precision=self.precision,
            tied=self.tied,
        )
        if self.causal:
            # Each position asks something else.
            self.first = PatchConv(self.num_units, 1, precision=self.precision, tied=False)
            self.second = PatchConv(self.num_symbols, 1, nn.initializers.lecun_normal(), tied=False)

    def embed(self, tokens: Integer[Array, "N d"]) -> Levels:
        """Returns the level of the leaves, one-hot (N, d, V + 1), of strings (N, d) of integers.

        Raises:
          ValueError: the strings are of another length, are not of integers, or known and above V.
        """
        remedy = "give strings (N, d) as long as the product of the patch sizes"
        require_shape("inputs", tokens, (None, math.prod(self.branching)), remedy)
        if self.causal:  # Back to where each leaf is; nothing reads the last one.
            tokens = jnp.pad(tokens[:, 1:], ((0, 0), (0, 1)), constant_values=self.num_symbols)
        return (self.stack.embed(tokens),)

    def layer(self, levels: Levels, index: int) -> Levels:
        """Adds to the levels so far what layer `index`, 0 at the leaves, makes: (N, P, W)."""
        return (*levels, self.stack.layer(levels[-1], index))

    def readout(self, levels: Levels) -> Float[Array, "N d V"]:
        """Returns the scores (N, d, V) that the levels make, leaves first."""
        num_strings, length, _ = levels[0].shape
        if self.causal:
            seen = complete_before(levels, self.branching)
            return self.second(ACTIVATIONS[self.activation](self.first(seen)))
        scores = jnp.zeros((num_strings, length, self.num_symbols))
        return scores.at[:, -1].set(self.stack.readout(levels[-1]))

    def __call__(self, tokens: Integer[Array, "N d"]) -> Float[Array, "N d V"]:
        """Returns scores (N, d, V) of strings (N, d) of integers; errors are those of `embed`."""
        levels = self.embed(tokens)
        layer = TokenStack.layer
        if self.remat:
            layer = nn.remat(layer, static_argnums=2)
        for index in range(self.num_layers):
            levels = layer(self, levels, index)
        return self.readout(levels)

"""A network with one hidden layer, which knows nothing of the hierarchy."""

from flax import linen as nn
from jaxtyping import Array, Float, Integer

from hierjax.checks import one_hot, require_shape
from hierjax.models.activations import ACTIVATIONS


def one_hot_strings(tokens: Integer[Array, "N d"], vocab_size: int) -> Float[Array, "N dV"]:
    """Returns strings (N, d) of integers as one-hot vectors (N, d*V) float32.

    Args:
      tokens: (N, d) integers below V.
      vocab_size: number of symbols, V.

    Raises:
      ValueError: the strings are not of integers, or known and not below V; where they are not
        known, a symbol that is not below V is NaN.
    """
    require_shape("inputs", tokens, (None, None), "give strings (N, d) of symbols")
    num_examples, length = tokens.shape
    return one_hot(tokens, vocab_size).reshape(num_examples, length * vocab_size)


class ShallowNet(nn.Module):
    """One hidden layer on the one-hot string.

    Attributes:
      vocab_size: number of leaf symbols, V.
      num_classes: number of outputs, C.
      width: number of hidden units, W.
      activation: one of `ACTIVATIONS`.
    """

    vocab_size: int
    num_classes: int
    width: int
    activation: str = "relu"

    @nn.compact
    def __call__(self, tokens: Integer[Array, "N d"]) -> Float[Array, "N C"]:
        """Returns class scores (N, C) of strings (N, d) of integers."""
        hidden = nn.Dense(self.width)(one_hot_strings(tokens, self.vocab_size))
        return nn.Dense(self.num_classes)(ACTIVATIONS[self.activation](hidden))

"""A deep linear network, the model of arXiv 2311.02960."""

from flax import linen as nn
from jaxtyping import Array, Float


class DeepLinearNet(nn.Module):
    """Hidden layers without activations or biases, and a linear classifier.

    Matrices start as orthogonal ones times a number. Products are of the highest precision: what
    the layers leave of some directions is a millionth of others.

    Attributes:
      num_outputs: number of outputs, K.
      num_layers: number of hidden layers, L.
      width: number of features of a hidden layer, W.
      init_scale: singular values of all matrices at the start.
    """

    num_outputs: int
    num_layers: int
    width: int
    init_scale: float

    def setup(self):
        self.layers = [self._matrix(self.width) for _ in range(self.num_layers)]
        self.classifier = self._matrix(self.num_outputs)

    def _matrix(self, width: int) -> nn.Dense:
        init = nn.initializers.orthogonal(self.init_scale)
        return nn.Dense(width, use_bias=False, precision="highest", kernel_init=init)

    def embed(self, inputs: Float[Array, "N d"]) -> Float[Array, "N d"]:
        """Returns inputs (N, d) as they are."""
        return inputs

    def layer(self, hidden: Float[Array, "N D"], index: int) -> Float[Array, "N W"]:
        """Returns the features (N, W) of hidden layer `index`, from 0."""
        return self.layers[index](hidden)

    def readout(self, hidden: Float[Array, "N W"]) -> Float[Array, "N K"]:
        """Returns outputs (N, K) of the features (N, W) of the last hidden layer."""
        return self.classifier(hidden)

    def __call__(self, inputs: Float[Array, "N d"]) -> Float[Array, "N K"]:
        """Returns outputs (N, K) of inputs (N, d)."""
        hidden = self.embed(inputs)
        for index in range(self.num_layers):
            hidden = self.layer(hidden, index)
        return self.readout(hidden)

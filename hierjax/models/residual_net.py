"""A residual network of the usual kind, all of whose weights are trained."""

from flax import linen as nn
from jaxtyping import Array, Float


class ResidualNet(nn.Module):
    """An embedding, blocks h + second(relu(first(h))), and a linear read-out.

    Attributes:
      num_outputs: C.
      num_blocks: B.
      width: of the stream and of the blocks' hidden layers, W.
    """

    num_outputs: int
    num_blocks: int
    width: int

    @property
    def num_layers(self) -> int:
        """B."""
        return self.num_blocks

    def setup(self):
        self.embedding = nn.Dense(self.width)
        self.first = [nn.Dense(self.width) for _ in range(self.num_blocks)]
        self.second = [nn.Dense(self.width) for _ in range(self.num_blocks)]
        self.output = nn.Dense(self.num_outputs)

    def embed(self, inputs: Float[Array, "N d"]) -> Float[Array, "N W"]:
        """The stream (N, W) of inputs (N, d)."""
        return self.embedding(inputs)

    def layer(self, stream: Float[Array, "N W"], index: int) -> Float[Array, "N W"]:
        """The stream after block `index`, from 0."""
        return stream + self.second[index](nn.relu(self.first[index](stream)))

    def readout(self, stream: Float[Array, "N W"]) -> Float[Array, "N C"]:
        """Outputs (N, C)."""
        return self.output(stream)

    def __call__(self, inputs: Float[Array, "N d"]) -> Float[Array, "N C"]:
        """Outputs (N, C) of inputs (N, d)."""
        stream = self.embed(inputs)
        for index in range(self.num_blocks):
            stream = self.layer(stream, index)
        return self.readout(stream)

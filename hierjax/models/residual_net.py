"""A residual network of the usual kind, all of whose weights are trained."""

from flax import linen as nn
from jaxtyping import Array, Float


class ResidualNet(nn.Module):
    """An embedding, blocks h + second(relu(first(h))), and a linear read-out.

    With one layer a block, blocks are h + relu(first(h)), and the embedding is followed by a relu.

    Attributes:
      num_outputs: number of outputs, C.
      num_blocks: number of blocks, B.
      width: width of the stream and of the blocks' hidden layers, W.
      layers_per_block: number of linear maps in a block, 1 or 2.
    """

    num_outputs: int
    num_blocks: int
    width: int
    layers_per_block: int = 2

    @property
    def num_layers(self) -> int:
        """Number of layers that can be trained one by one, the blocks."""
        return self.num_blocks

    def setup(self):
        self.embedding = nn.Dense(self.width)
        self.first = [nn.Dense(self.width) for _ in range(self.num_blocks)]
        if self.layers_per_block == 2:
            self.second = [nn.Dense(self.width) for _ in range(self.num_blocks)]
        self.output = nn.Dense(self.num_outputs)

    def embed(self, inputs: Float[Array, "N d"]) -> Float[Array, "N W"]:
        """Returns the stream (N, W) of inputs (N, d) below the first block."""
        stream = self.embedding(inputs)
        return stream if self.layers_per_block == 2 else nn.relu(stream)

    def layer(self, stream: Float[Array, "N W"], index: int) -> Float[Array, "N W"]:
        """Returns the stream (N, W) after block `index`, from 0."""
        hidden = nn.relu(self.first[index](stream))
        return stream + (self.second[index](hidden) if self.layers_per_block == 2 else hidden)

    def readout(self, stream: Float[Array, "N W"]) -> Float[Array, "N C"]:
        """Returns outputs (N, C) of the stream (N, W) after the last block."""
        return self.output(stream)

    def __call__(self, inputs: Float[Array, "N d"]) -> Float[Array, "N C"]:
        """Returns outputs (N, C) of inputs (N, d)."""
        stream = self.embed(inputs)
        for index in range(self.num_blocks):
            stream = self.layer(stream, index)
        return self.readout(stream)

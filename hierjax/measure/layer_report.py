"""What a learner, or one layer of it, knows."""

from flax import struct
from jaxtyping import Array, Float

from hierjax.measure.metrics import Separation, error_rate, separation, symbol_plane
from hierjax.tasks.batch import Batch

_PLOTTED_POINTS = 600


class LearnerReport(struct.PyTreeNode):
    """Measures of a whole learner, scalars.

    Attributes:
      test_error: error on the test set.
      train_loss: on the train set, of the kind that was minimised.
    """

    test_error: Array
    train_loss: Array


class LayerReport(struct.PyTreeNode):
    """Measures of a layer; scalars but for the plane.

    Attributes:
      test_error: error of the layer's class scores on the test set.
      separation: how the test embeddings gather around their symbols.
      plane: (n, P, 2) embeddings of the first test strings in the plane of `symbol_plane`.
      symbols: (n, P) symbols that these embeddings stand for.
    """

    test_error: Array
    separation: Separation
    plane: Array
    symbols: Array


def layer_report(
    votes: Float[Array, "N C"],
    embeddings: Float[Array, "N *P E"],
    test: Batch,
    level: int,
    num_symbols: int,
) -> LayerReport:
    """Measures the layer that reveals the symbols of one level.

    Args:
      votes: (N, C) class scores of whole strings by this layer.
      embeddings: (N, P, E) outputs of the layer, or (N, E) on top.
      test: the strings.
      level: level of the tree, from the root, whose P symbols the outputs stand for.
      num_symbols: V at this level.
    """
    symbols = test.latents[level]
    embeddings = embeddings.reshape(*symbols.shape, -1)
    num_plotted = -(-_PLOTTED_POINTS // symbols.shape[1])
    return LayerReport(
        test_error=error_rate(votes, test.labels),
        separation=separation(embeddings, symbols, num_symbols),
        plane=symbol_plane(embeddings, symbols, num_symbols)[:num_plotted],
        symbols=symbols[:num_plotted],
    )

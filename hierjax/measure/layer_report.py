"""What a learner, or one layer of it, knows."""

from flax import struct
from jaxtyping import Array, Float

from hierjax.checks import require_shape
from hierjax.measure.metrics import Separation, error_rate, separation, symbol_plane
from hierjax.tasks.batch import Batch

_PLOTTED_POINTS = 600


class LearnerReport(struct.PyTreeNode):
    """Measures of a whole learner, scalars.

    Attributes:
      test_error: share of test examples whose class is not found.
      train_loss: mean loss on the train set, of the kind that was minimised.
    """

    test_error: Array
    train_loss: Array


class LayerReport(struct.PyTreeNode):
    """Measures of one layer on a test set.

    Attributes:
      test_error: () share of test strings whose class is not the largest of the layer's scores.
      separation: how the embeddings of test strings gather around their symbols.
      plane: (n, P, 2) embeddings of the first n test strings in the plane of `symbol_plane`.
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
      embeddings: (N, P, E) outputs of the layer, or (N, E) for the top layer.
      test: the strings, a batch of N examples of a random hierarchy.
      level: level of the tree, from the root, whose P symbols the outputs stand for.
      num_symbols: number of symbols at this level, V.

    Returns:
      The report.

    Raises:
      ValueError: there is no such level, there is not one embedding for each symbol of it, or the
        votes, labels or symbols are what `error_rate` or `separation` refuse.
    """
    if not 0 <= level < len(test.latents):
        raise ValueError(f"level={level} must be from 0 to {len(test.latents) - 1}, the leaves")
    symbols = test.latents[level]
    places = symbols.shape if embeddings.ndim > 2 else symbols.shape[:1]
    require_shape("embeddings", embeddings, (*places, None), f"give one for each node of {level=}")
    if embeddings.ndim == 2 and symbols.shape[1] > 1:
        raise ValueError(
            f"embeddings have shape {embeddings.shape}, but level {level} has {symbols.shape[1]} "
            "nodes: give (N, P, E)"
        )
    embeddings = embeddings.reshape(*symbols.shape, -1)
    num_plotted = -(-_PLOTTED_POINTS // symbols.shape[1])
    return LayerReport(
        test_error=error_rate(votes, test.labels),
        separation=separation(embeddings, symbols, num_symbols),
        plane=symbol_plane(embeddings, symbols, num_symbols)[:num_plotted],
        symbols=symbols[:num_plotted],
    )

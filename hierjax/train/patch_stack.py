"""The stack of patch layers that is matched to a random hierarchy."""

from hierjax.models.patch_features import RandomFeatures, TupleCodes
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.patch_descent import DescentPatchLayer
from hierjax.train.patch_layer import PatchLayer, PatchLayerConfig
from hierjax.train.solvers import DESCENTS
from hierjax.train.table_layer import TableLayer

_MAX_TABLE = 2**26


def patch_layers(
    spec: RandomHierarchySpec, config: PatchLayerConfig | None = None
) -> tuple[PatchLayer, ...]:
    """Makes the stack of patch layers that is matched to a random hierarchy.

    Each layer merges the children of a node, and is to reveal the symbol of the node. The first
    layer keeps one entry for every tuple of leaves.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      config: choices that all layers share; by default `PatchLayerConfig()`.

    Returns:
      The L layers, leaves up.

    Raises:
      ValueError: a table of all leaf tuples would be too large.
    """
    config = PatchLayerConfig() if config is None else config
    layers: list[PatchLayer] = []
    for level in reversed(range(spec.depth)):
        positions = spec.nodes(level) if config.targets == "concat" else 1
        if level == 0:
            embedding_dim = None
        elif config.normalizer == "rms":
            embedding_dim = positions * spec.num_classes
        else:
            # Centred scores of a position sum to zero, and V points span V - 1 dimensions.
            rank = min(positions * (spec.num_classes - 1), spec.symbols(level) - 1)
            embedding_dim = max(rank, 1)
        branching = spec.branching[level]
        if level == spec.depth - 1:
            kind, features = TableLayer, TupleCodes(spec.symbols(spec.depth), branching)
            _check_table(features, positions * spec.num_classes)
        else:
            kind = DescentPatchLayer if config.solver in DESCENTS else PatchLayer
            features = RandomFeatures(config.num_features, branching, config.features)
        layers.append(kind(features, config, spec.num_classes, embedding_dim))
    return tuple(layers)


def _check_table(codes: TupleCodes, num_scores: int) -> None:
    size = codes.num_features * num_scores
    if size > _MAX_TABLE:
        raise ValueError(
            f"the first layer would need a table of {codes.vocab_size}^{codes.branching} leaf "
            f"tuples by {num_scores} scores, more than {_MAX_TABLE} numbers: lower vocab_size, "
            "num_classes, or branching at the leaves"
        )

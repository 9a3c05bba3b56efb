"""The stack of patch layers that is matched to a random hierarchy."""

import itertools
import math
from fractions import Fraction
from typing import Any

import jax

from hierjax.models.bandwidths import RmsBandwidth, SmallestBandwidth
from hierjax.models.patch_features import (
    KernelFeatures,
    RandomFeatures,
    SymbolFeatures,
    TupleCodes,
)
from hierjax.tasks.batch import Batch
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.patches.config import RIDGES, PatchLayerConfig
from hierjax.train.patches.descent import DescentPatchLayer
from hierjax.train.patches.kernel import KernelPatchLayer
from hierjax.train.patches.layer import PatchLayer
from hierjax.train.patches.table import TableLayer
from hierjax.train.solvers import DESCENTS

_MAX_TABLE = 2**26


def patch_layers(
    spec: RandomHierarchySpec,
    config: PatchLayerConfig | None = None,
    precision: str = "float32",
) -> tuple[PatchLayer, ...]:
    """Makes the stack of patch layers that is matched to a random hierarchy.

    Each layer merges the children of a node, and is to reveal the symbol of the node.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      config: choices that all layers share; by default `PatchLayerConfig()`.
      precision: type of the features of patches, "float32" or "bfloat16"; sums are float32.

    Returns:
      The L layers, leaves up.

    Raises:
      ValueError: a table of all leaf tuples would be too large, or a kernel or ridge regression is
        asked for in bfloat16.
    """
    config = PatchLayerConfig() if config is None else config
    if precision != "float32" and (config.features == "kernel" or config.solver in RIDGES):
        raise ValueError(
            f"precision={precision} rounds features by more than a ridge: with "
            f"features={config.features} and solver={config.solver} leave it at float32"
        )
    levels = reversed(range(spec.depth))
    return tuple(_patch_layer(spec, config, level, precision) for level in levels)


def _patch_layer(
    spec: RandomHierarchySpec, config: PatchLayerConfig, level: int, precision: str
) -> PatchLayer:
    """Makes the layer that is to reveal the symbols of a level."""
    positions = spec.nodes(level) if config.targets == "concat" else 1
    kind, features = _features(spec, config, level, positions * spec.num_classes, precision)
    num_tuples = spec.symbols(level) * spec.num_rules[level]
    embedding_dim = _embedding_dim(spec, config, level, positions)
    return kind(features, config, spec.num_classes, num_tuples, embedding_dim)


def _embedding_dim(
    spec: RandomHierarchySpec, config: PatchLayerConfig, level: int, positions: int
) -> int | None:
    if level == 0:
        return None
    if config.normalizer in ("rms", "sum"):
        return positions * spec.num_classes
    # Centred scores of a position sum to zero, and V points span V - 1 dimensions.
    rank = min(positions * (spec.num_classes - 1), spec.symbols(level) - 1)
    return max(rank, 1)


def _features(
    spec: RandomHierarchySpec,
    config: PatchLayerConfig,
    level: int,
    num_scores: int,
    precision: str,
) -> tuple[type[PatchLayer], Any]:
    """Returns the class of a layer, and the features of the patches that it reads."""
    branching, num_symbols = spec.branching[level], spec.symbols(level + 1)
    of_leaves = level == spec.depth - 1
    if of_leaves and config.leaves == "table":
        codes = TupleCodes(num_symbols, branching)
        check_table(codes, num_scores)
        return TableLayer, codes
    if config.bandwidth_from == "rms":
        bandwidth = RmsBandwidth(config.bandwidth)
    else:
        bandwidth = SmallestBandwidth(num_symbols, config.orthogonality)
    if config.features == "kernel":
        kind, features = KernelPatchLayer, KernelFeatures(branching, bandwidth)
    else:
        kind = DescentPatchLayer if config.solver in DESCENTS else PatchLayer
        num_features = config.num_features * (2 if config.features == "pairs" else 1)
        features = RandomFeatures(num_features, branching, config.features, bandwidth, precision)
    return kind, SymbolFeatures(features, num_symbols) if of_leaves else features


def strings_of_layer(
    spec: RandomHierarchySpec, config: PatchLayerConfig, train: Batch, index: int
) -> Batch:
    """Returns the strings that a layer is fitted on (arXiv 2601.19756).

    With `split_strings` they are its own, as many as the product of the numbers of rules from the
    root down to the rules whose tuples the layer reads asks for, so that the first layer has most.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      config: choices that all layers share.
      train: the strings of all layers.
      index: index of the layer, from 0 at the leaves.

    Raises:
      ValueError: there are too few strings for every layer to have one.
    """
    if not config.split_strings:
        return train
    bounds = string_bounds(spec, train.labels.shape[0])
    own = slice(bounds[index], bounds[index + 1])
    return jax.tree.map(lambda leaf: leaf[own], train)


def string_bounds(spec: RandomHierarchySpec, num_train: int) -> tuple[int, ...]:
    """Returns where the own strings of each layer begin, and where those of the last one end.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      num_train: number of strings, N.

    Returns:
      L + 1 ascending integers, leaves up, the first 0 and the last N.

    Raises:
      ValueError: a layer would have no strings.
    """
    wanted = [math.prod(spec.num_rules[: level + 1]) for level in reversed(range(spec.depth))]
    sums = itertools.accumulate(wanted, initial=0)
    bounds = tuple(round(Fraction(num_train * each, sum(wanted))) for each in sums)
    if len(set(bounds)) <= spec.depth:
        raise ValueError(
            f"{num_train} train strings leave none for a layer of its own: give at least "
            f"{-(-sum(wanted) // min(wanted))}, or do not split them"
        )
    return bounds


def check_table(codes: TupleCodes, num_columns: int) -> None:
    """Refuses a table of all tuples that would be too large.

    Args:
      codes: the codes of the tuples.
      num_columns: numbers that the table has for a tuple.

    Raises:
      ValueError: the table would hold more than 2^26 numbers.
    """
    size = codes.num_features * num_columns
    if size > _MAX_TABLE:
        raise ValueError(
            f"a layer would need a table of {codes.vocab_size}^{codes.branching} tuples by "
            f"{num_columns} numbers, more than {_MAX_TABLE} in all: lower vocab_size, num_classes "
            "or branching"
        )

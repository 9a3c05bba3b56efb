"""Predictions for random hierarchy models (arXiv 2307.02129, 2601.19756)."""

import math

from hierjax.tasks.random_hierarchy import RandomHierarchySpec


def predicted_num_train(spec: RandomHierarchySpec) -> int:
    """Returns the number of examples that a deep network needs, up to a constant: C * M^L.

    M^L is the product of the numbers of rules over the levels.

    Args:
      spec: sizes of the random hierarchy.
    """
    return spec.num_classes * math.prod(spec.num_rules)


def class_signal(spec: RandomHierarchySpec, level: int) -> float:
    """Returns how much one symbol of a level tells of the class.

    It is the root mean square over random grammars of P(class | symbol of one node) - 1/C, which
    is sqrt(V/C) * sqrt(C - 1)/C * M^(-l/2) for level l; V is taken at the level, M^l as the
    product of the numbers of rules above it. The level that a network's first layer reveals, the
    lowest, tells the least. The formula is a leading order: 0.87 to 1.15 of it is measured where
    C * M^l is well above V.

    Args:
      spec: sizes of the random hierarchy.
      level: level of the symbol, from 0 at the root to L at the leaves.

    Raises:
      ValueError: there is no such level.
    """
    if not 0 <= level <= spec.depth:
        raise ValueError(f"level={level} must be from 0 to {spec.depth}, the leaves")
    num_classes = spec.num_classes
    decay = math.prod(spec.num_rules[:level]) ** -0.5
    return math.sqrt(spec.symbols(level) / num_classes * (num_classes - 1)) / num_classes * decay

"""Predictions for random hierarchy models (arXiv 2307.02129, 2601.19756)."""

import math

from hierjax.tasks.random_hierarchy import RandomHierarchySpec


def predicted_num_train(spec: RandomHierarchySpec) -> int:
    """Examples that a deep network needs up to a constant: C * M^L, product of M over levels."""
    return spec.num_classes * math.prod(spec.num_rules)


def class_signal(spec: RandomHierarchySpec, level: int) -> float:
    """Root mean square of P(class | symbol of one node at `level`) - 1/C over random grammars.

    Symbols of level l carry sqrt(V/C) * sqrt(C - 1)/C * M^(-l/2), so the level that the first
    layer reveals carries the least; V is taken at the level, M^l as the product of the M above.
    A leading order: 0.87 to 1.15 of it is measured where C * M^l is well above V.
    """
    num_classes = spec.num_classes
    decay = math.prod(spec.num_rules[:level]) ** -0.5
    return math.sqrt(spec.symbols(level) / num_classes * (num_classes - 1)) / num_classes * decay

"""Predictions for random hierarchies (arXiv 2307.02129, 2601.19756, 2605.27734, 2402.16991)."""

import math

import numpy as np
import scipy.stats

from hierjax.tasks.random_hierarchy import RandomHierarchySpec

_NUM_HALVINGS = 60


def sizes_of_all_levels(spec: RandomHierarchySpec) -> tuple[int, int, int] | None:
    """Returns V, M and S where all levels have the same, else None.

    Args:
      spec: sizes of the random hierarchy.
    """
    sizes = set(zip(spec.vocab_size, spec.num_rules, spec.branching, strict=True))
    return sizes.pop() if len(sizes) == 1 else None


def predicted_num_train(spec: RandomHierarchySpec) -> int:
    """Returns the number of examples that a deep network needs, up to a constant: C * M^L.

    M^L is the product of the numbers of rules over the levels.

    Args:
      spec: sizes of the random hierarchy.
    """
    return spec.num_classes * math.prod(spec.num_rules)


def class_signal(spec: RandomHierarchySpec, level: int, order: int = 1) -> float:
    """Returns how much one symbol of a level tells of the class.

    It is the root mean square over random grammars of P(class | symbol of one node) - 1/C, over
    classes and symbols that occur. To leading order it is sqrt(V/C) * sqrt(C - 1)/C * M^(-l/2) for
    level l; V is taken at the level, M^l as the product of the numbers of rules above it. The level
    that a network's first layer reveals, the lowest, tells the least. Over 400 grammars .83 to 1.20
    of it is measured where C * M^l is at least 2V, down to .58 of it where it is less.

    The next order counts how often a symbol occurs: as child of N of the n rules above, N
    hypergeometric, it is a mean of N of them, so that the square falls by the mean of (n - N) /
    (n - 1) / N in place of V / n; of the rules above, those of symbols that occur count. At level 1
    it is exact, below .83 to 1.01 of it is measured at any sizes.

    Args:
      spec: sizes of the random hierarchy.
      level: level of the symbol, from 0 at the root to L at the leaves.
      order: 1 for the leading order, 2 for the next.

    Raises:
      ValueError: there is no such level or order.
    """
    if not 0 <= level <= spec.depth:
        raise ValueError(f"level={level} must be from 0 to {spec.depth}, the leaves")
    if order not in (1, 2):
        raise ValueError(f"order={order} must be 1 or 2")
    num_classes = spec.num_classes
    if order == 1:
        decay = math.prod(spec.num_rules[:level]) ** -0.5
        known = math.sqrt(spec.symbols(level) / num_classes * (num_classes - 1)) / num_classes
        return known * decay
    square, active = (num_classes - 1) / num_classes**2, float(num_classes)
    for above in range(level):
        num_symbols, size = spec.symbols(above + 1), spec.branching[above]
        num_rules = round(active * spec.num_rules[above])
        tuples = num_symbols**size
        some = np.arange(1, min(tuples // num_symbols, num_rules) + 1)
        falls = (num_rules - some) / max(num_rules - 1, 1) / some
        chances = scipy.stats.hypergeom.pmf(some, tuples, tuples // num_symbols, num_rules)
        occurs = chances.sum()
        square *= float(chances @ falls / occurs)
        active = num_symbols * occurs
    return math.sqrt(square)


def predicted_token_steps(spec: RandomHierarchySpec) -> list[float] | None:
    """Returns how many strings it takes to predict a token from what is ever farther in the tree.

    To see that tokens l levels apart depend on each other it takes P_l = V M^(2l-1) / (1 - M /
    V^(S-1)) strings (arXiv 2406.00048), up to a constant.

    Args:
      spec: sizes of the random hierarchy.

    Returns:
      P_l for l from 1 to L; None where the sizes differ from level to level, or all tuples have a
      rule, so that siblings tell nothing of each other.
    """
    sizes = sizes_of_all_levels(spec)
    if sizes is None:
        return None
    v, m, s = sizes
    share = m / v ** (s - 1)
    if share >= 1:
        return None
    return [v * m ** (2 * height - 1) / (1 - share) for height in range(1, spec.depth + 1)]


def predicted_clustering_strings(spec: RandomHierarchySpec) -> float:
    """Returns how many strings it takes to find the tree without classes, whatever its depth.

    Synonyms are told by the tokens that their siblings hold from V M^3 / (1 - M / V^(S-1)) strings
    (arXiv 2605.27734), up to a constant; infinitely many where all tuples have a rule.

    Args:
      spec: sizes of the random hierarchy.

    Raises:
      ValueError: the sizes differ from level to level.
    """
    sizes = sizes_of_all_levels(spec)
    if sizes is None:
        raise ValueError(
            "vocab_size, num_rules and branching differ from level to level, where no law is "
            "known: give one number each"
        )
    v, m, s = sizes
    per_symbol = v ** (s - 1)
    return v * m**3 * per_symbol / (per_symbol - m) if m < per_symbol else math.inf


def critical_noise(spec: RandomHierarchySpec) -> float | None:
    """Returns the noise on the leaves at which a deep tree loses its class, in mean field.

    The evidence of a leaf is 1 - e + e/V for its true symbol and e/V for each other one, e from 0
    to 1, the process of arXiv 2402.16991. Let p be the belief in the true symbol of a node, and
    let all other symbols share the rest. A parent then believes in its own true symbol by

        F(p) = [p^S + (M - 1) r] / [p^S + (M V - 1) r],    r = (1 - p^S) / (V^S - 1).

    p = 1, the symbol known, and p = 1/V, nothing known, are fixed points. Where both attract, there
    is one other between them, p*, and from level to level the belief moves away from it: the class
    is known below the noise e* at which 1 - e* + e*/V = p*, and lost above. For S = 2 it is
    p* = (M - 1) / (V - M).

    Args:
      spec: sizes of the random hierarchy, whose depth and number of classes do not matter.

    Returns:
      e*, above 0 and below 1; None where there is no such transition, or where the sizes differ
      from level to level.
    """
    sizes = sizes_of_all_levels(spec)
    if sizes is None:
        return None
    v, m, s = sizes
    # Both slopes of F are below 1. F(p) = p has no fourth positive root, by the rule of signs.
    known_attracts = s * m * (v - 1) < v**s - 1
    unknown_attracts = s * (v - 1) * v ** (s - 1) < m * (v**s - 1)
    if not (known_attracts and unknown_attracts):
        return None
    low, high = 1 / v, 1.0
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        if _belief_of_parent(middle, v, m, s) > middle:
            high = middle
        else:
            low = middle
    return (1 - low) / (1 - 1 / v)


def _belief_of_parent(belief: float, v: int, m: int, s: int) -> float:
    """Returns F(p); numerator and denominator are divided by p^S, which may be tiny."""
    none = float(v) ** -s
    wrong = ((v * belief) ** -s - none) / (1 - none)
    return (1 + (m - 1) * wrong) / (1 + (m * v - 1) * wrong)

"""Rules of unequal frequency, of which rare ones are learned late (arXiv 2505.07067)."""

import math

import numpy as np
from jaxtyping import Float, Int

from hierjax.tasks.random_hierarchy import RandomHierarchySpec

Numbers = float | Float[np.ndarray, "..."] | Int[np.ndarray, "..."]


def zipf_shares(num_rules: int, exponent: float) -> Float[np.ndarray, " M"]:
    """Returns probabilities of rules that fall as k^-(1+a), k from 1 to M, as of `GrammarDraw`.

    Args:
      num_rules: number of rules of a symbol, M.
      exponent: a; -1 for equal ones.
    """
    shares = np.arange(1.0, num_rules + 1) ** -(1 + exponent)
    return shares / shares.sum()


def missing_mass(shares: Float[np.ndarray, " M"], num_draws: Numbers) -> Float[np.ndarray, "..."]:
    """Returns how probable it is that the next rule is none of those drawn before.

    It is the sum of f_k (1 - f_k)^T over rules of probability f_k, for T independent draws. For
    f_k ~ k^-(1+a) it falls as T^(-a/(1+a)), from 1/f_1 draws to 1/f_M.

    Args:
      shares: (M,) probabilities of the rules.
      num_draws: (...) numbers of draws, T, which need not be whole.
    """
    draws = np.asarray(num_draws, float)[..., None]
    return np.asarray((shares * (1 - shares) ** draws).sum(axis=-1))


def strings_of_rules(
    spec: RandomHierarchySpec, level: int, shares: Float[np.ndarray, " M"]
) -> Float[np.ndarray, " M"]:
    """Returns the numbers of strings from which rules of a level are learned, up to a constant.

    A rule of probability f takes C / f strings, times the numbers of rules of all other levels:
    of equal rules each takes C * M^L.

    Args:
      spec: sizes of the random hierarchy.
      level: level of the rules, from 0 at the root to L - 1.
      shares: (M,) probabilities of the rules of every symbol of the level.

    Raises:
      ValueError: there is no such level.
    """
    if not 0 <= level < spec.depth:
        raise ValueError(f"level={level} must be from 0 to {spec.depth - 1}, above the leaves")
    others = (m for above, m in enumerate(spec.num_rules) if above != level)
    return spec.num_classes * math.prod(others) / shares


def rare_rule_error(
    spec: RandomHierarchySpec, level: int, shares: Float[np.ndarray, " M"], num_train: Numbers
) -> Float[np.ndarray, "..."]:
    """Returns the error of a learner that guesses where a string has a rule not yet learned.

    n strings are taken for n / (C times the numbers of rules of the other levels) draws of the
    rules of each symbol, so that a rule of probability f is learned from about
    `strings_of_rules`; the error is that of chance for strings of which a node has a rule that is
    missing.

    Args:
      spec: sizes of the random hierarchy.
      level: level of the rules, from 0 at the root to L - 1.
      shares: (M,) probabilities of the rules of every symbol of the level.
      num_train: (...) numbers of train strings, n.

    Raises:
      ValueError: there is no such level.
    """
    per_draw = (strings_of_rules(spec, level, shares) * shares)[0]
    missing = missing_mass(shares, np.asarray(num_train) / per_draw)
    return (1 - 1 / spec.num_classes) * (1 - (1 - missing) ** spec.nodes(level))

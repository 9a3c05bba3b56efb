"""Rules as the published codes of random hierarchy models keep them: a table by level."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from hierjax.tasks.grammars import Tables, from_rules
from hierjax.tasks.random_hierarchy import RandomHierarchy


def from_rule_dictionary(
    rules: Mapping[int, ArrayLike],
    first_symbol: int,
    vocab_size: int | None = None,
    rule_probabilities: Tables | None = None,
    class_prior: ArrayLike | None = None,
) -> RandomHierarchy:
    """Builds a grammar from a dictionary of rules, as the codes of arXiv 2307.02129 keep them.

    Args:
      rules: by level l, from 0 at the root to L - 1, a table (V_l, M_l, S_l) of integers, an array
        of any library or a tensor on the CPU. Entry [a, k] holds the symbols that rule k makes of
        the a-th symbol.
      first_symbol: 0 if the entries count symbols from 0, 1 if they count from 1. It is not
        guessed: tables that never make a symbol of the least number look alike.
      vocab_size: number of leaf symbols; None for as many as the last table needs.
      rule_probabilities: see `from_rules`.
      class_prior: see `from_rules`.

    Returns:
      The grammar, whose symbols count from 0.

    Raises:
      ValueError: symbols begin otherwise, levels are missing or numbered otherwise, or the tables
        make no grammar (see `from_rules`).
    """
    if isinstance(first_symbol, bool) or first_symbol not in (0, 1):
        raise ValueError(
            f"first_symbol={first_symbol!r} must be 0 or 1, with which the entries of the tables "
            "begin to count symbols"
        )
    if not isinstance(rules, Mapping):
        raise ValueError(
            f"rules are of type {type(rules).__name__}, but must be a dictionary of a table for "
            "each level: of a list use from_rules"
        )
    if set(rules) != set(range(len(rules))):
        raise ValueError(
            f"rules have the levels {', '.join(map(repr, rules)) or 'none'}, but must have 0, the "
            "root, to L - 1, the level that makes the leaves: number them so"
        )
    tables = [_from_zero(level, rules[level], first_symbol) for level in range(len(rules))]
    return from_rules(tables, vocab_size, rule_probabilities, class_prior)


def _from_zero(level: int, table: ArrayLike, first_symbol: int) -> np.ndarray | ArrayLike:
    try:
        found = np.asarray(table)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"rules of level {level} are no table: {error}") from error
    if not found.size or not np.issubdtype(found.dtype, np.integer):
        return found  # `from_rules` says what is wrong.
    if found.min() < first_symbol:
        raise ValueError(
            f"rules of level {level} use the symbol {found.min()}, but symbols are said to begin "
            f"with {first_symbol}: give the first_symbol of these tables"
        )
    return found.astype(np.int64) - first_symbol

"""Weighted context-free rules in the form that charts read: pairs of symbols, and single terminals.

Longer right-hand sides are cut into pairs, terminals among others stand below symbols of their own,
and chains of single symbols are summed up. All derivations of a string keep their total weight.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array

QUOTE = "'"
"""What terminals begin with, and end with."""

_TOLERANCE = 1e-6


class Rule(NamedTuple):
    """A production rule.

    Attributes:
      left: the symbol that is rewritten.
      right: what it is rewritten into, at least one symbol; those in quotes are terminals.
      probability: of this rule among those of the symbol.
    """

    left: str
    right: tuple[str, ...]
    probability: float


class NormalForm(struct.PyTreeNode):
    """A grammar in normal form, of S symbols, the first of which is the start, and V terminals.

    Attributes:
      lexical: (S, V) probabilities that a symbol is rewritten into a terminal alone.
      parents: (R,) int32, the symbol of each rule that makes a pair.
      pairs: (R, 2) int32, what it makes.
      weights: (R,) probabilities of these rules.
      corners: (S, S) expected number of times that a symbol begins with another one, or is it.
    """

    lexical: Array
    parents: Array
    pairs: Array
    weights: Array
    corners: Array


def is_terminal(symbol: str) -> bool:
    """Whether a symbol of a rule is a terminal."""
    return symbol.startswith(QUOTE)


def require_rules(rules: Sequence[Rule]) -> None:
    """Refuses rules that are no grammar, or by which derivations need not end.

    Args:
      rules: the rules; the symbol of the first is the start.

    Raises:
      ValueError: there are none; probabilities are negative, or those of a symbol do not sum to
        one; a symbol has no rules, cannot be reached, or cannot be rewritten into terminals; or
        strings grow without end.
    """
    if not rules:
        raise ValueError("there are no rules: give at least one")
    totals: dict[str, float] = {}
    for rule in rules:
        if not rule.right:
            raise ValueError(
                f"{rule.left} has a rule that makes nothing: give a symbol or terminal"
            )
        if not rule.probability >= 0:
            raise ValueError(f"{rule.left} has a rule of probability {rule.probability}")
        totals[rule.left] = totals.get(rule.left, 0.0) + rule.probability
    for symbol, total in totals.items():
        if abs(total - 1) > _TOLERANCE:
            raise ValueError(
                f"the rules of {symbol} have probabilities that sum to {total:g}, not 1"
            )
    used = [rule for rule in rules if rule.probability > 0]
    for rule in used:
        for symbol in rule.right:
            if not is_terminal(symbol) and symbol not in totals:
                raise ValueError(f"{symbol} has no rules: give some, or put a terminal in quotes")
    _require_reached(used, list(totals))
    _require_ends(used, list(totals))


def _require_reached(rules: Sequence[Rule], symbols: Sequence[str]) -> None:
    reached, found = set(), {symbols[0]}
    while found - reached:
        reached |= found
        found |= {symbol for rule in rules if rule.left in found for symbol in rule.right}
    for symbol in symbols:
        if symbol not in reached:
            raise ValueError(f"{symbol} is not reached from {symbols[0]}: leave its rules out")


def _require_ends(rules: Sequence[Rule], symbols: Sequence[str]) -> None:
    ends: set[str] = set()
    while (
        more := {
            rule.left
            for rule in rules
            if all(is_terminal(symbol) or symbol in ends for symbol in rule.right)
        }
        - ends
    ):
        ends |= more
    for symbol in symbols:
        if symbol not in ends:
            raise ValueError(
                f"{symbol} is never rewritten into terminals alone: give it such a rule"
            )
    means = np.zeros((len(symbols),) * 2)
    for rule in rules:
        for symbol in rule.right:
            if not is_terminal(symbol):
                means[symbols.index(rule.left), symbols.index(symbol)] += rule.probability
    growth = np.abs(np.linalg.eigvals(means)).max()
    if growth > 1 + _TOLERANCE:
        raise ValueError(
            f"derivations need not end, since symbols multiply by {growth:.3g} in every step: make "
            "rules with fewer symbols more probable"
        )


def symbols_of(rules: Iterable[Rule]) -> tuple[list[str], list[str]]:
    """Returns the symbols with rules, and the terminals, each in the order in which they appear.

    Args:
      rules: the rules.
    """
    rules = list(rules)
    terminals = [symbol for rule in rules for symbol in rule.right if is_terminal(symbol)]
    return list(dict.fromkeys(rule.left for rule in rules)), list(dict.fromkeys(terminals))


def normal_form(rules: Sequence[Rule]) -> NormalForm:
    """Brings rules into normal form; its tables are worked out in float64.

    Args:
      rules: rules that `require_rules` allows.
    """
    names, terminals = symbols_of(rules)
    index: dict[tuple[str, ...], int] = {(name,): place for place, name in enumerate(names)}
    pairs: list[tuple[int, int, int, float]] = []
    words: list[tuple[int, int, float]] = []
    units: list[tuple[int, int, float]] = []

    def of(symbols: tuple[str, ...]) -> int:
        """The symbol that stands for some, made when it is asked for first."""
        if symbols not in index:
            index[symbols] = len(index)
            add(index[symbols], symbols, 1.0)
        return index[symbols]

    def add(parent: int, right: tuple[str, ...], weight: float) -> None:
        if len(right) > 1:
            pairs.append((parent, of(right[:1]), of(right[1:]), weight))
        elif is_terminal(right[0]):
            words.append((parent, terminals.index(right[0]), weight))
        else:
            units.append((parent, index[right], weight))

    for rule in rules:
        if rule.probability > 0:
            add(index[(rule.left,)], rule.right, rule.probability)
    count = len(index)
    chains, lexical = np.zeros((count, count)), np.zeros((count, len(terminals)))
    for parent, child, weight in units:
        chains[parent, child] += weight
    for parent, word, weight in words:
        lexical[parent, word] += weight
    ends = np.linalg.inv(np.eye(count) - chains)  # What a symbol is at the end of a chain.
    made: dict[tuple[int, int, int], float] = {}
    for last, left, right, weight in pairs:
        for parent in np.flatnonzero(ends[:, last]):
            key = int(parent), left, right
            made[key] = made.get(key, 0.0) + ends[parent, last] * weight
    table = np.array(list(made), int).reshape(-1, 3)
    weights = np.array(list(made.values()))
    first = np.zeros((count, count))
    np.add.at(first, (table[:, 0], table[:, 1]), weights)
    return NormalForm(
        jnp.asarray(ends @ lexical, float),
        jnp.asarray(table[:, 0], jnp.int32),
        jnp.asarray(table[:, 1:], jnp.int32),
        jnp.asarray(weights, float),
        jnp.asarray(np.linalg.inv(np.eye(count) - first), float),
    )


def length_shares(form: NormalForm, longest: int) -> np.ndarray:
    """Computes the probabilities of the lengths of strings.

    Args:
      form: the grammar.
      longest: largest length.

    Returns:
      (longest + 1,) float64, by number of terminals, from 0, whose share is zero.
    """
    form = jax.tree.map(np.asarray, form)
    shares = np.zeros((len(form.lexical), longest + 1))
    shares[:, 1:2] = form.lexical.sum(axis=1, keepdims=True)
    left, right = form.pairs.T
    for length in range(2, longest + 1):
        parts = shares[left, 1:length] * shares[right, length - 1 : 0 : -1]
        np.add.at(shares[:, length], form.parents, form.weights * parts.sum(axis=1))
    return shares[0]

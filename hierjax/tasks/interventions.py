"""Interventions: one node of every tree is changed, and all else but what stems from it stays.

What a model makes of the changed strings tells which levels of the tree it has found. The same
functions augment data, since most changes leave the class as it is.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key

from hierjax.checks import known, require_integers, require_shape
from hierjax.tasks.batch import Batch
from hierjax.tasks.random_hierarchy import RandomHierarchy

Index = int | np.integer | Integer[Array | np.ndarray, "*N"]
"""A node of a level, counted from the left, for all strings or () for each (N,); may be traced."""


def resample_rule(
    grammar: RandomHierarchy, key: Key[Array, ""], batch: Batch, level: int, index: Index
) -> Batch:
    """Rewrites a node by another rule of its symbol, and draws what is below its children anew.

    The function may be jitted, and mapped by `jax.vmap`. The string becomes a synonym of itself:
    the symbol of the node, all other nodes and the class stay. Where rules are uniform it leaves
    the law of strings as it is.

    Args:
      grammar: the grammar that the strings are of.
      key: typed PRNG key; what is drawn for the first strings does not depend on how many follow.
      batch: N strings as `RandomHierarchy.sample` makes them, with all of their latents.
      level: level of the node, from 0 at the root to L - 1, static.
      index: index of the node at its level, the same for all strings or one for each.

    Returns:
      The batch with new inputs and latents, of the same types. Another rule is drawn by the
      probabilities of the grammar; where all others have probability 0, and that is not known, it
      is the first rule.

    Raises:
      ValueError: there is no such level or node, symbols of the level have one rule only (or one is
        known to have no other of a probability above 0), or the latents are not those of a tree.
    """
    _require(grammar, batch, level, index, grammar.spec.depth - 1)
    _require_other_rules(grammar, level)
    return _grown(grammar, key, batch.latents, level, index, another=True)


def resample_symbol(
    grammar: RandomHierarchy, key: Key[Array, ""], batch: Batch, level: int, index: Index
) -> Batch:
    """Puts another symbol at a node, uniformly drawn, and draws its whole subtree anew.

    The function may be jitted, and mapped by `jax.vmap`. All other nodes stay, so that the children
    of the node's parent need no longer be made by a rule of it. At the root, the class changes.

    Args:
      grammar: the grammar that the strings are of.
      key: typed PRNG key; what is drawn for the first strings does not depend on how many follow.
      batch: N strings as `RandomHierarchy.sample` makes them, with all of their latents.
      level: level of the node, from 0 at the root to L, the leaves, static.
      index: index of the node at its level, the same for all strings or one for each.

    Returns:
      The batch with new inputs and latents, and at level 0 new labels, of the same types.

    Raises:
      ValueError: there is no such level or node, the level has one symbol only, or the latents are
        not those of a tree.
    """
    _require(grammar, batch, level, index, grammar.spec.depth)
    num_symbols = grammar.spec.symbols(level)
    if num_symbols == 1:
        raise ValueError(f"level {level} has 1 symbol and no other to put there: change a rule")
    levels = list(batch.latents)
    symbols = _read(levels[level], index, 1)
    # Levels of rules are folded into the key below; they stay under this number.
    symbol_key = jax.random.fold_in(key, grammar.spec.depth)
    shift = jax.random.randint(symbol_key, symbols.shape, 1, num_symbols, jnp.int32)
    levels[level] = _written(levels[level], index, (symbols + shift) % num_symbols)
    return _grown(grammar, key, levels, level, index)


def resample_subtree(
    grammar: RandomHierarchy, key: Key[Array, ""], batch: Batch, level: int, index: Index
) -> Batch:
    """Draws all rules of the subtree of a node anew, its own included; its symbol stays.

    The function may be jitted, and mapped by `jax.vmap`. It leaves the law of strings as it is.

    Args:
      grammar: the grammar that the strings are of.
      key: typed PRNG key; what is drawn for the first strings does not depend on how many follow.
      batch: N strings as `RandomHierarchy.sample` makes them, with all of their latents.
      level: level of the node, from 0 at the root to L - 1, static.
      index: index of the node at its level, the same for all strings or one for each.

    Returns:
      The batch with new inputs and latents, of the same types.

    Raises:
      ValueError: there is no such level or node, or the latents are not those of a tree.
    """
    _require(grammar, batch, level, index, grammar.spec.depth - 1)
    return _grown(grammar, key, batch.latents, level, index)


def _require(grammar: RandomHierarchy, batch: Batch, level: int, index: Index, last: int) -> None:
    grammar.require_tables()
    spec, num_strings = grammar.spec, batch.inputs.shape[0]
    if not 0 <= level <= last:
        raise ValueError(f"level={level} must be from 0, the root, to {last}")
    if len(batch.latents) != spec.depth + 1:
        raise ValueError(
            f"the batch has {len(batch.latents)} levels of latents, but its trees have "
            f"{spec.depth + 1}: give it as `sample` made it"
        )
    for each, symbols in enumerate(batch.latents):
        shape = num_strings, spec.nodes(each)
        require_shape(f"latents of level {each}", symbols, shape, "give a symbol for each node")
    nodes = index if isinstance(index, Array) else np.asarray(index)
    if nodes.ndim:
        require_shape("index", nodes, (num_strings,), "give one node, or one for each string")
    require_integers("index", nodes, spec.nodes(level), "nodes")


def _require_other_rules(grammar: RandomHierarchy, level: int) -> None:
    remedy = "change a symbol, or a rule of another level"
    if grammar.spec.num_rules[level] == 1:
        raise ValueError(f"symbols of level {level} have 1 rule and no other to draw: {remedy}")
    tables = grammar.rule_probabilities
    values = None if tables is None else known(tables[level])
    if values is not None and ((values > 0).sum(axis=1) < 2).any():
        raise ValueError(
            f"a symbol of level {level} has no two rules of a probability above 0: {remedy}"
        )


def _grown(
    grammar: RandomHierarchy,
    key: Key[Array, ""],
    levels: Sequence[Integer[Array, "N _"]],
    level: int,
    index: Index,
    another: bool = False,
) -> Batch:
    """Draws the subtree of a node anew, its first rule other than before if it is to be another."""
    spec, levels = grammar.spec, list(levels)
    symbols = _read(levels[level], index, 1)
    for above in range(level, spec.depth):
        width = symbols.shape[1] * spec.branching[above]
        options = grammar.rules[above][symbols]
        weights = _log_weights(grammar, above)[symbols]
        if another and above == level:
            present = _read(levels[above + 1], index, width)[:, None, None]
            weights = jnp.where((options == present).all(axis=-1), -jnp.inf, weights)
        rules = jax.random.categorical(jax.random.fold_in(key, above), weights)
        made = jnp.take_along_axis(options, rules[..., None, None], axis=2)
        symbols = made.reshape(-1, width).astype(jnp.int32)
        levels[above + 1] = _written(levels[above + 1], index, symbols)
    return Batch(inputs=levels[-1], labels=levels[0][:, 0], latents=tuple(levels))


def _log_weights(grammar: RandomHierarchy, level: int) -> Float[Array, "V M"]:
    if grammar.rule_probabilities is None:
        return jnp.zeros(grammar.rules[level].shape[:2])
    return jnp.log(grammar.rule_probabilities[level])


def _read(symbols: Integer[Array, "N P"], index: Index, width: int) -> Int[Array, "N width"]:
    """Returns the symbols that stem from a node at a level where it has so many descendants."""
    found = symbols[_places(symbols, index, width)]
    return found.astype(jnp.int32)


def _written(
    symbols: Integer[Array, "N P"], index: Index, own: Int[Array, "N width"]
) -> Integer[Array, "N P"]:
    places = _places(symbols, index, own.shape[1])
    return symbols.at[places].set(own.astype(symbols.dtype))


def _places(
    symbols: Integer[Array, "N P"], index: Index, width: int
) -> tuple[Int[Array, "N 1"], Int[Array, "N width"]]:
    num_strings = symbols.shape[0]
    first = jnp.broadcast_to(jnp.asarray(index, jnp.int32), (num_strings,)) * width
    return jnp.arange(num_strings)[:, None], first[:, None] + jnp.arange(width)[None]

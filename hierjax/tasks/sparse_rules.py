"""Sparse random hierarchies: children stand among null symbols, anywhere (arXiv 2404.10727).

Each child of a rule is put at one of s0 + 1 places of its own, whose others hold the null symbol;
the null symbol makes nulls alone. Where children stand says nothing of their parent: strings that
differ in this alone, by a discrete diffeomorphism, have one class.
"""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec, symbol_dtype


def sparse_spec(spec: RandomHierarchySpec, num_null: int) -> RandomHierarchySpec:
    """Returns the sizes of a grammar after its children are spread.

    Args:
      spec: sizes of the grammar.
      num_null: number of nulls beside each child, s0; 0 for none.

    Returns:
      The sizes: S (s0 + 1) children of a node, M (s0 + 1)^S rules of a symbol, and one symbol more,
      V, at each level below the root, which is the null.

    Raises:
      ValueError: s0 is negative, or the sizes are beyond what can be held.
    """
    if num_null < 0:
        raise ValueError(f"num_null={num_null} must be at least 0")
    if not num_null:
        return spec
    places = num_null + 1
    num_rules = [m * places**s for m, s in zip(spec.num_rules, spec.branching, strict=True)]
    return dataclasses.replace(
        spec,
        vocab_size=tuple(v + 1 for v in spec.vocab_size),
        num_rules=tuple(num_rules),
        branching=tuple(s * places for s in spec.branching),
    )


def spread_children(grammar: RandomHierarchy, num_null: int) -> RandomHierarchy:
    """Puts the children of every rule among null symbols, at all places of each.

    The function may be jitted, and mapped over grammars by `jax.vmap`.

    Args:
      grammar: the grammar; its rules and classes may have probabilities.
      num_null: number of nulls beside each child, s0; 0 for the grammar as it is.

    Returns:
      The grammar, of the sizes of `sparse_spec`. Rules are those of the grammar with the places of
      the children as their least digits, the last child's the fastest.

    Raises:
      ValueError: as `sparse_spec`.
    """
    spec = sparse_spec(grammar.spec, num_null)
    if not num_null:
        return grammar
    places = num_null + 1
    rules = [
        _spread_rules(table, places, grammar.spec.symbols(level + 1), has_null=level > 0)
        for level, table in enumerate(grammar.rules)
    ]
    probabilities = grammar.rule_probabilities
    if probabilities is not None:
        probabilities = tuple(
            _spread_probabilities(table, places**size, has_null=level > 0)
            for level, (table, size) in enumerate(
                zip(probabilities, grammar.spec.branching, strict=True)
            )
        )
    return grammar.replace(spec=spec, rules=tuple(rules), rule_probabilities=probabilities)


def _spread_rules(
    table: Integer[Array, "V M S"], places: int, null: int, has_null: bool
) -> Integer[Array, "_ _ _"]:
    num_symbols, num_rules, size = table.shape
    chosen = np.array(list(itertools.product(range(places), repeat=size)))
    here = chosen[..., None] == np.arange(places)  # (placements, S, places)
    spread = jnp.where(here[None, None], table[:, :, None, :, None], null)
    spread = spread.reshape(num_symbols, num_rules * len(chosen), size * places)
    spread = spread.astype(symbol_dtype(null + 1))
    if not has_null:
        return spread
    nulls = jnp.full((1, *spread.shape[1:]), null, spread.dtype)
    return jnp.concatenate([spread, nulls])


def _spread_probabilities(
    table: Float[Array, "V M"], placements: int, has_null: bool
) -> Float[Array, "_ _"]:
    spread = jnp.repeat(table / placements, placements, axis=1)
    if not has_null:
        return spread
    return jnp.concatenate([spread, jnp.full((1, spread.shape[1]), 1 / spread.shape[1])])

"""What layerwise learning asks of the first patches of a random hierarchy (arXiv 2601.19756)."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array

from hierjax.tasks.random_hierarchy import RandomHierarchy


class FirstPatches(struct.PyTreeNode):
    """How often first patches occur, and how well they tell their parents apart, at each level.

    The patches of level l, from 1 to L, are the tuples that symbols of level l - 1 make; the first
    patch of a string is the one at its left. Level l is at index l - 1.

    Attributes:
      coverage: (L,) number of different patches of a level times the smallest probability of one as
        first patch; 0 if one never occurs. The theorem's kappa is its inverse.
      k_rho: (L,) smallest distance |q - q'| of two patches that occur and are no synonyms, times
        M^(l/2), where q is the distribution of the class given the first patch; infinite if all
        that occur are synonyms. The theorem's K_rho is the least of them.
    """

    coverage: Array
    k_rho: Array


def first_patches(grammar: RandomHierarchy) -> FirstPatches:
    """Computes the theorem's conditions for a grammar, by recursion over its rules; pure.

    Patches are told apart by their parents alone: with distinct tuples, synonyms are the patches
    of one parent, and have one distribution of the class. M^l is the product of the numbers of
    rules above the level.

    Args:
      grammar: the grammar, whose rules and classes may have probabilities.

    Returns:
      The conditions of all levels.
    """
    spec, coverage, k_rho, num_derivations = grammar.spec, [], [], 1
    joint = jnp.diag(grammar.class_shares)  # P(class, first symbol of the level), (C, V_l).
    for level, rules in enumerate(grammar.rules):
        num_symbols, num_rules = rules.shape[:2]
        weights = grammar.rule_shares(level)
        symbols = joint.sum(axis=0)
        coverage.append(num_symbols * num_rules * (symbols[:, None] * weights).min())
        num_derivations *= num_rules
        k_rho.append(num_derivations**0.5 * _least_distance(joint, symbols))
        firsts = jax.nn.one_hot(rules[..., 0], spec.symbols(level + 1))
        with jax.default_matmul_precision("highest"):
            joint = joint @ jnp.einsum("vm,vmw->vw", weights, firsts)
    return FirstPatches(jnp.stack(coverage), jnp.stack(k_rho))


def _least_distance(joint: Array, symbols: Array) -> Array:
    """Returns the smallest distance of P(class | symbol) of two symbols that occur."""
    occurs = symbols > 0
    given = (joint / jnp.where(occurs, symbols, 1)[None]).T
    places = jnp.arange(occurs.size)

    def nearest(place):
        distances = jnp.sqrt(jnp.sum((given - given[place][None]) ** 2, axis=-1))
        others = occurs & occurs[place] & (places != place)
        return jnp.where(others, distances, jnp.inf).min()

    return jax.lax.map(nearest, places).min()

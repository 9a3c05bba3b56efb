"""Posteriors of every node, random derivations and the best one: gradients of one recursion."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Key

from hierjax.exact.evidence import Evidence, levels_of
from hierjax.exact.inside import Likelihood, as_likelihood, logs_of, require_request
from hierjax.exact.recursion import Tables, climb, in_blocks, num_terms, tables
from hierjax.exact.semirings import Sum, drawn, largest, log_sum
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec, symbol_dtype


class Derivations(struct.PyTreeNode):
    """Trees of N strings.

    Attributes:
      log_total: (N,) for best trees the logarithm of the joint probability of tree and evidence,
        for random ones that of the probability of the evidence; -inf where it is impossible.
      levels: for each level l from 0 to L, (N, P_l) symbols of its nodes, left to right, as
        `Batch.latents`; None for levels that a filter passes over.
      fails_at: (N,) as `Likelihood.fails_at`. Trees of impossible evidence mean nothing.
    """

    log_total: Array
    levels: tuple[Array | None, ...]
    fails_at: Array


class Posteriors(struct.PyTreeNode):
    """What evidence of N strings says of every node.

    Attributes:
      likelihood: of the evidence.
      levels: for each level l from 0 to L, (N, P_l, V_l) probabilities of the symbols of its
        nodes; None for levels that were not asked for. Zeros where the evidence is impossible.
    """

    likelihood: Likelihood
    levels: tuple[Array | None, ...]


def posteriors(
    grammar: RandomHierarchy,
    evidence: Evidence,
    levels: tuple[int, ...] | None = None,
    filtered: int = 0,
) -> Posteriors:
    """Computes the probability of each symbol of each node, given the evidence.

    They are the gradient of the log-likelihood with respect to the logarithms of the evidence. The
    function may be jitted, and mapped over grammars and evidence by `jax.vmap`.

    Args:
      grammar: the grammar.
      evidence: the evidence.
      levels: levels that are wanted, from 0 at the root to L at the leaves, static; None for all.
      filtered: as in `likelihood`.

    Raises:
      ValueError: as `likelihood`, or there is no such level.
    """
    require_request(grammar.spec, evidence, filtered)
    wanted = _levels(grammar.spec, levels, filtered)
    return _posteriors(grammar, evidence, wanted, filtered)


def sample_derivations(
    grammar: RandomHierarchy, evidence: Evidence, key: Key[Array, ""], filtered: int = 0
) -> Derivations:
    """Draws a tree for each string from the exact posterior given its evidence.

    The function may be jitted, and mapped by `jax.vmap`, over keys as well. Trees of the first
    strings do not depend on how many there are.

    Args:
      grammar: the grammar.
      evidence: the evidence.
      key: typed PRNG key.
      filtered: as in `likelihood`.

    Raises:
      ValueError: as `likelihood`.
    """
    require_request(grammar.spec, evidence, filtered)
    return _derivations(grammar, evidence, key, filtered)


def best_derivations(
    grammar: RandomHierarchy, evidence: Evidence, filtered: int = 0
) -> Derivations:
    """Finds the most probable tree of each string given its evidence.

    Of trees that are equally probable it is the one whose rules come first in the tables. The
    function may be jitted, and mapped over grammars and evidence by `jax.vmap`.

    Args:
      grammar: the grammar.
      evidence: the evidence.
      filtered: as in `likelihood`.

    Raises:
      ValueError: as `likelihood`.
    """
    require_request(grammar.spec, evidence, filtered)
    return _derivations(grammar, evidence, None, filtered)


def _levels(
    spec: RandomHierarchySpec, levels: tuple[int, ...] | None, filtered: int
) -> tuple[int, ...]:
    there = [level for level in range(spec.depth + 1) if level == 0 or level >= filtered]
    if levels is None:
        return tuple(there)
    for level in levels:
        if level not in there:
            raise ValueError(f"levels has {level}, but there are levels {there}: leave it out")
    return tuple(levels)


@functools.partial(jax.jit, static_argnames=("levels", "filtered"))
def _posteriors(
    grammar: RandomHierarchy, evidence: Evidence, levels: tuple[int, ...], filtered: int
) -> Posteriors:
    logs = levels_of(grammar.spec, evidence)
    rules = tables(grammar, logs[-1].dtype)

    def of_block(first, logs):
        del first
        inside, shares = _shares(grammar.spec, rules, logs, log_sum, levels, filtered)
        result = as_likelihood(inside)
        kept = [None if each is None else _strings_first(each, result.possible) for each in shares]
        return Posteriors(result, tuple(kept))

    return in_blocks(num_terms(grammar.spec), of_block, logs)


@functools.partial(jax.jit, static_argnames="filtered")
def _derivations(
    grammar: RandomHierarchy, evidence: Evidence, key: Key[Array, ""] | None, filtered: int
) -> Derivations:
    spec, logs = grammar.spec, levels_of(grammar.spec, evidence)
    rules, levels = tables(grammar, logs[-1].dtype), _levels(grammar.spec, None, filtered)

    def of_block(first, logs):
        add = largest if key is None else drawn(key, first)
        inside, shares = _shares(spec, rules, logs, add, levels, filtered)
        symbols = [
            None if each is None else each.argmax(axis=0).T.astype(symbol_dtype(each.shape[0]))
            for each in shares
        ]
        total = jnp.where(inside.fails_at < 0, inside.total, -jnp.inf)
        return Derivations(total, tuple(symbols), inside.fails_at)

    return in_blocks(num_terms(spec), of_block, logs)


def _shares(
    spec: RandomHierarchySpec,
    rules: Tables,
    logs: list[Any],
    add: Sum,
    levels: tuple[int, ...],
    filtered: int,
):
    """Returns the recursion's result, and its gradient (V_l, P_l, N) for each level wanted."""
    logs = logs_of(logs)
    wanted = {}
    for level in levels:
        shape = (spec.symbols(level), spec.nodes(level), logs[-1].shape[-1])
        zeros = jnp.zeros(shape, logs[-1].dtype)
        wanted[level] = zeros if logs[level] is None else logs[level]

    def total(wanted):
        known = [wanted.get(level, logs[level]) for level in range(spec.depth + 1)]
        inside = climb(rules, known, add, filtered)
        return inside.total.sum(), inside

    shares, inside = jax.grad(total, has_aux=True)(wanted)
    return inside, [shares.get(level) for level in range(spec.depth + 1)]


def _strings_first(shares, possible):
    return jnp.where(possible[None, None], shares, 0).transpose(2, 1, 0)

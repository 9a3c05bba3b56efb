"""What a leaf is, given the leaves before it or all others: a pass down after the pass up.

alpha_l[a, i] is the probability of symbol a at node i given what is known outside of its subtree.
Given the leaves before it alone, complete subtrees to the left of the path from the root are what
the pass up has found, and those to its right say nothing. So all positions of a string together
cost as much as about two more passes.
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from hierjax.exact.evidence import NEVER, Evidence, levels_of, log
from hierjax.exact.inside import logs_of, require_request
from hierjax.exact.recursion import Tables, climb, in_blocks, num_terms, symbols_given_class, tables
from hierjax.exact.semirings import log_sum
from hierjax.tasks.random_hierarchy import RandomHierarchy


class Conditionals(struct.PyTreeNode):
    """Probabilities of the symbols of each leaf of N strings.

    A symbol of a node that is less probable than 1e-38, in float32, given all that is known outside
    of its subtree, counts as impossible.

    Attributes:
      probabilities: (N, d, V_L); zeros where what is given is impossible.
      possible: (N, d) bool, whether it is possible.
    """

    probabilities: Array
    possible: Array


def next_tokens(
    grammar: RandomHierarchy, evidence: Evidence, filtered: int = 0, span: int = 0
) -> Conditionals:
    """Computes for each leaf its probabilities given the evidence of the leaves before it.

    The function may be jitted, and mapped over grammars and evidence by `jax.vmap`.

    Args:
      grammar: the grammar.
      evidence: the evidence, of leaves alone.
      filtered: as in `likelihood`.
      span: level of the node, above each leaf, outside of whose subtree nothing is known: with
        level L - h a leaf is told from those of the tokens before it that are in its own block of
        S^h tokens; 0 for all tokens before it.

    Raises:
      ValueError: as `likelihood`; or there is evidence of latents, or no level `span`.
    """
    _require_span(grammar, evidence, filtered, span)
    _require_leaves_alone(evidence)
    return _conditionals(grammar, evidence, filtered, span, False)


def other_tokens(
    grammar: RandomHierarchy, evidence: Evidence, filtered: int = 0, span: int = 0
) -> Conditionals:
    """Computes for each leaf its probabilities given all evidence but its own.

    The function may be jitted, and mapped over grammars and evidence by `jax.vmap`.

    Args:
      grammar: the grammar.
      evidence: the evidence, with a span of leaves alone.
      filtered: as in `likelihood`.
      span: level of the node, above each leaf, outside of whose subtree nothing is known; 0 for all
        other tokens.

    Raises:
      ValueError: as `likelihood`; or there is no level `span`, or evidence of latents with one.
    """
    _require_span(grammar, evidence, filtered, span)
    if span:
        _require_leaves_alone(evidence)
    return _conditionals(grammar, evidence, filtered, span, True)


def _require_span(grammar: RandomHierarchy, evidence: Evidence, filtered: int, span: int) -> None:
    require_request(grammar.spec, evidence, filtered)
    if not 0 <= span <= grammar.spec.depth:
        raise ValueError(f"span={span} must be a level, from 0 to {grammar.spec.depth}")


def _require_leaves_alone(evidence: Evidence) -> None:
    given = [level for level, each in enumerate(evidence.latents) if each is not None]
    if given:
        raise ValueError(
            f"evidence of level {given[0]} is neither before nor after a token, nor in a span: "
            "give that of the leaves alone"
        )


@functools.partial(jax.jit, static_argnames=("filtered", "span", "both"))
def _conditionals(
    grammar: RandomHierarchy, evidence: Evidence, filtered: int, span: int, both: bool
) -> Conditionals:
    logs = levels_of(grammar.spec, evidence)
    rules = tables(grammar, logs[-1].dtype)
    top = max(span, filtered)

    def of_block(first, logs):
        del first
        logs = logs_of(logs)
        messages = climb(rules, logs, log_sum, filtered).messages
        if span < filtered:
            nodes = _filtered_nodes(rules, logs[0], filtered, messages[filtered], span, both)
        else:
            nodes = jnp.broadcast_to(_prior(rules, span)[..., None], messages[span].shape)
        for level in range(top, grammar.spec.depth):
            if logs[level] is not None:
                nodes = nodes + logs[level]
            nodes = _children(rules, level, nodes, messages[level + 1], both)
        possible = nodes.max(axis=0) > NEVER / 2
        shares = jnp.where(possible[None], jax.nn.softmax(nodes, axis=0), 0)
        return Conditionals(shares.transpose(2, 1, 0), possible.T)

    return in_blocks(num_terms(grammar.spec), of_block, logs)


def _children(
    tables: Tables,
    level: int,
    nodes: Float[Array, "V P N"],
    below: Float[Array, "W Q N"],
    both: bool,
) -> Float[Array, "W Q N"]:
    """Returns logarithms of alpha (W, P * S, N) of children, of those (V, P, N) of their parents.

    Args:
      tables: the grammar.
      level: level of the parents.
      nodes: alpha of the parents, with their own evidence.
      below: messages (W, P * S, N) of the children from the leaves up.
      both: whether the siblings of a child on both sides are known, or those before it alone.
    """
    children = tables.children[level]
    branching, num_parents, num_rules, num_symbols = children.shape
    matrices = children.reshape(branching, -1, num_symbols)
    stacked = below.reshape(num_symbols, nodes.shape[1], branching, -1).transpose(2, 0, 1, 3)
    siblings = jnp.einsum(
        "srw,swx->srx",
        matrices,
        stacked.reshape(branching, num_symbols, -1),
        precision="highest",
    ).reshape(branching, num_parents, num_rules, *nodes.shape[1:])
    terms = (nodes[:, None] + tables.rules[level][..., None, None])[None] + _apart(siblings, both)
    most = terms.max(axis=(1, 2))
    weights = jnp.exp(terms - most[:, None, None]).reshape(branching, matrices.shape[1], -1)
    made = jnp.einsum("srw,srx->swx", matrices, weights, precision="highest")
    made = made.reshape(branching, num_symbols, *nodes.shape[1:])
    logs = log(made / made.sum(axis=1, keepdims=True))
    logs = jnp.where(most[:, None] > NEVER / 2, logs, NEVER)
    return logs.transpose(1, 2, 0, 3).reshape(below.shape)


def _filtered_nodes(
    tables: Tables,
    classes: Float[Array, "C 1 N"] | None,
    level: int,
    messages: Float[Array, "V P N"],
    span: int,
    both: bool,
) -> Float[Array, "V P N"]:
    """Returns logarithms of alpha (V, P, N) of nodes that are independent given the class.

    Args:
      tables: the grammar.
      classes: (C, 1, N) logarithms of evidence of the classes.
      level: level of the nodes.
      messages: messages of the nodes from the leaves up.
      span: level of the node outside of whose subtree nothing is known.
      both: whether other nodes on both sides are known, or those before alone.
    """
    given = log(symbols_given_class(tables, level))[..., None]
    seen = jax.nn.logsumexp(given + messages[None], axis=1)
    blocks = math.prod(each.shape[0] for each in tables.children[:span])
    seen = seen.reshape(seen.shape[0], blocks, -1, seen.shape[-1]).transpose(2, 0, 1, 3)
    known = _apart(seen, both).transpose(1, 2, 0, 3).reshape(given.shape[0], -1, seen.shape[-1])
    known += tables.classes[:, None, None]
    if classes is not None:
        known += classes
    return jax.nn.logsumexp(given + known[:, None], axis=0)


def _prior(tables: Tables, level: int) -> Float[Array, "V P"]:
    """Returns logarithms of the probabilities of the symbols of each node of a level."""
    given = symbols_given_class(tables, level)
    shares = jnp.exp(tables.classes)
    return log(jnp.einsum("c,cvp->vp", shares, given, precision="highest"))


def _apart(logs: Float[Array, "S ..."], both: bool) -> Float[Array, "S ..."]:
    """Returns for each entry of the first axis the sum of those before it, or of all others."""
    before = _before(logs)
    return before + _before(logs[::-1])[::-1] if both else before


def _before(logs: Float[Array, "S ..."]) -> Float[Array, "S ..."]:
    sums = jnp.cumsum(logs[:-1], axis=0)
    return jnp.concatenate([jnp.zeros_like(logs[:1]), sums])

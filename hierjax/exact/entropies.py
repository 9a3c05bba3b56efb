"""Entropies of the posterior of a string's tree, in nats."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array

from hierjax.exact.evidence import Evidence, levels_of
from hierjax.exact.inside import logs_of, require_request
from hierjax.exact.posteriors import posteriors
from hierjax.exact.recursion import climb, in_blocks, num_terms, tables
from hierjax.exact.semirings import log_sum
from hierjax.tasks.random_hierarchy import RandomHierarchy


class Entropies(struct.PyTreeNode):
    """How much is not known of the tree of each of N strings, given evidence.

    Attributes:
      nodes: for each level l from 0 to L, (N, P_l) entropies of the symbol of each node alone.
      levels: (N, L + 1) joint entropies of all symbols of a level, which are those of a level and
        of all above it: as no two rules make one tuple, a level tells those above it.
    """

    nodes: tuple[Array, ...]
    levels: Array


def entropies(grammar: RandomHierarchy, evidence: Evidence) -> Entropies:
    """Computes the entropies of nodes and of levels given the evidence; exact.

    The joint entropy of the levels down to one is log Z - d log Z(t)/dt at t = 1, where all
    logarithms of weights are taken t times. The function may be jitted, and mapped over grammars
    and evidence by `jax.vmap`. Entropies of impossible evidence are zero.

    Args:
      grammar: the grammar.
      evidence: the evidence.

    Raises:
      ValueError: as `likelihood`.
    """
    require_request(grammar.spec, evidence, 0)
    given = posteriors(grammar, evidence)
    nodes = tuple(-jax.scipy.special.xlogy(each, each).sum(axis=-1) for each in given.levels)
    levels = _levels(grammar, evidence)
    return Entropies(nodes, jnp.where(given.likelihood.possible[:, None], levels, 0))


@jax.jit
def _levels(grammar: RandomHierarchy, evidence: Evidence) -> Array:
    logs = levels_of(grammar.spec, evidence)
    rules = tables(grammar, logs[-1].dtype)

    def of_block(first, logs):
        del first
        logs = logs_of(logs)
        messages = climb(rules, logs, log_sum).messages
        joint = []
        for level, message in enumerate(messages):
            # Evidence of the lowest level is in the message.
            upper = [*logs[:level], message]

            def total(rules, upper):
                return climb(rules, upper, log_sum).total

            # The derivative along the children, which are no weights, is none.
            weights = (rules, upper)
            along = (rules._replace(children=jax.tree.map(jnp.zeros_like, rules.children)), upper)
            value, slope = jax.jvp(total, weights, along)
            joint.append(value - slope)
        return jnp.stack(joint, axis=1)

    return in_blocks(num_terms(grammar.spec), of_block, logs)

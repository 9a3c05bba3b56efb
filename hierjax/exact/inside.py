"""The log-likelihood of evidence, its classes, and where it is impossible."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int

from hierjax.checks import known
from hierjax.exact.evidence import Evidence, levels_of, require_evidence, strings_last
from hierjax.exact.recursion import Inside, climb, in_blocks, num_terms, tables
from hierjax.exact.semirings import log_sum
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec


class Likelihood(struct.PyTreeNode):
    """How likely the evidence of N strings is, and what it says of their classes.

    Impossible evidence makes no NaN: its likelihood is zero, and so are all its posteriors.

    Attributes:
      log_likelihood: (N,) logarithm of the probability of the evidence; -inf where it is
        impossible.
      classes: (N, C) probabilities of the classes given the evidence.
      fails_at: (N,) int32, -1 where the evidence is possible; else the lowest level, from 0 at the
        root to L - 1, with a node that can be none of its symbols, given what is below it.
    """

    log_likelihood: Array
    classes: Array
    fails_at: Array

    @property
    def possible(self) -> Array:
        """(N,) bool: whether the evidence has a probability."""
        return self.fails_at < 0


def likelihood(grammar: RandomHierarchy, evidence: Evidence, filtered: int = 0) -> Likelihood:
    """Computes how likely evidence is, and the class given it, in one pass from the leaves up.

    The function may be jitted, and mapped over grammars and evidence by `jax.vmap`.

    Args:
      grammar: the grammar, whose rules and classes may have probabilities.
      evidence: the evidence.
      filtered: level k whose nodes are taken as independent given the class, each with its own
        probabilities, while all below is as it was (arXiv 2408.15138); 0 for the grammar as it is.

    Raises:
      ValueError: evidence does not match the grammar, or is known and not finite; or filtered is no
        level, or there is evidence of a level that it passes over.
    """
    require_request(grammar.spec, evidence, filtered)
    return _likelihood(grammar, evidence, filtered)


@functools.partial(jax.jit, static_argnames="filtered")
def _likelihood(grammar: RandomHierarchy, evidence: Evidence, filtered: int) -> Likelihood:
    logs = levels_of(grammar.spec, evidence)
    rules = tables(grammar, logs[-1].dtype)

    def of_block(first, logs):
        del first
        return as_likelihood(climb(rules, logs_of(logs), log_sum, filtered))

    return in_blocks(num_terms(grammar.spec), of_block, logs)


def require_request(spec: RandomHierarchySpec, evidence: Evidence, filtered: int) -> None:
    """Refuses what `likelihood` refuses."""
    require_evidence(spec, evidence)
    if not 0 <= filtered <= spec.depth:
        raise ValueError(f"filtered={filtered} must be from 0, for no filter, to {spec.depth}")
    passed = [level for level, each in enumerate(evidence.latents) if each is not None]
    passed = [level for level in passed if 0 < level < filtered]
    if passed:
        raise ValueError(
            f"evidence of level {passed[0]} means nothing with filtered={filtered}, which has no "
            "nodes there: give None"
        )


def logs_of(logs: list[Any]) -> list[Any]:
    """Returns what `climb` takes of a block, of what `levels_of` gives."""
    return [None if each is None else strings_last(each) for each in logs]


def as_likelihood(inside: Inside) -> Likelihood:
    """Reads a likelihood off the recursion."""
    possible = inside.fails_at < 0
    classes = jnp.where(possible[None], jax.nn.softmax(inside.classes, axis=0), 0)
    return Likelihood(jnp.where(possible, inside.total, -jnp.inf), classes.T, inside.fails_at)


def require_possible(fails_at: Int[Array | np.ndarray, "..."]) -> None:
    """Refuses evidence of probability zero; to be called outside of `jax.jit`.

    Args:
      fails_at: what `likelihood`, `posteriors` and `parse` tell of it.

    Raises:
      ValueError: some is impossible; the first such string and the level where it fails are named.
    """
    values = known(fails_at)
    if values is None:
        raise ValueError("fails_at is not known inside jax.jit or jax.vmap: check it outside")
    values = np.ravel(values)
    if (values >= 0).any():
        index = int((values >= 0).argmax())
        raise ValueError(
            f"{(values >= 0).sum()} of {values.size} strings have probability zero, the first of "
            f"them at index {index}, where a node of level {values[index]} (0 is the root) can be "
            "no symbol: allow for noise in the evidence, or leave these strings out"
        )

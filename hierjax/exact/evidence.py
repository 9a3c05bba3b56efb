"""What is known of a string and of its tree, as weights of the symbols that each node may have.

A weight is the likelihood of what is seen of a node, given its symbol. Of an observed node it is
one for its symbol and zero elsewhere, of a hidden node one for all; a node that is seen through
noise has a column of the noise's kernel, and any other weights may be given by hand.
"""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Integer

from hierjax.checks import (
    AnyArray,
    in_range,
    known,
    require_integers,
    require_numbers,
    require_shape,
)
from hierjax.tasks.random_hierarchy import RandomHierarchySpec

NEVER = -1e30
"""Logarithm that stands for that of zero; sums and differences of it are no NaN."""


class Evidence(struct.PyTreeNode):
    """Logarithms of the weights of symbols, made by `observe` or by `weigh`.

    Attributes:
      leaves: (N, d, V_L) of the leaves of N strings; NEVER for a weight of zero. Their type is the
        type that all is computed in, float32 or float64.
      latents: for each level l from 0 to L - 1, (N, P_l, V_l) of its nodes, or None where nothing
        is known of them; () for nothing known of any.
    """

    leaves: Array
    latents: tuple[Array | None, ...] = ()


def observe(
    spec: RandomHierarchySpec,
    strings: Integer[AnyArray, "N d"],
    hidden: Bool[AnyArray, "N d"] | None = None,
    kernel: Float[AnyArray, "V W"] | None = None,
) -> Evidence:
    """Makes evidence of strings, some of whose leaves may be hidden, or seen through noise.

    Args:
      spec: sizes of the grammar.
      strings: (N, d) symbols that are seen at the leaves; those of hidden leaves may be anything.
      hidden: (N, d) leaves of which nothing is known; None for none.
      kernel: (V, W) probabilities that a leaf of each of V symbols is seen as each of W; None for
        leaves that are seen as they are.

    Returns:
      The evidence. Inside `jax.jit` and `jax.vmap`, a symbol that is out of range and a kernel with
      a bad column make their strings impossible.

    Raises:
      ValueError: shapes or types do not match the grammar, a visible symbol is known and out of
        range, or the kernel is known and negative or not finite.
    """
    require_hierarchy(spec)
    require_shape("strings", strings, (None, spec.num_leaves), "give the leaves of N strings")
    num_symbols = num_seen = spec.symbols(spec.depth)
    if kernel is not None:
        require_shape("kernel", kernel, (num_symbols, None), "give P(seen symbol | symbol)")
        _require_weights("kernel", kernel)
        num_seen = kernel.shape[1]
    if hidden is not None:
        require_shape("hidden", hidden, strings.shape, "say of each leaf whether it is hidden")
        strings = jnp.where(hidden, 0, strings)
    require_integers("strings", strings, num_seen, "symbols")
    seen = jnp.asarray(strings)[..., None] == jnp.arange(num_seen)[None, None]
    if kernel is None:
        logs = jnp.where(seen, 0.0, NEVER)
    else:
        columns = _logs(jnp.asarray(kernel).T)
        logs = jnp.matmul(seen.astype(columns.dtype), columns, precision="highest")
        logs = jnp.where(in_range(strings, num_seen)[..., None], logs, NEVER)
    return Evidence(logs if hidden is None else jnp.where(hidden[..., None], 0, logs))


def weigh(
    spec: RandomHierarchySpec,
    leaves: Float[AnyArray, "N d V"],
    latents: tuple[Float[AnyArray, "N _ _"] | None, ...] = (),
) -> Evidence:
    """Makes evidence of weights that are given by hand.

    Args:
      spec: sizes of the grammar.
      leaves: (N, d, V_L) non-negative weights of the leaves of N strings.
      latents: for each level l from 0 to L - 1, (N, P_l, V_l) non-negative weights of its nodes, or
        None where nothing is known of them; () for nothing known of any.

    Returns:
      The evidence. Inside `jax.jit` and `jax.vmap`, a node with a weight that is negative or not
      finite makes its string impossible.

    Raises:
      ValueError: shapes or types do not match the grammar, or weights are known and negative or not
        finite.
    """
    _require_levels(spec, leaves, latents)
    for name, weights in _named(leaves, latents):
        _require_weights(name, weights)
    return Evidence(_logs(leaves), tuple(None if each is None else _logs(each) for each in latents))


def require_evidence(spec: RandomHierarchySpec, evidence: Evidence) -> None:
    """Refuses evidence that does not match the sizes of a grammar.

    Args:
      spec: sizes of the grammar.
      evidence: the evidence.

    Raises:
      ValueError: a shape or type is another one, or logarithms are known and not finite.
    """
    _require_levels(spec, evidence.leaves, evidence.latents)
    for name, logs in _named(evidence.leaves, evidence.latents):
        require_numbers(name, logs)


def require_hierarchy(spec: Any) -> None:
    """Refuses the sizes of another grammar than a random hierarchy.

    Raises:
      ValueError: these are other sizes.
    """
    if not isinstance(spec, RandomHierarchySpec):
        raise ValueError(
            f"a grammar with {type(spec).__name__} is no random hierarchy, whose trees all have "
            "one shape: for a context-free grammar take chart_likelihood and chart_next_tokens"
        )


def _require_levels(spec: RandomHierarchySpec, leaves: Any, latents: tuple) -> None:
    require_hierarchy(spec)
    if len(latents) not in (0, spec.depth):
        raise ValueError(
            f"evidence has latents of {len(latents)} levels for depth={spec.depth}: give "
            "an array or None for each level from 0 at the root, or () for none"
        )
    shape = (None, spec.num_leaves, spec.symbols(spec.depth))
    require_shape("evidence of the leaves", leaves, shape, "give (strings, leaves, symbols)")
    for level, each in enumerate(latents):
        if each is not None:
            shape = (leaves.shape[0], spec.nodes(level), spec.symbols(level))
            require_shape(
                f"evidence of level {level}", each, shape, "give (strings, nodes, symbols)"
            )


def _named(leaves: Any, latents: tuple) -> list[tuple[str, Any]]:
    named = [(f"evidence of level {level}", each) for level, each in enumerate(latents)]
    return [("evidence of the leaves", leaves), *(pair for pair in named if pair[1] is not None)]


def _require_weights(name: str, weights: Any) -> None:
    require_numbers(name, weights)
    values = known(weights)
    if values is not None and values.size and values.min() < 0:
        raise ValueError(
            f"{name} have values down to {values.min():g}, but weights must be at least 0: give "
            "likelihoods, not their logarithms"
        )


def _logs(weights: Float[AnyArray, "... V"]) -> Float[Array, "... V"]:
    """Returns logarithms of weights; NEVER of a zero, and of all of a node with a bad one."""
    weights = jnp.asarray(weights)
    usable = (jnp.isfinite(weights) & (weights >= 0)).all(axis=-1, keepdims=True)
    return jnp.where(usable, log(weights), NEVER)


def log(weights: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns logarithms of weights (...), NEVER of zero."""
    positive = weights > 0
    return jnp.where(positive, jnp.maximum(jnp.log(jnp.where(positive, weights, 1)), NEVER), NEVER)


def levels_of(spec: RandomHierarchySpec, evidence: Evidence) -> list[Any]:
    """Returns the logarithms of each level, root side first; None where nothing is known."""
    latents = evidence.latents or (None,) * spec.depth
    dtype = jnp.result_type(evidence.leaves.dtype, jnp.float32)
    levels = (*latents, evidence.leaves)
    return [None if each is None else jnp.asarray(each, dtype) for each in levels]


def strings_last(logs: Float[Array, "N P V"]) -> Float[Array, "V P N"]:
    """Returns the logarithms of a block of strings as the recursion takes them."""
    return jnp.maximum(logs.transpose(2, 1, 0), NEVER)

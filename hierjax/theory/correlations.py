"""Correlations of a random hierarchy's tokens with the class and with each other, exactly.

What a learner without depth can see of a string are its class and pairs of its tokens. How much
they tell is a property of the rules: `class_tokens` and `token_pairs` give the joint probabilities
of a grammar by recursion, `hierjax.theory.class_signal` and `token_correlation` their size over
random grammars (arXiv 2307.02129, 2406.00048), `sampling_noise` what n strings blur.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec
from hierjax.theory.random_hierarchy import sizes_of_all_levels


def class_tokens(grammar: RandomHierarchy, level: int | None = None) -> Float[Array, "P C V"]:
    """Computes the probabilities of class and symbol together, of every node of a level.

    The function may be jitted, and mapped over grammars by `jax.vmap`.

    Args:
      grammar: the grammar; rules and classes may have probabilities.
      level: level of the nodes, static; None for the leaves.

    Returns:
      (P_l, C, V_l) joint probabilities of the class and the symbol at each node.

    Raises:
      ValueError: there is no such level, or the tables are not of the sizes of the spec.
    """
    spec = grammar.spec
    level = spec.depth if level is None else level
    _require_level(spec, level, 0)
    grammar.require_tables()
    return grammar.class_shares[None, :, None] * _below(grammar, 0, level)


def token_pairs(grammar: RandomHierarchy, first: int, second: int) -> Float[Array, "V V"]:
    """Computes the probabilities of two tokens together.

    The function may be jitted, and mapped over grammars by `jax.vmap`.

    Args:
      grammar: the grammar; rules and classes may have probabilities.
      first: position of a token, from 0, static.
      second: position of another one, static.

    Returns:
      (V, V) joint probabilities, of the first token along the first axis.

    Raises:
      ValueError: there is no such position, both are the same, or the tables are not of the sizes
        of the spec.
    """
    spec = grammar.spec
    if first == second or not all(0 <= each < spec.num_leaves for each in (first, second)):
        raise ValueError(
            f"first={first} and second={second} must be two positions from 0 to "
            f"{spec.num_leaves - 1}"
        )
    grammar.require_tables()
    distance = int(spec.distances(np.array([first]), np.array([second]))[0])
    above = spec.depth - distance
    size = spec.num_leaves // spec.nodes(above)
    symbols = class_tokens(grammar, above)[first // size].sum(axis=0)
    width = size // spec.branching[above]
    below = _below(grammar, above + 1, spec.depth)
    made = [
        _one_hot(grammar, above)[:, :, each % size // width] @ below[each % width]
        for each in (first, second)
    ]
    with jax.default_matmul_precision("highest"):
        weights = symbols[:, None] * grammar.rule_shares(above)
        return jnp.einsum("am,amx,amy->xy", weights, *made)


def sampling_noise(joint: Float[Array, "... X Y"], num_strings: int | float) -> Float[Array, "..."]:
    """Returns the rms over cells of what chance adds to a joint distribution that is counted.

    Args:
      joint: (..., X, Y) joint probabilities.
      num_strings: number of strings that are counted, n.
    """
    return jnp.sqrt((joint * (1 - joint)).mean(axis=(-2, -1)) / num_strings)


def token_correlation(spec: RandomHierarchySpec, distance: int, order: int = 1) -> float | None:
    """Returns how much two tokens depend on each other that meet l levels up.

    It is the rms over random grammars of P(x, y) - P(x) P(y), which is sqrt((1 - M / V^(S-1)) /
    (V^3 M^(2l-1))) (arXiv 2406.00048, Section 4). The number of strings at which it rises above
    the noise of counting is what `predicted_token_steps` returns. It is a leading order, in which
    nothing is lost but by averages over rules. As the deviations of all symbols add up to zero, a
    level costs a factor 1 - 1/V more, which the next order counts: over 400 grammars with V = 8,
    .73 of the leading order and .95 of the next is measured at l = 3.

    Args:
      spec: sizes of the grammars.
      distance: number of levels l up to the node where the tokens meet, from 1 to L.
      order: 1 for the leading order, 2 for the next.

    Returns:
      The correlation; None where sizes differ from level to level.

    Raises:
      ValueError: there is no such distance or order.
    """
    _require_level(spec, distance, 1, "distance")
    if order not in (1, 2):
        raise ValueError(f"order={order} must be 1 or 2")
    sizes = sizes_of_all_levels(spec)
    if sizes is None:
        return None
    v, m, s = sizes
    leading = math.sqrt(max(1 - m / v ** (s - 1), 0) / (v**3 * m ** (2 * distance - 1)))
    return leading * (1 if order == 1 else (1 - 1 / v) ** (distance - 1))


def _require_level(spec: RandomHierarchySpec, level: int, least: int, name: str = "level") -> None:
    if not least <= level <= spec.depth:
        raise ValueError(f"{name}={level} must be from {least} to {spec.depth}")


def _below(grammar: RandomHierarchy, above: int, level: int) -> Float[Array, "P V_above V_level"]:
    """Returns the chances of the symbols of each node of a level, given that of the node above."""
    found = jnp.eye(grammar.spec.symbols(above))[None]
    with jax.default_matmul_precision("highest"):
        for each in range(above, level):
            weights = grammar.rule_shares(each)
            steps = jnp.einsum("am,amsb->sab", weights, _one_hot(grammar, each))
            found = jnp.einsum("pca,sab->pscb", found, steps)
            found = found.reshape(-1, *found.shape[2:])
    return found


def _one_hot(grammar: RandomHierarchy, level: int) -> Float[Array, "V M S V_below"]:
    table = grammar.rules[level].astype(jnp.int32)
    return jax.nn.one_hot(table, grammar.spec.symbols(level + 1))

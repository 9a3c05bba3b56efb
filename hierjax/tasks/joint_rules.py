"""Rules of one or two neighbouring levels, looked up as one.

A symbol and the joint choice of a rule for it and for all its children give the symbols two levels
below. They are kept packed in 32-bit words, so that one look-up takes the place of several.
"""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hierjax.tasks.choices import MAX_JOINT

_WORD_BYTES = 4
_MOST_ENTRIES = 2**18
"""Of a table: more do not stay in the cache, and take longer to make than they save."""


def joint_steps(spec) -> list[tuple[int, ...]]:
    """The levels of a random hierarchy whose rules are looked up as one, root side first.

    Two at a time, paired from the leaves up, where their table is small enough, else one.

    Args:
      spec: of the random hierarchy.
    """
    steps = [(0,)] if spec.depth % 2 else []
    for top in range(spec.depth % 2, spec.depth, 2):
        size = math.prod(joint_options(spec, (top, top + 1)))
        small = size <= MAX_JOINT and spec.symbols(top) * size <= _MOST_ENTRIES
        steps += [(top, top + 1)] if small else [(top,), (top + 1,)]
    return steps


def joint_options(spec, levels: tuple[int, ...]) -> tuple[int, ...]:
    """Numbers of rules of the choices that a step makes for a symbol: its own, its children's."""
    top, *below = levels
    return (
        spec.num_rules[top],
        *(spec.num_rules[level] for level in below for _ in range(spec.branching[top])),
    )


def expand_jointly(
    rules: Sequence[jax.Array], labels: jax.Array, choices: Mapping[tuple[int, ...], jax.Array]
) -> jax.Array:
    """Derives the leaves of trees, and nothing else.

    Args:
      rules: for each level l, (V_l, M_l, S_l), as of a random hierarchy.
      labels: (N,) classes.
      choices: by the levels of each step, (P_l, N) joint choices of the nodes of the first.

    Returns:
      (N, d) leaves, of the type of the last rules.
    """
    symbols = labels[None]
    for levels, choice in choices.items():
        used = [rules[level] for level in levels]
        words = _look_up(used, symbols, choice)
        num_symbols, dtype = math.prod(each.shape[-1] for each in used), used[-1].dtype
        symbols = _unpacked(words, num_symbols, dtype)
    # As bytes, the words of the last step are the leaves.
    leaves = jax.lax.bitcast_convert_type(words.transpose(1, 0, 2), dtype)
    leaves = leaves.reshape(*leaves.shape[:2], -1)[..., :num_symbols]
    return leaves.reshape(labels.shape[0], -1)


def _look_up(rules: Sequence[jax.Array], symbols: jax.Array, choice: jax.Array) -> jax.Array:
    """(P, N, W) words of what (P, N) symbols and joint choices make."""
    table = _packed_table(*rules)
    row = symbols.astype(jnp.int32) * (table.shape[0] // rules[0].shape[0])
    row = row + choice.astype(jnp.int32)
    columns = [column.at[row].get(mode="promise_in_bounds") for column in table.T]
    return jnp.stack(columns, axis=-1)


def _packed_table(top: jax.Array, below: jax.Array | None = None) -> jax.Array:
    """(V * K, W) uint32: of symbol and joint choice, the symbols that they make."""
    if below is None:
        tuples = top.reshape(-1, top.shape[-1])
    else:
        # In a loop, because a table that was fused with what reads it would be made each time.
        tuples = jax.lax.map(lambda rules: _two_levels(rules, below), top)
        tuples = tuples.reshape(-1, tuples.shape[-1])
    per_word = _WORD_BYTES // tuples.dtype.itemsize
    padded = jnp.pad(tuples, ((0, 0), (0, -tuples.shape[1] % per_word)))
    if per_word == 1:
        return padded
    return jax.lax.bitcast_convert_type(padded.reshape(padded.shape[0], -1, per_word), jnp.uint32)


def _two_levels(rules: jax.Array, below: jax.Array) -> jax.Array:
    """(K, S * S') symbols two levels below one symbol of rules (M, S), for its joint choices."""
    num_rules, branching = rules.shape
    shape = (num_rules, *(below.shape[1],) * branching)
    own, *others = np.unravel_index(np.arange(math.prod(shape)), shape)
    return jnp.concatenate(
        [below[rules[own, child], rule] for child, rule in enumerate(others)], axis=-1
    )


def _unpacked(words: jax.Array, num_symbols: int, dtype: np.dtype) -> jax.Array:
    """(P, N, W) words as (P * num_symbols, N) symbols; the first is in the lowest bits."""
    bits = 8 * np.dtype(dtype).itemsize
    per_word, mask = 32 // bits, np.uint32(2**bits - 1)
    symbols = [
        words[..., each // per_word] >> np.uint32(bits * (each % per_word)) & mask
        for each in range(num_symbols)
    ]
    return jnp.stack(symbols, axis=1).reshape(-1, words.shape[1])

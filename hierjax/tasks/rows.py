"""Equal rows of an array, found exactly and without codes or hashes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped, UInt32


def first_occurrence(rows: Shaped[Array, "N d"]) -> Int[Array, " N"]:
    """Finds where each row stands for the first time.

    Args:
      rows: (N, d) numbers of any type, which are compared bit by bit.

    Returns:
      (N,) int32, the least index of an equal row, which is a row's own where none is before it.
    """
    words = _as_words(rows)
    position = jnp.arange(words.shape[0])
    # Equal rows come together, the first of them at the head of its run.
    ordered, order = jax.lax.platform_dependent(words, tpu=_sorted_by_passes, default=_sorted)
    heads = jnp.concatenate([jnp.ones(1, bool), (ordered[1:] != ordered[:-1]).any(axis=1)])
    head_of = jax.lax.cummax(jnp.where(heads, position, 0))
    return jnp.zeros_like(position).at[order].set(order[head_of])


def _sorted(words: UInt32[Array, "N k"]) -> tuple[UInt32[Array, "N k"], Int[Array, " N"]]:
    """Returns rows (N, k) in ascending order, and (N,) where each was; equal ones stay in order."""
    position = jnp.arange(words.shape[0])
    *columns, order = jax.lax.sort((*words.T, position), num_keys=words.shape[1] + 1)
    return jnp.stack(columns, axis=1), order


def _sorted_by_passes(words: UInt32[Array, "N k"]) -> tuple[UInt32[Array, "N k"], Int[Array, " N"]]:
    """Does the same by one stable sort after another, from the last column to the first.

    All are one program in a loop, which a TPU's compiler makes in a seventh of the time.
    """

    def sort(order, column):
        return jax.lax.sort((column[order], order), num_keys=1, is_stable=True)[1], None

    order, _ = jax.lax.scan(sort, jnp.arange(words.shape[0]), words.T, reverse=True)
    return words[order], order


def _as_words(rows: Shaped[Array, "N d"]) -> UInt32[Array, "N words"]:
    """Packs (N, d) numbers of any type into (N, k) uint32 words, the same bits the same words."""
    octets = jax.lax.bitcast_convert_type(rows, jnp.uint8).reshape(rows.shape[0], -1)
    octets = jnp.pad(octets, ((0, 0), (0, -octets.shape[1] % 4)))
    return jax.lax.bitcast_convert_type(octets.reshape(rows.shape[0], -1, 4), jnp.uint32)

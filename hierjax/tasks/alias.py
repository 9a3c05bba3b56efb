"""Unequal choices in constant time: the alias method (Walker 1977), in integers.

A random word of 32 bits falls on one of K = 2^k columns, each equally likely. A column belongs to
one option: the words in its lower part choose that option, those in the rest of it another one,
the column's alias.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, UInt32

from hierjax.tasks.tables import for_each_row, look_up, search

_WORD_BITS = 32
_UNITS = 2.0**30
# Roundings of float32 stay below the 2^-21 that this leaves out.
_SHARED = 2.0**32 - 2.0**11


def num_columns(num_options: int) -> int:
    """Returns the number of columns, K: the least power of two not below 2 or `num_options`."""
    return 2 ** max(1, (num_options - 1).bit_length())


def alias_tables(probabilities: Float[Array, "rows options"]) -> UInt32[Array, "rows columns"]:
    """Makes the tables by which `choose` draws options of given probabilities.

    The tables are the same to the bit on every device. An option of probability zero is never
    chosen. One of probability p is chosen with a probability that differs from p by at most
    (2^-20 + K 2^-30) p + 2^-29, but for the likeliest of its row, which gets what others leave.

    Args:
      probabilities: (rows, options) float32; each row sums to about one.

    Returns:
      (rows, K) uint32; the upper k bits of an entry are the alias of a column, the lower ones the
      first word within the column that goes to the alias.
    """
    missing = num_columns(probabilities.shape[1]) - probabilities.shape[1]
    padded = jnp.pad(probabilities, ((0, 0), (0, missing)))
    return for_each_row(_alias_table, padded)


def choose(
    tables: UInt32[Array, "rows columns"],
    rows: Integer[Array, "*shape"],
    words: UInt32[Array, "*shape"],
) -> UInt32[Array, "*shape"]:
    """Finds the options that random words fall on.

    Args:
      tables: (rows, K) uint32, as `alias_tables` makes them.
      rows: (...) integers, the row of the tables by which each choice is made.
      words: (...) uint32, a uniform random word for each choice.

    Returns:
      (...) uint32, the options that are chosen.
    """
    shift, mask = _layout(tables.shape[1])
    column = words >> shift
    row = rows.astype(jnp.int32) * tables.shape[1] + column.astype(jnp.int32)
    (entry,) = look_up(tables.reshape(-1, 1), row)
    return jnp.where(words & mask < entry & mask, column, entry >> shift)


def _layout(columns: int) -> tuple[np.uint32, np.uint32]:
    """Returns the number of bits of a word below its column, and their mask."""
    shift = _WORD_BITS - (columns.bit_length() - 1)
    return np.uint32(shift), np.uint32(2**shift - 1)


def _alias_table(probabilities: Float[Array, " columns"]) -> UInt32[Array, " columns"]:
    """Columns that lack mass borrow it, in order, from options that have too much, in order.

    One that has lent so much that it lacks some itself borrows from the next.
    """
    shift, mask = _layout(probabilities.shape[0])
    share = mask + 1
    masses, index = _masses(probabilities), jnp.arange(probabilities.shape[0], dtype=jnp.uint32)
    largest = index == masses.argmax()
    lack = jnp.where((masses < share) & ~largest, share - masses, 0)
    excess = jnp.where((masses > share) & ~largest, masses - share, 0)
    # The types of sums are given, or they would depend on whether JAX allows 64 bits.
    missing = lack.sum(dtype=jnp.uint32) - excess.sum(dtype=jnp.uint32)
    excess = jnp.where(largest, missing, excess)
    lent, owned = (jnp.cumsum(each, dtype=jnp.uint32) for each in (lack, excess))
    (lent_then,) = look_up(lent[:, None], search(lent, owned))
    borrows = jnp.where(excess > 0, lent_then - owned, lack)
    served = jnp.where(excess > 0, owned, lent - lack)
    alias = search(owned, served, side="right").astype(jnp.uint32)
    whole = borrows == 0
    return jnp.where(whole, index << shift, alias << shift | share - borrows)


def _masses(probabilities: Float[Array, " columns"]) -> UInt32[Array, " columns"]:
    """Returns (K,) uint32 masses in units of 2^-32; their sum leaves some for the largest.

    They are shares of a sum of integers, which is the same in whatever order it is taken.
    """
    units = jnp.floor(probabilities * _UNITS).astype(jnp.uint32)
    shares = units.astype(jnp.float32) / units.sum(dtype=jnp.uint32).astype(jnp.float32)
    return jnp.floor(shares * _SHARED).astype(jnp.uint32)

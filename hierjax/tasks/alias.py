"""Unequal choices in constant time: the alias method (Walker 1977), in integers.

Of 2^32 equally likely words each of K = 2^k columns has the same share. A column stands for one
option, as far as that option's probability goes; the rest of it is lent to another, its alias.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, UInt32

_WORD_BITS = 32
_UNITS = 2.0**30
# Roundings of float32 stay below the 2^-21 that this leaves out.
_SHARED = 2.0**32 - 2.0**11


def num_columns(num_options: int) -> int:
    """K: the least power of two that is at least `num_options` and 2."""
    return 2 ** max(1, (num_options - 1).bit_length())


def alias_tables(probabilities: Float[Array, "rows options"]) -> UInt32[Array, "rows columns"]:
    """Tables for `choose`, the same on every device.

    An option of probability zero never comes up. All others are met to within 2^-20 + K 2^-30 of
    themselves and 2^-29 more; the likeliest of a row gets what that leaves.

    Args:
      probabilities: (R, m) float32, rows that sum to about one.

    Returns:
      (R, K) uint32: in the upper k bits the alias, below them the first word that goes to it.
    """
    missing = num_columns(probabilities.shape[1]) - probabilities.shape[1]
    padded = jnp.pad(probabilities, ((0, 0), (0, missing)))
    # In a loop, because a table that was fused with what reads it would be made each time.
    return jax.lax.map(_alias_table, padded)


def choose(
    tables: UInt32[Array, "rows columns"],
    rows: Integer[Array, "*shape"],
    words: UInt32[Array, "*shape"],
) -> UInt32[Array, "*shape"]:
    """Options that random words fall on.

    Args:
      tables: (R, K) as `alias_tables` makes them.
      rows: (...) integers below R.
      words: (...) uint32.

    Returns:
      (...) uint32 below m.
    """
    shift, mask = _layout(tables.shape[1])
    column = words >> shift
    row = rows.astype(jnp.int32) * tables.shape[1] + column.astype(jnp.int32)
    entry = tables.ravel().at[row].get(mode="promise_in_bounds")
    return jnp.where(words & mask < entry & mask, column, entry >> shift)


def _layout(columns: int) -> tuple[np.uint32, np.uint32]:
    """Bits of a word below its column, and their mask."""
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
    excess = jnp.where(largest, lack.sum() - excess.sum(), excess)
    lent, owned = jnp.cumsum(lack), jnp.cumsum(excess)
    overdrawn = lent[jnp.searchsorted(lent, owned)] - owned
    borrows = jnp.where(excess > 0, overdrawn, lack)
    served = jnp.where(excess > 0, owned, lent - lack)
    alias = jnp.searchsorted(owned, served, side="right").astype(jnp.uint32)
    whole = borrows == 0
    return jnp.where(whole, index << shift, alias << shift | share - borrows)


def _masses(probabilities: Float[Array, " columns"]) -> UInt32[Array, " columns"]:
    """(K,) uint32 in units of 2^-32; their sum leaves some for the largest.

    Shares of a sum of integers, which is the same in whatever order it is taken.
    """
    units = jnp.floor(probabilities * _UNITS).astype(jnp.uint32)
    shares = units.astype(jnp.float32) / units.sum().astype(jnp.float32)
    return jnp.floor(shares * _SHARED).astype(jnp.uint32)

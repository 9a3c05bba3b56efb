"""Look-ups in tables, done as each platform does them best; the results are the same to the bit.

A CPU and a GPU gather. A TPU gathers one number at a time, about 5.6 ns each on a v5e, while it
multiplies matrices at 197 TFLOP/s: there an index becomes one-hot vectors, and a look-up products
with them. What is looked up passes through as bytes, which bfloat16 holds exactly. The choice is
made when a program is lowered for its platform, by `jax.lax.platform_dependent`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Integer, Shaped

MOST_ROWS = 2**13
"""Rows of the largest table that a TPU looks up by products; in larger ones it gathers."""

_COLUMNS = 64
"""Bytes of neighbouring rows that one product yields; the row is then chosen among these."""


def look_up(table: Shaped[Array, "R W"], index: Integer[Array, "*shape"]) -> tuple[Array, ...]:
    """Looks up rows of a table, without gathers on a TPU if there are at most `MOST_ROWS` of them.

    Args:
      table: (R, W) numbers of any type of 8, 16 or 32 bits.
      index: (...) integers from 0 to R - 1.

    Returns:
      W arrays (...), one for each column, of the type of the table.
    """
    return by_products_or_not(table.shape[0], multiplied, gathered, table, index)


def by_products_or_not(num_rows: int, by_products: Callable, otherwise: Callable, *args) -> Any:
    """Looks up in a table of `num_rows` in one of two ways, of which the first is for a TPU."""
    if num_rows > MOST_ROWS:
        return otherwise(*args)
    return jax.lax.platform_dependent(*args, tpu=by_products, default=otherwise)


def for_each_row(make: Callable[[Array], Array], table: Shaped[Array, "R ..."]) -> Array:
    """Maps a function over the rows of a table, to make another one.

    On a CPU in a loop, because a table that was fused with what reads it would be made each time.
    Elsewhere over all of them at once, and kept from being fused.
    """
    in_a_loop = functools.partial(jax.lax.map, make)

    def at_once(table):
        return jax.lax.optimization_barrier(jax.vmap(make)(table))

    return jax.lax.platform_dependent(table, cpu=in_a_loop, default=at_once)


def search(
    ascending: Shaped[Array, " K"], values: Shaped[Array, " N"], side: str = "left"
) -> Int[Array, " N"]:
    """Returns (N,) int32, where values fit into an ascending array, as `jax.numpy.searchsorted`.

    On a TPU each value is compared with all of the array, in place of a bisection that gathers.
    """
    find = functools.partial(jnp.searchsorted, side=side)
    return jax.lax.platform_dependent(
        ascending, values, tpu=functools.partial(find, method="compare_all"), default=find
    )


def gathered(table: Shaped[Array, "R W"], index: Integer[Array, "*shape"]) -> tuple[Array, ...]:
    """`look_up` by gathers, of one column at a time, which is three times as fast on a CPU."""
    columns = (table[:, column] for column in range(table.shape[1]))
    return tuple(column.at[index].get(mode="promise_in_bounds") for column in columns)


def multiplied(table: Shaped[Array, "R W"], index: Integer[Array, "*shape"]) -> tuple[Array, ...]:
    """`look_up` by matrix products.

    Rows stand in groups. The first product yields all bytes of an index's group, those of other
    rows are set to zero, and the second product adds up what is left, two bytes to a number.
    """
    num_rows, width = table.shape
    size = table.dtype.itemsize
    octets = jax.lax.bitcast_convert_type(table, jnp.uint8).reshape(num_rows, width * size)
    in_group = max(_COLUMNS // octets.shape[1], 1)
    octets = jnp.pad(octets, ((0, -num_rows % in_group), (0, 0))).reshape(
        -1, in_group * width * size
    )
    flat = index.ravel().astype(jnp.int32)
    of_group = flat[None] // in_group == jnp.arange(octets.shape[0])[:, None]
    group = _product(octets.T, of_group)
    place = np.arange(octets.shape[1])
    own = jnp.where(flat[None] % in_group == (place // (width * size))[:, None], group, 0)
    # Sums are float32, in which numbers of two bytes are exact.
    number, byte = np.divmod(place % (width * size), min(size, 2))
    num_numbers = width * max(size // 2, 1)
    adds = np.where(number == np.arange(num_numbers)[:, None], 256.0**byte, 0.0)
    made = _product(adds, own).astype(jnp.uint32).reshape(num_numbers, *index.shape)
    if size == 4:
        made = made[::2] | made[1::2] << 16
    unsigned = made.astype(jnp.dtype(f"uint{8 * size}"))
    return tuple(jax.lax.bitcast_convert_type(unsigned, table.dtype))


def _product(left: Shaped[Array | np.ndarray, "A B"], right: Shaped[Array, "B N"]) -> Array:
    """Returns the product in float32 of what is exact in bfloat16."""
    return jnp.matmul(
        jnp.asarray(left, jnp.bfloat16),
        right.astype(jnp.bfloat16),
        preferred_element_type=jnp.float32,
    )

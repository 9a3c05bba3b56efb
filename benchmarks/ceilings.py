"""What a device can do at best, measured: a large matrix product, a large copy."""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

# A CPU's are past its caches and done in a second, those of accelerators fill them.
_SIDE = {"cpu": 2048}
_SIDE_ELSEWHERE = 16384
_BYTES = {"cpu": 2**28}
_BYTES_ELSEWHERE = 2**32
_REPEATS = 5


class Ceilings(NamedTuple):
    """Rates of one device.

    Attributes:
      flops_per_second: of a matrix product, of float32 at the highest precision if no other type
        is asked for.
      bytes_per_second: read and written, by a copy over memory that the process holds already.
    """

    flops_per_second: float
    bytes_per_second: float


def measure_ceilings(quick: bool = False, precision: str = "float32") -> Ceilings:
    """The best of a few repeats on the default device; `quick` for sizes that show nothing."""
    platform = jax.default_backend()
    side = 256 if quick else _SIDE.get(platform, _SIDE_ELSEWHERE)
    num_bytes = 2**20 if quick else _BYTES.get(platform, _BYTES_ELSEWHERE)
    # Of a size at which its powers stay numbers.
    matrix = jax.random.normal(jax.random.key(0), (side, side), precision) / side**0.5
    array = jnp.zeros(num_bytes // 4, jnp.uint32)
    return Ceilings(
        2 * side**3 / _fastest(lambda x: jnp.matmul(x, x, precision="highest"), matrix),
        2 * num_bytes / _fastest(lambda x: x + 1, array),
    )


def _fastest(function, argument: jax.Array) -> float:
    """Least seconds of a call, which takes what the one before has made, and its memory."""
    call = jax.jit(function, donate_argnums=0).lower(argument).compile()
    seconds = []
    for _ in range(1 + _REPEATS):
        start = time.perf_counter()
        argument = jax.block_until_ready(call(argument))
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])

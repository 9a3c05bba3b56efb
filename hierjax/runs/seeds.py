"""Seeds of a run: the data that each draws, and the devices that they are divided between."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key

from hierjax.runs.parallel import (
    Mapped,
    bytes_of_call,
    call,
    compile_for,
    map_seeds,
    num_bytes,
    require_memory,
    seed_chunks,
    seed_mesh,
)

PyTree = Any

take_keys = jax.jit(lambda keys, lanes: keys[lanes])
"""Takes some of an array of typed keys, by index."""


class Seeds:
    """Seeds, the data that each draws, and the devices that work on them.

    Args:
      keys: (num_seeds,) typed PRNG keys of the seeds.
      make_data: key of a seed -> the data that its stages need, a pytree of arrays.
      mesh: devices that the seeds are divided between, by default all; see `map_seeds`.
      impl: how seeds are divided between devices, "shard_map" or "pmap".
    """

    def __init__(
        self,
        keys: Key[Array, " seeds"],
        make_data: Callable[[Array], PyTree],
        mesh: Mesh | None = None,
        impl: str = "shard_map",
    ):
        self.keys = keys
        self.num_seeds = keys.shape[0]
        self._mesh = seed_mesh() if mesh is None else mesh
        self._impl = impl
        lanes, _ = next(self.chunks())
        self.lane_keys = jax.eval_shape(lambda: keys[lanes])
        self._make_data = make_data

    def chunks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Divides the seeds into chunks that run in one call each, see `seed_chunks`."""
        return seed_chunks(self.num_seeds, self._mesh)

    def map(self, function: Callable[..., PyTree], donate: tuple[int, ...] = ()) -> Mapped:
        """Maps a function of one seed over those of a chunk, and jits it; see `map_seeds`."""
        return map_seeds(function, self._mesh, self._impl, donate=donate)

    def compile(self, traced: jax.stages.Traced, effort: int = 1) -> jax.stages.Compiled:
        """Compiles a program for the devices of these seeds, see `compile_for`.

        Raises:
          ValueError: there is no memory for a call.
        """
        compiled = compile_for(self._mesh, traced, effort)
        on_cpu = self._mesh.devices.flat[0].platform == "cpu"
        sharing = min(len(self._mesh.local_devices), self.num_seeds) if on_cpu else 1
        require_memory(sharing * bytes_of_call(compiled, arguments=False), self._name)
        return compiled

    @property
    def _name(self) -> str:
        lanes, _ = next(self.chunks())
        return f"seeds, {lanes.size} at once,"

    @functools.cached_property
    def _traced(self) -> jax.stages.Traced:
        return self.map(self._make_data).trace(self.lane_keys)

    def require_memory(self) -> None:
        """Refuses seeds whose data alone do not fit into memory, as many as run at once.

        Raises:
          ValueError: they do not, or an array of a seed has more entries than 32 bits can count.
        """
        for leaf in jax.tree.leaves(self.data_layout):
            if math.prod(leaf.shape[1:]) >= 2**31:
                raise ValueError(
                    f"the data of a seed have an array of shape {leaf.shape[1:]}, but arrays have "
                    "at most 2147483647 entries: lower the sizes"
                )
        require_memory(num_bytes(self.data_layout), f"the data of {self._name}")

    @property
    def data_layout(self) -> PyTree:
        """Shapes of the data of a chunk, a tree of `jax.ShapeDtypeStruct`."""
        return self._traced.out_info

    @functools.cached_property
    def data(self) -> Callable[[np.ndarray], PyTree]:
        """A function of the seeds of a chunk, by index, to their data, compiled at first use."""
        compiled = self.compile(self._traced, effort=0)
        return lambda lanes: call(compiled, take_keys(self.keys, lanes))

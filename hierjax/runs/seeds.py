"""Seeds of a run: the data that each draws, and the devices that they are divided between."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key

from hierjax.runs import hosts
from hierjax.runs.memory import (
    bytes_of_call,
    fewer_lanes,
    free_memory,
    num_bytes,
    require_memory,
    sharing_memory,
)
from hierjax.runs.parallel import (
    Mapped,
    call,
    compile_for,
    is_data_mesh,
    map_seeds,
    most_lanes,
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

    Attributes:
      keys: those of the seeds.
      num_seeds: their number.
      lanes: number of seeds that a device works on at once; it falls where memory is short.
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
        self._make_data = make_data
        self._traced: dict[int, jax.stages.Traced] = {}
        self._draw: dict[int, jax.stages.Compiled] = {}
        devices = 1 if is_data_mesh(self._mesh) else self._mesh.size
        self.lanes = min(most_lanes(self._mesh), -(-self.num_seeds // devices))

    def chunks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Divides the seeds into chunks that run in one call each, see `seed_chunks`."""
        return seed_chunks(self.num_seeds, self._mesh, self.lanes)

    @property
    def lane_keys(self) -> jax.ShapeDtypeStruct:
        """Shape of the keys of a chunk."""
        lanes, _ = next(self.chunks())
        return jax.eval_shape(lambda: self.keys[lanes])

    def map(self, function: Callable[..., PyTree], donate: tuple[int, ...] = ()) -> Mapped:
        """Maps a function of one seed over those of a chunk, and jits it; see `map_seeds`."""
        return map_seeds(function, self._mesh, self._impl, self.lanes, donate)

    def compile(
        self, trace: Callable[[], dict[str, jax.stages.Traced]], effort: int = 1
    ) -> dict[str, jax.stages.Compiled]:
        """Compiles programs for as many seeds at once as the memory of the devices has room for.

        Args:
          trace: makes the programs by name, for `lanes` seeds on each device; it is called again
            for fewer of them where memory is short.
          effort: see `compile_for`.

        Raises:
          ValueError: there is no memory for one seed at once.
        """
        while True:
            programs = {
                name: compile_for(self._mesh, traced, effort) for name, traced in trace().items()
            }
            needed, free = max(map(bytes_of_call, programs.values())), free_memory()
            if self.lanes == 1 or not hosts.any_of(needed > free):
                break
            self.lanes = min(hosts.from_all(fewer_lanes(self.lanes, needed, free)))
        of_calls = [bytes_of_call(program, arguments=False) for program in programs.values()]
        require_memory(sharing_memory(self.num_seeds, self._mesh) * max(of_calls), self._name)
        return programs

    @property
    def _name(self) -> str:
        lanes, _ = next(self.chunks())
        return f"seeds, {lanes.size} at once,"

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
        of_one = num_bytes(self.data_layout) // self.lane_keys.shape[0]
        sharing = sharing_memory(self.num_seeds, self._mesh)
        require_memory(sharing * of_one, f"the data of {self._name}")

    @property
    def data_layout(self) -> PyTree:
        """Shapes of the data of a chunk, a tree of `jax.ShapeDtypeStruct`."""
        return self._trace().out_info

    def data(self, lanes: np.ndarray) -> PyTree:
        """Draws the data of the seeds of a chunk.

        Args:
          lanes: their indices.
        """
        if self.lanes not in self._draw:
            self._draw[self.lanes] = self.compile(lambda: {"draw": self._trace()}, 0)["draw"]
        return call(self._draw[self.lanes], take_keys(self.keys, lanes))

    def _trace(self) -> jax.stages.Traced:
        if self.lanes not in self._traced:
            self._traced[self.lanes] = self.map(self._make_data).trace(self.lane_keys)
        return self._traced[self.lanes]

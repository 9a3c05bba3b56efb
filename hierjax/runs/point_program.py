"""The program that measures a point of a sweep, for as many seeds at once as memory allows."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from hierjax.runs.parallel import compile_for, map_seeds

PyTree = Any

# Seeds that a device works on at once. On a CPU more of them are no faster than one by one.
_LANES_ON_CPU = 1
_MOST_LANES = 256


class Point(NamedTuple):
    """What is measured for every seed.

    Attributes:
      name: of its own, in the records.
      work: how much a seed takes, in any unit: for the time left.
      draw: key of a seed -> data; hashable, and equal for points that share data.
      measure: (key of a seed, data) -> scalars by name, NaN for what cannot be had.
      fills_cpu: whether one seed keeps all cores of a CPU at work, as one does that factorises
        large matrices: there such seeds go one after another.
    """

    name: str
    work: float
    draw: Callable[[jax.Array], PyTree]
    measure: Callable[[jax.Array, PyTree], dict[str, jax.Array]]
    fills_cpu: bool = False


class PointProgram(NamedTuple):
    """A compiled point.

    Attributes:
      point: what it measures.
      count: seeds of a call; 0 if there is no memory for one.
      num_bytes: of memory that a call takes on a device, or on all of a CPU.
      compile_seconds: wall-clock.
      num_compiled: programs, those that turned out too large included.
      draw: (count,) keys -> data.
      measure: (count,) keys and their data -> what is measured.
    """

    point: Point
    count: int
    num_bytes: int
    compile_seconds: float
    num_compiled: int
    draw: Callable[..., PyTree]
    measure: Callable[..., PyTree]

    def __call__(self, keys: jax.Array) -> dict[str, np.ndarray]:
        """What is measured for (count,) keys."""
        return jax.device_get(self.measure(keys, self.draw(keys)))


class PointCompiler:
    """Compiles points that share data; then they share the program that draws it.

    Args:
      mesh: a `seed_mesh`.
      impl: as for `map_seeds`.
      memory: bytes that a device may use, or all devices of a CPU together.
    """

    def __init__(self, mesh: Mesh, impl: str, memory: int):
        self._mesh, self._impl, self._memory = mesh, impl, memory
        self._first = Mesh(mesh.devices[:1], mesh.axis_names, axis_types=mesh.axis_types)
        self._on_cpu = mesh.devices.flat[0].platform == "cpu"
        self._draws: dict[int, tuple[jax.stages.Compiled, PyTree]] = {}
        self._num_compiled = 0

    def __call__(self, point: Point, keys: jax.Array) -> PointProgram:
        """The program for all of these (num_seeds,) keys, or for as many as the memory allows."""
        start, compiled_before = time.perf_counter(), self._num_compiled
        alone = self._on_cpu and point.fills_cpu
        devices = min(self._mesh.size, len(keys))
        lanes = _LANES_ON_CPU if self._on_cpu else min(_MOST_LANES, -(-len(keys) // devices))
        while True:
            count = min(devices * lanes, len(keys))
            draw, measure = self._compile(point, keys[:count], lanes, alone)
            sharing = devices if self._on_cpu and not alone else 1
            num_bytes = sharing * _peak(measure.memory_analysis())
            if num_bytes <= self._memory:
                break
            if lanes > 1:
                lanes = max(1, min(lanes - 1, lanes * self._memory // num_bytes))
            elif sharing > 1:
                devices = max(1, min(devices - 1, devices * self._memory // num_bytes))
            else:
                count = 0
                break
        seconds = time.perf_counter() - start
        num_compiled = self._num_compiled - compiled_before
        return PointProgram(point, count, num_bytes, seconds, num_compiled, draw, measure)

    def _compile(self, point: Point, keys: jax.Array, lanes: int, alone: bool):
        if len(keys) not in self._draws:
            traced = map_seeds(point.draw, self._mesh, self._impl, lanes).trace(keys)
            compiled = compile_for(self._mesh, traced, effort=0)
            self._draws[len(keys)] = compiled, traced.out_info
            self._num_compiled += 1
        draw, layout = self._draws[len(keys)]
        mesh = self._first if alone else self._mesh
        mapped = map_seeds(point.measure, mesh, self._impl, lanes)
        measure = compile_for(mesh, mapped.trace(keys, layout))
        self._num_compiled += 1
        # Data for one device comes from all of them.
        return (lambda keys: jax.device_get(draw(keys))) if alone else draw, measure


def _peak(analysis) -> int:
    """Bytes that a call takes on a device; 0 where the backend does not say."""
    if analysis is None:
        return 0
    sizes = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return sum(getattr(analysis, size) for size in sizes)

"""A grid of points measured for many seeds: few programs, all devices and hosts, resumable.

A point is one shape, so one program, in which seeds are mapped; another number of examples is
another point. (A program for all of them would compute on masked examples: on a CPU that takes
twice as long once it is compiled, and here programs are compiled while others run.) Points of the
same data share the program that draws it.
"""

import collections
import gc
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from hierjax.runs.hosts import Hosts
from hierjax.runs.parallel import free_memory, seed_mesh
from hierjax.runs.point_program import Point, PointCompiler, PointProgram
from hierjax.runs.record import RunFolder

_MOST_COMPILERS = 4
_SHARE_OF_MEMORY = 0.8


class Measured(NamedTuple):
    """A point of a finished sweep.

    Attributes:
      values: (num_seeds,) for each name, NaN where it is not finite.
      seconds: wall-clock: to "compile" (some points are compiled at the same time), to "run", and
        "wall", what the sweep waited for both; interrupted runs included.
      num_compiled: programs, interrupted runs included.
      skipped: why nothing was measured; else empty.
    """

    values: dict[str, np.ndarray]
    seconds: dict[str, float]
    num_compiled: int
    skipped: str


class Sweep:
    """Points, seeds, and who works on them.

    Args:
      points: of different names; those of the same data next to each other.
      keys: (num_seeds,) typed keys.
      hosts: between which seeds are divided; by default this one alone.
      mesh: a `seed_mesh` of this host.
      impl: as for `map_seeds`.
      memory: bytes that a device may use, or all devices of a CPU together; by default four
        fifths of what is free.

    Raises:
      ValueError: two points have the same name.
    """

    def __init__(
        self,
        points: Sequence[Point],
        keys: jax.Array,
        hosts: Hosts | None = None,
        mesh: Mesh | None = None,
        impl: str = "shard_map",
        memory: int | None = None,
    ):
        self._points, self._keys = tuple(points), keys
        self._hosts = hosts or Hosts()
        self._mesh, self._impl = mesh or seed_mesh(), impl
        self._memory = memory or int(_SHARE_OF_MEMORY * free_memory())
        self._kept: dict[str, dict[int, dict]] = {point.name: {} for point in self._points}
        if len(self._kept) < len(self._points):
            raise ValueError("points of a sweep have the same name: give each its own")
        self._skipped: dict[str, str] = {}
        self._costs = {point.name: collections.Counter() for point in self._points}
        self._clock = time.perf_counter()

    @property
    def work(self) -> float:
        """Work of all points and seeds."""
        return sum(point.work for point in self._points) * len(self._keys)

    def restore(self, folder: RunFolder) -> float:
        """Reads, on host 0, what an earlier run has measured; returns how much work it was.

        Raises:
          ValueError: it has measured a point that is none of this sweep's.
        """
        for event in folder.events("chunk"):
            if event["point"] not in self._kept:
                raise ValueError(
                    f"{folder.path} has records of a point {event['point']!r}, which is not in "
                    "this sweep: choose another workdir, or overwrite it"
                )
            self._keep(*(event[name] for name in ("point", "seeds", "values", "costs")))
        return sum(point.work * len(self._kept[point.name]) for point in self._points)

    def run(
        self, folder: RunFolder | None = None, advance: Callable[[float], None] = lambda work: None
    ) -> dict[str, Measured]:
        """Measures what is missing.

        Args:
          folder: of host 0: each chunk of seeds is added to its events; None to keep nothing.
          advance: called with the work that was done since the last call.

        Returns:
          What was measured, by the names of the points; on host 0 all of it.

        Raises:
          HostLostError: another host has ended.
          OSError: the folder cannot be written.
        """
        missing = self._hosts.gather([self._missing(point) for point in self._points])[0]
        todo = [(point, seeds) for point, seeds in zip(self._points, missing, strict=True) if seeds]
        groups = [list(each) for _, each in itertools.groupby(todo, key=lambda pair: pair[0].draw)]
        for programs in _ahead(self._compile, groups):
            for program, seeds in programs:
                self._run(program, seeds, folder, advance)
            del program, programs
            # In reference cycles, which Python may leave: hundreds exhaust the maps of a process.
            gc.collect()
        return {point.name: self._measured(point.name) for point in self._points}

    def _missing(self, point: Point) -> list[int]:
        return [seed for seed in range(len(self._keys)) if seed not in self._kept[point.name]]

    def _compile(self, group: list[tuple[Point, list[int]]]) -> list[tuple]:
        """The programs of points that share data."""
        compiler = PointCompiler(self._mesh, self._impl, self._memory)
        programs = []
        for point, seeds in group:
            share = -(-len(seeds) // self._hosts.count)
            programs.append((compiler(point, self._keys[:share]), seeds))
        return programs

    def _run(self, program: PointProgram, seeds: list[int], folder: RunFolder | None, advance):
        point, hosts = program.point, self._hosts
        # Hosts keep step: a chunk is what the one with the least memory can do.
        count, needed, memory = min(hosts.gather([program.count, program.num_bytes, self._memory]))
        if count == 0:
            self._skipped[point.name] = (
                f"a seed takes {needed / 1e9:.3g} GB of memory, and {memory / 1e9:.3g} GB may be "
                "used"
            )
            advance(point.work * len(seeds))
            return
        costs = {"compile": program.compile_seconds, "programs": program.num_compiled}
        for begin in range(0, len(seeds), count * hosts.count):
            start = time.perf_counter()
            chunk = seeds[begin : begin + count * hosts.count]
            mine = chunk[hosts.index :: hosts.count]
            values = program(self._keys[_padded(mine or chunk, program.count)])
            shares = hosts.gather({name: x[: len(mine)].tolist() for name, x in values.items()})
            merged = {name: _interleaved([share[name] for share in shares]) for name in values}
            end = time.perf_counter()
            costs |= {"run": end - start, "wall": end - self._clock}
            self._clock = end
            if folder is not None:
                folder.log("chunk", point=point.name, seeds=chunk, values=merged, costs=costs)
            self._keep(point.name, chunk, merged, costs)
            costs = {}
            advance(point.work * len(chunk))

    def _keep(self, name: str, seeds: list[int], values: dict, costs: dict[str, float]) -> None:
        for row, seed in enumerate(seeds):
            self._kept[name][seed] = {key: each[row] for key, each in values.items()}
        self._costs[name].update(costs)

    def _measured(self, name: str) -> Measured:
        reason, kept = self._skipped.get(name, ""), self._kept[name]
        rows = [] if reason else [kept[seed] for seed in sorted(kept)]
        values = {key: _finite([row[key] for row in rows]) for key in (rows or [{}])[0]}
        costs = self._costs[name]
        seconds = {kind: float(costs[kind]) for kind in ("compile", "run", "wall")}
        return Measured(values, seconds, costs["programs"], reason)


def _finite(values: list) -> np.ndarray:
    """NaN for null, too, as which records keep what is not finite."""
    values = np.array(values, float)
    return np.where(np.isfinite(values), values, np.nan)


def _padded(seeds: list[int], count: int) -> np.ndarray:
    return np.array((seeds + seeds[-1:] * count)[:count])


def _interleaved(shares: list[list]) -> list:
    """Rows in the order of their seeds, which hosts take in turn."""
    return [share[row] for row in range(len(shares[0])) for share in shares if row < len(share)]


def _ahead(function: Callable, items: Sequence) -> Iterator:
    """The function of each item, in order, computed by threads while earlier ones are used."""
    workers = min(os.cpu_count() or 1, _MOST_COMPILERS)
    pool, futures = ThreadPoolExecutor(workers), collections.deque()
    try:
        for item in items:
            futures.append(pool.submit(function, item))
            if len(futures) > workers:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

"""The compiled programs of a process that works on a sweep.

A point is one shape, so one program, in which seeds are mapped; another number of examples is
another point. (A program for all of them would compute on masked examples: on a CPU that takes
twice as long once it is compiled, and here programs are compiled while others run.)
"""

import collections
import gc
import os
import platform
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from hierjax.runs import hosts
from hierjax.runs.conditions import under
from hierjax.runs.memory import bytes_of_call, fewer_lanes
from hierjax.runs.parallel import call, compile_for, is_one_cpu, map_seeds, most_lanes
from hierjax.runs.sweeps.points import Outcome, Task

PyTree = Any

# More than the threads of a process that may be at work on different points.
_MOST_KEPT = 8


class Program(NamedTuple):
    """A compiled point.

    Attributes:
      count: seeds of a call; 0 if there is no memory for one.
      num_bytes: of memory that a call takes on a device, or on all of a CPU.
      draw: (count,) keys -> data.
      measure: (count,) keys and their data -> what is measured; of one seed if `alone`.
      alone: whether seeds are measured one after another.
      costs: seconds to "compile" and "programs" compiled, until someone has recorded them.
    """

    count: int
    num_bytes: int
    draw: Callable[..., PyTree]
    measure: jax.stages.Compiled
    alone: bool
    costs: dict[str, float]

    def __call__(self, keys: jax.Array, wanted: int) -> dict[str, np.ndarray]:
        """What is measured for the first `wanted` of (count,) keys."""
        data = self.draw(keys)
        if not self.alone:
            found = hosts.to_host(call(self.measure, keys, data))
            return {name: values[:wanted] for name, values in found.items()}
        data = jax.device_get(data)  # It comes from all devices, and goes to one.
        rows = [slice(row, row + 1) for row in range(wanted)]
        found = [self.measure(keys[row], jax.tree.map(lambda x, r=row: x[r], data)) for row in rows]
        return _joined(jax.device_get(found))


class Programs:
    """Measures tasks; threads may call it at once, then some compile while one runs its program.

    Tasks of a point share its program, and points of the same data the one that draws it. A few
    programs are kept, those that were used last.

    Args:
      mesh: a `seed_mesh`.
      impl: how seeds are divided between devices, see `map_seeds`.
      memory: bytes that a device may use, or all devices of a CPU together.
    """

    def __init__(self, mesh: Mesh, impl: str, memory: int):
        self._mesh, self._impl, self._memory = mesh, impl, memory
        self._first = Mesh(mesh.devices[:1], mesh.axis_names, axis_types=mesh.axis_types)
        self._on_cpu = mesh.devices.flat[0].platform == "cpu"
        self._draws, self._points = _Kept(_MOST_KEPT), _Kept(_MOST_KEPT)
        self._devices = threading.Lock()

    def measure(self, task: Task) -> Outcome:
        """Measures seeds of the task in batches, in order, until its time is over."""
        with under(task.terms.options):
            program = self.compile(task)
            costs = dict(program.costs)
            program.costs.clear()
            if program.count == 0:
                return Outcome(0, {}, costs, worker_name(), self._too_large(program))
            with self._devices:
                return _run(program, task, costs)

    def compile(self, task: Task) -> Program:
        """The program of a task, which is compiled once and kept for a while."""
        key = task.terms.sweep, task.point.name, task.most
        with under(task.terms.options):
            return self._points.get(key, lambda: self._compile(task))

    def _compile(self, task: Task) -> Program:
        """The program for as many seeds as the memory allows."""
        start, costs = time.perf_counter(), {"programs": 0.0}
        alone = task.point.fills_cpu and is_one_cpu()
        devices = min(self._mesh.size, task.most)
        lanes = min(most_lanes(self._mesh), -(-task.most // devices))
        while True:
            count = min(devices * lanes, task.most)
            draw, measure = self._compile_for(count, lanes, alone, task, costs)
            sharing = devices if self._on_cpu and not alone else 1
            num_bytes = sharing * bytes_of_call(measure)
            if num_bytes <= self._memory:
                break
            if lanes > 1:
                lanes = fewer_lanes(lanes, num_bytes, self._memory)
            elif sharing > 1:
                devices = fewer_lanes(devices, num_bytes, self._memory)
            else:
                count = 0
                break
        costs["compile"] = time.perf_counter() - start
        return Program(count, num_bytes, draw, measure, alone, costs)

    def _compile_for(self, count: int, lanes: int, alone: bool, task: Task, costs) -> tuple:
        """The programs that draw and measure so many seeds."""
        point = task.point
        keys = task.typed_keys(np.zeros(count, int))

        def compile_draw():
            traced = map_seeds(point.draw, self._mesh, self._impl, lanes).trace(keys)
            costs["programs"] += 1
            return compile_for(self._mesh, traced, effort=0), traced.out_info

        draw, layout = self._draws.get((task.terms.sweep, task.data, count, lanes), compile_draw)
        mesh = self._first if alone else self._mesh
        if alone:
            keys, layout = keys[:1], jax.tree.map(_one_row, layout)
        measure = compile_for(
            mesh, map_seeds(point.measure, mesh, self._impl, lanes).trace(keys, layout)
        )
        costs["programs"] += 1
        return draw, measure

    def _too_large(self, program: Program) -> str:
        return (
            f"a seed takes {program.num_bytes / 1e9:.3g} GB of memory, and "
            f"{self._memory / 1e9:.3g} GB may be used"
        )


class _Kept:
    """The last few values that were asked for; each is made once, by the first thread that asks."""

    def __init__(self, most: int):
        self._most, self._lock = most, threading.Lock()
        self._futures: collections.OrderedDict[Hashable, Future] = collections.OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            future = self._futures.get(key)
            is_new = future is None
            if is_new:
                future = self._futures[key] = Future()
            self._futures.move_to_end(key)
            is_full = len(self._futures) > self._most
            if is_full:
                self._futures.popitem(last=False)
        if is_full:
            # Programs sit in reference cycles, which Python may leave: hundreds exhaust the maps
            # of a process.
            gc.collect()
        if is_new:
            self._make(key, future, make)
        return future.result()

    def _make(self, key: Hashable, future: Future, make: Callable[[], Any]) -> None:
        try:
            future.set_result(make())
        except BaseException as error:
            with self._lock:
                self._futures.pop(key, None)
            future.set_exception(error)


def worker_name() -> str:
    """Machine and process."""
    return f"{platform.node()}:{os.getpid()}"


def _run(program: Program, task: Task, costs: dict[str, float]) -> Outcome:
    start, total, done = time.perf_counter(), len(task.seeds), 0
    batches: list[dict[str, np.ndarray]] = []
    while not done or (done < total and time.perf_counter() - start < task.terms.seconds):
        wanted = min(program.count, total - done)
        # The last seed stands for those that are not there.
        rows = np.minimum(np.arange(done, done + program.count), total - 1)
        batches.append(program(task.typed_keys(rows), wanted))
        done += wanted
    costs["run"] = time.perf_counter() - start
    return Outcome(done, _joined(batches), costs, worker_name())


def _joined(batches: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([each[name] for each in batches]) for name in batches[0]}


def _one_row(shape: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *shape.shape[1:]), shape.dtype)

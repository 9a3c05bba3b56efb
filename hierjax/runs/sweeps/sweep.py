"""A grid of points measured for many seeds, by this process or by many, resumable.

A sweep is divided into tasks, some seeds of a point each. Whoever measures them, this process alone
writes what comes back.
"""

import collections
import contextlib
import gc
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import jax
import numpy as np

from hierjax.runs import hosts
from hierjax.runs.conditions import options_here, versions
from hierjax.runs.parallel import seed_mesh
from hierjax.runs.record import RunFolder
from hierjax.runs.sweeps.executors import (
    LocalThreads,
    check_sendable,
    outcomes,
    outcomes_in_order,
)
from hierjax.runs.sweeps.points import Outcome, Point, Task, Terms
from hierjax.runs.sweeps.programs import Programs
from hierjax.runs.sweeps.workers import measure_seeds, usable_memory

# For an executor. Enough to be worth the compilation of a program, few enough for many workers to
# share a point; and a worker that is killed loses at most the seeds of a minute.
_SEEDS_OF_A_TASK = 32
_SECONDS_OF_A_TASK = 60.0


class Measured(NamedTuple):
    """A point of a finished sweep.

    Attributes:
      values: (num_seeds, ...) for each name, NaN where it is not finite.
      seconds: to "compile" and to "run", summed over the processes that did it, and "wall", what
        the sweep waited for both; interrupted runs included.
      num_compiled: programs, interrupted runs included.
      skipped: why it was not measured for all seeds; else empty.
    """

    values: dict[str, np.ndarray]
    seconds: dict[str, float]
    num_compiled: int
    skipped: str


def require_measured(results: Mapping[str, Measured]) -> None:
    """Refuses a sweep in which a point was skipped.

    Args:
      results: what was measured, by the names of the points.

    Raises:
      ValueError: a point was skipped; it is named, with the reason.
    """
    for name, found in results.items():
        if found.skipped:
            raise ValueError(f"{name}: {found.skipped}")


class Sweep:
    """Points and seeds.

    Args:
      points: of different names.
      keys: (num_seeds,) typed keys.
      num_devices: of this process, by default all; other processes use all that they see.
      impl: how seeds are divided between devices, see `map_seeds`.
      memory: bytes that a device of a process may use, or all devices of a CPU together; by
        default four fifths of what is free there.

    Raises:
      ValueError: two points have the same name, or there are fewer devices.
    """

    def __init__(
        self,
        points: Sequence[Point],
        keys: jax.Array,
        num_devices: int | None = None,
        impl: str = "shard_map",
        memory: int | None = None,
    ):
        self._points, self._keys = tuple(points), keys
        self._num_devices, self._mesh = num_devices, seed_mesh(num_devices)
        self._impl, self._memory = impl, memory
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
        """Reads what an earlier run has measured; returns how much work it was.

        Raises:
          ValueError: a record is damaged, or none of this sweep; or work is left, but versions or
            options of JAX are others than when the sweep began.
        """
        for event in folder.events("chunk", self._check):
            self._keep(*(event[name] for name in ("point", "seeds", "values", "costs")))
        done = sum(point.work * len(self._kept[point.name]) for point in self._points)
        left = sum(len(self._keys) - len(kept) for kept in self._kept.values())
        folder.take_up(done, done + left)
        return done

    def _check(self, event: dict) -> None:
        """Refuses a record that is not of this sweep, or of seeds that were recorded before."""
        name, seeds, values = (event[field] for field in ("point", "seeds", "values"))
        if name not in self._kept:
            raise ValueError(f"is of a point {name!r}, which is not in this sweep")
        if not set(seeds) <= set(range(len(self._keys))):
            raise ValueError(f"is of seeds {seeds}, which are not all in this sweep")
        if len(set(seeds) - self._kept[name].keys()) < len(seeds):
            raise ValueError(f"is of seeds {seeds} of {name!r}, of which some were recorded before")
        rows = {len(each) for each in values.values()}
        if rows != {len(seeds)}:
            raise ValueError(f"has {sorted(rows)} values for {len(seeds)} seeds")

    def run(
        self,
        folder: RunFolder | None = None,
        advance: Callable[[float], None] = lambda work: None,
        executor: Executor | None = None,
    ) -> dict[str, Measured]:
        """Measures what is missing.

        Args:
          folder: its events get what was measured, as it is measured; None to keep nothing.
          advance: called with the work that was done since the last call.
          executor: of the processes that measure, for instance one of `workers_of`; by default
            this process measures.

        Returns:
          What was measured, by the names of the points.

        Raises:
          ValueError: a point cannot be sent to the executor's processes; there is an executor and
            a number of this process's devices; a worker's versions differ from those here.
          OSError: the folder cannot be written, or a process of the executor has ended.
        """
        if executor is None:
            results = self._measured_here()
        else:
            if self._num_devices is not None:
                raise ValueError(
                    f"num_devices={self._num_devices} is of this process, but others are to "
                    "measure, on all their devices: leave it out"
                )
            check_sendable(self._points, executor)
            tasks = self._tasks(_SEEDS_OF_A_TASK, _SECONDS_OF_A_TASK)
            # The longest first, so that in the end no worker waits for long.
            tasks.sort(key=lambda task: -task.point.work * len(task.seeds))
            results = outcomes(executor, measure_seeds, tasks)
        with contextlib.closing(results):
            for task, outcome in results:
                self._record(task, outcome, folder)
                advance(task.point.work * (len(task.seeds) if outcome.skipped else outcome.count))
                if hosts.must_end():
                    raise hosts.Preempted
        return {point.name: self._measured(point.name) for point in self._points}

    def _measured_here(self) -> Generator[tuple[Task, Outcome], None, None]:
        """A task comes back after each batch of seeds, to be recorded, and its rest goes next."""
        memory = min(hosts.from_all(self._memory or usable_memory()))
        programs = Programs(self._mesh, self._impl, memory)
        tasks = self._tasks(len(self._keys), seconds=0)
        with LocalThreads() as threads:
            if hosts.count() == 1:
                yield from outcomes(threads, programs.measure, tasks, at_once=threads.count)
            else:
                yield from outcomes_in_order(threads, programs, tasks)
        del programs
        gc.collect()  # See `Programs`.

    def _tasks(self, most: int, seconds: float) -> list[Task]:
        """What is missing, in tasks of at most so many seeds."""
        terms = Terms(
            uuid.uuid4().hex, self._impl, self._memory, seconds, options_here(), versions()
        )
        prng, keys = str(jax.random.key_impl(self._keys)), jax.random.key_data(self._keys)
        keys, data, tasks = np.asarray(keys), {}, []
        for point in self._points:
            kept = self._kept[point.name]
            missing = np.array([seed for seed in range(len(keys)) if seed not in kept], int)
            number = data.setdefault(point.draw, len(data))
            # Nearly equal ones, all of which the program of the largest can do.
            shares = np.array_split(missing, -(-len(missing) // most)) if len(missing) else []
            tasks += [
                Task(terms, point, number, tuple(map(int, s)), keys[s], prng, len(shares[0]))
                for s in shares
            ]
        return tasks

    def _record(self, task: Task, outcome: Outcome, folder: RunFolder | None) -> None:
        name, now = task.point.name, time.perf_counter()
        costs = outcome.costs | {"wall": now - self._clock}
        self._clock = now
        if outcome.skipped:
            self._skipped[name] = outcome.skipped
            return
        chunk = {
            "seeds": list(task.seeds[: outcome.count]),
            "values": {key: values.tolist() for key, values in outcome.values.items()},
            "costs": costs,
        }
        if folder is not None:
            folder.log("chunk", point=name, **chunk, worker=outcome.worker)
        self._keep(name, **chunk)

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
    found = np.array(values, float)
    return np.where(np.isfinite(found), found, np.nan)

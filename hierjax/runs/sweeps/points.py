"""What a sweep measures: points, and the tasks that they are divided into."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any


class Point(NamedTuple):
    """What is measured for every seed.

    Attributes:
      name: unique in its sweep; records carry it.
      work: how much one seed takes, in any unit: progress is told in it.
      draw: key of a seed -> data; hashable, and equal for points that share data.
      measure: (key of a seed, data) -> scalars or small arrays by name, NaN for what cannot be
        had.
      fills_cpu: whether one seed keeps all cores of a CPU at work, as one does that factorises
        large matrices: there such seeds go one after another.
    """

    name: str
    work: float
    draw: Callable[[jax.Array], PyTree]
    measure: Callable[[jax.Array, PyTree], dict[str, jax.Array]]
    fills_cpu: bool = False


class Terms(NamedTuple):
    """What all tasks of a sweep have in common.

    Attributes:
      sweep: a name that no other sweep has; a process keeps compiled programs under it.
      impl: how seeds are divided between the devices of a process, see `map_seeds`.
      memory: bytes that a device of a process may use, or all devices of a CPU together; None for
        four fifths of what is free.
      seconds: a task begins no further batch of seeds after so long, and leaves the rest.
      options: of JAX, by name: a task is measured under those of the driver.
      versions: of the driver, by name.
    """

    sweep: str
    impl: str
    memory: int | None
    seconds: float
    options: dict[str, Any]
    versions: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Task:
    """Seeds of a point, which one process measures.

    Attributes:
      terms: those of the sweep.
      point: what is measured.
      data: number of the point's `draw`, the same for points that share data.
      seeds: their numbers.
      keys: raw data of their keys, one row a seed.
      prng: name of the keys' generator.
      most: seeds that the program of the point is compiled for, fewer if memory is short; the
        same for all tasks of the point, so that they share it.
    """

    terms: Terms
    point: Point
    data: int
    seeds: tuple[int, ...]
    keys: np.ndarray
    prng: str
    most: int

    def after(self, count: int) -> Self:
        """The task without its first `count` seeds."""
        return dataclasses.replace(self, seeds=self.seeds[count:], keys=self.keys[count:])

    def typed_keys(self, rows: np.ndarray) -> jax.Array:
        """The keys of some of the seeds."""
        return jax.random.wrap_key_data(jnp.asarray(self.keys[rows]), impl=self.prng)


class Outcome(NamedTuple):
    """What came of a task.

    Attributes:
      count: the first seeds of the task, which were measured.
      values: (count, ...) arrays by name.
      costs: seconds to "compile" and to "run", and "programs" compiled.
      worker: machine and process that measured it.
      skipped: why nothing can be measured; else empty.
    """

    count: int
    values: dict[str, np.ndarray]
    costs: dict[str, float]
    worker: str
    skipped: str = ""

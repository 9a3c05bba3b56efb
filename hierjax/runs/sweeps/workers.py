"""What a worker process does: it measures tasks that a driver sends, if both are the same code."""

import functools
import sys
import threading

import jax

from hierjax.runs.conditions import versions
from hierjax.runs.memory import free_memory
from hierjax.runs.parallel import seed_mesh
from hierjax.runs.sweeps.points import Outcome, Task
from hierjax.runs.sweeps.programs import Programs, worker_name

_SHARE_OF_MEMORY = 0.8
_LOCK = threading.Lock()


def measure_seeds(task: Task) -> Outcome:
    """Measures a task on all devices of this process.

    Raises:
      ValueError: this process and the driver differ in their versions.
    """
    _check_versions(task.terms.versions)
    with _LOCK:
        programs = _programs_here(task.terms.impl, task.terms.memory)
    return programs.measure(task)


@functools.cache
def _programs_here(impl: str, memory: int | None) -> Programs:
    return Programs(seed_mesh(), impl, memory or usable_memory())


def usable_memory() -> int:
    """Bytes that the first device of this process may use, or all devices of a CPU together.

    They are four fifths of what is free; of what Dask lets a worker have, on the CPU of one.
    """
    free = free_memory()
    if jax.default_backend() == "cpu" and "distributed.worker" in sys.modules:
        free = min(free, _left_by_dask() or free)
    return int(_SHARE_OF_MEMORY * free)


def _left_by_dask() -> int | None:
    """Bytes until Dask ends the worker of this thread; None if it has no limit, or is no worker."""
    import psutil
    from distributed import get_worker

    try:
        limit = getattr(get_worker().memory_manager, "memory_limit", None)
    except ValueError:
        return None
    return limit and max(limit - psutil.Process().memory_info().rss, 1)


def _check_versions(driver: dict[str, str]) -> None:
    here = versions()
    for name in (each for each in here if each in driver):
        if here[name] != driver[name]:
            raise ValueError(
                f"worker {worker_name()} has {name} {here[name]}, and the driver {driver[name]}: "
                "install the same on both, and start the worker again"
            )

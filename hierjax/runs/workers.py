"""What a worker process does: it measures tasks that a driver sends, if both are the same code."""

import functools
import hashlib
import platform
import sys
import threading
from importlib import metadata
from pathlib import Path

import jax

from hierjax.runs.parallel import free_memory, seed_mesh
from hierjax.runs.points import Outcome, Task
from hierjax.runs.programs import Programs, worker_name
from hierjax.runs.record import environment

_SHARE_OF_MEMORY = 0.8
_UNKNOWN = "unknown"
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


@functools.cache
def versions() -> dict[str, str]:
    """What driver and workers must have in common, for the same numbers and none misread."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "jax": jax.__version__,
        "hierjax": metadata.version("hierjax"),
        "commit": environment()["commit"] or _UNKNOWN,
        "source": _digest(),
    }


def _check_versions(driver: dict[str, str]) -> None:
    here = versions()
    for name, wanted in driver.items():
        known = here.get(name, _UNKNOWN)
        # An installed package does not know its commit, but has the same source.
        if known != wanted and (name != "commit" or _UNKNOWN not in (known, wanted)):
            what = {"commit": "commit of hierjax", "source": "source of hierjax"}.get(name, name)
            raise ValueError(
                f"worker {worker_name()} has {what} {known}, and the driver {wanted}: install the "
                "same on both, and start the worker again"
            )


def _digest() -> str:
    """Of the package's source, which may have changed since its commit."""
    root, found = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return found.hexdigest()[:12]

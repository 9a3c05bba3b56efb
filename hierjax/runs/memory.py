"""Memory of devices: what programs need, what is free, and how many seeds at once fit."""

import math
import os
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

PyTree = Any


def bytes_of_call(compiled: jax.stages.Compiled, arguments: bool = True) -> int:
    """Returns the bytes that a call of a program takes on each device, 0 where that is not known.

    Args:
      compiled: the program.
      arguments: whether its arguments count, too.
    """
    analysis = compiled.memory_analysis()
    sizes = ["output_size_in_bytes", "temp_size_in_bytes"]
    sizes += ["argument_size_in_bytes"] if arguments else []
    return 0 if analysis is None else sum(getattr(analysis, size) for size in sizes)


def num_bytes(layout: PyTree) -> int:
    """Returns the bytes of all arrays of a tree of arrays or of `jax.ShapeDtypeStruct`."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(layout))


def require_memory(needed: float, what: str, on_host: bool = False) -> None:
    """Refuses what does not fit into the memory that is free.

    Args:
      needed: bytes, on one device, or on all devices of a CPU together.
      what: what needs them, a subject in the plural.
      on_host: whether the memory of the host is meant, not that of a device.

    Raises:
      ValueError: fewer bytes are free.
    """
    free = _free_on_host() if on_host else free_memory()
    if needed > free:
        raise ValueError(
            f"{what} need {needed / 2**30:.3g} GiB of memory, and {free / 2**30:.3g} GiB are free: "
            "lower the sizes, or use fewer devices"
        )


def free_memory() -> int:
    """Returns the bytes that the first device of this host has left for arrays.

    Those of a CPU are the free memory of the host, which all of its processes share.
    """
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return _free_on_host()


def _free_on_host() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
        return 1024 * int(available)
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def fewer_lanes(lanes: int, needed: int, free: int) -> int:
    """Returns the number of seeds at once, at least 1, for which memory is likely to be enough.

    Args:
      lanes: number for which it is not, at least 2.
      needed: bytes that it takes.
      free: bytes that there are.
    """
    return max(1, min(lanes - 1, lanes * free // needed))


def sharing_memory(num_seeds: int, mesh: Mesh) -> int:
    """Returns how many devices at work on seeds share one memory: on a CPU those of a process."""
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return min(len(mesh.local_devices), num_seeds) if on_cpu else 1

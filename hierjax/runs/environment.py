"""Where a run runs: versions, devices, and commit."""

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import jax

from hierjax.runs import hosts


def environment() -> dict:
    """Describes where a run runs: versions, devices and commit, values that JSON can hold."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "started": now(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "platform": jax.default_backend(),
        "device": device_name(),
        "num_cores": os.cpu_count(),
        "num_devices": jax.local_device_count(),
        "commit": _commit(),
    }


def now() -> str:
    """Returns the date and time, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def device_name() -> str:
    """Returns the kind of the accelerator, or else the name of the processor."""
    if jax.default_backend() != "cpu":
        return jax.local_devices()[0].device_kind
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak_memory() -> list[int | None]:
    """Returns the most bytes that each device has held; None for those that do not count them.

    Those of all processes come in the order of `jax.devices()`.
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = hosts.from_all([each.get("peak_bytes_in_use") for each in stats])
    return [peak for process in peaks for peak in process]


def _commit() -> str | None:
    """Returns the commit of the checkout, with "-dirty" behind it where tracked files differ."""
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    command = ["git", "-C", str(Path(__file__).parent), *describe]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

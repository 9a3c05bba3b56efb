"""How much memory a call needs at its peak."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_LIBC = ctypes.CDLL(None)


def is_known() -> bool:
    """Whether the peak of a single call can be told, as on a CPU under Linux."""
    return jax.default_backend() == "cpu" and _CLEAR.exists()


def peak_bytes(call: Callable[[], Any]) -> tuple[Any, int | None]:
    """What a call returns, and how many bytes its peak is above what was held before it.

    On a CPU these are the process's resident pages, as Linux counts them; on other devices what
    their first allocator says, whose peak is that of the whole process so far. None where neither
    is told.
    """
    before, _ = _held()
    output = jax.block_until_ready(call())
    _, peak = _held(reset=False)
    return output, None if before is None or peak is None else max(peak - before, 0)


def _held(reset: bool = True) -> tuple[int | None, int | None]:
    """Bytes held now and at their peak; on a CPU the peak starts anew on `reset`."""
    if jax.default_backend() != "cpu":
        stats = jax.local_devices()[0].memory_stats() or {}
        return stats.get("bytes_in_use"), stats.get("peak_bytes_in_use")
    try:
        if reset:
            if hasattr(_LIBC, "malloc_trim"):
                _LIBC.malloc_trim(0)  # What was freed and is kept would be used unseen.
            _CLEAR.write_text(_RESET_PEAK)
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    except OSError:
        return None, None
    held, peak = (1024 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    return held, peak

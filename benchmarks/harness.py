"""How work is measured: correctness first, then interleaved repeats of it and of a baseline."""

import dataclasses
import functools
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from hierjax.record import environment


class WrongResult(Exception):
    """What was to be timed does not do its work."""


@dataclasses.dataclass(frozen=True)
class Case:
    """Work to be timed.

    Attributes:
      suite: group of cases.
      name: what tells the case apart within its suite.
      items: what one call makes or uses up, in `unit`.
      unit: name of the items, plural.
      make_ours: compiles our code and returns the call, all arguments bound; timed apart.
      baseline: a call that does the same work by other means, ready to go; None for no baseline.
      check: takes what ours and what the baseline (else None) returned; raises WrongResult
        unless both are right.
    """

    suite: str
    name: str
    items: int
    unit: str
    make_ours: Callable[[], Callable[[], Any]]
    baseline: Callable[[], Any] | None
    check: Callable[[Any, Any], None]


def compiled(function: Callable, *args) -> Callable[[], Any]:
    """Compiles a pure function for its arguments; returns the call with these bound."""
    return functools.partial(jax.jit(function).lower(*args).compile(), *args)


def measure(case: Case, repeats: int) -> dict:
    """Compiles, warms up, checks the results of the warm-up, and only then times calls.

    Calls of ours and of the baseline take turns, so that a change of the machine's load falls on
    both.

    Args:
      case: the work.
      repeats: timed calls of each.

    Returns:
      A JSON-able record. "ours" and "baseline" (or None) hold "seconds" of a call (median and
      quartiles), median "cpu_seconds" of a call (all threads of the process), "compile_seconds"
      (tracing included; None where nothing is compiled) and "items_per_second" for each device
      used; "ratio" is how many times faster ours is: the median over pairs of seconds of the
      baseline over seconds of ours.

    Raises:
      WrongResult: by the check of the case.
    """
    load_average = os.getloadavg()
    start = time.perf_counter()
    ours = case.make_ours()
    compile_seconds = time.perf_counter() - start

    output = jax.block_until_ready(ours())
    num_devices = _num_devices(output)
    baseline_output = None if case.baseline is None else jax.block_until_ready(case.baseline())
    case.check(output, baseline_output)
    del output, baseline_output

    our_times, baseline_times = [], []
    for _ in range(repeats):
        our_times.append(_time(ours))
        if case.baseline is not None:
            baseline_times.append(_time(case.baseline))
    return {
        "suite": case.suite,
        "case": case.name,
        "items": case.items,
        "unit": case.unit,
        "repeats": repeats,
        "ours": {
            **_summary(our_times, case.items / num_devices),
            "compile_seconds": compile_seconds,
        },
        "baseline": (
            {**_summary(baseline_times, case.items), "compile_seconds": None}
            if baseline_times
            else None
        ),
        "ratio": _ratio(our_times, baseline_times) if baseline_times else None,
        "devices_used": num_devices,
        "load_average": load_average,
        **_machine(),
    }


def _num_devices(output: Any) -> int:
    """Number of devices that hold an output; 1 for what lives on the host."""
    arrays = [leaf for leaf in jax.tree.leaves(output) if isinstance(leaf, jax.Array)]
    return max(len({device for array in arrays for device in array.devices()}), 1)


def _time(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    return time.perf_counter() - wall, time.process_time() - cpu


def _summary(times: list[tuple[float, float]], items: float) -> dict:
    wall, cpu = np.array(times).T
    q1, median, q3 = np.quantile(wall, [0.25, 0.5, 0.75]).tolist()
    return {
        "seconds": {"median": median, "q1": q1, "q3": q3},
        "cpu_seconds": float(np.median(cpu)),
        "items_per_second": items / median,
    }


def _ratio(
    our_times: list[tuple[float, float]], baseline_times: list[tuple[float, float]]
) -> float:
    return float(np.median(np.array(baseline_times)[:, 0] / np.array(our_times)[:, 0]))


def _machine() -> dict:
    """Date, versions and device."""
    where = environment()
    return {"date": where.pop("started"), **where}

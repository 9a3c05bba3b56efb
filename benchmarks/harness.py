"""How work is measured: correctness first, then interleaved repeats of it and of a baseline."""

import dataclasses
import functools
import os
import resource
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import torch_baselines
from benchmarks.ceilings import Ceilings
from benchmarks.memory import peak_bytes
from hierjax.runs.environment import environment


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
      check: takes what ours and what the baseline (else None) returned; raises WrongResult
        unless both are right.
      baseline: a call that does the same work by other means, ready to go; None for no baseline.
      against: what the baseline is; empty where there is none.
      flops: floating-point operations that the work cannot do without, of one call; 0 if they are
        not what it costs.
      num_bytes: read and written, likewise.
      in_process: whether a call of ours works in this process; compile time and memory of others
        are not told.
    """

    suite: str
    name: str
    items: int
    unit: str
    make_ours: Callable[[], Callable[[], Any]]
    check: Callable[[Any, Any], None]
    baseline: Callable[[], Any] | None = None
    against: str = ""
    flops: float = 0.0
    num_bytes: float = 0.0
    in_process: bool = True


class Growth(NamedTuple):
    """A quantity that users scale, and the work that it scales.

    Attributes:
      quantity: its name.
      values: ascending.
      exponent: of the cost in the quantity, as the algorithm has it where the quantity is large.
      make_case: value -> work, without a baseline.
      cost: "seconds" of a call, or its "peak_bytes".
    """

    quantity: str
    values: tuple[int, ...]
    exponent: float
    make_case: Callable[[int], Case]
    cost: str = "seconds"


def compiled(function: Callable, *args) -> Callable[[], Any]:
    """Compiles a pure function for its arguments; returns the call with these bound."""
    return functools.partial(jax.jit(function).lower(*args).compile(), *args)


def measure(case: Case, repeats: int, ceilings: Ceilings) -> dict:
    """Compiles, warms up, checks the results of the warm-up, and only then times calls.

    Calls of ours and of the baseline take turns, so that a change of the machine's load falls on
    both.

    Args:
      case: the work.
      repeats: timed calls of each.
      ceilings: what the device was measured to be capable of.

    Returns:
      A JSON-able record. "ours" and "baseline" (or None) hold "seconds" of a call (median and
      quartiles), median "cpu_seconds" of a call (all threads, and processes it started),
      "compile_seconds" (tracing included; None where nothing is compiled), "peak_bytes" of memory
      that the first call adds, and "items_per_second" for each device used. "achieved" holds the
      rates of `flops` and `num_bytes`, "floor_seconds" what a call would take at the ceilings,
      "share" the floor over the median. "ratio" is how many times less ours costs: the median over
      pairs, of CPU-seconds on a CPU and of seconds elsewhere.

    Raises:
      WrongResult: by the check of the case.
    """
    load_average = os.getloadavg()
    start = time.perf_counter()
    ours = case.make_ours()
    compile_seconds = time.perf_counter() - start

    output, our_bytes = peak_bytes(ours)
    num_devices = _num_devices(output)
    baseline_output, baseline_bytes = None, 0
    if case.baseline is not None:
        baseline_output, baseline_bytes = peak_bytes(case.baseline)
    case.check(output, baseline_output)
    del output, baseline_output

    our_times, baseline_times = [], []
    for _ in range(repeats):
        our_times.append(_time(ours))
        if case.baseline is not None:
            baseline_times.append(_time(case.baseline))
    where = machine()
    measured: dict[str, Any] = {
        **_summary(our_times, case.items / num_devices),
        "compile_seconds": compile_seconds if case.in_process else None,
        "peak_bytes": our_bytes if case.in_process else None,
    }
    baseline = None
    if baseline_times:
        baseline = {
            **_summary(baseline_times, case.items),
            "compile_seconds": None,
            "peak_bytes": baseline_bytes,
        }
    return {
        "suite": case.suite,
        "case": case.name,
        "against": case.against or None,
        "items": case.items,
        "unit": case.unit,
        "repeats": repeats,
        "ours": measured,
        "baseline": baseline,
        "ratio": _ratio(our_times, baseline_times, where["platform"]) if baseline else None,
        **_against_ceilings(case, measured["seconds"]["median"] * num_devices, ceilings),
        "devices_used": num_devices,
        "load_average": load_average,
        **where,
    }


def _num_devices(output: Any) -> int:
    """Number of devices that hold an output; 1 for what lives on the host."""
    arrays = [leaf for leaf in jax.tree.leaves(output) if isinstance(leaf, jax.Array)]
    return max(len({device for array in arrays for device in array.devices()}), 1)


def _time(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    jax.block_until_ready(call())
    return time.perf_counter() - wall, cpu_seconds() - cpu


def cpu_seconds() -> float:
    """CPU time of this process and of the processes that it has started and seen end."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _summary(times: list[tuple[float, float]], items: float) -> dict:
    wall, cpu = np.array(times).T
    q1, median, q3 = np.quantile(wall, [0.25, 0.5, 0.75]).tolist()
    return {
        "seconds": {"median": median, "q1": q1, "q3": q3},
        "cpu_seconds": float(np.median(cpu)),
        "items_per_second": items / median,
    }


def _ratio(our_times: list, baseline_times: list, platform: str) -> float:
    clock = 1 if platform == "cpu" else 0
    return float(np.median(np.array(baseline_times)[:, clock] / np.array(our_times)[:, clock]))


def _against_ceilings(case: Case, device_seconds: float, ceilings: Ceilings) -> dict:
    work = {"flops_per_second": case.flops, "bytes_per_second": case.num_bytes}
    limits = ceilings._asdict()
    floor = max(amount / limits[name] for name, amount in work.items())
    return {
        "achieved": {name: amount / device_seconds or None for name, amount in work.items()},
        "ceilings": limits,
        "floor_seconds": floor or None,
        "share": floor / device_seconds or None,
    }


@functools.cache
def machine() -> dict:
    """Date, versions, device and commit when first asked for, and what malloc was told."""
    where = environment()
    if torch_baselines.torch is not None:
        where["versions"]["torch"] = torch_baselines.torch.__version__
    malloc = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
    return {"date": where.pop("started"), "malloc": malloc, **where}

"""Workers of Dask: those of a cluster's scheduler, or processes of this machine.

`distributed` is imported only where it is asked for.
"""

import contextlib
import functools
import importlib.util
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, NamedTuple

import jax

from hierjax.runs.sweeps.dask_executor import DaskExecutor

_SECONDS_TO_CONNECT = 6
_SECONDS_TO_CLOSE = 5

# They share the cores.
_MOST_ON_A_CORE = 4

# Of the workers in a row that die at a task: it is given up after one more.
_ALLOWED_FAILURES = 5

_LOGGERS = ("distributed", "tornado", "bokeh", "asyncio", "concurrent")
_CPU_DEVICES = "JAX_NUM_CPU_DEVICES"
_CACHE_OPTIONS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
_WORKER_SETTINGS = {
    # They hold no data that could be spilled, and one that is paused is never heard of again.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}
# Ctrl-C goes to all processes of a terminal: workers end with this one, and silently.
_IN_WORKERS = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"

_KEPT = "what was measured is kept, and the same command goes on from it"


class Workers(NamedTuple):
    """Who measures a sweep.

    Attributes:
      executor: for `Sweep.run`; None if this process does it.
      scheduler: its address, which other workers can join; else empty.
      dashboard: address of the page that shows their work; empty if there is none.
      count: workers that are there as yet; more may join.
    """

    executor: Executor | None = None
    scheduler: str = ""
    dashboard: str = ""
    count: int = 1


@contextlib.contextmanager
def workers_of(scheduler: str | None = None, workers: int | None = None) -> Iterator[Workers]:
    """Within it there are workers for a sweep: this process alone if neither is given.

    Args:
      scheduler: address of a Dask scheduler, as tcp://host:8786.
      workers: number of worker processes to start on this machine, which share its cores.

    Raises:
      ValueError: both are given, or one is wrong, or `distributed` is not installed.
      OSError: there is no scheduler, or from within: it or workers have ended.
    """
    if scheduler is None and workers is None:
        yield Workers()
        return
    _check(scheduler, workers)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_silence())
        if workers is not None:
            scheduler = stack.enter_context(_local_scheduler(workers))
        assert scheduler is not None
        client = stack.enter_context(_client(scheduler))
        count = len(client.scheduler_info(n_workers=-1)["workers"])
        executor = stack.enter_context(DaskExecutor(client))
        with _clear_errors(scheduler):
            yield Workers(executor, scheduler, client.dashboard_link or "", count)


def _check(scheduler: str | None, workers: int | None) -> None:
    if scheduler is not None and workers is not None:
        raise ValueError(
            f"scheduler={scheduler} has workers of its own: leave out workers={workers}"
        )
    if importlib.util.find_spec("distributed") is None:
        raise ValueError("workers need Dask: pip install 'hierjax[distributed]'")
    most = _MOST_ON_A_CORE * (os.cpu_count() or 1)
    if workers is not None and not 1 <= workers <= most:
        raise ValueError(f"workers={workers} must be from 1 to {most}, {_MOST_ON_A_CORE} a core")
    if workers is not None and jax.default_backend() != "cpu":
        raise ValueError(
            f"workers={workers} would share the cores of this machine, but JAX uses its "
            f"{jax.default_backend()}: see docs/scaling.md for a worker on each"
        )
    if scheduler is not None:
        found = re.fullmatch(r"(tcp|tls|ws|wss)://[^:/\s]+:(\d+)", scheduler)
        if not found or not 0 < int(found[2]) < 2**16:
            raise ValueError(f"scheduler={scheduler} must be an address as tcp://host:8786")


@contextlib.contextmanager
def _local_scheduler(workers: int) -> Iterator[str]:
    """A scheduler in this process, of workers that end with it; its address."""
    import dask
    from distributed import LocalCluster

    before = dict(os.environ)
    environment = {"distributed.nanny.pre-spawn-environ": _worker_environment(workers)}
    with dask.config.set(_WORKER_SETTINGS | environment):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            silence_logs=logging.CRITICAL + 1,
            dashboard_address="127.0.0.1:0",
            preload=[_IN_WORKERS],
            scheduler_kwargs={"allowed_failures": _ALLOWED_FAILURES},
        )
    try:
        yield cluster.scheduler_address
    finally:
        with contextlib.suppress(Exception):
            cluster.close(timeout=_SECONDS_TO_CLOSE)
        os.environ.clear()  # Dask sets the workers' environment in this process first.
        os.environ.update(before)


def _worker_environment(workers: int) -> dict[str, str]:
    """For JAX in the workers: cores as devices, as many for each; one folder of programs."""
    found = {f"DASK_LOGGING__{name.upper()}": "critical" for name in _LOGGERS}
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        found[_CPU_DEVICES] = str(max(1, (os.cpu_count() or 1) // workers))
    options = {name: getattr(jax.config, name) for name in _CACHE_OPTIONS}
    return found | {
        name.upper(): str(value) for name, value in options.items() if value is not None
    }


@contextlib.contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    from distributed import Client

    # Its own timeout does not hold where something listens, but never answers.
    connecting: Future = Future()
    connect = functools.partial(
        Client, scheduler, timeout=_SECONDS_TO_CONNECT, set_as_default=False
    )
    threading.Thread(target=_call_into, args=(connecting, connect), daemon=True).start()
    try:
        client = connecting.result(_SECONDS_TO_CONNECT)
    except Exception as error:
        raise OSError(
            f"no scheduler answers at {scheduler} within {_SECONDS_TO_CONNECT} s: start one there, "
            "dask scheduler, or correct the address"
        ) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=_SECONDS_TO_CLOSE)


def _call_into(future: Future, function: Callable[[], Any]) -> None:
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)


@contextlib.contextmanager
def _clear_errors(scheduler: str) -> Iterator[None]:
    """Says in a line what Dask's errors mean."""
    from distributed import KilledWorker
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise OSError(
            f"{error.allowed_failures + 1} workers ended, one after another, {_where(error)}, "
            f"perhaps because they ran out of memory: give each more; {_KEPT}"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise OSError(
            f"the scheduler at {scheduler} has ended, or cannot be reached: {_KEPT}"
        ) from error
    except (ImportError, AttributeError) as error:
        if not _where(error):  # Not of a worker.
            raise
        raise OSError(
            f"a worker cannot load what it is to do {_where(error)} ({error}): install hierjax "
            f"there as it is here, and start the worker in the same folder; {_KEPT}"
        ) from error


def _where(error: Exception) -> str:
    """At which point a task failed."""
    return " ".join(getattr(error, "__notes__", ())[:1])


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Within it Dask and what it is built on log nothing: what matters ends in an error."""
    import distributed  # noqa: F401  It gives some of its loggers handlers.

    names = {*_LOGGERS, *(each for each in logging.root.manager.loggerDict)}
    loggers = [logging.getLogger(name) for name in names if name.split(".")[0] in _LOGGERS]
    before = [(each.handlers, each.propagate) for each in loggers]
    for each in loggers:
        nothing: list[logging.Handler] = [logging.NullHandler()]
        each.handlers, each.propagate = nothing, False
    try:
        yield
    finally:
        for each, (handlers, propagate) in zip(loggers, before, strict=True):
            each.handlers, each.propagate = handlers, propagate

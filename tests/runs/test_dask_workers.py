"""Workers of Dask on this machine, which die, and drivers that die."""

import contextlib
import importlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import Future
from pathlib import Path

import jax
import pytest
from distributed import KilledWorker, LocalCluster

from hierjax.runs.conditions import versions
from hierjax.runs.record import RunFolder
from hierjax.runs.sweeps import dask_executor, dask_workers, sweep
from hierjax.runs.sweeps.dask_executor import DaskExecutor
from hierjax.runs.sweeps.dask_workers import _clear_errors as clear_errors
from hierjax.runs.sweeps.dask_workers import workers_of
from hierjax.runs.sweeps.points import Point
from tests.runs import sweep_job

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workers():
    before = state()
    with workers_of(workers=2) as found:
        assert state() != before
        yield found
    assert state() == before


def state():
    """What Dask changes in this process."""
    logger = logging.getLogger("distributed")
    return list(logger.handlers), logger.propagate, dict(os.environ)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run", "test", {})
    yield folder
    folder.close()


@pytest.fixture(scope="module")
def alone():
    return sweep_job.run_alone()


def worker_pids(folder):
    return [int(event["worker"].split(":")[1]) for event in folder.events("chunk")]


def test_a_worker_killed_in_the_middle_is_made_up_for(workers, alone, folder, monkeypatch):
    """Dask starts another in its place."""
    monkeypatch.setattr(sweep, "_SEEDS_OF_A_TASK", 3)
    fatal = folder.path / "fatal"
    fatal.touch()
    sweep_job.check(sweep_job.work(folder, workers.executor, fatal), alone, folder)
    assert not fatal.exists()
    assert os.getpid() not in worker_pids(folder)


def test_a_driver_killed_three_times_goes_on_with_other_workers(workers, alone, folder):
    folder.close()
    for scheduler, count in [(workers.scheduler, ""), ("", ""), ("", "2")]:
        done = len(list(folder.events("chunk")))
        command = [sys.executable, "-m", "tests.runs.sweep_job", folder.path, scheduler, count]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert (result.returncode, result.stdout) == (-9, ""), result.stderr
        assert len(list(folder.events("chunk"))) == done + 1
        if count:
            wait_until_ended(worker_pids(folder)[-1])
    folder = RunFolder(folder.path, "test", {})
    sweep_job.check(sweep_job.work(folder, workers.executor), alone, folder)
    folder.close()


def wait_until_ended(pid):
    deadline = time.monotonic() + 60
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":  # Nobody may reap it.
            assert time.monotonic() < deadline
            time.sleep(0.1)


class Unloadable:
    """Unpickling it fails."""

    def __reduce__(self):
        return importlib.import_module, ("not_on_the_worker",)


def test_what_a_worker_cannot_load_is_said_in_a_line(workers, folder):
    point = Point("far", 1, sweep_job.DrawNumbers(3), Unloadable())
    words = r"at point 'far' \(No module named 'not_on_the_worker'\): install hierjax"
    with pytest.raises(OSError, match=words), clear_errors(workers.scheduler):
        sweep.Sweep([point], sweep_job.seed_keys(0, 2)).run(folder, executor=workers.executor)


def test_workers_of_another_version_refuse(workers, folder, monkeypatch):
    monkeypatch.setattr(sweep, "versions", lambda: versions() | {"jax": "0.1"})
    words = rf"worker \S+:\d+ has jax {jax.__version__}, and the driver 0.1: install the same"
    with pytest.raises(ValueError, match=words):
        sweep_job.work(folder, workers.executor)


def test_a_task_at_which_workers_die_is_given_up():
    state = types.SimpleNamespace(address="tcp://there:1")
    error = KilledWorker("30 1", state, 5)
    error.add_note("at point '30 1'")
    words = "6 workers ended, one after another, at point '30 1'"
    with pytest.raises(OSError, match=words), clear_errors("tcp://there:1"):
        raise error


@pytest.mark.parametrize(("executing", "is_stuck"), [(0, True), (1, False)])
def test_workers_that_all_wait_for_memory_are_noticed(monkeypatch, executing, is_stuck):
    monkeypatch.setattr(dask_executor, "_SECONDS_BETWEEN_LOOKS", 0.01)
    each = {"status": "paused", "metrics": {"executing": executing}}
    executor = types.SimpleNamespace(submit=lambda *args, key: Future())
    client = types.SimpleNamespace(
        get_executor=lambda: executor, scheduler_info=lambda n_workers: {"workers": {"one": each}}
    )
    task = types.SimpleNamespace(point=sweep_job.make_points()[0])
    with DaskExecutor(client) as stuck:
        error = None
        with contextlib.suppress(TimeoutError):
            error = stuck.submit(print, task).exception(timeout=60 if is_stuck else 0.5)
    assert ("all workers wait for memory" in str(error)) == is_stuck


def close_when_busy(cluster):
    while not cluster.scheduler.tasks:
        time.sleep(0.05)
    cluster.close()


def test_a_lost_scheduler_is_said_in_a_line(folder):
    cluster = LocalCluster(n_workers=0, dashboard_address=None)
    words = f"the scheduler at {cluster.scheduler_address} has ended, or cannot be reached: what"
    threading.Thread(target=close_when_busy, args=(cluster,)).start()
    with pytest.raises(OSError, match=words), workers_of(cluster.scheduler_address) as found:
        sweep_job.work(folder, found.executor)


def test_no_scheduler_is_said_in_a_line(monkeypatch):
    """Nor one where something else listens."""
    monkeypatch.setattr(dask_workers, "_SECONDS_TO_CONNECT", 1)
    with socket.create_server(("localhost", 0)) as server:
        for port in (1, server.getsockname()[1]):
            address = f"tcp://localhost:{port}"
            words = f"no scheduler answers at {address} within 1 s"
            with pytest.raises(OSError, match=words), workers_of(address):
                pass


@pytest.mark.parametrize(
    ("scheduler", "workers", "words"),
    [
        ("tcp://localhost:1", 2, "scheduler=tcp://localhost:1 has workers of its own"),
        (None, 0, "workers=0 must be from 1 to"),
        ("", None, "scheduler= must be an address as tcp://host:8786"),
        ("localhost:8786", None, "scheduler=localhost:8786 must be an address"),
        ("tcp://localhost", None, "must be an address"),
        ("tcp://localhost:99999", None, "must be an address"),
    ],
)
def test_bad_requests_are_refused(scheduler, workers, words):
    with pytest.raises(ValueError, match=words), workers_of(scheduler, workers):
        pass


def test_dask_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    words = r"pip install 'hierjax\[distributed\]'"
    with pytest.raises(ValueError, match=words), workers_of(workers=1):
        pass

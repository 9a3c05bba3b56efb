"""Tasks on executors of the standard library."""

import dataclasses
import multiprocessing
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import jax
import numpy as np
import pytest

from hierjax.runs.conditions import options_here, under, versions
from hierjax.runs.parallel import seed_keys, seed_mesh
from hierjax.runs.record import RunFolder
from hierjax.runs.sweeps import sweep
from hierjax.runs.sweeps.executors import check_sendable, outcomes
from hierjax.runs.sweeps.points import Outcome, Point, Task, Terms
from hierjax.runs.sweeps.programs import Programs
from hierjax.runs.sweeps.sweep import Sweep
from hierjax.runs.sweeps.workers import measure_seeds
from tests.runs import sweep_job


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run", "test", {})
    yield folder
    folder.close()


def make_task(name="p", count=4, seconds=0.0, point=None, **options):
    terms = Terms(name, "shard_map", None, seconds, options_here() | options, versions())
    keys = seed_keys(0, count)
    prng, raw = str(jax.random.key_impl(keys)), np.asarray(jax.random.key_data(keys))
    point = point or Point(name, 1, sweep_job.DrawNumbers(2), sweep_job.Moments(1))
    return Task(terms, point, 0, tuple(range(count)), raw, prng, count)


def test_processes_measure_the_same_bits(folder, monkeypatch):
    monkeypatch.setattr(sweep, "_SEEDS_OF_A_TASK", 3)
    told = []
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        measured = sweep_job.work(folder, pool, advance=told.append)
    events = list(folder.events("chunk"))
    sweep_job.check(measured, sweep_job.run_alone(), folder)
    assert sum(told) == sum(point.work for point in sweep_job.make_points()) * 7
    assert sorted(len(event["seeds"]) for event in events) == [2, 2, 2, 2, 2, 2, 3, 3, 3]
    assert len({event["worker"] for event in events}) <= 2


def test_threads_of_the_caller_will_do(folder):
    """Nothing is sent, so nothing need be picklable."""
    point = Point("here", 1, lambda key: key, lambda key, data: {"x": jax.random.normal(data)})
    keys = seed_keys(0, 3)
    with ThreadPoolExecutor(2) as pool:
        found = Sweep([point], keys).run(executor=pool)["here"].values["x"]
    np.testing.assert_array_equal(found, jax.vmap(jax.random.normal)(keys))


def test_a_process_that_ends_is_said_in_a_line(folder):
    (folder.path / "fatal").touch()
    words = "a worker process has ended, perhaps because it ran out of memory: what was"
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        pytest.raises(OSError, match=words),
    ):
        sweep_job.work(folder, pool, folder.path / "fatal")


def test_points_that_cannot_be_sent_are_refused():
    point = Point("local", 1, sweep_job.DrawNumbers(2), lambda key, data: {})
    with (
        ProcessPoolExecutor(1) as pool,
        pytest.raises(ValueError, match="point 'local' cannot be sent to a worker"),
    ):
        Sweep([point], seed_keys(0, 2)).run(executor=pool)
    check_sendable([point], Executor())  # As by cloudpickle.
    with pytest.raises(ValueError, match="cannot be sent"):
        check_sendable([point._replace(measure=threading.Lock())], Executor())


def test_devices_are_not_chosen_for_others():
    swept = Sweep(sweep_job.make_points(), seed_keys(0, 2), num_devices=2)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="num_devices=2 is of"):
        swept.run(executor=pool)


def test_a_task_stops_after_its_time_and_its_rest_is_done_next():
    """Each time after a batch of two, which is recorded before the next one begins."""
    programs = Programs(seed_mesh(2), "shard_map", 10**9)
    tasks = [make_task("a"), make_task("b", 5)]
    with ThreadPoolExecutor(1) as pool:
        found = list(outcomes(pool, programs.measure, tasks, at_once=1))
    assert [(task.point.name, task.seeds[: each.count]) for task, each in found] == [
        ("a", (0, 1)),
        ("a", (2, 3)),
        ("b", (0, 1)),
        ("b", (2, 3)),
        ("b", (4,)),
    ]
    (whole,) = outcomes(ThreadPoolExecutor(1), programs.measure, [make_task("a", seconds=60)])
    assert whole[1].count == 4
    np.testing.assert_array_equal(
        whole[1].values["mean"], np.concatenate([each.values["mean"] for _, each in found[:2]])
    )


class Manual(ThreadPoolExecutor):
    """Ends all tasks at once, the first one with an error, when the last one is there."""

    def __init__(self, count):
        super().__init__(1)
        self._count, self._futures = count, []

    def submit(self, function, task):
        self._futures.append(Future())
        return self._futures[-1]

    def end(self):
        self._futures[0].set_exception(ZeroDivisionError())
        for future in self._futures[1:-1]:
            future.set_result(Outcome(4, {}, {}, "w"))


def test_what_is_there_is_given_before_an_error_is_raised():
    executor, found = Manual(4), []
    results = outcomes(executor, measure_seeds, [make_task(each) for each in "abcd"])
    threading.Timer(0.1, executor.end).start()
    with pytest.raises(ZeroDivisionError) as caught:
        found.extend(task.point.name for task, _ in results)
    assert caught.value.__notes__ == ["at point 'a'"]
    assert executor._futures[-1].cancelled()


def test_a_worker_measures_under_the_options_of_the_driver():
    """Here in a thread that has others."""
    with under({"enable_x64": False}):
        wide = measure_seeds(make_task("wide", enable_x64=True))
        narrow = measure_seeds(make_task("narrow"))
    assert wide.values["mean"].dtype == np.float64
    assert narrow.values["mean"].dtype == np.float32


@pytest.mark.parametrize("name", ["python", "jax", "hierjax", "experiments"])
def test_a_worker_of_another_version_refuses(name):
    task = make_task()
    terms = task.terms._replace(versions=versions() | {name: "of old"})
    with pytest.raises(ValueError, match=rf"worker .*:\d+ has {name} .*, and the driver of old: "):
        measure_seeds(dataclasses.replace(task, terms=terms))

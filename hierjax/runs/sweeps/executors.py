"""Tasks on an executor: threads of this process, a pool of processes, Dask's workers elsewhere."""

import collections
import contextlib
import importlib.util
import os
import pickle
import queue
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent import futures

from hierjax.runs.sweeps.points import Outcome, Point, Task
from hierjax.runs.sweeps.programs import Programs

_MOST_COMPILERS = 4


class LocalThreads(futures.ThreadPoolExecutor):
    """Threads of this process: while one runs its program, the others compile theirs.

    Attributes:
      count: the threads.
    """

    def __init__(self):
        self.count = min(os.cpu_count() or 1, _MOST_COMPILERS) + 1
        super().__init__(self.count)

    def __exit__(self, exc_type, exc_val, exc_tb) -> None:
        # Programs take minutes to compile: what is under way is left to end by itself.
        self.shutdown(wait=False, cancel_futures=True)


def outcomes(
    executor: futures.Executor,
    measure: Callable[[Task], Outcome],
    tasks: Iterable[Task],
    at_once: int | None = None,
) -> Generator[tuple[Task, Outcome], None, None]:
    """What comes of tasks, as it comes; what a task leaves is a task again.

    Before an error of a task is raised, all other outcomes that are there have been given.

    Args:
      executor: where tasks are measured.
      measure: what it is to call.
      tasks: in the order in which they are to begin.
      at_once: given to the executor at a time, so that what is left goes next; by default all.

    Raises:
      OSError: a process of the executor has ended, and the executor with it.
    """
    waiting, running = collections.deque(tasks), {}
    finished: queue.SimpleQueue[futures.Future] = queue.SimpleQueue()
    try:
        while waiting or running:
            while waiting and (at_once is None or len(running) < at_once):
                task = waiting.popleft()
                future = executor.submit(measure, task)
                running[future] = task
                future.add_done_callback(finished.put)
            for future in sorted(_all_of(finished), key=_has_failed):
                task = running.pop(future)
                outcome = _result(future, task)
                rest = task.after(outcome.count)
                if rest.seeds and not outcome.skipped:
                    waiting.appendleft(rest)
                yield task, outcome
    except futures.BrokenExecutor as error:
        raise OSError(
            "a worker process has ended, perhaps because it ran out of memory: what was measured "
            "is kept"
        ) from error
    finally:
        for future in running:
            future.cancel()


def outcomes_in_order(
    threads: LocalThreads, programs: Programs, tasks: Sequence[Task]
) -> Generator[tuple[Task, Outcome], None, None]:
    """What comes of tasks where several processes run each program together, so in one order.

    Args:
      threads: compile the programs of the next tasks.
      programs: what measures.
      tasks: in their order, the same in all processes.
    """
    ahead = collections.deque(tasks)

    def compile_next():
        if ahead:
            threads.submit(programs.compile, ahead.popleft())

    for _ in range(threads.count):
        compile_next()
    for task in tasks:
        compile_next()
        while task.seeds:
            outcome = programs.measure(task)
            yield task, outcome
            if outcome.skipped:
                break
            task = task.after(outcome.count)


def check_sendable(points: Iterable[Point], executor: futures.Executor) -> None:
    """Checks that points can go to the processes of an executor.

    Raises:
      ValueError: one cannot be pickled; by cloudpickle, if the executor is not of this machine's
        processes and it is installed.
    """
    if isinstance(executor, futures.ThreadPoolExecutor):
        return
    only_plain = isinstance(executor, futures.ProcessPoolExecutor)
    for point in points:
        try:
            pickle.dumps(point)
        except Exception as error:
            if only_plain or not _can_cloudpickle(point):
                raise ValueError(
                    f"point {point.name!r} cannot be sent to a worker ({error}): make its draw and "
                    "measure functions of a module, or methods of a dataclass there"
                ) from error


def _can_cloudpickle(point: Point) -> bool:
    if importlib.util.find_spec("cloudpickle") is None:
        return False
    import cloudpickle

    with contextlib.suppress(Exception):
        cloudpickle.dumps(point)
        return True
    return False


def _all_of(finished: queue.SimpleQueue) -> list[futures.Future]:
    """Those that are there, at least one."""
    found = [finished.get()]
    with contextlib.suppress(queue.Empty):
        while True:
            found.append(finished.get_nowait())
    return found


def _has_failed(future: futures.Future) -> bool:
    return future.cancelled() or future.exception() is not None


def _result(future: futures.Future, task: Task) -> Outcome:
    try:
        return future.result()
    except Exception as error:
        error.add_note(f"at point {task.point.name!r}")
        raise

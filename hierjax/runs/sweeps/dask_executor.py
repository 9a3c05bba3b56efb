"""An executor that sends tasks of a sweep to Dask's workers."""

import contextlib
import pickle
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future, InvalidStateError
from typing import Any, NamedTuple

from hierjax.runs.sweeps.points import Task

_SECONDS_BETWEEN_LOOKS = 5.0
_LOOKS = 4


class DaskExecutor(Executor):
    """Sends tasks to workers, and notices where none of them will ever begin one.

    Args:
      client: a `distributed.Client`.
    """

    def __init__(self, client: Any):
        self._client, self._executor = client, client.get_executor()
        self._running: set[Future] = set()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, function: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Calls a function of a task on a worker."""
        import cloudpickle

        (task,) = args

        # A task that Dask itself fails to read on a worker would be sent again and again.
        call = cloudpickle.dumps(_Call(function, task))
        # The dashboard shows what is before the dash.
        key = f"{task.point.name.replace('-', ' ')}-{uuid.uuid4().hex}"
        future = self._executor.submit(pickle.loads, call, key=key)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the watch; what is running is left to its workers."""
        self._ended.set()

    def _watch(self) -> None:
        """A worker that has used most of its memory begins no task, which may last for ever."""
        looks = 0
        while looks < _LOOKS and not self._ended.wait(_SECONDS_BETWEEN_LOOKS):
            looks = looks + 1 if self._all_are_paused() else 0
        error = OSError(
            "all workers wait for memory, of which they have used most: start them with more, or "
            "fewer on a machine; what was measured is kept"
        )
        for future in list(self._running):
            if looks == _LOOKS:
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(error)

    def _all_are_paused(self) -> bool:
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        except Exception:  # The client tells that of the futures.
            return False
        return bool(workers) and all(
            each["status"] == "paused" and not each["metrics"].get("executing") for each in workers
        )


class _Call(NamedTuple):
    """A call that is made where it is unpickled, and that gives what it returns."""

    function: Callable
    task: Task

    def __reduce__(self):
        return self.function, (self.task,)

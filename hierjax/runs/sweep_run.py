"""Carries out an experiment on a sweep: what is missing is measured, by whoever works on it."""

import contextlib
from typing import Any

from hierjax.runs import hosts
from hierjax.runs.environment import device_name, peak_memory
from hierjax.runs.experiment import SweepExperiment
from hierjax.runs.parallel import seed_keys, seed_mesh
from hierjax.runs.profile import Profile
from hierjax.runs.progress import Progress
from hierjax.runs.record import PROFILE, RunFolder
from hierjax.runs.sweeps.dask_workers import workers_of
from hierjax.runs.sweeps.sweep import Measured, Sweep


class SweepRun:
    """Measures the points of an experiment, in this process or by workers of Dask.

    Args:
      experiment: the declaration of the experiment.
      request: an instance of the experiment's class of requests.
    """

    def __init__(self, experiment: SweepExperiment, request: Any):
        self._request = request
        self._num_devices = seed_mesh(request.num_devices).size
        if hosts.count() > 1 and (request.scheduler or request.workers):
            raise ValueError(
                f"--scheduler and --workers are for one process, and here are {hosts.count()}, "
                "which measure together: leave them out"
            )
        keys = seed_keys(request.seed, request.num_seeds)
        points = experiment.points(request)
        self._sweep = Sweep(points, keys, request.num_devices, request.impl)
        self._done, self._machines = 0.0, set()
        self._stack = contextlib.ExitStack()
        self._workers = self._stack.enter_context(workers_of(request.scheduler, request.workers))

    def restore(self, folder: RunFolder) -> None:
        """Reads what an earlier run in the folder has measured.

        Raises:
          ValueError: the folder holds measurements of another run.
        """
        self._done = self._sweep.restore(folder)

    @property
    def resumed(self) -> str:
        """Who measures, in words; empty if it is this process."""
        workers = self._workers
        if workers.executor is None:
            return ""
        if workers.count == 0:
            return f"{workers.scheduler} has no workers yet: the sweep waits until some have come"
        watched = f", which can be watched at {workers.dashboard}" if workers.dashboard else ""
        return f"{workers.count} workers of {workers.scheduler}{watched}"

    def carry_out(self, folder: RunFolder) -> dict[str, Measured]:
        """Measures what is missing.

        Args:
          folder: the run folder, in which measurements are logged as they come in.

        Returns:
          The measurements of all points, by the names of the points.
        """
        folder.log("started", done=self._done)
        with (
            self._stack,
            Profile(folder.path / PROFILE, self._request.profile) as profile,
            Progress(
                round(self._sweep.work), "units of work", self._done, profile.after_piece
            ) as bar,
        ):
            results = self._sweep.run(folder, bar.advance, self._workers.executor)
        workers = (event.get("worker", "") for event in folder.events("chunk"))
        self._machines = {worker.partition(":")[0] for worker in workers}
        return results

    def summary(self, results: dict[str, Measured]) -> dict:
        """Returns what summary.json says of every experiment on a sweep."""
        return {
            "device": device_name(),
            "seconds": {
                kind: sum(each.seconds[kind] for each in results.values())
                for kind in ("compile", "run", "wall")
            },
            "programs_compiled": sum(each.num_compiled for each in results.values()),
            "devices": self._num_devices,
            "peak_memory": peak_memory(),
            "hosts": max(1, len(self._machines)),
        }

    def table(self, results: dict[str, Measured]) -> list[str]:
        """Returns no lines: the notes of the experiment say what the points come to."""
        return []

"""What the commands of this package share: flags, the machine as it is measured, results files."""

import contextlib
import dataclasses
import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path

import jax

from benchmarks import (
    checkpoint,
    context_free,
    end_to_end,
    inference,
    layerwise,
    sampler,
    sweep,
    torch_baselines,
    transformer,
)
from benchmarks.harness import WrongResult, machine
from experiments.command import cli, process
from hierjax.runs.record import local_path
from hierjax.settings import Config, setting

SUITES = {
    "sampler": sampler,
    "inference": inference,
    "context_free": context_free,
    "layerwise": layerwise,
    "end_to_end": end_to_end,
    "transformer": transformer,
    "sweep": sweep,
    "checkpoint": checkpoint,
}
RESULTS = Path(__file__).parent / "results"
REPEATS, REPEATS_QUICK = 7, 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(Config):
    """What is asked for; its fields are the flags.

    Attributes:
      suite: the one suite to run; unset: all.
      device: what to measure: one core of the CPU, or all devices of a kind.
      quick: few repeats of little work: shows that all runs, not how fast.
      out: file to append to; unset: named for suite, device and date.
    """

    suite: str | None = setting(None, choices=tuple(SUITES))
    device: str = setting("cpu", choices=("cpu", "gpu", "tpu"))
    quick: bool = setting(False)
    out: str | None = setting(None)

    @property
    def suites(self) -> list:
        """The modules of the suites that are asked for."""
        return [SUITES[self.suite]] if self.suite else list(SUITES.values())

    @property
    def repeats(self) -> int:
        """Timed calls of each case."""
        return REPEATS_QUICK if self.quick else REPEATS


@contextlib.contextmanager
def measuring(doc: str, kind: str = "") -> Iterator[tuple[Request, Path]]:
    """Reads the flags, readies the machine, and yields the request and the results file.

    The file can be written, and so can a figure beside it, of the same name and the suffix .png.

    What goes wrong ends the process with one line.
    """
    request, _ = cli.read(doc, "benchmarks", Request)
    _ready(request.device)
    parts = [kind, request.suite or "", "quick" if request.quick else "", request.device]
    today = str(datetime.datetime.now(datetime.UTC).date())
    name = "-".join(filter(None, [*parts, today])) + ".jsonl"
    try:
        path = RESULTS / name if request.out is None else local_path("out", request.out)
        figure = path.with_suffix(".png")
        if figure in (path, path.parent) or figure.is_dir():
            raise ValueError(f"--out={path} leaves no file for a figure beside it: name another")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a"):
            pass  # A file that cannot be written is refused before any work.
    except OSError as error:
        process.end(f"out={request.out or RESULTS / name} cannot be written ({error})", 2)
    except ValueError as error:
        process.end(str(error), 2)
    try:
        yield request, path
    except WrongResult as error:
        process.end(str(error), 1)
    print(f"wrote {path}")


def append(path: Path, record: dict) -> None:
    """Adds a record as a line."""
    with open(path, "a") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")


def _ready(device: str) -> None:
    # Elsewhere JAX finds the accelerator, and the CPU beside it, for what is compared with it.
    jax.config.update("jax_platforms", "cpu" if device == "cpu" else "")
    # A cache of the user's would pass for a fast compiler.
    jax.config.update("jax_enable_compilation_cache", False)
    if device == "cpu":
        # Before the backend starts, which makes a thread for every core it sees.
        core = {max(os.sched_getaffinity(0))}
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # It has ended.
                os.sched_setaffinity(int(thread.name), core)
        if torch_baselines.torch is not None:
            torch_baselines.torch.set_num_threads(1)
    try:
        jax.devices(device)  # Else the CPU would do in its place.
        machine()  # Before work begins, during which files may change.
    except RuntimeError as error:
        process.end(f"--device={device} is not to be had: {str(error).splitlines()[0]}", 2)

"""What the commands of this package share: flags, the machine as it is measured, results files."""

import contextlib
import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path

import jax
from absl import flags

from benchmarks import checkpoint, end_to_end, layerwise, sampler, sweep, torch_baselines
from benchmarks.harness import WrongResult, machine
from experiments import cli

SUITES = {
    "sampler": sampler,
    "layerwise": layerwise,
    "end_to_end": end_to_end,
    "sweep": sweep,
    "checkpoint": checkpoint,
}
RESULTS = Path(__file__).parent / "results"
REPEATS, REPEATS_QUICK = 7, 3

flags.DEFINE_enum("suite", None, list(SUITES), "The one suite to run; default all.")
flags.DEFINE_enum(
    "device", "cpu", ["cpu", "gpu", "tpu"], "What to measure: one core of the CPU, or all devices."
)
flags.DEFINE_bool("quick", False, "Few repeats of little work: shows that all runs, not how fast.")
flags.DEFINE_string("out", None, "File to append to; default named for suite, device and date.")
FLAGS = flags.FLAGS


@contextlib.contextmanager
def measuring(doc: str, kind: str = "") -> Iterator[Path]:
    """Reads the flags, readies the machine, and yields the results file, which can be written.

    So can a figure beside it, of the same name and the suffix .png.

    What goes wrong ends the process with one line.
    """
    cli.parse_flags(doc)
    _ready()
    parts = [kind, FLAGS.suite or "", "quick" if FLAGS.quick else "", FLAGS.device]
    today = str(datetime.datetime.now(datetime.UTC).date())
    name = "-".join(filter(None, [*parts, today])) + ".jsonl"
    try:
        path = RESULTS / name if FLAGS.out is None else Path(FLAGS.out)
        figure = path.with_suffix(".png")
        if figure in (path, path.parent) or figure.is_dir():
            raise OSError(f"--out={path} leaves no file for a figure beside it: name another")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a"):
            pass  # A file that cannot be written is refused before any work.
    except (OSError, ValueError) as error:
        cli.end(str(error), 2)
    try:
        yield path
    except WrongResult as error:
        cli.end(str(error), 1)
    print(f"wrote {path}")


def suites() -> list:
    """The modules of the suites that are asked for."""
    return [SUITES[FLAGS.suite]] if FLAGS.suite else list(SUITES.values())


def repeats() -> int:
    """Timed calls of each case."""
    return REPEATS_QUICK if FLAGS.quick else REPEATS


def append(path: Path, record: dict) -> None:
    """Adds a record as a line."""
    with open(path, "a") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")


def _ready() -> None:
    jax.config.update("jax_platforms", FLAGS.device)
    # A cache of the user's would pass for a fast compiler.
    jax.config.update("jax_enable_compilation_cache", False)
    if FLAGS.device == "cpu":
        # Before the backend starts, which makes a thread for every core it sees.
        core = {max(os.sched_getaffinity(0))}
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), core)
        if torch_baselines.torch is not None:
            torch_baselines.torch.set_num_threads(1)
    try:
        machine()  # Before work begins, during which files may change.
    except RuntimeError as error:
        cli.end(f"--device={FLAGS.device} is not to be had: {str(error).splitlines()[0]}", 2)

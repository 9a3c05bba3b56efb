"""How fast hierjax is, and against what.

Every case is checked for correctness, then timed in turns with its baseline. A row for each goes
to the screen, and a line of JSON with all figures, versions and the machine to a results file.

    python -m benchmarks.run

takes about a minute and a half on two idle cores, with --quick about ten seconds.
"""

import datetime
import json
from pathlib import Path

import jax
from absl import flags

from benchmarks import layerwise, sampler
from benchmarks.harness import WrongResult, measure
from experiments import cli

SUITES = {"sampler": sampler.cases, "layerwise": layerwise.cases}
_RESULTS = Path(__file__).parent / "results"
_REPEATS, _REPEATS_QUICK = 7, 3

flags.DEFINE_enum("suite", None, list(SUITES), "The one suite to run; default all.")
flags.DEFINE_bool("quick", False, "Few repeats of little work: shows that all runs, not how fast.")
flags.DEFINE_string("out", None, "File to append to; default named for suite, platform and date.")
FLAGS = flags.FLAGS


def main() -> None:
    """Runs what the flags ask for."""
    cli.parse_flags(__doc__)
    # A cache of the user's would pass for a fast compiler.
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        path = Path(FLAGS.out) if FLAGS.out is not None else default_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a"):
            pass  # A file that cannot be written is refused before any work.
    except OSError as error:
        cli.end(str(error), 2)
    try:
        with open(path, "a") as file:
            run(file)
    except WrongResult as error:
        cli.end(str(error), 1)
    print(f"wrote {path}")


def default_path() -> Path:
    """The results file for the suite, the platform and today, in UTC as the records have it."""
    parts = [FLAGS.suite] if FLAGS.suite else []
    parts += ["quick"] if FLAGS.quick else []
    today = datetime.datetime.now(datetime.UTC).date()
    return _RESULTS / f"{'-'.join([*parts, jax.default_backend(), str(today)])}.jsonl"


def run(file) -> None:
    """Measures every case of the suites asked for, and writes each when it is done."""
    print(_HEADER)
    for suite in [FLAGS.suite] if FLAGS.suite else SUITES:
        for case in SUITES[suite](FLAGS.quick):
            record = measure(case, _REPEATS_QUICK if FLAGS.quick else _REPEATS)
            file.write(json.dumps(record, allow_nan=False) + "\n")
            file.flush()
            print(row(record), flush=True)


_HEADER = (
    f"{'suite':10} {'case':22} {'ms a call':>10} {'(quartiles)':>20} {'cpu ms':>9} "
    f"{'compile s':>9} {'items/s/device':>14} {'baseline ms':>11} {'times faster':>12}"
)


def row(record: dict) -> str:
    """A record as a line under `_HEADER`."""
    ours, baseline = record["ours"], record["baseline"]
    quartiles = f"({1e3 * ours['seconds']['q1']:.2f} - {1e3 * ours['seconds']['q3']:.2f})"
    against = f"{1e3 * baseline['seconds']['median']:.2f}" if baseline else "-"
    ratio = f"{record['ratio']:.2f}" if baseline else "-"
    return (
        f"{record['suite']:10} {record['case']:22} {1e3 * ours['seconds']['median']:10.2f} "
        f"{quartiles:>20} {1e3 * ours['cpu_seconds']:9.2f} {ours['compile_seconds']:9.2f} "
        f"{ours['items_per_second']:14,.0f} {against:>11} {ratio:>12}"
    )


if __name__ == "__main__":
    main()

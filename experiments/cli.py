"""What every experiment does about its command line: flags, exit codes, progress."""

import contextlib
import gc
import importlib.util
import itertools
import logging
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import flags
from tqdm import tqdm

from hierjax import Hosts, meet, meet_on_tpu
from hierjax.runs.parallel import IMPLS

_SECONDS_BETWEEN_LINES = 10.0
_ROUNDING = 1e-3
_ENOUGH_DONE = 0.02
_ROOT = Path(__file__).resolve().parents[1]


def define_run_flags(experiment: str, num_seeds: int) -> None:
    """Defines the flags that all experiments share."""
    flags.DEFINE_integer(
        "seed", 0, "Seed of everything random.", lower_bound=0, upper_bound=2**32 - 1
    )
    flags.DEFINE_integer(
        "num_seeds",
        num_seeds,
        "Seeds; each draws its own task, data and weights.",
        lower_bound=1,
        upper_bound=2**20,
    )
    flags.DEFINE_string(
        "workdir", str(_ROOT / "runs" / experiment), "Run folder; a run found there goes on."
    )
    flags.DEFINE_enum("impl", IMPLS[0], IMPLS, "How seeds are divided between devices.")
    flags.DEFINE_integer("num_devices", None, "Devices to use; unset: all.")
    flags.DEFINE_bool("overwrite", False, "Forget the run found in the workdir and start anew.")


def run(doc: str, prepare: Callable[[], Any], execute: Callable[[Any], None]) -> None:
    """Runs an experiment and exits.

    What `prepare` raises is a bad request: one line, exit code 2. What `execute` raises is a
    failure of the run: one line, exit code 1.

    Args:
      doc: text above the flags in --help.
      prepare: checks the flags and opens the run folder; returns a plan with a `folder`.
      execute: carries the plan out.
    """
    parse_flags(doc)
    _silence_libraries()
    _cache_compilation()
    _use_all_cores()
    gc.freeze()  # What was imported stays; collecting garbage looks at all of it, again and again.
    try:
        plan = prepare()
    except KeyboardInterrupt:
        _end_at_once("interrupted before the run began")
    except (ValueError, OSError) as error:
        end(str(error), 2)
    try:
        execute(plan)
    except KeyboardInterrupt:
        _end_at_once("interrupted: without --overwrite the same command goes on from here")
    except Exception as error:
        _record_failure(plan, error)
        known = isinstance(error, FloatingPointError | OSError | ValueError)
        _end_at_once(str(error) if known else f"{type(error).__name__}: {error}", 1)


def num_devices() -> int:
    """Devices that the flags allow."""
    return flags.FLAGS.num_devices or jax.local_device_count()


def ascending(
    name: str, values: list[str], least: float, most: float, kind: type = int
) -> tuple[Any, ...]:
    """The numbers of a list flag, whole ones by default.

    Raises:
      ValueError: they are none, do not ascend, or are out of bounds.
    """
    try:
        numbers = tuple(kind(value) for value in values)
    except ValueError:
        numbers = ()
    ascend = all(low < high for low, high in itertools.pairwise(numbers))
    if not numbers or not ascend or not least <= numbers[0] <= numbers[-1] <= most:
        numbers_of = "whole numbers" if kind is int else "numbers"
        raise ValueError(
            f"{name}={','.join(values)} must be {numbers_of} from {least} to {most} that ascend"
        )
    return numbers


def some_of(name: str, values: list[str], known: Iterable[str]) -> tuple[str, ...]:
    """The names of a list flag.

    Raises:
      ValueError: there are none, or one is unknown or given twice.
    """
    if not values or not set(values) <= set(known) or len(set(values)) < len(values):
        raise ValueError(f"{name}={','.join(values)} must be different ones of {', '.join(known)}")
    return tuple(values)


def define_host_flags() -> None:
    """Defines the flags of an experiment that many hosts can share."""
    flags.DEFINE_string("coordinator", None, "Address and port of host 0, if there are several.")
    flags.DEFINE_integer("num_processes", None, "Their number, one process each.", lower_bound=1)
    flags.DEFINE_integer("process_id", None, "Number of this one, from 0.", lower_bound=0)


def meet_hosts() -> Hosts:
    """The hosts of the flags; on a TPU, where JAX finds them, those of its slice.

    Raises:
      ValueError: some of the flags are missing, or wrong.
      HostLostError: a host did not come.
    """
    given = [flags.FLAGS[name].value for name in ("coordinator", "process_id", "num_processes")]
    if None not in given:
        return meet(*given, _end_with_host)
    if given != [None] * 3:
        raise ValueError("--coordinator, --num_processes and --process_id go together: give all")
    if importlib.util.find_spec("libtpu"):
        return meet_on_tpu(_end_with_host)
    return Hosts()


@contextlib.contextmanager
def agreement(hosts: Hosts, request: Any) -> Iterator[None]:
    """Around what may fail on one host: then all end, as they do if their requests differ.

    Raises:
      ValueError: a host has failed, or was asked for something else.
      OSError: this host has failed.
    """
    failure = None
    try:
        yield
    except (ValueError, OSError) as error:
        failure = error
    told = hosts.gather([repr(request), None if failure is None else str(failure)])
    if failure is not None:
        raise failure
    for host, (asked, failed) in enumerate(told):
        if failed is not None:
            raise ValueError(f"host {host}: {failed}")
        if asked != told[0][0]:
            raise ValueError(f"host {host} was asked for something else than host 0: same flags!")


def parse_flags(doc: str) -> None:
    """Reads the command line; --help prints, and anything unknown or out of bounds ends, here."""
    if {"--help", "-h", "--helpfull"} & set(sys.argv[1:]):
        modules = flags.FLAGS.flags_by_module_dict()
        rooms = sorted(name for name in modules if name.startswith(("experiments.", "benchmarks.")))
        shared = "\n".join(flags.FLAGS.module_help(name) for name in rooms)
        print(f"{doc}{flags.FLAGS.main_module_help()}\n{shared}")
        sys.exit(0)
    try:
        _, *rest = flags.FLAGS(sys.argv)
    except flags.Error as error:
        end(str(error), 2)
    if rest:
        end(f"unexpected argument {rest[0]!r}: flags begin with --", 2)


def end(message: str, code: int) -> NoReturn:
    """Exits with one line on stderr: code 2 for a bad request, 1 for a failure while running."""
    _say(message)
    sys.exit(code)


def _end_at_once(message: str, code: int = 130) -> NoReturn:
    """Leaves no time for work in flight: programs take minutes to compile, and what computes may
    crash while Python winds down."""
    sys.stdout.flush()
    _say(message)
    os._exit(code)


def _end_with_host(lost: str) -> NoReturn:
    """A sweep cannot be finished without one of its hosts."""
    _end_at_once(f"{lost}: what was measured is kept, and the same command goes on from it", 1)


def _say(message: str) -> None:
    line = " ".join(message.split())
    print(f"{Path(sys.argv[0]).stem}: {line}", file=sys.stderr, flush=True)


def _record_failure(plan: Any, error: Exception) -> None:
    if plan.folder is None:  # Host 0 writes.
        return
    with contextlib.suppress(OSError):  # The folder may be what failed.
        plan.folder.log("failed", error=str(error), traceback=traceback.format_exc())


def _silence_libraries() -> None:
    """Leaves it to this module to say what matters to a person."""
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    # Orbax's readers of a damaged step report in threads of their own, after their loop has ended.
    sys.unraisablehook = _report_from_main_thread_only


def _report_from_main_thread_only(unraisable: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        sys.__unraisablehook__(unraisable)


def _cache_compilation() -> None:
    """Keeps compiled programs in a folder of the user's own, unless JAX was told another."""
    if jax.config.jax_compilation_cache_dir is None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        jax.config.update("jax_compilation_cache_dir", os.path.join(base, "hierjax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _use_all_cores() -> None:
    """Makes a device of every core of a CPU, so that seeds run side by side."""
    flag = "xla_force_host_platform_device_count"
    if flag not in os.environ.get("XLA_FLAGS", "") and "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", os.cpu_count())


class Progress:
    """How far a run is: a bar where a person watches, lines elsewhere.

    Args:
      total: units of work, done ones included.
      unit: their name, plural.
      done: units that an earlier run finished.
    """

    def __init__(self, total: int, unit: str, done: int = 0):
        self._total, self._unit, self._done, self._at_start = total, unit, done, done
        self._start = self._last_line = time.perf_counter()
        watched = sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=done, unit=unit, leave=False) if watched else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: float) -> None:
        """Counts finished units; parts of them, too."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._line_is_due():
            self.line(f"{self._done:.1f} of {self._total} {self._unit}")

    def _line_is_due(self) -> bool:
        is_late = time.perf_counter() - self._last_line > _SECONDS_BETWEEN_LINES
        return is_late and self._total - self._done > _ROUNDING

    def line(self, text: str) -> None:
        """Prints a line, with the time left."""
        self._last_line = time.perf_counter()
        done_here = self._done - self._at_start
        left = self._total - self._done
        # The first programs are compiled before any work is done: too early for a forecast.
        if done_here > _ENOUGH_DONE * (done_here + left) and left > _ROUNDING:
            rate = (self._last_line - self._start) / done_here
            text += f", about {rate * left:.0f} s left"
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)

"""What every command does about its process: the command line, exit codes, progress."""

import contextlib
import gc
import logging
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import jax
from absl import flags as absl_flags

from experiments.command import process
from hierjax.runs import hosts, requests
from hierjax.settings import bounds

_PROCESSES = ("coordinator", "num_processes", "process_id")
_SECONDS_FOR_OTHERS = 5
_DEVICES = ("JAX_PLATFORMS", "JAX_NUM_CPU_DEVICES", "CUDA_VISIBLE_DEVICES")


def read(
    doc: str,
    module: str,
    request: type,
    defaults: Mapping[str, Any] | None = None,
    follows: requests.Follows | None = None,
) -> tuple[Any, list[str]]:
    """The request that the command line makes; --help prints, and a bad request ends, here.

    With it come lines that say which given flags win over others, see `requests.overruled`.

    Args:
      doc: text above the flags in --help.
      module: name of the command, under which --help lists the flags.
      request: class of the request, see `hierjax.runs.requests`.
      defaults: of flags, in place of those of the class.
      follows: what values of flags follow from others.
    """
    defaults = defaults or {}
    values = absl_flags.FlagValues()
    _define(request, values, defaults, module)
    if {"--help", "-h", "--helpshort", "--helpfull"} & set(sys.argv[1:]):
        print(f"{doc}{values.module_help(module)}")
        sys.exit(0)
    try:
        _, *rest = values(sys.argv)
        if rest:
            raise ValueError(f"unexpected argument {rest[0]!r}: flags begin with --")
        given = dict(defaults) | _given(request, values)
        follows = follows or {}
        _join({name: given.get(name) for name in _PROCESSES})
        with hosts.together():
            return requests.build(request, follows, given), requests.overruled(follows, given)
    except hosts.TogetherError as error:
        _end(error, str(error), 2)
    except UnicodeDecodeError as error:
        process.end(f"a file that --flagfile names is no text of UTF-8 ({error})", 2)
    except ConnectionError as error:  # The same command may find the others another time.
        process.end(str(error), 1)
    except (absl_flags.Error, ValueError, OSError) as error:
        process.end(str(error), 2)
    except Exception as error:
        require_devices()
        process.end(process.cause(error), 2)


def _join(given: Mapping[str, Any]) -> None:
    """Joins the other processes of a run, of which the first alone speaks to people."""
    if not hosts.join(**given):
        return
    if hosts.count() == 1:
        process.listen()  # JAX has taken SIGTERM for itself.
    elif not hosts.is_first():
        process.be_silent()


def _define(
    request: type, values: absl_flags.FlagValues, defaults: Mapping[str, Any], module: str
) -> None:
    """Defines the flags of a request.

    Args:
      request: its class.
      values: where they are defined.
      defaults: of flags, in place of those of the fields.
      module: under which --help lists them.
    """
    for leaf in requests.leaves(request):
        default = defaults.get(leaf.flag, leaf.default)
        more = {"flag_values": values, "module_name": module}
        words = bounds(leaf.rules, leaf.listed)
        text = leaf.help if "finite" in words else f"{leaf.help} ({words})"
        if leaf.listed:
            absl_flags.DEFINE_list(leaf.flag, _texts(default), text, **more)
        elif leaf.kind in _DEFINE:
            _DEFINE[leaf.kind](leaf.flag, default, text, **more)
        elif leaf.rules.get("choices"):
            absl_flags.DEFINE_enum(leaf.flag, default, list(leaf.rules["choices"]), text, **more)
        else:
            absl_flags.DEFINE_string(leaf.flag, default, text, **more)


_DEFINE = {
    bool: absl_flags.DEFINE_bool,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
}


def _texts(default: Any) -> list[str] | None:
    """The default of a list as absl has it."""
    if default is None:
        return None
    entries = default if isinstance(default, tuple | list) else (default,)
    return [f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in entries]


def _given(request: type, values: absl_flags.FlagValues) -> dict[str, Any]:
    """The values of the flags that were given.

    Raises:
      ValueError: a list holds something else than numbers.
    """
    present = [leaf for leaf in requests.leaves(request) if values[leaf.flag].present]
    return {leaf.flag: _value(leaf, values[leaf.flag].value) for leaf in present}


def _value(leaf: requests.Leaf, value: Any) -> Any:
    if not leaf.listed or value is None:
        return value
    try:
        entries = tuple(leaf.kind(text) for text in value)
    except ValueError:
        whole = "whole " if leaf.kind is int else ""
        raise ValueError(
            f"--{leaf.flag}={','.join(value)} must be {whole}{bounds(leaf.rules, leaf.listed)}"
        ) from None
    return entries[0] if leaf.single and len(entries) == 1 else entries


def ready() -> None:
    """Prepares the process for a long run: quiet libraries, all cores."""
    _silence_libraries()
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}  # Figures are the same for all.
    _use_all_cores()
    gc.freeze()  # What was imported stays; collecting garbage looks at all of it, again and again.


def require_devices() -> None:
    """Ends the process where JAX has no device."""
    try:
        jax.local_devices()
    except Exception as error:
        asked = [f"{name}={os.environ[name]}" for name in _DEVICES if name in os.environ]
        text = str(error).splitlines() or ["there are none"]
        process.end(f"JAX finds no devices by {' '.join(asked) or 'itself'}: {text[0]}", 2)


def _end(error: BaseException, text: str, code: int) -> NoReturn:
    """Ends the process with one line; where all processes end so, by that of the first."""
    if isinstance(error, hosts.TogetherError | hosts.Preempted):
        with contextlib.suppress(Exception):
            hosts.part()
        text = text if hosts.is_first() else ""
    elif hosts.count() > 1:
        text = f"process {hosts.number()}: {text}"
        process.say(text)
        # Others may come to the same end by themselves; without the first one they are aborted.
        time.sleep(_SECONDS_FOR_OTHERS * hosts.is_first())
        text = ""
    process.end(text, code)


@contextlib.contextmanager
def preparing() -> Iterator[None]:
    """Around what precedes a run: an error is a bad request, told in one line, exit code 2."""
    try:
        yield
    except Exception as error:
        _end(error, process.cause(error), 2)


@contextlib.contextmanager
def running(folder: Any) -> Iterator[None]:
    """Around a run: an error is a failure, told in one line and recorded, exit code 1.

    Args:
      folder: the `RunFolder` of the run.
    """
    _cache_compilation(folder.programs)  # Not before: a request that is refused writes nothing.
    try:
        yield
    except hosts.Preempted as stop:
        with contextlib.suppress(OSError):
            folder.close()  # A bucket has what was written last.
        _end(stop, "terminated" + process.KEPT, 143)
    except Exception as error:
        text = process.cause(error)
        with contextlib.suppress(OSError):  # The folder may be what failed.
            folder.log_alone("failed", error=str(error), traceback=traceback.format_exc())
            text += f" (traceback in {folder.name}/metrics.jsonl)"
            folder.close()
        _end(error, text, 1)


def _silence_libraries() -> None:
    """Leaves it to this module to say what matters to a person."""
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    # Orbax's readers of a damaged step report in threads of their own, after their loop has ended.
    sys.unraisablehook = _report_from_main_thread_only


def _report_from_main_thread_only(unraisable: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        sys.__unraisablehook__(unraisable)


def _cache_compilation(folder: str | None) -> None:
    """Keeps compiled programs in a folder, by default the user's own, unless JAX was told one."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        jax.config.update("jax_compilation_cache_dir", folder or os.path.join(base, "hierjax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _use_all_cores() -> None:
    """Makes a device of every core of a CPU, so that seeds run side by side."""
    flag = "xla_force_host_platform_device_count"
    if flag not in os.environ.get("XLA_FLAGS", "") and "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", os.cpu_count())

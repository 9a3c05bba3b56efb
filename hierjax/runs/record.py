"""The run folder: what was asked, what happened, what came out.

config.json     the request and where it first ran; fixes the identity of the run
metrics.jsonl   one line for each event, as it happens
summary.json    the result
embeddings.npz  points for the figure, of some experiments
figure.png      the figure
checkpoints/    parameters of the finished layers, of experiments that save them
"""

import datetime
import errno
import fcntl
import json
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

_CHECKPOINTS = "checkpoints"
_FILES = ("config.json", "metrics.jsonl", "summary.json", "embeddings.npz", "figure.png")
_ABSENT = "absent"


class RunFolder:
    """A folder that belongs to one request; opening it again goes on with that run.

    The folder is locked until it is closed or the process ends: two runs never share a folder.

    Args:
      path: the folder, made if it is missing.
      experiment: name of the experiment that is run.
      request: what identifies the run, values by name that JSON can hold.
      overwrite: whether to forget an earlier run in this folder; files that no run writes are
        left alone.

    Attributes:
      path: the folder, an absolute path.
      identity: what identifies the run, on one line.

    Raises:
      ValueError: the folder holds another run, or files of these names that no run wrote.
      OSError: the folder cannot be made or written, or another process runs in it.
    """

    def __init__(
        self, path: str | os.PathLike, experiment: str, request: dict, overwrite: bool = False
    ):
        if not str(path):
            raise ValueError("workdir is empty: name a folder")
        self.path = Path(path).absolute()
        request = {"experiment": experiment, **_plain(request)}
        self.identity = json.dumps(request, sort_keys=True)
        try:
            self._open(request, overwrite)
        except OSError as error:
            raise OSError(
                f"workdir {self.path} cannot be used ({error.strerror}): choose another"
            ) from error

    def _open(self, request: dict, overwrite: bool) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock()
        earlier = self._earlier_request()
        if overwrite:
            self._clear()
            earlier = None
        if earlier is None:
            self.write_json("config.json", {"request": request, "environment": environment()})
        elif earlier != request:
            old, new = _flat(earlier), _flat(request)
            differs = next(
                key for key in {**old, **new} if old.get(key, _ABSENT) != new.get(key, _ABSENT)
            )
            raise ValueError(
                f"{self.path} holds a run with {differs}={old.get(differs, _ABSENT)}, not "
                f"{new.get(differs, _ABSENT)}: choose another workdir, or overwrite it"
            )
        self._end_torn_line()

    def close(self) -> None:
        """Unlocks the folder, so that another run may have it."""
        self._lock_file.close()

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, which this property does not make."""
        return self.path / _CHECKPOINTS

    def log(self, event: str, **fields: Any) -> None:
        """Appends one event to metrics.jsonl, whole or not at all.

        Args:
          event: name of the kind of event.
          **fields: what is to be said of the event; numbers that are not finite become null.

        Raises:
          OSError: the file cannot be written, for instance because the disk is full.
        """
        line = json.dumps({"time": _now(), "event": event, **_plain(fields)}) + "\n"
        path = self.path / "metrics.jsonl"
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(file).st_size
            if os.write(file, line.encode()) < len(line.encode()):
                os.ftruncate(file, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise OSError(f"{path} cannot be written ({error.strerror})") from error
        finally:
            os.close(file)

    def events(self, event: str) -> Iterator[dict]:
        """Yields the fields of all events of a kind, in the order in which they were logged."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            with open(path) as file:
                yield from (line for line in map(json.loads, file) if line["event"] == event)

    def write_json(self, name: str, content: dict) -> None:
        """Writes a JSON file into the folder, whole or not at all.

        Args:
          name: name of the file.
          content: what it is to hold; numbers that are not finite become null.
        """
        text = json.dumps(_plain(content), indent=2) + "\n"
        self._write(name, lambda path: path.write_text(text))

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Writes arrays by name to an .npz file in the folder, whole or not at all."""

        def write(path):
            with open(path, "wb") as file:
                np.savez(file, **arrays)  # pyrefly: ignore[bad-argument-type]: by any name.

        self._write(name, write)

    def write_figure(self, name: str, figure: Any) -> None:
        """Writes a figure of matplotlib as a PNG file into the folder, whole or not at all."""
        self._write(name, lambda path: figure.savefig(path, format="png"))

    def _write(self, name: str, write: Callable[[Path], Any]) -> None:
        partial = self.path / f".{name}.partial"
        write(partial)
        os.replace(partial, self.path / name)

    def _clear(self) -> None:
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)
        for name in reversed(_FILES):  # The config goes last: until then the files have an owner.
            (self.path / name).unlink(missing_ok=True)

    def _lock(self) -> None:
        """Locks the folder until the process ends, however that ends."""
        self._lock_file = open(self.path / ".lock", "w")  # noqa: SIM115
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(error.errno, "another run is at work in it") from error

    def _earlier_request(self) -> dict | None:
        """Returns the request that this folder belongs to, None for a new folder."""
        config = self.path / "config.json"
        taken = [name for name in (*_FILES, _CHECKPOINTS) if (self.path / name).exists()]
        if not taken:
            return None
        try:
            request = json.loads(config.read_text())["request"]
            if "experiment" in request:
                return request
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        raise ValueError(
            f"{self.path} holds {taken[0]}, but no config.json of a run that wrote it: choose "
            "another workdir"
        )

    def _end_torn_line(self) -> None:
        """Drops the last line of metrics.jsonl if a kill cut it short."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            content = path.read_bytes()
            os.truncate(path, content.rfind(b"\n") + 1)


def environment() -> dict:
    """Describes where a run runs: versions, devices and commit, values that JSON can hold."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "started": _now(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "platform": jax.default_backend(),
        "device": device_name(),
        "num_cores": os.cpu_count(),
        "num_devices": jax.local_device_count(),
        "commit": _commit(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def device_name() -> str:
    """Returns the kind of the accelerator, or else the name of the processor."""
    if jax.default_backend() != "cpu":
        return jax.local_devices()[0].device_kind
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Returns the commit of the checkout, with "-dirty" behind it where tracked files differ."""
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    command = ["git", "-C", str(Path(__file__).parent), *describe]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _flat(request: dict, prefix: str = "") -> dict:
    """Puts nested dictionaries into one, with dotted names."""
    flat = {}
    for key, value in request.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _plain(value: Any) -> Any:
    """Turns a value into what JSON holds: lists, floats, and null for what is not finite."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

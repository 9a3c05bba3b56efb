"""The run folder: what was asked, what happened, what came out.

config.json     the request and where it first ran; fixes the identity of the run
metrics.jsonl   one line for each event, as it happens
summary.json    the result
embeddings.npz  points for the figure, of some experiments
activations.npz features of layers with the trees of their strings, where they were asked for
figure.png      the figure
checkpoints/    parameters of the finished layers, of experiments that save them
profile/        a trace for TensorBoard and Perfetto, where it was asked for
tensorboard/    numbers of events for TensorBoard, where they were asked for
dataset.json    the index of strings/, which has shards of strings, of datasets
"""

import contextlib
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

import jax
import numpy as np

from hierjax.runs import hosts
from hierjax.runs.bucket_folder import BucketFolder
from hierjax.runs.conditions import conditions
from hierjax.runs.environment import environment, now
from hierjax.runs.events import Events
from hierjax.runs.local_folder import LocalFolder
from hierjax.runs.trackers import Trackers

_CHECKPOINTS, PROFILE = "checkpoints", "profile"
_FOLDERS = (_CHECKPOINTS, PROFILE, "tensorboard", "wandb", "strings")
_EVENTS = "metrics.jsonl"
_FILES = (
    "config.json",
    _EVENTS,
    "summary.json",
    "embeddings.npz",
    "activations.npz",
    "dataset.json",
    "figure.png",
)
_ABSENT = "absent"


class RunFolder:
    """A folder that belongs to one request; opening it again goes on with that run.

    The folder is locked until it is closed or the process ends: two runs never share a folder.

    Args:
      path: the folder, made if it is missing; ~ is the home folder, and gs://bucket/folder is one
        of a bucket, see `BucketFolder`.
      experiment: name of the experiment that is run.
      request: what identifies the run, values by name that JSON can hold.
      overwrite: whether to forget an earlier run in this folder; files that no run writes are
        left alone.

    Attributes:
      name: what people call the folder.
      path: where its files are written and read by the first process: the folder, an absolute
        path, or a copy of what is in the bucket.
      programs: where compiled programs are kept; None for the user's own folder.
      identity: what identifies the run, on one line.

    Raises:
      ValueError: the folder holds another run, or files of these names that no run wrote; or the
        path is none of a folder of this machine or of a bucket.
      OSError: the folder cannot be made or written, another run is at work in it, or the processes
        of this run do not share it.
    """

    def __init__(
        self, path: str | os.PathLike, experiment: str, request: dict, overwrite: bool = False
    ):
        self._place = _place(str(path))
        self.name, self.path = self._place.name, self._place.path
        self.programs = self._place.programs
        self._request = {"experiment": experiment, **_plain(request)}
        self.identity = json.dumps(self._request, sort_keys=True)
        self._events = Events(self.path / _EVENTS, self.identity, f"{self.name}/{_EVENTS}")
        self._opened = contextlib.ExitStack()
        self._opened.callback(self._place.release)
        self._trackers: Trackers | None = None
        self._on_first(lambda: self._open_or_say_why_not(overwrite))
        self._place.require_shared()

    def _on_first(self, do: Callable[[], Any]) -> None:
        """Lets the first process do it, and all of them know whether it could."""
        with hosts.together():
            if hosts.is_first():
                do()

    def _open_or_say_why_not(self, overwrite: bool) -> None:
        try:
            self._open(overwrite)
        except OSError as error:
            raise OSError(
                f"workdir {self.name} cannot be used ({error.strerror or error}): choose another"
            ) from error

    def _open(self, overwrite: bool) -> None:
        self._holds_this_run(overwrite)  # Else it is refused before anything is written.
        self._place.take()
        if self._holds_this_run(overwrite):
            self._events.end_torn_line()
        else:
            for name in (*_FOLDERS, *reversed(_FILES)):  # The config goes last: until then the
                self._place.remove(name)  # files have an owner.
            self._write_config()

    def _holds_this_run(self, overwrite: bool) -> bool:
        """Whether there is a run to go on with; refuses a folder of anything else."""
        self._place.look(_FILES, _FOLDERS)
        earlier = self._earlier()
        if earlier is None or overwrite:
            return False
        if earlier["request"] != self._request:
            name, old, new = _difference(earlier["request"], self._request)
            raise ValueError(
                f"{self.name} holds a run with {name}={old}, not {new}: choose another workdir, or "
                "overwrite it"
            )
        return True

    def _write_config(self) -> None:
        where = {"environment": environment(), "conditions": conditions()}
        self.write_json("config.json", {"request": self._request, **where})

    def take_up(self, done: float, total: float) -> None:
        """Refuses to train on under other conditions than those of what is finished.

        What is finished can be measured under any, and what is not begun can begin under these.

        Args:
          done: how much work is finished.
          total: how much there is.

        Raises:
          ValueError: versions or options of JAX are others than when the run began.
        """
        self._on_first(lambda: self._take_up(done, total))

    def _take_up(self, done: float, total: float) -> None:
        begun, here = (self._earlier() or {}).get("conditions"), _plain(conditions())
        if begun == here or done >= total:
            return
        if done > 0:
            name, old, new = _difference(begun if isinstance(begun, dict) else {}, here)
            raise ValueError(
                f"{self.name} holds part of a run with {name} {old}, and here is {new}: go on with "
                "the former, choose another workdir, or overwrite it"
            )
        self._write_config()

    def close(self) -> None:
        """Unlocks the folder, so that another run may have it."""
        self._opened.close()

    def require_present(self) -> None:
        """Refuses to write where the folder was, once it is gone.

        Raises:
          OSError: the folder was removed, moved or replaced.
        """
        self._on_first(self._place.require_held)

    @property
    def checkpoints(self) -> PurePath:
        """The folder of the checkpoints, which this property does not make."""
        return self._place.checkpoints(_CHECKPOINTS)

    def log(self, event: str, **fields: Any) -> None:
        """Appends one event to metrics.jsonl, whole or not at all.

        Args:
          event: name of the kind of event.
          **fields: what is to be said of the event; numbers that are not finite become null.

        Raises:
          OSError: the file cannot be written, for instance because the disk is full.
        """
        self._on_first(lambda: self.log_alone(event, **fields))

    def log_alone(self, event: str, **fields: Any) -> None:
        """Does as `log` in the first process, whatever has become of the others."""
        if hosts.is_first():
            self._place.require_held()
            fields = _plain(fields)
            self._events.append({"time": now(), "event": event, **fields})
            if self._trackers is not None:
                self._trackers.tell(event, fields)

    def report_to(self, names: Sequence[str]) -> None:
        """From now on the first process tells trackers of events, too.

        Args:
          names: some of `hierjax.runs.TRACKERS`.
        """
        self._on_first(lambda: self._open_trackers(names))

    def _open_trackers(self, names: Sequence[str]) -> None:
        self._trackers = Trackers(names, self.path, self._request)
        self._opened.callback(self._trackers.close)

    def events(
        self, event: str, check: Callable[[dict], None] = lambda content: None
    ) -> list[dict]:
        """Returns all events of a kind, see `Events.read`."""
        return hosts.from_first(lambda: list(self._events.read(event, check)))

    def write_json(self, name: str, content: dict) -> None:
        """Writes a JSON file into the folder, whole or not at all.

        Args:
          name: name of the file.
          content: what it is to hold; numbers that are not finite become null.

        Raises:
          OSError: the file cannot be written, for instance because the disk is full.
        """
        text = json.dumps(_plain(content), indent=2) + "\n"
        self.write_file(name, lambda path: path.write_text(text))

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Writes arrays by name to an .npz file in the folder; see `write_json`."""

        def write(path):
            with open(path, "wb") as file:
                np.savez(file, **arrays)  # pyrefly: ignore[bad-argument-type]: by any name.

        self.write_file(name, write)

    def write_figure(self, name: str, figure: Any) -> None:
        """Writes a figure of matplotlib as a PNG file into the folder; see `write_json`."""
        self.write_file(name, lambda path: figure.savefig(path, format="png"))

    def write_file(self, name: str, write: Callable[[Path], Any]) -> None:
        """Writes a file into the folder or one below it, whole or not at all.

        Args:
          name: path of the file below the folder.
          write: writes what it is to hold to a path, which then takes this name.

        Raises:
          OSError: the file cannot be written, for instance because the disk is full.
        """
        self._on_first(lambda: self._replace(name, write))

    def _replace(self, name: str, write: Callable[[Path], Any]) -> None:
        self._place.require_held()
        path = self.path / name
        partial = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(exist_ok=True)
            write(partial)
            os.replace(partial, path)
            self._place.keep()
        except OSError as error:
            raise OSError(
                f"{self.name}/{name} cannot be written ({error.strerror or error})"
            ) from error
        finally:
            partial.unlink(missing_ok=True)

    def _earlier(self) -> dict | None:
        """Returns the config of the run that the folder belongs to, None for a new folder."""
        taken = [name for name in (*_FILES, *_FOLDERS) if (self.path / name).exists()]
        if not taken:
            return None
        try:
            config = json.loads((self.path / "config.json").read_bytes())
            if "experiment" in dict(config["request"]):
                return config
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            pass
        raise ValueError(
            f"{self.name} holds {taken[0]}, but no config.json of a run that wrote it: choose "
            "another workdir"
        )


def _place(path: str) -> LocalFolder | BucketFolder:
    if path.startswith("gs://") and path.isprintable():
        return BucketFolder(path)
    return LocalFolder(local_path("workdir", path))


def local_path(name: str, path: str) -> Path:
    """Returns the absolute path of a file or folder of this machine; ~ is the home folder.

    Args:
      name: what the path is called in messages.
      path: the path.

    Raises:
      ValueError: it is empty, or none of this machine.
    """
    if not path:
        raise ValueError(f"{name} is empty: name a file or folder")
    if not path.isprintable():  # Bytes that are no UTF-8 are not, either.
        raise ValueError(f"{name}={path!a} has letters that cannot be printed: choose others")
    if "://" in path:
        raise ValueError(f"{name}={path} is not of this machine: mount it, or name another")
    try:
        return Path(path).expanduser().absolute()
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{name}={path} cannot be found ({error}): name it in full") from None


def _difference(old: dict, new: dict) -> tuple[str, Any, Any]:
    """Returns the name of an entry in which two dictionaries differ, and what each has."""
    old, new = _flat(old), _flat(new)
    name = next(key for key in {**old, **new} if old.get(key, _ABSENT) != new.get(key, _ABSENT))
    return name, old.get(name, _ABSENT), new.get(name, _ABSENT)


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

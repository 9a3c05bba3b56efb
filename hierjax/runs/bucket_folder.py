"""A folder of a bucket, gs://bucket/folder, as the place of a run."""

import contextlib
import errno
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from etils import epath

from hierjax.runs.local_folder import LocalFolder

_LOCK = ".lock"
_SECONDS = 10
_SECONDS_OF_SILENCE = 60
_SECONDS_TO_SIGN = 1


class BucketFolder:
    """A folder that one run at a time is at work in; see `LocalFolder` for its methods.

    A bucket can neither append nor rename. So files are written into a folder of this machine, and
    those that have changed go to the bucket whole: when the run says so, and every ten seconds. A
    kill loses the events of ten seconds at most; what they recorded is measured again. Checkpoints
    and compiled programs are written to the bucket itself.

    A bucket has no locks, either. An object says which run is at work, and is written anew every
    ten seconds until the run ends. A run that finds one waits for a minute, is refused if it has
    changed by then, and takes the folder over if it has not: after a kill, the next run begins a
    minute late. A run that begins looks again a second after it has signed, so that of two that
    begin at once one is refused. Where it took the other longer to sign, and where a run is cut off
    for a minute and loses its folder to another, the run whose object was replaced finds out within
    ten seconds, and ends.

    Args:
      url: the folder.
    """

    def __init__(self, url: str):
        self.name, self._url = url, epath.Path(url)
        self.programs = str(self._url / "programs")
        self._opened = contextlib.ExitStack()
        here = tempfile.TemporaryDirectory(prefix="hierjax-", ignore_cleanup_errors=True)
        self.path = Path(self._opened.enter_context(here), self._url.name)
        self.path.mkdir()
        self._here = LocalFolder(self.path)
        self._kept = dict[str, tuple[int, int]]()
        self._keeping = threading.Lock()
        self._token, self._signs, self._loss = uuid.uuid4().hex, 0, ""

    def look(self, files: Sequence[str], folders: Sequence[str]) -> None:
        """Brings the files to `path`; of folders, only that they are there."""
        with _told():
            for name in files:
                self._here.remove(name)
                with contextlib.suppress(FileNotFoundError):
                    (self.path / name).write_bytes((self._url / name).read_bytes())
                    self._kept[name] = _stamp(self.path / name)
            for name in folders:
                if (self._url / name).exists():
                    (self.path / name).mkdir(exist_ok=True)

    def take(self) -> None:
        with _told():
            found = self._holder()
            if found:
                time.sleep(_SECONDS_OF_SILENCE)
            if self._holder() in (found, ""):
                self._sign()
                time.sleep(_SECONDS_TO_SIGN)
            if not self._is_ours():
                raise OSError(errno.EBUSY, "another run is at work in it")
        ended = threading.Event()
        thread = threading.Thread(target=self._go_on, args=(ended,), daemon=True)
        thread.start()
        self._opened.callback(self._leave)
        self._opened.callback(thread.join)
        self._opened.callback(ended.set)

    def release(self) -> None:
        with self._opened:
            if not self._loss:
                self.keep()  # Traces of other processes than the first, too.

    def _leave(self) -> None:
        if not self._loss:
            (self._url / _LOCK).unlink(missing_ok=True)

    def require_held(self) -> None:
        if self._loss:
            raise OSError(f"the run folder {self.name} {self._loss}: nothing more is written")

    def require_shared(self) -> None:
        """A bucket is one place for all."""

    def checkpoints(self, name: str) -> epath.Path:
        return self._url / name

    def keep(self) -> None:
        """Brings files that have changed to the bucket.

        Raises:
          OSError: they cannot be written.
        """
        with self._keeping, _told():
            for file in sorted(self.path.rglob("[!.]*")):
                name = file.relative_to(self.path).as_posix()
                if file.is_file() and self._kept.get(name) != (stamp := _stamp(file)):
                    (self._url / name).parent.mkdir(parents=True, exist_ok=True)
                    (self._url / name).write_bytes(file.read_bytes())
                    self._kept[name] = stamp

    def remove(self, name: str) -> None:
        self._here.remove(name)
        self._kept.pop(name, None)
        with _told():
            if (self._url / name).is_dir():
                (self._url / name).rmtree()
            else:
                (self._url / name).unlink(missing_ok=True)

    def _go_on(self, ended: threading.Event) -> None:
        """Signs and keeps, until the run has ended or lost the folder."""
        while not ended.wait(_SECONDS):
            try:
                if not self._is_ours():
                    self._loss = "was removed, or taken over by another run"
                    return
                self._sign()
                self.keep()
                self._loss = ""
            except Exception as error:  # The next time may be better.
                self._loss = f"cannot be reached ({_reason(error)})"

    def _holder(self) -> str:
        """Returns what the run at work has signed last; empty if there is none."""
        with contextlib.suppress(FileNotFoundError):
            return (self._url / _LOCK).read_text()
        return ""

    def _is_ours(self) -> bool:
        return self._holder().startswith(self._token)

    def _sign(self) -> None:
        self._signs += 1
        (self._url / _LOCK).write_text(f"{self._token} {self._signs:09d}")


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_size


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket"
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Makes an OSError of whatever a bucket answers."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OSError(errno.EIO, _reason(error)) from error

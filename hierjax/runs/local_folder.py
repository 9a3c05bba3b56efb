"""A folder of this machine, or one that all hosts of a run share, as the place of a run."""

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from hierjax.runs import hosts

_LOCK = ".lock"


class LocalFolder:
    """A folder that one run at a time is at work in.

    Args:
      path: the folder, an absolute path.

    Attributes:
      name: what people call the folder.
      path: where its files are written and read.
      programs: where compiled programs are kept; None for the user's own folder.
    """

    programs = None

    def __init__(self, path: Path):
        self.path, self.name = path, str(path)
        self._opened = contextlib.ExitStack()

    def look(self, files: Sequence[str], folders: Sequence[str]) -> None:
        """Brings what the place holds to `path`, where this folder has it already."""

    def take(self) -> None:
        """Makes the folder, and locks it until the process ends, however that ends.

        Raises:
          OSError: it cannot be made, or another run is at work in it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock_file = self._opened.enter_context(open(self.path / _LOCK, "w"))  # noqa: SIM115
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(error.errno, "another run is at work in it") from error
        self._open_folder = os.open(self.path, os.O_RDONLY)
        self._opened.callback(os.close, self._open_folder)

    def release(self) -> None:
        """Unlocks the folder, so that another run may have it."""
        self._opened.close()

    def require_held(self) -> None:
        """Refuses to write where the folder was, once it is gone.

        Raises:
          OSError: the folder was removed, moved or replaced.
        """
        own = os.fstat(self._lock_file.fileno())
        try:
            found = os.stat(self.path / _LOCK)
        except OSError:
            found = None
        if found is None or not os.path.samestat(own, found):
            raise OSError(
                f"the run folder {self.path} was removed, moved or replaced while the run was at "
                "work in it: nothing more is written"
            )

    def require_shared(self) -> None:
        """Refuses a folder that is another one for other processes of the run, which all come here.

        Raises:
          OSError: it is another one.
        """
        if hosts.count() == 1:
            return
        mark = hosts.from_first(self._leave_mark)
        with hosts.together():
            lock = self.path / _LOCK
            if not lock.exists() or lock.read_text() != mark:
                raise OSError(
                    f"workdir {self.path} is another folder than that of process 0: name one that "
                    "all processes share"
                )

    def _leave_mark(self) -> str:
        mark = uuid.uuid4().hex
        self._lock_file.write(mark)
        self._lock_file.flush()
        return mark

    def checkpoints(self, name: str) -> Path:
        """Returns the folder of the checkpoints, which is not made here.

        Its path leads through the open folder, where the system has such paths: should the run's
        folder be moved or removed, nothing is written where it was.

        Args:
          name: its name.
        """
        if hosts.count() > 1:  # They write into the same folder, and know it by one name.
            return self.path / name
        opened = Path(f"/proc/self/fd/{self._open_folder}")
        return (opened if opened.exists() else self.path) / name

    def keep(self) -> None:
        """Brings what was written into `path` to the place, where this folder has it already."""

    def remove(self, name: str) -> None:
        """Removes a file or folder of this name, if there is one."""
        if (self.path / name).is_dir():
            shutil.rmtree(self.path / name)
        else:
            (self.path / name).unlink(missing_ok=True)

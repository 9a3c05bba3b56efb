"""Events of a run, one line of JSON each, written as they happen and checked when they are read."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path


class Events:
    """A file of events that belongs to one run.

    Each line carries a digest of the run and of the event, so that a line that is damaged, or was
    put there from another run, is refused.

    Args:
      path: the file, made by the first event.
      run: what identifies the run.
      name: what people call the file; by default its path.
    """

    def __init__(self, path: Path, run: str, name: str = ""):
        self._path, self._run, self._name = path, run, name or str(path)

    def append(self, event: dict) -> None:
        """Appends an event, whole or not at all.

        Args:
          event: what JSON can hold, by name.

        Raises:
          OSError: the file cannot be written, for instance because the disk is full.
        """
        line = (json.dumps(event | {"digest": self._digest(event)}) + "\n").encode()
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                size = os.fstat(file).st_size
                if os.write(file, line) < len(line):
                    os.ftruncate(file, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(file)
        except OSError as error:
            raise OSError(f"{self._name} cannot be written ({error.strerror})") from error

    def read(self, kind: str, check: Callable[[dict], None] = lambda event: None) -> Iterator[dict]:
        """Yields all events of a kind, in the order in which they were appended.

        Args:
          kind: value of "event".
          check: called with each of them before it is given; raises ValueError, with what is wrong
            with it, if it cannot be.

        Raises:
          ValueError: a line is damaged, of another run, or refused by the check.
        """
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    event = self._parse(line)
                    if event["event"] != kind:
                        continue
                    check(event)
                except ValueError as error:
                    raise ValueError(
                        f"line {number} of {self._name} {error}: remove the line, so that what it "
                        "holds is measured again, or overwrite the run"
                    ) from error
                yield event

    def end_torn_line(self) -> None:
        """Drops the last line if a kill cut it short."""
        if self._path.exists():
            content = self._path.read_bytes()
            if not content.endswith(b"\n"):
                os.truncate(self._path, content.rfind(b"\n") + 1)

    def _parse(self, line: bytes) -> dict:
        try:
            event = json.loads(line)
            digest = event.pop("digest")
            if digest == self._digest(event):
                return event
        except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
            pass
        raise ValueError("is damaged or of another run")

    def _digest(self, event: dict) -> str:
        text = self._run + json.dumps(event, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

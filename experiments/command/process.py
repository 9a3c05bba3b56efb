"""A command as a process: signals, streams and exit codes. It imports nothing that takes time."""

import atexit
import contextlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

_ENDS = {signal.SIGINT: ("interrupted", 130), signal.SIGTERM: ("terminated", 143)}
_MOST_LETTERS = 400
KEPT = ": what is finished is kept"


def guard() -> None:
    """From now on the process ends in one line, whatever ends it, and loses no result to a stream.

    Ctrl-C and SIGTERM end it from a thread of its own: the main one may be importing, compiling or
    collecting garbage, and hears of nothing for minutes.
    """
    if signal.getsignal(signal.SIGTERM) is _leave_to_thread:
        return
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:  # It was closed: other files would take its place.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _Forgiving(sys.stdout), _Forgiving(sys.stderr)
    sys.excepthook = lambda kind, error, trace: end(cause(error), 2)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    listen()
    atexit.register(_ignore_signals)
    threading.Thread(target=_end_at_signal, args=(reader,), daemon=True).start()


def listen() -> None:
    """Hears of signals again, where a library has taken them for itself."""
    for each in _ENDS:
        signal.signal(each, _leave_to_thread)


def be_silent() -> None:
    """From now on drops what is printed; how the process ends is still told on stderr."""
    sys.stdout = _Forgiving(open(os.devnull, "w"))  # noqa: SIM115


def _leave_to_thread(*_: Any) -> None:
    pass


def _ignore_signals() -> None:
    """At the very end, when the thread that hears of them no longer runs."""
    for each in _ENDS:
        signal.signal(each, signal.SIG_IGN)


def _end_at_signal(reader: int) -> None:
    while (number := os.read(reader, 1)[0]) not in _ENDS:
        pass
    word, code = _ENDS[signal.Signals(number)]
    if sys.stderr.isatty():  # There may be a bar.
        sys.stderr.write("\r\033[K")
    end(f"{word}{KEPT}", code)


class _Forgiving:
    """A stream that drops what cannot be written: its reader has gone, or its disk is full."""

    def __init__(self, stream: Any):
        self._stream = stream or open(os.devnull, "w")  # noqa: SIM115
        self._stream.reconfigure(errors="backslashreplace", line_buffering=True)

    def write(self, text: str) -> int:
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._stream.flush()

    @contextlib.contextmanager
    def _dropping(self):
        try:
            yield
        except (OSError, ValueError):  # From now on all is dropped, what is in its buffer, too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def end(message: str, code: int) -> NoReturn:
    """Ends the process with one line on stderr.

    At once: programs take minutes to compile, and what computes may crash while Python winds down.

    Args:
      message: what to say; nothing if it is empty.
      code: 2 for a bad request, 1 for a failure while running, and as a shell has it for signals.
    """
    sys.stdout.flush()
    if message:
        say(message)
    os._exit(code)


def say(message: str) -> None:
    """Writes one line to stderr, after the name of the command."""
    line = " ".join(message.split())
    if len(line) > _MOST_LETTERS:
        line = f"{line[:_MOST_LETTERS]} ..."
    name = Path(sys.argv[0]).stem
    if name == "-m":  # Python looks for the module that it is to run.
        name = sys.orig_argv[sys.orig_argv.index("-m") + 1].rpartition(".")[2]
    print(f"{name}: {line}", file=sys.stderr, flush=True)


def cause(error: BaseException) -> str:
    """What went wrong; of an error that nobody foresaw, its kind and the line of source, too."""
    if isinstance(error, FloatingPointError | OSError | ValueError) and str(error):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"

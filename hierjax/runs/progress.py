"""How far a run is, for people: a bar where someone watches, lines elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import Any, Self

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0
_ROUNDING = 1e-3
_ENOUGH_DONE = 0.02


class Progress:
    """Tells how far a run is, by a bar or by lines. Use as a context manager.

    Args:
      total: number of units of work, finished ones included.
      unit: name of the units, plural.
      done: number of units that an earlier run finished; parts of a unit count, too.
      on_advance: called whenever units were finished.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        done: float = 0,
        on_advance: Callable[[], None] = lambda: None,
    ):
        self._on_advance = on_advance
        self._total, self._unit, self._done, self._at_start = total, unit, done, done
        self._start = self._last_line = time.perf_counter()
        watched = sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=done, unit=unit, leave=False) if watched else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: float) -> None:
        """Counts units that were finished since the last call; parts of a unit count, too."""
        self._done += count
        self._on_advance()
        if self._bar is not None:
            self._bar.update(count)
        elif self._line_is_due():
            self.line(f"{self._done:.1f} of {self._total} {self._unit}")

    def _line_is_due(self) -> bool:
        is_late = time.perf_counter() - self._last_line > _SECONDS_BETWEEN_LINES
        return is_late and self._total - self._done > _ROUNDING

    def line(self, text: str) -> None:
        """Prints a text on a line of its own, followed by the time left where it is known."""
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

"""Traces of what devices do, for TensorBoard and Perfetto."""

from pathlib import Path
from typing import Any, Self

import jax


class Profile:
    """Traces some pieces of work of a run, the first one left out. Use as a context manager.

    Args:
      folder: where the trace is written, by each process its own.
      pieces: number of pieces of work to trace; 0 for no trace.
    """

    def __init__(self, folder: Path, pieces: int):
        self._folder, self._left = folder, pieces
        self._is_tracing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop()

    def after_piece(self) -> None:
        """Takes note that a piece of work is done: a round of training, or a batch of seeds."""
        if self._is_tracing:
            self._left -= 1
            if self._left == 0:
                self._stop()
        elif self._left > 0:
            jax.profiler.start_trace(self._folder)
            self._is_tracing = True

    def _stop(self) -> None:
        if self._is_tracing:
            jax.profiler.stop_trace()
            self._is_tracing, self._left = False, 0

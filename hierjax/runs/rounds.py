"""Fits in rounds on the host: how far each seed has come, saved so that a killed run goes on."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from hierjax.runs import hosts

PyTree = Any

_SECONDS_BETWEEN_SAVES = 10.0
_SHARE_OF_SAVES = 0.005


class Rounds:
    """The states of all seeds between rounds, whatever chunks the seeds are worked on in."""

    def __init__(self, layout: PyTree, saved: PyTree | None, save: Callable[[PyTree], None]):
        if saved is None:
            saved = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), layout)
        self._rounds = jax.tree.map(np.array, saved)
        self._save = save
        self._next_save = -np.inf

    def fit(self, advance, state, lanes, on_seeds) -> PyTree:
        """Returns the state of a chunk after its last round.

        The states of seeds that have ended are kept here, whatever rounds make of them while
        others of the chunk go on. The memory of a state may be gone after the next round.
        """
        state = self._resume(state, lanes)
        progress = _progress(state, lanes)
        while progress.min() < 1:
            going = progress < 1
            state = advance(state)
            before, progress = progress, _progress(state, lanes)
            progress[~going] = 1
            on_seeds(float((progress - before).sum()))
            must_end = hosts.must_end()
            due = hosts.any_of(time.perf_counter() > self._next_save) or must_end
            if due or (progress[going] >= 1).any():
                self._keep(state, lanes, going)
            if due:
                start = time.perf_counter()
                self._save(jax.tree.map(np.copy, self._rounds))
                end = time.perf_counter()
                # Large states are saved less often, so that saving costs little.
                self._next_save = end + max(_SECONDS_BETWEEN_SAVES, (end - start) / _SHARE_OF_SAVES)
            if must_end:
                raise hosts.Preempted
        return self._resume(state, lanes)

    def _resume(self, state: PyTree, lanes: np.ndarray) -> PyTree:
        started = self._rounds["started"][lanes]
        if not started.any():
            return state

        def take(saved, new):
            new = np.array(new)  # Rows past the lanes are padding.
            new[: len(lanes)][started] = saved[lanes][started]
            return new

        return jax.tree.map(take, self._rounds["state"], hosts.to_host(state))

    def _keep(self, state: PyTree, lanes: np.ndarray, going: np.ndarray) -> None:
        self._rounds["started"][lanes] = True

        def put(kept, new):
            kept[lanes[going]] = new[: len(lanes)][going]

        jax.tree.map(put, self._rounds["state"], hosts.to_host(state))


def _progress(state: PyTree, lanes: np.ndarray) -> np.ndarray:
    return np.array(hosts.to_host(state.progress))[: len(lanes)]

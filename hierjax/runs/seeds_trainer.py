"""Layerwise training on the host: one layer at a time for many seeds.

All computation is in pure functions of one seed. The inputs of a layer are computed from the
parameters below it by the very program that fits it, so a run that was killed and taken up from
its saved layers ends with the same bits as one that was not.
"""

import functools
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from hierjax.runs import hosts
from hierjax.runs.memory import num_bytes, require_memory
from hierjax.runs.parallel import call
from hierjax.runs.rounds import Rounds
from hierjax.runs.seeds import Seeds, take_keys
from hierjax.runs.stages import Stage

PyTree = Any


class FittedLayer(NamedTuple):
    """A layer of every seed, and the time that its fit took.

    Attributes:
      params: parameters of the layer, a pytree of numpy arrays (num_seeds, ...).
      seconds: wall-clock seconds to "compile" (tracing included) and to "run".
    """

    params: PyTree
    seconds: dict[str, float]


class SeedsTrainer:
    """Fits the layers of a stack for many seeds, and measures what was fitted.

    Nothing is traced before it is asked for: a run of many learners begins at once.

    Args:
      seeds: the seeds and their data.
      stages: how each layer is fitted, first layer first, see `layer_stages`.
      measure: (data, parameters of the layers below, parameters of a layer) -> what is measured
        of the layer, a pytree of arrays; by default nothing.
      keys: (num_seeds,) typed PRNG keys of the stack; by default those of the seeds.
    """

    def __init__(
        self,
        seeds: Seeds,
        stages: Sequence[Stage],
        measure: Callable[..., PyTree] = lambda data, below, params: {},
        keys: Key[Array, " seeds"] | None = None,
    ):
        self._seeds = seeds
        self._stages = tuple(stages)
        self._measure = measure
        self._keys = seeds.keys if keys is None else keys
        self._params: dict[int, PyTree] = {}
        self._traced: dict[int, dict[str, jax.stages.Traced]] = {}
        self._tracing_seconds = 0.0
        self._lanes = seeds.lanes

    @property
    def num_layers(self) -> int:
        """Number of layers of the stack."""
        return len(self._stages)

    def layout(self, index: int) -> PyTree:
        """Returns the shapes of the parameters of a layer for all seeds.

        Args:
          index: index of the layer, from 0.

        Returns:
          A tree of `jax.ShapeDtypeStruct`.
        """
        return self._over_seeds(self._lane_params(index))

    def rounds_layout(self, index: int) -> PyTree | None:
        """Returns the shapes of what `fit_layer` calls `save_rounds` with.

        Args:
          index: index of the layer, from 0.

        Returns:
          A tree of `jax.ShapeDtypeStruct`; None for a layer without rounds.
        """
        programs = self._programs(index)
        if "advance" not in programs:
            return None
        started = jax.ShapeDtypeStruct((self._seeds.num_seeds,), bool)
        return {"started": started, "state": self._over_seeds(programs["start"].out_info[1])}

    def fit_layer(
        self,
        below: Sequence[PyTree],
        on_seeds: Callable[[float], None] = lambda count: None,
        saved_rounds: PyTree | None = None,
        save_rounds: Callable[[PyTree], None] = lambda rounds: None,
    ) -> FittedLayer:
        """Fits the layer above those that are finished.

        Args:
          below: parameters of all finished layers, pytrees of arrays (num_seeds, ...).
          on_seeds: called as work gets done, with the number of seeds it amounts to; work that
            `saved_rounds` holds is not counted again.
          saved_rounds: what `save_rounds` was last called with, to go on from there; None to
            start anew.
          save_rounds: called with the states of all seeds, numpy arrays, after the first round
            and then every ten seconds.

        Returns:
          The fitted layer.

        Raises:
          FloatingPointError: parameters of a seed are not finite.
          ValueError: there is no memory for the parameters of all seeds, or for a call.
        """
        index, below = len(below), tuple(below)
        self._programs(index)  # Traced here: what goes wrong in a fit is then few frames away.
        needed = num_bytes(self.layout(index))
        require_memory(needed, f"parameters of {self._seeds.num_seeds} seeds", on_host=True)
        layout = self.rounds_layout(index)
        rounds = None if layout is None else Rounds(layout, saved_rounds, save_rounds)
        layer = self._run(index, below, rounds, on_seeds)
        # In reference cycles, which Python may leave: hundreds exhaust the maps of a process.
        gc.collect()
        self._require_finite(index, layer.params)
        return layer

    def _run(self, index: int, below, rounds: Rounds | None, on_seeds) -> FittedLayer:
        """Compiles the programs of a layer, and runs them for all seeds."""
        start = time.perf_counter() - self._tracing_seconds
        self._tracing_seconds = 0.0
        programs = self._seeds.compile(lambda: self._programs(index))
        del self._traced[index]  # Now it only takes memory.
        draw = self._seeds.data
        compiled = time.perf_counter()

        def fit(lanes, own):
            keys = take_keys(self._keys, lanes)
            fitted = call(programs["start"], keys, draw(lanes), _rows(below, lanes))
            if rounds is None:
                on_seeds(own.size)
                return fitted
            context, state = fitted

            advance = functools.partial(call, programs["advance"], keys, context)
            return call(programs["finish"], context, rounds.fit(advance, state, own, on_seeds))

        params = _by_chunks(self._seeds.chunks(), fit)
        seconds = {"compile": compiled - start, "run": time.perf_counter() - compiled}
        return FittedLayer(params, seconds)

    def measure(self, below: Sequence[PyTree], params: PyTree) -> PyTree:
        """Measures a fitted layer.

        Args:
          below: parameters of all layers below, pytrees of arrays (num_seeds, ...).
          params: parameters of the layer, a pytree of arrays (num_seeds, ...).

        Returns:
          What the function `measure` returns, numpy arrays (num_seeds, ...).
        """
        measured = self._measure_chunks((tuple(below), params))
        gc.collect()  # As after a fit: a finished run of many learners measures all of them.
        return measured

    def _measure_chunks(self, trained: tuple[tuple[PyTree, ...], PyTree]) -> PyTree:
        seeds = self._seeds

        def trace():
            lanes, _ = next(seeds.chunks())
            layouts = jax.eval_shape(lambda tree: tree, _rows(trained, lanes))
            return {"measure": seeds.map(self._measure).trace(seeds.data_layout, *layouts)}

        program = seeds.compile(trace)["measure"]
        return _by_chunks(
            seeds.chunks(),
            lambda lanes, _: call(program, seeds.data(lanes), *_rows(trained, lanes)),
        )

    def _programs(self, index: int) -> dict[str, jax.stages.Traced]:
        """Returns the programs that fit a layer, traced for the shapes of the layers below."""
        if self._lanes != self._seeds.lanes:  # Memory was short.
            self._params.clear()
            self._traced.clear()
            self._lanes = self._seeds.lanes
        if index not in self._traced:
            seeds, key, data = self._seeds, self._seeds.lane_keys, self._seeds.data_layout
            below = tuple(self._lane_params(layer) for layer in range(index))
            begin = time.perf_counter()
            stage = self._stages[index]
            traced = {"start": seeds.map(stage.start).trace(key, data, below)}
            if stage.advance is not None and stage.finish is not None:
                context, state = traced["start"].out_info
                advance = seeds.map(stage.advance, donate=(2,))
                traced["advance"] = advance.trace(key, context, state)
                traced["finish"] = seeds.map(stage.finish).trace(context, state)
            self._params[index] = list(traced.values())[-1].out_info
            self._traced[index] = traced
            self._tracing_seconds += time.perf_counter() - begin
        return self._traced[index]

    def _lane_params(self, index: int) -> PyTree:
        """Returns the shapes of the parameters of a layer, for a chunk."""
        if index not in self._params:
            self._programs(index)
        return self._params[index]

    def _over_seeds(self, lanes: PyTree) -> PyTree:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((self._seeds.num_seeds, *x.shape[1:]), x.dtype), lanes
        )

    def _require_finite(self, index: int, params: PyTree) -> None:
        finite = np.ones(self._seeds.num_seeds, bool)
        for leaf in jax.tree.leaves(params):
            if jnp.issubdtype(leaf.dtype, jnp.inexact):
                finite &= np.isfinite(leaf).reshape(len(finite), -1).all(axis=1)
        if not finite.all():
            seeds = ", ".join(map(str, np.flatnonzero(~finite)))
            raise FloatingPointError(
                f"layer {index + 1} of {self.num_layers} is not finite for seeds {seeds}: the "
                "layers below it are kept"
            )


def _rows(tree: PyTree, rows: np.ndarray | slice) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def _by_chunks(chunks, function: Callable[[np.ndarray, np.ndarray], PyTree]) -> PyTree:
    """Puts together what a function makes of all chunks, on the host and without the padding.

    The function is one of the lanes of a chunk, and of those of them that are not padding.
    """
    parts = []
    for lanes, count in chunks:
        parts.append(_rows(hosts.to_host(function(lanes, lanes[:count])), slice(count)))
    return jax.tree.map(lambda *rows: np.concatenate(rows), *parts)

"""The host's side of layerwise training: one layer at a time for many seeds.

All computation is in pure functions of one seed. The inputs of a layer are computed from the
parameters below it by the very program that fits it, so a run that was killed and taken up from
its saved layers ends with the same bits as one that was not.
"""

import functools
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh

from hierjax.runs.parallel import compile_for, map_seeds, seed_chunks, seed_mesh
from hierjax.runs.stages import Stage

PyTree = Any

_SECONDS_BETWEEN_SAVES = 10.0


_take = jax.jit(lambda keys, lanes: keys[lanes])


class FittedLayer(struct.PyTreeNode):
    """A layer of every seed, numpy arrays stacked over seeds, and what it took.

    Attributes:
      params: parameters of the layer.
      report: what its stage measured.
      seconds: wall-clock "compile" (tracing included) and "run", float32 scalars.
    """

    params: PyTree
    report: PyTree
    seconds: dict[str, np.ndarray]


class Seeds:
    """Seeds, the data that each draws, and the devices that work on them.

    Args:
      keys: (num_seeds,) typed keys.
      make_data: key -> what the stages of that seed need.
      mesh: as for `map_seeds`.
      impl: likewise.
    """

    def __init__(
        self,
        keys: jax.Array,
        make_data: Callable[[jax.Array], PyTree],
        mesh: Mesh | None = None,
        impl: str = "shard_map",
    ):
        self.keys = keys
        self.num_seeds = keys.shape[0]
        self._mesh = seed_mesh() if mesh is None else mesh
        self._impl = impl
        lanes, _ = next(self.chunks())
        self.lane_keys = jax.eval_shape(lambda: keys[lanes])
        self._make_data = make_data

    def chunks(self):
        """As `seed_chunks`."""
        return seed_chunks(self.num_seeds, self._mesh)

    def trace(self, function: Callable[..., PyTree], *args: PyTree) -> jax.stages.Traced:
        """The function mapped over a chunk of seeds, traced for arguments of these shapes."""
        return map_seeds(function, self._mesh, self._impl).trace(*args)

    def compile(self, traced: jax.stages.Traced, effort: int = 1) -> jax.stages.Compiled:
        """The program, as `compile_for` makes it."""
        return compile_for(self._mesh, traced, effort)

    @functools.cached_property
    def _traced(self) -> jax.stages.Traced:
        return self.trace(self._make_data, self.lane_keys)

    @property
    def data_layout(self) -> PyTree:
        """Shapes of the data of a chunk."""
        return self._traced.out_info

    @functools.cached_property
    def data(self) -> Callable[[np.ndarray], PyTree]:
        """Compiled when it is first looked at: lanes -> the data of a chunk."""
        compiled = self.compile(self._traced, effort=0)
        return lambda lanes: compiled(_take(self.keys, lanes))


class SeedsTrainer:
    """Fits the layers of a stack for many seeds.

    Args:
      seeds: the seeds and their data.
      stages: the layers, leaves up.
      keys: (num_seeds,) typed keys of the stack; by default those of the seeds.

    Nothing is traced before it is asked for: a run of many learners begins at once.
    """

    def __init__(self, seeds: Seeds, stages: Sequence[Stage], keys: jax.Array | None = None):
        self._seeds = seeds
        self._stages = tuple(stages)
        self._keys = seeds.keys if keys is None else keys
        self._outputs: dict[int, tuple[PyTree, PyTree]] = {}
        self._traced: dict[int, dict[str, jax.stages.Traced]] = {}
        self._unreported_seconds = 0.0

    @property
    def num_layers(self) -> int:
        """Layers of the stack."""
        return len(self._stages)

    def _programs(self, index: int) -> dict[str, jax.stages.Traced]:
        """Those of a layer, traced for the shapes of the layers below."""
        if index not in self._traced:
            below = tuple(self._output(layer)[0] for layer in range(index))
            start = time.perf_counter()
            self._traced[index] = self._trace(self._stages[index], below)
            self._unreported_seconds += time.perf_counter() - start
            self._outputs[index] = self._traced[index]["finish"].out_info
        return self._traced[index]

    def _output(self, index: int) -> tuple[PyTree, PyTree]:
        """Shapes of the parameters and the report of a layer, for a chunk."""
        if index not in self._outputs:
            self._programs(index)
        return self._outputs[index]

    def _trace(self, stage: Stage, below: tuple[PyTree, ...]) -> dict[str, jax.stages.Traced]:
        seeds, key, data = self._seeds, self._seeds.lane_keys, self._seeds.data_layout
        if stage.advance is None:

            def fit(key, data, below):
                return stage.finish(data, below, *stage.start(key, data, below))

            return {"finish": seeds.trace(fit, key, data, below)}
        start = seeds.trace(stage.start, key, data, below)
        context, state = start.out_info
        return {
            "start": start,
            "advance": seeds.trace(stage.advance, key, context, state),
            "finish": seeds.trace(stage.finish, data, below, context, state),
        }

    def layout(self, index: int) -> FittedLayer:
        """Shapes of a fitted layer."""
        scalar = jax.ShapeDtypeStruct((), np.float32)
        seconds = {"compile": scalar, "run": scalar}
        return FittedLayer(*self._over_seeds(self._output(index)), seconds)

    def _over_seeds(self, lanes: PyTree) -> PyTree:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((self._seeds.num_seeds, *x.shape[1:]), x.dtype), lanes
        )

    def rounds_layout(self, index: int) -> PyTree | None:
        """Shapes of what `save_rounds` is called with; None for a layer without rounds."""
        programs = self._programs(index)
        if "start" not in programs:
            return None
        started = jax.ShapeDtypeStruct((self._seeds.num_seeds,), bool)
        return {"started": started, "state": self._over_seeds(programs["start"].out_info[1])}

    def fit_layer(
        self,
        finished: Sequence[FittedLayer],
        on_seeds: Callable[[float], None],
        saved_rounds: PyTree | None = None,
        save_rounds: Callable[[PyTree], None] = lambda rounds: None,
    ) -> FittedLayer:
        """Fits the layer above those that are finished.

        Args:
          finished: the layers below, all of them.
          on_seeds: called as work gets done with the number of seeds it amounts to; work that
            `saved_rounds` holds is not counted again.
          saved_rounds: what `save_rounds` was last called with, to go on from there.
          save_rounds: called after the first round, and then every ten seconds.

        Raises:
          FloatingPointError: parameters of a seed are not finite.
        """
        index, below = len(finished), tuple(layer.params for layer in finished)
        layout = self.rounds_layout(index)
        rounds = None if layout is None else _Rounds(layout, saved_rounds, save_rounds)
        start = time.perf_counter() - self._unreported_seconds
        self._unreported_seconds = 0.0
        # Once it is compiled, what was traced only takes memory.
        traced = self._traced.pop(index)
        programs = {name: self._seeds.compile(each) for name, each in traced.items()}
        draw = self._seeds.data
        compiled = time.perf_counter()

        chunks = []
        for lanes, count in self._seeds.chunks():
            data, lanes_below = draw(lanes), _rows(below, lanes)
            if rounds is None:
                fitted = programs["finish"](_take(self._keys, lanes), data, lanes_below)
                on_seeds(count)
            else:
                context, state = programs["start"](_take(self._keys, lanes), data, lanes_below)
                advance = functools.partial(programs["advance"], _take(self._keys, lanes), context)
                state = rounds.fit(advance, state, lanes[:count], on_seeds)
                fitted = programs["finish"](data, lanes_below, context, state)
            chunks.append(_rows(jax.device_get(fitted), slice(count)))
        params, report = jax.tree.map(lambda *parts: np.concatenate(parts), *chunks)
        self._require_finite(index, params)
        seconds = {"compile": compiled - start, "run": time.perf_counter() - compiled}
        del programs, traced
        # In reference cycles, which Python may leave: hundreds exhaust the maps of a process.
        gc.collect()
        return FittedLayer(
            params, report, {name: np.asarray(s, np.float32) for name, s in seconds.items()}
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


class _Rounds:
    """The states of all seeds between rounds, whatever chunks the seeds are worked on in."""

    def __init__(self, layout: PyTree, saved: PyTree | None, save: Callable[[PyTree], None]):
        if saved is None:
            saved = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), layout)
        self._rounds = jax.tree.map(np.array, saved)
        self._save = save
        self._last_save = -np.inf

    def fit(self, advance, state, lanes, on_seeds) -> PyTree:
        """The state of a chunk after its last round."""
        state = self._resume(state, lanes)
        progress = np.asarray(state.progress)[: len(lanes)]
        while progress.min() < 1:
            state = advance(state)
            before, progress = progress, np.asarray(state.progress)[: len(lanes)]
            on_seeds(float((progress - before).sum()))
            if time.perf_counter() - self._last_save > _SECONDS_BETWEEN_SAVES:
                self._keep(state, lanes)
                self._save(jax.tree.map(np.copy, self._rounds))
                self._last_save = time.perf_counter()
        self._keep(state, lanes)
        return state

    def _resume(self, state: PyTree, lanes: np.ndarray) -> PyTree:
        started = self._rounds["started"][lanes]
        if not started.any():
            return state

        def take(saved, new):
            new = np.array(new)  # Rows past the lanes are padding.
            new[: len(lanes)][started] = saved[lanes][started]
            return new

        return jax.tree.map(take, self._rounds["state"], jax.device_get(state))

    def _keep(self, state: PyTree, lanes: np.ndarray) -> None:
        self._rounds["started"][lanes] = True

        def put(kept, new):
            kept[lanes] = new[: len(lanes)]

        jax.tree.map(put, self._rounds["state"], jax.device_get(state))


def _rows(tree: PyTree, rows: np.ndarray | slice) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[rows], tree)

"""The host's side of layerwise training: one layer at a time for many seeds.

All computation is in pure functions of one seed. The inputs of a layer are computed from the
parameters below it by the very program that fits it, so a run that was killed and taken up from
its saved layers ends with the same bits as one that was not.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from hierjax.parallel import map_seeds, seed_chunks

PyTree = Any


class FittedLayer(struct.PyTreeNode):
    """A layer of every seed, numpy arrays stacked over seeds, and what it took.

    Attributes:
      params: parameters of the layer.
      report: what its step measured.
      seconds: wall-clock "compile" (tracing included) and "run", float32 scalars.
    """

    params: PyTree
    report: PyTree
    seconds: dict[str, np.ndarray]


class SeedsTrainer:
    """Fits the layers of a stack for many seeds, every seed with data and weights of its own.

    Args:
      keys: (num_seeds,) typed keys.
      make_data: key -> what the steps of that seed need.
      make_step: layer index -> step(key, data, params below) -> (params, report) of the layer.
      num_layers: L.

    Attributes:
      layouts: for each layer the shapes of its `FittedLayer`.
    """

    def __init__(
        self,
        keys: jax.Array,
        make_data: Callable[[jax.Array], PyTree],
        make_step: Callable[[int], Callable[..., tuple[PyTree, PyTree]]],
        num_layers: int,
    ):
        self._keys = keys
        self._num_seeds = keys.shape[0]
        start = time.perf_counter()
        lanes, _ = next(seed_chunks(self._num_seeds))
        self._data = jax.jit(map_seeds(make_data)).trace(keys[lanes])
        self._steps: list[jax.stages.Traced] = []
        below: tuple[PyTree, ...] = ()
        for index in range(num_layers):
            step = jax.jit(map_seeds(make_step(index)))
            self._steps.append(step.trace(keys[lanes], self._data.out_info, below))
            below += (self._steps[-1].out_info[0],)
        self.layouts = [self._layout(*step.out_info) for step in self._steps]
        self._compiled_data: jax.stages.Compiled | None = None
        self._unreported_seconds = time.perf_counter() - start

    def _layout(self, params: PyTree, report: PyTree) -> FittedLayer:
        def over_seeds(x):
            return jax.ShapeDtypeStruct((self._num_seeds, *x.shape[1:]), x.dtype)

        scalar = jax.ShapeDtypeStruct((), np.float32)
        seconds = {"compile": scalar, "run": scalar}
        return FittedLayer(*jax.tree.map(over_seeds, (params, report)), seconds)

    def fit_layer(
        self, finished: Sequence[FittedLayer], on_seeds: Callable[[int], None]
    ) -> FittedLayer:
        """Fits the layer above those that are finished.

        Args:
          finished: the layers below, all of them.
          on_seeds: called with the number of seeds that each call of the device has done.

        Raises:
          FloatingPointError: parameters of a seed are not finite.
        """
        index, below = len(finished), tuple(layer.params for layer in finished)
        start = time.perf_counter() - self._unreported_seconds
        self._unreported_seconds = 0.0
        step = self._steps[index].lower().compile()
        if self._compiled_data is None:
            self._compiled_data = self._data.lower().compile()
        compiled = time.perf_counter()

        chunks = []
        for lanes, count in seed_chunks(self._num_seeds):
            keys = self._keys[lanes]
            state = step(keys, self._compiled_data(keys), _rows(below, lanes))
            chunks.append(_rows(jax.device_get(state), slice(count)))
            on_seeds(count)
        params, report = jax.tree.map(lambda *parts: np.concatenate(parts), *chunks)
        self._require_finite(index, params)
        seconds = {"compile": compiled - start, "run": time.perf_counter() - compiled}
        return FittedLayer(
            params, report, {name: np.asarray(s, np.float32) for name, s in seconds.items()}
        )

    def _require_finite(self, index: int, params: PyTree) -> None:
        finite = np.ones(self._num_seeds, bool)
        for leaf in jax.tree.leaves(params):
            if jnp.issubdtype(leaf.dtype, jnp.inexact):
                finite &= np.isfinite(leaf).reshape(self._num_seeds, -1).all(axis=1)
        if not finite.all():
            seeds = ", ".join(map(str, np.flatnonzero(~finite)))
            raise FloatingPointError(
                f"layer {index + 1} of {len(self._steps)} is not finite for seeds {seeds}: the "
                "layers below it are kept"
            )


def _rows(tree: PyTree, rows: np.ndarray | slice) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[rows], tree)

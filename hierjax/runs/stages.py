"""What fits one layer of a stack for one seed: pure functions for the host to map over seeds."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hierjax.tasks.batch import Batch
from hierjax.train.layerwise import Layer, RoundsLayer, forward, layer_key

PyTree = Any


class Stage(NamedTuple):
    """How one layer is fitted for one seed: pure functions, see `layer_stage`.

    Attributes:
      start: (key, data, params below) -> (context, state); the context is what all rounds share.
      advance: (key, context, state) -> state after one more round, with a scalar `progress`
        that is 1 when no more are needed; None for a fit without rounds.
      finish: (data, params below, context, state) -> (params, report).
    """

    start: Callable[..., tuple[PyTree, PyTree]]
    advance: Callable[..., PyTree] | None
    finish: Callable[..., tuple[PyTree, PyTree]]


def layer_stage(
    layers: Sequence[Layer | RoundsLayer],
    index: int,
    batch: Callable[[PyTree], Batch],
    report: Callable[..., PyTree],
) -> Stage:
    """The stage that fits one layer of a stack.

    Args:
      layers: the stack.
      index: of the layer, from 0.
      batch: data of the seed -> the examples that the layer sees.
      report: (data, params below, params of the layer, its train inputs) -> what to record.
    """
    layer = layers[index]

    def start(key, data, below):
        examples = batch(data)
        context = forward(layers, below, examples.inputs), examples.labels
        begin = layer.start if isinstance(layer, RoundsLayer) else layer.fit
        return context, begin(layer_key(key, index), *context)

    def advance(key, context, state):
        return layer.advance(layer_key(key, index), state, *context)

    def finish(data, below, context, state):
        params = layer.finish(state, *context) if isinstance(layer, RoundsLayer) else state
        return params, report(data, below, params, context[0])

    return Stage(start, advance if isinstance(layer, RoundsLayer) else None, finish)

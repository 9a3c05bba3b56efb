"""Stages: pure functions of one seed that fit a layer of a stack; the host maps them over seeds."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from hierjax.tasks.batch import Batch
from hierjax.train.lanes import any_lane
from hierjax.train.layerwise import Layer, RoundsLayer, forward, layer_key
from hierjax.train.streamed import Source

PyTree = Any


class Stage(NamedTuple):
    """How one layer is fitted for one seed, see `layer_stages`.

    Attributes:
      start: (key, data, parameters of the layers below) -> parameters of the layer or, if it is
        fitted in rounds, (context, state); the context is what all rounds need and leave alone.
      advance: (key, context, state) -> state after one more round, whose scalar `progress` is 1
        when no more rounds are needed; None for a fit without rounds.
      finish: (context, state) -> parameters of the layer; None for a fit without rounds.
    """

    start: Callable[..., PyTree]
    advance: Callable[..., PyTree] | None = None
    finish: Callable[..., PyTree] | None = None


def layer_stages(
    layers: Sequence[Layer], examples: Callable[[PyTree, int], Batch | Source]
) -> tuple[Stage, ...]:
    """Makes the stages that fit the layers of a stack.

    Args:
      layers: the stack, first layer first.
      examples: (data of a seed, index of a layer from 0) -> the examples that the layer is
        fitted on, or their source.

    Returns:
      A stage for each layer, first layer first.
    """
    return tuple(_layer_stage(layers, index, examples) for index in range(len(layers)))


def _layer_stage(layers, index: int, examples) -> Stage:
    layer = layers[index]

    def see(data, below):
        batch = examples(data, index)
        return forward(layers, below, batch.inputs), batch.labels

    def fit(key, data, below):
        return layer.fit(layer_key(key, index), *see(data, below))

    def start(key, data, below):
        context = see(data, below)
        return context, layer.start(layer_key(key, index), *context)

    def one_round(key, context, state):
        state = layer.advance(layer_key(key, index), state, *context)
        return layer.decide(layer_key(key, index), state, *context)

    def advance(key, context, state):
        # A fit that has ended then costs nothing where seeds run one by one, as on a CPU.
        going = any_lane(state.progress < 1)
        step = functools.partial(one_round, key, context)
        return jax.lax.cond(going, step, lambda state: state, state)

    def finish(context, state):
        return layer.finish(state, *context)

    return Stage(start, advance, finish) if isinstance(layer, RoundsLayer) else Stage(fit)

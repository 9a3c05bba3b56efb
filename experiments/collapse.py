"""How features gather around their classes after each layer: a measure that experiments share."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hierjax.measure import Collapse, spread
from hierjax.runs import Measure, Registry, Results
from hierjax.train import KernelRidge, Network, forward


def add_collapse(
    registry: Registry[Measure],
    inputs: Callable[[Any], jax.Array],
    collapse: Callable[[jax.Array, Any], Collapse],
) -> None:
    """Declares the measure "collapse": compression, discrimination and rank of each layer.

    The features of a layer are what it puts out; those of a network that is trained whole are
    those of all its hidden layers. A kernel machine has none.

    Args:
      registry: the measures of the experiment.
      inputs: data of a seed -> the inputs whose features are measured.
      collapse: (features of a layer, data of a seed) -> what is measured of them.
    """

    @registry.add("collapse", column="collapse", text="{mean:.3g}", by_layer=True)
    def measured(layers, data, below, params):
        """The fields of a `Collapse`, (layers,) each."""
        features = _features(layers, below, params, inputs(data))
        found = [collapse(each, data) for each in features]
        if not found:
            return None
        return dataclasses.asdict(jax.tree.map(lambda *each: jnp.stack(each), *found))


def _features(layers: Sequence[Any], below, params, inputs) -> list[jax.Array]:
    layer, inputs = layers[len(below)], forward(layers, below, inputs)
    if isinstance(layer, Network):
        return layer.hidden(params, inputs)
    return [] if isinstance(layer, KernelRidge) else [layer.apply(params, inputs)]


def curves(results: Results) -> dict[str, dict[str, list[dict]]]:
    """Summarises the measure "collapse" over seeds.

    Args:
      results: the fitted layers of each learner.

    Returns:
      {mean, std, max, per_seed} of each layer, in order, by the names of the learners that have
      layers and of the fields of a `Collapse`.
    """
    names = [field.name for field in dataclasses.fields(Collapse)]
    return {
        learner: {
            name: [
                spread(entry) for layer in layers for entry in layer.measured["collapse"][name].T
            ]
            for name in names
        }
        for learner, layers in results.items()
        if "collapse" in layers[0].measured
    }

"""One network trained layer by layer, then as a whole, or as a whole from the start.

A learner is a function (sizes of the grammars, settings, key, train strings) -> variables of the
network, declared here by `@CORRECTIONS.add(name, colour=...)`. All take as many steps.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from hierjax.measure import error_rate, separation
from hierjax.runs.experiment import Registry
from hierjax.runs.learners.string_points import DrawStrings, StringData, spec_name
from hierjax.runs.sweeps.points import Point
from hierjax.tasks import Batch, RandomHierarchySpec
from hierjax.train import (
    Network,
    NetworkConfig,
    NetworkLayer,
    TrainedNetwork,
    end_to_end_learner,
    layer_key,
    merge_variables,
    network_layers,
    num_fitted,
    train_layerwise,
)

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Correction:
    """A way to train the network.

    Attributes:
      learn: (sizes of the grammars, choices of descent, key, train strings) -> the variables.
      colour: colour of the learner in figures, which no other learner has.
    """

    learn: Callable[[RandomHierarchySpec, NetworkConfig, Array, Batch], PyTree]
    colour: str


CORRECTIONS: Registry[Correction] = Registry(Correction, "learner")
"""Ways to train the network by name, in the order of tables and figures."""


@CORRECTIONS.add("layerwise", colour="tab:blue")
def layerwise(
    spec: RandomHierarchySpec, config: NetworkConfig, key: Key[Array, ""], train: Batch
) -> PyTree:
    """Layer by layer, each with a linear head of its own for the class."""
    return _layer_by_layer(spec, config, key, train, _steps(config))


@CORRECTIONS.add("corrected", colour="tab:purple")
def corrected(
    spec: RandomHierarchySpec, config: NetworkConfig, key: Key[Array, ""], train: Batch
) -> PyTree:
    """Layer by layer for half of the steps, then all layers together (arXiv 2001.04413).

    The first half does without the strings by which the rates of the second are compared.
    """
    half = _steps(config) // 2
    fitted = num_fitted(train.inputs.shape[0])
    first = jax.tree.map(lambda leaf: leaf[:fitted], train)
    below = _layer_by_layer(spec, config, key, first, half)
    whole = _network(spec, config, half).started_at(below)
    return whole.fit(layer_key(key, spec.depth), train.inputs, train.labels).variables


@CORRECTIONS.add("end_to_end", colour="tab:orange")
def end_to_end(
    spec: RandomHierarchySpec, config: NetworkConfig, key: Key[Array, ""], train: Batch
) -> PyTree:
    """All layers together from the start."""
    whole = _network(spec, config, _steps(config))
    return whole.fit(layer_key(key, 0), train.inputs, train.labels).variables


def _layer_by_layer(
    spec: RandomHierarchySpec,
    config: NetworkConfig,
    key: Key[Array, ""],
    train: Batch,
    num_steps: int,
) -> PyTree:
    whole = _network(spec, config, max(num_steps // spec.depth, 1))
    layers: tuple[NetworkLayer, ...] = network_layers(whole.module, whole.descent)
    return merge_variables(train_layerwise(layers, train, key))


def _network(spec: RandomHierarchySpec, config: NetworkConfig, num_steps: int) -> Network:
    (network,) = end_to_end_learner(spec, 0, dataclasses.replace(config, num_steps=num_steps))
    return network


def _steps(config: NetworkConfig) -> int:
    assert config.num_steps is not None
    return config.num_steps


@dataclasses.dataclass(frozen=True)
class CorrectionCell:
    """A point of a sweep: a way to train the network, and the strings that it is trained on.

    Attributes:
      strings: what is drawn, trees of test strings included.
      learner: name of the learner in `CORRECTIONS`.
      config: choices of descent, with a number of steps, those of all layers together.
    """

    strings: DrawStrings
    learner: str
    config: NetworkConfig

    @property
    def name(self) -> str:
        """Name of the point in the records."""
        strings = self.strings
        return f"{self.learner} {spec_name(strings.spec)} n={strings.num_train}"

    def point(self) -> Point:
        """Makes the point that a sweep measures."""
        return Point(self.name, 1.0, self.strings, self.measure)

    def measure(self, key: Key[Array, ""], data: StringData) -> dict[str, Array]:
        """Trains the network of a seed and measures it; pure.

        Args:
          key: typed PRNG key of the seed.
          data: the strings of the seed, with the trees of test strings.

        Returns:
          "test_error"; "purity" (L,) of the symbols that each layer stands for, leaves up, see
          `hierjax.measure.Separation`; and "num_unseen".
        """
        spec = self.strings.draw.seen(self.strings.spec)
        learn = CORRECTIONS[self.learner].learn
        variables = learn(spec, self.config, jax.random.fold_in(key, 2), data.train)
        network = _network(spec, self.config, 1)
        params = TrainedNetwork(variables, None, jnp.zeros(()), jnp.int32(0))
        inputs = data.test.inputs
        levels = list(reversed(range(spec.depth)))
        purity = [
            separation(each, data.test.latents[level], spec.symbols(level)).purity
            for level, each in zip(levels, network.hidden(params, inputs), strict=True)
        ]
        return {
            "test_error": error_rate(network.apply(params, inputs), data.test.labels),
            "purity": jnp.stack(purity),
            "num_unseen": data.num_unseen,
        }

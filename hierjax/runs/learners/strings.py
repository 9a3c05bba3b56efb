"""Learners of random hierarchies, each declared once: they are then in every command and figure.

A learner is a function (sizes of the grammars, number of train strings, settings) -> layers,
declared here by `@STRING_LEARNERS.add(name, colour=...)`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh

from hierjax.runs.experiment import Registry
from hierjax.runs.requests import nested
from hierjax.settings import Config
from hierjax.tasks import RandomHierarchySpec
from hierjax.train import (
    KernelConfig,
    NetworkConfig,
    PatchLayerConfig,
    ShallowConfig,
    end_to_end_learner,
    kernel_learner,
    patch_layers,
    shallow_learner,
)


@dataclasses.dataclass(frozen=True)
class StringLearner:
    """A learner of random hierarchies.

    Attributes:
      make: (sizes of the grammars, number of train strings, settings) -> the layers; raises
        ValueError if there is no such learner of these sizes.
      colour: colour of the learner in figures, which no other learner has.
      work: number of train strings -> CPU-seconds of a seed, by and large, from which the time
        left is estimated.
      fills_cpu: whether one seed keeps all cores of a CPU at work.
    """

    make: Callable[[RandomHierarchySpec, int, Any], tuple]
    colour: str
    work: Callable[[int], float] = lambda n: max(n, 2_400) / 2_000
    fills_cpu: bool = False


STRING_LEARNERS: Registry[StringLearner] = Registry(StringLearner, "learner")
"""Learners of random hierarchies by name, in the order of tables and figures."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnerSettings(Config):
    """How the learners of random hierarchies are tuned; requests of experiments derive from it.

    Attributes:
      config: choices of the layerwise learner.
      network: choices of the network trained end to end.
      shallow: choices of the shallow network.
      kernel: choices of the kernel machine.

    Raises:
      ValueError: a value is not allowed.
    """

    config: PatchLayerConfig = nested(PatchLayerConfig)
    network: NetworkConfig = nested(NetworkConfig)
    shallow: ShallowConfig = nested(ShallowConfig, "shallow_")
    kernel: KernelConfig = nested(KernelConfig, "kernel_")

    @property
    def mesh(self) -> Mesh | None:
        """Devices that share the batches of the network trained end to end; None for one device."""
        return None

    @property
    def settings(self) -> "LearnerSettings":
        """The settings of the learners alone, without what else a request asks for."""
        names = [field.name for field in dataclasses.fields(LearnerSettings)]
        return LearnerSettings(**{name: getattr(self, name) for name in names})


@STRING_LEARNERS.add("layerwise", colour="tab:blue", work=lambda n: n / 20_000)
def layerwise(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """The convolutional stack matched to the tree, trained layer by layer."""
    return patch_layers(spec, settings.config)


@STRING_LEARNERS.add("end_to_end", colour="tab:orange")
def end_to_end(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """The convolutional stack matched to the tree, all of its layers trained together."""
    return end_to_end_learner(spec, num_train, settings.network, settings.mesh)


@STRING_LEARNERS.add("shallow", colour="tab:green", work=lambda n: max(n, 4_800) / 4_000)
def shallow(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """A network of one hidden layer on the one-hot string."""
    return shallow_learner(spec, num_train, settings.shallow)


@STRING_LEARNERS.add("kernel", colour="tab:red", work=lambda n: (n / 2_000) ** 2, fills_cpu=True)
def kernel(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """Kernel ridge regression on the one-hot string."""
    if num_train > settings.kernel.most_train:
        raise ValueError(f"n = {num_train} is more than {settings.kernel.most_train}")
    return kernel_learner(spec, settings.kernel)


def obstacle(name: str, spec: RandomHierarchySpec, num_train: int, settings: Any) -> str:
    """Says why a learner cannot be trained on so many strings; empty if it can.

    Args:
      name: name of the learner in `STRING_LEARNERS`.
      spec: sizes of the grammars.
      num_train: number of train strings, n.
      settings: how the learners are tuned, `LearnerSettings`.
    """
    try:
        STRING_LEARNERS[name].make(spec, num_train, settings)
    except ValueError as error:
        return str(error)
    return ""

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
class Learner:
    """A learner of random hierarchies.

    Attributes:
      make: (sizes of the grammars, number of train strings, settings) -> layers; ValueError if
        there is no such learner of these sizes.
      colour: in figures; a colour of its own.
      work: number of train strings -> CPU-seconds of a seed, by and large: for the time left.
      fills_cpu: whether one seed keeps all cores of a CPU at work.
    """

    make: Callable[[RandomHierarchySpec, int, Any], tuple]
    colour: str
    work: Callable[[int], float] = lambda n: max(n, 2_400) / 2_000
    fills_cpu: bool = False


STRING_LEARNERS: Registry[Learner] = Registry(Learner, "learner")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnerSettings(Config):
    """How the learners are tuned; part of the request of every experiment on them.

    Attributes:
      config: the layerwise learner.
      network: the network trained end to end.
      shallow: the shallow network.
      kernel: the kernel machine.
    """

    config: PatchLayerConfig = nested(PatchLayerConfig)
    network: NetworkConfig = nested(NetworkConfig)
    shallow: ShallowConfig = nested(ShallowConfig, "shallow_")
    kernel: KernelConfig = nested(KernelConfig, "kernel_")

    @property
    def mesh(self) -> Mesh | None:
        """Devices that share the batches of the end-to-end learner; None if they do not."""
        return None

    @property
    def settings(self) -> "LearnerSettings":
        """These settings alone, without what else a request asks for."""
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
    """Why a learner cannot be trained on so many strings; empty if it can."""
    try:
        STRING_LEARNERS[name].make(spec, num_train, settings)
    except ValueError as error:
        return str(error)
    return ""

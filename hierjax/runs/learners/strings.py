"""Learners of random hierarchies, each declared once: they are then in every command and figure.

A learner is a function (sizes of the grammars, number of train strings, settings) -> layers,
declared here by `@STRING_LEARNERS.add(name, colour=...)`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh

from hierjax.models import PRECISIONS
from hierjax.runs.experiment import Registry
from hierjax.runs.requests import nested
from hierjax.settings import Config, setting
from hierjax.tasks import Batch, RandomHierarchySpec
from hierjax.train import (
    MAX_KERNEL_TRAIN,
    PAPER,
    KernelConfig,
    NetworkConfig,
    PatchLayerConfig,
    ShallowConfig,
    end_to_end_learner,
    kernel_learner,
    latent_cluster_layers,
    one_step_layers,
    patch_layers,
    shallow_learner,
    string_bounds,
    strings_of_layer,
)


def _all_strings(spec: RandomHierarchySpec, settings: Any, train: Batch, index: int) -> Batch:
    return train


@dataclasses.dataclass(frozen=True)
class StringLearner:
    """A learner of random hierarchies.

    Attributes:
      make: (sizes of the grammars, number of train strings, settings) -> the layers; raises
        ValueError if there is no such learner of these sizes.
      colour: colour of the learner in figures, which no other learner has.
      examples: (sizes of the grammars, settings, train strings, index of a layer from 0) -> the
        strings that the layer is fitted on.
      work: number of train strings -> CPU-seconds of a seed, by and large, from which the time
        left is estimated.
      fills_cpu: whether one seed keeps all cores of a CPU at work.
      by_default: whether sweeps over learners train it where none are named.
    """

    make: Callable[[RandomHierarchySpec, int, Any], tuple]
    colour: str
    examples: Callable[[RandomHierarchySpec, Any, Batch, int], Batch] = _all_strings
    work: Callable[[int], float] = lambda n: max(n, 2_400) / 2_000
    fills_cpu: bool = False
    by_default: bool = True


PRESETS = {"paper": PAPER}
"""Values of the flags of the layerwise learner by the names of presets."""

STRING_LEARNERS: Registry[StringLearner] = Registry(StringLearner, "learner")
"""Learners of random hierarchies by name, in the order of tables and figures."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnerSettings(Config):
    """How the learners of random hierarchies are tuned; requests of experiments derive from it.

    Attributes:
      precision: type of what networks and layers multiply; parameters, sums and losses are
        float32, and so are products of float32 on every platform.
      preset: "paper" makes the choices of arXiv 2601.19756 for the layerwise learner: one map on
        raw targets of the first patch, cosine and sine pairs of leaves too, the paper's penalty,
        gradient descent, bandwidth and division by the sum, and strings of its own for each layer.
        The theorem asks for pairs and strings polynomial in V, M and S, two cores allow for 2,048
        pairs. Flags that are given win.
      config: choices of the layerwise learner.
      network: choices of the network trained end to end.
      shallow: choices of the shallow network.
      kernel: choices of the kernel machine.

    Raises:
      ValueError: a value is not allowed.
    """

    preset: str | None = setting(None, choices=tuple(PRESETS), identity=False)
    precision: str = setting("float32", choices=PRECISIONS)
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


def _layer_strings(
    spec: RandomHierarchySpec, settings: LearnerSettings, train: Batch, index: int
) -> Batch:
    return strings_of_layer(spec, settings.config, train, index)


@STRING_LEARNERS.add(
    "layerwise", colour="tab:blue", examples=_layer_strings, work=lambda n: n / 20_000
)
def layerwise(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """The convolutional stack matched to the tree, trained layer by layer."""
    config = settings.config
    if config.features == "kernel" and num_train > MAX_KERNEL_TRAIN:
        raise ValueError(
            f"n = {num_train} is more than {MAX_KERNEL_TRAIN}, the most strings whose kernel is "
            "held: lower n, or set features to pairs"
        )
    if config.split_strings:
        string_bounds(spec, num_train)
    return patch_layers(spec, config, settings.precision)


@STRING_LEARNERS.add("one_step", colour="tab:purple", work=lambda n: n / 50_000)
def one_step(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """Layers that find synonyms by one gradient step and k-means (arXiv 2307.02129)."""
    _require_float32(settings, "counts of tuples")
    return one_step_layers(spec)


@STRING_LEARNERS.add("end_to_end", colour="tab:orange")
def end_to_end(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """The convolutional stack matched to the tree, all of its layers trained together."""
    config, precision = settings.network, settings.precision
    return end_to_end_learner(spec, num_train, config, settings.mesh, precision)


@STRING_LEARNERS.add("shallow", colour="tab:green", work=lambda n: max(n, 4_800) / 4_000)
def shallow(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """A network of one hidden layer on the one-hot string."""
    _require_float32(settings, "a network of one layer")
    return shallow_learner(spec, num_train, settings.shallow)


@STRING_LEARNERS.add("kernel", colour="tab:red", work=lambda n: (n / 2_000) ** 2, fills_cpu=True)
def kernel(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """Kernel ridge regression on the one-hot string."""
    _require_float32(settings, "the Gram matrix of a kernel")
    if num_train > settings.kernel.most_train:
        raise ValueError(f"n = {num_train} is more than {settings.kernel.most_train}")
    return kernel_learner(spec, settings.kernel)


@STRING_LEARNERS.add("clustering", colour="tab:brown", work=lambda n: n / 50_000, by_default=False)
def clustering(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """Layers that find synonyms without classes, by what their siblings hold (arXiv 2605.27734)."""
    _require_float32(settings, "counts of tuples")
    return latent_cluster_layers(spec)


def _require_float32(settings: LearnerSettings, what: str) -> None:
    if settings.precision != "float32":
        raise ValueError(f"precision={settings.precision} is not for {what}, but float32")


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

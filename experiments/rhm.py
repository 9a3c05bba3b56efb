"""Learners of random hierarchies, each declared once: they are then in every command and figure.

A learner is a function (sizes of the grammars, number of train strings, settings) -> layers,
declared by `@LEARNERS.add(name, colour=...)`.
"""

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from hierjax.measure import error_rate
from hierjax.runs import Point, Registry, nested
from hierjax.settings import Config
from hierjax.tasks import (
    Batch,
    RandomHierarchy,
    RandomHierarchySpec,
    check_split,
    draw_random_hierarchy,
    latin_square_top,
    make_split,
)
from hierjax.theory import predicted_num_train
from hierjax.train import (
    KernelConfig,
    NetworkConfig,
    PatchLayerConfig,
    ShallowConfig,
    end_to_end_learner,
    forward,
    kernel_learner,
    patch_layers,
    shallow_learner,
    train_layerwise,
)

LEAST_TRAIN = 16
"""Fewest train strings of a point of a sweep."""


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


LEARNERS: Registry[Learner] = Registry(Learner, "learner")


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
    def settings(self) -> "LearnerSettings":
        """These settings alone, without what else a request asks for."""
        names = [field.name for field in dataclasses.fields(LearnerSettings)]
        return LearnerSettings(**{name: getattr(self, name) for name in names})


@LEARNERS.add("layerwise", colour="tab:blue", work=lambda n: n / 20_000)
def layerwise(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """The convolutional stack matched to the tree, trained layer by layer."""
    return patch_layers(spec, settings.config)


@LEARNERS.add("end_to_end", colour="tab:orange")
def end_to_end(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """The convolutional stack matched to the tree, all of its layers trained together."""
    return end_to_end_learner(spec, num_train, settings.network)


@LEARNERS.add("shallow", colour="tab:green", work=lambda n: max(n, 4_800) / 4_000)
def shallow(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """A network of one hidden layer on the one-hot string."""
    return shallow_learner(spec, num_train, settings.shallow)


@LEARNERS.add("kernel", colour="tab:red", work=lambda n: (n / 2_000) ** 2, fills_cpu=True)
def kernel(spec: RandomHierarchySpec, num_train: int, settings: LearnerSettings) -> tuple:
    """Kernel ridge regression on the one-hot string."""
    if num_train > settings.kernel.most_train:
        raise ValueError(f"n = {num_train} is more than {settings.kernel.most_train}")
    return kernel_learner(spec, settings.kernel)


def colours() -> dict[str, str]:
    """The colour of each learner, by name."""
    return {name: learner.colour for name, learner in LEARNERS.items()}


class SeedData(struct.PyTreeNode):
    """What the learners of a seed share.

    Attributes:
      grammar: of the seed.
      train: strings to learn from.
      test: strings that are not among them.
      num_unseen: number of test strings that were found, see `hierjax.tasks.require_filled`.
    """

    grammar: RandomHierarchy
    train: Batch
    test: Batch
    num_unseen: jax.Array


def draw(
    key: jax.Array,
    spec: RandomHierarchySpec,
    num_train: int,
    num_test: int,
    top_rule: str = "random",
) -> SeedData:
    """Draws the grammar of a seed, its train set and its test set.

    Args:
      key: of the seed.
      spec: sizes of the grammar.
      num_train: train strings.
      num_test: test strings.
      top_rule: "random", or "latin_square" to hide the class from every single patch.
    """
    grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), spec)
    if top_rule == "latin_square":
        grammar = latin_square_top(grammar)
    split = make_split(grammar, jax.random.fold_in(key, 1), num_train, num_test)
    return SeedData(grammar, split.train, split.test, split.num_unseen)


def obstacle(name: str, spec: RandomHierarchySpec, num_train: int, settings: Any) -> str:
    """Why a learner cannot be trained on so many strings; empty if it can."""
    try:
        LEARNERS[name].make(spec, num_train, settings)
    except ValueError as error:
        return str(error)
    return ""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A point of a sweep: a grammar, a learner, and a number of train strings.

    Attributes:
      spec: sizes of the grammar.
      learner: name of the learner.
      multiple: train strings as a multiple of the predicted number.
      num_test: test strings.
      settings: how the learners are tuned.
    """

    spec: RandomHierarchySpec
    learner: str
    multiple: float
    num_test: int
    settings: LearnerSettings

    @property
    def num_train(self) -> int:
        """Number of train strings, n."""
        return round(Fraction(self.multiple) * predicted_num_train(self.spec))

    @property
    def name(self) -> str:
        """Its name in the records."""
        return f"{self.learner} {spec_name(self.spec)} n={self.num_train}"

    @property
    def obstacle(self) -> str:
        """Why nothing can be measured here; else empty."""
        if self.num_test < 1:
            return f"a language of {self.spec.num_strings} strings leaves none to test on"
        if self.num_train < LEAST_TRAIN:
            return f"{self.num_train} train strings are fewer than {LEAST_TRAIN}"
        try:
            check_split(self.spec.num_strings, self.num_train, self.num_test)
        except ValueError as error:
            return str(error)
        return obstacle(self.learner, self.spec, self.num_train, self.settings)

    def point(self) -> Point:
        """What a sweep measures."""
        learner = LEARNERS[self.learner]
        draw = DrawStrings(self.spec, self.num_train, self.num_test)
        work = learner.work(self.num_train)
        return Point(self.name, work, draw, self.measure, fills_cpu=learner.fills_cpu)

    def measure(self, key: jax.Array, data: SeedData) -> dict[str, jax.Array]:
        """The test error of a seed, NaN if the learner diverged."""
        layers = LEARNERS[self.learner].make(self.spec, self.num_train, self.settings)
        params = train_layerwise(layers, data.train, jax.random.fold_in(key, 2))
        scores = forward(layers, params, data.test.inputs)
        error = error_rate(scores, data.test.labels)
        return {
            "test_error": jnp.where(jnp.isfinite(scores).all(), error, jnp.nan),
            "num_unseen": data.num_unseen,
        }


@dataclasses.dataclass(frozen=True)
class DrawStrings:
    """Draws the strings of a seed without grammar and latents, a third of what compiles."""

    spec: RandomHierarchySpec
    num_train: int
    num_test: int

    def __call__(self, key: jax.Array) -> SeedData:
        """What the learners of a seed share."""
        data = draw(key, self.spec, self.num_train, self.num_test)
        train, test = data.train.replace(latents=()), data.test.replace(latents=())
        return data.replace(grammar=None, train=train, test=test)


def spec_name(spec: RandomHierarchySpec) -> str:
    """The sizes of a grammar, for people."""
    widths = f"V{spec.vocab_size[0]} M{spec.num_rules[0]} S{spec.branching[0]}"
    return f"C{spec.num_classes} {widths} L{spec.depth}"

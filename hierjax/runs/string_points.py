"""Strings of random hierarchies for learners: what a seed draws, and the points of a sweep."""

import dataclasses
from fractions import Fraction

import jax
import jax.numpy as jnp
from flax import struct

from hierjax.measure import error_rate
from hierjax.runs.points import Point
from hierjax.runs.string_learners import STRING_LEARNERS, LearnerSettings, obstacle
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
from hierjax.train import forward, train_layerwise

LEAST_TRAIN = 16
"""Fewest train strings of a point of a sweep."""


class StringData(struct.PyTreeNode):
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


def draw_strings(
    key: jax.Array,
    spec: RandomHierarchySpec,
    num_train: int,
    num_test: int,
    top_rule: str = "random",
) -> StringData:
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
    return StringData(grammar, split.train, split.test, split.num_unseen)


@dataclasses.dataclass(frozen=True)
class StringCell:
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
        learner = STRING_LEARNERS[self.learner]
        draw = DrawStrings(self.spec, self.num_train, self.num_test)
        work = learner.work(self.num_train)
        return Point(self.name, work, draw, self.measure, fills_cpu=learner.fills_cpu)

    def measure(self, key: jax.Array, data: StringData) -> dict[str, jax.Array]:
        """The test error of a seed, NaN if the learner diverged."""
        layers = STRING_LEARNERS[self.learner].make(self.spec, self.num_train, self.settings)
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

    def __call__(self, key: jax.Array) -> StringData:
        """What the learners of a seed share."""
        data = draw_strings(key, self.spec, self.num_train, self.num_test)
        train, test = data.train.replace(latents=()), data.test.replace(latents=())
        return data.replace(grammar=None, train=train, test=test)


def spec_name(spec: RandomHierarchySpec) -> str:
    """The sizes of a grammar, for people."""
    widths = f"V{spec.vocab_size[0]} M{spec.num_rules[0]} S{spec.branching[0]}"
    return f"C{spec.num_classes} {widths} L{spec.depth}"

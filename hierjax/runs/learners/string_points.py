"""Strings of random hierarchies: what a seed draws for its learners, and the points of a sweep."""

import dataclasses
import functools
from collections.abc import Mapping
from fractions import Fraction

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Key

from hierjax.measure import error_rate
from hierjax.runs.learners.strings import STRING_LEARNERS, LearnerSettings, obstacle
from hierjax.runs.sweeps.points import Point
from hierjax.runs.sweeps.sweep import Measured
from hierjax.tasks import (
    Batch,
    RandomHierarchy,
    RandomHierarchySpec,
    check_rule_draw,
    check_split,
    draw_random_hierarchy,
    latin_square_top,
    make_split,
)
from hierjax.theory import predicted_num_train
from hierjax.train import forward, train_layerwise

LEAST_TRAIN = 16
"""Fewest train strings of a point of a sweep."""

MOST_TRAIN = 2**26
"""Most train strings of a seed."""


class StringData(struct.PyTreeNode):
    """The strings of a seed, which all of its learners share.

    Attributes:
      grammar: grammar of the seed; None where the learners do without it.
      train: train strings.
      test: test strings, none of which are among the train strings.
      num_unseen: () int32, number of test strings that were found, see `require_filled`.
    """

    grammar: RandomHierarchy | None
    train: Batch
    test: Batch
    num_unseen: Array


def draw_strings(
    key: Key[Array, ""],
    spec: RandomHierarchySpec,
    num_train: int,
    num_test: int,
    top_rule: str = "random",
    rule_draw: str = "uniform",
) -> StringData:
    """Draws the grammar of a seed, its train set and its test set.

    Args:
      key: typed PRNG key of the seed.
      spec: sizes of the grammar.
      num_train: number of train strings.
      num_test: number of test strings.
      top_rule: "random", or "latin_square" to hide the class from every single patch.
      rule_draw: how the rules are drawn, see `draw_random_hierarchy`.

    Returns:
      The grammar and its strings.

    Raises:
      ValueError: the language is too small for so many strings, or for a Latin square.
    """
    grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), spec, rule_draw=rule_draw)
    if top_rule == "latin_square":
        grammar = latin_square_top(grammar)
    split = make_split(grammar, jax.random.fold_in(key, 1), num_train, num_test)
    return StringData(grammar, split.train, split.test, split.num_unseen)


@dataclasses.dataclass(frozen=True)
class StringCell:
    """A point of a sweep: a grammar, a learner, and a number of train strings.

    Attributes:
      spec: sizes of the grammar.
      learner: name of the learner in `STRING_LEARNERS`.
      multiple: number of train strings as a multiple of the predicted number.
      num_test: number of test strings.
      settings: how the learners are tuned.
      rule_draw: how the rules are drawn, see `draw_random_hierarchy`.
      choices: what tells the point from others that differ in their settings alone.
    """

    spec: RandomHierarchySpec
    learner: str
    multiple: float
    num_test: int
    settings: LearnerSettings
    rule_draw: str = "uniform"
    choices: str = ""

    @property
    def num_train(self) -> int:
        """Number of train strings, n."""
        return round(Fraction(self.multiple) * predicted_num_train(self.spec))

    @property
    def name(self) -> str:
        """Name of the point in the records."""
        settings = f", {self.choices}" * bool(self.choices)
        return f"{self.learner} {spec_name(self.spec)} n={self.num_train}{settings}"

    @functools.cached_property
    def obstacle(self) -> str:
        """Why nothing can be measured at this point; empty if something can."""
        if self.num_test < 1:
            return f"a language of {self.spec.num_strings} strings leaves none to test on"
        if self.num_train < LEAST_TRAIN:
            return f"{self.num_train} train strings are fewer than {LEAST_TRAIN}"
        if self.num_train > MOST_TRAIN:
            return f"{self.num_train} train strings are more than {MOST_TRAIN}"
        try:
            check_split(self.spec.num_strings, self.num_train, self.num_test)
            check_rule_draw(self.spec, self.rule_draw)
        except ValueError as error:
            return str(error)
        return obstacle(self.learner, self.spec, self.num_train, self.settings)

    def point(self) -> Point:
        """Makes the point that a sweep measures."""
        learner = STRING_LEARNERS[self.learner]
        draw = DrawStrings(self.spec, self.num_train, self.num_test, self.rule_draw)
        work = learner.work(self.num_train)
        return Point(self.name, work, draw, self.measure, fills_cpu=learner.fills_cpu)

    def measure(self, key: Key[Array, ""], data: StringData) -> dict[str, Array]:
        """Trains the learner of a seed and measures it; pure.

        Args:
          key: typed PRNG key of the seed.
          data: the strings of the seed.

        Returns:
          The scalars "test_error", NaN if the learner diverged, and "num_unseen".
        """
        learner = STRING_LEARNERS[self.learner]
        layers = learner.make(self.spec, self.num_train, self.settings)
        examples = functools.partial(learner.examples, self.spec, self.settings, data.train)
        params = train_layerwise(layers, examples, jax.random.fold_in(key, 2))
        scores = forward(layers, params, data.test.inputs)
        error = error_rate(scores, data.test.labels)
        return {
            "test_error": jnp.where(jnp.isfinite(scores).all(), error, jnp.nan),
            "num_unseen": data.num_unseen,
        }

    def why_no_error(self, measured: Mapping[str, Measured]) -> str:
        """Says why there is no error at this point; empty if there is one.

        Args:
          measured: what a sweep measured, by the names of the points.
        """
        if self.obstacle:
            return self.obstacle
        found = measured[self.name]
        if found.skipped:
            return found.skipped
        least = int(found.values["num_unseen"].min())
        if least < self.num_test:
            return f"only {least} of {self.num_test} unseen test strings were found"
        return ""


@dataclasses.dataclass(frozen=True)
class DrawStrings:
    """Draws the strings of a seed without grammar and latents, which is a third of the program.

    Attributes:
      spec: sizes of the grammar.
      num_train: number of train strings.
      num_test: number of test strings.
      rule_draw: how the rules are drawn, see `draw_random_hierarchy`.
    """

    spec: RandomHierarchySpec
    num_train: int
    num_test: int
    rule_draw: str = "uniform"

    def __call__(self, key: Key[Array, ""]) -> StringData:
        """Returns the strings of the seed with this key."""
        sizes = (self.num_train, self.num_test)
        data = draw_strings(key, self.spec, *sizes, rule_draw=self.rule_draw)
        train, test = data.train.replace(latents=()), data.test.replace(latents=())
        return data.replace(grammar=None, train=train, test=test)


def spec_name(spec: RandomHierarchySpec) -> str:
    """Returns the sizes of a grammar as people read them, such as "C8 V8 M4 S2 L3"."""
    widths = f"V{spec.vocab_size[0]} M{spec.num_rules[0]} S{spec.branching[0]}"
    return f"C{spec.num_classes} {widths} L{spec.depth}"

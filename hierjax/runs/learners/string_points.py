"""Strings of random hierarchies: what a seed draws for its learners, and the points of a sweep."""

import dataclasses
import functools
from collections.abc import Mapping
from fractions import Fraction

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Key

from hierjax.exact import likelihood, observe
from hierjax.measure import error_rate
from hierjax.runs.learners.strings import STRING_LEARNERS, LearnerSettings, obstacle
from hierjax.runs.sweeps.points import Point
from hierjax.runs.sweeps.sweep import Measured
from hierjax.settings import Config, setting
from hierjax.tasks import (
    PLAIN,
    Batch,
    FilteredHierarchy,
    GrammarDraw,
    Noise,
    RandomHierarchy,
    RandomHierarchySpec,
    Split,
    check_filter,
    check_split,
    corrupt,
    leaf_kernel,
    make_split,
)
from hierjax.theory import predicted_num_train
from hierjax.train import forward, train_layerwise

LEAST_TRAIN = 16
"""Fewest train strings of a point of a sweep."""

MOST_TRAIN = 2**26
"""Most train strings of a seed."""


@dataclasses.dataclass(frozen=True)
class StringNoise(Config):
    """What is lost of strings and classes before learners see them.

    Attributes:
      leaf_flip: probability that a token, of train or test strings, is replaced by a uniform one,
        itself included.
      leaf_mask: probability that a token is erased; learners see one more symbol there.
      label_flip: probability that the class of a train string is replaced by a uniform one, itself
        included; test strings keep theirs.
      filter_level: level of the tree whose nodes are independent given the class, as in
        `hierjax.tasks.FilteredHierarchy`; 0 for strings of the grammar.
    """

    leaf_flip: float = setting(0.0, least=0, most=1)
    leaf_mask: float = setting(0.0, least=0, most=1)
    label_flip: float = setting(0.0, least=0, most=1)
    filter_level: int = setting(0, least=0, most=2**6)

    @property
    def of_leaves(self) -> Noise:
        """The noise of strings without that of classes."""
        return Noise(self.leaf_flip, self.leaf_mask)

    def check(self, spec: RandomHierarchySpec) -> None:
        """Refuses a level to filter at that the grammar has not.

        Raises:
          ValueError: there is no such level.
        """
        if self.filter_level:
            check_filter(spec, self.filter_level)

    def seen(self, spec: RandomHierarchySpec) -> RandomHierarchySpec:
        """Returns the sizes of a grammar as learners see it, with a symbol for erased tokens."""
        if not self.leaf_mask:
            return spec
        *inner, leaves = spec.vocab_size
        return dataclasses.replace(spec, vocab_size=(*inner, leaves + 1))


NO_NOISE = StringNoise()


class StringData(struct.PyTreeNode):
    """The strings of a seed, which all of its learners share.

    Attributes:
      grammar: grammar of the seed; None where the learners do without it.
      train: train strings.
      test: test strings, none of which is a train string when both are without noise.
      num_unseen: () int32, number of test strings that were found, see `require_filled`.
      bayes_error: () float32, error of exact inference, which knows grammar and noise, on the test
        strings.
    """

    grammar: RandomHierarchy | None
    train: Batch
    test: Batch
    num_unseen: Array
    bayes_error: Array

    def without_latents(self) -> "StringData":
        """Returns the same strings without their trees."""
        train, test = self.train.replace(latents=()), self.test.replace(latents=())
        return self.replace(train=train, test=test)


def draw_strings(
    key: Key[Array, ""],
    spec: RandomHierarchySpec,
    num_train: int,
    num_test: int,
    draw: GrammarDraw = PLAIN,
    noise: StringNoise = NO_NOISE,
) -> StringData:
    """Draws the grammar of a seed, its train set and its test set.

    Strings are the same with noise and without, and so is what is asked of unseen ones.

    Args:
      key: typed PRNG key of the seed.
      spec: sizes of the grammar, without null symbols.
      num_train: number of train strings.
      num_test: number of test strings.
      draw: how the grammar is drawn.
      noise: noise through which the strings are seen.

    Returns:
      The grammar and its strings.

    Raises:
      ValueError: the language is too small for so many strings, or the sizes do not allow such a
        grammar.
    """
    grammar = draw.draw(jax.random.fold_in(key, 0), spec)
    task = FilteredHierarchy(grammar, noise.filter_level) if noise.filter_level else grammar
    split = make_split(task, jax.random.fold_in(key, 1), num_train, num_test)
    if noise == NO_NOISE and not grammar.spec.ambiguous:
        return StringData(grammar, split.train, split.test, split.num_unseen, jnp.zeros(()))
    return _seen(grammar, split, noise, jax.random.fold_in(key, 3))


def _seen(
    grammar: RandomHierarchy, split: Split, noise: StringNoise, key: Key[Array, ""]
) -> StringData:
    """Puts noise on the strings of a seed."""
    spec, of_leaves = grammar.spec, noise.of_leaves
    of_all = of_leaves.replace(label_flip=noise.label_flip)
    train = corrupt(of_all, jax.random.fold_in(key, 0), split.train, spec)
    test = corrupt(of_leaves, jax.random.fold_in(key, 1), split.test, spec)
    kernel = leaf_kernel(of_leaves, spec.symbols(spec.depth))
    evidence = observe(spec, test.inputs, kernel=kernel)
    classes = likelihood(grammar, evidence, noise.filter_level).classes
    return StringData(grammar, train, test, split.num_unseen, error_rate(classes, test.labels))


@dataclasses.dataclass(frozen=True)
class StringCell:
    """A point of a sweep: a grammar, a learner, and a number of train strings.

    Attributes:
      spec: sizes of the grammar, without null symbols.
      learner: name of the learner in `STRING_LEARNERS`.
      multiple: number of train strings as a multiple of the predicted number.
      num_test: number of test strings.
      settings: how the learners are tuned.
      draw: how the grammar is drawn.
      choices: what tells the point from others that differ in their settings alone.
      noise: noise through which the strings are seen.
    """

    spec: RandomHierarchySpec
    learner: str
    multiple: float
    num_test: int
    settings: LearnerSettings
    draw: GrammarDraw = PLAIN
    choices: str = ""
    noise: StringNoise = NO_NOISE

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
            self.draw.check(self.spec)
            self.noise.check(self.spec)
        except ValueError as error:
            return str(error)
        return obstacle(self.learner, self._seen, self.num_train, self.settings)

    def point(self) -> Point:
        """Makes the point that a sweep measures."""
        learner = STRING_LEARNERS[self.learner]
        draw = DrawStrings(self.spec, self.num_train, self.num_test, self.draw, self.noise)
        work = learner.work(self.num_train)
        return Point(self.name, work, draw, self.measure, fills_cpu=learner.fills_cpu)

    def measure(self, key: Key[Array, ""], data: StringData) -> dict[str, Array]:
        """Trains the learner of a seed and measures it; pure.

        Args:
          key: typed PRNG key of the seed.
          data: the strings of the seed.

        Returns:
          The scalars "test_error", NaN if the learner diverged, "bayes_error" and "num_unseen".
        """
        learner = STRING_LEARNERS[self.learner]
        layers = learner.make(self._seen, self.num_train, self.settings)
        examples = functools.partial(learner.examples, self._seen, self.settings, data.train)
        params = train_layerwise(layers, examples, jax.random.fold_in(key, 2))
        scores = forward(layers, params, data.test.inputs)
        error = error_rate(scores, data.test.labels)
        return {
            "test_error": jnp.where(jnp.isfinite(scores).all(), error, jnp.nan),
            "bayes_error": data.bayes_error,
            "num_unseen": data.num_unseen,
        }

    @property
    def _seen(self) -> RandomHierarchySpec:
        return self.noise.seen(self.draw.seen(self.spec))

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
    """Draws the strings of a seed without the grammar.

    Without latents, too, it is a third of the program.

    Attributes:
      spec: sizes of the grammar, without null symbols.
      num_train: number of train strings.
      num_test: number of test strings.
      draw: how the grammar is drawn.
      noise: noise through which the strings are seen.
      trees: whether test strings keep their trees.
    """

    spec: RandomHierarchySpec
    num_train: int
    num_test: int
    draw: GrammarDraw = PLAIN
    noise: StringNoise = NO_NOISE
    trees: bool = False

    def __call__(self, key: Key[Array, ""]) -> StringData:
        """Returns the strings of the seed with this key."""
        data = draw_strings(key, self.spec, self.num_train, self.num_test, self.draw, self.noise)
        plain = data.without_latents().replace(grammar=None)
        return plain.replace(test=data.test) if self.trees else plain


def spec_name(spec: RandomHierarchySpec) -> str:
    """Returns the sizes of a grammar as people read them, such as "C8 V8 M4 S2 L3"."""
    widths = f"V{spec.vocab_size[0]} M{spec.num_rules[0]} S{spec.branching[0]}"
    return f"C{spec.num_classes} {widths} L{spec.depth}"

"""The points of a sweep over random hierarchies: grammars, learners, numbers of train strings."""

import dataclasses
import functools
import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp

from experiments.rhm_learners import draw_split
from hierjax import (
    MAX_KERNEL_TRAIN,
    Point,
    RandomHierarchySpec,
    check_split,
    end_to_end_learner,
    error_rate,
    forward,
    kernel_learner,
    patch_layers,
    predicted_num_train,
    shallow_learner,
    train_layerwise,
)

LEARNERS = {
    "layerwise": lambda spec, num_train: patch_layers(spec),
    "end_to_end": end_to_end_learner,
    "shallow": shallow_learner,
    "kernel": lambda spec, num_train: kernel_learner(spec, _MOST_TRIED),
}
"""(spec, number of train strings) -> layers."""

LEAST_TRAIN = 16

# Half of what the kernel is otherwise chosen by: an eighth of the cost, and a sweep has many.
_MOST_TRIED = 1024

# CPU-seconds of a seed, by and large.
_WORK = {
    "layerwise": lambda n: n / 20_000,
    "end_to_end": lambda n: max(n, 2_400) / 2_000,
    "shallow": lambda n: max(n, 4_800) / 4_000,
    "kernel": lambda n: (n / 2_000) ** 2,
}
_SHARE_OF_TEST = 4


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for; fixes the result up to rounding.

    Attributes:
      num_classes: of the grammars, C; ascending, as all sizes are.
      vocab_size: V, at all levels below.
      num_rules: M.
      branching: S.
      depth: L.
      learners: names.
      train_multiples: train strings over the predicted number, ascending.
      num_test: test strings, fewer where a quarter of the language is fewer.
      num_seeds: each draws its own grammar, data and weights.
      seed: of everything random.
    """

    num_classes: tuple[int, ...]
    vocab_size: tuple[int, ...]
    num_rules: tuple[int, ...]
    branching: tuple[int, ...]
    depth: tuple[int, ...]
    learners: tuple[str, ...]
    train_multiples: tuple[float, ...]
    num_test: int
    num_seeds: int
    seed: int

    @functools.cached_property
    def specs(self) -> tuple[RandomHierarchySpec, ...]:
        """The grammars.

        Raises:
          ValueError: there is none of such sizes.
        """
        sizes = (self.num_classes, self.vocab_size, self.num_rules, self.branching, self.depth)
        return tuple(RandomHierarchySpec(*each) for each in itertools.product(*sizes))


@dataclasses.dataclass(frozen=True)
class Cell:
    """A grammar, a learner, and a number of train strings."""

    spec: RandomHierarchySpec
    learner: str
    multiple: float
    num_test: int

    @property
    def num_train(self) -> int:
        """Train strings, n."""
        return round(Fraction(self.multiple) * predicted_num_train(self.spec))

    @property
    def name(self) -> str:
        """As in the records."""
        return f"{self.learner} {spec_name(self.spec)} n={self.num_train}"

    @property
    def obstacle(self) -> str:
        """Why nothing can be measured here; else empty."""
        if self.num_test < 1:
            return f"a language of {self.spec.num_strings} strings leaves none to test on"
        if self.num_train < LEAST_TRAIN:
            return f"{self.num_train} train strings are fewer than {LEAST_TRAIN}"
        if self.learner == "kernel" and self.num_train > MAX_KERNEL_TRAIN:
            return f"{self.num_train} train strings are more than {MAX_KERNEL_TRAIN}"
        try:
            check_split(self.spec.num_strings, self.num_train, self.num_test)
            LEARNERS[self.learner](self.spec, self.num_train)
        except ValueError as error:
            return str(error)
        return ""

    def point(self) -> Point:
        """What a sweep measures."""
        work = _WORK[self.learner](self.num_train)
        draw = DrawSplit(self.spec, self.num_train, self.num_test)
        return Point(self.name, work, draw, self._measure, fills_cpu=self.learner == "kernel")

    def _measure(self, key: jax.Array, split) -> dict[str, jax.Array]:
        layers = LEARNERS[self.learner](self.spec, self.num_train)
        params = train_layerwise(layers, split.train, jax.random.fold_in(key, 2))
        scores = forward(layers, params, split.test.inputs)
        error = error_rate(scores, split.test.labels)
        return {
            "test_error": jnp.where(jnp.isfinite(scores).all(), error, jnp.nan),
            "num_unseen": split.num_unseen,
        }


@dataclasses.dataclass(frozen=True)
class DrawSplit:
    """Draws the grammar of a seed, its train set and its test set."""

    spec: RandomHierarchySpec
    num_train: int
    num_test: int

    def __call__(self, key: jax.Array):
        """The split without latents, which cost a third of the compilation."""
        split = draw_split(key, self.spec, self.num_train, self.num_test)
        train, test = split.train.replace(latents=()), split.test.replace(latents=())
        return split.replace(train=train, test=test)


def make_cells(request: Request) -> list[Cell]:
    """All of the grid, those of the same data next to each other.

    Raises:
      ValueError: two cells are the same, or none can be measured.
    """
    cells = [
        Cell(spec, learner, multiple, min(request.num_test, spec.num_strings // _SHARE_OF_TEST))
        for spec in request.specs
        for multiple in request.train_multiples
        for learner in request.learners
    ]
    for one, other in itertools.pairwise(sorted(cells, key=lambda cell: cell.name)):
        if one.name == other.name:
            raise ValueError(
                f"train_multiples={one.multiple:g} and {other.multiple:g} both make "
                f"{one.num_train} train strings of {spec_name(one.spec)}: leave one of them out"
            )
    if all(cell.obstacle for cell in cells):
        raise ValueError(f"nothing of this grid can be measured: {cells[0].obstacle}")
    return cells


def spec_name(spec: RandomHierarchySpec) -> str:
    """Its sizes, for people."""
    widths = f"V{spec.vocab_size[0]} M{spec.num_rules[0]} S{spec.branching[0]}"
    return f"C{spec.num_classes} {widths} L{spec.depth}"

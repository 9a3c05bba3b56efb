"""The tree of a language is found without classes, from as many strings at any depth.

Synonyms stand beside the same tokens (arXiv 2605.27734). Layer by layer, tuples are clustered by
the mean of what their siblings hold and replaced by their clusters; classes are only counted, of
the few tuples of the root. About V * M^3 / (1 - M / V^(S-1)) strings are predicted to be enough at
any depth L, where learners that find the tree by its classes need about C * M^L.

    python -m experiments.latent_clustering

With the default sizes (C = V = 8, M = 4, S = 2, where V * M^3 = 512) expect no error on unseen
strings at n = 8 * 512 = 4,096 for L = 3 to 6, where C * M^L is 512 to 32,768, in less than three
minutes on one core.
"""

import dataclasses
import functools
from fractions import Fraction
from pathlib import Path

import numpy as np

from experiments.runner import run
from hierjax.measure import spread, threshold, threshold_text
from hierjax.runs import (
    LearnerSettings,
    Measured,
    Point,
    StringCell,
    SweepExperiment,
    SweepRequest,
    build,
    nested,
    spec_name,
)
from hierjax.settings import setting
from hierjax.tasks import GrammarDraw, RandomHierarchySpec
from hierjax.theory import predicted_clustering_strings, predicted_num_train

_MOST_SIZE = 2**24
_SETTINGS = build(LearnerSettings, {}, {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      depth: numbers of levels of the tree, L, ascending.
      vocab_size: number of symbols at each level below the root, V.
      num_rules: number of rules of each symbol, M.
      branching: number of children of each node, S.
      num_classes: number of classes of the grammars, C; unset: vocab_size.
      grammar: how the grammar of each seed is drawn, given its sizes.
      train_multiples: numbers of train strings, as multiples of V * M^3, ascending.
      level: test error below which the tree is said to be found: n* is where it gets there.
      num_test: number of test strings, none of them in the train set.
      num_seeds: number of seeds; each draws its own grammars and strings.
    """

    depth: tuple[int, ...] = setting((3, 4, 5, 6), least=2, most=64, ascending=True)
    vocab_size: int = setting(8, least=1, most=_MOST_SIZE)
    num_rules: int = setting(4, least=1, most=_MOST_SIZE)
    branching: int = setting(2, least=1, most=_MOST_SIZE)
    num_classes: int = setting(None, least=1, most=_MOST_SIZE)
    grammar: GrammarDraw = nested(GrammarDraw)
    train_multiples: tuple[float, ...] = setting(
        (1.0, 2.0, 4.0, 8.0), least=1 / 64, most=2.0**20, ascending=True
    )
    level: float = setting(0.1, above=0, below=1, identity=False)
    num_test: int = setting(2000, least=1, most=2**22)
    num_seeds: int = setting(5, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        self.fill(num_classes=self.vocab_size)
        for cell in self.cells:
            if cell.obstacle:
                raise ValueError(cell.obstacle)
        if len({cell.name for cell in self.cells}) < len(self.cells):
            raise ValueError("two train_multiples make as many train strings: leave one out")

    @property
    def unit(self) -> int:
        """V * M^3."""
        return self.vocab_size * self.num_rules**3

    @functools.cached_property
    def specs(self) -> tuple[RandomHierarchySpec, ...]:
        """The grammars, of each depth."""
        sizes = self.num_classes, self.vocab_size, self.num_rules, self.branching
        return tuple(RandomHierarchySpec(*sizes, depth) for depth in self.depth)

    @functools.cached_property
    def cells(self) -> list[StringCell]:
        """The points, those of a depth next to each other."""
        return [self._cell(spec, each) for spec in self.specs for each in self.train_multiples]

    def _cell(self, spec: RandomHierarchySpec, multiple: float) -> StringCell:
        num_train = round(Fraction(multiple) * self.unit)
        of_classes = num_train / predicted_num_train(spec)
        return StringCell(spec, "clustering", of_classes, self.num_test, _SETTINGS, self.grammar)


def points(request: Request) -> list[Point]:
    """What the sweep measures."""
    return [cell.point() for cell in request.cells]


def headline(request: Request) -> str:
    """What is about to be run."""
    multiples = ", ".join(f"{each:g}" for each in request.train_multiples)
    return (
        f"latent clustering of {', '.join(map(spec_name, request.specs))}: {multiples} times "
        f"V*M^3 = {request.unit} strings, {request.num_seeds} seeds"
    )


def summarize(request: Request, measured: dict[str, Measured]) -> dict:
    """The content of summary.json; ValueError if a point could not be measured."""
    for cell in request.cells:
        if cell.why_no_error(measured):
            raise ValueError(f"{cell.name}: {cell.why_no_error(measured)}")
    names = ("vocab_size", "num_rules", "branching", "num_classes")
    errors = {cell: measured[cell.name].values["test_error"] for cell in request.cells}
    return {
        **{name: getattr(request, name) for name in (*names, "num_test", "num_seeds", "seed")},
        "level": request.level,
        "grammar": dataclasses.asdict(request.grammar),
        "chance": request.grammar.chance_error(request.specs[0]),
        "unit": request.unit,
        "predicted": predicted_clustering_strings(request.specs[0]),
        "points": [
            {
                "depth": cell.spec.depth,
                "multiple": cell.num_train / request.unit,
                "num_train": cell.num_train,
                "test_error": spread(errors[cell]),
            }
            for cell in request.cells
        ],
        "thresholds": [_threshold(request, spec, errors) for spec in request.specs],
    }


def _threshold(
    request: Request, spec: RandomHierarchySpec, errors: dict[StringCell, np.ndarray]
) -> dict:
    own = {cell.num_train: each for cell, each in errors.items() if cell.spec == spec}
    sizes = list(own)
    return {
        "depth": spec.depth,
        "predicted_with_classes": predicted_num_train(spec),
        "tried": [sizes[0], sizes[-1]],
        **threshold(sizes, np.stack(list(own.values())), request.level)._asdict(),
    }


def notes(summary: dict) -> list[str]:
    """Errors at each depth, and how many strings it takes to find the tree."""
    lines = []
    for found in summary["thresholds"]:
        errors = ", ".join(
            f"{point['test_error']['mean']:.4f} ({point['test_error']['max']:.4f})"
            for point in summary["points"]
            if point["depth"] == found["depth"]
        )
        n_star = threshold_text(found)
        scale = found["predicted_with_classes"]
        lines.append(f"L = {found['depth']}: errors {errors}; n* {n_star}, where C*M^L = {scale}")
    lines.append(f"V*M^3 / (1 - M / V^(S-1)) = {summary['predicted']:.0f} at any depth")
    lines.append(
        f"errors on unseen strings, mean (worst) of {summary['num_seeds']} seeds; n* is where the "
        f"mean is {summary['level']:g}, with intervals of 95%; on {summary['device']} in "
        f"{summary['seconds']['wall']:.0f} s"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import clustering_figure

    return clustering_figure(folder)


EXPERIMENT = SweepExperiment(
    name="latent_clustering",
    doc=__doc__,
    request=Request,
    points=points,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()

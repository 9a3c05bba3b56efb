"""Does joint training repair what training layer by layer has not found? (arXiv 2001.04413)

A convolutional stack that is matched to the tree is trained on the classes of random hierarchies:
layer by layer; layer by layer for half of the steps, and then all layers together; and all layers
together from the start. All take as many steps, and choose their learning rates alike. Where layers
do not find their symbols, at n about C * M^L, layers above may tell those below what is missing.

    python -m experiments.feature_correction

With the default sizes (C = V = 8, M = 4, S = 2, L = 3) expect errors of .48, .11 and .004 layer by
layer with 1, 2 and 4 times C * M^L strings, .43, .012 and .003 with joint training after it, and
.23, .008 and .002 end to end: it repairs what is nearly found. About five minutes of a core.
"""

import dataclasses
import functools
from fractions import Fraction
from pathlib import Path

from experiments.runner import run
from hierjax.measure import spread
from hierjax.runs import (
    CORRECTIONS,
    CorrectionCell,
    DrawStrings,
    GrammarSettings,
    Measured,
    Point,
    SweepExperiment,
    SweepRequest,
    nested,
    require_measured,
    spec_name,
)
from hierjax.settings import setting
from hierjax.tasks import RandomHierarchySpec, check_split, require_filled
from hierjax.theory import predicted_num_train
from hierjax.train import NetworkConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest, GrammarSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      learners: ways to train the network.
      network: choices of descent; all layers together take num_steps, which is 3,000 if unset.
      train_multiples: numbers of train strings, as multiples of C * M^L, ascending.
      num_test: number of test strings, none of them in the train set.
      num_seeds: number of seeds; each draws its own grammar, strings and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=8, vocab_size=8, num_rules=4, branching=2, depth=3
    )
    learners: tuple[str, ...] = setting(lambda: tuple(CORRECTIONS), choices=CORRECTIONS)
    network: NetworkConfig = nested(
        NetworkConfig, num_steps=3000, learning_rates=(0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
    )
    train_multiples: tuple[float, ...] = setting(
        (0.5, 1.0, 2.0, 4.0), least=1 / 64, most=2.0**20, ascending=True
    )
    num_test: int = setting(2000, least=1, most=2**22)
    num_seeds: int = setting(5, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        if self.network.num_steps is None or self.network.num_steps < 2 * self.spec.depth:
            raise ValueError(
                f"num_steps={self.network.num_steps} must be at least {2 * self.spec.depth}, two "
                "for each layer"
            )
        sizes = [cell.strings.num_train for cell in self.cells]
        if min(sizes) < 2:
            raise ValueError(
                f"train_multiples={self.train_multiples[0]:g} makes fewer than 2 strings: raise it"
            )
        check_split(self.spec.num_strings, max(sizes), self.num_test)

    @functools.cached_property
    def cells(self) -> list[CorrectionCell]:
        """The points, those of the same strings next to each other."""
        scale, cells = predicted_num_train(self.spec), []
        for multiple in self.train_multiples:
            num_train = round(Fraction(multiple) * scale)
            sizes = self.spec, num_train, self.num_test
            strings = DrawStrings(*sizes, self.grammar, trees=True)
            cells += [CorrectionCell(strings, name, self.network) for name in self.learners]
        return cells


def points(request: Request) -> list[Point]:
    """What the sweep measures."""
    return [cell.point() for cell in request.cells]


def headline(request: Request) -> str:
    """What is about to be run."""
    multiples = ", ".join(f"{each:g}" for each in request.train_multiples)
    return (
        f"{', '.join(request.learners)} training of random hierarchies {spec_name(request.spec)}: "
        f"{request.network.num_steps} steps, {multiples} times C*M^L = "
        f"{predicted_num_train(request.spec)} strings, {request.num_seeds} seeds"
    )


def summarize(request: Request, measured: dict[str, Measured]) -> dict:
    """The content of summary.json; ValueError if a point could not be measured."""
    require_measured(measured)
    for found in measured.values():
        require_filled(found.values["num_unseen"].astype(int), request.num_test)
    return {
        **{name: getattr(request, name) for name in ("num_test", "num_seeds", "seed")},
        **{
            name: dataclasses.asdict(getattr(request, name))
            for name in ("spec", "grammar", "network")
        },
        "chance_error": request.grammar.chance_error(request.spec),
        "unit": predicted_num_train(request.spec),
        "points": [_point(request, cell, measured[cell.name]) for cell in request.cells],
    }


def _point(request: Request, cell: CorrectionCell, found: Measured) -> dict:
    """A learner on a number of strings; levels run from the leaves up."""
    num_train = cell.strings.num_train
    return {
        "learner": cell.learner,
        "num_train": num_train,
        "multiple": num_train / predicted_num_train(request.spec),
        "test_error": spread(found.values["test_error"]),
        "purity": [spread(level) for level in found.values["purity"].T],
        "seconds": found.seconds["run"] / request.num_seeds,
    }


def notes(summary: dict) -> list[str]:
    """Errors, and how many symbols each layer tells apart."""
    lines = []
    for point in summary["points"]:
        error = point["test_error"]
        purity = " ".join(f"{each['mean']:.3f}" for each in point["purity"])
        lines.append(
            f"{point['learner']:10s} n = {point['num_train']:<6d} ({point['multiple']:g} x): error "
            f"{error['mean']:.4f} ± {error['std']:.4f} ({error['max']:.4f}), purity {purity}"
        )
    lines.append(
        f"chance errs on {summary['chance_error']:.4f}; means ± deviations (worst) over "
        f"{summary['num_seeds']} seeds of {summary['num_test']} unseen strings, purities of levels "
        f"from the leaves up, on {summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import correction_figure

    return correction_figure(folder, CORRECTIONS.colours)


EXPERIMENT = SweepExperiment(
    name="feature_correction",
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

"""How far the choices of arXiv 2601.19756 reach: layerwise error against n and features.

Trains the paper's layerwise learner with several numbers of cosine and sine pairs, up to the limit
of infinitely many, and several penalties, on more and more strings.

    python -m experiments.layerwise_choices

With the default sizes (C = V = 8, M = 4, S = 2, L = 3) expect a test error of .03 with infinitely
many pairs, the paper's penalty and 16 times C * M^L strings, in four to eight minutes on two cores.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.runner import run
from hierjax.measure import Threshold, spread, threshold
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
from hierjax.tasks import RandomHierarchySpec
from hierjax.theory import predicted_num_train
from hierjax.train import PAPER, PatchLayerConfig

_SETTINGS = build(LearnerSettings, {}, {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      train_multiples: numbers of train strings, as multiples of C * M^L.
      num_features: numbers of cosine and sine pairs of a patch.
      kernel_limit: also train with infinitely many pairs.
      penalties: penalties of the ridge regression, in units of 1 / (V M); the paper's is 1.
      bandwidth: bandwidth of the features in units of the root mean square distance of two patches;
        unset: from the smallest distance.
      orthogonality: wanted bound on the kernel of unlike patches, unless bandwidth is given; unset:
        0.1.
      split_strings: fit every layer on strings of its own, in proportion to M^l.
      level: test error below which a learner is said to have learned: n* is where it gets there.
      num_test: number of test strings, none of them in the train set.
      num_seeds: number of seeds; each draws its own grammars, data and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=8, vocab_size=8, num_rules=4, branching=2, depth=3
    )
    train_multiples: tuple[float, ...] = setting(
        (2.0, 4.0, 8.0, 16.0), least=1 / 64, most=2.0**20, ascending=True
    )
    num_features: tuple[int, ...] = setting((32, 128, 512), least=1, most=2**15, ascending=True)
    kernel_limit: bool = setting(True)
    penalties: tuple[float, ...] = setting((0.03, 1.0), above=0, ascending=True)
    bandwidth: float | None = setting(None, above=0)
    orthogonality: float | None = setting(None, above=0, below=2)
    split_strings: bool = setting(True)
    level: float = setting(0.1, above=0, below=1, identity=False)
    num_test: int = setting(2000, least=1, most=2**22)
    num_seeds: int = setting(3, least=1, most=2**20)

    @functools.cached_property
    def cells(self) -> list["Cell"]:
        """All of the grid, those of the same data next to each other."""
        kinds = [*self.num_features, *[None] * self.kernel_limit]
        return [
            Cell(penalty, pairs, self._cell(multiple, penalty, pairs))
            for multiple in self.train_multiples
            for penalty in self.penalties
            for pairs in kinds
        ]

    def _cell(self, multiple: float, penalty: float, pairs: int | None) -> StringCell:
        choices: dict[str, Any] = {
            **PAPER,
            "solver": "ridge",
            "penalty": penalty,
            "split_strings": self.split_strings,
        }
        if self.orthogonality is not None:
            choices |= {"orthogonality": self.orthogonality}
        if self.bandwidth is not None:
            choices |= {"bandwidth_from": "rms", "bandwidth": self.bandwidth}
        choices |= {"features": "kernel"} if pairs is None else {"num_features": pairs}
        settings = dataclasses.replace(_SETTINGS, config=PatchLayerConfig(**choices))
        name = f"{pairs_name(pairs)}, penalty {penalty:g}"
        sizes = (self.spec, "layerwise", multiple, self.num_test)
        return StringCell(*sizes, settings, choices=name)

    def __post_init__(self):
        super().__post_init__()
        if self.bandwidth is not None and self.orthogonality is not None:
            raise ValueError(
                f"orthogonality={self.orthogonality} is for a bandwidth from the smallest "
                f"distance, but bandwidth={self.bandwidth} is given: leave one of them out"
            )
        if all(cell.strings.obstacle for cell in self.cells):
            obstacle = self.cells[0].strings.obstacle
            raise ValueError(f"nothing of this grid can be measured: {obstacle}")


class Cell(NamedTuple):
    """A point of the grid.

    Attributes:
      penalty: penalty of the ridge regression, in units of 1 / (V M).
      pairs: number of pairs; None for infinitely many.
      strings: the learner and the number of its train strings.
    """

    penalty: float
    pairs: int | None
    strings: StringCell


def pairs_name(pairs: int | None) -> str:
    """Returns a number of pairs as people read it."""
    return "infinitely many pairs" if pairs is None else f"{pairs} pairs"


def points(request: Request) -> list[Point]:
    """The points of the grid that can be measured."""
    return [cell.strings.point() for cell in request.cells if not cell.strings.obstacle]


def summarize(request: Request, measured: dict[str, Measured]) -> dict:
    """The content of summary.json."""
    reasons = [(cell, cell.strings.why_no_error(measured)) for cell in request.cells]
    found = [_point(cell, measured[cell.strings.name]) for cell, why in reasons if not why]
    return {
        "spec": dataclasses.asdict(request.spec),
        "predicted_num_train": predicted_num_train(request.spec),
        "chance_error": 1 - 1 / request.spec.num_classes,
        "level": request.level,
        "num_seeds": request.num_seeds,
        "points": found,
        "thresholds": _thresholds(request, found),
        "skipped": [{"point": cell.strings.name, "reason": why} for cell, why in reasons if why],
    }


def _point(cell: Cell, found: Measured) -> dict:
    return {
        "penalty": cell.penalty,
        "num_features": cell.pairs,
        "multiple": cell.strings.multiple,
        "n": cell.strings.num_train,
        "test_error": spread(found.values["test_error"]),
    }


def _thresholds(request: Request, found: list[dict]) -> list[dict]:
    thresholds = []
    for penalty, pairs in dict.fromkeys((cell.penalty, cell.pairs) for cell in request.cells):
        own = [
            each for each in found if (each["penalty"], each["num_features"]) == (penalty, pairs)
        ]
        if own:
            errors = np.array([each["test_error"]["per_seed"] for each in own])
            crossed = threshold([each["n"] for each in own], errors, request.level)
            thresholds.append({"penalty": penalty, "num_features": pairs, **crossed._asdict()})
    return thresholds


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"{spec_name(request.spec)}, {', '.join(f'{each:g}' for each in request.train_multiples)} "
        f"times C*M^L train strings, {request.num_seeds} seeds: {len(points(request))} points"
    )


def notes(summary: dict) -> list[str]:
    """Errors of each choice against the number of strings, and where they cross the level."""
    multiples = sorted({each["multiple"] for each in summary["points"]})
    lines = [f"{'penalty x VM':14s}{'':24s}" + "".join(f"{each:>9g}x" for each in multiples)]
    for each in summary["thresholds"]:
        own = {
            point["multiple"]: point["test_error"]["mean"]
            for point in summary["points"]
            if all(point[name] == each[name] for name in ("penalty", "num_features"))
        }
        errors = "".join(f"{own[m]:10.4f}" if m in own else f"{'':10s}" for m in multiples)
        found = Threshold(each["value"], each["low"], each["high"])
        tried = [point["n"] for point in summary["points"] if point["multiple"] in own]
        lines.append(
            f"{each['penalty']:<14g}{pairs_name(each['num_features']):24s}{errors}   "
            f"n* {found.text(min(tried), max(tried))}"
        )
    lines += [f"{each['point']} was skipped: {each['reason']}" for each in summary["skipped"]]
    lines.append(
        f"errors on unseen strings, chance {summary['chance_error']:.3f}; n* at error "
        f"{summary['level']:g} with intervals of 95% over {summary['num_seeds']} seeds; on "
        f"{summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import choices_figure

    return choices_figure(folder)


EXPERIMENT = SweepExperiment(
    name="layerwise_choices",
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

"""How many strings a learner of random hierarchies needs, and how that grows (arXiv 2601.19756).

A sweep over grammars, learners, numbers of train strings and seeds. It finds the number of strings
n* at which each learner's error falls below --level, and compares it with C * M^L. It can be
killed at any moment, and goes on where it was, on any number of devices; docs/scaling.md tells how
workers on many machines share it.

    python -m experiments.sample_complexity

With the default sizes expect seven to nine minutes on two cores.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.runner import run
from hierjax.measure import PowerLaw, power_law, spread, threshold, threshold_text
from hierjax.runs import (
    PRESETS,
    STRING_LEARNERS,
    LearnerSettings,
    Measured,
    Point,
    StringCell,
    StringNoise,
    SweepExperiment,
    SweepRequest,
    nested,
    spec_name,
)
from hierjax.settings import setting
from hierjax.tasks import GrammarDraw, RandomHierarchySpec
from hierjax.theory import predicted_num_train
from hierjax.train import KernelConfig

_MOST_SIZE = 2**24
_SHARE_OF_TEST = 4


def _by_default() -> tuple[str, ...]:
    return tuple(name for name, each in STRING_LEARNERS.items() if each.by_default)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest, LearnerSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      learners: learners to train.
      num_classes: numbers of classes of the grammars, C.
      vocab_size: numbers of symbols at each level below the root, V.
      num_rules: numbers of rules of each symbol, M.
      branching: numbers of children of each node, S.
      depth: numbers of levels of the tree, L.
      train_multiples: numbers of train strings, as multiples of C * M^L.
      level: test error, beyond that of exact inference, below which a learner is said to have
        learned: n* is where it gets there.
      level_of: whether the level is an error, or a share of the error of chance, as in arXiv
        2307.02129.
      grammar: how the grammar of each seed is drawn, given its sizes.
      noise: noise through which strings and classes are seen.
      num_test: number of test strings, none of them in the train set, and at most a quarter of all
        strings of the grammar.
      num_seeds: number of seeds; each draws its own grammars, data and weights.
    """

    # Half of what kernels are otherwise chosen by: an eighth of the cost, and a sweep has many.
    kernel: KernelConfig = nested(KernelConfig, "kernel_", most_tried=1024)
    learners: tuple[str, ...] = setting(_by_default, choices=STRING_LEARNERS)
    num_classes: tuple[int, ...] = setting((8,), least=1, most=_MOST_SIZE, ascending=True)
    vocab_size: tuple[int, ...] = setting((8,), least=1, most=_MOST_SIZE, ascending=True)
    num_rules: tuple[int, ...] = setting((2, 3, 4), least=1, most=_MOST_SIZE, ascending=True)
    branching: tuple[int, ...] = setting((2,), least=1, most=_MOST_SIZE, ascending=True)
    depth: tuple[int, ...] = setting((3, 4), least=1, most=_MOST_SIZE, ascending=True)
    train_multiples: tuple[float, ...] = setting(
        (0.5, 1.0, 2.0, 4.0, 8.0), least=1 / 64, most=2.0**20, ascending=True
    )
    level: float = setting(0.1, above=0, below=1, identity=False)
    level_of: str = setting("error", choices=("error", "chance"), identity=False)
    grammar: GrammarDraw = nested(GrammarDraw)
    noise: StringNoise = nested(StringNoise)
    num_test: int = setting(2000, least=1, most=2**22)
    num_seeds: int = setting(3, least=1, most=2**20)

    @functools.cached_property
    def specs(self) -> tuple[RandomHierarchySpec, ...]:
        """The grammars."""
        sizes = (self.num_classes, self.vocab_size, self.num_rules, self.branching, self.depth)
        return tuple(RandomHierarchySpec(*each) for each in itertools.product(*sizes))

    @functools.cached_property
    def cells(self) -> list[StringCell]:
        """All of the grid, those of the same data next to each other."""

        def num_test(spec: RandomHierarchySpec) -> int:
            return min(self.num_test, spec.num_strings // _SHARE_OF_TEST)

        settings = self.settings
        return [
            StringCell(
                spec,
                learner,
                multiple,
                num_test(spec),
                settings,
                self.grammar,
                noise=self.noise,
            )
            for spec in self.specs
            for multiple in self.train_multiples
            for learner in self.learners
        ]

    def __post_init__(self):
        super().__post_init__()
        by_name = sorted(self.cells, key=lambda cell: cell.name)
        for one, other in itertools.pairwise(by_name):
            if one.name == other.name:
                raise ValueError(
                    f"train_multiples={one.multiple:g} and {other.multiple:g} both make "
                    f"{one.num_train} train strings of {spec_name(one.spec)}: leave one of them out"
                )
        if all(cell.obstacle for cell in self.cells):
            raise ValueError(f"nothing of this grid can be measured: {self.cells[0].obstacle}")


def points(request: Request) -> list[Point]:
    """The points of the grid that can be measured."""
    return [cell.point() for cell in request.cells if not cell.obstacle]


def summarize(request: Request, measured: dict[str, Measured]) -> dict:
    """The content of summary.json; what was measured is by the names of the cells."""
    cells = request.cells
    reasons = {cell: cell.why_no_error(measured) for cell in cells}
    found = {cell: measured[cell.name].values for cell in cells if not reasons[cell]}
    # No learner is better, but by chance.
    errors = {
        cell: np.maximum(each["test_error"] - each["bayes_error"], 0)
        for cell, each in found.items()
    }
    return {
        "noise": dataclasses.asdict(request.noise),
        "level": request.level,
        "level_of": request.level_of,
        "num_seeds": request.num_seeds,
        "seed": request.seed,
        "points": [_point(cell, each) for cell, each in found.items()],
        "thresholds": [
            _threshold(spec, learner, *_curve(errors, spec, learner), _level(request, spec))
            for learner in request.learners
            for spec in request.specs
            if any((cell.spec, cell.learner) == (spec, learner) for cell in errors)
        ],
        "fits": {name: _fit(errors, request, name) for name in request.learners},
        "skipped": [_where(cell) | {"reason": why} for cell, why in reasons.items() if why],
    }


def _level(request: Request, spec: RandomHierarchySpec) -> float:
    """The error at which a learner has learned grammars of these sizes."""
    chance = request.grammar.chance_error(spec)
    return request.level * (chance if request.level_of == "chance" else 1)


def _where(cell: StringCell) -> dict:
    return {
        "spec": dataclasses.asdict(cell.spec),
        "learner": cell.learner,
        "n": cell.num_train,
        "multiple": cell.multiple,
        "predicted": predicted_num_train(cell.spec),
    }


def _point(cell: StringCell, values: Mapping[str, np.ndarray]) -> dict:
    errors, floor = values["test_error"], values["bayes_error"]
    return _where(cell) | {
        "num_test": cell.num_test,
        "chance": cell.draw.chance_error(cell.spec),
        "error": _spread(errors),
        "bayes_error": spread(floor),
        "excess_error": _spread(errors - floor),
        "diverged": np.flatnonzero(~np.isfinite(errors)).tolist(),
    }


def _spread(errors: np.ndarray) -> dict:
    """Over the seeds whose fits did not diverge."""
    finite = errors[np.isfinite(errors)]
    found = spread(finite) if finite.size else {"mean": None, "std": None, "max": None}
    return found | {"per_seed": errors.tolist()}


def _curve(
    errors: dict[StringCell, np.ndarray], spec, learner: str
) -> tuple[list[int], np.ndarray]:
    """Numbers of train strings, ascending, and (numbers, seeds) errors."""
    cells = [cell for cell in errors if (cell.spec, cell.learner) == (spec, learner)]
    return [cell.num_train for cell in cells], np.array([errors[cell] for cell in cells])


def _threshold(
    spec: RandomHierarchySpec, learner: str, sizes: list[int], errors: np.ndarray, level: float
) -> dict:
    found, predicted = threshold(sizes, errors, level), predicted_num_train(spec)
    return {
        "spec": dataclasses.asdict(spec),
        "learner": learner,
        "predicted": predicted,
        "level": level,
        "tried": [sizes[0], sizes[-1]],
        **found._asdict(),
        "multiple": found.value / predicted,
    }


def _fit(errors: dict, request: Request, learner: str) -> dict:
    """Of n* against the predicted number."""
    curves = {spec: _curve(errors, spec, learner) for spec in request.specs}
    tried = [spec for spec, (sizes, _) in curves.items() if sizes]
    if not tried:
        return PowerLaw(math.nan, math.nan, math.nan, math.nan, ())._asdict()
    scales = [predicted_num_train(spec) for spec in tried]
    sizes = [curves[spec][0] for spec in tried]
    rows = [curves[spec][1] / _level(request, spec) for spec in tried]
    return power_law(scales, sizes, rows, 1.0)._asdict()


def headline(request: Request) -> str:
    """What is about to be run."""
    cells = request.cells
    skipped = sum(bool(cell.obstacle) for cell in cells)
    return (
        f"{len(request.specs)} grammars, {', '.join(request.learners)}, "
        f"{', '.join(f'{each:g}' for each in request.train_multiples)} times C*M^L train strings, "
        f"{request.num_seeds} seeds: {len(cells) - skipped} points, {skipped} more are skipped"
    )


def notes(summary: dict) -> list[str]:
    """Thresholds of each learner, and how they grow."""
    level = f"{summary['level']:g}" + " of chance" * (summary["level_of"] == "chance")
    lines = []
    for name, fit in summary["fits"].items():
        law = PowerLaw(**fit).text("(C*M^L)")
        lines.append(f"{name}: n at error {level}: {law}")
        for each in summary["thresholds"]:
            if each["learner"] == name:
                spec = spec_name(RandomHierarchySpec(**each["spec"]))
                found = threshold_text(each)
                scale = f"C*M^L = {each['predicted']:<7d}"
                multiple = min(each["value"], each["tried"][1]) / each["predicted"]
                lines.append(f"  {spec:18s} {scale} n* {found}, {multiple:.2f} x")
    diverged = sum(len(point["diverged"]) for point in summary["points"])
    if diverged:
        lines.append(f"{diverged} fits diverged and are left out of the means")
    floors = {each["bayes_error"]["mean"] for each in summary["points"]}
    if any(summary["noise"].values()):
        lines.append(
            f"n* is where the error is {level} more than that of exact inference, which is from "
            f"{min(floors):.4f} to {max(floors):.4f}"
        )
    reasons = {each["reason"] for each in summary["skipped"]}
    lines += [
        f"{len(summary['skipped'])} points were skipped, for instance: {reason}"
        for reason in sorted(reasons)[:1]
    ]
    seconds = summary["seconds"]
    lines.append(
        f"errors on unseen strings; intervals of 95% over {summary['num_seeds']} seeds; > and <: "
        f"not reached, or reached from the start; on {summary['device']} in "
        f"{seconds['wall']:.0f} s, of which running took {seconds['run']:.0f} s"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import complexity_figure

    return complexity_figure(folder, STRING_LEARNERS.colours)


EXPERIMENT = SweepExperiment(
    name="sample_complexity",
    doc=__doc__,
    request=Request,
    follows={"preset": PRESETS},
    points=points,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()

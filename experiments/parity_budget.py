"""How many steps a parity costs, beside a staircase of the same degree (arXiv 2108.10573).

Residual networks are trained on fresh examples, at a constant learning rate, until their error
falls below a level, or for --num_steps steps. The share of seeds that have learned by then, against
the number of steps, for several degrees: that a parity is not learned is a statement about steps.

    python -m experiments.parity_budget

With the default sizes (30 inputs, degrees 4 to 12, up to 5,000 steps) expect all of 10 seeds to
learn the staircases, and the parities up to degree 6, but 3, 1 and 0 of them those of degree 7, 8
and 9 or more, in two to three minutes on two cores. Workers of several machines can share it, see
docs/scaling.md.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np

from experiments.runner import run
from hierjax.measure import spread
from hierjax.runs import (
    Measured,
    Point,
    StaircaseData,
    StaircaseSettings,
    SweepExperiment,
    SweepRequest,
    draw_staircases,
    relative_error,
    require_measured,
)
from hierjax.settings import setting
from hierjax.train import SQUARED, Network, train_layerwise

TARGETS = ("staircase", "parity")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest, StaircaseSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      degrees: degrees of staircases and parities, ascending.
      num_steps: steps after which a fit that has not learned is given up.
      steps_per_look: steps over whose fresh examples an error is averaged, to see whether it has
        fallen below the level.
      level: error over the variance below which a target is learned; less than 1 over the largest
        degree, as which a staircase without its last term counts.
    """

    degrees: tuple[int, ...] = setting((4, 5, 6, 7, 8, 9, 10, 12), least=1, ascending=True)
    num_steps: int = setting(5000, least=1, most=2**20)
    steps_per_look: int = setting(100, least=1)
    level: float = setting(0.05, above=0, below=1)

    def __post_init__(self):
        super().__post_init__()
        for degree in self.degrees:
            self.targets(degree)  # Refused here, if they are.
        if self.level * self.degrees[-1] >= 1:
            raise ValueError(
                f"level={self.level} must be below 1/{self.degrees[-1]}, the error of a staircase "
                f"of degree {self.degrees[-1]} that lacks its last term: lower it"
            )


@dataclasses.dataclass(frozen=True)
class Cell:
    """A point: a target of a degree."""

    request: Request
    target: str
    degree: int

    @property
    def name(self) -> str:
        """Its name in the records."""
        return f"{self.target} k={self.degree}"

    def point(self) -> Point:
        """What a sweep measures."""
        return Point(self.name, self.request.num_steps, self.draw, self.measure)

    def draw(self, key: jax.Array) -> StaircaseData:
        """Draws test examples, and the key of train examples."""
        task = self.request.targets(self.degree)[self.target]
        return draw_staircases(key, {self.target: task}, self.request.num_test)

    def measure(self, key: jax.Array, data: StaircaseData) -> dict[str, jax.Array]:
        """Trains until the target is learned, or given up."""
        request = self.request
        more = {"stop_loss": request.level, "steps_per_round": request.steps_per_look}
        descent = request.descent(lambda rate: rate, request.num_steps, **more)
        network = Network(request.module(request.width), descent, loss=SQUARED)
        train = data.examples(0, self.target, request.num_fresh(request.num_steps))
        (trained,) = train_layerwise((network,), train, jax.random.fold_in(key, 2))
        data = data.of(self.target)
        values = network.apply(trained, data.test.inputs)
        error = relative_error(values, data.test.labels, data.task)
        return {"test_error": error, "steps": trained.num_steps}


def cells(request: Request) -> list[Cell]:
    """All points of the grid."""
    return [Cell(request, target, k) for k in request.degrees for target in TARGETS]


def points(request: Request) -> list[Point]:
    """What the sweep measures."""
    return [cell.point() for cell in cells(request)]


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"staircases and parities of degree {', '.join(map(str, request.degrees))} on "
        f"{request.num_inputs} signs: at most {request.num_steps} steps, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: dict[str, Measured]) -> dict:
    """The content of summary.json; ValueError if a point could not be measured."""
    require_measured(results)
    budgets = [-(-request.num_steps // share) for share in (8, 4, 2, 1)]
    return {
        **{name: getattr(request, name) for name in ("num_inputs", "degrees", "num_steps")},
        **{name: getattr(request, name) for name in ("level", "num_seeds", "seed")},
        "budgets": budgets,
        "targets": {
            target: {
                str(k): _of_point(request, results[Cell(request, target, k).name].values, budgets)
                for k in request.degrees
            }
            for target in TARGETS
        },
    }


def _of_point(request: Request, values: dict[str, np.ndarray], budgets: list[int]) -> dict:
    """Of each seed the steps it has learned in, null if it has not; the share by each budget."""
    errors, steps = values["test_error"], values["steps"].astype(int)
    learned = (steps < request.num_steps) | (errors < request.level)
    return {
        "steps": [int(s) if done else None for s, done in zip(steps, learned, strict=True)],
        "share": [float((learned & (steps <= budget)).mean()) for budget in budgets],
        "test_error": spread(errors),
    }


def notes(summary: dict) -> list[str]:
    """The share of seeds that have learned each target by each number of steps."""
    budgets, num_seeds = summary["budgets"], summary["num_seeds"]
    lines = ["seeds that have learned  " + "".join(f"{b:>8d}" for b in budgets) + "  steps"]
    for target, by_degree in summary["targets"].items():
        for degree, found in by_degree.items():
            counts = "".join(f"{round(share * num_seeds):8d}" for share in found["share"])
            lines.append(f"{target + ', degree ' + degree:25s}{counts}  of {num_seeds}")
    lines.append(
        f"learned: an error of less than {summary['level']:g} of the variance on the fresh "
        f"examples of a round; {num_seeds} seeds, on {summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import budget_figure

    return budget_figure(folder)


EXPERIMENT = SweepExperiment(
    name="parity_budget",
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

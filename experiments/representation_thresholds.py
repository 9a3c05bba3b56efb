"""How many examples each learner of a low-rank polynomial needs as the dimension grows.

The learners of `experiments.neural_representations`, in several dimensions and at several numbers
of examples, multiples of d^2; where their errors fall below a level, and by which power of d that
grows. No exponent is claimed where fewer than three dimensions have a threshold.

    python -m experiments.representation_thresholds

With the default sizes expect an hour on two cores; a killed run goes on where it was, and workers
of several machines can share it, see docs/scaling.md.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np

from experiments import neural_representations as representations
from experiments.runner import run
from hierjax.measure import PowerLaw, Threshold, power_law, threshold
from hierjax.runs import (
    POLYNOMIAL_LEARNERS,
    Measured,
    NTKConfig,
    Point,
    SweepExperiment,
    SweepRequest,
    device_name,
    nested,
    require_measured,
    seed_mesh,
)
from hierjax.settings import setting
from hierjax.tasks import PolynomialSpec
from hierjax.train import QuadraticConfig, train_layerwise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      input_dims: dimensions of the input, d, ascending.
      train_multiples: numbers of train examples, as multiples of d^2, ascending.
      degree: degree of the polynomial.
      learners: learners to train.
      level: error over the variance whose crossing is the threshold.
      quad: what is tried for the quadratic models.
      ntk: what is tried for the kernel machines.
      num_test: number of test examples.
      num_seeds: number of seeds; each draws its own targets, data and weights.
    """

    input_dims: tuple[int, ...] = setting((8, 12, 16, 20, 24), least=2, most=256, ascending=True)
    train_multiples: tuple[int, ...] = setting(
        (1, 2, 4, 8, 16), least=1, most=2**12, ascending=True
    )
    degree: int = setting(4)
    learners: tuple[str, ...] = setting(
        lambda: tuple(POLYNOMIAL_LEARNERS), choices=POLYNOMIAL_LEARNERS
    )
    level: float = setting(0.5, least=0, most=1, identity=False)
    quad: QuadraticConfig = nested(QuadraticConfig, "quad_", names={"num_steps": "num_steps"})
    ntk: NTKConfig = nested(NTKConfig, "ntk_")
    num_test: int = setting(4000, least=16, most=2**22)
    num_seeds: int = setting(5, least=1, most=2**20)

    @functools.cached_property
    def of_dimensions(self) -> dict[int, representations.Request]:
        """What is asked for in each dimension."""
        return {dim: self._of_dimension(dim) for dim in self.input_dims}

    def _of_dimension(self, dim: int) -> representations.Request:
        num_train = tuple(dim**2 * multiple for multiple in self.train_multiples)
        if num_train[0] < representations.LEAST_TRAIN:
            raise ValueError(
                f"input_dims={dim} and train_multiples={self.train_multiples[0]} make "
                f"{num_train[0]} train examples, fewer than {representations.LEAST_TRAIN}: raise "
                "one of them"
            )
        return representations.Request(
            task=PolynomialSpec(dim, 1, self.degree),
            num_train=num_train,
            learners=self.learners,
            quad=self.quad,
            ntk=self.ntk,
            num_test=self.num_test,
            num_seeds=self.num_seeds,
            seed=self.seed,
            num_devices=self.num_devices,
        )

    def __post_init__(self):
        super().__post_init__()
        self.of_dimensions  # noqa: B018  Refused here, if one is.


@dataclasses.dataclass(frozen=True)
class DrawData:
    """Draws the target of a seed, and all examples of it, in one dimension."""

    request: representations.Request

    def __call__(self, key: jax.Array) -> representations.SeedData:
        """What the learners of a seed share."""
        return representations.draw(key, self.request)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A point: a dimension, a learner, and a number of train examples."""

    request: representations.Request
    learner: str
    num_train: int

    @property
    def name(self) -> str:
        """Its name in the records."""
        return f"d={self.request.task.input_dim} {self.learner} n={self.num_train}"

    def point(self) -> Point:
        """What a sweep measures."""
        is_kernel = POLYNOMIAL_LEARNERS[self.learner].holds_gram
        work = (self.num_train / 1000) ** 2 if is_kernel else self.num_train / 100
        return Point(self.name, work, DrawData(self.request), self.measure, fills_cpu=is_kernel)

    def measure(self, key: jax.Array, data: representations.SeedData) -> dict[str, jax.Array]:
        """Trains the learner on the first examples, and measures it."""
        layers = self.request.layers(self.learner, self.request.task.input_dim)
        key = jax.random.fold_in(key, representations.STREAM)
        *below, top = train_layerwise(layers, representations.first(self.num_train, data), key)
        measured = {}
        for name, measure in representations.MEASURES.items():
            value = measure.function(layers, data, tuple(below), top)
            if isinstance(value, dict):
                measured |= {f"{name}_{part}": each for part, each in value.items()}
            elif value is not None:
                measured[name] = value
        return measured


def points(request: Request) -> list[Point]:
    """All points of the grid."""
    return [
        Cell(each, learner, num_train).point()
        for each in request.of_dimensions.values()
        for num_train in each.num_train
        for learner in each.learners
    ]


def require(request: Request) -> None:
    """Refuses sizes for whose seeds there is no room, see `neural_representations.require`."""
    for each in request.of_dimensions.values():
        representations.require(each)


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"polynomials of degree {request.degree} in {', '.join(map(str, request.input_dims))} "
        f"dimensions, {', '.join(map(str, request.train_multiples))} times d^2 train examples, "
        f"{request.num_seeds} seeds"
    )


def summarize(request: Request, results: dict[str, Measured]) -> dict:
    """The content of summary.json; ValueError if a point could not be measured."""
    require_measured(results)
    summaries = {dim: _of_dimension(each, results) for dim, each in request.of_dimensions.items()}
    sizes = [each.num_train for each in request.of_dimensions.values()]
    errors = {
        name: [_per_seed(each, name) for each in summaries.values()] for name in request.learners
    }
    level, dims = request.level, list(request.input_dims)
    return {
        "level": level,
        "input_dims": dims,
        "num_seeds": request.num_seeds,
        "thresholds": {
            name: {
                str(dim): threshold(n, each, level)._asdict()
                for dim, n, each in zip(dims, sizes, errors[name], strict=True)
            }
            for name in request.learners
        },
        "fits": {
            name: power_law(dims, sizes, errors[name], level)._asdict() for name in request.learners
        },
        "dimensions": {str(dim): each for dim, each in summaries.items()},
    }


def _of_dimension(request: representations.Request, results: dict[str, Measured]) -> dict:
    measured, seconds = {}, {}
    for name in request.learners:
        for n in request.num_train:
            found = results[Cell(request, name, n).name]
            parts = {key.partition("_")[::2]: each for key, each in found.values.items()}
            chosen = {part: each for (kind, part), each in parts.items() if kind == "chosen"}
            measured[f"{name}_{n}"] = found.values | {"chosen": chosen}
            seconds[f"{name}_{n}"] = {kind: found.seconds[kind] for kind in ("compile", "run")}
    summary = representations.summarize_measured(request, measured, seconds)
    return summary | {"device": device_name(), "num_devices": seed_mesh(request.num_devices).size}


def _per_seed(summary: dict, name: str) -> np.ndarray:
    """(sizes, seeds)."""
    return np.array([summary["test_error"][name][str(n)]["per_seed"] for n in summary["num_train"]])


def notes(summary: dict) -> list[str]:
    """Thresholds of each learner in each dimension, and how they grow."""
    dims = summary["input_dims"]
    lines = [f"n at error {summary['level']:g}  " + "".join(f"d = {dim:<14d}" for dim in dims)]
    for name, thresholds in summary["thresholds"].items():
        cells = ""
        for dim in map(str, dims):
            tried = summary["dimensions"][dim]["num_train"]
            cells += f"{Threshold(**thresholds[dim]).text(tried[0], tried[-1]):18s}"
        lines.append(f"{name:16s}{cells}{PowerLaw(**summary['fits'][name]).text('d')}")
    lines.append(
        f"bootstrap over {summary['num_seeds']} seeds in brackets; > and <: not reached, or "
        f"reached from the start; on {summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import threshold_figure

    return threshold_figure(folder, POLYNOMIAL_LEARNERS.colours)


EXPERIMENT = SweepExperiment(
    name="representation_thresholds",
    doc=__doc__,
    request=Request,
    require=require,
    points=points,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()

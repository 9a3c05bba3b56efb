"""By which power of the number of strings errors fall if rules have Zipf's law (arXiv 2505.07067).

The rules of one level have probabilities ~ k^-(1+a), k from 1 to M, those of all other levels equal
ones. Rare rules are learned late: between the numbers of strings that the most and the least
frequent rule take, errors are predicted to fall as n^(-a/(1+a)). Test strings are drawn as train
strings are, seen or not: unseen ones alone would be those with rare rules.

    python -m experiments.power_laws
    python -m experiments.power_laws --learners layerwise

Expect twenty minutes on one core, four of them for layerwise learning. With a = .5, 1 and 2, errors
fall as n^-.58, n^-.60 and n^-.74 layer by layer, and as n^-.55, n^-.59 and n^-.71 end to end, where
the law says n^-.33, n^-.50 and n^-.67.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.runner import run
from hierjax.measure import Decay, decay, finite_spread
from hierjax.runs import (
    MOST_TRAIN,
    PRESETS,
    STRING_LEARNERS,
    LearnerSettings,
    Measured,
    Point,
    StringCell,
    StringData,
    SweepExperiment,
    SweepRequest,
    nested,
    obstacle,
    require_measured,
    spec_name,
)
from hierjax.settings import setting
from hierjax.tasks import GrammarDraw, RandomHierarchySpec
from hierjax.theory import predicted_num_train, rare_rule_error, strings_of_rules, zipf_shares
from hierjax.train import NetworkConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest, LearnerSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      level: level whose rules have Zipf's law, from 0 at the root to L - 1, above the leaves.
      exponents: exponents a of Zipf's law, ascending.
      learners: learners to train.
      network: choices of the network trained end to end.
      num_train: numbers of train strings, n, ascending.
      num_test: number of test strings.
      num_seeds: number of seeds; each draws its own grammars, strings and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec,
        num_classes=8,
        vocab_size=(8, 32),
        num_rules=(4, 128),
        branching=(2, 2),
        depth=2,
    )
    level: int = setting(1, least=0, most=2**6)
    exponents: tuple[float, ...] = setting((0.5, 1.0, 2.0), above=0, most=16, ascending=True)
    learners: tuple[str, ...] = setting(("layerwise", "end_to_end"), choices=STRING_LEARNERS)
    network: NetworkConfig = nested(NetworkConfig, num_steps=4000, width=128)
    num_train: tuple[int, ...] = setting(
        tuple(2**k for k in range(7, 15)), least=16, most=MOST_TRAIN, ascending=True
    )
    num_test: int = setting(8000, least=1, most=2**22)
    num_seeds: int = setting(5, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        strings_of_rules(self.spec, self.level, np.ones(1))  # Refuses a level that is not there.
        for cell in self.cells:
            cell.draw.check(self.spec)
            reason = obstacle(cell.learner, self.spec, cell.num_train, self.settings)
            if reason:
                raise ValueError(reason)

    def shares(self, exponent: float) -> np.ndarray:
        """Probabilities (M,) of the rules of a symbol of the level."""
        return zipf_shares(self.spec.num_rules[self.level], exponent)

    @functools.cached_property
    def cells(self) -> dict[StringCell, float]:
        """The points, and the exponents of their grammars, those of the same strings together."""
        cells = {}
        for a in self.exponents:
            equal = [-1.0] * self.spec.depth
            draw = GrammarDraw(zipf=(*equal[: self.level], a, *equal[self.level + 1 :]))
            for n in self.num_train:
                multiple = n / predicted_num_train(self.spec)
                for name in self.learners:
                    where = (self.spec, name, multiple, self.num_test, self.settings, draw)
                    cells[StringCell(*where, choices=f"a={a:g}")] = a
        return cells


@dataclasses.dataclass(frozen=True)
class DrawAlike:
    """Draws the train strings of a seed, those of other sweeps, and test strings alike."""

    spec: RandomHierarchySpec
    num_train: int
    num_test: int
    draw: GrammarDraw

    def __call__(self, key: jax.Array) -> StringData:
        """Returns the strings of the seed with this key, without their trees."""
        grammar = self.draw.draw(jax.random.fold_in(key, 0), self.spec)
        key = jax.random.fold_in(key, 1)
        train = grammar.sample(jax.random.fold_in(key, 0), self.num_train)
        test = grammar.sample(jax.random.fold_in(key, 1), self.num_test)
        data = StringData(None, train, test, jnp.int32(self.num_test), jnp.zeros(()))
        return data.without_latents()


def points(request: Request) -> list[Point]:
    """What the sweep measures."""
    return [
        each.point()._replace(draw=DrawAlike(each.spec, each.num_train, each.num_test, each.draw))
        for each in request.cells
    ]


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"{', '.join(request.learners)} on random hierarchies {spec_name(request.spec)} whose "
        f"rules of level {request.level} fall as k^-(1+a), a = "
        f"{', '.join(f'{a:g}' for a in request.exponents)}, {request.num_train[0]} to "
        f"{request.num_train[-1]} strings, {request.num_seeds} seeds"
    )


def summarize(request: Request, measured: dict[str, Measured]) -> dict:
    """The content of summary.json; ValueError if a point could not be measured."""
    require_measured(measured)
    return {
        **{name: getattr(request, name) for name in ("level", "num_test", "num_seeds", "seed")},
        "spec": dataclasses.asdict(request.spec),
        "chance_error": 1 - 1 / request.spec.num_classes,
        "num_train": list(request.num_train),
        "curves": [
            _curve(request, a, name, measured)
            for a in request.exponents
            for name in request.learners
        ],
    }


def _curve(request: Request, a: float, learner: str, measured: dict[str, Measured]) -> dict:
    """A learner's errors at one exponent, fitted where some rules are learned, but not all."""
    cells = [cell for cell, its in request.cells.items() if (cell.learner, its) == (learner, a)]
    errors = np.array([measured[cell.name].values["test_error"] for cell in cells])
    sizes, shares = np.array(request.num_train), request.shares(a)
    takes = strings_of_rules(request.spec, request.level, shares)
    fitted = (takes.min() <= sizes) & (sizes <= takes.max())
    predicted = rare_rule_error(request.spec, request.level, shares, sizes)
    # An error of none is one of less than a test string.
    shown = np.maximum(errors, 0.5 / request.num_test)
    return {
        "exponent": a,
        "learner": learner,
        "law": -a / (1 + a),
        "fit": decay(sizes[fitted], shown[fitted])._asdict(),
        "fit_of_theory": decay(sizes[fitted], predicted[fitted, None]).exponent,
        "fitted": sizes[fitted].tolist(),
        "predicted": predicted.tolist(),
        "test_error": [finite_spread(each) for each in errors],
    }


def notes(summary: dict) -> list[str]:
    """Fitted exponents beside those of theory."""
    lines = []
    for curve in summary["curves"]:
        errors = " ".join(f"{each['mean'] or 0:.3f}" for each in curve["test_error"])
        lines.append(
            f"a = {curve['exponent']:<4g} {curve['learner']:10s} n^{Decay(**curve['fit']).text}; "
            f"law {curve['law']:.2f}, theory here {curve['fit_of_theory']:.2f}; errors {errors}"
        )
    lines.append(
        f"errors on {summary['num_test']} strings, seen or not, intervals of 95% over "
        f"{summary['num_seeds']} seeds, on {summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import power_law_figure

    return power_law_figure(folder, STRING_LEARNERS.colours)


EXPERIMENT = SweepExperiment(
    name="power_laws",
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

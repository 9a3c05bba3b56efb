"""Which targets a network climbs step by step: a staircase, and a parity (arXiv 2108.10573).

Both have the same degree k. The staircase (x_1 + x_1 x_2 + ... + x_1 ... x_k) / sqrt(k) shows the
way to its highest term, the parity x_1 ... x_k does not. A residual network is trained on either,
with all of its weights together, or one block at a time with a read-out of its own.

    python -m experiments.staircase
    python -m experiments.staircase --preset paper
    python -m experiments.staircase --preset paper_double

With the default sizes (30 inputs, degree 10, fresh examples) expect errors over the variance of
.002 end to end and .057 layer by layer on the staircase, and 1 on the parity, in two minutes on two
cores. The presets are the settings of the authors, see docs/staircases.md.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.runner import run
from hierjax.measure import climb, spread
from hierjax.runs import (
    ERROR,
    LayerwiseExperiment,
    Results,
    RunRequest,
    Stack,
    StaircaseData,
    StaircaseSettings,
    draw_staircases,
    measures,
    relative_error,
    root_key,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import CubePolynomial, fourier_coefficients
from hierjax.train import SQUARED, Descent, Network, Probed, class_scores, network_layers

_PAPER = {
    "num_inputs": 30,
    "num_blocks": 3,
    "layers_per_block": 1,
    "optimizer": "sgd",
    "steps_per_halving": 15_000,
    "batch_size": 20,
    "steps_per_look": 500,
    "layerwise": False,
}
PRESETS = {
    "paper": _PAPER
    | {"degree": 10, "width": 40, "learning_rate": 0.01, "num_train": 60_000, "num_steps": 100_000},
    "paper_double": _PAPER
    | {"degree": 7, "second_degree": 7, "normalized": False, "width": 50}
    | {"learning_rate": 0.004, "num_train": 100_000, "num_steps": 50_000},
}
"""Settings of arXiv 2108.10573, Section 6."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest, StaircaseSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      preset: "paper" takes the settings of arXiv 2108.10573, Section 6, for the staircase and the
        parity of degree 10, "paper_double" those for the double staircase. Flags that are given
        win.
      degree: degree of staircase and parity, k.
      second_degree: degree of a second staircase, which shares x_1 with the first and is added to
        it; 1 for none.
      normalized: divide targets by their standard deviations; without it all coefficients are 1.
      num_steps: steps of the network trained end to end; each block alone takes
        steps_per_block of them.
      num_train: examples of a fixed train set, which is gone through over and over; unset: every
        step takes fresh examples.
      steps_per_halving: steps after which the learning rate is halved, again and again; unset: it
        falls to zero by a cosine.
      steps_per_look: largest number of steps between two looks at the coefficients.
      num_probes: fresh examples on which errors and coefficients are measured at each look.
      layerwise: also train the residual network one block at a time.
      steps_per_block: share of num_steps that each block takes when it is trained alone.
      block_width: width of the residual network that is trained one block at a time.
    """

    preset: str | None = setting(None, choices=tuple(PRESETS), identity=False)
    degree: int = setting(10, least=1)
    second_degree: int = setting(1, least=1)
    normalized: bool = setting(True)
    num_steps: int = setting(5000, least=1, most=2**20)
    num_train: int | None = setting(None, least=1, most=2**22)
    steps_per_halving: int | None = setting(None, least=1, most=2**20)
    steps_per_look: int = setting(20, least=1)
    num_probes: int = setting(4096, least=4, most=2**20)
    layerwise: bool = setting(True, identity=False)
    steps_per_block: float = setting(0.3, above=0)
    block_width: int = setting(128, least=1, most=2**14)

    def __post_init__(self):
        super().__post_init__()
        most = self.num_probes // 4
        if self.degree > most or len(self.tasks["staircase"].sets) > most:
            raise ValueError(
                f"degree={self.degree} and second_degree={self.second_degree} must make at most "
                f"{most} terms: coefficients are measured on {self.num_probes} inputs"
            )
        if self.num_train is not None and self.num_train + self.num_test > 2**self.num_inputs:
            raise ValueError(
                f"num_train={self.num_train} and num_test={self.num_test} unseen examples are more "
                f"than {self.num_inputs} signs have values: lower one of them"
            )

    @property
    def tasks(self) -> dict[str, CubePolynomial]:
        """The targets, by name."""
        tasks = self.targets(self.degree, self.second_degree)
        if self.normalized:
            return tasks
        return {n: t.replace(coefficients=jnp.ones(len(t.sets))) for n, t in tasks.items()}

    @property
    def block_steps(self) -> int:
        """Steps of each block that is trained alone."""
        return max(1, round(self.steps_per_block * self.num_steps))

    def schedule(self, num_steps: int, rate: Any) -> optax.Schedule:
        """The learning rate at each of so many steps, from its first."""
        if self.steps_per_halving is None:
            return optax.cosine_decay_schedule(rate, num_steps)
        return optax.exponential_decay(rate, self.steps_per_halving, 0.5, staircase=True)

    def descent_of(self, num_steps: int) -> Descent:
        """How a network is trained in so many steps."""
        schedule = functools.partial(self.schedule, num_steps)
        return self.descent(schedule, num_steps, steps_per_round=self.steps_per_look)


def draw(key: jax.Array, request: Request) -> StaircaseData:
    """The test examples of a seed, and its train examples or their key."""
    return draw_staircases(key, request.tasks, request.num_test, request.num_train)


def learners(request: Request) -> dict[str, Stack]:
    """Both ways of training, on both targets."""
    stacks = {}
    for target, task in request.tasks.items():
        kinds = {"end_to_end": (_end_to_end(request, task), request.num_steps)}
        if request.layerwise:
            kinds["layerwise"] = (_layerwise(request), request.block_steps)
        for name, (layers, num_steps) in kinds.items():
            examples = functools.partial(
                StaircaseData.examples, target=target, count=request.num_fresh(num_steps)
            )
            view = functools.partial(StaircaseData.of, target=target)
            stacks[f"{target}_{name}"] = Stack(layers, examples, view)
    return stacks


def _end_to_end(request: Request, task: CubePolynomial) -> tuple[Probed]:
    """One layer, which records the error, and the coefficients of all terms, as they change."""
    sets = request.tasks["staircase"].sets
    network = Network(
        request.module(request.width), request.descent_of(request.num_steps), loss=SQUARED
    )

    def probe(params):
        # Seeds fold in their own numbers, which stay below this one.
        probe_key = jax.random.fold_in(root_key(request.seed), 2**32 - 1)
        batch = task.sample(probe_key, request.num_probes)
        values = network.apply(params, batch.inputs)
        return {
            "coefficients": fourier_coefficients(values[:, 0], batch.inputs, sets),
            "error": relative_error(values, batch.labels, task),
        }

    num_rounds = -(-request.num_steps // request.steps_per_look)
    return (Probed(network, probe, tuple(range(1, num_rounds + 1))),)


def _layerwise(request: Request) -> tuple:
    """A layer for each block: its weights and a read-out of its own are trained."""
    module = request.module(request.block_width)
    return network_layers(module, request.descent_of(request.block_steps), SQUARED)


MEASURES = measures()


@MEASURES.add("test_error", column="test error (worst)", text=ERROR)
def test_error(layers, data, below, params):
    """Squared error on examples that were not trained on, over the target's variance."""
    values = class_scores(layers, (*below, params), data.test.inputs)
    return relative_error(values, data.test.labels, data.task)


@MEASURES.add("growth")
def growth(layers, data, below, params):
    """Coefficients of all terms, and errors, after each round of the training end to end."""
    return params.trace if isinstance(layers[0], Probed) else None


def headline(request: Request) -> str:
    """What is about to be run."""
    double = f" and {request.second_degree}" if request.second_degree > 1 else ""
    blocks = f", {request.block_steps} for each block alone" if request.layerwise else ""
    given = "fresh" if request.num_train is None else f"{request.num_train} fixed"
    return (
        f"staircase of degree {request.degree}{double} and parity of degree {request.degree} on "
        f"{request.num_inputs} signs: {request.num_steps} steps end to end{blocks}, {given} "
        f"examples, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    kinds = ("end_to_end", "layerwise") if request.layerwise else ("end_to_end",)

    def each(entry) -> dict:
        return {t: {k: entry(results[f"{t}_{k}"]) for k in kinds} for t in request.tasks}

    def errors(layer) -> dict:
        return spread(layer.measured["test_error"])

    traces = {t: results[f"{t}_end_to_end"][0].measured["growth"] for t in request.tasks}
    return {
        **request.own,
        "test_error": each(lambda layers: errors(layers[-1])),
        "test_error_by_block": {
            target: [errors(layer) for layer in results.get(f"{target}_layerwise", [])]
            for target in request.tasks
        },
        "terms": request.tasks["staircase"].sets,
        "coefficient": float(request.tasks["staircase"].coefficients[0]),
        "growth": {name: _growth(request, trace) for name, trace in traces.items()},
        "order": _order(request, traces["staircase"]["coefficients"]),
        "seen": _share_seen(request),
        "seconds": each(total_seconds),
    }


def _growth(request: Request, trace: dict[str, np.ndarray]) -> dict:
    """Coefficients of the terms, [look][term], and errors of each seed, [seed][look]."""
    coefficients = trace["coefficients"]
    return {
        "steps": _steps(request, coefficients).tolist(),
        "mean": coefficients.mean(axis=0).tolist(),
        "first_seed": coefficients[0].tolist(),
        "error": trace["error"].tolist(),
    }


def _steps(request: Request, trace: np.ndarray) -> np.ndarray:
    looks = np.arange(1, trace.shape[1] + 1)
    return np.minimum(request.descent_of(request.num_steps).round_steps * looks, request.num_steps)


def _order(request: Request, trace: np.ndarray) -> dict:
    """When each coefficient of the staircase is first at half its height, and in how many seeds
    all of each chain get there one after another, ties allowed or not."""
    steps, level = _steps(request, trace), float(request.tasks["staircase"].coefficients[0]) / 2
    first = list(range(request.degree))
    chains = [first, [0, *range(request.degree, trace.shape[2])]]
    found = [climb(trace[:, :, chain], steps, level) for chain in chains]
    return {
        "half_height": climb(trace, steps, level).reached.tolist(),
        "seeds_in_order": int(np.all([each.in_order for each in found], axis=0).sum()),
        "seeds_strictly_in_order": int(np.all([each.strictly for each in found], axis=0).sum()),
    }


def _share_seen(request: Request) -> float:
    """The share of test examples that the training end to end has seen, on average."""
    if request.num_train is not None:
        return 0.0
    return 1 - (1 - 0.5**request.num_inputs) ** request.num_fresh(request.num_steps)


def notes(summary: dict) -> list[str]:
    """The order of the steps, and what to know of the errors."""
    order, num_seeds = summary["order"], summary["num_seeds"]
    examples = (
        f"fresh inputs, a share of {summary['seen']:.2g} of them seen in training"
        if summary["num_train"] is None
        else f"inputs that are not among the {summary['num_train']} of the train set"
    )
    return [
        f"terms of the staircase reach half height in order in {order['seeds_in_order']} of "
        f"{num_seeds} seeds (strictly in {order['seeds_strictly_in_order']}), end to end",
        f"errors over the variance, 1 for guessing the mean, on {examples}; {num_seeds} seeds, on "
        f"{summary['device']}",
    ]


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import staircase_figure

    return staircase_figure(folder)


EXPERIMENT = LayerwiseExperiment(
    name="staircase",
    doc=__doc__,
    request=Request,
    follows={"preset": PRESETS},
    draw=draw,
    learners=learners,
    measures=MEASURES,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()

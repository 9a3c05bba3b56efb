"""Which targets a network climbs step by step: a staircase, and a parity (arXiv 2108.10573).

Both have the same degree k. The staircase (x_1 + x_1 x_2 + ... + x_1 ... x_k) / sqrt(k) shows the
way to its highest term, the parity x_1 ... x_k does not. A residual network sees fresh examples of
either, all of its weights trained together, or one block at a time with a read-out of its own.

    python -m experiments.staircase

With the default sizes (30 inputs, degree 10) expect errors over the variance of .002 end to end and
.057 layer by layer on the staircase, and 1 on the parity, in two minutes on two cores.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from experiments.runner import run
from hierjax.measure import climb, spread
from hierjax.models import ResidualNet
from hierjax.runs import (
    ERROR,
    LayerwiseExperiment,
    Results,
    RunRequest,
    Stack,
    measures,
    root_key,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import Batch, fourier_coefficients, parity, prefix_sets, staircase
from hierjax.train import (
    SQUARED,
    Descent,
    Network,
    Probed,
    class_scores,
    network_layers,
)

TARGETS = {"staircase": staircase, "parity": parity}

_MOST_NUMBERS = 2**25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      num_inputs: number of inputs, signs, d.
      degree: degree of staircase and parity, k; parities of 6 and less are learned.
      num_steps: steps of the network trained end to end; each block alone takes
        steps_per_block of them.
      steps_per_block: share of num_steps that each block takes when it is trained alone.
      num_blocks: blocks of the residual network.
      width: width of the residual network that is trained end to end.
      block_width: width of the residual network that is trained one block at a time.
      learning_rate: learning rate of Adam, which falls to zero by a cosine.
      batch_size: examples of each step.
      steps_per_look: steps between two looks at the coefficients.
      num_probes: inputs on which coefficients are measured.
      num_test: fresh examples on which errors are measured.
    """

    num_inputs: int = setting(30, least=1, most=2**12)
    degree: int = setting(10, least=1)
    num_steps: int = setting(5000, least=1, most=2**20)
    steps_per_block: float = setting(0.3, above=0)
    num_blocks: int = setting(4, least=1, most=2**6)
    width: int = setting(64, least=1, most=2**14)
    block_width: int = setting(128, least=1, most=2**14)
    learning_rate: float = setting(2e-3, above=0)
    batch_size: int = setting(128, least=1, most=2**16)
    steps_per_look: int = setting(20, least=1)
    num_probes: int = setting(4096, least=4, most=2**20)
    num_test: int = setting(8192, least=1, most=2**22)

    def __post_init__(self):
        super().__post_init__()
        if self.degree > self.num_probes // 4:
            raise ValueError(
                f"degree={self.degree} must be at most {self.num_probes // 4}: coefficients are "
                f"measured on {self.num_probes} inputs"
            )
        for make in TARGETS.values():
            make(self.num_inputs, self.degree)  # Refused here, if it is.

    @property
    def block_steps(self) -> int:
        """Steps of each block that is trained alone."""
        return max(1, round(self.steps_per_block * self.num_steps))

    def num_examples(self, num_steps: int) -> int:
        """Examples of a stage: each is seen once, unless they would be more than 2^25 numbers."""
        most = max(self.batch_size, _MOST_NUMBERS // self.num_inputs)
        return min(num_steps * self.batch_size, most)


class SeedData(struct.PyTreeNode):
    """What the learners of a seed share.

    Attributes:
      key: of the train examples, which every stage draws for itself.
      test: test examples of each target, by name; for measures, those of one target.
    """

    key: jax.Array
    test: Any


def draw(key: jax.Array, request: Request) -> SeedData:
    """The test examples of a seed, and the key of its train examples."""
    test_key, train_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
    tasks = {name: make(request.num_inputs, request.degree) for name, make in TARGETS.items()}
    return SeedData(train_key, {n: t.sample(test_key, request.num_test) for n, t in tasks.items()})


def learners(request: Request) -> dict[str, Stack]:
    """Both ways of training, on both targets."""
    stacks = {}
    for target, make in TARGETS.items():
        task = make(request.num_inputs, request.degree)
        kinds = {
            "end_to_end": (_end_to_end(request, task), request.num_steps),
            "layerwise": (_layerwise(request), request.block_steps),
        }
        for name, (layers, num_steps) in kinds.items():
            examples = functools.partial(_fresh, task, request.num_examples(num_steps))
            view = functools.partial(_only, target)
            stacks[f"{target}_{name}"] = Stack(layers, examples, view)
    return stacks


def _fresh(task, count: int, data: SeedData, index: int) -> Batch:
    return task.sample(jax.random.fold_in(data.key, index), count).replace(latents=())


def _only(target: str, data: SeedData) -> SeedData:
    return data.replace(test=data.test[target])


def _end_to_end(request: Request, task) -> tuple[Probed]:
    """One layer, which records the coefficients of all prefixes as they grow."""
    sets = prefix_sets(request.num_inputs, request.degree)
    module = ResidualNet(1, request.num_blocks, request.width)
    network = Network(module, _descent(request, request.num_steps), loss=SQUARED)

    def probe(params):
        # Seeds fold in their own numbers, which stay below this one.
        probe_key = jax.random.fold_in(root_key(request.seed), 2**32 - 1)
        inputs = task.sample(probe_key, request.num_probes).inputs
        return fourier_coefficients(network.apply(params, inputs)[:, 0], inputs, sets)

    return (Probed(network, probe, -(-request.num_steps // request.steps_per_look)),)


def _layerwise(request: Request) -> tuple:
    """A layer for each block: its two weight matrices and a read-out of its own are trained."""
    module = ResidualNet(1, request.num_blocks, request.block_width)
    return network_layers(module, _descent(request, request.block_steps), SQUARED)


def _descent(request: Request, num_steps: int) -> Descent:
    def optimizer(rate):
        return optax.adam(optax.cosine_decay_schedule(rate, num_steps))

    return Descent(
        optimizer,
        (request.learning_rate,),
        num_steps,
        request.batch_size,
        in_order=True,
        steps_per_round=request.steps_per_look,
    )


MEASURES = measures()


@MEASURES.add("test_error", column="test error (worst)", text=ERROR)
def test_error(layers, data, below, params):
    """Squared error on fresh inputs, over the target's variance, which is 1."""
    values = class_scores(layers, (*below, params), data.test.inputs)
    return jnp.mean(SQUARED.per_example(values, data.test.labels))


@MEASURES.add("prefix_coefficients")
def prefix_coefficients(layers, data, below, params):
    """The coefficients of all prefixes after each round of the training end to end."""
    return params.trace if isinstance(layers[0], Probed) else None


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"staircase and parity of degree {request.degree} on {request.num_inputs} signs: "
        f"{request.num_steps} steps end to end, {request.block_steps} for each block alone, "
        f"{request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""

    def each(entry) -> dict:
        return {
            target: {
                name: entry(results[f"{target}_{name}"]) for name in ("end_to_end", "layerwise")
            }
            for target in TARGETS
        }

    def errors(layer) -> dict:
        return spread(layer.measured["test_error"])

    traces = {
        target: results[f"{target}_end_to_end"][0].measured["prefix_coefficients"]
        for target in TARGETS
    }
    fields = [field.name for field in dataclasses.fields(Request)]
    own = [name for name in fields if name not in RunRequest.__dataclass_fields__]
    return {
        **{name: getattr(request, name) for name in (*own, "num_seeds", "seed")},
        "test_error": each(lambda layers: errors(layers[-1])),
        "test_error_by_block": {
            target: [errors(layer) for layer in results[f"{target}_layerwise"]]
            for target in TARGETS
        },
        "prefix_coefficients": {name: _growth(request, trace) for name, trace in traces.items()},
        "order": _order(request, traces["staircase"]),
        "seen": 1 - (1 - 0.5**request.num_inputs) ** request.num_examples(request.num_steps),
        "seconds": each(total_seconds),
    }


def _growth(request: Request, trace: np.ndarray) -> dict:
    """How the coefficients (num_seeds, looks, k) of the prefixes grow, [look][prefix]."""
    return {
        "steps": _steps(request, trace).tolist(),
        "mean": trace.mean(axis=0).tolist(),
        "first_seed": trace[0].tolist(),
    }


def _steps(request: Request, trace: np.ndarray) -> np.ndarray:
    looks = np.arange(1, trace.shape[1] + 1)
    return np.minimum(request.steps_per_look * looks, request.num_steps)


def _order(request: Request, trace: np.ndarray) -> dict:
    """When each coefficient of the staircase is first at half its height, and in how many seeds
    all of them get there one after another, ties allowed or not."""
    found = climb(trace, _steps(request, trace), 0.5 / np.sqrt(request.degree))
    return {
        "half_height": found.reached.tolist(),
        "seeds_in_order": int(found.in_order.sum()),
        "seeds_strictly_in_order": int(found.strictly.sum()),
    }


def notes(summary: dict) -> list[str]:
    """The order of the steps, and what to know of the errors."""
    order, num_seeds = summary["order"], summary["num_seeds"]
    return [
        f"prefixes of the staircase reach half height in order in {order['seeds_in_order']} of "
        f"{num_seeds} seeds (strictly in {order['seeds_strictly_in_order']}), end to end",
        "errors over the variance, 1 for guessing the mean, on fresh inputs, a share of "
        f"{summary['seen']:.2g} of them seen in training; {num_seeds} seeds, on "
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

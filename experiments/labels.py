"""What the experiments on label hierarchies share: the request, the learners, the measures."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from hierjax.measure import label_report
from hierjax.models import ACTIVATIONS, ResidualStack, check_stack
from hierjax.runs import (
    LayerwiseExperiment,
    Result,
    Results,
    RunRequest,
    Stack,
    measures,
    nested,
    total_seconds,
)
from hierjax.settings import Config, setting
from hierjax.tasks import Batch, window_size
from hierjax.train import (
    BlockConfig,
    LabelBaselines,
    TrainedBlock,
    TrainedNetwork,
    class_scores,
    end_to_end_label_learner,
    linear_label_learner,
    residual_layers,
    shallow_label_learner,
)

_MAX_WIDTH = 2**17
_MAX_RIDGE_WIDTH = 2**14
_MAX_EXAMPLES = 2**24
_LEAST_TRAIN = 64
MAX_SIZE = 2**10
"""Most inputs, and most levels, of a task."""


@dataclasses.dataclass(frozen=True)
class StackConfig(Config):
    """The residual stack, as far as it does not follow from the task.

    Attributes:
      num_blocks: number of blocks; unset: by task, at least one a level.
      width: units of each block, W; unset: one for every pair of inputs.
      activation: activation of the units.
      fan_in: inputs that each unit reads; 0 for all of them (beta-Xavier).
    """

    num_blocks: int | None = setting(None)
    width: int | None = setting(None)
    activation: str = setting("quadratic", choices=tuple(ACTIVATIONS))
    fan_in: int | None = setting(2)

    def __post_init__(self):
        super().__post_init__()
        if self.fan_in == 0:
            self.fill(fan_in=None)
        if self.fan_in == 1 and self.activation == "quadratic":
            raise ValueError(
                "--unit_fan_in=1 makes quadratic units of signs constant: read 2 or more"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      task: the family of tasks; every command has its own, with the attributes kind, num_inputs,
        depth, labels_per_level, num_labels, lattice, num_locations, radius, input_radius and
        num_bits, and draw(key).
      stack: the residual stack that is trained block by block.
      block: how the blocks are trained.
      tuning: how the other learners are tuned.
      num_train: number of train examples of each block, n; unset: by task and width.
      fresh: draw new examples for each block, not the same ones again.
      num_test: number of test examples; unset: 2,000, or 200 with locations.
      baselines: train the other learners, too.
      examples_per_unit: train examples, or locations, for each unit of a block, if num_train is
        unset; unset: by task.
      extra_blocks: blocks beyond one a level, if num_blocks is unset; unset: by task.
      num_seeds: number of seeds; each draws its own task, data and weights.
    """

    task: Any
    stack: StackConfig = nested(StackConfig, names={"fan_in": "unit_fan_in"})
    block: BlockConfig = nested(BlockConfig, loss=None, passes=None, batch_size=None)
    tuning: LabelBaselines = nested(LabelBaselines, "baseline_")
    num_train: int | None = setting(None)
    fresh: bool = setting(True)
    num_test: int | None = setting(None)
    baselines: bool = setting(True, identity=False)
    examples_per_unit: float = setting(2.5, above=0, identity=False)
    extra_blocks: int = setting(0, least=0, identity=False)
    num_seeds: int = setting(3, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        task, stack = self.task, self.stack
        jax.eval_shape(task.draw, jax.random.key(0))  # Its sizes are checked, nothing is drawn.
        seen = window_size(task.lattice, task.radius) * (task.num_inputs + task.num_labels)
        width = seen * (seen + 1) // 2 if stack.width is None else stack.width
        most = _MAX_RIDGE_WIDTH if self.block.solver == "ridge" else _MAX_WIDTH
        if width > most:
            raise ValueError(
                f"width={width} is more than {most}, the most for --solver {self.block.solver}: "
                "set --width, or lower --depth or --labels_per_level"
            )
        blocks = task.depth + self.extra_blocks if stack.num_blocks is None else stack.num_blocks
        self.fill(stack=dataclasses.replace(stack, num_blocks=blocks, width=width))
        check_stack(task.num_inputs, self.module)
        if self.num_train is None:
            count = math.ceil(self.examples_per_unit * width / (task.num_locations or 1))
            self.fill(num_train=max(_LEAST_TRAIN, count))
        if self.num_test is None:
            self.fill(num_test=200 if task.lattice else 2000)
        for name, value, least in (
            ("num_train", self.num_train, 16),
            ("num_test", self.num_test, 1),
        ):
            if not least <= value <= _MAX_EXAMPLES:
                raise ValueError(f"{name}={value} must be from {least} to {_MAX_EXAMPLES}")

    @property
    def module(self) -> ResidualStack:
        """The module that is trained block by block."""
        return ResidualStack(
            num_labels=self.task.num_labels,
            lattice=self.task.lattice,
            radius=self.task.radius,
            **dataclasses.asdict(self.stack),
        )

    @property
    def num_sets(self) -> int:
        """Train sets of so many examples."""
        return self.stack.num_blocks if self.fresh else 1


class SeedData(struct.PyTreeNode):
    """What the learners of a seed share.

    Attributes:
      train: examples of each block, one leading axis more; of one block, if they are reused.
      test: fresh examples.
    """

    train: Batch
    test: Batch


def task_key(key: jax.Array) -> jax.Array:
    """The key with which the task of a seed is drawn."""
    return jax.random.fold_in(key, 0)


def draw(key: jax.Array, request: Request) -> SeedData:
    """Draws the task of a seed, and all examples of it."""
    task = request.task.draw(task_key(key))
    test = task.sample(jax.random.fold_in(key, 1), request.num_test)
    sets = jnp.arange(request.num_sets)
    set_keys = jax.vmap(lambda index: jax.random.fold_in(jax.random.fold_in(key, 2), index))(sets)
    train = jax.vmap(lambda key: task.sample(key, request.num_train))(set_keys)
    return SeedData(train.replace(latents=()), test)


def learners(request: Request) -> dict[str, Stack]:
    """The learners that are asked for, layerwise first.

    The others have the examples of all blocks together; those that are fitted by ridge regression
    the first of them, see `LabelBaselines`.
    """

    def own(data: SeedData, index: int) -> Batch:
        return jax.tree.map(lambda leaf: leaf[index if request.fresh else 0], data.train)

    def all_together(most, data: SeedData, index: int) -> Batch:
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:most], data.train)

    task, tuning = request.task, request.tuning
    stacks = {"layerwise": Stack(residual_layers(request.module, request.block), own)}
    if not request.baselines:
        return stacks
    wide = (task.lattice, task.input_radius, tuning)
    few = functools.partial(all_together, tuning.most_rows // (task.num_locations or 1))
    stacks["linear"] = Stack(linear_label_learner(task.num_inputs, task.num_labels, *wide), few)
    stacks["shallow"] = Stack(shallow_label_learner(task.num_labels, *wide), few)
    num_train = request.num_train * request.num_sets
    size = (task.num_labels, request.stack.num_blocks, num_train, task.lattice, task.radius)
    for name, last in (("end_to_end", None), ("end_to_end_top", task.labels_per_level)):
        layers = end_to_end_label_learner(*size, last=last, config=tuning)
        stacks[name] = Stack(layers, functools.partial(all_together, None))
    return stacks


MEASURES = measures()


def _report(layers, data, below, params):
    outputs = class_scores(layers, (*below, params), data.test.inputs)
    # Outputs end with the estimates of all labels.
    return label_report(outputs[..., -data.test.labels.shape[-1] :], data.test)


@MEASURES.add("accuracy", column="level", text="{mean:.3f}")
def accuracy(layers, data, below, params):
    """Share of right labels of each level."""
    return _report(layers, data, below, params).accuracy


@MEASURES.add("accuracy_min_label")
def accuracy_min_label(layers, data, below, params):
    """Share of right labels of the label of each level that is known least."""
    return _report(layers, data, below, params).accuracy_min_label


@MEASURES.add("chance")
def chance(layers, data, below, params):
    """Accuracy of always guessing the more frequent sign."""
    return _report(layers, data, below, params).chance


@MEASURES.add("test_error")
def test_error(layers, data, below, params):
    """Share of wrong labels, mean over levels."""
    return 1 - _report(layers, data, below, params).accuracy.mean()


@MEASURES.add("accepted")
def accepted(layers, data, below, params):
    """Labels that a block corrects."""
    if len(layers) == 1 or not isinstance(params, TrainedBlock):
        return None
    return params.accepted


def headline(request: Request) -> str:
    """What is about to be run."""
    task, stack = request.task, request.stack
    place = f" at each of {task.num_locations} locations" if task.lattice else ""
    return (
        f"{task.kind.replace('_', ' ')}: {task.depth} levels of {task.labels_per_level} labels, "
        f"{task.num_inputs} inputs{place}; {stack.num_blocks} blocks of {stack.width} units, "
        f"{request.num_train} {'fresh' if request.fresh else 'reused'} examples each; "
        f"{request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json; levels and blocks in order, from 1."""
    blocks, depth = results["layerwise"], request.task.depth
    per_seed = np.stack([block.measured["accuracy"] for block in blocks], axis=1)
    least = np.stack([block.measured["accuracy_min_label"] for block in blocks], axis=1)
    mean = per_seed.mean(axis=0)
    names = (
        "task",
        "stack",
        "block",
        "num_train",
        "fresh",
        "num_test",
        "num_seeds",
        "seed",
        "tuning",
    )
    asked = dataclasses.asdict(request)
    return {
        **{name: asked[name] for name in names},
        "accuracy": mean.tolist(),
        "accuracy_std": per_seed.std(axis=0).tolist(),
        "accuracy_per_seed": per_seed.tolist(),
        "accuracy_min_label": least.min(axis=0).tolist(),
        "ahead": [float(mean[k, k + 1]) for k in range(min(len(blocks), depth - 1))],
        "accepted": np.stack([_accepted(block, depth) for block in blocks]).tolist(),
        "seen": seen_share(request),
        "chance": blocks[0].measured["chance"].mean(axis=0).tolist(),
        "baselines": {n: _baseline(*each) for n, each in results.items() if n != "layerwise"},
        "seconds": total_seconds(blocks),
    }


def _accepted(block: Result, depth: int) -> np.ndarray:
    """(r,) share of the labels of each level that the block corrects."""
    corrected = block.params.accepted
    return corrected.reshape(len(corrected), depth, -1).mean(axis=(0, 2))


def seen_share(request: Request) -> float:
    """Expected share of test inputs that are among the train inputs of some block."""
    drawn = request.num_train * request.num_sets
    return float(-np.expm1(-drawn * 2.0**-request.task.num_bits))


def _baseline(layer: Result) -> dict:
    right = layer.measured["accuracy"]
    measured = {
        "accuracy": right.mean(axis=0).tolist(),
        "accuracy_std": right.std(axis=0).tolist(),
        "accuracy_per_seed": right.tolist(),
        "accuracy_min_label": layer.measured["accuracy_min_label"].min(axis=0).tolist(),
        "seconds": total_seconds([layer]),
    }
    if isinstance(layer.params, TrainedNetwork):
        measured["learning_rate"] = layer.params.learning_rate.tolist()
        measured["steps"] = layer.params.num_steps.tolist()
    return measured


def notes(summary: dict) -> list[str]:
    """What to know of the table of accuracies."""
    chances = " ".join(f"{each:.3f}" for each in summary["chance"])
    return [
        f"accuracy of each level after each block, and of the other learners; chance {chances}",
        f"on fresh inputs, a share of {summary['seen']:.2g} of them seen in training; "
        f"{summary['num_seeds']} seeds, on {summary['device']}",
    ]


experiment = functools.partial(
    LayerwiseExperiment,
    draw=draw,
    learners=learners,
    measures=MEASURES,
    stream=3,
    headline=headline,
    notes=notes,
    figure="label_figure",
)
"""A declaration of an experiment on label hierarchies, but for what it adds."""

"""What the experiments on label hierarchies share: the request, the learners, the measures."""

import dataclasses
import functools
import math
from pathlib import Path

import jax
import numpy as np

from experiments.collapse import add_collapse, curves
from hierjax.measure import label_collapse, label_report
from hierjax.models import ResidualStack, check_stack
from hierjax.runs import (
    LayerwiseExperiment,
    Result,
    Results,
    RunRequest,
    StackConfig,
    draw_labels,
    label_stacks,
    measures,
    nested,
    root_key,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import LabelFamily, window_size
from hierjax.train import BlockConfig, LabelBaselines, class_scores

_MAX_WIDTH = 2**17
_MAX_RIDGE_WIDTH = 2**14
_MOST_EXAMPLES = 2**24
_LEAST_TRAIN = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      task: the family of tasks.
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

    task: LabelFamily
    stack: StackConfig = nested(StackConfig, names={"fan_in": "unit_fan_in"})
    block: BlockConfig = nested(BlockConfig, loss=None, passes=None, batch_size=None)
    tuning: LabelBaselines = nested(LabelBaselines, "baseline_")
    num_train: int = setting(None, least=16, most=_MOST_EXAMPLES)
    fresh: bool = setting(True)
    num_test: int = setting(None, least=1, most=_MOST_EXAMPLES)
    baselines: bool = setting(True, identity=False)
    examples_per_unit: float = setting(2.5, above=0, most=2**20, identity=False)
    extra_blocks: int = setting(0, least=0, most=2**10, identity=False)
    num_seeds: int = setting(3, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        task, stack = self.task, self.stack
        jax.eval_shape(lambda: task.draw(root_key(0)))  # Its sizes are checked, nothing is drawn.
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
        if self.num_train > _MOST_EXAMPLES:
            raise ValueError(
                f"num_train={self.num_train} is more than {_MOST_EXAMPLES}: set it, or lower the "
                "width"
            )

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


MEASURES = measures()


@MEASURES.add("labels")
def of_labels(layers, data, below, params):
    """Accuracies of each level, of the label of it that is known least, and chance."""
    outputs = class_scores(layers, (*below, params), data.test.inputs)
    # Outputs end with the estimates of all labels.
    report = label_report(outputs[..., -data.test.labels.shape[-1] :], data.test)
    return dataclasses.asdict(report)


@MEASURES.add("accuracy", column="level", text="{mean:.3f}")
def accuracy(layers, data, below, params):
    """Share of right labels of each level."""
    return of_labels(layers, data, below, params)["accuracy"]


@MEASURES.add("test_error")
def test_error(layers, data, below, params):
    """Share of wrong labels, mean over levels."""
    return 1 - accuracy(layers, data, below, params).mean()


def collapse(features, data):
    """How examples, or locations, gather around the signs of their labels in the stream."""
    rows, labels = (x.reshape(-1, x.shape[-1]) for x in (features, data.test.labels))
    return label_collapse(rows, labels)


add_collapse(MEASURES, lambda data: data.test.inputs, collapse)


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
    found = _accuracies([block.measured["labels"] for block in blocks])
    mean = found["accuracy"]
    names = ("task", "stack", "block", "tuning", "num_train", "fresh", "num_test")
    asked = dataclasses.asdict(request)
    corrected = [block.params.accepted.reshape(request.num_seeds, depth, -1) for block in blocks]
    drawn = request.num_train * request.num_sets
    return {
        **{name: asked[name] for name in (*names, "num_seeds", "seed")},
        # Fields that only some families have are there for all.
        "task": {"rule": None, "ptf": None, "brain_dump": None} | asked["task"],
        **found,
        "ahead": [mean[k][k + 1] for k in range(min(len(blocks), depth - 1))],
        "accepted": [each.mean(axis=(0, 2)).tolist() for each in corrected],
        # Expected share of test inputs that are among the train inputs of some block.
        "seen": float(-np.expm1(-drawn * 2.0**-request.task.num_bits)),
        "chance": blocks[0].measured["labels"]["chance"].mean(axis=0).tolist(),
        "collapse": curves(results),
        "baselines": {n: _baseline(*each) for n, each in results.items() if n != "layerwise"},
        "seconds": total_seconds(blocks),
    }


def _accuracies(reports: list[dict]) -> dict:
    """Accuracies [report][level], over seeds."""
    per_seed = np.stack([report["accuracy"] for report in reports], axis=1)
    least = np.stack([report["accuracy_min_label"] for report in reports], axis=1)
    return {
        "accuracy": per_seed.mean(axis=0).tolist(),
        "accuracy_std": per_seed.std(axis=0).tolist(),
        "accuracy_per_seed": per_seed.tolist(),
        "accuracy_min_label": least.min(axis=0).tolist(),
    }


def _baseline(layer: Result) -> dict:
    found = _accuracies([layer.measured["labels"]])
    per_seed = found.pop("accuracy_per_seed")
    chosen = {name: each.tolist() for name, each in layer.measured.get("chosen", {}).items()}
    return {
        **{name: levels for name, (levels,) in found.items()},
        "accuracy_per_seed": [levels for (levels,) in per_seed],
        "seconds": total_seconds([layer]),
        **chosen,
    }


def notes(summary: dict) -> list[str]:
    """What to know of the table of accuracies."""
    chances = " ".join(f"{each:.3f}" for each in summary["chance"])
    return [
        f"accuracy of each level after each block, and of the other learners; chance {chances}",
        f"on fresh inputs, a share of {summary['seen']:.2g} of them seen in training; "
        f"{summary['num_seeds']} seeds, on {summary['device']}",
    ]


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import label_figure

    return label_figure(folder)


experiment = functools.partial(
    LayerwiseExperiment,
    draw=draw_labels,
    learners=label_stacks,
    measures=MEASURES,
    stream=3,
    headline=headline,
    notes=notes,
    figure=figure,
)
"""A declaration of an experiment on label hierarchies, but for what it adds."""

"""What a run on a label hierarchy found: summary.json and tables."""

import dataclasses

import numpy as np

from experiments.label_request import Request
from experiments.runs import Learner, total_seconds
from hierjax import FittedLayer, TrainedNetwork, device_name


def summarize(request: Request, learners: list[Learner], num_devices: int) -> dict:
    """The content of summary.json; levels and blocks in order, from 1."""
    blocks = learners[0].finished
    per_seed = np.stack([block.report["labels"].accuracy for block in blocks], axis=1)
    least = np.stack([block.report["labels"].accuracy_min_label for block in blocks], axis=1)
    accuracy, depth = per_seed.mean(axis=0), request.task.depth
    return {
        **dataclasses.asdict(request),
        "device": device_name(),
        "num_devices": num_devices,
        "accuracy": accuracy.tolist(),
        "accuracy_std": per_seed.std(axis=0).tolist(),
        "accuracy_per_seed": per_seed.tolist(),
        "accuracy_min_label": least.min(axis=0).tolist(),
        "ahead": [float(accuracy[k, k + 1]) for k in range(min(len(blocks), depth - 1))],
        "accepted": np.stack([_accepted(block, depth) for block in blocks]).tolist(),
        "seen": seen_share(request),
        "chance": blocks[0].report["labels"].chance.mean(axis=0).tolist(),
        "baselines": {each.name: _baseline(each.finished[0]) for each in learners[1:]},
        "seconds": total_seconds(blocks),
    }


def _accepted(block: FittedLayer, depth: int) -> np.ndarray:
    """(r,) share of the labels of each level that the block corrects."""
    accepted = block.report["accepted"]
    return accepted.reshape(len(accepted), depth, -1).mean(axis=(0, 2))


def seen_share(request: Request) -> float:
    """Expected share of test inputs that are among the train inputs of some block."""
    drawn = request.num_train * request.num_sets
    return float(-np.expm1(-drawn * 2.0**-request.task.num_bits))


def _baseline(layer: FittedLayer) -> dict:
    report = layer.report["labels"]
    measured = {
        "accuracy": report.accuracy.mean(axis=0).tolist(),
        "accuracy_std": report.accuracy.std(axis=0).tolist(),
        "accuracy_per_seed": report.accuracy.tolist(),
        "accuracy_min_label": report.accuracy_min_label.min(axis=0).tolist(),
        "seconds": total_seconds([layer]),
    }
    if isinstance(layer.params, TrainedNetwork):
        measured["learning_rate"] = layer.params.learning_rate.tolist()
        measured["steps"] = layer.params.num_steps.tolist()
    return measured


def headline(request: Request, folder) -> str:
    """What is about to be run."""
    task, stack = request.task, request.stack
    place = f" at each of {task.num_locations} locations" if task.lattice else ""
    return (
        f"{task.kind.replace('_', ' ')}: {task.depth} levels of {task.labels_per_level} labels, "
        f"{task.num_inputs} inputs{place}; {stack.num_blocks} blocks of {stack.width} units, "
        f"{request.num_train} {'fresh' if request.fresh else 'reused'} examples each; "
        f"{request.num_seeds} seeds, into {folder.path}"
    )


def closing_table(summary: dict) -> str:
    """Accuracy of each level after each block, and of the other learners."""
    levels = range(1, len(summary["chance"]) + 1)
    lines = [f"{'accuracy of level':22s}" + "".join(f"{level:6d}" for level in levels)]
    for block, row in enumerate(summary["accuracy"]):
        lines.append(_row(f"after block {block + 1}", row))
    for name, learner in summary["baselines"].items():
        lines.append(_row(name.replace("_", " "), learner["accuracy"]))
    lines.append(_row("chance", summary["chance"]))
    seconds = summary["seconds"]
    lines.append(
        f"on fresh inputs, a share of {summary['seen']:.2g} of them seen in training; "
        f"{summary['num_seeds']} seeds, on {summary['device']}; the blocks took "
        f"{seconds['run']:.0f} s and {seconds['compile']:.0f} s to compile"
    )
    return "\n".join(lines)


def _row(name: str, accuracies: list[float]) -> str:
    return f"{name:22s}" + "".join(f"{accuracy:6.3f}" for accuracy in accuracies)

"""What a run on a staircase found: summary.json and a table."""

import dataclasses

import numpy as np

from experiments.runs import Learner, total_seconds
from experiments.staircase_learners import (
    LEARNERS,
    STEPS_BETWEEN_LOOKS,
    TARGETS,
    Request,
    num_examples,
)
from hierjax import FittedLayer, RunFolder, device_name, spread


def summarize(request: Request, learners: list[Learner], num_devices: int) -> dict:
    """The content of summary.json."""
    finished = {learner.name: learner.finished for learner in learners}

    def each(entry) -> dict:
        return {
            target: {learner: entry(finished[f"{target}_{learner}"]) for learner in LEARNERS}
            for target in TARGETS
        }

    return {
        **dataclasses.asdict(request),
        "device": device_name(),
        "num_devices": num_devices,
        "test_error": each(lambda layers: spread(test_errors(layers[-1]))),
        "test_error_by_block": {
            target: [spread(test_errors(layer)) for layer in finished[f"{target}_layerwise"]]
            for target in TARGETS
        },
        "prefix_coefficients": {
            target: _climb(request, finished[f"{target}_end_to_end"][0].report)
            for target in TARGETS
        },
        "order": _order(request, finished["staircase_end_to_end"][0].report),
        "seen": 1 - (1 - 0.5**request.num_inputs) ** num_examples(request, request.num_steps),
        "seconds": each(total_seconds),
    }


def _climb(request: Request, report: dict) -> dict:
    """How the coefficients of the prefixes grow, [look][prefix]."""
    trace = report["prefix_coefficients"]  # (num_seeds, looks, k)
    return {
        "steps": _steps(request, trace.shape[1]).tolist(),
        "mean": trace.mean(axis=0).tolist(),
        "first_seed": trace[0].tolist(),
    }


def _steps(request: Request, looks: int) -> np.ndarray:
    return np.minimum(STEPS_BETWEEN_LOOKS * np.arange(1, looks + 1), request.num_steps)


def _order(request: Request, report: dict) -> dict:
    """When each coefficient of the staircase is first at half its height, and in which seeds
    all of them get there one after another, ties allowed or not."""
    trace = report["prefix_coefficients"]
    reached = trace >= 0.5 / np.sqrt(request.degree)
    all_reached = reached.any(axis=1).all(axis=1)
    first = _steps(request, trace.shape[1])[reached.argmax(axis=1)]
    gaps = np.diff(first, axis=1)
    return {
        "half_height": np.where(reached.any(axis=1), first, np.inf).tolist(),
        "seeds_in_order": int((all_reached & (gaps >= 0).all(axis=1)).sum()),
        "seeds_strictly_in_order": int((all_reached & (gaps > 0).all(axis=1)).sum()),
    }


def test_errors(layer: FittedLayer) -> np.ndarray:
    """Of the seeds, over the variance."""
    return layer.report["test_error"]


def headline(request: Request, folder: RunFolder) -> str:
    """What is about to be run."""
    return (
        f"staircase and parity of degree {request.degree} on {request.num_inputs} signs: "
        f"{request.num_steps} steps end to end, {request.steps_per_block} for each block alone, "
        f"{request.num_seeds} seeds, into {folder.path}"
    )


def closing_table(summary: dict) -> str:
    """Errors of both learners on both targets, and the order of the steps."""
    lines = ["target     learner     test error        worst"]
    for target, errors in summary["test_error"].items():
        for learner, error in errors.items():
            lines.append(
                f"{target:10s} {learner:11s} {error['mean']:.4f} ± {error['std']:.4f}   "
                f"{error['max']:.4f}"
            )
    for target, errors in summary["test_error_by_block"].items():
        blocks = " ".join(f"{error['mean']:.3f}" for error in errors)
        lines.append(f"{target}, layer by layer: {blocks} after each block")
    order = summary["order"]
    lines.append(
        f"prefixes of the staircase reach half height in order in {order['seeds_in_order']} of "
        f"{summary['num_seeds']} seeds (strictly in {order['seeds_strictly_in_order']}), end to end"
    )
    lines.append(
        f"errors over the variance, 1 for guessing the mean, on fresh inputs, a share of "
        f"{summary['seen']:.2g} of them seen in training; "
        f"{summary['num_seeds']} seeds, on {summary['device']}"
    )
    return "\n".join(lines)

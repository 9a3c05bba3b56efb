"""What a run on neural representations found: summary.json and a table."""

import dataclasses

import jax
import numpy as np

from experiments.representation_learners import top_layers
from experiments.representation_request import Request
from experiments.runs import Learner, total_seconds
from hierjax import (
    Best,
    BestOf,
    FittedLayer,
    KernelMachine,
    KernelRidge,
    RunFolder,
    device_name,
    draw_low_rank_polynomial,
    spread,
)


def summarize(request: Request, learners: list[Learner], num_devices: int) -> dict:
    """The content of summary.json.

    Args:
      request: what was asked for.
      learners: in the order of `make_learners`.
      num_devices: that were used.
    """
    names = [(name, n) for n in request.num_train for name in request.learners]
    finished = dict(zip(names, (learner.finished for learner in learners), strict=True))

    def each(entry) -> dict:
        return {
            name: {str(n): entry(finished[name, n]) for n in request.num_train}
            for name in request.learners
        }

    def chosen(name) -> dict:
        (top,) = top_layers(request, name)
        of = _chosen_network if isinstance(top, BestOf) else _chosen_kernel
        return {str(n): of(top, finished[name, n][-1].params) for n in request.num_train}

    task = draw_low_rank_polynomial(jax.random.key(0), request.task)
    return {
        **dataclasses.asdict(request),
        "device": device_name(),
        "num_devices": num_devices,
        "variance_by_degree": [0.0, *task.mean_squares[1:].tolist()],
        "test_error": each(lambda layers: spread(layers[-1].report["test_error"])),
        "explained_by_degree": each(_explained),
        "chosen": {name: chosen(name) for name in request.learners},
        "dropped": each(_dropped),
        "seconds": each(total_seconds),
    }


def _explained(layers: list[FittedLayer]) -> list[float]:
    """Mean over seeds of the share of each component, from degree 0; NaN where there is none."""
    return layers[-1].report["explained"].mean(axis=0).tolist()


def _dropped(layers: list[FittedLayer]) -> float | None:
    """Mean share of the directions of a representation that are below the floor."""
    return None if len(layers) == 1 else float(layers[0].report["dropped"].mean())


def _chosen_kernel(machine: KernelRidge, params: KernelMachine) -> dict:
    """What validation chose for each seed."""
    return {
        "kernel": [machine.kernels[index].name for index in params.kernel],
        "ridge": params.ridge.tolist(),
    }


def _chosen_network(best_of: BestOf, params: Best) -> dict:
    """The same."""
    modules = [best_of.candidates[index].module for index in params.index]

    def of_best(name):
        values = [getattr(each, name) for each in params.params]
        return [values[index][seed].item() for seed, index in enumerate(params.index)]

    return {
        "activation": [module.activation for module in modules],
        "width": [module.width for module in modules],
        **{name: of_best(name) for name in ("learning_rate", "penalty", "num_steps")},
    }


def headline(request: Request, folder: RunFolder) -> str:
    """What is about to be run."""
    task = request.task
    return (
        f"{task.kind} polynomials of degree {task.degree} and rank {task.rank} on the sphere in "
        f"{task.input_dim} dimensions: {', '.join(map(str, request.num_train))} train examples, "
        f"{request.representation} representation of {request.width} units and "
        f"{request.num_directions} directions, {request.num_seeds} seeds, into {folder.path}"
    )


def closing_table(summary: dict) -> str:
    """Errors of each learner at each number of examples."""
    sizes = list(map(str, summary["num_train"]))
    lines = ["test error  " + "".join(f"n = {size:12s}" for size in sizes)]
    for name, errors in summary["test_error"].items():
        cells = "".join(f"{errors[n]['mean']:.4f} ± {errors[n]['std']:.4f} " for n in sizes)
        lines.append(f"{name:12s}{cells}")
    shares = [
        f"{share:.3f} of degree {degree}"
        for degree, share in enumerate(summary["variance_by_degree"])
        if share > 0
    ]
    run = sum(each["run"] for every in summary["seconds"].values() for each in every.values())
    compiling = sum(
        each["compile"] for every in summary["seconds"].values() for each in every.values()
    )
    lines.append(
        f"over the target's variance ({', '.join(shares)}), so 1 for guessing its mean; mean and "
        f"standard deviation over {summary['num_seeds']} seeds, on {summary['device']}; fits took "
        f"{run:.0f} s and {compiling:.0f} s to compile"
    )
    return "\n".join(lines)


def warnings(summary: dict) -> list[str]:
    """What to know of the representations."""
    return [
        f"{name} at n = {n}: {share:.1%} of the {summary['num_directions']} directions of the "
        "representation are below the floor and were dropped"
        for name, shares in summary["dropped"].items()
        for n, share in shares.items()
        if share
    ]


def test_errors(layer: FittedLayer) -> np.ndarray | None:
    """Test errors of the seeds; None for a representation."""
    return layer.report.get("test_error")

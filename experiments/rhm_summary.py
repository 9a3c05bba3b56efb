"""What a run on a random hierarchy found: summary.json, arrays of the figure, a table."""

import dataclasses

import numpy as np

from experiments.rhm_request import Request
from experiments.runs import Learner, total_seconds
from hierjax import (
    FittedLayer,
    KernelMachine,
    RandomHierarchySpec,
    TrainedNetwork,
    device_name,
    kernel_learner,
    predicted_num_train,
    spread,
)


def summarize(
    request: Request, learners: list[Learner], skipped: dict[str, str], num_devices: int
) -> dict:
    """The content of summary.json."""
    spec = request.spec
    return {
        "spec": dataclasses.asdict(spec),
        "config": dataclasses.asdict(request.config),
        "network": dataclasses.asdict(request.network),
        "top_rule": request.top_rule,
        "num_train": request.num_train,
        "num_test": request.num_test,
        "predicted_num_train": predicted_num_train(spec),
        "train_multiple": request.train_multiple,
        "chance_error": 1 - 1 / spec.num_classes,
        "num_seeds": request.num_seeds,
        "seed": request.seed,
        "device": device_name(),
        "num_devices": num_devices,
        "learners": {each.name: _learner(each.finished, request.spec) for each in learners},
        "skipped": skipped,
        "levels": [
            _level(request, index, layer) for index, layer in enumerate(learners[0].finished)
        ],
    }


def _learner(finished: list[FittedLayer], spec: RandomHierarchySpec) -> dict:
    report = finished[-1].report["learner"]
    return {
        "test_error": spread(report.test_error),
        "train_loss": float(report.train_loss.mean()),
        "seconds": total_seconds(finished),
        "chosen": _chosen(finished[-1].params, spec),
    }


def _chosen(params, spec: RandomHierarchySpec) -> dict:
    """What validation chose for each seed."""
    if isinstance(params, TrainedNetwork):
        return {"learning_rate": params.learning_rate.tolist(), "steps": params.num_steps.tolist()}
    if isinstance(params, KernelMachine):
        return {
            "kernel": [kernel_learner(spec)[0].kernels[index].name for index in params.kernel],
            "ridge": params.ridge.tolist(),
        }
    return {}


def _level(request: Request, index: int, layer: FittedLayer) -> dict:
    level, report = request.spec.depth - 1 - index, layer.report["layer"]
    measures = dataclasses.asdict(report.separation)
    return {
        "level": level,
        "num_symbols": request.spec.symbols(level),
        **{name: float(np.nanmean(values)) for name, values in measures.items()},
        "purity_min": float(measures["purity"].min()),
        "test_error": spread(report.test_error),
    }


def first_seed_embeddings(finished: list[FittedLayer]) -> dict[str, np.ndarray]:
    """Points and symbols of every level, leaves up, for the figure."""
    arrays = {}
    for index, layer in enumerate(finished):
        arrays[f"plane_{index}"] = layer.report["layer"].plane[0]
        arrays[f"symbols_{index}"] = layer.report["layer"].symbols[0]
    return arrays


def headline(request: Request, folder) -> str:
    """What is about to be run."""
    spec = request.spec
    return (
        f"random hierarchy C={spec.num_classes} V={_short(spec.vocab_size)} "
        f"M={_short(spec.num_rules)} S={_short(spec.branching)} L={spec.depth}: "
        f"{request.num_train} train strings of {spec.num_leaves} tokens "
        f"({request.train_multiple:g} x C*M^L), {request.num_seeds} seeds, into {folder.path}"
    )


def _short(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else ",".join(map(str, sizes))


def closing_table(summary: dict) -> str:
    """What each layer knows, and what each learner achieved."""
    lines = ["layer  level  test error     within  between  purity"]
    for index, level in enumerate(summary["levels"]):
        error = level["test_error"]
        lines.append(
            f"{index + 1:5d}  {level['level']:5d}  {error['mean']:.4f} ± {error['std']:.4f}"
            f"  {level['within_rms']:.2f}    {level['between_min']:.2f}     {level['purity']:.4f}"
        )
    lines.append("learner     test error       worst   train loss  fit, compile [s]")
    for name, learner in summary["learners"].items():
        error, seconds = learner["test_error"], learner["seconds"]
        lines.append(
            f"{name:10s}  {error['mean']:.4f} ± {error['std']:.4f}  {error['max']:.4f}  "
            f"{learner['train_loss']:.4f}      {seconds['run']:.1f}, {seconds['compile']:.1f}"
        )
    lines += [f"{name}: left out, {reason}" for name, reason in summary["skipped"].items()]
    lines.append(
        f"errors on unseen strings, chance {summary['chance_error']:.3f}, "
        f"{summary['num_seeds']} seeds, on {summary['device']}"
    )
    return "\n".join(lines)

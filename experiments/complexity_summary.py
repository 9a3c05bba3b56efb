"""What a sweep over random hierarchies found: summary.json, a table."""

import dataclasses

import numpy as np

from experiments.complexity_points import Cell, Request, spec_name
from hierjax import (
    Measured,
    RandomHierarchySpec,
    RunFolder,
    device_name,
    power_law,
    predicted_num_train,
    spread,
    threshold,
)


def summarize(
    request: Request, cells: list[Cell], measured: dict[str, Measured], level: float
) -> dict:
    """The content of summary.json.

    Args:
      request: what was asked for.
      cells: of the grid.
      measured: by the names of the cells that could be measured.
      level: the error whose crossing is n*.
    """
    reasons = {cell: _obstacle(cell, measured) for cell in cells}
    errors = {cell: measured[cell.name].values["test_error"] for cell in cells if not reasons[cell]}
    return {
        "level": level,
        "num_seeds": request.num_seeds,
        "seed": request.seed,
        "device": device_name(),
        "points": [_point(cell, each) for cell, each in errors.items()],
        "thresholds": [
            _threshold(spec, learner, *_curve(errors, spec, learner), level)
            for learner in request.learners
            for spec in request.specs
            if any((cell.spec, cell.learner) == (spec, learner) for cell in errors)
        ],
        "fits": {name: _fit(errors, request.specs, name, level) for name in request.learners},
        "skipped": [_where(cell) | {"reason": why} for cell, why in reasons.items() if why],
        "seconds": {
            kind: sum(each.seconds[kind] for each in measured.values())
            for kind in ("compile", "run", "wall")
        },
        "programs_compiled": sum(each.num_compiled for each in measured.values()),
    }


def _obstacle(cell: Cell, measured: dict[str, Measured]) -> str:
    """Why a cell has no error; else empty."""
    if cell.obstacle:
        return cell.obstacle
    found = measured[cell.name]
    if found.skipped:
        return found.skipped
    least = int(found.values["num_unseen"].min())
    if least < cell.num_test:
        return f"only {least} of {cell.num_test} unseen test strings were found"
    return ""


def _where(cell: Cell) -> dict:
    return {
        "spec": dataclasses.asdict(cell.spec),
        "learner": cell.learner,
        "n": cell.num_train,
        "multiple": cell.multiple,
        "predicted": predicted_num_train(cell.spec),
    }


def _point(cell: Cell, errors: np.ndarray) -> dict:
    finite = np.isfinite(errors)
    error = spread(errors[finite]) if finite.any() else {"mean": None, "std": None, "max": None}
    return _where(cell) | {
        "num_test": cell.num_test,
        "chance": 1 - 1 / cell.spec.num_classes,
        "error": error | {"per_seed": errors.tolist()},
        "diverged": np.flatnonzero(~finite).tolist(),
    }


def _curve(errors: dict[Cell, np.ndarray], spec, learner: str) -> tuple[list[int], np.ndarray]:
    """Numbers of train strings, ascending, and (numbers, seeds) errors."""
    cells = [cell for cell in errors if (cell.spec, cell.learner) == (spec, learner)]
    return [cell.num_train for cell in cells], np.array([errors[cell] for cell in cells])


def _threshold(
    spec: RandomHierarchySpec, learner: str, sizes: list[int], errors: np.ndarray, level: float
) -> dict:
    found, predicted = threshold(sizes, errors, level), predicted_num_train(spec)
    return {
        "spec": dataclasses.asdict(spec),
        "learner": learner,
        "predicted": predicted,
        "tried": [sizes[0], sizes[-1]],
        **found._asdict(),
        "multiple": found.value / predicted,
    }


def _fit(errors: dict, specs: tuple[RandomHierarchySpec, ...], learner: str, level: float) -> dict:
    """Of n* against the predicted number."""
    curves = {spec: _curve(errors, spec, learner) for spec in specs}
    curves = {spec: curve for spec, curve in curves.items() if curve[0]}
    if not curves:
        return dict.fromkeys(("exponent", "low", "high", "prefactor"), None) | {"scales": []}
    scales = [predicted_num_train(spec) for spec in curves]
    return power_law(scales, *zip(*curves.values(), strict=True), level)._asdict()


def headline(request: Request, cells: list[Cell], folder: RunFolder) -> str:
    """What is about to be run."""
    skipped = sum(bool(cell.obstacle) for cell in cells)
    return (
        f"{len(request.specs)} grammars, {', '.join(request.learners)}, "
        f"{', '.join(f'{each:g}' for each in request.train_multiples)} times C*M^L train strings, "
        f"{request.num_seeds} seeds: {len(cells) - skipped} points, {skipped} more are skipped, "
        f"into {folder.path}"
    )


def closing_table(summary: dict) -> str:
    """Thresholds of each learner, and how they grow."""
    level, lines = summary["level"], []
    for name, fit in summary["fits"].items():
        lines.append(f"{name}: n at error {level:g} ~ {_law(fit)}")
        for each in summary["thresholds"]:
            if each["learner"] == name:
                spec = spec_name(RandomHierarchySpec(**each["spec"]))
                lines.append(f"  {spec:18s} C*M^L = {each['predicted']:<7d} n* {_cell(each)}")
    diverged = sum(len(point["diverged"]) for point in summary["points"])
    if diverged:
        lines.append(f"{diverged} fits diverged and are left out of the means")
    reasons = {each["reason"] for each in summary["skipped"]}
    lines += [
        f"{len(summary['skipped'])} points were skipped, for instance: {reason}"
        for reason in sorted(reasons)[:1]
    ]
    seconds = summary["seconds"]
    lines.append(
        f"errors on unseen strings; intervals of 95% over {summary['num_seeds']} seeds; > and <: "
        f"not reached, or reached from the start; on {summary['device']} in "
        f"{seconds['wall']:.0f} s, of which running took {seconds['run']:.0f} s"
    )
    return "\n".join(lines)


def _cell(found: dict) -> str:
    value, (least, most) = found["value"], found["tried"]
    if not np.isfinite(value):
        return f"> {most} ({most / found['predicted']:g} x)"
    if value <= least:
        return f"< {least} ({least / found['predicted']:g} x)"
    interval = f" ({found['low']:.0f}, {found['high']:.0f})" if found["low"] == found["low"] else ""
    return f"{value:.0f}{interval}, {found['multiple']:.2f} x"


def _law(fit: dict) -> str:
    values = [fit["exponent"], fit["low"], fit["high"], fit["prefactor"]]
    if None in values or not np.isfinite(values).all():
        return "(C*M^L)^?: of fewer than three n* or two seeds, or they vary too much"
    return (
        f"{fit['prefactor']:.2f} (C*M^L)^{fit['exponent']:.2f} "
        f"({fit['low']:.2f}, {fit['high']:.2f})"
    )

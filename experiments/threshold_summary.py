"""Thresholds and power laws of the learners of neural representations."""

import numpy as np

from hierjax import power_law, threshold


def summarize_thresholds(summaries: list[dict], level: float) -> dict:
    """The content of summary.json.

    Args:
      summaries: of each dimension, ascending.
      level: of the error.
    """
    dims = [each["task"]["input_dim"] for each in summaries]
    sizes = [each["num_train"] for each in summaries]
    learners = summaries[0]["learners"]
    errors = {name: [_per_seed(each, name) for each in summaries] for name in learners}
    return {
        "level": level,
        "input_dims": dims,
        "num_seeds": summaries[0]["num_seeds"],
        "device": summaries[0]["device"],
        "thresholds": {
            name: {
                str(dim): threshold(n, each, level)._asdict()
                for dim, n, each in zip(dims, sizes, errors[name], strict=True)
            }
            for name in learners
        },
        "fits": {name: power_law(dims, sizes, errors[name], level)._asdict() for name in learners},
        "dimensions": {str(dim): each for dim, each in zip(dims, summaries, strict=True)},
    }


def _per_seed(summary: dict, name: str) -> np.ndarray:
    """(sizes, seeds)."""
    return np.array([summary["test_error"][name][str(n)]["per_seed"] for n in summary["num_train"]])


def closing_table(summary: dict) -> str:
    """Thresholds of each learner in each dimension, and how they grow."""
    dims = summary["input_dims"]
    lines = [f"n at error {summary['level']:g}  " + "".join(f"d = {dim:<14d}" for dim in dims)]
    for name, thresholds in summary["thresholds"].items():
        cells = "".join(f"{_cell(summary, thresholds, dim):18s}" for dim in dims)
        lines.append(f"{name:16s}{cells}{_law(summary['fits'][name])}")
    lines.append(
        f"bootstrap over {summary['num_seeds']} seeds in brackets; > and <: not reached, or "
        f"reached from the start; on {summary['device']}"
    )
    return "\n".join(lines)


def _cell(summary: dict, thresholds: dict, dim: int) -> str:
    sizes = summary["dimensions"][str(dim)]["num_train"]
    value = thresholds[str(dim)]["value"]
    if not np.isfinite(value):
        return f"> {sizes[-1]}"
    if value <= sizes[0]:
        return f"< {sizes[0]}"
    low, high = (thresholds[str(dim)][name] for name in ("low", "high"))
    return f"{value:.0f}" + (f" ({low:.0f}, {high:.0f})" if low == low else "")


def _law(fit: dict) -> str:
    if not np.isfinite([fit["exponent"], fit["low"]]).all():
        return "no exponent"
    return f"d^{fit['exponent']:.2f} ({fit['low']:.2f}, {fit['high']:.2f})"

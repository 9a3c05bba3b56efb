"""Figures, drawn from run folders alone."""

import json
import os
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

_PLANE = 1.5
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "figure.dpi": 200,
}


def layerwise_figure(folder: str | os.PathLike) -> Figure:
    """Error after each layer and embeddings of each level, from the folder of a layerwise run."""
    folder = Path(folder)
    summary = json.loads((folder / "summary.json").read_text())
    with np.load(folder / "embeddings.npz") as arrays, matplotlib.rc_context(_STYLE):
        depth = len(summary["levels"])
        figure = Figure(figsize=(3.2 + 2.1 * depth, 2.8), layout="constrained")
        axes = figure.subplots(1, depth + 1, width_ratios=[1.4] + [1] * depth)
        _draw_errors(axes[0], summary)
        for index, level in enumerate(summary["levels"]):
            axes[index + 1].set_title(f"layer {index + 1}: symbols of level {level['level']}")
            _draw_embeddings(
                axes[index + 1],
                arrays[f"plane_{index}"],
                arrays[f"symbols_{index}"],
                level["num_symbols"],
                level["purity"],
            )
    return figure


def _draw_errors(axis, summary: dict) -> None:
    layers = np.arange(1, len(summary["levels"]) + 1)
    errors = np.array([level["test_error"]["per_seed"] for level in summary["levels"]])
    axis.plot(layers, errors, color="tab:blue", alpha=0.3, linewidth=0.8)
    axis.plot(layers, errors.mean(axis=1), color="tab:blue", marker="o", markersize=4)
    axis.axhline(summary["chance_error"], color="gray", linestyle="--", linewidth=0.8)
    axis.text(layers[-1], summary["chance_error"], "chance", ha="right", va="bottom", color="gray")
    axis.set_xticks(layers)
    axis.set_ylim(0, 1)
    axis.set_xlabel("layers trained")
    axis.set_ylabel("test error, unseen strings")
    axis.set_title(
        f"n = {summary['num_train']:,} ({summary['train_multiple']:g} $\\times$ $CM^L$), "
        f"{summary['num_seeds']} seeds"
    )


def _draw_embeddings(axis, plane, symbols, num_symbols: int, purity: float) -> None:
    # Named colours tell few symbols apart, a circle of hues orders many.
    many = num_symbols > matplotlib.colormaps["tab10"].N
    colours = matplotlib.colormaps["hsv" if many else "tab10"]
    symbols = symbols.ravel() / num_symbols if many else symbols.ravel()
    axis.scatter(*plane.reshape(-1, 2).T, c=colours(symbols), s=3, linewidths=0)
    axis.set(xticks=[], yticks=[], aspect="equal", xlabel=f"purity {purity:.3f}")
    axis.set(xlim=(-_PLANE, _PLANE), ylim=(-_PLANE, _PLANE))
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color("lightgray")

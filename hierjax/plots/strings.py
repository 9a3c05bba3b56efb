"""Figures of random hierarchies."""

import os
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.compression import draw_compression
from hierjax.plots.style import STYLE, plain, read_summary

_PLANE = 1.5
_CONDITIONS = {"coverage": "coverage", "k_rho": "$K_\\rho$"}


def layerwise_figure(folder: str | os.PathLike, colours: Mapping[str, str]) -> Figure:
    """Draws errors and compression after each layer, errors of all learners, and embeddings.

    Args:
      folder: run folder of the layerwise experiment on random hierarchies.
      colours: colours of the learners, by name.
    """
    folder = Path(folder)
    summary = read_summary(folder)
    with np.load(folder / "embeddings.npz") as arrays, matplotlib.rc_context(STYLE):
        depth = len(summary["levels"])
        compares = len(summary["learners"]) > 1
        width = max(1.3, 0.33 * len(summary["learners"]))
        ranked = summary["conditions"]["rank_correlation"]
        widths = [1.3] + [width] * compares + [1] * depth + [1.3] * bool(ranked)
        figure = Figure(figsize=(0.4 + 2.15 * sum(widths), 3.2), layout="constrained")
        grid = figure.add_gridspec(2, len(widths), width_ratios=widths)
        rows = [0] + [slice(None)] * (compares + depth)
        axes = [figure.add_subplot(grid[row, column]) for column, row in enumerate(rows)]
        _draw_layers(axes[0], summary, colours[summary["learner"]])
        draw_compression(figure.add_subplot(grid[1, 0]), summary["collapse"], colours)
        if compares:
            _draw_learners(axes[1], summary, colours)
        planes = axes[1 + compares :]
        for index, (axis, level) in enumerate(zip(planes, summary["levels"], strict=True)):
            axis.set_title(f"layer {index + 1}: symbols of level {level['level']}")
            _draw_embeddings(
                axis,
                arrays[f"plane_{index}"],
                arrays[f"symbols_{index}"],
                level["num_symbols"],
                level["purity"],
            )
        for row, (name, found) in enumerate(ranked.items()):
            _draw_condition(figure.add_subplot(grid[row, -1]), summary, name, found["value"])
    return figure


def _draw_condition(axis, summary: dict, name: str, correlation: float | None) -> None:
    """Draws the error of each grammar against the least of a condition of the theorem."""
    levels = np.array([level["per_seed"] for level in summary["conditions"][name]])
    errors = summary["learners"][summary["learner"]]["test_error"]["per_seed"]
    axis.plot(levels.min(axis=0), errors, "o", color="black", alpha=0.5, markersize=2)
    axis.set_xlabel(f"least {_CONDITIONS[name]} of the levels")
    axis.set_ylabel("test error")
    if correlation is not None:
        axis.set_title(f"rank correlation {correlation:.2f}")


def _draw_layers(axis, summary: dict, colour: str) -> None:
    layers = np.arange(1, len(summary["levels"]) + 1)
    errors = np.array([level["test_error"]["per_seed"] for level in summary["levels"]])
    axis.plot(layers, errors, color=colour, alpha=0.3, linewidth=0.8)
    axis.plot(layers, errors.mean(axis=1), color=colour, marker="o", markersize=4)
    axis.set_xticks(layers)
    axis.set_ylabel("test error")
    axis.set_title(f"{plain(summary['learner'])}, {summary['num_seeds']} grammars")
    _mark_bounds(axis, summary)


def _draw_learners(axis, summary: dict, colours: Mapping[str, str]) -> None:
    names = [name for name in colours if name in summary["learners"]]
    for place, name in enumerate(names):
        error = summary["learners"][name]["test_error"]
        sideways = np.linspace(-0.22, 0.22, len(error["per_seed"]) + 2)[1:-1]
        axis.plot(
            place + sideways,
            sorted(error["per_seed"]),
            "o",
            color=colours[name],
            alpha=0.5,
            markersize=2.5,
            markeredgewidth=0,
        )
        axis.plot([place - 0.3, place + 0.3], 2 * [error["mean"]], color=colours[name])
        axis.text(place, error["max"] + 0.03, f"{error['mean']:.3f}", ha="center", fontsize=7)
    axis.set_xticks(range(len(names)), [plain(name) for name in names], fontsize=7.5)
    axis.set_xlim(-0.6, len(names) - 0.4)
    axis.set_title(
        f"n = {summary['num_train']:,} ({summary['train_multiple']:g} $\\times$ predicted $CM^L$ = "
        f"{summary['predicted_num_train']:,})"
    )
    _mark_bounds(axis, summary)


def _mark_bounds(axis, summary: dict) -> None:
    """Marks chance and, where there is noise, what exact inference reaches."""
    bounds = {"chance": summary["chance_error"], "Bayes": summary["bayes_error"]["mean"]}
    # Errors fall from chance, on the left, to the other bound.
    for (name, bound), (place, side) in zip(
        bounds.items(), ((0.98, "right"), (0.02, "left")), strict=True
    ):
        if bound > 0:
            axis.axhline(bound, color="gray", linestyle="--", linewidth=0.8, zorder=0)
            where = {"ha": side, "va": "bottom", "transform": axis.get_yaxis_transform()}
            axis.text(place, bound, name, color="gray", **where)
    axis.set_ylim(-0.02, 1)


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

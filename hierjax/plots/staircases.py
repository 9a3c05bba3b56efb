"""Figures of staircases."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, read_summary


def staircase_figure(folder: str | os.PathLike) -> Figure:
    """Draws coefficients of the prefixes as a network is trained, and errors of both learners.

    Args:
      folder: run folder of the experiment on staircases.
    """
    summary = read_summary(folder)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
        _draw_climb(left, summary)
        _draw_blocks(right, summary)
    return figure


def _draw_climb(axis, summary: dict) -> None:
    degree, climbs = summary["degree"], summary["prefix_coefficients"]
    steps = climbs["staircase"]["steps"]
    trace = np.array(climbs["staircase"]["first_seed"])
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, degree))
    for index, colour in enumerate(colours):
        shown = index in (0, degree // 2, degree - 1)
        name = "$x_1$" if index == 0 else f"$x_1 \\cdots x_{{{index + 1}}}$"
        axis.plot(
            steps, trace[:, index], color=colour, linewidth=1.2, label=name if shown else None
        )
    parity = np.array(climbs["parity"]["first_seed"])[:, -1]
    axis.plot(steps, parity, color="tab:red", linewidth=1.2, label="the parity, alone")
    axis.axhline(degree**-0.5, color="gray", linestyle="--", linewidth=0.8, zorder=0)
    axis.set(xscale="log", xlabel="steps, end to end", ylabel="coefficient")
    axis.set_ylim(-0.25 * degree**-0.5, 1.4 * degree**-0.5)
    axis.set_title(f"a staircase of {degree} steps, one seed")
    axis.legend(frameon=False, fontsize=7, loc="center right", bbox_to_anchor=(1, 0.45))


def _draw_blocks(axis, summary: dict) -> None:
    for target, colour in (("staircase", "tab:blue"), ("parity", "tab:red")):
        layers = summary["test_error_by_block"][target]
        rows = np.array([layer["per_seed"] for layer in layers])
        numbers = np.arange(1, len(rows) + 1)
        axis.plot(numbers, rows, "o", color=colour, alpha=0.35, markersize=2.5, markeredgewidth=0)
        axis.plot(numbers, rows.mean(axis=1), "o-", color=colour, markersize=3.5, label=target)
        whole = summary["test_error"][target]["end_to_end"]["mean"]
        axis.axhline(whole, color=colour, linestyle=":", linewidth=1)
    axis.set(xlabel="blocks trained", ylabel="test error / variance", ylim=(-0.03, 1.1))
    axis.set_xticks(numbers)
    axis.set_title(f"one block at a time, {summary['num_seeds']} seeds\n(dotted: end to end)")
    axis.legend(frameon=False, fontsize=7, loc="center right")

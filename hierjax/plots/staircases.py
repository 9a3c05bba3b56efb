"""Figures of staircases."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, read_summary

_COLOURS = {"staircase": "tab:blue", "parity": "tab:red"}


def staircase_figure(folder: str | os.PathLike) -> Figure:
    """Draws coefficients and errors as networks are trained, and errors after each block.

    The last panel is left out of runs that trained no network one block at a time.

    Args:
      folder: run folder of the experiment on staircases.
    """
    summary = read_summary(folder)
    with matplotlib.rc_context(STYLE):
        by_block = bool(summary["test_error_by_block"]["staircase"])
        ratios = [1.5, 1.1, 1][: 2 + by_block]
        figure = Figure(figsize=(2.7 * sum(ratios), 3), layout="constrained")
        axes = figure.subplots(1, len(ratios), width_ratios=ratios)
        _draw_climb(axes[0], summary)
        _draw_errors(axes[1], summary)
        if by_block:
            _draw_blocks(axes[2], summary)
    return figure


def budget_figure(folder: str | os.PathLike) -> Figure:
    """Draws which share of seeds learns a parity or a staircase, and in how many steps.

    Args:
      folder: run folder of the experiment on what a parity costs.
    """
    summary = read_summary(folder)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_shares(left, summary)
        _draw_steps(right, summary)
    return figure


def _draw_shares(axis, summary: dict) -> None:
    """A line for each target and number of steps, the darker the more steps."""
    degrees, budgets = summary["degrees"], summary["budgets"]
    shades = np.linspace(0.25, 1, len(budgets))
    for target, colour in _COLOURS.items():
        shares = np.array([each["share"] for each in summary["targets"][target].values()])
        for row, shade in zip(shares.T, shades, strict=True):
            axis.plot(degrees, row, "o-", color=colour, alpha=shade, markersize=3, linewidth=1)
        axis.plot([], [], "o-", color=colour, markersize=3, label=target)
    for budget, shade in zip(budgets, shades, strict=True):
        axis.plot([], [], "o-", color="black", alpha=shade, markersize=3, label=f"{budget:,} steps")
    axis.set(xlabel="degree", ylabel="share of seeds that have learned", ylim=(-0.04, 1.04))
    axis.set_xticks(degrees)
    axis.set_title(f"{summary['num_seeds']} seeds, {summary['num_inputs']} signs")
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_steps(axis, summary: dict) -> None:
    """A point for each seed, and a triangle where it was given up, with the number of seeds."""
    most = summary["num_steps"]
    shifts = np.linspace(-0.25, 0.25, summary["num_seeds"]) if summary["num_seeds"] > 1 else [0]
    for target, colour in _COLOURS.items():
        for degree, found in zip(
            summary["degrees"], summary["targets"][target].values(), strict=True
        ):
            steps = np.array(found["steps"], float)  # NaN for a seed that has not learned.
            axis.plot(degree + shifts, steps, "o", color=colour, markersize=2, alpha=0.7)
            given_up = int(np.isnan(steps).sum())
            if given_up:
                axis.plot(degree, 1.25 * most, "^", color=colour, markersize=4)
                axis.annotate(f"{given_up}", (degree, 1.4 * most), fontsize=7, ha="center")
        axis.plot([], [], "o", color=colour, markersize=3, label=target)
    axis.axhline(most, color="gray", linestyle="--", linewidth=0.8, zorder=0)
    axis.set(yscale="log", xlabel="degree", ylabel="steps until it is learned")
    axis.set_ylim(top=2.2 * most)
    axis.set_xticks(summary["degrees"])
    axis.set_title("each seed (triangles: number not learned)")
    axis.legend(frameon=False, fontsize=7, loc="lower right")


def _draw_climb(axis, summary: dict) -> None:
    degree, height, growth = summary["degree"], summary["coefficient"], summary["growth"]
    steps, trace = growth["staircase"]["steps"], np.array(growth["staircase"]["first_seed"])
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, degree))
    for index, term in enumerate(summary["terms"]):
        second = index >= degree  # Of a double staircase.
        shown = index in (0, degree // 2, degree - 1, len(summary["terms"]) - 1)
        axis.plot(
            steps,
            trace[:, index],
            "--" if second else "-",
            color=colours[min(len(term), degree) - 1],
            linewidth=1.2,
            label=_name(index, degree, term) if shown else None,
        )
    parity = np.array(growth["parity"]["first_seed"])[:, degree - 1]
    axis.plot(steps, parity, color=_COLOURS["parity"], linewidth=1.2, label="the parity, alone")
    axis.axhline(height, color="gray", linestyle="--", linewidth=0.8, zorder=0)
    axis.set(xscale="log", xlabel="steps, end to end", ylabel="coefficient")
    axis.set_ylim(-0.15 * height, 2 * height)
    double = f" and {summary['second_degree']}" if summary["second_degree"] > 1 else ""
    axis.set_title(f"a staircase of {degree}{double} steps, one seed")
    axis.legend(frameon=False, fontsize=7, loc="upper left", ncols=2)


def _name(index: int, degree: int, term: list[int]) -> str:
    """A product of inputs as people write it."""
    if index == 0:
        return "$x_1$"
    second = f" x_{{{degree + 1}}}" if index >= degree else ""
    return f"$x_1{second} \\cdots x_{{{term[-1] + 1}}}$"


def _draw_errors(axis, summary: dict) -> None:
    for target, colour in _COLOURS.items():
        steps, rows = summary["growth"][target]["steps"], summary["growth"][target]["error"]
        axis.plot(steps, np.transpose(rows), color=colour, alpha=0.25, linewidth=0.6)
        axis.plot(steps, np.mean(rows, axis=0), color=colour, linewidth=1.4, label=target)
    axis.set(xscale="log", xlabel="steps, end to end", ylim=(-0.03, 1.2))
    axis.set_ylabel("test error / variance")
    axis.set_title(f"{summary['num_seeds']} seeds and their mean")
    axis.legend(frameon=False, fontsize=7, loc="lower left")


def _draw_blocks(axis, summary: dict) -> None:
    for target, colour in _COLOURS.items():
        layers = summary["test_error_by_block"][target]
        rows = np.array([layer["per_seed"] for layer in layers])
        numbers = np.arange(1, len(rows) + 1)
        axis.plot(numbers, rows, "o", color=colour, alpha=0.35, markersize=2.5, markeredgewidth=0)
        axis.plot(numbers, rows.mean(axis=1), "o-", color=colour, markersize=3.5, label=target)
        whole = summary["test_error"][target]["end_to_end"]["mean"]
        axis.axhline(whole, color=colour, linestyle=":", linewidth=1)
    axis.set(xlabel="blocks trained", ylabel="test error / variance", ylim=(-0.03, 1.2))
    axis.set_xticks(numbers)
    axis.set_title("one block at a time\n(dotted: end to end)")
    axis.legend(frameon=False, fontsize=7, loc="center right")

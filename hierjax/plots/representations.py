"""Figures of neural representations."""

import os
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, plain, read_summary

_NEAR_ONE = 0.95


def representation_figure(folder: str | os.PathLike, colours: Mapping[str, str]) -> Figure:
    """Draws test error against train examples, and how much of the highest degree is found.

    Args:
      folder: run folder of the experiment on neural representations.
      colours: colours of the learners, by name.
    """
    summary = read_summary(folder)
    sizes, task = summary["num_train"], summary["task"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, errors in summary["test_error"].items():
            rows = np.array([errors[str(n)]["per_seed"] for n in sizes])
            _draw_seeds(left, sizes, rows, name, colours[name])
            found = [summary["explained_by_degree"][name][str(n)][-1] for n in sizes]
            right.plot(sizes, found, "o-", color=colours[name], markersize=3.5)
        _mark_levels(left, summary)
        left.set(xscale="log", yscale="log", ylabel="test error / variance")
        left.set_title(f"d = {task['input_dim']}, {summary['representation']} representation")
        left.legend(frameon=False, fontsize=7)
        right.set(xscale="log", ylim=(-0.1, 1.1), ylabel="share found")
        right.set_title(f"component of degree {task['degree']}")
        for axis in (left, right):
            axis.set_xlabel("train examples n")
            axis.set_xticks(sizes, [f"{n:,}" for n in sizes])
            axis.minorticks_off()
    return figure


def _mark_levels(axis, summary: dict) -> None:
    """Marks the errors of guessing the mean, and of knowing all but the highest degree."""
    degree, highest = summary["task"]["degree"], summary["variance_by_degree"][-1]
    levels = [(1.0, "bottom", "mean")]
    if highest < _NEAR_ONE:
        levels.append((highest, "top", f"degree\n< {degree}"))
    for level, side, text in levels:
        axis.axhline(level, color="gray", linestyle="--", linewidth=0.8, zorder=0)
        place = {"transform": axis.get_yaxis_transform(), "ha": "left", "va": side}
        axis.text(1.01, level, text, color="gray", fontsize=7, **place)


def _draw_seeds(axis, sizes, rows: np.ndarray, name: str, colour: str) -> None:
    """Draws means over seeds, joined, and each seed beside them."""
    axis.plot(sizes, rows, "o", color=colour, alpha=0.35, markersize=2.5, markeredgewidth=0)
    axis.plot(sizes, rows.mean(axis=1), "o-", color=colour, markersize=3.5, label=plain(name))


def threshold_figure(folder: str | os.PathLike, colours: Mapping[str, str]) -> Figure:
    """Draws the number of examples at which each learner's error crosses a level, by dimension.

    Args:
      folder: run folder of the experiment on thresholds of neural representations.
      colours: colours of the learners, by name.
    """
    summary = read_summary(folder)
    dims = np.array(summary["input_dims"])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 3.2), layout="constrained")
        axis = figure.subplots()
        for name, thresholds in summary["thresholds"].items():
            _draw_thresholds(axis, summary, name, thresholds, colours[name])
        axis.set(xscale="log", yscale="log", xlabel="dimension d")
        axis.set_ylabel(f"n at error {summary['level']:g}")
        axis.set_xticks(dims, dims)
        axis.minorticks_off()
        axis.legend(frameon=False, fontsize=7)
    return figure


def _draw_thresholds(axis, summary: dict, name: str, thresholds: dict, colour: str) -> None:
    """Draws points with intervals, the fitted law, and arrows where the level is not crossed."""
    fit = summary["fits"][name]
    label = plain(name)
    if fit["low"] is not None:
        label += f": $d^{{{fit['exponent']:.1f}}}$ ({fit['low']:.1f}, {fit['high']:.1f})"
        scales = np.array(fit["scales"])
        axis.plot(scales, fit["prefactor"] * scales ** fit["exponent"], color=colour, linewidth=1)
    for dim in summary["input_dims"]:
        sizes = summary["dimensions"][str(dim)]["num_train"]
        value, low, high = (thresholds[str(dim)][key] for key in ("value", "low", "high"))
        if value is None or value <= sizes[0]:
            beyond, marker = (sizes[-1], "^") if value is None else (sizes[0], "v")
            axis.plot(dim, beyond, marker, color=colour, markersize=5, markerfacecolor="none")
            continue
        axis.plot(dim, value, "o", color=colour, markersize=4)
        if low is not None:  # Of one seed there is no interval; high is null if infinite.
            axis.plot([dim, dim], [low, high or sizes[-1]], color=colour)
    axis.plot([], [], "o-", color=colour, markersize=4, label=label)

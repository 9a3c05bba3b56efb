"""The figure of deep quadratic functions."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, plain, read_summary

COLOURS = {"layerwise": "tab:blue", "end_to_end": "tab:orange", "kernel": "tab:green"}
"""Colours of the learners, by name."""


def deep_quadratic_figure(folder: str | os.PathLike) -> Figure:
    """Draws test errors of all learners against train examples, and the share of terms found.

    Args:
      folder: run folder of the experiment on deep quadratic functions.
    """
    summary = read_summary(folder)
    sizes = summary["num_train"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, errors in summary["test_error"].items():
            _draw_seeds(left, sizes, errors, name)
        _draw_seeds(right, sizes, summary["supports_found"], "layerwise")
        left.axhline(1, color="gray", linestyle="--", linewidth=0.8, zorder=0)
        left.set(ylabel="test error / variance")
        left.set_ylim(bottom=-0.05)
        left.set_title(f"{summary['num_terms']} terms of {summary['num_inputs']} signs")
        left.legend(frameon=False, fontsize=7)
        right.set(ylabel="share of terms found", ylim=(-0.05, 1.05))
        right.set_title(f"layer by layer, {summary['num_seeds']} seeds")
        for axis in (left, right):
            axis.set(xscale="log", xlabel="train examples n")
            axis.set_xticks(sizes, [f"{n:,}" for n in sizes])
            axis.minorticks_off()
    return figure


def _draw_seeds(axis, sizes: list[int], spreads: dict, name: str) -> None:
    """Draws means over seeds, joined, and each seed beside them."""
    rows, colour = np.array([spreads[str(n)]["per_seed"] for n in sizes]), COLOURS[name]
    axis.plot(sizes, rows, "o", color=colour, alpha=0.35, markersize=2.5, markeredgewidth=0)
    axis.plot(sizes, rows.mean(axis=1), "o-", color=colour, markersize=3.5, label=plain(name))

"""The figure of what noise leaves of a tree."""

import os
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, read_summary

_SHADES = "viridis"
_NOISE = {
    "soft": "noise of the evidence",
    "flip": "probability of a flip",
    "mask": "share of tokens erased",
}


def transition_figure(folder: str | os.PathLike) -> Figure:
    """Draws what is kept of the class for each depth, of each level, and how sharp the loss is.

    Args:
      folder: run folder of the experiment on the phase transition.
    """
    summary = read_summary(folder)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 2.9), layout="constrained")
        classes, levels, widths = figure.subplots(1, 3, width_ratios=[1.25, 1.25, 1])
        _draw_classes(classes, summary)
        _draw_levels(levels, summary)
        _draw_transitions(widths, summary)
    return figure


def _draw_classes(axis, summary: dict) -> None:
    """The mean over seeds for each depth, the darker the deeper, and each seed."""
    noise = summary["noise"]
    for depth, found, colour in _depths(summary):
        seeds, mean = found["class_kept_per_seed"], found["class_kept"]
        axis.plot(noise, seeds, color=colour, alpha=0.25, linewidth=0.5)
        axis.plot(noise, mean, "o-", color=colour, markersize=2, linewidth=1.2, label=depth)
    axis.axhline(summary["chance"], color="gray", linestyle="--", linewidth=0.8)
    _draw_prediction(axis.axvline, summary)
    axis.set(xlabel=_NOISE[summary["noise_type"]], ylabel="share of classes kept")
    axis.set(xlim=(0, 1), ylim=(0, 1.03), title="the class, by the depth L of the tree")
    axis.legend(frameon=False, fontsize=7, title="L", title_fontsize=7, loc="best")


def _draw_levels(axis, summary: dict) -> None:
    """A line for each level of the deepest trees, from the class, dark, to the leaves."""
    kept = np.array(summary["level_kept"]).T
    last = len(kept) - 1
    for level, (row, colour) in enumerate(zip(kept, _shades(len(kept))[::-1], strict=True)):
        name = {0: "0, the class", last: f"{last}, the leaves"}.get(level, str(level))
        axis.plot(summary["noise"], row, color=colour, linewidth=1, label=name)
    _draw_prediction(axis.axvline, summary)
    axis.set(xlabel=_NOISE[summary["noise_type"]], ylabel="share of nodes kept")
    axis.set(xlim=(0, 1), ylim=(0, 1.03), title=f"all levels, L = {last}")
    axis.legend(frameon=False, fontsize=6, title="level", title_fontsize=7, loc="best")


def _draw_transitions(axis, summary: dict) -> None:
    """For each depth the critical noise of each seed, and how far the transition reaches."""
    for depth, found, colour in _depths(summary):
        critical, width = found["critical_noise"], found["width"]
        seeds = np.array(critical["per_seed"], float)  # NaN for none.
        axis.plot([int(depth)] * len(seeds), seeds, "o", color=colour, markersize=2.5)
        if width["mean"] is not None:
            bar = {"color": colour, "capsize": 4, "linewidth": 1}
            axis.errorbar(int(depth), critical["mean"], width["mean"] / 2, **bar)
    _draw_prediction(axis.axhline, summary, label="mean field")
    axis.set(xlabel="depth L", ylabel="critical noise of each seed")
    axis.set_xticks(summary["depth"])
    axis.set_title("half of the classes lost (bars: width)")
    axis.margins(x=0.2)
    if summary["predicted_noise"] is not None:
        axis.legend(frameon=False, fontsize=7, loc="lower right")


def _draw_prediction(draw: Callable, summary: dict, **more: Any) -> None:
    """Where the mean field sees the transition, if it does."""
    if summary["predicted_noise"] is not None:
        draw(summary["predicted_noise"], color="tab:red", linestyle=":", linewidth=1, **more)


def _depths(summary: dict) -> list[tuple[str, dict, Any]]:
    """Each depth, what was found, and its colour."""
    depths = summary["depths"]
    colours = _shades(len(depths))
    return [(*each, colour) for each, colour in zip(depths.items(), colours, strict=True)]


def _shades(count: int) -> list[str]:
    """Colours from light to dark."""
    return [to_hex(each) for each in matplotlib.colormaps[_SHADES](np.linspace(0.85, 0, count))]

"""Figures of how features gather around their classes, layer by layer."""

import os
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from hierjax.plots.style import STYLE, plain, read_summary

_COLOUR = "tab:blue"


def compression_figure(folder: str | os.PathLike) -> Figure:
    """Draws compression, discrimination and rank over the layers of deep linear networks.

    Args:
      folder: run folder of the experiment on the compression of layers.
    """
    summary = read_summary(folder)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.8, 2.9), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.25, 1.25, 1])
        slope, rise = summary["compression_slope"], summary["discrimination_slope"]
        _draw_curve(left, summary["compression"], _COLOUR, log=True)
        _draw_line(left, summary["compression"], slope["mean"], log=True)
        left.set(yscale="log", ylabel=r"compression, tr $\Sigma_W$ / tr $\Sigma_B$")
        left.set_title(rf"log$_{{10}}$ slope {slope['mean']:.3f} $\pm$ {slope['std']:.3f}")
        _draw_curve(middle, summary["discrimination"], _COLOUR)
        _draw_line(middle, summary["discrimination"], rise)
        middle.set_ylabel(r"discrimination, 1 $-$ max cos($\mu_k$, $\mu_{k'}$)")
        middle.set_title(f"mean of {summary['num_seeds']} seeds: $R^2$ = {_r2(summary)}")
        _draw_curve(right, summary["rank"], _COLOUR)
        right.set_ylim(bottom=0)
        right.set(ylabel="numerical rank", title=f"{summary['num_classes']} classes")
        left.legend(frameon=False, fontsize=7)
    return figure


def draw_compression(axis, curves: dict, colours: Mapping[str, str]) -> None:
    """Draws the compression after each layer of all learners that have several.

    Args:
      axis: axis of matplotlib.
      curves: what summary.json says of the collapse of features, by learner and measure.
      colours: colours of the learners, by name.
    """
    for name, measures in curves.items():
        if len(measures["compression"]) > 1:
            _draw_curve(axis, measures["compression"], colours[name], log=True, label=plain(name))
    axis.set(yscale="log", ylabel="compression")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axis.legend(frameon=False, fontsize=7)


def _r2(summary: dict) -> str:
    found = summary["discrimination_r2"]
    return "none" if found is None else f"{found:.6f}"


def _draw_curve(axis, spreads: list[dict], colour: str, log: bool = False, label: str = "") -> None:
    """Draws a measure over the layers: every seed thin, the mean of all seeds thick.

    Args:
      axis: axis of matplotlib.
      spreads: what summary.json says of each layer, {mean, std, max, per_seed}.
      colour: colour of the curve.
      log: whether the mean is that of logarithms.
      label: label of the curve in a legend.
    """
    rows = np.array([each["per_seed"] for each in spreads], float)
    layers = np.arange(1, len(rows) + 1)
    axis.plot(layers, rows, color=colour, alpha=0.25, linewidth=0.7)
    axis.plot(layers, _mean(rows, log), "o-", color=colour, markersize=3.5, label=label)
    axis.set_xticks(layers)
    axis.set_xlabel("layer")


def _mean(rows: np.ndarray, log: bool) -> np.ndarray:
    return np.exp(np.log(rows).mean(axis=1)) if log else rows.mean(axis=1)


def _draw_line(axis, spreads: list[dict], slope: float, log: bool = False) -> None:
    """Draws a line of a slope through the middle of a curve."""
    rows = np.array([each["per_seed"] for each in spreads], float)
    rows = np.log10(rows) if log else rows
    steps = np.arange(len(rows)) - (len(rows) - 1) / 2
    line = rows.mean() + slope * steps
    style = {"color": "black", "linestyle": "--", "linewidth": 0.9, "label": "fitted line"}
    axis.plot(np.arange(1, len(rows) + 1), 10**line if log else line, **style)

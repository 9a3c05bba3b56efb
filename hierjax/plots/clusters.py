"""The figure of a tree that is found without classes."""

import os

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from hierjax.plots.complexity import LEAST_ERROR, draw_threshold, scale_errors
from hierjax.plots.style import STYLE, read_summary

_SHADES = "viridis"


def clustering_figure(folder: str | os.PathLike) -> Figure:
    """Draws errors on unseen strings against n / (V M^3), and n* at each depth beside predictions.

    Dotted stands V M^3 / (1 - M / V^(S-1)), and dashed on the right C M^L, the number that is
    predicted for learners that find the tree by its classes.

    Args:
      folder: run folder of the experiment on latent clustering.
    """
    summary = read_summary(folder)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 2.9), layout="constrained")
        errors, needed = figure.subplots(1, 2)
        _draw_errors(errors, summary)
        _draw_needed(needed, summary)
    return figure


def _shade(summary: dict, depth: int) -> str:
    depths = [each["depth"] for each in summary["thresholds"]]
    share = depths.index(depth) / max(len(depths) - 1, 1)
    return to_hex(matplotlib.colormaps[_SHADES](0.85 * share))


def _draw_errors(axis, summary: dict) -> None:
    """A curve for each depth; those of seeds are thin."""
    for found in summary["thresholds"]:
        own = [point for point in summary["points"] if point["depth"] == found["depth"]]
        multiples = [point["multiple"] for point in own]
        seeds = np.maximum([point["test_error"]["per_seed"] for point in own], LEAST_ERROR)
        means = np.maximum([point["test_error"]["mean"] for point in own], LEAST_ERROR)
        shade = _shade(summary, found["depth"])
        axis.plot(multiples, seeds, color=shade, alpha=0.25, linewidth=0.6)
        label = f"L = {found['depth']}"
        axis.plot(multiples, means, "o-", color=shade, markersize=3, linewidth=1, label=label)
    axis.axhline(summary["level"], color="gray", linestyle="--", linewidth=0.8, zorder=0)
    predicted = summary["predicted"] / summary["unit"]
    axis.axvline(predicted, color="gray", linestyle=":", linewidth=1, zorder=0)
    axis.set(xscale="log", yscale="log", xlabel="train strings n / (V M$^3$)", ylabel="test error")
    ticks = sorted({point["multiple"] for point in summary["points"]})
    axis.set_xticks(ticks, [f"{each:g}" for each in ticks])
    axis.minorticks_off()
    scale_errors(axis, 0)
    axis.legend(frameon=False, fontsize=7)


def _draw_needed(axis, summary: dict) -> None:
    found = summary["thresholds"]
    depths = [each["depth"] for each in found]
    for each in found:
        draw_threshold(axis, each["depth"], each, _shade(summary, each["depth"]))
    axis.axhline(
        summary["predicted"],
        color="gray",
        linestyle=":",
        linewidth=1,
        label="V M$^3$ / (1 - M / V$^{S-1}$)",
    )
    of_classes = [each["predicted_with_classes"] for each in found]
    axis.plot(depths, of_classes, "--", color="gray", linewidth=1, label="C M$^L$")
    axis.set(yscale="log", xlabel="depth L", ylabel=f"n* (error {summary['level']:g})")
    axis.set_xticks(depths)
    axis.set_xlim(depths[0] - 0.5, depths[-1] + 0.5)
    axis.legend(frameon=False, fontsize=7)

"""The figure of masked models beside exact inference that knows fewer levels."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, blocks_text, read_summary

_SHADES = "viridis"
_LEAST = 1e-4


def masked_figure(folder: str | os.PathLike) -> Figure:
    """Draws what masked models come to, beside exact inference filtered at each level.

    On the left are cross-entropies step by step, a line for each seed and one for their mean, and
    those of filtered inference, dashed. In the middle is how far the answers of the model of most
    blocks are from those of each filter, on the right how far those of all models are in the end.

    Args:
      folder: run folder of the experiment on masked tokens.
    """
    summary = read_summary(folder)
    points, floors = summary["points"], [each["mean"] for each in summary["floors"]]
    levels = range(len(floors))
    shades = matplotlib.colormaps[_SHADES](np.linspace(0, 0.9, len(floors)))
    steps = summary["steps"][1:]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.2, 2.9), layout="constrained")
        losses, near, end = figure.subplots(1, 3)
        for floor, shade in zip(floors, shades, strict=True):
            losses.axhline(floor, color=shade, linestyle="--", linewidth=0.9)
        for index, point in enumerate(points):
            seeds = np.array(point["curve"]["cross_entropy"])[:, 1:]
            blocks = blocks_text(point["num_blocks"])
            losses.plot(steps, seeds.T, color=f"C{index}", alpha=0.3, linewidth=0.8)
            losses.plot(steps, seeds.mean(axis=0), color=f"C{index}", label=blocks)
            last = [each["mean"] for each in point["divergence"]]
            end.plot(levels, last, "o-", color=f"C{index}", markersize=3, label=blocks)
        divergence = np.array(points[-1]["curve"]["divergence"])[:, 1:].mean(axis=0)
        for level in reversed(levels):
            label = f"filtered at level {level}" if level else "not filtered"
            near.plot(
                steps, np.maximum(divergence[:, level], _LEAST), color=shades[level], label=label
            )
        losses.set(xscale="log", xlabel="steps", ylabel="nats of an erased token")
        near.set(xscale="log", yscale="log", xlabel="steps", ylabel="divergence from inference")
        near.set_title(f"transformer, blocks: {points[-1]['num_blocks']}")
        end.set(yscale="log", xlabel="level of the filter, 0 for none", xticks=list(levels))
        end.set(ylabel="divergence in the end")
        for axis in (losses, near, end):
            axis.legend(frameon=False, fontsize=7)
    return figure

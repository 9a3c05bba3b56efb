"""Figures of label hierarchies."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.compression import draw_compression
from hierjax.plots.style import STYLE, read_summary


def label_figure(folder: str | os.PathLike) -> Figure:
    """Draws accuracies after each block and of the other learners, and compression by block.

    Args:
      folder: run folder of an experiment on label hierarchies.
    """
    summary = read_summary(folder)
    blocks = np.array(summary["accuracy"])
    rows = {name.replace("_", " "): each["accuracy"] for name, each in summary["baselines"].items()}
    rows["chance"] = summary["chance"]
    others = np.array(list(rows.values()))
    levels = np.arange(1, blocks.shape[1] + 1)
    cell = 0.42
    with matplotlib.rc_context(STYLE):
        widths = [cell * len(levels), cell * len(levels), 2.2]
        height = cell * max(len(blocks), 4)
        figure = Figure(figsize=(sum(widths) + 4, height + 1.2), layout="constrained")
        left, right, compression = figure.subplots(1, 3, width_ratios=widths)
        _draw_accuracies(left, blocks, levels, np.arange(1, len(blocks) + 1))
        left.set_ylabel("blocks trained")
        left.set_title(f"layerwise, {summary['num_seeds']} seeds")
        image = _draw_accuracies(right, others, levels, list(rows))
        right.set_title("the other learners")
        figure.colorbar(image, ax=[left, right], label="accuracy, fresh inputs")
        colours = {name: f"C{place}" for place, name in enumerate(summary["collapse"])}
        draw_compression(compression, summary["collapse"], colours)
        compression.set_xlabel("block")
    return figure


def _draw_accuracies(axis, accuracies: np.ndarray, levels, names):
    image = axis.imshow(accuracies, cmap="viridis", vmin=0.5, vmax=1)
    for (row, column), value in np.ndenumerate(accuracies):
        text = (
            "1" if value > 0.9995 else f"{value:.3f}"[1:] if value > 0.995 else f"{value:.2f}"[1:]
        )
        colour = "white" if value < 0.8 else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    axis.set_xticks(range(len(levels)), levels)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("level of the labels")
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return image

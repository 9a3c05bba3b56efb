"""The figure of models of tokens."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, read_summary

_SHADES = "viridis"
_LEAST = 1e-3


def language_figure(folder: str | os.PathLike) -> Figure:
    """Draws how far a model of tokens is above exact inference, against the train strings.

    On the left stands the excess of a whole string, a line for each seed; on the right that of the
    positions whose token before is as far in the tree, with the numbers of strings that are
    predicted for each distance, dotted.

    Args:
      folder: run folder of the experiment on language steps.
    """
    summary = read_summary(folder)
    sizes = [point["num_train"] for point in summary["points"]]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 2.9), layout="constrained")
        whole, parts = figure.subplots(1, 2)
        seeds = np.array([point["excess"]["per_seed"] for point in summary["points"]])
        whole.plot(sizes, seeds, color="tab:blue", alpha=0.3, linewidth=0.8)
        whole.plot(sizes, seeds.mean(axis=1), "o-", color="tab:blue", markersize=3)
        whole.set_title(f"{summary['objective']} token, transformer")
        whole.set_ylabel("nats a string above exact inference")
        _draw_distances(parts, summary, sizes)
        for axis in (whole, parts):
            axis.set(xscale="log", yscale="log", xlabel="train strings n")
            axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
            axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    return figure


def _draw_distances(axis, summary: dict, sizes: list[int]) -> None:
    distances = np.array(summary["distance"])
    excess = np.array([point["excess_by_position"] for point in summary["points"]], float)
    asked = ~np.isnan(excess).any(axis=0)
    for distance in sorted(set(distances[asked])):
        own = excess[:, asked & (distances == distance)].mean(axis=1)
        colour = matplotlib.colormaps[_SHADES](1 - distance / (summary["depth"] + 1))
        label = "none before" if distance > summary["depth"] else f"{distance}"
        axis.plot(sizes, np.maximum(own, _LEAST), "o-", color=colour, markersize=3, label=label)
        if summary["predicted_steps"] and distance <= summary["depth"]:
            predicted = summary["predicted_steps"][distance - 1]
            if sizes[0] <= predicted <= sizes[-1]:
                axis.axvline(predicted, color=colour, linestyle=":", linewidth=0.9)
    axis.set_title("by the tree distance of the token before")
    axis.set_ylabel("nats a token above exact inference")
    axis.legend(frameon=False, fontsize=7, title="levels up", title_fontsize=7)

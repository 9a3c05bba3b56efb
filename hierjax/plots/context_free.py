"""The figure of models of a context-free language."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, blocks_text, read_summary

_LEAST = 1e-4


def context_free_figure(folder: str | os.PathLike) -> Figure:
    """Draws what tokens of a context-free language cost transformers.

    On the left is what they cost above exact inference, step by step, with a line for each seed;
    on the right what they cost at each position after the last step, and the floor in black.

    Args:
      folder: run folder of the experiment on context-free languages.
    """
    summary = read_summary(folder)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.7), layout="constrained")
        cost, places = figure.subplots(1, 2)
        for index, point in enumerate(summary["points"]):
            label, colour = blocks_text(point["num_blocks"]), f"C{index}"
            seeds = np.maximum(np.array(point["curve"], float)[:, 1:], _LEAST)
            cost.plot(summary["steps"][1:], seeds.T, color=colour, alpha=0.3, linewidth=0.8)
            cost.plot(summary["steps"][1:], seeds.mean(axis=0), color=colour, label=label)
            model = np.array(point["by_place"], float)
            places.plot(np.arange(len(model)), model, color=colour, label=label)
        floor = np.array(summary["floor"]["by_place"], float)
        error = np.array(summary["floor"]["error_by_place"], float)
        xs = np.arange(len(floor))
        places.plot(xs, floor, color="black", linewidth=0.8, label="exact inference")
        places.fill_between(xs, floor - error, floor + error, color="black", alpha=0.2)
        cost.set(xscale="log", yscale="log", xlabel="steps")
        cost.set(ylabel="nats a token above the floor")
        places.set(xlabel="place in the string", ylabel="nats a token", ylim=(0, None))
        cost.legend(frameon=False, fontsize=7)
        places.legend(frameon=False, fontsize=7)
    return figure

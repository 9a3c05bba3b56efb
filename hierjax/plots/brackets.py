"""The figure of models of brackets."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, blocks_text, read_summary

_LINES = ("-", "--")
_LEAST = 1e-4


def bracket_figure(folder: str | os.PathLike) -> Figure:
    """Draws how transformers close brackets in longer strings than they were trained on.

    Above are, step by step, the share of closing brackets whose kind is known, and what tokens cost
    above exact inference; below that share by the distance to the opening bracket and by the place
    in the string, after the last step. Models have a colour each, in curves with a line for each
    seed; broken lines are of strings that are longer than any that was trained on.

    Args:
      folder: run folder of the experiment on Dyck languages.
    """
    summary = read_summary(folder)
    counts, steps = summary["num_blocks"], summary["steps"][1:]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.2), layout="constrained")
        known, cost, far, place = figure.subplots(2, 2).flat
        for index, point in enumerate(summary["points"]):
            count, line = point["num_blocks"], _LINES[index % len(_LINES)]
            colour, blocks = f"C{counts.index(count)}", blocks_text(count)
            low, high = summary["tests"][point["strings"]]["lengths"]
            for axis, name in ((known, "accuracy"), (cost, "excess")):
                seeds = np.maximum(np.array(point["curve"][name], float)[:, 1:], _LEAST)
                label = f"{blocks}, {low} to {high} tokens"
                axis.plot(steps, seeds.T, line, color=colour, alpha=0.3, linewidth=0.8)
                axis.plot(steps, seeds.mean(axis=0), line, color=colour, label=label)
            for axis, name in ((far, "by_distance"), (place, "by_place")):
                shares = np.array(point[name], float)
                parts = np.arange(len(shares))
                xs = (
                    2.0**parts
                    if axis is far
                    else (parts + 0.5) / len(parts) * summary["test_length"]
                )
                axis.plot(xs, shares, line, color=colour, marker="o", markersize=3)
        known.set(xscale="log", xlabel="steps")
        cost.set(xscale="log", yscale="log", xlabel="steps")
        cost.set(ylabel="nats a token above the floor")
        far.set(xscale="log", xlabel="tokens since the opening bracket, at least")
        place.set(xlabel="place in the string", xlim=(0, summary["test_length"]))
        place.axvline(
            summary["language"]["max_length"], color="black", linestyle=":", linewidth=0.7
        )
        known.legend(frameon=False, fontsize=7)
        for axis in (known, far, place):
            axis.set(ylim=(0, 1.03), ylabel="closing brackets known")
    return figure

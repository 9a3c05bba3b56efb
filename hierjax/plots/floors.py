"""The figure of Bayes floors."""

import math
import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, read_summary

_SHADES = "viridis"
_BAR_WIDTH = 0.8


def floor_figure(folder: str | os.PathLike) -> Figure:
    """Draws the floors of the next token, of an erased token and of the class, a panel each.

    Args:
      folder: run folder of the experiment on Bayes floors.
    """
    summary = read_summary(folder)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 2.9), layout="constrained")
        ahead, masked, flipped = figure.subplots(1, 3)
        _draw_next_tokens(ahead, summary)
        _draw_by_rate(masked, summary["masked"])
        symbols = summary["vocab_size"][-1]
        _draw_bound(masked, math.log(symbols))
        masked.set(xlabel="share of tokens erased", ylabel="cross-entropy of a token, nats")
        masked.set_title("erased token, from those left")
        _draw_by_rate(flipped, summary["class_error"])
        _draw_bound(flipped, summary["chance_error"])
        flipped.set(xlabel="probability of a flip", ylabel="error of the class")
        flipped.set_title("class, from flipped tokens")
    return figure


def _draw_next_tokens(axis, summary: dict) -> None:
    """Bars of all positions; the farther the token before is in the tree, the darker."""
    floors = np.array([each["mean"] for each in summary["next_token"]])
    distances = np.array(summary["distance"])
    places = np.arange(1, len(floors) + 1)
    for distance in sorted(set(distances)):
        own, most = distances == distance, summary["depth"] + 1
        colour = matplotlib.colormaps[_SHADES](1 - distance / most)
        label = "none before" if distance == most else str(distance)
        axis.bar(places[own], floors[own], _BAR_WIDTH, color=colour, label=label)
    _draw_bound(axis, math.log(summary["vocab_size"][-1]))
    axis.set(xlabel="position", ylabel="cross-entropy, nats")
    axis.set_title("next token, from those before")
    axis.set_ylim(top=1.45 * math.log(summary["vocab_size"][-1]))
    axis.legend(
        frameon=False,
        fontsize=7,
        title="levels up to the subtree of both",
        title_fontsize=7,
        ncols=summary["depth"] + 1,
        loc="upper center",
        handlelength=1,
        columnspacing=1,
    )


def _draw_by_rate(axis, floors: dict) -> None:
    """The mean over seeds, and each seed."""
    rates = [float(rate) for rate in floors]
    seeds = np.array([each["per_seed"] for each in floors.values()])
    axis.plot(rates, seeds, color="tab:blue", alpha=0.25, linewidth=0.6)
    axis.plot(rates, seeds.mean(axis=1), "o-", color="tab:blue", markersize=3)
    axis.set_ylim(bottom=0)


def _draw_bound(axis, value: float) -> None:
    """What guessing comes to, without looking."""
    axis.axhline(value, color="gray", linestyle="--", linewidth=0.8)

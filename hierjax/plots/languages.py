"""The figure of models of tokens."""

import os
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, plain, read_summary

_SHADES = "viridis"
_LEAST = 1e-3
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def language_figure(folder: str | os.PathLike, colours: Mapping[str, str]) -> Figure:
    """Draws how far models of tokens are above exact inference, against strings and steps.

    Against the train strings stand all models, with a line for each seed, and of the first of them
    the positions whose token before is as far in the tree, with the numbers of strings that are
    predicted, dotted. Of the last token stands the cross-entropy itself, with dashed lines for what
    ever wider subtrees tell. On the right is what models come to step by step.

    Args:
      folder: run folder of the experiment on language steps.
      colours: colours of the models, by name.
    """
    summary = read_summary(folder)
    every = summary["objective"] == "next"
    with matplotlib.rc_context(STYLE):
        count = 2 if summary["online"] or not every else 3
        figure = Figure(figsize=(3.4 * count, 2.9), layout="constrained")
        axes = figure.subplots(1, count)
        if summary["online"]:
            _draw_models_by_steps(axes[0], summary, colours)
        else:
            _draw_sizes(axes[0], summary, colours, every)
        if every and not summary["online"]:
            _draw_distances_by_sizes(axes[1], summary)
        if every:
            _draw_distances_by_steps(axes[-1], summary)
        else:
            _draw_sizes_by_steps(axes[-1], summary)
    return figure


def _of_model(summary: dict, model: str) -> list[dict]:
    return [point for point in summary["points"] if point["model"] == model]


def _draw_sizes(axis, summary: dict, colours: Mapping[str, str], every: bool) -> None:
    """Nats of a string above the floor; of the last token all nats."""
    floor = 0 if every else summary["floor"][-1]
    for model in summary["models"]:
        points, colour = _of_model(summary, model), colours[model]
        sizes = [point["num_train"] for point in points]
        seeds = floor + np.array([point["excess"]["per_seed"] for point in points])
        axis.plot(sizes, seeds, color=colour, alpha=0.3, linewidth=0.8)
        axis.plot(sizes, seeds.mean(axis=1), "o-", color=colour, markersize=3, label=plain(model))
    if every:
        _label_nats(axis)
    else:
        axis.set(ylabel="nats of the last token")
        for level in summary["floors_by_level"]:
            axis.axhline(level[-1], color="black", linestyle="--", linewidth=0.7)
        _draw_predictions(axis, summary, sizes, ["black"] * summary["spec"]["depth"])
    _label_sizes(axis, sizes)
    axis.set_title(f"{summary['objective']} token")
    axis.legend(frameon=False, fontsize=7)


def _draw_distances_by_sizes(axis, summary: dict) -> None:
    model = summary["models"][0]
    points = _of_model(summary, model)
    sizes = [point["num_train"] for point in points]
    excess = np.array([point["excess_by_position"] for point in points], float)
    colours = _draw_distances(axis, summary, sizes, excess, "o-")
    _draw_predictions(axis, summary, sizes, colours)
    _label_sizes(axis, sizes)
    axis.set_title(f"{plain(model)}, by the token before")


def _draw_distances_by_steps(axis, summary: dict) -> None:
    """Of the first model on most strings."""
    model = summary["models"][0]
    point = _of_model(summary, model)[-1]
    curve = point["curve"]
    _draw_distances(
        axis, summary, curve["steps"][1:], np.array(curve["excess_by_position"], float)[1:], "-"
    )
    given = "fresh strings" if summary["online"] else f"n = {point['num_train']:,}"
    axis.set_title(f"{plain(model)}, {given}")
    _label_steps(axis)


def _draw_distances(axis, summary: dict, xs, excess: np.ndarray, style: str) -> list:
    """A line for each distance, of (points, d); returns the colours from the nearest."""
    distances, depth = np.array(summary["distance"]), summary["spec"]["depth"]
    colours = []
    for distance in range(1, depth + 2):
        own = excess[:, distances == distance].mean(axis=1)
        colours.append(matplotlib.colormaps[_SHADES](1 - distance / (depth + 1)))
        label = "none before" if distance > depth else f"{distance} up"
        axis.plot(xs, np.maximum(own, _LEAST), style, color=colours[-1], markersize=3, label=label)
    axis.set(xscale="log", yscale="log", ylabel="nats a token above exact inference")
    place = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    axis.legend(frameon=False, fontsize=7, title="levels", title_fontsize=7, **place)
    return colours


def _draw_predictions(axis, summary: dict, sizes: list[int], colours: list) -> None:
    predicted = summary["predicted_steps"] or []
    for scale, colour in zip(predicted, colours, strict=False):
        if sizes[0] <= scale <= sizes[-1]:
            axis.axvline(scale, color=colour, linestyle=":", linewidth=0.9)


def _draw_models_by_steps(axis, summary: dict, colours: Mapping[str, str]) -> None:
    for point in summary["points"]:
        curve, colour = point["curve"], colours[point["model"]]
        seeds, steps = np.array(curve["excess"])[:, 1:], curve["steps"][1:]
        axis.plot(steps, seeds.T, color=colour, alpha=0.3, linewidth=0.8)
        axis.plot(steps, seeds.mean(axis=0), color=colour, label=plain(point["model"]))
    _label_steps(axis)
    _label_nats(axis)
    axis.set_title(f"{summary['objective']} token, fresh strings")
    axis.legend(frameon=False, fontsize=7)


def _draw_sizes_by_steps(axis, summary: dict) -> None:
    """Of the last token, by the first model: a line for each number of strings."""
    model = summary["models"][0]
    points = _of_model(summary, model)
    shades = matplotlib.colormaps[_SHADES](np.linspace(0.9, 0, len(points)))
    for point, shade in zip(points, shades, strict=True):
        curve = point["curve"]
        seeds = summary["floor"][-1] + np.array(curve["excess"])[:, 1:]
        size = point["num_train"]
        label = "fresh strings" if size is None else f"n = {size:,}"
        axis.plot(curve["steps"][1:], seeds.mean(axis=0), color=shade, label=label)
    for level in summary["floors_by_level"]:
        axis.axhline(level[-1], color="black", linestyle="--", linewidth=0.7)
    axis.set(ylabel="nats of the last token", title=plain(model))
    _label_steps(axis)
    axis.legend(frameon=False, fontsize=7)


def _label_nats(axis) -> None:
    axis.set(yscale="log", ylabel="nats a string above exact inference")
    low, high = axis.get_ylim()
    shown = [each for each in _TICKS if low <= each <= high]
    axis.set_yticks(shown, [f"{each:g}" for each in shown])
    axis.tick_params(axis="y", which="minor", labelleft=False)


def _label_steps(axis) -> None:
    axis.set(xscale="log", xlabel="steps")
    axis.tick_params(axis="x", which="minor", labelbottom=False)


def _label_sizes(axis, sizes: list[int]) -> None:
    axis.set(xscale="log", xlabel="train strings n")
    shown = sizes[:: -(-len(sizes) // 5)]
    axis.set_xticks(shown, [f"{size:,}" for size in shown])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)

"""The figure of layers that find the tree of a language from its tokens."""

import os
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, plain, read_summary

_SHADES = "viridis"
_LEAST = 1e-3
_DASHES = ("-", "--", ":")


def token_layers_figure(folder: str | os.PathLike, colours: Mapping[str, str]) -> Figure:
    """Draws purity of each level and nats above exact inference against n, and errors of classes.

    In the first panel the dotted line is the predicted scale, V M^3 / (1 - M / V^(S-1)). In the
    second the last layer of a learner has a line of its own for each seed, and layers below it are
    dashed. The third has the error of the class against the number of labels, a line for each n;
    the dotted lines are chance and C M^L, what labels alone are predicted to take.

    Args:
      folder: run folder of the experiment.
      colours: colours of the learners, by name.
    """
    summary = read_summary(folder)
    sizes = sorted({point["num_train"] for point in summary["points"]})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 2.9), layout="constrained")
        found, above, classes = figure.subplots(1, 3)
        names = dict.fromkeys(point["learner"] for point in summary["points"])
        own = {
            name: [point for point in summary["points"] if point["learner"] == name]
            for name in names
        }
        for name, points in own.items():
            _draw_excess(above, points, name, colours[name])
        finders = [name for name, points in own.items() if points[0]["purity"]]
        for name, style in zip(finders, _DASHES, strict=False):
            _draw_purity(found, own[name], f", {plain(name)}" if finders[1:] else "", style)
        _finish_purity(found, summary)
        above.set(yscale="log", ylabel="nats a string above exact inference")
        above.legend(frameon=False, fontsize=7)
        for axis in (found, above):
            axis.set(xscale="log", xlabel="train strings n")
            axis.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
            axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        _draw_classes(classes, summary)
    return figure


def _draw_purity(axis, points: list[dict], title: str, style: str) -> None:
    """A line for each level, the darker the nearer to the root; those of seeds are thin."""
    sizes, depth = [point["num_train"] for point in points], len(points[0]["purity"]) + 1
    for index in range(depth - 1):
        level = depth - 1 - index
        colour = matplotlib.colormaps[_SHADES]((level - 1) / depth)
        seeds = np.array([point["purity"][index]["per_seed"] for point in points])
        axis.plot(sizes, seeds, style, color=colour, alpha=0.3, linewidth=0.8)
        means, label = seeds.mean(axis=1), f"{level}{title}"
        axis.plot(sizes, means, f"o{style}", color=colour, markersize=3, label=label)


def _finish_purity(axis, summary: dict) -> None:
    axis.set(ylabel="purity of the symbols found", ylim=(0, 1.03))
    sizes = [point["num_train"] for point in summary["points"]]
    if summary["scale"] and min(sizes) <= summary["scale"] <= max(sizes):
        axis.axvline(summary["scale"], color="gray", linestyle=":", linewidth=0.9)
    if axis.get_legend_handles_labels()[1]:
        axis.legend(frameon=False, fontsize=7, title="level", title_fontsize=7)


def _draw_excess(axis, points: list[dict], name: str, colour: str) -> None:
    sizes = [point["num_train"] for point in points]
    seeds = np.array([point["excess"]["per_seed"] for point in points])
    axis.plot(sizes, np.maximum(seeds, _LEAST), color=colour, alpha=0.3, linewidth=0.8)
    for layer in zip(*(point["excess_after_layer"][:-1] for point in points), strict=True):
        means = [each["mean"] for each in layer]
        axis.plot(sizes, means, ".--", color=colour, linewidth=0.8, markersize=3)
    mean = np.maximum(seeds.mean(axis=1), _LEAST)
    axis.plot(sizes, mean, "o-", color=colour, markersize=3, label=plain(name))


def _draw_classes(axis, summary: dict) -> None:
    """A line for each number of strings, the darker the more; those of seeds are thin."""
    counts = summary["num_labels"]
    points = [point for point in summary["points"] if point["class_errors"]]
    axis.set(xlabel="labels", ylabel="error of the class", xscale="log", ylim=(-0.03, 1))
    axis.set_xticks(counts, [f"{count:,}" for count in counts], fontsize=7)
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axis.axhline(summary["chance_error"], color="gray", linestyle=":", linewidth=0.9)
    if counts[0] <= summary["class_scale"] <= counts[-1]:
        axis.axvline(summary["class_scale"], color="gray", linestyle=":", linewidth=0.9)
    for index, point in enumerate(points):
        colour = matplotlib.colormaps[_SHADES](1 - (index + 1) / (len(points) + 1))
        seeds = np.array([each["per_seed"] for each in point["class_errors"]])
        axis.plot(counts, seeds, color=colour, alpha=0.3, linewidth=0.8)
        label = f"{point['num_train']:,} strings"
        axis.plot(counts, seeds.mean(axis=1), "o-", color=colour, markersize=3, label=label)
    if points:
        axis.legend(frameon=False, fontsize=7, loc="lower right", bbox_to_anchor=(0.96, 0.1))

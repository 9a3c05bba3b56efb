"""The figure of models that take noise off strings."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, plain, read_summary

_SHADES = "viridis"
_LEAST = 1e-3


def denoising_figure(folder: str | os.PathLike) -> Figure:
    """Draws what the first model comes to, a row for each kind of noise.

    From left to right: its cross-entropy above that of the exact denoiser at each level of noise,
    for each number of train strings; the share of nodes that make sense in strings that it makes of
    noise, level by level, against the train strings and, with most of them, against the steps; and
    what noisy strings keep of their trees on the way back. Dashed lines are the exact denoiser's.

    Args:
      folder: run folder of the experiment on denoising.
    """
    summary = read_summary(folder)
    model, noises = summary["models"][0], summary["noises"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12.4, 2.8 * len(noises)), layout="constrained")
        rows = figure.subplots(len(noises), 4, squeeze=False)
        for noise, axes in zip(noises, rows, strict=True):
            points = [
                each
                for each in summary["points"]
                if (each["model"], each["noise"]) == (model, noise)
            ]
            exact = summary["exact"][noise]
            _draw_excess(axes[0], summary["noise"], points, f"{plain(model)}, {noise} noise")
            _draw_sizes(axes[1], points, exact)
            _draw_steps(axes[2], points[-1], exact)
            _draw_kept(axes[3], summary["noise"], points[-1], exact)
    return figure


def _draw_excess(axis, noise: list[float], points: list[dict], title: str) -> None:
    for point, shade in zip(points, _shades(len(points)), strict=True):
        values = np.maximum(point["excess_by_noise"], _LEAST)
        axis.plot(noise, values, "o-", color=shade, markersize=3, label=f"{point['num_train']:,}")
    axis.set(yscale="log", xlabel="share of tokens replaced", title=title)
    axis.set(ylabel="nats a string above exact")
    axis.legend(frameon=False, fontsize=7, title="train strings", title_fontsize=7)


def _draw_sizes(axis, points: list[dict], exact: dict) -> None:
    sizes = [point["num_train"] for point in points]
    valid = np.array([point["valid"] for point in points])
    _draw_valid(axis, sizes, valid, exact["valid"])
    known = [point["memorised"]["mean"] for point in points]
    axis.plot(sizes, known, "x:", color="tab:red", markersize=4, label="train strings")
    axis.set(xscale="log", xlabel="train strings n", title="strings made of noise")
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.tick_params(axis="x", which="minor", bottom=False)
    axis.legend(frameon=False, fontsize=6)


def _draw_steps(axis, point: dict, exact: dict) -> None:
    curve = point["curve"]
    _draw_valid(axis, curve["steps"][1:], np.array(curve["valid"])[1:], exact["valid"])
    axis.plot(curve["steps"][1:], curve["memorised"][1:], "x:", color="tab:red", markersize=4)
    axis.set(xscale="log", xlabel="steps", title=f"while it trains, n = {point['num_train']:,}")


def _draw_valid(axis, xs, valid: np.ndarray, exact: list[float]) -> None:
    """A line for each level, the lowest first and lightest."""
    depth = valid.shape[1]
    for height, shade in enumerate(_shades(depth)):
        label = "whole strings" if height == depth - 1 else _height(height + 1)
        axis.plot(xs, valid[:, height], "o-", color=shade, markersize=3, label=label)
        axis.axhline(exact[height], color=shade, linestyle="--", linewidth=0.8)
    axis.plot([], "--", color="gray", linewidth=0.8, label="exact denoiser")
    axis.set(ylim=(-0.03, 1.03), ylabel="share of nodes that make sense")


def _height(levels: int) -> str:
    return f"{levels} level{'s' * (levels > 1)} up"


def _draw_kept(axis, noise: list[float], point: dict, exact: dict) -> None:
    kept, best = (np.array(each["kept"]) for each in (point, exact))
    depth = kept.shape[1] - 1
    for height, shade in enumerate(_shades(depth + 1)):
        label = {0: "leaves", depth: "class"}.get(height, _height(height))
        axis.plot(noise, kept[:, height], "o-", color=shade, markersize=3, label=label)
        axis.plot(noise, best[:, height], "--", color=shade, linewidth=0.9)
    axis.plot([], "--", color="gray", linewidth=0.8, label="exact posterior")
    axis.set(ylim=(-0.03, 1.03), xlabel="share of tokens replaced")
    axis.set(ylabel="share of nodes kept", title=f"there and back, n = {point['num_train']:,}")
    axis.legend(frameon=False, fontsize=6)


def _shades(count: int) -> list:
    """Colours from light to dark."""
    return list(matplotlib.colormaps[_SHADES](np.linspace(0.85, 0, count)))

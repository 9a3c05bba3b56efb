"""The figure of the choices of the layerwise learner."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, read_summary

_LEAST_ERROR = 3e-4
_SHADES = "viridis"


def choices_figure(folder: str | os.PathLike) -> Figure:
    """Draws test error against the number of strings, a panel a penalty, a curve a kind.

    Args:
      folder: run folder of the experiment on the choices of the layerwise learner.
    """
    summary = read_summary(folder)
    penalties = sorted({point["penalty"] for point in summary["points"]})
    kinds = list(dict.fromkeys(point["num_features"] for point in summary["points"]))
    with matplotlib.rc_context(STYLE):
        size = (1.2 + 2.6 * len(penalties), 2.9)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(penalties), sharey=True, squeeze=False)[0]
        for axis, penalty in zip(axes, penalties, strict=True):
            for place, kind in enumerate(kinds):
                colour = matplotlib.colormaps[_SHADES](0.9 * place / max(len(kinds) - 1, 1))
                _draw_curve(axis, summary, penalty, kind, colour)
            axis.axhline(summary["chance_error"], color="gray", linestyle="--", linewidth=0.8)
            axis.set(xscale="log", yscale="log", xlabel="train strings n / (C M$^L$)")
            axis.set_title(f"penalty {penalty:g} / (V M)")
            multiples = sorted({point["multiple"] for point in summary["points"]})
            axis.set_xticks(multiples, [f"{each:g}" for each in multiples])
            axis.minorticks_off()
        axes[0].set_ylabel("test error, unseen strings")
        axes[-1].legend(frameon=False, fontsize=7, title="pairs", title_fontsize=7)
    return figure


def _draw_curve(axis, summary: dict, penalty: float, kind: int | None, colour) -> None:
    own = [
        point
        for point in summary["points"]
        if (point["penalty"], point["num_features"]) == (penalty, kind)
    ]
    multiples = [point["multiple"] for point in own]
    errors = np.array([point["test_error"]["per_seed"] for point in own])
    shown = np.maximum(errors, _LEAST_ERROR)
    axis.plot(multiples, shown, color=colour, alpha=0.25, linewidth=0.6)
    label = r"$\infty$" if kind is None else f"{kind:,}"
    means = np.maximum(errors.mean(axis=1), _LEAST_ERROR)
    axis.plot(multiples, means, "o-", color=colour, markersize=3, label=label)

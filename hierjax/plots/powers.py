"""The figure of errors where rules have Zipf's law."""

import os
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, plain, read_summary

_LARGEST = 1.2


def power_law_figure(folder: str | os.PathLike, colours: Mapping[str, str]) -> Figure:
    """Draws test error against n for each exponent of Zipf's law, with what theory predicts dashed.

    Lines of seeds are thin; the numbers of strings that are fitted are shaded, and fitted exponents
    stand in the legend, intervals of 95% in brackets.

    Args:
      folder: run folder of the experiment on power laws.
      colours: colours of the learners, by name.
    """
    summary = read_summary(folder)
    exponents = list(dict.fromkeys(each["exponent"] for each in summary["curves"]))
    least = 0.5 / summary["num_test"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(exponents), 3.0), layout="constrained")
        axes = figure.subplots(1, len(exponents), squeeze=False, sharey=True)[0]
        for axis, exponent in zip(axes, exponents, strict=True):
            curves = [each for each in summary["curves"] if each["exponent"] == exponent]
            _draw(axis, summary["num_train"], curves, least, colours)
            axis.set(title=f"a = {exponent:g}: law {curves[0]['law']:.2f}", ylim=(least, _LARGEST))
        axes[0].set_ylabel("test error")
    return figure


def _draw(axis, sizes: list, curves: list[dict], least: float, colours: Mapping[str, str]) -> None:
    for each in curves:
        colour, errors = colours[each["learner"]], each["test_error"]
        seeds = np.array([error["per_seed"] for error in errors], float)
        means = np.array([error["mean"] for error in errors], float)
        label = f"{plain(each['learner'])}: {_exponent(each['fit'])}"
        axis.plot(sizes, np.maximum(seeds, least), color=colour, alpha=0.25, linewidth=0.6)
        style = {"markersize": 3, "linewidth": 1, "label": label}
        axis.plot(sizes, np.maximum(means, least), "o-", color=colour, **style)
    theory = curves[0]
    slope = theory["fit_of_theory"]
    label = "theory" if slope is None else f"theory: {slope:.2f}"
    axis.plot(sizes, theory["predicted"], "--", color="gray", linewidth=1, label=label)
    if theory["fitted"]:
        axis.axvspan(theory["fitted"][0], theory["fitted"][-1], color="gray", alpha=0.1)
    axis.set(xscale="log", yscale="log", xlabel="train strings n")
    axis.legend(frameon=False, fontsize=7, loc="lower left")


def _exponent(fit: dict) -> str:
    """The fitted exponent and its interval, where there are any."""
    if fit["exponent"] is None:
        return "no exponent"
    interval = "" if fit["low"] is None else f" ({fit['low']:.2f}, {fit['high']:.2f})"
    return f"{fit['exponent']:.2f}{interval}"

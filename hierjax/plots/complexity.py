"""The figure of sample complexity."""

import os
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.style import STYLE, plain, read_summary

LEAST_ERROR = 1e-4
"""The least error that figures tell apart from none."""

_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_SHADES = "viridis"
_SHIFT = 1.06
_ALONE = 2.0


def complexity_figure(folder: str | os.PathLike, colours: Mapping[str, str]) -> Figure:
    """Draws how many train strings each learner of random hierarchies needs.

    On the left stands test error against n / (C M^L) for every grammar, n being the number of
    train strings and C M^L its prediction, with noise above the dotted error of exact inference; on
    the right the n* at which the error comes so near to that error, against C M^L.

    Args:
      folder: run folder of the experiment on sample complexity.
      colours: colours of the learners, by name.
    """
    summary = read_summary(folder)
    learners = list(summary["fits"])
    with matplotlib.rc_context(STYLE):
        rows = 1 if len(learners) == 1 else 2
        columns = -(-len(learners) // rows)
        width = max(2.8, 1.9 * columns)
        figure = Figure(figsize=(3.4 + width, 3.6), layout="constrained")
        # pyrefly: ignore[not-iterable]: an array, as there are two.
        left, right = figure.subfigures(1, 2, width_ratios=(width, 3.4))
        axes = left.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axis, name in zip(axes.flat, learners, strict=False):
            _draw_curves(axis, summary, name)
        for column, axis in enumerate(axes[-1]):
            if (rows - 1) * columns + column >= len(learners):
                axis.remove()
                axes[0, column].tick_params(labelbottom=True)
        left.supxlabel("train strings n / (C M$^L$)", fontsize=9)
        left.supylabel("test error", fontsize=9)
        _draw_thresholds(right.subplots(), summary, colours)
    return figure


def _draw_curves(axis, summary: dict, name: str) -> None:
    """Draws a curve for each grammar, coloured by the number of strings that the law predicts."""
    points = [point for point in summary["points"] if point["learner"] == name]
    predicted = sorted({point["predicted"] for point in summary["points"]})
    shades = matplotlib.colormaps[_SHADES](np.linspace(0, 0.9, len(predicted)))
    specs, floors = {str(point["spec"]): point["predicted"] for point in points}, []
    for spec, scale in specs.items():
        own = [point for point in points if str(point["spec"]) == spec]
        errors = [
            np.nan if each["error"]["mean"] is None else each["error"]["mean"] for each in own
        ]
        axis.plot(
            [point["multiple"] for point in own],
            np.maximum(errors, LEAST_ERROR),
            "o-",
            color=shades[predicted.index(scale)],
            markersize=2.5,
            linewidth=0.9,
        )
        floors.append(np.mean([each["bayes_error"]["mean"] for each in own]))
        if floors[-1] > 0:
            shade = shades[predicted.index(scale)]
            axis.axhline(floors[-1], color=shade, linestyle=":", linewidth=1)
    levels = {each["level"] for each in summary["thresholds"]}
    for bound in {floor + level for floor in floors for level in levels}:
        axis.axhline(bound, color="gray", linestyle="--", linewidth=0.8, zorder=0)
    axis.set(xscale="log", yscale="log", title=plain(name))
    multiples = sorted({point["multiple"] for point in summary["points"]})
    axis.set_xticks(multiples, [f"{each:g}" for each in multiples])
    axis.minorticks_off()
    scale_errors(axis, min(each["bayes_error"]["mean"] for each in summary["points"]))


def scale_errors(axis, floor: float) -> None:
    """Shows errors down to the least that is told apart, or to that of exact inference.

    Args:
      axis: axis of matplotlib, errors being upwards.
      floor: the error of exact inference.
    """
    if floor > LEAST_ERROR:
        ticks = [each for each in _TICKS if each > floor / 2]
        axis.set_yticks(ticks, [f"{each:g}" for each in ticks])
        axis.set_ylim(floor / 1.3, 1.1)
        return
    decades = 10.0 ** np.arange(round(np.log10(LEAST_ERROR)), 1)
    names = [f"10^{{{round(np.log10(each))}}}" for each in decades]
    axis.set_yticks(decades, [rf"$\leq{names[0]}$", *(f"${each}$" for each in names[1:])])
    axis.set_ylim(LEAST_ERROR / 1.5, 1.3)


def _draw_thresholds(axis, summary: dict, colours: Mapping[str, str]) -> None:
    """Draws points with intervals; arrows where the level is not crossed, or was from the start."""
    for name, fit in summary["fits"].items():
        own = [each for each in summary["thresholds"] if each["learner"] == name]
        label = plain(name)
        if None not in (fit["low"], fit["high"]):
            label += f": {fit['exponent']:.2f} ({fit['low']:.2f}, {fit['high']:.2f})"
            scales = np.array([min(fit["scales"]), max(fit["scales"])])
            law = fit["prefactor"] * scales ** fit["exponent"]
            axis.plot(scales, law, color=colours[name], linewidth=1)
        # Beside each other, where several learners have the same grammar.
        shift = _SHIFT ** (list(summary["fits"]).index(name) - (len(summary["fits"]) - 1) / 2)
        for each in own:
            draw_threshold(axis, each["predicted"] * shift, each, colours[name])
        axis.plot([], [], "o-", color=colours[name], markersize=3.5, label=label)
    scales = np.array([each["predicted"] for each in summary["thresholds"]])
    if scales.size:
        ends = np.array([scales.min(), scales.max()])
        axis.plot(ends, ends, ":", color="gray", linewidth=1, label="n = C M$^L$", zorder=0)
    axis.set(xscale="log", yscale="log", xlabel="C M$^L$")
    if len(set(scales)) == 1:
        axis.set_xlim(scales[0] / _ALONE, scales[0] * _ALONE)
        axis.set_xticks([scales[0]], [f"{scales[0]:,}"])
        axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    of_chance = " of chance" * (summary["level_of"] == "chance")
    beyond = " beyond Bayes" * any(summary["noise"].values())
    axis.set_ylabel(f"n* (error {summary['level']:g}{of_chance}{beyond})")
    axis.legend(frameon=False, fontsize=7, title="exponent (95%)", title_fontsize=7)


def draw_threshold(axis, place: float, found: dict, colour: str) -> None:
    """Draws a number of strings n* with its interval, or an arrow where it is beyond those tried.

    Args:
      axis: axis of matplotlib, n* being upwards.
      place: place of the point to the right.
      found: "value", "low" and "high", as of `hierjax.measure.Threshold`, and "tried", the least
        and the greatest number.
      colour: colour of the point.
    """
    least, most = found["tried"]
    value, low, high = found["value"], found["low"], found["high"]
    if value is None or value <= least:
        beyond, marker = (most, "^") if value is None else (least, "v")
        axis.plot(place, beyond, marker, color=colour, markersize=5, markerfacecolor="none")
        return
    axis.plot(place, value, "o", color=colour, markersize=3.5)
    if low is not None:  # Of one seed there is no interval; high is null if infinite.
        axis.plot([place] * 2, [low, high or most], color=colour, linewidth=1)

"""The figure of a network that is trained layer by layer, then as a whole."""

import os
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hierjax.plots.complexity import LEAST_ERROR, scale_errors
from hierjax.plots.style import STYLE, plain, read_summary


def correction_figure(folder: str | os.PathLike, colours: Mapping[str, str]) -> Figure:
    """Draws errors on unseen strings against n / (C M^L), and purities of what each layer finds.

    Lines of seeds are thin; dotted stands chance.

    Args:
      folder: run folder of the experiment on feature correction.
      colours: colours of the learners, by name.
    """
    summary = read_summary(folder)
    depth = summary["spec"]["depth"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.4 * (depth + 1), 2.9), layout="constrained")
        errors, *levels = figure.subplots(1, depth + 1)
        for name in dict.fromkeys(point["learner"] for point in summary["points"]):
            own = [point for point in summary["points"] if point["learner"] == name]
            _draw(errors, [point["test_error"] for point in own], own, name, colours[name])
            for index, axis in enumerate(levels):
                purity = [point["purity"][index] for point in own]
                _draw(axis, purity, own, name, colours[name])
        ticks = sorted({point["multiple"] for point in summary["points"]})
        for axis in (errors, *levels):
            axis.set(xscale="log", xlabel="train strings n / (C M$^L$)")
            axis.set_xticks(ticks, [f"{each:g}" for each in ticks])
            axis.minorticks_off()
        errors.set(yscale="log", ylabel="test error")
        errors.axhline(summary["chance_error"], color="gray", linestyle=":", linewidth=0.9)
        scale_errors(errors, 0)
        errors.legend(frameon=False, fontsize=7)
        for index, axis in enumerate(levels):
            axis.set(ylim=(0, 1.03), title=f"layer {index + 1}: level {depth - 1 - index}")
        levels[0].set_ylabel("purity of symbols")
    return figure


def _draw(axis, values: list[dict], points: list[dict], name: str, colour: str) -> None:
    multiples = [point["multiple"] for point in points]
    seeds = np.maximum([each["per_seed"] for each in values], LEAST_ERROR)
    means = np.maximum([each["mean"] for each in values], LEAST_ERROR)
    axis.plot(multiples, seeds, color=colour, alpha=0.25, linewidth=0.6)
    axis.plot(multiples, means, "o-", color=colour, markersize=3, linewidth=1, label=plain(name))

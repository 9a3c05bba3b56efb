"""Figures of what layers represent of a tree, level by level."""

import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hierjax.plots.style import STYLE, plain, read_summary

_MAPS = {
    "probe": "read by a probe",
    "rule": "change by a rule",
    "symbol": "change by a symbol",
    "rule_cosine": "cosine of synonyms",
    "symbol_cosine": "cosine of other symbols",
}
_WIDTHS = (4, 3, 4, 3, 4)


def level_figure(folder: str | os.PathLike) -> Figure:
    """Draws maps of layers by levels, what becomes of them in training, and attention.

    Args:
      folder: run folder of the experiment on representations of levels.
    """
    summary = read_summary(folder)
    learners = summary["learners"]
    panels = [(name, kind) for kind in ("growth", "attention") for name in learners]
    panels = [(name, kind) for name, kind in panels if kind in learners[name]]
    heights = [0.3 + 1.3 * len(learners)] + [2.6] * bool(panels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        axes = parts[0].subplots(len(learners), len(_MAPS), squeeze=False, width_ratios=_WIDTHS)
        for row, (name, found) in zip(axes, learners.items(), strict=True):
            for axis, (kind, title) in zip(row, _MAPS.items(), strict=True):
                _draw_map(axis, found["layers"], kind, name != "transformer")
                axis.set_title(title if name == next(iter(learners)) else "")
            row[0].set_ylabel(f"{plain(name)}\nlayer")
        for axis in axes[-1]:
            axis.set_xlabel("level")
        below = parts[-1].subplots(1, len(panels), squeeze=False)[0] if panels else []
        for axis, (name, kind) in zip(below, panels, strict=True):
            if kind == "growth":
                _draw_growth(axis, learners[name]["growth"], plain(name))
            else:
                _draw_attention(axis, learners[name]["attention"], summary["uniform_attention"])
    return figure


def _draw_map(axis, layers: list[dict], kind: str, is_stack: bool) -> None:
    """Draws means over seeds, layers upwards and levels from the lowest one to the root.

    Of a stack the level that each layer is to reveal is framed.
    """
    values = np.array([[each["mean"] for each in layer[kind]] for layer in layers], float)
    num_layers, num_levels = values.shape
    axis.imshow(np.abs(values), cmap="Blues", vmin=0, vmax=1.2, origin="lower", aspect="auto")
    for layer, level in np.ndindex(*values.shape):
        value = values[layer, level]
        if not np.isnan(value):
            colour = "white" if abs(value) > 0.7 else "black"
            text = f"{value:.2f}".replace("0.", ".", 1).replace("-.00", ".00")
            axis.text(level, layer, text, ha="center", va="center", fontsize=6.5, color=colour)
    for layer in range(num_layers * is_stack):
        corner = (num_levels - num_layers + layer - 0.48, layer - 0.48)
        axis.add_patch(Rectangle(corner, 0.96, 0.96, fill=False, edgecolor="tab:red", linewidth=1))
    axis.set_xticks(range(num_levels), [str(level) for level in reversed(range(num_levels))])
    axis.set_yticks(range(num_layers), [str(layer + 1) for layer in range(num_layers)])
    axis.tick_params(length=0)
    axis.set_frame_on(False)


def _draw_growth(axis, growth: dict, title: str) -> None:
    """Draws probes of the last layer, and its change by another rule, a colour for each level."""
    steps = np.maximum(growth["steps"], 1)
    for kind, style in (("probe", ":"), ("rule", "-")):
        curves = np.array(growth[kind], float)[:, -1].T
        for level, curve in enumerate(curves[::-1]):
            colour = matplotlib.colormaps["viridis"](level / len(growth["probe"][0][0]))
            label = f"level {level}" if kind == "rule" and np.isfinite(curve).all() else None
            axis.plot(steps, curve, style, color=colour, linewidth=1.2, label=label)
    axis.set(xscale="log", xlabel="steps", ylim=(0, 1.25))
    axis.set_title(f"{title}, last layer\n(dotted: probe, line: change by a rule)")
    axis.legend(frameon=False, fontsize=7, ncols=3, loc="upper center")


def _draw_attention(axis, blocks: list, uniform: list) -> None:
    """Draws the attention of each block by distance, a mean over heads, and every head."""
    places = np.arange(len(uniform))
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(blocks)))
    width = 0.8 / len(blocks)
    for number, (heads, colour) in enumerate(zip(np.array(blocks), colours, strict=True)):
        centres = places - 0.4 + width * (number + 0.5)
        axis.bar(centres, heads.mean(axis=0), width, color=colour, label=f"block {number + 1}")
        axis.plot(centres, heads.T, ".", color="black", markersize=2)
    for place, share in zip(places, uniform, strict=True):
        label = "uniform" if place == 0 else None
        axis.plot(place + np.array([-0.45, 0.45]), [share] * 2, "k--", linewidth=0.9, label=label)
    axis.set_xticks(places, [*map(str, places[1:]), "start"])
    axis.set(xlabel="distance to the leaf that is predicted", ylabel="share of attention")
    axis.set_ylim(top=1.35 * axis.get_ylim()[1])
    axis.set_title("transformer, attention")
    axis.legend(frameon=False, fontsize=7, ncols=2, loc="upper center")

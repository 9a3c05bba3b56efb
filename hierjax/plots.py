"""Figures, drawn from run folders alone."""

import json
import os
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

_PLANE = 1.5
_COLOURS = {
    "layerwise": "tab:blue",
    "end_to_end": "tab:orange",
    "shallow": "tab:green",
    "kernel": "tab:red",
    "ntk_raw": "tab:orange",
    "quad_raw": "tab:green",
    "ntk_rep": "tab:red",
    "quad_rep": "tab:blue",
}
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "figure.dpi": 200,
}


def layerwise_figure(folder: str | os.PathLike) -> Figure:
    """Errors after each layer and of all learners, and embeddings of each level.

    Args:
      folder: of a run of the layerwise experiment.
    """
    folder = Path(folder)
    summary = json.loads((folder / "summary.json").read_text())
    with np.load(folder / "embeddings.npz") as arrays, matplotlib.rc_context(_STYLE):
        depth = len(summary["levels"])
        compares = len(summary["learners"]) > 1
        widths = [1.3] * (1 + compares) + [1] * depth
        figure = Figure(figsize=(0.4 + 2.15 * sum(widths), 2.8), layout="constrained")
        axes = figure.subplots(1, len(widths), width_ratios=widths)
        _draw_layers(axes[0], summary)
        if compares:
            _draw_learners(axes[1], summary)
        planes = axes[1 + compares :]
        for index, (axis, level) in enumerate(zip(planes, summary["levels"], strict=True)):
            axis.set_title(f"layer {index + 1}: symbols of level {level['level']}")
            _draw_embeddings(
                axis,
                arrays[f"plane_{index}"],
                arrays[f"symbols_{index}"],
                level["num_symbols"],
                level["purity"],
            )
    return figure


def label_figure(folder: str | os.PathLike) -> Figure:
    """Accuracy of each level after each block, and of the other learners beside it.

    Args:
      folder: of a run of an experiment on label hierarchies.
    """
    summary = json.loads((Path(folder) / "summary.json").read_text())
    blocks = np.array(summary["accuracy"])
    rows = {name.replace("_", " "): each["accuracy"] for name, each in summary["baselines"].items()}
    rows["chance"] = summary["chance"]
    others = np.array(list(rows.values()))
    levels = np.arange(1, blocks.shape[1] + 1)
    cell = 0.42
    with matplotlib.rc_context(_STYLE):
        widths = [cell * len(levels), cell * len(levels)]
        height = cell * max(len(blocks), 4)
        figure = Figure(figsize=(sum(widths) + 3.4, height + 1.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_accuracies(left, blocks, levels, np.arange(1, len(blocks) + 1))
        left.set_ylabel("blocks trained")
        left.set_title(f"layerwise, {summary['num_seeds']} seeds")
        image = _draw_accuracies(right, others, levels, list(rows))
        right.set_title("the other learners")
        figure.colorbar(image, ax=[left, right], label="accuracy, fresh inputs")
    return figure


def representation_figure(folder: str | os.PathLike) -> Figure:
    """Error against examples of all learners, and how much of the highest degree they find.

    Args:
      folder: of a run of the experiment on neural representations.
    """
    summary = json.loads((Path(folder) / "summary.json").read_text())
    sizes, task = summary["num_train"], summary["task"]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, errors in summary["test_error"].items():
            rows = np.array([errors[str(n)]["per_seed"] for n in sizes])
            _draw_seeds(left, sizes, rows, name)
            found = [summary["explained_by_degree"][name][str(n)][-1] for n in sizes]
            right.plot(sizes, found, "o-", color=_COLOURS[name], markersize=3.5)
        lower = 1 - summary["variance_by_degree"][-1]
        for level, text in ((1, "its mean"), (1 - lower, f"degree < {task['degree']}")):
            left.axhline(level, color="gray", linestyle="--", linewidth=0.8, zorder=0)
            left.text(
                0.99,
                level,
                text,
                transform=left.get_yaxis_transform(),
                **_corner("right", "bottom"),
            )
        left.set(xscale="log", yscale="log", ylabel="test error / variance")
        left.set_title(f"d = {task['input_dim']}, {summary['representation']} representation")
        left.legend(frameon=False, fontsize=7)
        right.set(xscale="log", ylim=(-0.1, 1.1), ylabel="share found")
        right.set_title(f"component of degree {task['degree']}")
        for axis in (left, right):
            axis.set_xlabel("train examples n")
            axis.set_xticks(sizes, [f"{n:,}" for n in sizes])
            axis.minorticks_off()
    return figure


def threshold_figure(folder: str | os.PathLike) -> Figure:
    """The number of examples at which each learner's error crosses a level, against dimension.

    Args:
      folder: of a run of the experiment on thresholds of neural representations.
    """
    summary = json.loads((Path(folder) / "summary.json").read_text())
    dims = np.array(summary["input_dims"])
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.2, 3.2), layout="constrained")
        axis = figure.subplots()
        for name, thresholds in summary["thresholds"].items():
            _draw_thresholds(axis, summary, name, thresholds)
        axis.set(xscale="log", yscale="log", xlabel="dimension d")
        axis.set_ylabel(f"n at error {summary['level']:g}")
        axis.set_xticks(dims, dims)
        axis.minorticks_off()
        axis.legend(frameon=False, fontsize=7)
    return figure


def _draw_thresholds(axis, summary: dict, name: str, thresholds: dict) -> None:
    """Points with intervals, the fitted law through them, arrows where the level is not crossed."""
    colour, fit = _COLOURS[name], summary["fits"][name]
    label = _plain(name)
    if fit["exponent"] is not None:
        label += f": $d^{{{fit['exponent']:.1f}}}$ ({fit['low']:.1f}, {fit['high']:.1f})"
        scales = np.array(fit["scales"])
        axis.plot(scales, fit["prefactor"] * scales ** fit["exponent"], color=colour, linewidth=1)
    for dim in summary["input_dims"]:
        sizes = summary["dimensions"][str(dim)]["num_train"]
        value, low, high = (thresholds[str(dim)][key] for key in ("value", "low", "high"))
        if value is None or value <= sizes[0]:
            beyond, marker = (sizes[-1], "^") if value is None else (sizes[0], "v")
            axis.plot(dim, beyond, marker, color=colour, markersize=5, markerfacecolor="none")
            continue
        reach = [[value - (low or value)], [(high or sizes[-1]) - value]]
        axis.errorbar(dim, value, np.maximum(reach, 0), fmt="o", color=colour, markersize=4)
    axis.plot([], [], "o-", color=colour, markersize=4, label=label)


def staircase_figure(folder: str | os.PathLike) -> Figure:
    """Coefficients of the prefixes as a network is trained, and errors of both learners.

    Args:
      folder: of a run of the experiment on staircases.
    """
    summary = json.loads((Path(folder) / "summary.json").read_text())
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 3), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
        _draw_climb(left, summary)
        _draw_blocks(right, summary)
    return figure


def _draw_climb(axis, summary: dict) -> None:
    degree, climbs = summary["degree"], summary["prefix_coefficients"]
    steps = climbs["staircase"]["steps"]
    trace = np.array(climbs["staircase"]["first_seed"])
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, degree))
    for index, colour in enumerate(colours):
        shown = index in (0, degree // 2, degree - 1)
        name = "$x_1$" if index == 0 else f"$x_1 \\cdots x_{{{index + 1}}}$"
        axis.plot(
            steps, trace[:, index], color=colour, linewidth=1.2, label=name if shown else None
        )
    parity = np.array(climbs["parity"]["first_seed"])[:, -1]
    axis.plot(steps, parity, color="tab:red", linewidth=1.2, label="the parity, alone")
    axis.axhline(degree**-0.5, color="gray", linestyle="--", linewidth=0.8, zorder=0)
    axis.set(xscale="log", xlabel="steps, end to end", ylabel="coefficient")
    axis.set_ylim(-0.25 * degree**-0.5, 1.4 * degree**-0.5)
    axis.set_title(f"a staircase of {degree} steps, one seed")
    axis.legend(frameon=False, fontsize=7, loc="center right", bbox_to_anchor=(1, 0.45))


def _draw_blocks(axis, summary: dict) -> None:
    for target, colour in (("staircase", "tab:blue"), ("parity", "tab:red")):
        layers = summary["test_error_by_block"][target]
        rows = np.array([layer["per_seed"] for layer in layers])
        numbers = np.arange(1, len(rows) + 1)
        axis.plot(numbers, rows, "o", color=colour, alpha=0.35, markersize=2.5, markeredgewidth=0)
        axis.plot(numbers, rows.mean(axis=1), "o-", color=colour, markersize=3.5, label=target)
        whole = summary["test_error"][target]["end_to_end"]["mean"]
        axis.axhline(whole, color=colour, linestyle=":", linewidth=1)
    axis.set(xlabel="blocks trained", ylabel="test error / variance", ylim=(-0.03, 1.1))
    axis.set_xticks(numbers)
    axis.set_title(f"one block at a time, {summary['num_seeds']} seeds\n(dotted: end to end)")
    axis.legend(frameon=False, fontsize=7, loc="center right")


def _draw_seeds(axis, sizes, rows: np.ndarray, name: str) -> None:
    """Means over seeds, joined, and each seed beside them."""
    colour = _COLOURS[name]
    axis.plot(sizes, rows, "o", color=colour, alpha=0.35, markersize=2.5, markeredgewidth=0)
    axis.plot(sizes, rows.mean(axis=1), "o-", color=colour, markersize=3.5, label=_plain(name))


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _corner(horizontal: str, vertical: str) -> dict:
    return {"ha": horizontal, "va": vertical, "color": "gray", "fontsize": 7}


def _draw_accuracies(axis, accuracies: np.ndarray, levels, names):
    image = axis.imshow(accuracies, cmap="viridis", vmin=0.5, vmax=1)
    for (row, column), value in np.ndenumerate(accuracies):
        text = (
            "1" if value > 0.9995 else f"{value:.3f}"[1:] if value > 0.995 else f"{value:.2f}"[1:]
        )
        colour = "white" if value < 0.8 else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    axis.set_xticks(range(len(levels)), levels)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("level of the labels")
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return image


def _draw_layers(axis, summary: dict) -> None:
    layers = np.arange(1, len(summary["levels"]) + 1)
    errors = np.array([level["test_error"]["per_seed"] for level in summary["levels"]])
    axis.plot(layers, errors, color=_COLOURS["layerwise"], alpha=0.3, linewidth=0.8)
    axis.plot(layers, errors.mean(axis=1), color=_COLOURS["layerwise"], marker="o", markersize=4)
    axis.set_xticks(layers)
    axis.set_xlabel("layers trained")
    axis.set_ylabel("test error, unseen strings")
    axis.set_title(f"layerwise, {summary['num_seeds']} grammars")
    _mark_chance(axis, summary)


def _draw_learners(axis, summary: dict) -> None:
    names = [name for name in _COLOURS if name in summary["learners"]]
    for place, name in enumerate(names):
        error = summary["learners"][name]["test_error"]
        sideways = np.linspace(-0.22, 0.22, len(error["per_seed"]) + 2)[1:-1]
        axis.plot(
            place + sideways,
            sorted(error["per_seed"]),
            "o",
            color=_COLOURS[name],
            alpha=0.5,
            markersize=2.5,
            markeredgewidth=0,
        )
        axis.plot([place - 0.3, place + 0.3], 2 * [error["mean"]], color=_COLOURS[name])
        axis.text(place, error["max"] + 0.03, f"{error['mean']:.3f}", ha="center", fontsize=7)
    axis.set_xticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=7.5)
    axis.set_xlim(-0.6, len(names) - 0.4)
    axis.set_title(
        f"n = {summary['num_train']:,} ({summary['train_multiple']:g} $\\times$ predicted $CM^L$ = "
        f"{summary['predicted_num_train']:,})"
    )
    _mark_chance(axis, summary)


def _mark_chance(axis, summary: dict) -> None:
    chance = summary["chance_error"]
    axis.axhline(chance, color="gray", linestyle="--", linewidth=0.8)
    axis.text(
        0.98,
        chance,
        "chance",
        ha="right",
        va="bottom",
        color="gray",
        transform=axis.get_yaxis_transform(),
    )
    axis.set_ylim(-0.02, 1)


def _draw_embeddings(axis, plane, symbols, num_symbols: int, purity: float) -> None:
    # Named colours tell few symbols apart, a circle of hues orders many.
    many = num_symbols > matplotlib.colormaps["tab10"].N
    colours = matplotlib.colormaps["hsv" if many else "tab10"]
    symbols = symbols.ravel() / num_symbols if many else symbols.ravel()
    axis.scatter(*plane.reshape(-1, 2).T, c=colours(symbols), s=3, linewidths=0)
    axis.set(xticks=[], yticks=[], aspect="equal", xlabel=f"purity {purity:.3f}")
    axis.set(xlim=(-_PLANE, _PLANE), ylim=(-_PLANE, _PLANE))
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color("lightgray")

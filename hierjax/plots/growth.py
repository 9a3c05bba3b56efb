"""Figures of how costs grow."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from hierjax.plots.style import STYLE

_COLUMNS = 3
_UNITS = {"seconds": ("seconds a call", 1.0), "peak_bytes": ("MB at the peak", 1e-6)}


def growth_figure(records: list[dict]) -> Figure:
    """Draws cost against each quantity, log-log, with the power law that the algorithm should have.

    Args:
      records: what `benchmarks.growth` records, one dictionary for each quantity.
    """
    rows = -(-len(records) // _COLUMNS)
    with matplotlib.rc_context(STYLE):
        columns = min(_COLUMNS, len(records))
        figure = Figure(figsize=(2.6 * columns, 2.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(records) :]:
            axis.remove()
        for axis, record in zip(axes, records, strict=False):
            _draw(axis, record)
    return figure


def _draw(axis, record: dict) -> None:
    name, unit = _UNITS[record["cost"]]
    values, costs = np.array(record["values"], float), unit * np.array(record["costs"])
    powers_of_two = np.all(np.log2(values) % 1 == 0)
    axis.set_xscale("log", base=2 if powers_of_two else 10)
    axis.set_yscale("log")
    axis.plot(values, costs, "o", color="tab:blue", markersize=4)
    law = costs[-1] * (values / values[-1]) ** record["exponent"]
    axis.plot(values, law, "--", color="gray", linewidth=1, zorder=0)
    axis.set_ylim(costs.min() / 4, 4 * costs.max())
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set(xlabel=record["quantity"], ylabel=name)
    axis.set_title(
        f"{record['suite'].replace('_', ' ')}: {record['fitted']:.2f} "
        f"(dashed: {record['exponent']:g})"
    )

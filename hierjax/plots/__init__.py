"""Figures, drawn from run folders alone."""

from hierjax.plots.complexity import complexity_figure
from hierjax.plots.growth import growth_figure
from hierjax.plots.labels import label_figure
from hierjax.plots.representations import representation_figure, threshold_figure
from hierjax.plots.staircases import staircase_figure
from hierjax.plots.strings import layerwise_figure

__all__ = [
    "complexity_figure",
    "growth_figure",
    "label_figure",
    "layerwise_figure",
    "representation_figure",
    "staircase_figure",
    "threshold_figure",
]

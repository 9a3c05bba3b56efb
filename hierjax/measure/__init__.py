"""Measures: what a learner knows, from its outputs and the data alone.

metrics.py        error_rate, squared_loss; spread and finite_spread, over seeds; separation (its
                  result is a Separation) and symbol_plane, of embeddings of symbols.
layer_report.py   layer_report: all measures of one layer, a LayerReport; LearnerReport, those of
                  a whole learner.
label_report.py   label_report: accuracies of many labels, level by level, a LabelReport.
collapse.py       How features gather around their classes: class_collapse, label_collapse (of many
                  labels), each a Collapse; class_scatter (its result is a Scatter),
                  numerical_rank; trend: a line over layers, a Trend.
probes.py         linear_probes: how well symbols can be read off features, Probes.
sensitivity.py    How features change with a node of the tree: sensitivity, whitened_cosine.
attention.py      attention_by_distance: how far in the tree a transformer looks.
token_distances.py  What tokens tell of the next by how far in the tree they are: over_distances,
                  told_at_distances, short_of_half.
spans.py          How many neighbours are siblings: sibling_span, neighbour_dependence.
climbs.py         climb: in which order coefficients grow, a Climb.
correlations.py   rank_correlation, over seeds, with an interval: a RankCorrelation.
fits.py           Where errors fall below a level, and how that grows, with intervals: crossing,
                  threshold (its result is a Threshold), threshold_text, power_law (its result is
                  a PowerLaw).
decays.py         decay: by which power of their number examples bring errors down, a Decay.
"""

from hierjax.measure.attention import attention_by_distance
from hierjax.measure.climbs import Climb, climb
from hierjax.measure.collapse import (
    Collapse,
    Scatter,
    Trend,
    class_collapse,
    class_scatter,
    label_collapse,
    numerical_rank,
    trend,
)
from hierjax.measure.correlations import RankCorrelation, rank_correlation
from hierjax.measure.decays import Decay, decay
from hierjax.measure.fits import PowerLaw, Threshold, crossing, power_law, threshold, threshold_text
from hierjax.measure.label_report import LabelReport, label_report
from hierjax.measure.layer_report import LayerReport, LearnerReport, layer_report
from hierjax.measure.metrics import (
    Separation,
    error_rate,
    finite_spread,
    separation,
    spread,
    squared_loss,
    symbol_plane,
)
from hierjax.measure.probes import Probes, linear_probes
from hierjax.measure.sensitivity import sensitivity, whitened_cosine
from hierjax.measure.spans import neighbour_dependence, sibling_span
from hierjax.measure.token_distances import over_distances, short_of_half, told_at_distances

__all__ = [
    "Climb",
    "Collapse",
    "Decay",
    "LabelReport",
    "LayerReport",
    "LearnerReport",
    "PowerLaw",
    "Probes",
    "RankCorrelation",
    "Scatter",
    "Separation",
    "Threshold",
    "Trend",
    "attention_by_distance",
    "class_collapse",
    "class_scatter",
    "climb",
    "crossing",
    "decay",
    "error_rate",
    "finite_spread",
    "label_collapse",
    "label_report",
    "layer_report",
    "linear_probes",
    "neighbour_dependence",
    "numerical_rank",
    "over_distances",
    "power_law",
    "rank_correlation",
    "sensitivity",
    "separation",
    "short_of_half",
    "sibling_span",
    "spread",
    "squared_loss",
    "symbol_plane",
    "threshold",
    "threshold_text",
    "told_at_distances",
    "trend",
    "whitened_cosine",
]

"""Figures, drawn from run folders alone.

brackets.py         bracket_figure: models of bounded Dyck languages.
choices.py          choices_figure: errors of choices of the layerwise learner.
clusters.py         clustering_figure: errors without classes, and n* at each depth.
complexity.py       complexity_figure: errors against numbers of strings, and the law of n*.
compression.py      compression_figure: how features gather around classes.
context_free.py     context_free_figure: models of a context-free language, and its floor.
corrections.py      correction_figure: training layer by layer, then together.
deep_quadratics.py  deep_quadratic_figure: errors of learners, and the share of terms found.
denoising.py        denoising_figure: models that take noise off strings, and the exact denoiser.
floors.py           floor_figure: Bayes floors of a grammar.
growth.py           growth_figure: how costs grow, of the benchmarks.
labels.py           label_figure: accuracies of each level after each block, and compression.
languages.py        language_figure: models of tokens above exact inference.
masked.py           masked_figure: masked models beside filtered inference.
levels.py           level_figure: what layers represent of each level, in training too.
powers.py           power_law_figure: errors where rules have Zipf's law, and theory's.
representations.py  representation_figure, threshold_figure: learners of polynomials.
staircases.py       staircase_figure: coefficients as they grow, and errors of both learners;
                    budget_figure: in how many steps parities and staircases are learned.
strings.py          layerwise_figure: errors of all learners, compression and embeddings of levels.
token_layers.py     token_layers_figure: levels found from tokens, and what is above inference.
transitions.py      transition_figure: what noise leaves of a tree, level by level.
style.py            What all figures share.
"""

from hierjax.plots.brackets import bracket_figure
from hierjax.plots.choices import choices_figure
from hierjax.plots.clusters import clustering_figure
from hierjax.plots.complexity import complexity_figure
from hierjax.plots.compression import compression_figure
from hierjax.plots.context_free import context_free_figure
from hierjax.plots.corrections import correction_figure
from hierjax.plots.deep_quadratics import deep_quadratic_figure
from hierjax.plots.denoising import denoising_figure
from hierjax.plots.floors import floor_figure
from hierjax.plots.growth import growth_figure
from hierjax.plots.labels import label_figure
from hierjax.plots.languages import language_figure
from hierjax.plots.levels import level_figure
from hierjax.plots.masked import masked_figure
from hierjax.plots.powers import power_law_figure
from hierjax.plots.representations import representation_figure, threshold_figure
from hierjax.plots.staircases import budget_figure, staircase_figure
from hierjax.plots.strings import layerwise_figure
from hierjax.plots.token_layers import token_layers_figure
from hierjax.plots.transitions import transition_figure

__all__ = [
    "bracket_figure",
    "budget_figure",
    "choices_figure",
    "clustering_figure",
    "complexity_figure",
    "compression_figure",
    "context_free_figure",
    "correction_figure",
    "deep_quadratic_figure",
    "denoising_figure",
    "floor_figure",
    "growth_figure",
    "label_figure",
    "language_figure",
    "layerwise_figure",
    "level_figure",
    "masked_figure",
    "power_law_figure",
    "representation_figure",
    "staircase_figure",
    "threshold_figure",
    "token_layers_figure",
    "transition_figure",
]

"""What is measured of learners of random hierarchies, layer by layer."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.collapse import add_collapse
from hierjax.checks import one_hot
from hierjax.measure import (
    RankCorrelation,
    class_collapse,
    error_rate,
    finite_spread,
    layer_report,
    rank_correlation,
    squared_loss,
)
from hierjax.runs import ERROR, Result, measures
from hierjax.theory import first_patches
from hierjax.train import ClusterLayer, Network, PatchLayer, class_scores, forward

_LEAST_RANKED = 20

MEASURES = measures()


@MEASURES.add("test_error", column="test error (worst)", text=ERROR)
def test_error(layers, data, below, params):
    """Share of wrong classes on unseen strings."""
    scores = class_scores(layers, (*below, params), data.test.inputs)
    return error_rate(scores, data.test.labels)


@MEASURES.add("train_loss", column="train loss", text="{mean:.4f}")
def train_loss(layers, data, below, params):
    """Loss on the train strings, of the kind that is minimised, of a whole learner."""
    if len(below) < len(layers) - 1:
        return None
    scores = class_scores(layers, (*below, params), data.train.inputs)
    if isinstance(layers[-1], Network):
        return layers[-1].loss.per_example(scores, data.train.labels).mean()
    return squared_loss(scores, data.train.labels)


@MEASURES.add("bayes_error")
def bayes_error(layers, data, below, params):
    """Error of exact inference on the same strings, see `hierjax.runs.StringData`."""
    return data.bayes_error


@MEASURES.add("num_unseen")
def num_unseen(layers, data, below, params):
    """Number of unseen test strings that were found."""
    return data.num_unseen


@MEASURES.add("layer")
def layer(layers, data, below, params):
    """How the outputs of a layer that reads patches gather around their symbols."""
    if not isinstance(layers[0], PatchLayer | ClusterLayer):
        return None
    own, level = layers[len(below)], len(layers) - 1 - len(below)
    hidden = forward(layers, below, data.test.inputs)
    scores = own.class_scores(params, hidden)
    embeddings = _embeddings(own.apply(params, hidden), data)
    num_symbols = data.grammar.spec.symbols(level)
    return dataclasses.asdict(layer_report(scores, embeddings, data.test, level, num_symbols))


def _embeddings(outputs: jax.Array, data) -> jax.Array:
    """Outputs of a layer, or indicators of the clusters that it puts out."""
    if jnp.issubdtype(outputs.dtype, jnp.integer):
        return one_hot(outputs, max(data.grammar.spec.vocab_size))
    return outputs


@MEASURES.add("first_patches")
def of_first_patches(layers, data, below, params):
    """The theorem's conditions of the patches that a layer reads."""
    if not isinstance(layers[0], PatchLayer | ClusterLayer):
        return None
    level = len(layers) - 1 - len(below)
    conditions = first_patches(data.grammar)
    return {"coverage": conditions.coverage[level], "k_rho": conditions.k_rho[level]}


def _separation(name: str, column: str, text: str) -> None:
    """Declares a measure of how far embeddings tell symbols apart."""

    @MEASURES.add(name, column=column, text=text)
    def separation(layers, data, below, params):
        """One number of `hierjax.measure.Separation`."""
        measured = layer(layers, data, below, params)
        return None if measured is None else measured["separation"][name]


_separation("within_rms", "within", "{mean:.2f}")
_separation("between_min", "between", "{mean:.2f}")
_separation("purity", "purity", "{mean:.4f}")


def collapse(features, data):
    """How strings gather around their classes; a string's features are those of all its patches."""
    rows = _embeddings(features, data).reshape(features.shape[0], -1)
    return class_collapse(rows, data.test.labels, data.grammar.spec.num_classes)


add_collapse(MEASURES, lambda data: data.test.inputs, collapse)


def conditions(layers: list[Result]) -> dict[str, Any]:
    """The theorem's conditions at levels 1 to L, counted from the root, over seeds.

    Beside them stand the rank correlations, over seeds, of the least of each with the test error.
    """
    found = [layer.measured["first_patches"] for layer in reversed(layers)]
    values = {name: np.stack([each[name] for each in found]) for name in ("coverage", "k_rho")}
    with np.errstate(divide="ignore"):
        lists = values | {"kappa": 1 / values["coverage"]}
    errors = layers[-1].measured["test_error"]
    return {
        **{name: [finite_spread(level) for level in levels] for name, levels in lists.items()},
        "rank_correlation": {
            name: rank_correlation(levels.min(axis=0), errors)._asdict()
            for name, levels in values.items()
            if len(errors) >= _LEAST_RANKED
        },
    }


def noise_notes(summary: dict[str, Any]) -> list[str]:
    """The noise of a run, and the error that no learner can be below; nothing without noise."""
    rates = [f"{name} {rate:g}" for name, rate in summary["noise"].items() if rate]
    if not rates:
        return []
    return [
        f"with {', '.join(rates)} exact inference, which knows grammar and noise, errs on "
        f"{summary['bayes_error']['mean']:.4f} ± {summary['bayes_error']['std']:.4f}"
    ]


def condition_notes(conditions: dict[str, Any]) -> list[str]:
    """What people read of the conditions."""
    coverage, k_rho = (_means(conditions[name]) for name in ("coverage", "k_rho"))
    lines = [
        f"first patches of levels 1 to {len(conditions['k_rho'])}: coverage {coverage} (1 where "
        f"all are as frequent, 0 where one never occurs), K_rho {k_rho}"
    ]
    found = {name: RankCorrelation(**each) for name, each in conditions["rank_correlation"].items()}
    if found and not any(math.isnan(each.value) for each in found.values()):
        words = ", ".join(f"{name} {each}" for name, each in found.items())
        lines.append(f"rank correlation of the least of each with the test error: {words}")
    return lines


def _means(levels: list[dict]) -> str:
    means = [level["mean"] for level in levels]
    return " ".join("inf" if mean is None else f"{mean:.2f}" for mean in means)

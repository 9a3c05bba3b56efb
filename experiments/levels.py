"""What layers make of the levels of a tree: probes, and changes of one node of every string."""

import functools
from collections.abc import Callable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from hierjax.measure import (
    attention_by_distance,
    error_rate,
    linear_probes,
    sensitivity,
    whitened_cosine,
)
from hierjax.runs import ERROR, TreeData, measures, of_tokens
from hierjax.tasks import RandomHierarchySpec
from hierjax.train import Network, Probed, class_scores, forward

MEASURES = measures()
Hidden = Callable[[jax.Array], list[jax.Array]]
"""Inputs (N, d) -> features (N, P, F) of layers."""


def _hidden(layers, below, params) -> Hidden:
    """What a layer puts out, or each hidden layer of a network that is trained whole."""
    layer = layers[len(below)]
    if isinstance(layer, Probed):
        return functools.partial(_network(layer).hidden, params.params)

    def outputs(inputs):
        found = layer.apply(params, forward(layers, below, inputs))
        return [found.reshape(found.shape[0], -1, found.shape[-1])]

    return outputs


def _network(probed: Probed) -> Network:
    return cast(Network, getattr(probed.layer, "network", probed.layer))


@MEASURES.add("test_error", column="test error (worst)", text=ERROR)
def test_error(layers, data, below, params):
    """Share of wrong classes on unseen strings."""
    if data.of_tokens:
        return None
    return error_rate(class_scores(layers, (*below, params), data.test.inputs), data.test.labels)


@MEASURES.add("excess", column="nats above the floor (worst)", text=ERROR)
def excess(layers, data, below, params):
    """Nats of an unseen string above exact inference, of a model of the next token."""
    if not data.of_tokens:
        return None
    logs = jax.nn.log_softmax(layers[0].apply(params, data.test.inputs))
    return (data.best - of_tokens(logs, data.test.latents[-1])).sum(axis=1).mean()


@MEASURES.add("probe", column="probe", text="{mean:.3f}", by_layer=True)
def probe(layers, data, below, params):
    """Share of symbols of each level that are read by a linear probe, at the best position."""
    levels = reversed(range(data.spec.depth + 1))
    found = _probed(_hidden(layers, below, params)(data.test.inputs), data)
    return {f"probe, level {level}": found[:, i] for i, level in enumerate(levels)}


@MEASURES.add("chance")
def chance(layers, data, below, params):
    """Share of symbols of each level that are guessed, leaves first."""
    nothing = jnp.zeros((*data.test.labels.shape, 1, 1))
    return _probed([nothing], data)[0]


def _probed(features: list[jax.Array], data: TreeData) -> jax.Array:
    """Accuracies (layers, L + 1) of probes at the best position, leaves first, means over nodes."""
    levels = data.test.latents[::-1]
    num_symbols = max(data.spec.symbols(level) for level in range(len(levels)))
    symbols = jnp.concatenate([level.astype(jnp.int32) for level in levels], axis=1)
    ends = np.cumsum([level.shape[1] for level in levels])[:-1]

    def by_level(each):
        best = linear_probes(each, symbols, num_symbols).accuracy.max(axis=0)
        return jnp.array([part.mean() for part in jnp.split(best, ends)])

    return jnp.stack([by_level(each) for each in features])


@MEASURES.add("changes")
def changes(layers, data, below, params):
    """Sensitivities and whitened cosines, (layers, levels) each, lowest level first."""
    kinds = {"": (sensitivity, _root_mean), "_cosine": (whitened_cosine, _mean)}
    nodes = (*data.rules, *data.symbols)
    found = _changes(_hidden(layers, below, params), data, nodes, kinds)
    split = len(data.rules)
    rules = {f"rule{kind}": each[:, :split] for kind, each in found.items()}
    return rules | {f"symbol{kind}": each[:, split:] for kind, each in found.items()}


def _changes(hidden: Hidden, data: TreeData, nodes: Sequence[jax.Array], kinds: dict) -> dict:
    """What functions and means of `kinds` say of the change of each node of each level.

    They are taken at the positions that stand for the node, and are means over nodes.
    """
    before = hidden(data.test.inputs)

    def of_node(strings):
        pairs = [*zip(before, hidden(strings), strict=True)]
        return {kind: [say(*pair) for pair in pairs] for kind, (say, _) in kinds.items()}

    def by_level(values, mean):
        parts = jnp.split(values, np.cumsum([each.shape[0] for each in nodes])[:-1])
        return [mean(part, data.stand_for(part.shape[1], part.shape[0])) for part in parts]

    found = jax.lax.map(of_node, jnp.concatenate(nodes))
    return {
        kind: jnp.array([by_level(values, mean) for values in found[kind]])
        for kind, (_, mean) in kinds.items()
    }


def _mean(values: jax.Array, where: np.ndarray) -> jax.Array:
    return jnp.where(where, values, 0).sum() / where.sum()


def _root_mean(values: jax.Array, where: np.ndarray) -> jax.Array:
    return jnp.sqrt(_mean(values**2, where))


@MEASURES.add("growth")
def growth(layers, data, below, params):
    """Probes and changes of rules at each look, (looks, layers, levels)."""
    if not isinstance(layers[0], Probed):
        return None

    def at_look(params):
        hidden = functools.partial(_network(layers[0]).hidden, params)
        probes = _probed(hidden(data.test.inputs), data)
        return {"probe": probes} | _changes(
            hidden, data, data.rules, {"rule": (sensitivity, _root_mean)}
        )

    return jax.lax.map(at_look, params.trace)


@MEASURES.add("attention")
def attention(layers, data, below, params):
    """Attention of each block and head by distance in the tree, (blocks, H, L + 1).

    Distances are those of the leaf that is predicted and the leaf that is seen, 1 to L, and then
    the beginning.
    """
    if not data.of_tokens:
        return None
    module, inputs = _network(layers[0]).module, data.test.inputs
    with jax.default_matmul_precision("highest"):
        weights = cast(list, module.apply(params.params.variables, inputs, method="attention"))
    return jnp.stack([by_distance(each, data.spec) for each in weights])


def by_distance(weights: jax.Array, spec: RandomHierarchySpec) -> jax.Array:
    leaves = np.arange(spec.num_leaves)
    distances = spec.distances(leaves[:, None], np.maximum(leaves[None] - 1, 0))
    distances = np.where(leaves[None] == 0, spec.depth + 1, distances)
    return attention_by_distance(weights, distances, spec.depth + 2)[:, 1:]


@MEASURES.add("num_unseen")
def num_unseen(layers, data, below, params):
    """Number of unseen test strings that were found."""
    return data.num_unseen


@MEASURES.add("activations")
def activations(layers, data, below, params):
    """Features of test strings, and their trees, if they are to be kept."""
    if not data.kept:
        return None
    return {"features": _hidden(layers, below, params)(data.test.inputs), "strings": data.test}

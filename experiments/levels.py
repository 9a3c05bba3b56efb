"""What layers make of the levels of a tree: probes, and changes of one node of every string."""

import functools
from collections.abc import Callable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from hierjax.exact import next_tokens, observe
from hierjax.measure import (
    attention_by_distance,
    error_rate,
    linear_probes,
    sensitivity,
    whitened_cosine,
)
from hierjax.runs import ERROR, draw_strings, measures, of_tokens
from hierjax.tasks import (
    Batch,
    RandomHierarchy,
    RandomHierarchySpec,
    next_token,
    resample_rule,
    resample_symbol,
)
from hierjax.train import Network, Probed, class_scores, forward


class TreeData(struct.PyTreeNode):
    """The strings of a seed, and test strings with a node changed, as a learner sees them.

    Attributes:
      train: train strings, and their classes.
      test: test strings, with their trees.
      rules: for each level, the lowest first, (P, N, d) the test strings when another rule has been
        drawn at each of the P nodes, one after the other.
      symbols: the same for other symbols, from the level of the leaves on.
      best: (N, d) log-probability that exact inference gives to each token of the test strings.
      num_unseen: () int32, number of test strings that were found, see `require_filled`.
      spec: sizes of the grammars.
      of_tokens: whether inputs are those of models of the next token.
      kept: whether the features of the test strings are kept, not only measured.
    """

    train: Batch
    test: Batch
    rules: tuple[jax.Array, ...]
    symbols: tuple[jax.Array, ...]
    best: jax.Array
    num_unseen: jax.Array
    spec: RandomHierarchySpec = struct.field(pytree_node=False)
    of_tokens: bool = struct.field(pytree_node=False, default=False)
    kept: bool = struct.field(pytree_node=False, default=False)

    @property
    def for_tokens(self) -> "TreeData":
        """The same as inputs of models of the next token."""
        num_symbols = self.spec.symbols(self.spec.depth)

        def seen(strings: jax.Array) -> jax.Array:
            flat = next_token(strings.reshape(-1, strings.shape[-1]), num_symbols).inputs
            return flat.reshape(strings.shape)

        test = self.test.replace(inputs=seen(self.test.inputs))
        rules, symbols = jax.tree.map(seen, (self.rules, self.symbols))
        return self.replace(test=test, rules=rules, symbols=symbols, of_tokens=True)

    def stand_for(self, num_positions: int, num_nodes: int) -> np.ndarray:
        """Which positions of features (P) stand for which nodes (Q) of a level, (Q, P).

        A patch stands for the nodes with which it shares leaves. A model of the next token has seen
        a node when all of its leaves are before the token that is to be predicted.
        """
        nodes, positions = np.arange(num_nodes)[:, None], np.arange(num_positions)[None]
        if self.of_tokens:
            return positions * num_nodes >= (nodes + 1) * num_positions
        common = min(num_nodes, num_positions)
        return nodes * common // num_nodes == positions * common // num_positions


def draw_trees(
    key: jax.Array, spec: RandomHierarchySpec, num_train: int, num_test: int
) -> TreeData:
    """Draws the strings of a seed, and what becomes of test strings when a node is changed."""
    strings = draw_strings(key, spec, num_train, num_test)
    grammar, test = cast(RandomHierarchy, strings.grammar), strings.test

    def changed(resample, stream: int, level: int) -> jax.Array:
        own = jax.random.fold_in(jax.random.fold_in(key, stream), level)

        def at(index):
            return resample(grammar, jax.random.fold_in(own, index), test, level, index).inputs

        return jax.vmap(at)(jnp.arange(spec.nodes(level)))

    best = next_tokens(grammar, observe(spec, test.inputs)).probabilities
    return TreeData(
        strings.train,
        test,
        tuple(changed(resample_rule, 4, level) for level in reversed(range(spec.depth))),
        tuple(changed(resample_symbol, 5, level) for level in reversed(range(spec.depth + 1))),
        of_tokens(jnp.log(best), test.inputs),
        strings.num_unseen,
        spec,
    )


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

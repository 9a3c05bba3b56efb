import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.measure import error_rate, separation
from hierjax.tasks import Batch, GrammarDraw, RandomHierarchySpec, draw_random_hierarchy
from hierjax.train import PatchLayerConfig, forward, patch_layers, train_layerwise
from hierjax.train.patches import context
from hierjax.train.patches.context import ContextConfig, context_layers, context_places

SPEC = RandomHierarchySpec(6, 6, 2, 2, 3)
MIXED = RandomHierarchySpec(3, (5, 6, 4), 2, (2, 3, 2), 3)
SMALL = ContextConfig(num_features=64)
KEY = jax.random.key(3)


def sampled(spec, n, seed=0):
    return draw_random_hierarchy(jax.random.key(seed), spec).sample(jax.random.key(seed + 1), n)


def unlabelled(batch):
    return Batch(batch.inputs, batch.inputs, ())


@pytest.fixture(scope="module")
def stack():
    """Layers of a small grammar, and what 2,000 strings without labels have taught them."""
    layers = context_layers(SPEC, SMALL)
    train = jax.jit(lambda batch: train_layerwise(layers, batch, KEY))
    return layers, train(unlabelled(sampled(SPEC, 2000)))


def test_two_layers_find_the_tree_without_labels(stack):
    layers, params = stack
    test = draw_random_hierarchy(jax.random.key(0), SPEC).sample(jax.random.key(7), 500)

    @jax.jit
    def purities(params, test):
        found = [forward(layers, params[:index], test.inputs) for index in (1, 2)]
        assert [each.shape for each in found] == [(500, 4, 5), (500, 2, 5)]
        return [
            separation(each, test.latents[level], 6).purity
            for each, level in zip(found, (2, 1), strict=True)
        ]

    assert purities(params, test) == [1, 1]


def test_few_labels_name_what_was_found(stack):
    layers, params = stack
    top = patch_layers(SPEC, PatchLayerConfig(num_features=64))[-1]
    grammar = draw_random_hierarchy(jax.random.key(0), SPEC)
    few, test = grammar.sample(jax.random.key(8), 100), grammar.sample(jax.random.key(9), 500)

    @jax.jit
    def error(few, test):
        hidden, unseen = (forward(layers, params, each.inputs) for each in (few, test))
        return error_rate(top.apply(top.fit(KEY, hidden, few.labels), unseen), test.labels)

    assert error(few, test) < 0.02


def test_the_first_layer_is_a_table_of_the_mean_tokens_of_siblings():
    """Side by side for three children of a node, each with two siblings."""
    batch = sampled(MIXED, 300)
    layer = context_layers(MIXED)[0]
    readout = jax.jit(layer.fit)(KEY, batch.inputs, batch.inputs)["readout"]
    assert readout.shape == (3, 16, 16)
    tuples = np.asarray(batch.inputs).reshape(300, 2, 3, 2).astype(int)
    for side in range(3):
        own = tuples[:, :, side].reshape(-1, 2)
        others = np.delete(tuples, side, axis=2).reshape(-1, 4)
        tokens = np.eye(4)[others].reshape(-1, 16)
        tokens -= tokens.mean(axis=0)
        codes = 4 * own[:, 0] + own[:, 1]
        for code in range(16):
            expected = tokens[codes == code].mean(axis=0) if (codes == code).any() else 0
            np.testing.assert_allclose(readout[side, code], expected, atol=1e-5)


@pytest.mark.parametrize("targets", context.CONTEXT_TARGETS)
def test_the_layers_above_are_ridge_regression_on_the_other_side(stack, targets, monkeypatch):
    """The normal equations are solved in float64; blocks of 7 rows do not matter."""
    monkeypatch.setattr(context, "_ROWS_AT_ONCE", 7)
    layers, params = stack
    batch = sampled(SPEC, 40)
    layer = dataclasses.replace(layers[1], config=dataclasses.replace(SMALL, targets=targets))
    hidden = forward(layers, params[:1], batch.inputs)
    fitted = jax.jit(layer.fit)(KEY, hidden, batch.inputs)
    phi = np.asarray(jax.jit(layer.features.apply)(fitted["features"], hidden), np.float64)
    tokens = np.eye(6)[np.asarray(batch.inputs)]
    values = np.asarray(hidden) if targets == "embeddings" else tokens
    halves = values.reshape(40, 2, -1)
    for side in range(2):
        own, other = phi[:, side], halves[:, 1 - side] - halves[:, 1 - side].mean(axis=0)
        gram = own.T @ own / 40
        gram += 3.0 / 64 * np.trace(gram) * np.eye(64)
        expected = np.linalg.solve(gram, own.T @ other / 40)
        np.testing.assert_allclose(fitted["readout"][side], expected, atol=1e-5)


def test_labels_teach_nothing_where_embeddings_are_predicted(stack):
    layers, params = stack
    batch = sampled(SPEC, 2000)
    other = jax.jit(layers[0].fit)(jax.random.fold_in(KEY, 0), batch.inputs, batch.labels)
    np.testing.assert_array_equal(other["readout"], params[0]["readout"])


def test_what_stands_beside_a_patch():
    assert context_places(8, 2, 2).tolist() == [[[2, 3], [0, 1]], [[6, 7], [4, 5]]]
    assert context_places(3, 1, 3).tolist() == [[[1, 2], [0, 2], [0, 1]]]


def test_all_of_the_string_may_be_predicted():
    """By a map for each of the six patches of two tokens."""
    config = ContextConfig(span="all", targets="tokens", num_features=16)
    batch = sampled(MIXED, 100)
    low, high = context_layers(MIXED, config)
    fitted = jax.jit(low.fit)(KEY, batch.inputs, batch.inputs)
    assert fitted["readout"].shape == (6, 16, 10 * 4)
    hidden = jax.ShapeDtypeStruct((100, 6, 5), jnp.float32)
    above = jax.eval_shape(high.fit, KEY, hidden, batch.inputs)
    assert above["readout"].shape == (2, 16, 6 * 4)
    assert jax.eval_shape(high.apply, above, hidden).shape == (100, 2, 4)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RandomHierarchySpec(8, 4, 2, 2, 3), "all 16 tuples of level 1 have a rule, so siblings"),
        (RandomHierarchySpec(4, 4, (1, 4, 1), 2, 3), "all 16 tuples of level 2 have a rule"),
        (RandomHierarchySpec(4, 4, 2, 2, 1), "depth=1 leaves no level between"),
        (RandomHierarchySpec(4, 8, 2, (1, 2), 2), "nodes of level 1 have no siblings"),
        (RandomHierarchySpec(2, 1000, 2, 3, 2), r"a table of 1000\^3 tuples"),
    ],
)
def test_grammars_whose_siblings_tell_nothing_are_refused(spec, words):
    with pytest.raises(ValueError, match=words) as refusal:
        context_layers(spec)
    assert "\n" not in str(refusal.value)


def test_unequal_rules_tell_siblings_apart_where_every_tuple_has_one():
    spec, draw = RandomHierarchySpec(4, 4, 4, 2, 3), GrammarDraw(rule_spread=2.0)
    layers = context_layers(spec, SMALL, draw.equiprobable)

    @jax.jit
    def purities(key):
        grammar = draw.draw(key, spec)
        train, test = (grammar.sample(jax.random.fold_in(key, i), 8000) for i in range(2))
        params = train_layerwise(layers, unlabelled(train), key)
        found = [forward(layers, params[:index], test.inputs) for index in (1, 2)]
        levels = zip(found, (2, 1), strict=True)
        return [separation(each, test.latents[level], 4).purity for each, level in levels]

    assert min(purities(KEY)) > 0.9


def test_rules_of_the_leaves_may_be_full():
    assert len(context_layers(RandomHierarchySpec(4, 4, (1, 4), 2, 2))) == 1


@pytest.mark.usefixtures("untyped")
def test_examples_that_are_no_whole_trees_are_refused(stack):
    layers, params = stack
    batch = sampled(SPEC, 8)
    of_tokens = dataclasses.replace(layers[1], config=dataclasses.replace(SMALL, targets="tokens"))
    for layer, inputs, labels, words in (
        (layers[0], batch.inputs[:, :6], batch.inputs, "must be cut into 2 patches of 2"),
        (layers[0], batch.inputs + 6, batch.inputs, "inputs are from 6 to 11"),
        (layers[0], batch.inputs, batch.inputs[:4], "8 inputs and 4 labels"),
        (of_tokens, jnp.ones((8, 4, 5)), batch.labels, r"labels have shape \(8,\)"),
        (of_tokens, jnp.ones((8, 4, 5)), batch.inputs[:, :7], "labels of length 7 must be cut"),
    ):
        with pytest.raises(ValueError, match=words):
            layer.fit(KEY, inputs, labels)
    fitted = jax.jit(layers[0].fit)(KEY, batch.inputs + 6, batch.inputs)
    assert jnp.isnan(fitted["readout"]).all()
    outputs = jax.jit(layers[0].apply)(params[0], batch.inputs.at[0, 0].set(6))
    assert jnp.isnan(outputs[0]).all()
    assert jnp.isfinite(outputs[1:]).all()

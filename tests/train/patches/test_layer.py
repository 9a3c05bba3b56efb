import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.layerwise import forward, train_layerwise
from hierjax.train.patches.config import PAPER, TARGETS, PatchLayerConfig
from hierjax.train.patches.stack import patch_layers

SPEC = RandomHierarchySpec(3, 4, 2, 2, 3)
SMALL = PatchLayerConfig(num_features=32)


def batch_of(n, seed=0):
    grammar = draw_random_hierarchy(jax.random.key(seed), SPEC)
    return grammar.sample(jax.random.key(seed + 1), n)


@jax.jit
def train(batch, key):
    return train_layerwise(patch_layers(SPEC, SMALL), lambda _: batch, key)


def trained(batch):
    return patch_layers(SPEC, SMALL), train(batch, jax.random.key(0))


def conditional_means(batch, positions):
    """E[onehot(y) - mean | code at the positions], pooled over the positions, code by code."""
    inputs, labels = np.asarray(batch.inputs).astype(int), np.asarray(batch.labels)
    codes = (inputs[:, 0::2] * 4 + inputs[:, 1::2])[:, positions]
    onehot = np.eye(3)[labels]
    centred = np.repeat((onehot - onehot.mean(0))[:, None], len(positions), axis=1)
    means = np.zeros((16, 3))
    for code in np.unique(codes):
        means[code] = centred[codes == code].mean(axis=0)
    return means


@pytest.mark.parametrize(
    ("targets", "groups"),
    [("concat", [[0], [1], [2], [3]]), ("first", [[0]]), ("pooled", [[0, 1, 2, 3]])],
)
def test_first_layer_is_a_table_of_conditional_means(targets, groups):
    batch = batch_of(400)
    layer = patch_layers(SPEC, dataclasses.replace(SMALL, targets=targets))[0]
    params = jax.jit(layer.fit)(jax.random.key(0), batch.inputs, batch.labels)
    assert params["readout"].shape == (len(groups), 16, 3)
    for table, positions in zip(params["readout"], groups, strict=True):
        np.testing.assert_allclose(table, conditional_means(batch, positions), atol=1e-5)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("normalizer", ["pca", "whiten", "rms"])
def test_embeddings_are_centred_and_scaled(targets, normalizer):
    batch = batch_of(500)
    config = dataclasses.replace(SMALL, targets=targets, normalizer=normalizer)
    layer = patch_layers(SPEC, config)[0]
    params = jax.jit(layer.fit)(jax.random.key(0), batch.inputs, batch.labels)
    embeddings = jax.jit(layer.apply)(params, batch.inputs)
    assert embeddings.shape == (500, 4, layer.embedding_dim)
    flat = np.asarray(embeddings, np.float64).reshape(-1, layer.embedding_dim)
    np.testing.assert_allclose(flat.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose((flat**2).sum(1).mean(), 1, rtol=1e-4)
    covariance = flat.T @ flat / len(flat)
    if normalizer != "rms":
        assert layer.embedding_dim == (3 if targets == "concat" else 2)
        np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4)
    if normalizer == "whiten":
        np.testing.assert_allclose(np.diag(covariance), 1 / layer.embedding_dim, rtol=1e-3)


def test_pca_keeps_the_main_directions():
    batch = batch_of(500)
    layer = patch_layers(SPEC, SMALL)[0]
    params = jax.jit(layer.fit)(jax.random.key(0), batch.inputs, batch.labels)
    tables = np.concatenate(np.asarray(params["readout"], np.float64), axis=1)
    inputs = np.asarray(batch.inputs).astype(int)
    scores = tables[(inputs[:, 0::2] * 4 + inputs[:, 1::2]).ravel()]
    kept = np.linalg.eigvalsh(np.cov(scores.T, bias=True))[-3:]
    projected = (scores - scores.mean(0)) @ np.asarray(params["projection"])
    np.testing.assert_allclose((projected**2).mean(0), kept / kept.sum(), rtol=1e-3)


def test_same_patch_same_embedding_at_every_position():
    batch = batch_of(300)
    layers, params = trained(batch)
    string = batch.inputs[:1]
    doubled = jnp.concatenate([string[:, :4], string[:, :4]], axis=1)
    embeddings = forward(layers, params[:2], doubled)
    np.testing.assert_allclose(embeddings[:, 0], embeddings[:, 1], rtol=1e-6)


def paper_config(**changes):
    choices = PAPER | {"num_features": 64} | changes
    return PatchLayerConfig(**choices)


def test_a_layer_of_the_paper_is_ridge_regression_on_the_first_patch_divided_by_its_sum():
    """Of the leaves, whose patches are indicators; the normal equations are solved in float64."""
    batch = batch_of(300)
    layer = patch_layers(SPEC, paper_config())[0]
    params = jax.jit(layer.fit)(jax.random.key(0), batch.inputs, batch.labels)
    features = jax.jit(layer.features.apply)(params["features"], batch.inputs)
    phi = np.asarray(features[:, 0], np.float64)
    np.testing.assert_allclose((phi**2).sum(axis=1), 1, rtol=1e-5)
    penalty = 1 / (4 * 2)
    moments = phi.T @ np.eye(3)[np.asarray(batch.labels)] / 300
    weights = np.linalg.solve(phi.T @ phi / 300 + penalty * np.eye(128), moments)
    np.testing.assert_allclose(params["readout"][0], weights, atol=1e-5)
    outputs = np.asarray(jax.jit(layer.apply)(params, batch.inputs))
    scores = np.asarray(features, np.float64) @ weights
    np.testing.assert_allclose(outputs, scores / scores.sum(-1, keepdims=True), atol=1e-4)


def test_the_top_layer_of_the_paper_predicts_without_a_division():
    batch = batch_of(300)
    layers = patch_layers(SPEC, paper_config(solver="ridge"))
    params = jax.jit(lambda key: train_layerwise(layers, batch, key))(jax.random.key(0))
    hidden = forward(layers, params[:2], batch.inputs)
    np.testing.assert_allclose(hidden[:, 0].sum(axis=-1), 1, rtol=1e-4)
    np.testing.assert_allclose(
        layers[2].apply(params[2], hidden), layers[2].class_scores(params[2], hidden), atol=1e-5
    )


def test_many_pairs_come_to_the_kernel_limit_as_the_root_of_their_number():
    batch = batch_of(200)
    key, counts = jax.random.key(0), (16, 64, 256)

    def outputs(**changes):
        layer = patch_layers(SPEC, paper_config(solver="ridge", **changes))[0]

        def scores(key):
            params = layer.fit(key, batch.inputs, batch.labels)
            return layer.class_scores(params, batch.inputs)

        return jax.jit(lambda keys: jax.lax.map(scores, keys))(jax.random.split(key, 8))

    limit = outputs(features="kernel")
    errors = [jnp.sqrt(((outputs(num_features=m) - limit) ** 2).mean()) for m in counts]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(slope + 0.5) < 0.12


def test_class_scores_of_the_top_layer_are_its_outputs():
    batch = batch_of(300)
    layers, params = trained(batch)
    hidden = forward(layers, params[:2], batch.inputs)
    scores = layers[2].class_scores(params[2], hidden)
    np.testing.assert_allclose(scores, layers[2].apply(params[2], hidden), rtol=1e-4, atol=1e-5)


def test_blocks_of_rows_do_not_matter(monkeypatch):
    from hierjax.train.patches import maps

    batch = batch_of(300)
    layers, params = trained(batch)
    whole = forward(layers, params, batch.inputs)
    monkeypatch.setattr(maps, "_ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(whole, forward(layers, params, batch.inputs), rtol=1e-5, atol=1e-6)


def test_training_maps_over_seeds():
    layers = patch_layers(SPEC, SMALL)

    def scores(key):
        grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), SPEC)
        batch = grammar.sample(jax.random.fold_in(key, 1), 300)
        return forward(layers, train(batch, jax.random.fold_in(key, 2)), batch.inputs)

    keys = jax.random.split(jax.random.key(0), 3)
    many = jax.jit(jax.vmap(scores))(keys)
    for lane in range(3):
        np.testing.assert_allclose(many[lane], scores(keys[lane]), atol=2e-3)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"targets": "last"}, "targets='last' is unknown: choose one of concat, first, pooled"),
        ({"solver": "lbfgs"}, "solver='lbfgs' is unknown"),
        ({"num_features": 0}, "num_features=0"),
        ({"penalty": 0.0}, "penalty=0.0 must be above 0"),
        ({"bandwidth": -0.1}, "bandwidth=-0.1 must be above 0"),
        ({"orthogonality": 2.0}, "orthogonality=2.0 must be above 0 and below 2"),
        ({"normalizer": "sum"}, "normalizer=sum divides .*: set raw_targets"),
        ({"features": "kernel"}, "features=kernel cannot be fitted with targets=concat and solver"),
    ],
)
def test_unknown_choices_are_refused(choice, words):
    with pytest.raises(ValueError, match=words):
        PatchLayerConfig(**choice)


def test_a_table_too_large_is_refused():
    with pytest.raises(ValueError, match=r"1000\^3 tuples"):
        patch_layers(RandomHierarchySpec(2, 1000, 2, 3, 2), PatchLayerConfig())

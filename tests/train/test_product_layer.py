import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.tasks import (
    DeepQuadraticSpec,
    deep_quadratic,
    draw_deep_quadratic,
    merged_staircase,
)
from hierjax.train import ProductLayer, class_scores, forward, product_supports, train_layerwise

KEY = jax.random.key(0)
TASK = deep_quadratic(8, [[0, 1], [2, 3], [0, 1, 2, 3], [4, 5], [0, 1, 2, 3, 4]])
LAYERS = (ProductLayer(8, 10, false_finds=0.01),) * 3
TEST = TASK.sample(jax.random.key(9), 500)


@functools.partial(jax.jit, static_argnames="num_train")
def train(key, num_train):
    return train_layerwise(LAYERS, TASK.sample(key, num_train), key)


def found_sets(layers, params):
    """The inputs of each product that is found, and its coefficient."""
    supports = np.asarray(product_supports(layers, params))[np.asarray(params[-1].kept)]
    coefficients = np.asarray(params[-1].coefficients)[np.asarray(params[-1].kept)]
    sets = [tuple(np.flatnonzero(each).tolist()) for each in supports]
    assert len(set(sets)) == len(sets)
    return dict(zip(sets, coefficients, strict=True))


def test_terms_are_found_level_by_level():
    params = train(KEY, 2000)
    pairs, fours = {(0, 1), (2, 3), (4, 5)}, {(0, 1, 2, 3)}
    assert set(found_sets(LAYERS, params[:1])) == pairs
    assert set(found_sets(LAYERS, params[:2])) == pairs | fours
    found = found_sets(LAYERS, params)
    assert set(found) == pairs | fours | {(0, 1, 2, 3, 4)}
    np.testing.assert_allclose(list(found.values()), 5**-0.5, rtol=1e-4)


def test_nothing_is_left_once_all_terms_are_found():
    params = train(KEY, 2000)
    errors = []
    for depth in (1, 2, 3):
        values = class_scores(LAYERS, params[:depth], TEST.inputs)
        assert values.shape == (500, 1)
        errors.append(np.mean((values[:, 0] - TEST.labels) ** 2))
    np.testing.assert_allclose(errors, [0.4, 0.2, 0], atol=0.02)
    assert errors[-1] < 1e-8


LAYERS_28 = (ProductLayer(32, 56),) * 3


@jax.jit
def train_28(key):
    task = draw_deep_quadratic(key, DeepQuadraticSpec(32))
    return task, train_layerwise(LAYERS_28, task.sample(KEY, 1500), KEY)


@pytest.mark.parametrize("seed", range(3))
def test_all_28_terms_of_32_inputs_are_found(seed):
    task, params = train_28(jax.random.key(seed))
    terms = {tuple(np.flatnonzero(term).tolist()) for term in np.asarray(task.terms)}
    assert set(found_sets(LAYERS_28, params)) == terms


def test_layers_put_out_inputs_and_products_and_zeros_in_free_places():
    params = train(KEY, 2000)
    hidden = np.asarray(forward(LAYERS, params, TEST.inputs))
    assert hidden.shape == (500, 18)
    np.testing.assert_array_equal(hidden[:, :8], TEST.inputs)
    inputs, kept = np.asarray(TEST.inputs), np.asarray(params[-1].kept)
    supports = np.asarray(product_supports(LAYERS, params))
    assert kept.sum() == 5
    for column, support, is_kept in zip(hidden[:, 8:].T, supports, kept, strict=True):
        expected = inputs[:, support].prod(axis=1) if is_kept else np.zeros(500)
        np.testing.assert_array_equal(column, expected)


def test_single_inputs_are_products_with_one():
    task = merged_staircase(5, [[2], [2, 4], [0, 2, 4]])
    layers = (ProductLayer(5, 6),) * 2
    params = jax.jit(lambda key: train_layerwise(layers, task.sample(key, 1000), key))(KEY)
    assert set(found_sets(layers, params)) == {(2,), (2, 4), (0, 2, 4)}


def test_noise_makes_few_products_stand_out():
    """No more are expected than are allowed for, 1 of 36, over 40 draws."""
    layer = ProductLayer(8, 4)
    inputs = TASK.sample(KEY, 300).inputs
    draws = jax.random.normal(jax.random.key(5), (40, 300))
    kept = jax.jit(jax.vmap(lambda labels: layer.fit(KEY, inputs, labels).kept.sum()))(draws)
    assert 0.3 < kept.mean() < 2


def test_there_are_no_more_products_than_places():
    layers = (ProductLayer(8, 2),) * 3
    params = jax.jit(lambda key: train_layerwise(layers, TASK.sample(key, 2000), key))(KEY)
    assert len(found_sets(layers, params)) == 2


def test_labels_that_are_zero_are_explained_by_nothing():
    params = LAYERS[0].fit(KEY, TEST.inputs, jnp.zeros(500))
    assert not params.kept.any()
    np.testing.assert_array_equal(LAYERS[0].class_scores(params, TEST.inputs), 0)


def test_fewer_examples_than_places_leave_parameters_finite():
    for count in (1, 5):
        chex.assert_tree_all_finite(train_layerwise(LAYERS, TASK.sample(KEY, count), KEY))


def test_mapped_over_seeds_it_is_the_same():
    keys = jax.random.split(KEY, 3)
    many = jax.vmap(lambda key: train(key, 2000))(keys)
    for lane, key in enumerate(keys):
        one = train(key, 2000)
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, lane=lane: x[lane], many), one, atol=1e-5
        )


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((0, 1), "num_inputs=0 must be at least 1"),
        ((1, 0), "most_products=0 must be at least 1"),
        ((1, 1, 0.0), "false_finds=0.0 must be above 0 and at most 1"),
        ((1, 1, 2.0), "false_finds=2.0 must be above 0 and at most 1"),
    ],
)
def test_sizes_out_of_bounds_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        ProductLayer(*sizes)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("inputs", "labels", "words"),
    [
        (
            np.ones((4, 7)),
            np.ones(4),
            r"inputs have shape \(4, 7\), but must have 8 columns, or 18",
        ),
        (np.ones(8), np.ones(8), r"inputs have shape \(8,\), but must have"),
        (np.ones((4, 8)), np.ones((4, 1)), r"labels have shape \(4, 1\), but must have \(any,\)"),
        (np.ones((4, 8)), np.ones(3), "4 inputs and 3 labels"),
        (np.ones((0, 8)), np.ones(0), "give at least 1 example"),
        (np.ones((4, 8)), np.full(4, np.nan), "labels have 4 values that are not finite"),
    ],
)
def test_examples_of_another_kind_are_refused(inputs, labels, words):
    with pytest.raises(ValueError, match=words):
        LAYERS[0].fit(KEY, inputs, labels)

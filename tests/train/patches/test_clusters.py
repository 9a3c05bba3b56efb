import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.k_means import k_means
from hierjax.train.layerwise import class_scores, train_layerwise
from hierjax.train.patches.clusters import latent_cluster_layers, one_step_layers

SPEC = RandomHierarchySpec(4, 4, 3, 2, 2)
MIXED = RandomHierarchySpec(6, (5, 6, 4), 2, (2, 3, 2), 3)


def one_to_one(symbols, clusters):
    pairs = set(zip(np.asarray(symbols).ravel(), np.asarray(clusters).ravel(), strict=True))
    return len(pairs) == len({symbol for symbol, _ in pairs}) == len({own for _, own in pairs})


@pytest.fixture(scope="module")
def latent():
    """Layers of a grammar whose sizes all differ, and what 3,000 strings have taught them."""
    grammar = draw_random_hierarchy(jax.random.key(0), MIXED)
    train, test = (grammar.sample(jax.random.key(i), 3000) for i in (1, 2))
    layers = latent_cluster_layers(MIXED)
    params = jax.jit(lambda train: train_layerwise(layers, train, jax.random.key(3)))(train)
    return layers, params, train, test


def test_k_means_finds_clusters_that_are_apart():
    truth = jax.random.randint(jax.random.key(0), (200,), 0, 12)
    centers = 5 * jax.random.normal(jax.random.key(1), (12, 6))
    points = centers[truth] + 0.1 * jax.random.normal(jax.random.key(2), (200, 6))
    found = jax.jit(k_means, static_argnums=3)(jax.random.key(3), points, jnp.ones(200), 12)
    assert len(set(zip(np.asarray(truth), np.asarray(found), strict=True))) == 12


def test_points_without_weight_form_no_cluster():
    points = jnp.array([[0.0], [0.1], [10.0], [10.1], [1e4]])
    found = k_means(jax.random.key(0), points, jnp.array([1.0, 1, 1, 1, 0]), 2)
    assert found[0] == found[1] != found[2] == found[3] == found[4]


@pytest.mark.parametrize("count", [0, 6])
def test_more_clusters_than_points_are_refused(count):
    with pytest.raises(ValueError, match=f"num_clusters={count} must be from 1 to 5"):
        k_means(jax.random.key(0), jnp.zeros((5, 2)), jnp.ones(5), count)


def test_one_step_shows_what_tuples_and_classes_have_in_common():
    """Products of the columns are, for many units, those of the joint frequencies less chance."""
    layer = one_step_layers(SPEC)[0]
    counts = jax.random.randint(jax.random.key(0), (16, 4), 0, 20).astype(float)
    keys = jax.random.split(jax.random.key(1), 200)
    columns = jax.jit(jax.vmap(layer._gradient, (0, None)))(keys, counts)
    products = np.einsum("nrw,nqw->rq", columns, columns)
    joint = np.asarray(counts) - np.asarray(counts).sum(axis=1, keepdims=True) / 4
    expected = joint @ joint.T
    np.testing.assert_allclose(
        products / np.trace(products), expected / np.trace(expected), atol=0.01
    )


def test_synonyms_are_found_and_strings_told_from_enough_examples():
    grammar = draw_random_hierarchy(jax.random.key(0), SPEC)
    train, test = (grammar.sample(jax.random.key(i), 2000) for i in (1, 2))
    layers = one_step_layers(SPEC)
    params = jax.jit(lambda key: train_layerwise(layers, train, key))(jax.random.key(3))
    clusters, symbols = layers[0].apply(params[0], test.inputs), test.latents[1]
    assert one_to_one(symbols, clusters)
    assert (class_scores(layers, params, test.inputs).argmax(axis=1) == test.labels).all()
    one = layers[0].class_scores(params[0], test.inputs)
    np.testing.assert_allclose(one.sum(axis=1), 1, rtol=1e-5)


def test_clusters_without_classes_are_the_symbols_of_every_level(latent):
    layers, params, _, test = latent
    hidden = test.inputs
    for layer, own, level in zip(layers[:-1], params[:-1], (2, 1), strict=True):
        assert layer.class_scores(own, hidden).shape == (3000, 6)
        hidden = layer.apply(own, hidden)
        assert one_to_one(test.latents[level], hidden)
    assert (class_scores(layers, params, test.inputs).argmax(axis=1) == test.labels).all()


def test_classes_have_no_part_in_what_siblings_tell(latent):
    layers, params, train, _ = latent
    key = jax.random.fold_in(jax.random.key(3), 0)
    wrong = jax.jit(layers[0].fit)(key, train.inputs, jnp.roll(train.labels, 1))
    np.testing.assert_array_equal(wrong["clusters"], params[0]["clusters"])
    assert not np.allclose(wrong["class_scores"], params[0]["class_scores"])


def test_a_symbol_out_of_range_leaves_its_string_without_a_class(latent):
    layers, params, train, test = latent
    inputs = test.inputs[:10].at[4, 7].set(4)
    scores = jax.jit(lambda inputs: class_scores(layers, params, inputs))(inputs)
    assert jnp.isnan(scores).any(axis=1).nonzero()[0].tolist() == [4]
    clusters = jax.jit(layers[0].fit)(
        jax.random.key(0), train.inputs.at[0, 0].set(4), train.labels
    )["clusters"]
    assert (clusters == layers[0].num_clusters).all()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RandomHierarchySpec(4, 4, 4, 2, 3), "all 16 tuples of level 2 have a rule, so siblings"),
        (RandomHierarchySpec(4, 8, 2, (1, 2), 2), "nodes of level 1 have no siblings"),
        (RandomHierarchySpec(2, 1000, 2, 3, 2), r"a table of 1000\^3 tuples"),
    ],
)
def test_grammars_that_cannot_be_clustered_are_refused(spec, words):
    with pytest.raises(ValueError, match=words) as refusal:
        latent_cluster_layers(spec)
    assert "\n" not in str(refusal.value)


def test_strings_and_classes_out_of_range_are_refused_or_leave_no_scores():
    layer, key = one_step_layers(SPEC)[0], jax.random.key(0)
    inputs, labels = jnp.zeros((5, 4), int), jnp.zeros(5, int)
    for words, wrong in (
        ("inputs are from 4 to 4", (inputs + 4, labels)),
        ("labels are from 4 to 4", (inputs, labels + 4)),
    ):
        with pytest.raises(ValueError, match=words):
            layer.fit(key, *wrong)
    for wrong in ((inputs + 4, labels), (inputs, labels + 4)):
        params = jax.jit(layer.fit)(key, *wrong)
        assert jnp.isnan(layer.class_scores(params, inputs)).all()


def test_a_table_too_large_is_refused():
    with pytest.raises(ValueError, match=r"table of 1000\^2 tuples by 256 numbers"):
        one_step_layers(RandomHierarchySpec(2, 1000, 2, 2, 2))

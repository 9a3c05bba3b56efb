import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.measure import neighbour_dependence, sibling_span
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy

KEY = jax.random.key(0)


def test_the_estimate_is_right_in_the_mean():
    """Over all draws of three strings from a law of two bits whose covariance is known."""
    law = {(0, 0): 0.4, (0, 1): 0.1, (1, 0): 0.2, (1, 1): 0.3}
    covariance = 0.3 - 0.5 * 0.4
    draws = list(itertools.product(law, repeat=3))
    features = jnp.array(draws, jnp.float32)[..., None]
    estimates = jax.vmap(neighbour_dependence)(features)[:, 0]
    weights = np.array([np.prod([law[each] for each in draw]) for draw in draws])
    assert weights @ estimates == pytest.approx(covariance**2, rel=1e-4)


@pytest.mark.parametrize("branching", [(2, 2, 2), (3, 2, 2), (2, 3, 2), (2, 2, 3), (4, 2, 2)])
def test_symbols_of_each_level_tell_who_are_siblings(branching):
    spec = RandomHierarchySpec(8, 8, 4, branching, 3)

    @jax.jit
    def told(key):
        grammar = draw_random_hierarchy(key, spec)
        batch = grammar.sample(jax.random.fold_in(key, 1), 1000)
        levels = batch.latents[1:]
        return [sibling_span(jax.nn.one_hot(level, 8)) for level in levels]

    for seed in range(5):
        assert told(jax.random.key(seed)) == list(branching)


def test_neighbours_that_all_depend_on_each_other_alike_are_one_span():
    common = jax.random.normal(KEY, (1000, 1, 3))
    own = 0.3 * jax.random.normal(jax.random.key(1), (1000, 6, 3))
    assert sibling_span(common + own) == 6


@pytest.mark.parametrize(
    ("shape", "words"), [((1, 4, 2), "1 strings of 4 nodes"), ((5, 1, 2), "5 strings of 1 nodes")]
)
def test_too_few_are_refused(shape, words):
    with pytest.raises(ValueError, match=words):
        sibling_span(jnp.zeros(shape))


def test_features_that_are_not_finite_tell_nothing():
    features = jnp.zeros((5, 4, 2)).at[0, 3, 1].set(jnp.nan)
    assert jax.jit(sibling_span)(features) == 0
    with pytest.raises(ValueError, match="features"):
        sibling_span(features)

"""What a seed draws for learners of random hierarchies, with noise and without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.exact import class_floor
from hierjax.runs import LearnerSettings, StringCell, StringNoise, build, draw_strings
from hierjax.tasks import RandomHierarchySpec, contains

SPEC = RandomHierarchySpec(4, 6, 2, 2, 3)
KEY = jax.random.key(2)
SIZES = (48, 400)
CLEAN = draw_strings(KEY, SPEC, *SIZES)
LEAVES = StringNoise(leaf_flip=0.2, leaf_mask=0.1)


def test_noise_is_put_on_the_same_strings_after_they_are_told_apart():
    noisy = draw_strings(KEY, SPEC, *SIZES, noise=StringNoise(0.2, 0.1, 0.5))
    for clean, seen in ((CLEAN.train, noisy.train), (CLEAN.test, noisy.test)):
        jax.tree.map(np.testing.assert_array_equal, clean.latents, seen.latents)
        assert (seen.inputs != clean.inputs).any(axis=1).mean() > 0.5
    assert not contains(noisy.train.latents[-1], noisy.test.latents[-1]).any()
    assert 0.2 < (noisy.train.labels != CLEAN.train.labels).mean() < 0.6
    np.testing.assert_array_equal(noisy.test.labels, CLEAN.test.labels)
    rates = [(seen.inputs == 6).mean() for seen in (noisy.train, noisy.test)]
    np.testing.assert_allclose(rates, 0.1, atol=0.06)


def test_the_bayes_error_is_that_of_the_floor_and_of_leaves_alone():
    floor = class_floor(CLEAN.grammar, LEAVES.of_leaves, jax.random.key(5), 4000).error
    found = draw_strings(KEY, SPEC, *SIZES, noise=LEAVES).bayes_error
    width = (found * (1 - found) / SIZES[1] + floor.std_error**2) ** 0.5
    assert 0.05 < found < 0.7
    assert abs(found - floor.mean) < 4 * width
    for noise in (StringNoise(), StringNoise(label_flip=0.9)):
        assert draw_strings(KEY, SPEC, *SIZES, noise=noise).bayes_error == 0


def test_nothing_beats_chance_where_all_is_erased():
    found = draw_strings(KEY, SPEC, *SIZES, noise=StringNoise(leaf_mask=1.0)).bayes_error
    assert abs(found - 0.75) < 4 * (0.75 * 0.25 / SIZES[1]) ** 0.5


@pytest.mark.parametrize("noise", [StringNoise(leaf_mask=0.15), StringNoise(filter_level=1)])
def test_a_learner_comes_near_the_bayes_error_from_above(noise):
    """It sees erased tokens as a symbol more; both errors are on the same strings."""
    cell = StringCell(SPEC, "layerwise", 4, 100, build(LearnerSettings, {}, {}), noise=noise)
    keys = jax.random.split(KEY, 10)
    found = jax.jit(jax.vmap(lambda key: cell.measure(key, cell.point().draw(key))))(keys)
    excess = np.asarray(found["test_error"] - found["bayes_error"])
    assert -3 * excess.std() / 10**0.5 < excess.mean() < 0.3
    assert found["bayes_error"].mean() > 0.03
    assert jnp.isfinite(found["test_error"]).all()

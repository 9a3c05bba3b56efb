import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.exact import (
    class_floor,
    denoising_floor,
    likelihood,
    masked_floor,
    next_token_floor,
    observe,
    posteriors,
)
from hierjax.tasks import (
    Noise,
    NoisyHierarchy,
    RandomHierarchySpec,
    draw_random_hierarchy,
    leaf_kernel,
)

SPEC = RandomHierarchySpec(4, 4, 2, 2, 2)
GRAMMAR = draw_random_hierarchy(jax.random.key(0), SPEC)
KEY = jax.random.key(1)
N = 4000


def within(estimate, expected, widths=5):
    gap = np.abs(np.asarray(estimate.mean) - expected)
    assert (gap <= widths * np.asarray(estimate.std_error) + 1e-6).all(), (estimate, expected)


def test_without_noise_all_is_known_and_with_nothing_else_nothing():
    clean, blank = Noise(), Noise(leaf_mask=1.0)
    for floor in (class_floor, denoising_floor):
        np.testing.assert_allclose(floor(GRAMMAR, clean, KEY, 100).error.mean, 0, atol=1e-6)
        np.testing.assert_allclose(floor(GRAMMAR, clean, KEY, 100).cross_entropy.mean, 0, atol=1e-5)
    for noise in (blank, Noise(leaf_flip=1.0)):
        floor = class_floor(GRAMMAR, noise, KEY, 100)
        np.testing.assert_allclose(floor.error.mean, 3 / 4, rtol=1e-5)
        np.testing.assert_allclose(floor.cross_entropy.mean, np.log(4), rtol=1e-5)
    hidden = observe(SPEC, jnp.zeros((1, 4), int), jnp.ones((1, 4), bool))
    prior = np.asarray(posteriors(GRAMMAR, hidden).levels[-1][0])
    entropy = -np.where(prior > 0, prior * np.log(np.where(prior > 0, prior, 1)), 0).sum(axis=-1)
    for floor in (denoising_floor, masked_floor):
        found = floor(GRAMMAR, blank, KEY, 100).cross_entropy.mean
        np.testing.assert_allclose(found, entropy.mean(), rtol=1e-5)


@pytest.mark.parametrize("noise", [Noise(leaf_flip=0.3), Noise(leaf_mask=0.4, leaf_flip=0.1)])
def test_the_best_answers_to_fresh_strings_reach_the_floor_within_its_interval(noise):
    """Scores of the posterior on the truth, where the floor looks at the posterior alone."""
    batch = NoisyHierarchy(GRAMMAR, noise).sample(jax.random.key(7), N)
    evidence = observe(SPEC, batch.inputs, kernel=leaf_kernel(noise, 4))
    given = posteriors(GRAMMAR, evidence)
    for floor, level in ((class_floor, 0), (denoising_floor, 2)):
        found = floor(GRAMMAR, noise, KEY, N)
        shares, truth = np.asarray(given.levels[level]), np.asarray(batch.latents[level], int)
        wrong = (shares.argmax(axis=-1) != truth).mean()
        loss = -np.log(np.take_along_axis(shares, truth[..., None], -1))[..., 0]
        error = np.sqrt(wrong * (1 - wrong) / N)
        np.testing.assert_array_less(np.abs(found.error.mean - wrong), 5 * error)
        within(found.cross_entropy, loss.mean(), widths=8)
    assert likelihood(GRAMMAR, evidence).possible.all()


def test_floors_of_next_tokens_add_up():
    floor = next_token_floor(GRAMMAR, KEY, 500)
    np.testing.assert_allclose(floor.cross_entropy.mean.sum(), np.log(SPEC.num_strings), rtol=1e-5)
    assert floor.error.mean.shape == (4,)
    low, high = floor.cross_entropy.interval
    assert (low <= floor.cross_entropy.mean).all()
    assert (high - low).max() < 0.5


def test_floors_grow_with_noise_in_one_program_of_many_rates():
    rates = jnp.linspace(0, 1, 5)
    floors = jax.vmap(lambda e: class_floor(GRAMMAR, Noise(leaf_flip=e), KEY, 500))(rates)
    assert (jnp.diff(floors.error.mean) > 0).all()
    one = class_floor(GRAMMAR, Noise(leaf_flip=rates[2]), KEY, 500)
    np.testing.assert_allclose(floors.error.mean[2], one.error.mean, rtol=1e-4)


def test_what_no_floor_can_be_drawn_of_is_refused():
    with pytest.raises(ValueError, match="leaf_flip=2 must be from 0"):
        class_floor(GRAMMAR, Noise(leaf_flip=2), KEY, 100)
    with pytest.raises(ValueError, match="num_strings=1 must be at least 2"):
        next_token_floor(GRAMMAR, KEY, 1)

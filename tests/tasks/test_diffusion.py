import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from hierjax.exact import denoised, enumerate_language, enumerate_posteriors, observe_noisy
from hierjax.tasks import (
    DIFFUSIONS,
    NOT_ASKED,
    Diffusion,
    RandomHierarchySpec,
    draw_random_hierarchy,
)

STRINGS = jax.random.randint(jax.random.key(0), (4000, 6), 0, 4)
SPEC = RandomHierarchySpec(2, 3, 2, 2, 1)
GRAMMAR = draw_random_hierarchy(jax.random.key(1), SPEC)
"""Of four strings of two tokens, among nine."""


def follows(found, law):
    """Whether counts follow a law; what is rare is taken together."""
    law = np.asarray(law, float)
    expected = found.sum() * law / law.sum()
    never, common = expected < 1e-6, expected >= 5
    if found[never].any():
        return False
    counts, expected = (np.array([*x[common], x[~common].sum()]) for x in (found, expected))
    used = expected > 0
    distance = ((counts - expected)[used] ** 2 / expected[used]).sum()
    return chi2.sf(distance, max(used.sum() - 1, 1)) > 1e-5


def diffusion(kind, num_symbols=4, num_steps=5):
    return Diffusion(kind, num_symbols, num_steps)


@pytest.mark.parametrize("kind", DIFFUSIONS)
def test_each_step_replaces_its_share_as_the_kernel_says(kind):
    noise = diffusion(kind)
    step = jnp.arange(4000) % 5
    inputs, targets = noise.examples(jax.random.key(1), STRINGS, step)
    np.testing.assert_array_equal(inputs[:, 0], 5 + step)
    assert (targets[:, 0] == NOT_ASKED).all()
    seen, asked = inputs[:, 1:], targets[:, 1:] != NOT_ASKED
    np.testing.assert_array_equal(asked, (seen == 4) if kind == "absorbing" else asked | True)
    np.testing.assert_array_equal(targets[:, 1:][asked], STRINGS[asked])
    np.testing.assert_array_equal(seen[~asked], STRINGS[~asked])
    for index, kernel in enumerate(noise.kernels()):
        rows = np.arange(index, 4000, 5)
        for symbol in range(4):
            found = np.bincount(np.asarray(seen[rows][STRINGS[rows] == symbol]), minlength=5)
            assert follows(found, kernel[symbol])


def test_steps_that_are_not_given_are_uniform():
    steps = diffusion("uniform").examples(jax.random.key(2), STRINGS).inputs[:, 0] - 5
    assert follows(np.bincount(np.asarray(steps), minlength=5), np.ones(5))


@pytest.mark.parametrize("kind", DIFFUSIONS)
def test_the_exact_denoiser_is_enumeration_with_each_string_at_its_own_step(kind):
    spec = RandomHierarchySpec(3, 4, 2, 2, 2)
    grammar = draw_random_hierarchy(jax.random.key(3), spec)
    noise = diffusion(kind)
    inputs, _ = noise.examples(jax.random.key(4), grammar.sample(jax.random.key(5), 40).inputs)
    evidence = observe_noisy(spec, noise, inputs)
    expected = enumerate_posteriors(grammar, evidence)[1][-1]
    np.testing.assert_allclose(np.exp(denoised(grammar, noise, inputs)), expected, atol=1e-5)
    # The evidence is the noise's own law, of a language that is given by hand.
    rate = (np.asarray(inputs[:, :1, None]) - 4) / 5
    other = np.asarray(inputs[:, 1:, None])
    by_hand = np.where(other == 4, rate, (1 - rate) * (other == np.arange(4)))
    if kind == "uniform":
        by_hand = (1 - rate) * (other == np.arange(4)) + rate / 4
    np.testing.assert_allclose(np.exp(evidence.leaves), by_hand, atol=1e-6)


def law_of_the_chain(noise):
    """Probabilities of the strings (W^2,) that the chain of the exact denoiser ends with."""
    size = 4
    language = enumerate_language(GRAMMAR)
    weights = np.exp(language.log_probabilities)
    clean = language.levels[-1]
    eye, all_replaced = np.eye(size), np.asarray(noise.kernels()[-1, 0], float)
    kernels = [np.eye(3, 4), *np.asarray(noise.kernels(), float)]
    pairs = np.stack(np.divmod(np.arange(size**2), size), axis=1)
    law = np.prod(all_replaced[pairs], axis=1)
    for step in range(noise.num_steps, 0, -1):
        kept = (noise.num_steps - step) / (noise.num_steps - step + 1)
        once = kept * eye + (1 - kept) * all_replaced
        if noise.kind == "absorbing":
            once[3] = eye[3]
        after = np.zeros_like(law)
        for pair, mass in zip(pairs, law, strict=True):
            posterior = weights * np.prod(kernels[step][clean, pair], axis=1)
            if posterior.sum() == 0:  # Two tokens that came at once, and stay.
                after[pair @ [size, 1]] += mass
                continue
            posterior /= posterior.sum()
            back = []
            for place in range(2):
                given = kernels[step - 1] * once[:, pair[place]]  # (clean, before)
                given = given / np.maximum(given.sum(axis=1, keepdims=True), 1e-300)
                marginal = np.bincount(clean[:, place], posterior, minlength=3)
                back.append(marginal @ given)
            after += mass * np.outer(*back).ravel()
        law = after
    return law


@pytest.mark.parametrize("kind", DIFFUSIONS)
@pytest.mark.parametrize("num_steps", [2, 64])
def test_samples_of_the_exact_denoiser_follow_the_law_of_the_chain(kind, num_steps):
    noise = diffusion(kind, 3, num_steps)
    denoiser = functools.partial(denoised, GRAMMAR, noise)
    draw = jax.jit(lambda key: noise.sample(key, denoiser, 4000, 2))
    strings = np.asarray(draw(jax.random.key(6)))
    found = np.bincount(strings @ [4, 1], minlength=16)
    law = law_of_the_chain(noise)
    np.testing.assert_allclose(law.sum(), 1, rtol=1e-5)
    assert follows(found, law)
    # With many steps it is the language.
    wanted = np.zeros(16)
    language = enumerate_language(GRAMMAR)
    np.add.at(wanted, language.levels[-1] @ [4, 1], np.exp(language.log_probabilities))
    assert (np.abs(law - wanted).sum() / 2 < 0.03) == (num_steps == 64)


@pytest.mark.parametrize("kind", DIFFUSIONS)
def test_the_way_back_may_start_after_any_step(kind):
    """After the first step each token is drawn from its exact posterior, and then it is clean."""
    noise = diffusion(kind, 3, 3)
    start = jnp.broadcast_to(GRAMMAR.sample(jax.random.key(7), 1).inputs, (4000, 2))
    steps = jnp.arange(4000) % 3
    inputs, _ = noise.examples(jax.random.key(8), start, steps)
    denoiser = functools.partial(denoised, GRAMMAR, noise)
    back = jax.jit(lambda key, noisy: noise.reverse(key, denoiser, noisy, steps))
    ends = back(jax.random.key(9), inputs[:, 1:])
    first = steps == 0
    beliefs = np.exp(denoiser(inputs[first])).mean(axis=0)
    for place in range(2):
        found = np.bincount(np.asarray(ends[first, place]), minlength=3)
        assert follows(found, beliefs[place])
    lost = [(ends != start)[steps == step].mean() for step in range(3)]
    assert lost[0] < lost[1] < lost[2]
    if kind == "absorbing":
        kept = np.asarray(inputs[:, 1:] != 3)
        np.testing.assert_array_equal(ends[kept], start[kept])


def test_what_is_no_diffusion_is_refused():
    with pytest.raises(ValueError, match="kind='soft' is unknown: choose one of absorbing, unif"):
        diffusion("soft")
    with pytest.raises(ValueError, match="num_steps=0 must be at least 1"):
        diffusion("uniform", num_steps=0)
    with pytest.raises(ValueError, match="step are from 0 to 7, but must be from 0 to 4"):
        diffusion("uniform").examples(jax.random.key(0), STRINGS[:8], jnp.arange(8))
    inputs = diffusion("uniform").examples(jax.random.key(0), STRINGS[:8, :2]).inputs
    with pytest.raises(ValueError, match="num_symbols=4 of the noise must be 3"):
        observe_noisy(SPEC, diffusion("uniform"), inputs)
    with pytest.raises(ValueError, match="steps in front"):
        observe_noisy(SPEC, diffusion("uniform", 3), inputs[:, 1:])

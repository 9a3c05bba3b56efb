import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hierjax.tasks import (
    Noise,
    NoisyHierarchy,
    RandomHierarchySpec,
    check_noise,
    contains,
    corrupt,
    draw_random_hierarchy,
    label_kernel,
    leaf_kernel,
    make_split,
)
from tests.tasks.laws import check_task_laws

SPEC = RandomHierarchySpec(3, 5, 4, 2, 3)
NOISE = Noise(leaf_flip=0.3, leaf_mask=0.2, label_flip=0.4)


def test_laws_of_tasks():
    check_task_laws(lambda key: NoisyHierarchy(draw_random_hierarchy(key, SPEC), NOISE))


def test_symbols_are_seen_as_the_kernels_say():
    task = NoisyHierarchy(draw_random_hierarchy(jax.random.key(0), SPEC), NOISE)
    batch = task.sample(jax.random.key(1), 20_000)
    np.testing.assert_array_equal(
        batch.latents[-1],
        task.grammar.sample(jax.random.fold_in(jax.random.key(1), 0), 20_000).inputs,
    )
    pairs = (
        (batch.latents[-1], batch.inputs, leaf_kernel(NOISE, 5)),
        (batch.latents[0][:, 0], batch.labels, label_kernel(NOISE, 3)),
    )
    for true, seen, kernel in pairs:
        np.testing.assert_allclose(kernel.sum(axis=1), 1, rtol=1e-6)
        table = np.zeros(kernel.shape)
        np.add.at(table, (np.asarray(true).ravel(), np.asarray(seen).ravel()), 1)
        expected = table.sum(axis=1, keepdims=True) * np.asarray(kernel, np.float64)
        freedom = kernel.shape[0] * (kernel.shape[1] - 1)
        assert stats.chi2.sf(((table - expected) ** 2 / expected).sum(), freedom) > 1e-5
    # Neighbouring leaves are corrupted independently.
    same = np.asarray(batch.inputs == batch.latents[-1])
    assert abs(np.corrcoef(same[:, 0], same[:, 1])[0, 1]) < 0.03


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_no_noise_and_nothing_but_noise(rate):
    grammar = draw_random_hierarchy(jax.random.key(0), SPEC)
    batch = grammar.sample(jax.random.key(1), 3000)
    key = jax.random.key(2)
    flipped = corrupt(Noise(leaf_flip=rate, label_flip=rate), key, batch, SPEC)
    masked = corrupt(Noise(leaf_mask=rate), key, batch, SPEC)
    if rate == 0:
        for each in (flipped, masked):
            np.testing.assert_array_equal(each.inputs, batch.inputs)
            np.testing.assert_array_equal(each.labels, batch.labels)
    else:
        assert (masked.inputs == 5).all()
        assert stats.chisquare(np.bincount(flipped.inputs.ravel(), minlength=5)).pvalue > 1e-5


def test_a_split_is_of_clean_strings_and_rates_may_be_traced():
    grammar = draw_random_hierarchy(jax.random.key(0), SPEC)
    test = make_split(grammar, jax.random.key(1), 50, 20).test
    # All look the same, and are told apart all the same.
    blank = make_split(NoisyHierarchy(grammar, Noise(leaf_mask=1.0)), jax.random.key(1), 50, 20)
    assert blank.num_unseen == 20
    assert not contains(blank.train.latents[-1], blank.test.latents[-1]).any()
    rates = jnp.array([0.0, 0.5])
    many = jax.vmap(lambda e: corrupt(Noise(leaf_flip=e), jax.random.key(3), test, SPEC))(rates)
    for lane, rate in enumerate(rates):
        one = corrupt(Noise(leaf_flip=rate), jax.random.key(3), test, SPEC)
        np.testing.assert_array_equal(many.inputs[lane], one.inputs)


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
@pytest.mark.parametrize("name", ["leaf_flip", "leaf_mask", "label_flip"])
def test_rates_out_of_range_are_refused(name, rate):
    with pytest.raises(ValueError, match=f"{name}={rate} must be from 0, for no noise, to 1"):
        check_noise(Noise(**{name: rate}))

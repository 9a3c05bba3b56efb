import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hierjax.exact import next_tokens, observe
from hierjax.models import Transformer
from hierjax.tasks import (
    NOT_ASKED,
    RandomHierarchySpec,
    draw_random_hierarchy,
    each_token,
    last_token,
    masked_tokens,
    next_token,
    sibling_token,
)
from hierjax.train import TOKEN_CROSS_ENTROPY, Descent, Network

STRINGS = jax.random.randint(jax.random.key(0), (500, 6), 0, 4)


def test_the_next_token_is_asked_of_those_before_it():
    inputs, targets = next_token(STRINGS.astype(jnp.uint8), 4)
    np.testing.assert_array_equal(targets, STRINGS)
    np.testing.assert_array_equal(inputs[:, 1:], STRINGS[:, :-1])
    assert (inputs[:, 0] == 4).all()


def test_what_is_erased_is_asked_and_nothing_else():
    key = jax.random.key(1)
    for examples in (last_token(STRINGS, 4), masked_tokens(key, STRINGS, 4, 0.3)):
        erased = np.asarray(examples.inputs == 4)
        np.testing.assert_array_equal(np.where(erased, STRINGS, examples.inputs), STRINGS)
        np.testing.assert_array_equal(examples.targets, np.where(erased, STRINGS, NOT_ASKED))
    assert abs(erased.mean() - 0.3) < 4 * (0.3 * 0.7 / erased.size) ** 0.5
    np.testing.assert_array_equal(last_token(STRINGS, 4).inputs[:, :-1], STRINGS[:, :-1])
    assert (last_token(STRINGS, 4).inputs[:, -1] == 4).all()


def test_every_token_is_asked_once_given_all_others():
    inputs, targets = (each.reshape(500, 6, 6) for each in each_token(STRINGS, 4))
    own = np.eye(6, dtype=bool)[None]
    np.testing.assert_array_equal(inputs, np.where(own, 4, STRINGS[:, None]))
    np.testing.assert_array_equal(targets, np.where(own, STRINGS[:, None], NOT_ASKED))


def test_siblings_are_asked_in_turn():
    strings = jnp.arange(12)[None]
    examples = sibling_token(strings, span=2, num_siblings=3)
    np.testing.assert_array_equal(examples.inputs, strings)
    expected = [2, 3, 4, 5, 0, 1, 8, 9, 10, 11, 6, 7]
    np.testing.assert_array_equal(examples.targets, [expected])
    with pytest.raises(ValueError, match="cannot be cut into families of 5 patches of 2 tokens"):
        sibling_token(strings, span=2, num_siblings=5)


@pytest.mark.parametrize("rate", [0.0, 1.5, float("nan")])
def test_a_rate_that_asks_nothing_is_refused(rate):
    with pytest.raises(ValueError, match=f"rate={rate} must be above 0"):
        masked_tokens(jax.random.key(0), STRINGS, 4, rate)


def test_losses_are_sums_over_what_is_asked(untyped):
    scores = jax.random.normal(jax.random.key(2), (500, 6, 4))
    _, targets = masked_tokens(jax.random.key(1), STRINGS, 4, 0.3)
    logs = np.asarray(scores - jax.scipy.special.logsumexp(scores, axis=-1, keepdims=True))
    expected = [
        -sum(logs[row, place, t] for place, t in enumerate(each) if t != NOT_ASKED)
        for row, each in enumerate(np.asarray(targets))
    ]
    np.testing.assert_allclose(TOKEN_CROSS_ENTROPY.per_example(scores, targets), expected, 1e-5)
    with pytest.raises(ValueError, match="the token that is asked for at each position"):
        TOKEN_CROSS_ENTROPY.per_example(scores, targets[:, 0])


def test_a_trained_transformer_reaches_the_floor_of_exact_inference():
    """Of a language of 64 strings, all of which it sees many times."""
    grammar = draw_random_hierarchy(jax.random.key(3), RandomHierarchySpec(8, 6, 2, 2, 2))
    strings = grammar.sample(jax.random.key(4), 4096).inputs
    steps = 400

    def optimizer(rate):
        return optax.adamw(optax.cosine_decay_schedule(rate, steps))

    network = Network(
        Transformer(7, 6, 4, width=16, num_blocks=2, num_heads=2),
        Descent(optimizer, (1e-2,), steps, 64),
        loss=TOKEN_CROSS_ENTROPY,
    )
    inputs, targets = next_token(strings, 6)
    params = jax.jit(network.fit)(jax.random.key(5), inputs, targets)
    losses = TOKEN_CROSS_ENTROPY.per_example(network.apply(params, inputs), targets)
    ahead = next_tokens(grammar, observe(grammar.spec, strings)).probabilities
    floors = -jnp.log(jnp.take_along_axis(ahead, targets[..., None], axis=-1)).sum(axis=(1, 2))
    np.testing.assert_allclose(floors, np.log(64), rtol=1e-5)
    assert -0.01 < losses.mean() - floors.mean() < 0.1

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hierjax.models import PRECISIONS, TreeDenoiser
from hierjax.tasks import Diffusion, masked_tokens
from hierjax.train import TOKEN_CROSS_ENTROPY, Descent, Network, TrainedNetwork

NET = TreeDenoiser((2, 3), num_symbols=5, num_steps=4, width=16)
STRINGS = jax.random.randint(jax.random.key(0), (6, 6), 0, 5)
NOISY, TARGETS = Diffusion("absorbing", 5, 4).examples(jax.random.key(1), STRINGS)


@functools.cache
def variables():
    return jax.jit(NET.init)(jax.random.key(2), NOISY)


def test_every_token_sees_every_leaf_and_the_step():
    apply = jax.jit(NET.apply)
    before = apply(variables(), NOISY)
    np.testing.assert_array_equal(before[:, 0], 0)
    for place in range(7):
        low, count = (6, 4) if place == 0 else (0, 6)
        others = low + (NOISY[:, place] - low + 1) % count
        after = apply(variables(), NOISY.at[:, place].set(others))
        assert (before != after).any(axis=(0, 2))[1:].all()


def test_without_steps_it_fills_in_what_is_masked():
    net = NET.clone(num_steps=0)
    inputs, targets = masked_tokens(jax.random.key(3), STRINGS, 5, 0.5)
    descent = Descent(optax.adam, (0.01,), 150, 6)
    params = jax.jit(Network(net, descent, loss=TOKEN_CROSS_ENTROPY).fit)(
        jax.random.key(4), inputs, targets
    )
    losses = TOKEN_CROSS_ENTROPY.per_example(net.apply(params.variables, inputs), targets)
    assert losses.max() < 0.1


def test_a_network_tells_what_each_layer_itself_makes():
    network = Network(NET, Descent(optax.adam, (1.0,), 1))
    trained = TrainedNetwork(variables(), None, jnp.float32(0), jnp.int32(0))
    hidden = network.hidden(trained, NOISY)
    assert [each.shape[1:] for each in hidden] == [(3, 16), (1, 16), (3, 16), (6, 16)]
    scores = NET.apply(variables(), tuple(hidden), method="readout")
    np.testing.assert_array_equal(scores, network.apply(trained, NOISY))


def test_nodes_of_a_level_share_their_weights():
    """Subtrees that change places do so in what comes out, if the top does not tell them apart."""
    blind = jax.tree.map(lambda leaf: leaf, variables())
    # The layer below the root is told nothing of its children, nor which is which.
    kernel = blind["params"]["layers_2"]["kernel"]
    same = jnp.tile(kernel[:, :16, :16], (1, 1, 3))
    blind["params"]["layers_2"]["kernel"] = jnp.concatenate([same, 0 * kernel[:, 16:]], axis=1)
    up = blind["params"]["layers_1"]
    up["kernel"] = jnp.repeat(up["kernel"][:1], 3, axis=0)
    swapped = NOISY[:, [0, 3, 4, 1, 2, 5, 6]]
    scores, others = (NET.apply(blind, each) for each in (NOISY, swapped))
    np.testing.assert_allclose(scores[:, [0, 3, 4, 1, 2, 5, 6]], others, atol=1e-5)
    assert np.abs(scores[:, 1:3] - others[:, 1:3]).max() > 0.01


@pytest.mark.parametrize("precision", PRECISIONS)
def test_remat_and_precision_change_roundings_alone(precision):
    net = NET.clone(precision=precision, remat=True)
    scores, expected = (each.apply(variables(), NOISY) for each in (net, NET))
    assert scores.dtype == jnp.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5 if precision == "float32" else 0.1)


def test_what_it_is_not_made_for_is_refused():
    with pytest.raises(ValueError, match=r"shape \(6, 6\), but must have \(any, 7\)"):
        NET.apply(variables(), NOISY[:, 1:])
    with pytest.raises(ValueError, match="numbers in front less V \\+ 1 are from -1 to 2"):
        NET.apply(variables(), NOISY.at[:, 0].set(jnp.arange(6) % 4 + 5))

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.models import PRECISIONS, Transformer

NET = Transformer(num_inputs=6, num_outputs=5, length=7, width=16, num_blocks=2, num_heads=2)
TOKENS = jax.random.randint(jax.random.key(0), (3, 7), 0, 6)
PARAMS = NET.init(jax.random.key(1), TOKENS)


def changes(net, place):
    """(T,) whether scores at each position change with the token at one place."""
    other = TOKENS.at[:, place].set((TOKENS[:, place] + 1) % 6)
    before, after = net.apply(PARAMS, TOKENS), net.apply(PARAMS, other)
    return np.abs(before - after).max(axis=(0, 2)) > 0


@pytest.mark.parametrize("place", range(7))
def test_only_a_causal_one_is_blind_to_what_comes_after(place):
    np.testing.assert_array_equal(changes(NET, place), np.arange(7) >= place)
    assert changes(NET.clone(causal=False), place).all()


@pytest.mark.parametrize("place", [0, 3, 4, 11])
def test_blocks_see_their_own_spans_alone(place):
    net = NET.clone(length=12, causal=False, spans=(2, 4))
    tokens = jax.random.randint(jax.random.key(0), (3, 12), 0, 6)
    params = net.init(jax.random.key(1), tokens)
    other = tokens.at[:, place].set((tokens[:, place] + 1) % 6)

    def after(tokens, count):
        hidden = net.apply(params, tokens, method="embed")
        for index in range(count):
            hidden = net.apply(params, hidden, index, method="layer")
        return hidden

    for count, span in ((1, 2), (2, 4)):
        changed = np.abs(after(other, count) - after(tokens, count)).max(axis=(0, 2)) > 0
        np.testing.assert_array_equal(changed, np.arange(12) // span == place // span)
    found = net.apply(params, tokens, method="attention")
    assert [each.shape for each in found] == [(18, 2, 2, 2), (9, 2, 4, 4)]


def test_gradients_of_a_position_with_respect_to_later_features_are_zero():
    hidden = NET.apply(PARAMS, TOKENS, method="embed")

    def features_there(hidden):
        return NET.apply(PARAMS, hidden, 0, method="layer")[:, 3] ** 2

    slopes = jax.grad(lambda hidden: features_there(hidden).sum())(hidden)
    np.testing.assert_array_equal(np.abs(slopes).max(axis=(0, 2)) > 0, np.arange(7) <= 3)


def test_without_positions_it_does_not_know_the_order_of_what_it_sees():
    blind = jax.tree.map(lambda leaf: leaf, PARAMS)
    blind["params"]["positions"] = jnp.zeros_like(blind["params"]["positions"])
    net, order = NET.clone(causal=False), jnp.array([4, 2, 6, 0, 1, 5, 3])
    scores, permuted = (net.apply(blind, each) for each in (TOKENS, TOKENS[:, order]))
    np.testing.assert_allclose(scores[:, order], permuted, atol=1e-5)
    assert np.abs(net.apply(PARAMS, TOKENS[:, order]) - permuted).max() > 0.01


def test_attention_is_the_softmax_of_products():
    """In double precision, of the first block; both of a sum of 1, and blind to what is ahead."""
    found = NET.apply(PARAMS, TOKENS, method="attention")
    hidden = np.float64(NET.apply(PARAMS, TOKENS, method="embed"))
    block = jax.tree.map(np.float64, PARAMS["params"]["layers_0"])
    norm, dense = block["before_attention"], block["attention_first"]
    hidden -= hidden.mean(axis=-1, keepdims=True)
    hidden /= np.sqrt((hidden**2).mean(axis=-1, keepdims=True) + 1e-6)
    projected = (hidden * norm["scale"] + norm["bias"]) @ dense["kernel"] + dense["bias"]
    queries, keys = np.moveaxis(projected.reshape(3, 7, 3, 2, 8), 2, 0)[:2]
    weights = np.exp(np.einsum("nthk,nshk->nhts", queries, keys) / np.sqrt(8)) * np.tri(7)
    weights /= weights.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found[0], weights, atol=1e-5)
    np.testing.assert_allclose(found[1].sum(axis=-1), 1, rtol=1e-5)
    assert (np.asarray(found[1]) * (1 - np.tri(7)) == 0).all()
    assert np.abs(found[1] - found[0]).max() > 1e-3


def test_positions_that_are_numbers_are_one_more_input():
    net = NET.clone(positions="number", num_blocks=1)
    params, apply = net.init(jax.random.key(1), TOKENS), jax.jit(net.apply)
    hidden = net.apply(params, TOKENS, method="embed")
    seen = jnp.concatenate([jax.nn.one_hot(TOKENS, 6), jnp.zeros((3, 7, 1))], axis=-1)
    seen = seen.at[..., 6].set(jnp.arange(7)[None] / 7)
    kernel = jnp.concatenate(
        [params["params"]["tokens"]["kernel"], params["params"]["positions"]], axis=0
    )
    np.testing.assert_allclose(hidden, seen @ kernel, atol=1e-6)
    # The first tokens of a longer string are read as a string of their own.
    scores = apply(params, TOKENS)
    np.testing.assert_allclose(apply(params, TOKENS[:, :4]), scores[:, :4], atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_remat_and_precision_change_roundings_alone(precision):
    net = NET.clone(precision=precision, remat=True)
    assert jax.tree.structure(net.init(jax.random.key(1), TOKENS)) == jax.tree.structure(PARAMS)
    scores, expected = net.apply(PARAMS, TOKENS), NET.apply(PARAMS, TOKENS)
    assert scores.dtype == jnp.float32
    bound = 1e-5 if precision == "float32" else 0.1
    np.testing.assert_allclose(scores, expected, atol=bound)


def test_what_it_is_not_made_for_is_refused():
    with pytest.raises(ValueError, match="width=16 cannot be divided between num_heads=3"):
        NET.clone(num_heads=3)
    with pytest.raises(ValueError, match=r"inputs have shape \(3, 6\), but must have \(any, 7\)"):
        NET.apply(PARAMS, TOKENS[:, :6])
    with pytest.raises(ValueError, match="6"):
        NET.apply(PARAMS, TOKENS + 1)
    with pytest.raises(ValueError, match=r"spans=\(2, 4\) must be num_blocks=2 numbers"):
        NET.clone(spans=(2, 4))
    with pytest.raises(ValueError, match=r"spans=\(7, 0\) must be num_blocks=2 numbers"):
        NET.clone(spans=(7, 0))
    with pytest.raises(ValueError, match="positions='sines' must be one of learned, number"):
        NET.clone(positions="sines")
    short = NET.clone(positions="number", length=6)
    with pytest.raises(ValueError, match="strings have 7 tokens, but the model has length=6"):
        short.init(jax.random.key(1), TOKENS)

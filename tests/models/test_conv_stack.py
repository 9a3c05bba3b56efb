import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hierjax.models.conv_stack import ACTIVATIONS, ConvStack, PatchConv

STACK = ConvStack(branching=(3, 2), vocab_size=5, num_classes=4, width=16)


def test_patch_conv_is_nn_conv():
    inputs = jax.random.normal(jax.random.key(0), (7, 12, 5))
    ours, theirs = PatchConv(8, 3), nn.Conv(8, (3,), strides=3, padding="VALID")
    params = theirs.init(jax.random.key(1), inputs)
    chex.assert_trees_all_equal_shapes(params, ours.init(jax.random.key(1), inputs))
    params = jax.tree.map(lambda x: x + 0.1, params)
    np.testing.assert_allclose(
        ours.apply(params, inputs), theirs.apply(params, inputs), rtol=1e-5, atol=1e-5
    )


def test_patches_must_tile_the_input():
    with pytest.raises(ValueError, match="7 positions cannot be cut into patches of 2"):
        PatchConv(8, 2).init(jax.random.key(0), jnp.zeros((1, 7, 3)))


def test_layers_make_the_whole():
    tokens = jax.random.randint(jax.random.key(0), (9, 6), 0, 5)
    variables = STACK.init(jax.random.key(1), tokens)
    hidden = STACK.apply(variables, tokens, method="embed")
    for index, positions in enumerate((2, 1)):
        hidden = STACK.apply(variables, hidden, index, method="layer")
        assert hidden.shape == (9, positions, 16)
    by_layers = STACK.apply(variables, hidden, method="readout")
    np.testing.assert_array_equal(by_layers, STACK.apply(variables, tokens))


def test_a_layer_sees_its_own_patch_only():
    tokens = jax.random.randint(jax.random.key(0), (1, 6), 0, 5)
    variables = STACK.init(jax.random.key(1), tokens)

    def first_layer(string):
        hidden = STACK.apply(variables, string, method="embed")
        return STACK.apply(variables, hidden, 0, method="layer")[0]

    changed = first_layer(tokens.at[0, 5].add(1) % 5)
    same = jnp.all(changed == first_layer(tokens), axis=-1)
    assert same.tolist() == [True, False]
    # Weights are shared: the same patch gives the same features anywhere.
    swapped = first_layer(jnp.roll(tokens, 3, axis=1))
    np.testing.assert_allclose(swapped, first_layer(tokens)[::-1], rtol=1e-6)


@pytest.mark.parametrize(("scaling", "power"), [("ntk", 0), ("mean_field", -1)])
def test_readout_scales_with_width(scaling, power):
    """Outputs at initialisation have a spread of W^0 (NTK) or W^(-1/2) (mean field)."""
    tokens = jax.random.randint(jax.random.key(0), (64, 6), 0, 5)

    def spread(width):
        stack = ConvStack((3, 2), 5, 50, width, scaling=scaling)
        keys = jax.random.split(jax.random.key(1), 4)
        scores = jax.jit(jax.vmap(lambda key: stack.init_with_output(key, tokens)[0]))(keys)
        return np.asarray(scores).std()

    ratio = spread(512) / spread(32)
    np.testing.assert_allclose(ratio, 16 ** (power / 2), rtol=0.2)


# An indicator has no gradient.
@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"indicator"}))
def test_all_weights_are_trained(activation):
    stack = ConvStack((2, 2), 4, 3, 32, activation)
    tokens = jax.random.randint(jax.random.key(0), (16, 4), 0, 4)
    variables = jax.jit(stack.init)(jax.random.key(1), tokens)
    gradients = jax.jit(jax.grad(lambda v: jnp.mean(stack.apply(v, tokens) ** 2)))(variables)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(jax.device_get(gradients)))


def test_strings_of_another_length_are_refused():
    with pytest.raises(ValueError, match="strings of length 5 do not match"):
        STACK.init(jax.random.key(0), jnp.zeros((1, 5), jnp.int32))

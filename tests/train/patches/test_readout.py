import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.exact import next_tokens, observe
from hierjax.tasks import Batch, RandomHierarchySpec, draw_random_hierarchy
from hierjax.train import forward, train_layerwise
from hierjax.train.patches.context import ContextConfig, context_layers
from hierjax.train.patches.readout import carried, token_readout
from hierjax.train.stopped import StoppedTraining

SPEC = RandomHierarchySpec(6, 6, 2, 2, 3)
TRAINING = StoppedTraining(num_steps=400, learning_rate=0.01)
CONTEXT = context_layers(SPEC, ContextConfig(num_features=64))
GRAMMAR = draw_random_hierarchy(jax.random.key(0), SPEC)
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def stack():
    layers = (*carried(SPEC, CONTEXT), token_readout(SPEC, CONTEXT, TRAINING, 32))

    @jax.jit
    def train(key):
        strings = GRAMMAR.sample(key, 4000).inputs
        return train_layerwise(layers, Batch(strings, strings, ()), KEY)

    return layers, train(jax.random.key(1))


def test_what_was_found_without_labels_tells_the_next_token_as_well_as_exact_inference(stack):
    layers, params = stack

    @jax.jit
    def excess(key):
        strings = GRAMMAR.sample(key, 1000).inputs
        logs = jax.nn.log_softmax(forward(layers, params, strings))
        best = jnp.log(next_tokens(GRAMMAR, observe(SPEC, strings)).probabilities)
        places = strings[..., None].astype(int)
        return (jnp.take_along_axis(best - logs, places, axis=-1)).sum(axis=1).mean()

    assert 0 < excess(jax.random.key(9)) < 0.2


def test_tokens_to_come_change_nothing(stack):
    layers, params = stack
    strings = GRAMMAR.sample(jax.random.key(5), 1).inputs
    changed = (strings + jnp.triu(jnp.ones((8, 8), strings.dtype))) % 6
    scores = jax.jit(lambda strings: forward(layers, params, strings))
    before, after = scores(strings)[0], scores(changed)
    for first in range(8):
        assert (changed[first] != strings[0]).nonzero()[0].tolist() == list(range(first, 8))
        np.testing.assert_allclose(after[first, : first + 1], before[: first + 1], atol=1e-5)


def test_a_row_holds_all_that_was_made_of_a_string(stack):
    layers, params = stack
    strings = GRAMMAR.sample(jax.random.key(5), 3).inputs
    row = forward(layers, params[:2], strings)
    plain = [forward(CONTEXT, params[:count], strings) for count in (2, 1)]
    expected = [each.reshape(3, -1) for each in (*plain, strings)]
    np.testing.assert_array_equal(row, np.concatenate(expected, axis=1))


def test_one_layer_alone_tells_tokens_by_their_own_block():
    layers = carried(SPEC, CONTEXT[:1])
    readout = token_readout(SPEC, CONTEXT[:1], TRAINING)
    rows = jax.ShapeDtypeStruct((5, 4 * 5 + 8), jnp.float32)
    assert (len(layers), readout.module.num_blocks) == (1, 2)
    scores = jax.eval_shape(lambda rows: readout.module.init_with_output(KEY, rows)[0], rows)
    assert scores.shape == (5, 8, 6)

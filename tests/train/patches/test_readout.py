import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.exact import next_tokens, observe, other_tokens
from hierjax.tasks import Batch, RandomHierarchySpec, draw_random_hierarchy
from hierjax.train import forward, train_layerwise
from hierjax.train.adamw import StoppedTraining
from hierjax.train.patches.context import ContextConfig, context_layers
from hierjax.train.patches.readout import as_rows, token_readout

SPEC = RandomHierarchySpec(6, 6, 2, 2, 3)
TRAINING = StoppedTraining(num_steps=400, learning_rate=0.01)
CONTEXT = context_layers(SPEC, ContextConfig(num_features=64))
SIZES = [layer.embedding_dim for layer in CONTEXT]
GRAMMAR = draw_random_hierarchy(jax.random.key(0), SPEC)
KEY = jax.random.key(3)


def rows_of(params, strings):
    """What the context layers have found of strings, as the read-out takes it."""
    return as_rows([forward(CONTEXT, params[:count], strings) for count in (1, 2)], strings)


@pytest.fixture(scope="module", params=[False, True], ids=["next", "masked"])
def trained(request):
    """Whether tokens are told by those on both sides, and strings -> their scores."""
    readout = token_readout(SPEC, SIZES, TRAINING, 32, request.param)

    @jax.jit
    def train(key):
        strings = GRAMMAR.sample(key, 4000).inputs
        below = train_layerwise(CONTEXT, Batch(strings, strings, ()), KEY)
        return below, readout.fit(jax.random.fold_in(KEY, 2), rows_of(below, strings), strings)

    below, params = train(jax.random.key(1))
    return request.param, jax.jit(lambda strings: readout.apply(params, rows_of(below, strings)))


def test_what_was_found_without_labels_tells_tokens_as_well_as_exact_inference(trained):
    both, scores = trained
    strings = GRAMMAR.sample(jax.random.key(9), 1000).inputs
    told = other_tokens if both else next_tokens
    best = jnp.log(told(GRAMMAR, observe(SPEC, strings)).probabilities)
    gaps = best - jax.nn.log_softmax(scores(strings))
    own = jnp.take_along_axis(gaps, strings[..., None].astype(int), axis=-1)
    assert 0 < own.sum(axis=1).mean() < 0.2


def test_tokens_that_are_not_told_change_nothing(trained):
    both, scores = trained
    strings = GRAMMAR.sample(jax.random.key(5), 1).inputs
    other = (strings + 1) % 6
    for place in range(8):
        hidden = jnp.arange(8) == place if both else jnp.arange(8) >= place
        changed = scores(jnp.where(hidden[None], other, strings))
        np.testing.assert_allclose(changed[0, place], scores(strings)[0, place], atol=1e-5)


def test_a_row_holds_all_that_was_found_root_side_first():
    strings = GRAMMAR.sample(jax.random.key(5), 3).inputs
    low, high = jax.random.normal(KEY, (3, 4, 2)), jax.random.normal(KEY, (3, 2, 5))
    expected = [each.reshape(3, -1) for each in (high, low, strings)]
    np.testing.assert_array_equal(as_rows([low, high], strings), np.concatenate(expected, axis=1))


def test_one_level_alone_tells_tokens_by_their_own_block():
    readout = token_readout(SPEC, SIZES[:1], TRAINING)
    rows = jax.ShapeDtypeStruct((5, 4 * 5 + 8), jnp.float32)
    assert readout.module.num_blocks == 2
    scores = jax.eval_shape(lambda rows: readout.module.init_with_output(KEY, rows)[0], rows)
    assert scores.shape == (5, 8, 6)

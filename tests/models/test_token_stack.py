import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hierjax.models import PRECISIONS, ConvStack, TokenStack, complete_before
from hierjax.tasks import NOT_ASKED, last_token, next_token
from hierjax.train import TOKEN_CROSS_ENTROPY, Descent, Network, TrainedNetwork

SIZES = {"branching": (2, 3, 2), "num_symbols": 5, "width": 8, "num_units": 16}
STRINGS = jax.random.randint(jax.random.key(0), (4, 12), 0, 5)
STACKS = {
    (causal, tied): TokenStack(**SIZES, causal=causal, tied=tied)
    for causal in (True, False)
    for tied in (True, False)
}
NEXT = next_token(STRINGS, 5).inputs


@functools.cache
def variables(causal, tied):
    return STACKS[causal, tied].init(jax.random.key(1), NEXT)


@pytest.mark.parametrize("tied", [True, False])
def test_causal_scores_do_not_change_with_the_tokens_from_their_position_on(tied):
    apply = jax.jit(STACKS[True, tied].apply)
    before = apply(variables(True, tied), NEXT)
    for place in range(12):
        strings = STRINGS.at[:, place].set((STRINGS[:, place] + 1) % 5)
        after = apply(variables(True, tied), next_token(strings, 5).inputs)
        changed = (before != after).any(axis=(0, 2))
        # Every token counts for all that come after it.
        np.testing.assert_array_equal(changed, np.arange(12) > place)


@pytest.mark.parametrize("tied", [True, False])
def test_the_last_token_is_scored_with_all_others_in_sight(tied):
    apply = jax.jit(STACKS[False, tied].apply)
    before = apply(variables(False, tied), last_token(STRINGS, 5).inputs)
    np.testing.assert_array_equal(before[:, :-1], 0)
    for place in range(12):
        strings = STRINGS.at[:, place].set((STRINGS[:, place] + 1) % 5)
        after = apply(variables(False, tied), last_token(strings, 5).inputs)
        assert (before != after).any() == (place < 11)


def test_subtrees_before_a_leaf_hold_each_leaf_before_it_once():
    # Features of a node are the leaves below it.
    leaves = jnp.eye(12)[None]
    pairs = leaves.reshape(1, 6, 2, 12).sum(axis=2)
    sixes = pairs.reshape(1, 2, 3, 12).sum(axis=2)
    seen = complete_before((leaves, pairs, sixes), (2, 3, 2)).reshape(12, 4, 12)
    np.testing.assert_array_equal(seen.sum(axis=1), np.tril(np.ones((12, 12)), -1))
    # Leaf 10 comes after a six, and two of three pairs.
    spans = [np.flatnonzero(row).tolist() for row in seen[10]]
    assert spans == [[], [6, 7], [8, 9], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("causal", [True, False])
def test_with_equal_weights_a_locally_connected_stack_is_the_tied_one(causal):
    tied, untied = (variables(causal, tied) for tied in (True, False))
    repeated = jax.tree.map(lambda one, all_: jnp.broadcast_to(one, all_.shape), tied, untied)
    scores = STACKS[causal, False].apply(repeated, NEXT)
    np.testing.assert_allclose(scores, STACKS[causal, True].apply(tied, NEXT), atol=1e-5)
    # By itself each patch starts from weights of its own, of the same size.
    own = untied["params"]["stack"]["layers_0"]["kernel"]
    assert own.shape == (6, *tied["params"]["stack"]["layers_0"]["kernel"].shape)
    assert np.asarray(own).std(axis=(1, 2, 3)).min() > 0.3 * (2 / 12) ** 0.5
    assert (own[0] != own[1]).all()


def test_the_last_token_is_a_class_of_a_stack_on_what_is_left():
    inputs, targets = last_token(STRINGS, 5)
    classes = ConvStack((2, 3, 2), 6, 5, 8)
    own = {"params": variables(False, True)["params"]["stack"]}
    scores = STACKS[False, True].apply(variables(False, True), inputs)
    np.testing.assert_array_equal(scores[:, -1], classes.apply(own, inputs))
    losses = TOKEN_CROSS_ENTROPY.per_example(scores, targets)
    wanted = -jax.nn.log_softmax(classes.apply(own, inputs))[jnp.arange(4), STRINGS[:, -1]]
    np.testing.assert_allclose(losses, wanted, rtol=1e-6)
    assert (targets[:, :-1] == NOT_ASKED).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_remat_and_precision_change_roundings_alone(precision):
    net = STACKS[True, True].clone(precision=precision, remat=True)
    scores, expected = (
        each.apply(variables(True, True), NEXT) for each in (net, STACKS[True, True])
    )
    assert scores.dtype == jnp.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5 if precision == "float32" else 0.1)


def test_a_network_tells_what_each_layer_itself_makes():
    network = Network(STACKS[True, True], Descent(optax.adam, (1.0,), 1))
    trained = TrainedNetwork(variables(True, True), None, jnp.float32(0), jnp.int32(0))
    hidden = network.hidden(trained, NEXT)
    assert [each.shape for each in hidden] == [(4, 6, 8), (4, 2, 8)]
    leaves = STACKS[True, True].apply(trained.variables, NEXT, method="embed")
    scores = STACKS[True, True].apply(trained.variables, (*leaves, *hidden), method="readout")
    np.testing.assert_array_equal(scores, network.apply(trained, NEXT))


def test_strings_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"shape \(4, 11\), but must have \(any, 12\)"):
        STACKS[True, True].apply(variables(True, True), NEXT[:, :11])

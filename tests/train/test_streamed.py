import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from hierjax.train.descent import Descent
from hierjax.train.losses import SQUARED
from hierjax.train.network import Network
from hierjax.train.streamed import Streamed

KEY = jax.random.key(3)
# Rounds of 6 steps, the last of which has 2 to spare.
DESCENT = Descent(optax.sgd, (0.1,), 16, 4, in_order=True, steps_per_round=6)
NETWORK = Network(nn.Dense(1), DESCENT, loss=SQUARED)


def draw(key, source, n):
    inputs = jax.random.normal(key, (n, 3)) + source
    return inputs, inputs[:, 0] - inputs[:, 1]


STREAMED = Streamed(NETWORK, draw)
SOURCE = jnp.float32(0.5)


def test_every_example_of_a_round_is_seen_once():
    """All rounds together are one fit on all that was drawn, one after another."""
    rounds = [draw(jax.random.fold_in(KEY, step), SOURCE, 24) for step in (0, 6, 12)]
    inputs, targets = (jnp.concatenate(parts) for parts in zip(*rounds, strict=True))
    whole = jax.jit(NETWORK.fit)(KEY, inputs, targets)
    found = jax.jit(STREAMED.fit)(KEY, SOURCE, None)
    assert found.num_steps == 16
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6),
        found.variables,
        whole.variables,
    )
    points = inputs[:5]
    np.testing.assert_array_equal(STREAMED.apply(found, points), NETWORK.apply(found, points))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"in_order": False}, "must take examples in_order"),
        ({"learning_rates": (0.1, 0.2)}, "need held-out examples"),
        ({"penalties": (0.1, 0.2)}, "need held-out examples"),
        ({"patience": 3}, "need held-out examples"),
    ],
)
def test_what_a_stream_has_not_is_refused(changes, words):
    network = dataclasses.replace(NETWORK, descent=dataclasses.replace(DESCENT, **changes))
    with pytest.raises(ValueError, match=words):
        Streamed(network, draw)

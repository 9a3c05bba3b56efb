import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from hierjax.train.descent import Descent
from hierjax.train.losses import SQUARED
from hierjax.train.network import Network
from hierjax.train.probed import Probed

KEY = jax.random.key(0)
INPUTS = jax.random.normal(jax.random.key(1), (40, 3))
LABELS = INPUTS @ jnp.array([1.0, -2.0, 0.5]) + 1
LAYER = Network(nn.Dense(1), Descent(optax.adam, (0.05,), 50, 8, steps_per_round=20), loss=SQUARED)


def probe(params):
    """Numbers of several shapes and kinds."""
    values = LAYER.apply(params, INPUTS)[:, 0]
    return {"steps": params.num_steps, "loss": ((values - LABELS) ** 2).mean(), "some": values[:4]}


PROBED = Probed(LAYER, probe, (0, 1, 3, 5))


def states_of(layer):
    """After 0, 1, 2, ... rounds."""

    @jax.jit
    def go_on(state):
        state = layer.advance(KEY, state, INPUTS, LABELS)
        return layer.decide(KEY, state, INPUTS, LABELS)

    states = [layer.start(KEY, INPUTS, LABELS)]
    while states[-1].progress < 1:
        states.append(go_on(states[-1]))
    return states


@pytest.fixture(scope="module")
def alone():
    return states_of(LAYER)


@pytest.fixture(scope="module")
def probed():
    return states_of(PROBED)


@pytest.fixture(scope="module")
def fitted(probed):
    return PROBED.finish(probed[-1], INPUTS, LABELS)


def test_looking_does_not_change_what_is_fitted(alone, fitted):
    params = LAYER.finish(alone[-1], INPUTS, LABELS)
    assert params.num_steps == 50
    chex.assert_trees_all_close(fitted.params, params, atol=1e-6)
    np.testing.assert_array_equal(
        PROBED.apply(fitted, INPUTS[:7]), LAYER.apply(fitted.params, INPUTS[:7])
    )


def test_the_trace_is_what_the_probe_says_at_each_look(alone, fitted):
    seen = [probe(LAYER.finish(alone[rounds], INPUTS, LABELS)) for rounds in (0, 1, 3, 0)]
    expected = jax.tree.map(lambda *looks: np.stack(looks), *seen)
    chex.assert_trees_all_close(fitted.trace, expected, atol=1e-5)
    assert fitted.trace["steps"].tolist() == [0, 17, 50, 0]
    assert fitted.trace["loss"][0] > 2 * fitted.trace["loss"][1]


def test_a_look_that_is_still_to_come_shows_the_last_round(alone, probed):
    assert [state.round for state in probed] == [0, 1, 2, 3]
    assert [state.trace["steps"][2] for state in probed] == [0, 0, 34, 50]
    np.testing.assert_allclose(
        [state.progress for state in probed], [state.progress for state in alone], rtol=1e-6
    )


def test_seeds_that_end_sooner_keep_their_record():
    """Mapped over seeds, all go on until the slowest has ended."""
    descent = Descent(optax.sgd, (0.1,), 100, 8, stop_loss=0.5, steps_per_round=20)
    layer = Network(nn.Dense(1), descent, loss=SQUARED)
    probed = Probed(layer, lambda params: params.num_steps, (1, 2, 3, 4, 5))
    labels = jnp.stack([LABELS, LABELS + 100 * jax.random.normal(KEY, (40,))])
    fit = jax.jit(jax.vmap(probed.fit, (None, None, 0)))
    first, second = fit(KEY, INPUTS, labels).trace.tolist()
    assert second == [20, 40, 60, 80, 100]
    assert first in ([20, 0, 0, 0, 0], [20, 40, 0, 0, 0])


def test_looks_ascend():
    for looks in ((), (-1, 2), (1, 1), (2, 1)):
        with pytest.raises(ValueError, match="must be numbers of rounds that ascend from 0"):
            Probed(LAYER, probe, looks)

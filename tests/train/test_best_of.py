"""The best of several layers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from hierjax.models.two_layer_net import TwoLayerNet
from hierjax.runs.parallel import map_seeds, seed_keys
from hierjax.train.best_of import BestOf, Candidate
from hierjax.train.descent import Descent
from hierjax.train.taylor_layer import TaylorLayer

KEY = jax.random.key(0)


class Count(struct.PyTreeNode):
    key: jax.Array
    rounds: jax.Array
    progress: jax.Array


@dataclasses.dataclass(frozen=True)
class Counter(Candidate):
    """Adds the number of its rounds to the inputs, and errs by as much as it is told."""

    num_rounds: int
    error: float = 0.0

    def start(self, key, inputs, labels):
        return Count(jax.random.key_data(key), jnp.int32(0), jnp.float32(0))

    def advance(self, key, state, inputs, labels):
        return state.replace(rounds=state.rounds + 1)

    def decide(self, key, state, inputs, labels):
        return state.replace(progress=state.rounds / self.num_rounds)

    def finish(self, state, inputs, labels):
        return {"key": state.key, "rounds": state.rounds}

    def apply(self, params, inputs):
        return inputs + params["rounds"]

    def held_out_error(self, state):
        return jnp.float32(self.error)

    def chosen(self, params):
        return {"rounds": params["rounds"]}


@pytest.mark.parametrize("errors", [(1.0, 0.5, 2.0), (0.1, 0.5, 2.0), (np.inf, 0.5, 0.2)])
def test_the_candidate_that_errs_least_is_used(errors):
    best_of = BestOf(tuple(Counter(3 + i, error) for i, error in enumerate(errors)))
    params = best_of.fit(KEY, jnp.zeros(4), jnp.zeros(4))
    assert params.index == np.argmin(errors)
    np.testing.assert_array_equal(best_of.apply(params, jnp.zeros(2)), 3.0 + np.argmin(errors))
    chosen = best_of.chosen(params)
    assert (chosen["candidate"], chosen["rounds"]) == (params.index, 3 + np.argmin(errors))
    assert len({tuple(each["key"].tolist()) for each in params.params}) == 3


def test_progress_is_one_when_all_have_ended_and_not_before():
    """Many candidates: their mean may round to less than one."""
    best_of = BestOf((*[Counter(1)] * 40, Counter(4)))
    state = best_of.start(KEY, jnp.zeros(4), jnp.zeros(4))

    def one_round(state):
        state = best_of.advance(KEY, state, jnp.zeros(4), jnp.zeros(4))
        return best_of.decide(KEY, state, jnp.zeros(4), jnp.zeros(4))

    for _ in range(3):
        state = one_round(state)
        assert state.progress < 1
    ended = one_round(state)
    assert ended.progress == 1
    assert [each.rounds for each in ended.states] == [1] * 40 + [4]


def test_the_right_width_is_found_for_each_seed():
    """Of two quadratic models one has a unit of one sign only, and cannot fit a saddle."""
    descent = Descent(optax.adam, (0.05,), 600, 32, patience=600)
    best_of = BestOf(tuple(TaylorLayer(TwoLayerNet(w, "quadratic"), descent) for w in (1, 4)))
    inputs = jax.random.normal(KEY, (160, 2))
    labels = inputs[:, 0] ** 2 - inputs[:, 1] ** 2

    def error(key):
        params = best_of.fit(key, inputs[:120], labels[:120])
        values = best_of.apply(params, inputs[120:])[:, 0]
        return params.index, jnp.mean((values - labels[120:]) ** 2)

    index, errors = map_seeds(error)(seed_keys(0, 2))
    np.testing.assert_array_equal(index, 1)
    assert (errors < 0.02).all()

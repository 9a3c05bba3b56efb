import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hierjax.train.averaging import averaged
from hierjax.train.descent import Descent
from hierjax.train.objective import Objective

KEY = jax.random.key(0)
POINTS = jax.random.normal(jax.random.key(1), (40,))
OBJECTIVE = Objective(
    lambda key: jnp.zeros(()),
    lambda params, inputs, targets: (params - targets) ** 2,
    lambda params, inputs, targets: (params - targets) ** 2,
)


def test_step_t_weighs_as_much_as_its_eighth_power():
    """Exactly as t (t + 1) ... (t + 7), whose sums are known."""
    optimizer = averaged(optax.sgd(1.0))
    params = {"a": jnp.zeros(()), "b": jnp.ones(2)}
    state = optimizer.init(params)
    seen = []
    for step in range(1, 31):
        gradient = jax.tree.map(lambda p, step=step: jnp.full_like(p, math.sin(step)), params)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(params)
        weights = np.array([math.comb(t + 7, 8) for t in range(1, step + 1)], float)
        for name in params:
            values = np.stack([each[name] for each in seen])
            expected = np.tensordot(weights / weights.sum(), values, 1)
            np.testing.assert_allclose(state.average[name], expected, rtol=1e-5, atol=1e-6)


def test_steps_are_those_of_the_optimizer():
    plain, ours = optax.adam(0.1), averaged(optax.adam(0.1))
    params, gradient = jnp.arange(3.0), jnp.array([1.0, -2.0, 0.5])
    expected, _ = plain.update(gradient, plain.init(params), params)
    np.testing.assert_array_equal(ours.update(gradient, ours.init(params), params)[0], expected)


def fit(descent):
    state = descent.start(OBJECTIVE, KEY)
    while state.progress < 1:
        state = descent.advance(OBJECTIVE, KEY, state, POINTS, POINTS)
        state = descent.decide(OBJECTIVE, KEY, state, POINTS, POINTS)
    return state


def test_held_out_examples_judge_the_averages():
    """A rate that leaves the last parameters all but random, but not their average."""
    rates = (0.5, 1e-4)

    def chosen(evaluated):
        descent = Descent(
            lambda rate: averaged(optax.sgd(rate)), rates, 400, 1, patience=400, evaluated=evaluated
        )
        return fit(descent)

    by_average = chosen(lambda state, params: state.average)
    error = float(jnp.mean((by_average.best - POINTS[35:]) ** 2))
    np.testing.assert_allclose(by_average.validation.min(), error, rtol=1e-5)
    assert by_average.validation.argmin() == 0
    # What is kept ends the fit, by a state that has seen no step.
    np.testing.assert_array_equal(by_average.opt_state.average, by_average.params)

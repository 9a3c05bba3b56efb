import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hierjax.runs.parallel import data_mesh
from hierjax.train.descent import Descent
from hierjax.train.objective import Objective

KEY = jax.random.key(0)


def squares(params, inputs, targets):
    return 0.5 * (inputs @ params - targets) ** 2


LINEAR = Objective(lambda key: jnp.zeros(3), squares, squares)


def linear_data(num_examples=64):
    inputs = jax.random.normal(jax.random.key(1), (num_examples, 3))
    return inputs, inputs @ jnp.array([1.0, -2.0, 0.5])


def one_round(descent, objective, inputs, targets):
    def go_on(state):
        state = descent.advance(objective, KEY, state, inputs, targets)
        return descent.decide(objective, KEY, state, inputs, targets)

    return jax.jit(go_on)


def fit(descent, objective, inputs, targets, rounds=10**6):
    go_on = one_round(descent, objective, inputs, targets)
    state = descent.start(objective, KEY)
    while state.progress < 1 and rounds > 0:
        state, rounds = go_on(state), rounds - 1
    return state


def test_noiseless_least_squares_is_solved():
    state = fit(Descent(optax.sgd, (0.1,), 600, batch_size=16), LINEAR, *linear_data())
    np.testing.assert_allclose(state.params, [1.0, -2.0, 0.5], atol=1e-5)
    assert state.step == 600


def test_a_fit_ends_when_its_loss_says_so():
    state = fit(Descent(optax.sgd, (0.1,), 10**6, 16, stop_loss=1e-3), LINEAR, *linear_data())
    assert state.loss < 1e-3
    assert state.step % 100 == 0
    assert 200 <= state.step <= 500


def test_the_best_rate_is_chosen_and_one_that_diverges_never():
    state = fit(Descent(optax.sgd, (1e-6, 1e3, 0.1, 1e-3), 300, 16), LINEAR, *linear_data())
    assert state.choice == 2
    assert np.isinf(state.validation[1])
    assert state.validation[2] < state.validation[3] < state.validation[0] < np.inf
    np.testing.assert_allclose(state.params, [1.0, -2.0, 0.5], atol=1e-3)


def test_held_out_examples_are_trained_on_once_the_rate_is_chosen():
    """The mean of targets that are 1 for the held-out eighth, and 0 elsewhere."""

    def loss(mean, inputs, targets):
        return 0.5 * (mean - targets) ** 2

    mean = Objective(lambda key: jnp.zeros(()), loss, loss)
    targets = (jnp.arange(800) >= 700).astype(jnp.float32)
    state = fit(Descent(optax.sgd, (0.002, 0.004), 3000, 200), mean, targets[:, None], targets)
    np.testing.assert_array_equal(state.validation, 0.5)
    np.testing.assert_allclose(state.params, 1 / 8, atol=0.01)


def test_an_optimizer_may_keep_its_rate_in_its_state():
    """Of two rates the second is better, and is the one that steps are taken with."""

    def optimizer(rate):
        return optax.inject_hyperparams(optax.sgd)(learning_rate=rate)

    state = fit(Descent(optimizer, (1e-5, 0.1), 300, 16), LINEAR, *linear_data())
    plain = fit(Descent(optax.sgd, (1e-5, 0.1), 300, 16), LINEAR, *linear_data())
    assert state.choice == plain.choice == 1
    np.testing.assert_allclose(state.params, plain.params, rtol=1e-6)


@pytest.mark.parametrize("num_steps", [7, 100, 150, 201])
def test_as_many_steps_as_asked_for(num_steps):
    state = fit(Descent(optax.sgd, (0.01,), num_steps, 16), LINEAR, *linear_data())
    assert state.step == num_steps
    counted = fit(
        Descent(
            lambda rate: optax.chain(optax.sgd(rate), optax.scale_by_schedule(jnp.ones_like)),
            (0.01,),
            num_steps,
            16,
        ),
        LINEAR,
        *linear_data(),
    )
    assert counted.opt_state[1].count == num_steps


def test_few_examples_are_divided_and_one_is_refused():
    descent = Descent(optax.sgd, (1e-6, 0.1), 50, 16)
    for num_examples in (2, 3, 7):
        state = fit(descent, LINEAR, *linear_data(num_examples))
        assert np.isfinite(state.validation).all()
        assert state.choice == state.validation.argmin()
    with pytest.raises(ValueError, match="1 train example leaves none to choose on"):
        fit(descent, LINEAR, *linear_data(1))


def test_progress_grows_to_one():
    descent = Descent(optax.sgd, (0.1, 0.2), 300, 8)
    state, seen = descent.start(LINEAR, KEY), []
    go_on = one_round(descent, LINEAR, *linear_data())
    while state.progress < 1:
        seen.append(float(state.progress))
        state = go_on(state)
    assert len(seen) == 9
    assert seen == sorted(set(seen))
    np.testing.assert_allclose(np.diff(seen), 1 / 9, atol=2e-3)


def test_schedules_know_the_step():
    def optimizer(rate):
        return optax.sgd(optax.piecewise_constant_schedule(rate, {100: 0.0}))

    state = fit(Descent(optimizer, (0.01,), 500, 16), LINEAR, *linear_data())
    first = fit(Descent(optax.sgd, (0.01,), 500, 16), LINEAR, *linear_data(), rounds=1)
    np.testing.assert_allclose(state.params, first.params, rtol=1e-6)


def test_a_shared_batch_gives_the_same_steps():
    descents = [
        Descent(optax.adam, (0.01, 0.1), 300, 16, mesh=mesh) for mesh in (None, data_mesh(4))
    ]
    alone, shared = (fit(descent, LINEAR, *linear_data()) for descent in descents)
    assert shared.choice == alone.choice
    chex.assert_trees_all_close(shared, alone, atol=1e-5)


@pytest.mark.parametrize("mesh", [None, data_mesh(4)])
def test_parts_of_a_batch_give_the_same_steps(mesh):
    whole, cut = (
        fit(Descent(optax.adam, (0.01,), 100, 16, mesh=mesh, parts=parts), LINEAR, *linear_data())
        for parts in (1, 4)
    )
    chex.assert_trees_all_close(cut, whole, atol=1e-5)


def test_the_penalty_is_part_of_what_is_minimised():
    """With |w|^2 / 2 of weight p, ridge regression."""
    inputs, targets = linear_data()
    ridge = Objective(LINEAR.init, squares, squares, lambda w: 0.5 * jnp.sum(w**2))
    descent = Descent(optax.sgd, (0.1,), 400, 64, penalties=(0.5,), in_order=True)
    state = fit(descent, ridge, inputs, targets)
    moment = inputs.T @ inputs / 64
    expected = np.linalg.solve(moment + 0.5 * np.eye(3), inputs.T @ targets / 64)
    np.testing.assert_allclose(state.params, expected, rtol=1e-4)


def test_every_rate_is_tried_with_every_penalty():
    ridge = Objective(LINEAR.init, squares, squares, lambda w: 0.5 * jnp.sum(w**2))
    descent = Descent(optax.sgd, (1e-6, 0.1), 300, 16, penalties=(10.0, 0.0))
    assert descent.grid == ((1e-6, 10.0), (1e-6, 0.0), (0.1, 10.0), (0.1, 0.0))
    state = fit(descent, ridge, *linear_data())
    assert state.choice == 3
    assert state.validation[3] < 1e-3 < state.validation[2]
    np.testing.assert_allclose(state.params, [1.0, -2.0, 0.5], atol=1e-3)


def drift(start):
    """The loss falls for ever, the validation error is least where the parameter passes 1."""
    return Objective(
        lambda key: jnp.float32(start),
        lambda x, inputs, targets: jnp.broadcast_to(100 - x, targets.shape),
        lambda x, inputs, targets: jnp.broadcast_to((x - 1) ** 2, targets.shape),
    )


def test_early_stopping_keeps_what_did_best():
    descent = Descent(optax.sgd, (0.004, 0.001), 1500, 8, patience=1500)
    state = fit(descent, drift(0.0), *linear_data())
    assert state.choice == 1
    assert state.step == 1000
    np.testing.assert_allclose(state.params, 1.0, atol=1e-3)
    np.testing.assert_allclose(state.validation, [0.04, 0.0], atol=1e-3)


def test_patience_ends_a_choice_that_gets_no_better():
    descent = Descent(optax.sgd, (0.01,), 10**6, 8, patience=300)
    state, rounds = descent.start(drift(0.0), KEY), 0
    go_on = one_round(descent, drift(0.0), *linear_data())
    while state.progress < 1:
        state, rounds = go_on(state), rounds + 1
    assert rounds == 4
    assert state.step == 100
    np.testing.assert_allclose(state.params, 1.0, atol=1e-3)


def test_a_choice_that_diverges_is_not_what_early_stopping_keeps():
    descent = Descent(optax.sgd, (1e3, 0.1), 300, 16, patience=100)
    state = fit(descent, LINEAR, *linear_data())
    assert state.choice == 1
    np.testing.assert_allclose(state.params, [1.0, -2.0, 0.5], atol=1e-3)


def test_in_order_every_example_is_seen_once_a_pass():
    """Parameters that count how often each of 24 examples was seen, in 7 steps of 8."""
    count = Objective(
        lambda key: jnp.zeros(24),
        lambda w, inputs, targets: 100 - 8 * w[inputs],
        lambda w, inputs, targets: -w[inputs],
    )
    descent = Descent(optax.sgd, (1.0,), 7, 8, in_order=True, steps_per_round=2)
    state = fit(descent, count, jnp.arange(24), jnp.zeros(24))
    np.testing.assert_array_equal(state.params, [3] * 8 + [2] * 16)


def test_rounds_have_at_most_as_many_steps_as_asked_for():
    descent = Descent(optax.sgd, (0.1,), 50, 8, steps_per_round=20)
    go_on = one_round(descent, LINEAR, *linear_data())
    state, seen = descent.start(LINEAR, KEY), []
    while state.progress < 1:
        state = go_on(state)
        seen.append(int(state.step))
    assert seen == [17, 34, 50]


@pytest.mark.parametrize("make", [optax.adam, lambda rate: optax.sgd(rate, momentum=0.9)])
def test_spare_steps_of_the_last_round_change_nothing(make):
    """51 steps in rounds of 20 are three of 17, 50 steps are 16 in the last: of 51 the first 50."""
    counted = Objective(LINEAR.init, lambda w, x, y: squares(w, x, y) + 1, squares)
    ended = [
        fit(Descent(make, (0.01,), 50, 8, steps_per_round=size), counted, *linear_data())
        for size in (20, 50)
    ]
    chex.assert_trees_all_close(ended[0].params, ended[1].params, rtol=1e-6)
    # A mean over the 16 steps that count, of losses that are more than 1 each.
    assert ended[0].loss > 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"penalties": (-1.0,)}, r"penalties=\(-1.0,\) must be numbers that are not negative"),
        ({"patience": 0}, "patience=0 must be at least 1"),
        ({"steps_per_round": 0}, "steps_per_round=0 must be at least 1"),
        ({"learning_rates": ()}, r"learning_rates=\(\) must be positive"),
        ({"learning_rates": (0.1, 0.0)}, "must be positive"),
        ({"num_steps": 0}, "num_steps=0 must be at least 1"),
        ({"batch_size": -1}, "batch_size=-1"),
        ({"batch_size": 10, "parts": 4}, "batch_size=10 cannot be cut into parts=4"),
        ({"batch_size": 10, "mesh": 4}, "a batch of 10 cannot be divided between 4 devices"),
    ],
)
def test_bad_numbers_are_refused(change, words):
    if "mesh" in change:
        change = change | {"mesh": data_mesh(change["mesh"])}
    with pytest.raises(ValueError, match=words):
        Descent(**({"optimizer": optax.sgd, "learning_rates": (0.1,), "num_steps": 5} | change))

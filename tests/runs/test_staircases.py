import jax
import jax.numpy as jnp
import numpy as np

from hierjax.runs import StaircaseSettings, draw_staircases, relative_error


def rows(inputs):
    return {tuple(row) for row in np.asarray(inputs)}


def test_a_fixed_train_set_is_that_of_every_layer_and_holds_no_test_example():
    tasks = StaircaseSettings(num_inputs=7).targets(3, 2)
    data = draw_staircases(jax.random.key(0), tasks, num_test=30, num_train=60)
    for target, task in tasks.items():
        first, second = (data.examples(index, target, 10) for index in range(2))
        np.testing.assert_array_equal(first.inputs, second.inputs)
        assert len(first.inputs) == 60
        own = data.of(target)
        assert not rows(first.inputs) & rows(own.test.inputs)
        products = [np.asarray(first.inputs)[:, list(each)].prod(axis=1) for each in task.sets]
        np.testing.assert_allclose(first.labels, task.coefficients @ np.array(products), atol=1e-6)


def test_fresh_examples_are_others_for_every_layer():
    tasks = StaircaseSettings(num_inputs=20).targets(3)
    data = draw_staircases(jax.random.key(0), tasks, num_test=30)
    first, second = (data.examples(index, "parity", 40).inputs for index in range(2))
    assert not rows(first) & rows(second)
    assert not rows(first) & rows(data.of("parity").test.inputs)


def test_errors_are_over_the_variance():
    task = StaircaseSettings(num_inputs=5).targets(4)["staircase"]
    task = task.replace(coefficients=3 * task.coefficients)
    batch = task.sample(jax.random.key(1), 4000)
    guess = jnp.zeros((4000, 1))
    assert abs(float(relative_error(guess, batch.labels, task)) - 1) < 0.1


def test_examples_are_seen_over_and_over_where_all_would_not_fit():
    settings = StaircaseSettings(num_inputs=2**12)
    assert settings.num_fresh(10) == 1280
    assert settings.num_fresh(2**20) == 2**13

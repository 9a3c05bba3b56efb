import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.tasks.batch import Batch
from hierjax.train.layerwise import ScoringLayer, class_scores, forward, train_layerwise


class Shift:
    """Learns its inputs' mean and takes it away, times its own random number."""

    def fit(self, key, inputs, labels):
        return {"mean": inputs.mean(), "factor": jax.random.normal(key)}

    def apply(self, params, inputs):
        return (inputs - params["mean"]) * params["factor"]


def batch_of(value):
    return Batch(jnp.arange(4.0) + value, jnp.zeros(4, jnp.int32), ())


def test_each_layer_is_fitted_on_what_those_below_make_of_its_own_data():
    asked = []

    def data(index):
        asked.append(index)
        return batch_of(10.0 * index)

    layers, key = [Shift()] * 3, jax.random.key(0)
    params = train_layerwise(layers, data, key)
    assert asked == [0, 1, 2]
    for index in range(3):
        seen = forward(layers, params[:index], batch_of(10.0 * index).inputs)
        np.testing.assert_allclose(params[index]["mean"], seen.mean(), rtol=1e-6)
        factor = jax.random.normal(jax.random.fold_in(key, index))
        np.testing.assert_array_equal(params[index]["factor"], factor)


def test_no_layers_below_leave_the_inputs_alone():
    inputs = jnp.arange(3.0)
    np.testing.assert_array_equal(forward([Shift()], (), inputs), inputs)


class Guess(Shift, ScoringLayer):
    """Predicts the same for all."""

    def class_scores(self, params, inputs):
        return jnp.zeros((len(inputs), 2)) + params["mean"]


def test_layers_that_predict_by_themselves_are_asked_others_put_out_what_they_say():
    params, inputs = {"mean": 3.0, "factor": 2.0}, jnp.arange(4.0)
    np.testing.assert_array_equal(class_scores([Shift()], (params,), inputs), 2 * (inputs - 3))
    above = class_scores([Shift(), Guess()], (params, params), inputs)
    np.testing.assert_array_equal(above, np.full((4, 2), 3.0))


def test_the_earlier_name_of_class_scores_is_deprecated():
    with pytest.warns(DeprecationWarning, match="votes is called class_scores now"):
        scores = Guess().votes({"mean": 1.0}, jnp.arange(4.0))
    np.testing.assert_array_equal(scores, np.ones((4, 2)))

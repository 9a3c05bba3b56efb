import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hierjax.models.taylor import empirical_ntk, linearize
from hierjax.models.two_layer_net import TwoLayerNet
from hierjax.train.descent import Descent
from hierjax.train.quadratic_learner import quadratic_learner
from hierjax.train.taylor_layer import TaylorLayer

KEY = jax.random.key(0)


def points(num_examples, dim=3):
    return jax.random.normal(jax.random.key(1), (num_examples, dim))


def fit(layer, inputs, labels):
    params = jax.jit(layer.fit)(KEY, inputs, labels)
    return params, lambda others: layer.apply(params, others)[:, 0]


def test_descent_on_the_first_order_term_is_regression_with_the_empirical_ntk():
    """From no change at all, it ends at the interpolant of least norm."""
    inputs, new = points(8), 2 * points(20)[8:]
    labels = jnp.sin(3 * inputs[:, 0])
    labels -= labels.mean()
    descent = Descent(lambda rate: optax.sgd(rate, momentum=0.9), (0.3,), 3000, 8, in_order=True)
    layer = TaylorLayer(TwoLayerNet(64, "erf"), descent, linearize, scale=0.0)
    params, predict = fit(layer, inputs, labels)

    def ntk(others):
        kernel = empirical_ntk(layer.module, params.initial, others, inputs)[..., 0, 0]
        return np.asarray(kernel, np.float64) + 1  # The offset is a feature, too.

    expected = ntk(new) @ np.linalg.solve(ntk(inputs), np.asarray(labels, np.float64))
    np.testing.assert_allclose(predict(inputs), labels, atol=2e-3)
    np.testing.assert_allclose(predict(new), expected, atol=1e-2 * np.abs(expected).max())


def test_the_quadratic_model_learns_a_quadratic_form_and_a_constant():
    inputs = points(200)
    target = inputs[:, 0] ** 2 - 2 * inputs[:, 1] * inputs[:, 2] + 5
    descent = Descent(optax.adam, (0.03,), 1500, 64)
    _, predict = fit(TaylorLayer(TwoLayerNet(6, "quadratic"), descent), inputs[:150], target[:150])
    np.testing.assert_allclose(predict(inputs[150:]), target[150:], atol=1e-3)


def test_the_penalty_is_the_sum_of_fourth_powers_of_the_columns():
    """Of a model whose loss does not depend on the change: the penalty alone drives it."""
    inputs = jnp.zeros((4, 3))
    descent = Descent(optax.sgd, (0.01,), 1, 4, penalties=(2.0,), in_order=True)
    layer = TaylorLayer(TwoLayerNet(5, "quadratic"), descent, scale=1.0)
    start = layer.start(KEY, inputs, jnp.zeros(4))
    before = start.descent.params["change"]["params"]["kernel"]
    after = layer.advance(KEY, start, inputs, jnp.zeros(4)).descent.params["change"]
    gradient = 4 * before * jnp.sum(before**2, axis=0)[None]
    np.testing.assert_allclose(after["params"]["kernel"], before - 0.01 * 2.0 * gradient, rtol=1e-5)


def test_the_initial_parameters_and_the_change_are_independent():
    descent = Descent(optax.adam, (0.03,), 10)
    start = TaylorLayer(TwoLayerNet(4, "erf"), descent, scale=1.0).start(
        KEY, points(5, dim=200), jnp.zeros(5)
    )
    initial = start.initial["params"]["kernel"].ravel()
    change = start.descent.params["change"]["params"]["kernel"].ravel()
    assert abs(np.corrcoef(initial, change)[0, 1]) < 0.12


def test_relu_networks_are_refused():
    layer = TaylorLayer(TwoLayerNet(4, "relu"), Descent(optax.adam, (0.03,), 10))
    with pytest.raises(ValueError, match="piecewise linear"):
        fit(layer, points(16), jnp.zeros(16))


@pytest.mark.parametrize(
    ("dim", "quadratic", "cosine"),
    [
        (3, [4], [4, 16, 64, 512, 2048]),
        (16, [4, 16], [4, 16, 64, 512, 2048]),
        (231, [4, 16, 64], [4, 16, 64]),
        (10**5, [4], [4]),
    ],
)
def test_widths_are_bounded_by_weights_and_by_the_rank_of_a_form(dim, quadratic, cosine):
    nets = [each.module for each in quadratic_learner(dim)[0].candidates]
    for activation, widths in (("quadratic", quadratic), ("cosine", cosine)):
        assert [net.width for net in nets if net.activation == activation] == widths

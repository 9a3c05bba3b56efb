import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from hierjax.train.descent import Descent
from hierjax.train.joint import joint_network
from hierjax.train.losses import CROSS_ENTROPY

KEY = jax.random.key(0)


def scores(params, inputs):
    return jnp.tanh(inputs @ params["below"]["kernel"]) @ params["top"]


def test_all_layers_go_on_from_where_they_are():
    """The first layer cannot see what the class depends on, until it is trained, too."""
    inputs = jax.random.normal(KEY, (400, 3))
    labels = (inputs[:, 2] > 0).astype(int)
    params = {"below": {"kernel": jnp.diag(jnp.array([1.0, 1.0, 0.0]))}, "top": jnp.ones((3, 2))}
    network = joint_network(scores, params, Descent(optax.adam, (0.05,), 300, 64), CROSS_ENTROPY)
    start = network.start(KEY, inputs, labels)
    chex.assert_trees_all_equal(start.params["variables"]["params"], params)
    found = jax.jit(network.fit)(KEY, inputs, labels)
    trained = found.variables["params"]
    chex.assert_trees_all_equal_shapes(trained, params)
    after = network.apply(found, inputs)
    np.testing.assert_array_equal(after, scores(trained, inputs))
    wrong = [(each.argmax(axis=1) != labels).mean() for each in (scores(params, inputs), after)]
    assert wrong[0] > 0.4
    assert wrong[1] < 0.05

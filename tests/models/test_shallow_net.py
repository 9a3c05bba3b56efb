import jax
import jax.numpy as jnp
import numpy as np

from hierjax.models.shallow_net import ShallowNet, one_hot_strings


def test_scores_are_two_matrix_products():
    tokens = jnp.array([[0, 2, 1], [2, 2, 0]], jnp.uint8)
    net = ShallowNet(vocab_size=3, num_classes=4, width=5)
    variables = net.init(jax.random.key(0), tokens)
    hidden, top = (variables["params"][f"Dense_{index}"] for index in range(2))
    onehot = np.zeros((2, 9))
    for row, string in enumerate(np.asarray(tokens)):
        for place, symbol in enumerate(string):
            onehot[row, 3 * place + symbol] = 1
    np.testing.assert_array_equal(one_hot_strings(tokens, 3), onehot)
    expected = np.maximum(onehot @ hidden["kernel"], 0) @ top["kernel"]
    np.testing.assert_allclose(net.apply(variables, tokens), expected, rtol=1e-5)

import jax
import numpy as np

from hierjax.models.deep_linear_net import DeepLinearNet


def test_it_is_a_product_of_scaled_orthogonal_matrices():
    module, inputs = DeepLinearNet(3, 4, 6, 0.3), jax.random.normal(jax.random.key(0), (5, 8))
    variables = module.init(jax.random.key(1), inputs)
    hidden = expected = module.apply(variables, inputs, method="embed")
    for index in range(module.num_layers):
        kernel = np.asarray(variables["params"][f"layers_{index}"]["kernel"])
        np.testing.assert_allclose(np.linalg.svd(kernel, compute_uv=False), 0.3, rtol=1e-5)
        hidden, expected = module.apply(variables, hidden, index, method="layer"), expected @ kernel
        np.testing.assert_allclose(hidden, expected, rtol=1e-4, atol=1e-6)
    assert hidden.shape == (5, 6)
    outputs = expected @ np.asarray(variables["params"]["classifier"]["kernel"])
    np.testing.assert_allclose(module.apply(variables, inputs), outputs, rtol=1e-4, atol=1e-6)
    assert set(variables["params"]) == {*(f"layers_{index}" for index in range(4)), "classifier"}

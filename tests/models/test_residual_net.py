import jax
import jax.numpy as jnp
import numpy as np

from hierjax.models.residual_net import ResidualNet


def test_the_parts_make_the_whole_and_blocks_add_to_the_stream():
    module, inputs = ResidualNet(2, 3, 5), jax.random.normal(jax.random.key(0), (4, 6))
    variables = module.init(jax.random.key(1), inputs)
    stream = module.apply(variables, inputs, method="embed")
    for index in range(module.num_layers):
        first, second = (variables["params"][f"{name}_{index}"] for name in ("first", "second"))
        hidden = jnp.maximum(stream @ first["kernel"], 0)  # Biases start at zero.
        expected = stream + hidden @ second["kernel"]
        stream = module.apply(variables, stream, index, method="layer")
        np.testing.assert_allclose(stream, expected, rtol=1e-5, atol=1e-5)
    outputs = module.apply(variables, stream, method="readout")
    assert outputs.shape == (4, 2)
    np.testing.assert_allclose(module.apply(variables, inputs), outputs, rtol=1e-5)

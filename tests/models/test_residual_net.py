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


def test_with_one_layer_a_block_all_but_the_readout_go_through_a_relu():
    module, inputs = ResidualNet(1, 2, 5, 1), jax.random.normal(jax.random.key(0), (4, 6))
    variables = module.init(jax.random.key(1), inputs)
    kernels = {name: each["kernel"] for name, each in variables["params"].items()}
    assert set(kernels) == {"embedding", "first_0", "first_1", "output"}
    stream = jnp.maximum(inputs @ kernels["embedding"], 0)
    for index in range(2):
        stream = stream + jnp.maximum(stream @ kernels[f"first_{index}"], 0)
    expected = stream @ kernels["output"]
    np.testing.assert_allclose(module.apply(variables, inputs), expected, rtol=1e-5, atol=1e-5)

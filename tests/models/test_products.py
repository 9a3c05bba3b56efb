import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.models.products import PRECISIONS, contract

SHAPES = {"rows": ((7, 3), (3, 5)), "patches": ((4, 6, 2, 3), (2, 3, 5))}


def directly(inputs, kernel, bias):
    """The same sums in float64, one index after the other."""
    subscripts = "...d,dw->...w" if kernel.ndim == 2 else "...sd,sdw->...w"
    factors = (np.asarray(each, np.float64) for each in (inputs, kernel))
    return np.einsum(subscripts, *factors) + np.asarray(bias)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", SHAPES)
def test_sums_and_gradients_are_those_of_the_definition(name, precision):
    keys = jax.random.split(jax.random.key(0), 3)
    inputs, kernel = (jax.random.normal(*each) for each in zip(keys, SHAPES[name], strict=False))
    bias = jnp.arange(5.0)
    expected = directly(inputs, kernel, bias)
    off = 1e-5 if precision == "float32" else 0.05
    np.testing.assert_allclose(contract(inputs, kernel, precision, bias=bias), expected, atol=off)

    weights = jax.random.normal(keys[2], expected.shape)

    def loss(inputs, kernel):
        return (contract(inputs, kernel, precision, bias=bias) * weights).sum()

    found = jax.grad(loss, (0, 1))(inputs, kernel)
    last = kernel.shape[-1]
    rows, columns = np.reshape(inputs, (-1, kernel.size // last)), np.reshape(weights, (-1, last))
    np.testing.assert_allclose(np.reshape(found[1], (-1, last)), rows.T @ columns, atol=8 * off)
    of_inputs = columns @ np.reshape(kernel, (-1, last)).T
    np.testing.assert_allclose(np.reshape(found[0], rows.shape), of_inputs, atol=8 * off)

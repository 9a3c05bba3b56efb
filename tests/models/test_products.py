import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.models.products import product


@pytest.fixture
def factors():
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = ((7, 3), (3, 5), (7, 3), (3, 5))
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def loss(multiply):
    return lambda rows, kernel: jnp.sum(jnp.tanh(multiply(rows, kernel)) ** 2)


def plain(rows, kernel):
    return rows @ kernel


@pytest.mark.parametrize("argument", [0, 1])
def test_gradients_are_those_of_the_plain_product(factors, argument):
    found, expected = (
        jax.jit(jax.grad(loss(multiply), argument))(*factors[:2]) for multiply in (product, plain)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_second_derivatives_are_those_of_the_plain_product(factors):
    primals, tangents = tuple(factors[:2]), tuple(factors[2:])

    def twice(multiply):
        def once(*primals):
            return jax.jvp(multiply, primals, tangents)[1]

        return jax.jvp(once, primals, tangents)[1]

    np.testing.assert_allclose(twice(product), twice(plain), rtol=1e-5, atol=1e-5)
    found, expected = (
        jax.hessian(loss(multiply), 1)(*factors[:2]) for multiply in (product, plain)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_products_can_be_mapped(factors):
    rows, kernel = factors[:2]
    kernels = jnp.stack([kernel, 2 * kernel])
    mapped = jax.vmap(product, (None, 0))(rows, kernels)
    np.testing.assert_allclose(mapped[1], 2 * (rows @ kernel), rtol=1e-5)

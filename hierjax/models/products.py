"""A matrix product whose gradient suits the CPU."""

import jax
from jaxtyping import Array, Float


def product(rows: Float[Array, "N D"], kernel: Float[Array, "D W"]) -> Float[Array, "N W"]:
    """Returns rows (N, D) @ kernel (D, W); it has derivatives of all orders and both modes."""
    if jax.default_backend() == "cpu":
        return _product(rows, kernel)
    return rows @ kernel


@jax.custom_jvp
def _product(rows: Float[Array, "N D"], kernel: Float[Array, "D W"]) -> Float[Array, "N W"]:
    return rows @ kernel


@_product.defjvp
def _product_jvp(primals, tangents):
    """Differentiates so that the kernel's gradient becomes a product columns @ cotangent.

    With columns that lie in memory this product takes two thirds of the time that it takes with
    rows read as columns; the barrier keeps XLA from reading them so.
    """
    (rows, kernel), (rows_dot, kernel_dot) = primals, tangents
    columns = jax.lax.optimization_barrier(rows.T)
    return _product(rows, kernel), _product(rows_dot, kernel) + columns.T @ kernel_dot

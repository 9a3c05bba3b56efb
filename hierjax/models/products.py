"""Matrix products: their precision, and how devices divide them.

At JAX's default precision a GPU and a TPU round factors of float32 to 10 or 7 bits. Learners
therefore apply models at the highest; products of bfloat16 have but one precision.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hierjax.sharding import gather_weights, is_divided

PRECISIONS = ("float32", "bfloat16")
"""Types of the factors of products; their sums are float32."""


def contract(
    inputs: Float[Array, "..."],
    kernel: Float[Array, "..."],
    precision: str = "float32",
    divides_outputs: bool = True,
    bias: Float[Array, " W"] | float = 0.0,
) -> Float[Array, "..."]:
    """Multiplies inputs, or patches of them, by a kernel, on one device or those of `model_on`.

    Args:
      inputs: (..., D), or patches (..., S, D).
      kernel: (D, W) or (S, D, W) float32.
      precision: one of `PRECISIONS`; with "bfloat16" both factors are rounded to it, here and in
        the derivative, which is of first order and in reverse mode alone.
      divides_outputs: whether devices divide the outputs, not the inputs, see `hierjax.sharding`.
      bias: (W,) float32, added to the sums.

    Returns:
      (..., W) sums, float32.
    """
    shape = (*inputs.shape[: 1 - kernel.ndim], kernel.shape[-1])
    offset = jnp.broadcast_to(bias, shape[-1:])
    if precision == "bfloat16":
        sums = _half(divides_outputs, inputs.astype(jnp.bfloat16), kernel)
        return sums + offset.reshape((1,) * (len(shape) - 1) + (-1,))
    if is_divided():
        kernel = gather_weights(kernel, divides_outputs)
        sums = _dot(inputs, kernel, kernel.ndim - 1)
    else:
        matrix = kernel.reshape(-1, shape[-1])
        sums = inputs.reshape(-1, matrix.shape[0]) @ matrix
    # To rows: a TPU lays out two axes of positions of float32 badly, and adds to them by itself.
    return (sums.reshape(-1, shape[-1]) + offset[None]).reshape(shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _half(divides_outputs, inputs, kernel):
    return _half_forwards(divides_outputs, inputs, kernel)[0]


def _half_forwards(divides_outputs, inputs, kernel):
    # Rounded before devices gather it: half the bytes.
    rounded = gather_weights(kernel.astype(jnp.bfloat16), divides_outputs)
    return _dot(inputs, rounded, kernel.ndim - 1), (inputs, rounded)


def _half_backwards(divides_outputs, kept, cotangent):
    inputs, kernel = kept
    cotangent = cotangent.astype(jnp.bfloat16)
    of_inputs = _dot(cotangent, jnp.moveaxis(kernel, -1, 0), 1).astype(inputs.dtype)
    examples = tuple(range(cotangent.ndim - 1))
    dimensions = ((examples, examples), ((), ()))
    return of_inputs, _dot_general(inputs, cotangent, dimensions)


_half.defvjp(_half_forwards, _half_backwards)


def _dot(inputs: Float[Array, "..."], kernel: Float[Array, "..."], count: int) -> Array:
    """Sums over the last dimensions of inputs and the first of a kernel, `count` many."""
    own = tuple(range(inputs.ndim - count, inputs.ndim))
    dimensions = ((own, tuple(range(count))), ((), ()))
    return _dot_general(inputs, kernel, dimensions)


def _dot_general(left: Array, right: Array, dimensions: tuple) -> Array:
    precision = jax.lax.Precision.DEFAULT if left.dtype == jnp.bfloat16 else None
    return jax.lax.dot_general(
        left, right, dimensions, precision=precision, preferred_element_type=jnp.float32
    )

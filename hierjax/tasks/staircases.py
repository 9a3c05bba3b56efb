"""Sparse polynomials of signs: staircases, parities and merged staircases (arXiv 2108.10573).

The target is f(x) = sum_t coefficients[t] * prod_{j in sets[t]} x_j for x uniform on the cube
{-1, 1}^d. The products are the Fourier basis of the cube: uncorrelated, of variance 1. In a merged
staircase every set brings at most one input that no set before it has, in some order of the sets.
"""

import functools
import math
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Key

from hierjax.checks import as_floats, require_examples, require_numbers, require_shape
from hierjax.tasks.batch import Batch
from hierjax.tasks.label_hierarchy import draw_signs

Sets = tuple[tuple[int, ...], ...]
"""Sets of inputs, each an ascending tuple of indices from 0."""


class CubePolynomial(struct.PyTreeNode):
    """A task with real-valued labels: a sparse polynomial of signs.

    Attributes:
      coefficients: (T,) float32, the coefficients of the products.
      sets: T different subsets of range(d), static.
      num_inputs: number of inputs, d, static.
    """

    coefficients: Array
    sets: Sets = struct.field(pytree_node=False)
    num_inputs: int = struct.field(pytree_node=False)

    @property
    def num_strings(self) -> int:
        """Number of different inputs, 2^d, see `hierjax.tasks.make_split`."""
        return 2**self.num_inputs

    @property
    def variance(self) -> Float[Array, ""]:
        """Variance of the labels, the sum of the squares of the coefficients."""
        return (self.coefficients**2).sum()

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws examples; those of a smaller n are the first of a larger one.

        Args:
          key: typed PRNG key.
          n: number of examples, N, static.

        Returns:
          inputs (N, d), uniform signs; labels (N,); and as latents the product (N,) over each of
          the sets; all float32.
        """
        inputs = draw_signs(key, n, (self.num_inputs,))
        products = fourier_basis(inputs, self.sets)
        # Added up in the order of the sets, one by one: the same to the bit for any N.
        labels = sum(c * p for c, p in zip(self.coefficients, products.T, strict=True))
        return Batch(inputs, jnp.asarray(labels), tuple(products.T))


def merged_staircase(num_inputs: int, sets: Iterable[Iterable[int]]) -> CubePolynomial:
    """Makes the sum of the products over some sets, scaled to variance 1.

    The sets need not be a merged staircase; how far from one they are, `leap` tells.

    Args:
      num_inputs: number of inputs, d.
      sets: different, non-empty subsets of range(d).

    Returns:
      The task.

    Raises:
      ValueError: there are no sets, or they are not of this kind.
    """
    ordered = tuple(tuple(sorted(each)) for each in sets)
    if not ordered:
        raise ValueError("sets is empty: give at least one set of inputs")
    for each in ordered:
        if not each or len(set(each)) < len(each) or not 0 <= each[0] <= each[-1] < num_inputs:
            raise ValueError(
                f"the set {each} must have different members, at least one, from 0 to "
                f"{num_inputs - 1}"
            )
    if len(set(ordered)) < len(ordered):
        raise ValueError(f"sets={ordered} has a set twice: drop it")
    coefficients = jnp.full(len(ordered), 1 / math.sqrt(len(ordered)), jnp.float32)
    return CubePolynomial(coefficients, ordered, num_inputs)


def staircase(num_inputs: int, degree: int, second_degree: int = 1) -> CubePolynomial:
    """Makes the task (x_1 + x_1 x_2 + ... + x_1 ... x_degree) / sqrt(degree), or a double one.

    A double staircase has the terms of a second one, too, which shares x_1 with the first:
    x_1 x_{degree + 1}, x_1 x_{degree + 1} x_{degree + 2} and so on; a reconstruction of that in the
    experiments of arXiv 2108.10573.

    Args:
      num_inputs: number of inputs, d.
      degree: degree of the last term.
      second_degree: degree of the last term of the second staircase, 1 for none.

    Returns:
      The task, of degree + second_degree - 1 terms.

    Raises:
      ValueError: a degree is not positive, or there are fewer inputs than terms.
    """
    return merged_staircase(num_inputs, prefix_sets(num_inputs, degree, second_degree))


def parity(num_inputs: int, degree: int) -> CubePolynomial:
    """Makes the task x_1 x_2 ... x_degree.

    Args:
      num_inputs: number of inputs, d.
      degree: number of inputs that are multiplied.

    Returns:
      The task.

    Raises:
      ValueError: the degree is not from 1 to the number of inputs.
    """
    return merged_staircase(num_inputs, prefix_sets(num_inputs, degree)[-1:])


def prefix_sets(num_inputs: int, degree: int, second_degree: int = 1) -> Sets:
    """Returns the sets {0}, {0, 1} to {0, ..., degree - 1} of inputs, and those of a second chain.

    Args:
      num_inputs: number of inputs, d.
      degree: number of sets of the first chain.
      second_degree: number of sets of the second chain {0}, {0, degree}, {0, degree, degree + 1},
        ..., of which {0} is not listed again.

    Raises:
      ValueError: a degree is not positive, or there are fewer inputs than sets.
    """
    if not 1 <= degree <= num_inputs:
        raise ValueError(f"degree={degree} must be from 1 to {num_inputs}, the number of inputs")
    most = num_inputs - degree + 1
    if not 1 <= second_degree <= most:
        raise ValueError(
            f"second_degree={second_degree} must be from 1 to {most}, as {num_inputs} inputs leave "
            f"it beside degree={degree}"
        )
    first = tuple(tuple(range(size)) for size in range(1, degree + 1))
    return first + tuple((0, *range(degree, degree + more)) for more in range(1, second_degree))


def leap(sets: Sets) -> int:
    """Returns the most new inputs that a set brings when sets are taken in the best order.

    The leap is 1 for a merged staircase, and k for the parity of k inputs (arXiv 2302.11055).
    """
    known: set[int] = set()
    left, most = [set(each) for each in sets], 0
    while left:
        easiest = min(left, key=lambda each: len(each - known))
        most = max(most, len(easiest - known))
        known |= easiest
        left.remove(easiest)
    return most


def fourier_basis(inputs: Float[Array | np.ndarray, "N d"], sets: Sets) -> Float[Array, "N T"]:
    """Returns the products (N, T) of inputs (N, d) over each of T sets.

    Raises:
      ValueError: the inputs are no vectors, or a set has an index out of range.
    """
    require_shape("inputs", inputs, (None, None), "give signs (N, d)")
    if not all(0 <= index < inputs.shape[1] for each in sets for index in each):
        raise ValueError(f"sets={sets} must have members from 0 to {inputs.shape[1] - 1}")
    return jnp.stack([inputs[:, jnp.array(each)].prod(axis=-1) for each in sets], axis=-1)


def fourier_coefficients(
    values: Float[Array | np.ndarray, " N"], inputs: Float[Array | np.ndarray, "N d"], sets: Sets
) -> Float[Array, " T"]:
    """Finds coefficients of a function on the cube by least squares.

    They are exact if the inputs are the whole cube, or if the function has no other coefficients
    than these; else, at uniform inputs, the others add noise of their rms over sqrt(N).

    Args:
      values: (N,) values of the function, N > T.
      inputs: (N, d) signs, where it has them.
      sets: the T sets of inputs whose coefficients are wanted.

    Returns:
      (T,) coefficients.

    Raises:
      ValueError: there is not one value for each input, there are fewer of them than sets, the
        values are known and not finite, or `fourier_basis` refuses the inputs.
    """
    require_examples(inputs, values)
    require_shape("values", values, (None,), "give one number for each input")
    if len(values) < len(sets):
        raise ValueError(f"{len(values)} values do not tell {len(sets)} sets apart: give more")
    require_numbers("values", values)
    basis = as_floats("inputs", fourier_basis(inputs, sets))
    with jax.default_matmul_precision("highest"):
        return jnp.linalg.solve(basis.T @ basis, basis.T @ values)

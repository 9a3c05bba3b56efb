"""Deep quadratic functions of signs (arXiv 2601.19756, Appendix C).

The target is the sum of monomials of x, uniform on the cube {-1, 1}^d, such as
x1 x2 + x3 x4 + x1 x2 x3 x4 + x5 x6. They form a hierarchy: a term of level 1 is the product of two
inputs, one of level k the product of two inputs or terms of lower levels. Products of signs are
signs again, and inputs that are in both factors cancel.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Key

from hierjax.settings import Config, setting
from hierjax.tasks.batch import Batch
from hierjax.tasks.label_hierarchy import draw_signs

_MOST_INPUTS = 2**10


@dataclasses.dataclass(frozen=True)
class DeepQuadraticSpec(Config):
    """Sizes of a target whose terms are drawn at random, see `draw_deep_quadratic`.

    Attributes:
      num_inputs: number of inputs, signs, d.
      num_terms: number of terms, T; unset: all that the inputs allow, d/2 pairs, d/4 fours, ...
      depth: number of levels of the hierarchy, L; terms of the last are products of 2^L inputs.

    Raises:
      ValueError: a number is out of bounds.
    """

    num_inputs: int = setting(32, least=2, most=_MOST_INPUTS)
    num_terms: int = setting(None)
    depth: int = setting(3, least=1)

    def __post_init__(self):
        super().__post_init__()
        deepest = self.num_inputs.bit_length() - 1
        if self.depth > deepest:
            raise ValueError(
                f"depth={self.depth} must be from 1 to {deepest}: a term of level L is a product "
                f"of 2^L of the {self.num_inputs} inputs"
            )
        most = sum(self.num_inputs >> level for level in range(1, self.depth + 1))
        if self.num_terms is None:
            self.fill(num_terms=most)
        least = 2**self.depth - 1
        if not least <= self.num_terms <= most:
            raise ValueError(
                f"num_terms={self.num_terms} must be from {least}, those that one term of level "
                f"{self.depth} is built of, to {most}, all of {self.num_inputs} inputs and "
                f"{self.depth} levels"
            )


class DeepQuadratic(struct.PyTreeNode):
    """A task with real-valued labels: a sum of terms, scaled to variance 1.

    Attributes:
      levels: for each level, lowest first, (T_k, d) bool: which inputs each of its terms
        multiplies; all terms are different.
    """

    levels: tuple[Array, ...]

    @property
    def terms(self) -> Bool[Array, "T d"]:
        """Which inputs each term multiplies, (T, d), lowest level first."""
        return jnp.concatenate(self.levels)

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws examples; those of a smaller n are the first of a larger one.

        Args:
          key: typed PRNG key.
          n: number of examples, N, static.

        Returns:
          inputs (N, d), uniform signs; labels (N,); and as latents the terms (N, T_k) of each
          level, lowest first; all float32.
        """
        inputs = draw_signs(key, n, (self.levels[0].shape[1],))
        latents = tuple(_monomials(inputs, level) for level in self.levels)
        total = sum(level.sum(axis=1) for level in latents)  # Of integers: exact in any order.
        return Batch(inputs, total / len(self.terms) ** 0.5, latents)


def _monomials(inputs: Float[Array, "N d"], terms: Bool[Array, "T d"]) -> Float[Array, "N T"]:
    """Returns the products (N, T) of signs, by counting those that are negative."""
    negative = jnp.einsum("nd,td->nt", inputs < 0, terms, preferred_element_type=jnp.int32)
    return (1 - 2 * (negative % 2)).astype(jnp.float32)


def draw_deep_quadratic(key: Key[Array, ""], spec: DeepQuadraticSpec) -> DeepQuadratic:
    """Draws a target whose terms are built of disjoint pairs; pure, to be mapped over keys.

    The inputs are put in a random order, and paired, then the pairs are paired, and so on. Terms
    are taken in the order in which they can be built, x1 x2, x3 x4, x1 x2 x3 x4, x5 x6, ..., until
    there are enough; d = 32 inputs and 3 levels have 16 + 8 + 4 = 28.

    Args:
      key: typed PRNG key.
      spec: sizes.

    Returns:
      The task.
    """
    order = jax.random.permutation(key, spec.num_inputs)
    return DeepQuadratic(tuple(jnp.asarray(level)[:, order] for level in _blocks(spec)))


def _blocks(spec: DeepQuadraticSpec) -> list[np.ndarray]:
    """Returns the terms of each level, (T_k, d) bool, before their inputs are shuffled."""
    buildable = (
        (level, end)
        for end in range(2, spec.num_inputs + 1, 2)
        for level in range(1, spec.depth + 1)
        if end % 2**level == 0
    )
    levels = [[] for _ in range(spec.depth)]
    for level, end in itertools.islice(buildable, spec.num_terms):
        levels[level - 1].append(range(end - 2**level, end))
    return [_members(each, spec.num_inputs) for each in levels]


def deep_quadratic(num_inputs: int, terms: Iterable[Iterable[int]]) -> DeepQuadratic:
    """Makes the sum of given terms, scaled to variance 1.

    Args:
      num_inputs: number of inputs, d.
      terms: the inputs, counted from 0, that each term multiplies; a term is of the lowest level
        at which it can be built.

    Returns:
      The task.

    Raises:
      ValueError: there are no terms, one has no inputs, one twice or one out of range, one is
        given twice, or one is no product of two inputs or of terms that can be built.
    """
    left = [_checked(tuple(each), num_inputs) for each in terms]
    if not left:
        raise ValueError("terms is empty: give at least one list of inputs")
    if len(set(left)) < len(left):
        twice = next(each for each in left if left.count(each) > 1)
        raise ValueError(f"the term {_text(twice)} is given twice: drop it once")
    factors, levels = [frozenset([index]) for index in range(num_inputs)], []
    while left:
        products = {a ^ b for a, b in itertools.combinations(factors, 2)}
        level = [each for each in left if each in products]
        if not level:
            raise ValueError(
                f"the term {_text(left[0])} is no product of two inputs or lower terms: add terms "
                "that it is built of"
            )
        left = [each for each in left if each not in products]
        factors += level
        levels.append(jnp.asarray(_members(level, num_inputs)))
    return DeepQuadratic(tuple(levels))


def _checked(term: tuple[int, ...], num_inputs: int) -> frozenset[int]:
    if not term or len(set(term)) < len(term) or not all(0 <= j < num_inputs for j in term):
        raise ValueError(
            f"the term {term} must have different inputs, at least one, from 0 to {num_inputs - 1}"
        )
    return frozenset(term)


def _text(term: frozenset[int]) -> str:
    return f"({', '.join(map(str, sorted(term)))})"


def _members(terms: Iterable[Iterable[int]], num_inputs: int) -> np.ndarray:
    """Returns which inputs each term multiplies, (T, d) bool."""
    return np.array([np.isin(np.arange(num_inputs), list(term)) for term in terms])

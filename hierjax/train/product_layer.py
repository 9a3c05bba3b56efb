"""Layers that find products of two signs, level by level (arXiv 2601.19756, Appendix C).

A layer explains the labels by products of two of what it sees: the inputs, the products that the
layers below have found, and 1. It takes away from the labels what they explain already, and then,
again and again, looks at the correlations of the rest with all products at once; the largest is
kept if it stands out, and all coefficients are fitted anew by least squares. So what is left to
explain, which is noise to all that follows, shrinks with every find.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Key, Shaped

from hierjax.checks import as_floats, require_examples, require_shape
from hierjax.train.layerwise import ScoringLayer, forward

_LEAST = 1e-3
_TINY = 1e-6


class FoundProducts(struct.PyTreeNode):
    """The products that a stack of layers has found, and their sum.

    Attributes:
      pairs: (T, 2) int32, the factors of each product: 0 is the number 1, then come the inputs,
        then the products of the layers below.
      kept: (T,) bool, which of the T places are taken.
      coefficients: (T,) float32, of the products in the labels; 0 in places that are free.
    """

    pairs: Array
    kept: Array
    coefficients: Array


@dataclasses.dataclass(frozen=True)
class ProductLayer(ScoringLayer):
    """A layer that finds products of two signs; a stack has one for each level, all alike.

    A correlation stands out if it exceeds what noise of the size of the rest would reach in
    `false_finds` of all products. At the end coefficients that do not stand out are dropped: what
    was found by chance in much noise is seen to be nothing in less. Fits are without a constant.

    Attributes:
      num_inputs: number of inputs, d.
      most_products: number of places for products, T, those of all levels together; it should
        exceed the number of terms, because some products are found by chance.
      false_finds: number of products that noise alone is expected to make stand out; the larger,
        the fewer examples are needed, while there are places to hold them.

    Raises:
      ValueError: a number is out of bounds.
    """

    num_inputs: int
    most_products: int
    false_finds: float = 1.0

    def __post_init__(self):
        for name in ("num_inputs", "most_products"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 < self.false_finds <= 1:
            raise ValueError(f"false_finds={self.false_finds} must be above 0 and at most 1")

    def fit(
        self, key: Key[Array, ""], inputs: Float[Array, "N D"], labels: Shaped[Array, " N"]
    ) -> FoundProducts:
        """Finds products, and fits their sum and that of all below to the labels.

        Args:
          key: typed PRNG key, not used.
          inputs: (N, d) signs, or what a layer below puts out, (N, d + T).
          labels: (N,) numbers.

        Returns:
          All products that are found so far, those of the layers below first.

        Raises:
          ValueError: there are no examples, not one label for each, or the inputs are of neither
            shape.
        """
        require_examples(inputs, labels)
        require_shape("labels", labels, (None,), "give one number for each example")
        with jax.default_matmul_precision("highest"):
            search = _Search(self._factors(inputs), as_floats("labels", labels), self.false_finds)
            found = search.begin(self.most_products)
            found, _ = jax.lax.while_loop(
                lambda state: state[1], lambda state: search.grow(state[0]), (found, jnp.bool_(1))
            )
            return search.prune(found)

    def apply(self, params: FoundProducts, inputs: Float[Array, "N D"]) -> Float[Array, "N E"]:
        """Returns the inputs and all products found so far, 0 in free places, (N, d + T)."""
        factors = self._factors(inputs)
        return jnp.concatenate([inputs[:, : self.num_inputs], _products(params, factors)], axis=1)

    def class_scores(
        self, params: FoundProducts, inputs: Float[Array, "N D"]
    ) -> Float[Array, "N 1"]:
        """Returns the fitted values (N, 1) of inputs of this layer."""
        with jax.default_matmul_precision("highest"):
            products = _products(params, self._factors(inputs))
            return (products @ params.coefficients)[:, None]

    def _factors(self, inputs: Float[Array, "N D"]) -> Float[Array, "N P"]:
        """Returns 1, inputs, and products of the layers below, (N, 1 + d + T)."""
        sizes = (self.num_inputs, self.num_inputs + self.most_products)
        require_shape("inputs", inputs, (None, None), "give a row of signs for each example")
        if inputs.shape[1] not in sizes:
            raise ValueError(
                f"inputs have shape {inputs.shape}, but must have {sizes[0]} columns, or "
                f"{sizes[1]} from a layer below: give as many as num_inputs and most_products say"
            )
        ones = jnp.ones((inputs.shape[0], 1))
        return jnp.pad(
            jnp.concatenate([ones, inputs], axis=1), ((0, 0), (0, sizes[1] - inputs.shape[1]))
        )


class _Search:
    """The search of a layer among all products of two factors (N, P)."""

    def __init__(self, factors, labels, false_finds):
        self._factors, self._labels = factors, labels
        self._present = jnp.any(factors != 0, axis=0)
        count = self._present.sum()
        # Of count (count - 1) / 2 products, each of which stands out on two sides.
        deviations = -jax.scipy.special.ndtri(false_finds / (count * (count - 1)))
        self._noise = deviations / labels.shape[0] ** 0.5
        self._least = _LEAST * _rms(labels)  # What is less may be of rounding.

    def begin(self, num_places: int) -> FoundProducts:
        """Fits the products of the layers below alone."""
        last = self._factors.shape[1]
        below = jnp.arange(last - num_places, last, dtype=jnp.int32)
        pairs = jnp.stack([jnp.zeros_like(below), below], axis=1)
        return self._fitted(pairs, self._present[last - num_places :])

    def grow(self, found: FoundProducts) -> tuple[FoundProducts, Bool[Array, ""]]:
        """Adds the product that stands out most; returns whether there was one, and a place."""
        rest = self._rest(found)
        correlations = self._factors.T @ (self._factors * rest[:, None]) / rest.shape[0]
        sizes = jnp.triu(jnp.abs(correlations), 1)
        pair = jnp.stack(jnp.unravel_index(sizes.argmax(), sizes.shape)).astype(jnp.int32)
        place = found.kept.argmin()
        more = (sizes.max() > self._threshold(found)) & ~found.kept[place]
        grown = self._fitted(found.pairs.at[place].set(pair), found.kept.at[place].set(True))
        return jax.tree.map(lambda new, old: jnp.where(more, new, old), grown, found), more

    def prune(self, found: FoundProducts) -> FoundProducts:
        """Drops the products whose coefficients do not stand out, and fits the others anew."""
        stands_out = jnp.abs(found.coefficients) > self._threshold(found)
        return self._fitted(found.pairs, found.kept & stands_out)

    def _fitted(self, pairs: Array, kept: Array) -> FoundProducts:
        """Fits coefficients by least squares; a tiny ridge, and 1 in free places, make them one."""
        found = FoundProducts(pairs, kept, jnp.zeros(kept.shape))
        products = _products(found, self._factors)
        gram, moments = products.T @ products, products.T @ self._labels
        diagonal = self._labels.shape[0] * jnp.where(kept, _TINY, 1)
        weights = jax.scipy.linalg.solve(gram + jnp.diag(diagonal), moments, assume_a="pos")
        return found.replace(coefficients=weights)

    def _rest(self, found: FoundProducts) -> Float[Array, " N"]:
        return self._labels - _products(found, self._factors) @ found.coefficients

    def _threshold(self, found: FoundProducts) -> Float[Array, ""]:
        return jnp.maximum(self._noise * _rms(self._rest(found)), self._least)


def _rms(values: Float[Array, " N"]) -> Float[Array, ""]:
    return jnp.sqrt(jnp.mean(values**2))


def _products(found: FoundProducts, factors: Float[Array, "N P"]) -> Float[Array, "N T"]:
    """Returns the products that are found, 0 in free places."""
    left, right = found.pairs.T
    return factors[:, left] * factors[:, right] * found.kept[None]


def product_supports(
    layers: Sequence[ProductLayer], params: Sequence[FoundProducts]
) -> Bool[Array, "T d"]:
    """Tells which inputs each product of the last layer multiplies: those whose sign it takes.

    Args:
      layers: the stack, first layer first.
      params: the parameters of its first layers.

    Returns:
      (T, d), no input in places that are free.

    Raises:
      ValueError: there are parameters of more layers than the stack has.
    """
    num_inputs = layers[0].num_inputs
    one_negative = 1 - 2 * jnp.eye(num_inputs)
    return forward(layers, params, one_negative)[:, num_inputs:].T < 0

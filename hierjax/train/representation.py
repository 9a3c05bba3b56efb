"""Fixed random representations, whitened on the train inputs (arXiv 2006.13436, section 4).

h(x) = P g(x) with g(x) = act(V x + b), V and b random, and P such that the components of h have
second moment 1 and are uncorrelated on the train inputs, all but those held out. The moment is not
centred, so that the constant, which g can express, is one of the directions. Matrix products are
of the highest precision.
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key, Shaped

from hierjax.checks import require_examples, require_shape
from hierjax.models.residual_stack import RandomUnits
from hierjax.train.validation import num_fitted

PyTree = Any

REPRESENTATIONS = ("quadratic", "relu", "erf", "indicator")
"""Activations of the units of a representation."""

_TINY = 1e-30


class Representation(struct.PyTreeNode):
    """A representation that has been fitted.

    Attributes:
      variables: variables of the module `RandomUnits`, V and b.
      projection: (D, E) the matrix P, directions of largest moment first.
      dropped: () share of the E directions whose moment is below the floor; they are left out.
      moment: () share of the whole second moment that the directions have.
    """

    variables: PyTree
    projection: Array
    dropped: Array
    moment: Array


@dataclasses.dataclass(frozen=True)
class RepresentationLayer:
    """The layer of a stack that whitens random units; it reads no labels.

    Attributes:
      width: number of random units, D.
      num_directions: number of directions that are kept, E, those of largest moment; whitening
        all of them would inflate the ones that carry next to nothing.
      activation: activation of the units, one of `REPRESENTATIONS`.
      beta: scale of the biases in the law of V and b, see `beta_xavier`; 0 for no biases.
      floor: least moment of a direction that is kept, in units of the largest.

    Raises:
      ValueError: an unknown activation, or a number out of bounds.
    """

    width: int
    num_directions: int
    activation: str = "quadratic"
    beta: float = 0.5
    floor: float = 1e-6

    def __post_init__(self):
        if self.activation not in REPRESENTATIONS:
            raise ValueError(
                f"activation={self.activation!r} is unknown: choose one of "
                f"{', '.join(REPRESENTATIONS)}"
            )
        if not 1 <= self.num_directions <= self.width:
            raise ValueError(
                f"num_directions={self.num_directions} must be from 1 to {self.width}, the width"
            )
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta={self.beta} must be at least 0 and below 1")
        if not 0 < self.floor < 1:
            raise ValueError(f"floor={self.floor} must be between 0 and 1")

    def fit(
        self, key: Key[Array, ""], inputs: Float[Array, "N d"], labels: Shaped[Array, "N ..."]
    ) -> Representation:
        """Draws the units, and whitens them on all inputs but the held-out ones.

        Inputs that are held out must look to the layer above as fresh ones do. If there are more
        directions than inputs, the rest of the directions are dropped, too.

        Args:
          key: typed PRNG key of the units.
          inputs: (N, d) train inputs.
          labels: (N, ...) labels, not read.

        Returns:
          The representation.

        Raises:
          ValueError: there are fewer than two inputs, not as many labels, or the inputs are no
            vectors.
        """
        require_examples(inputs, labels)
        require_shape("inputs", inputs, (None, None), "give a vector for each example, (N, d)")
        inputs = inputs[: num_fitted(inputs.shape[0])]
        variables = self._units.init(key, inputs[:1])
        with jax.default_matmul_precision("highest"):
            features = self._values(variables, inputs) / jnp.sqrt(inputs.shape[0])
            moments, directions = _largest(features, self.num_directions)
            total = jnp.sum(features**2)
        keep = moments > self.floor * moments[0]
        scales = jnp.where(keep, 1 / jnp.sqrt(jnp.where(keep, moments, 1)), 0)
        return Representation(
            variables,
            directions * scales[None],
            jnp.mean(~keep),
            jnp.sum(jnp.where(keep, moments, 0)) / jnp.maximum(total, _TINY),
        )

    def apply(self, params: Representation, inputs: Float[Array, "N d"]) -> Float[Array, "N E"]:
        """Returns the representations (N, E) of inputs (N, d)."""
        with jax.default_matmul_precision("highest"):
            return self._values(params.variables, inputs) @ params.projection

    @property
    def _units(self) -> RandomUnits:
        return RandomUnits(self.width, self.activation, None, self.beta)

    def _values(self, variables: PyTree, inputs: Float[Array, "N d"]) -> Float[Array, "N D"]:
        return cast(Array, self._units.apply(variables, inputs))


@jax.default_matmul_precision("highest")
def _largest(
    features: Float[Array, "N D"], count: int
) -> tuple[Float[Array, " E"], Float[Array, "D E"]]:
    """Returns the `count` largest moments of features, in descending order, and their directions.

    They are those of the smaller of the two products of the features with themselves, which have
    the same eigenvalues. Signs are fixed, so that random features above do not depend on the
    library that finds the directions.
    """
    num_inputs, width = features.shape
    if width <= num_inputs:
        moments, directions = jnp.linalg.eigh(features.T @ features)
    else:
        moments, weights = jnp.linalg.eigh(features @ features.T)
        directions = features.T @ weights
        directions /= jnp.maximum(jnp.linalg.norm(directions, axis=0, keepdims=True), _TINY)
    missing = max(count - moments.size, 0)
    moments = jnp.pad(moments[::-1][:count], (0, missing))
    directions = jnp.pad(directions[:, ::-1][:, :count], ((0, 0), (0, missing)))
    largest = jnp.take_along_axis(directions, jnp.abs(directions).argmax(axis=0)[None], axis=0)
    return moments, directions * jnp.where(largest < 0, -1.0, 1.0)

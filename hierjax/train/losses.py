"""Losses of class scores, and of the scores of many labels."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

LABEL_LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "square": optax.l2_loss,
    "squared_hinge": lambda scores, labels: jax.nn.relu(1 - scores * labels) ** 2 / 2,
    "hinge": optax.hinge_loss,
    "logistic": lambda scores, labels: jax.nn.softplus(-scores * labels),
}
"""Convex losses of scores to labels that are signs, elementwise."""


class Loss(NamedTuple):
    """What a network is trained by.

    Attributes:
      per_example: (scores, labels) -> losses (N,).
      mistakes: likewise what choices are compared by, such as the share of wrong labels.
    """

    per_example: Callable[[jax.Array, jax.Array], jax.Array]
    mistakes: Callable[[jax.Array, jax.Array], jax.Array]


def _wrong_class(scores: jax.Array, labels: jax.Array) -> jax.Array:
    return (scores.argmax(axis=-1) != labels).astype(float)


CROSS_ENTROPY = Loss(optax.softmax_cross_entropy_with_integer_labels, _wrong_class)
"""Of class scores (N, C) to classes (N,)."""


def _squared_error(scores: jax.Array, labels: jax.Array) -> jax.Array:
    return (scores[..., 0] - labels) ** 2


SQUARED = Loss(_squared_error, _squared_error)
"""Of values (N, 1) to labels (N,) that are numbers: regression."""


def label_loss(name: str, last: int | None = None) -> Loss:
    """One of `LABEL_LOSSES`, mean over the labels of an example, scores (N, ..., K).

    Args:
      name: of the loss.
      last: trains the last so many labels alone; None for all.
    """
    labels_used = slice(None) if last is None else slice(-last, None)

    def mean_over_labels(function):
        def mean(scores, labels):
            values = function(scores[..., labels_used], labels[..., labels_used])
            return values.reshape(values.shape[0], -1).mean(axis=1)

        return mean

    def wrong(scores, labels):
        return ((scores > 0) != (labels > 0)).astype(jnp.float32)

    return Loss(mean_over_labels(LABEL_LOSSES[name]), mean_over_labels(wrong))

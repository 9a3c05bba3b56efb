"""Losses of class scores, and of the scores of many labels."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer, Shaped

LABEL_LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "square": optax.l2_loss,
    "squared_hinge": lambda scores, labels: jax.nn.relu(1 - scores * labels) ** 2 / 2,
    "hinge": optax.hinge_loss,
    "logistic": lambda scores, labels: jax.nn.softplus(-scores * labels),
}
"""Convex losses by name: (scores, labels that are signs) -> losses, entry by entry."""


class Loss(NamedTuple):
    """What a network is trained by, and judged by.

    Attributes:
      per_example: (scores, labels) -> the losses (N,) that are minimised, one for each example.
      mistakes: (scores, labels) -> the numbers (N,) by whose mean choices are compared on held-out
        examples, such as 1 for a wrong label and 0 for a right one.
    """

    per_example: Callable[[Array, Array], Array]
    mistakes: Callable[[Array, Array], Array]


def _wrong_class(scores: Float[Array, "*N C"], labels: Integer[Array, "*N"]) -> Float[Array, "*N"]:
    return (scores.argmax(axis=-1) != labels).astype(float)


CROSS_ENTROPY = Loss(optax.softmax_cross_entropy_with_integer_labels, _wrong_class)
"""Cross-entropy of class scores (N, C) to classes (N,); mistakes are wrong classes."""


def _squared_error(scores: Float[Array, "*N 1"], labels: Shaped[Array, "*N"]) -> Float[Array, "*N"]:
    return (scores[..., 0] - labels) ** 2


SQUARED = Loss(_squared_error, _squared_error)
"""Squared error of values (N, 1) to labels (N,) that are numbers: regression."""


def label_loss(name: str, last: int | None = None) -> Loss:
    """Makes the loss of scores (N, ..., K) to labels (N, ..., K) that are signs.

    Both the loss and the mistakes of an example are means over its labels.

    Args:
      name: one of `LABEL_LOSSES`.
      last: the number of labels, from the last, that count; None for all of them.

    Returns:
      The loss, whose mistakes are scores of the wrong sign.
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

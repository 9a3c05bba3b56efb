"""Losses of class scores, and of the scores of many labels.

They refuse labels that they are not made for, see `hierjax.checks`: labels of another shape would
be broadcast against the scores. An example whose scores are not finite is always a mistake.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer, Shaped

from hierjax.checks import (
    in_range,
    known,
    one_hot,
    one_or_nan,
    require_classes,
    require_numbers,
    require_scores,
    require_shape,
    require_signs,
    wrong_classes,
    wrong_signs,
)
from hierjax.tasks.token_objectives import NOT_ASKED

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


def require_suited(loss: Loss, scores: Callable[[], Array], labels: Shaped[Array, "N ..."]) -> None:
    """Asks a loss whether known labels are what it takes; nothing is computed.

    Inside of `jax.jit` labels are not known: the loss then sees their shape and type when it is
    traced to be minimised.

    Args:
      loss: the loss.
      scores: makes the scores of all examples.
      labels: (N, ...) labels of these examples.

    Raises:
      ValueError: the loss refuses the labels.
    """
    if known(labels) is not None:
        jax.eval_shape(lambda: loss.per_example(scores(), labels))


def _cross_entropy(
    scores: Float[Array, "*N C"], labels: Integer[Array, "*N"]
) -> Float[Array, "*N"]:
    require_classes(labels, scores)
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    return losses * one_or_nan(in_range(labels, scores.shape[-1]), losses.dtype)


def _wrong_class(scores: Float[Array, "*N C"], labels: Integer[Array, "*N"]) -> Float[Array, "*N"]:
    return wrong_classes(scores, labels).astype(float)


CROSS_ENTROPY = Loss(_cross_entropy, _wrong_class)
"""Cross-entropy of class scores (N, C) to classes (N,); mistakes are wrong classes."""


def _squared_error(scores: Float[Array, "*N 1"], labels: Shaped[Array, "*N"]) -> Float[Array, "*N"]:
    require_scores(scores, (..., 1))
    remedy = "for values (N, 1) give a number for each example, of labels (N, 1) labels[:, 0]"
    require_shape("labels", labels, scores.shape[:-1], remedy)
    require_numbers("labels", labels)
    return (scores[..., 0] - labels) ** 2


SQUARED = Loss(_squared_error, _squared_error)
"""Squared error of values (N, 1) to labels (N,) that are numbers: regression."""


def _squared_distance(
    scores: Float[Array, "*N C"], labels: Integer[Array, "*N"]
) -> Float[Array, "*N"]:
    require_classes(labels, scores)
    targets = one_hot(labels, scores.shape[-1], "labels", "classes")
    return jnp.sum((scores - targets) ** 2, axis=-1) / 2


SQUARED_CLASSES = Loss(_squared_distance, _wrong_class)
"""Half the squared distance of scores (N, C) to one-hot classes (N,); mistakes as above."""


def _token_losses(
    scores: Float[Array, "*N T V"], targets: Integer[Array, "*N T"]
) -> Float[Array, "*N"]:
    require_scores(scores, (None, None, None))
    remedy = "give the token that is asked for at each position, (N, T)"
    require_shape("targets", targets, scores.shape[:-1], remedy)
    asked = targets != NOT_ASKED
    tokens = jnp.where(asked, targets, 0)
    require_classes(tokens.reshape(-1), scores.reshape(-1, scores.shape[-1]))
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, tokens)
    losses *= one_or_nan(in_range(tokens, scores.shape[-1]), losses.dtype)
    return jnp.where(asked, losses, 0).sum(axis=-1)


TOKEN_CROSS_ENTROPY = Loss(_token_losses, _token_losses)
"""Cross-entropy of token scores (N, T, V) to targets (N, T), a sum over what is asked, in nats.

Targets are those of `hierjax.tasks.TokenExamples`. Choices are compared by the same number.
"""


def label_loss(name: str, last: int | None = None) -> Loss:
    """Makes the loss of scores (N, ..., K) to labels (N, ..., K) that are signs.

    Both the loss and the mistakes of an example are means over its labels.

    Args:
      name: one of `LABEL_LOSSES`.
      last: the number of labels, from the last, that count; None for all of them.

    Returns:
      The loss, whose mistakes are scores of the wrong sign, or that are not finite.

    Raises:
      ValueError: the name is unknown, or no label counts.
    """
    if name not in LABEL_LOSSES:
        raise ValueError(f"name={name!r} is unknown: choose one of {', '.join(LABEL_LOSSES)}")
    if last is not None and last < 1:
        raise ValueError(f"last={last} must be at least 1: leave it out for all labels")
    labels_used = slice(None) if last is None else slice(-last, None)

    def mean_over_labels(function):
        def mean(scores, labels):
            require_scores(scores, (None, ..., None))
            require_signs(labels, scores.shape)
            if last is not None and last > labels.shape[-1]:
                raise ValueError(f"last={last} must be at most {labels.shape[-1]}, the labels")
            values = function(scores[..., labels_used], labels[..., labels_used])
            return values.reshape(values.shape[0], -1).mean(axis=1)

        return mean

    def wrong(scores, labels):
        return wrong_signs(scores, labels).astype(jnp.float32)

    return Loss(mean_over_labels(LABEL_LOSSES[name]), mean_over_labels(wrong))

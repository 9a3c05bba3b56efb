"""What a learner of many labels knows of each level."""

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from hierjax.checks import require_scores, require_signs, wrong_signs
from hierjax.tasks.batch import Batch


class LabelReport(struct.PyTreeNode):
    """Accuracies on a test set for each of the R levels of a label hierarchy, from the lowest.

    Attributes:
      accuracy: (R,) share of labels whose sign is right, a mean over the labels of a level.
      accuracy_min_label: (R,) share of right signs of the label of a level that is known least.
      chance: (R,) accuracy of always guessing the more frequent sign of each label.
    """

    accuracy: Array
    accuracy_min_label: Array
    chance: Array


def label_report(scores: Float[Array | np.ndarray, "N ... K"], test: Batch) -> LabelReport:
    """Compares the signs of scores with the labels of each level.

    Args:
      scores: (N, ..., K) scores of all labels, from the lowest level; with a lattice there is an
        axis of locations.
      test: a batch of a label hierarchy, with labels of the shape of the scores.

    Returns:
      The report. A score that is not finite has no right sign.

    Raises:
      ValueError: the labels are not of the shape of the scores, not those of the levels that the
        batch has as latents, or known and no signs.
    """
    require_scores(scores, (None, ..., None))
    require_signs(test.labels, scores.shape)
    num_labels = sum(level.shape[-1] for level in test.latents[1:])
    if num_labels != scores.shape[-1]:
        raise ValueError(
            f"the latents of the levels hold {num_labels} labels, but the batch has "
            f"{scores.shape[-1]}: give the inputs as the first latents, then the labels of levels"
        )
    right = (~wrong_signs(scores, test.labels)).astype(jnp.float32)
    positive = (test.labels > 0).astype(jnp.float32)
    right, positive = (x.reshape(-1, x.shape[-1]).mean(axis=0) for x in (right, positive))
    majority = jnp.maximum(positive, 1 - positive)
    by_level = _levels(right, test), _levels(majority, test)
    return LabelReport(
        accuracy=jnp.stack([labels.mean() for labels in by_level[0]]),
        accuracy_min_label=jnp.stack([labels.min() for labels in by_level[0]]),
        chance=jnp.stack([labels.mean() for labels in by_level[1]]),
    )


def _levels(values: Float[Array, " K"], test: Batch) -> list[Float[Array, " _"]]:
    """Splits the values (K,) of all labels into those of each level."""
    sizes = [level.shape[-1] for level in test.latents[1:]]
    return jnp.split(values, np.cumsum(sizes)[:-1])

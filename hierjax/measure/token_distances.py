"""What tokens tell of the next one, by how far up in the tree they meet."""

import numpy as np
from jaxtyping import Float

from hierjax.tasks.random_hierarchy import RandomHierarchySpec


def over_distances(
    spec: RandomHierarchySpec, values: Float[np.ndarray, "... d"]
) -> Float[np.ndarray, "... L"]:
    """Returns means over positions by how many levels up, 1 to L, the token before meets theirs.

    Args:
      spec: sizes of the grammars.
      values: (..., d) numbers of each position.
    """
    distances, heights = np.array(spec.distances_before), range(1, spec.depth + 1)
    return np.stack([values[..., distances == each].mean(axis=-1) for each in heights], axis=-1)


def told_at_distances(
    spec: RandomHierarchySpec, floors: Float[np.ndarray, "R levels d"]
) -> Float[np.ndarray, "R L"]:
    """Returns the nats that the tokens before tell of a token, by how many levels up they meet it.

    No token before such a token is in the subtree one level lower.

    Args:
      spec: sizes of the grammars.
      floors: (R, L + 1, d) cross-entropy of exact inference of R grammars, given those tokens
        before that are in the same subtree below a node of each level, the root first.
    """
    heights = np.arange(1, spec.depth + 1)
    gains = over_distances(spec, floors[:, spec.depth + 1 - heights] - floors[:, :1])
    return gains[:, heights - 1, heights - 1]


def short_of_half(
    spec: RandomHierarchySpec,
    excess: Float[np.ndarray, "... R d"],
    floors: Float[np.ndarray, "R levels d"],
    last: bool,
) -> Float[np.ndarray, "... R L"]:
    """Returns what a model lacks to know half of what the tokens at each distance tell, 1 to L.

    It falls to zero where the model has found the level; see `hierjax.measure.threshold`.

    Args:
      spec: sizes of the grammars.
      excess: (..., R, d) nats of each token above exact inference, of R grammars.
      floors: (R, L + 1, d) cross-entropy of exact inference, as `told_at_distances` takes it.
      last: whether the last token alone is asked. What is short is then the nats above the middle
        of what a subtree tells and what the one within does, and else a share of what is told.
    """
    if not last:
        return over_distances(spec, excess) / told_at_distances(spec, floors) - 0.5
    above = floors[:, ::-1, -1] - floors[:, :1, -1]  # From the narrowest subtree.
    return excess[..., -1:] - (above[:, 1:] + above[:, :-1]) / 2

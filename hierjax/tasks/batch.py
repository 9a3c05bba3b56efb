"""The batch of examples that every task hands out."""

from flax import struct
from jaxtyping import Array


class Batch(struct.PyTreeNode):
    """Examples of a task, with the hidden variables that they were made from.

    Attributes:
      inputs: (N, d) array, what a learner sees of N examples.
      labels: (N,) array of the class or the value of each example, or (N, K) for a task of K
        labels.
      latents: one array of N rows for each level of the hierarchy, in the order that the task's
        `sample` documents.
    """

    inputs: Array
    labels: Array
    latents: tuple[Array, ...]

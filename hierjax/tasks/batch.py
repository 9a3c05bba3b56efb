"""What every task hands out."""

from flax import struct
from jaxtyping import Array


class Batch(struct.PyTreeNode):
    """Examples of a task, with everything that a probe may ask about them.

    Attributes:
      inputs: (N, d) array of what a learner sees.
      labels: (N,) class of each example, or (N, K) for tasks of many labels.
      latents: one array for each level of the hierarchy, in the task's own order.
    """

    inputs: Array
    labels: Array
    latents: tuple[Array, ...]

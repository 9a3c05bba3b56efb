"""What every task hands out."""

import jax
from flax import struct


class Batch(struct.PyTreeNode):
    """Examples of a task, with everything that a probe may ask about them.

    Attributes:
      inputs: (N, d) array of what a learner sees.
      labels: (N,) class of each example, or (N, K) for tasks of many labels.
      latents: one array for each level of the hierarchy, in the task's own order.
    """

    inputs: jax.Array
    labels: jax.Array
    latents: tuple[jax.Array, ...]

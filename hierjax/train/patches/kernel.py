"""A patch layer with infinitely many random features: kernel ridge regression."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from hierjax.train.patches.layer import PatchLayer

_TINY = 1e-6


class KernelPatchLayer(PatchLayer):
    """A `PatchLayer` on `KernelFeatures`, whose map is the ridge regression on their limit.

    With kernel K of N patches and the penalty lambda of `solvers.ridge`, the weights of the patches
    are (K + N lambda)^-1 targets.

    Attributes:
      features: kernel with the train patches, `KernelFeatures`.
      config: choices that all layers of the stack share.
      num_classes: number of classes, C.
      num_tuples: number of tuples that the rules of the layer's level have, V * M.
      embedding_dim: number of numbers in an embedding, E; None on top, where the class scores
        themselves are the output.
    """

    def _solve(
        self,
        features: Float[Array, "N N"],
        labels: Integer[Array, " N"],
        class_mean: Float[Array, " C"],
    ) -> Float[Array, "N C"]:
        targets, count = self._targets(labels, class_mean), features.shape[0]
        shift = count * (self.config.penalty / self.num_tuples + _TINY)
        return jax.scipy.linalg.solve(features + shift * jnp.eye(count), targets, assume_a="pos")

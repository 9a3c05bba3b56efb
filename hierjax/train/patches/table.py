"""The first layer of the convolutional stack, a table of tuples of leaves (arXiv 2601.19756)."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from hierjax.checks import in_range, one_or_nan
from hierjax.train.patches.layer import PatchLayer
from hierjax.train.patches.maps import PatchMaps

PyTree = Any


class TableMaps(PatchMaps):
    """Base of the layers of the leaves, whose features are the indicators of tuples.

    Attributes:
      features: the codes of the tuples of leaves, `TupleCodes`.
    """

    def _trusted(
        self, outputs: Float[Array, "N ..."], inputs: Integer[Array, "N PS"]
    ) -> Float[Array, "N ..."]:
        """Makes NaN of the outputs of strings that have a symbol out of range."""
        factors = one_or_nan(in_range(inputs, self.features.vocab_size).all(axis=1), outputs.dtype)
        return outputs * factors.reshape(-1, *[1] * (outputs.ndim - 1))

    def _scores(
        self, variables: PyTree, kernel: Float[Array, "codes K"], inputs: Integer[Array, "N PS"]
    ) -> tuple[Float[Array, "codes K"], Float[Array, " codes"]]:
        codes = self._apply(variables, inputs).ravel()
        return kernel, jnp.bincount(codes, length=kernel.shape[0]) / codes.size


class TableLayer(TableMaps, PatchLayer):
    """The layer of the leaves, whose features are the indicators of `patch_features.TupleCodes`.

    Least squares on indicators is the mean target of each code: a table, whatever the solver.

    Attributes:
      features: the codes of the tuples of leaves, `TupleCodes`.
      config: choices that all layers of the stack share.
      num_classes: number of classes, C.
      num_tuples: number of tuples that the rules of the leaves' level have, V * M.
      embedding_dim: number of numbers in an embedding, E; None on top, where the class scores
        themselves are the output.
    """

    def apply(self, params: dict, inputs: Integer[Array, "N PS"]) -> Float[Array, "N ..."]:
        """Computes what the layer above sees; see `PatchLayer.apply`."""
        return self._trusted(super().apply(params, inputs), inputs)

    def class_scores(self, params: dict, inputs: Integer[Array, "N PS"]) -> Float[Array, "N C"]:
        """Returns class scores (N, C) of whole strings; see `PatchLayer.class_scores`."""
        return self._trusted(super().class_scores(params, inputs), inputs)

    def _fixed(self, key, inputs, labels) -> tuple[PyTree, Float[Array, " C"]]:
        variables, class_mean = super()._fixed(key, inputs, labels)
        return variables, self._trusted(class_mean[None], inputs.reshape(1, -1))[0]

    def _solve(
        self,
        features: Int[Array, " N"],
        labels: Integer[Array, " N"],
        class_mean: Float[Array, " C"],
    ) -> Float[Array, "codes C"]:
        cells = self.features.num_features * self.num_classes
        counts = jnp.bincount(features * self.num_classes + labels, length=cells)
        counts = counts.reshape(-1, self.num_classes)
        totals = counts.sum(axis=1, keepdims=True)
        return (counts - totals * class_mean[None]) / jnp.maximum(totals, 1)

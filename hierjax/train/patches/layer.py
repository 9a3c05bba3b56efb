"""Layers of the convolutional stack that is trained layer by layer (arXiv 2601.19756).

A layer estimates P(class | patch) by a linear map on fixed features of the patch. The estimate
depends on the patch through its parent symbol alone, so synonyms fall on one embedding while
different symbols stay apart. `PatchLayerConfig` has the paper's choices beside those of this
library, which need fewer strings. Matrix products are of the highest precision.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key, Shaped

from hierjax.checks import (
    in_range,
    one_hot,
    one_or_nan,
    require_examples,
    require_integers,
    require_shape,
)
from hierjax.train.layerwise import ScoringLayer
from hierjax.train.patches.config import PatchLayerConfig
from hierjax.train.patches.maps import PatchMaps, normalized, side_by_side
from hierjax.train.solvers import SOLVERS

PyTree = Any

# Of estimates for patches that were trained on; others may have a sum of any sign.
_LEAST_SUM = 0.01


@dataclasses.dataclass(frozen=True)
class PatchLayer(PatchMaps, ScoringLayer):
    """One layer: features of a patch, class scores linear in them, an embedding of the scores.

    The patches are P neighbourhoods of S positions each.

    Attributes:
      features: fixed features of a patch, a module of `hierjax.models.patch_features`.
      config: choices that all layers of the stack share.
      num_classes: number of classes, C.
      num_tuples: number of tuples that the rules of the layer's level have, V * M.
      embedding_dim: number of numbers in an embedding, E; None on top, where the class scores
        themselves are the output.
    """

    config: PatchLayerConfig
    num_classes: int
    num_tuples: int
    embedding_dim: int | None

    def fit(
        self, key: Key[Array, ""], inputs: Shaped[Array, "N PS *E"], labels: Integer[Array, " N"]
    ) -> dict:
        """Trains the layer.

        Args:
          key: typed PRNG key of the random features.
          inputs: (N, P*S) symbols, or (N, P*S, E) embeddings by the layer below.
          labels: (N,) classes.

        Returns:
          The parameters by name: "features", the variables of the module of the features;
          "class_mean" (C,), what targets are less than indicators: the shares of the classes, or 0
          if they are raw; "readout" (Q, D, C), linear maps of the Q positions that have a map of
          their own; and, below the top, "center" (Q*C,) and "projection" (Q*C, E), which turn
          scores into embeddings, but not where these are divided by their sum.

        Raises:
          ValueError: inputs or labels are of another shape or type, there are not as many labels
            as inputs, or symbols or classes are known and out of range; where they are not known
            the parameters are then NaN.
        """
        with jax.default_matmul_precision("highest"):
            variables, class_mean = self._fixed(key, inputs, labels)
            patches = self._patches(inputs)
            if self.config.targets == "first":
                patches = patches[:1]
            elif self.config.targets == "pooled":
                labels = jnp.tile(labels, patches.shape[0])
                patches = patches.reshape(1, -1, *patches.shape[2:])
            readout = jax.lax.map(
                lambda z: self._solve(self._features(variables, z), labels, class_mean), patches
            )
            return self._params(variables, class_mean, readout, inputs)

    def _fixed(self, key, inputs, labels) -> tuple[PyTree, Float[Array, " C"]]:
        """Returns the variables of the features and the mean (C,) by which targets are less."""
        self._require(inputs)
        require_examples(inputs, labels)
        require_shape("labels", labels, (None,), "give the number of each example's class")
        require_integers("labels", labels, self.num_classes, "classes")
        class_mean = jnp.bincount(labels, length=self.num_classes) / labels.size
        class_mean *= one_or_nan(in_range(labels, self.num_classes).all())
        if self.config.raw_targets:
            class_mean *= 0
        return self.features.init(key, inputs), class_mean

    def _require(self, inputs: Shaped[Array, "N PS *E"]) -> None:
        """Refuses inputs that the features do not take or that are no whole patches, on top one."""
        self._require_patches(inputs)
        size, length = self.features.branching, inputs.shape[1]
        if self.embedding_dim is None and length != size:
            raise ValueError(
                f"inputs of length {length} are more than the one patch of {size} that the top "
                "layer reads: give strings of the length of the tree"
            )

    def _params(self, variables, class_mean, readout, inputs) -> dict:
        params = {"features": variables, "class_mean": class_mean, "readout": readout}
        if self.embedding_dim is not None and self.config.normalizer != "sum":
            scores, shares = self._scores(variables, side_by_side(readout), inputs)
            params |= normalized(scores, shares, self.embedding_dim, self.config.normalizer)
        return params

    def apply(self, params: dict, inputs: Shaped[Array, "N PS *E"]) -> Float[Array, "N ..."]:
        """Computes what the layer above sees.

        Args:
          params: the parameters that `fit` returned.
          inputs: (N, P*S) symbols, or (N, P*S, E) embeddings by the layer below.

        Returns:
          (N, P, E) embeddings of the patches; on top (N, C) estimates of P(class | string).

        Raises:
          ValueError: the inputs are of another shape or type, or symbols are known and out of
            range; where they are not known the outputs of their strings are then NaN.
        """
        self._require(inputs)
        with jax.default_matmul_precision("highest"):
            kernel, offset = side_by_side(params["readout"]), params["class_mean"]
            if "projection" in params:
                kernel = kernel @ params["projection"]
                offset = -params["center"] @ params["projection"]
            elif self.embedding_dim is not None:
                return self._shares(self._map_patches(params["features"], kernel, inputs))
            outputs = self._map_patches(params["features"], kernel, inputs) + offset[None, None]
            return outputs[:, 0] if self.embedding_dim is None else outputs

    def _shares(self, scores: Float[Array, "N P QC"]) -> Float[Array, "N P QC"]:
        """Divides the scores of the classes by their sum, which is near 1 if there were enough."""
        by_map = scores.reshape(*scores.shape[:2], -1, self.num_classes)
        sums = by_map.sum(axis=-1, keepdims=True)
        return (by_map / jnp.maximum(sums, _LEAST_SUM)).reshape(scores.shape)

    def class_scores(self, params: dict, inputs: Shaped[Array, "N PS *E"]) -> Float[Array, "N C"]:
        """Returns class scores (N, C) of whole strings, a sum over the trained positions.

        The arguments are those of `apply`.
        """
        self._require(inputs)
        with jax.default_matmul_precision("highest"):
            patches, readout = self._patches(inputs), params["readout"]
            if self.config.targets == "pooled":
                readout = jnp.broadcast_to(readout, (patches.shape[0], *readout.shape[1:]))

            def vote(position):
                z, kernel = position
                return self.features.linear(self._features(params["features"], z), kernel)

            by_position = jax.lax.map(vote, (patches[: readout.shape[0]], readout))
            return by_position.sum(axis=0) + params["class_mean"][None]

    def _solve(
        self,
        features: Shaped[Array, "N ..."],
        labels: Integer[Array, " N"],
        class_mean: Float[Array, " C"],
    ) -> Float[Array, "D C"]:
        """Fits a map (D, C) from features (N, D) to onehot(label) - class_mean."""
        penalty = self.config.penalty / self.num_tuples
        return SOLVERS[self.config.solver](features, self._targets(labels, class_mean), penalty)

    def _targets(
        self, labels: Integer[Array, " N"], class_mean: Float[Array, " C"]
    ) -> Float[Array, "N C"]:
        return one_hot(labels, self.num_classes, "labels", "classes") - class_mean[None]

"""Layers of the convolutional stack that is trained layer by layer (arXiv 2601.19756).

A layer estimates P(class | patch) by a linear map on fixed features of the patch. The estimate
depends on the patch through its parent symbol alone, so synonyms fall on one embedding while
different symbols stay apart. `PatchLayerConfig` has the paper's choices beside those of this
library, which need fewer strings. Matrix products are of the highest precision.
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
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
from hierjax.train.solvers import SOLVERS

PyTree = Any

_ROWS_AT_ONCE = 4096
_WHITEN_FLOOR = 1e-6
# Of estimates for patches that were trained on; others may have a sum of any sign.
_LEAST_SUM = 0.01
_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class PatchLayer(ScoringLayer):
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

    features: nn.Module
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
        self.features.require(inputs)
        size, length = self.features.branching, inputs.shape[1]
        if length % size or not length:
            raise ValueError(f"inputs of length {length} must be cut into patches of {size}")
        if self.embedding_dim is None and length != size:
            raise ValueError(
                f"inputs of length {length} are more than the one patch of {size} that the top "
                "layer reads: give strings of the length of the tree"
            )

    def _params(self, variables, class_mean, readout, inputs) -> dict:
        params = {"features": variables, "class_mean": class_mean, "readout": readout}
        if self.embedding_dim is not None and self.config.normalizer != "sum":
            scores, shares = self._scores(variables, _side_by_side(readout), inputs)
            params |= self._normalizer(scores, shares, self.embedding_dim)
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
            kernel, offset = _side_by_side(params["readout"]), params["class_mean"]
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

    def _patches(self, inputs: Shaped[Array, "N PS *E"]) -> Shaped[Array, "P N S *E"]:
        """Cuts inputs (N, P*S, ...) into patches (P, N, S, ...)."""
        size = self.features.branching
        patches = inputs.reshape(inputs.shape[0], -1, size, *inputs.shape[2:])
        return jnp.moveaxis(patches, 1, 0)

    def _apply(
        self, variables: PyTree, inputs: Shaped[Array, "N PS *E"]
    ) -> Shaped[Array, "N P *D"]:
        return cast(Array, self.features.apply(variables, inputs))

    def _features(
        self, variables: PyTree, patches: Shaped[Array, "N S *E"]
    ) -> Shaped[Array, "N ..."]:
        """Returns features (N, D), or codes (N,), of single patches (N, S, ...)."""
        return self._apply(variables, patches)[:, 0]

    def _map_patches(
        self, variables: PyTree, kernel: Float[Array, "D K"], inputs: Shaped[Array, "N PS *E"]
    ) -> Float[Array, "N P K"]:
        """Maps the features of every patch by a kernel, in blocks that fit a cache."""
        patches = self._patches(inputs)
        rows = patches.reshape(-1, *patches.shape[2:])

        def map_row(row):
            return self.features.linear(self._features(variables, row[None]), kernel)[0]

        # Blocks of one size: a smaller last one would be compiled once more.
        num_blocks = -(-rows.shape[0] // _ROWS_AT_ONCE)
        padding = [(0, -rows.shape[0] % num_blocks)] + [(0, 0)] * (rows.ndim - 1)
        padded = jnp.pad(rows, padding)
        outputs = jax.lax.map(map_row, padded, batch_size=padded.shape[0] // num_blocks)
        outputs = outputs[: rows.shape[0]].reshape(*patches.shape[:2], -1)
        return jnp.moveaxis(outputs, 0, 1)

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

    def _scores(
        self, variables: PyTree, kernel: Float[Array, "D QC"], inputs: Shaped[Array, "N PS *E"]
    ) -> tuple[Float[Array, "R QC"], Float[Array, " R"]]:
        """Returns the different scores (R, Q*C) of the patches, and the share (R,) of each."""
        scores = self._map_patches(variables, kernel, inputs).reshape(-1, kernel.shape[1])
        return scores, jnp.full(scores.shape[0], 1 / scores.shape[0])

    def _normalizer(
        self, scores: Float[Array, "R QC"], shares: Float[Array, " R"], embedding_dim: int
    ) -> dict[str, Array]:
        """Returns centre and projection of weighted scores to embeddings of unit rms norm."""
        center = shares @ scores
        centered = scores - center[None]
        weighted = centered * shares[:, None]
        if self.config.normalizer == "rms":
            variances, directions = (centered * weighted).sum(axis=0), jnp.eye(center.size)
        else:
            variances, directions = jnp.linalg.eigh(centered.T @ weighted)
            variances = variances[-embedding_dim:]
            directions = _fix_signs(directions[:, -embedding_dim:])
        if self.config.normalizer == "whiten":
            floored = jnp.maximum(variances, _WHITEN_FLOOR * variances.max() + _TINY)
            scales = jnp.sqrt(floored * embedding_dim)
        else:
            scales = jnp.sqrt(variances.sum() + _TINY)[None]
        return {"center": center, "projection": directions / scales[None]}


def _side_by_side(readout: Float[Array, "Q D C"]) -> Float[Array, "D QC"]:
    """Makes one map (D, Q*C) of Q maps (D, C)."""
    return jnp.moveaxis(readout, 0, 1).reshape(readout.shape[1], -1)


def _fix_signs(directions: Float[Array, "QC E"]) -> Float[Array, "QC E"]:
    """Makes the largest entry of each column positive: random features see the sign."""
    largest = jnp.take_along_axis(directions, jnp.abs(directions).argmax(axis=0)[None], axis=0)
    return directions * jnp.where(largest < 0, -1, 1)

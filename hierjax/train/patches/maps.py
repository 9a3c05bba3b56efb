"""Linear maps of fixed features of patches, shared by positions, and embeddings of their scores.

What layers of a stack that is matched to a tree have in common, whatever their maps are fitted to.
Matrix products are of the highest precision.
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Shaped

PyTree = Any

NORMALIZERS = ("pca", "whiten", "rms", "sum")
"""What may be done to the outputs of a layer, see `PatchLayerConfig`."""

_ROWS_AT_ONCE = 4096
_WHITEN_FLOOR = 1e-6
_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class PatchMaps:
    """Base of the layers that map features of patches.

    Attributes:
      features: fixed features of a patch, a module of `hierjax.models.patch_features`.
    """

    features: nn.Module

    def _require_patches(self, inputs: Shaped[Array, "N PS *E"]) -> None:
        """Refuses inputs that the features do not take, or that are no whole patches."""
        self.features.require(inputs)
        size, length = self.features.branching, inputs.shape[1]
        if length % size or not length:
            raise ValueError(f"inputs of length {length} must be cut into patches of {size}")

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

    def _scores(
        self, variables: PyTree, kernel: Float[Array, "D K"], inputs: Shaped[Array, "N PS *E"]
    ) -> tuple[Float[Array, "R K"], Float[Array, " R"]]:
        """Returns the different scores (R, K) of the patches, and the share (R,) of each."""
        scores = self._map_patches(variables, kernel, inputs).reshape(-1, kernel.shape[1])
        return scores, jnp.full(scores.shape[0], 1 / scores.shape[0])


def normalized(
    scores: Float[Array, "R K"], shares: Float[Array, " R"], embedding_dim: int, kind: str = "pca"
) -> dict[str, Array]:
    """Finds the affine map of scores to embeddings of mean zero and unit rms norm.

    Args:
      scores: (R, K) scores.
      shares: (R,) weights of the scores, of sum one.
      embedding_dim: number of principal directions that are kept, E.
      kind: one of `NORMALIZERS` but the division by sums.

    Returns:
      "center" (K,), which is to be taken off the scores, and then "projection" (K, E).
    """
    center = shares @ scores
    centered = scores - center[None]
    weighted = centered * shares[:, None]
    if kind == "rms":
        variances, directions = (centered * weighted).sum(axis=0), jnp.eye(center.size)
    else:
        variances, directions = jnp.linalg.eigh(centered.T @ weighted)
        variances = variances[-embedding_dim:]
        directions = _fix_signs(directions[:, -embedding_dim:])
    if kind == "whiten":
        floored = jnp.maximum(variances, _WHITEN_FLOOR * variances.max() + _TINY)
        scales = jnp.sqrt(floored * embedding_dim)
    else:
        scales = jnp.sqrt(variances.sum() + _TINY)[None]
    return {"center": center, "projection": directions / scales[None]}


def _fix_signs(directions: Float[Array, "K E"]) -> Float[Array, "K E"]:
    """Makes the largest entry of each column positive: random features see the sign."""
    largest = jnp.take_along_axis(directions, jnp.abs(directions).argmax(axis=0)[None], axis=0)
    return directions * jnp.where(largest < 0, -1, 1)


def side_by_side(readout: Float[Array, "Q D K"]) -> Float[Array, "D QK"]:
    """Makes one map (D, Q*K) of Q maps (D, K)."""
    return jnp.moveaxis(readout, 0, 1).reshape(readout.shape[1], -1)

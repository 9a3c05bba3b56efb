"""A patch layer whose linear map is trained by minibatch descent, in rounds."""

import jax
import jax.numpy as jnp
from flax import struct

from hierjax.train.descent import DescentState, Objective
from hierjax.train.layerwise import RoundsLayer
from hierjax.train.patch_layer import PatchLayer
from hierjax.train.solvers import DESCENTS


class PatchFit(struct.PyTreeNode):
    """The fit of a layer between two rounds.

    Attributes:
      variables: of the fixed features.
      class_mean: (C,) train shares of the classes.
      descent: of the readout (Q, D, C).
    """

    variables: dict
    class_mean: jax.Array
    descent: DescentState

    @property
    def progress(self) -> jax.Array:
        """1 when the fit has ended."""
        return self.descent.progress


class DescentPatchLayer(PatchLayer, RoundsLayer):
    """A `PatchLayer` whose solver is one of `solvers.DESCENTS`."""

    fit = RoundsLayer.fit

    def start(self, key: jax.Array, inputs: jax.Array, labels: jax.Array) -> PatchFit:
        """The state before the first round; arguments as for `PatchLayer.fit`."""
        with jax.default_matmul_precision("highest"):
            variables, class_mean = self._fixed(key, inputs, labels)
            objective = self._objective(variables, class_mean, inputs)
            return PatchFit(variables, class_mean, self._descent.start(objective, key))

    def advance(
        self, key: jax.Array, state: PatchFit, inputs: jax.Array, labels: jax.Array
    ) -> PatchFit:
        """One round."""
        with jax.default_matmul_precision("highest"):
            objective = self._objective(state.variables, state.class_mean, inputs)
            descent = self._descent.advance(objective, key, state.descent, inputs, labels)
            return state.replace(descent=descent)

    def finish(self, state: PatchFit, inputs: jax.Array, labels: jax.Array) -> dict:
        """Parameters as `PatchLayer.fit` returns them."""
        with jax.default_matmul_precision("highest"):
            return self._params(state.variables, state.class_mean, state.descent.params, inputs)

    @property
    def _descent(self):
        return DESCENTS[self.config.solver]

    def _objective(self, variables, class_mean: jax.Array, inputs: jax.Array) -> Objective:
        """Half the squared loss, summed over positions that have a map of their own."""
        num_patches = inputs.shape[1] // self.features.branching
        trained = 1 if self.config.targets == "first" else num_patches
        num_maps = 1 if self.config.targets == "pooled" else trained

        def init(_):
            return jnp.zeros((num_maps, self.features.num_features, self.num_classes))

        def loss(readout, inputs, labels):
            features = self.features.apply(
                variables, inputs[:, : trained * self.features.branching]
            )
            readout = jnp.broadcast_to(readout, (trained, *readout.shape[1:]))
            targets = jax.nn.one_hot(labels, self.num_classes) - class_mean[None]
            residuals = jnp.einsum("npd,pdc->npc", features, readout) - targets[:, None]
            return 0.5 * (residuals**2).sum(axis=(1, 2)) * (num_maps / trained)

        return Objective(init, loss, loss)

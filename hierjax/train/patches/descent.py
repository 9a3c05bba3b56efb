"""A patch layer whose linear map is trained by minibatch descent, in rounds."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Integer, Key, Shaped

from hierjax.train.descent import Descent, DescentState
from hierjax.train.layerwise import RoundsLayer
from hierjax.train.objective import Objective
from hierjax.train.patches.layer import PatchLayer
from hierjax.train.solvers import DESCENTS

PyTree = Any


class PatchFit(struct.PyTreeNode):
    """The fit of a patch layer between two rounds.

    Attributes:
      variables: variables of the fixed features.
      class_mean: (C,) what the targets are less than indicators of the classes.
      descent: state of the descent on the readout (Q, D, C).
    """

    variables: PyTree
    class_mean: Array
    descent: DescentState

    @property
    def progress(self) -> Float[Array | np.ndarray, "*seeds"]:
        """Progress of the descent, 1 when it has ended; of each seed if stacked."""
        return self.descent.progress


class DescentPatchLayer(PatchLayer, RoundsLayer):
    """A `PatchLayer` whose solver is one of `DESCENTS`: its linear map is fitted by minibatches.

    Attributes:
      features: fixed random features of a patch.
      config: choices that all layers of the stack share.
      num_classes: number of classes, C.
      num_tuples: number of tuples that the rules of the layer's level have, V * M.
      embedding_dim: number of numbers in an embedding, E; None on top, where the class scores
        themselves are the output.
    """

    fit = RoundsLayer.fit

    def start(
        self, key: Key[Array, ""], inputs: Shaped[Array, "N PS *E"], labels: Integer[Array, " N"]
    ) -> PatchFit:
        """Returns the state before the first round; arguments as for `PatchLayer.fit`."""
        with jax.default_matmul_precision("highest"):
            variables, class_mean = self._fixed(key, inputs, labels)
            objective = self._objective(variables, class_mean, inputs)
            return PatchFit(variables, class_mean, self._descent.start(objective, key))

    def advance(
        self,
        key: Key[Array, ""],
        state: PatchFit,
        inputs: Shaped[Array, "N PS *E"],
        labels: Integer[Array, " N"],
    ) -> PatchFit:
        """Takes the steps of one round; see `RoundsLayer.advance`."""
        objective = self._objective(state.variables, state.class_mean, inputs)
        descent = self._descent.advance(objective, key, state.descent, inputs, labels)
        return state.replace(descent=descent)

    def decide(
        self,
        key: Key[Array, ""],
        state: PatchFit,
        inputs: Shaped[Array, "N PS *E"],
        labels: Integer[Array, " N"],
    ) -> PatchFit:
        """Ends the fit when all steps are taken; see `RoundsLayer.decide`."""
        objective = self._objective(state.variables, state.class_mean, inputs)
        descent = self._descent.decide(objective, key, state.descent, inputs, labels)
        return state.replace(descent=descent)

    def finish(
        self, state: PatchFit, inputs: Shaped[Array, "N PS *E"], labels: Integer[Array, " N"]
    ) -> dict:
        """Returns parameters of the form that `PatchLayer.fit` documents."""
        with jax.default_matmul_precision("highest"):
            return self._params(state.variables, state.class_mean, state.descent.params, inputs)

    @property
    def _descent(self) -> Descent:
        return DESCENTS[self.config.solver]

    def _objective(
        self, variables: PyTree, class_mean: Float[Array, " C"], inputs: Shaped[Array, "N PS *E"]
    ) -> Objective:
        """Makes half the squared loss, summed over positions that have a map of their own."""
        num_patches = inputs.shape[1] // self.features.branching
        trained = 1 if self.config.targets == "first" else num_patches
        num_maps = 1 if self.config.targets == "pooled" else trained

        def init(_):
            return jnp.zeros((num_maps, self.features.num_features, self.num_classes))

        def loss(readout, inputs, labels):
            features = self._apply(variables, inputs[:, : trained * self.features.branching])
            readout = jnp.broadcast_to(readout, (trained, *readout.shape[1:]))
            targets = self._targets(labels, class_mean)
            residuals = jnp.einsum("npd,pdc->npc", features, readout) - targets[:, None]
            return 0.5 * (residuals**2).sum(axis=(1, 2)) * (num_maps / trained)

        return Objective(init, loss, loss)

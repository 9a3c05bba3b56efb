"""A block of a residual stack, fitted by minibatches (arXiv 2601.00455).

Steps are taken on features that `draw_features` has centred and scaled.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Float, Key

from hierjax.train.block_layer import BlockLayer, TrainedBlock
from hierjax.train.descent import Descent, DescentState
from hierjax.train.layerwise import RoundsLayer
from hierjax.train.losses import LABEL_LOSSES
from hierjax.train.objective import Objective
from hierjax.train.unit_features import UnitFeatures

_BIAS = 0.3

# The largest rates that the loss's curvature, if any, allows.
_SGD_RATES = {"square": 1.0, "squared_hinge": 1.0, "hinge": 1.0, "logistic": 4.0}
_ADAM_RATE = 0.3


class BlockFit(struct.PyTreeNode):
    """The fit of a block between two rounds.

    Attributes:
      features: the random units of the block, centred and scaled.
      descent: state of the descent on the second weights.
    """

    features: UnitFeatures
    descent: DescentState

    @property
    def progress(self) -> Float[Array | np.ndarray, "*seeds"]:
        """Progress of the descent, 1 when it has ended; of each seed if stacked."""
        return self.descent.progress


class DescentBlockLayer(BlockLayer, RoundsLayer):
    """One block of a residual stack, fitted by stochastic gradients, in rounds.

    Attributes:
      stack: the module of the whole stack.
      config: choices that all blocks of the stack share; its solver is "sgd" or "adam".
      index: index of the block, from 0.
    """

    fit = RoundsLayer.fit

    def start(
        self, key: Key[Array, ""], inputs: Float[Array, "N *G D"], labels: Float[Array, "N *G K"]
    ) -> BlockFit:
        """Returns the state before the first round; arguments as for `BlockLayer.fit`."""
        self._require(inputs, labels)
        with jax.default_matmul_precision("highest"):
            rows, _ = self._train_rows(inputs, labels)
            features = self._features(key, rows)
            return BlockFit(features, self._descent(rows).start(self._objective(features), key))

    @jax.default_matmul_precision("highest")
    def advance(
        self,
        key: Key[Array, ""],
        state: BlockFit,
        inputs: Float[Array, "N *G D"],
        labels: Float[Array, "N *G K"],
    ) -> BlockFit:
        """Takes the steps of one round; see `RoundsLayer.advance`."""
        rows, targets = self._train_rows(inputs, labels)
        objective = self._objective(state.features)
        descent = self._descent(rows).advance(objective, key, state.descent, rows, targets)
        return state.replace(descent=descent)

    @jax.default_matmul_precision("highest")
    def decide(
        self,
        key: Key[Array, ""],
        state: BlockFit,
        inputs: Float[Array, "N *G D"],
        labels: Float[Array, "N *G K"],
    ) -> BlockFit:
        """Ends the fit when all steps are taken; see `RoundsLayer.decide`."""
        rows, targets = self._train_rows(inputs, labels)
        objective = self._objective(state.features)
        descent = self._descent(rows).decide(objective, key, state.descent, rows, targets)
        return state.replace(descent=descent)

    def finish(
        self, state: BlockFit, inputs: Float[Array, "N *G D"], labels: Float[Array, "N *G K"]
    ) -> TrainedBlock:
        """Returns the parameters of the block, not finite if the fit has run away."""
        with jax.default_matmul_precision("highest"):
            readout = state.descent.params
            readout = readout | {"bias": _BIAS * readout["bias"]}
            # A fit that has run away may have stopped while its weights were finite.
            rows, targets = self._train_rows(inputs, labels)
            before = self._losses(rows[:, -targets.shape[1] :], targets).mean()
            failed = ~(state.descent.loss <= before + targets.shape[1])
            readout = jax.tree.map(lambda leaf: jnp.where(failed, jnp.nan, leaf), readout)
            return self._trained(state.features, readout, inputs, labels)

    def _descent(self, rows: Float[Array, "R D"]) -> Descent:
        config = self.config
        num_steps = int(np.ceil(config.passes * rows.shape[0] / config.batch_size))
        make, rate = optax.sgd, _SGD_RATES[config.loss]
        if config.solver == "adam":
            make, rate = optax.adam, _ADAM_RATE

        def optimizer(rate):
            return make(optax.cosine_decay_schedule(rate, num_steps))

        return Descent(optimizer, (rate,), num_steps, config.batch_size)

    def _losses(
        self, scores: Float[Array, "R K"], labels: Float[Array, "R K"]
    ) -> Float[Array, " R"]:
        """Returns the losses (R,) of rows, sums over labels."""
        return LABEL_LOSSES[self.config.loss](scores, labels).sum(axis=1)

    def _objective(self, features: UnitFeatures) -> Objective:
        """Makes the sum of losses over labels; the bias is one more feature, of size `_BIAS`."""
        num_labels, width = self.stack.num_labels, self.stack.width
        decay = self.config.penalty * features.mean_square / width

        def init(_):
            return {"kernel": jnp.zeros((width, num_labels)), "bias": jnp.zeros(num_labels)}

        def loss(readout, rows, labels):
            corrections = self._values(features, rows) @ readout["kernel"]
            scores = rows[:, -num_labels:] + corrections + _BIAS * readout["bias"][None]
            return self._losses(scores, labels) + decay / 2 * (readout["kernel"] ** 2).sum()

        return Objective(init, loss, loss)

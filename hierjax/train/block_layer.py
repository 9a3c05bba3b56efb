"""Blocks of a residual stack, trained one at a time on all labels (arXiv 2601.00455).

A block's first weights stay as they were drawn; a convex loss of the corrected estimates fixes
the second ones. A level of the hierarchy becomes learnable once the level below it stands in the
stream. The caller may give every block fresh examples. Matrix products are of highest precision.

Inputs are (N, d), or (N, G, d) with a lattice of G locations, labels (N, K) or (N, G, K), and the
stream carries the inputs and the estimates of all labels, (N, d + K) or (N, G, d + K).
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Key

from hierjax.checks import require_examples, require_shape, require_signs
from hierjax.models.residual_stack import RandomUnits, ResidualStack
from hierjax.settings import Config, setting
from hierjax.tasks.lattice import gather_windows, num_locations
from hierjax.train.losses import LABEL_LOSSES
from hierjax.train.unit_features import UnitFeatures, draw_features, sum_blocks
from hierjax.train.validation import num_fitted

PyTree = Any

BLOCK_SOLVERS = ("sgd", "adam", "ridge")
"""How the second weights of a block may be fitted, see `BlockConfig`."""

ACCEPT = ("validated", "all")
"""Labels that a block may correct, see `BlockConfig`."""

_ROWS_AT_ONCE = 1024
_ERRORS = 2.0
_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class BlockConfig(Config):
    """How the blocks of a residual stack are trained.

    Attributes:
      solver: how the second weights of a block are fitted: by minibatches ("sgd", "adam"), or by
        ridge regression ("ridge"), which is for the square loss.
      loss: loss of each label that a block minimises.
      passes: passes of descent over the train examples of a block.
      batch_size: examples, or locations, of each step of a block's descent.
      penalty: penalty on the squared second weights of a block, as a share of the mean eigenvalue
        of its features.
      accept: labels that a block corrects: "all", or those whose loss on held-out examples, an
        eighth, it lowers by more than two standard errors ("validated"). The noise that it fits
        to labels out of its reach is then kept out of the stream.

    Raises:
      ValueError: an unknown name, or a number out of bounds.
    """

    solver: str = setting("sgd", choices=BLOCK_SOLVERS)
    loss: str = setting("squared_hinge", choices=tuple(LABEL_LOSSES))
    passes: float = setting(4.0, above=0, most=10**4, only=("solver", ("sgd", "adam")))
    batch_size: int = setting(256, least=1, most=2**20, only=("solver", ("sgd", "adam")))
    penalty: float = setting(1e-3, above=0, most=10**4)
    accept: str = setting("validated", choices=ACCEPT)

    def __post_init__(self):
        super().__post_init__()
        if self.solver == "ridge" and self.loss != "square":
            raise ValueError(f"solver='ridge' is for loss='square', not {self.loss!r}")


class TrainedBlock(struct.PyTreeNode):
    """The parameters of a block.

    Attributes:
      variables: variables of the module of the stack, as far as they are those of this block.
      accepted: (K,) bool, whether the block corrects each label.
    """

    variables: PyTree
    accepted: Array


@dataclasses.dataclass(frozen=True)
class BlockLayer:
    """One block of a residual stack, fitted by ridge regression.

    Attributes:
      stack: the module of the whole stack.
      config: choices that all blocks of the stack share.
      index: index of the block, from 0.
    """

    stack: ResidualStack
    config: BlockConfig
    index: int

    def fit(
        self, key: Key[Array, ""], inputs: Float[Array, "N *G D"], labels: Float[Array, "N *G K"]
    ) -> TrainedBlock:
        """Trains the block.

        Args:
          key: typed PRNG key of the first weights.
          inputs: (N, ..., d) inputs for the first block, for others the stream (N, ..., d + K).
          labels: (N, ..., K) labels, signs.

        Returns:
          The parameters of the block.

        Raises:
          ValueError: inputs or labels are of another shape, labels are known and no signs, or
            labels are to be validated and there are fewer than two examples.
        """
        self._require(inputs, labels)
        with jax.default_matmul_precision("highest"):
            rows, targets = self._train_rows(inputs, labels)
            features = self._features(key, rows)
            readout = self._ridge(features, rows, targets)
            return self._trained(features, readout, inputs, labels)

    def apply(
        self, params: TrainedBlock, inputs: Float[Array, "N *G D"]
    ) -> Float[Array, "N *G stream"]:
        """Returns the stream (N, ..., d + K) above the block, given inputs as for `fit`."""
        with jax.default_matmul_precision("highest"):
            return jax.lax.map(
                lambda one: self._block(params.variables, one[None])[0],
                self._embed(inputs),
                batch_size=max(
                    1, min(_ROWS_AT_ONCE // num_locations(self.stack.lattice), len(inputs))
                ),
            )

    def _require(self, inputs: Float[Array, "N *G D"], labels: Float[Array, "N *G K"]) -> None:
        """Refuses examples that the block is not for."""
        stack = self.stack
        places = (num_locations(stack.lattice),) if stack.lattice else ()
        require_shape(
            "inputs", inputs, (None, *places, None), "give (N, d), of a lattice (N, G, d)"
        )
        require_examples(inputs, labels)
        require_signs(labels, (inputs.shape[0], *places, stack.num_labels))

    @property
    def _name(self) -> str:
        return f"blocks_{self.index}"

    def _embed(self, inputs: Float[Array, "N *G D"]) -> Float[Array, "N *G stream"]:
        return self.stack.embed(inputs) if self.index == 0 else inputs

    def _block(self, variables: PyTree, stream: Float[Array, "N *G D"]) -> Float[Array, "N *G D"]:
        method = ResidualStack.layer
        return cast(Array, self.stack.apply(variables, stream, self.index, method=method))

    def _units(self) -> RandomUnits:
        stack = self.stack
        return RandomUnits(stack.width, stack.activation, stack.fan_in, stack.beta)

    def _train_rows(
        self, inputs: Float[Array, "N *G D"], labels: Float[Array, "N *G K"]
    ) -> tuple[Float[Array, "R windows"], Float[Array, "R K"]]:
        """Returns windows and estimates (R, w*(d+K) + K), and labels (R, K), to be fitted."""
        if self.config.accept == "validated":
            count = num_fitted(inputs.shape[0])
            inputs, labels = inputs[:count], labels[:count]
        stream, num_labels = self._embed(inputs), self.stack.num_labels
        windows = gather_windows(stream, self.stack.lattice, self.stack.radius)
        rows = jnp.concatenate([windows, self.stack.readout(stream)], axis=-1)
        return rows.reshape(-1, rows.shape[-1]), labels.reshape(-1, num_labels)

    def _features(self, key: Key[Array, ""], rows: Float[Array, "R D"]) -> UnitFeatures:
        batch_size = self.config.batch_size if self.config.solver == "sgd" else None
        return draw_features(self._units(), key, rows[:, : -self.stack.num_labels], batch_size)

    def _values(self, features: UnitFeatures, rows: Float[Array, "R D"]) -> Float[Array, "R W"]:
        """Returns the features (R, W) of rows."""
        return features.values(self._units(), rows[:, : -self.stack.num_labels])

    def _ridge(
        self, features: UnitFeatures, rows: Float[Array, "R D"], targets: Float[Array, "R K"]
    ) -> dict[str, Array]:
        """Solves for the second weights by the Gram matrix of all rows."""
        residuals = targets - rows[:, -targets.shape[1] :]
        bias = residuals.mean(axis=0)

        def normal_equations(weights, rows, residuals):
            values = self._values(features, rows) * weights[:, None]
            return values.T @ values, values.T @ (residuals - bias[None])

        gram, moments = sum_blocks(normal_equations, rows, residuals)
        width = self.stack.width
        # Below the roundings of the Gram matrix there would be no Cholesky factor, but NaN.
        share = max(self.config.penalty / width, float(jnp.finfo(jnp.float32).eps))
        penalty = share * jnp.trace(gram) + _TINY
        kernel = jax.scipy.linalg.solve(gram + penalty * jnp.eye(width), moments, assume_a="pos")
        return {"kernel": kernel, "bias": bias}

    def _trained(self, features: UnitFeatures, readout: dict, inputs, labels) -> TrainedBlock:
        """Folds centre and scale of the features into the second weights of the module."""
        kernel = features.scale * readout["kernel"]
        second = {"kernel": kernel, "bias": readout["bias"] - features.center @ kernel}
        block = {"first": features.variables["params"], "second": second}
        variables = {"params": {self._name: block}}
        accepted = jnp.ones(self.stack.num_labels, bool)
        if self.config.accept == "validated":
            accepted = self._accepted(variables, inputs, labels)
            block["second"] = {
                "kernel": second["kernel"] * accepted[None],
                "bias": second["bias"] * accepted,
            }
        return TrainedBlock(variables, accepted)

    def _accepted(self, variables: PyTree, inputs, labels) -> Bool[Array, " K"]:
        """Tells whose loss on the examples that were not fitted falls by two standard errors."""
        count = num_fitted(inputs.shape[0])
        before, labels = self._embed(inputs[count:]), labels[count:]
        after = self.apply(TrainedBlock(variables, jnp.ones(0)), inputs[count:])

        def losses(stream):
            losses = LABEL_LOSSES[self.config.loss](self.stack.readout(stream), labels)
            # Locations of one example are not independent.
            return losses.reshape(losses.shape[0], -1, losses.shape[-1]).mean(axis=1)

        gains = losses(before) - losses(after)
        error = gains.std(axis=0) / np.sqrt(gains.shape[0])
        return gains.mean(axis=0) > _ERRORS * error

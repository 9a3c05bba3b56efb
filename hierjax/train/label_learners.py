"""Learners that layerwise learning of many labels is compared with: stacks of one layer.

The linear and the shallow learner are also the probe that says how shallow each level of a
hierarchy really is: what they know of it is a simple function of the raw input.
"""

import dataclasses

import optax

from hierjax.models.residual_stack import ResidualStack
from hierjax.settings import Config, setting
from hierjax.tasks.lattice import num_locations, window_size
from hierjax.train.block_layer import BlockConfig, BlockLayer
from hierjax.train.descent import Descent
from hierjax.train.losses import label_loss
from hierjax.train.network import Network


@dataclasses.dataclass(frozen=True)
class LabelBaselines(Config):
    """How the learners are tuned with which layerwise learning of labels is compared.

    Attributes:
      penalty: ridge of the linear and the shallow learner, as a share of the mean eigenvalue of
        their features.
      shallow_width: number of random relu units of the shallow learner.
      most_rows: largest number of train examples, or locations, of the linear and the shallow
        learner.
      width: number of units of each block of the network trained end to end.
      learning_rates: learning rates tried for the network trained end to end, of which held-out
        examples choose one.
      batch_size: examples of each step of the end-to-end training, for tasks without locations.
      most_locations: largest number of locations by which the batch size of the end-to-end
        training is divided.
      passes: passes of the end-to-end training over the train set.
      min_steps: least number of steps of the end-to-end training.
      max_steps: largest number of steps of the end-to-end training.

    Raises:
      ValueError: a number out of bounds.
    """

    penalty: float = setting(1e-2, above=0)
    shallow_width: int = setting(2048, least=1, most=2**14)
    most_rows: int = setting(2**17, least=2)
    width: int = setting(256, least=1, most=2**14)
    learning_rates: tuple[float, ...] = setting((0.003, 0.01), above=0)
    batch_size: int = setting(128, least=1, most=2**20)
    most_locations: int = setting(8, least=1)
    passes: int = setting(20, least=1)
    min_steps: int = setting(500, least=1)
    max_steps: int = setting(2500, least=1)

    @property
    def ridge(self) -> BlockConfig:
        """How the linear and the shallow learner are fitted: by ridge regression."""
        return BlockConfig(solver="ridge", loss="square", penalty=self.penalty, accept="all")


def linear_label_learner(
    num_inputs: int,
    num_labels: int,
    lattice: tuple[int, ...] = (),
    radius: int = 0,
    config: LabelBaselines | None = None,
) -> tuple[BlockLayer]:
    """Makes ridge regression of all labels on the input, or on a window of it.

    Args:
      num_inputs: number of inputs at each location, d.
      num_labels: number of labels at each location, K.
      lattice: lengths of the sides of the ring or grid of locations; () for none.
      radius: radius of the window that a location sees.
      config: how the learner is tuned; by default `LabelBaselines()`.

    Returns:
      A stack of one layer, whose outputs are the stream of a `ResidualStack`.
    """
    config = LabelBaselines() if config is None else config
    width = window_size(lattice, radius) * (num_inputs + num_labels) + 1
    stack = ResidualStack(num_labels, 1, width, "identity", 1, lattice=lattice, radius=radius)
    return (BlockLayer(stack, config.ridge, 0),)


def shallow_label_learner(
    num_labels: int,
    lattice: tuple[int, ...] = (),
    radius: int = 0,
    config: LabelBaselines | None = None,
) -> tuple[BlockLayer]:
    """Makes ridge regression of all labels on random relu units of the input, or of a window of it.

    Args:
      num_labels: number of labels at each location, K.
      lattice: lengths of the sides of the ring or grid of locations; () for none.
      radius: radius of the window that a location sees.
      config: how the learner is tuned; by default `LabelBaselines()`.

    Returns:
      A stack of one layer, whose outputs are the stream of a `ResidualStack`.
    """
    config = LabelBaselines() if config is None else config
    stack = ResidualStack(
        num_labels, 1, config.shallow_width, "relu", None, lattice=lattice, radius=radius
    )
    return (BlockLayer(stack, config.ridge, 0),)


def end_to_end_label_learner(
    num_labels: int,
    num_blocks: int,
    num_train: int,
    lattice: tuple[int, ...] = (),
    radius: int = 0,
    last: int | None = None,
    config: LabelBaselines | None = None,
) -> tuple[Network]:
    """Makes a residual stack of relu units all of whose weights are trained together, by Adam.

    Args:
      num_labels: number of labels at each location, K.
      num_blocks: number of blocks, B.
      num_train: number of train examples, n, from which the number of steps follows.
      lattice: lengths of the sides of the ring or grid of locations; () for none.
      radius: radius of the window that a location sees.
      last: the number of labels, from the last, that are trained; None for all of them.
      config: how the stack is trained; by default `LabelBaselines()`.

    Returns:
      A stack of one layer, whose outputs are estimates (N, ..., K) of all labels.
    """
    config = LabelBaselines() if config is None else config
    stack = ResidualStack(
        num_labels,
        num_blocks,
        config.width,
        "relu",
        None,
        lattice=lattice,
        radius=radius,
        clip=False,
    )
    batch_size = max(1, config.batch_size // min(num_locations(lattice), config.most_locations))
    num_steps = max(config.min_steps, config.passes * num_train // batch_size)
    num_steps = min(num_steps, config.max_steps)

    def optimizer(rate):
        return optax.adam(optax.cosine_decay_schedule(rate, num_steps))

    descent = Descent(optimizer, config.learning_rates, num_steps, batch_size)
    return (Network(stack, descent, loss=label_loss("squared_hinge", last)),)

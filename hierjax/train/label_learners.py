"""What layerwise learning of a label hierarchy is compared with: stacks of one layer.

The linear and the shallow learner are also the probe that says how shallow each level of a
hierarchy really is: what they know of it is a simple function of the raw input.
"""

import optax

from hierjax.models.residual_stack import ResidualStack
from hierjax.tasks.lattice import num_locations, window_size
from hierjax.train.block_layer import BlockConfig, BlockLayer
from hierjax.train.descent import Descent
from hierjax.train.losses import label_loss
from hierjax.train.network import Network

_RIDGE = BlockConfig(solver="ridge", loss="square", penalty=1e-2, accept="all")
_SHALLOW_WIDTH = 2048

_WIDTH = 256
_RATES = (0.003, 0.01)
_BATCH = 128
_LOCATIONS = 8
_PASSES = 20
_MIN_STEPS = 500
_MAX_STEPS = 2500


def linear_label_learner(
    num_inputs: int, num_labels: int, lattice: tuple[int, ...] = (), radius: int = 0
) -> tuple[BlockLayer]:
    """Ridge regression of all labels on the input, in the location form on a window of it."""
    width = window_size(lattice, radius) * (num_inputs + num_labels) + 1
    stack = ResidualStack(num_labels, 1, width, "identity", 1, lattice=lattice, radius=radius)
    return (BlockLayer(stack, _RIDGE, 0),)


def shallow_label_learner(
    num_labels: int, lattice: tuple[int, ...] = (), radius: int = 0
) -> tuple[BlockLayer]:
    """The same on 2,048 random relu units, each of which reads the whole input, or window."""
    stack = ResidualStack(
        num_labels, 1, _SHALLOW_WIDTH, "relu", None, lattice=lattice, radius=radius
    )
    return (BlockLayer(stack, _RIDGE, 0),)


def end_to_end_label_learner(
    num_labels: int,
    num_blocks: int,
    num_train: int,
    lattice: tuple[int, ...] = (),
    radius: int = 0,
    last: int | None = None,
) -> tuple[Network]:
    """A residual stack of relu units all of whose weights are trained together, by Adam.

    Args:
      num_labels: K.
      num_blocks: B.
      num_train: n.
      lattice: of the stack.
      radius: likewise.
      last: trains the last so many labels alone; None for all.
    """
    stack = ResidualStack(
        num_labels, num_blocks, _WIDTH, "relu", None, lattice=lattice, radius=radius, clip=False
    )
    batch_size = _BATCH // min(num_locations(lattice), _LOCATIONS)
    num_steps = min(max(_MIN_STEPS, _PASSES * num_train // batch_size), _MAX_STEPS)

    def optimizer(rate):
        return optax.adam(optax.cosine_decay_schedule(rate, num_steps))

    descent = Descent(optimizer, _RATES, num_steps, batch_size)
    return (Network(stack, descent, loss=label_loss("squared_hinge", last)),)

"""The blocks of a residual stack, to be trained one at a time (arXiv 2601.00455)."""

from hierjax.models.residual_stack import ResidualStack
from hierjax.train.block_descent import DescentBlockLayer
from hierjax.train.block_layer import BlockConfig, BlockLayer


def residual_layers(
    stack: ResidualStack, config: BlockConfig | None = None
) -> tuple[BlockLayer, ...]:
    """Makes layers that are trained one at a time of the blocks of a residual stack.

    Together their parameters are those of the module, see `merge_variables`.

    Args:
      stack: the module.
      config: choices that all blocks share; by default `BlockConfig()`.

    Returns:
      The blocks, first block first.
    """
    config = BlockConfig() if config is None else config
    kind = BlockLayer if config.solver == "ridge" else DescentBlockLayer
    return tuple(kind(stack, config, index) for index in range(stack.num_blocks))

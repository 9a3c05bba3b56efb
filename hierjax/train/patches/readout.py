"""Read-outs of tokens from what layers have found of a tree."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from hierjax.models.token_decoder import TokenDecoder
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.adamw import StoppedTraining
from hierjax.train.losses import TOKEN_CROSS_ENTROPY
from hierjax.train.network import Network


def as_rows(
    levels: Sequence[Float[Array, "N _ _"]], strings: Integer[Array, "N d"]
) -> Float[Array, "N F"]:
    """Puts all that was found of strings into rows, which a `token_readout` takes.

    Args:
      levels: embeddings (N, P, E) of the nodes of each level that was found, leaves up; at least
        of one.
      strings: (N, d) the strings.

    Returns:
      Rows: a level after the other, root side first, and then the tokens.
    """
    parts = [*reversed(levels), strings.astype(levels[0].dtype)]
    return jnp.concatenate([each.reshape(strings.shape[0], -1) for each in parts], axis=1)


def token_readout(
    spec: RandomHierarchySpec,
    sizes: Sequence[int],
    training: StoppedTraining,
    width: int = 128,
    both: bool = False,
) -> Network:
    """Makes the layer that scores every token, given others, of what was found of each level.

    Its inputs are those of `as_rows`. With fewer than L - 1 levels a token is told by those in its
    own block alone, the leaves of a node one level above those that were found.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      sizes: numbers of an embedding of each level that was found, leaves up.
      training: how the read-out is trained.
      width: number of features that it has of a node, W.
      both: whether a token is told by all others, or by those before it alone.

    Returns:
      The last layer, whose labels are the strings (N, d), and whose outputs scores (N, d, V).
    """
    top = spec.depth - 1 - len(sizes)
    module = TokenDecoder(
        spec.branching[top:],
        tuple(reversed(sizes)),
        spec.nodes(top),
        spec.symbols(spec.depth),
        width,
        both,
    )
    return Network(module, training.descent(), loss=TOKEN_CROSS_ENTROPY)

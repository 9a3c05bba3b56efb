"""Read-outs of tokens on top of context layers, as last layers of their stack."""

import dataclasses
import math
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from hierjax.models.token_decoder import TokenDecoder
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.losses import TOKEN_CROSS_ENTROPY
from hierjax.train.network import Network
from hierjax.train.patches.context import ContextLayer
from hierjax.train.stopped import StoppedTraining


@dataclasses.dataclass(frozen=True)
class Carried:
    """A layer whose outputs stand beside what it was given, a row of numbers for each string.

    So the last layer of a stack sees what all layers below it have made.

    Attributes:
      layer: the layer.
      shape: shape of what the layer reads of a string, which stands first in the row.
    """

    layer: ContextLayer
    shape: tuple[int, ...]

    def fit(
        self, key: Key[Array, ""], inputs: Shaped[Array, "N F"], labels: Shaped[Array, "N ..."]
    ) -> dict:
        """Trains the layer; see `ContextLayer.fit`."""
        return self.layer.fit(key, self.own(inputs), labels)

    def apply(self, params: dict, inputs: Shaped[Array, "N F"]) -> Float[Array, "N G"]:
        """Returns rows (N, G): the outputs of the layer, and then the inputs (N, F)."""
        outputs = self.layer.apply(params, self.own(inputs))
        outputs = outputs.reshape(inputs.shape[0], -1)
        return jnp.concatenate([outputs, inputs.astype(outputs.dtype)], axis=1)

    def own(self, inputs: Shaped[Array, "N F"]) -> Shaped[Array, "N ..."]:
        """Returns what the layer reads of rows (N, F)."""
        return inputs[:, : math.prod(self.shape)].reshape(-1, *self.shape)


def carried(spec: RandomHierarchySpec, layers: Sequence[ContextLayer]) -> tuple[Carried, ...]:
    """Makes layers that carry along what they were given.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      layers: the first of the layers of `context_layers`.

    Returns:
      As many layers, the first of which takes strings (N, d).
    """
    shapes: list[tuple[int, ...]] = [(spec.num_leaves,)]
    for index, layer in enumerate(layers):
        shapes.append((spec.nodes(spec.depth - 1 - index), layer.embedding_dim))
    return tuple(Carried(layer, shape) for layer, shape in zip(layers, shapes, strict=False))


def token_readout(
    spec: RandomHierarchySpec,
    layers: Sequence[ContextLayer],
    training: StoppedTraining,
    width: int = 128,
    both: bool = False,
) -> Network:
    """Makes the layer that scores every token, given others, on top of `carried` layers.

    With fewer than L - 1 layers a token is told by those in its own block alone, the leaves of a
    node one level above those that were found.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      layers: the first of the layers of `context_layers`.
      training: how the read-out is trained.
      width: number of features that it has of a node, W.
      both: whether a token is told by all others, or by those before it alone.

    Returns:
      The last layer, whose labels are the strings (N, d), and whose outputs scores (N, d, V).
    """
    top = spec.depth - 1 - len(layers)
    module = TokenDecoder(
        spec.branching[top:],
        tuple(layer.embedding_dim for layer in reversed(layers)),
        spec.nodes(top),
        spec.symbols(spec.depth),
        width,
        both,
    )
    return Network(module, training.descent(), loss=TOKEN_CROSS_ENTROPY)

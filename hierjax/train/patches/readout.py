"""Read-outs of tokens on top of context layers, as last layers of their stack."""

import dataclasses
import math
from collections.abc import Sequence

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, Shaped

from hierjax.models.token_decoder import TokenDecoder
from hierjax.settings import Config, setting
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.descent import Descent
from hierjax.train.learners import clip_gradients
from hierjax.train.losses import TOKEN_CROSS_ENTROPY
from hierjax.train.network import Network
from hierjax.train.patches.context import ContextLayer

_MOST = 2**20


@dataclasses.dataclass(frozen=True)
class ReadoutConfig(Config):
    """How a read-out of tokens is built and trained, by AdamW with a cosine schedule.

    The parameters that do best on held-out train strings, an eighth of them, are kept.

    Attributes:
      width: number of features of a node, W.
      learning_rate: the largest learning rate.
      weight_decay: decay of the weights, in units of the learning rate.
      batch_size: number of strings of a step.
      num_steps: largest number of steps.
      patience: number of steps without improvement on held-out strings after which training ends.

    Raises:
      ValueError: a number out of bounds.
    """

    width: int = setting(128, least=1, most=2**16)
    learning_rate: float = setting(3e-3, above=0)
    weight_decay: float = setting(0.01, least=0)
    batch_size: int = setting(128, least=1, most=_MOST)
    num_steps: int = setting(2000, least=1, most=10**8)
    patience: int = setting(500, least=1, most=10**8)

    def descent(self) -> Descent:
        """How the read-out is trained."""

        def optimizer(rate):
            schedule = optax.cosine_decay_schedule(rate, self.num_steps)
            return optax.chain(
                clip_gradients(1.0), optax.adamw(schedule, weight_decay=self.weight_decay)
            )

        sizes = (self.num_steps, self.batch_size)
        return Descent(optimizer, (self.learning_rate,), *sizes, patience=self.patience)


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


def next_token_readout(
    spec: RandomHierarchySpec, layers: Sequence[ContextLayer], config: ReadoutConfig | None = None
) -> Network:
    """Makes the layer that scores every token, given those before it, on top of `carried` layers.

    With fewer than L - 1 layers a token is told by those before it in its own block alone, the
    leaves of a node two levels above the last that was found.

    Args:
      spec: sizes of the random hierarchy, of depth L.
      layers: the first of the layers of `context_layers`.
      config: how the read-out is built and trained; by default `ReadoutConfig()`.

    Returns:
      The last layer, whose labels are the strings (N, d), and whose outputs scores (N, d, V).
    """
    config = ReadoutConfig() if config is None else config
    top = spec.depth - 1 - len(layers)
    module = TokenDecoder(
        spec.branching[top:],
        tuple(layer.embedding_dim for layer in reversed(layers)),
        spec.nodes(top),
        spec.symbols(spec.depth),
        config.width,
    )
    return Network(module, config.descent(), loss=TOKEN_CROSS_ENTROPY)

"""Learners of the tokens of random hierarchies, and what is measured beside exact inference."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer, Key

from hierjax.exact import next_tokens, observe
from hierjax.models import PRECISIONS, Transformer
from hierjax.runs.learners.string_points import StringData, draw_strings, spec_name
from hierjax.runs.sweeps.points import Point
from hierjax.settings import Config, setting
from hierjax.tasks import (
    NOT_ASKED,
    RandomHierarchy,
    RandomHierarchySpec,
    TokenExamples,
    last_token,
    next_token,
)
from hierjax.train import TOKEN_CROSS_ENTROPY, Descent, Network, clip_gradients

_MOST_STEPS = 10**8


class TokenObjective(NamedTuple):
    """What a model of tokens is asked.

    Attributes:
      examples: (strings (N, d), number of symbols V) -> the examples.
      causal: whether a position may see what is before it alone.
    """

    examples: Callable[[Integer[Array, "N d"], int], TokenExamples]
    causal: bool


OBJECTIVES = {"next": TokenObjective(next_token, True), "last": TokenObjective(last_token, False)}
"""What models of tokens may be asked, by name: every token from those before it, or the last."""


@dataclasses.dataclass(frozen=True)
class TransformerConfig(Config):
    """How a transformer is built and trained, by AdamW with a cosine schedule.

    The parameters that do best on held-out train strings, an eighth of them, are kept.

    Attributes:
      width: number of features of a position, W.
      num_blocks: number of blocks.
      num_heads: number of heads of each block, which divides the width.
      learning_rate: the largest learning rate.
      weight_decay: decay of the weights, in units of the learning rate.
      clip: norm above which gradients are clipped.
      batch_size: number of strings of a step.
      num_steps: largest number of steps.
      patience: number of steps without improvement on held-out strings after which training ends.
      precision: type of what dense layers multiply; parameters, sums and losses are float32.

    Raises:
      ValueError: a number out of bounds, or the heads do not divide the width.
    """

    width: int = setting(64, least=1, most=2**16)
    num_blocks: int = setting(3, least=1, most=2**10)
    num_heads: int = setting(4, least=1, most=2**10)
    learning_rate: float = setting(3e-3, above=0)
    weight_decay: float = setting(0.1, least=0)
    clip: float = setting(1.0, above=0)
    batch_size: int = setting(128, least=1, most=2**20)
    num_steps: int = setting(2000, least=1, most=_MOST_STEPS)
    patience: int = setting(500, least=1, most=_MOST_STEPS)
    precision: str = setting("float32", choices=PRECISIONS)

    def __post_init__(self):
        super().__post_init__()
        if self.width % self.num_heads:
            raise ValueError(
                f"num_heads={self.num_heads} must divide width={self.width}: change one of them"
            )

    def network(self, spec: RandomHierarchySpec, causal: bool) -> Network:
        """Makes the network of grammars of these sizes, from inputs (N, d) to scores (N, d, V)."""
        num_symbols = spec.symbols(spec.depth)
        module = Transformer(
            num_symbols + 1,
            num_symbols,
            spec.num_leaves,
            self.width,
            self.num_blocks,
            self.num_heads,
            causal,
            self.precision,
        )

        def optimizer(rate):
            schedule = optax.cosine_decay_schedule(rate, self.num_steps)
            adam = optax.adamw(schedule, weight_decay=self.weight_decay)
            return optax.chain(clip_gradients(self.clip), adam)

        descent = Descent(
            optimizer,
            (self.learning_rate,),
            self.num_steps,
            self.batch_size,
            patience=self.patience,
        )
        return Network(module, descent, loss=TOKEN_CROSS_ENTROPY)


@dataclasses.dataclass(frozen=True)
class TokenCell:
    """A point of a sweep: a transformer on n strings.

    Attributes:
      spec: sizes of the grammar.
      objective: name of what is asked, in `OBJECTIVES`.
      num_train: number of train strings, n.
      num_test: number of test strings.
      config: how the transformer is built and trained.
    """

    spec: RandomHierarchySpec
    objective: str
    num_train: int
    num_test: int
    config: TransformerConfig

    @property
    def name(self) -> str:
        """Name of the point in the records."""
        return f"transformer {spec_name(self.spec)} n={self.num_train}"

    def point(self) -> Point:
        """Makes the point that a sweep measures."""
        work = self.config.num_steps * self.config.batch_size
        return Point(self.name, work, self.draw, self.measure)

    def draw(self, key: Key[Array, ""]) -> StringData:
        """Draws the grammar of a seed and its strings."""
        return draw_strings(key, self.spec, self.num_train, self.num_test).without_latents()

    def measure(self, key: Key[Array, ""], data: StringData) -> dict[str, Array]:
        """Trains a transformer and measures it.

        Args:
          key: typed PRNG key of the seed.
          data: the strings of the seed.

        Returns:
          "floor" (d,), the mean of -log p of exact inference at each position of test strings, in
          nats; "excess" (d,), how much more that of the transformer is, NaN where nothing is asked;
          and "num_unseen".
        """
        asked = OBJECTIVES[self.objective]
        network = self.config.network(self.spec, asked.causal)
        num_symbols = self.spec.symbols(self.spec.depth)
        train, strings = data.train.inputs, data.test.inputs
        params = network.fit(jax.random.fold_in(key, 2), *asked.examples(train, num_symbols))
        inputs, targets = asked.examples(strings, num_symbols)
        logs = jax.nn.log_softmax(network.apply(params, inputs))
        grammar = cast(RandomHierarchy, data.grammar)
        best = next_tokens(grammar, observe(self.spec, strings)).probabilities
        floors = -jnp.log(_of_tokens(best, strings))
        excess = jnp.where(targets == NOT_ASKED, jnp.nan, -_of_tokens(logs, strings) - floors)
        return {
            "floor": floors.mean(axis=0),
            "excess": excess.mean(axis=0),
            "num_unseen": data.num_unseen,
        }


def _of_tokens(values: Float[Array, "N d V"], tokens: Integer[Array, "N d"]) -> Float[Array, "N d"]:
    return jnp.take_along_axis(values, tokens[..., None].astype(jnp.int32), axis=-1)[..., 0]

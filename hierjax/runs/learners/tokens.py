"""Learners of the tokens of random hierarchies, and what is measured beside exact inference."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Integer, Key

from hierjax.exact import next_tokens, observe
from hierjax.models import PRECISIONS, Transformer
from hierjax.runs.learners.string_points import spec_name
from hierjax.runs.sweeps.points import Point
from hierjax.settings import Config, setting
from hierjax.tasks import (
    NOT_ASKED,
    RandomHierarchy,
    RandomHierarchySpec,
    TokenExamples,
    draw_random_hierarchy,
    last_token,
    make_split,
    next_token,
)
from hierjax.train import TOKEN_CROSS_ENTROPY, Descent, Network

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
            return optax.chain(optax.clip_by_global_norm(self.clip), adam)

        descent = Descent(
            optimizer,
            (self.learning_rate,),
            self.num_steps,
            self.batch_size,
            patience=self.patience,
        )
        return Network(module, descent, loss=TOKEN_CROSS_ENTROPY)


class TokenData(struct.PyTreeNode):
    """The strings of a seed.

    Attributes:
      grammar: the grammar.
      train: (n, d) train strings.
      test: (N, d) test strings, none of which is a train string.
      num_unseen: () int32, number of test strings that were found, see `require_filled`.
    """

    grammar: RandomHierarchy
    train: Array
    test: Array
    num_unseen: Array


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

    def draw(self, key: Key[Array, ""]) -> TokenData:
        """Draws the grammar of a seed and its strings."""
        grammar = draw_random_hierarchy(jax.random.fold_in(key, 0), self.spec)
        split = make_split(grammar, jax.random.fold_in(key, 1), self.num_train, self.num_test)
        return TokenData(grammar, split.train.inputs, split.test.inputs, split.num_unseen)

    def measure(self, key: Key[Array, ""], data: TokenData) -> dict[str, Array]:
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
        params = network.fit(jax.random.fold_in(key, 2), *asked.examples(data.train, num_symbols))
        inputs, targets = asked.examples(data.test, num_symbols)
        logs = jax.nn.log_softmax(network.apply(params, inputs))
        best = next_tokens(data.grammar, observe(self.spec, data.test)).probabilities
        floors = -jnp.log(_of_tokens(best, data.test))
        excess = jnp.where(targets == NOT_ASKED, jnp.nan, -_of_tokens(logs, data.test) - floors)
        return {
            "floor": floors.mean(axis=0),
            "excess": excess.mean(axis=0),
            "num_unseen": data.num_unseen,
        }


def _of_tokens(values: Float[Array, "N d V"], tokens: Integer[Array, "N d"]) -> Float[Array, "N d"]:
    return jnp.take_along_axis(values, tokens[..., None].astype(jnp.int32), axis=-1)[..., 0]

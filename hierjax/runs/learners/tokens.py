"""Models of the tokens of random hierarchies, and what a seed draws for them.

A model is a function (sizes of the grammars, what is asked, settings) -> Flax module, declared here
by `@TOKEN_MODELS.add(name, colour=...)`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Float, Integer, Key

from hierjax.exact import next_tokens, observe, other_tokens
from hierjax.runs.experiment import Registry, Stack
from hierjax.runs.learners.string_points import draw_strings
from hierjax.runs.requests import nested
from hierjax.settings import Config
from hierjax.tasks import (
    PLAIN,
    Batch,
    FixedStrings,
    FreshStrings,
    GrammarDraw,
    RandomHierarchy,
    RandomHierarchySpec,
    TokenExamples,
    last_token,
    next_token,
)
from hierjax.train import (
    Source,
    TokenStackConfig,
    TokenTraining,
    TransformerConfig,
    num_fitted,
    require_causal,
    token_learner,
)

_MOST_HELD_OUT = 1024


class TokenObjective(NamedTuple):
    """What a model of tokens is asked.

    Attributes:
      examples: (strings (N, d), number of symbols V) -> the examples.
      causal: whether a position may see what is before it alone.
    """

    examples: Callable[..., TokenExamples]
    causal: bool


OBJECTIVES = {"next": TokenObjective(next_token, True), "last": TokenObjective(last_token, False)}
"""What models of tokens may be asked, by name: every token from those before it, or the last."""


@dataclasses.dataclass(frozen=True)
class TokenModel:
    """A model of tokens.

    Attributes:
      make: (sizes of the grammars, what is asked, settings) -> the module, from inputs (N, d) to
        scores (N, d, V); raises ValueError if there is no such model.
      colour: colour of the model in figures, which no other model has.
    """

    make: Callable[[RandomHierarchySpec, TokenObjective, Any], nn.Module]
    colour: str


TOKEN_MODELS: Registry[TokenModel] = Registry(TokenModel, "model")
"""Models of tokens by name, in the order of tables and figures."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenSettings(Config):
    """How models of tokens are built and trained; requests of experiments derive from it.

    Attributes:
      training: how all models are trained.
      transformer: how the transformer is built.
      stack: how the convolutional stacks are built, that which shares its weights and that which
        does not.

    Raises:
      ValueError: a value is not allowed.
    """

    training: TokenTraining = nested(TokenTraining)
    transformer: TransformerConfig = nested(TransformerConfig)
    stack: TokenStackConfig = nested(TokenStackConfig, "stack_")


@TOKEN_MODELS.add("transformer", colour="tab:blue")
def transformer(
    spec: RandomHierarchySpec, objective: TokenObjective, settings: TokenSettings
) -> nn.Module:
    """A transformer, causal where a position may see what is before it alone."""
    training = settings.training
    sizes = (spec.symbols(spec.depth), spec.num_leaves, objective.causal)
    return settings.transformer.module(*sizes, training.precision, training.remat)


@TOKEN_MODELS.add("conv", colour="tab:orange")
def conv(
    spec: RandomHierarchySpec, objective: TokenObjective, settings: TokenSettings
) -> nn.Module:
    """The convolutional stack matched to the tree, whose nodes of a level share their weights."""
    return _stack(spec, objective, settings, True)


@TOKEN_MODELS.add("lcn", colour="tab:green")
def lcn(spec: RandomHierarchySpec, objective: TokenObjective, settings: TokenSettings) -> nn.Module:
    """The same stack, locally connected: each node has weights of its own."""
    return _stack(spec, objective, settings, False)


def _stack(
    spec: RandomHierarchySpec, objective: TokenObjective, settings: TokenSettings, tied: bool
) -> nn.Module:
    training = settings.training
    return settings.stack.module(spec, objective.causal, tied, training.precision, training.remat)


class TokenData(struct.PyTreeNode):
    """The strings of a seed, which all of its models share.

    Attributes:
      grammar: grammar of the seed.
      train: N train strings and their classes; None where each round has fresh ones.
      test: test strings, on none of which a model is trained.
      best: (number of test strings, d) log-probability that exact inference gives to each token,
        given those before it, or all others.
      floors: (L + 1, d) means of -log-probability of exact inference by level: it is given those of
        these tokens that are in the same subtree below a node of that level, see `next_tokens`.
      num_unseen: () int32, number of test strings that were found, see `require_filled`.
    """

    grammar: RandomHierarchy
    train: Batch | None
    test: Batch
    best: Array
    floors: Array
    num_unseen: Array

    def source(self, num_train: int | None) -> FixedStrings | FreshStrings:
        """Returns what the strings of each round are drawn from.

        Args:
          num_train: number of train strings, of which the last eighth is held out; None for fresh
            strings.
        """
        if self.train is None or num_train is None:
            return FreshStrings(self.grammar, self.test.inputs)
        return fitted_strings(self.train.inputs, num_train)


def fitted_strings(train: Integer[Array, "N d"], num_train: int) -> FixedStrings:
    """Returns those of the first train strings (N, d) that are fitted, seven eighths of them."""
    return FixedStrings(train, jnp.int32(num_fitted(num_train)))


def held_out_strings(train: Integer[Array, "N d"], num_train: int) -> Integer[Array, "M d"]:
    """Returns those of the first train strings that are held out, at most 1,024 of them."""
    first = num_fitted(num_train)
    return train[first : min(num_train, first + _MOST_HELD_OUT)]


def draw_tokens(
    key: Key[Array, ""],
    spec: RandomHierarchySpec,
    num_train: int | None,
    num_test: int,
    draw: GrammarDraw = PLAIN,
    both: bool = False,
) -> TokenData:
    """Draws the grammar of a seed and its strings.

    Args:
      key: typed PRNG key of the seed.
      spec: sizes of the grammar, without null symbols.
      num_train: largest number of train strings; None for fresh ones.
      num_test: number of test strings.
      draw: how the grammar is drawn.
      both: whether exact inference is given all other tokens, or those before a token alone.

    Raises:
      ValueError: the language is too small for so many strings.
    """
    if num_train is None:
        grammar = draw.draw(jax.random.fold_in(key, 0), spec)
        test = grammar.sample(jax.random.fold_in(key, 1), num_test)
        train, num_unseen = None, jnp.int32(num_test)
    else:
        strings = draw_strings(key, spec, num_train, num_test, draw)
        grammar = cast(RandomHierarchy, strings.grammar)
        train, test, num_unseen = strings.train, strings.test, strings.num_unseen
    spec = grammar.spec
    evidence, told = observe(spec, test.inputs), other_tokens if both else next_tokens
    logs = [
        of_tokens(jnp.log(told(grammar, evidence, span=level).probabilities), test.inputs)
        for level in range(spec.depth + 1)
    ]
    floors = -jnp.stack([each.mean(axis=0) for each in logs])
    return TokenData(grammar, train, test, logs[0], floors, num_unseen)


def of_tokens(values: Float[Array, "N d V"], tokens: Integer[Array, "N d"]) -> Float[Array, "N d"]:
    """Takes the values (N, d) of tokens (N, d) from values (N, d, V) of all symbols."""
    return jnp.take_along_axis(values, tokens[..., None].astype(jnp.int32), axis=-1)[..., 0]


class AskedTokens(NamedTuple):
    """What a model is measured on.

    Attributes:
      test: what is asked of test strings.
      held_out: what is asked of train strings that are held out; None with fresh strings.
      data: the strings of the seed.
    """

    test: TokenExamples
    held_out: TokenExamples | None
    data: TokenData


def token_stack(
    module: nn.Module,
    training: TokenTraining,
    objective: TokenObjective,
    spec: RandomHierarchySpec,
    num_train: int | None,
    mesh: Mesh | None = None,
) -> Stack:
    """Makes the learner of an experiment of a model of tokens.

    Args:
      module: the model, from inputs (N, d) to scores (N, d, V).
      training: how it is trained.
      objective: what it is asked.
      spec: sizes of the grammars.
      num_train: number of train strings; None for fresh ones.
      mesh: devices that share each batch; None where seeds are divided between them.

    Raises:
      ValueError: the model sees what it is to predict.
    """
    num_symbols = spec.symbols(spec.depth)
    if objective.causal:
        require_causal(module, num_symbols, spec.num_leaves)

    def examples_of(key, source, n):
        return objective.examples(source.draw(key, n), num_symbols)

    def source(data: TokenData, index: int) -> Source:
        return Source(data.source(num_train))

    def view(data: TokenData) -> AskedTokens:
        ask = functools.partial(objective.examples, num_symbols=num_symbols)
        held_out = None
        if data.train is not None and num_train is not None:
            held_out = ask(held_out_strings(data.train.inputs, num_train))
        return AskedTokens(ask(data.test.inputs), held_out, data)

    return Stack(token_learner(module, training, examples_of, mesh), source, view, mesh)

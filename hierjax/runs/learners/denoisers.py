"""Models that take noise off strings of random hierarchies, and what a seed draws for them.

A model is a function (sizes of the grammars, the noise, settings) -> Flax module, declared here by
`@DENOISERS.add(name, colour=...)`. It maps inputs (N, 1 + d), see `hierjax.tasks.Diffusion`, to
scores (N, 1 + d, V).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Integer, Key

from hierjax.exact import denoised, derivable, observe_noisy, parse, sample_derivations
from hierjax.models import Transformer, TreeDenoiser
from hierjax.runs.experiment import Registry, Stack
from hierjax.runs.learners.string_points import draw_strings
from hierjax.runs.learners.tokens import fitted_strings, held_out_strings
from hierjax.runs.requests import nested
from hierjax.settings import Config, setting
from hierjax.tasks import (
    PLAIN,
    Batch,
    Diffusion,
    GrammarDraw,
    RandomHierarchy,
    RandomHierarchySpec,
    TokenExamples,
)
from hierjax.train import (
    TOKEN_CROSS_ENTROPY,
    Source,
    TokenTraining,
    TransformerConfig,
    token_learner,
)


@dataclasses.dataclass(frozen=True)
class DenoiserModel:
    """A model that takes noise off strings.

    Attributes:
      make: (sizes of the grammars, the noise, settings) -> the module.
      colour: colour of the model in figures, which no other model has.
    """

    make: Callable[[RandomHierarchySpec, Diffusion, Any], nn.Module]
    colour: str


DENOISERS: Registry[DenoiserModel] = Registry(DenoiserModel, "model")
"""Models that take noise off strings by name, in the order of tables and figures."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoiserSettings(Config):
    """How denoisers are built and trained; requests of experiments derive from it.

    Attributes:
      training: how all models are trained.
      tree_width: number of features of a node of the tree-matched model, on each way.
      transformer: how the transformer is built.

    Raises:
      ValueError: a value is not allowed.
    """

    training: TokenTraining = nested(TokenTraining, weight_decay=0.01, num_steps=4000, num_looks=10)
    tree_width: int = setting(64, least=1, most=2**14)
    transformer: TransformerConfig = nested(TransformerConfig)


@DENOISERS.add("tree", colour="tab:green")
def tree(spec: RandomHierarchySpec, noise: Diffusion, settings: DenoiserSettings) -> nn.Module:
    """The encoder and decoder that is matched to the tree."""
    return TreeDenoiser(
        spec.branching[::-1],
        noise.num_symbols,
        noise.num_steps,
        settings.tree_width,
        precision=settings.training.precision,
        remat=settings.training.remat,
    )


@DENOISERS.add("transformer", colour="tab:blue")
def transformer(
    spec: RandomHierarchySpec, noise: Diffusion, settings: DenoiserSettings
) -> nn.Module:
    """A transformer that sees all of a string, and its step as a token in front."""
    config, training = settings.transformer, settings.training
    num_inputs = noise.num_symbols + 1 + noise.num_steps
    sizes = (num_inputs, noise.num_symbols, 1 + spec.num_leaves)
    sizes += (config.width, config.num_blocks, config.num_heads)
    return Transformer(*sizes, False, training.precision, training.remat)


class NoisyStrings(struct.PyTreeNode):
    """Test strings under one kind of noise, and what exact inference makes of them.

    Rows of all levels of noise stand one after another: K levels of n strings.

    Attributes:
      examples: (K n, 1 + d) what is asked.
      losses: (K n,) cross-entropies of the exact denoiser, in nats.
      kept: (K, L + 1) share of the nodes of each level, leaves first, that a tree drawn from the
        exact posterior has in common with the tree before noise.
      valid: (L,) share of nodes, lowest level first, from which some symbol derives the leaves, of
        strings that the exact denoiser makes of noise.
    """

    examples: TokenExamples
    losses: Array
    kept: Array
    valid: Array


class DenoisingData(struct.PyTreeNode):
    """The strings of a seed, which all of its models share.

    Attributes:
      key: typed PRNG key of what models are measured by.
      grammar: grammar of the seed.
      train: (N, d) train strings.
      test: unseen test strings.
      num_unseen: () int32, number of test strings that were found, see `require_filled`.
      noisy: the test strings under each kind of noise.
    """

    key: Array
    grammar: RandomHierarchy
    train: Array
    test: Batch
    num_unseen: Array
    noisy: Mapping[str, NoisyStrings]


def draw_denoising(
    key: Key[Array, ""],
    spec: RandomHierarchySpec,
    noises: Mapping[str, Diffusion],
    num_train: int,
    num_test: int,
    num_samples: int,
    num_levels: int,
    draw: GrammarDraw = PLAIN,
) -> DenoisingData:
    """Draws the grammar of a seed, its strings, and what exact inference says of them.

    Args:
      key: typed PRNG key of the seed.
      spec: sizes of the grammar, without null symbols.
      noises: the kinds of noise by name.
      num_train: number of train strings.
      num_test: number of test strings.
      num_samples: number of strings that the exact denoiser makes of noise.
      num_levels: number of levels of noise, K, which divides the steps.
      draw: how the grammar is drawn.

    Raises:
      ValueError: the language is too small for so many strings.
    """
    strings = draw_strings(key, spec, num_train, num_test, draw)
    grammar = cast(RandomHierarchy, strings.grammar)
    spec = grammar.spec
    own = jax.random.fold_in(key, 3)

    def noisy(index: int, noise: Diffusion) -> NoisyStrings:
        stream = functools.partial(jax.random.fold_in, jax.random.fold_in(own, index))
        step = levels_of_noise(noise, num_levels)
        clean = jnp.tile(strings.test.inputs, (num_levels, 1))
        examples = noise.examples(stream(0), clean, jnp.repeat(step, num_test))
        best = functools.partial(denoised, grammar, noise)
        scores = jnp.pad(best(examples.inputs), ((0, 0), (1, 0), (0, 0)))
        trees = sample_derivations(
            grammar, observe_noisy(spec, noise, examples.inputs), stream(1)
        ).levels
        made = noise.sample(stream(2), best, num_samples, spec.num_leaves)
        return NoisyStrings(
            examples,
            TOKEN_CROSS_ENTROPY.per_example(scores, examples.targets),
            share_kept(cast(tuple, trees), strings.test, num_levels),
            share_valid(grammar, made),
        )

    return DenoisingData(
        jax.random.fold_in(key, 4),
        grammar,
        strings.train.inputs,
        strings.test,
        strings.num_unseen,
        {name: noisy(index, noise) for index, (name, noise) in enumerate(noises.items())},
    )


def levels_of_noise(noise: Diffusion, num_levels: int) -> Array:
    """Returns the steps (K,) after which a share k / K of the tokens is replaced, k = 1 to K."""
    return (1 + jnp.arange(num_levels)) * noise.num_steps // num_levels - 1


def share_kept(levels: tuple[Array, ...], clean: Batch, num_levels: int) -> Array:
    """Returns the share (K, L + 1) of nodes that are as they were before noise, leaves first.

    Args:
      levels: for each level from the root, (K n, P_l) symbols.
      clean: the n strings that all levels of noise were put on.
      num_levels: number of levels of noise, K.
    """
    same = [
        (found.reshape(num_levels, -1, found.shape[1]) == old[None]).mean(axis=(1, 2))
        for found, old in zip(levels, clean.latents, strict=True)
    ]
    return jnp.stack(same[::-1], axis=1)


def share_valid(grammar: RandomHierarchy, strings: Integer[Array, "N d"]) -> Array:
    """Returns the share (L,) of nodes that some symbol may stand for, the lowest level first."""
    return jnp.stack([each.mean() for each in derivable(grammar, strings)[::-1]])


def parsed(grammar: RandomHierarchy, strings: Integer[Array, "N d"]) -> tuple[Array, ...]:
    """Returns for each level from the root (N, P_l) symbols of strings; -1 for those of none."""
    upper = zip(parse(grammar, strings).levels, derivable(grammar, strings), strict=False)
    found = [jnp.where(valid, symbols.astype(jnp.int32), -1) for symbols, valid in upper]
    return (*found, strings)


class AskedDenoising(NamedTuple):
    """What a model is measured on.

    Attributes:
      noise: the noise.
      num_samples: number of strings that it makes of noise.
      noisy: test strings under the noise, and what exact inference makes of them.
      held_out: what is asked of train strings that are held out.
      known: the train strings.
      data: the strings of the seed.
    """

    noise: Diffusion
    num_samples: int
    noisy: NoisyStrings
    held_out: TokenExamples
    known: Array
    data: DenoisingData


def denoiser_stack(
    module: nn.Module, training: TokenTraining, noise: Diffusion, num_train: int, num_samples: int
) -> Stack:
    """Makes the learner of an experiment of a model that takes noise off strings.

    Train strings are under fresh noise at every step.

    Args:
      module: the model, from inputs (N, 1 + d) to scores (N, 1 + d, V).
      training: how it is trained.
      noise: the noise.
      num_train: number of train strings, of which the last eighth is held out.
      num_samples: number of strings that it makes of noise at every look.
    """

    def noisy(key, source, n):
        strings = source.draw(jax.random.fold_in(key, 0), n)
        return noise.examples(jax.random.fold_in(key, 1), strings)

    def source(data: DenoisingData, index: int) -> Source:
        return Source(fitted_strings(data.train, num_train))

    def view(data: DenoisingData) -> AskedDenoising:
        held_out = held_out_strings(data.train, num_train)
        # Every step in turn, as it is less noisy.
        step = jnp.arange(len(held_out)) % noise.num_steps
        asked = noise.examples(jax.random.fold_in(data.key, 0), held_out, step)
        known = data.train[:num_train]
        return AskedDenoising(noise, num_samples, data.noisy[noise.kind], asked, known, data)

    return Stack(token_learner(module, training, noisy), source, view)

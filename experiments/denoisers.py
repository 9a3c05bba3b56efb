"""Models that take noise off strings: how they are trained, and what is measured at each look."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from hierjax.runs import (
    ERROR,
    DenoisingData,
    NoisyStrings,
    Stack,
    measures,
    parsed,
    share_kept,
    share_valid,
)
from hierjax.tasks import Diffusion, FixedStrings, TokenExamples, contains
from hierjax.train import TOKEN_CROSS_ENTROPY, Source, TokenTraining, num_fitted, token_learner

NUM_LEVELS = 10
"""Levels of noise that are measured: shares 1/10 to 1 of the tokens are replaced."""

_MOST_HELD_OUT = 1024


class Asked(NamedTuple):
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
    known: jax.Array
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
    num_fit = num_fitted(num_train)

    def noisy(key, source, n):
        strings = source.draw(jax.random.fold_in(key, 0), n)
        return noise.examples(jax.random.fold_in(key, 1), strings)

    def source(data: DenoisingData, index: int) -> Source:
        return Source(FixedStrings(data.train, jnp.int32(num_fit)))

    def view(data: DenoisingData) -> Asked:
        held_out = data.train[num_fit : min(num_train, num_fit + _MOST_HELD_OUT)]
        # Every step in turn, as it is less noisy.
        step = jnp.arange(len(held_out)) % noise.num_steps
        asked = noise.examples(jax.random.fold_in(data.key, 0), held_out, step)
        known = data.train[:num_train]
        return Asked(noise, num_samples, data.noisy[noise.kind], asked, known, data)

    return Stack(token_learner(module, training, noisy), source, view)


MEASURES = measures()


@MEASURES.add("excess", column="nats above the floor (worst)", text=ERROR)
def excess(layers, asked, below, params):
    """Nats of a string above the exact denoiser, a mean over levels of noise, at the best look.

    That is the look that does best on train strings that are held out.
    """
    held_out = jax.lax.map(functools.partial(_held_out, layers[0], asked), params.trace)
    return _excess(layers[0], asked, _at(params.trace, held_out.argmin())).mean()


@MEASURES.add("found")
def found(layers, asked, below, params):
    """What the model comes to at each look, and at the best one.

    Returns:
      "held_out" (looks,) nats of held-out strings; "curve" (looks, levels of noise) nats above the
      exact denoiser; of strings that are made of noise, "valid" (looks, L) shares of nodes that
      make sense, and "memorised" (looks,) that of train strings; and at the best look "kept"
      (levels of noise, L + 1), what noisy strings keep of their trees on the way back.
    """
    probed, grammar, noise = layers[0], asked.data.grammar, asked.noise

    def at(look):
        shape = (asked.num_samples, grammar.spec.num_leaves)
        key = jax.random.fold_in(asked.data.key, 1)
        made = noise.sample(key, _denoiser(probed, look), *shape)
        return {
            "held_out": _held_out(probed, asked, look),
            "curve": _excess(probed, asked, look),
            "valid": share_valid(grammar, made),
            "memorised": contains(asked.known, made.astype(asked.known.dtype)).mean(),
        }

    looks = jax.lax.map(at, params.trace)
    denoiser = _denoiser(probed, _at(params.trace, looks["held_out"].argmin()))
    inputs = asked.noisy.examples.inputs
    step = inputs[:, 0] - noise.num_symbols - 1
    ends = noise.reverse(jax.random.fold_in(asked.data.key, 2), denoiser, inputs[:, 1:], step)
    return looks | {"kept": share_kept(parsed(grammar, ends), asked.data.test, NUM_LEVELS)}


@MEASURES.add("exact")
def exact(layers, asked, below, params):
    """The same of exact inference."""
    noisy = asked.noisy
    floor = noisy.losses.reshape(NUM_LEVELS, -1).mean(axis=1)
    return {"floor": floor, "kept": noisy.kept, "valid": noisy.valid}


@MEASURES.add("num_unseen")
def num_unseen(layers, asked, below, params):
    """Number of unseen test strings that were found."""
    return asked.data.num_unseen


def _at(trace, look):
    return jax.tree.map(lambda leaf: leaf[look], trace)


def _held_out(probed, asked: Asked, look) -> jax.Array:
    return _losses(probed, look, asked.held_out).mean()


def _losses(probed, look, examples: TokenExamples) -> jax.Array:
    scores = probed.layer.apply(look, examples.inputs)
    return TOKEN_CROSS_ENTROPY.per_example(scores, examples.targets)


def _excess(probed, asked: Asked, look) -> jax.Array:
    gaps = _losses(probed, look, asked.noisy.examples) - asked.noisy.losses
    return gaps.reshape(NUM_LEVELS, -1).mean(axis=1)


def _denoiser(probed, look):
    return lambda inputs: probed.layer.apply(look, inputs)[:, 1:]

"""Models of tokens: how they are trained for an objective, and what is measured at each look."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from hierjax.runs import ERROR, Stack, TokenData, TokenObjective, measures, of_tokens
from hierjax.tasks import NOT_ASKED, RandomHierarchySpec, TokenExamples
from hierjax.train import TOKEN_CROSS_ENTROPY, Source, TokenTraining, require_causal, token_learner


class Asked(NamedTuple):
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

    def view(data: TokenData) -> Asked:
        ask = functools.partial(objective.examples, num_symbols=num_symbols)
        held_out = None if num_train is None else ask(data.held_out(num_train))
        return Asked(ask(data.test.inputs), held_out, data)

    return Stack(token_learner(module, training, examples_of, mesh), source, view, mesh)


MEASURES = measures()


@MEASURES.add("excess", column="nats above the floor (worst)", text=ERROR)
def excess(layers, asked, below, params):
    """Nats of a test string above exact inference, at the look that does best on held-out strings.

    With fresh strings it is the last look.
    """
    losses = held_out_losses(layers, asked, below, params)
    look = -1 if losses is None else losses.argmin()
    at_look = jax.tree.map(lambda leaf: leaf[look], params.trace)
    counts = asked.test.targets[0] != NOT_ASKED
    return jnp.where(counts, _excess(layers[0], asked, at_look), 0).sum()


@MEASURES.add("held_out_losses")
def held_out_losses(layers, asked, below, params):
    """Mean cross-entropy of held-out strings at each look, in nats; None where there are none."""
    if asked.held_out is None:
        return None
    inputs, targets = asked.held_out

    def loss(at_look):
        scores = layers[0].layer.apply(at_look, inputs)
        return TOKEN_CROSS_ENTROPY.per_example(scores, targets).mean()

    return jax.lax.map(loss, params.trace)


@MEASURES.add("curve")
def curve(layers, asked, below, params):
    """Nats above exact inference (looks, d); NaN where nothing is asked."""
    return jax.lax.map(functools.partial(_excess, layers[0], asked), params.trace)


def _excess(probed, asked: Asked, at_look) -> jax.Array:
    logs = jax.nn.log_softmax(probed.layer.apply(at_look, asked.test.inputs))
    targets = asked.test.targets
    gaps = asked.data.best - of_tokens(logs, asked.data.test.inputs)
    return jnp.where(targets == NOT_ASKED, jnp.nan, gaps).mean(axis=0)


@MEASURES.add("floors")
def floors(layers, asked, below, params):
    """The floors of `TokenData`."""
    return asked.data.floors


@MEASURES.add("num_unseen")
def num_unseen(layers, asked, below, params):
    """Number of unseen test strings that were found."""
    return asked.data.num_unseen

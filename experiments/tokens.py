"""What is measured of models of tokens at each look."""

import functools

import jax
import jax.numpy as jnp

from hierjax.runs import ERROR, AskedTokens, measures, of_tokens
from hierjax.tasks import NOT_ASKED
from hierjax.train import TOKEN_CROSS_ENTROPY

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


def _excess(probed, asked: AskedTokens, at_look) -> jax.Array:
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

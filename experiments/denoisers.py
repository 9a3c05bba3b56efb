"""What is measured of models that take noise off strings, at each look."""

import functools

import jax

from hierjax.runs import ERROR, AskedDenoising, measures, parsed, share_kept, share_valid
from hierjax.tasks import TokenExamples, contains
from hierjax.train import TOKEN_CROSS_ENTROPY

NUM_LEVELS = 10
"""Levels of noise that are measured: shares 1/10 to 1 of the tokens are replaced."""

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


def _held_out(probed, asked: AskedDenoising, look) -> jax.Array:
    return _losses(probed, look, asked.held_out).mean()


def _losses(probed, look, examples: TokenExamples) -> jax.Array:
    scores = probed.layer.apply(look, examples.inputs)
    return TOKEN_CROSS_ENTROPY.per_example(scores, examples.targets)


def _excess(probed, asked: AskedDenoising, look) -> jax.Array:
    gaps = _losses(probed, look, asked.noisy.examples) - asked.noisy.losses
    return gaps.reshape(NUM_LEVELS, -1).mean(axis=1)


def _denoiser(probed, look):
    return lambda inputs: probed.layer.apply(look, inputs)[:, 1:]

"""The exact denoiser of strings that have been given over to noise, string by string."""

from typing import cast

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from hierjax.checks import AnyArray, require_integers, require_shape
from hierjax.exact.evidence import Evidence, log, weigh
from hierjax.exact.posteriors import posteriors
from hierjax.tasks.diffusion import Diffusion
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec


def observe_noisy(
    spec: RandomHierarchySpec, diffusion: Diffusion, inputs: Integer[AnyArray, "N T"]
) -> Evidence:
    """Makes evidence of noisy strings, each of which is seen after a step of its own.

    Args:
      spec: sizes of the grammar.
      diffusion: the noise.
      inputs: (N, 1 + d) steps and noisy strings, see `Diffusion.seen`.

    Returns:
      The evidence. Inside `jax.jit` and `jax.vmap`, numbers that are out of range mean nothing.

    Raises:
      ValueError: shapes or types do not match the grammar, or a number is known and out of range.
    """
    num_symbols = spec.symbols(spec.depth)
    if diffusion.num_symbols != num_symbols:
        raise ValueError(
            f"num_symbols={diffusion.num_symbols} of the noise must be {num_symbols}, the leaf "
            "symbols of the grammar: make one for it"
        )
    shape = (None, 1 + spec.num_leaves)
    require_shape("inputs", inputs, shape, "give strings with their steps in front")
    most = num_symbols + 1 + diffusion.num_steps
    require_integers("inputs", inputs, most, "symbols and steps")
    steps, seen = jnp.asarray(inputs[:, 0]) - num_symbols - 1, jnp.asarray(inputs[:, 1:])
    return weigh(spec, diffusion.kernels().transpose(0, 2, 1)[steps[:, None], seen])


def denoised(
    grammar: RandomHierarchy, diffusion: Diffusion, inputs: Integer[AnyArray, "N T"]
) -> Float[Array, "N d V"]:
    """Computes the probabilities of clean tokens, given noisy strings: the best denoiser there is.

    As scores they have the least cross-entropy that is possible, the floor at each step.

    Args:
      grammar: the grammar.
      diffusion: the noise.
      inputs: (N, 1 + d) steps and noisy strings, see `Diffusion.seen`.

    Returns:
      (N, d, V) logarithms of probabilities, `hierjax.exact.evidence.NEVER` for that of zero.

    Raises:
      ValueError: as `observe_noisy` and `posteriors`.
    """
    evidence = observe_noisy(grammar.spec, diffusion, inputs)
    leaves = posteriors(grammar, evidence, (grammar.spec.depth,)).levels[-1]
    return log(cast(Array, leaves))

"""Noise on the strings and the classes of a random hierarchy, whose kernels inference knows."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Integer, Key

from hierjax.checks import known
from hierjax.tasks import choices
from hierjax.tasks.batch import Batch
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec, symbol_dtype

_FRACTION_BITS = 24


class Noise(struct.PyTreeNode):
    """Rates of noise, from 0 to 1; numbers, or arrays () that may be traced.

    Attributes:
      leaf_flip: probability that a leaf is replaced by a uniform symbol, itself included.
      leaf_mask: probability that a leaf is erased; it is then seen as the symbol V, one more than
        the grammar has. Other leaves may be flipped.
      label_flip: probability that the class is replaced by a uniform one, itself included.
    """

    leaf_flip: Any = 0.0
    leaf_mask: Any = 0.0
    label_flip: Any = 0.0


class NoisyHierarchy(struct.PyTreeNode):
    """A task: the strings of a grammar, seen through noise.

    Strings are seen in `inputs` and classes in `labels`. All latents are those without noise: the
    first level is the class, the last the string.

    Attributes:
      grammar: the grammar.
      noise: rates of noise.
    """

    grammar: RandomHierarchy
    noise: Noise

    @property
    def num_strings(self) -> int:
        """Number of different strings without noise."""
        return self.grammar.num_strings

    def clean(self, batch: Batch) -> Integer[Array, "N d"]:
        """Returns the strings (N, d) of a batch as they were without noise."""
        return batch.latents[-1]

    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws strings as `RandomHierarchy.sample` draws them, and corrupts them.

        Raises:
          ValueError: as `RandomHierarchy.sample` and `corrupt`.
        """
        batch = self.grammar.sample(jax.random.fold_in(key, 0), n)
        return corrupt(self.noise, jax.random.fold_in(key, 1), batch, self.grammar.spec)


def check_noise(noise: Noise) -> None:
    """Refuses rates that are known and not from 0 to 1.

    Raises:
      ValueError: a rate is out of range; it is named.
    """
    for name in ("leaf_flip", "leaf_mask", "label_flip"):
        rate = known(getattr(noise, name))
        if rate is not None and not np.all((rate >= 0) & (rate <= 1)):
            raise ValueError(f"{name}={rate} must be from 0, for no noise, to 1")


def corrupt(noise: Noise, key: Key[Array, ""], batch: Batch, spec: RandomHierarchySpec) -> Batch:
    """Puts noise on strings and classes; what is asked of unseen strings, ask it before.

    The function may be jitted, and mapped by `jax.vmap`, over rates as well. Noise on the first
    examples does not depend on how many there are.

    Args:
      noise: rates of noise; probabilities are exact to 2^-24.
      key: typed PRNG key.
      batch: strings of a grammar.
      spec: sizes of the grammar.

    Returns:
      The batch with other inputs, in the smallest unsigned type that holds V + 1 symbols, and other
      labels.

    Raises:
      ValueError: a rate is known and not from 0 to 1.
    """
    check_noise(noise)
    return _corrupt(noise, key, batch, spec)


@functools.partial(jax.jit, static_argnames="spec")
def _corrupt(noise: Noise, key: Key[Array, ""], batch: Batch, spec: RandomHierarchySpec) -> Batch:
    num_symbols, (n, num_leaves) = spec.symbols(spec.depth), batch.inputs.shape
    options = (num_symbols,) * num_leaves + (spec.num_classes,)
    # Rates are compared with a word each; what takes the place of a symbol shares words.
    num_rates = 2 * num_leaves + 1
    num_words = num_rates + len(choices.word_layout(options))
    words = choices.random_words(key, n, num_words)
    fractions = (words[:num_rates] >> 32 - _FRACTION_BITS) * np.float32(2.0**-_FRACTION_BITS)
    other = choices.read_choices(words[num_rates:], options)
    flip, mask, label = fractions[:num_leaves], fractions[num_leaves:-1], fractions[-1]
    leaves = _replaced(batch.inputs, (flip < noise.leaf_flip).T, other[:-1].T)
    leaves = leaves.astype(symbol_dtype(num_symbols + 1))
    leaves = jnp.where((mask < noise.leaf_mask).T, num_symbols, leaves).astype(leaves.dtype)
    labels = _replaced(batch.labels, label < noise.label_flip, other[-1])
    return batch.replace(inputs=leaves, labels=labels)


def _replaced(
    symbols: Integer[Array, "..."], flipped: Bool[Array, "..."], other: Integer[Array, "..."]
) -> Integer[Array, "..."]:
    return jnp.where(flipped, other.astype(symbols.dtype), symbols)


def leaf_kernel(noise: Noise, num_symbols: int) -> Float[Array, "V W"]:
    """Returns how leaves are seen, for `hierjax.exact.observe`.

    Args:
      noise: rates of noise.
      num_symbols: number of symbols of a leaf, V.

    Returns:
      (V, V + 1) probabilities that each symbol is seen as each, or as erased.

    Raises:
      ValueError: a rate is known and not from 0 to 1.
    """
    check_noise(noise)
    seen = (1 - noise.leaf_mask) * _flips(noise.leaf_flip, num_symbols)
    return jnp.pad(seen, ((0, 0), (0, 1))).at[:, -1].set(noise.leaf_mask)


def label_kernel(noise: Noise, num_classes: int) -> Float[Array, "C C"]:
    """Returns probabilities (C, C) that each class is labelled as each.

    Args:
      noise: rates of noise.
      num_classes: number of classes, C.

    Raises:
      ValueError: a rate is known and not from 0 to 1.
    """
    check_noise(noise)
    return _flips(noise.label_flip, num_classes)


def _flips(rate: Any, num_symbols: int) -> Float[Array, "V V"]:
    return (1 - rate) * jnp.eye(num_symbols) + rate / num_symbols

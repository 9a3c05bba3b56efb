"""Random choices of a sampler, several to a 32-bit random word.

Random words are the larger part of a sampler's cost, and a choice among m rules needs only
log2(m) bits of one. A word u is read as the fraction u / 2^32; its expansion in the mixed radix
(m_1, m_2, ...) is a sequence of choices, and any run of neighbouring choices is one digit of the
radix that is their product. Word j of example i depends on (key, i, j) alone, so the first n
examples of a stream do not depend on how many are asked for.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

MAX_OPTIONS = 2**16 - 1
"""Largest number of options of one choice: products of it with 16 bits must fit in 32."""

_WORD = 2**32
_BIASED_WORD = 2**16
_MAX_DIGITS = 32


def word_layout(num_options: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Groups choices into words, in order.

    A group of powers of two fills a word to the last bit and is exact. Any other group stops at
    a product of 2^16, which bounds the relative bias of every joint outcome by 2^-16.

    Args:
      num_options: number of options of each choice, each in [1, MAX_OPTIONS].

    Returns:
      For each word the numbers of options of the choices that it holds.
    """
    layout: list[tuple[int, ...]] = []
    for options in num_options:
        group = (*layout[-1], options) if layout else (options,)
        product = math.prod(group)
        limit = _WORD if product & (product - 1) == 0 else _BIASED_WORD
        if layout and product <= limit and len(group) <= _MAX_DIGITS:
            layout[-1] = group
        else:
            layout.append((options,))
    return tuple(layout)


def draw_choices(key: jax.Array, n: int, num_options: tuple[int, ...]) -> jax.Array:
    """Draws n rows of independent uniform choices.

    Args:
      key: typed PRNG key.
      n: number of rows.
      num_options: number of options of each choice; fixes the word layout.

    Returns:
      (n, len(num_options)) uint32, column c uniform on [0, num_options[c]), exactly where all
      numbers of options are powers of two, else with relative bias at most 2^-16.
    """
    layout = word_layout(num_options)
    num_digits = max(map(len, layout))
    radix = np.ones((num_digits, len(layout)), np.uint32)
    columns = []
    for word, group in enumerate(layout):
        radix[: len(group), word] = group
        columns += [(digit, word) for digit in range(len(group))]

    fraction = jax.random.bits(key, (n, len(layout)), jnp.uint32)
    digits = []
    for options in radix:
        digits.append(_multiply_high(fraction, options[None]))
        fraction = fraction * options[None]
    digit_of, word_of = np.array(columns).T
    return jnp.stack(digits)[digit_of, :, word_of].T


def _multiply_high(word: jax.Array, factor: np.ndarray) -> jax.Array:
    """Upper 32 bits of the 64-bit product of uint32 words with factors below 2^16."""
    low = (word & 0xFFFF) * factor >> 16
    return ((word >> 16) * factor + low) >> 16


def draw_uniforms(key: jax.Array, n: int, num: int) -> jax.Array:
    """(n, num) float32 uniform on the multiples of 2^-24 in [0, 1), one word for each."""
    return (jax.random.bits(key, (n, num), jnp.uint32) >> 8).astype(jnp.float32) * 2.0**-24


def thresholds(probabilities: jax.Array) -> jax.Array:
    """(..., m - 1) cumulative sums of (..., m) probabilities; one where no mass is left."""
    mass_left = jax.lax.cummax(probabilities, axis=probabilities.ndim - 1, reverse=True)[..., 1:]
    cumulative = jnp.cumsum(probabilities, axis=-1)[..., :-1]
    return jnp.where(mass_left > 0, cumulative, 1.0)


def invert_cdf(uniforms: jax.Array, thresholds: jax.Array) -> jax.Array:
    """Option that each uniform number falls on: the number of thresholds at or below it.

    Args:
      uniforms: (...) in [0, 1), multiples of 2^-24.
      thresholds: (..., m - 1) as `thresholds` makes them. Probabilities are met to within 2^-23,
        and an option of probability zero is never chosen.

    Returns:
      (...) uint32 in [0, m).
    """
    return jnp.sum(uniforms[..., None] >= thresholds, axis=-1, dtype=jnp.uint32)

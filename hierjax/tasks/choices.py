"""Random choices of a sampler, several to a 32-bit random word.

Random words are the larger part of a sampler's cost, and a choice among m rules needs only
log2(m) bits of one. A word u is read as the fraction u / 2^32; its expansion in the mixed radix
(m_1, m_2, ...) is a sequence of choices, and any run of neighbouring choices is one digit of the
radix that is their product. Words are counted example by example, so the first n examples of a
stream do not depend on how many are asked for.
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
_TICKS = 2**24


def word_layout(groups: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Packs groups of choices into words, in order.

    A word of powers of two is filled to the last bit and is exact. Any other stops at a product
    of 2^16, which bounds the relative bias of every joint outcome by 2^-16. A group is cut only
    if it does not fit in a word, so that its choices can be drawn as one.

    Args:
      groups: numbers of options of the choices of each group, each in [1, MAX_OPTIONS].

    Returns:
      For each word the numbers of options of the choices that it holds.
    """
    layout: list[tuple[int, ...]] = []
    for group in groups:
        if layout and _fits(layout[-1] + group):
            layout[-1] += group
            continue
        layout.append(())
        for options in group:
            if layout[-1] and not _fits((*layout[-1], options)):
                layout.append(())
            layout[-1] += (options,)
    return tuple(layout)


def _fits(choices: tuple[int, ...]) -> bool:
    product = math.prod(choices)
    limit = _WORD if product & (product - 1) == 0 else _BIASED_WORD
    return product <= limit and len(choices) <= _MAX_DIGITS


def draw_choices(key: jax.Array, n: int, groups: tuple[tuple[int, ...], ...]) -> jax.Array:
    """Draws n rows of independent uniform choices.

    Args:
      key: typed PRNG key.
      n: number of rows.
      groups: numbers of options, as for `word_layout`.

    Returns:
      (n, number of choices) uint32 in the order of the groups, column c uniform below its number
      of options: exactly where all choices of its word have powers of two, else with relative
      bias at most 2^-16.
    """
    layout = word_layout(groups)
    num_digits = max(map(len, layout))
    radix = np.ones((num_digits, len(layout)), np.uint32)
    columns = []
    for word, held in enumerate(layout):
        radix[: len(held), word] = held
        columns += [(digit, word) for digit in range(len(held))]

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
    """(n, num) uint32 uniform on [0, 2^24), one word for each."""
    return jax.random.bits(key, (n, num), jnp.uint32) >> 8


def thresholds(probabilities: jax.Array) -> jax.Array:
    """(..., m - 1) uint32 cumulative sums of (..., m) probabilities in units of 2^-24.

    Sums of integers: the same on every device. An option that no mass is left for is never
    reached, one of probability zero never chosen; others are met to within m * 2^-25.
    """
    ticks = jnp.round(probabilities * _TICKS).astype(jnp.uint32)
    mass_left = jax.lax.cummax(ticks, axis=ticks.ndim - 1, reverse=True)[..., 1:]
    return jnp.where(mass_left > 0, jnp.cumsum(ticks, axis=-1)[..., :-1], _TICKS)


def invert_cdf(uniforms: jax.Array, thresholds: jax.Array) -> jax.Array:
    """Option that each uniform number falls on: the number of thresholds at or below it.

    Args:
      uniforms: (...) uint32 below 2^24.
      thresholds: (..., m - 1) as `thresholds` makes them.

    Returns:
      (...) uint32 in [0, m).
    """
    return jnp.sum(uniforms[..., None] >= thresholds, axis=-1, dtype=jnp.uint32)

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
"""Largest number of options of one choice."""

MAX_JOINT = 2**16
"""Largest number of joint options of the choices that are drawn as one."""

_WORD = 2**32
_BIASED_WORD = 2**16
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_TICKS = 2**24


def word_layout(options: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Packs choices into words, in order.

    A word of powers of two is filled to the last bit and is exact. Any other stops at a product
    of 2^16, which bounds the relative bias of every joint outcome by 2^-16.

    Args:
      options: of each choice, in [1, MAX_JOINT].

    Returns:
      For each word the numbers of options of the choices that it holds.
    """
    layout: list[tuple[int, ...]] = []
    for each in options:
        if layout and _fits((*layout[-1], each)):
            layout[-1] += (each,)
        else:
            layout.append((each,))
    return tuple(layout)


def _fits(options: tuple[int, ...]) -> bool:
    product = math.prod(options)
    return product <= (_WORD if product & (product - 1) == 0 else _BIASED_WORD)


def draw_choices(key: jax.Array, n: int, options: tuple[int, ...]) -> jax.Array:
    """Draws n independent uniform choices of each kind.

    Args:
      key: typed PRNG key.
      n: draws.
      options: numbers of options, as for `word_layout`.

    Returns:
      (number of choices, n) uint32, each row uniform below its number of options: exactly where
      all choices of its word have powers of two, else with relative bias at most 2^-16.
    """
    layout = word_layout(options)
    word_of = np.repeat(np.arange(len(layout)), [len(held) for held in layout])
    # What is left of a word once the choices before are read off: its fraction times these.
    read = [math.prod(held[:place]) for held in layout for place in range(len(held))]
    words = random_words(key, n, len(layout)).at[word_of].get(mode="promise_in_bounds")
    return _multiply_high(
        words * np.array(read, np.uint32)[:, None], np.array(options, np.uint32)[:, None]
    )


def split_choices(joint: jax.Array, options: tuple[int, ...]) -> list[jax.Array]:
    """The choices that were drawn as one, the first of them its most significant digit."""
    apart = []
    for each in reversed(options):
        joint, digit = joint // np.uint32(each), joint % np.uint32(each)
        apart.append(digit)
    return apart[::-1]


def _multiply_high(word: jax.Array, factor: np.ndarray) -> jax.Array:
    """Upper 32 bits of the 64-bit product of uint32 words with factors of at most 2^16."""
    low = (word & 0xFFFF) * factor >> 16
    return ((word >> 16) * factor + low) >> 16


def random_words(key: jax.Array, n: int, num: int) -> jax.Array:
    """(num, n) uint32: `jax.random.bits(key, (n, num))` transposed.

    On a CPU in a third of the time, as rounds of threefry are not a loop here.
    """
    is_threefry = str(jax.random.key_impl(key)) == "threefry2x32"
    if not is_threefry or n * num >= _WORD:
        return jax.random.bits(key, (n, num), jnp.uint32).T
    keys = jax.random.key_data(key)
    rows = jnp.arange(n, dtype=jnp.uint32) * np.uint32(num)
    # In a loop, because words that were fused with what reads them would be made again each time.
    return jax.lax.map(lambda word: _threefry(keys, rows + word), jnp.arange(num, dtype=jnp.uint32))


def _threefry(key: jax.Array, counter: jax.Array) -> jax.Array:
    """Both words of Threefry-2x32-20 (Salmon et al. 2011) of (0, counter), by exclusive or."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ np.uint32(_PARITY))
    left, right = jnp.broadcast_to(keys[0], counter.shape), counter + keys[1]
    for group in range(5):
        for bits in _ROTATIONS[group % 2]:
            left = left + right
            right = left ^ (right << bits | right >> (32 - bits))
        left = left + keys[(group + 1) % 3]
        right = right + keys[(group + 2) % 3] + np.uint32(group + 1)
    return left ^ right


def draw_uniforms(key: jax.Array, n: int, num: int) -> jax.Array:
    """(n, num) uint32 uniform on [0, 2^24), one word for each."""
    return random_words(key, n, num).T >> 8


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

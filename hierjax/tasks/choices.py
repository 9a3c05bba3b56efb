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
from jaxtyping import Array, ArrayLike, Integer, Key, UInt32

MAX_OPTIONS = 2**16 - 1
"""Largest number of options of one choice."""

MAX_JOINT = 2**16
"""Largest number of joint options of several choices that are drawn as one."""

_WORD = 2**32
_BIASED_WORD = 2**16
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def word_layout(options: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Packs choices into 32-bit random words, in order.

    A word all of whose choices have powers of two as numbers of options is filled to the last bit,
    and its choices are exactly uniform. Any other word stops at a product of 2^16 options, which
    bounds the relative bias of every joint outcome by 2^-16.

    Args:
      options: number of options of each choice, from 1 to MAX_JOINT.

    Returns:
      For each word, the numbers of options of the choices that it holds.
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


def read_choices(
    words: UInt32[Array, "W N"], options: tuple[int, ...]
) -> UInt32[Array, "choices N"]:
    """Reads independent uniform choices off random words.

    Args:
      words: (W, N) uint32, W uniform words for each of N examples; the first ones are read, as
        many as `word_layout` makes of the options.
      options: number of options of each choice, from 1 to MAX_JOINT.

    Returns:
      (choices, N) uint32; each row is uniform below its number of options: exactly where all
      choices of its word have powers of two, else with a relative bias of at most 2^-16.
    """
    layout = word_layout(options)
    # What is left of a word once the choices before are read off: its fraction times these. Of a
    # word read to its last bit nothing is left, and only choices of one option may follow.
    read = [math.prod(held[:place]) % _WORD for held in layout for place in range(len(held))]
    # Not by index, which a TPU would gather.
    own = [jnp.broadcast_to(words[w], (len(held), words.shape[1])) for w, held in enumerate(layout)]
    own = jnp.concatenate([words[:0], *own])
    return _multiply_high(
        own * np.array(read, np.uint32)[:, None], np.array(options, np.uint32)[:, None]
    )


def split_choices(
    joint: Integer[Array, "*shape"], options: tuple[int, ...]
) -> list[Integer[Array, "*shape"]]:
    """Takes apart choices that were drawn as one.

    Args:
      joint: (...) integers below the product of the options.
      options: number of options of each choice.

    Returns:
      For each choice an array (...) of integers below its number of options; the first choice is
      the most significant digit of the joint one.
    """
    apart = []
    for each in reversed(options):
        joint, digit = joint // np.uint32(each), joint % np.uint32(each)
        apart.append(digit)
    return apart[::-1]


def _multiply_high(
    word: UInt32[Array, "..."], factor: np.ndarray | np.uint32
) -> UInt32[Array, "..."]:
    """Returns the upper 32 bits of the 64-bit products of uint32 words with uint32 factors."""
    upper, lower = factor >> 16, factor & 0xFFFF
    left = (word >> 16) * lower + ((word & 0xFFFF) * lower >> 16)
    if not upper.any():
        return left >> 16
    right = (word & 0xFFFF) * upper + (left & 0xFFFF)
    return (word >> 16) * upper + (left >> 16) + (right >> 16)


def random_words(
    key: Key[Array, ""], n: int, num: int, first: ArrayLike = 0
) -> UInt32[Array, "W N"]:
    """Draws random words for a run of examples of an endless stream.

    They are rows `first` to `first + n - 1` of `jax.random.bits(key, (first + n, num))`, in a
    third of the time on a CPU, as rounds of threefry are not a loop here. A key of another
    generator than threefry is folded with `first` instead.

    Args:
      key: typed PRNG key.
      n: number of examples, N.
      num: number of words for each example, W.
      first: index of the first example; may be traced.

    Returns:
      (W, N) uint32, uniform.
    """
    if str(jax.random.key_impl(key)) != "threefry2x32":
        return jax.random.bits(jax.random.fold_in(key, first), (n, num), jnp.uint32).T
    keys = jax.random.key_data(key)
    examples = jnp.arange(n, dtype=jnp.uint32) + jnp.asarray(first, jnp.uint32)
    # Counters have 64 bits, in two words.
    low, high = examples * np.uint32(num), _multiply_high(examples, np.uint32(num))

    def words(index):
        counter = low + index
        return _threefry(keys, high + (counter < index), counter)

    # In a loop, because words that were fused with what reads them would be made again each time;
    # of two words at least, because a loop of one is none.
    return jax.lax.map(words, jnp.arange(max(num, 2), dtype=jnp.uint32))[:num]


def _threefry(
    key: UInt32[Array, "2"], left: UInt32[Array, " N"], right: UInt32[Array, " N"]
) -> UInt32[Array, " N"]:
    """Returns the exclusive or of both words that Threefry-2x32-20 (Salmon et al. 2011) makes."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ np.uint32(_PARITY))
    left, right = left + keys[0], right + keys[1]
    for group in range(5):
        for bits in _ROTATIONS[group % 2]:
            left = left + right
            right = left ^ (right << bits | right >> (32 - bits))
        left = left + keys[(group + 1) % 3]
        right = right + keys[(group + 2) % 3] + np.uint32(group + 1)
    return left ^ right

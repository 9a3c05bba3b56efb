"""What is asked of strings beside their class: next tokens, the last one, or erased ones.

An objective turns strings (N, d) into what a model sees and what it is asked. What a model sees may
hold one symbol more than the V of strings, with the number V: it stands for the beginning of a
string, or for an erased token.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer, Key

from hierjax.checks import AnyArray, known, require_shape

NOT_ASKED = -1
"""The target of a position of which nothing is asked."""


class TokenExamples(NamedTuple):
    """Examples of an objective.

    Attributes:
      inputs: (N, d) int32, what the model sees, from 0 to V.
      targets: (N, d) int32, the tokens that are asked for at each position; `NOT_ASKED` where
        nothing is.
    """

    inputs: Int[Array, "N d"]
    targets: Int[Array, "N d"]


def next_token(
    strings: Integer[AnyArray, "N d"],
    num_symbols: int,
    lengths: Integer[Array, " N"] | None = None,
) -> TokenExamples:
    """Asks for every token, of a model that sees at its position the token before it.

    The model has to be causal: at position i it may see inputs up to i, the tokens before token i.

    Args:
      strings: (N, d) symbols.
      num_symbols: number of symbols of strings, V, which stands for the beginning.
      lengths: numbers of tokens of the strings, beyond which nothing is asked; by default all.

    Raises:
      ValueError: these are no strings.
    """
    strings = _strings(strings)
    inputs = jnp.pad(strings[:, :-1], ((0, 0), (1, 0)), constant_values=num_symbols)
    if lengths is None:
        return TokenExamples(inputs, strings)
    beyond = jnp.arange(strings.shape[1])[None] >= lengths[:, None]
    return TokenExamples(inputs, jnp.where(beyond, NOT_ASKED, strings))


def last_token(strings: Integer[AnyArray, "N d"], num_symbols: int) -> TokenExamples:
    """Asks for the last token, given all others; it is erased.

    Args:
      strings: (N, d) symbols.
      num_symbols: number of symbols of strings, V, which stands for what is erased.

    Raises:
      ValueError: these are no strings.
    """
    strings = _strings(strings)
    return _erased(strings, jnp.arange(strings.shape[1])[None] == strings.shape[1] - 1, num_symbols)


def each_token(strings: Integer[AnyArray, "N d"], num_symbols: int) -> TokenExamples:
    """Asks for every token, given all others: d examples of a string, each with one token erased.

    Args:
      strings: (N, d) symbols.
      num_symbols: number of symbols of strings, V, which stands for what is erased.

    Returns:
      N * d examples, those of a string one after the other, that of its first token first.

    Raises:
      ValueError: these are no strings.
    """
    strings = _strings(strings)
    length = strings.shape[1]
    erased = jnp.tile(jnp.eye(length, dtype=bool), (strings.shape[0], 1))
    return _erased(jnp.repeat(strings, length, axis=0), erased, num_symbols)


def sibling_token(strings: Integer[AnyArray, "N d"], span: int, num_siblings: int) -> TokenExamples:
    """Asks at every position for the token that stands at the same place of the next sibling.

    Strings are cut into patches, and these into families of siblings; the first sibling is next to
    the last one. A model may see the patch of a position alone, or it would only have to copy.

    Args:
      strings: (N, d) symbols.
      span: number of tokens of a patch.
      num_siblings: number of patches of a family, S.

    Raises:
      ValueError: these are no strings, or cannot be cut so.
    """
    strings = _strings(strings)
    if strings.shape[1] % (span * num_siblings):
        raise ValueError(
            f"strings of {strings.shape[1]} tokens cannot be cut into families of {num_siblings} "
            f"patches of {span} tokens: give sizes of which their length is a multiple"
        )
    families = strings.reshape(strings.shape[0], -1, num_siblings, span)
    return TokenExamples(strings, jnp.roll(families, -1, axis=2).reshape(strings.shape))


def masked_tokens(
    key: Key[Array, ""],
    strings: Integer[AnyArray, "N d"],
    num_symbols: int,
    rate: float | Float[Array, ""],
) -> TokenExamples:
    """Asks for tokens that are erased, each with the same probability.

    Args:
      key: typed PRNG key.
      strings: (N, d) symbols.
      num_symbols: number of symbols of strings, V, which stands for what is erased.
      rate: probability that a token is erased, above 0 and at most 1; may be traced.

    Raises:
      ValueError: these are no strings, or the rate is known and out of range.
    """
    strings, value = _strings(strings), known(rate)
    if value is not None and not 0 < value <= 1:
        raise ValueError(f"rate={value} must be above 0, or nothing is asked, and at most 1")
    return _erased(strings, jax.random.bernoulli(key, rate, strings.shape), num_symbols)


def _strings(strings: Integer[AnyArray, "N d"]) -> Int[Array, "N d"]:
    require_shape("strings", strings, (None, None), "give strings (N, d) of symbols")
    return jnp.asarray(strings, jnp.int32)


def _erased(strings: Int[Array, "N d"], erased: Array, num_symbols: int) -> TokenExamples:
    return TokenExamples(
        jnp.where(erased, num_symbols, strings), jnp.where(erased, strings, NOT_ASKED)
    )

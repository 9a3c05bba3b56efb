"""Bounded Dyck languages: well-nested brackets of several kinds, to a depth (arXiv 2105.11115).

A string is a walk of its depth between 0 and D. A bracket is opened or closed with probability 1/2
each, at depth 0 only opened, at depth D only closed; at depth 0 the string ends with a probability
of its own first. Strings may be conditioned on a range of lengths: what is left of the walk is then
weighed by the probability that it ends in time, so the law of every symbol stays exact.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from hierjax.checks import AnyArray, in_range, require_integers, require_shape
from hierjax.tasks.batch import Batch
from hierjax.tasks.choices import random_words
from hierjax.tasks.token_objectives import TokenExamples, next_token

_MOST_KINDS = 2**10
_MOST_LENGTH = 2**20
_UNSEEN_BITS = 8  # Fractions of float32 hold the other 24 bits of a word.


@dataclasses.dataclass(frozen=True)
class DyckSpec:
    """Sizes of a bounded Dyck language, and the lengths of its strings.

    Symbols are k opening brackets, from 0, k closing ones, from k, and the end, 2k. The end counts
    as a token of its string.

    Attributes:
      num_kinds: number of kinds of brackets, k.
      max_depth: largest number of brackets that are open at once, D.
      end_probability: probability that a string ends where no bracket is open, q.
      min_length: least number of tokens of a string.
      max_length: largest number of tokens of a string, T.

    Raises:
      ValueError: a number is out of bounds, or no string has such a length.
    """

    num_kinds: int
    max_depth: int
    end_probability: float = 0.5
    min_length: int = 1
    max_length: int = 700

    def __post_init__(self):
        for name, most in (("num_kinds", _MOST_KINDS), ("max_depth", _MOST_LENGTH)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name}={getattr(self, name)} must be from 1 to {most}")
        if not 0 < self.end_probability <= 1:
            raise ValueError(
                f"end_probability={self.end_probability} must be above 0, or no string ends, and "
                "at most 1"
            )
        if not 1 <= self.min_length <= self.max_length <= _MOST_LENGTH:
            raise ValueError(
                f"min_length={self.min_length} and max_length={self.max_length} must ascend, from "
                f"1 to {_MOST_LENGTH}"
            )
        longest = 1 if self.end_probability == 1 else self.max_length
        if self.min_length | 1 > longest:
            raise ValueError(
                f"no string has min_length={self.min_length} to max_length={self.max_length} "
                "tokens: lengths are odd, and 1 where end_probability is 1"
            )

    @property
    def num_symbols(self) -> int:
        """Number of symbols, V = 2k + 1."""
        return 2 * self.num_kinds + 1

    @property
    def end(self) -> int:
        """The symbol of the end, which also fills the positions after it."""
        return 2 * self.num_kinds


class Nesting(struct.PyTreeNode):
    """What is open before each token of strings (N, T).

    Attributes:
      depth: (N, T) int32, number of open brackets; 0 after the end.
      kind: (N, T) int32, kind of the bracket that has to be closed next; -1 where none is open.
      opened: (N, T) int32, position of that bracket; -1 where none is open.
    """

    depth: Array
    kind: Array
    opened: Array


class Dyck(struct.PyTreeNode):
    """A task: the strings of a bounded Dyck language, see `bounded_dyck`.

    Attributes:
      spec: sizes, static.
      moves: (T, D + 1, 3) probabilities that a string opens a bracket, closes one, or ends, given
        its position and its depth; zeros where no string comes by.
    """

    spec: DyckSpec = struct.field(pytree_node=False)
    moves: Array

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws strings; those of a smaller n are the first of a larger one.

        Args:
          key: typed PRNG key.
          n: number of strings, N, static.

        Returns:
          inputs (N, T) int32, strings, filled with the end symbol; labels (N,) int32, their numbers
          of tokens; as latents depth, kind and opened (N, T) of `Nesting`.
        """
        spec = self.spec
        words = random_words(key, n, 2 * spec.max_length) >> _UNSEEN_BITS
        fractions = words.astype(jnp.float32) / 2.0 ** (32 - _UNSEEN_BITS)

        def step(depth, now):
            fraction, moves = now
            # In this order roundings can neither end nor close where that is impossible. A string
            # that has ended is of depth -1.
            _, closing, ending = moves[depth].T
            ends = (fraction < ending) | (depth < 0)
            closes = (fraction < ending + closing) & ~ends
            opens = ~ends & ~closes
            return jnp.where(ends, -1, depth + opens - closes), (opens, closes)

        now = fractions[: spec.max_length], self.moves
        _, (opens, closes) = jax.lax.scan(step, jnp.zeros(n, jnp.int32), now)
        kinds = (fractions[spec.max_length :] * spec.num_kinds).astype(jnp.int32)
        opens, closes, kinds = opens.T, closes.T, kinds.T
        nesting = _nesting(opens, closes, kinds, spec.max_depth)
        strings = jnp.where(
            opens, kinds, jnp.where(closes, nesting.kind + spec.num_kinds, spec.end)
        )
        lengths = (opens | closes).sum(axis=1, dtype=jnp.int32) + 1
        return Batch(strings, lengths, (nesting.depth, nesting.kind, nesting.opened))

    def nesting(self, strings: Integer[AnyArray, "N T"]) -> Nesting:
        """Finds what is open before each token.

        Args:
          strings: (N, T) strings of the language, filled with the end symbol; they may be cut off.

        Raises:
          ValueError: the shape is another one, or symbols are known and out of range.
        """
        spec = self.spec
        require_shape("strings", strings, (None, None), "give strings (N, T) of symbols")
        require_integers("strings", strings, spec.num_symbols, "symbols")
        strings = jnp.asarray(strings, jnp.int32)
        opens = in_range(strings, spec.num_kinds)
        closes = in_range(strings - spec.num_kinds, spec.num_kinds)
        return _nesting(opens, closes, strings, spec.max_depth)

    def next_probabilities(self, strings: Integer[AnyArray, "N T"]) -> Float[Array, "N T V"]:
        """Computes the law of each token, given those before it.

        Args:
          strings: (N, T) strings of at most `max_length` positions; after the end of a string the
            end symbol is certain.

        Returns:
          (N, T, V) probabilities; NaN after tokens that no string of the language has there.

        Raises:
          ValueError: strings are longer, or symbols are known and out of range.
        """
        spec, length = self.spec, strings.shape[1]
        if length > spec.max_length:
            raise ValueError(
                f"strings have {length} positions, but the language has at most "
                f"max_length={spec.max_length}: make a language of longer strings"
            )
        nesting = self.nesting(strings)
        strings = jnp.asarray(strings, jnp.int32)
        places = jnp.arange(length)[None]
        moves = self.moves[places, nesting.depth.clip(0, spec.max_depth)]
        kinds = jnp.arange(spec.num_kinds)[None, None]
        law = jnp.concatenate(
            [
                jnp.broadcast_to(moves[..., :1] / spec.num_kinds, (*strings.shape, spec.num_kinds)),
                moves[..., 1:2] * (kinds == nesting.kind[..., None]),
                moves[..., 2:],
            ],
            axis=-1,
        )
        ends = strings == spec.end
        ended = ends.cumsum(axis=1) - ends > 0
        is_end = (jnp.arange(spec.num_symbols) == spec.end)[None, None]
        law = jnp.where(ended[..., None], is_end, law)
        own = jnp.take_along_axis(law, strings[..., None].clip(0, spec.end), axis=-1)[..., 0]
        wrong = ~(own > 0) | ~in_range(strings, spec.num_symbols)
        return jnp.where((wrong.cumsum(axis=1) - wrong > 0)[..., None], jnp.nan, law)

    def next_token(self, batch: Batch) -> TokenExamples:
        """Asks for every token of strings from those before it, up to the end and not beyond.

        Args:
          batch: strings of `sample`.

        Returns:
          The examples; the symbol V stands for the beginning, see `hierjax.tasks.next_token`.
        """
        return next_token(batch.inputs, self.spec.num_symbols, batch.labels)

    def entropy(self) -> Float[Array, ""]:
        """Returns the entropy of a string in nats; the least cross-entropy of all of its tokens."""
        moves = self.moves
        logs = jnp.log(jnp.where(moves > 0, moves, 1))
        nats = moves[..., 0] * np.log(self.spec.num_kinds) - (moves * logs).sum(axis=-1)
        return (self._visits() * nats).sum()

    def mean_length(self) -> Float[Array, ""]:
        """Returns the mean number of tokens of a string, the end included."""
        return self._visits().sum()

    def _visits(self) -> Float[Array, "T depths"]:
        """Returns the probability that a string has not ended and is of each depth."""

        def step(here, moves):
            up, down = (here * moves[:, move] for move in (0, 1))
            return jnp.pad(up[:-1], (1, 0)) + jnp.pad(down[1:], (0, 1)), here

        start = jnp.zeros_like(self.moves[0, :, 0]).at[0].set(1)
        return jax.lax.scan(step, start, self.moves)[1]


def bounded_dyck(spec: DyckSpec) -> Dyck:
    """Makes a bounded Dyck language; its tables follow from its sizes, in float64.

    Args:
      spec: sizes, and the range of lengths that strings are conditioned on.
    """
    depths = np.arange(spec.max_depth + 1)
    walk = np.where(depths == 0, 1 - spec.end_probability, 1.0)
    opens = walk * np.select([depths == 0, depths == spec.max_depth], [1, 0], 0.5)
    closes = np.where(depths == 0, 0, walk - opens)
    ends = np.where(depths == 0, spec.end_probability, 0)
    moves = np.zeros((spec.max_length, spec.max_depth + 1, 3))
    ahead = np.zeros(spec.max_depth + 1)  # In proportion to P(it ends in time | depth).
    scale = 1.0  # The factor of that proportion.
    for place in reversed(range(spec.max_length)):
        in_time = scale * (place + 1 >= spec.min_length)
        above, below = np.append(ahead[1:], 0), np.append(0, ahead[:-1])
        weights = np.stack([opens * above, closes * below, ends * in_time], axis=-1)
        ahead = weights.sum(axis=-1)
        np.divide(weights, ahead[:, None], out=moves[place], where=ahead[:, None] > 0)
        largest = ahead.max()
        if largest > 0:
            ahead, scale = ahead / largest, scale / largest
    return Dyck(spec, jnp.asarray(moves, jnp.result_type(float)))


def _nesting(
    opens: Bool[Array, "N T"],
    closes: Bool[Array, "N T"],
    kinds: Int[Array, "N T"],
    max_depth: int,
) -> Nesting:
    """Finds what is open, given the kinds of brackets at least where one is opened."""
    depth = jnp.cumsum(opens.astype(jnp.int32) - closes, axis=1)
    depth = jnp.pad(depth[:, :-1], ((0, 0), (1, 0)))
    places = jnp.broadcast_to(jnp.arange(depth.shape[1], dtype=jnp.int32), depth.shape)

    def at_depth(opened, level):
        latest = jax.lax.cummax(jnp.where(opens & (depth == level - 1), places, -1), axis=1)
        return jnp.where(depth == level, latest, opened), None

    opened, _ = jax.lax.scan(at_depth, jnp.full_like(depth, -1), jnp.arange(1, max_depth + 1))
    kind = jnp.take_along_axis(kinds, opened.clip(0), axis=1)
    return Nesting(depth, jnp.where(opened < 0, -1, kind), opened)

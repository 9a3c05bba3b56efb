"""Rules of one or two neighbouring levels, looked up as one.

A symbol and the joint choice of a rule for it and for all its children give the symbols two levels
below. They are kept packed in 32-bit words, so that one look-up takes the place of several.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, UInt32

from hierjax.tasks import alias
from hierjax.tasks.choices import MAX_JOINT
from hierjax.tasks.tables import by_products_or_not, for_each_row, gathered, look_up, multiplied

if TYPE_CHECKING:
    from hierjax.tasks.random_hierarchy import RandomHierarchySpec

_WORD_BYTES = 4
_MOST_ENTRIES = 2**18
"""A table of more entries does not stay in the cache, and takes longer to make than it saves."""


def joint_steps(spec: "RandomHierarchySpec") -> list[tuple[int, ...]]:
    """Groups the levels of a random hierarchy into steps, whose rules are looked up as one.

    Levels are paired from the leaves up; a pair whose table is too large is two steps.

    Args:
      spec: sizes of the random hierarchy.

    Returns:
      For each step, root side first, its one or two levels.
    """
    steps: list[tuple[int, ...]] = [(0,)] if spec.depth % 2 else []
    for top in range(spec.depth % 2, spec.depth, 2):
        size = math.prod(joint_options(spec, (top, top + 1)))
        small = size <= MAX_JOINT and spec.symbols(top) * size <= _MOST_ENTRIES
        steps += [(top, top + 1)] if small else [(top,), (top + 1,)]
    return steps


def joint_options(spec: "RandomHierarchySpec", levels: tuple[int, ...]) -> tuple[int, ...]:
    """Lists the choices that a step makes for one symbol.

    Args:
      spec: sizes of the random hierarchy.
      levels: the one or two levels of the step.

    Returns:
      The number of rules of the symbol, and in a step of two levels that of each of its children.
    """
    top, *below = levels
    return (
        spec.num_rules[top],
        *(spec.num_rules[level] for level in below for _ in range(spec.branching[top])),
    )


class JointRules(NamedTuple):
    """The rules of one step, as tables.

    Attributes:
      words: (V, K, W) uint32, for each symbol and each of its K joint choices the symbols that
        they make, packed in W words.
      num_made: number of symbols that one symbol makes.
      dtype: type of these symbols.
      aliases: (V, columns) uint32 as `alias.alias_tables` makes them; None where choices are
        uniform.
    """

    words: Array
    num_made: int
    dtype: np.dtype
    aliases: Array | None

    def choose(
        self, symbols: Integer[Array, "P N"], draws: UInt32[Array, "P N"]
    ) -> UInt32[Array, "P N"]:
        """Makes the joint choices of symbols.

        Args:
          symbols: (P, N) symbols.
          draws: (P, N) uniform choices, or random words where rules have probabilities.

        Returns:
          (P, N) joint choices, below K.
        """
        return draws if self.aliases is None else alias.choose(self.aliases, symbols, draws)

    def made(
        self, symbols: Integer[Array, "P N"], choices: Integer[Array, "P N"]
    ) -> Integer[Array, "made N"]:
        """Returns the symbols (P * num_made, N) that symbols and their joint choices make."""
        return by_products_or_not(
            self._num_rows,
            self._multiplied,
            self._unpacked,
            self.words,
            self._rows(symbols, choices),
        )

    def made_in_rows(
        self, symbols: Integer[Array, "P N"], choices: Integer[Array, "P N"]
    ) -> Integer[Array, "N made"]:
        """Returns the same as rows (N, P * num_made) of type `dtype`."""

        def multiplied(words, row):
            return self._multiplied(words, row).T

        return by_products_or_not(
            self._num_rows, multiplied, self._in_a_row, self.words, self._rows(symbols, choices)
        )

    @property
    def _num_rows(self) -> int:
        return self.words.shape[0] * self.words.shape[1]

    def _rows(self, symbols, choices):
        return symbols.astype(jnp.int32) * self.words.shape[1] + choices.astype(jnp.int32)

    def _multiplied(self, words: UInt32[Array, "V K W"], row: Int[Array, "P N"]) -> Array:
        symbols = _unpacked(words.reshape(-1, words.shape[-1]), self.dtype)[:, : self.num_made]
        return jnp.stack(multiplied(symbols, row), axis=1).reshape(-1, row.shape[1])

    def _gathered(self, words: UInt32[Array, "V K W"], row: Int[Array, "P N"]) -> Array:
        return jnp.stack(gathered(words.reshape(-1, words.shape[-1]), row), axis=1)

    def _unpacked(self, words: UInt32[Array, "V K W"], row: Int[Array, "P N"]) -> Array:
        found = self._gathered(words, row)
        bits = 8 * self.dtype.itemsize
        # By a vector of shifts: stacked symbols would keep what reads them from being vectorised.
        shifts = np.arange(0, 32, bits, dtype=np.uint32)
        symbols = found[:, :, None] >> shifts[None, None, :, None] & np.uint32(2**bits - 1)
        symbols = symbols.reshape(found.shape[0], -1, found.shape[2])[:, : self.num_made]
        return symbols.reshape(-1, found.shape[2]).astype(self.dtype)

    def _in_a_row(self, words: UInt32[Array, "V K W"], row: Int[Array, "P N"]) -> Array:
        found = self._gathered(words, row).transpose(2, 0, 1)
        return _unpacked(found, self.dtype)[..., : self.num_made].reshape(found.shape[0], -1)


def joint_rules(
    rules: Sequence[Integer[Array, "_ _ _"]],
    probabilities: Sequence[Float[Array, "_ _"]] | None = None,
) -> JointRules:
    """Makes the tables of a step.

    Args:
      rules: for each of its one or two levels l, (V_l, M_l, S_l) symbols of the level below.
      probabilities: for each of its levels l, (V_l, M_l) probabilities of the rules; None for
        uniform rules.

    Returns:
      The tables.
    """
    top, *below = rules

    def packed(own):
        return _packed(_two_levels(own, below[0]) if below else own)

    words = for_each_row(packed, top)
    num_made, dtype = math.prod(each.shape[-1] for each in rules), np.dtype(rules[-1].dtype)
    aliases = None
    if probabilities is not None:
        aliases = alias.alias_tables(joint_probabilities(rules, probabilities))
    return JointRules(words, num_made, dtype, aliases)


def joint_probabilities(
    rules: Sequence[Integer[Array, "_ _ _"]], probabilities: Sequence[Float[Array, "_ _"]]
) -> Float[Array, "V K"]:
    """Multiplies out the probabilities of the joint choices of a step.

    Args:
      rules: for each of its one or two levels l, (V_l, M_l, S_l) symbols of the level below.
      probabilities: for each of its levels l, (V_l, M_l) probabilities of the rules.

    Returns:
      (V, K) probabilities of the K joint choices of each symbol of the upper level.
    """
    joint, *below = probabilities
    num_symbols = joint.shape[0]
    for child in range(rules[0].shape[-1] if below else 0):
        row = _rows(rules[0][..., child], below[0].shape[1])
        (taken,) = look_up(below[0].reshape(-1, 1), row)
        taken = taken.reshape(num_symbols, -1, *(1,) * child, taken.shape[-1])
        joint = joint[..., None] * taken
    return joint.reshape(num_symbols, -1)


def _two_levels(
    own: Integer[Array, "M S"], below: Integer[Array, "V N T"]
) -> Integer[Array, "K made"]:
    """Returns symbols (K, S * S') two levels below a symbol of rules (M, S), by joint choice."""
    num_rules, branching = own.shape
    num_below, num_made = below.shape[1:]
    parts = []
    for child in range(branching):
        row = _rows(own[:, child], num_below)
        made = jnp.stack(look_up(below.reshape(-1, num_made), row), axis=-1)
        others = (1,) * child, (1,) * (branching - 1 - child)
        made = made.reshape(num_rules, *others[0], num_below, *others[1], num_made)
        parts.append(jnp.broadcast_to(made, (num_rules, *(num_below,) * branching, num_made)))
    return jnp.concatenate(parts, axis=-1).reshape(-1, branching * num_made)


def _rows(symbols: Integer[Array, "*shape"], num_rules: int) -> Int[Array, "*shape M"]:
    """Returns the rows, in a table of all rules, of the M rules of symbols."""
    first = symbols.astype(jnp.int32) * num_rules
    return first[..., None] + jax.lax.broadcasted_iota(
        jnp.int32, (*first.shape, num_rules), first.ndim
    )


def _unpacked(words: UInt32[Array, "*shape W"], dtype: np.dtype) -> Integer[Array, "*shape S"]:
    """Unpacks words (..., W) into symbols (..., S), as many as they hold."""
    symbols = jax.lax.bitcast_convert_type(words, dtype)
    return symbols.reshape(*words.shape[:-1], -1)


def _packed(tuples: Integer[Array, "K S"]) -> UInt32[Array, "K W"]:
    """Packs symbols (K, S) into (K, W) uint32 words."""
    per_word = _WORD_BYTES // tuples.dtype.itemsize
    padded = jnp.pad(tuples, ((0, 0), (0, -tuples.shape[1] % per_word)))
    if per_word == 1:
        return padded
    return jax.lax.bitcast_convert_type(padded.reshape(padded.shape[0], -1, per_word), jnp.uint32)

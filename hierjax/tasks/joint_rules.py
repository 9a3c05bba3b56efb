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
from jaxtyping import Array, Float, Integer, UInt32

from hierjax.tasks import alias
from hierjax.tasks.choices import MAX_JOINT

if TYPE_CHECKING:
    from hierjax.tasks.random_hierarchy import RandomHierarchySpec

_WORD_BYTES = 4
_MOST_ENTRIES = 2**18
"""Of a table: more do not stay in the cache, and take longer to make than they save."""


def joint_steps(spec: "RandomHierarchySpec") -> list[tuple[int, ...]]:
    """The levels of a random hierarchy whose rules are looked up as one, root side first.

    Two at a time, paired from the leaves up, where their table is small enough, else one.

    Args:
      spec: of the random hierarchy.
    """
    steps: list[tuple[int, ...]] = [(0,)] if spec.depth % 2 else []
    for top in range(spec.depth % 2, spec.depth, 2):
        size = math.prod(joint_options(spec, (top, top + 1)))
        small = size <= MAX_JOINT and spec.symbols(top) * size <= _MOST_ENTRIES
        steps += [(top, top + 1)] if small else [(top,), (top + 1,)]
    return steps


def joint_options(spec: "RandomHierarchySpec", levels: tuple[int, ...]) -> tuple[int, ...]:
    """Numbers of rules of the choices that a step makes for a symbol: its own, its children's."""
    top, *below = levels
    return (
        spec.num_rules[top],
        *(spec.num_rules[level] for level in below for _ in range(spec.branching[top])),
    )


class JointRules(NamedTuple):
    """The rules of a step.

    Attributes:
      words: (V, K, W) uint32: of symbol and joint choice, the symbols that they make.
      num_made: symbols that a symbol makes.
      dtype: theirs.
      aliases: (V, 2^k) as `alias.alias_tables` makes them; None where choices are uniform.
    """

    words: Array
    num_made: int
    dtype: np.dtype
    aliases: Array | None

    def choose(
        self, symbols: Integer[Array, "P N"], draws: UInt32[Array, "P N"]
    ) -> UInt32[Array, "P N"]:
        """Joint choices (P, N) of symbols, from choices that are uniform or from random words."""
        return draws if self.aliases is None else alias.choose(self.aliases, symbols, draws)

    def look_up(
        self, symbols: Integer[Array, "P N"], choices: Integer[Array, "P N"]
    ) -> UInt32[Array, "P W N"]:
        """(P, W, N) words of what (P, N) symbols and joint choices make."""
        row = symbols.astype(jnp.int32) * self.words.shape[1] + choices.astype(jnp.int32)
        columns = [
            self.words[..., word].ravel().at[row].get(mode="promise_in_bounds")
            for word in range(self.words.shape[-1])
        ]
        return jnp.stack(columns, axis=1)

    def unpack(self, words: UInt32[Array, "P W N"]) -> UInt32[Array, "made N"]:
        """(P, W, N) words as (P * num_made, N) symbols; the first is in the lowest bits."""
        bits = 8 * self.dtype.itemsize
        # By a vector of shifts: stacked symbols would keep what reads them from being vectorised.
        shifts = np.arange(0, 32, bits, dtype=np.uint32)
        symbols = words[:, :, None] >> shifts[None, None, :, None] & np.uint32(2**bits - 1)
        symbols = symbols.reshape(words.shape[0], -1, words.shape[2])[:, : self.num_made]
        return symbols.reshape(-1, words.shape[2])

    def in_a_row(self, words: UInt32[Array, "P W N"]) -> Integer[Array, "N made"]:
        """(P, W, N) words as (N, P * num_made) symbols of their own type."""
        symbols = jax.lax.bitcast_convert_type(words.transpose(2, 0, 1), self.dtype)
        symbols = symbols.reshape(*symbols.shape[:2], -1)[..., : self.num_made]
        return symbols.reshape(words.shape[2], -1)


def joint_rules(
    rules: Sequence[Integer[Array, "_ _ _"]],
    probabilities: Sequence[Float[Array, "_ _"]] | None = None,
) -> JointRules:
    """Tables of a step.

    Args:
      rules: of its levels, (V_l, M_l, S_l) each.
      probabilities: likewise (V_l, M_l); None for uniform.
    """
    top, *below = rules

    def packed(own):
        return _packed(_two_levels(own, below[0]) if below else own)

    # In a loop, because a table that was fused with what reads it would be made each time.
    words = jax.lax.map(packed, top)
    num_made, dtype = math.prod(each.shape[-1] for each in rules), np.dtype(rules[-1].dtype)
    aliases = None
    if probabilities is not None:
        aliases = alias.alias_tables(joint_probabilities(rules, probabilities))
    return JointRules(words, num_made, dtype, aliases)


def joint_probabilities(
    rules: Sequence[Integer[Array, "_ _ _"]], probabilities: Sequence[Float[Array, "_ _"]]
) -> Float[Array, "V K"]:
    """(V, K) probabilities of the joint choices of a step, whose arguments are as above."""
    joint, *below = probabilities
    num_symbols = joint.shape[0]
    for child in range(rules[0].shape[-1] if below else 0):
        taken = below[0][rules[0][..., child]]
        taken = taken.reshape(num_symbols, -1, *(1,) * child, taken.shape[-1])
        joint = joint[..., None] * taken
    return joint.reshape(num_symbols, -1)


def _two_levels(
    own: Integer[Array, "M S"], below: Integer[Array, "V N T"]
) -> Integer[Array, "K made"]:
    """(K, S * S') symbols two levels below one symbol of rules (M, S), for its joint choices."""
    num_rules, branching = own.shape
    shape = (num_rules, *(below.shape[1],) * branching)
    first, *others = np.unravel_index(np.arange(math.prod(shape)), shape)
    return jnp.concatenate(
        [below[own[first, child], rule] for child, rule in enumerate(others)], axis=-1
    )


def _packed(tuples: Integer[Array, "K S"]) -> UInt32[Array, "K W"]:
    """(K, W) uint32 of (K, S) symbols."""
    per_word = _WORD_BYTES // tuples.dtype.itemsize
    padded = jnp.pad(tuples, ((0, 0), (0, -tuples.shape[1] % per_word)))
    if per_word == 1:
        return padded
    return jax.lax.bitcast_convert_type(padded.reshape(padded.shape[0], -1, per_word), jnp.uint32)

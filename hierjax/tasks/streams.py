"""Where the strings of a round of training come from: a fixed set, or the grammar, always anew.

A source is a pytree with a method `draw(key, n)` that returns n strings (n, d).
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Integer, Key

from hierjax.tasks.random_hierarchy import RandomHierarchy
from hierjax.tasks.splits import contains


class FixedStrings(struct.PyTreeNode):
    """A fixed train set, whose strings are drawn again and again, each as often as any other.

    The count is an array, so that one compiled program serves sets of all sizes.

    Attributes:
      strings: (N, d) strings.
      count: () int32, how many of them are drawn, the first ones; at least 1.
    """

    strings: Array
    count: Array

    def draw(self, key: Key[Array, ""], n: int) -> Integer[Array, "n d"]:
        """Draws n strings (n, d)."""
        return self.strings[jax.random.randint(key, (n,), 0, self.count)]


class FreshStrings(struct.PyTreeNode):
    """Fresh strings of a grammar, none of which is a test string.

    Attributes:
      grammar: the grammar.
      kept_out: (K, d) test strings, a small part of the language.
    """

    grammar: RandomHierarchy
    kept_out: Array

    def draw(self, key: Key[Array, ""], n: int) -> Integer[Array, "n d"]:
        """Draws n strings (n, d); the first other one stands for each that is kept out."""
        strings = self.grammar.sample(key, n).inputs
        seen = contains(self.kept_out, strings)
        return strings[jnp.where(seen, seen.argmin(), jnp.arange(n))]

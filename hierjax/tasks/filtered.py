"""Filtered hierarchies: strings whose upper correlations are taken away (arXiv 2408.15138, II)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Key

from hierjax.tasks.batch import Batch
from hierjax.tasks.interventions import resample_subtree
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec


class FilteredHierarchy(struct.PyTreeNode):
    """A task: the strings of a grammar whose nodes of one level are independent, given the class.

    Each of these nodes has the law that it has in the grammar, and what is below it, too. Inference
    takes the level as `filtered`, see `hierjax.exact.likelihood`.

    Attributes:
      grammar: the grammar.
      level: level k of these nodes, from 1 to L, where tokens are independent; static.
    """

    grammar: RandomHierarchy
    level: int = struct.field(pytree_node=False)

    @property
    def num_strings(self) -> int:
        """Number of strings of the grammar, all of which are strings here, too, beside others."""
        return self.grammar.num_strings

    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws strings; those of a smaller n are the first of a larger one.

        The function may be jitted, and mapped by `jax.vmap`. It draws as many whole trees for a
        string as there are nodes at the level.

        Args:
          key: typed PRNG key.
          n: number of strings, N, static.

        Returns:
          As `RandomHierarchy.sample`; the latents of levels between the root and this one are None.

        Raises:
          ValueError: there is no such level, or as `RandomHierarchy.sample`.
        """
        spec = self.grammar.spec
        check_filter(spec, self.level)
        whole = self.grammar.sample(jax.random.fold_in(key, 0), n)

        def subtree(node):
            # Of a whole tree of the same class, since its law is that of the node given the class.
            drawn = resample_subtree(self.grammar, jax.random.fold_in(key, 1 + node), whole, 0, 0)
            below = drawn.latents[self.level :]
            parts = (each.reshape(n, spec.nodes(self.level), -1) for each in below)
            return tuple(each[:, node] for each in parts)

        parts = jax.lax.map(subtree, jnp.arange(spec.nodes(self.level)))
        levels = tuple(each.swapaxes(0, 1).reshape(n, -1) for each in parts)
        between: Any = (None,) * (self.level - 1)
        latents = (whole.latents[0], *between, *levels)
        return Batch(inputs=levels[-1], labels=whole.labels, latents=latents)


def check_filter(spec: RandomHierarchySpec, level: int) -> None:
    """Refuses a level that has no nodes to be independent.

    Raises:
      ValueError: the level is not from 1 to L.
    """
    if not 1 <= level <= spec.depth:
        raise ValueError(
            f"filter_level={level} must be from 1, the children of the root, to "
            f"depth={spec.depth}, the leaves"
        )

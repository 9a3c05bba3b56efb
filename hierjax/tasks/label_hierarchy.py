"""Labels that form a hierarchy: each the sign of a sparse polynomial of lower ones.

An (r, K, M)-hierarchy of arXiv 2601.00455: every label of level 1 is a degree-K polynomial
threshold function (PTF) of the input, every label of level i one of the labels and inputs below
it. The learner is given all labels of an example, side by side, and not which level each is of.

In the location form there is one copy of every label at each of G locations of a ring or grid,
and what it depends on lies in a window around it; without a lattice G is 1 and its axis is left
out of all arrays.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int, Key

from hierjax.tasks.batch import Batch
from hierjax.tasks.lattice import num_locations, window_table

Monomials = tuple[tuple[int, ...], ...]

_WORD = 32


class LabelLevel(struct.PyTreeNode):
    """The nodes of one level: sign(sum_t coefficients[t] * prod_{j in monomials[t]} parent_j).

    Attributes:
      parents: (n, f) int32 lower nodes that each node reads: inputs first, then level by level.
      offsets: (n, f) int32 where in the window each of them stands; 0 without a lattice.
      coefficients: (n, T) float32; no input may make the polynomial zero.
      monomials: T subsets of range(f), the empty one for a constant.
      num_labels: nodes that are labels, the first ones; others only stand between levels.
    """

    parents: Array
    offsets: Array
    coefficients: Array
    monomials: Monomials = struct.field(pytree_node=False)
    num_labels: int = struct.field(pytree_node=False)

    def evaluate(
        self, below: Float[Array, "N G below"], table: Int[np.ndarray, "G window"]
    ) -> Float[Array, "N G nodes"]:
        """(N, G, n) signs of the nodes, from (N, G, M) of all below and the (G, w) windows."""
        values = below[:, jnp.asarray(table)[:, self.offsets], self.parents]
        # Products of fewer factors are filled with ones.
        values = jnp.concatenate([values, jnp.ones_like(values[..., :1])], axis=-1)
        longest = max(map(len, self.monomials))
        one = self.parents.shape[1]
        factors = [(*each, *[one] * (longest - len(each))) for each in self.monomials]

        def add(total, term):
            chosen, coefficient = term
            return total + coefficient[None, None] * values[..., chosen].prod(axis=-1), None

        terms = np.array(factors, np.int32).reshape(-1, longest), self.coefficients.T
        total, _ = jax.lax.scan(add, jnp.zeros(values.shape[:-1]), terms)
        return jnp.where(total > 0, 1.0, -1.0)


class LabelHierarchy(struct.PyTreeNode):
    """A task of many labels.

    Attributes:
      levels: from the lowest.
      num_inputs: bits of the input, at each location.
      lattice: sides of the ring or grid; () for none.
      radius: of the windows.
    """

    levels: tuple[LabelLevel, ...]
    num_inputs: int = struct.field(pytree_node=False)
    lattice: tuple[int, ...] = struct.field(pytree_node=False, default=())
    radius: int = struct.field(pytree_node=False, default=0)

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Labels of each level, at each location."""
        return tuple(level.num_labels for level in self.levels)

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws examples; those of a smaller n are the first of a larger one.

        Args:
          key: typed PRNG key.
          n: N.

        Returns:
          inputs (N, d) uniform signs, labels (N, K) of all levels and latents of each level,
          (N, d) inputs first; all float32. With a lattice (N, G, d) and so on.
        """
        inputs = draw_signs(key, n, (num_locations(self.lattice), self.num_inputs))
        nodes = [inputs, *self.nodes(inputs)]
        sizes = (self.num_inputs, *self.level_sizes)
        latents = [each[..., :size] for each, size in zip(nodes, sizes, strict=True)]
        if not self.lattice:
            latents = [each[:, 0] for each in latents]
        return Batch(latents[0], jnp.concatenate(latents[1:], axis=-1), tuple(latents))

    def nodes(self, inputs: Float[Array, "N G d"]) -> list[Float[Array, "N G _"]]:
        """(N, G, n) signs of the nodes of each level, labels or not, from inputs (N, G, d)."""
        table = window_table(self.lattice, self.radius)
        below, nodes = inputs, []
        for level in self.levels:
            nodes.append(level.evaluate(below, table))
            below = jnp.concatenate([below, nodes[-1]], axis=-1)
        return nodes


def draw_signs(key: Key[Array, ""], n: int, shape: tuple[int, ...]) -> Float[Array, "N ..."]:
    """(n, *shape) independent uniform signs, float32; the first rows are those of a smaller n."""
    count = int(np.prod(shape))
    words = jax.random.bits(key, (n, -(-count // _WORD)), jnp.uint32)
    bits = (words[..., None] >> jnp.arange(_WORD, dtype=jnp.uint32)[None, None]) & 1
    bits = bits.reshape(n, -1)[:, :count]
    return (2.0 * bits.astype(jnp.float32) - 1).reshape(n, *shape)


def walsh_monomials(fan_in: int) -> Monomials:
    """All subsets of range(fan_in); subset number c has the elements that are bits of c."""
    return tuple(tuple(j for j in range(fan_in) if code >> j & 1) for code in range(2**fan_in))


def walsh_coefficients(tables: Float[Array, "*nodes entries"]) -> Float[Array, "*nodes entries"]:
    """Coefficients (..., 2^f) of `walsh_monomials` that make up truth tables (..., 2^f).

    Entry c of a table is the sign where input j is +1 if bit j of c is set, and -1 elsewhere.
    """
    size = tables.shape[-1]
    codes = np.arange(size)
    # The product over a subset is -1 for an odd number of its elements that are not set.
    unset = codes[None] & ~codes[:, None]
    odd = np.array([[bin(c).count("1") % 2 for c in row] for row in unset], np.float32)
    with jax.default_matmul_precision("highest"):
        return tables @ jnp.asarray(1 - 2 * odd) / size

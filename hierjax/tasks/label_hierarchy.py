"""Labels that form a hierarchy: each the sign of a sparse polynomial of lower ones.

Such hierarchies are those of arXiv 2601.00455: every label of level 1 is a polynomial threshold
function (PTF, the sign of a polynomial) of the input, every label of level i one of the labels
and inputs below it. A learner is given all labels of an example, side by side, and is not told of
which level each of them is.

In the location form there is one copy of every label at each of G locations of a ring or grid (the
lattice), and what it depends on lies in a window around it. Without a lattice G is 1, and inputs
and labels have no axis for it.
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
"""Monomials of a polynomial of signs: for each of them the indices of its factors."""

_WORD = 32


class LabelLevel(struct.PyTreeNode):
    """The nodes of one level: sign(sum_t coefficients[t] * prod_{j in monomials[t]} parent_j).

    Attributes:
      parents: (n, f) int32, the f lower nodes that each of n nodes reads; the inputs are numbered
        first, then the nodes of one level after another.
      offsets: (n, f) int32, where in the window each of these stands; 0 without a lattice.
      coefficients: (n, T) float32, those of the monomials; no input may make the polynomial zero.
      monomials: T subsets of range(f), the empty one for a constant.
      num_labels: number of nodes that are labels, the first ones; the others are only read by
        higher levels.
    """

    parents: Array
    offsets: Array
    coefficients: Array
    monomials: Monomials = struct.field(pytree_node=False)
    num_labels: int = struct.field(pytree_node=False)

    def evaluate(
        self, below: Float[Array, "N G below"], table: Int[np.ndarray, "G window"]
    ) -> Float[Array, "N G nodes"]:
        """Evaluates the nodes of this level.

        Args:
          below: (N, G, nodes below) signs of the inputs and of all nodes of lower levels.
          table: (G, window) int, the locations of each window, from `lattice.window_table`.

        Returns:
          (N, G, n) float32 signs.
        """
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
    """A task of many labels, level by level.

    Attributes:
      levels: the levels, from the lowest.
      num_inputs: number of input bits at each location, d.
      lattice: lengths of the sides of the ring or grid; () for none.
      radius: radius of the windows, 0 without a lattice.
    """

    levels: tuple[LabelLevel, ...]
    num_inputs: int = struct.field(pytree_node=False)
    lattice: tuple[int, ...] = struct.field(pytree_node=False, default=())
    radius: int = struct.field(pytree_node=False, default=0)

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Number of labels of each level at each location, from the lowest level."""
        return tuple(level.num_labels for level in self.levels)

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws examples; those of a smaller n are the first of a larger one.

        Args:
          key: typed PRNG key.
          n: number of examples, N, static.

        Returns:
          inputs (N, d), uniform signs; labels (N, K), those of all levels from the lowest; and as
          latents the inputs and then the labels of each level; all float32. With a lattice all
          have an axis of locations, as in (N, G, d).
        """
        inputs = draw_signs(key, n, (num_locations(self.lattice), self.num_inputs))
        nodes = [inputs, *self.nodes(inputs)]
        sizes = (self.num_inputs, *self.level_sizes)
        latents = [each[..., :size] for each, size in zip(nodes, sizes, strict=True)]
        if not self.lattice:
            latents = [each[:, 0] for each in latents]
        return Batch(latents[0], jnp.concatenate(latents[1:], axis=-1), tuple(latents))

    def nodes(self, inputs: Float[Array, "N G d"]) -> list[Float[Array, "N G _"]]:
        """Evaluates all nodes, whether they are labels or not.

        Args:
          inputs: (N, G, d) signs; G is 1 without a lattice.

        Returns:
          For each level, from the lowest, (N, G, n) float32 signs of its nodes.
        """
        table = window_table(self.lattice, self.radius)
        below, nodes = inputs, []
        for level in self.levels:
            nodes.append(level.evaluate(below, table))
            below = jnp.concatenate([below, nodes[-1]], axis=-1)
        return nodes


def draw_signs(key: Key[Array, ""], n: int, shape: tuple[int, ...]) -> Float[Array, "N ..."]:
    """Draws independent uniform signs; those of a smaller n are the first of a larger one.

    Args:
      key: typed PRNG key.
      n: number of examples, N.
      shape: shape of an example.

    Returns:
      (N, *shape) float32, each entry -1 or 1.
    """
    count = int(np.prod(shape))
    words = jax.random.bits(key, (n, -(-count // _WORD)), jnp.uint32)
    bits = (words[..., None] >> jnp.arange(_WORD, dtype=jnp.uint32)[None, None]) & 1
    bits = bits.reshape(n, -1)[:, :count]
    return (2.0 * bits.astype(jnp.float32) - 1).reshape(n, *shape)


def walsh_monomials(fan_in: int) -> Monomials:
    """Lists all subsets of range(fan_in); subset number c holds j where bit j of c is set."""
    return tuple(tuple(j for j in range(fan_in) if code >> j & 1) for code in range(2**fan_in))


def walsh_coefficients(tables: Float[Array, "*nodes entries"]) -> Float[Array, "*nodes entries"]:
    """Expands truth tables in products of inputs (the Walsh transform).

    Args:
      tables: (..., 2^f) signs; entry c is the output where input j is +1 if bit j of c is set,
        and -1 if it is not.

    Returns:
      (..., 2^f) coefficients of the monomials that `walsh_monomials(f)` lists.
    """
    size = tables.shape[-1]
    codes = np.arange(size)
    # The product over a subset is -1 for an odd number of its elements that are not set.
    unset = codes[None] & ~codes[:, None]
    odd = np.array([[bin(c).count("1") % 2 for c in row] for row in unset], np.float32)
    with jax.default_matmul_precision("highest"):
        return tables @ jnp.asarray(1 - 2 * odd) / size

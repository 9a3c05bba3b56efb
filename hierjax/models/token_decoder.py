"""Scores of tokens, from what is known of the complete subtrees before them, or of all others.

Shape letters: N strings, P nodes of a level, S children of a node, E numbers of an embedding, V
symbols, W width.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hierjax.checks import one_hot, require_shape


class TokenDecoder(nn.Module):
    """Goes down the tree: what a node may be follows from its parent and its siblings before it.

    The complete subtrees before a token that are not part of a larger one are the siblings before
    each node on the path from the root to the token, so it is told all that is known of what is
    before it, and nothing of what is not. With the siblings on both sides it is told of all tokens
    but itself. Weights are shared by the nodes of a level, as the rules of a grammar are.

    Attributes:
      branching: numbers of children of the nodes on the way, root side first; the last ones are the
        tokens.
      sizes: numbers of an embedding of the nodes of each level on the way but the first, whose
        nodes are told nothing, and the tokens.
      num_blocks: number of nodes of the first level.
      num_tokens: number of symbols of strings, V.
      width: number of features of a node, W.
      both: whether a node is told its siblings on both sides, or those before it alone.
    """

    branching: tuple[int, ...]
    sizes: tuple[int, ...]
    num_blocks: int
    num_tokens: int
    width: int = 128
    both: bool = False

    @nn.compact
    def __call__(self, rows: Float[Array, "N F"]) -> Float[Array, "N d V"]:
        """Returns scores (N, d, V) of every token.

        Args:
          rows: (N, F) embeddings of all nodes, a level after the other and root side first, and
            then the d tokens.

        Raises:
          ValueError: the rows are of another length.
        """
        blocks = self.param("blocks", nn.initializers.normal(0.1), (self.num_blocks, self.width))
        hidden = jnp.broadcast_to(blocks[None], (rows.shape[0], *blocks.shape))
        for size, values in zip(self.branching, self._levels(rows), strict=True):
            hidden = _Children(size, self.width, self.both)(hidden, values)
        return nn.Dense(self.num_tokens)(hidden)

    def _levels(self, rows: Float[Array, "N F"]) -> Sequence[Float[Array, "N P E"]]:
        """Returns the embeddings of the nodes of each level, indicators of the tokens last."""
        nodes = [
            self.num_blocks * math.prod(self.branching[: depth + 1])
            for depth in range(len(self.branching))
        ]
        lengths = [count * size for count, size in zip(nodes, (*self.sizes, 1), strict=True)]
        require_shape("inputs", rows, (None, sum(lengths)), "give embeddings of all nodes")
        parts = jnp.split(rows, [sum(lengths[:end]) for end in range(1, len(lengths))], axis=1)
        tokens = one_hot(parts.pop().astype(jnp.int32), self.num_tokens)
        found = [
            part.reshape(part.shape[0], count, -1)
            for part, count in zip(parts, nodes[:-1], strict=True)
        ]
        return [*found, tokens]


class _Children(nn.Module):
    """Features of the children of nodes, of which each is told its siblings, see `TokenDecoder`."""

    branching: int
    width: int
    both: bool

    @nn.compact
    def __call__(
        self, parents: Float[Array, "N P W"], values: Float[Array, "N PS E"]
    ) -> Float[Array, "N PS W"]:
        size, width = self.branching, self.width
        siblings = values.reshape(*parents.shape[:2], size, -1)
        init = nn.initializers.he_normal(in_axis=(1, 2), out_axis=3, batch_axis=(0,))
        kernel = self.param("siblings", init, (size, size, siblings.shape[-1], width))
        seen = 1 - jnp.eye(size) if self.both else jnp.tri(size, k=-1)
        told = jnp.einsum("npse,csew->npcw", siblings, kernel * seen[:, :, None, None])
        units = nn.Dense(size * width, name="parents")(nn.LayerNorm()(parents))
        units = nn.relu(units.reshape(told.shape) + told)
        units = nn.relu(nn.Dense(width, name="second")(units))
        return units.reshape(parents.shape[0], -1, width)

"""A transformer on strings of symbols, that sees what is before a position or all of the string.

Shape letters: N strings, T positions, V symbols, W width, H heads, K = W/H width of a head.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Integer

from hierjax.checks import one_hot, require_shape
from hierjax.models.products import contract

_MLP_FACTOR = 4
_EMBEDDING_SCALE = 0.3

POSITIONS = ("learned", "number")
"""How positions enter a transformer: by features learned for each, or as one number."""


class TransformerBlock(nn.Module):
    """Attention and then a layer of hidden units, each added to its inputs, which are normalized.

    Attributes:
      width: number of features of a position, W.
      num_heads: number of heads, H, which divides the width.
      causal: whether a position sees itself and those before it alone.
      precision: type of what dense layers multiply, one of `PRECISIONS`; attention is float32.
    """

    width: int
    num_heads: int
    causal: bool
    precision: str = "float32"

    def setup(self):
        dense = functools.partial(nn.Dense, dot_general=self._dot(True))
        dense_back = functools.partial(nn.Dense, self.width, dot_general=self._dot(False))
        self.before_attention, self.before_units = nn.LayerNorm(), nn.LayerNorm()
        self.attention_first, self.attention_second = dense(3 * self.width), dense_back()
        self.first, self.second = dense(_MLP_FACTOR * self.width), dense_back()

    def __call__(self, hidden: Float[Array, "N T W"]) -> Float[Array, "N T W"]:
        """Returns (N, T, W), of hidden (N, T, W)."""
        weights, values = self._attend(hidden)
        mixed = jnp.einsum("nhts,nhsk->nhtk", weights, values)
        hidden = hidden + self.attention_second(mixed.swapaxes(1, 2).reshape(hidden.shape))
        return hidden + self.second(nn.gelu(self.first(self.before_units(hidden))))

    def attention(self, hidden: Float[Array, "N T W"]) -> Float[Array, "N H T T"]:
        """Returns what each position attends to, [string, head, position, seen], rows sum to 1."""
        return self._attend(hidden)[0]

    def _attend(
        self, hidden: Float[Array, "N T W"]
    ) -> tuple[Float[Array, "N H T T"], Float[Array, "N H T K"]]:
        """Returns the weights of attention, and the values that they are weights of."""
        projected = self.attention_first(self.before_attention(hidden))
        num_strings, length, _ = projected.shape
        heads = projected.reshape(num_strings, length, 3, self.num_heads, -1)
        queries, keys, values = heads.transpose(2, 0, 3, 1, 4)
        scores = jnp.einsum("nhtk,nhsk->nhts", queries, keys) / heads.shape[-1] ** 0.5
        if self.causal:
            ahead = jnp.arange(length)[None] > jnp.arange(length)[:, None]
            scores = jnp.where(ahead[None, None], -jnp.inf, scores)
        return jax.nn.softmax(scores), values

    def _dot(self, divides_outputs: bool):
        return lambda inputs, kernel, *_, **__: contract(
            inputs, kernel, self.precision, divides_outputs
        )


class Transformer(nn.Module):
    """Scores of a token at every position of a string.

    Attributes:
      num_inputs: number of symbols that strings are made of, marks of their beginning or of what is
        erased included.
      num_outputs: number of symbols that are scored, V.
      length: largest number of positions, T.
      width: number of features of a position, W.
      num_blocks: number of blocks.
      num_heads: number of heads of each block, which divides the width.
      causal: whether a position sees itself and those before it alone.
      precision: type of what dense layers multiply, one of `PRECISIONS`; parameters, sums and
        scores are float32.
      remat: whether the derivative computes blocks anew, in place of keeping all that they made.
      positions: how positions enter, one of `POSITIONS`: by "learned" features of each of T
        positions, which strings then fill; or as the "number" i/T, one input more, so that strings
        may be shorter, and longer than any that was trained on (arXiv 2105.11115, Section 5).
      spans: for each block the number of neighbouring positions that see each other, and no others:
        the string is cut into spans; None where all positions do.

    Raises:
      ValueError: the heads do not divide the width, there are no such positions, or there are not
        as many spans as blocks, each of which divides the length.
    """

    num_inputs: int
    num_outputs: int
    length: int
    width: int = 64
    num_blocks: int = 3
    num_heads: int = 4
    causal: bool = True
    precision: str = "float32"
    remat: bool = False
    positions: str = "learned"
    spans: tuple[int, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.width % self.num_heads:
            raise ValueError(
                f"width={self.width} cannot be divided between num_heads={self.num_heads}: make it "
                f"a multiple of {self.num_heads}"
            )
        if self.positions not in POSITIONS:
            raise ValueError(f"positions={self.positions!r} must be one of {', '.join(POSITIONS)}")
        spans = (self.length,) * self.num_blocks if self.spans is None else self.spans
        divide = all(span > 0 and self.length % span == 0 for span in spans)
        if len(spans) != self.num_blocks or not divide:
            raise ValueError(
                f"spans={spans} must be num_blocks={self.num_blocks} numbers, that each divide "
                f"length={self.length}"
            )

    @property
    def num_layers(self) -> int:
        """Number of blocks."""
        return self.num_blocks

    def setup(self):
        scale = nn.initializers.normal(_EMBEDDING_SCALE)
        self.tokens = nn.Dense(self.width, use_bias=False, kernel_init=scale)
        rows = self.length if self.positions == "learned" else 1
        self.places = self.param("positions", scale, (rows, self.width))
        block = nn.remat(TransformerBlock) if self.remat else TransformerBlock
        self.layers = [
            block(self.width, self.num_heads, self.causal, self.precision)
            for _ in range(self.num_blocks)
        ]
        self.norm = nn.LayerNorm()
        self.head = nn.Dense(self.num_outputs)

    def embed(self, tokens: Integer[Array, "N T"]) -> Float[Array, "N T W"]:
        """Returns the features (N, T, W) of strings (N, T) of integers and of their positions.

        Raises:
          ValueError: the strings are of another length, or longer than there are positions, are not
            of integers, or known and not below `num_inputs`; where they are not known, features of
            such a symbol are NaN.
        """
        learned = self.positions == "learned"
        shape = (None, self.length if learned else None)
        require_shape("inputs", tokens, shape, "give strings (N, T) of symbols")
        length = tokens.shape[1]
        if length > self.length:
            raise ValueError(
                f"strings have {length} tokens, but the model has length={self.length} positions: "
                "cut them, or train a longer model"
            )
        places = self.places
        if not learned:
            places = (jnp.arange(length) / self.length)[:, None] * places
        return self.tokens(one_hot(tokens, self.num_inputs)) + places[None]

    def layer(self, hidden: Float[Array, "N T W"], index: int) -> Float[Array, "N T W"]:
        """Applies block `index`, from 0, to features (N, T, W)."""
        return self.layers[index](self._cut(hidden, index)).reshape(hidden.shape)

    def _cut(self, hidden: Float[Array, "N T W"], index: int) -> Float[Array, "X Y W"]:
        """Cuts strings into the spans that block `index` sees."""
        span = hidden.shape[1] if self.spans is None else self.spans[index]
        return hidden.reshape(-1, span, self.width)

    def attention(self, tokens: Integer[Array, "N T"]) -> list[Float[Array, "_ H _ _"]]:
        """Returns the weights of attention of every block on strings (N, T) of integers.

        They are [string, head, position, position that is seen] for each block, first block first,
        and sum to 1 over what is seen; of a block that sees spans there are as many rows as spans.
        Errors are those of `embed`.
        """
        hidden, found = self.embed(tokens), []
        for index, block in enumerate(self.layers):
            found.append(block.attention(self._cut(hidden, index)))
            hidden = self.layer(hidden, index)
        return found

    def readout(self, hidden: Float[Array, "N T W"]) -> Float[Array, "N T V"]:
        """Returns the scores (N, T, V) that features (N, T, W) make."""
        return self.head(self.norm(hidden))

    def __call__(self, tokens: Integer[Array, "N T"]) -> Float[Array, "N T V"]:
        """Returns scores (N, T, V) of strings (N, T) of integers; errors are those of `embed`."""
        hidden = self.embed(tokens)
        for index in range(self.num_blocks):
            hidden = self.layer(hidden, index)
        return self.readout(hidden)

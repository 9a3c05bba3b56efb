"""An encoder and decoder matched to a tree: up to the root, and back to every leaf.

Shape letters: N strings, d leaves, V symbols, P nodes of a level, S branching, W width, T steps of
noise.
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Integer

from hierjax.checks import one_hot, require_shape
from hierjax.models.activations import ACTIVATIONS
from hierjax.models.conv_stack import PatchConv, merge_patches

State = tuple[Array, ...]


class TreeDenoiser(nn.Module):
    """Scores of the token at each leaf, given what is seen of all leaves.

    On the way up a node's features are made of those of its children; on the way down, of those of
    its parent, and of those that all children of the parent had on the way up. So does evidence
    travel in exact inference (arXiv 2404.18444).

    With steps of noise, strings have the number of theirs in front, as those of
    `hierjax.tasks.Diffusion` do, and every layer knows it. Without, they may be those of
    `hierjax.tasks.masked_tokens`.

    Attributes:
      branching: patch size of each level, leaves up; their product is the number of leaves, d.
      num_symbols: number of symbols of strings, V; the symbol V stands for an erased one.
      num_steps: number of steps of noise, T; 0 for strings with no number in front.
      width: number of features of a node on each way, W.
      activation: one of `ACTIVATIONS`.
      precision: type of the features, and of what is multiplied, one of `PRECISIONS`; parameters,
        sums and scores are float32.
      remat: whether the derivative computes layers anew, in place of keeping all that they made.
    """

    branching: tuple[int, ...]
    num_symbols: int
    num_steps: int = 0
    width: int = 128
    activation: str = "relu"
    precision: str = "float32"
    remat: bool = False

    @property
    def num_layers(self) -> int:
        """Number of layers: L up, then L down."""
        return 2 * len(self.branching)

    def setup(self):
        up = [PatchConv(self.width, size, precision=self.precision) for size in self.branching]
        down = [
            PatchConv(size * self.width, 1, precision=self.precision)
            for size in reversed(self.branching)
        ]
        self.layers = up + down
        if self.num_steps:
            self.steps = [nn.Dense(self.width, use_bias=False) for _ in self.layers]
        self.head = nn.Dense(self.num_symbols)

    def embed(self, tokens: Integer[Array, "N T"]) -> State:
        """Returns the state before the first layer, of strings of integers.

        Args:
          tokens: (N, d), or (N, 1 + d) with numbers of steps, V + 1 for the first, in front.

        Returns:
          One-hot steps (N, T), T = 0 if there are none, and one-hot leaves (N, d, V + 1).

        Raises:
          ValueError: the strings are of another length, are not of integers, or known and out of
            range.
        """
        length = math.prod(self.branching) + (self.num_steps > 0)
        remedy = "give strings (N, d), with the number of their step in front if there are steps"
        require_shape("inputs", tokens, (None, length), remedy)
        leaves = one_hot(tokens[:, length - math.prod(self.branching) :], self.num_symbols + 1)
        if not self.num_steps:
            return jnp.zeros((tokens.shape[0], 0)), leaves
        steps = tokens[:, 0].astype(jnp.int32) - self.num_symbols - 1
        return one_hot(steps, self.num_steps, "numbers in front less V + 1", "steps"), leaves

    def layer(self, state: State, index: int) -> State:
        """Adds to the state so far what layer `index`, 0 at the leaves, makes: (N, P, W)."""
        depth, hidden = len(self.branching), state[-1]
        if index >= depth:
            size = self.branching[2 * depth - 1 - index]
            children = merge_patches(state[2 * depth - index], size)
            hidden = jnp.concatenate([hidden, children.astype(hidden.dtype)], axis=-1)
        sums = self.layers[index](hidden).reshape(hidden.shape[0], -1, self.width)
        if self.num_steps:
            sums += self.steps[index](state[0])[:, None]
        return (*state, ACTIVATIONS[self.activation](sums).astype(self.precision))

    def readout(self, state: State) -> Float[Array, "N T V"]:
        """Returns scores (N, d, V), of what the last layer made; with steps (N, 1 + d, V)."""
        scores = self.head(state[-1].astype(jnp.float32))
        return jnp.pad(scores, ((0, 0), (int(self.num_steps > 0), 0), (0, 0)))

    def __call__(self, tokens: Integer[Array, "N T"]) -> Float[Array, "N T V"]:
        """Returns scores of all tokens of strings; arguments and errors are those of `embed`.

        Returns:
          (N, d, V) scores; with steps (N, 1 + d, V), zeros where the number of the step is.
        """
        state = self.embed(tokens)
        layer = TreeDenoiser.layer
        if self.remat:
            layer = nn.remat(layer, static_argnums=2)
        for index in range(self.num_layers):
            state = layer(self, state, index)
        return self.readout(state)

"""Residual stacks whose stream carries the input and an estimate of every label.

The stream is the input x beside the estimates z of K labels. A block adds second(act(first [x, z,
1])) to the estimates (arXiv 2601.00455). Its first weights are random and stay so: "beta-Xavier",
a law reconstructed from its name, or units that read few numbers each.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from hierjax.models.activations import ACTIVATIONS
from hierjax.models.products import contract
from hierjax.sharding import divide_hidden
from hierjax.tasks.lattice import check_lattice, gather_windows, window_size

_MAX_LISTED = 2**20


def beta_xavier(beta: float) -> nn.initializers.Initializer:
    """Returns an initializer of matrices (D + 1, W), the last row of which is the biases.

    Entries are drawn from N(0, (1 - beta^2) / D), and from N(0, beta^2) in the last row.
    """

    def init(key, shape, dtype=jnp.float32):
        num_inputs = shape[0] - 1
        scales = np.full(shape[0], math.sqrt((1 - beta**2) / num_inputs))
        scales[-1] = beta
        return jax.random.normal(key, shape, dtype) * scales[:, None].astype(dtype)

    return init


def sparse_rows(fan_in: int) -> nn.initializers.Initializer:
    """Returns an initializer of matrices (D + 1, W) with `fan_in` entries in each column.

    Every unit, a column, reads `fan_in` of the D inputs and the constant; entries are random signs
    over sqrt(fan_in). Units read different sets while there are any, so that with fan_in = 2 and
    W = D(D + 1) / 2 they read all pairs, each of them once; beyond 2^20 sets they are drawn
    independently. On signs u^2 - 1 of a pair is their product, up to sign: quadratic units are
    then the monomials of degree 1 and 2, and uncorrelated on uniform inputs.
    """

    def init(key, shape, dtype=jnp.float32):
        size, width = shape
        sets_key, signs_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        if math.comb(size, fan_in) <= _MAX_LISTED:
            sets = np.array(list(itertools.combinations(range(size), fan_in)), np.int32)
            order = jax.random.permutation(sets_key, len(sets))
            sets = jnp.asarray(sets)[jnp.resize(order, (width,))]
        else:
            sets = jax.vmap(lambda k: jax.random.choice(k, size, (fan_in,), replace=False))(
                jax.random.split(sets_key, width)
            )
        signs = jax.random.rademacher(signs_key, (width, fan_in), dtype) / math.sqrt(fan_in)
        return jnp.zeros(shape, dtype).at[sets, jnp.arange(width)[:, None]].set(signs)

    return init


class RandomUnits(nn.Module):
    """The hidden units of a block, on random weights that are not trained.

    Attributes:
      width: number of units, W.
      activation: one of `ACTIVATIONS`.
      fan_in: number of inputs that a unit reads, see `sparse_rows`; None for all of them, see
        `beta_xavier`.
      beta: scale of the biases where a unit reads all inputs.
      precision: type of the units and of what they multiply, one of `PRECISIONS`.
    """

    width: int
    activation: str
    fan_in: int | None
    beta: float
    precision: str = "float32"

    @nn.compact
    def __call__(self, inputs: Float[Array, "*N D"]) -> Float[Array, "*N W"]:
        """Returns the units (..., W) of inputs (..., D)."""
        init = beta_xavier(self.beta) if self.fan_in is None else sparse_rows(self.fan_in)
        kernel = self.param("kernel", init, (inputs.shape[-1] + 1, self.width))
        bias = kernel[-1].reshape((1,) * (inputs.ndim - 1) + (-1,))
        sums = contract(inputs, kernel[:-1], self.precision)
        units = ACTIVATIONS[self.activation](sums + bias).astype(self.precision)
        return divide_hidden(units, divides_outputs=True)


class ResidualBlock(nn.Module):
    """One block of a `ResidualStack`; it starts as the identity.

    Attributes:
      num_labels: number of labels that are estimated, K.
      width: number of hidden units, W.
      activation: one of `ACTIVATIONS`.
      fan_in: number of inputs that a unit reads; None for all of them.
      beta: scale of the biases where a unit reads all inputs.
      lattice: lengths of the sides of a ring or grid; () for none.
      radius: radius of the window that a location sees.
      clip: whether estimates are clipped to [-1, 1].
      precision: type of the units, see `ResidualStack`.
    """

    num_labels: int
    width: int
    activation: str
    fan_in: int | None
    beta: float
    lattice: tuple[int, ...]
    radius: int
    clip: bool
    precision: str = "float32"

    def setup(self):
        self.first = RandomUnits(
            self.width, self.activation, self.fan_in, self.beta, self.precision
        )

        def dot(units, kernel, *_, **__):
            return contract(units, kernel, self.precision, divides_outputs=False)

        self.second = nn.Dense(self.num_labels, kernel_init=nn.initializers.zeros, dot_general=dot)

    def __call__(self, stream: Float[Array, "*N D"]) -> Float[Array, "*N D"]:
        """Returns the stream (..., d + K) with its estimates corrected."""
        inputs, estimates = stream[..., : -self.num_labels], stream[..., -self.num_labels :]
        estimates += self.second(self.first(gather_windows(stream, self.lattice, self.radius)))
        if self.clip:
            estimates = jnp.clip(estimates, -1, 1)
        return jnp.concatenate([inputs, estimates], axis=-1)


class ResidualStack(nn.Module):
    """Blocks one above another, from inputs (N, d) to estimates (N, K) of all labels.

    In the location form inputs are (N, G, d), estimates (N, G, K), and weights are shared by all
    locations, each of which sees a window.

    Attributes:
      num_labels: number of labels, K.
      num_blocks: number of blocks, B.
      width: number of hidden units of a block, W.
      activation: one of `ACTIVATIONS`.
      fan_in: number of inputs that a unit reads, see `sparse_rows`; None for all of them, see
        `beta_xavier`.
      beta: scale of the biases where a unit reads all inputs, see `beta_xavier`.
      lattice: lengths of the sides of a ring or grid; () for none.
      radius: radius of the window that a location sees.
      clip: whether estimates are clipped to [-1, 1] after every block.
      precision: type of the units and of what they multiply, one of `PRECISIONS`; parameters, sums
        and the stream are float32.
    """

    num_labels: int
    num_blocks: int
    width: int
    activation: str = "quadratic"
    fan_in: int | None = 2
    beta: float = 0.5
    lattice: tuple[int, ...] = ()
    radius: int = 0
    clip: bool = True
    precision: str = "float32"

    @property
    def num_layers(self) -> int:
        """Number of layers that can be trained one by one, the blocks."""
        return self.num_blocks

    def setup(self):
        self.blocks = [
            ResidualBlock(
                self.num_labels,
                self.width,
                self.activation,
                self.fan_in,
                self.beta,
                self.lattice,
                self.radius,
                self.clip,
                self.precision,
            )
            for _ in range(self.num_blocks)
        ]

    def embed(self, inputs: Float[Array, "*N d"]) -> Float[Array, "*N D"]:
        """Returns the stream (..., d + K) of inputs (..., d), all estimates zero."""
        estimates = jnp.zeros((*inputs.shape[:-1], self.num_labels))
        return jnp.concatenate([inputs, estimates], axis=-1)

    def layer(self, stream: Float[Array, "*N D"], index: int) -> Float[Array, "*N D"]:
        """Returns the stream (..., d + K) after block `index`, from 0."""
        return self.blocks[index](stream)

    def readout(self, stream: Float[Array, "*N D"]) -> Float[Array, "*N K"]:
        """Returns the estimates (..., K) that the stream (..., d + K) carries."""
        return stream[..., -self.num_labels :]

    def __call__(self, inputs: Float[Array, "*N d"]) -> Float[Array, "*N K"]:
        """Returns estimates (..., K) of all labels of inputs (..., d) after the last block."""
        stream = self.embed(inputs)
        for index in range(self.num_blocks):
            stream = self.layer(stream, index)
        return self.readout(stream)


def check_stack(num_inputs: int, stack: ResidualStack) -> None:
    """Refuses a stack whose attributes are out of bounds.

    Args:
      num_inputs: number of inputs at each location, d.
      stack: the stack.

    Raises:
      ValueError: an attribute is out of bounds, or does not suit so many inputs.
    """
    check_lattice(stack.lattice, stack.radius)
    for name in ("num_blocks", "width"):
        if getattr(stack, name) < 1:
            raise ValueError(f"{name}={getattr(stack, name)} must be at least 1")
    reach = window_size(stack.lattice, stack.radius) * (num_inputs + stack.num_labels) + 1
    if stack.fan_in is not None and not 1 <= stack.fan_in <= reach:
        raise ValueError(
            f"fan_in={stack.fan_in} must be from 1 to {reach}, the numbers that a unit can read"
        )
    if not 0 <= stack.beta < 1:
        raise ValueError(f"beta={stack.beta} must be at least 0 and below 1")

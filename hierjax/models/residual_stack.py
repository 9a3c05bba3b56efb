"""Residual stacks whose stream carries the input and an estimate of every label.

A block adds second(act(first [x, z, 1])) to the estimates z (arXiv 2601.00455). Its first weights
are random: "beta-Xavier", a law reconstructed from its name, or rows with few entries.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from hierjax.models.activations import ACTIVATIONS
from hierjax.tasks.lattice import check_lattice, gather_windows, window_size

_MAX_LISTED = 2**20


def beta_xavier(beta: float) -> nn.initializers.Initializer:
    """Entries N(0, (1 - beta^2) / N) of a matrix (N + 1, W), and N(0, beta^2) in its last row."""

    def init(key, shape, dtype=jnp.float32):
        num_inputs = shape[0] - 1
        scales = np.full(shape[0], math.sqrt((1 - beta**2) / num_inputs))
        scales[-1] = beta
        return jax.random.normal(key, shape, dtype) * scales[:, None].astype(dtype)

    return init


def sparse_rows(fan_in: int) -> nn.initializers.Initializer:
    """Every unit, a column of (N + 1, W), reads `fan_in` of the inputs and the constant.

    Entries are random signs over sqrt(fan_in). Units read different sets while there are any, so
    that with fan_in = 2 and W = N(N + 1) / 2 they read all pairs, each of them once; beyond 2^20
    sets they are drawn independently. On signs u^2 - 1 of a pair is their product, up to sign:
    quadratic units are then the monomials of degree 1 and 2, and uncorrelated on uniform inputs.
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
    """Units on random first weights: (..., N) to (..., W); attributes as of `ResidualStack`."""

    width: int
    activation: str
    fan_in: int | None
    beta: float

    @nn.compact
    def __call__(self, inputs: Float[Array, "*N D"]) -> Float[Array, "*N W"]:
        init = beta_xavier(self.beta) if self.fan_in is None else sparse_rows(self.fan_in)
        kernel = self.param("kernel", init, (inputs.shape[-1] + 1, self.width))
        bias = kernel[-1].reshape((1,) * (inputs.ndim - 1) + (-1,))
        return ACTIVATIONS[self.activation](inputs @ kernel[:-1] + bias)


class ResidualBlock(nn.Module):
    """One block of a `ResidualStack`, whose attributes it shares; it starts as the identity."""

    num_labels: int
    width: int
    activation: str
    fan_in: int | None
    beta: float
    lattice: tuple[int, ...]
    radius: int
    clip: bool

    def setup(self):
        self.first = RandomUnits(self.width, self.activation, self.fan_in, self.beta)
        self.second = nn.Dense(self.num_labels, kernel_init=nn.initializers.zeros)

    def __call__(self, stream: Float[Array, "*N D"]) -> Float[Array, "*N D"]:
        """The stream (..., d + K), its estimates corrected."""
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
      num_labels: K.
      num_blocks: B.
      width: units of a block, W.
      activation: one of `ACTIVATIONS`.
      fan_in: inputs that a unit reads, see `sparse_rows`; None for all, see `beta_xavier`.
      beta: of beta-Xavier.
      lattice: sides of a ring or grid; () for none.
      radius: of a window.
      clip: whether estimates are clipped to [-1, 1] after every block.
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

    @property
    def num_layers(self) -> int:
        """B."""
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
            )
            for _ in range(self.num_blocks)
        ]

    def embed(self, inputs: Float[Array, "*N d"]) -> Float[Array, "*N D"]:
        """The stream (..., d + K), all estimates zero."""
        estimates = jnp.zeros((*inputs.shape[:-1], self.num_labels))
        return jnp.concatenate([inputs, estimates], axis=-1)

    def layer(self, stream: Float[Array, "*N D"], index: int) -> Float[Array, "*N D"]:
        """The stream after block `index`, from 0."""
        return self.blocks[index](stream)

    def readout(self, stream: Float[Array, "*N D"]) -> Float[Array, "*N K"]:
        """The estimates (..., K)."""
        return stream[..., -self.num_labels :]

    def __call__(self, inputs: Float[Array, "*N d"]) -> Float[Array, "*N K"]:
        """Estimates of all labels after the last block."""
        stream = self.embed(inputs)
        for index in range(self.num_blocks):
            stream = self.layer(stream, index)
        return self.readout(stream)


def check_stack(num_inputs: int, stack: ResidualStack) -> None:
    """Asserts that a stack can be made for inputs of so many numbers, at each location.

    Raises:
      ValueError: an attribute is out of bounds.
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

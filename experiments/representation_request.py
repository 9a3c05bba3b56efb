"""What a run on neural representations is asked for."""

import dataclasses

import jax
import numpy as np
from absl import flags
from flax import struct

from hierjax import (
    Batch,
    PolynomialSpec,
    draw_low_rank_polynomial,
    free_memory,
    gram_bytes,
    seed_chunks,
    seed_mesh,
)

LEAST_TRAIN = 16


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for; fixes the result up to rounding.

    Attributes:
      task: sizes of the targets.
      num_train: examples, n, ascending; smaller train sets are the first of larger ones.
      learners: names.
      representation: one of `REPRESENTATIONS`.
      width: its units, D.
      num_directions: that are whitened, E.
      num_steps: most steps of each fit of a quadratic model.
      dtype: of the kernel machines.
      num_test: fresh examples on which errors are measured.
      num_seeds: each draws its own target, data and weights.
      seed: of everything random.
    """

    task: PolynomialSpec
    num_train: tuple[int, ...]
    learners: tuple[str, ...]
    representation: str
    width: int
    num_directions: int
    num_steps: int
    dtype: str
    num_test: int
    num_seeds: int
    seed: int


def direction_count(input_dim: int) -> int:
    """Monomials of degree 2 and less: a representation by quadratics has no more directions."""
    return 1 + input_dim + input_dim * (input_dim + 1) // 2


class SeedData(struct.PyTreeNode):
    """What the learners of a seed share.

    Attributes:
      train: as many examples as the largest train set has.
      test: fresh examples.
    """

    train: Batch
    test: Batch


def draw_data(key: jax.Array, request: Request) -> SeedData:
    """Draws the target of a seed, and all examples of it."""
    task = draw_low_rank_polynomial(jax.random.fold_in(key, 0), request.task)
    test = task.sample(jax.random.fold_in(key, 1), request.num_test)
    train = task.sample(jax.random.fold_in(key, 2), request.num_train[-1])
    return SeedData(train.replace(latents=()), test)


def require_memory(request: Request) -> None:
    """Asserts that the seeds which are worked on at once have room.

    Raises:
      ValueError: they have not.
    """
    lanes = next(seed_chunks(request.num_seeds, seed_mesh(flags.FLAGS.num_devices)))[0].size
    needed, free = lanes * _bytes_of_a_seed(request), free_memory()
    if needed > free:
        raise ValueError(
            f"num_train={request.num_train[-1]}, num_test={request.num_test} and "
            f"width={request.width} need {needed / 2**30:.1f} GiB for {lanes} seeds at once, and "
            f"{free / 2**30:.1f} GiB are free: lower one of them, set --num_devices 1, or leave "
            "out kernel machines (--learners quad_raw,quad_rep), which hold their Gram matrices "
            "whole"
        )


def _bytes_of_a_seed(request: Request) -> int:
    """The largest of what the learners hold, Gram matrices or features, and the data."""
    most, rows = request.num_train[-1], request.num_train[-1] + request.num_test
    size = np.dtype(request.dtype).itemsize
    gram = gram_bytes(most, request.dtype) + 2 * size * most * request.num_test
    smaller = min(most, request.width)
    features = 4 * (2 * rows * request.width + 4 * smaller**2)
    data = 8 * rows * (request.task.input_dim + request.task.degree + 2)
    return data + max(
        gram if any(name.startswith("ntk") for name in request.learners) else 0,
        features if any(name.endswith("rep") for name in request.learners) else 0,
    )

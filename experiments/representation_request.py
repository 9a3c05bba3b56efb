"""What a run on neural representations is asked for."""

import dataclasses

import jax
from flax import struct

from experiments import cli
from hierjax import Batch, PolynomialSpec, draw_low_rank_polynomial, gram_bytes


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
    """Asserts that the kernel matrices have room, which are held whole.

    Raises:
      ValueError: they have not.
    """
    if not any(name.startswith("ntk") for name in request.learners):
        return
    lanes = min(cli.num_devices(), request.num_seeds)
    needed = lanes * gram_bytes(request.num_train[-1], request.dtype)
    free = cli.free_memory()
    if needed > free:
        raise ValueError(
            f"num_train={request.num_train[-1]} needs {needed / 2**30:.1f} GiB for the kernel "
            f"matrices of {lanes} seeds at once, and {free / 2**30:.1f} GiB are free: lower it, "
            "set --num_devices 1, or train --learners quad_raw,quad_rep alone; "
            "hierjax.empirical_ntk computes an NTK in blocks"
        )

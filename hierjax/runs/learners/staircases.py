"""Staircases and parities, and the residual network that learns them (arXiv 2108.10573)."""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array

from hierjax.models import ResidualNet
from hierjax.settings import Config, setting
from hierjax.tasks import Batch, CubePolynomial, make_split, parity, staircase
from hierjax.train import OPTIMIZERS, SQUARED, Descent

_MOST_NUMBERS = 2**25


@dataclasses.dataclass(frozen=True, kw_only=True)
class StaircaseSettings(Config):
    """The inputs, and how a residual network is trained on them.

    Attributes:
      num_inputs: number of inputs, signs, d.
      num_blocks: blocks of the residual network.
      layers_per_block: layers in each block of the residual network, 2 for
        h + second(relu(first(h))), 1 for h + relu(first(h)) and a relu after the embedding.
      width: width of the residual network that is trained end to end.
      optimizer: optimizer of all networks.
      learning_rate: learning rate at the first step.
      batch_size: examples of each step.
      num_test: examples on which errors are measured, which no network was trained on.

    Raises:
      ValueError: an unknown name, or a number out of bounds.
    """

    num_inputs: int = setting(30, least=1, most=2**12)
    num_blocks: int = setting(4, least=1, most=2**6)
    layers_per_block: int = setting(2, least=1, most=2)
    width: int = setting(64, least=1, most=2**14)
    optimizer: str = setting("adam", choices=OPTIMIZERS)
    learning_rate: float = setting(2e-3, above=0)
    batch_size: int = setting(128, least=1, most=2**16)
    num_test: int = setting(8192, least=1, most=2**22)

    def targets(self, degree: int, second_degree: int = 1) -> dict[str, CubePolynomial]:
        """Makes the targets, by name: a staircase, which may be a double one, and a parity.

        Args:
          degree: degree of both.
          second_degree: degree of the second staircase, 1 for none.

        Raises:
          ValueError: a degree is not positive, or there are fewer inputs than terms.
        """
        return {
            "staircase": staircase(self.num_inputs, degree, second_degree),
            "parity": parity(self.num_inputs, degree),
        }

    def module(self, width: int) -> ResidualNet:
        """Makes the residual network of a width."""
        return ResidualNet(1, self.num_blocks, width, self.layers_per_block)

    def descent(
        self, schedule: Callable[[Array], Array | optax.Schedule], num_steps: int, **more
    ) -> Descent:
        """Makes the descent of so many steps, which takes examples one after another.

        Args:
          schedule: learning rate at the first step -> the rate of all steps, or a schedule.
          num_steps: number of steps.
          **more: further fields of `Descent`.
        """

        def optimizer(rate: Array) -> optax.GradientTransformation:
            return OPTIMIZERS[self.optimizer](schedule(rate))

        more |= {"batch_size": self.batch_size, "in_order": True}
        return Descent(optimizer, (self.learning_rate,), num_steps, **more)

    def num_fresh(self, num_steps: int) -> int:
        """Returns how many examples are drawn for so many steps.

        Each is seen once, unless all would be more than 2^25 numbers: then they are seen over and
        over.
        """
        most = max(self.batch_size, _MOST_NUMBERS // self.num_inputs)
        return min(num_steps * self.batch_size, most)


class StaircaseData(struct.PyTreeNode):
    """What the learners of a seed share.

    Attributes:
      key: of fresh train examples, which every stage draws for itself.
      task: each target, by name; for measures, one of them.
      train: the fixed train set of each target, by name; empty without one.
      test: test examples of each target, by name; for measures, those of one target.
    """

    key: jax.Array
    task: Any
    train: dict[str, Batch]
    test: Any

    def examples(self, index: int, target: str, count: int) -> Batch:
        """Returns the train examples of a layer.

        Args:
          index: index of the layer, from 0; each has fresh examples of its own.
          target: name of the target.
          count: number of examples to draw, unless there is a fixed train set.
        """
        if self.train:
            return self.train[target]
        fresh = self.task[target].sample(jax.random.fold_in(self.key, index), count)
        return fresh.replace(latents=())

    def of(self, target: str) -> Self:
        """Returns what is measured on, of one target."""
        return self.replace(task=self.task[target], test=self.test[target])


def draw_staircases(
    key: jax.Array, tasks: dict[str, CubePolynomial], num_test: int, num_train: int | None = None
) -> StaircaseData:
    """Draws test examples, and a train set that has none of them if it is to be a fixed one.

    Args:
      key: key of a seed.
      tasks: the targets, by name; they share their inputs.
      num_test: number of test examples.
      num_train: number of examples of a fixed train set; None for fresh ones.
    """
    test_key, train_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
    train: dict[str, Batch] = {}
    test: dict[str, Batch] = {}
    for name, task in tasks.items():
        if num_train is None:
            test[name] = task.sample(test_key, num_test)
        else:
            split = make_split(task, train_key, num_train, num_test)
            train[name], test[name] = split.train.replace(latents=()), split.test
    return StaircaseData(train_key, tasks, train, test)


def relative_error(values: Array, labels: Array, task: CubePolynomial) -> Array:
    """Returns the squared error () of values (N, 1) to labels (N,), over the target's variance."""
    return jnp.mean(SQUARED.per_example(values, labels)) / task.variance

"""Learners of many labels, each declared once: they are then in every command and figure.

A learner is a function (request) -> layers, declared here under a name by
`@LABEL_LEARNERS.add(name, ...)`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Key

from hierjax.models import ACTIVATIONS
from hierjax.runs.experiment import Registry, Stack
from hierjax.settings import Config, setting
from hierjax.tasks import Batch
from hierjax.train import (
    end_to_end_label_learner,
    linear_label_learner,
    residual_layers,
    shallow_label_learner,
)


@dataclasses.dataclass(frozen=True)
class StackConfig(Config):
    """The residual stack, as far as it does not follow from the task.

    Attributes:
      num_blocks: number of blocks of the residual stack; unset: by task, at least one a level.
      width: number of units of each block, W; unset: one for every pair of inputs.
      activation: activation of the units of the residual stack.
      fan_in: number of inputs that each unit reads; 0 for all of them (beta-Xavier).

    Raises:
      ValueError: a value is not allowed, or not beside the others.
    """

    num_blocks: int = setting(None, least=1, most=2**10)
    width: int = setting(None, least=1, most=2**17)
    activation: str = setting("quadratic", choices=tuple(ACTIVATIONS))
    fan_in: int | None = setting(2, least=0)

    def __post_init__(self):
        super().__post_init__()
        if self.fan_in == 0:
            self.fill(fan_in=None)
        if self.fan_in == 1 and self.activation == "quadratic":
            raise ValueError(
                "fan_in=1 makes quadratic units of signs constant: let units read 2 or more inputs"
            )


@dataclasses.dataclass(frozen=True)
class LabelLearner:
    """A learner of many labels.

    Attributes:
      make: request -> the layers.
      few_rows: whether the learner is fitted on the first examples alone, as many as
        `LabelBaselines.most_rows` says.
    """

    make: Callable[[Any], tuple]
    few_rows: bool = False


LABEL_LEARNERS: Registry[LabelLearner] = Registry(LabelLearner, "learner")
"""Learners of many labels by name, in the order of tables and figures."""


@LABEL_LEARNERS.add("layerwise")
def layerwise(request: Any) -> tuple:
    """The residual stack, trained block by block."""
    return residual_layers(request.module, request.block)


@LABEL_LEARNERS.add("linear", few_rows=True)
def linear(request: Any) -> tuple:
    """Ridge regression on the input, or on a window of it."""
    task = request.task
    wide = (task.lattice, task.input_radius, request.tuning)
    return linear_label_learner(task.num_inputs, task.num_labels, *wide)


@LABEL_LEARNERS.add("shallow", few_rows=True)
def shallow(request: Any) -> tuple:
    """Ridge regression on random units."""
    task = request.task
    return shallow_label_learner(task.num_labels, task.lattice, task.input_radius, request.tuning)


@LABEL_LEARNERS.add("end_to_end")
def end_to_end(request: Any, last: int | None = None) -> tuple:
    """A residual stack all of whose weights are trained together."""
    task, num_train = request.task, request.num_train * request.num_sets
    size = (task.num_labels, request.stack.num_blocks, num_train, task.lattice, task.radius)
    return end_to_end_label_learner(*size, last=last, config=request.tuning)


@LABEL_LEARNERS.add("end_to_end_top")
def end_to_end_top(request: Any) -> tuple:
    """A residual stack all of whose weights are trained together, on top-level labels alone."""
    return end_to_end(request, last=request.task.labels_per_level)


class LabelData(struct.PyTreeNode):
    """The examples of a seed, which all of its learners share.

    Attributes:
      train: train examples, arrays (sets, N, ...): a set for each block, or one set if blocks
        reuse it.
      test: fresh examples to test on.
    """

    train: Batch
    test: Batch


def task_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """Returns the key with which the task of a seed is drawn, given the key of the seed."""
    return jax.random.fold_in(key, 0)


def draw_labels(key: Key[Array, ""], request: Any) -> LabelData:
    """Draws the task of a seed, and all examples of it.

    Args:
      key: typed PRNG key of the seed.
      request: request of the experiment, with `task`, `num_sets`, `num_train` and `num_test`.
    """
    task = request.task.draw(task_key(key))
    test = task.sample(jax.random.fold_in(key, 1), request.num_test)
    sets = jnp.arange(request.num_sets)
    set_keys = jax.vmap(lambda index: jax.random.fold_in(jax.random.fold_in(key, 2), index))(sets)
    train = jax.vmap(lambda key: task.sample(key, request.num_train))(set_keys)
    return LabelData(train.replace(latents=()), test)


def label_stacks(request: Any) -> dict[str, Stack]:
    """Makes the learners that a request asks for, the layerwise one first.

    A block of the layerwise learner has examples of its own, or those of the first block if they
    are reused; the other learners have the examples of all blocks together.

    Args:
      request: request of the experiment.

    Returns:
      The learners by name.
    """

    def own(data: LabelData, index: int) -> Batch:
        return jax.tree.map(lambda leaf: leaf[index if request.fresh else 0], data.train)

    def all_together(most: int | None) -> Callable[[LabelData, int], Batch]:
        def examples(data, index):
            return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:most], data.train)

        return examples

    most = request.tuning.most_rows // (request.task.num_locations or 1)
    return {
        name: Stack(
            learner.make(request),
            own if name == "layerwise" else all_together(most if learner.few_rows else None),
        )
        for name, learner in LABEL_LEARNERS.items()
        if request.baselines or name == "layerwise"
    }

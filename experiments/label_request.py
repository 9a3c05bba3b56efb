"""What a run on a label hierarchy is asked for."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from hierjax import (
    Batch,
    BlockConfig,
    BrainDump,
    BrainDumpSpec,
    LabelHierarchy,
    PTFSpec,
    ResidualStack,
    automaton,
    draw_brain_dump,
    draw_ptf_hierarchy,
    draw_reversible_hierarchy,
)


@dataclasses.dataclass(frozen=True)
class TaskRequest:
    """A family of tasks, from which each seed draws one.

    Attributes:
      kind: "cnot", "tof", "mix", "automaton", "ptf" or "brain_dump".
      num_inputs: d; 1 at each location of an automaton.
      depth: levels, r.
      labels_per_level: at each location.
      rule: of an automaton.
      num_locations: of its ring.
      ptf: of "ptf".
      brain_dump: of "brain_dump".
    """

    kind: str
    num_inputs: int
    depth: int
    labels_per_level: int
    rule: int | None = None
    num_locations: int | None = None
    ptf: PTFSpec | None = None
    brain_dump: BrainDumpSpec | None = None

    @property
    def num_labels(self) -> int:
        """K, at each location."""
        return self.depth * self.labels_per_level

    @property
    def lattice(self) -> tuple[int, ...]:
        """Of the tasks."""
        return () if self.num_locations is None else (self.num_locations,)

    @property
    def radius(self) -> int:
        """Of the window that a level depends on."""
        return 0 if self.num_locations is None else 1

    @property
    def input_radius(self) -> int:
        """Of the window of the input that the last level depends on, as far as the ring goes."""
        return 0 if self.num_locations is None else min(self.depth, (self.num_locations - 1) // 2)

    @property
    def num_bits(self) -> int:
        """Of an input, all locations together."""
        return self.num_inputs * (self.num_locations or 1)

    def draw(self, key: jax.Array) -> LabelHierarchy | BrainDump:
        """A task.

        Raises:
          ValueError: a number out of bounds.
        """
        if self.kind == "ptf":
            return draw_ptf_hierarchy(key, self.ptf)[0]
        if self.kind == "brain_dump":
            return draw_brain_dump(key, self.brain_dump)
        if self.kind == "automaton":
            return automaton(self.rule, self.num_locations, self.depth)
        return draw_reversible_hierarchy(
            key, self.kind, self.num_inputs, self.depth, self.labels_per_level
        )


@dataclasses.dataclass(frozen=True)
class StackRequest:
    """Attributes of `ResidualStack`, without those that follow from the task."""

    num_blocks: int
    width: int
    activation: str
    fan_in: int | None

    def make(self, task: TaskRequest) -> ResidualStack:
        """The module."""
        return ResidualStack(
            num_labels=task.num_labels,
            lattice=task.lattice,
            radius=task.radius,
            **dataclasses.asdict(self),
        )


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for; fixes the result up to rounding.

    Attributes:
      task: family of tasks.
      stack: that is trained block by block.
      block: how.
      num_train: examples of each block, n.
      fresh: whether each block has examples of its own.
      num_test: examples on which accuracies are measured.
      num_seeds: each draws its own task, data and weights.
      seed: of everything random.
    """

    task: TaskRequest
    stack: StackRequest
    block: BlockConfig
    num_train: int
    fresh: bool
    num_test: int
    num_seeds: int
    seed: int

    @property
    def num_sets(self) -> int:
        """Train sets of so many examples."""
        return self.stack.num_blocks if self.fresh else 1


class SeedData(struct.PyTreeNode):
    """What the learners of a seed share.

    Attributes:
      train: examples of each block, one leading axis more; of one block, if they are reused.
      test: fresh examples.
    """

    train: Batch
    test: Batch


def task_key(key: jax.Array) -> jax.Array:
    """With which the task of a seed is drawn."""
    return jax.random.fold_in(key, 0)


def draw_data(key: jax.Array, request: Request) -> SeedData:
    """Draws the task of a seed, and all examples of it."""
    task = request.task.draw(task_key(key))
    test = task.sample(jax.random.fold_in(key, 1), request.num_test)
    sets = jnp.arange(request.num_sets)
    set_keys = jax.vmap(lambda index: jax.random.fold_in(jax.random.fold_in(key, 2), index))(sets)
    train = jax.vmap(lambda key: task.sample(key, request.num_train))(set_keys)
    return SeedData(train.replace(latents=()), test)

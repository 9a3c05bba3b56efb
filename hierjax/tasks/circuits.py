"""Boolean circuits, and teachers that show random majorities of their gates.

A "brain dump" (arXiv 2601.00455) gives away an unknown circuit by many labels, each of which is a
signed majority vote of a few random gates.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, Key

from hierjax.tasks.batch import Batch
from hierjax.tasks.label_hierarchy import (
    LabelHierarchy,
    LabelLevel,
    walsh_coefficients,
    walsh_monomials,
)

_MAX_FAN_IN = 6
_CANDIDATES = 64


@dataclasses.dataclass(frozen=True)
class BrainDumpSpec:
    """Sizes of a circuit and of what its labels tell of it.

    Attributes:
      num_inputs: number of input bits, d.
      depth: number of levels of gates, t.
      gates_per_level: number of gates of each level, G; they read the level below theirs.
      fan_in: number of nodes that a gate reads, from 1 to 6.
      labels_per_level: number of labels about each level, K.
      votes: number of gates that vote on a label, k, an odd number.

    Raises:
      ValueError: a number is out of bounds.
    """

    num_inputs: int
    depth: int
    gates_per_level: int
    fan_in: int = 2
    labels_per_level: int = 40
    votes: int = 3

    def __post_init__(self):
        for name in ("num_inputs", "depth", "gates_per_level", "labels_per_level"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        narrowest = min(
            self.num_inputs, self.gates_per_level if self.depth > 1 else self.num_inputs
        )
        bound = min(_MAX_FAN_IN, narrowest)
        if not 1 <= self.fan_in <= bound:
            raise ValueError(
                f"fan_in={self.fan_in} must be from 1 to {bound}, as gates read different nodes "
                "of the level below them and keep a truth table"
            )
        if not 1 <= self.votes <= self.gates_per_level or self.votes % 2 == 0:
            raise ValueError(
                f"votes={self.votes} must be odd, for no ties, and at most "
                f"gates_per_level={self.gates_per_level}"
            )


class BrainDump(struct.PyTreeNode):
    """A task of many labels, which are votes about the gates of a circuit.

    Attributes:
      circuit: the circuit, as a hierarchy whose labels are all of its gates.
      members: (t, K, k) int32, the k gates of its level that vote on each of K labels.
      signs: (t, K, k) float32, the signs with which these gates vote.
    """

    circuit: LabelHierarchy
    members: Array
    signs: Array

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Number of labels of each level, from the lowest."""
        return (self.members.shape[1],) * self.members.shape[0]

    @functools.partial(jax.jit, static_argnames="n")
    def sample(self, key: Key[Array, ""], n: int) -> Batch:
        """Draws examples; those of a smaller n are the first of a larger one.

        Args:
          key: typed PRNG key.
          n: number of examples, N, static.

        Returns:
          inputs (N, d), uniform signs; labels (N, t * K) of all levels, from the lowest; and as
          latents the inputs and the labels (N, K) of each level; all float32.
        """
        batch = self.circuit.sample(key, n)
        levels = [
            jnp.sign((gates[:, members] * signs[None]).sum(axis=-1))
            for gates, members, signs in zip(
                batch.latents[1:], self.members, self.signs, strict=True
            )
        ]
        return Batch(batch.inputs, jnp.concatenate(levels, axis=-1), (batch.inputs, *levels))

    def gates(self, key: Key[Array, ""], n: int) -> tuple[Float[Array, "N G"], ...]:
        """Returns the gates of each level in the examples that `sample(key, n)` draws.

        Args:
          key: typed PRNG key.
          n: number of examples, N.

        Returns:
          For each level, from the lowest, (N, G) float32 signs.
        """
        return self.circuit.sample(key, n).latents[1:]


def draw_brain_dump(key: Key[Array, ""], spec: BrainDumpSpec) -> BrainDump:
    """Draws a circuit and the votes about it; pure, to be jitted and mapped over keys.

    Args:
      key: typed PRNG key.
      spec: sizes.

    Returns:
      The task.
    """
    circuit_key, votes_key, signs_key = (jax.random.fold_in(key, stream) for stream in range(3))
    shape = (spec.depth, spec.labels_per_level, spec.votes)
    count = spec.depth * spec.labels_per_level
    members = _choices(votes_key, count, spec.gates_per_level, spec.votes).reshape(shape)
    signs = jax.random.rademacher(signs_key, shape, jnp.float32)
    return BrainDump(draw_circuit(circuit_key, spec), members, signs)


def draw_circuit(key: Key[Array, ""], spec: BrainDumpSpec) -> LabelHierarchy:
    """Draws a layered circuit, as a hierarchy whose labels are all of its gates.

    A gate reads `fan_in` different nodes of the level below. Its truth table is uniform among
    those that depend on all of them.

    Args:
      key: typed PRNG key.
      spec: sizes, of which those of labels and votes are not used.

    Returns:
      The hierarchy.
    """
    shape = (spec.gates_per_level, spec.fan_in)
    levels, width, first = [], spec.num_inputs, 0
    for index in range(spec.depth):
        level_key = jax.random.fold_in(key, index)
        wiring, tables = jax.random.fold_in(level_key, 0), jax.random.fold_in(level_key, 1)
        tables = jax.vmap(lambda k: _draw_table(k, spec.fan_in))(jax.random.split(tables, shape[0]))
        levels.append(
            LabelLevel(
                first + _choices(wiring, shape[0], width, spec.fan_in),
                jnp.zeros(shape, jnp.int32),
                walsh_coefficients(tables),
                walsh_monomials(spec.fan_in),
                spec.gates_per_level,
            )
        )
        first, width = first + width, spec.gates_per_level
    return LabelHierarchy(tuple(levels), spec.num_inputs)


def _choices(key: Key[Array, ""], count: int, size: int, number: int) -> Int[Array, "count number"]:
    """Draws (count, number) int32, different ones of range(size) in each row."""
    keys = jax.random.split(key, count)
    choose = jax.vmap(lambda k: jax.random.choice(k, size, (number,), replace=False))
    return choose(keys).astype(jnp.int32)


def _draw_table(key: Key[Array, ""], fan_in: int) -> Float[Array, " entries"]:
    """Draws a truth table, (2^fan_in,) signs, that depends on all nodes that a gate reads."""
    tables = jax.random.rademacher(key, (_CANDIDATES, 2**fan_in), jnp.float32)
    cubes = tables.reshape(_CANDIDATES, *[2] * fan_in)
    depends = jnp.ones(_CANDIDATES, bool)
    for axis in range(1, fan_in + 1):
        low, high = jnp.split(cubes, 2, axis=axis)
        depends &= (low != high).reshape(_CANDIDATES, -1).any(axis=1)
    return tables[depends.argmax()]

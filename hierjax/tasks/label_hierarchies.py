"""Label hierarchies that do not collapse: reversible ones and cellular automata.

With random wiring and few labels a level, a deep label often equals a shallow function. Levels
of a reversible circuit stay exactly balanced and as far from the input as their depth says.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from hierjax.tasks.label_hierarchy import (
    LabelHierarchy,
    LabelLevel,
    walsh_coefficients,
    walsh_monomials,
)
from hierjax.tasks.lattice import check_lattice

REVERSIBLE = ("cnot", "tof", "mix")
"""Kinds of gates that `draw_reversible_hierarchy` knows."""

# Products of the bit that is rewritten (0) with the two that it is rewritten with (1 and 2).
_GATE_MONOMIALS = ((0,), (0, 1), (0, 2))


def draw_reversible_hierarchy(
    key: Key[Array, ""], kind: str, num_inputs: int, depth: int, labels_per_level: int | None = None
) -> LabelHierarchy:
    """Draws a circuit that at each level rewrites one half of a state from the other half.

    A "cnot" gate writes s_j * s_a; a "tof" gate flips s_j if both of two others have the signs
    that it looks for, which is a degree-2 PTF, sign(s_j (1 - e_a s_a - e_b s_b)). The labels of a
    level are the bits that it rewrites.

    Args:
      key: typed PRNG key.
      kind: one of `REVERSIBLE`; in "mix" each gate is of either kind, by chance.
      num_inputs: number of input bits, d, an even number.
      depth: number of levels, R.
      labels_per_level: how many of the d/2 bits that a level rewrites are labels; None for all.

    Returns:
      The hierarchy.

    Raises:
      ValueError: the kind is unknown, or a number is out of bounds.
    """
    half = num_inputs // 2
    if kind not in REVERSIBLE:
        raise ValueError(f"kind={kind!r} is unknown: choose one of {', '.join(REVERSIBLE)}")
    if num_inputs % 2 or num_inputs < 4:
        raise ValueError(f"num_inputs={num_inputs} must be even, and at least 4, to have halves")
    if depth < 1:
        raise ValueError(f"depth={depth} must be at least 1")
    num_labels = half if labels_per_level is None else labels_per_level
    if not 1 <= num_labels <= half:
        raise ValueError(
            f"labels_per_level={num_labels} must be from 1 to {half}, the bits that a level "
            f"rewrites of num_inputs={num_inputs}"
        )
    # The node that holds each bit of the two halves; a level's nodes follow all those below.
    halves = [np.arange(half), half + np.arange(half)]
    levels = []
    for index in range(depth):
        own, other = index % 2, 1 - index % 2
        level_key = jax.random.fold_in(key, index)
        levels.append(_gates(level_key, kind, halves[own], halves[other], num_labels))
        halves[own] = num_inputs + half * index + np.arange(half)
    return LabelHierarchy(tuple(levels), num_inputs)


def _gates(
    key: Key[Array, ""], kind: str, own: np.ndarray, other: np.ndarray, num_labels: int
) -> LabelLevel:
    wiring, kinds, signs = (jax.random.fold_in(key, stream) for stream in range(3))
    half = own.size
    pairs = jax.vmap(lambda k: jax.random.choice(k, half, (2,), replace=False))(
        jax.random.split(wiring, half)
    )
    parents = jnp.concatenate([own[:, None], jnp.asarray(other)[pairs]], axis=1)
    is_tof = jnp.full(half, kind == "tof")
    if kind == "mix":
        is_tof = jax.random.bernoulli(kinds, shape=(half,))
    looks_for = jax.random.rademacher(signs, (half, 2), jnp.float32)
    tof = jnp.concatenate([jnp.ones((half, 1)), -looks_for], axis=1)
    coefficients = jnp.where(is_tof[:, None], tof, jnp.array([[0.0, 1.0, 0.0]]))
    return LabelLevel(
        parents.astype(jnp.int32),
        jnp.zeros((half, 3), jnp.int32),
        coefficients,
        _GATE_MONOMIALS,
        num_labels,
    )


def automaton(rule: int, num_locations: int, depth: int) -> LabelHierarchy:
    """Makes a hierarchy of an elementary cellular automaton on a ring of cells.

    The labels of level i are the states of all cells after i steps; +1 is a cell that is on.

    Args:
      rule: Wolfram's number of the automaton, from 0 to 255.
      num_locations: number of cells, G, at least 3.
      depth: number of steps, R.

    Returns:
      The hierarchy.

    Raises:
      ValueError: a number is out of bounds.
    """
    if not 0 <= rule < 256:
        raise ValueError(f"rule={rule} must be from 0 to 255")
    if depth < 1:
        raise ValueError(f"depth={depth} must be at least 1")
    check_lattice((num_locations,), radius=1)
    # A rule's bit 4 * left + 2 * centre + right; in a window the left cell stands first.
    table = [
        2.0 * (rule >> (4 * left + 2 * centre + right) & 1) - 1
        for right, centre, left in itertools.product((0, 1), repeat=3)
    ]
    coefficients = walsh_coefficients(jnp.array([table]))
    levels = tuple(
        LabelLevel(
            jnp.full((1, 3), index, jnp.int32),
            jnp.arange(3, dtype=jnp.int32)[None],
            coefficients,
            walsh_monomials(3),
            num_labels=1,
        )
        for index in range(depth)
    )
    return LabelHierarchy(levels, num_inputs=1, lattice=(num_locations,), radius=1)

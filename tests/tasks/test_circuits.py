import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hierjax.tasks.circuits import BrainDump, BrainDumpSpec, draw_brain_dump, draw_circuit
from hierjax.tasks.label_hierarchy import LabelHierarchy, walsh_monomials
from tests.tasks.laws import check_task_laws

SPEC = BrainDumpSpec(
    num_inputs=6, depth=3, gates_per_level=5, fan_in=3, labels_per_level=4, votes=3
)
KEY = jax.random.key(1)
CORNERS = np.array(list(itertools.product([-1, 1], repeat=6)), np.float32)

draw = jax.jit(draw_brain_dump, static_argnums=1)
sample = jax.jit(BrainDump.sample, static_argnums=2)
sample_gates = jax.jit(BrainDump.gates, static_argnums=2)


@pytest.fixture(scope="module")
def dump():
    return draw(jax.random.key(0), SPEC)


def truth_tables(level):
    """(n, 2, ..., 2) signs of each gate at all corners, by arithmetic on its polynomial."""
    fan_in = level.parents.shape[1]
    tables = np.empty((len(level.parents), *[2] * fan_in))
    for corner in np.ndindex(*[2] * fan_in):
        signs = 2 * np.array(corner) - 1
        products = [np.prod(signs[list(subset)]) for subset in walsh_monomials(fan_in)]
        tables[:, *corner] = np.asarray(level.coefficients) @ products
    return tables


def direct_gates(circuit, inputs):
    """(N, n) of each level, looked up in the truth tables."""
    nodes, levels = np.asarray(inputs), []
    for level in circuit.levels:
        bits = (nodes[:, np.asarray(level.parents)] > 0).astype(int)
        gates = [table[*bits[:, gate].T] for gate, table in enumerate(truth_tables(level))]
        levels.append(np.stack(gates, axis=1))
        nodes = np.concatenate([nodes, levels[-1]], axis=1)
    return levels


def test_brain_dumps_obey_the_laws_of_tasks():
    spec = BrainDumpSpec(6, 1, 3, fan_in=3, labels_per_level=2)
    check_task_laws(lambda key: draw(key, spec))


def test_gates_have_truth_tables_and_depend_on_all_their_inputs(dump):
    for level in dump.circuit.levels:
        tables = truth_tables(level)
        assert (np.abs(tables) == 1).all()
        for axis in range(1, SPEC.fan_in + 1):
            flipped = np.flip(tables, axis=axis)
            assert (flipped != tables).reshape(len(tables), -1).any(axis=1).all()


def test_gates_read_different_nodes_of_the_level_just_below(dump):
    starts = [0, 6, 11]
    for level, start, end in zip(dump.circuit.levels, starts, [6, 11, 16], strict=True):
        parents = np.sort(level.parents, axis=1)
        assert parents.min() >= start
        assert parents.max() < end
        assert (np.diff(parents, axis=1) > 0).all()


def test_gates_are_looked_up_in_their_truth_tables(dump):
    nodes = jax.jit(LabelHierarchy.nodes)(dump.circuit, jnp.asarray(CORNERS[:, None]))
    direct = direct_gates(dump.circuit, CORNERS)
    for gates, expected in zip(nodes, direct, strict=True):
        np.testing.assert_array_equal(gates[:, 0], expected)


def test_gates_are_those_of_the_examples_that_are_sampled(dump):
    batch = sample(dump, KEY, 40)
    direct = direct_gates(dump.circuit, batch.inputs)
    for gates, expected in zip(sample_gates(dump, KEY, 40), direct, strict=True):
        np.testing.assert_array_equal(gates, expected)


def test_labels_are_signed_majorities_of_gates(dump):
    batch = sample(dump, KEY, 40)
    assert dump.level_sizes == (4, 4, 4)
    assert batch.labels.shape == (40, 12)
    labels = batch.labels.reshape(40, 3, 4)
    for level, gates in enumerate(direct_gates(dump.circuit, batch.inputs)):
        for label in range(4):
            members, signs = dump.members[level, label], dump.signs[level, label]
            agreeing = (gates[:, np.asarray(members)] == np.asarray(signs)).sum(axis=1)
            expected = np.where(agreeing >= 2, 1, -1)
            np.testing.assert_array_equal(labels[:, level, label], expected)
            np.testing.assert_array_equal(batch.latents[level + 1][:, label], expected)
    np.testing.assert_array_equal(batch.latents[0], batch.inputs)


def test_votes_are_of_different_gates_and_uniform():
    spec = BrainDumpSpec(2, 1, 4, labels_per_level=1500)
    dump = draw(jax.random.key(2), spec)
    trios, counts = np.unique(np.sort(dump.members[0], axis=1), axis=0, return_counts=True)
    np.testing.assert_array_equal(trios, list(itertools.combinations(range(4), 3)))
    assert stats.chisquare(counts).pvalue > 1e-4
    signs, counts = np.unique(dump.signs[0], axis=0, return_counts=True)
    np.testing.assert_array_equal(signs, list(itertools.product([-1, 1], repeat=3)))
    assert stats.chisquare(counts).pvalue > 1e-4


def test_truth_tables_are_uniform_among_those_that_depend_on_all_inputs():
    spec = BrainDumpSpec(2, 1, 1500)
    circuit = jax.jit(draw_circuit, static_argnums=1)(jax.random.key(3), spec)
    tables = truth_tables(circuit.levels[0]).reshape(1500, -1)
    kinds, counts = np.unique(tables, axis=0, return_counts=True)
    assert len(kinds) == 10
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"votes": 2}, "votes=2 must be odd"),
        ({"votes": 7}, "votes=7 must be odd.* at most gates_per_level=5"),
        ({"votes": -1}, "votes=-1 must be odd"),
        ({"fan_in": 5, "num_inputs": 4}, "fan_in=5 must be from 1 to 4"),
        ({"fan_in": 6}, "fan_in=6 must be from 1 to 5"),
        ({"fan_in": 7, "num_inputs": 9, "depth": 1}, "fan_in=7 must be from 1 to 6"),
        ({"fan_in": 0}, "fan_in=0 must be from 1"),
        ({"num_inputs": 0}, "num_inputs=0 must be at least 1"),
        ({"depth": 0}, "depth=0 must be at least 1"),
        ({"gates_per_level": 0}, "gates_per_level=0 must be at least 1"),
        ({"labels_per_level": 0}, "labels_per_level=0 must be at least 1"),
    ],
)
def test_impossible_sizes_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        BrainDumpSpec(**({"num_inputs": 8, "depth": 2, "gates_per_level": 5} | sizes))


def test_gates_of_a_single_level_may_be_fewer_than_their_inputs():
    assert BrainDumpSpec(num_inputs=6, depth=1, gates_per_level=3, fan_in=6).fan_in == 6

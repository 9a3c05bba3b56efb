import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hierjax.tasks.label_hierarchies import REVERSIBLE, automaton, draw_reversible_hierarchy
from hierjax.tasks.label_hierarchy import (
    LabelHierarchy,
    LabelLevel,
    draw_signs,
    walsh_coefficients,
    walsh_monomials,
)
from tests.tasks.laws import check_task_laws

NUM_INPUTS, DEPTH = 6, 4
HALF = NUM_INPUTS // 2
CORNERS = np.array(list(itertools.product([-1, 1], repeat=NUM_INPUTS)), np.float32)

all_nodes = jax.jit(LabelHierarchy.nodes)
sample = jax.jit(LabelHierarchy.sample, static_argnums=2)


@pytest.fixture(scope="module", params=REVERSIBLE)
def reversible(request):
    """Kind, hierarchy and its (64, 3) labels of each level on all 64 inputs."""
    hierarchy = draw_reversible_hierarchy(jax.random.key(0), request.param, NUM_INPUTS, DEPTH)
    nodes = all_nodes(hierarchy, jnp.asarray(CORNERS[:, None]))
    return request.param, hierarchy, [np.asarray(each[:, 0]) for each in nodes]


@pytest.mark.parametrize("kind", REVERSIBLE)
def test_reversible_hierarchies_obey_the_laws_of_tasks(kind):
    check_task_laws(lambda key: draw_reversible_hierarchy(key, kind, NUM_INPUTS, 1))


def test_automata_obey_the_laws_of_tasks():
    check_task_laws(lambda _: automaton(110, 9, 1))


def test_reversible_labels_are_exactly_balanced(reversible):
    _, hierarchy, levels = reversible
    assert hierarchy.level_sizes == (HALF,) * DEPTH
    for labels in levels:
        assert (np.abs(labels) == 1).all()
        np.testing.assert_array_equal(labels.sum(axis=0), 0)


def test_reversible_levels_lose_no_input(reversible):
    _, _, levels = reversible
    halves = [CORNERS[:, :HALF], CORNERS[:, HALF:], *levels]
    for newest in range(2, len(halves)):
        # The state is the half just rewritten and the one rewritten before it.
        state = np.concatenate(halves[newest - 1 : newest + 1], axis=1)
        assert len(np.unique(state, axis=0)) == 2**NUM_INPUTS


def test_reversible_gates_rewrite_one_half_from_the_other(reversible):
    _, hierarchy, _ = reversible
    halves = [range(HALF), range(HALF, NUM_INPUTS)]
    for index, level in enumerate(hierarchy.levels):
        rewritten, others = np.split(np.asarray(level.parents), [1], axis=1)
        own, other = halves[index % 2], halves[1 - index % 2]
        np.testing.assert_array_equal(rewritten[:, 0], own)
        assert np.isin(others, other).all()
        assert (others[:, 0] != others[:, 1]).all()
        halves[index % 2] = range(NUM_INPUTS + HALF * index, NUM_INPUTS + HALF * (index + 1))


def test_reversible_gates_have_their_truth_tables(reversible):
    kind, hierarchy, levels = reversible
    nodes = np.concatenate([CORNERS, *levels], axis=1)
    seen = set()
    for level, labels in zip(hierarchy.levels, levels, strict=True):
        for parents, weights, label in zip(
            level.parents, level.coefficients, labels.T, strict=True
        ):
            bit, first, second = nodes[:, np.asarray(parents)].T
            if weights[0] == 0:
                seen.add("cnot")
                expected = bit * first
            else:
                seen.add("tof")
                flips = (first == -weights[1]) & (second == -weights[2])
                assert flips.sum() == len(CORNERS) / 4
                expected = np.where(flips, -bit, bit)
            np.testing.assert_array_equal(label, expected)
    assert seen == ({"cnot", "tof"} if kind == "mix" else {kind})


def test_toffoli_gates_look_for_all_signs():
    hierarchy = draw_reversible_hierarchy(jax.random.key(0), "tof", NUM_INPUTS, 20)
    looks_for = np.concatenate([level.coefficients[:, 1:] for level in hierarchy.levels])
    assert len(np.unique(looks_for, axis=0)) == 4


@pytest.mark.parametrize("kind", REVERSIBLE)
def test_fewer_labels_are_the_first_of_all_labels(kind):
    key = jax.random.key(3)
    full = draw_reversible_hierarchy(key, kind, NUM_INPUTS, DEPTH)
    few = draw_reversible_hierarchy(key, kind, NUM_INPUTS, DEPTH, 2)
    assert few.level_sizes == (2,) * DEPTH
    full, few = (sample(each, jax.random.key(4), 20) for each in (full, few))
    np.testing.assert_array_equal(few.inputs, full.inputs)
    np.testing.assert_array_equal(
        few.labels, full.labels.reshape(20, DEPTH, HALF)[..., :2].reshape(20, -1)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cnot", 5, 2), "num_inputs=5 must be even"),
        (("cnot", 2, 2), "at least 4"),
        (("xor", 4, 2), "kind='xor' is unknown: choose one of cnot, tof, mix"),
        (("tof", 4, 0), "depth=0 must be at least 1"),
        (("tof", 4, 2, 3), "labels_per_level=3 must be from 1 to 2"),
        (("tof", 4, 2, 0), "labels_per_level=0 must be from 1 to 2"),
    ],
)
def test_impossible_reversible_hierarchies_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        draw_reversible_hierarchy(jax.random.key(0), *arguments)


def simulate(rule, cells, depth):
    """(depth, N, G) rows below cells (N, G) of 0 and 1."""
    bits = np.array([int(bit) for bit in f"{rule:08b}"[::-1]])
    rows = []
    for _ in range(depth):
        cells = bits[4 * np.roll(cells, 1, axis=1) + 2 * cells + np.roll(cells, -1, axis=1)]
        rows.append(cells)
    return np.array(rows)


def test_all_256_automata_follow_their_rules_from_all_rows():
    cells = 6
    corners = np.array(list(itertools.product([0, 1], repeat=cells)))
    inputs = jnp.asarray(2.0 * corners[..., None] - 1, jnp.float32)
    automata = [automaton(rule, cells, 3) for rule in range(256)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *automata)
    nodes = jax.jit(jax.vmap(lambda each: jnp.stack(each.nodes(inputs))))(stacked)
    direct = np.stack([simulate(rule, corners, 3) for rule in range(256)])
    np.testing.assert_array_equal(nodes[..., 0], 2 * direct - 1)


@pytest.mark.parametrize(
    ("rule", "successor"),
    [
        (170, lambda row: jnp.roll(row, -1, axis=1)),
        (240, lambda row: jnp.roll(row, 1, axis=1)),
        (204, lambda row: row),
        (90, lambda row: -jnp.roll(row, 1, axis=1) * jnp.roll(row, -1, axis=1)),
        (232, lambda row: jnp.sign(row + jnp.roll(row, 1, axis=1) + jnp.roll(row, -1, axis=1))),
    ],
)
def test_known_automata_shift_copy_differ_or_vote(rule, successor):
    batch = sample(automaton(rule, 40, 2), jax.random.key(0), 10)
    assert batch.inputs.shape == (10, 40, 1)
    assert batch.labels.shape == (10, 40, 2)
    rows = [latent[..., 0] for latent in batch.latents]
    for row, below in zip(rows[1:], rows[:-1], strict=True):
        np.testing.assert_array_equal(row, successor(below))
    np.testing.assert_array_equal(batch.labels, jnp.stack(rows[1:], axis=-1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((256, 5, 1), "rule=256 must be from 0 to 255"),
        ((-1, 5, 1), "rule=-1 must be from 0 to 255"),
        ((30, 5, 0), "depth=0 must be at least 1"),
        ((30, 2, 1), "wider than the side 2"),
    ],
)
def test_impossible_automata_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        automaton(*arguments)


def two_levels():
    """On a ring of 4: a product with the right cell's second bit, then a vote with a hidden one."""
    first = LabelLevel(
        jnp.array([[0, 1], [1, 0]], jnp.int32),
        jnp.array([[1, 2], [1, 1]], jnp.int32),
        jnp.array([[1.0, 0.0], [0.5, -2.0]]),
        ((0, 1), (0,)),
        num_labels=1,
    )
    second = LabelLevel(
        jnp.array([[2, 3, 0]], jnp.int32),
        jnp.array([[0, 1, 2]], jnp.int32),
        jnp.array([[1.0, -1.0, 1.0, 0.5]]),
        ((0,), (1,), (2,), ()),
        num_labels=1,
    )
    return LabelHierarchy((first, second), num_inputs=2, lattice=(4,), radius=1)


def test_nodes_read_neighbours_and_hidden_nodes_stay_hidden():
    hierarchy = two_levels()
    batch = sample(hierarchy, jax.random.key(0), 30)
    zeroth, first = np.moveaxis(np.asarray(batch.inputs), 2, 0)
    product = zeroth * np.roll(first, -1, axis=1)
    hidden = -first
    vote = np.sign(np.roll(product, 1, axis=1) - hidden + np.roll(zeroth, -1, axis=1) + 0.5)
    assert hierarchy.level_sizes == (1, 1)
    np.testing.assert_array_equal(batch.labels, np.stack([product, vote], axis=-1))
    np.testing.assert_array_equal(batch.latents[1][..., 0], product)
    np.testing.assert_array_equal(batch.latents[2][..., 0], vote)


def test_without_a_lattice_there_is_no_axis_of_locations():
    batch = sample(
        draw_reversible_hierarchy(jax.random.key(0), "mix", 6, DEPTH), jax.random.key(1), 20
    )
    shapes = [leaf.shape for leaf in (batch.inputs, batch.labels, *batch.latents)]
    assert shapes == [(20, 6), (20, 12), (20, 6), *[(20, 3)] * DEPTH]
    assert {leaf.dtype for leaf in jax.tree.leaves(batch)} == {jnp.dtype("float32")}
    np.testing.assert_array_equal(batch.latents[0], batch.inputs)
    np.testing.assert_array_equal(batch.labels, jnp.concatenate(batch.latents[1:], axis=1))


def test_signs_are_uniform_and_independent():
    signs = np.asarray(draw_signs(jax.random.key(0), 4000, (3, 15)), np.float64)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    signs = signs.reshape(4000, 45)
    # One of 45 means or 990 correlations is 4.8 standard errors off in 1 of 600 draws.
    off = np.abs(signs.T @ signs / 4000 - np.eye(45)).max()
    assert max(off, np.abs(signs.mean(axis=0)).max()) < 4.8 / np.sqrt(4000)
    codes = (signs[:, 31:35] > 0) @ [1, 2, 4, 8]
    assert stats.chisquare(np.bincount(codes, minlength=16)).pvalue > 1e-4


@pytest.mark.parametrize("fan_in", [1, 2, 3])
def test_walsh_polynomials_reproduce_their_truth_tables(fan_in):
    tables = jax.random.rademacher(jax.random.key(fan_in), (5, 2**fan_in), jnp.float32)
    coefficients = np.asarray(walsh_coefficients(tables))
    for code in range(2**fan_in):
        point = [1 if code >> j & 1 else -1 for j in range(fan_in)]
        products = [np.prod([point[j] for j in subset]) for subset in walsh_monomials(fan_in)]
        np.testing.assert_array_equal(coefficients @ products, tables[:, code])


def test_walsh_monomials_are_all_subsets():
    assert walsh_monomials(2) == ((), (0,), (1,), (0, 1))
    assert {frozenset(subset) for subset in walsh_monomials(4)} == {
        frozenset(subset) for size in range(5) for subset in itertools.combinations(range(4), size)
    }

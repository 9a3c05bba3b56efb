import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hierjax.tasks import random_hierarchy
from hierjax.tasks.grammars import draw_random_hierarchy, from_rules
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from tests.tasks.derivations import taken_rules
from tests.tasks.laws import check_task_laws

SPECS = {
    "plain": RandomHierarchySpec(8, 8, 4, 2, 3),
    "levels": RandomHierarchySpec(3, (5, 4, 7), (2, 3, 1), (2, 3, 2), 3),
    "wide": RandomHierarchySpec(2, 300, 5, 2, 2),
    "full": RandomHierarchySpec(4, 4, 4, 2, 2),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_laws_of_tasks(spec):
    check_task_laws(lambda key: draw_random_hierarchy(key, spec))


def test_laws_of_tasks_with_probabilities():
    spec = SPECS["levels"]

    def draw(key):
        parts = [
            jax.random.uniform(jax.random.fold_in(key, 9 + level), sizes, minval=0.1)
            for level, sizes in enumerate(((3, 2), (5, 3), (4, 1)))
        ]
        weights = [each / each.sum(axis=1, keepdims=True) for each in parts]
        return draw_random_hierarchy(key, spec, weights, jnp.array([0.2, 0.5, 0.3]))

    check_task_laws(draw)


@pytest.mark.parametrize("blocks", [2**12, 16])
def test_a_stream_is_the_same_in_one_piece_or_in_many(monkeypatch, blocks):
    monkeypatch.setitem(random_hierarchy._STRINGS_AT_ONCE, "cpu", blocks)
    jax.clear_caches()
    grammar, key = draw_random_hierarchy(jax.random.key(0), SPECS["levels"]), jax.random.key(1)
    whole = grammar.sample(key, 100)
    pieces = [grammar.sample(key, 50, first) for first in (0, 50)]
    joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *pieces)
    chex.assert_trees_all_equal(joined, whole)
    late, later = (grammar.sample(key, 50, np.uint32(2**31 + more)).inputs for more in (7, 17))
    np.testing.assert_array_equal(late[10:], later[:40])


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_node_is_rewritten_by_a_rule_of_its_symbol(spec):
    grammar = draw_random_hierarchy(jax.random.key(0), spec)
    batch = grammar.sample(jax.random.key(1), 300)
    chex.assert_shape(batch.inputs, (300, spec.num_leaves))
    np.testing.assert_array_equal(batch.labels, batch.latents[0][:, 0])
    np.testing.assert_array_equal(batch.inputs, batch.latents[-1])
    for level in range(spec.depth):
        parents = np.asarray(batch.latents[level]).ravel()
        children = np.asarray(batch.latents[level + 1]).reshape(-1, spec.branching[level])
        rules = np.asarray(grammar.rules[level])
        assert (rules[parents] == children[:, None]).all(-1).any(-1).all()


def test_symbols_travel_in_small_types():
    small = draw_random_hierarchy(jax.random.key(0), SPECS["plain"]).sample(jax.random.key(0), 2)
    wide = draw_random_hierarchy(jax.random.key(0), SPECS["wide"]).sample(jax.random.key(0), 2)
    assert small.inputs.dtype == small.labels.dtype == jnp.uint8
    assert wide.inputs.dtype == jnp.uint16


def test_strings_are_uniform_on_the_language():
    spec = RandomHierarchySpec(3, 3, 2, 2, 2)
    grammar = draw_random_hierarchy(jax.random.key(3), spec)
    assert spec.num_strings == 3 * 2**3
    batch = grammar.sample(jax.random.key(4), 24_000)
    _, counts = np.unique(np.asarray(batch.inputs), axis=0, return_counts=True)
    assert len(counts) == spec.num_strings
    assert stats.chisquare(counts).pvalue > 1e-5


def test_strings_follow_given_probabilities():
    rules = [[[[0, 1], [1, 0], [1, 1]], [[0, 0], [2, 1], [1, 2]]]]
    weights = np.array([[0.7, 0.3, 0.0], [0.2, 0.3, 0.5]])
    prior = np.array([0.25, 0.75])
    grammar = from_rules(rules, rule_probabilities=[weights], class_prior=prior)
    batch = grammar.sample(jax.random.key(0), 30_000)
    codes = np.asarray(batch.inputs[:, 0]) * 3 + np.asarray(batch.inputs[:, 1])
    observed, expected = [], []
    for label, rule in itertools.product(range(2), range(3)):
        left, right = rules[0][label][rule]
        observed.append(np.sum(codes == left * 3 + right))
        expected.append(prior[label] * weights[label, rule] * 30_000)
    assert observed[2] == 0
    seen = np.array(expected) > 0
    assert stats.chisquare(np.array(observed)[seen], np.array(expected)[seen]).pvalue > 1e-5


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_node_has_a_choice_of_its_own(depth):
    """Rule choices of different nodes are independent: their joint counts are flat."""
    spec = RandomHierarchySpec(3, 3, 3, 2, depth)
    grammar = draw_random_hierarchy(jax.random.key(0), spec)
    batch = grammar.sample(jax.random.key(1), 5000)
    draws = [
        taken_rules(rules, batch.latents[level], batch.latents[level + 1])
        for level, rules in enumerate(grammar.rules)
    ]
    assert [draw.shape for draw in draws] == [(5000, 2**level) for level in range(depth)]
    columns = np.concatenate([np.asarray(draw) for draw in draws], axis=1).astype(int)
    for one, other in itertools.combinations(range(columns.shape[1]), 2):
        joint = np.bincount(columns[:, one] * 3 + columns[:, other], minlength=9)
        assert stats.chisquare(joint).pvalue > 1e-6


def test_strings_are_the_same_in_blocks_of_any_size(monkeypatch):
    """The blocks of a CPU are not seen, nor that other devices have none."""
    grammar, key = draw_random_hierarchy(jax.random.key(0), SPECS["plain"]), jax.random.key(1)
    whole = grammar.sample(key, 100)
    monkeypatch.setattr(random_hierarchy, "_STRINGS_AT_ONCE", {"cpu": 32})
    blocks = jax.jit(lambda: grammar.sample.__wrapped__(grammar, key, 100))()
    jax.tree.map(np.testing.assert_array_equal, whole, blocks)


def test_no_strings_at_all_are_an_empty_batch():
    batch = draw_random_hierarchy(jax.random.key(0), SPECS["plain"]).sample(jax.random.key(1), 0)
    assert batch.inputs.shape == (0, SPECS["plain"].num_leaves)
    assert batch.labels.shape == (0,)


def test_sampling_traces_once_for_all_grammars_and_keys():
    chex.clear_trace_counter()
    sample = jax.jit(chex.assert_max_traces(lambda grammar, key: grammar.sample(key, 10), n=1))
    for seed in range(3):
        grammar = draw_random_hierarchy(jax.random.key(seed), SPECS["plain"])
        sample(grammar, jax.random.key(seed + 10))


def test_a_deep_tree_needs_no_index_of_all_strings():
    spec = RandomHierarchySpec(8, 8, 8, 2, 10)
    assert spec.num_strings == 8**1024
    batch = draw_random_hierarchy(jax.random.key(0), spec).sample(jax.random.key(1), 4)
    chex.assert_shape(batch.inputs, (4, 1024))
    assert len({bytes(row) for row in np.asarray(batch.inputs)}) == 4


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((8, 8, 9, 2, 3), "72 distinct tuples, but 8 symbols in tuples of 2 make only 64"),
        ((65, 8, 1, 2, 2), "level 0 needs 65 symbols"),
        ((0, 8, 4, 2, 3), "num_classes=0"),
        ((8, -8, 4, 2, 3), "vocab_size=-8"),
        ((8, 8, 4.0, 2, 3), "num_rules=4.0"),
        ((8, 8, 4, 2, 0), "depth=0"),
        ((8, 8, 4, 2, 10**9), "depth=1000000000"),
        ((8, 8, 4, 10**6, 3), "leaves, more than"),
        ((8, (8, 8), 4, 2, 3), "vocab_size lists 2 numbers for depth=3"),
        ((8, 8, 2**16, 4, 3), "num_rules=65536 must be from 1 to 65535"),
    ],
)
def test_sizes_that_cannot_exist_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words) as refusal:
        RandomHierarchySpec(*sizes)
    assert "\n" not in str(refusal.value)


def test_numpy_integers_do_not_overflow():
    spec = RandomHierarchySpec(np.int64(8), np.int32(8), np.int16(8), np.int8(2), np.int64(10))
    assert spec == RandomHierarchySpec(8, 8, 8, 2, 10)
    assert spec.num_strings == 8**1024


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)
)
def test_specs_exist_exactly_where_tuples_suffice(num_classes, vocab, rules, branching, depth):
    enough = num_classes * rules <= vocab**branching and (
        depth == 1 or vocab * rules <= vocab**branching
    )
    try:
        spec = RandomHierarchySpec(num_classes, vocab, rules, branching, depth)
    except ValueError:
        assert not enough
    else:
        assert enough
        assert hash(spec) == hash(RandomHierarchySpec(num_classes, vocab, rules, branching, depth))


def test_distances_are_heights_of_least_subtrees():
    leaves = np.arange(6)
    table = RandomHierarchySpec(2, 4, 2, (2, 3), 2).distances(leaves[:, None], leaves[None])
    assert table[0].tolist() == [0, 1, 1, 2, 2, 2]
    assert table[4].tolist() == [2, 2, 2, 1, 0, 1]


def test_distances_to_the_leaf_before():
    assert RandomHierarchySpec(2, 4, 2, (2, 3), 2).distances_before == [3, 1, 1, 2, 1, 1]
    assert RandomHierarchySpec(2, 2, 1, 1, 2).distances_before == [3]

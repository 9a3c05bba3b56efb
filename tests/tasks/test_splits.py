import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hierjax.tasks.grammars import draw_random_hierarchy, from_rules
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.tasks.splits import check_split, contains, make_split, require_filled
from tests.tasks.laws import take

SPEC = RandomHierarchySpec(8, 8, 4, 2, 3)
SMALL = RandomHierarchySpec(2, 2, 2, 2, 2)


def rows(inputs):
    return [bytes(row) for row in np.asarray(inputs)]


@pytest.mark.parametrize(
    ("spec", "num_train", "num_test"), [(SPEC, 60_000, 500), (SMALL, 8, 8), (SMALL, 15, 1)]
)
def test_test_strings_are_unseen(spec, num_train, num_test):
    grammar = draw_random_hierarchy(jax.random.key(0), spec)
    split = make_split(grammar, jax.random.key(1), num_train, num_test)
    require_filled(split.num_unseen, num_test)
    seen = set(rows(split.train.inputs))
    test = rows(split.test.inputs)
    assert len(test) == num_test
    assert not seen & set(test)


def test_test_rows_are_whole_examples():
    grammar = draw_random_hierarchy(jax.random.key(0), SMALL)
    split = make_split(grammar, jax.random.key(1), 8, 8)
    everything = grammar.sample(jax.random.key(2), 500)
    derivations = {
        string: (int(label), bytes(middle))
        for string, label, middle in zip(
            rows(everything.inputs),
            everything.labels,
            np.asarray(everything.latents[1]),
            strict=True,
        )
    }
    for string, label, middle in zip(
        rows(split.test.inputs), split.test.labels, np.asarray(split.test.latents[1]), strict=True
    ):
        assert derivations[string] == (int(label), bytes(middle))


def test_test_strings_are_uniform_on_the_unseen():
    """The rank of the test string among those that its train set leaves out is uniform."""
    grammar = draw_random_hierarchy(jax.random.key(0), SMALL)
    everything = np.array(list(itertools.product(range(2), repeat=4)), np.uint8)
    keys = jax.random.split(jax.random.key(2), 4000)
    splits = jax.vmap(lambda key: make_split(grammar, key, 8, 1))(keys)
    seen = np.asarray(jax.vmap(lambda rows: contains(rows, everything))(splits.train.inputs))
    place_values = np.array([8, 4, 2, 1])
    chosen = np.asarray(splits.test.inputs[:, 0]) @ place_values
    rank = np.array([(~row[:code]).sum() for row, code in zip(seen, chosen, strict=True)])
    num_unseen = (~seen).sum(axis=1)
    usual = np.bincount(num_unseen).argmax()
    ranks = np.bincount(rank[num_unseen == usual], minlength=usual)
    assert ranks.sum() > 500
    assert stats.chisquare(ranks).pvalue > 1e-5


def test_train_sets_are_nested():
    grammar = draw_random_hierarchy(jax.random.key(0), SPEC)
    small = make_split(grammar, jax.random.key(1), 100, 50).train
    large = make_split(grammar, jax.random.key(1), 400, 70).train
    chex.assert_trees_all_equal(small, take(large, slice(100)))


def test_splits_map_over_keys():
    grammar = draw_random_hierarchy(jax.random.key(0), SMALL)
    keys = jax.random.split(jax.random.key(1), 3)
    many = jax.vmap(lambda key: make_split(grammar, key, 8, 8))(keys)
    for lane in range(3):
        one = make_split(grammar, keys[lane], 8, 8)
        chex.assert_trees_all_equal(take(many, lane), one)


@given(st.integers(0, 2**31), st.sampled_from([jnp.uint8, jnp.uint16, jnp.int32, jnp.float32]))
def test_contains_agrees_with_a_set(seed, dtype):
    key = jax.random.key(seed)
    data = jax.random.randint(key, (60, 3), 0, 4).astype(dtype)
    held, candidates = data[:30], data[30:]
    expected = [row in set(rows(held)) for row in rows(candidates)]
    assert contains(held, candidates).tolist() == expected


@pytest.mark.parametrize(
    ("num_train", "num_test", "words"),
    [
        (17, 1, "num_train=17 is larger than the language of 16 strings"),
        (10, 7, "are more than the language of 16 strings"),
        (0, 1, "num_train=0"),
        (1, -2, "num_test=-2"),
        (10**400, 1, r"num_train=1.000e\+400"),
    ],
)
def test_a_language_too_small_is_refused(num_train, num_test, words):
    with pytest.raises(ValueError, match=words):
        check_split(16, num_train, num_test)


def test_a_language_whose_mass_is_all_seen_is_refused():
    # One class and one rule that comes up: every example is the same string.
    rare = from_rules([[[[0, 1], [1, 0]]]], rule_probabilities=[[[1.0, 0.0]]])
    split = make_split(rare, jax.random.key(0), 1, 1)
    with pytest.raises(ValueError, match="only 0 of 1 unseen"):
        require_filled(split.num_unseen, 1)

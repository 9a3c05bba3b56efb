import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hierjax.tasks import (
    RandomHierarchySpec,
    draw_random_hierarchy,
    from_rules,
    resample_rule,
    resample_subtree,
    resample_symbol,
)
from tests.tasks.derivations import taken_rules
from tests.tasks.laws import take

SPEC = RandomHierarchySpec(3, (5, 4, 7), (2, 3, 2), (2, 3, 2), 3)
N = 6000


def unequal(level):
    parts = jax.random.uniform(jax.random.key(level), (SPEC.symbols(level), SPEC.num_rules[level]))
    return (parts + 0.1) / (parts + 0.1).sum(axis=1, keepdims=True)


GRAMMAR = draw_random_hierarchy(jax.random.key(0), SPEC, [unequal(level) for level in range(3)])
BATCH = GRAMMAR.sample(jax.random.key(1), N)
NODES = [(0, 0), (1, 1), (2, 4)]


@functools.partial(jax.jit, static_argnums=(0, 3))
def changed(resample, key, batch, level, index):
    return resample(GRAMMAR, key, batch, level, index)


def stems_from(level, index, below):
    """(P,) which nodes of a level stem from the node, itself included."""
    width = SPEC.nodes(below) // SPEC.nodes(level)
    return np.arange(SPEC.nodes(below)) // width == index


def rules_of(batch, level):
    """(N, P) rules that were taken at a level."""
    return taken_rules(GRAMMAR.rules[level], batch.latents[level], batch.latents[level + 1])


@pytest.mark.parametrize("resample", [resample_rule, resample_subtree, resample_symbol])
@pytest.mark.parametrize(("level", "index"), NODES)
def test_all_other_nodes_and_their_rules_stay(resample, level, index):
    new = changed(resample, jax.random.key(2), BATCH, level, index)
    np.testing.assert_array_equal(new.inputs, new.latents[-1])
    np.testing.assert_array_equal(new.labels, new.latents[0][:, 0])
    for below, (before, after) in enumerate(zip(BATCH.latents, new.latents, strict=True)):
        assert after.dtype == before.dtype
        inside = below >= level and stems_from(level, index, below)
        differs = np.asarray(before != after)
        assert not (differs & np.logical_not(inside)).any()
        if below == level:
            own = differs[:, index]
            assert own.all() if resample is resample_symbol else not own.any()
        if below > level:
            assert differs[:, inside].any(axis=0).all()
            width = SPEC.branching[below - 1]
            parents = stems_from(level, index, below - 1)
            children = np.asarray(after).reshape(N, -1, width)[:, parents].reshape(N, -1)
            taken_rules(GRAMMAR.rules[below - 1], new.latents[below - 1][:, parents], children)


@pytest.mark.parametrize(("level", "index"), NODES)
def test_another_rule_is_drawn_by_its_probability_and_rules_below_anew(level, index):
    new = changed(resample_rule, jax.random.key(4), BATCH, level, index)
    symbols = np.asarray(BATCH.latents[level][:, index])
    before, after = (rules_of(each, level)[:, index] for each in (BATCH, new))
    assert (before != after).all()
    weights = np.asarray(unequal(level))[symbols]
    weights[np.arange(N), before] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    check_counts(after, weights)
    for below in range(level + 1, SPEC.depth):
        first = stems_from(level, index, below).argmax()
        drawn = rules_of(new, below)[:, first]
        check_counts(drawn, np.asarray(unequal(below))[np.asarray(new.latents[below][:, first])])


def check_counts(drawn, probabilities):
    """Whether options (N,) are as frequent as their probabilities (N, M) have it."""
    expected = probabilities.sum(axis=0)
    counts = np.bincount(drawn, minlength=len(expected))
    variance = (probabilities * (1 - probabilities)).sum(axis=0)
    assert (np.abs(counts - expected) < 5 * np.sqrt(variance) + 1e-3).all()


def test_subtrees_keep_the_law_of_strings():
    """Pairs of the first and the last leaf of a string are as frequent as before."""
    new = changed(resample_subtree, jax.random.key(6), BATCH, 1, 0)
    fresh = GRAMMAR.sample(jax.random.key(7), N)
    tables = [
        np.bincount(np.asarray(each.inputs[:, 0], int) * 7 + np.asarray(each.inputs[:, -1], int))
        for each in (new, fresh)
    ]
    table = np.stack(tables)
    assert stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > 1e-5


def test_another_symbol_is_uniform_among_the_others_and_may_be_a_leaf():
    new = changed(resample_symbol, jax.random.key(2), BATCH, 3, 11)
    np.testing.assert_array_equal(new.inputs[:, :-1], BATCH.inputs[:, :-1])
    shift = (new.inputs[:, -1].astype(int) - BATCH.inputs[:, -1].astype(int)) % 7
    counts = np.bincount(shift, minlength=7)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-5


def test_first_strings_do_not_depend_on_how_many_there_are_and_nodes_may_differ():
    nodes = jax.random.randint(jax.random.key(3), (N,), 0, SPEC.nodes(2))
    whole = changed(resample_symbol, jax.random.key(2), BATCH, 2, nodes)
    first = changed(resample_symbol, jax.random.key(2), take(BATCH, slice(17)), 2, nodes[:17])
    jax.tree.map(np.testing.assert_array_equal, first, take(whole, slice(17)))
    one = changed(resample_symbol, jax.random.key(2), BATCH, 2, 4)
    same = np.asarray(nodes == 4)
    np.testing.assert_array_equal(one.inputs[same], whole.inputs[same])


def test_grammars_keys_and_nodes_map():
    grammars = jax.vmap(lambda key: draw_random_hierarchy(key, SPEC))(
        jax.random.split(jax.random.key(8), 2)
    )
    keys, nodes = jax.random.split(jax.random.key(9), 2), jnp.array([1, 0])

    @jax.jit
    def lane(grammar, key, index):
        return resample_rule(grammar, key, grammar.sample(key, 20), 1, index)

    many = jax.jit(jax.vmap(lane))(grammars, keys, nodes)
    for i in range(2):
        one = lane(take(grammars, i), keys[i], nodes[i])
        jax.tree.map(np.testing.assert_array_equal, take(many, i), one)


def test_strings_can_be_augmented_by_synonyms():
    synonyms = changed(resample_rule, jax.random.key(1), BATCH, 2, 4)
    more = jax.tree.map(lambda *each: jnp.concatenate(each), BATCH, synonyms)
    assert more.inputs.shape == (2 * N, SPEC.num_leaves)
    np.testing.assert_array_equal(more.labels[:N], more.labels[N:])
    assert (more.inputs[:N] != more.inputs[N:]).any(axis=1).all()


SINGLE = from_rules([[[[0, 0]], [[0, 1]]], [[[0, 1], [1, 0]], [[1, 1], [0, 0]]]])
CERTAIN = from_rules(
    [[[[0, 1], [1, 0]], [[1, 1], [0, 0]]]], rule_probabilities=[[[1, 0], [0.5, 0.5]]]
)


def test_what_cannot_be_changed_is_refused():
    single = SINGLE.sample(jax.random.key(0), 3)
    key = jax.random.key(1)
    with pytest.raises(ValueError, match="symbols of level 0 have 1 rule and no other to draw"):
        resample_rule(SINGLE, key, single, 0, 0)
    with pytest.raises(ValueError, match="a symbol of level 0 has no two rules of a probability"):
        resample_rule(CERTAIN, key, CERTAIN.sample(key, 3), 0, 0)
    only = from_rules([[[[0, 0]]]])
    with pytest.raises(ValueError, match="level 1 has 1 symbol and no other"):
        resample_symbol(only, key, only.sample(key, 3), 1, 0)
    for level, resample in ((2, resample_rule), (2, resample_subtree), (3, resample_symbol)):
        with pytest.raises(
            ValueError, match=f"level={level} must be from 0, the root, to {level - 1}"
        ):
            resample(SINGLE, key, single, level, 0)
    with pytest.raises(ValueError, match="index are from 2 to 2, but must be from 0 to 1"):
        resample_rule(SINGLE, key, single, 1, 2)
    with pytest.raises(ValueError, match="index have shape"):
        resample_rule(SINGLE, key, single, 1, jnp.zeros(2, int))
    with pytest.raises(ValueError, match="the batch has 0 levels of latents"):
        resample_rule(SINGLE, key, single.replace(latents=()), 1, 0)

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hierjax.tasks import grammars
from hierjax.tasks.grammar_files import load_grammar, save_grammar
from hierjax.tasks.grammars import (
    draw_random_hierarchy,
    from_rules,
    latin_square_top,
)
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from tests.tasks.laws import take


def check_valid(grammar):
    spec = grammar.spec
    for level, rules in enumerate(np.asarray(table) for table in grammar.rules):
        assert rules.shape == (spec.symbols(level), spec.num_rules[level], spec.branching[level])
        assert rules.max() < spec.symbols(level + 1)
        tuples = rules.reshape(-1, rules.shape[-1])
        assert len(np.unique(tuples, axis=0)) == len(tuples)


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 9), st.integers(2, 3))
def test_drawn_grammars_are_valid(seed, vocab, rules, branching):
    rules = min(rules, vocab ** (branching - 1))
    spec = RandomHierarchySpec(2, vocab, rules, branching, 2)
    check_valid(draw_random_hierarchy(jax.random.key(seed), spec))


@pytest.mark.parametrize(
    "spec",
    [
        RandomHierarchySpec(8, 1000, 50, 2, 2),  # 10^6 codes: drawn by rejection
        RandomHierarchySpec(8, 300, 280, 2, 2),  # 9 in 10 of 90,000 codes in use
        RandomHierarchySpec(4, 70_000, 2, 5, 2),  # codes beyond 64 bits
    ],
)
def test_large_vocabularies_are_drawn_without_codes(spec):
    check_valid(draw_random_hierarchy(jax.random.key(0), spec))


@pytest.mark.parametrize("draw", [grammars._distinct_tuples, grammars._redrawn_tuples])
def test_tuples_are_uniform_without_replacement(draw):
    keys = jax.random.split(jax.random.key(0), 6000)
    drawn = np.asarray(jax.vmap(lambda key: draw(key, 2, 2, 2))(keys))
    pairs = drawn[..., 0] * 2 + drawn[..., 1]
    counts = np.unique(pairs, axis=0, return_counts=True)[1]
    assert len(counts) == 4 * 3
    assert stats.chisquare(counts).pvalue > 1e-5


@pytest.mark.parametrize(
    "sizes", [(8, 8, 4, 2, 3), (4, (2, 6), (1, 3), (3, 2), 2), (3, 3, 1, 1, 2), (300, 300, 4, 3, 1)]
)
def test_every_symbol_is_the_first_child_of_as_many_rules(sizes):
    spec = RandomHierarchySpec(*sizes)
    grammar = draw_random_hierarchy(jax.random.key(0), spec, rule_draw="uniform_first")
    from_rules(grammar.rules, spec.symbols(spec.depth))  # All tuples are distinct.
    for level, rules in enumerate(grammar.rules):
        counts = np.bincount(np.asarray(rules)[..., 0].ravel(), minlength=spec.symbols(level + 1))
        share = spec.symbols(level) * spec.num_rules[level] // spec.symbols(level + 1)
        assert counts.tolist() == [share] * spec.symbols(level + 1)


def test_of_such_rules_all_are_as_likely():
    """Two symbols, each first child of two of the three tuples that begin with it."""
    spec = RandomHierarchySpec(2, (2, 3), (1, 3), (2, 2), 2)
    keys = jax.random.split(jax.random.key(1), 3000)
    draw = lambda key: draw_random_hierarchy(key, spec, rule_draw="uniform_first").rules[1]  # noqa: E731
    rules = np.asarray(jax.vmap(draw)(keys)).reshape(3000, 6, 2).astype(int)
    codes = 3 * rules[..., 0] + rules[..., 1]
    for place in (0, 5):  # Each of 9 tuples is at each place as often.
        assert stats.chisquare(np.bincount(codes[:, place], minlength=9)).pvalue > 1e-4
    kept = np.array([np.isin(range(9), row) for row in codes])
    assert kept.reshape(-1, 3, 3).sum(axis=2).tolist() == [[2, 2, 2]] * 3000
    assert stats.chisquare(kept.sum(axis=0)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("sizes", "draw", "words"),
    [
        ((6, 8, 3, 2, 2), "uniform_first", "8 symbols of level 1 can share .* level 0 has 18"),
        ((2, 2, 2, 2, 2), "first", "rule_draw='first' is unknown: choose of uniform, uniform_f"),
    ],
)
def test_draws_that_the_sizes_do_not_allow_are_refused(sizes, draw, words):
    with pytest.raises(ValueError, match=words):
        draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(*sizes), rule_draw=draw)


def test_drawing_maps_over_keys_and_traces_once():
    spec = RandomHierarchySpec(4, 5, 3, 2, 2)
    chex.clear_trace_counter()
    draw = jax.jit(chex.assert_max_traces(lambda key: draw_random_hierarchy(key, spec), n=1))
    keys = jax.random.split(jax.random.key(0), 3)
    many = jax.vmap(lambda key: draw_random_hierarchy(key, spec))(keys)
    for lane in range(3):
        chex.assert_trees_all_equal(take(many, lane), draw(keys[lane]))


def test_levels_have_streams_of_their_own():
    deep = draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(8, 8, 4, 2, 4))
    flat = draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(8, 8, 4, 2, 2))
    chex.assert_trees_all_equal(deep.rules[:2], flat.rules)
    assert not jnp.array_equal(deep.rules[1], deep.rules[2])


def test_tables_make_the_grammar_they_say():
    drawn = draw_random_hierarchy(
        jax.random.key(0), RandomHierarchySpec(3, (5, 4), (2, 3), (2, 3), 2)
    )
    built = from_rules([np.asarray(table) for table in drawn.rules], vocab_size=4)
    assert built.spec == drawn.spec
    chex.assert_trees_all_equal(built, drawn)


def test_files_bring_the_grammar_back(tmp_path):
    spec = RandomHierarchySpec(3, (5, 4), (2, 3), (2, 3), 2)
    weights = [
        jax.random.dirichlet(jax.random.key(i), jnp.ones(m), (v,))
        for i, (v, m) in enumerate(((3, 2), (5, 3)))
    ]
    for grammar in (
        draw_random_hierarchy(jax.random.key(0), spec),
        draw_random_hierarchy(jax.random.key(0), spec, weights, jnp.array([0.2, 0.3, 0.5])),
    ):
        save_grammar(tmp_path / "grammar.json", grammar)
        loaded = load_grammar(tmp_path / "grammar.json")
        assert loaded.spec == grammar.spec
        chex.assert_trees_all_equal(loaded, grammar)


def test_files_of_other_code_need_rules_only(tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"rules": [[[[0, 1]], [[1, 0]]]]}))
    assert load_grammar(path).spec == RandomHierarchySpec(2, 2, 1, 2, 1)


@pytest.mark.parametrize("content", ["{", "[]", '{"vocab_size": 3}', '{"rules": 7}'])
def test_files_that_hold_no_grammar_are_refused(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="is no grammar"):
        load_grammar(path)


GOOD = np.array([[[0, 1], [1, 0]], [[1, 1], [0, 0]]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rules": []}, "rules is empty"),
        ({"rules": [GOOD[0]]}, r"shape \(2, 2\)"),
        ({"rules": [GOOD * 1.0]}, "float64"),
        ({"rules": [GOOD, GOOD * 3], "vocab_size": 2}, "level 1 use symbols 0 to 3"),
        ({"rules": [GOOD], "vocab_size": 1}, "make only 1"),
        ({"rules": [GOOD + 1], "vocab_size": 2}, "use symbols 1 to 2"),
        ({"rules": [-GOOD], "vocab_size": 3}, "use symbols -1 to 0"),
        ({"rules": [GOOD % 1], "vocab_size": 2}, "share 1 tuples"),
        ({"rules": [GOOD], "class_prior": [0.5, 0.6]}, "sum to one"),
        ({"rules": [GOOD], "class_prior": [1.5, -0.5]}, "non-negative"),
        ({"rules": [GOOD], "class_prior": [1.0]}, r"needs \(2,\)"),
        ({"rules": [GOOD], "rule_probabilities": []}, "0 tables for depth=1"),
        ({"rules": [GOOD], "rule_probabilities": 5}, "no tables for depth=1"),
        ({"rules": [GOOD], "rule_probabilities": [[[1.0], [0.5, 0.5]]]}, "level 0 is no table"),
        ({"rules": [GOOD], "rule_probabilities": [[[1.0, np.nan]] * 2]}, "sum to one"),
    ],
)
def test_tables_that_make_no_grammar_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words) as refusal:
        from_rules(**arguments)
    assert "\n" not in str(refusal.value)


def test_latin_square_hides_the_class_from_single_patches():
    grammar = latin_square_top(
        draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(4, 5, 4, 2, 2))
    )
    check_valid(grammar)
    top = np.asarray(grammar.rules[0])
    for child in range(2):
        by_class = [np.sort(top[label, :, child]) for label in range(4)]
        assert all((each == by_class[0]).all() for each in by_class)
    uneven = from_rules(
        [np.asarray(table) for table in grammar.rules],
        rule_probabilities=[np.full((4, 4), 0.25), np.full((5, 4), 0.25)],
    )
    with pytest.raises(ValueError, match="give no rule_probabilities"):
        latin_square_top(uneven)
    with pytest.raises(ValueError, match="Latin-square"):
        latin_square_top(
            draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(4, 5, 3, 2, 2))
        )

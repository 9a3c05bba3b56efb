"""Variations of grammars: what each of them does, and that inference knows of it."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hierjax.exact import enumerate_language, enumerate_posteriors, likelihood, observe, parse
from hierjax.tasks import (
    GrammarDraw,
    RandomHierarchySpec,
    draw_random_hierarchy,
    from_rules,
    load_grammar,
    save_grammar,
    spread_children,
)
from tests.tasks.laws import check_task_laws

SPEC = RandomHierarchySpec(3, 3, 2, 2, 2)
KEY = jax.random.key(0)
DRAWS = {
    "shared": GrammarDraw(shared_rules=True),
    "ambiguous": GrammarDraw(ambiguous=True),
    "zipf": GrammarDraw(zipf=(1.0,)),
    "spread": GrammarDraw(rule_spread=1.5),
    "prior": GrammarDraw(class_prior=(0.5, 0.25, 0.25)),
    "nulls": GrammarDraw(num_null=1, zipf=(0.5, 1.0)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_laws_of_tasks(draw):
    check_task_laws(lambda key: draw.draw(key, SPEC))


@pytest.mark.parametrize("name", ["ambiguous", "zipf", "spread", "prior", "nulls"])
def test_strings_are_drawn_by_the_probabilities_that_inference_knows(name):
    draw = DRAWS[name]
    spec = dataclasses.replace(SPEC, depth=1, num_rules=(2,), vocab_size=(3,), branching=(2,))
    draw = dataclasses.replace(draw, zipf=draw.zipf and draw.zipf[:1])
    grammar = draw.draw(jax.random.key(3), spec)
    sizes = grammar.spec
    strings = np.array(list(itertools.product(range(sizes.symbols(1)), repeat=sizes.num_leaves)))
    found = likelihood(grammar, observe(sizes, jnp.asarray(strings)))
    chances = np.exp(np.asarray(found.log_likelihood, float))
    assert chances.sum() == pytest.approx(1, abs=1e-5)
    batch = grammar.sample(jax.random.key(4), 20_000)
    code = lambda rows: np.asarray(rows, int) @ sizes.symbols(1) ** np.arange(sizes.num_leaves)  # noqa: E731
    order = {each: index for index, each in enumerate(code(strings))}
    counts = np.bincount([order[each] for each in code(batch.inputs)], minlength=len(strings))
    assert not counts[chances == 0].any()
    some = chances > 0
    expected = chances[some] / chances[some].sum() * counts.sum()
    assert stats.chisquare(counts[some], expected).pvalue > 1e-5


def test_shared_rules_are_those_of_the_first_level_of_the_same_sizes():
    spec = RandomHierarchySpec(4, 8, 2, 2, 4)
    rules = GrammarDraw(shared_rules=True).draw(KEY, spec).rules
    assert rules[0].shape != rules[1].shape
    for table in rules[2:]:
        np.testing.assert_array_equal(table, rules[1])
    own = draw_random_hierarchy(KEY, spec).rules
    np.testing.assert_array_equal(own[1], rules[1])
    assert (np.asarray(own[2]) != np.asarray(rules[2])).any()


def test_classes_of_ambiguous_strings_are_as_enumerated():
    spec = RandomHierarchySpec(3, 3, 4, 2, 2, ambiguous=True)  # More rules than tuples.
    grammar = GrammarDraw().draw(jax.random.key(1), spec)
    batch = grammar.sample(jax.random.key(2), 40)
    evidence = observe(spec, batch.inputs)
    logs, levels = enumerate_posteriors(grammar, evidence)
    found = likelihood(grammar, evidence)
    np.testing.assert_allclose(found.log_likelihood, logs, atol=1e-5)
    np.testing.assert_allclose(found.classes, levels[0][:, 0], atol=1e-5)
    assert ((levels[0] > 0.01) & (levels[0] < 0.99)).any()
    with pytest.raises(ValueError, match="ambiguous grammar has no parse"):
        parse(grammar, batch.inputs)


def test_zipf_rules_fall_by_their_exponent_at_their_level_alone():
    spec = RandomHierarchySpec(4, 8, 8, 2, 2)
    top, below = GrammarDraw(zipf=(1.0, -1.0)).draw(KEY, spec).rule_probabilities
    np.testing.assert_allclose(top[:, 0] / top[:, 3], 16, rtol=1e-5)
    np.testing.assert_allclose(below, 1 / 8, rtol=1e-5)


def test_children_stand_at_all_places_among_nulls():
    grammar = draw_random_hierarchy(KEY, SPEC)
    sparse = spread_children(grammar, 1)
    assert sparse.spec == RandomHierarchySpec(3, 4, 2 * 2**2, 4, 2)
    for level, (table, plain) in enumerate(zip(sparse.rules, grammar.rules, strict=True)):
        for symbol, rules in enumerate(np.asarray(plain)):
            want = {
                tuple(
                    child if place == at else 3
                    for child, at in zip(rule, places, strict=True)
                    for place in range(2)
                )
                for rule in rules.tolist()
                for places in itertools.product(range(2), repeat=2)
            }
            assert {tuple(rule) for rule in np.asarray(table[symbol]).tolist()} == want
        if level:
            assert (np.asarray(table[3]) == 3).all()


def test_sparse_strings_are_parsed_and_their_nulls_told():
    grammar = GrammarDraw(num_null=1).draw(KEY, SPEC)
    batch = grammar.sample(jax.random.key(1), 200)
    found = parse(grammar, batch.inputs)
    assert bool(found.possible.all())
    for ours, theirs in zip(found.levels, batch.latents, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    kept = [np.asarray(level) != 3 for level in batch.latents[1:]]
    assert [each.sum(axis=1).tolist() for each in kept] == [[2] * 200, [4] * 200]


def test_variations_are_saved_and_loaded(tmp_path):
    for name in ("ambiguous", "nulls"):
        grammar = DRAWS[name].draw(KEY, SPEC)
        save_grammar(tmp_path / "grammar.json", grammar)
        found = load_grammar(tmp_path / "grammar.json")
        assert found.spec == grammar.spec
        for ours, theirs in zip(found.rules, grammar.rules, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_rule_given_twice_counts_twice():
    grammar = from_rules([[[[0, 1], [0, 1], [1, 0]]]])
    language = enumerate_language(grammar)
    shares = np.exp(language.log_probabilities)
    assert shares[(language.levels[1] == [0, 1]).all(axis=1)].sum() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"zipf": (1.0, 2.0, 3.0)}, "zipf lists 3 numbers for 2 levels"),
        ({"zipf": (-2.0,)}, "zipf=-2.0 must be numbers from -1"),
        ({"zipf": (1.0,), "rule_spread": 1.0}, "both say how unequal rules are"),
        ({"class_prior": (0.5, 0.5)}, "class_prior lists 2 numbers for 3 classes"),
        ({"class_prior": (0.5, 0.5, 0.5)}, "must sum to one, but sums to 1.5"),
        ({"top_rule": "latin_square"}, "Latin-square"),
        ({"rule_draw": "uniform_first", "ambiguous": True}, "needs distinct tuples"),
        ({"num_null": -1}, "num_null=-1 must be from 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, words):
    with pytest.raises(ValueError, match=words) as refusal:
        GrammarDraw(**options).check(SPEC)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({}, True),
        ({"zipf": (-1.0,), "shared_rules": True}, True),
        ({"top_rule": "latin_square"}, True),
        ({"zipf": (1.0,)}, False),
        ({"rule_spread": 0.5}, False),
        ({"class_prior": (0.9, 0.1)}, False),
        ({"ambiguous": True}, False),
    ],
)
def test_which_grammars_make_all_strings_equally_probable(given, same):
    draw, spec = GrammarDraw(**given), RandomHierarchySpec(2, 3, 2, 2, 2)
    assert draw.equiprobable == same
    language = enumerate_language(draw.draw(jax.random.key(3), spec))
    _, own = np.unique(language.levels[-1], axis=0, return_inverse=True)
    shares = np.bincount(own.reshape(-1), np.exp(language.log_probabilities))
    assert (np.ptp(shares) < 1e-7) == same


def test_unequal_rules_would_tell_classes_of_a_latin_square_apart():
    spec = RandomHierarchySpec(3, 3, 3, 2, 2)
    with pytest.raises(ValueError, match="needs equal rules"):
        GrammarDraw(top_rule="latin_square", zipf=(1.0,)).check(spec)


def test_chance_is_the_error_of_the_most_frequent_class():
    assert DRAWS["prior"].chance_error(SPEC) == 0.5
    assert DRAWS["zipf"].chance_error(SPEC) == pytest.approx(2 / 3)

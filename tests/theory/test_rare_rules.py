"""Rules of unequal frequency, against sampled strings."""

import jax
import numpy as np
import pytest

from hierjax.tasks.grammar_draws import GrammarDraw
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.theory.rare_rules import (
    missing_mass,
    rare_rule_error,
    strings_of_rules,
    zipf_shares,
)

SPEC = RandomHierarchySpec(8, (8, 16), (4, 32), 2, 2)


def test_shares_are_those_of_drawn_grammars():
    draw = GrammarDraw(zipf=(-1.0, 1.5))
    grammar = draw.draw(jax.random.key(0), SPEC)
    for level, exponent in enumerate(draw.zipf):
        expected = zipf_shares(SPEC.num_rules[level], exponent)
        np.testing.assert_allclose(grammar.rule_shares(level)[3], expected, rtol=1e-5)


def test_the_missing_mass_is_that_of_sampled_strings():
    """Of a grammar of one symbol, whose strings are its rules."""
    spec, num_draws = RandomHierarchySpec(1, 6, 16, 2, 1), 20
    grammar = GrammarDraw(zipf=(0.5,)).draw(jax.random.key(1), spec)
    strings = np.array(grammar.sample(jax.random.key(2), 4000 * num_draws).inputs)
    rules = (strings[:, None] == np.array(grammar.rules[0][0])).all(axis=-1)
    drawn = rules.reshape(4000, num_draws, 16).any(axis=1)
    missing = ~drawn @ np.array(grammar.rule_shares(0)[0])
    error = np.std(missing) / np.sqrt(4000)
    expected = missing_mass(zipf_shares(16, 0.5), num_draws)
    assert abs(missing.mean() - expected) < 4 * error


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_missing_mass_falls_by_the_law(exponent):
    sizes = np.array([1e4, 1e5])
    low, high = np.log(missing_mass(zipf_shares(10**6, exponent), sizes))
    np.testing.assert_allclose((high - low) / np.log(10), -exponent / (1 + exponent), atol=0.02)


def test_equal_rules_take_the_predicted_number_of_strings():
    for level in (0, 1):
        shares = zipf_shares(SPEC.num_rules[level], -1)
        np.testing.assert_allclose(strings_of_rules(SPEC, level, shares), 8 * 4 * 32)
    with pytest.raises(ValueError, match="level=2 must be from 0 to 1, above the leaves"):
        strings_of_rules(SPEC, 2, zipf_shares(32, 1))


def test_the_error_falls_from_chance_to_none():
    shares = zipf_shares(32, 1)
    found = rare_rule_error(SPEC, 1, shares, np.array([0, 10**3, 10**8]))
    np.testing.assert_allclose(found[[0, 2]], [7 / 8, 0], atol=1e-12)
    per_node = missing_mass(shares, 10**3 / 32)
    np.testing.assert_allclose(found[1], 7 / 8 * (1 - (1 - per_node) ** 2))

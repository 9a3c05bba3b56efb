"""Sums of the recursion, random trees, parsing, floors of the next token; in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hierjax.exact import (
    derivable,
    drawn,
    enumerate_language,
    largest,
    likelihood,
    log_sum,
    next_tokens,
    observe,
    parse,
    posteriors,
    sample_derivations,
    weigh,
)
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy
from tests.exact.grammars import CASES, random_grammar
from tests.tasks.derivations import taken_rules

SUMS = {"log_sum": log_sum, "largest": largest, "drawn": drawn(jax.random.key(0), 0)}


@pytest.mark.parametrize("name", SUMS)
def test_laws_of_a_semiring(name):
    """Sums do not depend on order or grouping, and products distribute over them."""
    add = SUMS[name]
    terms = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 3, 5)) * 20, jnp.float32)
    factor = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 5)) * 20, jnp.float32)
    total = add(0, terms)
    pairs = add(1, terms.reshape(2, 2, 3, 3, 5).transpose(2, 0, 1, 3, 4).reshape(6, 2, 3, 5))
    # Sums of pairs (i, i + 3), three for each of the two symbols.
    grouped = add(2, pairs.reshape(3, 2, 3, 5).transpose(1, 0, 2, 3))
    for same in (add(3, terms[:, ::-1]), grouped, add(4, terms + factor[:, None]) - factor):
        np.testing.assert_allclose(same, total, rtol=1e-5, atol=1e-5)
    # The shares of the terms are their gradient, and sum to one.
    shares = jax.grad(lambda terms: add(0, terms).sum())(terms)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    if name != "log_sum":
        assert set(np.unique(shares)) == {0, 1}


def test_random_trees_follow_the_posterior():
    """Counts of whole trees against the probabilities of all strings of a language."""
    spec = RandomHierarchySpec(2, 3, 2, 2, 2)
    grammar = random_grammar(spec, 2, uneven=True)
    n, weights = 20_000, np.random.default_rng(3).random((1, spec.num_leaves, 3))
    evidence = weigh(spec, jnp.asarray(np.repeat(weights, n, axis=0), jnp.float32))
    trees = sample_derivations(grammar, evidence, jax.random.key(5))
    language = enumerate_language(grammar)
    logs = language.log_joint(jax.tree.map(lambda x: x[:1], evidence))[0]
    shares = np.exp(logs - np.logaddexp.reduce(logs))
    strings = {tuple(row): i for i, row in enumerate(language.levels[-1].tolist())}
    index = [strings[tuple(row)] for row in np.asarray(trees.levels[-1]).tolist()]
    for value, symbols in zip(trees.levels, language.levels, strict=True):
        np.testing.assert_array_equal(value, symbols[index])
    counts = np.bincount(index, minlength=len(shares))
    seen = shares > 0
    assert not counts[~seen].any()
    assert stats.chisquare(counts[seen], shares[seen] * n).pvalue > 1e-4
    # Of a shorter stream they are the first.
    fewer = sample_derivations(grammar, jax.tree.map(lambda x: x[:7], evidence), jax.random.key(5))
    for value, longer in zip(fewer.levels, trees.levels, strict=True):
        np.testing.assert_array_equal(value, longer[:7])


@pytest.mark.parametrize("filtered", [0, 2])
def test_random_trees_have_the_marginals_of_the_posterior(filtered):
    spec, uneven, _ = CASES["uneven"]
    grammar = random_grammar(spec, 1, uneven)
    n, weights = 4000, np.random.default_rng(0).random((1, spec.num_leaves, 4))
    evidence = weigh(spec, jnp.asarray(np.repeat(weights, n, axis=0), jnp.float32))
    trees = sample_derivations(grammar, evidence, jax.random.key(2), filtered)
    expected = posteriors(grammar, jax.tree.map(lambda x: x[:1], evidence), filtered=filtered)
    for level in [0, 2, 3]:
        for node, shares in enumerate(np.asarray(expected.levels[level][0], np.float64)):
            counts = np.bincount(trees.levels[level][:, node], minlength=len(shares))
            seen = shares * n > 5
            rest = n - counts[seen].sum()
            assert rest <= (1 - shares[seen].sum()) * n + 5 * np.sqrt(rest + 1)
            scaled = shares[seen] / shares[seen].sum() * counts[seen].sum()
            assert seen.sum() < 2 or stats.chisquare(counts[seen], scaled).pvalue > 1e-5
    for level in [2] if filtered else range(spec.depth):
        taken_rules(grammar.rules[level], trees.levels[level], trees.levels[level + 1])


@pytest.mark.parametrize("case", ["uneven", "two levels", "one rule"])
def test_parsing_finds_the_tree(case):
    spec, uneven, _ = CASES[case]
    grammar = random_grammar(spec, 0, uneven)
    language = enumerate_language(grammar)
    result = parse(grammar, jnp.asarray(language.levels[-1]))
    assert result.possible.all()
    for value, symbols in zip(result.levels, language.levels, strict=True):
        np.testing.assert_array_equal(value, symbols)


def test_parsing_and_inside_agree_on_what_is_in_the_language():
    spec, _, _ = CASES["two levels"]
    grammar = random_grammar(spec, 0, uneven=False)
    strings = jnp.asarray(np.random.default_rng(0).integers(0, 5, (2000, spec.num_leaves)))
    inside = likelihood(grammar, observe(spec, strings))
    fails_at = parse(grammar, strings).fails_at
    np.testing.assert_array_equal(fails_at, inside.fails_at)
    assert set(np.unique(fails_at)) == {-1, 0, 1}


@pytest.mark.parametrize("case", ["uneven", "two levels"])
def test_nodes_make_sense_where_rules_written_one_by_one_say_so(case):
    spec, uneven, _ = CASES[case]
    grammar = random_grammar(spec, 0, uneven)
    # Strings of the language, some of whose leaves are replaced.
    rng, strings = np.random.default_rng(0), enumerate_language(grammar).levels[-1][:200].copy()
    flips = rng.random(strings.shape) < 0.3
    strings[flips] = rng.integers(0, spec.symbols(spec.depth), flips.sum())
    found = derivable(grammar, jnp.asarray(strings))
    for row, string in enumerate(strings.tolist()):
        nodes = string
        for level in range(spec.depth - 1, -1, -1):
            made = {
                tuple(children): symbol
                for symbol, rules in enumerate(grammar.rules[level].tolist())
                for children in rules
            }
            size = spec.branching[level]
            tuples = [tuple(nodes[at : at + size]) for at in range(0, len(nodes), size)]
            nodes = [made.get(each) for each in tuples]
            assert found[level][row].tolist() == [each is not None for each in nodes]


def test_floors_of_the_next_token():
    """Those of a prototype, for another grammar; of uniform rules they add up exactly."""
    spec = RandomHierarchySpec(16, 16, 4, 2, 3)
    grammar = draw_random_hierarchy(jax.random.key(0), spec)
    strings = grammar.sample(jax.random.key(1), 512).inputs
    ahead = next_tokens(grammar, observe(spec, strings)).probabilities
    taken = jnp.take_along_axis(ahead, strings[..., None].astype(int), axis=-1)[..., 0]
    np.testing.assert_allclose(-jnp.log(taken).sum(axis=1), np.log(spec.num_strings), atol=1e-5)
    prototype = [2.674, 1.426, 2.229, 0.498, 2.620, 1.070, 1.720, 0.239]
    np.testing.assert_allclose(-jnp.log(taken).mean(axis=0), prototype, atol=0.15)


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_programs_lower_for_accelerators_and_hold_products_not_gathers(platform):
    spec = RandomHierarchySpec(8, 8, 4, 2, 3)
    grammar = draw_random_hierarchy(jax.random.key(0), spec)

    def program(grammar, strings, hidden, key):
        evidence = observe(spec, strings, hidden)
        return (
            posteriors(grammar, evidence),
            next_tokens(grammar, evidence),
            sample_derivations(grammar, evidence, key),
        )

    args = (jnp.zeros((64, 8), jnp.uint8), jnp.zeros((64, 8), bool), jax.random.key(0))
    lowered = jax.jit(program).trace(grammar, *args).lower(lowering_platforms=(platform,))
    text = lowered.as_text()
    assert "stablehlo.dot_general" in text
    assert "stablehlo.gather" not in text
    assert "f64" not in text

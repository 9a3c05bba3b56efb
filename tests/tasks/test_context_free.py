import collections
import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.exact import chart_likelihood
from hierjax.tasks import (
    LAYERED,
    NOT_ASKED,
    LayeredSpec,
    Rule,
    context_free,
    layered_grammar,
    parse_context_free,
)
from tests.exact.enumerated import language
from tests.tasks.context_free_texts import ARITHMETIC, MIXED, rules_in

SMALL = dataclasses.replace(LAYERED["cfg3h"], num_levels=4)


def strings_of(grammar, batch):
    """Strings as tuples of terminals, without the end."""
    tokens = np.asarray(batch.inputs)
    return [
        tuple(grammar.spec.terminals[token] for token in row[: length - 1])
        for row, length in zip(tokens, np.asarray(batch.labels), strict=True)
    ]


@pytest.mark.parametrize("text", [ARITHMETIC, MIXED], ids=["arithmetic", "mixed"])
@pytest.mark.parametrize("most", [5, 8])
def test_strings_are_drawn_with_the_probabilities_of_their_derivations(text, most):
    """Those of at most so many tokens; longer ones are drawn anew, not cut."""
    grammar, n = parse_context_free(text, most + 1), 20_000
    shares = language(rules_in(text), most)
    total = sum(shares.values())
    assert grammar.spec.share == pytest.approx(total)
    batch = grammar.sample(jax.random.key(0), n)
    counts = collections.Counter(strings_of(grammar, batch))
    assert set(counts) <= set(shares)
    for string, share in shares.items():
        mean = n * share / total
        assert abs(counts[string] - mean) <= 6 * mean**0.5 + 6
    is_end, lengths = np.asarray(batch.inputs) == grammar.spec.end, np.asarray(batch.labels)
    np.testing.assert_array_equal(is_end, np.arange(most + 1)[None] >= lengths[:, None] - 1)


@pytest.mark.parametrize(
    "grammar",
    [parse_context_free(ARITHMETIC, 12), layered_grammar(jax.random.key(0), SMALL)],
    ids=["arithmetic", "layered"],
)
def test_smaller_draws_are_the_first_of_larger_ones_whatever_they_are_mapped_over(grammar):
    keys = jax.random.split(jax.random.key(1), 3)
    many = jax.vmap(lambda key: grammar.sample(key, 50))(keys)
    for index, key in enumerate(keys):
        few = grammar.sample(key, 20)
        jax.tree.map(
            lambda all, own, index=index: np.testing.assert_array_equal(all[index, :20], own),
            many,
            few,
        )


def test_trees_of_layered_strings_are_made_by_the_rules():
    """Runs of what stands above tokens, from one round to the next, are rules of the grammar."""
    grammar = layered_grammar(jax.random.key(3), SMALL)
    batch = grammar.sample(jax.random.key(1), 300)
    names = grammar.spec.symbols + grammar.spec.terminals
    rules = {
        (names[symbol], tuple(names[child] for child in row if child >= 0))
        for symbol, own in enumerate(np.asarray(grammar.children))
        for row in own
        if row[0] >= 0
    }
    lowest = np.where(np.asarray(batch.inputs) == grammar.spec.end, -1, batch.inputs)
    lowest = np.where(lowest < 0, -1, lowest + len(grammar.spec.symbols))
    levels = [np.asarray(each) for each in batch.latents] + [lowest]
    assert len(levels) == SMALL.num_levels
    assert (levels[0][levels[-1] >= 0] == 0).all()
    # The last round's runs: two neighbours of a level may stand below the same symbol, or below
    # two that are alike, so that runs may hold several rules.
    for above, below in itertools.pairwise(levels[-2:]):
        for one, other in zip(above, below, strict=True):
            for symbol, run in itertools.groupby(zip(one, other, strict=True), key=lambda x: x[0]):
                if symbol >= 0:
                    children = tuple(names[child] for _, child in run)
                    assert _splits(names[symbol], children, rules)
    assert np.isfinite(chart_likelihood(grammar, batch.inputs)).all()


def _splits(symbol, children, rules):
    """Whether children are made by some rules of a symbol, one after the other."""
    return not children or any(
        (symbol, children[:size]) in rules and _splits(symbol, children[size:], rules)
        for size in range(1, len(children) + 1)
    )


def test_lengths_of_layered_strings_are_what_rules_of_two_and_three_allow():
    grammar = layered_grammar(jax.random.key(0), SMALL)
    lengths = np.asarray(grammar.sample(jax.random.key(1), 500).labels) - 1
    assert (grammar.spec.max_length, grammar.spec.rounds) == (28, 3)
    assert grammar.spec.share == pytest.approx(1)
    assert 8 <= lengths.min() < lengths.max() <= 27


@pytest.mark.parametrize("spec", LAYERED.values(), ids=LAYERED)
def test_symbols_of_layered_grammars_have_rules_that_are_all_different(spec):
    grammar = layered_grammar(jax.random.key(5), spec)
    made = [tuple(row) for own in np.asarray(grammar.children) for row in own if row[0] >= 0]
    assert len(set(made)) == len(made)
    counts = (np.asarray(grammar.children)[..., 0] >= 0).sum(axis=1)
    assert set(counts) <= set(spec.num_rules)
    sizes = (np.asarray(grammar.children) >= 0).sum(axis=-1)
    assert set(sizes[sizes > 0]) <= {2, 3}
    repeats = [any(a == b >= 0 for a, b in itertools.pairwise(each)) for each in made]
    assert any(repeats) != spec.neighbours_differ


def test_layered_strings_may_be_kept_short():
    grammar = layered_grammar(jax.random.key(0), SMALL, 16)
    whole = layered_grammar(jax.random.key(0), SMALL).sample(jax.random.key(1), 4000).labels
    share = (np.asarray(whole) <= 16).mean()
    assert abs(share - grammar.spec.share) < 6 * (share / 4000) ** 0.5
    assert grammar.sample(jax.random.key(1), 200).labels.max() <= 16


def test_tokens_are_asked_up_to_the_end():
    grammar = parse_context_free(ARITHMETIC, 12)
    batch = grammar.sample(jax.random.key(0), 50)
    inputs, targets = grammar.next_token(batch)
    beyond = jnp.arange(12)[None] >= batch.labels[:, None]
    np.testing.assert_array_equal(targets, jnp.where(beyond, NOT_ASKED, batch.inputs))
    assert (inputs[:, 0] == grammar.spec.num_symbols).all()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], "there are no rules"),
        ([Rule("S", ("'a'",), 0.5)], "the rules of S have probabilities that sum to 0.5, not 1"),
        ([Rule("S", ("'a'",), -1.0), Rule("S", ("'b'",), 2.0)], "S has a rule of probability -1"),
        ([Rule("S", (), 1.0)], "S has a rule that makes nothing"),
        ([Rule("S", ("A",), 1.0)], "A has no rules: give some, or put a terminal in quotes"),
        (
            [Rule("S", ("'a'",), 1.0), Rule("A", ("'b'",), 1.0)],
            "A is not reached from S: leave its rules out",
        ),
        ([Rule("S", ("S", "'a'"), 1.0)], "S is never rewritten into terminals alone"),
        (
            [Rule("S", ("S", "S"), 0.75), Rule("S", ("'a'",), 0.25)],
            "derivations need not end, since symbols multiply by 1.5 in every step",
        ),
        (
            [Rule("S", ("'a'", "'b'", "'c'"), 1.0)],
            "a share of 0 of the strings have at most max_length=3 tokens",
        ),
    ],
)
def test_what_is_no_grammar_is_refused_in_a_sentence(rules, words):
    with pytest.raises(ValueError, match=words) as refusal:
        context_free(rules, 3)
    assert "\n" not in str(refusal.value)


def test_sizes_out_of_bounds_are_refused():
    with pytest.raises(ValueError, match="max_length=1 must be from 2"):
        context_free([Rule("S", ("'a'",), 1.0)], 1)
    with pytest.raises(ValueError, match="symbols_per_level=2 make 12 tuples, not twice as many"):
        LayeredSpec(symbols_per_level=2, num_rules=(4,))


def test_chains_of_single_symbols_may_come_back():
    """The sum over all of them is a geometric series."""
    rules = [
        Rule("A", ("B",), 0.5),
        Rule("A", ("'a'",), 0.5),
        Rule("B", ("A",), 0.5),
        Rule("B", ("'b'",), 0.5),
    ]
    grammar = context_free(rules, 3)
    found = np.exp(chart_likelihood(grammar, np.array([[0], [1]])))
    np.testing.assert_allclose(found, [2 / 3, 1 / 3], rtol=1e-6)
    tokens = grammar.sample(jax.random.key(0), 4000).inputs[:, 0]
    assert abs((np.asarray(tokens) == 0).mean() - 2 / 3) < 6 * (2 / 9 / 4000) ** 0.5

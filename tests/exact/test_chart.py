import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.exact import (
    chart_likelihood,
    chart_next_tokens,
    likelihood,
    next_tokens,
    observe,
    parse,
)
from hierjax.tasks import (
    LayeredSpec,
    RandomHierarchySpec,
    context_free,
    draw_random_hierarchy,
    layered_grammar,
    parse_context_free,
)
from hierjax.tasks.normal_form import Rule
from tests.exact.enumerated import language, rules_of
from tests.tasks.context_free_texts import ARITHMETIC, MIXED, rules_in

TOLERANCE = 1e-10


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def rows(grammar, strings, width):
    """Strings of terminals as tokens, filled with the end."""
    table = np.full((len(strings), width), grammar.spec.end)
    for row, string in zip(table, strings, strict=True):
        row[: len(string)] = [grammar.spec.terminals.index(each) for each in string]
    return table


def close(value, expected):
    np.testing.assert_allclose(value, expected, rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def arithmetic():
    with jax.enable_x64(True):
        grammar = parse_context_free(ARITHMETIC, 11)
        return grammar, language(rules_in(ARITHMETIC), 10)


def test_strings_of_arithmetic_are_as_probable_as_their_derivations(arithmetic):
    grammar, shares = arithmetic
    assert len(shares) > 10_000
    close(sum(shares.values()), grammar.spec.share)
    strings = rows(grammar, list(shares)[::5], 10)
    close(np.exp(chart_likelihood(grammar, strings)), list(shares.values())[::5])


def test_strings_that_are_not_in_the_language_are_impossible(arithmetic):
    grammar, shares = arithmetic
    strings = jax.random.randint(jax.random.key(0), (500, 6), 0, grammar.spec.num_symbols)
    found = np.exp(chart_likelihood(grammar, strings))
    for row, value in zip(np.asarray(strings), found, strict=True):
        tokens = [*row, grammar.spec.end]
        string = tuple(grammar.spec.terminals[i] for i in tokens[: tokens.index(grammar.spec.end)])
        assert value == pytest.approx(shares.get(string, 0.0), abs=TOLERANCE)


def test_tokens_of_arithmetic_make_up_their_strings(arithmetic):
    grammar, shares = arithmetic
    strings = rows(grammar, list(shares)[:: len(shares) // 500], 11)
    law = chart_next_tokens(grammar, strings)
    close(law.sum(axis=-1), 1)
    logs = np.log(np.take_along_axis(np.asarray(law), strings[..., None], axis=-1))
    close(logs.sum(axis=(1, 2)), chart_likelihood(grammar, strings))


def test_all_that_may_be_next_is_what_the_strings_of_a_small_language_go_on_with():
    """Rules of one, two and three symbols, some of which share what they make."""
    grammar, shares = parse_context_free(MIXED, 12), language(rules_in(MIXED), 11)
    close(sum(shares.values()), 1)
    strings = rows(grammar, list(shares), 12)
    values = np.array(list(shares.values()))
    close(np.exp(chart_likelihood(grammar, strings)), values)
    laws = np.asarray(chart_next_tokens(grammar, strings))
    for string, law in zip(strings[::7], laws[::7], strict=True):
        for place in range(12):
            same = (strings[:, :place] == string[:place]).all(axis=1)
            counts = np.bincount(strings[same, place], values[same], grammar.spec.num_symbols)
            close(law[place], counts / counts.sum())


def test_what_may_be_next_counts_strings_of_all_lengths():
    """Symbols come back on the left and inside; strings beyond 13 tokens weigh less than 1e-12."""
    text = "E -> E '+' T [.004] | T [.996]\nT -> '(' E ')' [.004] | 'x' [.996]"
    grammar, shares = parse_context_free(text, 14), language(rules_in(text), 13)
    assert 0 < 1 - sum(shares.values()) < 1e-12
    begun = {}
    for string, share in shares.items():
        for size in range(len(string) + 1):
            begun[string[:size]] = begun.get(string[:size], 0.0) + share
    few = [string for string in shares if len(string) <= 5]
    laws = np.asarray(chart_next_tokens(grammar, rows(grammar, few, 6)))
    for string, law in zip(few, laws, strict=True):
        for place in range(len(string) + 1):
            before = string[:place]
            own = [begun.get((*before, each), 0.0) for each in grammar.spec.terminals]
            # As shares of all strings, in which roundings and the tail are small.
            close(law[place] * begun[before], [*own, shares.get(before, 0.0)])


@pytest.mark.parametrize("ambiguous", [False, True])
def test_random_hierarchies_are_what_their_own_recursion_says(ambiguous):
    spec = RandomHierarchySpec(3, 4, 4, 2, 3, ambiguous=ambiguous)
    rng = np.random.default_rng(0)
    shares = [rng.dirichlet([2] * 4, spec.symbols(level)) for level in range(spec.depth)]
    grammar = draw_random_hierarchy(jax.random.key(2), spec, shares, rng.dirichlet([2] * 3))
    general = context_free(rules_of(grammar), spec.num_leaves + 1)
    names = [f"'{spec.depth}.{index}'" for index in range(spec.symbols(spec.depth))]
    assert set(names) == set(general.spec.terminals)
    number = np.array([general.spec.terminals.index(name) for name in names])
    strings = general.sample(jax.random.key(0), 20).inputs[:, : spec.num_leaves]
    evidence = observe(spec, number.argsort()[strings])
    close(chart_likelihood(general, strings), likelihood(grammar, evidence).log_likelihood)
    law = chart_next_tokens(general, strings)
    close(law[..., number], next_tokens(grammar, evidence).probabilities)
    close(law[..., general.spec.end], 0)


def test_nothing_follows_what_is_impossible_and_the_end_follows_the_end(arithmetic):
    grammar, _ = arithmetic
    plus, x, end = grammar.spec.terminals.index("'+'"), grammar.spec.terminals.index("'x'"), -1
    strings = np.array([[x, plus, plus, x, end], [x, end, end, end, end]])
    strings = np.where(strings == end, grammar.spec.end, strings)
    wrong, short = np.asarray(chart_next_tokens(grammar, strings))
    assert np.isfinite(wrong[:3]).all()
    assert wrong[2, plus] == 0
    assert np.isnan(wrong[3:]).all()
    np.testing.assert_array_equal(short[2:], np.eye(grammar.spec.num_symbols)[[-1] * 3])


def test_long_strings_keep_their_digits_in_single_precision():
    grammar = layered_grammar(jax.random.key(0), LayeredSpec(num_levels=5))
    strings = grammar.sample(jax.random.key(1), 8)
    exact = chart_likelihood(grammar, strings.inputs)
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == float else x, grammar)
    np.testing.assert_allclose(chart_likelihood(single, strings.inputs), exact, rtol=1e-4)
    assert np.isfinite(exact).all()
    law = np.asarray(chart_next_tokens(single, strings.inputs))
    logs = np.log(np.take_along_axis(law, np.asarray(strings.inputs)[..., None], axis=-1))
    np.testing.assert_allclose(logs.sum(axis=(1, 2)), exact, rtol=1e-4)


@pytest.mark.parametrize("rule", ["S 'a'", "'a' S", "S S"])
def test_symbols_that_come_back_below_themselves_make_spans_of_any_width(rule):
    grammar = parse_context_free(f"S -> {rule} [0.4] | 'a' [0.6]", 90)
    found = chart_likelihood(grammar, np.tril(np.ones((80, 80), int)) ^ 1)
    pairs = np.arange(80)
    trees, words = np.ones(80), np.ones(80)
    if rule == "S S":  # As many trees as there are ways to set brackets.
        trees, words = np.array([math.comb(2 * k, k) / (k + 1) for k in range(80)]), pairs + 1
    expected = np.log(trees) + pairs * np.log(0.4) + words * np.log(0.6)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE)


def test_what_is_no_string_is_refused(arithmetic, untyped):
    grammar, _ = arithmetic
    with pytest.raises(ValueError, match="give strings"):
        chart_likelihood(grammar, np.zeros(5, int))
    with pytest.raises(ValueError, match="tokens"):
        chart_next_tokens(grammar, np.full((1, 5), 99))
    with pytest.raises(ValueError, match="strings of 9000 tokens need charts"):
        chart_likelihood(grammar, np.zeros((1, 9000), int))


def test_grammars_of_the_other_kind_are_refused_in_a_sentence(arithmetic, untyped):
    grammar, _ = arithmetic
    hierarchy = draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(2, 2, 2, 2, 2))
    strings = np.zeros((1, 4), int)
    for call in (
        lambda: observe(grammar.spec, strings),
        lambda: likelihood(grammar, observe(hierarchy.spec, strings)),
        lambda: parse(grammar, strings),
    ):
        with pytest.raises(ValueError, match=r"ContextFreeSpec is no random .* chart_likelihood"):
            call()
    with pytest.raises(ValueError, match="a RandomHierarchy has no chart: write its rules out"):
        chart_likelihood(hierarchy, strings)


def test_a_grammar_of_single_terminals_has_a_chart():
    grammar = context_free([Rule("S", ("'a'",), 0.25), Rule("S", ("'b'",), 0.75)], 2)
    close(np.exp(chart_likelihood(grammar, np.array([[1], [0]]))), [0.75, 0.25])
    law = chart_next_tokens(grammar, np.array([[1, 2]]))
    close(law, [[[0.25, 0.75, 0], [0, 0, 1]]])

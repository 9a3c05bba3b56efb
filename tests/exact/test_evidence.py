"""Kernels, strings outside of the language, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.exact import (
    Evidence,
    best_derivations,
    enumerate_language,
    enumerate_posteriors,
    likelihood,
    next_tokens,
    observe,
    other_tokens,
    parse,
    posteriors,
    require_possible,
    weigh,
)
from hierjax.tasks import RandomHierarchySpec, draw_random_hierarchy, from_rules

SPEC = RandomHierarchySpec(2, (4, 3, 3), 2, 2, 3)
GRAMMAR = draw_random_hierarchy(jax.random.key(0), SPEC)
STRINGS = GRAMMAR.sample(jax.random.key(1), 4).inputs
KERNEL = jnp.asarray([[0.7, 0.1, 0.2, 0.0], [0.0, 0.5, 0.0, 0.5], [0.1, 0.2, 0.3, 0.4]])


def test_strings_seen_through_a_kernel():
    """The sum over all strings of P(string) P(seen | string)."""
    language = enumerate_language(GRAMMAR)
    seen = np.random.default_rng(0).integers(0, 4, (20, SPEC.num_leaves))
    hidden = np.random.default_rng(1).random(seen.shape) < 0.2
    factors = np.asarray(KERNEL, float)[language.levels[-1][None], seen[:, None]]
    factors = np.where(hidden[:, None], 1, factors).prod(axis=-1)
    evidence = observe(SPEC, jnp.asarray(seen), jnp.asarray(hidden), KERNEL)
    likely = np.exp(likelihood(GRAMMAR, evidence).log_likelihood)
    expected = factors @ np.exp(language.log_probabilities)
    assert 3 <= (expected > 0).sum() < 20
    np.testing.assert_allclose(likely, expected, rtol=1e-5)


def test_observed_strings_have_the_tree_that_made_them():
    batch = GRAMMAR.sample(jax.random.key(1), 50)
    result = posteriors(GRAMMAR, observe(SPEC, batch.inputs))
    for shares, symbols in zip(result.levels, batch.latents, strict=True):
        hot = jax.nn.one_hot(symbols, shares.shape[-1])
        np.testing.assert_allclose(shares, hot, atol=1e-6)


def outsiders():
    """Strings that fail at the levels 2, 1 and 0, and one of the language."""
    pairs = [[[[0, 1]], [[1, 0]]], [[[0, 0]], [[1, 1]]], [[[0, 1]], [[1, 0]]]]
    grammar = from_rules(pairs)
    strings = [[0, 0, 0, 1, 1, 0, 1, 0], [0, 1, 1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1, 0, 1]]
    return grammar, jnp.asarray([*strings, [0, 1, 0, 1, 1, 0, 1, 0]])


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["outside", "jit"])
def test_a_string_outside_of_the_language_is_told_with_the_level_where_it_fails(wrap):
    grammar, strings = outsiders()
    levels = [2, 1, 0, -1]
    evidence = observe(grammar.spec, strings)
    result = wrap(posteriors)(grammar, evidence)
    np.testing.assert_array_equal(result.likelihood.fails_at, levels)
    np.testing.assert_array_equal(wrap(parse)(grammar, strings).fails_at, levels)
    np.testing.assert_array_equal(wrap(best_derivations)(grammar, evidence).fails_at, levels)
    np.testing.assert_array_equal(
        result.likelihood.log_likelihood, np.array([-np.inf] * 3 + [np.log(0.5)], np.float32)
    )
    for each in result.levels:
        np.testing.assert_array_equal(each.sum(axis=-1)[:3], 0)
        np.testing.assert_allclose(each.sum(axis=-1)[3], 1)
    ahead = wrap(next_tokens)(grammar, evidence)
    # The first token that cannot stand there is told by its probability; what follows has none.
    np.testing.assert_array_equal(ahead.possible.sum(axis=1), [2, 3, 5, 8])
    assert jnp.isfinite(ahead.probabilities).all()
    others = wrap(other_tokens)(grammar, evidence)
    assert jnp.isfinite(others.probabilities).all()
    assert others.possible[3].all()
    with pytest.raises(ValueError, match=r"3 of 4 .* index 0, where a node of level 2"):
        require_possible(result.likelihood.fails_at)
    require_possible(result.likelihood.fails_at[3:])


def test_no_strings_have_no_posteriors():
    evidence = observe(SPEC, STRINGS[:0])
    assert posteriors(GRAMMAR, evidence).levels[1].shape == (0, 2, 4)
    assert next_tokens(GRAMMAR, evidence).probabilities.shape == (0, 8, 3)
    assert parse(GRAMMAR, STRINGS[:0]).levels[0].shape == (0, 1)


def test_evidence_of_latents_can_be_impossible_too():
    grammar, strings = outsiders()
    leaves = jnp.exp(observe(grammar.spec, strings[3:]).leaves)
    wrong = jnp.asarray([[[0.0, 1.0]]])
    result = likelihood(grammar, weigh(grammar.spec, leaves, (wrong, None, None)))
    np.testing.assert_array_equal(result.fails_at, [0])


def test_inside_jit_bad_values_make_a_string_impossible_and_no_nan(untyped):
    leaves = (
        jnp.ones((4, SPEC.num_leaves, 3))
        .at[jnp.arange(3), 2, 1]
        .set(jnp.array([-1.0, jnp.nan, jnp.inf]))
    )
    made = jax.jit(lambda x: posteriors(GRAMMAR, weigh(SPEC, x)))(leaves)
    raw = jax.jit(lambda x: posteriors(GRAMMAR, Evidence(x)))(leaves.at[0].set(-jnp.inf))
    seen = jax.jit(lambda x: posteriors(GRAMMAR, observe(SPEC, x)))(STRINGS.at[:3, 2].set(7))
    for result in (made, seen):
        np.testing.assert_array_equal(result.likelihood.fails_at, [2, 2, 2, -1])
    for result in (made, raw, seen):
        np.testing.assert_array_equal(result.likelihood.possible, [False, False, False, True])
        assert all(jnp.isfinite(each).all() for each in jax.tree.leaves(result.levels))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: observe(SPEC, STRINGS[:, 1:]), r"strings have shape \(4, 7\), but must have"),
        (lambda: observe(SPEC, STRINGS + 3), "strings are from 3"),
        (lambda: observe(SPEC, STRINGS, jnp.ones((4, 7), bool)), "hidden have shape"),
        (lambda: observe(SPEC, STRINGS, kernel=KERNEL[:2]), "kernel have shape"),
        (lambda: observe(SPEC, STRINGS, kernel=-KERNEL), "down to -0.7, but weights must be at"),
        (lambda: weigh(SPEC, jnp.ones((4, 8, 4))), "evidence of the leaves have shape"),
        (lambda: weigh(SPEC, jnp.full((4, 8, 3), -1.0)), "at least 0: give likelihoods"),
        (lambda: weigh(SPEC, jnp.full((4, 8, 3), jnp.inf)), "not finite"),
        (lambda: weigh(SPEC, jnp.ones((4, 8, 3)), (None,)), "latents of 1 levels for depth=3"),
        (
            lambda: weigh(SPEC, jnp.ones((4, 8, 3)), (None, jnp.ones((4, 2, 3)), None)),
            r"evidence of level 1 have shape \(4, 2, 3\), but must have \(4, 2, 4\)",
        ),
        (
            lambda: likelihood(GRAMMAR, Evidence(jnp.full((4, 8, 3), -jnp.inf))),
            "evidence of the leaves have 96 values that are not finite",
        ),
        (lambda: likelihood(GRAMMAR, observe(SPEC, STRINGS), filtered=4), "filtered=4 must be"),
        (
            lambda: likelihood(
                GRAMMAR, weigh(SPEC, jnp.ones((4, 8, 3)), (None, jnp.ones((4, 2, 4)), None)), 2
            ),
            "evidence of level 1 means nothing with filtered=2",
        ),
        (
            lambda: next_tokens(
                GRAMMAR, weigh(SPEC, jnp.ones((4, 8, 3)), (None, jnp.ones((4, 2, 4)), None))
            ),
            "evidence of level 1 is neither before nor after",
        ),
        (lambda: next_tokens(GRAMMAR, observe(SPEC, STRINGS), span=4), "span=4 must be a level"),
        (
            lambda: other_tokens(
                GRAMMAR, weigh(SPEC, jnp.ones((4, 8, 3)), (None, jnp.ones((4, 2, 4)), None)), span=1
            ),
            "evidence of level 1 is neither before nor after a token, nor in a span",
        ),
        (lambda: posteriors(GRAMMAR, observe(SPEC, STRINGS), (4,)), "levels has 4"),
        (
            lambda: likelihood(
                draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(2, 2**14, 1, 2, 2)),
                Evidence(jnp.zeros((1, 4, 2**14))),
            ),
            "rules of level 1 make 32768 symbols of 16384 kinds",
        ),
        (lambda: parse(GRAMMAR, STRINGS[:, 1:]), "strings have shape"),
        (
            lambda: enumerate_language(
                draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(8, 8, 8, 2, 4))
            ),
            "more than 1048576",
        ),
        (
            lambda: enumerate_posteriors(GRAMMAR, Evidence(jnp.zeros((4, 8, 4)))),
            "evidence of the leaves have shape",
        ),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(make, words, untyped):
    with pytest.raises(ValueError, match=words) as refusal:
        make()
    assert "\n" not in str(refusal.value)


def test_what_is_not_known_yet_is_not_checked_for_being_possible():
    with pytest.raises(ValueError, match="not known inside"):
        jax.jit(lambda x: require_possible(x))(jnp.zeros(3, int))
